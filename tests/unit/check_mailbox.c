/*
 * check_mailbox.c: the rule which call of an agent runs next, and what a waiting call waits for,
 * against a small model. Random episodes of arrivals, starts, waits, re-entries, failures, cancels
 * and hand-overs run on a few agents; after each step the next call must be the one that the model
 * names, and the rules that hold for all users are checked by themselves: one call at a time, order
 * of each caller, re-entry only for calls that are waited for. At the end of an episode everything
 * that can end does: what is left is a deadlock, and exactly then the waits must contain a cycle.
 *
 * ASQ_TEST_SEED sets the seed of the first episode (a number, or "random"), ASQ_TEST_STEPS how many
 * steps are made.
 */
#include "support/suite.h"
#include "unit/random_steps.h"
#include "worker/core/blockers.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/core/waits.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    AGENTS = 4,  /* at most */
    CALLS = 400, /* of an episode, at most */
    DEPTH = 6,
    CHILDREN = 2,
    MAX_SHARING = 3,
    STEPS = 120, /* of an episode, at most */
    TARGET_STEPS = 1000000
};

enum wait { NOTHING, TIME, ALL_OF_THEM, ANY_OF_THEM };

struct call {
    struct asq__entry *entry; /* with one call */
    Asqueue__Batch batch;
    Asqueue__Job job, *jobs[1];
    Asqueue__Chain chain;
    Asqueue__Link links[DEPTH], *list[DEPTH];
    uint8_t id[ASQ__BATCH_ID];
    char text[ASQ__CALL_ID_TEXT], reply[16];
    struct asq__active active;
    struct call *parent;
    int agent, depth;
    bool concurrent;
    bool unfit;          /* is to end before it starts */
    struct call *inputs; /* call whose result is an input; or NULL */
    bool fetches;        /* the input has to be fetched again */
    bool may_have_begun;
    bool finished;
    /* The awaited kind, while the call is parked. */
    enum wait wait;
    struct call *children[CHILDREN];
    unsigned n_children;
    unsigned arrival, started; /* order of arrival at its agent; of its first start; 0: not yet */
    bool reentrant;            /* as the model says */
};

/* The model keeps its own lists. */
struct queue {
    struct call *calls[CALLS];
    unsigned n;
};

struct agent {
    struct asq__mailbox m;
    char id[8];
    bool exists, admits;
    struct queue waiting, reentrant, active;
};

static struct agent agents[AGENTS];
static struct call calls[CALLS];
static unsigned n_calls, arrivals;
static int64_t now_ms;
static struct {
    unsigned agents, programs, concurrent, inputs; /* numbers; percentages of calls */
} world;
static uint64_t seed;

static struct asq__wcall *wcall(const struct call *c)
{
    return &c->entry->calls[0];
}

static struct call *call_of(const struct asq__wcall *c)
{
    return ASQ__CONTAINER(c->entry->batch, struct call, batch);
}

static struct agent *agent_of(const struct asq__mailbox *m)
{
    return ASQ__CONTAINER(m, struct agent, m);
}

/* ---- the model ---- */

static void append(struct queue *q, struct call *c)
{
    q->calls[q->n++] = c;
}

static void take_out(struct queue *q, const struct call *c)
{
    unsigned at = 0;
    while (at < q->n && q->calls[at] != c)
        at++;
    if (at == q->n)
        return;
    q->n--;
    memmove(&q->calls[at], &q->calls[at + 1], (q->n - at) * sizeof q->calls[0]);
}

static void prepend(struct queue *q, struct call *c)
{
    memmove(&q->calls[1], &q->calls[0], q->n * sizeof q->calls[0]);
    q->calls[0] = c;
    q->n++;
}

static bool is_ancestor(const struct call *older, const struct call *c)
{
    for (c = c->parent; c; c = c->parent)
        if (c == older)
            return true;
    return false;
}

static bool has_one_caller(const struct call *a, const struct call *b)
{
    return a->parent == b->parent && (a->parent || strcmp(a->reply, b->reply) == 0);
}

static bool is_called_from_active(const struct agent *a, const struct call *c)
{
    for (unsigned i = 0; i < a->active.n; i++)
        if (is_ancestor(a->active.calls[i], c))
            return true;
    return false;
}

static bool runs(const struct call *c)
{
    return wcall(c)->state == ASQ__CALL_RUNNING;
}

