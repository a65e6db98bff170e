/*
 * model.c: see model.h.
 */
#include "graphs/model.h"
#include "graphs/node.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* Reasons for an outcome that differs from the model's. */
enum {
    MAY_DEADLOCK = 1,
    MAY_DEADLINE = 2,
    MAY_CANCEL = 4,
    MAY_INTERRUPT = 8,
    MAY_INPUT = 16,
    MAY_FLAKY = 32 /* no time is left for a retry */
};

/* Knowledge about the outcome of a call. */
enum known {
    KNOWN_OK,     /* returned */
    KNOWN_FAILED, /* failed with the model's code */
    KNOWN_ENDED,  /* failed for one of the reasons above */
    KNOWN_NOT     /* the outcome was not reported */
};

typedef uint8_t counts[GRAPH_NODES]; /* counts of one agent, under each node's number */

struct check {
    const struct graph *g;
    enum check_where where;
    /* State of the model. */
    counts now[GRAPH_AGENTS], committed[GRAPH_AGENTS];
    unsigned commits[GRAPH_AGENTS];
    int code[GRAPH_NODES];    /* 0: returns */
    int emitted[GRAPH_NODES]; /* values */
    /* The promise that the node is given: its maker, and the slot there. */
    int maker[GRAPH_NODES], slot[GRAPH_NODES];
    /* Whether the maker has settled the promise, because the other call has not. */
    bool settled_late[GRAPH_NODES][GRAPH_SLOTS];
    /* Possible deviations of the call itself, and of all calls below it. */
    unsigned may[GRAPH_NODES], may_below[GRAPH_NODES];
    bool reentered[GRAPH_NODES]; /* whether a call below goes to the same agent */
    /* Whether its effect cannot be told apart from others if it fails. */
    bool blurred[GRAPH_NODES];
    /* Actual outcomes. */
    enum known known[GRAPH_NODES][GRAPH_KIDS]; /* by the place of the agent */
    bool free[GRAPH_NODES];                    /* number of effects that may have happened or not */
    struct figures figures;
    char why[600];
};

static bool wrong(struct check *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static bool wrong(struct check *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->why, sizeof c->why, fmt, ap);
    va_end(ap);
    return false;
}

const char *check_why(const struct check *c)
{
    return c->why;
}

/* ---- promises ---- */

/* Finds the first step that settles a promise: of the maker, or of a call that is given it. */
static const struct step *find_settle(const struct graph *g, int id, int slot, int *ret_by)
{
    const struct node *n = &g->nodes[id];

    for (size_t i = 0; i < n->nsteps; i++) {
        const struct step *s = &n->steps[i], *found;
        if (s->kind == STEP_SETTLE && s->slot == slot) {
            *ret_by = id;
            return s;
        }
        if (step_calls(s->kind) && s->nkids && s->gives == slot &&
            (found = find_settle(g, s->kids[0], SLOT_GIVEN, ret_by)))
            return found;
    }
    return NULL;
}

static int promise_code(const struct graph *g, int id, int slot)
{
    int by;
    const struct step *s = find_settle(g, id, slot, &by);

    return s && s->how & SETTLE_REJECT ? ASQ_EUSER(GRAPH_REJECTED_CODE) : 0;
}

/* Makes the outcome of a promise of a node. */
static asq_value *promise_outcome(const struct check *c, int id, int slot)
{
    int by = -1, code = promise_code(c->g, id, slot);

    find_settle(c->g, id, slot, &by);
    if (c->settled_late[id][slot])
        by = id;
    return code ? asq_value_int(code) : node_settled(by);
}

/* Returns the code of a slot's call or promise. */
static int slot_code(const struct check *c, int id, int slot)
{
    const struct step *s = graph_step_of_slot(&c->g->nodes[id], slot);

    return s->kind == STEP_PROMISE ? promise_code(c->g, id, slot) : c->code[s->kids[0]];
}

/* Returns the possible deviations of a slot's call. */
static unsigned slot_may(const struct check *c, const struct node *n, int slot)
{
    const struct step *s = graph_step_of_slot(n, slot);

    return s->kind == STEP_PROMISE ? 0 : c->may[s->kids[0]];
}

