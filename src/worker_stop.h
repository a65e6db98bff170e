/*
 * worker_stop.h: `as-worker stop`: asks workers to drain and hand over, and sees them go.
 */
#ifndef ASQ_SRC_WORKER_STOP_H
#define ASQ_SRC_WORKER_STOP_H

#include "output.h"

struct as_stop_options {
    const char *id;     /* NULL: all that are alive */
    bool wait;          /* until they are gone */
    int64_t begun_ms;   /* of as_program_now_ms: before the handle was opened */
    int64_t timeout_ms; /* for all of it, from then on; ASQ_FOREVER */
};

/* Gives an exit status. */
int as_workers_stop(const struct as_reporter *who, asq *h, const struct as_stop_options *options);

#endif
