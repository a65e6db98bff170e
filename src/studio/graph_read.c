/*
 * graph_read.c: see graph_read.h. The calls of a partition come one after the other, and of an
 * agent first those that have begun. So when a call that has not begun comes, it is known whether
 * its agent is busy. If it is not, and the call names no other one, its row is put aside, in one
 * piece of memory for all: only if another call turns out to wait for it, it is added to the graph.
 */
#include "studio/graph_read.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "studio/api.h"

enum { IDS_SIZE = 2048 }; /* room for the ids that a worker tells of a call */

/* Rows that were put aside: of each its id, agent and JSON, NUL-terminated. */
struct aside {
    char *data;
    size_t used, room, n;
};

struct reading {
    struct as_graph graph;
    const char *id;
    atomic_bool *stopping;
    int64_t partition;
    const char **busy; /* its agents with calls that have begun */
    size_t n_busy, busy_room;
    bool sorted; /* `busy` is */
    struct aside aside;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

static bool contains(const char *const *list, size_t n, const char *text)
{
    return n && bsearch(&text, list, n, sizeof *list, by_text);
}

/* ---- agents that are busy ---- */

static void enter_partition(struct reading *r, int64_t partition)
{
    if (r->partition == partition)
        return;
    r->partition = partition;
    r->n_busy = 0;
    r->sorted = false;
}

/* Notes the agent of a call that has begun. The text belongs to the graph. */
static int note_busy(struct reading *r, const char *agent)
{
    if (r->n_busy == r->busy_room) {
        size_t room = r->busy_room ? 2 * r->busy_room : 64;
        const char **more = realloc(r->busy, room * sizeof *more);
        if (!more)
            return ASQ_ENOMEM;
        r->busy = more;
        r->busy_room = room;
    }
    r->busy[r->n_busy++] = agent;
    r->sorted = false;
    return 0;
}

static bool is_busy(struct reading *r, const char *agent)
{
    if (!r->sorted && r->n_busy)
        qsort(r->busy, r->n_busy, sizeof *r->busy, by_text);
    r->sorted = true;
    return contains(r->busy, r->n_busy, agent);
}

/* ---- rows put aside ---- */

static int put_aside(struct aside *a, const char *const texts[3])
{
    size_t size = 0;
    for (int i = 0; i < 3; i++)
        size += strlen(texts[i]) + 1;
    if (size > a->room - a->used) {
        size_t room = 2 * (a->used + size), most = AS_GRAPH_BYTES + size;
        room = room < most ? room : most; /* add_row adds nothing beyond AS_GRAPH_BYTES */
        char *more = realloc(a->data, room);
        if (!more)
            return ASQ_ENOMEM;
        a->data = more;
        a->room = room;
    }
    for (int i = 0; i < 3; i++)
        a->used = (size_t) (stpcpy(a->data + a->used, texts[i]) + 1 - a->data);
    a->n++;
    return 0;
}

/* Lists the ids of the calls that those of the graph wait for. */
static int list_awaited(const struct as_graph *g, const char ***ret, size_t *ret_n)
{
    size_t n = 0;
    for (size_t i = 0; i < g->n; i++)
        for (const char *id = g->calls[i].waits_for; *id; id += strlen(id) + 1)
            n++;
    if (!(*ret = calloc(n + 1, sizeof **ret)))
        return ASQ_ENOMEM;
    *ret_n = 0;
    for (size_t i = 0; i < g->n; i++)
        for (const char *id = g->calls[i].waits_for; *id; id += strlen(id) + 1)
            (*ret)[(*ret_n)++] = id;
    return 0;
}

/* Adds those to the graph for which a call of it waits. */
static int take_awaited(struct reading *r)
{
    struct as_graph *g = &r->graph;
    const char **awaited;
    size_t n = 0, at = 0;
    int rc = list_awaited(g, &awaited, &n);
    if (n)
        qsort(awaited, n, sizeof *awaited, by_text);
    while (rc == 0 && n && at < r->aside.used) {
        const char *id = r->aside.data + at, *agent = id + strlen(id) + 1,
                   *row = agent + strlen(agent) + 1;
        at = (size_t) (row + strlen(row) + 1 - r->aside.data);
        if (contains(awaited, n, id))
            rc = as_graph_add(g, id, agent, false, "", 0, "", row);
    }
    free(awaited);
    return rc < 0 ? rc : 0;
}

/* ---- reading ---- */

/* Returns whether a call that has not begun has to do with others, as far as is known by now. */
static bool is_concerned(struct reading *r, const asq_value *call)
{
    return *asq_map_string(call, "waits_for") || *asq_map_string(call, "caller") ||
           is_busy(r, asq_map_string(call, "agent")) ||
           (r->id && strcmp(r->id, asq_map_string(call, "id")) == 0);
}

/* Writes the ids of the calls that a call waits for, as far as they are told. */
static const char *ids_awaited(const asq_value *call, char text[IDS_SIZE])
{
    const asq_value *list = asq_map_get(call, "awaits");
    const char *id;
    size_t n = 0;
    for (size_t i = 0; i < asq_list_size(list); i++)
        if (asq_value_get_string(asq_list_get(list, i), &id, NULL) == 0 &&
            n + strlen(id) + 2 <= IDS_SIZE && *id && !strchr(id, ' '))
            n += (size_t) snprintf(text + n, IDS_SIZE - n, "%s%s", n ? " " : "", id);
    return n ? text : asq_map_string(call, "waits_for");
}

static int add_row(struct reading *r, const asq_value *call, const char *row)
{
    const char *state = asq_map_string(call, "state"), *agent = asq_map_string(call, "agent");
    bool begun = strcmp(state, "running") == 0 || strcmp(state, "parked") == 0;
    int64_t awaited = asq_map_int(call, "awaited");
    char ids[IDS_SIZE];
    enter_partition(r, asq_map_int(call, "partition"));
    if (r->graph.n + r->aside.n >= AS_GRAPH_CALLS ||
        r->graph.bytes + r->aside.used >= AS_GRAPH_BYTES) {
        r->graph.more = true;
        return 1;
    }
    r->graph.n_read++;
    if (!begun && !is_concerned(r, call))
        return put_aside(&r->aside, (const char *[]){ asq_map_string(call, "id"), agent, row });
    int rc =
        as_graph_add(&r->graph, asq_map_string(call, "id"), agent, begun, ids_awaited(call, ids),
                     awaited > 0 && awaited < UINT32_MAX ? (uint32_t) awaited : 0,
                     asq_map_string(call, "caller"), row);
    return rc == 0 && begun ? note_busy(r, r->graph.calls[r->graph.n - 1].agent) : rc;
}

static int add_call(const asq_value *call, void *user)
{
    struct reading *r = user;
    char *row;
    if (atomic_load(r->stopping)) {
        r->graph.more = true;
        return 1;
    }
    int rc = asq_to_json(call, 0, &row);
    if (rc < 0)
        return rc;
    rc = add_row(r, call, row);
    free(row);
    return rc;
}

int as_graph_read(asq *h, const char *id, int64_t timeout_ms, atomic_bool *stopping,
                  struct as_graph *ret)
{
    struct reading r = { .id = id, .stopping = stopping, .partition = -1 };
    int rc = asq_calls_each(h, 0, NULL, NULL, timeout_ms, add_call, &r);
    if (rc >= 0)
        rc = take_awaited(&r);
    if (rc >= 0)
        rc = as_graph_build(&r.graph);
    if (rc < 0)
        as_graph_release(&r.graph);
    else
        *ret = r.graph;
    free(r.busy);
    free(r.aside.data);
    return rc;
}
