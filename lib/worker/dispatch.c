/*
 * dispatch.c: agents' mailboxes: which call runs next. Different agents run in parallel, one agent runs
 * one call at a time, or several of those marked ASQ_CONCURRENT.
 *
 * A call that waits through the library parks and gives up its agent's turn. While it is parked, only
 * calls that it (transitively) waits for are let in. When its wait is over, it takes the turn again as
 * soon as the turn is free. So two calls of one agent never run at once, and a chain that comes back to
 * an agent never waits for itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/engine.h"
#include "client/object.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/actor.h"
#include "worker/actor_fetch.h"
#include "worker/call_time.h"
#include "worker/commit.h"
#include "worker/deadlock.h"
#include "worker/dispatch.h"
#include "worker/core/entry.h"
#include "worker/exec/exec.h"
#include "worker/inputs.h"
#include "worker/intake.h"
#include "worker/later.h"
#include "worker/member.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/exec/pool.h"
#include "worker/process.h"

/* Bounds one iteration of the loop: outcomes are committed at its end, and nothing is read meanwhile. */
enum { STARTS_PER_TURN = 1024 };

/* Returns whether this iteration has started enough calls; the partition goes on in the next one. */
static bool turn_is_over(struct asq__partition *p)
{
    if (p->w->starts < STARTS_PER_TURN)
        return false;
    if (asq__list_empty(&p->turn_over))
        asq__list_add(&p->w->turn_over, &p->turn_over);
    return true;
}

/* ---- what may start ---- */

bool asq__process_may_start(struct asq__process *w)
{
    return !w->ended && asq__members_beating(w->members) && !w->refused_until_ms;
}

/* Gives up a call of which too many processes have died. */
static __attribute__((noinline, cold)) void give_up(struct asq__wcall *c)
{
    const Asqueue__Job *job = c->entry->batch->jobs[c->index];
    const struct asq__class *cls = c->actor ? c->actor->object.cls : NULL;
    char label[400], reason[800];
    snprintf(label, sizeof label, "%s.%s", job->agent, job->method);
    snprintf(reason, sizeof reason, "%u worker processes died while they ran %s.%s of agent %s%s%s",
             c->attempts,
             cls                ? cls->def.name
             : *job->class_name ? job->class_name
                                : "?",
             *job->method ? job->method : "create", job->agent, c->died_how ? "; the last, " : "",
             c->died_how ? c->died_how : "");
    asq__commit_dead_letter(c, label, reason);
    asq__wcall_fail(c, ASQ_EDEADLETTER,
                    "%s; it was given up and is kept in the stream of dead letters", reason);
}

/* Ends a call that must not run at all. True: it was ended here. */
static bool end_unstarted(struct asq__wcall *c)
{
    struct asq__process *w = c->entry->part->w;
    if (c->reentered) {
        asq__wcall_fail(
            c, ASQ_EINTERRUPTED,
            "the call's worker ended after a re-entrant call had taken effect inside of it; running "
            "it again would apply its first part twice");
        return true;
    }
    if (c->attempts >= w->config.max_attempts) {
        give_up(c);
        return true;
    }
    int64_t deadline = asq__wcall_deadline_ms(c);
    if (deadline != INT64_MAX && asq__now_ms() >= deadline) {
        asq__wcall_fail(c, ASQ_EDEADLINE, "its deadline had passed before it was its turn");
        return true;
    }
    return false;
}

static unsigned flags_of(const struct asq__wcall *c)
{
    const Asqueue__Job *job = c->entry->batch->jobs[c->index];
    return asq__object_flags(&c->actor->object, job->kind, job->method);
}

bool asq__wcall_may_share(const struct asq__wcall *c)
{
    return !c->reentrant && flags_of(c) & ASQ_CONCURRENT;
}

/* Returns whether no call runs on the agent now. */
static bool is_at_rest(const struct asq__actor *a)
{
    return !a->calls->turn && a->calls->sharing == 0;
}

