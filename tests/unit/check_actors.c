/*
 * check_actors.c: which agents stay active, become passive and leave memory, compared with a small
 * model. There are random arrivals, loads, runs, passivations, commits, evictions and losses of
 * partitions. After each step every list of the process must be the model's list, in its order, and
 * the counts must be the sums.
 *
 * ASQ_TEST_SEED sets the seed (a number, or "random"), ASQ_TEST_STEPS how many steps are made.
 */
#include "support/random_steps.h"
#include "support/suite.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PARTITIONS = 3,
    IDS = 12,   /* agents of a partition */
    ALL = 120,  /* agents in memory, orphans included */
    CALLS = 60, /* under way */
    MAX_SHARING = 3,
    EPISODE = 3000, /* steps */
    TARGET_STEPS = 1000000
};

static const struct asq__actors_limits limits = {
    .bytes = 4000, .idle_ms = 120, .gone_ms = 30, .awake = 5, .awake_ms = 40, .moment_ms = 10
};

/* Replaces an agent's object and its partition's commits, and has the model's view of them. */
struct agent {
    struct asq__actor actor;
    char id[8];
    unsigned part;
    bool exists, live;
    enum asq__actor_state state;
    bool loading, loaded, asked; /* was requested, so it is not in the list to_fetch any more */
    unsigned n_queued, n_active;
    uint64_t saved_seq;
    int64_t idle_since_ms;
    size_t bytes;
    bool freed;
};

struct call {
    struct asq__wcall c;
    struct asq__active active;
    struct agent *agent; /* NULL: the call is not in use */
    bool shares;
};

/* A list of the model, first in, first out. */
struct row {
    struct agent *of[ALL];
    unsigned n;
};

static struct asq__actors actors;
static struct asq__actor_set sets[PARTITIONS];
static struct asq__list to_fetch[PARTITIONS], to_probe; /* as in actor_fetch.c and deadlock.c */
static uint64_t seqs[PARTITIONS], acked[PARTITIONS];
static struct row busy[PARTITIONS], awake, asleep, gone, orphans;
static struct row resuming, probing, fetching[PARTITIONS];
static struct row to_leave; /* agents that a search for agents to evict must free, in order */
static unsigned n_left;
static struct call calls[CALLS];
static struct asq__entry *entry; /* of all calls */
static Asqueue__Batch batch;
static Asqueue__Job job, *jobs[] = { &job };
static char reply[] = "p";
static int64_t now_ms;
static uint64_t seed;
static struct {
    unsigned evicted, orphaned, slept, loaded;
} seen;

/* Asserts without ck_assert(), which writes each place that it passes into a pipe. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition))                                                                          \
            ck_abort_msg("seed %llu: %s", (unsigned long long) seed, #condition);                  \
    } while (0)

/* ---- the model ---- */

static struct agent *agent_of(const struct asq__actor *a)
{
    return ASQ__CONTAINER(a, struct agent, actor);
}

static void append(struct row *r, struct agent *g)
{
    CHECK(r->n < ALL);
    r->of[r->n++] = g;
}

static bool take_out(struct row *r, const struct agent *g)
{
    unsigned at = 0;
    while (at < r->n && r->of[at] != g)
        at++;
    if (at == r->n)
        return false;
    r->n--;
    memmove(&r->of[at], &r->of[at + 1], (r->n - at) * sizeof(struct agent *));
    return true;
}

static struct row *row_of(const struct agent *g, enum asq__actor_state state)
{
    switch (state) {
    case ASQ__ACTOR_BUSY: return &busy[g->part];
    case ASQ__ACTOR_AWAKE: return &awake;
    case ASQ__ACTOR_ASLEEP: return &asleep;
    case ASQ__ACTOR_GONE: return &gone;
    default: return &orphans;
    }
}

static void move(struct agent *g, enum asq__actor_state state)
{
    CHECK(take_out(row_of(g, g->state), g));
    g->state = state;
    append(row_of(g, state), g);
}