/* Notes who is given which promise. */
static void find_given(struct check *c, int id)
{
    const struct node *n = &c->g->nodes[id];

    for (size_t i = 0; i < n->nsteps; i++) {
        const struct step *s = &n->steps[i];
        for (size_t k = 0; k < s->nkids; k++) {
            int kid = s->kids[k];
            if (s->gives != SLOT_NONE) {
                c->maker[kid] = s->gives == SLOT_GIVEN ? c->maker[id] : id;
                c->slot[kid] = s->gives == SLOT_GIVEN ? c->slot[id] : s->gives;
            }
            find_given(c, kid);
        }
    }
}

/* ---- signals ---- */

/* Returns how many signals a step, or a call that it makes, sends to a node. */
static int sent_by(const struct graph *g, const struct step *s, int to)
{
    int sent = s->kind == STEP_SIGNAL && s->node == to ? s->n : 0;

    for (size_t k = 0; k < s->nkids; k++)
        for (size_t i = 0; i < g->nodes[s->kids[k]].nsteps; i++) {
            const struct step *of = &g->nodes[s->kids[k]].steps[i];
            sent += of->kind == STEP_SIGNAL && of->node == to ? of->n : 0;
        }
    return sent;
}

/* Makes what a node notes of its step `at`, a STEP_HEAR. */
static asq_value *heard(const struct graph *g, int id, size_t at)
{
    const struct node *n = &g->nodes[id], *caller = &g->nodes[n->caller];
    int sent = 0, next = 0;

    for (size_t i = 0; i < caller->nsteps; i++)
        if (caller->steps[i].kind == STEP_SIGNAL)
            sent += sent_by(g, &caller->steps[i], id);
    for (size_t i = 0; i < at; i++) {
        sent += sent_by(g, &n->steps[i], id);
        next += n->steps[i].kind == STEP_HEAR && next < sent;
    }
    return next < sent ? node_signalled(id, next) : asq_value_int(ASQ_ETIMEOUT);
}

/* ---- the model ---- */

static int run_node(struct check *c, int id, int agent);

/* Runs the calls of a step; returns the code of the first that fails. */
static int run_kids(struct check *c, int id, const struct step *s)
{
    int first = 0;

    for (size_t i = 0; i < s->ninputs; i++)
        if (slot_code(c, id, s->inputs[i]))
            return c->code[s->kids[0]] = ASQ_EINPUT;
    for (size_t i = 0; i < s->nkids; i++) {
        const struct node *kid = &c->g->nodes[s->kids[i]];
        int code = 0;
        for (size_t a = 0; a < kid->nagents; a++)
            code = run_node(c, s->kids[i], kid->agents[a]);
        if (!first)
            first = code;
    }
    return first;
}

/* Returns the code of the promise for which a node waits. */
static int awaited_code(const struct check *c, int id, const struct step *s)
{
    return s->slot == SLOT_GIVEN ? promise_code(c->g, c->maker[id], c->slot[id])
                                 : promise_code(c->g, id, s->slot);
}

static int run_steps(struct check *c, int id, int agent)
{
    const struct node *n = &c->g->nodes[id];

    for (size_t i = 0; i < n->nsteps; i++) {
        const struct step *s = &n->steps[i];
        int code = 0;
        if (step_calls(s->kind))
            code = run_kids(c, id, s);
        else if (s->kind == STEP_WAIT)
            code = slot_code(c, id, s->slot);
        else if (s->kind == STEP_AWAIT)
            code = awaited_code(c, id, s);
        else if (s->kind == STEP_EMIT)
            c->emitted[id] += s->n;
        if (s->must && code && s->kind != STEP_ASYNC && s->kind != STEP_SEND)
            return code;
        if (s->kind == STEP_FAIL)
            return ASQ_EUSER(s->code);
        if (s->kind == STEP_ADD && n->method != NODE_LOOK)
            c->now[agent][id] = (uint8_t) (c->now[agent][id] + 16);
    }
    return 0;
}

/* A call that fails restores the state at its beginning, but keeps the commits of calls that
 * re-entered meanwhile. Such a commit contains the whole state of its moment. */
static int run_node(struct check *c, int id, int agent)
{
    bool writes = c->g->nodes[id].method != NODE_LOOK;
    unsigned commits = c->commits[agent];
    counts base;

    memcpy(base, c->now[agent], sizeof base);
    if (writes)
        c->now[agent][id]++;
    c->emitted[id] = c->g->nodes[id].emits;
    c->code[id] = run_steps(c, id, agent);
    if (!writes)
        return c->code[id];
    if (c->code[id] == 0) {
        memcpy(c->committed[agent], c->now[agent], sizeof base);
        c->commits[agent]++;
    } else {
        memcpy(c->now[agent], commits == c->commits[agent] ? base : c->committed[agent],
               sizeof base);
    }
    return c->code[id];
}

