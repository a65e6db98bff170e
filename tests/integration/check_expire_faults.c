/*
 * check_expire_faults.c: agents that end by themselves, while workers and Redis die around the time
 * when they are due: each ends once, with its timers, and no call is lost: one that comes as its
 * agent ends runs before, or is told that the agent is gone.
 */
#include "load.h"
#include "support/acl.h"
#include "support/suite.h"
#include "value/hash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TTL_MS = 1000, AGENTS = 40, ROUNDS = 6, PARTITIONS = 4 };

static sup_redis *redis;
static asq *h, *op; /* op has the rights to count agents */

static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };

static pid_t worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 1000;
    return load_worker(sup_redis_url(redis), &options);
}

static void set_up(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";
    redis = sup_redis_start(durable);
    options.partitions = PARTITIONS;
    options.timeout_ms = 4 * sup_limit_ms();
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &h, err, sizeof err) == 0, "%s",
                  err);
    ck_assert_msg(
        asq_open(sup_url_as(sup_redis_url(redis), "operator"), NULL, &op, err, sizeof err) == 0,
        "%s", err);
}

static void tear_down(void)
{
    asq_close(op);
    asq_close(h);
    sup_redis_free(redis);
}

/* An agent with a timer, and what its calls have told so far. */
struct agent {
    asq_agent *proxy;
    asq_result *call;
    int64_t n; /* calls that ran */
    bool gone;
};

static void begin(struct agent *a)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_timer timer = ASQ_TIMER_INIT;
    *a = (struct agent){ .proxy = NULL };
    options.ttl_ms = TTL_MS;
    timer.every_ms = 3600000;
    ck_assert_int_eq(
        asq_create_with(h, "Counter", &options, asq_pack("{s:i}", "value", 0), &a->proxy), 0);
    int rc = asq_schedule(a->proxy, "mark", &timer, "add", "[i]", 1000);
    ck_assert_msg(rc == 0 || rc == ASQ_ENOAGENT, "%s", asq_errmsg(h));
}

/* Makes all agents, and waits until they are there. */
static void begin_all(struct agent agents[AGENTS])
{
    for (int i = 0; i < AGENTS; i++)
        begin(&agents[i]);
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_ready(agents[i].proxy, sup_limit_ms()), 0);
}

static void call(struct agent *a)
{
    ck_assert_msg(asq_call(a->proxy, "add", &a->call, "[i]", 1) == 0, "%s", asq_errmsg(h));
}

/* Takes the outcome of a call: it ran after all calls before it, or there is no agent, for good. */
static void take(struct agent *a)
{
    int64_t n;
    int rc = asq_result_int(a->call, &n);
    if (rc == 0) {
        ck_assert_msg(!a->gone, "a call has run when the agent was gone");
        ck_assert_int_eq(n, ++a->n);
    } else {
        ck_assert_msg(rc == ASQ_ENOAGENT, "%s", asq_errmsg(h));
        a->gone = true;
    }
    asq_result_free(a->call);
}

static int64_t count_agents(void)
{
    int64_t n;
    ck_assert_msg(asq_agents_count(op, NULL, NULL, sup_limit_ms(), &n) == 0, "%s", asq_errmsg(op));
    return n;
}

static void check_nothing_is_left(void)
{
    for (int p = 0; p < PARTITIONS; p++) {
        ck_assert_int_eq(sup_redis_int(redis, "HLEN asq:{default.%d}:agents", p), 0);
        ck_assert_int_eq(sup_redis_int(redis, "ZCARD asq:{default.%d}:timers", p), 0);
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p) == 0);
        ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default.%d}:dead", p), 0);
    }
}

static void wait_for_the_end(struct agent *agents)
{
    sup_wait_until(count_agents() == 0);
    for (int i = 0; i < AGENTS; i++) {
        call(&agents[i]);
        take(&agents[i]);
        ck_assert(agents[i].gone);
        char *key =
            sup_format("asq:{default.%d}:t:%s",
                       (int) asq__partition_of(asq_agent_id(agents[i].proxy),
                                               strlen(asq_agent_id(agents[i].proxy)), PARTITIONS),
                       asq_agent_id(agents[i].proxy));
        ck_assert_int_eq(sup_redis_int(redis, "EXISTS %s", key), 0);
        free(key);
        asq_agent_free(agents[i].proxy);
    }
    check_nothing_is_left();
}

START_TEST(each_agent_ends_once_and_no_call_is_lost_when_workers_and_redis_die)
{
    struct agent agents[AGENTS];
    pid_t w = worker();
    for (int round = 0; round < ROUNDS; round++) {
        if (round == 0)
            for (int i = 0; i < AGENTS; i++)
                begin(&agents[i]);
        /* Agents are due between ttl and an eighth more; some of the calls come just then. */
        for (int i = 0; i < AGENTS; i++) {
            sup_sleep_ms(i == 0 ? TTL_MS - 100 : 10);
            if (i == AGENTS / 2 && round % 3 == 1) {
                load_worker_kill(w);
                w = worker();
            } else if (i == AGENTS / 2 && round % 3 == 2) {
                sup_redis_restart(redis);
            }
            call(&agents[i]);
        }
        for (int i = 0; i < AGENTS; i++)
            take(&agents[i]);
    }
    wait_for_the_end(agents);
    load_worker_stop(w);
}
END_TEST

