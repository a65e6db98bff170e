/*
 * allowed.c: see allowed.h.
 */
#include "worker/allowed.h"

#include <stdatomic.h>
#include <stdint.h>

#include "redis/redis.h"
#include "value/clock.h"
#include "worker/process.h"

bool asq__process_is_alive(const struct asq__process *w)
{
    int64_t acked_ms = atomic_load(&w->heartbeat_ms);
    return acked_ms == 0 || asq__now_ms_coarse() - acked_ms < w->config.lease_time_ms * 2 / 3;
}

/* While the server of the namespace's keys is away, no other worker sees that this one's heartbeat
 * is missing, and partitions on other servers go on. Once it is back, the others give a lease time
 * for the next heartbeat, whose connection may need a part of that. */
static bool has_the_right(const struct asq__process *w)
{
    return asq__process_is_alive(w) || !asq__redis_home_answers(w->redis) ||
           (w->home_back_ms &&
            asq__now_ms_coarse() - w->home_back_ms < w->config.lease_time_ms / 3);
}

bool asq__process_may_start(const struct asq__process *w)
{
    return !w->ended && w->pauses.known && has_the_right(w) && !w->refused_until_ms;
}

void asq__process_learn_limit(struct asq__process *w)
{
    size_t limit = asq__redis_max_string(w->redis);
    atomic_store(&w->env.max_string, limit == SIZE_MAX ? 0 : limit);
}
