/*
 * api_graph.c: who waits for whom: the tree of a call, and all calls that wait for others. Both
 * read all calls (graph_read.c).
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "studio/api.h"
#include "studio/graph.h"
#include "studio/graph_read.h"
#include "studio/studio.h"

enum { CALLS_MS = 20000, NODES = 2000, RING = 1000, ROOTS = 100, WAITS = 10000000 };

/* Reads the graph of all calls, which has call `id` (or NULL) in any case. Answers and returns
 * false if that fails. */
static bool read_graph(const struct as_call *c, const char *id, struct as_graph *ret,
                       struct as_answer *a)
{
    return as_api_ok(c, as_graph_read(c->h, id, CALLS_MS, &c->studio->stopping, ret), a);
}

/* ---- writing -------------------------------------------------------------------------------- */

/* A text of JSON that grows; `failed` once there is no memory. */
struct text {
    char *data;
    size_t n, room;
    bool failed;
};

static void put(struct text *t, const char *s)
{
    size_t n = strlen(s);
    if (t->n + n + 1 > t->room) {
        size_t room = 2 * (t->n + n + 1);
        char *more = t->failed ? NULL : realloc(t->data, room);
        if (!more) {
            t->failed = true;
            return;
        }
        t->data = more;
        t->room = room;
    }
    memcpy(t->data + t->n, s, n + 1);
    t->n += n;
}

/* Ids of calls are what the library has checked: no character of them is special in JSON. Others
 * come from asq_map_string of an answer, and are in the row only. */
static void put_id(struct text *t, const struct as_graph_call *c, const char *before)
{
    put(t, before);
    put(t, "\"");
    put(t, c->id);
    put(t, "\"");
}

static void put_number(struct text *t, const char *name, size_t n)
{
    char number[24];
    put(t, name);
    snprintf(number, sizeof number, "%zu", n);
    put(t, number);
}

/* Puts a call: its row with further fields before it. */
static void put_row(struct text *t, const struct as_graph_call *c)
{
    put_number(t, "{\"cycle\":", c->ring);
    put_number(t, ",\"behind\":", c->behind);
    put(t, ",");
    put(t, c->row + 1);
}

static void put_edges(struct text *t, const struct as_graph *g, uint32_t at, const bool *chosen,
                      bool calls, bool *first)
{
    const struct as_graph_call *c = &g->calls[at];
    for (uint32_t i = 0; calls && i < c->n; i++)
        if (chosen[g->made[c->first + i]]) {
            put_id(t, c, *first ? "{\"from\":" : ",{\"from\":");
            put_id(t, &g->calls[g->made[c->first + i]], ",\"to\":");
            put(t, ",\"kind\":\"calls\"}");
            *first = false;
        }
    for (uint32_t i = 0; i < c->n_edges; i++)
        if (chosen[g->edges[c->edge + i]]) {
            put_id(t, c, *first ? "{\"from\":" : ",{\"from\":");
            put_id(t, &g->calls[g->edges[c->edge + i]], ",\"to\":");
            put(t, ",\"kind\":\"waits\"}");
            *first = false;
        }
}

static void put_ring(struct text *t, const struct as_graph *g, uint32_t ring)
{
    uint32_t at[RING];
    size_t n = ring ? as_graph_ring(g, ring, at, RING) : 0;
    put(t, "[");
    for (size_t i = 0; i < n; i++)
        put_id(t, &g->calls[at[i]], i ? "," : "");
    put(t, "]");
}

/* Puts the chosen calls, and the edges between them. calls: also of who has made whom. */
static void put_chosen(struct text *t, const struct as_graph *g, const bool *chosen, bool calls,
                       const char *name)
{
    bool first = true;
    put(t, ",\"");
    put(t, name);
    put(t, "\":[");
    for (size_t i = 0; i < g->n; i++)
        if (chosen[i]) {
            put(t, first ? "" : ",");
            put_row(t, &g->calls[i]);
            first = false;
        }
    put(t, "],\"edges\":[");
    first = true;
    for (size_t i = 0; i < g->n; i++)
        if (chosen[i])
            put_edges(t, g, (uint32_t) i, chosen, calls, &first);
    put(t, "]");
}

/* Puts how many calls were looked at, and whether there are others. */
static void put_extent(struct text *t, const struct as_graph *g)
{
    put_number(t, ",\"calls_read\":", g->n_read);
    put(t, g->more ? ",\"cut\":true" : ",\"cut\":false");
}

static void answer(struct text *t, struct as_answer *a)
{
    if (t->failed) {
        free(t->data);
        t->data = NULL;
    }
    as_answer_text(a, 200, t->data);
}

/* ---- the tree of a call --------------------------------------------------------------------- */

/* Chooses the tree of a root: what its calls have made, and what they wait for, with further such
 * calls, up to NODES. Returns whether all had room. */
static bool choose_tree(const struct as_graph *g, uint32_t root, uint32_t at, bool *chosen)
{
    uint32_t list[NODES];
    size_t n = 0;
    bool all = true;
    const uint32_t begin[] = { root, at };
    for (size_t i = 0; i < 2; i++)
        if (!chosen[begin[i]]) {
            chosen[begin[i]] = true;
            list[n++] = begin[i];
        }
    for (size_t i = 0; i < n; i++) {
        const struct as_graph_call *c = &g->calls[list[i]];
        for (uint32_t k = 0; k < c->n + c->n_edges; k++) {
            uint32_t to = k < c->n ? g->made[c->first + k] : g->edges[c->edge + k - c->n];
            if (chosen[to])
                continue;
            if (n == NODES) {
                all = false;
                break;
            }
            chosen[to] = true;
            list[n++] = to;
        }
    }
    return all;
}

