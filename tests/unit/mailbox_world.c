/*
 * mailbox_world.c: see mailbox_world.h.
 */
#include "mailbox_world.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/random_steps.h"

struct agent agents[AGENTS];
struct call calls[CALLS];
unsigned n_calls;
struct world world;
uint64_t seed;
static unsigned arrivals;
static int64_t now_ms;

/* ---- hooks ---- */

static struct queue ended; /* calls that a search has ended, whose results arrive after it */

void leave_queue(struct call *c)
{
    queue_take_out(&agents[c->agent].waiting, c);
    queue_take_out(&agents[c->agent].reentrant, c);
}

static enum asq__verdict end_unfit(struct asq__mailbox *m, struct asq__wcall *w)
{
    struct call *c = call_of(w);
    (void) m;
    if (!c->unfit)
        return ASQ__VERDICT_RUN;
    asq__mailbox_remove(w);
    asq__wcall_enter(w, ASQ__CALL_FINISHED);
    leave_queue(c);
    queue_append(&ended, c);
    return ASQ__VERDICT_ENDED;
}

static bool is_concurrent(const struct asq__mailbox *m, const struct asq__wcall *w)
{
    (void) m;
    return call_of(w)->concurrent;
}

static bool may_share_now(struct asq__mailbox *m, struct asq__wcall *w)
{
    return call_of(w)->concurrent && agent_of(m)->exists;
}

static enum asq__verdict prepare(struct asq__mailbox *m, struct asq__wcall *w)
{
    struct call *c = call_of(w);
    (void) m;
    if (!c->inputs)
        return ASQ__VERDICT_RUN;
    if (w->state == ASQ__CALL_WAITING)
        asq__wcall_enter(w, ASQ__CALL_INPUTS);
    return waits_for_inputs(c) ? ASQ__VERDICT_SKIP : ASQ__VERDICT_RUN;
}

static bool exists(const struct asq__mailbox *m)
{
    return agent_of(m)->exists;
}

static bool admits(struct asq__mailbox *m)
{
    return agent_of(m)->admits;
}

static bool is_paused(const struct asq__mailbox *m, const struct asq__wcall *w)
{
    (void) w;
    return agent_of(m)->paused;
}

const struct asq__mailbox_hooks hooks = { end_unfit, may_share_now, prepare,  is_concurrent,
                                          exists,    admits,        is_paused };

/* ---- steps ---- */

void enqueue(struct call *c)
{
    struct agent *a = &agents[c->agent];
    c->reentrant = is_called_from_active(a, c);
    queue_append(c->reentrant ? &a->reentrant : &a->waiting, c);
    asq__mailbox_enqueue(&a->m, wcall(c));
    ck_assert_msg(wcall(c)->reentrant == c->reentrant, "seed %llu: call %s is %sre-entrant",
                  (unsigned long long) seed, c->text, c->reentrant ? "not " : "");
}

struct call *make(struct call *parent)
{
    struct call *c = &calls[n_calls];
    memset(c, 0, sizeof *c);
    c->entry = calloc(1, sizeof *c->entry + sizeof c->entry->calls[0]);
    ck_assert_ptr_nonnull(c->entry);
    c->agent = (int) below(world.agents);
    c->concurrent = percent(world.concurrent);
    c->parent = parent;
    c->depth = parent ? parent->depth + 1 : 0;
    c->id[0] = (uint8_t) n_calls;
    c->id[1] = (uint8_t) (n_calls >> 8);
    snprintf(c->reply, sizeof c->reply, "p%u", below(world.programs));
    asqueue__batch__init(&c->batch);
    asqueue__job__init(&c->job);
    asqueue__chain__init(&c->chain);
    c->batch.id.data = c->id;
    c->batch.id.len = sizeof c->id;
    c->batch.reply = c->reply;
    c->job.agent = agents[c->agent].id;
    c->job.kind = percent(8) ? ASQUEUE__JOB_KIND__CREATE : ASQUEUE__JOB_KIND__CALL;
    for (struct call *p = parent; p; p = p->parent) {
        Asqueue__Link *link = &c->links[p->depth];
        asqueue__link__init(link);
        link->call = p->text;
        link->agent = agents[p->agent].id;
        c->list[p->depth] = link;
        c->chain.links = c->list;
        c->chain.n_links++;
        c->job.chain = &c->chain;
    }
    c->entry->batch = &c->batch;
    c->jobs[0] = &c->job;
    c->batch.jobs = c->jobs;
    c->batch.n_jobs = 1;
    wcall(c)->entry = c->entry;
    asq__list_init(&wcall(c)->node);
    asq__wcall_id(wcall(c), c->text);
    if (n_calls && percent(world.inputs)) {
        struct call *of = &calls[below(n_calls)];
        for (int i = 0; i < 4 && of->finished; i++)
            of = &calls[below(n_calls)];
        /* A result of the call itself or of its callers would never arrive. */
        c->inputs = of == parent || is_ancestor(of, c) ? NULL : of;
    }
    c->unfit = percent(4);
    if (percent(4))
        wcall(c)->not_before_ms = now_ms + 1 + below(5);
    c->arrival = ++arrivals;
    n_calls++;
    return c;
}

