/*
 * dispatch.c: starts, parks, resumes and ends the calls of agents. Which call runs next is the rule
 * of core/mailbox.c; this file answers its questions (may the call still run, are its inputs
 * there), and does what it decides. Different agents run in parallel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/engine.h"
#include "client/object.h"
#include "value/assert.h"
#include "value/classes.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/quick_clock.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/actor_fetch.h"
#include "worker/actor_memory.h"
#include "worker/actor_object.h"
#include "worker/agent_signals.h"
#include "worker/allowed.h"
#include "worker/call_time.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"
#include "worker/core/entry.h"
#include "worker/deadlock.h"
#include "worker/delay.h"
#include "worker/dispatch.h"
#include "worker/emits.h"
#include "worker/entries.h"
#include "worker/exec/exec.h"
#include "worker/exec/pool.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/inputs.h"
#include "worker/lacking.h"
#include "worker/later.h"
#include "worker/later_move.h"
#include "worker/live.h"
#include "worker/live_reads.h"
#include "worker/measure.h"
#include "worker/misplaced.h"
#include "worker/nested.h"
#include "worker/outcome.h"
#include "worker/partition.h"
#include "worker/pause.h"
#include "worker/process.h"
#include "worker/refused.h"
#include "worker/sleeper.h"
#include "worker/spans.h"
#include "worker/unload.h"
#include "worker/unload_wait.h"

/* Bounds one iteration of the loop: outcomes are committed at its end, and nothing is read
 * meanwhile. */
enum { STARTS_PER_ITERATION = 1024 };
enum { QUICK_BYTES = 4096 }; /* of a result or state, which are copied in a moment */

/* Returns whether this iteration has started enough calls; the partition goes on in the next
 * one. */
static bool has_started_enough(struct asq__partition *p)
{
    if (p->w->starts < STARTS_PER_ITERATION)
        return false;
    asq__partition_resume_later(p);
    return true;
}

/* ---- what may start ---- */

/* Gives up a call of which too many processes have died. */
static __attribute__((noinline, cold)) void give_up(struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    const struct asq__class *cls = c->actor ? asq__actor_object(c->actor)->cls : NULL;
    char label[400], reason[800];
    snprintf(label, sizeof label, "%s.%s", job->agent, job->method);
    bool refused = asq__refused_is_how(c->died_how);
    /* The cause comes first: lists cut a long text. */
    snprintf(reason, sizeof reason, "%s%s%u %s %s.%s of agent %s", c->died_how ? c->died_how : "",
             c->died_how ? "; " : "", c->attempts,
             refused ? "attempts failed to commit" : "worker processes died while they ran",
             cls                ? cls->def.name
             : *job->class_name ? job->class_name
                                : "?",
             *job->method ? job->method : "create", job->agent);
    asq__commit_dead_letter(c, label, reason);
    asq__wcall_fail(c, ASQ_EDEADLETTER,
                    "%s; it was given up and is kept in the stream of dead letters", reason);
}

/* Fails a call that was not started before its deadline. */
static __attribute__((noinline, cold)) void fail_late(struct asq__wcall *c)
{
    const struct asq__partition *p = c->entry->part;
    const Asqueue__Job *job = asq__wcall_job(c);
    char why[500];
    if (*job->class_name && !asq__registry_find(p->w->config.registry, job->class_name) &&
        asq__classes_have(p->wants, job->class_name, 0)) {
        asq__registry_unknown(p->w->config.registry, job->class_name, why, sizeof why);
        asq__wcall_fail(c, ASQ_EDEADLINE,
                        "its deadline had passed before a worker with its class was there: %s",
                        why);
    } else if (c->actor && c->actor->calls && c->actor->calls->lacks_class) {
        asq__wcall_fail(c, ASQ_EDEADLINE,
                        "its deadline had passed before a worker with its agent's class was there; "
                        "the last owner of partition %u lacks %.300s",
                        p->number, p->wants ? p->wants : "it");
    } else {
        asq__wcall_fail(c, ASQ_EDEADLINE, "its deadline had passed before it was its turn");
    }
}

