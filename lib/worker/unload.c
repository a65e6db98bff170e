/*
 * unload.c: see unload.h.
 *
 *     RUNNING ──pauses─▶ PARKED ──asq__unload()──▶ its method returns ──asq__unload_end()──▶ DELAYED
 *        ▲                                                                                     │
 *        └── due, or what it waits for has come: its steps and calls are found by records ◀────┘
 *
 * The record of the sleep, which has its end, and the mark "~CALL-ID" in attempts, which keeps the
 * next owner from running the call before, are in commits of their own order; a process that dies
 * between them leaves a call that is run again at once, and sleeps for the rest. An unloaded run
 * has changed nothing, so the next one has the ids of its nested calls, whose batches stay pinned
 * meanwhile: they go from run to call to run.
 *
 * A call that shares its agent with others (ASQ_CONCURRENT) sleeps apart, all others keep their
 * place: to the agent's other calls it is as if it were parked.
 *
 * A call that waits for results or a signal stays in memory, with what it waits for
 * (unload_wait.c), and nothing of that is written. What may come between the last look and the end
 * of the run:
 *
 * | what comes while the method returns | who has it |
 * | --- | --- |
 * | a result | its call is awaited from asq__unload() on; begin_wait() finds it over |
 * | a signal | is kept; asq__unload_wait_signal() finds the run, as later the call |
 * | a cancel | control.c sets `canceled`; is_wanted() looks |
 * | a call that comes from this one | is queued; is_wanted() looks |
 * | the loss of the partition | end_run() frees the wait with the run |
 */
#include "worker/unload.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/handle.h"
#include "client/object.h"
#include "client/step_log.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/actor_memory.h"
#include "worker/actor_object.h"
#include "worker/agent_signals.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/delay.h"
#include "worker/exec/run.h"
#include "worker/inputs.h"
#include "worker/nested_state.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/unload_wait.h"

enum {
    DRAIN_MS = 1000, /* a draining partition waits for the end of shorter sleeps */
    DEADLINE_MS =
        1000 /* run again so long before the call's deadline, which the sleep then tells */
};
/* Records of nested calls live for a week unless they are renewed, which a run does. */
#define RENEW_MS ((int64_t) 3 * 24 * 3600 * 1000)

/* Waits of a parked run. That for records, or for what calls emit, is none of these. */
enum pause { PAUSE_NONE, PAUSE_SLEEP, PAUSE_RESULTS, PAUSE_SIGNAL };

static bool visit_none(void *user, const asq_result *r)
{
    (void) user, (void) r;
    return false;
}

static enum pause pause_of(const struct asq__run *run)
{
    const asq *h = run->ctx.h; /* a parked run has one */
    const struct asq__nested *n = h->impl;
    if (h->asleep_until_ms)
        return PAUSE_SLEEP;
    if (asq__wait_results(n->ready, n->arg, visit_none, NULL) != ASQ__WAIT_OTHER)
        return PAUSE_RESULTS;
    return asq__agent_signals_awaited(run) ? PAUSE_SIGNAL : PAUSE_NONE;
}

/* Returns whether another run would end the pause at the same time, and when that is (monotonic;
 * INT64_MAX: never). A method that has recorded nothing knows of no other run, unless it waits by a
 * function that says so; a limit that is not recorded would begin anew. */
static bool is_durable(const struct asq__run *run, enum pause pause, int64_t *ret_ms)
{
    const asq *h = run->ctx.h;
    const struct asq__nested *n = h->impl;
    int64_t until_ms = pause == PAUSE_SLEEP ? h->asleep_until_ms : h->waits_until_ms;
    *ret_ms = until_ms == INT64_MAX ? until_ms : until_ms - run->actor->part->minus_mono_ms;
    if (until_ms)
        return true;
    *ret_ms = INT64_MAX;
    return pause == PAUSE_RESULTS && run->active.call->recorded &&
           (n->until_ms == INT64_MAX || n->deadline_first);
}

/* Returns whether what a run waits for can be awaited without it, and another run comes to the same
 * wait: it is not in a step or a callback. */
static bool may_wait_without(const struct asq__run *run, enum pause pause)
{
    const asq *h = run->ctx.h;
    const struct asq__nested *n = h->impl;
    if (!run->ctx.args || h->notifying || (h->steps && h->steps->in_step) || run->undecided ||
        !asq__list_empty(&n->reads))
        return false;
    return pause == PAUSE_SIGNAL ? asq__agent_signals_may_leave(n)
                                 : asq__unload_wait_may_begin(run);
}

/* Returns whether nothing depends on this run meanwhile. A call of its agent that comes from one
 * that it waits for would have to come back to it, and has to be there before or after. */
static bool may_unload(const struct asq__run *run, enum pause pause)
{
    const struct asq__wcall *c = run->active.call;
    const struct asq__mailbox *m = &run->actor->calls->mailbox;
    bool alone = m->n_active == 1;
    if (c->reentered || c->canceled || asq__wcall_job(c)->kind != ASQUEUE__JOB_KIND__CALL ||
        asq__actor_is_orphan(run->actor) || !asq__partition_is_owned(run->actor->part))
        return false;
    if (pause == PAUSE_SLEEP)
        return c->recorded && (c->shared || alone);
    return !c->shared && alone && asq__list_empty(&m->reentrant) && may_wait_without(run, pause);
}

