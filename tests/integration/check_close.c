/*
 * check_close.c: calls without awaited results get through, or their loss is reported by asq_close,
 * by asq_flush, and in the logs.
 */
#include "load.h"
#include "support/file_lines.h"
#include "classes.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CALLS = 10, SHORT_MS = 200 };

static sup_redis *redis;
static pid_t worker;
static asq *h;
static asq_agent *agent;
static char *log_path;

/* ---- logs ---- */

static char heard[20000];

static void hear(void *user, asq_log_level level, const char *message)
{
    size_t n = strlen(heard);
    (void) user;
    snprintf(heard + n, sizeof heard - n, "%d %s\n", (int) level, message);
}

static size_t times(const char *text, const char *part)
{
    size_t n = 0;
    while ((text = strstr(text, part))) {
        n++;
        text += strlen(part);
    }
    return n;
}

static size_t logged(const char *part)
{
    return (size_t) sup_file_count(log_path, part);
}

/* ---- a deployment ---- */

static asq *open_with(const char *url, int64_t close_timeout_ms)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512] = "";
    asq *handle = NULL;
    options.log = hear;
    options.close_timeout_ms = close_timeout_ms;
    int rc = load_asq_open(url, &options, &handle, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    return handle;
}

static void reopen(int64_t close_timeout_ms)
{
    if (agent)
        asq_agent_free(agent);
    if (h)
        asq_close(h);
    *heard = '\0';
    h = open_with(sup_redis_url(redis), close_timeout_ms);
    ck_assert_int_eq(
        asq_get_or_create(h, "Counter", "{one}", asq_pack("{s:i}", "value", 0), &agent), 0);
    ck_assert_int_eq(asq_ready(agent, sup_limit_ms()), 0);
}

static void set_up(void)
{
    static const char *const config[] = { "appendonly yes", "appendfsync always", NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    redis = sup_redis_start(config);
    log_path = sup_path("worker.log");
    options.log = sup_log_to_file;
    options.log_user = log_path;
    options.fail_no_class = true;
    worker = load_worker(sup_redis_url(redis), &options);
    reopen(0);
}

static void tear_down(void)
{
    load_worker_stop(worker);
    sup_redis_free(redis);
    free(log_path);
}

static int64_t value(void)
{
    asq *other = open_with(sup_redis_url(redis), 0);
    asq_agent *same;
    asq_result *r;
    int64_t n = -1;
    ck_assert_int_eq(asq_attach(other, "{one}", &same), 0);
    ck_assert_int_eq(asq_call(same, "read", &r, NULL), 0);
    ck_assert_int_eq(asq_result_int(r, &n), 0);
    asq_result_free(r);
    asq_agent_free(same);
    ck_assert_int_eq(asq_close(other), 0);
    return n;
}

static int close_h(void)
{
    asq_agent_free(agent);
    return asq_close(h);
}

/* ---- asq_close ---- */

/* Forks a process that restarts Redis after a while, and keeps it. */
static pid_t bring_redis_back(void)
{
    pid_t pid = fork();
    if (pid < 0)
        ck_abort_msg("fork");
    if (pid == 0) {
        sup_sleep_ms(SHORT_MS);
        sup_redis_restart(redis);
        for (;;)
            pause();
    }
    return pid;
}

/* Corked (1) or not, Redis comes back while asq_close waits. */
START_TEST(what_was_called_while_redis_was_away_gets_through)
{
    reopen(sup_limit_ms());
    sup_redis_kill(redis);
    asq_poll(h, SHORT_MS);
    if (_i)
        asq_cork(h);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_send(agent, "add", "[i]", 1), 0);
    pid_t keeper = bring_redis_back();
    ck_assert_int_eq(close_h(), 0);
    ck_assert_int_eq(value(), CALLS);
    load_worker_stop(worker);
    kill(keeper, SIGKILL);
    waitpid(keeper, NULL, 0);
    sup_redis_restart(redis);
    worker = load_worker(sup_redis_url(redis), NULL);
}
END_TEST

