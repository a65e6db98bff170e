/*
 * check_bytes.c: reads are bounded in bytes: whatever the size of the waiting calls, neither a
 * worker nor Redis takes much more memory than --max-backlog-size says, and other agents are served
 * meanwhile.
 */
#include "load.h"
#include "support/suite.h"
#include "value/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, CALLS = 240, AGENTS = 40, LONG_MS = 3600000 };

static sup_redis *redis;
static asq *h;
static asq_agent *agents[AGENTS];
static char *large;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
    large = calloc(1, MIB);
    /* The first agent has a partition for itself. */
    for (int i = 0, k = 0; i < AGENTS; k++) {
        char id[16];
        snprintf(id, sizeof id, "a%d", k);
        if (i && asq__partition_of(id, strlen(id), 128) == asq__partition_of("a0", 2, 128))
            continue;
        ck_assert_int_eq(asq_create(h, "Echo", id, &agents[i++], NULL), 0);
    }
}

static void tear_down(void)
{
    for (int i = 0; i < AGENTS; i++)
        asq_agent_free(agents[i]);
    free(large);
    asq_close(h);
    sup_redis_free(redis);
}

static pid_t worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.max_backlog_size = 8 * (size_t) MIB;
    options.id = "w";
    return load_worker(sup_redis_url(redis), &options);
}

static int64_t peak(void)
{
    return sup_redis_stat(redis, "memory", "used_memory_peak:", "used_memory_peak:");
}

static void send_large_to(asq_agent *a, const char *method)
{
    ck_assert_msg(asq_send(a, method, "[y#]", large, (size_t) MIB) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
}

static void send_large(asq_agent *a)
{
    send_large_to(a, "nothing");
}

START_TEST(many_large_calls_are_taken_over_in_pieces)
{
    for (int i = 0; i < CALLS; i++)
        send_large_to(agents[i % AGENTS], "echo");
    int64_t before = peak();
    ck_assert_int_gt(before, CALLS * (int64_t) MIB);
    /* Runs the worker as a program, because a fork would share the memory of the test. */
    sup_proc *w = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(), "--id",
                                   "w", "--max-backlog-size", "8M", NULL);
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_call_wait(agents[i], "echo", NULL, "[i]", i), 0);
    ck_assert_int_lt(peak() - before, CALLS / 4 * 3 * (int64_t) MIB); /* all at once: CALLS MiB */
    ck_assert_int_gt(sup_redis_worker_peak_kb(redis, "w.0"), 0);
    if (!sup_is_wrapped() && !SUP_SANITIZED) /* sanitizers keep freed memory */
        ck_assert_int_lt(sup_redis_worker_peak_kb(redis, "w.0"),
                         CALLS / 3 * 2 * (int64_t) MIB / 1024);
    ck_assert_int_eq(sup_proc_stop(w), 0);
    sup_proc_free(w);
}
END_TEST

START_TEST(large_calls_that_wait_keep_no_other_agent_waiting)
{
    enum { WAITING = 60 };
    asq_result *sleeper;

    ck_assert_int_eq(asq_call(agents[0], "nap", &sleeper, "[i]", LONG_MS), 0);
    for (int i = 0; i < WAITING; i++)
        send_large(agents[0]);
    pid_t w = worker();
    for (int i = 1; i < AGENTS; i++) {
        send_large(agents[i]);
        ck_assert_int_eq(asq_call_wait(agents[i], "nothing", NULL, NULL), 0);
    }
    /* The next owner reads them in pieces, too. */
    load_worker_kill(w);
    w = worker();
    for (int i = 1; i < AGENTS; i++)
        ck_assert_int_eq(asq_call_wait(agents[i], "nothing", NULL, NULL), 0);
    ck_assert_int_eq(asq_result_cancel(sleeper), 0);
    ck_assert_int_eq(asq_call_wait(agents[0], "nothing", NULL, NULL), 0);
    asq_result_free(sleeper);
    load_worker_stop(w);
}
END_TEST

static int64_t looks(void)
{
    return sup_redis_stat(redis, "commandstats", "cmdstat_hexists:", "calls=");
}

/* A client checks now and then that its calls still wait; a user without scripts reads the calls
 * for that. */
START_TEST(a_client_does_not_read_its_calls_to_see_that_they_wait)
{
    enum { WAITING = 24 };

    if (_i)
        sup_redis_do(redis, "ACL SETUSER default -eval");
    for (int i = 0; i < WAITING; i++)
        send_large(agents[i]);
    int64_t peak_before = peak(), looks_before = looks();
    sup_wait_until(asq_poll(h, 5) >= 0 && looks() >= looks_before + 3 * (WAITING + AGENTS));
    ck_assert_int_lt(peak() - peak_before, WAITING / 3 * (int64_t) MIB);
}
END_TEST

START_TEST(small_calls_behind_large_ones_are_read_all_the_same)
{
    enum { SMALL = 5000 };
    asq_result *r = NULL;

    for (int i = 0; i < 20; i++)
        send_large(agents[i]);
    pid_t w = worker();
    for (int i = 0; i < SMALL; i++) {
        asq_result_free(r);
        ck_assert_int_eq(asq_call(agents[i % AGENTS], "nothing", &r, NULL), 0);
        if (i % 1000 == 0)
            send_large(agents[i % AGENTS]);
    }
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    for (int i = 0; i < AGENTS; i++)
        ck_assert_int_eq(asq_call_wait(agents[i], "nothing", NULL, NULL), 0);
    asq_result_free(r);
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("bytes");
    TCase *t = tcase_create("bytes");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, many_large_calls_are_taken_over_in_pieces);
    tcase_add_test(t, large_calls_that_wait_keep_no_other_agent_waiting);
    tcase_add_loop_test(t, a_client_does_not_read_its_calls_to_see_that_they_wait, 0, 2);
    tcase_add_test(t, small_calls_behind_large_ones_are_read_all_the_same);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