/* ---- allowed deviations ---- */

static bool is_at(const struct node *n, int agent)
{
    for (size_t i = 0; i < n->nagents; i++)
        if (n->agents[i] == agent)
            return true;
    return false;
}

/* Returns whether a call below goes to the agent. ret_beside: whether concurrent calls are made
 * there. */
static bool goes_to(const struct graph *g, int id, int agent, bool *ret_beside)
{
    const struct node *n = &g->nodes[id];
    bool does = false;

    for (size_t i = 0; i < n->nsteps; i++) {
        *ret_beside |= step_calls(n->steps[i].kind) && n->steps[i].kind != STEP_CALL;
        for (size_t k = 0; k < n->steps[i].nkids; k++) {
            int kid = n->steps[i].kids[k];
            does |= is_at(&g->nodes[kid], agent);
            does |= goes_to(g, kid, agent, ret_beside);
        }
    }
    return does;
}

static void find_reentered(struct check *c, int id)
{
    const struct graph *g = c->g;
    const struct node *n = &g->nodes[id];

    for (size_t i = 0; i < n->nagents; i++) {
        int agent = n->agents[i], top = id;
        bool beside = false;
        c->reentered[id] |= goes_to(g, id, agent, &beside);
        for (int up = n->caller; up > 0; up = g->nodes[up].caller)
            if (is_at(&g->nodes[up], agent))
                top = up;
        beside = false;
        c->blurred[id] |= goes_to(g, top, agent, &beside) && beside && c->where != CHECK_LOCAL;
    }
}

static unsigned find_may(struct check *c, int id, unsigned above)
{
    const struct node *n = &c->g->nodes[id];
    unsigned own = above, below;

    if (n->tight)
        own |= MAY_DEADLINE;
    if (n->cancelled && c->where != CHECK_LOCAL)
        own |= MAY_CANCEL;
    if (n->flaky && own & MAY_DEADLINE)
        own |= MAY_FLAKY;
    below = own;
    c->may[id] |= own;
    if (c->where == CHECK_KILLED && c->reentered[id])
        c->may[id] |= MAY_INTERRUPT;
    for (size_t i = 0; i < n->nsteps; i++) {
        const struct step *s = &n->steps[i];
        unsigned of_step = 0;
        for (size_t k = 0; k < s->nkids; k++) {
            int kid = s->kids[k];
            for (size_t j = 0; j < s->ninputs; j++)
                if (slot_may(c, n, s->inputs[j]))
                    c->may[kid] |= MAY_INPUT;
            below |= find_may(c, kid, id ? own & ~(unsigned) MAY_FLAKY : above);
            of_step |= c->may[kid];
        }
        if (s->kind == STEP_WAIT)
            of_step = slot_may(c, n, s->slot);
        if (s->must && s->kind != STEP_ASYNC && s->kind != STEP_SEND)
            c->may[id] |= of_step;
    }
    return c->may_below[id] = below | c->may[id];
}

struct check *check_new(const struct graph *g, enum check_where where)
{
    struct check *c = calloc(1, sizeof *c);
    unsigned anywhere = 0;

    if (!c)
        return NULL;
    c->g = g;
    c->where = where;
    for (int i = 1; i < g->nnodes; i++) {
        find_reentered(c, i);
        for (size_t a = 0; a < GRAPH_KIDS; a++)
            c->known[i][a] = KNOWN_NOT;
    }
    find_given(c, 0);
    run_steps(c, 0, -1);
    /* A call that ends early no longer waits for its nested calls, which may then block others,
     * even if nothing else runs at the same time. */
    if (where != CHECK_LOCAL &&
        (g->shape == GRAPH_WILD ||
         (g->reenters && (g->shape == GRAPH_ORDERED || g->ends_early || where == CHECK_KILLED))))
        anywhere = MAY_DEADLOCK;
    find_may(c, 0, anywhere);
    return c;
}

void check_free(struct check *c)
{
    free(c);
}

/* ---- outcomes ---- */

