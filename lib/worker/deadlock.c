/*
 * deadlock.c: finds calls that wait for each other in a cycle, and fails one of them. A chain of
 * callers that comes back to an agent is admitted (dispatch.c). A cycle needs two chains: A calls B
 * while B calls A.
 *
 * When calls to an agent wait and no run of it moves, a probe is sent for it. The probe collects
 * what the active runs of the agent wait for, then what these calls wait for in turn, and so on.
 * Waits in this process are known at once. For the others the probe travels, as a job to the
 * partition of a call that is unknown yet, with everything seen so far (waits.h). When the waits
 * contain a cycle with one of the agent's queued calls, the probe visits the cycle once more. It
 * ends at that call, which has not begun and is failed.
 *
 * Proof that a failed call is in a cycle: the probe has seen its waits at different times. But each
 * call of the cycle was seen in its wait before the moment at which the cycle was complete, and is
 * seen again, in the same wait, after it. So at that moment all of them waited for each other. Such
 * calls stay as they are until a timeout, a cancel or the end of another cycle; then some wait
 * differs, unless that happens unseen within one iteration. A worker that dies, or has lost its
 * partition, says nothing; the next owner runs the call again, and its waits have other numbers. A
 * worker that was not heard for a while does not take part.
 *
 * Proof that a cycle is found: the last of its calls that began to wait made its agent stuck, or
 * one more call waits for a stuck agent, and a probe is sent soon after (`changed`). Each agent's
 * probe ends at calls queued for an agent with a greater id, which soon sends a probe itself. So
 * only the probe of the greatest agent visits the whole cycle, and one call is failed, not all.
 * While they are stuck, agents repeat their probes now and then, because probes get lost and for
 * rarer cases.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/handle.h"
#include "redis/redis.h"
#include "redis/timer.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/grow.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/unconst.h"
#include "value/value.h"
#include "worker/actor_memory.h"
#include "worker/allowed.h"
#include "worker/core/actor.h"
#include "worker/core/blockers.h"
#include "worker/core/entry.h"
#include "worker/core/waits.h"
#include "worker/deadlock.h"
#include "worker/entries.h"
#include "worker/exec/run.h"
#include "worker/inputs.h"
#include "worker/nested.h"
#include "worker/outcome.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/unload_wait.h"

enum {
    FIRST_MS = 20,    /* pause before a probe; doubles with each */
    CHANGED_MS = 160, /* longest pause after a change */
    PAUSE_MS = 1000,  /* longest pause in any case */
    /* Lifetime of a probe in ms: all its steps must fit in, on a busy machine, and there may be two
     * for each call of a cycle. */
    BORN_AT_MOST = 30000,
    LOOK_AT_ONCE = 1000, /* agents */
    LOOK_BUDGET = 200,   /* probes */
    SENDING_COSTS = 20,  /* cost of one that is sent, in probes of the budget */
    QUEUE_SEEN = 1000,   /* calls of a queue that are searched for the blocking ones */
    FRESH_PROBES = 4,
    MAX_SHOWN = 24, /* calls in the message */
    MESSAGE_SIZE = 16384
};

static struct asq__actor *actor_of(const struct asq__probing *p)
{
    return ASQ__CONTAINER(p, struct asq__calls, probing)->actor;
}

struct search {
    const char *agent;
    uint64_t born_ms;
    bool fresh;
    size_t path_length; /* see asq__waits_cycle; 0: still searching */
    struct asq__waits waits;
};

/* ---- what a call waits for ---- */

struct view {
    bool waits, queued, any;
    uint64_t wait;
    const char *agent;
    struct asq__call_id *to;
    size_t n, cap, steps; /* steps: for all that is viewed */
    bool out_of_memory;
};

static void add_target(struct view *v, const struct asq__call_id *id)
{
    if (asq__grow(&v->to, v->n, &v->cap, sizeof *v->to))
        v->to[v->n++] = *id;
    else
        v->out_of_memory = true;
}

static bool add_result(void *user, const asq_result *r)
{
    struct view *v = user;
    add_target(v, &r->id);
    return !v->out_of_memory && v->n <= ASQ__WAITS_CALLS;
}

static bool add_id(void *user, const struct asq__call_id *id)
{
    struct view *v = user;
    add_target(v, id);
    return !v->out_of_memory && v->n <= ASQ__WAITS_CALLS;
}

/* Cuts down what a call waits for to what is of use. */
static void take_kind(struct view *v, enum asq__wait kind)
{
    v->any = kind == ASQ__WAIT_ANY;
    if (kind == ASQ__WAIT_OTHER)
        v->n = 0;
    else if (!v->any && v->n > ASQ__BLOCKERS_MAX)
        v->n = ASQ__BLOCKERS_MAX;
}