static bool is_in_use(const struct agent *g)
{
    return g->n_active || g->n_queued || g->loading;
}

static size_t sum_of_bytes(void)
{
    size_t sum = 0;
    const struct row *rows[] = { &awake, &asleep, &gone, &orphans, &busy[0], &busy[1], &busy[2] };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned k = 0; k < rows[i]->n; k++)
            sum += rows[i]->of[k]->bytes;
    return sum;
}

static void model_sleep(struct agent *g)
{
    take_out(&resuming, g);
    move(g, g->loaded && !g->exists ? ASQ__ACTOR_GONE : ASQ__ACTOR_ASLEEP);
}

static void model_rest(struct agent *g)
{
    bool again = now_ms - g->idle_since_ms < limits.moment_ms;
    g->idle_since_ms = now_ms;
    take_out(&probing, g);
    if (!g->live || (awake.n >= limits.awake && !again)) {
        model_sleep(g);
        return;
    }
    move(g, ASQ__ACTOR_AWAKE);
    if (awake.n > limits.awake)
        model_sleep(awake.of[0]);
}

static void model_choose_from(const struct row *r, int64_t idle_ms, size_t *bytes)
{
    for (unsigned i = 0; i < r->n; i++) {
        struct agent *g = r->of[i];
        if ((*bytes <= limits.bytes && now_ms - g->idle_since_ms < idle_ms) ||
            g->saved_seq > acked[g->part])
            return;
        *bytes -= g->bytes;
        append(&to_leave, g);
    }
}

/* ---- checks ---- */

static void check_row(const struct asq__list *list, const struct row *r)
{
    const struct asq__list *it = list->next;
    for (unsigned i = 0; i < r->n; i++, it = it->next) {
        CHECK(it != list);
        CHECK(it->prev->next == it && it->next->prev == it);
        CHECK(agent_of(ASQ__CONTAINER(it, struct asq__actor, where)) == r->of[i]);
        CHECK(r->of[i]->actor.state == r->of[i]->state);
    }
    CHECK(it == list);
}

/* Returns the agent of a node of struct asq__calls. */
static const struct agent *agent_at(const struct asq__list *node, size_t offset)
{
    return agent_of(((const struct asq__calls *) ((uintptr_t) node - offset))->actor);
}

static void check_nodes(const struct asq__list *list, size_t offset, const struct row *r)
{
    const struct asq__list *it = list->next;
    for (unsigned i = 0; i < r->n; i++, it = it->next) {
        CHECK(it != list);
        CHECK(agent_at(it, offset) == r->of[i]);
    }
    CHECK(it == list);
}

static void check_agent(const struct agent *g)
{
    const struct asq__actor *a = &g->actor;
    CHECK(a->bytes == g->bytes && a->idle_since_ms == g->idle_since_ms);
    CHECK(asq__actor_is_loaded(a) == g->loaded);
    CHECK((a->snapshot == ASQ__SNAPSHOT_LOADING) == g->loading);
    CHECK(asq__actor_is_orphan(a) == (g->state == ASQ__ACTOR_ORPHAN));
    CHECK(asq__actor_has_queued(a) == (g->n_queued > 0));
    if (g->state == ASQ__ACTOR_ORPHAN) {
        CHECK(asq__list_empty(&a->where));
        CHECK(g->n_active > 0); /* freed with its last run */
    } else {
        CHECK(asq__actors_find(&sets[g->part], g->id, strlen(g->id)) == a);
    }
    if (g->state == ASQ__ACTOR_ASLEEP || g->state == ASQ__ACTOR_GONE)
        CHECK(!a->calls && !is_in_use(g));
    if (g->state == ASQ__ACTOR_AWAKE)
        CHECK(a->calls && g->live && !is_in_use(g));
}