static bool is_permitted(unsigned may, int code)
{
    return (code == ASQ_EDEADLK && may & MAY_DEADLOCK) ||
           (code == ASQ_EDEADLINE && may & MAY_DEADLINE) ||
           (code == ASQ_ECANCELED && may & MAY_CANCEL) ||
           (code == ASQ_EINTERRUPTED && may & MAY_INTERRUPT) ||
           (code == ASQ_EINPUT && may & MAY_INPUT) ||
           (code == ASQ_EUSER(GRAPH_FLAKY_CODE) && may & MAY_FLAKY);
}

static const char *code_name(int code)
{
    const char *name = asq_error_name(code);

    return name ? name : code ? "a code of the application" : "a value";
}

static void count_code(struct check *c, int code)
{
    c->figures.deadlocks += code == ASQ_EDEADLK;
    c->figures.deadlines += code == ASQ_EDEADLINE;
    c->figures.cancels += code == ASQ_ECANCELED;
    c->figures.interrupts += code == ASQ_EINTERRUPTED;
}

/* Marks all nested calls of a call: their progress is unknown. */
static void set_free(struct check *c, int id)
{
    const struct node *n = &c->g->nodes[id];

    for (size_t i = 0; i < n->nsteps; i++)
        for (size_t k = 0; k < n->steps[i].nkids; k++) {
            c->free[n->steps[i].kids[k]] = true;
            set_free(c, n->steps[i].kids[k]);
        }
}

static bool visit_steps(struct check *c, int id, const asq_value *value);

static bool visit(struct check *c, int id, size_t place, const asq_value *outcome)
{
    int64_t code;

    if (asq_value_type(outcome) == ASQ_LIST) {
        c->known[id][place] = KNOWN_OK;
        if (c->code[id])
            return wrong(c, "#%d returned %s, but must fail with %d (%s)", id, "a value",
                         c->code[id], code_name(c->code[id]));
        return visit_steps(c, id, outcome);
    }
    if (asq_value_get_int(outcome, &code) < 0) {
        /* No caller waited for it. */
        if (c->may_below[id]) {
            c->free[id] = true;
            set_free(c, id);
        }
        return true;
    }
    count_code(c, (int) code);
    if (code == c->code[id]) {
        c->known[id][place] = KNOWN_FAILED;
        if (c->may_below[id])
            set_free(c, id);
        return true;
    }
    c->known[id][place] = KNOWN_ENDED;
    set_free(c, id);
    if (!is_permitted(c->may[id], (int) code))
        return wrong(
            c, "#%d failed with %lld (%s), where %d (%s) was due and no other was permitted", id,
            (long long) code, code_name((int) code), c->code[id], code_name(c->code[id]));
    return true;
}

/* Compares the inputs that a call reports with the outcomes that its caller was told. */
static bool visit_inputs(struct check *c, int id, const struct step *s, const asq_value *outcomes,
                         const asq_value *value)
{
    const struct node *n = &c->g->nodes[id];
    const asq_value *digests = asq_list_get(value, 1);
    int64_t digest;

    if (asq_value_type(value) != ASQ_LIST)
        return true;
    if (asq_list_size(digests) != s->ninputs)
        return wrong(c, "#%d was given %zu inputs, not %zu", s->kids[0], asq_list_size(digests),
                     s->ninputs);
    for (size_t i = 0; i < s->ninputs; i++) {
        const struct step *of = graph_step_of_slot(n, s->inputs[i]);
        asq_value *promised =
            of->kind == STEP_PROMISE ? promise_outcome(c, id, s->inputs[i]) : NULL;
        size_t index = 0;
        for (const struct step *k = n->steps; k < of; k++)
            index += step_calls(k->kind);
        const asq_value *input = promised ? promised : asq_list_get(outcomes, index);
        bool fits = asq_value_get_int(asq_list_get(digests, i), &digest) == 0 &&
                    digest == node_digest(input);
        asq_value_free(promised);
        if (!fits)
            return wrong(c, "#%d was not given the result of $%d", s->kids[0], s->inputs[i]);
    }
    return true;
}

/* ---- notes ---- */

/* Compares a note with what is due. `due` is freed. */
static bool is_due(struct check *c, int id, size_t at, const asq_value *note, asq_value *due)
{
    char *is, *must;
    bool fits = node_digest(note) == node_digest(due);

    if (!fits && asq_to_json(note, 0, &is) == 0 && asq_to_json(due, 0, &must) == 0) {
        wrong(c, "#%d: step %zu, %s, gave %s, where %s was due", id, at,
              step_name(c->g->nodes[id].steps[at].kind), is, must);
        free(is);
        free(must);
    }
    asq_value_free(due);
    return fits;
}

