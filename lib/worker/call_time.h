/*
 * call_time.h: computes when calls were made, by the monotonic clock.
 */
#ifndef ASQ_WORKER_CALL_TIME_H
#define ASQ_WORKER_CALL_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/core/entry.h"
#include "worker/process.h"

/* Called after reading, when its state says whether its record is looked up. */
void asq__entry_take_time(struct asq__entry *e);
/* False: the clock of Redis is asked, and the intake continues with the answer. */
bool asq__entry_time_is_known(struct asq__entry *e);
/* Returns whether the record of an earlier run could have expired. The entry has none. */
bool asq__entry_is_stale(const struct asq__entry *e);
int64_t asq__wcall_limit_ms(const struct asq__wcall *c); /* slow path of asq__wcall_deadline_ms */

static inline int64_t
asq__wcall_deadline_ms(const struct asq__wcall *c) /* INT64_MAX: no deadline */
{
    return c->entry->limited ? asq__wcall_limit_ms(c) : INT64_MAX;
}

void asq__process_on_redis_time(struct asq__process *w, int64_t set_ms); /* TIME was answered */

#endif