static void view_parked(const struct asq__wcall *c, struct view *v)
{
    const struct asq__run *run = asq__run_of(c);
    v->wait = 2 * run->wait;
    take_kind(v, asq__nested_waits_for(run, add_result, v));
}

static void view_unloaded(const struct asq__wcall *c, struct view *v)
{
    v->wait = 2 * asq__unload_wait_number(c->unload_wait);
    take_kind(v, asq__unload_wait_visit(c->unload_wait, add_id, v));
}

static void add_blocker(void *user, const struct asq__wcall *c)
{
    struct asq__call_id id = asq__wcall_call_id(c);
    add_target(user, &id);
}

static void view_resumable(const struct asq__wcall *c, struct view *v)
{
    struct asq__blockers b = { .add = add_blocker, .user = v };
    v->wait = 2 * asq__run_of(c)->wait + 1;
    asq__blockers_of_resumable(&c->actor->calls->mailbox, c, &b);
}

static void view_queued(const struct asq__wcall *c, struct view *v)
{
    struct asq__call_id input;
    v->queued = true;
    if (c->state == ASQ__CALL_INPUTS)
        while (v->n < ASQ__BLOCKERS_MAX && asq__inputs_pending(c, v->n, &input))
            add_target(v, &input);
    struct asq__blockers b = { .add = add_blocker, .user = v, .n = v->n, .steps = v->steps };
    asq__blockers_of_queued(&c->actor->calls->mailbox, c->entry->part->w->mailbox_hooks, c, &b);
    v->steps = b.steps;
    v->any = b.any;
}

/* Views what a call waits for now. No edge: it is gone, runs, or will resume by itself. */
static void view_call(const struct asq__wcall *c, struct view *v)
{
    v->n = 0;
    v->queued = v->any = false;
    v->wait = 0;
    v->agent = c && c->actor ? c->actor->id : "";
    if (!c || !c->actor || asq__actor_is_moving(c->actor))
        return;
    if (c->state == ASQ__CALL_PARKED)
        view_parked(c, v);
    else if (c->state == ASQ__CALL_RESUMABLE)
        view_resumable(c, v);
    else if (asq__wcall_waits_unloaded(c))
        view_unloaded(c, v);
    else if (c->state == ASQ__CALL_WAITING || c->state == ASQ__CALL_INPUTS)
        view_queued(c, v);
    if (v->out_of_memory)
        v->n = 0;
}

/* ---- the search ---- */

static struct asq__partition *own_partition(struct asq__process *w, const char *call,
                                            struct asq__call_id *ret)
{
    if (asq__call_id_parse(call, ret) < 0 || !asq__redis_reach(w->redis, ret->partition))
        return NULL;
    struct asq__partition *p = &w->parts[ret->partition];
    return asq__partition_is_owned(p) ? p : NULL;
}

static void set_known(struct asq__waits *waits, uint32_t at, const struct view *v)
{
    char id[ASQ__CALL_ID_TEXT];
    uint32_t *targets = malloc((v->n + 1) * sizeof *targets);
    if (!targets) {
        waits->full = true;
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        asq__call_id_format(&v->to[i], id);
        targets[i] = asq__waits_place(waits, id);
    }
    if (!waits->full)
        asq__waits_know(waits, at, v->agent, targets, v->n, v->any);
    waits->calls[at]->wait = v->wait;
    waits->calls[at]->queued = v->queued;
    free(targets);
}

/* Sends the probe of a greater agent soon, because this one ends there. */
static void hurry(struct asq__actor *a);

/* Visits all calls that are not known yet and that this process owns. Returns one of another
 * process. */
static const struct asq__waiter *explore(struct asq__process *w, struct search *s, struct view *v)
{
    const struct asq__waiter *elsewhere = NULL;
    struct asq__call_id id;
    for (uint32_t i = 0; i < s->waits.n && !s->waits.full; i++) {
        const struct asq__waiter *at = s->waits.calls[i];
        if (v->steps > ASQ__BLOCKERS_STEPS)
            s->waits.full = true; /* too expensive: a stuck agent sends another probe */
        if (at->known)
            continue;
        struct asq__partition *p = own_partition(w, at->call, &id);
        if (!p) {
            elsewhere = elsewhere ? elsewhere : at;
            continue;
        }
        struct asq__wcall *c = asq__wcall_find(p, &id);
        view_call(c, v);
        if (v->queued && v->n && strcmp(v->agent, s->agent) > 0) {
            if (s->fresh)
                hurry(c->actor);
            v->n = 0;
        }
        set_known(&s->waits, i, v);
    }
    return elsewhere;
}

