/*
 * check_fetch.c: agents that are called at the same time are read from Redis within a bound in
 * bytes, whatever their size. All of them are served, and neither Redis nor the worker holds many
 * of them in transit.
 */
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, AGENTS = 60, SIZE = 3 * MIB, SMALL = 300 };

static sup_redis *redis;
static asq *h;
static asq_agent *large[AGENTS], *small[SMALL];
static asq_result *results[AGENTS + SMALL];

static pid_t start(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.max_agent_memory = 32 * (size_t) MIB;
    options.capacity = 2;
    options.id = "w";
    return load_worker(sup_redis_url(redis), &options);
}

static asq_agent *create(const char *name, int i)
{
    char id[40];
    asq_agent *a;
    snprintf(id, sizeof id, "%s%d", name, i);
    ck_assert_msg(asq_create(h, "Counter", id, &a, NULL) == 0, "%s", asq_errmsg(h));
    return a;
}

/* Creates large agents and small ones, in Redis alone. */
static void set_up(void)
{
    char *bytes = calloc(1, SIZE);

    redis = sup_redis_start(NULL);
    pid_t w = start();
    h = load_open(sup_redis_url(redis));
    for (int i = 0; i < AGENTS; i++) {
        large[i] = create("{one}large", i); /* in one partition */
        ck_assert_msg(asq_set(large[i], "value", asq_value_bytes(bytes, SIZE)) == 0, "%s",
                      asq_errmsg(h));
    }
    for (int i = 0; i < SMALL; i++)
        small[i] = create(i % 2 ? "{one}small" : "small", i);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call_wait(small[SMALL - 1], "add", NULL, "[i]", 0), 0);
    load_worker_stop(w);
    free(bytes);
}

static void tear_down(void)
{
    for (int i = 0; i < AGENTS; i++)
        asq_agent_free(large[i]);
    for (int i = 0; i < SMALL; i++)
        asq_agent_free(small[i]);
    asq_close(h);
    sup_redis_free(redis);
}

START_TEST(many_large_agents_are_fetched_in_pieces_and_all_are_served)
{
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_call(large[i], "read", &results[i], NULL), 0);
    for (int i = 0; i < SMALL; i++)
        ck_assert_int_eq(asq_call(small[i], "add", &results[AGENTS + i], "[i]", i), 0);
    sup_redis_do(redis, "CONFIG RESETSTAT");
    int64_t before = sup_redis_stat(redis, "memory", "used_memory:", "used_memory:");
    pid_t w = start();
    for (int i = 0; i < AGENTS + SMALL; i++) {
        int64_t n;
        ck_assert_msg(asq_result_int(results[i], &n) == 0, "%d: %s", i, asq_errmsg(h));
        ck_assert_int_eq(n, i < AGENTS ? 0 : i - AGENTS);
        asq_result_free(results[i]);
    }
    int64_t took =
        sup_redis_stat(redis, "memory", "used_memory_peak:", "used_memory_peak:") - before;
    ck_assert_msg(took < AGENTS / 2 * (int64_t) SIZE, "Redis took %lld MiB more",
                  (long long) took / MIB);
    ck_assert_int_gt(sup_redis_worker_peak_kb(redis, "w.0"), 0);
    if (!sup_is_wrapped() && !SUP_SANITIZED) /* sanitizers keep freed memory */
        ck_assert_msg(sup_redis_worker_peak_kb(redis, "w.0") < 140 * 1024, "%lld MiB",
                      (long long) sup_redis_worker_peak_kb(redis, "w.0") / 1024);
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("fetch");
    TCase *t = tcase_create("fetch");

    tcase_set_timeout(t, 180);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, many_large_agents_are_fetched_in_pieces_and_all_are_served);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
