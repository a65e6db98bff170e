/*
 * timer_spec.h: what a timer is: which method it calls, when, and what becomes of times that
 * overlap or were missed. Its form is a map, the arguments of a job SCHEDULE, which is kept as it
 * came:
 *
 *     {"method": "tick", "args": [1], "every_ms": 60000, "overlap": 1}
 *
 * Files of time zones are read, and nothing else.
 */
#ifndef ASQ_VALUE_TIMER_SPEC_H
#define ASQ_VALUE_TIMER_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/cron.h"

enum {
    ASQ__TIMER_SHORTEST_MS = 100,
    ASQ__TIMER_LATE_MS = 10000, /* what is late by more was missed */
    ASQ__TIMER_AT_ONCE = 16,    /* times that are due together */
    ASQ__TIMER_ARGS = 65536     /* bytes of a map */
};
#define ASQ__TIMER_LATEST_MS ((int64_t) 253402300799000) /* the end of the year 9999 */

/* Borrows from the map. */
struct asq__timer_spec {
    const char *method;
    const asq_value *args;   /* NULL: none */
    int64_t every_ms, at_ms; /* 0: not these */
    const char *cron_text;   /* NULL: not this */
    const char *zone;        /* with cron_text */
    asq_overlap overlap;
    asq_missed missed;
    struct asq__cron cron;
};

/* Calls of a timer that are due at some time. */
struct asq__timer_due {
    int64_t times_ms[ASQ__TIMER_AT_ONCE];
    size_t n;
    int64_t next_ms; /* the time after these, which may be due, too; -1: the timer is done */
};

/* Makes the map; takes args. NULL: no memory. */
asq_value *asq__timer_spec_map(const asq_timer *timer, const char *method, asq_value *args);
/* Reads and checks a map: ASQ_EINVAL with a text. A zone is checked when it is loaded. */
int asq__timer_spec_read(const asq_value *map, struct asq__timer_spec *ret, char *err,
                         size_t errlen);
/* Finds the first time of a timer that is set now. Errors of asq__zone_load; ASQ_EINVAL: it has
 * none. */
int asq__timer_first(const struct asq__timer_spec *spec, int64_t now_ms, int64_t *ret_ms, char *err,
                     size_t errlen);
/* Tells what is due at now_ms, by the policy for missed times, of a timer whose next time is
 * due_ms. Errors as above. */
int asq__timer_due(const struct asq__timer_spec *spec, int64_t due_ms, int64_t now_ms,
                   struct asq__timer_due *ret, char *err, size_t errlen);

#endif