static struct call *innermost(const struct agent *a)
{
    for (unsigned i = a->active.n; i > 0; i--)
        if (!wcall(a->active.calls[i - 1])->shared)
            return a->active.calls[i - 1];
    return NULL;
}

static unsigned count_running(const struct agent *a, bool shared)
{
    unsigned n = 0;
    for (unsigned i = 0; i < a->active.n; i++)
        n += runs(a->active.calls[i]) && wcall(a->active.calls[i])->shared == shared;
    return n;
}

static bool all_active_share(const struct agent *a)
{
    return innermost(a) == NULL;
}

static bool waits_for_inputs(const struct call *c)
{
    return c->inputs && (!c->inputs->finished || c->fetches);
}

static bool is_creation(const struct call *c)
{
    return c->job.kind == ASQUEUE__JOB_KIND__CREATE;
}

/* Returns the first call of a queue that may start; NULL: none. */
static struct call *first_of(const struct agent *a, const struct queue *q)
{
    const struct call *skipped[ASQ__SKIPPED_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < q->n; i++) {
        struct call *c = q->calls[i];
        bool blocked = c->reentrant && innermost(a) && !is_ancestor(innermost(a), c);
        for (unsigned k = 0; k < n; k++)
            blocked = blocked || has_one_caller(skipped[k], c) || is_ancestor(skipped[k], c);
        if (blocked || c->unfit)
            continue;
        if (wcall(c)->state == ASQ__CALL_DELAYED || wcall(c)->not_before_ms > now_ms)
            return NULL;
        bool shares = !c->reentrant && c->concurrent && a->exists;
        if (!c->reentrant && a->active.n && (!shares || count_running(a, true) >= MAX_SHARING))
            return NULL;
        if (!waits_for_inputs(c))
            return c;
        if (n + 1 == ASQ__SKIPPED_MAX || (is_creation(c) && !a->exists))
            return NULL;
        skipped[n++] = c;
    }
    return NULL;
}

static bool all_unfit(const struct queue *q)
{
    for (unsigned i = 0; i < q->n; i++)
        if (!q->calls[i]->unfit)
            return false;
    return true;
}

static struct call *expected(const struct agent *a)
{
    if (a->reentrant.n && (count_running(a, true) || count_running(a, false)))
        return NULL;
    struct call *c = first_of(a, &a->reentrant);
    if (c || !all_unfit(&a->reentrant))
        return c;
    if (!all_active_share(a) || !a->admits)
        return NULL;
    return first_of(a, &a->waiting);
}

/* ---- hooks ---- */

static struct queue ended; /* calls that a search has ended; their results come after it */

static void leave_queue(struct call *c)
{
    take_out(&agents[c->agent].waiting, c);
    take_out(&agents[c->agent].reentrant, c);
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
    append(&ended, c);
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

static const struct asq__mailbox_hooks hooks = { end_unfit,     may_share_now, prepare,
                                                 is_concurrent, exists,        admits };

/* ---- steps of the world ---- */

static void enqueue(struct call *c)
{
    struct agent *a = &agents[c->agent];
    c->reentrant = is_called_from_active(a, c);
    append(c->reentrant ? &a->reentrant : &a->waiting, c);
    asq__mailbox_enqueue(&a->m, wcall(c));
    ck_assert_msg(wcall(c)->reentrant == c->reentrant, "seed %llu: call %s is %sre-entrant",
                  (unsigned long long) seed, c->text, c->reentrant ? "not " : "");
}

/* Makes a call; parent NULL: of a program. */
static struct call *make(struct call *parent)
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
        /* A result of the call itself or of its callers would never come. */
        c->inputs = of == parent || is_ancestor(of, c) ? NULL : of;
    }
    c->unfit = percent(4);
    if (percent(4))
        wcall(c)->not_before_ms = now_ms + 1 + below(5);
    c->arrival = ++arrivals;
    n_calls++;
    return c;
}

/* Wakes parked calls whose wait is over, as an engine does. */
static void wake_parents(void)
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

