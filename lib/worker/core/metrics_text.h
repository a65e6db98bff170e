/*
 * metrics_text.h: figures of worker processes as text for Prometheus: OpenMetrics 1.0, or the older
 * text format 0.0.4.
 *
 * Series are those of all processes together; gauges have a label `process`. A series without a
 * call is left out. No I/O and no clock.
 */
#ifndef ASQ_WORKER_CORE_METRICS_TEXT_H
#define ASQ_WORKER_CORE_METRICS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/buf.h"

struct asq__figures;

struct asq__series_name {
    const char *class_name, *method;
};

struct asq__metrics_view {
    const char *worker, *ns, *version;
    const struct asq__series_name *names; /* of the series */
    size_t nseries;
    struct asq__figures *const *processes;
    size_t n;
    int64_t now_ms;
};

/* Writes the text; out->error says whether it is whole. */
void asq__metrics_write(const struct asq__metrics_view *v, bool openmetrics, struct asq__buf *out);

#endif
