/*
 * check_backlog.c: more calls wait than a worker holds in memory, or than may wait at all.
 */
#include "asqueue.h"
#include "load.h"
#include "support/suite.h"
#include "support/support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CALLS = 6000, LONG_MS = 3600000 };

static sup_redis *redis;
static asq *h;
static asq_result *results[CALLS];

static void set_up(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";

    options.partitions = 1; /* the partition in which all calls wait */
    options.timeout_ms = 4 * sup_limit_ms();
    redis = sup_redis_start(NULL);
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &h, err, sizeof err) == 0, "%s",
                  err);
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

static sup_proc *start_worker(const char *option, const char *value)
{
    return sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(), "--log-level",
                            "debug", option, value, NULL);
}

static bool has_said(sup_proc *worker, const char *what)
{
    char *text = sup_proc_output(worker);
    bool found = strstr(text, what) != NULL;

    free(text);
    return found;
}

static bool has_left_some(sup_proc *worker)
{
    return has_said(worker, "stay in Redis for now");
}

static asq_agent *create(const char *cls)
{
    asq_agent *a;

    ck_assert_int_eq(asq_create(h, cls, NULL, &a, NULL), 0);
    return a;
}

static void free_results(int n)
{
    for (int i = 0; i < n; i++)
        asq_result_free(results[i]);
}

static int completed;

static void count(asq_result *r, void *user)
{
    (void) user;
    ck_assert_int_eq(asq_result_error(r)->code, 0);
    completed++;
}

/* A counter shows the order of the runs, because large results may be announced later than
 * others. */
START_TEST(what_does_not_fit_runs_all_the_same_in_its_order)
{
    enum { N = 1500, SIZE = 16384 };
    asq_agent *a = create("Echo"), *counter = create("Counter");
    char *text = malloc(SIZE + 1);
    int64_t value;

    memset(text, 'x', SIZE);
    text[SIZE] = '\0';
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_call(a, "echo", &results[i], "[s]", text), 0);
        ck_assert_int_eq(asq_result_then(results[i], count, NULL), 0);
        ck_assert_int_eq(asq_call(counter, "add", &results[N + i], "[i]", 1), 0);
    }
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_proc *worker = start_worker("--max-backlog-size", "1M");
    ck_assert_int_eq(asq_wait_all(results, 2 * N, 2 * sup_limit_ms()), 0);
    ck_assert_int_eq(completed, N);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_result_int(results[N + i], &value), 0);
        ck_assert_int_eq(value, i + 1);
    }
    ck_assert(has_left_some(worker));
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.0}:jobs") == 0);
    /* Later calls are read as usual. */
    ck_assert_int_eq(asq_call_wait(a, "echo", NULL, "[i]", 1), 0);
    free_results(2 * N);
    free(text);
    asq_agent_free(counter);
    asq_agent_free(a);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
}
END_TEST

START_TEST(what_is_left_in_redis_can_be_cancelled_and_waited_for)
{
    enum { N = CALLS, CANCELLED = N - 10 };
    sup_proc *worker = start_worker("--max-backlog-size", "1M");
    asq_agent *held = create("Echo"), *other = create("Counter");
    asq_result *sleeper, *found;
    asq *h2;
    char err[300];
    int64_t value;

    ck_assert_int_eq(asq_call(held, "sleep", &sleeper, "[i]", LONG_MS), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(asq_call(held, "echo", &results[i], "[i]", i), 0);
    sup_wait_until(asq_poll(h, 10) >= 0 && has_left_some(worker));
    /* Another client waits for a call that was left in the stream; the call goes on waiting. */
    ck_assert_int_eq(load_asq_open(sup_redis_url(redis), NULL, &h2, err, sizeof err), 0);
    ck_assert_int_eq(asq_result_attach(h2, asq_result_id(results[N - 1]), &found), 0);
    ck_assert_int_eq(asq_result_wait(found, 1500), ASQ_ETIMEOUT);
    ck_assert_int_eq(asq_result_cancel(results[CANCELLED]), 0);
    /* When a call behind all others in the stream ends, the cancellation has been read. */
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_cancel(sleeper), 0);
    ck_assert_int_eq(asq_result_wait(sleeper, sup_limit_ms()), ASQ_ECANCELED);
    for (int i = 0; i < N; i++) {
        if (i == CANCELLED) {
            ck_assert_int_eq(asq_result_wait(results[i], sup_limit_ms()), ASQ_ECANCELED);
            continue;
        }
        ck_assert_int_eq(asq_result_int(results[i], &value), 0);
        ck_assert_int_eq(value, i);
    }
    ck_assert_int_eq(asq_result_wait(found, sup_limit_ms()), 0);
    asq_result_free(found);
    asq_close(h2);
    free_results(N);
    asq_result_free(sleeper);
    asq_agent_free(held);
    asq_agent_free(other);
    sup_proc_free(worker);
}
END_TEST