/* The first to settle a promise succeeds, and every other one is told so. */
static bool visit_settle(struct check *c, int id, size_t at, const asq_value *outcomes,
                         const asq_value *note)
{
    const struct node *n = &c->g->nodes[id];
    const struct step *s = &n->steps[at];
    size_t index = 0;
    int64_t code = 1;

    if (!(s->how & SETTLE_LATE))
        return is_due(c, id, at, note, asq_value_int(0));
    for (size_t i = 0; i < at; i++) {
        if (step_calls(n->steps[i].kind) && n->steps[i].gives == s->slot)
            break;
        index += step_calls(n->steps[i].kind);
    }
    if (asq_value_type(asq_list_get(outcomes, index)) == ASQ_LIST)
        return is_due(c, id, at, note, asq_value_int(ASQ_ESTATE));
    asq_value_get_int(note, &code);
    c->settled_late[id][s->slot] = code == 0;
    return code == 0 || is_due(c, id, at, note, asq_value_int(ASQ_ESTATE));
}

static int all_emits(const struct node *n)
{
    int all = n->emits;

    for (size_t i = 0; i < n->nsteps; i++)
        all += n->steps[i].kind == STEP_EMIT ? n->steps[i].n : 0;
    return all;
}

/* Compares what a call has emitted, in its last run. Is called when its outcome is known. */
static bool visit_emits(struct check *c, int id, const asq_value *seen)
{
    bool whole =
        c->known[id][0] == KNOWN_OK || (c->known[id][0] == KNOWN_FAILED && c->may_below[id] == 0);
    size_t n = asq_list_size(seen), most = (size_t) all_emits(&c->g->nodes[id]);

    if (asq_value_type(seen) != ASQ_LIST)
        return wrong(c, "what #%d emits was not read", id);
    for (size_t i = 0; i < n; i++) {
        int64_t number = NODE_BAD;
        asq_value_get_int(asq_list_get(seen, i), &number);
        if (number != (int64_t) i)
            return wrong(c, "#%d: value %zu of what it emitted is number %lld", id, i,
                         (long long) number);
    }
    if (whole ? n != (size_t) c->emitted[id] : n > most)
        return wrong(c, "#%d: %zu values that it emitted were read, not %s%d", id, n,
                     whole ? "" : "up to ", whole ? c->emitted[id] : (int) most);
    return true;
}

static bool visit_note(struct check *c, int id, size_t at, const asq_value *outcomes,
                       const asq_value *note)
{
    const struct step *s = &c->g->nodes[id].steps[at];

    if (s->reads)
        return visit_emits(c, s->kids[0], note);
    switch (s->kind) {
    case STEP_SETTLE: return visit_settle(c, id, at, outcomes, note);
    case STEP_AWAIT:
        return is_due(c, id, at, note,
                      s->slot == SLOT_GIVEN ? promise_outcome(c, c->maker[id], c->slot[id])
                                            : promise_outcome(c, id, s->slot));
    case STEP_EARLY: return is_due(c, id, at, note, asq_value_int(ASQ_ETIMEOUT));
    case STEP_HEAR: return is_due(c, id, at, note, heard(c->g, id, at));
    default:
        return asq_value_type(note) == ASQ_NULL || wrong(c, "#%d: step %zu has a note", id, at);
    }
}

