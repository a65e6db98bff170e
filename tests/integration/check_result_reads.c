/*
 * check_result_reads.c: a worker that takes over a partition reads the existing results of the
 * calls there within a bound in bytes, however many and large they are. Each call takes effect
 * once.
 */
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, BATCHES = 100, LONG_MS = 3600000 };

static sup_redis *redis;
static asq *h;
static asq_agent *busy, *other;
static asq_agent *counters[BATCHES], *echoes[BATCHES];
static asq_result *sleeper, *added[BATCHES], *blobs[BATCHES], *last[BATCHES];

static asq_agent *create(const char *class_name, const char *name, int i)
{
    char id[40];
    asq_agent *a;
    snprintf(id, sizeof id, "{one}%s%d", name, i); /* in one partition */
    ck_assert_msg(asq_create(h, class_name, id, &a, NULL) == 0, "%s", asq_errmsg(h));
    return a;
}

static pid_t start(const char *id)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.capacity = 4;
    options.id = id;
    return load_worker(sup_redis_url(redis), &options);
}

/* Leaves the batches of a worker that has died. All calls but the last of each are done, with large
 * results. */
static void set_up(void)
{
    redis = sup_redis_start(NULL);
    pid_t w = start("first");
    h = load_open(sup_redis_url(redis));
    busy = create("Echo", "busy", 0);
    other = create("Echo", "other", 0);
    for (int i = 0; i < BATCHES; i++) {
        counters[i] = create("Counter", "counter", i);
        echoes[i] = create("Echo", "echo", i);
    }
    ck_assert_int_eq(asq_call(busy, "nap", &sleeper, "[i]", LONG_MS), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    for (int i = 0; i < BATCHES; i++) {
        asq_cork(h); /* one batch */
        ck_assert_int_eq(asq_call(counters[i], "add", &added[i], "[i]", 1), 0);
        ck_assert_int_eq(asq_call(echoes[i], "blob", &blobs[i], "[i]", MIB), 0);
        ck_assert_int_eq(asq_call(busy, "nothing", &last[i], NULL), 0);
        ck_assert_int_eq(asq_uncork(h), 0);
        ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    }
    for (int i = 0; i < BATCHES; i++) {
        ck_assert_msg(asq_result_wait(added[i], sup_limit_ms()) == 0, "%s", asq_errmsg(h));
        ck_assert_msg(asq_result_wait(blobs[i], sup_limit_ms()) == 0, "%s", asq_errmsg(h));
        asq_result_free(blobs[i]);
        asq_result_free(added[i]);
    }
    load_worker_kill(w);
}

static void tear_down(void)
{
    for (int i = 0; i < BATCHES; i++) {
        asq_agent_free(counters[i]);
        asq_agent_free(echoes[i]);
    }
    asq_agent_free(busy);
    asq_agent_free(other);
    asq_close(h);
    sup_redis_free(redis);
}

/* In the second run the user may not run GETRANGE, which returns small results without a further
 * request. */
START_TEST(results_of_inherited_calls_are_read_in_pieces)
{
    if (_i)
        sup_redis_do(redis, "ACL SETUSER default -getrange");
    sup_redis_do(redis, "CONFIG RESETSTAT");
    int64_t before = sup_redis_stat(redis, "memory", "used_memory:", "used_memory:");
    ck_assert_int_gt(before, BATCHES * (int64_t) MIB);
    pid_t w = start("w");
    /* A call behind all others in the stream. */
    ck_assert_msg(asq_call_wait(other, "nothing", NULL, NULL) == 0, "%s", asq_errmsg(h));
    int64_t took =
        sup_redis_stat(redis, "memory", "used_memory_peak:", "used_memory_peak:") - before;
    ck_assert_msg(took < BATCHES / 2 * (int64_t) MIB, "Redis took %lld MiB more",
                  (long long) took / MIB);
    ck_assert_int_gt(sup_redis_worker_peak_kb(redis, "w.0"), 0);
    if (!sup_is_wrapped() && !SUP_SANITIZED) /* sanitizers keep freed memory */
        ck_assert_msg(sup_redis_worker_peak_kb(redis, "w.0") < BATCHES * 1024, "%lld MiB",
                      (long long) sup_redis_worker_peak_kb(redis, "w.0") / 1024);
    ck_assert_int_eq(asq_result_cancel(sleeper), 0);
    for (int i = 0; i < BATCHES; i++) {
        int64_t n;
        ck_assert_msg(asq_result_wait(last[i], sup_limit_ms()) == 0, "%d: %s", i, asq_errmsg(h));
        asq_result_free(last[i]);
        asq_result *r;
        ck_assert_int_eq(asq_call(counters[i], "read", &r, NULL), 0);
        ck_assert_msg(asq_result_int(r, &n) == 0, "%d: %s", i, asq_errmsg(h));
        ck_assert_int_eq(n, 1);
        asq_result_free(r);
    }
    asq_result_free(sleeper);
    load_worker_stop(w);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    Suite *s = suite_create("result reads");
    TCase *t = tcase_create("result reads");

    tcase_set_timeout(t, 180);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, results_of_inherited_calls_are_read_in_pieces, 0, 2);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
