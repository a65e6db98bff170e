/*
 * control.c: see control.h.
 */
#include "worker/control.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "asqueue.h"
#include "value/msg.h"
#include "worker/await.h"
#include "worker/backlog.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/deadlock.h"
#include "worker/dispatch.h"
#include "worker/entries.h"
#include "worker/exec/run.h"
#include "worker/later.h"
#include "worker/later_ask.h"
#include "worker/later_script.h"
#include "worker/nested.h"
#include "worker/outcome.h"
#include "worker/partition.h"
#include "worker/promises.h"
#include "worker/unload_wait.h"

void asq__wcall_cancel(struct asq__wcall *c)
{
    c->canceled = true;
    if (c->entry->state == ASQ__ENTRY_LEAVING)
        return; /* handled when it has left */
    if (c->left && asq__entry_is_in_intake(c->entry))
        return; /* handled when its entry is dispatched */
    if (c->left) {
        asq__wcall_unleave(c);
        asq__wcall_fail(c, ASQ_ECANCELED, ASQ__CANCELED_BEFORE);
        return;
    }
    if (asq__wcall_is_unloaded(c)) { /* its sleep or wait ends in ASQ_ECANCELED */
        asq__unload_wake(c);
        asq__dispatch_due(c);
        return;
    }
    if (((c->recorded && c->due_ms) || c->waits_at) &&
        (c->state == ASQ__CALL_WAITING || c->state == ASQ__CALL_INPUTS))
        return; /* its sleep or wait is over, and is to tell it when it runs */
    if (c->state == ASQ__CALL_WAITING || c->state == ASQ__CALL_INPUTS ||
        c->state == ASQ__CALL_DELAYED) {
        struct asq__actor *a = c->actor;
        bool failed = c->state == ASQ__CALL_DELAYED && c->retries;
        if (a || c->delay)
            asq__wcall_fail(c, ASQ_ECANCELED,
                            failed ? ASQ__CANCELED_BEFORE_RETRY : ASQ__CANCELED_BEFORE);
        /* Calls behind one that waited for inputs, or in its place, may start. */
        if (a)
            asq__actor_resume(a);
        return;
    }
    struct asq__run *run = asq__run_of(c);
    if (run) {
        atomic_store(&run->ctx.canceled, true);
        asq__nested_cancel(run);
        if (asq__run_is_parked(run)) {
            run->wait_rc = ASQ_ECANCELED;
            asq__run_unpark(run);
        }
    }
}

bool asq__control(struct asq__partition *p, const struct asq__entry *e)
{
    struct asq__call_id *later = NULL; /* to be cancelled where they wait outside of the stream */
    size_t n = 0;
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        const Asqueue__Job *job = e->batch->jobs[i];
        struct asq__call_id target;
        if (asq__call_id_parse(job->target, &target) < 0 || target.partition != p->number)
            continue;
        if (job->kind == ASQUEUE__JOB_KIND__PROBE) {
            asq__deadlock_probe(p->w, job->probe);
        } else if (job->kind == ASQUEUE__JOB_KIND__AWAIT) {
            if (asq__call_id_is_promise(&target))
                asq__promise_await(p, &target, e->batch->reply);
            else
                asq__await(p, &target, e->batch->reply);
        } else if (job->kind == ASQUEUE__JOB_KIND__CANCEL) {
            struct asq__wcall *c = asq__wcall_find(p, &target);
            if (c) {
                asq__wcall_cancel(c);
                continue;
            }
            asq__backlog_cancel(p, &target);
            if (!later && asq__later_may_have(p))
                later = calloc(e->batch->n_jobs, sizeof *later);
            if (later)
                later[n++] = target;
        }
    }
    bool waits = n && asq__later_cancel(p, later, n, e->id);
    free(later);
    return waits;
}
