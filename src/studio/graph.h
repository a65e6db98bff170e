/*
 * graph.h: calls that wait for each other, as a graph: what hangs on what, and rings. Knows no
 * Redis and no JSON: texts about calls are kept for the caller.
 */
#ifndef ASQ_SRC_STUDIO_GRAPH_H
#define ASQ_SRC_STUDIO_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AS_GRAPH_CALLS = 200000, AS_GRAPH_BYTES = 64 * 1024 * 1024, AS_GRAPH_NONE = UINT32_MAX };

struct as_graph_call {
    char *id; /* owns the texts behind it */
    const char *agent, *caller, *row;
    const char *waits_for;  /* ids of calls, each with a NUL, and an empty one */
    uint32_t awaited;       /* how many calls it waits for; perhaps more than there are ids */
    bool begun;             /* runs or is parked */
    uint32_t caller_at;     /* its place in the graph */
    uint32_t first, n;      /* calls that it has made, in `made` */
    uint32_t edge, n_edges; /* calls that it waits for, in `edges` */
    uint32_t n_waiting;     /* calls that wait for it, directly */
    uint32_t behind;        /* calls to its agent that have not begun */
    uint32_t ring;          /* number of the ring that it is in, from 1; 0: none */
};

struct as_graph {
    struct as_graph_call *calls; /* by id, once it is built */
    size_t n, room;
    size_t bytes;    /* of calls and their texts */
    size_t n_read;   /* calls that were looked at, for as_graph_read */
    uint32_t *made;  /* places of calls, by caller */
    uint32_t *edges; /* places of awaited calls, by the waiting one */
    size_t n_edges, edges_room;
    uint32_t n_rings;
    bool more; /* there are more calls than it holds */
};

/* Adds a call; the texts are copied. waits_for: ids, separated by spaces; it and caller are "" if
 * there is none. 0; 1 if the graph is full, with AS_GRAPH_CALLS or AS_GRAPH_BYTES; or
 * ASQ_ENOMEM. */
int as_graph_add(struct as_graph *g, const char *id, const char *agent, bool begun,
                 const char *waits_for, uint32_t awaited, const char *caller, const char *row);
/* Connects the calls, and finds the rings. ASQ_ENOMEM. */
int as_graph_build(struct as_graph *g);
void as_graph_release(struct as_graph *g);
/* Returns the place of a call; AS_GRAPH_NONE: there is no such call. */
uint32_t as_graph_find(const struct as_graph *g, const char *id);
/* Returns the outermost call in whose methods a call was made, as far as they have not ended. */
uint32_t as_graph_root(const struct as_graph *g, uint32_t at);
/* Writes a ring's calls in order, each waits for the next; at most `room`. Returns their number. */
size_t as_graph_ring(const struct as_graph *g, uint32_t ring, uint32_t *ret, size_t room);
/* Counts the calls that wait for a call, also through others, by the edges of as_graph_turn. `seen`
 * and `list` have room for a number for each call of the graph; `seen` has other numbers than
 * `mark`. *left is how many waits may still be looked at; 0 afterwards: there may be more such
 * calls. */
size_t as_graph_waiters(uint32_t at, const uint32_t *back_first, const uint32_t *back,
                        uint32_t *seen, uint32_t mark, uint32_t *list, size_t *left);
/* Makes the edges in the other direction: those who wait for call i are back[first[i]] up to
 * back[first[i + 1]]. The caller frees both. ASQ_ENOMEM. */
int as_graph_turn(const struct as_graph *g, uint32_t **ret_first, uint32_t **ret_back);

#endif
