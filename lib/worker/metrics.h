/*
 * metrics.h: the figures of all worker processes of a supervisor, in memory that they share with
 * it.
 *
 * Made before the processes are forked, which then write their part; any thread of the supervisor
 * reads. Each process also adds what is new in its part to the deployment's figures in Redis
 * (stats.h).
 */
#ifndef ASQ_WORKER_METRICS_H
#define ASQ_WORKER_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"

struct asq__figures;
struct asq__metrics;
struct asq__registry;
struct asq__series_name;

/* Lays out the series of the registered classes, which must not change afterwards. Borrows all.
 * ASQ_ENOMEM, ASQ_ESYS. */
int asq__metrics_new(struct asq__registry *registry, const char *worker, const char *ns,
                     uint32_t processes, int64_t lease_time_ms, struct asq__metrics **ret);
void asq__metrics_free(struct asq__metrics *m);
/* Return the number of series, and the name of one. */
size_t asq__metrics_count(const struct asq__metrics *m);
const struct asq__series_name *asq__metrics_name(const struct asq__metrics *m, size_t series);
/* Each takes NULL, when nothing is measured. */
struct asq__figures *asq__metrics_of(const struct asq__metrics *m, uint32_t process);
void asq__metrics_on_start(const struct asq__metrics *m, uint32_t process);
void asq__metrics_on_end(const struct asq__metrics *m, uint32_t process, bool died);

/* Writes the text; out->error says whether it is whole. */
void asq__metrics_text(const struct asq__metrics *m, bool openmetrics, struct asq__buf *out);
/* Returns 0 if a process serves, and ASQ_ESTATE or ASQ_ECONN with a text in `why` otherwise. */
int asq__metrics_ready(const struct asq__metrics *m, char *why, size_t size);

#endif