static void check_all(void)
{
    size_t n = awake.n + asleep.n + gone.n;
    const struct row *rows[] = { &awake, &asleep, &gone, &orphans, &busy[0], &busy[1], &busy[2] };
    check_row(&actors.awake, &awake);
    check_row(&actors.asleep, &asleep);
    check_row(&actors.gone, &gone);
    check_nodes(&actors.resuming, offsetof(struct asq__calls, resuming), &resuming);
    check_nodes(&to_probe, offsetof(struct asq__calls, probing.node), &probing);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        unsigned of_set = 0;
        for (unsigned i = 0; i < 4; i++)
            for (unsigned k = 0; rows[i] != &orphans && k < rows[i]->n; k++)
                of_set += rows[i]->of[k]->part == p;
        check_row(&sets[p].busy, &busy[p]);
        check_nodes(&to_fetch[p], offsetof(struct asq__calls, fetching), &fetching[p]);
        CHECK(sets[p].by_id.count == of_set + busy[p].n);
        n += busy[p].n;
    }
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++)
        for (unsigned k = 0; k < rows[i]->n; k++)
            check_agent(rows[i]->of[k]);
    CHECK(actors.n_awake == awake.n && awake.n <= limits.awake);
    CHECK(atomic_load(&actors.n) == n + orphans.n);
    CHECK(atomic_load(&actors.bytes) == sum_of_bytes());
}

/* ---- hooks ---- */

static void release(struct agent *g)
{
    CHECK(!is_in_use(g));
    asq__actors_remove(&actors, &sets[g->part], &g->actor);
    CHECK(!g->actor.calls);
    CHECK(take_out(row_of(g, g->state), g));
    take_out(&resuming, g);
    free(g);
}

static bool fall_asleep(struct asq__actor *a)
{
    struct agent *g = agent_of(a);
    CHECK(!is_in_use(g));
    g->live = false;
    seen.slept++;
    return !g->loaded || g->exists;
}

static bool is_saved(const struct asq__actor *a)
{
    return agent_of(a)->saved_seq <= acked[agent_of(a)->part];
}

static void evict(struct asq__actor *a)
{
    struct agent *g = agent_of(a);
    CHECK(n_left < to_leave.n && to_leave.of[n_left] == g);
    CHECK(is_saved(a));
    n_left++;
    seen.evicted++;
    release(g);
}

static const struct asq__actors_hooks hooks = { fall_asleep, is_saved, evict };

static enum asq__verdict may_run(struct asq__mailbox *m, struct asq__wcall *c)
{
    (void) m;
    (void) c;
    return ASQ__VERDICT_RUN;
}

static struct call *call_of(const struct asq__wcall *c)
{
    return ASQ__CONTAINER(c, struct call, c);
}

static bool may_share_now(struct asq__mailbox *m, struct asq__wcall *c)
{
    (void) m;
    return call_of(c)->shares;
}

static bool is_concurrent(const struct asq__mailbox *m, const struct asq__wcall *c)
{
    (void) m;
    return call_of(c)->shares;
}

static bool exists(const struct asq__mailbox *m)
{
    (void) m;
    return true;
}

static bool admits(struct asq__mailbox *m)
{
    (void) m;
    return true;
}

static bool is_paused(const struct asq__mailbox *m, const struct asq__wcall *c)
{
    (void) m;
    (void) c;
    return false;
}

static const struct asq__mailbox_hooks mailbox_hooks = { may_run,       may_share_now, may_run,
                                                         is_concurrent, exists,        admits,
                                                         is_paused };

/* ---- steps of the world ---- */

static void rest_if_idle(struct agent *g)
{
    if (g->state == ASQ__ACTOR_ORPHAN || is_in_use(g) || !g->actor.calls)
        return;
    bool live = g->live;
    model_rest(g);
    asq__actors_passivate(&actors, &g->actor, live, now_ms);
}

