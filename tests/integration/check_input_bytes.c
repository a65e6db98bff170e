/*
 * check_input_bytes.c: results that calls have as arguments take a bounded number of bytes while
 * the calls wait, and no call waits for ever for the memory of another one.
 */
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, CALLS = 200, CHAIN = 24 };

static sup_redis *redis;
static asq *h;
static asq_agent *maker;
static asq_agent *takers[CALLS];
static asq_result *made[CALLS], *taken[CALLS];
static char *begun, *release_file;

static asq_agent *create(const char *class_name, const char *id)
{
    asq_agent *a;
    ck_assert_msg(asq_create(h, class_name, id, &a, NULL) == 0, "%s", asq_errmsg(h));
    return a;
}

/* Calls made while no worker runs are sent with the results as futures. */
static void set_up(void)
{
    redis = sup_redis_start(NULL);
    load_make_namespace(sup_redis_url(redis), 0);
    h = load_open(sup_redis_url(redis));
    maker = create("Echo", "maker");
    for (int i = 0; i < CALLS; i++) {
        char id[40];
        snprintf(id, sizeof id, "taker%d", i);
        takers[i] = create("Echo", id);
    }
    begun = sup_path("begun");
    release_file = sup_path("release");
}

static void tear_down(void)
{
    for (int i = 0; i < CALLS; i++)
        asq_agent_free(takers[i]);
    asq_agent_free(maker);
    asq_close(h);
    sup_redis_free(redis);
    free(begun);
    free(release_file);
}

static pid_t start(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.max_backlog_size = 8 * (size_t) MIB;
    options.capacity = 2;
    options.id = "w";
    return load_worker(sup_redis_url(redis), &options);
}

static void make(int i)
{
    ck_assert_int_eq(asq_call(maker, "blob", &made[i], "[i]", MIB), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0); /* a record of its own */
}

/* Returns the bytes that Redis has sent, mostly records. */
static int64_t bytes_read(void)
{
    return sup_redis_stat(redis, "stats", "total_net_output_bytes:", "total_net_output_bytes:");
}

/* Each of many calls has one large input and one that comes late. */
START_TEST(large_inputs_of_many_waiting_calls_stay_in_redis)
{
    asq_result *late;
    asq_agent *holder = create("Echo", "holder");

    ck_assert_int_eq(asq_call(holder, "hold", &late, "[s, s]", begun, release_file), 0);
    for (int i = 0; i < CALLS; i++) {
        make(i);
        ck_assert_msg(asq_call(takers[i], "type", &taken[i], "[r, r]", made[i], late) == 0, "%s",
                      asq_errmsg(h));
    }
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    pid_t w = start();
    sup_wait_until(bytes_read() >= CALLS * (int64_t) MIB); /* each of them once */
    free(sup_write_file("release", ""));
    for (int i = 0; i < CALLS; i++) {
        const char *text;
        ck_assert_msg(asq_result_string(taken[i], &text) == 0, "%d: %s", i, asq_errmsg(h));
        ck_assert_str_eq(text, "bytes");
        asq_result_free(taken[i]);
        asq_result_free(made[i]);
    }
    ck_assert_int_gt(sup_redis_worker_peak_kb(redis, "w.0"), 0);
    if (!sup_is_wrapped() && !SUP_SANITIZED) /* sanitizers keep freed memory */
        ck_assert_msg(sup_redis_worker_peak_kb(redis, "w.0") < CALLS * 1024, "%lld MiB",
                      (long long) sup_redis_worker_peak_kb(redis, "w.0") / 1024);
    asq_result_free(late);
    asq_agent_free(holder);
    load_worker_stop(w);
}
END_TEST

/* Each call holds one large input and waits for the call before it, which has large inputs too. */
START_TEST(calls_that_wait_for_each_others_large_results_all_end)
{
    for (int i = 0; i < CHAIN; i++) {
        make(i);
        int rc = i ? asq_call(takers[i], "first", &taken[i], "[r, r]", made[i], taken[i - 1])
                   : asq_call(takers[i], "first", &taken[i], "[r]", made[i]);
        ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    }
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    pid_t w = start();
    for (int i = CHAIN - 1; i >= 0; i--) {
        ck_assert_msg(asq_result_wait(taken[i], sup_limit_ms()) == 0, "%d: %s", i, asq_errmsg(h));
        ck_assert_msg(asq_result_error(taken[i])->code == 0, "%d: %s", i,
                      asq_result_error(taken[i])->message);
    }
    for (int i = 0; i < CHAIN; i++) {
        asq_result_free(taken[i]);
        asq_result_free(made[i]);
    }
    load_worker_stop(w);
}
END_TEST

/* Each call holds large inputs and waits inside for a call that has large inputs, too. There are
 * more such calls than there is room. */
START_TEST(calls_that_hold_large_inputs_and_wait_inside_all_end)
{
    asq_agent *relays[CHAIN];

    for (int i = 0; i < CHAIN; i++) {
        char id[40];
        snprintf(id, sizeof id, "relay%d", i);
        relays[i] = create("Relay", id);
        make(i);
        /* The method's call has the result as a value. */
        ck_assert_msg(
            asq_call(relays[i], "call", &taken[i], "[a, s, [r]]", takers[i], "type", made[i]) == 0,
            "%s", asq_errmsg(h));
    }
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    pid_t w = start();
    for (int i = 0; i < CHAIN; i++) {
        ck_assert_int_eq(asq_result_wait(taken[i], sup_limit_ms()), 0);
        ck_assert_msg(asq_result_error(taken[i])->code == 0, "%d: %s", i,
                      asq_result_error(taken[i])->message);
        asq_result_free(taken[i]);
        asq_result_free(made[i]);
        asq_agent_free(relays[i]);
    }
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("input bytes");
    TCase *t = tcase_create("input bytes");

    tcase_set_timeout(t, 180);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, large_inputs_of_many_waiting_calls_stay_in_redis);
    tcase_add_test(t, calls_that_wait_for_each_others_large_results_all_end);
    tcase_add_test(t, calls_that_hold_large_inputs_and_wait_inside_all_end);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
