/*
 * worker_stop.h: `as-worker stop`: asks workers to drain and hand over, and waits until they are
 * gone.
 */
#ifndef ASQ_SRC_WORKER_STOP_H
#define ASQ_SRC_WORKER_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"

struct as_reporter;

struct as_stop_options {
    const char *id;     /* NULL: all live workers */
    bool wait;          /* until they are gone */
    int64_t begun_ms;   /* of as_program_now_ms: before the handle was opened */
    int64_t timeout_ms; /* in total, from begun_ms on; ASQ_FOREVER */
};

/* Returns an exit status. */
int as_workers_stop(const struct as_reporter *who, asq *h, const struct as_stop_options *options);

#endif
