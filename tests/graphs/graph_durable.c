/*
 * graph_durable.c: see graph_add_durable() in graph.h. Adds steps to a graph that is there: values
 * that calls emit, signals that callers send ahead of their calls, promises, and sleeps that are
 * long enough for a call to be unloaded. The model knows what each of them gives.
 *
 * A wait for a promise or a signal is no part of a cycle of waits, so a graph in which one is left
 * open hangs. Three rules keep that from happening:
 * - A signal is sent before the call that hears it. One that comes while its hearer waits is sent
 *   only in a calm graph.
 * - A promise is settled by its maker, or by a call that its maker waits for, and then settles
 *   again, in case the call has failed before it could.
 * - In a calm graph, where no call ends early and no chain comes back to its agents, the maker
 *   waits for the promise beside the call that settles it, and so may another call that is given
 *   it. In an ordered graph the settling call goes to a higher agent than those that wait.
 */
#include "graphs/graph.h"

#include <string.h>

enum { LONG_MS = 1000, LIMIT_MS = 600000, MAX_SIGNALS = 4, MAX_EMITS = 6, LARGE_BYTES = 3000 };
enum { MAX_NODES = GRAPH_NODES - 3 }; /* a promise adds up to three calls */

typedef unsigned agents_mask;

struct adder {
    struct graph *g;
    struct dice dice;
    bool calm, sleeps_long;
};

/* ---- steps ---- */

/* Inserts a step at `*at`, and moves `*at` behind it. The node must have room. */
static struct step *insert(struct node *n, size_t *at, enum step_kind kind)
{
    struct step *s = &n->steps[*at];

    memmove(s + 1, s, (n->nsteps - *at) * sizeof *s);
    memset(s, 0, sizeof *s);
    s->kind = kind;
    s->slot = s->gives = SLOT_NONE;
    n->nsteps++;
    ++*at;
    return s;
}

static bool has_room(const struct node *n, size_t steps)
{
    return n->nsteps + steps <= GRAPH_STEPS;
}

/* Draws a place for further steps: not behind one that fails the call for certain. */
static size_t any_place(struct adder *a, const struct node *n)
{
    size_t last = n->nsteps;

    if (last && n->steps[last - 1].kind == STEP_FAIL)
        last--;
    return (size_t) dice_below(&a->dice, (int) last + 1);
}

static int free_slot(const struct node *n)
{
    for (int slot = GRAPH_MADE_SLOTS; slot < GRAPH_SLOTS; slot++)
        if (!graph_step_of_slot(n, slot))
            return slot;
    return SLOT_NONE;
}

/* ---- further calls ---- */

/* Agents of the node, and of the callers that wait for it. */
static agents_mask chain_of(struct graph *g, int id)
{
    agents_mask mask = 0;

    for (; id > 0; id = g->nodes[id].caller) {
        const struct step *s = graph_step_that_calls(g, id);
        for (size_t i = 0; i < g->nodes[id].nagents; i++)
            mask |= 1u << g->nodes[id].agents[i];
        if (g->shape == GRAPH_ORDERED && (s->detached || s->kind == STEP_SEND))
            break; /* nobody waits for it */
    }
    return mask;
}

/* Draws an agent for a call from a chain. -1: there is none. */
static int pick_agent(struct adder *a, agents_mask chain)
{
    agents_mask may = (1u << a->g->nagents) - 1;

    for (int i = 0; i < GRAPH_AGENTS; i++)
        if (a->g->shape == GRAPH_ORDERED && chain & 1u << i)
            may &= ~((2u << i) - 1);
    if (a->g->shape != GRAPH_WILD || !a->g->reenters)
        may &= ~chain;
    while (may) {
        int agent = dice_below(&a->dice, a->g->nagents);
        if (may & 1u << agent)
            return agent;
    }
    return -1;
}