void as_api_call_tree(const struct as_call *c, struct as_answer *a)
{
    struct as_graph graph;
    struct text t = { .data = NULL };
    if (!read_graph(c, c->id, &graph, a))
        return;
    const struct as_graph *g = &graph;
    uint32_t at = as_graph_find(g, c->id);
    bool *chosen = at == AS_GRAPH_NONE ? NULL : calloc(g->n, 1);
    if (chosen) {
        uint32_t root = as_graph_root(g, at);
        bool all = choose_tree(g, root, at, chosen);
        put_id(&t, &g->calls[at], "{\"found\":true,\"id\":");
        put_id(&t, &g->calls[root], ",\"root\":");
        put(&t, ",\"call\":");
        put_row(&t, &g->calls[at]);
        put_chosen(&t, g, chosen, true, "calls");
        put(&t, ",\"cycle\":");
        put_ring(&t, g, g->calls[at].ring);
        put(&t, all ? ",\"more\":false" : ",\"more\":true");
        put_extent(&t, g);
        put(&t, "}");
        answer(&t, a);
    } else if (at == AS_GRAPH_NONE) {
        as_answer_fail(a, 404, "ASQ_ENOENT",
                       g->more ? "no call of this id is among those that were looked at, and there "
                                 "are more than as-studio looks at"
                               : "no call of this id is under way: it has ended, or there never "
                                 "was one");
    } else {
        as_answer_code(a, ASQ_ENOMEM, "out of memory");
    }
    free(chosen);
    as_graph_release(&graph);
}

/* ---- all waits ------------------------------------------------------------------------------ */

/* Of a call that others wait for. */
struct root {
    uint32_t at;
    size_t waiters;
    bool more; /* they were not all counted */
};

static int by_waiters(const void *x, const void *y)
{
    const struct root *a = x, *b = y;
    return a->waiters != b->waiters ? (a->waiters < b->waiters ? 1 : -1)
                                    : (a->at > b->at) - (a->at < b->at);
}

/* Finds the calls that wait for nobody but are waited for, those first that most hang on. What
 * hangs on several of them is counted with each, so the waits that are looked at are bounded: of
 * roots behind that only those count that wait for them directly. */
static int find_roots(const struct as_graph *g, struct root *roots, size_t *ret_n)
{
    uint32_t *first, *back;
    uint32_t *room = calloc(2 * (g->n + 1), sizeof *room);
    size_t n = 0, left = WAITS;
    if (!room || as_graph_turn(g, &first, &back) < 0) {
        free(room);
        return ASQ_ENOMEM;
    }
    for (size_t i = 0; i < g->n; i++)
        if (g->calls[i].n_waiting && !g->calls[i].n_edges) {
            size_t waiters = as_graph_waiters((uint32_t) i, first, back, room, (uint32_t) n + 1,
                                              room + g->n + 1, &left);
            bool more = left == 0;
            if (more && waiters < g->calls[i].n_waiting)
                waiters = g->calls[i].n_waiting;
            roots[n++] = (struct root){ (uint32_t) i, waiters, more };
        }
    if (n)
        qsort(roots, n, sizeof *roots, by_waiters);
    free(room);
    free(first);
    free(back);
    *ret_n = n;
    return 0;
}

/* Chooses calls in rings first, then others that wait or are waited for. Returns whether all had
 * room. Calls that only have to await their turn are counted as `behind`, and are left out unless
 * somebody waits for them. */
static bool choose_waits(const struct as_graph *g, bool *chosen)
{
    size_t n = 0;
    bool all = true;
    for (int rings = 1; rings >= 0; rings--)
        for (size_t i = 0; i < g->n; i++) {
            const struct as_graph_call *c = &g->calls[i];
            bool wanted =
                rings ? c->ring != 0 : c->n_waiting || (c->n_edges && (c->begun || *c->waits_for));
            if (!wanted || chosen[i])
                continue;
            if (n == NODES) {
                all = false;
                break;
            }
            chosen[i] = true;
            n++;
        }
    return all;
}

void as_api_waits(const struct as_call *c, struct as_answer *a)
{
    struct as_graph graph;
    struct text t = { .data = NULL };
    size_t n = 0;
    if (!read_graph(c, NULL, &graph, a))
        return;
    const struct as_graph *g = &graph;
    bool *chosen = calloc(g->n + 1, 1);
    struct root *roots = calloc(g->n + 1, sizeof *roots);
    if (chosen && roots && find_roots(g, roots, &n) == 0) {
        bool all = choose_waits(g, chosen);
        put(&t, all ? "{\"more\":false" : "{\"more\":true");
        put_extent(&t, g);
        put_chosen(&t, g, chosen, false, "nodes");
        put(&t, ",\"cycles\":[");
        for (uint32_t ring = 1; ring <= g->n_rings && ring <= ROOTS; ring++) {
            put(&t, ring > 1 ? "," : "");
            put_ring(&t, g, ring);
        }
        put(&t, "],\"roots\":[");
        for (size_t i = 0; i < n && i < ROOTS; i++) {
            put_id(&t, &g->calls[roots[i].at], i ? ",{\"id\":" : "{\"id\":");
            put_number(&t, ",\"waiting\":", roots[i].waiters);
            put(&t, roots[i].more ? ",\"more\":true}" : ",\"more\":false}");
        }
        put(&t, "]}");
        answer(&t, a);
    } else {
        as_answer_code(a, ASQ_ENOMEM, "out of memory");
    }
    free(chosen);
    free(roots);
    as_graph_release(&graph);
}
