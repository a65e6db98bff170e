/*
 * waits.c: see waits.h. A cycle is found by removing calls from a set until none is left to remove:
 * calls that can resume even if no other call of the set does, calls that the given call does not
 * reach, and calls that do not reach it.
 */
#include "worker/core/waits.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/grow.h"
#include "value/list.h"

enum { MAX_BYTES = 8 << 20 };

static const void *key(const struct asq__node *node, size_t *n)
{
    const struct asq__waiter *c = ASQ__CONTAINER(node, struct asq__waiter, node);
    *n = strlen(c->call);
    return c->call;
}

int asq__waits_init(struct asq__waits *w)
{
    memset(w, 0, sizeof *w);
    asq__arena_init(&w->arena, MAX_BYTES);
    return asq__table_init(&w->table, key);
}

void asq__waits_release(struct asq__waits *w)
{
    asq__table_release(&w->table);
    asq__arena_release(&w->arena);
    free(w->calls);
}

static const char *copy(struct asq__waits *w, const char *text)
{
    size_t n = strlen(text) + 1;
    char *to = asq__arena_alloc(&w->arena, n);
    if (!to) {
        w->full = true;
        return "";
    }
    memcpy(to, text, n);
    return to;
}

static bool grow(struct asq__waits *w)
{
    return w->n < ASQ__WAITS_CALLS && asq__grow(&w->calls, w->n, &w->cap, sizeof *w->calls);
}

uint32_t asq__waits_place(struct asq__waits *w, const char *call)
{
    struct asq__node *node = asq__table_find(&w->table, call, strlen(call));
    if (node)
        return ASQ__CONTAINER(node, struct asq__waiter, node)->place;
    struct asq__waiter *c = grow(w) ? asq__arena_alloc(&w->arena, sizeof *c) : NULL;
    if (!c) {
        w->full = true;
        return UINT32_MAX;
    }
    *c = (struct asq__waiter){ .place = (uint32_t) w->n, .call = copy(w, call), .agent = "" };
    if (w->full)
        return UINT32_MAX;
    asq__table_add(&w->table, &c->node);
    w->calls[w->n++] = c;
    return c->place;
}

void asq__waits_know(struct asq__waits *w, uint32_t at, const char *agent, const uint32_t *targets,
                     size_t n, bool any)
{
    struct asq__waiter *c = w->calls[at];
    uint32_t *own = n ? asq__arena_alloc(&w->arena, n * sizeof *own) : NULL;
    if ((n && !own) || w->edges + n > ASQ__WAITS_EDGES) {
        w->full = true;
        return;
    }
    if (n)
        memcpy(own, targets, n * sizeof *own);
    c->agent = copy(w, agent);
    c->targets = own;
    c->n = n;
    c->any = any;
    c->known = true;
    w->edges += n;
}

/* ---- cycles ---- */

struct work {
    const struct asq__waits *w;
    uint32_t *first,
        *from;      /* calls that wait for call i: from[first[i]] … from[first[i + 1] - 1] */
    uint32_t *left; /* number of its targets in the set */
    uint32_t *queue;
    uint32_t *far; /* steps from it to the given call; UINT32_MAX: no path */
    bool *in, *seen, *all_in;
};

static bool work_init(struct work *k, const struct asq__waits *w)
{
    size_t n = w->n;
    *k = (struct work){ .w = w };
    k->first = calloc(4 * n + 2 + w->edges, sizeof(uint32_t));
    k->in = calloc(3 * n + 1, sizeof(bool));
    if (!k->first || !k->in)
        return false;
    k->left = k->first + n + 2;
    k->queue = k->left + n;
    k->far = k->queue + n;
    k->from = k->far + n;
    k->seen = k->in + n;
    k->all_in = k->seen + n;
    for (size_t i = 0; i < n; i++)
        for (size_t t = 0; t < w->calls[i]->n; t++)
            k->first[w->calls[i]->targets[t] + 2]++;
    for (size_t i = 0; i < n; i++)
        k->first[i + 2] += k->first[i + 1];
    for (uint32_t i = 0; i < n; i++)
        for (size_t t = 0; t < w->calls[i]->n; t++)
            k->from[k->first[w->calls[i]->targets[t] + 1]++] = i;
    return true;
}

static void work_release(struct work *k)
{
    free(k->first);
    free(k->in);
}

static bool goes_on(const struct work *k, uint32_t i)
{
    const struct asq__waiter *c = k->w->calls[i];
    return c->any ? c->n == 0 || k->left[i] < c->n : k->left[i] == 0;
}

/* Removes calls that can resume without the others from the set. */
static void reduce(struct work *k)
{
    size_t n = k->w->n, queued = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct asq__waiter *c = k->w->calls[i];
        k->left[i] = 0;
        for (size_t t = 0; t < c->n; t++)
            k->left[i] += k->in[c->targets[t]];
    }
    for (uint32_t i = 0; i < n; i++)
        if (k->in[i] && goes_on(k, i)) {
            k->in[i] = false;
            k->queue[queued++] = i;
        }
    while (queued) {
        uint32_t gone = k->queue[--queued];
        for (uint32_t f = k->first[gone]; f < k->first[gone + 1]; f++) {
            uint32_t i = k->from[f];
            k->left[i]--;
            if (k->in[i] && goes_on(k, i)) {
                k->in[i] = false;
                k->queue[queued++] = i;
            }
        }
    }
}

