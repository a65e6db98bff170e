/*
 * check_scale.c: waiting calls take no capacity: deep and wide calls end on one thread of one
 * process, and on workers of which one is killed meanwhile.
 */
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEEP = 1000,
    WIDE = 100,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    SLEEPERS = 2000
#else
    SLEEPERS = 100000
#endif
};

static sup_redis *redis;
static asq *h;
static asq_worker_options options;
static pid_t workers[2];

static pid_t worker(uint32_t capacity)
{
    options.capacity = capacity;
    options.processes = 1;
    options.lease_time_ms = 2000;
    return load_worker(sup_redis_url(redis), &options);
}

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    options = (asq_worker_options) ASQ_WORKER_OPTIONS_INIT;
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

static asq_value *created(const char *cls, size_t n, asq_agent **agents)
{
    asq_value *list = asq_value_list();

    ck_assert_int_eq(asq_create_many(h, cls, n, NULL, NULL, agents), 0);
    for (size_t i = 0; i < n; i++) {
        ck_assert_int_eq(asq_list_append(list, asq_value_agent(agents[i])), 0);
        ck_assert_int_eq(asq_ready(agents[i], 2 * sup_limit_ms()), 0);
    }
    return list;
}

static void free_agents(size_t n, asq_agent **agents)
{
    for (size_t i = 0; i < n; i++)
        asq_agent_free(agents[i]);
}

/* Kills a worker while the call is under way, and starts another. */
static void disturb(uint32_t capacity)
{
    ck_assert_int_ge(asq_sleep(h, 100), 0);
    load_worker_kill(workers[0]);
    options.id = "late";
    workers[0] = worker(capacity);
    sup_wait_until(sup_redis_int(redis, "EXISTS asq:{default}:worker:late.0") == 1);
}

/* Runs a chain of calls, DEEP levels deep, around a ring of agents. */
static void go_down(size_t agents, bool disturbed)
{
    static asq_agent *ring[DEEP];
    asq_value *list = created("Relay", agents, ring);
    asq_result *r;
    int64_t depth = 0;
    int rc;

    ck_assert_int_eq(asq_call(ring[0], "down", &r, "[o, i]", list, DEEP), 0);
    if (disturbed)
        disturb(3);
    rc = asq_result_wait(r, 4 * sup_limit_ms());
    /* A call that had admitted re-entrant calls may not be run a second time. */
    ck_assert_msg(rc == 0 || (disturbed && rc == ASQ_EINTERRUPTED), "%s: %s", asq_error_name(rc),
                  rc == ASQ_ETIMEOUT ? "" : asq_result_error(r)->message);
    if (rc == 0) {
        ck_assert_int_eq(asq_result_int(r, &depth), 0);
        ck_assert_int_eq(depth, DEEP);
    }
    asq_result_free(r);
    free_agents(agents, ring);
}

/* Makes WIDE calls, each of which makes WIDE calls. */
static void fan_out(bool disturbed)
{
    asq_agent *relays[WIDE], *echoes[WIDE], *root;
    asq_value *middle = created("Relay", WIDE, relays), *ends = created("Echo", WIDE, echoes);
    asq_result *r;
    int64_t sum;

    ck_assert_int_eq(asq_create(h, "Relay", NULL, &root, NULL), 0);
    ck_assert_int_eq(
        asq_call(root, "fan", &r, "[o, s, [o, s, [i, i]]]", middle, "fan", ends, "sum", 1, 1), 0);
    if (disturbed)
        disturb(1);
    ck_assert_msg(asq_result_wait(r, 4 * sup_limit_ms()) == 0, "%s", asq_result_error(r)->message);
    ck_assert_int_eq(asq_result_int(r, &sum), 0);
    ck_assert_int_eq(sum, 2 * WIDE * WIDE);
    asq_result_free(r);
    asq_agent_free(root);
    free_agents(WIDE, relays);
    free_agents(WIDE, echoes);
}

START_TEST(deep_and_wide_calls_end_on_one_thread)
{
    pid_t w = worker(1);

    if (_i == 0)
        go_down(10, false);
    else if (_i == 1)
        go_down(DEEP, false); /* a ring: the last agent calls the first */
    else
        fan_out(false);
    load_worker_stop(w);
}
END_TEST