static struct agent *find_or_make(unsigned p, unsigned number)
{
    char id[8];
    int n = snprintf(id, sizeof id, "a%u", number);
    struct asq__actor *a = asq__actors_find(&sets[p], id, (size_t) n);
    if (a)
        return agent_of(a);
    if (orphans.n + PARTITIONS * IDS >= ALL)
        return NULL;
    struct agent *g = calloc(1, sizeof *g);
    ck_assert_ptr_nonnull(g);
    memcpy(g->id, id, sizeof id);
    g->part = p;
    g->exists = percent(80);
    g->actor.id = g->id;
    g->actor.id_n = (uint32_t) n;
    asq__actors_add(&actors, &sets[p], &g->actor);
    append(&asleep, g);
    g->bytes = 50;
    asq__actors_count(&actors, &g->actor, g->bytes);
    return g;
}

static void call_arrives(void)
{
    struct call *c = &calls[below(CALLS)];
    unsigned p = below(PARTITIONS);
    if (c->agent)
        return;
    struct agent *g = find_or_make(p, below(IDS));
    if (!g)
        return;
    CHECK(asq__actors_activate(&actors, &sets[p], &g->actor));
    if (g->state != ASQ__ACTOR_BUSY)
        move(g, ASQ__ACTOR_BUSY);
    memset(c, 0, sizeof *c);
    c->agent = g;
    c->shares = percent(50);
    c->c.entry = entry;
    asq__list_init(&c->c.node);
    asq__mailbox_enqueue(&g->actor.calls->mailbox, &c->c);
    g->n_queued++;
}

/* An agent that no call has needed yet stands behind all that sleep. */
static void agent_without_calls(void)
{
    find_or_make(below(PARTITIONS), below(IDS));
}

static struct agent *any_busy(void)
{
    for (unsigned p = below(PARTITIONS), n = 0; n < PARTITIONS; n++, p = (p + 1) % PARTITIONS)
        if (busy[p].n)
            return busy[p].of[below(busy[p].n)];
    return NULL;
}

/* Loads agents in the steps of actor_fetch.c: asked for, requested, answered. */
static void load(struct agent *g)
{
    struct asq__list *node = &g->actor.calls->fetching;
    if (!g->loading) {
        if (g->loaded || !g->n_queued)
            return;
        asq__actor_enter_snapshot(&g->actor, ASQ__SNAPSHOT_LOADING);
        asq__list_add(&to_fetch[g->part], node);
        append(&fetching[g->part], g);
        g->loading = true;
        g->asked = false;
    } else if (!g->asked) {
        asq__list_del(node);
        take_out(&fetching[g->part], g);
        g->asked = true;
    } else {
        g->loaded = percent(80);
        g->loading = false;
        asq__actor_enter_snapshot(&g->actor,
                                  g->loaded ? ASQ__SNAPSHOT_LOADED : ASQ__SNAPSHOT_UNKNOWN);
        seen.loaded += g->loaded;
        rest_if_idle(g);
    }
}

/* Looks for a circle of waits that concerns the agent, until no call needs it any more. */
static void probe(struct agent *g)
{
    struct asq__list *node = &g->actor.calls->probing.node;
    if (!asq__list_empty(node))
        return;
    asq__list_add(&to_probe, node);
    append(&probing, g);
}

static void start(struct agent *g)
{
    struct asq__search search = { &mailbox_hooks, now_ms, MAX_SHARING };
    struct asq__mailbox *m = &g->actor.calls->mailbox;
    struct asq__wcall *w;
    if (!g->loaded || asq__mailbox_turn_is_taken(m, false) || !(w = asq__mailbox_next(m, &search)))
        return;
    call_of(w)->active.call = w;
    asq__mailbox_start(m, w, &call_of(w)->active, false);
    g->n_queued--;
    g->n_active++;
    CHECK(asq__actor_is_moving(&g->actor));
}