/* Returns whether its caller is inside the agent now. */
static bool is_waited_for_inside(const struct asq__actor *a, const Asqueue__Job *job)
{
    if (!a->calls || !a->calls->inside || !job->chain)
        return false;
    for (size_t i = job->chain->n_links; i > 0; i--) {
        const Asqueue__Link *link = job->chain->links[i - 1];
        if (strcmp(link->agent, a->id) != 0)
            continue;
        ASQ__LIST_EACH (it, &a->calls->insiders)
            if (strcmp(ASQ__CONTAINER(it, struct asq__run, inside)->call_id, link->call) == 0)
                return true;
    }
    return false;
}

/* Lets in queued calls whose caller is inside: a call that runs again finds its nested calls queued. */
static void let_in_queued(struct asq__actor *a)
{
    ASQ__LIST_EACH (it, &a->calls->mailbox) {
        struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
        if (!is_waited_for_inside(a, c->entry->batch->jobs[c->index]))
            continue;
        asq__list_del(&c->node);
        c->reentrant = true;
        asq__list_add(&a->calls->reentrant, &c->node);
    }
}

/* Puts re-entrant calls that have not begun, because they await inputs, back among the others: no run
 * is inside any more. */
static void let_nobody_in(struct asq__actor *a)
{
    struct asq__list *last;
    while ((last = a->calls->reentrant.prev) != &a->calls->reentrant) {
        asq__list_del(last);
        ASQ__CONTAINER(last, struct asq__wcall, node)->reentrant = false;
        asq__list_add_first(&a->calls->mailbox, last);
    }
}

static bool end_run(struct asq__run *run);

static void start(struct asq__actor *a, struct asq__wcall *c)
{
    struct asq__partition *p = a->part;
    struct asq__run *run;
    if (asq__run_new(c, &run) < 0) {
        asq__wcall_fail(c, ASQ_ENOMEM, "the worker is out of memory");
        return;
    }
    asq__list_del(&c->node);
    c->reentrant = false;
    c->state = ASQ__CALL_RUNNING;
    c->run = run;
    run->ctx.deadline_ms = asq__wcall_deadline_ms(c);
    if (c->shared) {
        a->calls->sharing++;
        a->calls->shared_inside++;
        a->object.depth++;
    } else {
        a->calls->turn = c;
    }
    a->calls->inside++;
    p->inside++;
    p->w->starts++;
    asq__list_add(&a->calls->insiders, &run->inside);
    if (c->entry->again)
        let_in_queued(a);
    if (c->attempts)
        p->w->suspect = c;
    run->ctx.shared = c->shared;
    if (asq__run_start(run, flags_of(c) & ASQ_NONBLOCKING))
        end_run(run);
}

/* Asks for the inputs of a call whose turn it is. False: it has to wait for them, or was ended. */
static bool inputs_are_there(struct asq__wcall *c)
{
    if (!c->entry->batch->jobs[c->index]->inputs)
        return true;
    if (c->state == ASQ__CALL_WAITING && !c->inputs) {
        int rc = asq__inputs_begin(c);
        if (rc < 0) {
            asq__wcall_fail(c, rc, "its inputs cannot be awaited: %s", asq_strerror(rc));
            return false;
        }
    }
    c->state = ASQ__CALL_INPUTS;
    if (!asq__inputs_ready(c)) {
        asq__inputs_want_room(c);
        return false;
    }
    if (asq__inputs_failure(c)) {
        asq__wcall_fail(c, ASQ_EINPUT, "%s", asq__inputs_failure(c));
        return false;
    }
    return true;
}

/* Returns the run that has no other one inside it. Each call inside an agent, except shared ones, has
 * the one before in its chain of callers. Only the innermost runs or lets another call in, and the one
 * before resumes when it has ended. So each run sees, saves and restores its own changes. */
const struct asq__run *asq__actor_innermost(const struct asq__actor *a)
{
    for (const struct asq__list *it = a->calls->insiders.prev; it != &a->calls->insiders;
         it = it->prev) {
        const struct asq__run *run = ASQ__CONTAINER(it, struct asq__run, inside);
        if (!run->call->shared)
            return run;
    }
    return NULL;
}

const struct asq__run *asq__actor_holds_back(const struct asq__wcall *c)
{
    const Asqueue__Chain *chain = c->entry->batch->jobs[c->index]->chain;
    const struct asq__run *run = c->reentrant ? asq__actor_innermost(c->actor) : NULL;
    for (size_t i = 0; run && chain && i < chain->n_links; i++)
        if (strcmp(chain->links[i]->call, run->call_id) == 0)
            return NULL; /* the agent's call waits for `c` */
    return run;
}