/* Returns whether a call of the cycle is in the same wait as before. */
static bool is_as_before(const struct asq__waits *waits, const struct asq__waiter *at,
                         const struct asq__wcall *c, struct view *v)
{
    char id[ASQ__CALL_ID_TEXT];
    size_t waiting = 0;
    view_call(c, v);
    if (v->queued != at->queued || v->wait != at->wait || v->n == 0)
        return false;
    for (size_t i = 0; i < v->n; i++) {
        asq__call_id_format(&v->to[i], id);
        waiting += asq__table_find(&waits->table, id, strlen(id)) != NULL;
    }
    return v->any ? waiting == v->n : waiting > 0;
}

/* Checks calls of this process: unchecked ones, or all. False: there is no cycle any more. */
static bool check(struct asq__process *w, struct search *s, bool all, struct view *v,
                  const struct asq__waiter **ret_elsewhere)
{
    struct asq__call_id id;
    *ret_elsewhere = NULL;
    for (size_t i = 0; i < s->waits.n; i++) {
        struct asq__waiter *at = s->waits.calls[i];
        struct asq__partition *p = own_partition(w, at->call, &id);
        if (p && (all || !at->checked)) {
            if (!is_as_before(&s->waits, at, asq__wcall_find(p, &id), v))
                return false;
            at->checked = true;
        } else if (!at->checked) {
            *ret_elsewhere = at;
        }
    }
    return true;
}

/* ---- the end ---- */

static void write_path(const struct search *s, struct asq__buf *text)
{
    const struct asq__waits *waits = &s->waits;
    size_t shown = 0, left_out = 0;
    bool any = false;
    for (size_t i = 0; i < waits->n; i++)
        any |= waits->calls[i]->any && waits->calls[i]->n > 1;
    asq__buf_printf(text, "a deadlock: this call waits for agent '%s'",
                    waits->calls[1 % s->path_length]->agent);
    for (size_t i = 1; i < s->path_length; i++) {
        const struct asq__waiter *at = waits->calls[i],
                                 *next = waits->calls[(i + 1) % s->path_length];
        if (at->queued && strcmp(at->agent, next->agent) == 0)
            continue; /* waits for the run that has the agent, which is named instead */
        if (shown < MAX_SHOWN || i + 2 >= s->path_length) {
            if (left_out)
                asq__buf_printf(text, ", … (%zu are left out)", left_out);
            left_out = 0;
            shown++;
            asq__buf_printf(text, ", whose call %s waits for agent '%s'", at->call, next->agent);
        } else {
            left_out++;
        }
    }
    if (any)
        asq__buf_printf(
            text,
            "; a call among them that waits for any of several calls cannot get one, because the "
            "others cannot end either");
    asq__buf_putc(text, '\0');
}

static void fail_call(const struct search *s, struct asq__wcall *c)
{
    struct asq__actor *a = c->actor;
    struct asq__buf text;
    asq__buf_init(&text, MESSAGE_SIZE);
    write_path(s, &text);
    asq__wcall_fail(c, ASQ_EDEADLK, "%s",
                    text.error ? "a deadlock: calls wait for each other in a cycle"
                               : (const char *) text.data);
    asq__buf_release(&text);
    if (a->calls)
        asq__actor_resume_later(a); /* for the calls behind it */
}

/* ---- probes ---- */

static bool send_on(struct asq__process *w, const struct search *s, const struct asq__waiter *to)
{
    const struct asq__waits *waits = &s->waits;
    struct asq__call_id id;
    Asqueue__Probe probe;
    Asqueue__Waiting *calls = calloc(waits->n, sizeof *calls);
    Asqueue__Waiting **list = calloc(waits->n, sizeof(Asqueue__Waiting *));
    bool ok = calls && list && asq__call_id_parse(to->call, &id) == 0 &&
              asq__redis_reach(w->redis, id.partition);
    for (size_t i = 0; ok && i < waits->n; i++) {
        const struct asq__waiter *c = waits->calls[i];
        list[i] = &calls[i];
        asqueue__waiting__init(&calls[i]);
        calls[i].call = asq__unconst(c->call);
        calls[i].agent = asq__unconst(c->agent);
        calls[i].wait = c->wait;
        calls[i].known = c->known;
        calls[i].queued = c->queued;
        calls[i].any = c->any;
        calls[i].checked = c->checked;
        calls[i].targets = c->targets;
        calls[i].n_targets = c->n;
    }
    asqueue__probe__init(&probe);
    probe.agent = asq__unconst(s->agent);
    probe.born_ms = s->born_ms;
    probe.fresh = s->fresh;
    probe.way = (uint32_t) s->path_length;
    probe.calls = list;
    probe.n_calls = waits->n;
    ok = ok && asq__engine_probe(w->engine, &id, &probe) == 0;
    free(calls);
    free(list);
    return ok;
}

