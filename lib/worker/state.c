/*
 * state.c: what a process is doing, as a line of the log, for an operator who asks (SIGUSR1).
 */
#include "asqueue.h"
#include "redis/redis.h"
#include "worker/backlog.h"
#include "worker/partition.h"
#include "worker/exec/pool.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/reader.h"
#include "worker/state.h"

void asq__state_log(struct asq__process *w)
{
    struct asq__pool_stats pool = asq__pool_stats(w->pool);
    uint32_t owned = 0, draining = 0;
    size_t running = 0, held = 0, left = 0;
    for (uint32_t i = 0; i < w->nparts; i++) {
        const struct asq__partition *p = &w->parts[i];
        owned += asq__partition_is_owned(p);
        draining += p->state == ASQ__PART_DRAINING;
        running += p->n_active;
        held += p->held_calls;
        left += asq__backlog_calls(p);
    }
    asq__process_log(
        w, ASQ_LOG_INFO,
        "state: %s%s: %u of %u partitions (%u draining); %zu calls run on %u threads (%zu parked), "
        "%zu wait in %llu bytes of memory, about %zu are left in Redis; %llu agents in %llu bytes; "
        "%llu calls served, %llu failed; Redis is %s, %zu reading connections",
        w->config.id, w->stopping ? " (stopping)" : "", owned, w->nparts, draining, running,
        pool.threads, pool.parked, held > running ? held - running : 0,
        (unsigned long long) atomic_load(&w->held_bytes), left,
        (unsigned long long) atomic_load(&w->actors.n),
        (unsigned long long) atomic_load(&w->actors.bytes),
        (unsigned long long) atomic_load(&w->calls), (unsigned long long) atomic_load(&w->failures),
        asq__redis_is_up(w->redis) ? "up" : "down", asq__readers_up(w));
}