/* Returns whether a call inside the partition now is in its chain of callers. */
static bool is_called_from_inside(const struct asq__partition *p, const Asqueue__Job *job)
{
    for (size_t i = job->chain->n_links; i > 0; i--) {
        const char *id = job->chain->links[i - 1]->agent;
        struct asq__node *node = asq__table_find(&p->actors, id, strlen(id));
        if (node && is_waited_for_inside(ASQ__CONTAINER(node, struct asq__actor, node), job))
            return true;
    }
    return false;
}

/* Returns whether a draining partition may still start calls of the agent. Such a partition starts only
 * calls that calls inside it may wait for, or it would never drain: nested calls of these, then any
 * nested calls, and the calls queued before them. */
static bool is_wanted(const struct asq__actor *a)
{
    const struct asq__partition *p = a->part;
    bool any = asq__now_ms() > p->drain_patience_ms;
    ASQ__LIST_EACH (it, &a->calls->mailbox) {
        const struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
        const Asqueue__Job *job = c->entry->batch->jobs[c->index];
        if (job->chain && (any || is_called_from_inside(p, job)))
            return true;
    }
    return false;
}

/* Returns the caller, whose calls to an agent run in the order in which they were made: a call inside of
 * its method, or a program. */
static const char *caller_of(const struct asq__wcall *c)
{
    const Asqueue__Batch *batch = c->entry->batch;
    const Asqueue__Chain *chain = batch->jobs[c->index]->chain;
    return chain && chain->n_links ? chain->links[chain->n_links - 1]->call : batch->reply;
}

/* Returns whether an earlier run of `by`, or a call inside it, made `c`. That run's worker has died, or
 * the run failed. The next run finds `c` again, and must be inside of the agent by then. */
static bool is_called_by(const struct asq__wcall *c, const struct asq__wcall *by)
{
    const Asqueue__Chain *chain = c->entry->batch->jobs[c->index]->chain;
    char id[ASQ__CALL_ID_TEXT];
    if (!chain || !chain->n_links)
        return false;
    asq__wcall_id(by, id);
    for (size_t i = 0; i < chain->n_links; i++)
        if (strcmp(chain->links[i]->call, id) == 0)
            return true;
    return false;
}

bool asq__passed_holds(const struct asq__passed *passed, const struct asq__wcall *c)
{
    const char *caller = passed->n ? caller_of(c) : "";
    for (unsigned i = 0; i < passed->n; i++)
        if (strcmp(caller_of(passed->calls[i]), caller) == 0 || is_called_by(c, passed->calls[i]))
            return true;
    return false;
}

bool asq__wcall_holds_all(const struct asq__wcall *c)
{
    return c->entry->batch->jobs[c->index]->kind == ASQUEUE__JOB_KIND__CREATE &&
           !c->actor->object.cls;
}

/* Lets calls of others pass a call that waits. False: too many wait already, or all others wait for it. */
static bool pass(struct asq__passed *passed, const struct asq__wcall *c)
{
    if (passed->n + 1 == ASQ__PASSED || asq__wcall_holds_all(c))
        return false;
    passed->calls[passed->n++] = c;
    return true;
}

/* Returns how many concurrent calls of an agent may run or wait for a thread; parked ones do not count.
 * With more, calls of other agents would come behind all of them. */
static unsigned most_sharing(const struct asq__process *w)
{
    return 2 * w->config.capacity + 16;
}

/* Returns the first call of a queue that may run now, or NULL. Ends calls that must not run. `beside`:
 * considers shared calls alone, because others run already. */