/* Moves the probe on. True: it was sent to another process. */
static bool advance(struct asq__process *w, struct search *s)
{
    struct view v = { 0 };
    struct asq__call_id id;
    const struct asq__waiter *to = NULL;
    struct asq__wcall *victim = NULL;
    bool leaves = false;
    if (s->path_length == 0) {
        to = explore(w, s, &v);
        s->path_length = asq__waits_cycle(&s->waits, s->agent);
        leaves = s->path_length == 0 && to && !s->waits.full;
    }
    if (s->path_length && !s->waits.full && check(w, s, false, &v, &to)) {
        struct asq__partition *p = own_partition(w, s->waits.calls[0]->call, &id);
        if (!to && p && check(w, s, true, &v, &to))
            victim = asq__wcall_find(p, &id);
        else if (!p || to)
            leaves = true;
        if (leaves && !to)
            to = s->waits.calls[0];
    }
    free(v.to);
    if (leaves)
        leaves = send_on(w, s, to);
    if (victim)
        fail_call(s, victim);
    return leaves;
}

static uint64_t redis_now_ms(const struct asq__process *w)
{
    return (uint64_t) (asq__now_ms() + w->redis_minus_mono_ms);
}

static bool takes_part(const struct asq__process *w)
{
    return w->redis_clock_known && w->members && asq__process_is_alive(w);
}

void asq__deadlock_probe(struct asq__process *w, const Asqueue__Probe *probe)
{
    struct search s = { .agent = probe->agent,
                        .born_ms = probe->born_ms,
                        .fresh = probe->fresh,
                        .path_length = probe->way };
    int64_t now_ns = asq__now_ns(), begun_ns = asq__thread_ns();
    if (!takes_part(w) || redis_now_ms(w) > probe->born_ms + BORN_AT_MOST ||
        !asq__allowance_left(&w->probe_time, now_ns) || asq__waits_init(&s.waits) < 0)
        return;
    for (size_t i = 0; i < probe->n_calls; i++)
        if (asq__waits_place(&s.waits, probe->calls[i]->call) != i)
            s.waits.full = true; /* named twice */
    for (size_t i = 0; i < probe->n_calls && !s.waits.full; i++) {
        const Asqueue__Waiting *from = probe->calls[i];
        struct asq__waiter *c = s.waits.calls[i];
        if (from->known)
            asq__waits_know(&s.waits, (uint32_t) i, from->agent, from->targets, from->n_targets,
                            from->any);
        c->wait = from->wait;
        c->queued = from->queued;
        c->checked = from->checked;
    }
    if (!s.waits.full)
        advance(w, &s);
    asq__waits_release(&s.waits);
    /* Writers of the stream may send any number of probes. A dropped one is sent again while its
     * agent is stuck; but one of a long cycle makes many steps, so that hardly any may be dropped.
     * On a busy machine a thread that waits for a processor uses no time. */
    asq__allowance_use(&w->probe_time, now_ns, asq__thread_ns() - begun_ns);
}

/* ---- stuck agents ---- */

static void add_root(struct search *s, const struct asq__wcall *c)
{
    char id[ASQ__CALL_ID_TEXT];
    asq__wcall_id(c, id);
    asq__waits_place(&s->waits, id);
}

static bool waits_for_one(void *user, const asq_result *r)
{
    (void) user;
    (void) r;
    return false;
}

/* Adds the active runs of the agent, as far as they wait for calls, and calls that do without. */
static void add_roots(struct search *s, const struct asq__actor *a)
{
    const struct asq__mailbox *m = &a->calls->mailbox;
    const struct asq__list *queues[] = { &m->queue, &m->reentrant };
    ASQ__LIST_EACH (it, &m->active) {
        const struct asq__run *run = ASQ__CONTAINER(it, struct asq__run, active.node);
        if (asq__nested_waits_for(run, waits_for_one, NULL) != ASQ__WAIT_OTHER)
            add_root(s, run->active.call);
    }
    for (int i = 0; i < 2; i++) {
        int seen = 0;
        ASQ__LIST_EACH (it, queues[i]) {
            const struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
            if (c->state == ASQ__CALL_INPUTS || asq__wcall_waits_unloaded(c))
                add_root(s, c);
            if (++seen == QUEUE_SEEN)
                break;
        }
    }
}

