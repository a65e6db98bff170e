/*
 * exec.c: a call on its fiber: makes the method's context, runs the job on the agent's object, and
 * hands the outcome to the loop. Everything from run to hand-over happens on a thread of the pool,
 * or on the loop's thread for nonblocking methods. It touches the run and the agent's object (whose
 * turn it has), and nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "client/class.h"
#include "client/object.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/quick_clock.h"
#include "worker/actor_object.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/exec/exec.h"
#include "worker/exec/pool.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/inputs.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/shared.h"
#include "worker/spans.h"

int asq__run_new(struct asq__wcall *c, struct asq__run **ret)
{
    struct asq__entry *e = c->entry;
    struct asq__process *w = e->part->w;
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__run *run = calloc(1, sizeof *run);
    if (!run)
        return ASQ_ENOMEM;
    run->w = w;
    run->active.call = c;
    run->actor = c->actor;
    asq__list_init(&run->active.node);
    asq__wcall_id(c, run->active.id);
    asq__ctx_init(&run->ctx, &w->env);
    run->ctx.call_id = run->active.id;
    run->ctx.trace = job->trace;
    run->ctx.expiry = job->expiry.len ? &job->expiry : NULL;
    run->ctx.epoch = e->part->epoch;
    run->ctx.no_timers = !e->part->timers;
    run->ctx.wall_minus_mono_ms = asq__redis_clock(e->part->w->redis)->segments[0].minus_mono_ms;
    run->ctx.clock_minus_boot_ms = e->part->minus_mono_ms - e->part->suspended_ms;
    run->ctx.result_room = asq__commit_result_room(c);
    run->ctx.attempt = c->attempts + c->retries + 1;
    run->ctx.recorded = c->recorded;
    run->ctx.canceled_asleep = c->canceled;
    run->ctx.impl = run;
    if (job->chain && job->chain->n_links)
        run->ctx.caller_agent = job->chain->links[job->chain->n_links - 1]->agent;
    run->finished.handle = w->run_hooks->finished;
    run->published.handle = w->run_hooks->published;
    run->nested = asq__nested_room(run);
    if (!run->nested) {
        asq__ctx_release(&run->ctx);
        free(run);
        return ASQ_ENOMEM;
    }
    *ret = run;
    return 0;
}

#define TO(stage) (1u << ASQ__RUN_##stage)
static const unsigned steps[] = {
    [ASQ__RUN_NEW] = TO(INLINE) | TO(STARTED),
    [ASQ__RUN_INLINE] = TO(THROUGH) | TO(STARTED),
    [ASQ__RUN_THROUGH] = TO(RETURNED),
    [ASQ__RUN_STARTED] = TO(RETURNED),
    [ASQ__RUN_RETURNED] = 0,
};
#undef TO

void asq__run_enter(struct asq__run *run, enum asq__run_stage stage)
{
    asq__assert(steps[run->stage] & 1u << stage);
    run->stage = stage;
}

void asq__run_free(struct asq__run *run)
{
    if (!run)
        return;
    asq__assert(!run->undecided);
    if (run->span)
        asq__span_free(run->span);
    asq__effect_release(&run->effect);
    asq__ctx_release(&run->ctx);
    free(run->nested);
    free(run->inner);
    free(run);
}

/* Runs the job, on the fiber. */
static void run_task(struct asq__task *task)
{
    struct asq__run *run = ASQ__CONTAINER(task, struct asq__run, task);
    struct asq__wcall *c = run->active.call;
    const Asqueue__Job *job = asq__wcall_job(c);
    size_t n = job->args.len;
    const void *args = job->args.data;
    if (run->stage != ASQ__RUN_INLINE)
        asq__run_set_began(run, asq__now_ns()); /* it has waited for a thread */
    asq__spans_enter(run, ASQ__PHASE_RUN);
    if (c->inputs)
        args = asq__inputs_args(c->inputs, &n);
    asq__object_run(&run->ctx, asq__actor_object(run->actor), job->kind, job->class_name,
                    job->method, args, n, &run->effect);
}

/* Ends a run on the fiber. The starter ends a run that went through at once, while its memory is in
 * the cache; others are handed over, behind their earlier hand-overs. The thread notes that it has
 * ended; if the process dies, the supervisor asks Redis whether it was committed. */
static void end_task(struct asq__task *task)
{
    struct asq__run *run = ASQ__CONTAINER(task, struct asq__run, task);
    bool through = run->stage == ASQ__RUN_INLINE && asq__process_is_quiet(run->w);
    if (run->times.series)
        run->times.ended_ns = through ? asq__quick_end_ns(&run->w->clock) : asq__now_ns();
    asq__spans_enter(run, ASQ__PHASE_COMMIT);
    /* Until its outcome is committed the process may still die of it. */
    if (run->slot && run->slot->ticket == run->ticket)
        run->slot->state = ASQ__SLOT_ENDED;
    if (through) {
        asq__run_enter(run, ASQ__RUN_THROUGH);
        return;
    }
    if (run->stage == ASQ__RUN_INLINE)
        asq__run_enter(run, ASQ__RUN_STARTED);
    asq__process_hand_over(run->w, &run->finished);
}

bool asq__run_start(struct asq__run *run, bool nonblocking)
{
    const Asqueue__Job *job = asq__wcall_job(run->active.call);
    const struct asq__class *cls = asq__actor_object(run->actor)->cls;
    asq__assert(run->active.call->state == ASQ__CALL_RUNNING);
    run->task.run = run_task;
    run->task.ended = end_task;
    run->task.name_class = cls ? cls->def.name : job->class_name;
    run->task.name_method = job->method;
    run->task.stack_size = cls ? cls->def.stack_size : 0;
    /* A run that may be blamed for a death is not ended inline. */
    bool may_end = nonblocking && !run->active.call->attempts;
    asq__run_enter(run, may_end ? ASQ__RUN_INLINE : ASQ__RUN_STARTED);
    if (!nonblocking) {
        asq__pool_submit(run->w->pool, &run->task);
        return false;
    }
    if (!asq__pool_run_inline(run->w->pool, &run->task))
        return false; /* the run is on another thread, and may be freed */
    if (run->stage == ASQ__RUN_INLINE)
        asq__run_enter(run, ASQ__RUN_STARTED); /* it has parked */
    return run->stage == ASQ__RUN_THROUGH;
}