static struct asq__wcall *next_of(struct asq__actor *a, struct asq__list *queue, bool beside)
{
    struct asq__process *w = a->part->w;
    struct asq__passed passed = { .n = 0 };
    unsigned behind = 0;
    ASQ__LIST_EACH (it, queue) {
        struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
        if (passed.n && ++behind > ASQ__PASSED_SEEN)
            return NULL;
        if (asq__actor_holds_back(c))
            continue;
        if (asq__passed_holds(&passed, c))
            continue; /* stays behind earlier calls of its caller, or behind the caller */
        if (end_unstarted(c)) {
            w->starts++;
            if (a->orphan || asq__list_empty(queue) || turn_is_over(a->part))
                return NULL;
            continue;
        }
        if (c->state == ASQ__CALL_DELAYED)
            return NULL; /* keeps its place */
        /* A process has died of it, and it is tried again a while later. It may have had effects on other
         * agents, so no call of this agent may run before it has had its own. */
        if (c->not_before_ms && asq__now_ms() < c->not_before_ms)
            return NULL;
        /* A call that creates or loads the agent runs alone. */
        c->shared = queue == &a->calls->mailbox && flags_of(c) & ASQ_CONCURRENT;
        if (c->shared)
            asq__object_revive(&a->object);
        c->shared &= a->object.live;
        if (beside && (!c->shared || a->calls->sharing >= most_sharing(w)))
            return NULL;
        if (c->attempts && w->suspect) {
            w->suspects_waiting++;
            return NULL;
        }
        if (inputs_are_there(c))
            return c;
        if (c->state == ASQ__CALL_FINISHED)
            continue;
        if (!pass(&passed, c))
            return NULL;
    }
    return NULL;
}

/* Returns the call that may run now, or NULL. */
static struct asq__wcall *next_call(struct asq__actor *a)
{
    struct asq__wcall *c = NULL;
    if (is_at_rest(a))
        c = next_of(a, &a->calls->reentrant, false);
    if (c || !asq__list_empty(&a->calls->reentrant))
        return c;
    /* A call for which no run inside waits, itself waits for all runs inside. */
    bool beside = a->calls->inside > 0;
    if (beside && a->calls->inside != a->calls->shared_inside)
        return NULL;
    if (a->part->state != ASQ__PART_ACTIVE && !is_wanted(a))
        return NULL;
    return next_of(a, &a->calls->mailbox, beside);
}

/* Returns the first call whose wait is over and that may resume, or NULL. */
static struct asq__wcall *first_waker(const struct asq__actor *a)
{
    const struct asq__run *last =
        asq__list_empty(&a->calls->wakers) ? NULL : asq__actor_innermost(a);
    ASQ__LIST_EACH (it, &a->calls->wakers) {
        struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
        if (c->shared || c->run == last || a->orphan)
            return c;
    }
    return NULL;
}

bool asq__actor_is_moving(const struct asq__actor *a)
{
    return a->calls && (a->calls->turn || a->calls->sharing || first_waker(a));
}

/* Resumes the first woken call. False: there is none, or another call has the turn. */
static bool let_on(struct asq__actor *a)
{
    struct asq__wcall *c = first_waker(a);
    if (!c || a->calls->turn || (!c->shared && a->calls->sharing))
        return false;
    asq__list_del(&c->node);
    if (c->shared)
        a->calls->sharing++;
    else
        a->calls->turn = c;
    c->state = ASQ__CALL_RUNNING;
    c->run->parked = c->run->woken = false;
    asq__pool_wake(a->part->w->pool, c->run->fiber);
    return true;
}

void asq__actor_go_on(struct asq__actor *a)
{
    struct asq__partition *p = a->part;
    while (a->calls) {
        while (let_on(a))
            ;
        if (a->calls->turn || first_waker(a))
            return;
        if (a->orphan) {
            if (a->calls->inside == 0)
                asq__actor_free(a);
            return;
        }
        if (!asq__actor_has_queued(a))
            break;
        if (p->recovering || !asq__partition_is_owned(p) || !asq__process_may_start(p->w))
            return; /* asq__actor_go_on() is called when that changes */
        if (asq__commits_are_many(p))
            return;
        if (turn_is_over(p))
            return;
        if (!a->loaded) {
            asq__actor_want_record(a);
            return;
        }
        struct asq__wcall *c = next_call(a);
        if (!c) {
            asq__deadlock_note(a);
            break;
        }
        start(a, c); /* a nonblocking call may have ended */
    }
    asq__actor_rest(a);
}