/* Ends a call that must not run at all. True: it was ended here. */
static bool end_unstarted(struct asq__wcall *c)
{
    struct asq__process *w = c->entry->part->w;
    if (c->reentered) {
        asq__wcall_fail(
            c, ASQ_EINTERRUPTED,
            "the call's worker ended after a re-entrant call had taken effect inside of it; "
            "running "
            "it again would apply its first part twice");
        return true;
    }
    if (c->attempts >= w->config.max_attempts) {
        give_up(c);
        return true;
    }
    int64_t deadline = asq__wcall_deadline_ms(c);
    if (deadline != INT64_MAX && asq__now_ms() >= deadline) {
        fail_late(c);
        return true;
    }
    return false;
}

/* Returns the method of a call; NULL: its class has none of this name, or it is another job. Many
 * calls are of the same method as the one before, and comparing a name is cheaper than a lookup. */
static const struct asq__method *method_of(const struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    const struct asq__class *cls = asq__actor_object(c->actor)->cls;
    struct asq__process *w = c->entry->part->w;
    const struct asq__method *m = w->last_method;
    if (!cls || job->kind != ASQUEUE__JOB_KIND__CALL)
        return NULL;
    if (m && m >= cls->methods && m < cls->methods + cls->method_count &&
        strcmp(m->def.name, job->method) == 0)
        return m;
    m = asq__class_method(cls, job->method);
    if (m)
        w->last_method = m;
    return m;
}

static unsigned flags_of(const struct asq__wcall *c)
{
    const struct asq__method *m = method_of(c);
    return m ? m->def.flags : 0;
}

static bool end_run(struct asq__run *run);

static void start(struct asq__actor *a, struct asq__wcall *c, int64_t now_ns)
{
    struct asq__partition *p = a->part;
    const struct asq__method *method = method_of(c);
    struct asq__run *run;
    asq__assert(c->actor == a && c->entry->state == ASQ__ENTRY_DISPATCHED);
    if (asq__run_new(c, &run) < 0) {
        asq__wcall_fail(c, ASQ_ENOMEM, "the worker is out of memory");
        return;
    }
    asq__mailbox_start(&a->calls->mailbox, c, &run->active, c->entry->may_have_begun);
    asq__unload_over(c, run);
    run->ctx.deadline_ms = asq__wcall_deadline_ms(c);
    run->ctx.shared = c->shared;
    run->ctx.calls_wait = asq__mailbox_has_queued(&a->calls->mailbox);
    asq__actor_object(a)->depth += c->shared;
    asq__live_reads_begin(run);
    p->n_active++;
    p->w->starts++;
    if (c->attempts)
        p->w->suspect = c;
    asq__run_set_began(run, now_ns);
    if (p->w->config.figures)
        asq__measure_start(run, method);
    if (p->w->tracer)
        asq__spans_start(run, now_ns);
    if (asq__run_start(run, method && method->def.flags & ASQ_NONBLOCKING))
        end_run(run);
}

/* ---- questions of the mailbox ---- */

static struct asq__actor *actor_of(const struct asq__mailbox *m)
{
    return ASQ__CONTAINER(m, struct asq__calls, mailbox)->actor;
}

/* Asks for the inputs of a call whose turn it is. */
static enum asq__verdict take_inputs(struct asq__wcall *c)
{
    if (c->state == ASQ__CALL_WAITING && !c->inputs) {
        int rc = asq__inputs_begin(c);
        if (rc < 0) {
            asq__wcall_fail(c, rc, "its inputs cannot be awaited: %s", asq_strerror(rc));
            return ASQ__VERDICT_ENDED;
        }
    }
    if (c->state != ASQ__CALL_INPUTS)
        asq__wcall_enter(c, ASQ__CALL_INPUTS);
    if (!asq__inputs_ready(c)) {
        asq__inputs_want_room(c);
        return ASQ__VERDICT_SKIP;
    }
    if (asq__inputs_failure(c)) {
        asq__wcall_fail(c, ASQ_EINPUT, "%s", asq__inputs_failure(c));
        return ASQ__VERDICT_ENDED;
    }
    return ASQ__VERDICT_RUN;
}

