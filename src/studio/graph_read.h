/*
 * graph_read.h: reads the calls of a deployment into a graph, without those that wait for nobody
 * and that nobody waits for. There may be a hundred thousand of them.
 */
#ifndef ASQ_SRC_STUDIO_GRAPH_READ_H
#define ASQ_SRC_STUDIO_GRAPH_READ_H

#include <stdatomic.h>

#include "asqueue.h"
#include "studio/graph.h"

/* Reads and builds the graph, to be released if this returns 0 or more. id: of a call that belongs
 * into it in any case; or NULL. Ends when *stopping is set. Errors as of asq_calls_each. */
int as_graph_read(asq *h, const char *id, int64_t timeout_ms, atomic_bool *stopping,
                  struct as_graph *ret);

#endif
