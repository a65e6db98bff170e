/*
 * later.c: calls that are due in the future, because they were made with a delay or are run again
 * after a failure. Calls that are due soon or keep their place wait here, with a timer. Their
 * entries stay in the stream, and the partition's attempts keep how often a call has failed and
 * when it is due again. A batch of which no call can run for a while leaves the stream, and this
 * process (later_move.c).
 */
#include <stdlib.h>

#include "asqueue.h"
#include "client/object.h"
#include "client/retry.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/actor_object.h"
#include "worker/call_time.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/delay.h"
#include "worker/exec/run.h"
#include "worker/inputs.h"
#include "worker/later.h"
#include "worker/later_move.h"
#include "worker/outcome.h"
#include "worker/partition.h"
#include "worker/process.h"

bool asq__later_is_all_ahead(struct asq__partition *p, Asqueue__Batch *batch)
{
    struct asq__entry e = { .part = p, .batch = batch };
    asq__entry_take_time(&e);
    for (size_t i = 0; i < batch->n_jobs; i++) {
        struct asq__wcall c = { .entry = &e, .index = (uint32_t) i };
        if (asq__wcall_due_ms(&c) <= e.read_ms)
            return false;
    }
    return true;
}

/* Returns whether the call's deadline comes before it is due. */
static bool is_in_vain(const struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    uint64_t of_batch = c->entry->batch->timeout_ms;
    return job->delay_ms && !c->retries &&
           ((job->timeout_ms && job->timeout_ms <= job->delay_ms) ||
            (of_batch && of_batch <= job->delay_ms));
}

enum asq__due asq__later_begin(struct asq__wcall *c)
{
    int64_t due_ms = asq__wcall_due_ms(c);
    if (c->due_ms) { /* the call waits for another run */
        if (c->due_ms > INT64_MAX / 2)
            return ASQ__DUE_NOW;
        due_ms = (int64_t) c->due_ms - c->entry->part->minus_mono_ms;
    }
    if (!due_ms)
        return ASQ__DUE_NOW;
    int64_t left = due_ms - asq__now_ms();
    if (left <= 0)
        return ASQ__DUE_NOW;
    if (is_in_vain(c)) {
        asq__wcall_fail(c, ASQ_EDEADLINE,
                        "its deadline comes before it may be started: it has a delay of %llu ms",
                        (unsigned long long) asq__wcall_job(c)->delay_ms);
        return ASQ__DUE_NEVER;
    }
    if (!asq__delay_begin(c, left))
        return ASQ__DUE_NOW;
    if (c->keeps_place && c->recorded)
        asq__delay_rest(c);
    return c->keeps_place ? ASQ__DUE_IN_PLACE : ASQ__DUE_APART;
}

bool asq__later_retry(struct asq__wcall *c, struct asq__run *run)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__actor *a = run->actor;
    const asq_retry *of_method = asq__object_retry(asq__actor_object(a), job->kind, job->method);
    int64_t delay_ms, now = asq__now_ms();
    bool keep_place;
    if (!asq__retry_wanted(job->retry, of_method, run->ctx.error.pub.code, c->retries + 1,
                           &delay_ms, &keep_place) ||
        delay_ms >= run->ctx.deadline_ms - now)
        return false; /* the policy does not cover the failure, or the run would come too late */
    if (c->canceled) {
        asq__error_set(&run->ctx.error, ASQ_ECANCELED, ASQ__CANCELED_BEFORE_RETRY);
        return false;
    }
    /* A concurrent call has no place to keep beside others. */
    c->keeps_place = keep_place && !(c->shared && a->calls->mailbox.n_active);
    if (!asq__delay_begin(c, delay_ms))
        return false;
    c->retries++;
    c->due_ms = (uint64_t) (now + c->entry->part->minus_mono_ms + delay_ms);
    if (c->keeps_place)
        asq__mailbox_enqueue_first(&a->calls->mailbox, c);
    else
        c->actor = NULL; /* looked up when it is due: the agent may leave memory meanwhile */
    asq__inputs_retry(c);
    asq__commit_retry(c, run, c->due_ms);
    return true;
}