/* Probes for an agent. True: a probe was sent. */
static bool probe_agent(struct asq__probing *p)
{
    const struct asq__actor *a = actor_of(p);
    struct asq__process *w = a->part->w;
    struct search s = { .agent = a->id,
                        .born_ms = redis_now_ms(w),
                        .fresh = p->changed || p->probes <= FRESH_PROBES };
    p->changed = false;
    if (asq__waits_init(&s.waits) < 0)
        return false;
    add_roots(&s, a);
    bool left = s.waits.n && advance(w, &s);
    asq__waits_release(&s.waits);
    return left;
}

static void schedule_probes(struct asq__process *w, int64_t at_ms)
{
    if (at_ms >= w->probe_ms)
        return;
    int64_t left = at_ms - asq__now_ms();
    w->probe_ms = at_ms;
    ev_now_update(w->loop);
    asq__timer_restart(w->loop, &w->probe, (double) (left > 0 ? left : 0) / 1000, 0.);
}

static int64_t pause_ms(const struct asq__probing *p, int64_t most)
{
    int64_t pause = (int64_t) FIRST_MS << (p->probes < 10 ? p->probes : 10);
    return pause < most ? pause : most;
}

static void hurry(struct asq__actor *a)
{
    asq__deadlock_note(a);
}

/* Returns whether calls wait for the agent: not just one that it has unloaded. */
static bool is_waited_for(const struct asq__actor *a)
{
    if (!asq__actor_has_queued(a))
        return false;
    const struct asq__mailbox *m = &a->calls->mailbox;
    const struct asq__list *first = m->queue.next;
    return first == &m->queue || first->next != &m->queue || !asq__list_empty(&m->reentrant) ||
           !asq__wcall_is_unloaded(ASQ__CONTAINER(first, struct asq__wcall, node));
}

void asq__deadlock_note(struct asq__actor *a)
{
    struct asq__process *w = a->part->w;
    if (asq__actor_is_orphan(a) || !is_waited_for(a) || a->calls->mailbox.n_sharing)
        return;
    struct asq__probing *p = &a->calls->probing;
    int64_t now = asq__now_ms_coarse();
    if (asq__list_empty(&p->node)) {
        *p = (struct asq__probing){ .probe_ms = now + FIRST_MS };
        asq__list_init(&p->node);
        asq__list_add(&w->stuck_actors, &p->node);
    } else if (!p->changed) {
        int64_t soon = p->probed_ms + pause_ms(p, CHANGED_MS);
        if (soon < now + FIRST_MS)
            soon = now + FIRST_MS;
        if (soon < p->probe_ms)
            p->probe_ms = soon;
    } else {
        return; /* one is due soon */
    }
    p->changed = true;
    schedule_probes(w, p->probe_ms);
}

static void on_probe_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct asq__process *w = timer->data;
    struct asq__list probed, *node;
    int64_t now = asq__now_ms(), next = INT64_MAX;
    int budget = LOOK_BUDGET;
    (void) loop;
    (void) revents;
    w->probe_ms = INT64_MAX;
    asq__list_init(&probed);
    bool can = w->parts && takes_part(w);
    for (int i = 0; i < LOOK_AT_ONCE && budget > 0; i++) {
        if (!(node = asq__list_pop(&w->stuck_actors)))
            break;
        struct asq__probing *p = ASQ__CONTAINER(node, struct asq__probing, node);
        const struct asq__actor *a = actor_of(p);
        if (!asq__partition_is_owned(a->part) || asq__actor_is_moving(a) || !is_waited_for(a))
            continue;
        asq__list_add(&probed, node); /* failing a call may take it out of there */
        if (p->probe_ms <= now) {
            p->probes++;
            p->probed_ms = now;
            p->probe_ms = now + pause_ms(p, PAUSE_MS);
            if (can)
                budget -= probe_agent(p) ? SENDING_COSTS : 1; /* `p` may be freed now */
        }
    }
    bool more = !asq__list_empty(&w->stuck_actors);
    ASQ__LIST_EACH (it, &probed) {
        const struct asq__probing *p = ASQ__CONTAINER(it, struct asq__probing, node);
        if (p->probe_ms < next)
            next = p->probe_ms;
    }
    asq__list_splice(&w->stuck_actors, &probed);
    if (more && next > now + FIRST_MS)
        next = now + FIRST_MS;
    if (next != INT64_MAX)
        schedule_probes(w, next);
}

void asq__deadlock_init(struct asq__process *w)
{
    w->waits = w->client_number; /* other processes begin elsewhere */
    w->probe_ms = INT64_MAX;
    ev_timer_init(&w->probe, on_probe_time, 0., 0.);
    w->probe.data = w;
}
