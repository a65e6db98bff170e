/*
 * schedule.h: timers of agents, as lists show them.
 */
#ifndef ASQ_CLIENT_SCHEDULE_H
#define ASQ_CLIENT_SCHEDULE_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/value.h"

/* Fields of a timer that are shown. */
struct asq__timer_shown {
    const void *spec; /* encoded */
    size_t spec_n;
    int64_t next_ms, fired, last_ms;
    char last_call[ASQ__CALL_ID_TEXT];
};

/* Appends a timer to a list. A spec that is none is left out. ASQ_ENOMEM. */
int asq__schedule_add(asq_value *list, const char *agent, const char *name,
                      const struct asq__timer_shown *shown);

/* local.c: appends the timers of an agent (NULL: of all) to the list. */
int asq__local_schedules(asq *h, const char *agent, asq_value *list);

#endif