/* Redis does not come back. Some calls were made before the client noticed that, some after. */
START_TEST(what_did_not_get_through_is_counted)
{
    reopen(SHORT_MS);
    sup_proc_signal(sup_redis_proc(redis), SIGSTOP);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_send(agent, "add", "[i]", 1), 0);
    if (_i) {
        sup_redis_kill(redis);
        asq_poll(h, SHORT_MS);
        asq_cork(h);
        ck_assert_int_eq(asq_send(agent, "add", "[i]", 1), 0);
    }
    ck_assert_int_eq(close_h(), ASQ_ECONN);
    ck_assert_msg(strstr(heard, _i ? "11 calls are lost" : "10 calls are lost"), "%s", heard);
    ck_assert_uint_eq(times(heard, "lost:"), 1);
    if (_i)
        sup_redis_restart(redis);
    else
        sup_proc_signal(sup_redis_proc(redis), SIGCONT);
}
END_TEST

START_TEST(nothing_is_waited_for_when_all_was_taken)
{
    reopen(3600000);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_send(agent, "add", "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_redis_kill(redis);
    ck_assert_int_eq(close_h(), 0);
    ck_assert_uint_eq(times(heard, "lost:"), 0);
    sup_redis_restart(redis);
}
END_TEST

/* The handle ends when a call has its result and Redis has not yet acknowledged the batch. */
START_TEST(what_redis_answers_after_the_end_is_dropped)
{
    sup_proxy *proxy = sup_proxy_start(sup_redis_socket(redis));
    asq *cut_off = load_open(sup_proxy_url(proxy));
    asq_agent *a;
    asq_result *r;
    int64_t value;

    ck_assert_int_eq(asq_create(cut_off, "Counter", "one", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    sup_proxy_stall(proxy, "one.add");
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, 2);
    ck_assert_int_eq(sup_proxy_n_stalled(proxy), 1);
    asq_result_free(r);
    asq_agent_free(a);
    asq_close(cut_off);
    sup_proxy_free(proxy);
}
END_TEST

START_TEST(a_private_redis_is_not_missed_when_it_ends)
{
    close_h();
    *heard = '\0';
    h = open_with("child:", 0);
    for (const asq_class *const *c = classes; *c; c++)
        ck_assert_int_eq(asq_register(h, *c), 0);
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &agent, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_call_wait(agent, "add", NULL, "[i]", 1), 0);
    ck_assert_int_eq(asq_send(agent, "add", "[i]", 1), 0);
    ck_assert_int_eq(close_h(), 0);
    ck_assert_str_eq(heard, "");
}
END_TEST

/* ---- failures without a reader ---- */

START_TEST(a_mistyped_method_is_told_by_client_worker_and_flush)
{
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_send(agent, "ad", "[i]", 1), 0);
    ck_assert_int_eq(asq_call_wait(agent, "read", NULL, NULL), 0); /* behind them */
    sup_wait_until(asq_flush(h, sup_limit_ms()) == ASQ_ENOMETHOD);
    ck_assert_msg(strstr(asq_errmsg(h), "10 calls without a result have failed"), "%s",
                  asq_errmsg(h));
    ck_assert_uint_eq(times(heard, "Counter.ad failed"), 1);
    ck_assert(strstr(heard, "ASQ_ENOMETHOD"));
    sup_wait_until(logged("Counter.ad failed") >= 1);
    ck_assert_uint_eq(logged("Counter.ad failed"), 1);
    /* A failure of another kind is logged, too; the first kind is only counted. */
    ck_assert_int_eq(asq_send(agent, "add", "[s]", "no number"), 0);
    ck_assert_int_eq(asq_send(agent, "ad", "[i]", 1), 0);
    ck_assert_int_eq(asq_call_wait(agent, "read", NULL, NULL), 0);
    sup_wait_until(logged("Counter.add failed") == 1);
    ck_assert_uint_eq(logged("Counter.ad failed"), 1);
    sup_wait_until(asq_poll(h, 10) >= 0 && times(heard, "Counter.add failed") == 1);
    ck_assert_int_lt(close_h(), 0);
    ck_assert_msg(strstr(heard, "Counter.ad failed 10 more times"), "%s", heard);
    load_worker_stop(worker);
    ck_assert_uint_eq(logged("Counter.ad failed 10 more times"), 1);
    worker = load_worker(sup_redis_url(redis), NULL);
}
END_TEST

