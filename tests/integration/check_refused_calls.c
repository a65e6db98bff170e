/*
 * check_refused_calls.c: Redis refuses a commit because of one call's outcome, with an unknown
 * text. That call is given up after its attempts, as a dead letter that names the refusal. The
 * other calls of the commit take effect once. The same holds if the answer to the blame is lost,
 * and if the process dies right after it.
 */
#include "modes.h"
#include "support/file_lines.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOOD = 6, ATTEMPTS = 3 };

/* The proxy replaces the TTL of a record with this text by one that Redis refuses. */
#define MARK             "strange"
#define LIFETIME         "7201000"
#define REFUSED_LIFETIME "-201000"

static sup_redis *redis;
static sup_proxy *proxy;
static pid_t worker;
static char *log_path, *go, *runs;

static bool logged(const char *text)
{
    return sup_file_count(log_path, text) > 0;
}

/* ---- Tally: counts its runs in its state ----------------------------------------------------- */

/* Waits for a file, and returns the count, or with `bad` the refused text. Each run with `bad` adds
 * a line to a file. */
static int tally_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t bad, n = asq_map_int(asq_ctx_state(ctx), "n") + 1;
    int rc = asq_args(ctx, args, "[I]", &bad);

    (void) self;
    if (rc < 0)
        return rc;
    sup_wait_until(exists(go));
    if (bad)
        sup_file_add(runs, "run");
    *ret = bad ? asq_value_string(MARK) : asq_value_int(n);
    return asq_map_set_int(asq_ctx_state(ctx), "n", n);
}

static const asq_method tally_methods[] = { { "add", tally_add, "bad", 0, NULL },
                                            { NULL, NULL, NULL, 0, NULL } };
static const asq_class tally_class = { ASQ_CLASS_INIT, .name = "Tally", .methods = tally_methods };

/* ---- fixtures -------------------------------------------------------------------------------- */

static void set_up(void)
{
    static const asq_class *const list[] = { &tally_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    redis = sup_redis_start(NULL);
    proxy = sup_proxy_start(sup_redis_socket(redis));
    mode = MODE_INDEPENDENT;
    log_path = sup_path("log");
    go = sup_path("go");
    runs = sup_path("runs");
    options.id = "w";
    options.partitions = 1;
    options.capacity = GOOD + 1;
    options.lease_time_ms = 2000;
    options.max_expire_time_s = 7201;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    worker = modes_fork_worker_with(sup_proxy_url(proxy), &options, list);
    /* The worker makes the namespace, because a client would give it more partitions. */
    sup_wait_until(sup_redis_workers(redis, "default") > 0);
    H = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
}

static void tear_down(void)
{
    asq_close(H);
    H = NULL;
    modes_stop_worker(worker);
    remove(log_path);
    remove(go);
    remove(runs);
    free(log_path);
    free(go);
    free(runs);
    sup_proxy_free(proxy);
    sup_redis_free(redis);
}

/* ---- tests ----------------------------------------------------------------------------------- */

/* The fate of the first blame. */
enum fate { ANSWERED, ANSWER_LOST, PROCESS_DEAD };

/* Text of the blame, which no earlier command of the worker has. */
#define BLAME "its commit was refused"

static bool has_come(enum fate fate)
{
    return fate == ANSWER_LOST ? sup_proxy_has_cut(proxy)
                               : sup_redis_int(redis, "EXISTS asq:{default.0}:attempts") == 1;
}

/* A commit is refused for half a minute before its calls are blamed. */
static void await_fate(enum fate fate)
{
    int64_t end_ms = sup_now_ms() + 4 * sup_limit_ms();
    pid_t pid = sup_redis_worker_pid(redis, "w.0");

    if (fate == ANSWERED)
        return;
    while (!has_come(fate)) {
        ck_assert_int_lt(sup_now_ms(), end_ms);
        sup_sleep_ms(5);
    }
    if (fate != PROCESS_DEAD)
        return;
    kill(pid, SIGKILL);
    sup_wait_until(!sup_pid_running(pid));
    sup_proxy_resume(proxy);
}

static void refuse_one(enum fate fate)
{
    asq_agent *good[GOOD], *bad = agent_new("Tally", NULL);
    asq_result *results[GOOD], *refused;
    asq_value *letters;
    const char *reason = NULL;

    ok(asq_ready(bad, sup_limit_ms()));
    for (int i = 0; i < GOOD; i++) {
        good[i] = agent_new("Tally", NULL);
        ok(asq_ready(good[i], sup_limit_ms()));
    }
    sup_proxy_spoil(proxy, MARK, LIFETIME, REFUSED_LIFETIME);
    for (int i = 0; i < GOOD; i++)
        ok(asq_call(good[i], "add", &results[i], "[i]", 0));
    ok(asq_call(bad, "add", &refused, "[i]", 1));
    ok(asq_flush(H, sup_limit_ms()));
    if (fate == ANSWER_LOST)
        sup_proxy_cut(proxy, SUP_CUT_ANSWER, BLAME);
    else if (fate == PROCESS_DEAD)
        sup_proxy_stall(proxy, BLAME);
    touch(go);
    await_fate(fate);
    ck_assert_code(asq_result_wait(refused, 4 * sup_limit_ms()), ASQ_EDEADLETTER);
    ck_assert_contains(asq_result_error(refused)->message, "its commit was refused");
    ck_assert_contains(asq_result_error(refused)->message, "invalid expire");
    ck_assert(logged("Redis keeps refusing a commit"));
    /* Each run was blamed once. */
    ck_assert_int_eq(sup_file_count(runs, "run"), ATTEMPTS);
    for (int i = 0; i < GOOD; i++)
        ck_assert_int_eq(result_int(results[i]), 1);
    ok(asq_dead_list(H, 0, &letters));
    ck_assert_int_eq(asq_list_size(letters), 1);
    asq_value_get_string(asq_map_get(asq_list_get(letters, 0), "reason"), &reason, NULL);
    ck_assert_contains(reason, "3 attempts failed to commit Tally.add");
    ck_assert_contains(reason, "invalid expire");
    asq_value_free(letters);
    /* Only the acknowledged run has had an effect, and no call is blamed any more. */
    for (int i = 0; i < GOOD; i++)
        ck_assert_int_eq(call_int(good[i], "add", "[i]", 0), 2);
    ck_assert_int_eq(call_int(bad, "add", "[i]", 0), 1);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default.0}:attempts"), 0);
    for (int i = 0; i < GOOD; i++)
        asq_agent_free(good[i]);
    asq_result_free(refused);
    asq_agent_free(bad);
}

START_TEST(the_call_that_is_refused_is_given_up_and_the_others_of_its_commit_go_through)
{
    refuse_one(ANSWERED);
}
END_TEST

START_TEST(a_blame_whose_answer_is_lost_counts_once)
{
    refuse_one(ANSWER_LOST);
}
END_TEST

START_TEST(a_blame_stays_when_the_process_dies_right_behind_it)
{
    refuse_one(PROCESS_DEAD);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("refused_calls");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, the_call_that_is_refused_is_given_up_and_the_others_of_its_commit_go_through);
    tcase_add_test(t, a_blame_whose_answer_is_lost_counts_once);
    tcase_add_test(t, a_blame_stays_when_the_process_dies_right_behind_it);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
