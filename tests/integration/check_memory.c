/*
 * check_memory.c: agents are passivated, and evicted from a worker's memory, when they have been
 * idle for long or when the worker holds too many, and they have the same state when they are
 * called again.
 */
#include "load.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { LEASE_MS = 600, MIB = 1024 * 1024 };

static sup_redis *redis;
static asq *h;
static asq_worker_options options;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    options = (asq_worker_options) ASQ_WORKER_OPTIONS_INIT;
    options.id = "w";
    options.lease_time_ms = LEASE_MS;
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

/* Returns a field of the worker's heartbeat. */
static int64_t reported(const char *field)
{
    return sup_redis_int(redis, "HGET asq:{default}:worker:w.0 %s", field);
}

static void check_add(asq_agent *a, int64_t expected)
{
    asq_result *r;
    int64_t value;

    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, expected);
    asq_result_free(r);
}

START_TEST(idle_agents_leave_memory_and_come_back)
{
    asq_agent *counter, *journal;
    asq_value *items;
    int64_t first, second;
    pid_t w;

    options.agent_idle_time_ms = 100;
    w = load_worker(sup_redis_url(redis), &options);
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &counter, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_create(h, "Journal", NULL, &journal, "{s:i}", "limit", 10), 0);
    check_add(counter, 1);
    ck_assert_int_eq(asq_call_wait(journal, "push", NULL, "[i]", 7), 0);
    sup_wait_until(reported("agents") == 0);
    ck_assert_int_eq(reported("agent_bytes"), 0);
    check_add(counter, 2);
    ck_assert_int_eq(asq_call_wait(journal, "push", NULL, "[i]", 8), 0);
    sup_wait_until(reported("agents") > 0);
    sup_wait_until(reported("agents") == 0);
    ck_assert_int_eq(asq_call_wait(journal, "items", &items, NULL), 0);
    ck_assert_int_eq(asq_unpack(items, "[I, I]", &first, &second), 0);
    ck_assert_int_eq(first, 7);
    ck_assert_int_eq(second, 8);
    asq_value_free(items);
    asq_agent_free(counter);
    asq_agent_free(journal);
    load_worker_stop(w);
}
END_TEST

START_TEST(more_agents_than_memory_holds_are_served_all_the_same)
{
    enum { AGENTS = 100, SIZE = 64 * 1024, ROUNDS = 3 };
    asq_agent *agents[AGENTS];
    char *text = malloc(SIZE + 1);
    pid_t w;

    memset(text, 'x', SIZE);
    text[SIZE] = '\0';
    options.max_agent_memory = MIB;
    w = load_worker(sup_redis_url(redis), &options);
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(
            asq_create(h, "Counter", NULL, &agents[i], "{s:i, s:s}", "value", 0, "label", text), 0);
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_ready(agents[i], sup_limit_ms()), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        for (int i = 0; i < AGENTS; i++)
            check_add(agents[i], round);
        sup_wait_until(reported("calls") >= round * AGENTS && reported("agent_bytes") <= MIB);
        ck_assert_int_gt(reported("agents"), 0); /* agents that fit stay */
        ck_assert_int_lt(reported("agents"), AGENTS / 2);
    }
    for (int i = 0; i < AGENTS; i++)
        asq_agent_free(agents[i]);
    free(text);
    load_worker_stop(w);
}
END_TEST

/* There are more agents than stay activated without calls. They are called again within a moment,
 * and later. */
START_TEST(agents_that_go_to_sleep_for_others_keep_their_states)
{
    enum { AGENTS = 20000, FEW = 1000, ROUNDS = 4, FEW_FROM = 3 };
    asq_agent **agents = calloc(AGENTS, sizeof *agents);
    asq_result **results = calloc(AGENTS, sizeof *results);
    pid_t w = load_worker(sup_redis_url(redis), &options);

    asq_set_timeout(h, sup_limit_ms());
    ck_assert_int_eq(
        asq_create_many(h, "Counter", AGENTS, NULL, asq_pack("{s:i}", "value", 0), agents), 0);
    for (int round = 1; round <= ROUNDS; round++) {
        size_t n = round >= FEW_FROM ? FEW : AGENTS;
        ck_assert_int_eq(asq_broadcast(agents, n, "add", asq_pack("[i]", 1), results), 0);
        ck_assert_int_eq(asq_wait_all(results, n, sup_limit_ms()), 0);
        for (size_t i = 0; i < n; i++) {
            int64_t value;
            ck_assert_int_eq(asq_result_int(results[i], &value), 0);
            ck_assert_int_eq(value, round);
            asq_result_free(results[i]);
        }
    }
    for (int i = 0; i < AGENTS; i++)
        asq_agent_free(agents[i]);
    free(agents);
    free(results);
    load_worker_stop(w);
}
END_TEST

START_TEST(agents_that_were_deleted_leave_memory_soon)
{
    enum { AGENTS = 50 };
    asq_agent *agent, *never;
    pid_t w = load_worker(sup_redis_url(redis), &options); /* idle agents stay for ten minutes */

    ck_assert_int_eq(asq_attach(h, "never-made", &never), 0);
    ck_assert_int_eq(asq_call_wait(never, "add", NULL, "[i]", 1), ASQ_ENOAGENT);
    for (int i = 0; i < AGENTS; i++) {
        ck_assert_int_eq(asq_create(h, "Counter", NULL, &agent, "{s:i}", "value", 0), 0);
        check_add(agent, 1);
        ck_assert_int_eq(asq_delete(agent, sup_limit_ms()), 0);
        asq_agent_free(agent);
    }
    sup_wait_until(reported("agents") > 0);
    sup_wait_until(reported("agents") == 0);
    ck_assert_int_eq(reported("agent_bytes"), 0);
    ck_assert_int_eq(asq_call_wait(never, "add", NULL, "[i]", 1), ASQ_ENOAGENT);
    asq_agent_free(never);
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("memory");
    TCase *t = tcase_create("memory");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, idle_agents_leave_memory_and_come_back);
    tcase_add_test(t, more_agents_than_memory_holds_are_served_all_the_same);
    tcase_add_test(t, agents_that_go_to_sleep_for_others_keep_their_states);
    tcase_add_test(t, agents_that_were_deleted_leave_memory_soon);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
