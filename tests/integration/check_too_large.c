/*
 * check_too_large.c: one call's output is larger than the longest string of Redis. That call ends
 * in an error that says so, and the state of its agent is as before; other calls go on, and
 * connections stay. Each test runs with a Redis that tells its limit, and with one that only
 * refuses.
 */
#include "modes.h"
#include "support/file_lines.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 2 << 20 };

static sup_redis *redis;
static pid_t worker;
static asq_agent *a, *beside;

/* ---- Heap: results and states of any size ---------------------------------------------------- */

static int make_bytes(int64_t n, asq_value **ret)
{
    char *p = calloc(1, (size_t) n + 1);

    *ret = p ? asq_value_bytes(p, (size_t) n) : NULL;
    free(p);
    return *ret ? 0 : ASQ_ENOMEM;
}

static int heap_give(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    rc = asq_map_set_int(asq_ctx_state(ctx), "given", asq_map_int(asq_ctx_state(ctx), "given") + 1);
    return rc < 0 ? rc : make_bytes(n, ret);
}

static int heap_make(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n;
    int rc = asq_args(ctx, args, "[I]", &n);

    (void) self;
    return rc < 0 ? rc : make_bytes(n, ret);
}

static int heap_keep(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *bytes;
    int64_t n;
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0 || (rc = make_bytes(n, &bytes)) < 0)
        return rc;
    return asq_map_set(asq_ctx_state(ctx), "bytes", bytes);
}

static int heap_take(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    *ret = asq_value_int(asq_map_int(asq_ctx_state(ctx), "given"));
    return 0;
}

/* Returns the error of a call of n bytes to another agent. */
static int heap_pass(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *to;
    asq_agent *other;
    asq_value *bytes;
    int64_t n;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[sI]", &to, &n)) < 0 ||
        (rc = asq_attach(asq_ctx_handle(ctx), to, &other)) < 0)
        return rc;
    if ((rc = make_bytes(n, &bytes)) == 0) {
        int code = asq_call_wait(other, "take", NULL, "[o]", bytes);
        *ret = asq_value_int(code);
    }
    asq_agent_free(other);
    return rc;
}

static const asq_method heap_methods[] = {
    { "give", heap_give, NULL, 0, NULL }, { "make", heap_make, NULL, 0, NULL },
    { "keep", heap_keep, NULL, 0, NULL }, { "take", heap_take, NULL, 0, NULL },
    { "pass", heap_pass, NULL, 0, NULL }, { 0 }
};
static const asq_class heap_class = { ASQ_CLASS_INIT, .name = "Heap", .methods = heap_methods };

/* ---- fixtures, helpers ----------------------------------------------------------------------- */

static const char *const telling[] = { "proto-max-bulk-len 1mb", NULL };
static const char *const silent[] = { "proto-max-bulk-len 1mb", "rename-command CONFIG \"\"",
                                      NULL };

static void start(const char *const config[])
{
    static const asq_class *const list[] = { &heap_class, NULL };

    redis = sup_redis_start(config);
    mode = MODE_INDEPENDENT;
    /* Redis tells its limit to the user "default" only. */
    H = modes_open_url(sup_redis_url_default(redis));
    worker = modes_fork_worker(sup_redis_url_default(redis), NULL, list);
    a = agent_new("Heap", NULL);
    beside = agent_new("Heap", NULL);
    ok(asq_ready(a, sup_limit_ms()));
    ok(asq_ready(beside, sup_limit_ms()));
}

static void stop(void)
{
    asq_agent_free(a);
    asq_agent_free(beside);
    asq_close(H);
    H = NULL;
    modes_stop_worker(worker);
    sup_redis_free(redis);
}

static void start_for(int i)
{
    start(i ? silent : telling);
}

static int64_t connections(void)
{
    return sup_redis_stat(redis, "stats", "total_connections_received", ":");
}

/* Checks that the call fails and that its error has both sizes. */
static void check_is_named(asq_result *r)
{
    ck_assert_code(asq_result_wait(r, sup_limit_ms()), ASQ_ELIMIT);
    ck_assert_contains(asq_result_error(r)->message, "2097");
    ck_assert_contains(asq_result_error(r)->message, "proto-max-bulk-len");
    asq_result_free(r);
}