/* Returns whether a call waits for another owner of its partition, because it makes an agent of a
 * class that this process lacks. */
static bool makes_unknown(const struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__partition *p = c->entry->part;
    return (job->kind == ASQUEUE__JOB_KIND__CREATE ||
            job->kind == ASQUEUE__JOB_KIND__GET_OR_CREATE) &&
           !asq__actor_object(c->actor)->cls &&
           !asq__registry_find(p->w->config.registry, job->class_name) &&
           asq__check_name("class", job->class_name, NULL, 0) == 0 &&
           (c->actor->calls->lacks_class = asq__lacking_await(p, job->class_name, 0));
}

static enum asq__verdict end_unfit(struct asq__mailbox *m, struct asq__wcall *c)
{
    struct asq__actor *a = actor_of(m);
    if (!end_unstarted(c))
        return ASQ__VERDICT_RUN;
    a->part->w->starts++;
    return asq__actor_is_orphan(a) || has_started_enough(a->part) ? ASQ__VERDICT_STOP
                                                                  : ASQ__VERDICT_ENDED;
}

/* A call that creates or loads the agent runs alone. */
static bool may_share_now(struct asq__mailbox *m, struct asq__wcall *c)
{
    struct asq__actor *a = actor_of(m);
    if (!(flags_of(c) & ASQ_CONCURRENT))
        return false;
    asq__object_preload(asq__actor_object(a));
    return asq__actor_object(a)->live;
}

/* Ends the call of a signal to an agent that is not there. */
static __attribute__((noinline, cold)) void fail_signal(struct asq__wcall *c)
{
    const char *failure = asq__actor_object(c->actor)->failure;
    asq__wcall_fail(c, ASQ_ENOAGENT, "there is no agent '%s': %s%s", asq__wcall_job(c)->agent,
                    failure ? "its creation failed: " : "it was never created, or deleted",
                    failure ? failure : "");
}

static enum asq__verdict prepare(struct asq__mailbox *m, struct asq__wcall *c)
{
    struct asq__process *w = actor_of(m)->part->w;
    if (asq__wcall_job(c)->kind == ASQUEUE__JOB_KIND__SIGNAL) {
        fail_signal(c); /* to an agent that exists it is taken before, see take_signals() */
        return ASQ__VERDICT_ENDED;
    }
    if (c->attempts && w->suspect) {
        w->suspects_waiting++;
        return ASQ__VERDICT_STOP;
    }
    if (makes_unknown(c))
        return ASQ__VERDICT_STOP;
    asq__misplaced_note(c);
    return asq__wcall_job(c)->inputs ? take_inputs(c) : ASQ__VERDICT_RUN;
}

static bool is_concurrent(const struct asq__mailbox *m, const struct asq__wcall *c)
{
    (void) m;
    return flags_of(c) & ASQ_CONCURRENT;
}

static bool exists(const struct asq__mailbox *m)
{
    return asq__actor_object(actor_of(m))->cls;
}

/* Returns whether an active call of the partition is in the chain of callers of a job. */
static bool is_called_from_active(const struct asq__partition *p, const Asqueue__Job *job)
{
    for (size_t i = job->chain->n_links; i > 0; i--) {
        const char *id = job->chain->links[i - 1]->agent;
        const struct asq__actor *a = asq__actors_find(&p->actors, id, strlen(id));
        if (a && a->calls && asq__mailbox_calls(&a->calls->mailbox, job))
            return true;
    }
    return false;
}

static bool has_called_from_active(const struct asq__partition *p, const struct asq__list *queue)
{
    ASQ__LIST_EACH (it, queue) {
        const Asqueue__Job *job = asq__wcall_job(ASQ__CONTAINER(it, struct asq__wcall, node));
        if (job->chain && is_called_from_active(p, job))
            return true;
    }
    return false;
}

bool asq__partition_needs_next_owner(const struct asq__partition *p)
{
    if (!p->wants)
        return false;
    ASQ__LIST_EACH (it, &p->actors.busy) {
        const struct asq__calls *calls = ASQ__CONTAINER(it, struct asq__actor, where)->calls;
        if (calls->lacks_class && (has_called_from_active(p, &calls->mailbox.queue) ||
                                   has_called_from_active(p, &calls->mailbox.reentrant)))
            return true;
    }
    return false;
}

