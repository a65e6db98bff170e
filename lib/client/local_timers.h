/*
 * local_timers.h: timers of local mode: in memory, fired while the program is in the library.
 */
#ifndef ASQ_CLIENT_LOCAL_TIMERS_H
#define ASQ_CLIENT_LOCAL_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/object.h"
#include "value/list.h"

struct asq__local_timers {
    struct asq__list list;
    bool firing; /* a call of a timer runs */
};

void asq__local_timers_init(struct asq__local_timers *t);
void asq__local_timers_free(struct asq__local_timers *t);
/* Takes the change that a job has made of its agent's timers. ASQ_ENOMEM. */
int asq__local_timers_change(struct asq__local_timers *t, const Asqueue__Job *job,
                             struct asq__effect *effect);
/* Fires what is due, by calls on the handle. Does nothing while it fires already. */
void asq__local_timers_fire(struct asq__local_timers *t, asq *h);
/* Returns the monotonic time of the next one; INT64_MAX: there is none. */
int64_t asq__local_timers_next_ms(const struct asq__local_timers *t);
/* Appends the timers of an agent, NULL: of all. ASQ_ENOMEM. */
int asq__local_timers_list(const struct asq__local_timers *t, const char *agent, asq_value *list);

#endif