/* Adds a node without steps. */
static int add_node(struct adder *a, int caller, int agent)
{
    struct node *n = &a->g->nodes[a->g->nnodes];

    memset(n, 0, sizeof *n);
    n->caller = caller;
    n->method = dice_percent(&a->dice, 30) ? NODE_RUN_INLINE : NODE_RUN;
    n->nagents = 1;
    n->agents[0] = agent;
    return a->g->nnodes++;
}

static void call(struct step *s, int kid, int gives)
{
    s->kids[s->nkids++] = kid;
    s->gives = gives;
}

/* ---- emits ---- */

static void add_emits(struct adder *a, int id)
{
    struct node *n = &a->g->nodes[id];
    struct step *s = graph_step_that_calls(a->g, id);

    if (dice_percent(&a->dice, 40))
        n->emits = 1 + dice_below(&a->dice, 3);
    for (int i = 1 + dice_below(&a->dice, 2); i > 0 && has_room(n, 1); i--) {
        size_t at = any_place(a, n);
        struct step *emit = insert(n, &at, STEP_EMIT);
        emit->n = 1 + dice_below(&a->dice, MAX_EMITS);
        emit->bytes = dice_percent(&a->dice, 15) ? LARGE_BYTES : 0;
    }
    if ((s->kind == STEP_CALL || s->kind == STEP_ASYNC) && !s->detached)
        s->reads = dice_percent(&a->dice, 85);
}

/* ---- signals ---- */

/* Has the caller send some before the call, and the node hear as many, or one too many. */
static void add_signals(struct adder *a, int id)
{
    struct node *n = &a->g->nodes[id], *caller = &a->g->nodes[n->caller];
    struct step *s;
    size_t at = (size_t) (graph_step_that_calls(a->g, id) - caller->steps);
    int sent = 0, hears;

    if (n->nagents != 1 || caller->nagents > 1)
        return;
    for (int i = 1 + dice_below(&a->dice, 2); i > 0 && has_room(caller, 1); i--) {
        size_t place = i == 1 ? at : (size_t) dice_below(&a->dice, (int) at + 1);
        s = insert(caller, &place, STEP_SIGNAL);
        s->node = id;
        s->first = sent;
        s->n = 1 + dice_below(&a->dice, MAX_SIGNALS);
        sent += s->n;
        at++;
    }
    hears = dice_below(&a->dice, sent + 2);
    for (int i = 0; i < hears && has_room(n, 1); i++) {
        at = any_place(a, n);
        insert(n, &at, STEP_HEAR);
    }
}

/* Has a call of the node send some to it, which it waits for meanwhile. `sent`: how many others
 * have sent it. */
static void add_signals_back(struct adder *a, int id, int sent)
{
    struct graph *g = a->g;
    struct node *n = &g->nodes[id];
    int agent = pick_agent(a, chain_of(g, id)), slot = free_slot(n), kid;
    size_t at = any_place(a, n), first = 0;
    struct step *s;

    if (agent < 0 || slot < 0 || !has_room(n, 2 + MAX_SIGNALS) || n->nagents != 1)
        return;
    kid = add_node(a, id, agent);
    s = insert(&g->nodes[kid], &first, STEP_SIGNAL);
    s->node = id;
    s->first = sent;
    s->n = 1 + dice_below(&a->dice, MAX_SIGNALS);
    sent = s->n;
    s = insert(n, &at, STEP_ASYNC);
    s->slot = slot;
    call(s, kid, SLOT_NONE);
    for (int i = 0; i < sent; i++)
        insert(n, &at, STEP_HEAR);
    insert(n, &at, STEP_WAIT)->slot = slot;
}

/* Signals to the node that were sent when it comes to its step `at`. */
static int sent_before(const struct graph *g, int id, size_t at)
{
    const struct node *n = &g->nodes[id], *caller = &g->nodes[n->caller];
    int sent = 0;

    for (size_t i = 0; i < caller->nsteps; i++)
        if (caller->steps[i].kind == STEP_SIGNAL && caller->steps[i].node == id)
            sent += caller->steps[i].n;
    for (size_t i = 0; i < at; i++)
        for (size_t k = 0; k < n->steps[i].nkids; k++) {
            const struct node *kid = &g->nodes[n->steps[i].kids[k]];
            if (kid->nsteps && kid->steps[0].kind == STEP_SIGNAL && kid->steps[0].node == id)
                sent += kid->steps[0].n;
        }
    return sent;
}

