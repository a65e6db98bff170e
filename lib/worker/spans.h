/*
 * spans.h: a worker process records the calls that are traced, when its configuration has a
 * collector. On the loop, except where a function says otherwise.
 */
#ifndef ASQ_WORKER_SPANS_H
#define ASQ_WORKER_SPANS_H

#include <stddef.h>
#include <stdint.h>

#include "value/clock.h"
#include "value/span.h"
#include "worker/exec/run.h"

struct asq__class;
struct asq__commit;
struct asq__process;
struct asq__wcall;

/* Makes the tracer of a process, if it is to have one. */
int asq__spans_begin(struct asq__process *w, char *err, size_t errlen);
/* Exports what there is, for a second at most. */
void asq__spans_end(struct asq__process *w);
/* Logs what there is to say of the collector; once a second. */
void asq__spans_upkeep(struct asq__process *w);

/* Begins to record a run that is about to start, if its call is traced. The calls of the run are
 * then below it. */
void asq__spans_start(struct asq__run *run, int64_t now_ns);
/* Records a call that has failed without a run. cls NULL: unknown. */
void asq__spans_unstarted(const struct asq__wcall *c, const struct asq__class *cls,
                          const asq_error *error);
/* Exports the runs of a commit that Redis has acknowledged. */
void asq__spans_committed(struct asq__process *w, struct asq__commit *c);

/* Notes a step of a run. Any thread that has the run. */
static inline void asq__spans_enter(struct asq__run *run, enum asq__span_phase phase)
{
    if (run->span)
        asq__span_enter(run->span, phase, asq__now_ns());
}

#endif
