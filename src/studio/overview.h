/*
 * overview.h: what /api/overview and /api/workers tell, made of readings of the library.
 */
#ifndef ASQ_SRC_STUDIO_OVERVIEW_H
#define ASQ_SRC_STUDIO_OVERVIEW_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "history.h"
#include "studio/rates.h"

/* Figures that a reader keeps from one reading to the next. */
struct as_past {
    asq_value *counters; /* worker -> [calls, failures]; NULL at first */
    int64_t counted_ms;
    asq_value *live; /* worker -> figures that it has told */
    int64_t live_ms, slow_ms;
    int64_t agents;    /* -1: not counted yet */
    int64_t dead;      /* the same; above AS_DEAD_COUNTED: there are more */
    asq_value *owners; /* as of asq_partitions */
    asq_value *stats;  /* as of asq_stats; NULL: there are none */
    int64_t stats_ms;
    bool has_rates; /* by these figures */
    struct as_rates rates;
    struct as_history history;
    int64_t history_next_ms;
    asq_value *owned; /* worker -> its partitions */
    int64_t owners_ms;
};
enum { AS_DEAD_COUNTED = 100, AS_DEATHS = 20 /* of an overview */ };

void as_past_init(struct as_past *past);
void as_past_release(struct as_past *past);

/* Reads both. past: NULL makes a single reading. Codes of the library. */
int as_overview_read(asq *h, struct as_past *past, asq_value **ret_overview,
                     asq_value **ret_workers);
/* Makes an overview that tells that Redis is away. NULL: no memory. */
asq_value *as_overview_away(const char *ns, const char *why);

#endif