/* Decides how long the node waits for each signal: for long only if it comes. */
static void finish_hears(struct adder *a, int id)
{
    struct node *n = &a->g->nodes[id];
    int heard = 0, ahead = sent_before(a->g, id, 0);

    for (size_t i = 0; i < n->nsteps; i++) {
        struct step *s = &n->steps[i];
        if (s->kind != STEP_HEAR)
            continue;
        s->node = id;
        s->how = dice_below(&a->dice, heard < ahead ? HEAR_WAYS : HEAR_FOR_MS);
        s->ms = dice_below(&a->dice, 5);
        if (heard >= sent_before(a->g, id, i)) {
            s->how = HEAR_FOR_MS;
            if (a->sleeps_long && dice_percent(&a->dice, 30))
                s->ms = LONG_MS;
        } else {
            heard++;
        }
        if (s->how == HEAR_LIMIT)
            s->ms = LIMIT_MS;
    }
}

/* ---- promises ---- */

static void add_await(struct adder *a, struct node *n, size_t *at, int slot)
{
    struct step *s = insert(n, at, STEP_AWAIT);

    s->slot = slot;
    s->how = dice_below(&a->dice, AWAIT_WAYS);
    s->ms = LIMIT_MS;
    s->must = dice_percent(&a->dice, 20);
}

/* Adds a call that settles the slot's promise, or has another call do so. */
static int add_settler(struct adder *a, int id, agents_mask chain, int how)
{
    struct graph *g = a->g;
    int agent = pick_agent(a, chain), kid, deeper = -1;
    size_t at = 0;
    struct step *s;

    if (agent < 0)
        return -1;
    kid = add_node(a, id, agent);
    if (dice_percent(&a->dice, 30))
        deeper = pick_agent(a, chain | 1u << agent);
    if (deeper >= 0) {
        s = insert(&g->nodes[kid], &at, STEP_CALL);
        call(s, add_node(a, kid, deeper), SLOT_GIVEN);
        s->must = true;
        at = 0;
        s = insert(&g->nodes[s->kids[0]], &at, STEP_SETTLE);
    } else {
        s = insert(&g->nodes[kid], &at, STEP_SETTLE);
    }
    s->slot = SLOT_GIVEN;
    s->how = how;
    return kid;
}

/* Hands the promise on to a call that waits for it, as an argument or by its id. */
static void add_waiter(struct adder *a, struct node *n, size_t *at, int kid, int slot, int promise)
{
    struct step *s = insert(n, at, STEP_ASYNC);
    size_t first = 0;

    s->slot = slot;
    s->detached = dice_percent(&a->dice, 20);
    call(s, kid, SLOT_NONE);
    if (dice_percent(&a->dice, 60)) {
        s->inputs[s->ninputs++] = promise;
    } else {
        s->gives = promise;
        add_await(a, &a->g->nodes[kid], &first, SLOT_GIVEN);
    }
}

static void settle(struct node *n, size_t *at, int slot, int how)
{
    struct step *s = insert(n, at, STEP_SETTLE);

    s->slot = slot;
    s->how = how;
}

/* Gives a promise that is settled to a call that the node makes later. */
static void give_on(struct adder *a, struct node *n, size_t at, int slot)
{
    for (size_t i = at; i < n->nsteps; i++) {
        struct step *s = &n->steps[i];
        bool takes = s->kind == STEP_CALL || s->kind == STEP_ASYNC || s->kind == STEP_SEND;
        if (takes && s->ninputs < GRAPH_INPUTS && dice_percent(&a->dice, 50)) {
            s->inputs[s->ninputs++] = slot;
            return;
        }
    }
}