/* A program's call, or a method's, has come to its agent. */
static void start(struct agent *a, struct call *c)
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
    take_out(&a->waiting, c);
    take_out(&a->reentrant, c);
    append(&a->active, c);
    c->reentrant = false;
    c->started = 1;
    memcpy(c->active.id, c->text, sizeof c->text);
    c->active.call = wcall(c);
    asq__mailbox_start(&a->m, wcall(c), &c->active, c->may_have_begun);
    for (unsigned i = 0; c->may_have_begun && i < a->waiting.n;) {
        struct call *queued = a->waiting.calls[i];
        if (is_called_from_active(a, queued)) {
            queued->reentrant = true;
            take_out(&a->waiting, queued);
            append(&a->reentrant, queued);
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

/* Resumes and starts what an agent may. */
static void resume(struct agent *a)
{
    struct asq__wcall *w;
    struct asq__search search = { &hooks, now_ms, MAX_SHARING };
    while (!asq__mailbox_turn_is_taken(&a->m, false)) {
        struct call *should = expected(a);
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
    take_out(&a->active, c);
    for (unsigned i = a->reentrant.n; !a->active.n && i > 0; i--) {
        struct call *back = a->reentrant.calls[i - 1];
        back->reentrant = false;
        take_out(&a->reentrant, back);
        prepend(&a->waiting, back);
    }
}

static void end(struct call *c)
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
    leave_active(a, c);
    c->may_have_begun = true;
    c->reentrant = a->active.n > 0;
    prepend(c->reentrant ? &a->reentrant : &a->waiting, c);
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
        /* A run that runs again finds the calls of the one before. */
        if (asq__mailbox_promote(&a->m, wcall(child))) {
            child->reentrant = true;
            take_out(&a->waiting, child);
            append(&a->reentrant, child);
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

/* One step of a running call. */
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

static void pass_time(void)
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

/* All agents go to another worker, which takes the calls from the stream in the order of arrival.
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

static void step(void)
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
    } else if (c && runs(c)) {
        act(c);
    }
    wake_parents();
    for (int i = 0; i < AGENTS; i++)
        resume(&agents[i]);
}

/* ---- deadlocks ---- */

struct seen {
    struct asq__waits *waits;
    uint32_t targets[ASQ__BLOCKERS_MAX + CALLS];
    size_t n;
};

static void see(void *user, const struct asq__wcall *c)
{
    struct seen *s = user;
    s->targets[s->n++] = asq__waits_place(s->waits, call_of(c)->text);
}

static void view(struct asq__waits *waits, const struct call *c)
{
    struct agent *a = &agents[c->agent];
    struct seen s = { .waits = waits, .n = 0 };
    struct asq__blockers b = { .add = see, .user = &s };
    const struct asq__wcall *w = wcall(c);
    uint32_t at = asq__waits_place(waits, c->text);
    bool any = false, queued = w->state == ASQ__CALL_WAITING || w->state == ASQ__CALL_INPUTS;
    if (!asq__mailbox_is_moving(&a->m, false)) {
        if (w->state == ASQ__CALL_RESUMABLE) {
            asq__blockers_of_resumable(&a->m, w, &b);
        } else if (w->state == ASQ__CALL_PARKED && c->wait != TIME) {
            for (unsigned i = 0; i < c->n_children; i++)
                if (!c->children[i]->finished)
                    see(&s, wcall(c->children[i]));
            any = c->wait == ANY_OF_THEM;
        } else if (queued) {
            if (w->state == ASQ__CALL_INPUTS && waits_for_inputs(c)) {
                see(&s, wcall(c->inputs));
                b.n = 1;
            }
            asq__blockers_of_queued(&a->m, &hooks, w, &b);
            any = b.any;
        }
    }
    asq__waits_know(waits, at, a->id, s.targets, s.n, any);
    waits->calls[at]->queued = queued;
}

/* Returns a call of a cycle that has not begun; NULL: there is no cycle. */
static struct call *find_deadlock(void)
{
    struct call *found = NULL;
    for (int i = 0; i < AGENTS && !found; i++) {
        struct asq__waits waits;
        ck_assert_int_eq(asq__waits_init(&waits), 0);
        for (unsigned k = 0; k < n_calls; k++)
            if (!calls[k].finished)
                view(&waits, &calls[k]);
        if (asq__waits_cycle(&waits, agents[i].id) > 0)
            for (unsigned k = 0; k < n_calls; k++)
                if (strcmp(calls[k].text, waits.calls[0]->call) == 0)
                    found = &calls[k];
        asq__waits_release(&waits);
    }
    return found;
}

/* Lets everything end that can. */
static void drain(void)
{
    for (int quiet = 0; quiet < 40;) {
        bool moved = false;
        for (int i = 0; i < AGENTS; i++)
            agents[i].admits = true;
        pass_time();
        for (unsigned i = 0; i < n_calls; i++)
            if (runs(&calls[i])) {
                end(&calls[i]);
                moved = true;
            }
        wake_parents();
        for (int i = 0; i < AGENTS; i++)
            resume(&agents[i]);
        quiet = moved ? 0 : quiet + 1;
    }
}

static unsigned count_left(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_calls; i++)
        n += !calls[i].finished;
    return n;
}

static void check_deadlocks(unsigned *deadlocks)
{
    for (unsigned i = 0; i < n_calls; i++)
        calls[i].unfit = false; /* a passed deadline ends a deadlock, too */
    wake_parents();
    const struct call *early = find_deadlock();
    drain();
    ck_assert_msg(!early || !early->finished, "seed %llu: %s was in a cycle, and has ended",
                  (unsigned long long) seed, early ? early->text : "");
    /* Failing one call of each cycle lets all others end. */
    while (count_left()) {
        struct call *c = find_deadlock();
        ck_assert_msg(c != NULL, "seed %llu: %u calls wait for ever, and no cycle is found",
                      (unsigned long long) seed, count_left());
        ck_assert_msg(!c->started, "seed %llu: %s is to be failed, but has begun",
                      (unsigned long long) seed, c->text);
        ++*deadlocks;
        asq__mailbox_remove(wcall(c));
        asq__wcall_enter(wcall(c), ASQ__CALL_FINISHED);
        leave_queue(c);
        c->finished = true;
        wake_parents();
        for (int i = 0; i < AGENTS; i++)
            resume(&agents[i]);
        drain();
    }
}

/* ---- episodes ---- */

static void begin_episode(void)
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

static void end_episode(void)
{
    for (int i = 0; i < AGENTS; i++) {
        ck_assert(!agents[i].m.turn && !agents[i].m.n_active && !agents[i].m.n_sharing);
        ck_assert(!asq__mailbox_has_queued(&agents[i].m));
    }
    for (unsigned i = 0; i < n_calls; i++)
        free(calls[i].entry);
}

START_TEST(the_next_call_is_the_one_that_the_rules_name_and_deadlocks_are_found_exactly)
{
    uint64_t steps = 0, first = steps_seed(), most = steps_from("ASQ_TEST_STEPS", TARGET_STEPS);
    unsigned deadlocks = 0, handled = 0;
    for (seed = first; steps < most; seed++) {
        begin_episode();
        for (unsigned n = 1 + below(STEPS); n > 0; n--, steps++)
            step();
        handled += n_calls;
        check_deadlocks(&deadlocks);
        end_episode();
    }
    printf("# seeds %llu to %llu: %llu steps, %u calls, %u deadlocks\n", (unsigned long long) first,
           (unsigned long long) seed - 1, (unsigned long long) steps, handled, deadlocks);
    ck_assert_uint_gt(handled, steps / 20);
    ck_assert_uint_gt(deadlocks, steps / 10000);
}
END_TEST

START_TEST(a_queued_call_enters_when_its_caller_runs_by_now)
{
    seed = 1;
    begin_episode();
    world.agents = 1;
    world.inputs = world.concurrent = 0;
    struct call *parent = make(NULL), *child = make(parent), *other = make(NULL);
    parent->unfit = child->unfit = other->unfit = false;
    wcall(parent)->not_before_ms = wcall(child)->not_before_ms = 0;
    enqueue(child); /* by an earlier run of its caller */
    enqueue(parent);
    start(&agents[0], parent);
    ck_assert(!asq__mailbox_promote(&agents[0].m, wcall(other)));
    ck_assert(!wcall(child)->reentrant);
    ck_assert(asq__mailbox_promote(&agents[0].m, wcall(child)));
    ck_assert(wcall(child)->reentrant);
    ck_assert(!asq__mailbox_promote(&agents[0].m, wcall(child)));
    for (unsigned i = 0; i < n_calls; i++)
        free(calls[i].entry);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("mailbox");
    tcase_add_test(tc,
                   the_next_call_is_the_one_that_the_rules_name_and_deadlocks_are_found_exactly);
    tcase_add_test(tc, a_queued_call_enters_when_its_caller_runs_by_now);
    tcase_set_timeout(tc, 600);
    Suite *s = suite_create("mailbox");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