/* Returns whether a draining partition may still start calls of the agent. Such a partition starts
 * only calls on which its active calls may depend, or it would never drain: nested calls of these,
 * after a while any nested calls, and the calls queued before them. */
static bool admits(struct asq__mailbox *m)
{
    const struct asq__partition *p = actor_of(m)->part;
    if (p->state == ASQ__PART_ACTIVE)
        return true;
    bool any = asq__now_ms() > p->drain_patience_ms;
    ASQ__LIST_EACH (it, &m->queue) {
        const Asqueue__Job *job = asq__wcall_job(ASQ__CONTAINER(it, struct asq__wcall, node));
        if (job->chain && (any || is_called_from_active(p, job)))
            return true;
    }
    return false;
}

/* The class is that of the agent; where there is no agent, the one that the call names. */
static bool is_paused(const struct asq__mailbox *m, const struct asq__wcall *c)
{
    const struct asq__actor *a = actor_of(m);
    if (!a->part->w->pauses.n)
        return false;
    const struct asq__class *cls = asq__actor_object(a)->cls;
    return asq__pause_covers(a->part->w, cls ? cls->def.name : asq__wcall_job(c)->class_name);
}

/* Returns whether a pause is known to hold a call that no method has made, and that has not begun:
 * one that was unloaded in a wait has. The class is known once
 * the agent is loaded, which is not done for a call that waits. */
static bool is_held(const struct asq__actor *a, const struct asq__wcall *c)
{
    const struct asq__pauses *p = &a->part->w->pauses;
    return p->n && !c->waits_at &&
           (p->all || (asq__actor_is_loaded(a) && is_paused(&a->calls->mailbox, c)));
}

/* Returns whether a pause holds all calls of the agent, so that nothing is to be done for it. */
static bool are_all_held(const struct asq__actor *a)
{
    const struct asq__mailbox *m = &a->calls->mailbox;
    return a->part->w->pauses.n && !m->n_active && !asq__list_empty(&m->queue) &&
           !asq__mailbox_has_nested(m) &&
           is_held(a, ASQ__CONTAINER(m->queue.next, struct asq__wcall, node));
}

/* Ends those of an agent's waiting calls that are not to run any more; the agent is not loaded for
 * that. Returns whether it was stopped: the partition is lost, or has started enough for now. */
static bool end_unfit_held(struct asq__actor *a)
{
    struct asq__mailbox *m = &a->calls->mailbox;
    ASQ__LIST_EACH (it, &m->queue)
        if (end_unfit(m, ASQ__CONTAINER(it, struct asq__wcall, node)) == ASQ__VERDICT_STOP)
            return true;
    return false;
}

const struct asq__mailbox_hooks asq__dispatch_hooks = { .end_unfit = end_unfit,
                                                        .may_share_now = may_share_now,
                                                        .prepare = prepare,
                                                        .is_concurrent = is_concurrent,
                                                        .exists = exists,
                                                        .admits = admits,
                                                        .is_paused = is_paused };

/* Returns how many concurrent calls of an agent may run or wait for a thread; parked ones do not
 * count. With more, calls of other agents would come behind all of them. */
static unsigned max_sharing(const struct asq__process *w)
{
    return 2 * w->config.capacity + 16;
}

/* Returns the next call to start; NULL: there is none now. */
static struct asq__wcall *next_call(struct asq__actor *a, int64_t now_ns)
{
    struct asq__search search = { &asq__dispatch_hooks, now_ns / 1000000, max_sharing(a->part->w) };
    a->calls->lacks_class = false;
    struct asq__wcall *c = asq__mailbox_next(&a->calls->mailbox, &search);
    if (c)
        return c;
    if (a->calls->lacks_class)
        end_unfit_held(a);
    else if (!are_all_held(a))
        asq__deadlock_note(a);
    return NULL;
}

/* Returns whether an agent with calls is to be loaded. Where calls fail that no worker can run, it
 * is tried again, to see whether one still can. */
