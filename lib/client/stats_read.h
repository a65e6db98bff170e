/*
 * stats_read.h: reads the deployment's figures (stats.lua) of a span of time, and adds them up by
 * class and method, and by step of time.
 */
#ifndef ASQ_CLIENT_STATS_READ_H
#define ASQ_CLIENT_STATS_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/stats_figures.h"
#include "value/table.h"

/* Gauges in the order of stats_sum.lua, the number of processes first. */
enum { ASQ__STATS_GAUGES = 11 };

struct asq__stats_gauges {
    bool known;
    uint64_t values[ASQ__STATS_GAUGES];
};

struct asq__stats_series {
    struct asq__node node;
    struct asq__stats_figures figures;
    size_t class_n; /* bytes of the class in `name` */
    char name[];    /* "CLASS METHOD" */
};

struct asq__stats_step {
    struct asq__stats_gauges gauges, before; /* before: since the step before that has any */
    struct asq__stats_figures *figures;      /* NULL: none */
};

struct asq__stats_span {
    const char *class_name, *method; /* NULL: any */
    bool points;                     /* keep the steps */
    int64_t last_ms;
    /* Figures that were read. Times are Unix ms by Redis's clock. */
    int64_t now_ms, from_ms, to_ms, step_ms;
    struct asq__stats_gauges now;
    struct asq__stats_figures total;
    struct asq__table series;
    struct asq__stats_series **sorted; /* by calls, most first, then by name */
    size_t nseries, nsteps;
    struct asq__stats_step *steps; /* with points */
    int64_t first;                 /* number of the first step */
    size_t nread;
};

/* Reads; the caller releases the span in either case. Errors as of asq__admin_ask. */
int asq__stats_span_read(asq *h, struct asq__stats_span *s);
void asq__stats_span_release(struct asq__stats_span *s);

#endif