static void forget(struct call *c)
{
    c->agent = NULL;
}

static void end_run(struct call *c)
{
    struct agent *g = c->agent;
    asq__mailbox_end(&g->actor.calls->mailbox, &c->c);
    forget(c);
    g->n_active--;
    if (g->state == ASQ__ACTOR_ORPHAN) {
        if (!g->n_active)
            release(g);
        return;
    }
    if (percent(70)) { /* an effect */
        g->exists = !percent(20);
        g->saved_seq = g->actor.saved_seq = ++seqs[g->part];
        g->bytes = 50 + below(400);
        asq__actors_count(&actors, &g->actor, g->bytes);
    }
    g->live = g->exists && percent(90);
    rest_if_idle(g);
}

/* Ends a call without a run, as if it was cancelled or its deadline had passed. */
static void cancel(struct call *c)
{
    struct agent *g = c->agent;
    asq__mailbox_remove(&c->c);
    forget(c);
    g->n_queued--;
    rest_if_idle(g);
}

static void leave_for_later(void)
{
    struct agent *g = percent(30) && awake.n ? awake.of[below(awake.n)] : any_busy();
    if (!g)
        return;
    bool waits = false; /* keeps its place then */
    for (unsigned i = 0; i < resuming.n; i++)
        waits = waits || resuming.of[i] == g;
    if (!waits)
        append(&resuming, g);
    asq__actors_resume_later(&actors, &g->actor);
}

static void end_of_iteration(void)
{
    struct asq__actor *a;
    unsigned n = 0;
    while ((a = asq__actors_next_to_resume(&actors))) {
        struct agent *g = agent_of(a);
        CHECK(resuming.n && resuming.of[0] == g);
        take_out(&resuming, g);
        rest_if_idle(g); /* also of an active agent */
        CHECK(++n <= ALL);
    }
    CHECK(!resuming.n);
}

static void evict_idle(void)
{
    size_t bytes = sum_of_bytes();
    to_leave.n = n_left = 0;
    model_choose_from(&gone, limits.gone_ms, &bytes);
    model_choose_from(&asleep, limits.idle_ms, &bytes);
    model_choose_from(&awake, limits.idle_ms, &bytes);
    CHECK(asq__actors_are_crowded(&actors) == (sum_of_bytes() > limits.bytes));
    asq__actors_evict(&actors, now_ms);
    CHECK(n_left == to_leave.n);
    CHECK(sum_of_bytes() == bytes);
}

static void put_to_sleep(void)
{
    while (awake.n && now_ms - awake.of[0]->idle_since_ms >= limits.awake_ms)
        model_sleep(awake.of[0]);
    asq__actors_put_to_sleep(&actors, now_ms);
}

static void drop_agent(struct asq__node *node, void *user)
{
    struct agent *g = agent_of(ASQ__CONTAINER(node, struct asq__actor, node));
    (void) user;
    g->loading = false;
    move(g, ASQ__ACTOR_ORPHAN);
    take_out(&probing, g);
    bool free_now = asq__actors_orphan(&actors, &sets[g->part], &g->actor);
    CHECK(free_now == !g->n_active);
    if (free_now)
        release(g);
    else
        seen.orphaned++;
}

static void lose(unsigned p)
{
    while (asq__list_pop(&to_fetch[p]))
        ;
    fetching[p].n = 0;
    for (unsigned i = 0; i < CALLS; i++) {
        struct call *c = &calls[i];
        if (!c->agent || c->agent->part != p || c->c.active)
            continue;
        asq__mailbox_remove(&c->c);
        c->agent->n_queued--;
        forget(c);
    }
    asq__table_each(&sets[p].by_id, drop_agent, NULL);
    CHECK(!sets[p].by_id.count && asq__list_empty(&sets[p].busy));
    seqs[p] = acked[p] = 0; /* as the next claim says */
}