static void add_promise(struct adder *a, int id)
{
    struct graph *g = a->g;
    struct node *n = &g->nodes[id];
    size_t at = any_place(a, n);
    int slot = free_slot(n), of_settler, of_waiter, settler = -1, waiter = -1;
    int how = dice_percent(&a->dice, 30) ? SETTLE_REJECT : SETTLE_RESOLVE;
    agents_mask chain = chain_of(g, id);

    if (dice_percent(&a->dice, 30))
        how |= SETTLE_TWICE;
    if (slot < 0 || !has_room(n, 9) || g->nnodes > MAX_NODES)
        return;
    insert(n, &at, STEP_PROMISE)->slot = slot;
    of_settler = free_slot(n);
    if (dice_percent(&a->dice, 30)) {
        struct step *s = insert(n, &at, STEP_EARLY);
        s->slot = slot;
        s->ms = a->sleeps_long && dice_percent(&a->dice, 30) ? LONG_MS : dice_below(&a->dice, 5);
    }
    if (n->nagents == 1 && of_settler >= 0 && dice_percent(&a->dice, 70)) {
        if (a->calm && dice_percent(&a->dice, 60)) {
            int agent = pick_agent(a, chain);
            if (agent >= 0 && pick_agent(a, chain | 1u << agent) >= 0) {
                chain |= 1u << agent;
                waiter = add_node(a, id, agent);
            }
        }
        settler = add_settler(a, id, chain, how);
    }
    if (settler < 0) {
        settle(n, &at, slot, how);
        add_await(a, n, &at, slot);
    } else if (a->calm) {
        /* In local mode a call runs where it is made, so the promise has to be settled first. */
        struct step *s = insert(n, &at, STEP_ASYNC);
        s->slot = of_settler;
        call(s, settler, slot);
        of_waiter = free_slot(n);
        if (waiter >= 0)
            add_waiter(a, n, &at, waiter, of_waiter, slot);
        add_await(a, n, &at, slot);
        if (waiter >= 0 && !graph_step_of_slot(n, of_waiter)->detached)
            insert(n, &at, STEP_WAIT)->slot = of_waiter;
        insert(n, &at, STEP_WAIT)->slot = of_settler;
    } else {
        struct step *s = insert(n, &at, STEP_ASYNC);
        s->slot = of_settler;
        call(s, settler, slot);
        insert(n, &at, STEP_WAIT)->slot = of_settler;
        settle(n, &at, slot, (how & SETTLE_REJECT) | SETTLE_LATE);
        add_await(a, n, &at, slot);
    }
    give_on(a, n, at, slot);
}

/* ---- all ---- */

static void add_long_sleep(struct adder *a, struct node *n)
{
    size_t at = any_place(a, n);

    if (has_room(n, 1))
        insert(n, &at, STEP_SLEEP)->ms = LONG_MS + dice_below(&a->dice, 200);
}

void graph_add_durable(struct graph *g, int percent)
{
    struct adder a = { .g = g, .dice = { ~g->seed } };
    int made = g->nnodes;

    if (!dice_percent(&a.dice, percent) || made < 2)
        return;
    a.calm = !g->reenters && !g->ends_early && g->shape != GRAPH_WILD;
    a.sleeps_long = dice_percent(&a.dice, 10);
    for (int id = 1; id < made; id++) {
        bool back;
        if (dice_percent(&a.dice, 20))
            add_promise(&a, id);
        if (dice_percent(&a.dice, 20))
            add_signals(&a, id);
        back = dice_percent(&a.dice, 15) && a.calm && g->nnodes <= MAX_NODES;
        if (back)
            add_signals_back(&a, id, sent_before(g, id, 0));
    }
    for (int id = 1; id < g->nnodes; id++) {
        finish_hears(&a, id);
        if (dice_percent(&a.dice, 25))
            add_emits(&a, id);
    }
    for (int i = a.sleeps_long ? 1 + dice_below(&a.dice, 2) : 0; i > 0; i--)
        add_long_sleep(&a, &g->nodes[1 + dice_below(&a.dice, g->nnodes - 1)]);
}