static bool is_to_be_loaded(const struct asq__actor *a)
{
    return asq__actor_has_queued(a) && (!a->calls->lacks_class || a->part->w->config.fail_no_class);
}

/* ---- signals ---- */

static bool makes_or_ends_agent(const struct asq__wcall *c)
{
    Asqueue__JobKind kind = asq__wcall_job(c)->kind;
    return kind == ASQUEUE__JOB_KIND__CREATE || kind == ASQUEUE__JOB_KIND__GET_OR_CREATE ||
           kind == ASQUEUE__JOB_KIND__DELETE || kind == ASQUEUE__JOB_KIND__EXPIRE;
}

/* Returns whether the agent is there for signals, whatever it does. While a call has the turn, the
 * object is that call's, but only those that make or end the agent change what is asked here. */
static bool hears_signals(const struct asq__actor *a)
{
    if (!asq__actor_is_loaded(a) || asq__actor_is_orphan(a))
        return false;
    if (a->calls)
        ASQ__LIST_EACH (it, &a->calls->mailbox.active)
            if (makes_or_ends_agent(ASQ__CONTAINER(it, struct asq__active, node)->call))
                return false;
    return asq__actor_object(a)->cls;
}

bool asq__dispatch_hears_signals(const struct asq__partition *p, const char *agent)
{
    const struct asq__actor *a = asq__actors_find(&p->actors, agent, strlen(agent));
    /* Queued signals come first. */
    return a && hears_signals(a) && !(a->calls && a->calls->has_signals);
}

/* Takes the calls of signals that were queued before the agent was there. Returns whether there
 * were any. */
static bool take_signals(struct asq__actor *a)
{
    struct asq__mailbox *m = &a->calls->mailbox;
    struct asq__list *queues[] = { &m->queue, &m->reentrant }, taken, *node;
    if (!a->calls->has_signals || !hears_signals(a))
        return false;
    a->calls->has_signals = false;
    asq__list_init(&taken);
    for (size_t i = 0; i < sizeof queues / sizeof *queues; i++)
        ASQ__LIST_EACH (it, queues[i]) {
            struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
            if (asq__wcall_job(c)->kind != ASQUEUE__JOB_KIND__SIGNAL)
                continue;
            asq__list_del(it);
            asq__list_add(&taken, it);
        }
    bool any = !asq__list_empty(&taken);
    while ((node = asq__list_pop(&taken))) {
        struct asq__wcall *c = ASQ__CONTAINER(node, struct asq__wcall, node);
        if (!end_unstarted(c))
            asq__agent_signals_take(c);
    }
    return any;
}

/* Takes the call of a signal at once, past all calls of the agent, for one of these may wait for
 * it. False: it is queued like any call, until the agent is there. */
static bool take_signal(struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    if (job->kind != ASQUEUE__JOB_KIND__SIGNAL || !asq__list_empty(&c->node))
        return false;
    if (!asq__dispatch_hears_signals(c->entry->part, job->agent))
        return false;
    if (!end_unstarted(c))
        asq__agent_signals_take(c);
    return true;
}

/* ---- reads of live attributes ---- */

/* Answers reads that wait, or begins one of an agent at rest, past all calls that are queued.
 * Returns whether there were any. */
static bool take_reads(struct asq__actor *a)
{
    struct asq__wcall *read = NULL;
    if (!a->calls->has_reads || !hears_signals(a))
        return false;
    if (asq__live_reads_take(a, &read))
        return true;
    if (!read || !admits(&a->calls->mailbox) || is_paused(&a->calls->mailbox, read))
        return false;
    start(a, read, asq__quick_start_ns(&a->part->w->clock));
    return true;
}

static void published(struct asq__handover *h)
{
    struct asq__run *run = ASQ__CONTAINER(h, struct asq__run, published);
    struct asq__wcall *unused;
    if (asq__live_take(run) && run->actor->calls->has_reads && hears_signals(run->actor))
        asq__live_reads_take(run->actor, &unused);
}

/* ---- resuming ---- */