static void check_goes_on(int64_t before)
{
    ck_assert_int_eq(call_int(beside, "take", NULL), 0);
    ck_assert_int_lt(connections() - before, 100);
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(a_call_that_is_too_large_ends_and_others_go_on)
{
    asq_result *r, *small;
    asq_value *bytes;

    start_for(_i);
    int64_t before = connections();
    ok(make_bytes(LARGE, &bytes));
    ok(asq_call(a, "take", &r, "[o]", bytes));
    ok(asq_call(beside, "take", &small, NULL));
    ok(asq_flush(H, sup_limit_ms()));
    ck_assert_int_eq(result_int(small), 0);
    check_is_named(r);
    check_goes_on(before);
    stop();
}
END_TEST

START_TEST(a_result_that_is_too_large_fails_its_call_and_the_state_is_as_before)
{
    asq_result *r, *small;

    start_for(_i);
    ck_assert_int_eq(call_code(a, "give", "[i]", 10), 0);
    int64_t before = connections();
    ok(asq_call(a, "give", &r, "[i]", LARGE));
    ok(asq_call(beside, "take", &small, NULL));
    check_is_named(r);
    ck_assert_int_eq(result_int(small), 0);
    ck_assert_int_eq(call_int(a, "take", NULL), 1);
    check_goes_on(before);
    stop();
}
END_TEST

START_TEST(a_state_that_is_too_large_is_not_kept)
{
    asq_result *r;

    start_for(_i);
    ck_assert_int_eq(call_code(a, "give", "[i]", 10), 0);
    int64_t before = connections();
    ok(asq_call(a, "keep", &r, "[i]", LARGE));
    check_is_named(r);
    ck_assert_int_eq(call_int(a, "take", NULL), 1);
    check_goes_on(before);
    stop();
}
END_TEST

START_TEST(a_methods_call_that_is_too_large_ends_and_the_method_goes_on)
{
    start_for(_i);
    int64_t before = connections();
    ck_assert_int_eq(call_int(a, "pass", "[si]", asq_agent_id(beside), LARGE), ASQ_ELIMIT);
    ck_assert_int_eq(call_int(a, "pass", "[si]", asq_agent_id(beside), 1000), 0);
    check_goes_on(before);
    stop();
}
END_TEST

/* The calls run one after the other on one agent, and at the same time on many agents. */
START_TEST(results_of_a_batch_that_are_too_large_together_end_each_by_itself)
{
    enum { CALLS = 32, EACH = 100 * 1024 };
    asq_result *r[CALLS];
    int fitted = 0, failed = 0;

    start(telling);
    asq_cork(H);
    for (int i = 0; i < CALLS; i++)
        ok(asq_call(a, "give", &r[i], "[i]", EACH));
    ok(asq_uncork(H));
    for (int i = 0; i < CALLS; i++) {
        int rc = asq_result_wait(r[i], sup_limit_ms());
        ck_assert_msg(rc == 0 || rc == ASQ_ELIMIT, "call %d: %s", i, asq_error_name(rc));
        rc == 0 ? fitted++ : failed++;
        asq_result_free(r[i]);
    }
    ck_assert_int_ge(fitted, 9);
    ck_assert_int_gt(failed, 0);
    ck_assert_int_eq(call_int(a, "take", NULL), fitted);
    stop();
}
END_TEST

START_TEST(a_limit_that_is_lowered_while_a_worker_runs_is_found)
{
    static const char *const none[] = { NULL };
    asq_result *r;

    start(none);
    ck_assert_int_eq(call_code(a, "give", "[i]", LARGE), 0);
    sup_redis_do(redis, "CONFIG SET proto-max-bulk-len 1mb");
    int64_t before = connections();
    ok(asq_call(a, "give", &r, "[i]", LARGE));
    check_is_named(r);
    ck_assert_int_eq(call_int(a, "take", NULL), 1);
    ok(asq_call(a, "keep", &r, "[i]", LARGE));
    check_is_named(r);
    check_goes_on(before);
    stop();
}
END_TEST

START_TEST(an_entry_that_is_too_large_for_a_dead_letter_becomes_one_without_its_bytes)
{
    static const asq_class *const list[] = { &heap_class, NULL };
    char *junk = malloc(LARGE);

    redis = sup_redis_start(NULL);
    mode = MODE_INDEPENDENT;
    H = modes_open_url(sup_redis_url(redis));
    memset(junk, 'x', LARGE);
    sup_redis_do(redis, "XADD asq:{default.3}:jobs * call junk batch %b", junk, (size_t) LARGE);
    free(junk);
    sup_redis_do(redis, "CONFIG SET proto-max-bulk-len 1mb");
    worker = modes_fork_worker(sup_redis_url(redis), NULL, list);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.3}:dead") == 1);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.3}:jobs"), 0);
    redisReply *letter = sup_redis_reply(redis, "XRANGE asq:{default.3}:dead - +");
    const redisReply *fields = letter->element[0]->element[1];
    ck_assert_contains(fields->element[5]->str, "2097152 bytes are not kept");
    ck_assert_uint_eq(fields->element[11]->len, 0);
    freeReplyObject(letter);
    asq_close(H);
    modes_stop_worker(worker);
    sup_redis_free(redis);
}
END_TEST

/* ---- closed connections without an error ----------------------------------------------------- */

