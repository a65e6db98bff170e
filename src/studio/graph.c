/*
 * graph.c: see graph.h. Edges go from a call to what it waits for:
 *
 *     a call that its worker says to wait for others      ─▶ these
 *     one that waits for more than the worker names       ─▶ also those that it has made itself
 *     one that has not begun, of an agent that is busy    ─▶ the call that the agent is busy with,
 *         unless that call, or one that it waits for through its callers, has made it: such a call
 *         is let in
 */
#include "studio/graph.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"

enum { ALLOCATION = 16 /* bytes that an allocation takes besides, about */ };

/* Copies words, separated by spaces, each with a NUL, and an empty one. Returns the end. */
static char *copy_words(char *to, const char *words)
{
    for (; *words; words++)
        *to++ = *words == ' ' ? '\0' : *words;
    *to++ = '\0';
    *to++ = '\0';
    return to;
}

int as_graph_add(struct as_graph *g, const char *id, const char *agent, bool begun,
                 const char *waits_for, uint32_t awaited, const char *caller, const char *row)
{
    enum { WAITS_FOR = 2 };
    const char *const texts[] = { id, agent, waits_for, caller, row };
    const char *at[5];
    size_t size = 1; /* the empty word behind waits_for */
    for (size_t i = 0; i < 5; i++)
        size += strlen(texts[i]) + 1;
    size_t bytes = size + sizeof *g->calls + ALLOCATION;
    if (g->n == AS_GRAPH_CALLS || bytes > AS_GRAPH_BYTES - g->bytes) {
        g->more = true;
        return 1;
    }
    if (g->n == g->room) {
        size_t room = g->room ? 2 * g->room : 64;
        struct as_graph_call *more = realloc(g->calls, room * sizeof *more);
        if (!more)
            return ASQ_ENOMEM;
        g->calls = more;
        g->room = room;
    }
    char *text = malloc(size), *to = text;
    if (!text)
        return ASQ_ENOMEM;
    for (size_t i = 0; i < 5; i++) {
        at[i] = to;
        to = i == WAITS_FOR ? copy_words(to, waits_for) : stpcpy(to, texts[i]) + 1;
    }
    g->calls[g->n++] = (struct as_graph_call){ .id = text,
                                               .agent = at[1],
                                               .waits_for = at[WAITS_FOR],
                                               .caller = at[3],
                                               .row = at[4],
                                               .awaited = awaited,
                                               .begun = begun,
                                               .caller_at = AS_GRAPH_NONE };
    g->bytes += bytes;
    return 0;
}

void as_graph_release(struct as_graph *g)
{
    for (size_t i = 0; i < g->n; i++)
        free(g->calls[i].id);
    free(g->calls);
    free(g->made);
    free(g->edges);
    *g = (struct as_graph){ .calls = NULL };
}

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct as_graph_call *) a)->id, ((const struct as_graph_call *) b)->id);
}

uint32_t as_graph_find(const struct as_graph *g, const char *id)
{
    size_t low = 0, high = g->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(g->calls[middle].id, id);
        if (order == 0)
            return (uint32_t) middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return AS_GRAPH_NONE;
}

/* Sorts by id. A call may come twice while its state changes: the one that has begun stays. */
static void sort(struct as_graph *g)
{
    size_t n = 0;
    if (g->n)
        qsort(g->calls, g->n, sizeof *g->calls, by_id);
    for (size_t i = 0; i < g->n; i++) {
        if (n && strcmp(g->calls[n - 1].id, g->calls[i].id) == 0) {
            struct as_graph_call *first = &g->calls[n - 1], *second = &g->calls[i];
            bool replace = second->begun && !first->begun;
            free(replace ? first->id : second->id);
            if (replace)
                *first = *second;
            continue;
        }
        g->calls[n++] = g->calls[i];
    }
    g->n = n;
}

/* Finds callers, and lists what each has made. */
static int connect_callers(struct as_graph *g)
{
    uint32_t next = 0;
    if (!(g->made = calloc(g->n + 1, sizeof *g->made)))
        return ASQ_ENOMEM;
    for (size_t i = 0; i < g->n; i++) {
        struct as_graph_call *c = &g->calls[i];
        c->caller_at = *c->caller ? as_graph_find(g, c->caller) : AS_GRAPH_NONE;
        if (c->caller_at == i)
            c->caller_at = AS_GRAPH_NONE;
        if (c->caller_at != AS_GRAPH_NONE)
            g->calls[c->caller_at].n++;
    }
    for (size_t i = 0; i < g->n; i++) {
        g->calls[i].first = next;
        next += g->calls[i].n;
        g->calls[i].n = 0;
    }
    for (size_t i = 0; i < g->n; i++)
        if (g->calls[i].caller_at != AS_GRAPH_NONE) {
            struct as_graph_call *caller = &g->calls[g->calls[i].caller_at];
            g->made[caller->first + caller->n++] = (uint32_t) i;
        }
    return 0;
}

