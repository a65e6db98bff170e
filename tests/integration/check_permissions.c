/*
 * check_permissions.c: a worker whose Redis user may not run a necessary command names it and
 * waits, and goes on by itself when the user may. No part of a commit is ever written alone.
 */
#include "support/suite.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"

enum { CALLS = 5 };

/* Commands without which a worker cannot work, each for another part of its work. */
static const char *const needed[] = { "xdel",     "set",    "append",  "hdel",   "hset",
                                      "xadd",     "xread",  "unlink",  "get",    "publish",
                                      "pexpire",  "rename", "hincrby", "strlen", "xrange",
                                      "smembers", "srem",   "eval" };
enum { NEEDED = sizeof needed / sizeof *needed };

/* Commands that a worker can do without. */
static const char *const spared[] = { "evalsha",  "script",  "info",  "client", "hsetnx",
                                      "zadd",     "zrem",    "zcard", "zrange", "zrangebyscore",
                                      "getrange", "hstrlen", "xinfo", "xtrim",  "memory",
                                      "hscan",    "time",    "scard", "zscore" };
enum { SPARED = sizeof spared / sizeof *spared };

static char *url_of(sup_redis *redis)
{
    return sup_format("%s?user=app&password=pw", sup_redis_url_default(redis));
}

static void make_user(sup_redis *redis)
{
    sup_redis_do(redis,
                 "ACL SETUSER app on >pw ~* &* +@all -@dangerous +info +client|kill +hgetall");
}

static sup_proc *start(const char *url)
{
    return sup_worker_start(url, "--agent-dir", sup_agent_dir(), "--id", "w", "--partitions", "8",
                            "--lease-time", "1s", NULL);
}

static bool says(sup_proc *p, const char *text)
{
    char *log = sup_proc_output(p);
    bool there = strcasestr(log, text) != NULL;

    free(log);
    return there;
}

/* Creates a counter and calls it. */
static void use(sup_redis *redis)
{
    asq *h;
    asq_agent *a;
    char err[500];
    int64_t n = 0;
    asq_value *v = NULL;

    if (asq_open(sup_redis_url_default(redis), NULL, &h, err, sizeof err) < 0)
        sup_fail("%s", err);
    asq_set_timeout(h, sup_limit_ms());
    ck_assert_int_eq(asq_create(h, "Counter", "c", &a, NULL), 0);
    for (int i = 0; i < CALLS; i++)
        if (asq_call_wait(a, "add", &v, "[i]", 1) < 0)
            sup_fail("%s", asq_errmsg(h));
        else
            asq_value_get_int(v, &n), asq_value_free(v);
    ck_assert_int_eq(n, CALLS);
    asq_agent_free(a);
    asq_close(h);
}

/* Calls the counter's agent after the delay, and waits for the call unless the delay is long. */
static void run_delayed(sup_redis *redis, int64_t delay_ms)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq *h;
    asq_agent *a;
    asq_result *r;
    char err[500];

    if (asq_open(sup_redis_url_default(redis), NULL, &h, err, sizeof err) < 0)
        sup_fail("%s", err);
    options.delay_ms = delay_ms;
    ck_assert_int_eq(asq_attach(h, "c", &a), 0);
    ck_assert_int_eq(asq_callv(a, "add", &options, asq_pack("[i]", 1), &r), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    if (delay_ms < 10000)
        ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
    asq_agent_free(a);
    asq_close(h);
}

/* Returns a count of the agent's keys: XLEN of its stream, ZCARD of its delayed calls. */
static long long number(sup_redis *redis, const char *command)
{
    long long n = 0;

    for (int p = 0; p < 8; p++)
        n += sup_redis_int(redis, "%s asq:{default.%d}:%s", command, p,
                           strcmp(command, "XLEN") == 0 ? "jobs" : "later");
    return n;
}

