/*
 * graph.c: see graph.h. Makes, prints and encodes graphs.
 */
#include "graphs/graph.h"

#include <string.h>

static const char *const step_names[] = { "call",  "async", "send",   "each",    "broadcast",
                                          "wait",  "all",   "any",    "cancel",  "sleep",
                                          "add",   "fail",  "once",   "promise", "settle",
                                          "await", "early", "signal", "hear",    "emit" };
static const char *const method_names[] = { "run", "run_inline", "look" };
static const char *const shape_names[] = { "sequential", "ordered", "wild" };
static const char *const all_names[] = { "wait_all", "gather", "group" };
static const char *const await_names[] = { "asq_result_wait", "asq_ctx_wait",
                                           "asq_ctx_wait with a limit", "asq_wait_any" };
static const char *const hear_names[] = { "any time", "a long time", "" };
static const char *const once_names[] = { "a step", "a step, waited for", "a random number" };

const char *step_name(enum step_kind kind)
{
    return step_names[kind];
}

const char *node_method_name(enum node_method method)
{
    return method_names[method];
}

/* ---- dice: splitmix64 ---- */

uint64_t dice_next(struct dice *d)
{
    uint64_t z = d->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int dice_below(struct dice *d, int n)
{
    return (int) (dice_next(d) % (uint64_t) n);
}

bool dice_percent(struct dice *d, int percent)
{
    return dice_below(d, 100) < percent;
}

/* ---- making ---- */

/* Agents as bits. */
typedef unsigned agents_mask;

struct maker {
    struct graph *g;
    struct dice dice;
    int budget; /* nodes that may still be made */
    bool deadlines, cancels, fails, looks;
};

/* Position of a node. */
struct place {
    agents_mask chain; /* agents of the callers that wait for the node, and its own agent */
    int highest;       /* highest agent of the chain; -1: none */
    int depth;         /* greatest depth of calls below it */
    bool hurried;      /* a tight deadline or a cancel may end it */
};

static bool is_sequential(const struct maker *m)
{
    return m->g->shape == GRAPH_SEQ;
}

static int lowest(agents_mask mask)
{
    for (int i = 0; i < GRAPH_AGENTS; i++)
        if (mask & 1u << i)
            return i;
    return GRAPH_AGENTS;
}

/* Returns an agent to which a call from here may go; -1: none. `below`: only agents with a lower
 * number that are not in the chain, because the call keeps its agent busy while it waits for its
 * inputs. */
static int pick_agent(struct maker *m, const struct place *at, int below)
{
    struct graph *g = m->g;
    agents_mask may = (1u << g->nagents) - 1;
    bool again = at->chain && g->reenters && dice_percent(&m->dice, 30);

    if (g->shape == GRAPH_ORDERED) {
        agents_mask higher = at->highest < 0 ? may : may & ~((2u << at->highest) - 1);
        if (below < GRAPH_AGENTS)
            higher &= (1u << below) - 1, again = false;
        may = again ? at->chain : higher;
    } else if (again) {
        may = at->chain;
    } else if (!g->reenters) {
        may &= ~at->chain;
    }
    if (!may)
        return -1;
    for (;;) {
        int agent = dice_below(&m->dice, g->nagents);
        if (may & 1u << agent)
            return agent;
    }
}

static void fill(struct maker *m, int id, const struct place *at);

/* Returns the agents that a node and its inputs use. A call that waits for its result as an input
 * must have a lower agent. */
static agents_mask agents_below(const struct graph *g, int id)
{
    const struct node *n = &g->nodes[id];
    agents_mask mask = 0;

    for (size_t i = 0; i < n->nagents; i++)
        mask |= 1u << n->agents[i];
    for (size_t i = 0; i < n->nsteps; i++)
        for (size_t k = 0; k < n->steps[i].nkids; k++)
            mask |= agents_below(g, n->steps[i].kids[k]);
    return mask;
}

/* Makes a node that `caller` calls. -1: no agent fits, or the budget of nodes is used up. */
static int make_node(struct maker *m, int caller, const struct place *from, enum step_kind kind,
                     bool detached, int below)
{
    struct graph *g = m->g;
    struct place at = *from;
    struct node *n;
    int id = g->nnodes, agent;
    bool many;

    if (m->budget <= 0 || id >= GRAPH_NODES)
        return -1;
    if (detached && g->shape == GRAPH_ORDERED) {
        /* No call waits for it, and after the end of its caller it is not admitted as re-entrant
         * either. */
        at.chain = 0;
        at.highest = -1;
    }
    if ((agent = pick_agent(m, &at, below)) < 0)
        return -1;
    m->budget--;
    g->nnodes++;
    n = &g->nodes[id];
    n->caller = caller;
    n->nagents = 1;
    n->agents[0] = agent;
    many = kind == STEP_EACH || kind == STEP_BROADCAST;
    if (!many)
        n->method = m->looks && dice_percent(&m->dice, 12) ? NODE_LOOK
                    : dice_percent(&m->dice, 30)           ? NODE_RUN_INLINE
                                                           : NODE_RUN;
    if (m->deadlines && !many && dice_percent(&m->dice, 12)) {
        n->tight = dice_percent(&m->dice, 50);
        n->deadline_ms = n->tight ? 1 + dice_below(&m->dice, 20) : 600000;
        if (n->tight)
            g->ends_early = at.hurried = true;
    }
    if (m->cancels && dice_percent(&m->dice, 15))
        at.hurried = true;
    at.chain |= 1u << agent;
    if (agent > at.highest)
        at.highest = agent;
    at.depth--;
    if (kind == STEP_BROADCAST)
        at.depth = 0;
    fill(m, id, &at);
    if (n->nsteps == 0 && !many && n->method != NODE_LOOK && dice_percent(&m->dice, 10))
        n->flaky = 1 + dice_below(&m->dice, 2);
    return id;
}

const struct step *graph_step_of_slot(const struct node *n, int slot)
{
    for (size_t i = 0; i < n->nsteps; i++)
        if ((n->steps[i].kind == STEP_ASYNC || n->steps[i].kind == STEP_PROMISE) &&
            n->steps[i].slot == slot)
            return &n->steps[i];
    return NULL;
}

struct step *graph_step_that_calls(struct graph *g, int id)
{
    struct node *caller = &g->nodes[g->nodes[id].caller];

    for (size_t i = 0; i < caller->nsteps; i++)
        for (size_t k = 0; k < caller->steps[i].nkids; k++)
            if (caller->steps[i].kids[k] == id)
                return &caller->steps[i];
    return NULL;
}

static struct step *add_step(struct node *n, enum step_kind kind)
{
    struct step *s = &n->steps[n->nsteps++];

    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->slot = s->gives = SLOT_NONE;
    return s;
}

/* Picks slots as inputs of a call; returns the agent number that its agent must be below. */
static int pick_inputs(struct maker *m, struct node *n, int nslots, struct step *s)
{
    agents_mask used = 0;

    while (s->ninputs < GRAPH_INPUTS && nslots && (s->ninputs == 0 || dice_percent(&m->dice, 30))) {
        int slot = dice_below(&m->dice, nslots);
        const struct step *of = graph_step_of_slot(n, slot);
        if (of->detached)
            break;
        s->inputs[s->ninputs++] = slot;
        used |= agents_below(m->g, of->kids[0]);
    }
    return s->ninputs ? lowest(used) : GRAPH_AGENTS;
}

static bool make_calls(struct maker *m, int id, const struct place *at, enum step_kind kind,
                       int *nslots)
{
    struct node *n = &m->g->nodes[id];
    struct step *s = add_step(n, kind);
    struct place inside = *at;
    int below = GRAPH_AGENTS, kid;

    s->must = id != 0 && dice_percent(&m->dice, 25);
    if (kind == STEP_ASYNC) {
        s->must = false;
        s->detached = dice_percent(&m->dice, 8);
    }
    if ((kind == STEP_ASYNC || kind == STEP_CALL || kind == STEP_SEND) && *nslots &&
        dice_percent(&m->dice, 35))
        below = pick_inputs(m, n, *nslots, s);
    if (kind == STEP_EACH || kind == STEP_BROADCAST) {
        size_t want = 2 + (size_t) dice_below(&m->dice, GRAPH_KIDS - 1);
        s->how = 1 + dice_below(&m->dice, 3);
        for (size_t i = 0; i < want && kind == STEP_EACH; i++)
            if ((kid = make_node(m, id, &inside, kind, false, below)) >= 0)
                s->kids[s->nkids++] = kid;
        if (kind == STEP_BROADCAST && (kid = make_node(m, id, &inside, kind, false, below)) >= 0) {
            struct node *k = &m->g->nodes[kid];
            s->kids[s->nkids++] = kid;
            while (k->nagents < want) {
                int agent = pick_agent(m, &inside, below);
                bool twice = agent < 0;
                for (size_t i = 0; i < k->nagents; i++)
                    twice |= k->agents[i] == agent;
                if (twice)
                    break;
                k->agents[k->nagents++] = agent;
            }
        }
    } else {
        kid = make_node(m, id, &inside, kind, s->detached || kind == STEP_SEND, below);
        if (kid >= 0)
            s->kids[s->nkids++] = kid;
    }
    if (s->nkids == 0) {
        n->nsteps--;
        return false;
    }
    if (kind == STEP_ASYNC)
        s->slot = (*nslots)++;
    return true;
}

/* Makes a cancel of a slot, while its call is not known to have ended. */
static void make_cancel(struct maker *m, struct node *n, int nslots)
{
    int slot = dice_below(&m->dice, nslots);

    add_step(n, STEP_CANCEL)->slot = slot;
    m->g->nodes[graph_step_of_slot(n, slot)->kids[0]].cancelled = true;
    m->g->ends_early = true;
}

/* Makes the steps of a node. Leaves room for the last steps that every node may have: all, add,
 * fail. */
static void fill(struct maker *m, int id, const struct place *at)
{
    struct graph *g = m->g;
    struct node *n = &g->nodes[id];
    int want = at->depth <= 0 ? 0 : dice_below(&m->dice, 6), nslots = 0;
    bool sequential = is_sequential(m), joined = true;

    for (int i = 0; i < want && n->nsteps < GRAPH_MADE_STEPS - 3; i++) {
        int roll = dice_below(&m->dice, 100);
        if (roll < 30 || (sequential && roll < 85)) {
            make_calls(m, id, at, STEP_CALL, &nslots);
        } else if (roll < 62 && !sequential) {
            if (nslots < GRAPH_MADE_SLOTS && make_calls(m, id, at, STEP_ASYNC, &nslots))
                joined = false;
        } else if (roll < 68 && !sequential) {
            make_calls(m, id, at, STEP_SEND, &nslots);
        } else if (roll < 74 && !sequential) {
            make_calls(m, id, at, STEP_EACH, &nslots);
        } else if (roll < 79 && !sequential) {
            make_calls(m, id, at, STEP_BROADCAST, &nslots);
        } else if (roll < 86 && nslots) {
            int slot = dice_below(&m->dice, nslots);
            if (!graph_step_of_slot(n, slot)->detached) {
                struct step *s = add_step(n, STEP_WAIT);
                s->slot = slot;
                s->must = dice_percent(&m->dice, 30);
            }
        } else if (roll < 89 && nslots) {
            add_step(n, STEP_ANY);
        } else if (roll < 95 && nslots && m->cancels) {
            make_cancel(m, n, nslots);
        } else {
            add_step(n, STEP_ONCE)->how = (id + i) % ONCE_WAYS; /* no dice: seeds are known */
        }
    }
    if (dice_percent(&m->dice, at->hurried ? 40 : 6)) {
        struct step *s = add_step(n, STEP_SLEEP);
        s->ms = 1 + dice_below(&m->dice, at->hurried ? 25 : 3);
    }
    if (!joined)
        add_step(n, STEP_ALL)->how = dice_below(&m->dice, ALL_WAYS);
    if (m->fails && dice_percent(&m->dice, 10)) {
        add_step(n, STEP_FAIL)->code = GRAPH_FIRST_CODE + id;
    } else if (dice_percent(&m->dice, 40)) {
        add_step(n, STEP_ADD);
    }
}

/* Makes the program: a few calls, one after the other or at the same time. */
static void fill_program(struct maker *m, int depth)
{
    struct graph *g = m->g;
    struct node *n = &g->nodes[0];
    int roots = 1 + dice_below(&m->dice, 5), nslots = 0;
    struct place at = { 0, -1, depth, false };

    n->caller = -1;
    g->nnodes = 1;
    for (int i = 0; i < roots && nslots < GRAPH_MADE_SLOTS && n->nsteps < GRAPH_MADE_STEPS - 3;
         i++) {
        int share = m->budget; /* each call leaves some nodes for the next one */
        m->budget = i + 1 < roots ? (share + 1) / 2 : share;
        share -= m->budget;
        make_calls(m, 0, &at,
                   !is_sequential(m) && i && dice_percent(&m->dice, 8) ? STEP_SEND : STEP_ASYNC,
                   &nslots);
        m->budget += share;
        if (n->nsteps && n->steps[n->nsteps - 1].kind == STEP_ASYNC)
            n->steps[n->nsteps - 1].detached = false;
        if (is_sequential(m))
            add_step(n, STEP_ALL);
        else if (nslots && m->cancels && n->nsteps < GRAPH_MADE_STEPS - 3 &&
                 dice_percent(&m->dice, 15))
            make_cancel(m, n, nslots);
    }
    if (!is_sequential(m))
        add_step(n, STEP_ALL);
}

void graph_make(struct graph *g, uint64_t seed, int depth, enum graph_shape shape, int durable)
{
    struct maker m = { .g = g, .dice = { seed } };
    int roll = dice_below(&m.dice, 100);

    memset(g, 0, sizeof *g);
    g->seed = seed;
    g->shape = roll < 20 ? GRAPH_SEQ : roll < 65 ? GRAPH_ORDERED : GRAPH_WILD;
    if (shape != GRAPH_ANY_SHAPE)
        g->shape = shape;
    g->nagents = 2 + dice_below(&m.dice, GRAPH_AGENTS - 1);
    m.deadlines = dice_percent(&m.dice, 30);
    m.cancels = g->shape != GRAPH_SEQ && dice_percent(&m.dice, 30);
    m.fails = dice_percent(&m.dice, 60);
    m.looks = dice_percent(&m.dice, 50);
    g->reenters = dice_percent(&m.dice, 60);
    /* There are no deadlines and cancels here. A call that ends early leaves its nested calls
     * behind, and a call from these back to the chain would wait like one of another chain. */
    if (g->shape == GRAPH_ORDERED && g->reenters)
        m.deadlines = m.cancels = false;
    m.budget = 3 + dice_below(&m.dice, dice_percent(&m.dice, 20) ? GRAPH_NODES - 4 : 20);
    fill_program(&m, depth ? depth : 1 + dice_below(&m.dice, 7));
    graph_add_durable(g, durable);
    snprintf(g->prefix, sizeof g->prefix, "g%llx", (unsigned long long) seed);
}

/* ---- encoding ---- */

const char *graph_agent_id(const struct graph *g, int agent, char *id)
{
    snprintf(id, 64, "%s.%d", g->prefix, agent);
    return id;
}

static asq_value *step_value(const struct graph *g, const struct step *s)
{
    asq_value *inputs = asq_value_list(), *kids = asq_value_list();
    int rc = inputs && kids ? 0 : ASQ_ENOMEM;
    char id[64] = "";

    if (s->kind == STEP_SIGNAL)
        graph_agent_id(g, g->nodes[s->node].agents[0], id);

    for (size_t i = 0; i < s->ninputs && rc == 0; i++)
        rc = asq_list_append(inputs, asq_value_int(s->inputs[i]));
    for (size_t i = 0; i < s->nkids && rc == 0; i++)
        rc = asq_list_append(kids, graph_value(g, s->kids[i]));
    if (rc < 0) {
        asq_value_free(inputs);
        asq_value_free(kids);
        return NULL;
    }
    return asq_pack("[i, b, b, i, i, i, i, o, o, [i, b, i, i, i, i, s]]", (int) s->kind, s->must,
                    s->detached, s->slot, s->how, s->code, s->ms, inputs, kids, s->gives, s->reads,
                    s->node, s->n, s->first, s->bytes, id);
}

asq_value *graph_value(const struct graph *g, int node)
{
    const struct node *n = &g->nodes[node];
    asq_value *agents = asq_value_list(), *steps = asq_value_list();
    int rc = agents && steps ? 0 : ASQ_ENOMEM;
    char id[64];

    for (size_t i = 0; i < n->nagents && rc == 0; i++)
        rc = asq_list_append(agents, asq_value_string(graph_agent_id(g, n->agents[i], id)));
    for (size_t i = 0; i < n->nsteps && rc == 0; i++)
        rc = asq_list_append(steps, step_value(g, &n->steps[i]));
    if (rc < 0) {
        asq_value_free(agents);
        asq_value_free(steps);
        return NULL;
    }
    return asq_pack("[o, s, i, i, [i, i, i, o]]", agents, node_method_name(n->method),
                    n->deadline_ms, n->flaky, node, n->flaky, n->emits, steps);
}

/* ---- printing ---- */

static void print_node(const struct graph *g, int id, int indent, FILE *out)
{
    const struct node *n = &g->nodes[id];

    for (size_t i = 0; i < n->nsteps; i++) {
        const struct step *s = &n->steps[i];
        fprintf(out, "%*s%s", indent, "",
                s->kind == STEP_ALL    ? all_names[s->how]
                : s->kind == STEP_ONCE ? once_names[s->how]
                                       : step_name(s->kind));
        if (s->kind == STEP_ASYNC && s->detached)
            fprintf(out, " (never waited for)");
        else if (s->slot >= 0)
            fprintf(out, " $%d", s->slot);
        else if (s->slot == SLOT_GIVEN)
            fprintf(out, " the given one");
        if (s->kind == STEP_SLEEP || s->kind == STEP_EARLY)
            fprintf(out, " %d ms", s->ms);
        if (s->kind == STEP_SETTLE)
            fprintf(out, ": %s%s%s", s->how & SETTLE_REJECT ? "reject" : "resolve",
                    s->how & SETTLE_LATE ? ", perhaps too late" : "",
                    s->how & SETTLE_TWICE ? ", twice" : "");
        if (s->kind == STEP_AWAIT)
            fprintf(out, " by %s", await_names[s->how]);
        if (s->kind == STEP_HEAR)
            fprintf(out, " within %s %d ms", hear_names[s->how], s->ms);
        if (s->kind == STEP_SIGNAL)
            fprintf(out, " #%d, %d from %d on", s->node, s->n, s->first);
        if (s->kind == STEP_EMIT)
            fprintf(out, " %d of %d bytes", s->n, s->bytes);
        if (s->gives == SLOT_GIVEN)
            fprintf(out, ", gives the given promise on");
        else if (s->gives != SLOT_NONE)
            fprintf(out, ", gives promise $%d", s->gives);
        if (s->reads)
            fprintf(out, ", reads");
        if (s->kind == STEP_FAIL)
            fprintf(out, " with %d", ASQ_EUSER(s->code));
        if (s->kind == STEP_EACH)
            fprintf(out, ", %d at a time", s->how);
        if (s->must)
            fprintf(out, ", must succeed");
        for (size_t k = 0; k < s->ninputs; k++)
            fprintf(out, "%s$%d", k ? " " : ", given ", s->inputs[k]);
        fprintf(out, "\n");
        for (size_t k = 0; k < s->nkids; k++) {
            const struct node *kid = &g->nodes[s->kids[k]];
            fprintf(out, "%*s#%d agent", indent + 2, "", s->kids[k]);
            for (size_t a = 0; a < kid->nagents; a++)
                fprintf(out, " %d", kid->agents[a]);
            fprintf(out, " %s", node_method_name(kid->method));
            if (kid->deadline_ms)
                fprintf(out, ", within %d ms", kid->deadline_ms);
            if (kid->flaky)
                fprintf(out, ", fails %d times", kid->flaky);
            if (kid->emits)
                fprintf(out, ", begins with %d emits", kid->emits);
            fprintf(out, "\n");
            print_node(g, s->kids[k], indent + 4, out);
        }
    }
}

void graph_print(const struct graph *g, FILE *out)
{
    fprintf(out, "graph of seed %llu: %s, %d agents, %d calls; agents %s.0 …\n",
            (unsigned long long) g->seed, shape_names[g->shape], g->nagents, g->nnodes - 1,
            g->prefix);
    print_node(g, 0, 2, out);
}
