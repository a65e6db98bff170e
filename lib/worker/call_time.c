/*
 * call_time.c: computes when calls were made, by the monotonic clock of this process. A deadline
 * and a delay count from that time, however long Redis was away before it accepted the call. That
 * time also tells whether the record of a resent call can have expired.
 *
 * A batch says how old its calls were at a time of Redis' clock. That time is known from what this
 * process knows of the clock (redis_clock.h). A call may only look old because the clock was set a
 * moment ago, so the clock is asked once more before an old time is believed. Without permission
 * for TIME, the time that a call has waited in its stream does not count, but its age when it was
 * sent does.
 */
#include <stddef.h>

#include "asqueue.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/call_time.h"
#include "worker/commit.h"
#include "worker/core/entry.h"
#include "worker/later_script.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum { DOUBTED_MS = 1000 }; /* older than that in its stream: the clock may have been set */

static int64_t bounded(uint64_t ms)
{
    return ms < INT64_MAX / 4 ? (int64_t) ms : INT64_MAX / 4;
}

/* The stamp, by the monotonic clock. */
static int64_t stamped_ms(const struct asq__entry *e)
{
    const struct asq__redis_clock *clock = asq__redis_clock(e->part->w->redis);
    if (!e->batch->stamp_ms || !clock->known)
        return e->read_ms;
    return asq__redis_clock_to_mono(clock, bounded(e->batch->stamp_ms), e->read_ms);
}

static bool has_limits(const Asqueue__Batch *batch)
{
    bool limited = batch->timeout_ms != 0;
    for (size_t i = 0; i < batch->n_jobs && !limited; i++)
        limited = batch->jobs[i]->timeout_ms || batch->jobs[i]->delay_ms;
    return limited;
}

void asq__entry_take_time(struct asq__entry *e)
{
    e->read_ms = asq__now_ms_coarse();
    int64_t stamped = stamped_ms(e);
    e->made_ms = stamped - bounded(e->batch->age_ms);
    e->time_doubted = e->read_ms - stamped >= DOUBTED_MS &&
                      (e->state == ASQ__ENTRY_LOOKUP || has_limits(e->batch));
}

bool asq__entry_time_is_known(struct asq__entry *e)
{
    struct asq__process *w = e->part->w;
    if (!e->time_doubted)
        return true;
    /* There is no clock while that server is down: the last known time is used. */
    if (asq__redis_clock(w->redis)->asked_ms < e->read_ms && asq__redis_home_answers(w->redis)) {
        asq__redis_ask_time(w->redis);
        return false;
    }
    e->time_doubted = false;
    e->made_ms = stamped_ms(e) - bounded(e->batch->age_ms);
    return true;
}

bool asq__entry_is_stale(const struct asq__entry *e)
{
    const struct asq__process *w = e->part->w;
    const struct asq__redis_clock *clock = asq__redis_clock(w->redis);
    int64_t now = asq__now_ms(), age = now - e->made_ms;
    if (!e->batch->resent && !e->out_of_order)
        return false;
    if (e->batch->stamp_ms && clock->known) { /* records expire by the clock of Redis, set or not */
        int64_t by_redis = asq__redis_clock_at(clock, now) - bounded(e->batch->stamp_ms) +
                           bounded(e->batch->age_ms) + clock->error_ms;
        age = by_redis > age ? by_redis : age;
    }
    const Asqueue__Chain *chain = e->batch->jobs[0]->chain;
    return age >= asq__commit_record_ms(w, chain && chain->n_links);
}

int64_t asq__wcall_limit_ms(const struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    const struct asq__redis_clock *clock = asq__redis_clock(c->entry->part->w->redis);
    uint64_t limit = job->timeout_ms, of_batch = c->entry->batch->timeout_ms;
    if (of_batch && (!limit || of_batch < limit))
        limit = of_batch;
    if (!limit || limit > INT64_MAX / 4)
        return INT64_MAX;
    /* As far as the clocks are known, no call has more time than it was given. */
    return c->entry->made_ms + (int64_t) limit - (clock->known ? clock->error_ms : 0);
}

void asq__process_on_redis_time(struct asq__process *w, int64_t set_ms)
{
    const struct asq__redis_clock *clock = asq__redis_clock(w->redis);
    w->redis_clock_known = clock->known;
    w->redis_minus_mono_ms = clock->known ? clock->segments[0].minus_mono_ms : 0;
    if (set_ms) {
        asq__later_keep_clocks(w);
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "the clock of Redis was set %s by %.1f s; deadlines and delays are not affected",
            set_ms > 0 ? "forward" : "back", (double) (set_ms > 0 ? set_ms : -set_ms) / 1000);
    }
    w->redis_time_changed = true;
}