/* Starts everything with a proxy before Redis, for the client or for the worker. */
static sup_proxy *start_behind_proxy(bool client)
{
    static const asq_class *const list[] = { &heap_class, NULL };
    sup_proxy *proxy;

    redis = sup_redis_start(NULL);
    mode = MODE_INDEPENDENT;
    proxy = sup_proxy_start(sup_redis_socket(redis));
    H = modes_open_url(client ? sup_proxy_url(proxy) : sup_redis_url(redis));
    worker = modes_fork_worker(client ? sup_redis_url(redis) : sup_proxy_url(proxy), NULL, list);
    a = agent_new("Heap", NULL);
    beside = agent_new("Heap", NULL);
    return proxy;
}

START_TEST(a_result_that_ends_the_connection_each_time_is_given_up)
{
    asq_result *r;
    sup_proxy *proxy = start_behind_proxy(false);

    ck_assert_int_eq(call_code(a, "give", "[i]", 10), 0);
    sup_proxy_cut(proxy, SUP_CUT_EACH, "\r\n$2097");
    ok(asq_call(a, "give", &r, "[i]", LARGE));
    ck_assert_code(asq_result_wait(r, sup_limit_ms()), ASQ_ELIMIT);
    ck_assert_contains(asq_result_error(r)->message, "2097");
    asq_result_free(r);
    ck_assert_int_eq(call_int(a, "take", NULL), 1);
    ck_assert_int_eq(call_int(beside, "take", NULL), 0);
    stop();
    sup_proxy_free(proxy);
}
END_TEST

/* Returns a result without changing the state, so the commit has a single string. */
START_TEST(a_result_alone_that_ends_the_connection_each_time_is_given_up)
{
    static const asq_class *const list[] = { &heap_class, NULL };
    static const int64_t sizes[] = { 1200000, 2500000 };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char *log_path = sup_path("worker.log");
    asq_result *r, *small;

    redis = sup_redis_start(NULL);
    mode = MODE_INDEPENDENT;
    H = modes_open_url(sup_redis_url(redis));
    options.log = sup_log_to_file;
    options.log_user = log_path;
    options.log_level = ASQ_LOG_WARNING;
    worker = modes_fork_worker_with(sup_redis_url(redis), &options, list);
    a = agent_new("Heap", NULL);
    beside = agent_new("Heap", NULL);
    ok(asq_ready(a, sup_limit_ms()));
    sup_redis_do(redis, "CONFIG SET client-query-buffer-limit 1mb");
    ok(asq_call(a, "make", &r, "[I]", sizes[_i]));
    ok(asq_call(beside, "take", &small, NULL));
    ck_assert_code(asq_result_wait(r, sup_limit_ms()), ASQ_ELIMIT);
    ck_assert_contains(asq_result_error(r)->message, "client-query-buffer-limit");
    asq_result_free(r);
    ck_assert_int_eq(result_int(small), 0);
    ck_assert_int_eq(call_int(a, "take", NULL), 0);
    char *text = sup_read_file(log_path);
    const char *line = strstr(text, "a result or state of");
    ck_assert_msg(line != NULL, "%s", text);
    ck_assert_contains(line, _i ? "2500" : "1200");
    ck_assert_contains(line, "client-query-buffer-limit");
    free(text);
    stop();
    free(log_path);
}
END_TEST

START_TEST(a_call_that_ends_the_connection_each_time_is_given_up)
{
    asq_result *r;
    asq_value *bytes;
    sup_proxy *proxy = start_behind_proxy(true);

    ok(make_bytes(LARGE, &bytes));
    ck_assert_int_eq(call_int(beside, "take", NULL), 0);
    sup_proxy_cut(proxy, SUP_CUT_EACH, "\r\n$2097");
    ok(asq_call(a, "take", &r, "[o]", bytes));
    ck_assert_code(asq_result_wait(r, sup_limit_ms()), ASQ_EUNKNOWN);
    ck_assert_contains(asq_result_error(r)->message, "at each attempt");
    asq_result_free(r);
    ck_assert_int_eq(call_int(beside, "take", NULL), 0);
    stop();
    sup_proxy_free(proxy);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("too large");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_call_that_is_too_large_ends_and_others_go_on, 0, 2);
    tcase_add_loop_test(t, a_result_that_is_too_large_fails_its_call_and_the_state_is_as_before, 0,
                        2);
    tcase_add_loop_test(t, a_state_that_is_too_large_is_not_kept, 0, 2);
    tcase_add_loop_test(t, a_methods_call_that_is_too_large_ends_and_the_method_goes_on, 0, 2);
    tcase_add_test(t, results_of_a_batch_that_are_too_large_together_end_each_by_itself);
    tcase_add_test(t, a_limit_that_is_lowered_while_a_worker_runs_is_found);
    tcase_add_test(t, an_entry_that_is_too_large_for_a_dead_letter_becomes_one_without_its_bytes);
    tcase_add_test(t, a_result_that_ends_the_connection_each_time_is_given_up);
    tcase_add_loop_test(t, a_result_alone_that_ends_the_connection_each_time_is_given_up, 0, 2);
    tcase_add_test(t, a_call_that_ends_the_connection_each_time_is_given_up);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
