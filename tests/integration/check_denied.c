/*
 * check_denied.c: a client whose Redis user may not run a command names the command and the right
 * to grant: in an error if it cannot work without the command, otherwise once in a warning, and the
 * calls get through.
 */
#include "support/suite.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"

static sup_redis *redis;
static asq *h;
static char said[20000];

static void keep(void *user, asq_log_level level, const char *message)
{
    size_t n = strlen(said);

    (void) user;
    if (level <= ASQ_LOG_WARNING)
        snprintf(said + n, sizeof said - n, "%s\n", message);
}

/* Opens as a user that may run every command but `command`. */
static int open_without(const char *command, char *err, size_t errlen)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char *url;
    int rc;

    redis = sup_redis_start(NULL);
    url = sup_format("%s?user=app&password=pw", sup_redis_url_default(redis));
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 8");
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all -@dangerous +info %s", command);
    options.log = keep;
    options.timeout_ms = sup_limit_ms();
    rc = asq_open(url, &options, &h, err, errlen);
    free(url);
    return rc;
}

static void begin_without(const char *command)
{
    char err[500];

    if (open_without(command, err, sizeof err) < 0)
        sup_fail("%s", err);
}

/* Drives the handle, by waiting on it, until its log has `text`. */
static bool hears(const char *text)
{
    asq_sleep(h, 20);
    return strstr(said, text) != NULL;
}

static void end(sup_proc *worker)
{
    asq_close(h);
    h = NULL;
    if (worker) {
        ck_assert_int_eq(sup_proc_stop(worker), 0);
        sup_proc_free(worker);
    }
    sup_redis_free(redis);
}

static sup_proc *start_worker(void)
{
    return sup_worker_start(sup_redis_url_default(redis), "--agent-dir", sup_agent_dir(), "--id",
                            "w", NULL);
}

/* Takes the result of a call and checks that it is `expected`. */
static void check_result(asq_result *r, int64_t expected)
{
    const asq_value *v;
    int64_t n = -1;

    if (asq_result_value(r, &v) < 0)
        sup_fail("%s", asq_errmsg(h));
    ck_assert_int_eq(asq_value_get_int(v, &n), 0);
    ck_assert_int_eq(n, expected);
    asq_result_free(r);
}

START_TEST(without_eval_a_lost_connection_is_told_and_calls_get_through_once)
{
    asq_agent *a;
    asq_result *first, *second;

    begin_without("-eval");
    ck_assert_int_eq(asq_create(h, "Counter", "c", &a, NULL), 0);
    ck_assert_int_eq(asq_call(a, "add", &first, "[i]", 2), 0);
    ck_assert_int_eq(asq_call(a, "add", &second, "[i]", 3), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    ck_assert_str_eq(said, "");
    for (int i = 0; i < 2; i++) {
        sup_redis_do(redis, "CLIENT KILL USER app");
        sup_wait_until(hears("allow EVAL"));
    }
    ck_assert_msg(sup_count(said, "'eval'") == 1 && sup_count(said, "as-ctl acl") == 1, "%s", said);
    sup_proc *worker = start_worker();
    check_result(first, 2);
    check_result(second, 5);
    asq_agent_free(a);
    end(worker);
}
END_TEST

/* Commands that a client can do without. Served: a finished call shows that the command is denied;
 * otherwise a waiting call does. */
static const struct {
    const char *without, *said;
    bool served;
} spared[] = {
    { "-unlink", "allow UNLINK", true },
    { "-xrange", "allow XRANGE", false },
    { "-hexists", "allow XRANGE and HEXISTS", false },
};
enum { SPARED = sizeof spared / sizeof *spared };

START_TEST(a_command_that_a_client_can_spare_is_named_once)
{
    asq_agent *a;
    asq_result *r;

    begin_without(spared[_i].without);
    ck_assert_int_eq(asq_create(h, "Counter", "c", &a, NULL), 0);
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 2), 0);
    sup_proc *worker = spared[_i].served ? start_worker() : NULL;
    sup_wait_until(hears(spared[_i].said));
    if (!worker)
        worker = start_worker();
    check_result(r, 2);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
        check_result(r, 3 + i);
    }
    ck_assert_msg(sup_count(said, spared[_i].said) == 1, "%s", said);
    ck_assert_msg(sup_count(said, "NOPERM") == 1, "%s", said);
    asq_agent_free(a);
    end(worker);
}
END_TEST

START_TEST(a_denied_call_ends_with_the_command_and_what_to_do)
{
    asq_agent *a;
    asq_value *v = NULL;

    begin_without("-xadd");
    ck_assert_int_eq(asq_attach(h, "c", &a), 0);
    ck_assert_int_eq(asq_call_wait(a, "add", &v, "[i]", 2), ASQ_EREDIS);
    ck_assert_msg(strstr(asq_errmsg(h), "'xadd'") && strstr(asq_errmsg(h), "as-ctl acl"), "%s",
                  asq_errmsg(h));
    asq_agent_free(a);
    end(NULL);
}
END_TEST

static const char *const to_open[][2] = { { "-hmget", "'hmget'" },
                                          { "-subscribe", "'subscribe'" } };

START_TEST(a_denied_opening_ends_at_once_with_the_command_and_what_to_do)
{
    char err[500];

    ck_assert_int_eq(open_without(to_open[_i][0], err, sizeof err), ASQ_EREDIS);
    ck_assert_msg(strstr(err, to_open[_i][1]) && strstr(err, "as-ctl acl"), "%s", err);
    sup_redis_free(redis);
}
END_TEST

START_TEST(a_denied_look_at_the_deployment_ends_with_the_command_and_what_to_do)
{
    asq_value *v = NULL;

    begin_without("-smembers");
    ck_assert_int_eq(asq_workers(h, &v), ASQ_EREDIS);
    ck_assert_msg(strstr(asq_errmsg(h), "'smembers'") && strstr(asq_errmsg(h), "as-ctl acl"), "%s",
                  asq_errmsg(h));
    end(NULL);
}
END_TEST

/* A client's user has no right to make a namespace, so advice to grant HSETNX would be wrong. */
START_TEST(a_client_that_may_not_make_its_namespace_is_told_who_does)
{
    char err[500];

    redis = sup_redis_start(NULL);
    char *url = sup_format("%s?user=app&password=pw&ns=new", sup_redis_url_default(redis));
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all -@dangerous +info -hsetnx");
    ck_assert_int_eq(asq_open(url, NULL, &h, err, sizeof err), ASQ_EREDIS);
    ck_assert_msg(strstr(err, "no namespace 'new'") && strstr(err, "start a worker"), "%s", err);
    free(url);
    sup_redis_free(redis);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("denied");
    TCase *t = tcase_create("denied");

    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, without_eval_a_lost_connection_is_told_and_calls_get_through_once);
    tcase_add_loop_test(t, a_command_that_a_client_can_spare_is_named_once, 0, SPARED);
    tcase_add_test(t, a_denied_call_ends_with_the_command_and_what_to_do);
    tcase_add_loop_test(t, a_denied_opening_ends_at_once_with_the_command_and_what_to_do, 0, 2);
    tcase_add_test(t, a_denied_look_at_the_deployment_ends_with_the_command_and_what_to_do);
    tcase_add_test(t, a_client_that_may_not_make_its_namespace_is_told_who_does);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