/* Returns whether `outer` is a call inside of which `at` was made. Rows of others could make a
 * circle of callers, so the way is bounded. */
static bool is_inside(const struct as_graph *g, uint32_t at, uint32_t outer)
{
    for (int steps = 0; at != AS_GRAPH_NONE && steps < 1000; steps++) {
        at = g->calls[at].caller_at;
        if (at == outer)
            return true;
    }
    return false;
}

uint32_t as_graph_root(const struct as_graph *g, uint32_t at)
{
    for (int steps = 0; g->calls[at].caller_at != AS_GRAPH_NONE && steps < 1000; steps++)
        at = g->calls[at].caller_at;
    return at;
}

static int add_edge(struct as_graph *g, uint32_t from, uint32_t to)
{
    struct as_graph_call *c = &g->calls[from];
    if (g->n_edges == g->edges_room) {
        size_t room = g->edges_room ? 2 * g->edges_room : 64;
        uint32_t *more = realloc(g->edges, room * sizeof *more);
        if (!more)
            return ASQ_ENOMEM;
        g->edges = more;
        g->edges_room = room;
    }
    g->edges[g->n_edges++] = to;
    c->n_edges++;
    g->calls[to].n_waiting++;
    return 0;
}

struct busy {
    const char *agent;
    uint32_t at, behind;
};

static int by_agent(const void *a, const void *b)
{
    const struct busy *x = a, *y = b;
    int order = strcmp(x->agent, y->agent);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Returns the first entry of an agent; NULL: it is not busy. */
static struct busy *find_busy(struct busy *list, size_t n, const char *agent)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list[middle].agent, agent) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && strcmp(list[low].agent, agent) == 0 ? &list[low] : NULL;
}

/* Adds edges to what a call has made, but for those that it has. */
static int add_made(struct as_graph *g, uint32_t at)
{
    const struct as_graph_call *c = &g->calls[at];
    uint32_t n_known = c->n_edges;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < c->n; i++) {
        uint32_t to = g->made[c->first + i], k = 0;
        while (k < n_known && g->edges[c->edge + k] != to)
            k++;
        if (k == n_known)
            rc = add_edge(g, at, to);
    }
    return rc;
}

static int add_edges_of(struct as_graph *g, uint32_t at, struct busy *busy, size_t n_busy)
{
    struct as_graph_call *c = &g->calls[at];
    struct busy *own = c->begun ? NULL : find_busy(busy, n_busy, c->agent);
    uint32_t n_known = 0;
    int rc = 0;
    c->edge = (uint32_t) g->n_edges;
    if (own)
        own->behind++;
    for (const char *id = c->waits_for; rc == 0 && *id; id += strlen(id) + 1, n_known++) {
        uint32_t to = as_graph_find(g, id);
        if (to != AS_GRAPH_NONE)
            rc = add_edge(g, at, to);
    }
    if (rc == 0 && c->awaited > 1 && c->awaited > n_known)
        rc = add_made(g, at);
    if (rc == 0 && !c->n_edges && own && !is_inside(g, at, own->at))
        rc = add_edge(g, at, own->at);
    return rc;
}

static int connect_waits(struct as_graph *g)
{
    struct busy *busy = calloc(g->n + 1, sizeof *busy);
    size_t n = 0;
    int rc = busy ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < g->n; i++)
        if (g->calls[i].begun)
            busy[n++] = (struct busy){ g->calls[i].agent, (uint32_t) i, 0 };
    if (n)
        qsort(busy, n, sizeof *busy, by_agent);
    for (size_t i = 0; rc == 0 && i < g->n; i++)
        rc = add_edges_of(g, (uint32_t) i, busy, n);
    for (size_t i = 0; rc == 0 && i < n; i++)
        g->calls[busy[i].at].behind = busy[i].behind;
    free(busy);
    return rc;
}

/* ---- rings ---- */

/* Tarjan's strongly connected components, without recursion. */
struct search {
    uint32_t *order, *low, *stack, *path, *next; /* a number for each call */
    size_t n_stack, n_path;
    uint32_t counter;
};

/* Takes a component from the stack; one of several calls, or of one that waits for itself, is a
 * ring. */