void wake_parents(void)
{
    for (unsigned i = 0; i < n_calls; i++) {
        struct call *c = &calls[i];
        unsigned finished = 0;
        if (wcall(c)->state != ASQ__CALL_PARKED)
            continue;
        for (unsigned k = 0; k < c->n_children; k++)
            finished += c->children[k]->finished;
        if ((c->wait == ALL_OF_THEM && finished == c->n_children) ||
            (c->wait == ANY_OF_THEM && finished))
            asq__mailbox_unpark(&agents[c->agent].m, wcall(c));
    }
}

void start(struct agent *a, struct call *c)
{
    struct call *inner = innermost(a);
    ck_assert_msg(!count_running(a, false), "seed %llu: %s runs beside a call that runs alone",
                  (unsigned long long) seed, c->text);
    ck_assert_msg(wcall(c)->shared || !count_running(a, true),
                  "seed %llu: %s runs beside calls that share", (unsigned long long) seed, c->text);
    ck_assert_msg(!inner || is_ancestor(inner, c),
                  "seed %llu: %s enters %s, which does not wait for it", (unsigned long long) seed,
                  c->text, inner ? inner->text : "");
    for (unsigned i = 0; !c->started && i < n_calls; i++) {
        const struct call *other = &calls[i];
        ck_assert_msg(other == c || other->agent != c->agent || !has_one_caller(other, c) ||
                          other->arrival > c->arrival || other->started || other->finished,
                      "seed %llu: %s overtakes %s of the same caller", (unsigned long long) seed,
                      c->text, other->text);
    }
    queue_take_out(&a->waiting, c);
    queue_take_out(&a->reentrant, c);
    queue_append(&a->active, c);
    c->reentrant = false;
    c->started = 1;
    memcpy(c->active.id, c->text, sizeof c->text);
    c->active.call = wcall(c);
    asq__mailbox_start(&a->m, wcall(c), &c->active, c->may_have_begun);
    for (unsigned i = 0; c->may_have_begun && i < a->waiting.n;) {
        struct call *queued = a->waiting.calls[i];
        if (is_called_from_active(a, queued)) {
            queued->reentrant = true;
            queue_take_out(&a->waiting, queued);
            queue_append(&a->reentrant, queued);
        } else {
            i++;
        }
    }
}

static void finish_ended(void)
{
    while (ended.n)
        ended.calls[--ended.n]->finished = true;
}

void resume(struct agent *a)
{
    struct asq__wcall *w;
    struct asq__search search = { &hooks, now_ms, MAX_SHARING };
    while (!asq__mailbox_turn_is_taken(&a->m, false)) {
        struct call *should = expected(a, now_ms);
        w = asq__mailbox_next(&a->m, &search);
        finish_ended();
        ck_assert_msg(should == (w ? call_of(w) : NULL), "seed %llu: %s is next at %s, not %s",
                      (unsigned long long) seed, w ? call_of(w)->text : "none", a->id,
                      should ? should->text : "none");
        if (!w)
            return;
        start(a, call_of(w));
    }
    while ((w = asq__mailbox_resume(&a->m, false))) {
        struct call *c = call_of(w);
        ck_assert_msg(w->shared || innermost(a) == c, "seed %llu: %s resumes under a later call",
                      (unsigned long long) seed, c->text);
        ck_assert(count_running(a, false) == !w->shared && (w->shared || !count_running(a, true)));
        c->wait = NOTHING;
    }
}

static void leave_active(struct agent *a, struct call *c)
{
    queue_take_out(&a->active, c);
    for (unsigned i = a->reentrant.n; !a->active.n && i > 0; i--) {
        struct call *back = a->reentrant.calls[i - 1];
        back->reentrant = false;
        queue_take_out(&a->reentrant, back);
        queue_prepend(&a->waiting, back);
    }
}

void end(struct call *c)
{
    struct agent *a = &agents[c->agent];
    if (is_creation(c))
        a->exists = true;
    asq__mailbox_end(&a->m, wcall(c));
    asq__wcall_enter(wcall(c), ASQ__CALL_FINISHED);
    leave_active(a, c);
    c->finished = true;
}