/* Log levels that an operator reads name the agent that blocks others of the partition, and say
 * when it no longer does. */
START_TEST(the_agent_that_calls_wait_for_is_named_in_the_log)
{
    sup_proc *worker = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(),
                                        "--max-backlog-size", "1M", NULL);
    asq_agent *slow, *other = create("Counter");
    asq_result *sleeper;

    ck_assert_int_eq(asq_create(h, "Echo", "slow-one", &slow, NULL), 0);
    ck_assert_int_eq(asq_call(slow, "sleep", &sleeper, "[i]", LONG_MS), 0);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_call(slow, "echo", &results[i], "[i]", i), 0);
    sup_wait_until(asq_poll(h, 10) >= 0 && has_left_some(worker));
    ck_assert(has_said(worker, "wait for agent slow-one ("));
    ck_assert_int_eq(asq_result_cancel(sleeper), 0);
    ck_assert_int_eq(asq_wait_all(results, CALLS, 2 * sup_limit_ms()), 0);
    sup_wait_until(has_said(worker, "have been read into memory"));
    free_results(CALLS);
    asq_result_free(sleeper);
    asq_agent_free(slow);
    asq_agent_free(other);
    sup_proc_free(worker);
}
END_TEST

/* Returns whether a call of the agent has begun, which may have left its memory by now. */
static bool has_begun(const asq_agent *a)
{
    static const unsigned begun = ASQ_CALLS_RUNNING | ASQ_CALLS_PARKED | ASQ_CALLS_DELAYED;
    int64_t n = 0;
    int rc = asq_calls_count(h, begun, asq_agent_id(a), NULL, sup_limit_ms(), &n);
    ck_assert_int_eq(rc, 0);
    return n > 0;
}

START_TEST(a_full_partition_refuses_at_once_and_loses_nothing)
{
    enum { N = 300, MAX = 100 };
    sup_proc *worker = start_worker("--max-waiting", "100");
    asq_agent *held = create("Echo");
    asq_result *sleeper;
    int ran = 0, busy = 0;
    int64_t value;

    ck_assert_int_eq(asq_ready(held, sup_limit_ms()), 0); /* earlier calls are not refused */
    ck_assert_int_eq(asq_call(held, "sleep", &sleeper, "[i]", LONG_MS), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(has_begun(held)); /* and leaves no room later, behind calls that are refused */
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(asq_call(held, "echo", &results[i], "[i]", i), 0);
    for (int i = MAX; i < N; i++) { /* refused while the sleeper sleeps */
        ck_assert_int_eq(asq_result_wait(results[i], sup_limit_ms()), ASQ_EBUSY);
        busy++;
    }
    ck_assert_ptr_nonnull(strstr(asq_result_error(results[N - 1])->message, "--max-waiting"));
    ck_assert_int_eq(asq_result_cancel(sleeper), 0);
    for (int i = 0; i < MAX; i++) {
        int rc = asq_result_int(results[i], &value);
        if (rc == 0) {
            ck_assert_int_eq(value, i);
            ran++;
        } else {
            ck_assert_int_eq(rc, ASQ_EBUSY);
            busy++;
        }
    }
    ck_assert_int_ge(ran, MAX - 3); /* the sleeper waits too, and perhaps the creation */
    ck_assert_int_eq(ran + busy, N);
    free_results(N);
    asq_result_free(sleeper);
    asq_agent_free(held);
    sup_proc_free(worker);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("backlog");
    TCase *t = tcase_create("backlog");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_does_not_fit_runs_all_the_same_in_its_order);
    tcase_add_test(t, what_is_left_in_redis_can_be_cancelled_and_waited_for);
    tcase_add_test(t, the_agent_that_calls_wait_for_is_named_in_the_log);
    tcase_add_test(t, a_full_partition_refuses_at_once_and_loses_nothing);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