START_TEST(a_worker_without_a_command_that_it_needs_names_it_and_waits)
{
    for (int i = _i; i < NEEDED; i += 4) {
        sup_redis *redis = sup_redis_start(NULL);
        char *url = url_of(redis), *named = sup_format("%s (", needed[i]);
        make_user(redis);
        sup_redis_do(redis, "ACL SETUSER app -%s", needed[i]);
        sup_proc *worker = start(url);
        if (strcmp(needed[i], "eval") == 0)
            sup_wait_until(says(worker, "needs EVAL"));
        else
            sup_wait_until(says(worker, named));
        ck_assert(!says(worker, "ready:"));
        ck_assert(sup_proc_alive(worker));
        sup_redis_do(redis, "ACL SETUSER app +%s", needed[i]);
        sup_wait_until(says(worker, "ready:"));
        use(redis);
        ck_assert_int_eq(sup_proc_stop(worker), 0);
        sup_proc_free(worker);
        sup_redis_free(redis);
        free(url);
        free(named);
    }
}
END_TEST

/* The text of Redis then quotes the script, which mentions keys and permissions. */
START_TEST(a_worker_of_a_redis_without_eval_names_it_and_waits)
{
    char *rules = sup_write_file("rules.conf", "rename-command EVAL \"\"\n");
    char *line = sup_format("include %s", rules);
    const char *const config[] = { line, NULL };
    sup_redis *redis = sup_redis_start(config);

    sup_proc *worker = start(sup_redis_url_default(redis));
    sup_wait_until(says(worker, "a worker needs EVAL, which this Redis refuses: ERR unknown"));
    ck_assert(!says(worker, "a worker needs the keys"));
    ck_assert(!says(worker, "ready:"));
    ck_assert(sup_proc_alive(worker));
    free(sup_write_file("rules.conf", ""));
    sup_redis_restart(redis);
    sup_wait_until(says(worker, "ready:"));
    use(redis);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(line);
    free(rules);
}
END_TEST

START_TEST(a_worker_does_without_commands_that_it_can_spare)
{
    sup_redis *redis = sup_redis_start(NULL);
    char *url = url_of(redis);

    make_user(redis);
    for (int i = 0; i < SPARED; i++)
        sup_redis_do(redis, "ACL SETUSER app -%s", spared[i]);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 8");
    sup_proc *worker = start(url);
    sup_wait_until(says(worker, "ready:"));
    ck_assert(says(worker, "ZADD (this user has no permission)"));
    ck_assert(says(worker, "Delayed calls stay in their streams"));
    use(redis);
    run_delayed(redis, 200);
    /* A call that is due much later stays in the stream while the user has no more rights. */
    run_delayed(redis, 3600 * 1000);
    sup_wait_until(number(redis, "XLEN") == 1);
    ck_assert_int_eq(number(redis, "ZCARD"), 0);
    /* With more rights, the next call leaves the stream; the first does if the partition's lease
     * ends meanwhile, so that the stream is read again. */
    sup_redis_do(redis, "ACL SETUSER app +@all");
    sup_redis_do(redis, "CLIENT KILL USER app");
    sup_wait_until(says(worker, "refuses no command that a worker needs any more"));
    run_delayed(redis, 3600 * 1000);
    sup_wait_until(number(redis, "ZCARD") >= 1 &&
                   number(redis, "ZCARD") + number(redis, "XLEN") == 2);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(url);
}
END_TEST

/* The command is missing by a user's rules, or because a Redis service does not have it. */
START_TEST(a_worker_that_may_not_ask_for_the_time_serves)
{
    const char *const config[] = { "rename-command TIME \"\"", NULL };
    sup_redis *redis = sup_redis_start(_i ? config : NULL);
    char *url = url_of(redis), *clock;

    make_user(redis);
    sup_redis_do(redis, "ACL SETUSER app -time");
    sup_redis_do(redis, "ACL SETUSER default -time");
    sup_proc *worker = start(url);
    sup_wait_until(says(worker, "ready:"));
    ck_assert(says(worker, "TIME (") && says(worker, "count from when a worker reads the call"));
    use(redis);
    ck_assert_int_gt(sup_redis_int(redis, "HGET asq:{default.0}:lease epoch"),
                     INT64_C(1700000000000));
    run_delayed(redis, 200);
    run_delayed(redis, 1500);
    run_delayed(redis, 3600 * 1000);
    sup_wait_until(number(redis, "XLEN") == 0);
    /* The next owner goes on with the waiting calls. */
    sup_proc_kill(worker);
    sup_proc_free(worker);
    worker = start(url);
    sup_wait_until(says(worker, "ready:"));
    run_delayed(redis, 200);
    sup_wait_until(number(redis, "ZCARD") == 1 && number(redis, "XLEN") == 0);
    clock = sup_redis_str(
        redis, "EVAL %s 0",
        "for p = 0, 7 do local c = redis.call('HGET', 'asq:{default.' .. p .. '}:lease', 'clock') "
        "if c then return c end end");
    ck_assert_ptr_nonnull(clock);
    free(clock);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(url);
}
END_TEST

