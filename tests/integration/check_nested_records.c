/*
 * check_nested_records.c: a method that runs for longer than results are kept still finds its
 * earlier calls when it runs again. When it has ended, they are removed.
 */
#include "modes.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sup_redis *redis;
static pid_t worker;
static char *gate;
static sup_proxy *proxy; /* before the worker; or NULL */

/* ---- Outer: calls another, and waits for a file ---------------------------------------------- */

static int outer_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *to, *path;
    asq_agent *inner;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[ss]", &to, &path)) < 0 ||
        (rc = asq_attach(asq_ctx_handle(ctx), to, &inner)) < 0)
        return rc;
    rc = asq_call_wait(inner, "add", ret, "[i]", 1);
    asq_agent_free(inner);
    while (rc == 0 && !exists(path))
        rc = asq_ctx_sleep(ctx, 10);
    return rc;
}

static int inner_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[I]", &n)) < 0)
        return rc;
    n += asq_map_int(asq_ctx_state(ctx), "n");
    *ret = asq_value_int(n);
    return asq_map_set_int(asq_ctx_state(ctx), "n", n);
}

static const asq_method methods[] = { { "run", outer_run, NULL, 0, NULL },
                                      { "add", inner_add, NULL, 0, NULL },
                                      { 0 } };
static const asq_class step_class = { ASQ_CLASS_INIT, .name = "Step", .methods = methods };

/* ---- fixtures, helpers ----------------------------------------------------------------------- */

static asq_agent *outer, *inner;

/* Starts a worker that keeps results for a second. */
static pid_t start_worker(void)
{
    static const asq_class *const list[] = { &step_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = "w";
    options.max_expire_time_s = 1;
    options.lease_time_ms = 1000;
    return modes_fork_worker_with(proxy ? sup_proxy_url(proxy) : sup_redis_url(redis), &options,
                                  list);
}

static void set_up_with(bool behind_proxy)
{
    redis = sup_redis_start(NULL);
    proxy = behind_proxy ? sup_proxy_start(sup_redis_socket(redis)) : NULL;
    mode = MODE_INDEPENDENT;
    gate = sup_path("gate");
    H = modes_open_url(sup_redis_url(redis));
    worker = start_worker();
    outer = agent_new("Step", NULL);
    inner = agent_new("Step", NULL);
    ok(asq_ready(outer, sup_limit_ms()));
    ok(asq_ready(inner, sup_limit_ms()));
}

static void set_up(void)
{
    set_up_with(false);
}

static void set_up_behind_proxy(void)
{
    set_up_with(true);
}

static void tear_down(void)
{
    asq_agent_free(outer);
    asq_agent_free(inner);
    asq_close(H);
    H = NULL;
    modes_stop_worker(worker);
    remove(gate);
    free(gate);
    sup_proxy_free(proxy);
    sup_redis_free(redis);
}

/* Returns the key of the only record; "" if there is not exactly one. The caller frees it. */
static char *record(void)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default.*}:r:*");
    char *key = strdup(keys->elements == 1 ? keys->element[0]->str : "");

    freeReplyObject(keys);
    return key;
}

static int64_t ttl(void)
{
    char *key = record();
    int64_t ms = *key ? sup_redis_int(redis, "PTTL %s", key) : -2;

    free(key);
    return ms;
}

static asq_result *begin(void)
{
    asq_result *r;

    ok(asq_call(outer, "run", &r, "[ss]", asq_agent_id(inner), gate));
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(asq_poll(H, 0) >= 0 && ttl() > 0);
    return r;
}

/* Waits until a record with the lifetime of results has expired. */
static void outlive_results(void)
{
    sup_redis_do(redis, "SET probe x PX 1500");
    sup_wait_until(sup_redis_int(redis, "EXISTS probe") == 0);
}

static void kill_process(void)
{
    pid_t pid = sup_redis_worker_pid(redis, "w.0");

    kill(pid, SIGKILL);
    sup_wait_until(sup_redis_int(redis, "EXISTS asq:{default}:worker:w.0") &&
                   sup_redis_int(redis, "HGET asq:{default}:worker:w.0 pid") != pid);
}

/* ---- tests ----------------------------------------------------------------------------------- */

START_TEST(a_call_that_runs_again_after_its_results_time_does_not_call_twice)
{
    asq_result *r = begin();

    outlive_results();
    kill_process();
    outlive_results();
    touch(gate);
    ck_assert_int_eq(result_int(r), 1);
    ck_assert_int_eq(call_int(inner, "add", "[i]", 0), 1);
    sup_wait_until(asq_poll(H, 0) >= 0 &&
                   ttl() == -2); /* a resent batch has the lifetime of results */
}
END_TEST

START_TEST(what_a_method_has_called_is_forgotten_with_its_commit)
{
    asq_result *r = begin();

    ck_assert_int_gt(ttl(), 24 * 3600 * 1000);
    touch(gate);
    ck_assert_int_eq(result_int(r), 1);
    sup_wait_until(asq_poll(H, 0) >= 0 && ttl() == -2);
}
END_TEST

START_TEST(records_are_renewed_while_the_outer_call_goes_on)
{
    asq_result *r = begin();
    char *key = record();

    ck_assert_int_eq(sup_redis_int(redis, "PEXPIRE %s 60000", key), 1);
    sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
    sup_wait_until(sup_redis_int(redis, "PTTL %s", key) > 24 * 3600 * 1000);
    touch(gate);
    ck_assert_int_eq(result_int(r), 1);
    ck_assert_int_eq(call_int(inner, "add", "[i]", 0), 1);
    free(key);
}
END_TEST

/* The first run, whose partition is lost, still keeps the record for itself; the second one, in the
 * same process, reads it on a connection that breaks. */
START_TEST(a_result_that_an_earlier_run_had_is_read_again_when_the_read_is_lost)
{
    asq_result *r = begin();
    char *key = record(), read[ASQ_MAX_ID];

    snprintf(read, sizeof read, "GETRANGE\r\n$%zu\r\n%s", strlen(key), key);
    sup_proxy_cut(proxy, SUP_CUT_ANSWER, read);
    sup_redis_do(redis, "HSET asq:{default.%d}:lease token another", atoi(asq_result_id(r)));
    sup_wait_until(sup_proxy_has_cut(proxy));
    touch(gate);
    ck_assert_int_eq(result_int(r), 1);
    ck_assert_int_eq(call_int(inner, "add", "[i]", 0), 1);
    free(key);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nested records");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_call_that_runs_again_after_its_results_time_does_not_call_twice);
    tcase_add_test(t, what_a_method_has_called_is_forgotten_with_its_commit);
    tcase_add_test(t, records_are_renewed_while_the_outer_call_goes_on);
    suite_add_tcase(s, t);
    t = tcase_create("behind a proxy");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up_behind_proxy, tear_down);
    tcase_add_test(t, a_result_that_an_earlier_run_had_is_read_again_when_the_read_is_lost);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