static void step(void)
{
    struct call *c = &calls[below(CALLS)];
    struct agent *g = any_busy();
    unsigned what = below(100);
    if (what < 13) {
        call_arrives();
    } else if (what < 14) {
        agent_without_calls();
    } else if (what < 15) {
        if (g)
            probe(g);
    } else if (what < 30) {
        if (g)
            load(g);
    } else if (what < 45) {
        if (g)
            start(g);
    } else if (what < 65) {
        for (unsigned i = 0; i < CALLS && !(c->agent && c->c.active); i++)
            c = &calls[(c - calls + 1) % CALLS];
        if (c->agent && c->c.active)
            end_run(c);
    } else if (what < 70) {
        if (c->agent && !c->c.active)
            cancel(c);
    } else if (what < 75) {
        now_ms += percent(10) ? below(150) : below(8);
    } else if (what < 80) {
        memcpy(acked, seqs, sizeof acked);
    } else if (what < 85) {
        leave_for_later();
    } else if (what < 88) {
        end_of_iteration();
    } else if (what < 96) {
        evict_idle();
    } else if (what < 99) {
        put_to_sleep();
    } else if (percent(40)) {
        lose(below(PARTITIONS));
    }
}

/* ---- episodes ---- */

static void begin_episode(void)
{
    steps_begin(seed);
    now_ms = 1000;
    memset(calls, 0, sizeof calls);
    asq__actors_init(&actors, &limits, &hooks);
    for (unsigned p = 0; p < PARTITIONS; p++) {
        ck_assert_int_eq(asq__actor_set_init(&sets[p]), 0);
        asq__list_init(&to_fetch[p]);
        seqs[p] = acked[p] = 0;
    }
    awake.n = asleep.n = gone.n = orphans.n = resuming.n = probing.n = 0;
    asq__list_init(&to_probe);
    memset(busy, 0, sizeof busy);
    memset(fetching, 0, sizeof fetching);
    asqueue__batch__init(&batch);
    asqueue__job__init(&job);
    batch.reply = reply;
    batch.jobs = jobs;
    batch.n_jobs = 1;
    job.kind = ASQUEUE__JOB_KIND__CALL;
    entry = calloc(1, sizeof *entry);
    ck_assert_ptr_nonnull(entry);
    entry->batch = &batch;
}

static void end_episode(void)
{
    for (unsigned p = 0; p < PARTITIONS; p++)
        lose(p);
    for (unsigned i = 0; i < CALLS; i++)
        if (calls[i].agent)
            end_run(&calls[i]);
    check_all();
    CHECK(!atomic_load(&actors.n) && !atomic_load(&actors.bytes) && !orphans.n);
    for (unsigned p = 0; p < PARTITIONS; p++)
        asq__actor_set_release(&sets[p]);
    free(entry);
}

START_TEST(agents_leave_memory_as_the_rules_say_and_never_with_calls)
{
    uint64_t steps = 0, first = steps_seed(), most = steps_from("ASQ_TEST_STEPS", TARGET_STEPS);
    for (seed = first; steps < most; seed++) {
        begin_episode();
        for (unsigned n = 1 + below(EPISODE); n > 0; n--, steps++) {
            step();
            check_all();
        }
        end_episode();
    }
    printf("# seeds %llu to %llu: %llu steps, %u loaded, %u fell asleep, %u evicted, %u orphans\n",
           (unsigned long long) first, (unsigned long long) seed - 1, (unsigned long long) steps,
           seen.loaded, seen.slept, seen.evicted, seen.orphaned);
    ck_assert_uint_gt(seen.slept, steps / 200);
    ck_assert_uint_gt(seen.evicted, steps / 200);
    ck_assert_uint_gt(seen.orphaned, steps / 5000);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("actors");
    tcase_add_test(tc, agents_leave_memory_as_the_rules_say_and_never_with_calls);
    tcase_set_timeout(tc, 600);
    Suite *s = suite_create("actors");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