static void take_component(struct as_graph *g, struct search *s, uint32_t root)
{
    const struct as_graph_call *c = &g->calls[root];
    bool ring = s->stack[s->n_stack - 1] != root;
    for (uint32_t i = 0; !ring && i < c->n_edges; i++)
        ring = g->edges[c->edge + i] == root;
    g->n_rings += ring;
    for (;;) {
        uint32_t at = s->stack[--s->n_stack];
        s->low[at] = AS_GRAPH_NONE; /* is in no stack */
        g->calls[at].ring = ring ? g->n_rings : 0;
        if (at == root)
            return;
    }
}

static void begin(struct search *s, uint32_t at)
{
    s->order[at] = s->low[at] = ++s->counter;
    s->next[at] = 0;
    s->stack[s->n_stack++] = at;
    s->path[s->n_path++] = at;
}

static void search_from(struct as_graph *g, struct search *s, uint32_t start)
{
    begin(s, start);
    while (s->n_path) {
        uint32_t at = s->path[s->n_path - 1];
        const struct as_graph_call *c = &g->calls[at];
        if (s->next[at] < c->n_edges) {
            uint32_t to = g->edges[c->edge + s->next[at]++];
            if (!s->order[to])
                begin(s, to);
            else if (s->low[to] != AS_GRAPH_NONE && s->order[to] < s->low[at])
                s->low[at] = s->order[to];
            continue;
        }
        s->n_path--;
        uint32_t low = s->low[at];
        if (low == s->order[at])
            take_component(g, s, at);
        else if (s->n_path && low < s->low[s->path[s->n_path - 1]])
            s->low[s->path[s->n_path - 1]] = low;
    }
}

static int find_rings(struct as_graph *g)
{
    uint32_t *room = calloc(5 * (g->n + 1), sizeof *room);
    if (!room)
        return ASQ_ENOMEM;
    struct search s = { room,
                        room + g->n + 1,
                        room + 2 * (g->n + 1),
                        room + 3 * (g->n + 1),
                        room + 4 * (g->n + 1),
                        0,
                        0,
                        0 };
    for (size_t i = 0; i < g->n; i++)
        if (!s.order[i])
            search_from(g, &s, (uint32_t) i);
    free(room);
    return 0;
}

int as_graph_build(struct as_graph *g)
{
    sort(g);
    int rc = connect_callers(g);
    if (rc == 0)
        rc = connect_waits(g);
    return rc == 0 ? find_rings(g) : rc;
}

size_t as_graph_ring(const struct as_graph *g, uint32_t ring, uint32_t *ret, size_t room)
{
    size_t n = 0;
    uint32_t at = 0;
    while (at < g->n && g->calls[at].ring != ring)
        at++;
    /* Within a component each call has a way on. It comes back to a call that it has passed. */
    while (at < g->n && n < room) {
        const struct as_graph_call *c = &g->calls[at];
        uint32_t to = AS_GRAPH_NONE;
        for (size_t i = 0; i < n; i++)
            if (ret[i] == at) {
                memmove(ret, ret + i, (n - i) * sizeof *ret);
                return n - i;
            }
        ret[n++] = at;
        for (uint32_t i = 0; to == AS_GRAPH_NONE && i < c->n_edges; i++)
            if (g->calls[g->edges[c->edge + i]].ring == ring)
                to = g->edges[c->edge + i];
        at = to;
    }
    return n;
}

/* ---- what hangs on a call ---- */

int as_graph_turn(const struct as_graph *g, uint32_t **ret_first, uint32_t **ret_back)
{
    uint32_t *first = calloc(g->n + 1, sizeof *first), sum = 0;
    uint32_t *back = calloc(g->n_edges + 1, sizeof *back);
    if (!first || !back) {
        free(first);
        free(back);
        return ASQ_ENOMEM;
    }
    for (size_t i = 0; i < g->n_edges; i++)
        first[g->edges[i]]++;
    for (size_t i = 0; i < g->n; i++)
        first[i] = sum += first[i]; /* the end of its part, which is filled from there */
    first[g->n] = sum;
    for (size_t i = 0; i < g->n; i++)
        for (uint32_t k = 0; k < g->calls[i].n_edges; k++)
            back[--first[g->edges[g->calls[i].edge + k]]] = (uint32_t) i;
    *ret_first = first;
    *ret_back = back;
    return 0;
}

size_t as_graph_waiters(uint32_t at, const uint32_t *back_first, const uint32_t *back,
                        uint32_t *seen, uint32_t mark, uint32_t *list, size_t *left)
{
    size_t n = 0;
    seen[at] = mark;
    list[n++] = at;
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = back_first[list[i]]; k < back_first[list[i] + 1] && *left; k++) {
            --*left;
            if (seen[back[k]] != mark) {
                seen[back[k]] = mark;
                list[n++] = back[k];
            }
        }
    return n - 1;
}