/* Measures how many steps each call of the set is from `c`. */
static void measure(struct work *k, uint32_t c)
{
    size_t head = 0, tail = 0;
    memset(k->far, 0xff, k->w->n * sizeof *k->far);
    k->far[c] = 0;
    k->queue[tail++] = c;
    while (head < tail) {
        uint32_t to = k->queue[head++];
        for (uint32_t f = k->first[to]; f < k->first[to + 1]; f++) {
            uint32_t i = k->from[f];
            if (k->in[i] && k->far[i] == UINT32_MAX) {
                k->far[i] = k->far[to] + 1;
                k->queue[tail++] = i;
            }
        }
    }
}

/* Returns the target of a call that is nearest to the given call. */
static uint32_t nearest(const struct work *k, uint32_t i)
{
    const struct asq__waiter *c = k->w->calls[i];
    uint32_t best = UINT32_MAX;
    for (size_t t = 0; t < c->n; t++)
        if (k->in[c->targets[t]] && (best == UINT32_MAX || k->far[c->targets[t]] < k->far[best]))
            best = c->targets[t];
    return best;
}

/* Puts all calls that `c` reaches into queue and seen; returns their number. narrow: follows only
 * the nearest target of calls that wait for all. */
static size_t reach(struct work *k, uint32_t c, bool narrow)
{
    size_t head = 0, tail = 0;
    memset(k->seen, 0, k->w->n * sizeof *k->seen);
    k->seen[c] = true;
    k->queue[tail++] = c;
    while (head < tail) {
        uint32_t i = k->queue[head++];
        const struct asq__waiter *of = k->w->calls[i];
        uint32_t best = narrow && !of->any ? nearest(k, i) : UINT32_MAX;
        for (size_t t = 0; t < of->n; t++) {
            uint32_t to = of->targets[t];
            if (k->in[to] && !k->seen[to] && (best == UINT32_MAX || best == to)) {
                k->seen[to] = true;
                k->queue[tail++] = to;
            }
        }
    }
    return tail;
}

/* Returns whether `c` is part of a cycle. Then the set is one, and `far` is set. */
static bool closes(struct work *k, uint32_t c)
{
    size_t before = SIZE_MAX;
    memcpy(k->in, k->all_in, k->w->n * sizeof *k->in);
    for (;;) {
        reduce(k);
        if (!k->in[c])
            return false;
        size_t left = 0;
        measure(k, c);
        reach(k, c, false);
        for (size_t i = 0; i < k->w->n; i++) {
            k->in[i] = k->in[i] && k->seen[i] && k->far[i] != UINT32_MAX;
            left += k->in[i];
        }
        if (left == before)
            return true;
        before = left;
    }
}

/* Keeps the calls in queue, in its order, and of their targets the kept ones. */
static void keep(struct asq__waits *w, const struct work *k, size_t n)
{
    struct asq__waiter **calls = w->calls;
    for (size_t i = 0; i < w->n; i++)
        if (!k->seen[i])
            asq__table_del(&w->table, &calls[i]->node);
    w->edges = 0;
    for (size_t i = 0; i < n; i++) {
        struct asq__waiter *c = calls[k->queue[i]];
        uint32_t best = c->any ? UINT32_MAX : nearest(k, k->queue[i]);
        if (best != UINT32_MAX) {
            c->targets[0] = best;
            c->n = 1;
        }
        w->edges += c->n;
    }
    /* `left` has the new places; `far` is scratch from here on. */
    for (size_t i = 0; i < n; i++)
        k->left[k->queue[i]] = (uint32_t) i;
    for (size_t i = 0; i < n; i++) {
        struct asq__waiter *c = calls[k->queue[i]];
        c->place = (uint32_t) i;
        for (size_t t = 0; t < c->n; t++)
            c->targets[t] = k->left[c->targets[t]];
    }
    struct asq__waiter **kept = malloc(n * sizeof(struct asq__waiter *));
    if (!kept) {
        w->full = true;
        return;
    }
    for (size_t i = 0; i < n; i++)
        kept[i] = calls[k->queue[i]];
    memcpy(w->calls, kept, n * sizeof(struct asq__waiter *));
    free(kept);
    w->n = n;
}

/* Moves the cycle to the front of the queue, which has all seen calls. */
static size_t path_round(struct work *k, uint32_t c, size_t n)
{
    size_t length = 0, at;
    uint32_t i = c;
    do {
        for (at = length; k->queue[at] != i; at++)
            ;
        k->queue[at] = k->queue[length];
        k->queue[length++] = i;
        i = nearest(k, i);
    } while (i != c && length < n);
    return length;
}

size_t asq__waits_cycle(struct asq__waits *w, const char *agent)
{
    struct work k;
    size_t length = 0;
    if (w->full || w->n == 0)
        return 0;
    if (work_init(&k, w)) {
        for (size_t i = 0; i < w->n; i++)
            k.in[i] = w->calls[i]->known;
        reduce(&k);
        memcpy(k.all_in, k.in, w->n * sizeof *k.in);
        for (uint32_t c = 0; c < w->n && length == 0; c++)
            if (k.all_in[c] && w->calls[c]->queued && strcmp(w->calls[c]->agent, agent) == 0 &&
                closes(&k, c)) {
                size_t n = reach(&k, c, true);
                length = path_round(&k, c, n);
                keep(w, &k, n);
            }
    }
    work_release(&k);
    return w->full ? 0 : length;
}
