/*
 * measure.h: a worker process measures its calls, and samples its gauges, when its configuration
 * has figures. On the loop.
 */
#ifndef ASQ_WORKER_MEASURE_H
#define ASQ_WORKER_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "client/class.h"
#include "value/clock.h"
#include "worker/core/entry.h"
#include "worker/core/series.h"
#include "worker/exec/run.h"

struct asq__class;
struct asq__commit;
struct asq__method;
struct asq__process;
struct asq__wcall;

/* Returns the time from which a call waits for its start: its making, or when it was due. */
int64_t asq__measure_waits_since_ms(const struct asq__wcall *c);
/* Returns the series of a run that calls no method of its class. */
struct asq__series *asq__measure_series_of(const struct asq__run *run);
/* Begins to measure a run that is about to start. method NULL: it calls none. */
static inline void asq__measure_start(struct asq__run *run, const struct asq__method *method)
{
    run->times.series =
        method ? &run->w->config.figures->series[method->series] : asq__measure_series_of(run);
}
/* Counts a measured run that has ended. code 0: it has not failed. */
void asq__measure_end(struct asq__run *run, int code);
/* Counts it if that was not done yet. Returns ASQ__TIMED_COUNTED. */
int64_t asq__measure_end_rare(struct asq__run *run);
/* Adds a measured run to the commit with its outcome. One that has nothing that few have is counted
 * with the commit. */
static inline void asq__measure_commit(struct asq__timed *t, const struct asq__wcall *c,
                                       const Asqueue__Job *job, struct asq__run *run)
{
    const struct asq__run_times *times = &run->times;
    int64_t since_ms = c->entry->made_ms;
    if ((uint64_t) times->parked_ns | c->due_ms | job->delay_ms | times->counted)
        since_ms = asq__measure_end_rare(run);
    asq__timed_add(t, times->series, since_ms, asq__run_began_ns(run), times->ended_ns);
}
/* Counts a call that has failed without a run. cls NULL: unknown. */
void asq__measure_unstarted(const struct asq__wcall *c, const struct asq__class *cls, int code);
/* Counts the time that the runs of a commit have waited for its acknowledgement, and forgets them.
 */
void asq__measure_committed(struct asq__commit *c);
/* Samples the gauges; once a second. */
void asq__measure_sample(struct asq__process *w);

/* Each does nothing for a run that is not measured. */
static inline void asq__measure_park(struct asq__run *run)
{
    if (run->times.series)
        run->times.parked_at_ns = asq__now_ns();
}
static inline void asq__measure_resume(struct asq__run *run)
{
    if (run->times.parked_at_ns)
        run->times.parked_ns += asq__now_ns() - run->times.parked_at_ns;
}

#endif
