/*
 * check_resettle.c: Redis restarts without the outcome of a promise, of which its settler was told:
 * it is settled again, or that is reported. Who waits for it gets an outcome.
 */
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };
static const char again[] = "are settled with them again", gone[] = "that were told as settled";

static sup_redis *redis;
static pid_t worker;
static char *ids, *log_path;
static asq *settler;
static asq_agent *asker, *peer;

/* ---- a class that asks, and settles ---- */

/* ask(path): makes a promise, puts its id into the file, and returns its value. */
static int ask(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_result *promise = NULL;
    const char *path;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s]", &path)) == 0 &&
        (rc = asq_promise_new(ctx, &promise)) == 0) {
        sup_file_add(path, asq_result_id(promise));
        rc = asq_ctx_wait(ctx, promise, ASQ_FOREVER);
    }
    if (rc == 0)
        rc = asq_result_take(promise, ret);
    else
        asq_result_free(promise);
    return rc;
}

/* settle(id): resolves a promise to 2. */
static int settle(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id;
    int rc;

    (void) self, (void) ret;
    if ((rc = asq_args(ctx, args, "[s]", &id)) == 0)
        rc = asq_promise_resolve(asq_ctx_handle(ctx), id, asq_value_int(2));
    return rc;
}

static const asq_method methods[] = { { "ask", ask, NULL, 0, NULL },
                                      { "settle", settle, NULL, 0, NULL },
                                      { 0 } };
static const asq_class asker_class = { ASQ_CLASS_INIT, .name = "Asker", .methods = methods };

/* ---- fixtures, helpers ---- */

static asq *open_logged(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";
    asq *h;
    options.timeout_ms = sup_limit_ms();
    options.log = sup_log_to_file;
    options.log_user = log_path;
    int rc = asq_open(sup_redis_url(redis), &options, &h, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    return h;
}

static void set_up(void)
{
    static const asq_class *const list[] = { &asker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    redis = sup_redis_start(durable);
    mode = MODE_INDEPENDENT;
    ids = sup_path("ids");
    log_path = sup_path("log");
    H = modes_open_url(sup_redis_url(redis));
    settler = open_logged();
    options.log = sup_log_to_file;
    options.log_user = log_path;
    worker = modes_fork_worker_with(sup_redis_url(redis), &options, list);
    asker = agent_new("Asker", NULL);
    peer = agent_new("Asker", NULL);
    ok(asq_ready(asker, sup_limit_ms()));
    ok(asq_ready(peer, sup_limit_ms()));
}

static void tear_down(void)
{
    asq_agent_free(asker);
    asq_agent_free(peer);
    asq_close(settler);
    asq_close(H);
    H = NULL;
    modes_stop_worker(worker);
    sup_redis_free(redis);
    free(ids);
    free(log_path);
}

/* Begins a call that waits for a promise. Returns the promise's id. */
static char *begin(asq_result **ret)
{
    ok(asq_call(asker, "ask", ret, "[s]", ids));
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(sup_file_count(ids, "-promise") == 1);
    char *id = sup_read_file(ids);
    id[strcspn(id, "\n")] = '\0';
    return id;
}

static void go_back(char *kept)
{
    sup_redis_kill(redis);
    sup_redis_go_back(redis, kept);
    sup_redis_restart(redis);
    free(kept);
}

static bool settler_logs(const char *text)
{
    return asq_poll(settler, 0) >= 0 && sup_file_count(log_path, text) > 0;
}

static int64_t result_of(asq_result *r)
{
    int64_t n = -1;
    int rc = asq_result_int(r, &n);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(H));
    asq_result_free(r);
    return n;
}

/* ---- tests ---- */

START_TEST(a_promise_that_a_program_has_settled_is_settled_again)
{
    asq_result *r;
    char *id = begin(&r), *kept = sup_redis_keep(redis);
    ok(asq_promise_resolve(settler, id, asq_value_int(1)));
    go_back(kept);
    sup_wait_until(settler_logs(again));
    ck_assert_int_eq(result_of(r), 1);
    ck_assert_int_eq(sup_file_count(log_path, gone), 0);
    free(id);
}
END_TEST

START_TEST(a_promise_that_a_method_has_settled_is_settled_again)
{
    asq_result *r;
    char *id = begin(&r), *kept = sup_redis_keep(redis);
    ok(asq_call_wait(peer, "settle", NULL, "[s]", id));
    go_back(kept);
    ck_assert_int_eq(result_of(r), 2);
    sup_wait_until(sup_file_count(log_path, again) > 0);
    free(id);
}
END_TEST

START_TEST(an_outcome_that_was_told_and_that_another_one_has_replaced_is_reported)
{
    asq_result *r;
    char *id = begin(&r), *kept = sup_redis_keep(redis);
    asq *other = open_logged();
    ok(asq_promise_resolve(settler, id, asq_value_int(1)));
    go_back(kept);
    ok(asq_promise_resolve(other, id, asq_value_int(3)));
    sup_wait_until(settler_logs(gone));
    ck_assert_int_eq(sup_file_count(log_path, again), 0);
    asq_result_free(r);
    asq_close(other);
    free(id);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("resettle");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_promise_that_a_program_has_settled_is_settled_again);
    tcase_add_test(t, a_promise_that_a_method_has_settled_is_settled_again);
    tcase_add_test(t, an_outcome_that_was_told_and_that_another_one_has_replaced_is_reported);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
