/*
 * unload.c: see unload.h.
 *
 *     RUNNING ──sleeps──▶ PARKED ──asq__unload()──▶ its method returns ──asq__unload_end()──▶ DELAYED
 *        ▲                                                                                    │
 *        └──────────── due: its steps and calls are found by their records ◀──────────────────┘
 *
 * The record of the sleep, which has its end, and the mark "~CALL-ID" in attempts, which keeps the
 * next owner from running the call before, are in commits of their own order; a process that dies
 * between them leaves a call that is run again at once, and sleeps for the rest. An unloaded run
 * has changed nothing, so the next one has the ids of its nested calls, whose batches stay pinned
 * meanwhile: they go from run to call to run.
 *
 * A call that shares its agent with others (ASQ_CONCURRENT) waits apart, all others keep their
 * place: to the agent's other calls it is as if it were parked.
 */
#include "worker/unload.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/handle.h"
#include "client/object.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/actor_memory.h"
#include "worker/actor_object.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/delay.h"
#include "worker/exec/run.h"
#include "worker/inputs.h"
#include "worker/partition.h"
#include "worker/process.h"

enum {
    DRAIN_MS = 1000, /* a draining partition waits for the end of shorter sleeps */
    DEADLINE_MS =
        1000 /* run again so long before the call's deadline, which the sleep then tells */
};
/* Records of nested calls live for a week unless they are renewed, which a run does. */
#define RENEW_MS ((int64_t) 3 * 24 * 3600 * 1000)

/* Returns whether another run comes to the same place as this one, and nothing depends on this one
 * meanwhile. */
static bool may_unload(const struct asq__run *run)
{
    const struct asq__wcall *c = run->active.call;
    const struct asq__mailbox *m = &run->actor->calls->mailbox;
    const asq *h = run->ctx.h; /* a parked run has one */
    return h->asleep_until_ms && c->recorded && !c->reentered && !c->canceled &&
           asq__wcall_job(c)->kind == ASQUEUE__JOB_KIND__CALL && (c->shared || m->n_active == 1) &&
           !asq__actor_is_orphan(run->actor) && asq__partition_is_owned(run->actor->part);
}

/* Returns when the call is to run again; monotonic. */
static int64_t due_ms(const struct asq__run *run, int64_t now_ms)
{
    const struct asq__partition *p = run->actor->part;
    int64_t due = run->ctx.h->asleep_until_ms - p->minus_mono_ms;
    if (run->ctx.deadline_ms != INT64_MAX && run->ctx.deadline_ms - DEADLINE_MS < due)
        due = run->ctx.deadline_ms - DEADLINE_MS;
    return run->ninner && due - now_ms > RENEW_MS ? now_ms + RENEW_MS : due;
}

bool asq__unload_is_due(const struct asq__run *run, int64_t *ret_ms)
{
    const struct asq__partition *p = run->actor->part;
    const struct asq__process_config *config = &run->w->config;
    *ret_ms = INT64_MAX;
    if (!run->ctx.h->asleep_until_ms)
        return false;
    int64_t now = asq__now_ms(), left = due_ms(run, now) - now;
    if (p->state == ASQ__PART_DRAINING)
        return left > DRAIN_MS && may_unload(run);
    if (config->unload_after_ms < 0 || left <= config->unload_after_ms)
        return false;
    if (may_unload(run))
        return true;
    *ret_ms = config->unload_after_ms + 1000; /* re-entrant calls are there that may end */
    return false;
}

void asq__unload(struct asq__run *run)
{
    asq__assert(asq__run_is_parked(run));
    run->unloads = true;
    run->again_ms = due_ms(run, asq__now_ms());
    run->wait_rc = ASQ_EUNLOADED;
}

static void unload_actor(struct asq__actor *a)
{
    struct asq__mailbox *m = &a->calls->mailbox;
    int64_t again_ms;
    bool any = false;
    ASQ__LIST_EACH (it, &m->active) {
        struct asq__run *run = ASQ__CONTAINER(it, struct asq__run, active.node);
        if (!asq__run_is_parked(run) || !asq__unload_is_due(run, &again_ms))
            continue;
        asq__unload(run);
        asq__mailbox_unpark(m, run->active.call);
        any = true;
    }
    if (any)
        asq__actor_resume_later(a);
}

void asq__unload_partition(struct asq__partition *p)
{
    ASQ__LIST_EACH (it, &p->actors.busy)
        unload_actor(ASQ__CONTAINER(it, struct asq__actor, where));
}

void asq__unload_end(struct asq__run *run)
{
    struct asq__wcall *c = run->active.call;
    struct asq__actor *a = run->actor;
    struct asq__partition *p = a->part;
    int64_t now = asq__now_ms(), left = run->again_ms > now ? run->again_ms - now : 0;
    c->keeps_place = !c->shared;
    if (!asq__delay_begin(c, left)) {
        asq__partition_abandon(p, "out of memory");
        return;
    }
    c->due_ms = (uint64_t) (now + p->minus_mono_ms + left);
    c->entry->may_have_begun = true;
    c->inner = run->inner;
    c->ninner = run->ninner;
    run->inner = NULL;
    run->ninner = run->inner_cap = 0;
    if (c->keeps_place) {
        asq__mailbox_enqueue_first(&a->calls->mailbox, c);
        asq__delay_rest(c);
    } else {
        c->actor = NULL; /* looked up when it is due: the agent may leave memory meanwhile */
    }
    asq__inputs_retry(c);
    asq__commit_unloaded(c, run, c->due_ms);
    struct asq__object *object = asq__actor_object(a);
    if (object->state && a->calls->mailbox.n_active == 0)
        asq__object_unload(object);
}

void asq__unload_over(struct asq__wcall *c, struct asq__run *run)
{
    run->inner = c->inner;
    run->ninner = run->inner_cap = run->inner_known = c->ninner;
    c->inner = NULL;
    c->ninner = 0;
}

void asq__unload_wake(struct asq__wcall *c)
{
    asq__delay_end(c);
    asq__wcall_enter(c, ASQ__CALL_WAITING);
}

void asq__unload_forget(struct asq__wcall *c)
{
    for (size_t i = 0; i < c->ninner; i++)
        asq__engine_unpin(c->entry->part->w->engine, c->inner[i].id, ASQ__RECORD_LEAVE);
    free(c->inner);
    c->inner = NULL;
    c->ninner = 0;
}