START_TEST(agents_that_nobody_has_in_memory_end_when_a_worker_comes)
{
    struct agent agents[AGENTS];
    pid_t w = worker();
    begin_all(agents);
    load_worker_kill(w);
    sup_sleep_ms(TTL_MS + TTL_MS / 4);
    ck_assert_int_eq(count_agents(), AGENTS);
    w = worker();
    wait_for_the_end(agents);
    load_worker_stop(w);
}
END_TEST

/* Returns whether the look at an agent's first time has been made, and its timer is set anew. */
static bool was_looked_at(const char *id, const char *first)
{
    int p = (int) asq__partition_of(id, strlen(id), PARTITIONS);
    char *member = sup_format("%s !", id);
    char *due = sup_redis_str(redis, "ZSCORE asq:{default.%d}:timers %s", p, member);
    bool looked = !due || (strcmp(due, first) != 0 &&
                           sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p) == 0);
    free(due);
    free(member);
    return looked;
}

START_TEST(a_use_is_known_to_the_next_owner)
{
    enum { LONG_TTL_MS = 4000 };
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    struct agent a = { .proxy = NULL };
    pid_t w = worker();
    options.ttl_ms = LONG_TTL_MS;
    ck_assert_int_eq(
        asq_create_with(h, "Counter", &options, asq_pack("{s:i}", "value", 0), &a.proxy), 0);
    ck_assert_int_eq(asq_ready(a.proxy, sup_limit_ms()), 0);
    const char *id = asq_agent_id(a.proxy);
    int p = (int) asq__partition_of(id, strlen(id), PARTITIONS);
    char *member = sup_format("%s !", id);
    char *first = sup_redis_str(redis, "ZSCORE asq:{default.%d}:timers %s", p, member);
    ck_assert_ptr_nonnull(first);
    sup_sleep_ms(LONG_TTL_MS / 2);
    int64_t used_ms = sup_now_ms();
    call(&a);
    take(&a);
    load_worker_kill(w);
    w = worker();
    sup_wait_until(was_looked_at(id, first));
    call(&a);
    int64_t called_ms = sup_now_ms();
    take(&a);
    ck_assert_msg(!a.gone || called_ms - used_ms >= LONG_TTL_MS, "its use was forgotten");
    sup_wait_until(count_agents() == 0);
    check_nothing_is_left();
    load_worker_stop(w);
    asq_agent_free(a.proxy);
    free(member);
    free(first);
}
END_TEST

START_TEST(an_owner_that_was_paused_ends_no_agent_any_more)
{
    struct agent agents[AGENTS];
    pid_t w = worker();
    begin_all(agents);
    load_signal(w, SIGSTOP);
    pid_t other = worker();
    sup_wait_until(count_agents() == 0); /* by the other one */
    for (int i = 0; i < AGENTS; i++) {
        asq_agent *again;
        ck_assert_int_eq(
            asq_create(h, "Counter", asq_agent_id(agents[i].proxy), &again, "{s:i}", "value", 5),
            0);
        ck_assert_int_eq(asq_ready(again, sup_limit_ms()), 0);
        asq_agent_free(again);
    }
    load_signal(w, SIGCONT);
    /* Commits of the paused one are refused; the agents of the same ids stay. */
    for (int i = 0; i < AGENTS; i++) {
        call(&agents[i]);
        agents[i].n = 5;
        take(&agents[i]);
        ck_assert(!agents[i].gone);
    }
    ck_assert_int_eq(count_agents(), AGENTS);
    load_worker_kill(w);
    for (int i = 0; i < AGENTS; i++) {
        ck_assert_int_eq(asq_delete(agents[i].proxy, sup_limit_ms()), 0);
        asq_agent_free(agents[i].proxy);
    }
    check_nothing_is_left();
    load_worker_stop(other);
}
END_TEST

START_TEST(without_sorted_sets_such_agents_are_refused)
{
    char *url = sup_format("%s?user=app&password=pw", sup_redis_url_default(redis));
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_agent *a;
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all -@dangerous +info -zadd");
    pid_t w = load_worker(url, NULL);
    options.ttl_ms = TTL_MS;
    ck_assert_int_eq(asq_create_with(h, "Counter", &options, NULL, &a), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), ASQ_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(asq_errmsg(h), "sorted sets"));
    asq_agent_free(a);
    load_worker_stop(w);
    free(url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("expire_faults");
    TCase *t = tcase_create("expire_faults");
    if (!sup_redis_available())
        return sup_skip("there is no redis-server");
    tcase_set_timeout(t, 0);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, each_agent_ends_once_and_no_call_is_lost_when_workers_and_redis_die);
    tcase_add_test(t, agents_that_nobody_has_in_memory_end_when_a_worker_comes);
    tcase_add_test(t, a_use_is_known_to_the_next_owner);
    tcase_add_test(t, an_owner_that_was_paused_ends_no_agent_any_more);
    tcase_add_test(t, without_sorted_sets_such_agents_are_refused);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