START_TEST(a_worker_that_loses_a_key_or_a_channel_waits_when_it_connects_again)
{
    static const char *const losses[] = { "ACL SETUSER app resetkeys",
                                          "ACL SETUSER app resetkeys ~asq:{default}:*",
                                          "ACL SETUSER app resetchannels" };
    static const char *const named[] = { "reading asq:{default}:meta: NOPERM",
                                         "needs the keys asq:{default.*}:*",
                                         "subscribing to asq:{default}:c:" };
    sup_redis *redis = sup_redis_start(NULL);
    char *url = url_of(redis);

    make_user(redis);
    sup_proc *worker = start(url);
    sup_wait_until(says(worker, "ready:"));
    sup_redis_do(redis, losses[_i]);
    sup_redis_do(redis, "CLIENT KILL USER app");
    sup_wait_until(says(worker, named[_i]) && says(worker, "NOPERM"));
    ck_assert(sup_proc_alive(worker));
    sup_redis_do(redis, "ACL SETUSER app ~* &*");
    use(redis);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(url);
}
END_TEST

/* Returns how many connections of asqueue (they have names) belong to another user. */
static int strangers(sup_redis *redis, const char *user)
{
    char *list = sup_redis_str(redis, "CLIENT LIST"), *wanted = sup_format(" user=%s ", user);
    int n = 0;

    for (char *line = strtok(list, "\n"); line; line = strtok(NULL, "\n"))
        n += !strstr(line, " name= ") && !strstr(line, wanted);
    free(wanted);
    free(list);
    return n;
}

/* The connection names its user, although Redis takes an unnamed one for "default". */
START_TEST(a_user_that_needs_no_password_is_asked_for_by_its_name)
{
    sup_redis *redis = sup_redis_start(NULL);
    char *url = sup_format("%s?user=bob", sup_redis_url_default(redis)), err[500];
    asq *h;

    sup_redis_do(redis, "ACL SETUSER bob on nopass ~* &* +@all");
    sup_proc *worker = start(url);
    sup_wait_until(sup_redis_workers(redis, "default") == 1);
    if (asq_open(url, NULL, &h, err, sizeof err) < 0)
        sup_fail("%s", err);
    sup_wait_until(strangers(redis, "bob") == 0);
    ck_assert_int_gt(strangers(redis, "nobody"), 1);
    asq_close(h);

    sup_redis_do(redis, "ACL SETUSER bob resetpass >pw");
    ck_assert_int_eq(asq_open(url, NULL, &h, err, sizeof err), ASQ_EAUTH);
    sup_proc_stop(worker);
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("permissions");
    TCase *t = tcase_create("permissions");

    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    tcase_set_timeout(t, 400);
    tcase_add_loop_test(t, a_worker_without_a_command_that_it_needs_names_it_and_waits, 0, 4);
    tcase_add_test(t, a_worker_of_a_redis_without_eval_names_it_and_waits);
    tcase_add_test(t, a_worker_does_without_commands_that_it_can_spare);
    tcase_add_loop_test(t, a_worker_that_may_not_ask_for_the_time_serves, 0, 2);
    tcase_add_loop_test(t, a_worker_that_loses_a_key_or_a_channel_waits_when_it_connects_again, 0,
                        3);
    tcase_add_test(t, a_user_that_needs_no_password_is_asked_for_by_its_name);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