/* The run fails, and the call keeps its place until it is due again. */
static void retry_in_place(struct call *c)
{
    struct agent *a = &agents[c->agent];
    asq__mailbox_end(&a->m, wcall(c));
    asq__wcall_enter(wcall(c), ASQ__CALL_DELAYED);
    wcall(c)->keeps_place = true;
    leave_active(a, c);
    c->may_have_begun = true;
    c->reentrant = a->active.n > 0;
    queue_prepend(c->reentrant ? &a->reentrant : &a->waiting, c);
    asq__mailbox_enqueue_first(&a->m, wcall(c));
    c->n_children = 0; /* the next run makes calls of its own */
}

static void park(struct call *c, enum wait wait)
{
    c->wait = wait;
    asq__mailbox_park(&agents[c->agent].m, wcall(c));
    for (unsigned i = 0; i < c->n_children; i++) {
        struct call *child = c->children[i];
        struct agent *a = &agents[child->agent];
        /* A repeated run finds the calls of the run before. */
        if (asq__mailbox_promote(&a->m, wcall(child))) {
            child->reentrant = true;
            queue_take_out(&a->waiting, child);
            queue_append(&a->reentrant, child);
        }
    }
}

static void wait_for_children(struct call *c)
{
    unsigned n = 1 + below(CHILDREN);
    for (unsigned i = 0; i < n && c->n_children < n && n_calls < CALLS; i++) {
        struct call *child = make(c);
        c->children[c->n_children++] = child;
        enqueue(child);
    }
    park(c, c->n_children > 1 && percent(40) ? ANY_OF_THEM : ALL_OF_THEM);
}

/* Makes one step of a running call. */
static void act(struct call *c)
{
    unsigned what = below(10);
    if (what < 4 && c->depth + 1 < DEPTH && n_calls + CHILDREN < CALLS)
        wait_for_children(c);
    else if (what == 4)
        park(c, TIME);
    else if (what == 5 && !wcall(c)->shared)
        retry_in_place(c);
    else
        end(c);
}

void pass_time(void)
{
    now_ms++;
    for (unsigned i = 0; i < n_calls; i++) {
        struct call *c = &calls[i];
        c->fetches = c->fetches && percent(50);
        if (wcall(c)->state == ASQ__CALL_DELAYED && percent(50))
            asq__wcall_enter(wcall(c), ASQ__CALL_WAITING);
        if (wcall(c)->state == ASQ__CALL_PARKED && c->wait == TIME && percent(50))
            asq__mailbox_unpark(&agents[c->agent].m, wcall(c));
    }
}

/* Moves all agents to another worker, which takes the calls from the stream in the order of
 * arrival.
 * */
static void hand_over(void)
{
    for (int i = 0; i < AGENTS; i++) {
        agents[i].waiting.n = agents[i].reentrant.n = agents[i].active.n = 0;
        asq__mailbox_init(&agents[i].m, agents[i].id);
    }
    for (unsigned i = 0; i < n_calls; i++) {
        struct call *c = &calls[i];
        asq__list_init(&wcall(c)->node);
        if (c->finished)
            continue;
        wcall(c)->state = ASQ__CALL_WAITING;
        wcall(c)->active = NULL;
        wcall(c)->shared = false;
        c->may_have_begun = true;
        c->fetches = c->inputs && percent(50);
        c->started = 0;
        enqueue(c);
    }
}

void step(void)
{
    unsigned what = below(12);
    struct call *c = n_calls ? &calls[below(n_calls)] : NULL;
    if (what < 3 && n_calls < CALLS / 2) {
        enqueue(make(NULL));
    } else if (what == 3) {
        pass_time();
    } else if (what == 4 && percent(10)) {
        hand_over();
    } else if (what == 5 && c && percent(20)) {
        c->unfit = true; /* cancelled, or its deadline has passed */
    } else if (what == 6) {
        agents[below(world.agents)].admits = !percent(20);
    } else if (what == 7) {
        agents[below(world.agents)].paused = percent(40);
    } else if (c && runs(c)) {
        act(c);
    }
    wake_parents();
    for (int i = 0; i < AGENTS; i++)
        resume(&agents[i]);
}

void begin_episode(void)
{
    steps_begin(seed);
    n_calls = arrivals = 0;
    now_ms = 1000;
    world.agents = 1 + below(AGENTS);
    world.programs = percent(50) ? 3 : 40;
    world.concurrent = percent(50) ? 15 : 70;
    world.inputs = percent(50) ? 15 : 80;
    for (int i = 0; i < AGENTS; i++) {
        struct agent *a = &agents[i];
        memset(a, 0, sizeof *a);
        snprintf(a->id, sizeof a->id, "a%d", i);
        a->exists = percent(70);
        a->admits = true;
        asq__mailbox_init(&a->m, a->id);
    }
}
