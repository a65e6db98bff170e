/*
 * history.h: how many workers there were. Of workers that were gone before somebody looked, and
 * that Redis does not list any more, it knows no more than that.
 */
#ifndef ASQ_SRC_HISTORY_H
#define ASQ_SRC_HISTORY_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

/* The history is read once a minute, because Redis has it in steps of a minute. */
enum { AS_HISTORY_MS = 3600000, AS_HISTORY_PAUSE_MS = 60000 };

struct as_history {
    size_t most_workers; /* processes that lived at once within the last hour; 0: not known */
    int64_t most_ms;     /* and when for the last time, Unix time */
};

/* Reads it. Codes of asq_stats. */
int as_history_read(asq *h, struct as_history *history);
/* Finds the highest number of worker processes in the points of asq_stats, and when it was so for
 * the last time. 0: no point tells. */
size_t as_history_most_workers(const asq_value *points, int64_t *ret_time_ms);

#endif