void asq__actor_resume(struct asq__actor *a)
{
    struct asq__partition *p = a->part;
    while (a->calls) {
        struct asq__mailbox *m = &a->calls->mailbox;
        struct asq__wcall *c;
        while ((c = asq__mailbox_resume(m, asq__actor_is_orphan(a)))) {
            asq__measure_resume(asq__run_of(c));
            asq__spans_enter(asq__run_of(c), ASQ__PHASE_RUN);
            asq__pool_wake(p->w->pool, asq__run_of(c)->fiber);
        }
        if (asq__mailbox_turn_is_taken(m, asq__actor_is_orphan(a)))
            return;
        if (asq__actor_is_orphan(a)) {
            if (m->n_active == 0)
                asq__actor_free(a);
            return;
        }
        if (!asq__mailbox_has_queued(m))
            break;
        if (p->recovering || !asq__partition_is_owned(p) || !asq__process_may_start(p->w))
            return; /* asq__actor_resume() is called when that changes */
        if (asq__commits_are_many(p))
            return;
        if (has_started_enough(p))
            return;
        if (!asq__actor_is_loaded(a)) {
            bool held = are_all_held(a);
            if ((held || a->calls->lacks_class) && end_unfit_held(a))
                continue;
            if (held || !is_to_be_loaded(a))
                break;
            asq__actor_request_load(a);
            return;
        }
        if (take_signals(a) || take_reads(a))
            continue;
        if (asq__sleeper_blocks(a)) {
            if (end_unfit_held(a))
                continue;
            break;
        }
        int64_t now_ns = asq__quick_start_ns(&p->w->clock);
        if (!(c = next_call(a, now_ns)))
            break;
        if (!asq__partition_is_owned(p))
            return; /* a call that was not to run has failed, and there was no memory for that */
        start(a, c, now_ns); /* a nonblocking call may have ended */
    }
    asq__actor_passivate(a);
}

void asq__partition_resume(struct asq__partition *p)
{
    if (!asq__partition_is_owned(p))
        return;
    struct asq__list busy, *node;
    asq__list_init(&busy); /* an agent's progress may end others, and lose the partition */
    asq__list_splice(&busy, &p->actors.busy);
    while ((node = asq__list_pop(&busy))) {
        struct asq__actor *a = ASQ__CONTAINER(node, struct asq__actor, where);
        asq__list_add(&p->actors.busy, &a->where);
        if (asq__actor_has_queued(a))
            asq__actor_resume(a);
        if (!asq__list_empty(&p->postponed))
            break; /* the next iteration begins with the others */
    }
    asq__list_splice(&busy, &p->actors.busy);
    asq__list_splice(&p->actors.busy, &busy);
}

bool asq__dispatch_postponed(struct asq__process *w)
{
    struct asq__list parts, *node;
    w->starts = 0;
    asq__list_init(&parts);
    asq__list_splice(&parts, &w->postponed);
    while (w->starts < STARTS_PER_ITERATION && (node = asq__list_pop(&parts)))
        asq__partition_resume(ASQ__CONTAINER(node, struct asq__partition, postponed));
    asq__list_splice(&parts, &w->postponed);
    asq__list_splice(&w->postponed, &parts);
    return !asq__list_empty(&w->postponed);
}

/* ---- calls come, park, wake, end ---- */

/* Loads the call that an agent's first place is kept for, if `c` comes from it: re-entrant calls
 * run while their caller is active, and see the state as it has made it. */
static void wake_caller(struct asq__actor *a, struct asq__wcall *c)
{
    struct asq__wcall *first =
        ASQ__CONTAINER(a->calls->mailbox.queue.next, struct asq__wcall, node);
    if (!c->reentrant && first != c && asq__wcall_is_unloaded(first) &&
        asq__wcall_is_called_by(c, first))
        asq__unload_wake(first);
}

/* Queues a call that has slept outside of the stream in the first place, which was kept for it.
 * Calls that have come meanwhile are behind it; one that comes from it loads it. */
static void join_first(struct asq__actor *a, struct asq__wcall *c)
{
    asq__sleeper_is_back(a);
    asq__mailbox_enqueue_first(&a->calls->mailbox, c);
    ASQ__LIST_EACH (it, &a->calls->mailbox.queue)
        wake_caller(a, ASQ__CONTAINER(it, struct asq__wcall, node));
}