START_TEST(deep_and_wide_calls_end_when_a_worker_is_killed)
{
    uint32_t capacity[2];

    for (int i = 0; i < 2; i++) {
        capacity[i] = 1 + (uint32_t) (sup_now_ms() / (1 + 6 * i) % 6);
        workers[i] = worker(capacity[i]);
    }
    printf("# capacities %u and %u\n", capacity[0], capacity[1]);
    if (_i == 0)
        go_down(10, true);
    else if (_i == 1)
        go_down(DEEP, true);
    else
        fan_out(true);
    load_worker_stop(workers[0]);
    load_worker_stop(workers[1]);
}
END_TEST

START_TEST(many_thousands_sleep_at_the_same_time)
{
    static asq_agent *agents[SLEEPERS];
    static asq_result *r[SLEEPERS];
    pid_t w = worker(2);
    int64_t begun_ms;

    ck_assert_int_eq(asq_create_many(h, "Echo", SLEEPERS, NULL, NULL, agents), 0);
    for (int i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(asq_ready(agents[i], 8 * sup_limit_ms()), 0);
    begun_ms = sup_now_ms();
    asq_cork(h);
    for (int i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(asq_call(agents[i], "nap", &r[i], "[i]", 1000), 0);
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(asq_wait_all(r, SLEEPERS, 8 * sup_limit_ms()), 0);
    printf("# %d calls that sleep 1 s each: %lld ms for all\n", SLEEPERS,
           (long long) (sup_now_ms() - begun_ms));
    for (int i = 0; i < SLEEPERS; i++) {
        ck_assert_int_eq(asq_result_error(r[i])->code, 0);
        asq_result_free(r[i]);
        asq_agent_free(agents[i]);
    }
    load_worker_stop(w);
}
END_TEST

static int64_t of_worker(const char *field)
{
    return sup_redis_int(redis, "EVAL %s 1 asq:{default}:worker:sleepy.0 %s",
                         "return tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0)", field);
}

/* Returns the memory of a process in bytes. */
static int64_t memory_of(int64_t pid)
{
    char *path = sup_format("/proc/%lld/status", (long long) pid), *text = sup_read_file(path);
    const char *line = strstr(text, "VmRSS:");
    int64_t kib = line ? strtoll(line + 6, NULL, 10) : 0;

    ck_assert_int_gt(kib, 0);
    free(path);
    free(text);
    return kib * 1024;
}

START_TEST(a_call_that_waits_takes_less_than_8_KiB)
{
    static asq_agent *agents[SLEEPERS];
    static asq_result *r[SLEEPERS];
    int64_t before, bytes;

    options.id = "sleepy";
    pid_t w = worker(2);
    ck_assert_int_eq(asq_create_many(h, "Echo", SLEEPERS, NULL, NULL, agents), 0);
    for (int i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(asq_ready(agents[i], 8 * sup_limit_ms()), 0);
    before = memory_of(of_worker("pid"));
    asq_cork(h);
    for (int i = 0; i < SLEEPERS; i++)
        ck_assert_int_eq(asq_call(agents[i], "nap", &r[i], "[i]", 3600 * 1000), 0);
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(asq_flush(h, 8 * sup_limit_ms()), 0);
    sup_wait_until(of_worker("parked") == SLEEPERS);
    bytes = (memory_of(of_worker("pid")) - before) / SLEEPERS;
    printf("# %d calls sleep in one process: %lld bytes each\n", SLEEPERS, (long long) bytes);
    ck_assert_int_gt(of_worker("stack_used"), 0);
    ck_assert_int_le(of_worker("stack_used"), 256 * 1024);
    if (SLEEPERS == 100000)
        ck_assert_int_lt(bytes, 8192);
    load_worker_kill(w);
    for (int i = 0; i < SLEEPERS; i++) {
        asq_result_free(r[i]);
        asq_agent_free(agents[i]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("scale");
    TCase *t = tcase_create("scale");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, deep_and_wide_calls_end_on_one_thread, 0, 3);
    tcase_add_loop_test(t, deep_and_wide_calls_end_when_a_worker_is_killed, 0, 3);
    tcase_add_test(t, many_thousands_sleep_at_the_same_time);
    if (!sup_is_wrapped())
        tcase_add_test(t, a_call_that_waits_takes_less_than_8_KiB);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
