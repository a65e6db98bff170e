/*
 * workers.h: workers as `as-ctl workers`, `as-worker status` and `as-worker stop` see them: the
 * entries of asq_workers, one for each worker process. The processes of worker W are called W.0,
 * W.1, … or just W.
 */
#ifndef ASQ_SRC_WORKERS_H
#define ASQ_SRC_WORKERS_H

#include <stdbool.h>

#include "asqueue.h"

struct as_reporter;

/* Prints the workers of the deployment, or a note if there are none. Returns an exit status. */
int as_workers_show(const struct as_reporter *who, asq *h);

bool as_worker_is_alive(const asq_value *worker);
/* Returns the id of an entry; "" if it has none. Borrowed. */
const char *as_worker_id(const asq_value *worker);
/* Returns whether `process` (an entry's id) is worker `id` or one of its processes. */
bool as_worker_includes(const char *id, const char *process);
/* Returns whether a worker's list of pools has one. */
bool as_worker_serves(const char *pools, const char *pool);
/* Returns the number of live workers, or a negative code on failure. */
int as_workers_alive(asq *h);

#endif