/* Queues a call, and starts none. False: the call has failed. */
static bool join(struct asq__wcall *c)
{
    const Asqueue__Job *job = asq__wcall_job(c);
    struct asq__actor *a = c->actor ? c->actor : asq__actor_of(c->entry->part, job->agent);
    if (!a || !asq__actor_activate(a)) {
        asq__wcall_fail(c, ASQ_ENOMEM, "the worker is out of memory");
        return false;
    }
    c->actor = a;
    a->calls->has_signals |= job->kind == ASQUEUE__JOB_KIND__SIGNAL;
    a->calls->has_reads |= job->kind == ASQUEUE__JOB_KIND__GET;
    if (c->marked && asq__list_empty(&c->node)) {
        join_first(a, c);
        return true;
    }
    asq__mailbox_enqueue(&a->calls->mailbox, c);
    wake_caller(a, c);
    return true;
}

void asq__dispatch_promote(struct asq__wcall *c)
{
    struct asq__actor *a = c->actor;
    if (a && a->calls && asq__mailbox_promote(&a->calls->mailbox, c))
        asq__actor_resume(a);
}

/* Returns whether a call that was queued waits behind others, whatever they wait for. */
static bool waits_behind(const struct asq__wcall *c)
{
    const struct asq__calls *calls = c->actor->calls;
    bool first = calls->mailbox.queue.next == &c->node;
    return is_held(c->actor, c) || (!first && (calls->lacks_class || calls->asks_sleeper));
}

void asq__dispatch_due(struct asq__wcall *c)
{
    if (c->state == ASQ__CALL_DELAYED)
        asq__wcall_enter(c, ASQ__CALL_WAITING);
    if (take_signal(c) || asq__live_reads_answer(c))
        return;
    /* Otherwise each call that comes would have all those before it looked through. */
    if (join(c) && (asq__batch_is_nested(c->entry->batch) || !waits_behind(c)))
        asq__actor_resume(c->actor);
}

void asq__dispatch(struct asq__wcall *c)
{
    switch (asq__later_begin(c)) {
    case ASQ__DUE_NOW: asq__dispatch_due(c); break;
    case ASQ__DUE_IN_PLACE:
        if (join(c) && c->state == ASQ__CALL_WAITING) /* a call that comes from it was there */
            asq__actor_resume(c->actor);
        break;
    case ASQ__DUE_APART:
    case ASQ__DUE_NEVER: break;
    }
}

/* Notes that the suspect no longer runs, so others may. A suspect that parks may wait for just
 * those. */
static void clear_suspect(struct asq__process *w, const struct asq__wcall *c)
{
    if (w->suspect != c)
        return;
    w->suspect = NULL;
    if (!w->suspects_waiting)
        return;
    w->suspects_waiting = 0;
    for (uint32_t i = 0; i < w->nparts; i++)
        asq__partition_resume(&w->parts[i]);
}

static void parks(struct asq__run *run)
{
    struct asq__actor *a = run->actor;
    asq__measure_park(run);
    asq__spans_enter(run, ASQ__PHASE_PARKED);
    asq__mailbox_park(&a->calls->mailbox, run->active.call);
    clear_suspect(run->w, run->active.call);
    /* Calls on which it depends may have come while it ran. */
    asq__actor_resume(a);
}

void asq__run_unpark(struct asq__run *run)
{
    struct asq__actor *a = run->actor;
    if (!asq__run_is_parked(run))
        return;
    asq__mailbox_unpark(&a->calls->mailbox, run->active.call);
    asq__actor_resume(a);
}

/* Marks the outer calls as not to be run again: that would not undo the commit of a re-entrant
 * call. */
static void mark_outer_calls(struct asq__actor *a)
{
    ASQ__LIST_EACH (it, &a->calls->mailbox.active) {
        struct asq__wcall *outer = ASQ__CONTAINER(it, struct asq__active, node)->call;
        if (!outer->reentered && !outer->shared) { /* a call that changes no state can run again */
            outer->reentered = true;
            asq__commit_mark(outer);
        }
    }
}