/* Waits until the handle has heard of n failures, and takes them from asq_flush. */
static void hear_failures(size_t n, const char *text)
{
    sup_wait_until(asq_poll(h, 10) >= 0 && times(heard, " failed, and its caller") >= n);
    ck_assert_int_lt(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_msg(strstr(asq_errmsg(h), text), "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
}

/* The results are freed at once (0), after a wait that timed out (1), and when they have arrived
 * (2). */
START_TEST(failures_whose_results_are_freed_without_a_look_are_told)
{
    asq_agent *unknown, *twin;
    asq_result *r;

    ck_assert_int_eq(asq_call(agent, "ad", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_create(h, "Ecco", NULL, &unknown, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &twin, "{s:i}", "value", 0), 0);
    if (_i == 1)
        asq_result_wait(r, 0);
    if (_i == 2)
        for (int i = 0; i < 3; i++) { /* behind all of them, each on its partition */
            ck_assert_int_eq(asq_call_wait(agent, "read", NULL, NULL), 0);
            ck_assert_int_lt(asq_call_wait(unknown, "read", NULL, NULL), 0);
        }
    asq_result_free(r);
    asq_agent_free(unknown);
    asq_agent_free(twin);
    hear_failures(3, "3 calls without a result have failed");
    ck_assert_msg(strstr(heard, "Counter.ad failed") && strstr(heard, "ASQ_ENOMETHOD"), "%s",
                  heard);
    ck_assert_msg(strstr(heard, "Ecco") && strstr(heard, "ASQ_ENOCLASS"), "%s", heard);
    ck_assert_msg(strstr(heard, "ASQ_EEXIST"), "%s", heard);
    ck_assert_int_eq(close_h(), 0);
}
END_TEST

/* Only the worker can report results that a method does not wait for. */
START_TEST(a_methods_results_that_are_freed_without_a_look_are_told_by_the_worker)
{
    ck_assert_int_eq(asq_call_wait(agent, "leave", NULL, "[s]", _i ? "wait" : ""), 0);
    sup_wait_until(logged("Counter.nosuch failed") == 1);
    ck_assert_int_eq(close_h(), 0);
    ck_assert_str_eq(heard, "");
}
END_TEST

START_TEST(failures_whose_results_are_taken_are_not_told)
{
    asq_result *r;

    ck_assert_int_eq(asq_call_wait(agent, "ad", NULL, NULL), ASQ_ENOMETHOD);
    ck_assert_int_eq(asq_call(agent, "ad", &r, NULL), 0);
    ck_assert_int_eq(asq_wait_all(&r, 1, sup_limit_ms()), 0);
    asq_result_free(r);
    ck_assert_int_eq(asq_call(agent, "ad", &r, NULL), 0);
    asq_result_id(r); /* for another process */
    asq_result_free(r);
    ck_assert_int_eq(asq_call_wait(agent, "read", NULL, NULL), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(close_h(), 0);
    ck_assert_str_eq(heard, "");
    ck_assert_uint_eq(logged("ad failed"), 0);
}
END_TEST

START_TEST(in_local_mode_flush_tells_as_well)
{
    asq_result *r;

    close_h();
    *heard = '\0';
    h = open_with("local:", 0);
    for (const asq_class *const *c = classes; *c; c++)
        ck_assert_int_eq(asq_register(h, *c), 0);
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &agent, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_send(agent, "ad", NULL), 0);
    ck_assert_int_eq(asq_flush(h, 0), ASQ_ENOMETHOD);
    ck_assert_int_eq(asq_flush(h, 0), 0); /* reported once */
    ck_assert(strstr(heard, "Counter.ad failed"));
    ck_assert_int_eq(asq_call(agent, "sub", &r, NULL), 0);
    asq_result_free(r);
    ck_assert_int_eq(asq_flush(h, 0), ASQ_ENOMETHOD);
    ck_assert(strstr(heard, "Counter.sub failed"));
    ck_assert_int_eq(close_h(), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("close");
    TCase *t = tcase_create("close");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, what_was_called_while_redis_was_away_gets_through, 0, 2);
    tcase_add_loop_test(t, what_did_not_get_through_is_counted, 0, 2);
    tcase_add_test(t, nothing_is_waited_for_when_all_was_taken);
    tcase_add_test(t, what_redis_answers_after_the_end_is_dropped);
    tcase_add_test(t, a_private_redis_is_not_missed_when_it_ends);
    tcase_add_test(t, a_mistyped_method_is_told_by_client_worker_and_flush);
    tcase_add_loop_test(t, failures_whose_results_are_freed_without_a_look_are_told, 0, 3);
    tcase_add_loop_test(t, a_methods_results_that_are_freed_without_a_look_are_told_by_the_worker,
                        0, 2);
    tcase_add_test(t, failures_whose_results_are_taken_are_not_told);
    tcase_add_test(t, in_local_mode_flush_tells_as_well);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