/* Returns when the call is to run again; monotonic. */
static int64_t due_ms(const struct asq__run *run, enum pause pause, int64_t until_ms,
                      int64_t now_ms)
{
    int64_t due = until_ms;
    if (run->ctx.deadline_ms != INT64_MAX && run->ctx.deadline_ms - DEADLINE_MS < due)
        due = run->ctx.deadline_ms - DEADLINE_MS;
    bool renews = pause != PAUSE_SLEEP || run->ninner;
    return renews && due - now_ms > RENEW_MS ? now_ms + RENEW_MS : due;
}

bool asq__unload_is_due(const struct asq__run *run, int64_t *ret_ms)
{
    bool drains = run->actor->part->state == ASQ__PART_DRAINING;
    int64_t now = asq__now_ms(), most = drains ? DRAIN_MS : run->w->config.unload_after_ms;
    const struct asq__nested *n = run->ctx.h->impl;
    enum pause pause = pause_of(run);
    int64_t until_ms;
    *ret_ms = INT64_MAX;
    if (pause == PAUSE_NONE || most < 0 || !is_durable(run, pause, &until_ms) ||
        due_ms(run, pause, until_ms, now) - now <= most)
        return false;
    if (pause != PAUSE_SLEEP && now - n->since_ms < most) {
        *ret_ms = most - (now - n->since_ms);
        return false;
    }
    *ret_ms = most + 1000; /* re-entrant calls are there that may end, or Redis is away */
    return may_unload(run, pause);
}

bool asq__unload(struct asq__run *run)
{
    enum pause pause = pause_of(run);
    const asq *h = run->ctx.h;
    int64_t until_ms;
    asq__assert(asq__run_is_parked(run) && pause != PAUSE_NONE && !run->unload_wait);
    is_durable(run, pause, &until_ms);
    if (pause != PAUSE_SLEEP) {
        run->unload_wait = asq__unload_wait_begin(
            run, pause == PAUSE_SIGNAL ? asq__agent_signals_awaited(run) : NULL);
        if (!run->unload_wait)
            return false;
        run->waits_at = 1 + (h->steps ? h->steps->number : 0);
        if (pause == PAUSE_SIGNAL)
            asq__agent_signals_leave(h->impl);
    }
    run->unloads = true;
    run->again_ms = due_ms(run, pause, until_ms, asq__now_ms());
    run->wait_rc = ASQ_EUNLOADED;
    return true;
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
        if (!asq__unload(run))
            continue;
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

/* Returns whether the call is to run again at once: it was cancelled, or a call that comes from it
 * has arrived, while its method returned. */
static bool is_wanted(const struct asq__wcall *c, const struct asq__mailbox *m)
{
    bool wanted = c->canceled;
    ASQ__LIST_EACH (it, &m->queue)
        wanted = wanted || asq__wcall_is_called_by(ASQ__CONTAINER(it, struct asq__wcall, node), c);
    return wanted;
}

/* Has the call wait in memory, without a word to Redis: the next owner finds its entry, runs it
 * again at once, and that run waits and is unloaded again. */
static void begin_wait(struct asq__wcall *c, struct asq__run *run)
{
    struct asq__unload_wait *wait = run->unload_wait;
    run->unload_wait = NULL;
    c->waits_at = run->waits_at;
    asq__commit_nothing(run);
    if (asq__unload_wait_hand_over(wait, c))
        asq__unload_wake(c);
}

void asq__unload_end(struct asq__run *run)
{
    struct asq__wcall *c = run->active.call;
    struct asq__actor *a = run->actor;
    struct asq__mailbox *m = &a->calls->mailbox;
    struct asq__partition *p = a->part;
    int64_t now = asq__now_ms(), left = run->again_ms > now ? run->again_ms - now : 0;
    bool sleeps = !run->unload_wait;
    if (is_wanted(c, m))
        left = 0;
    c->keeps_place = !c->shared;
    if (!asq__delay_begin(c, left)) {
        asq__unload_wait_free(run->unload_wait);
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
        asq__mailbox_enqueue_first(m, c);
        if (sleeps)
            asq__delay_rest(c);
    } else {
        c->actor = NULL; /* looked up when it is due: the agent may leave memory meanwhile */
    }
    asq__inputs_retry(c);
    if (sleeps)
        asq__commit_unloaded(c, run, c->due_ms);
    else
        begin_wait(c, run);
    struct asq__object *object = asq__actor_object(a);
    if (object->state && m->n_active == 0)
        asq__object_unload(object);
}

void asq__unload_over(struct asq__wcall *c, struct asq__run *run)
{
    run->inner = c->inner;
    run->ninner = run->inner_cap = run->inner_known = c->ninner;
    c->inner = NULL;
    c->ninner = 0;
    asq__unload_wait_free(c->unload_wait);
    if (c->waits_at) { /* a cancel that came meanwhile is told by that wait */
        run->ctx.canceled_asleep = false;
        run->ctx.canceled_at = c->canceled ? c->waits_at : 0;
        c->waits_at = 0;
    }
}