void asq__partition_go_on(struct asq__partition *p)
{
    if (!asq__partition_is_owned(p))
        return;
    struct asq__list busy, *node;
    asq__list_init(&busy); /* an agent's progress may end others, and lose the partition */
    asq__list_splice(&busy, &p->busy);
    while ((node = asq__list_pop(&busy))) {
        struct asq__actor *a = ASQ__CONTAINER(node, struct asq__actor, where);
        asq__list_add(&p->busy, &a->where);
        if (asq__actor_has_queued(a))
            asq__actor_go_on(a);
        if (!asq__list_empty(&p->turn_over))
            break; /* the next iteration begins with the others */
    }
    asq__list_splice(&busy, &p->busy);
    asq__list_splice(&p->busy, &busy);
}

bool asq__dispatch_turn_over(struct asq__process *w)
{
    struct asq__list parts, *node;
    w->starts = 0;
    asq__list_init(&parts);
    asq__list_splice(&parts, &w->turn_over);
    while (w->starts < STARTS_PER_TURN && (node = asq__list_pop(&parts)))
        asq__partition_go_on(ASQ__CONTAINER(node, struct asq__partition, turn_over));
    asq__list_splice(&parts, &w->turn_over);
    asq__list_splice(&w->turn_over, &parts);
    return !asq__list_empty(&w->turn_over);
}

/* ---- calls come, park, wake, end ---- */

bool asq__dispatch_join(struct asq__wcall *c)
{
    const Asqueue__Job *job = c->entry->batch->jobs[c->index];
    struct asq__actor *a = c->actor ? c->actor : asq__actor_of(c->entry->part, job->agent);
    if (!a || !asq__actor_wake(a)) {
        asq__wcall_fail(c, ASQ_ENOMEM, "the worker is out of memory");
        return false;
    }
    c->actor = a;
    if (asq__list_empty(&c->node)) { /* otherwise the call has kept its place */
        c->reentrant = is_waited_for_inside(a, job);
        asq__list_add(c->reentrant ? &a->calls->reentrant : &a->calls->mailbox, &c->node);
    }
    return true;
}

void asq__dispatch_let_in(struct asq__wcall *c)
{
    struct asq__actor *a = c->actor;
    /* A call that waits for its time or its inputs moves too, because later calls of its caller do. */
    bool queued = c->state == ASQ__CALL_WAITING || c->state == ASQ__CALL_INPUTS ||
                  c->state == ASQ__CALL_DELAYED;
    if (!queued || c->reentrant || !a || asq__list_empty(&c->node) ||
        !is_waited_for_inside(a, c->entry->batch->jobs[c->index]))
        return;
    asq__list_del(&c->node);
    c->reentrant = true;
    asq__list_add(&a->calls->reentrant, &c->node);
    asq__actor_go_on(a);
}

void asq__dispatch_due(struct asq__wcall *c)
{
    c->state = ASQ__CALL_WAITING;
    if (asq__dispatch_join(c))
        asq__actor_go_on(c->actor);
}

void asq__dispatch(struct asq__wcall *c)
{
    c->state = ASQ__CALL_WAITING;
    if (!asq__later_begin(c))
        asq__dispatch_due(c);
}

void asq__wcall_fail(struct asq__wcall *c, int code, const char *fmt, ...)
{
    const Asqueue__Job *job = c->entry->batch->jobs[c->index];
    struct asq__actor *a = c->actor;
    struct asq__error error;
    char id[ASQ__CALL_ID_TEXT], place[ASQ__PLACE_MAX];
    va_list ap;
    asq__error_init(&error);
    va_start(ap, fmt);
    asq__error_vset(&error, code, fmt, ap); /* first: the text may be that of the inputs */
    va_end(ap);
    asq__list_del(&c->node);
    asq__inputs_free(c->inputs);
    c->inputs = NULL;
    asq__later_end(c);
    c->state = ASQ__CALL_FINISHED;
    asq__wcall_id(c, id);
    /* While a call has the turn, the object is that call's. */
    const struct asq__class *cls = a && !(a->calls && a->calls->turn) ? a->object.cls : NULL;
    asq__error_where(&error, cls ? cls->def.name : job->class_name,
                     asq__job_place(job->kind, job->method, place), job->agent,
                     c->entry->part->w->config.id, id);
    atomic_fetch_add(&c->entry->part->w->failures, 1);
    asq__commit_result(c, NULL, &error.pub);
    asq__error_clear(&error);
}

