/*
 * workers.h: workers as `as-ctl workers`, `as-worker status` and `as-worker stop` see them: the
 * entries that asq_workers gives, one for each worker process. The processes of worker W are
 * called W.0, W.1, … or just W.
 */
#ifndef ASQ_SRC_WORKERS_H
#define ASQ_SRC_WORKERS_H

#include "output.h"

/* Prints the workers of the deployment; a note when there are none. Gives an exit status. */
int as_workers_show(const struct as_reporter *who, asq *h);

bool as_worker_is_alive(const asq_value *worker);
/* The id of an entry; "" when it has none. Borrowed. */
const char *as_worker_id(const asq_value *worker);
/* Is the process `process` (an entry's id) worker `id`, or one of its processes? */
bool as_worker_includes(const char *id, const char *process);
/* How many are alive; a negative code when that cannot be told. */
int as_workers_alive(asq *h);

#endif