/* Returns whether what an agent's runs do has no effect any more. */
static bool is_lost(const struct asq__actor *a)
{
    return asq__actor_is_orphan(a) || !asq__partition_is_owned(a->part);
}

/* Puts the effects of an ended run into a commit. False: it has not ended yet, see nested.c. */
static bool end_run(struct asq__run *run)
{
    struct asq__wcall *c = run->active.call;
    struct asq__actor *a = run->actor;
    struct asq__partition *p = a->part;
    struct asq__process *w = run->w;
    struct asq__entry *e = c->entry;
    Asqueue__JobKind kind = asq__wcall_job(c)->kind; /* the entry may go with its result */
    const asq_error *error = run->ctx.error.pub.code ? &run->ctx.error.pub : NULL;
    if (run->undecided) {
        asq__run_enter(run, ASQ__RUN_RETURNED);
        return false;
    }
    asq__assert(c->state == ASQ__CALL_RUNNING && e->unfinished > 0);
    asq__mailbox_end(&a->calls->mailbox, c);
    asq__actor_object(a)->depth -= c->shared;
    if (!run->unloads) {
        asq__counter_add(&w->calls, 1);
        if (error) {
            asq__counter_add(&w->failures, 1);
            if (run->times.series)
                asq__measure_end(run, error->code);
        }
    }
    asq__emits_end(run);
    asq__live_end(run);
    asq__nested_end(run);
    if (is_lost(a)) {
        if (run->times.series && !run->unloads && !error)
            asq__measure_end(run, 0);
        for (size_t i = 0; i < run->ninner; i++)
            asq__engine_unpin(w->engine, run->inner[i].id, ASQ__RECORD_LEAVE, 0);
        asq__unload_wait_free(run->unload_wait);
        asq__wcall_enter(c, ASQ__CALL_FINISHED);
        e->unfinished--;
        asq__inputs_free(c->inputs);
        c->inputs = NULL;
        asq__run_free(run);
        asq__entry_release_if_done(e);
        return true;
    }
    p->n_active--;
    if (a->calls->mailbox.n_active && run->effect.kind != ASQ__EFFECT_NONE)
        mark_outer_calls(a);
    if (run->unloads) {
        asq__unload_end(run);
    } else if (!error || !asq__later_retry(c, run)) {
        asq__wcall_enter(c, ASQ__CALL_FINISHED);
        asq__inputs_free(c->inputs);
        c->inputs = NULL;
        if (run->effect.kind == ASQ__EFFECT_DELETE && !error)
            asq__agent_signals_delete(c);
        if (run->effect.value.len > QUICK_BYTES ||
            (run->effect.snapshot && run->effect.snapshot->n > QUICK_BYTES))
            asq__quick_interrupt(&w->clock);
        asq__commit_result(c, run, error);
    }
    if (e->apart || e->resting)
        asq__later_move_out(e);
    asq__run_free(run);
    asq__actor_note_size(a);
    asq__actor_unload_created(a, kind);
    return true;
}

static void finished(struct asq__handover *h)
{
    struct asq__run *run = ASQ__CONTAINER(h, struct asq__run, finished);
    struct asq__process *w = run->w;
    struct asq__wcall *c = run->active.call;
    struct asq__actor *a = run->actor;
    struct asq__partition *p = a->part;
    if (!end_run(run))
        return;
    asq__actor_resume(a); /* frees an orphan with its last run */
    asq__partition_release_if_empty(p);
    clear_suspect(w, c);
}

const struct asq__run_hooks asq__dispatch_run_hooks = {
    .finished = finished, .parks = parks, .unpark = asq__run_unpark, .published = published
};

bool asq__dispatch_run_due(struct asq__process *w)
{
    struct asq__wcall *c;
    struct asq__actor *a;
    bool any = false;
    while ((c = asq__delay_next_due(w))) {
        asq__dispatch_due(c);
        any = true;
    }
    while ((a = asq__actors_next_to_resume(&w->actors))) {
        asq__actor_resume(a);
        any = true;
    }
    return any;
}