static void give_up_turn(struct asq__wcall *c)
{
    if (c->shared)
        c->actor->calls->sharing--;
    else
        c->actor->calls->turn = NULL;
}

/* Notes that the suspect no longer runs, so others may. A suspect that parks may wait for just those. */
static void clear_suspect(struct asq__process *w, const struct asq__wcall *c)
{
    if (w->suspect != c)
        return;
    w->suspect = NULL;
    if (!w->suspects_waiting)
        return;
    w->suspects_waiting = 0;
    for (uint32_t i = 0; i < w->nparts; i++)
        asq__partition_go_on(&w->parts[i]);
}

void asq__run_parks(struct asq__run *run)
{
    struct asq__actor *a = run->actor;
    run->parked = true;
    run->call->state = ASQ__CALL_PARKED;
    give_up_turn(run->call);
    clear_suspect(run->w, run->call);
    /* Calls that it waits for may have come while it ran, and be in the list of re-entrant ones. */
    asq__actor_go_on(a);
}

void asq__run_wake(struct asq__run *run)
{
    struct asq__actor *a = run->actor;
    if (!run->parked || run->woken)
        return;
    run->woken = true;
    asq__list_add(&a->calls->wakers, &run->call->node);
    asq__actor_go_on(a);
}

/* Marks the outer calls as not to be run again: that would not undo the commit of a re-entrant call. */
static void mark_outer_calls(struct asq__actor *a)
{
    ASQ__LIST_EACH (it, &a->calls->insiders) {
        struct asq__wcall *outer = ASQ__CONTAINER(it, struct asq__run, inside)->call;
        if (!outer->reentered && !outer->shared) { /* a call that changes no state can run again */
            outer->reentered = true;
            asq__commit_mark(outer);
        }
    }
}

/* Puts the effects of an ended run into a commit. False: it has not ended yet, see nested.c. */
static bool end_run(struct asq__run *run)
{
    struct asq__wcall *c = run->call;
    struct asq__actor *a = run->actor;
    struct asq__partition *p = a->part;
    struct asq__process *w = run->w;
    struct asq__entry *e = c->entry;
    Asqueue__JobKind kind = e->batch->jobs[c->index]->kind; /* the entry may go with its result */
    const asq_error *error = run->ctx.error.pub.code ? &run->ctx.error.pub : NULL;
    run->ended = run->unsettled > 0;
    if (run->ended)
        return false;
    give_up_turn(c);
    if (c->shared) {
        a->calls->shared_inside--;
        a->object.depth--;
    }
    a->calls->inside--;
    asq__list_del(&run->inside);
    if (a->calls->inside == 0)
        let_nobody_in(a);
    c->run = NULL;
    c->state = ASQ__CALL_FINISHED;
    atomic_fetch_add(&w->calls, 1);
    if (error)
        atomic_fetch_add(&w->failures, 1);
    asq__nested_end(run);
    if (a->orphan) {
        for (size_t i = 0; i < run->ninner; i++)
            asq__engine_unhold(w->engine, run->inner[i].id, ASQ__UNHOLD_LEAVE);
        e->unfinished--;
        asq__inputs_free(c->inputs);
        c->inputs = NULL;
        asq__run_free(run);
        asq__entry_settle(e);
        return true;
    }
    p->inside--;
    if (a->calls->inside && run->effect.kind != ASQ__EFFECT_NONE)
        mark_outer_calls(a);
    if (!error || !asq__later_retry(c, run)) {
        asq__inputs_free(c->inputs);
        c->inputs = NULL;
        asq__commit_result(c, run, error);
    }
    asq__run_free(run);
    asq__actor_note_size(a);
    asq__actor_unload_created(a, kind);
    return true;
}

void asq__run_finished(struct asq__handover *h)
{
    struct asq__run *run = ASQ__CONTAINER(h, struct asq__run, finished);
    struct asq__process *w = run->w;
    struct asq__wcall *c = run->call;
    struct asq__actor *a = run->actor;
    struct asq__partition *p = a->part;
    if (!end_run(run))
        return;
    asq__actor_go_on(a); /* frees an orphan with its last run */
    asq__partition_check_drained(p);
    clear_suspect(w, c);
}
