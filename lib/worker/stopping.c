/*
 * stopping.c: a worker process ends when it is asked to: it drains its partitions, and ends when
 * none is left or when the time for it is over.
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "asqueue.h"
#include "value/clock.h"
#include "worker/ending.h"
#include "worker/lease.h"
#include "worker/member.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/shared.h"
#include "worker/stats.h"
#include "worker/stopping.h"

void asq__process_check_stopped(struct asq__process *w)
{
    if (!w->stopping || w->ended)
        return;
    if (w->nidle == w->nparts) {
        asq__stats_tell_rest(w);
        asq__process_end(w, 0);
    }
}

static void begin_stop(struct asq__process *w)
{
    w->stopping = true;
    w->stop_deadline_ms = asq__deadline_ms(w->config.drain_timeout_ms);
    if (w->config.link)
        atomic_store(&w->config.link->stopping_ms, asq__now_ms());
    bool orphan = w->config.link && getppid() != w->config.supervisor;
    asq__process_log(
        w, orphan ? ASQ_LOG_WARNING : ASQ_LOG_INFO, "%sstopping: running calls have %lld ms to end",
        orphan ? "the supervisor has ended; " : "", (long long) w->config.drain_timeout_ms);
    asq__members_stop(w->members);
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        if (p->state == ASQ__PART_DRAINING)
            /* the process stops: no deadline of balancing holds */
            p->drain_deadline_ms = INT64_MAX;
        asq__partition_cancel_claim(p);
        asq__partition_drain(p, ASQ_FOREVER);
    }
}

void asq__process_check_stop(struct asq__process *w)
{
    int stop = w->stop ? atomic_load(w->stop) : 0;
    if (stop && !w->members) {
        asq__process_end(w, 0); /* Redis was never reached */
        return;
    }
    if (stop && !w->stopping)
        begin_stop(w);
    if (w->stopping && (stop > 1 || asq__now_ms() > w->stop_deadline_ms) && !w->ended) {
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "ending now; calls of partitions that have not drained run again on other workers");
        asq__process_end(w, 0);
    }
    asq__process_check_stopped(w);
}