static bool visit_steps(struct check *c, int id, const asq_value *value)
{
    const struct node *n = &c->g->nodes[id];
    const asq_value *inputs, *outcomes, *notes;
    size_t next = 0;
    int64_t of;

    if (asq_unpack(value, "[I, O, O, O]", &of, &inputs, &outcomes, &notes) < 0 || of != id ||
        asq_list_size(notes) != n->nsteps)
        return wrong(c, "#%d returned what it cannot have returned", id);
    for (size_t i = 0; i < n->nsteps; i++) {
        const struct step *s = &n->steps[i];
        const asq_value *outcome = asq_list_get(outcomes, next);
        bool many = s->kind == STEP_EACH || s->kind == STEP_BROADCAST;
        if (!step_calls(s->kind)) {
            if (id && !visit_note(c, id, i, outcomes, asq_list_get(notes, i)))
                return false;
            continue;
        }
        next++;
        if ((s->kind == STEP_SEND || s->detached) != (asq_value_type(outcome) == ASQ_NULL))
            return wrong(c, "#%d: the outcome of its %s is %sthere", id, step_name(s->kind),
                         outcome ? "" : "not ");
        for (size_t k = 0; k < s->nkids; k++) {
            size_t places = c->g->nodes[s->kids[k]].nagents;
            for (size_t p = 0; p < places; p++) {
                const asq_value *one = many ? asq_list_get(outcome, k + p) : outcome;
                if (many && asq_value_type(one) == ASQ_NULL)
                    return wrong(c, "#%d: an outcome of its %s is missing", id, step_name(s->kind));
                if (!visit(c, s->kids[k], p, one))
                    return false;
            }
        }
        if (!many && !visit_inputs(c, id, s, outcomes, outcome))
            return false;
        if (!visit_note(c, id, i, outcomes, asq_list_get(notes, i)))
            return false;
    }
    if (next != asq_list_size(outcomes))
        return wrong(c, "#%d returned %zu outcomes, not %zu", id, asq_list_size(outcomes), next);
    return true;
}

bool check_outcomes(struct check *c, const asq_value *outcomes)
{
    return visit_steps(c, 0, outcomes);
}

/* ---- state ---- */

/* Computes the least and most entries that a call may have left in the log of the agent at
 * `place`. */
static void range(const struct check *c, int id, size_t place, int *ret_least, int *ret_most)
{
    const struct node *n = &c->g->nodes[id];
    int agent = n->agents[place], adds = 1;

    *ret_least = *ret_most = 0;
    if (n->method == NODE_LOOK)
        return;
    for (size_t i = 0; i < n->nsteps; i++)
        adds += n->steps[i].kind == STEP_ADD ? 16 : 0;
    if (c->known[id][place] == KNOWN_OK) {
        *ret_least = *ret_most = adds;
    } else if (c->known[id][place] == KNOWN_ENDED) {
        *ret_most = c->reentered[id] || c->blurred[id] ? adds : 0;
    } else if (c->free[id]) {
        *ret_most = adds;
    } else if (c->code[id] && (c->blurred[id] || (c->may_below[id] && c->reentered[id]))) {
        *ret_most = adds;
    } else {
        *ret_least = *ret_most = c->now[agent][id];
    }
}

int check_log(struct check *c, int agent, const asq_value *log)
{
    int64_t total = 0, all = 0;

    for (int id = 1; id < c->g->nnodes; id++) {
        const struct node *n = &c->g->nodes[id];
        for (size_t p = 0; p < n->nagents; p++) {
            char key[24];
            int least, most;
            int64_t is;
            if (n->agents[p] != agent)
                continue;
            snprintf(key, sizeof key, "%d", id);
            is = asq_map_int(log, key);
            range(c, id, p, &least, &most);
            total += is;
            if (is / 16 > most / 16 || is % 16 > most % 16) {
                wrong(c, "agent %d: the log has %lld of #%d, but at most %d must be there", agent,
                      (long long) is, id, most);
                return -1;
            }
            if (is < least) {
                wrong(c, "agent %d: the log has %lld of #%d, but %d must be there", agent,
                      (long long) is, id, least);
                return 0;
            }
        }
    }
    for (size_t i = 0; i < asq_map_size(log); i++) {
        int64_t n = 0;
        const char *key;
        asq_value_get_int(asq_map_at(log, i, &key), &n);
        all += n;
    }
    if (all != total) {
        wrong(c, "agent %d: the log has entries of calls that were not made to it", agent);
        return -1;
    }
    return 1;
}

void check_count(const struct check *c, struct figures *f)
{
    for (int id = 0; id < c->g->nnodes; id++) {
        const struct node *n = &c->g->nodes[id];
        f->calls += id ? n->nagents : 0;
        f->emits += (unsigned long long) c->emitted[id];
        for (size_t i = 0; i < n->nsteps; i++) {
            f->promises += n->steps[i].kind == STEP_PROMISE;
            f->signals += n->steps[i].kind == STEP_SIGNAL ? (unsigned long long) n->steps[i].n : 0;
        }
    }
    f->deadlocks += c->figures.deadlocks;
    f->deadlines += c->figures.deadlines;
    f->cancels += c->figures.cancels;
    f->interrupts += c->figures.interrupts;
}
