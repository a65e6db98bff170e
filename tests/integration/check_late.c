/*
 * check_late.c: the error of a wait that timed out says that no worker is alive, if that is true
 * and the user of Redis may know it.
 */
#include "support/suite.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"

enum { TIMEOUT_MS = 150, CALLS = 2 };

static const char nobody[] = " (no worker of namespace 'default' is alive)";
static sup_redis *redis;
static asq *h;
static asq_agent *agent;

static void open_as(const char *user)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[500], *url = sup_format("%s%s", sup_redis_url_default(redis), user);

    options.timeout_ms = TIMEOUT_MS;
    options.close_timeout_ms = -1;
    if (asq_open(url, &options, &h, err, sizeof err) < 0 || asq_attach(h, "a", &agent) < 0)
        sup_fail("%s", err);
    free(url);
}

static void begin(void)
{
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 8");
    open_as("");
}

static void end(void)
{
    asq_agent_free(agent);
    asq_close(h);
    sup_redis_free(redis);
}

static bool says_nobody(void)
{
    return strstr(asq_errmsg(h), nobody) != NULL;
}

#define ck_assert_says_nobody(call)                                                                \
    do {                                                                                           \
        ck_assert_int_eq(call, ASQ_ETIMEOUT);                                                      \
        ck_assert_msg(says_nobody(), "%s", asq_errmsg(h));                                         \
    } while (0)

/* Waits in vain for a call; returns whether the text says that no worker is alive. */
static bool waits_in_vain(void)
{
    ck_assert_int_eq(asq_call_wait(agent, "add", NULL, "[i]", 1), ASQ_ETIMEOUT);
    ck_assert_msg(strstr(asq_errmsg(h), "is not finished after 150 ms"), "%s", asq_errmsg(h));
    return says_nobody();
}

static int ignore(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    (void) user, (void) index, (void) r, (void) done, (void) n;
    return 0;
}

START_TEST(every_wait_says_that_no_worker_is_alive)
{
    asq_result *r[CALLS], *one;
    asq_group *g;
    asq_value *v;
    asq_agent *made;
    size_t at;

    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_call(agent, "add", &r[i], "[i]", 1), 0);
    ck_assert_says_nobody(asq_result_wait(r[0], TIMEOUT_MS));
    ck_assert_says_nobody(asq_call_wait(agent, "add", NULL, "[i]", 1));
    ck_assert_says_nobody(asq_call_wait(agent, "add", &v, "[i]", 1));
    ck_assert_says_nobody(asq_get(agent, "value", &v));
    ck_assert_says_nobody(asq_ready(agent, TIMEOUT_MS));
    ck_assert_says_nobody(asq_wait_all(r, CALLS, TIMEOUT_MS));
    ck_assert_says_nobody(asq_wait_any(r, CALLS, TIMEOUT_MS, &at));
    ck_assert_says_nobody(asq_gather(r, CALLS, TIMEOUT_MS, ignore, NULL));
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &made, NULL), 0);
    ck_assert_says_nobody(asq_ready(made, TIMEOUT_MS));
    ck_assert_int_eq(asq_group_new(h, &g), 0);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(asq_group_add(g, r[i]), 0);
    ck_assert_says_nobody(asq_group_next(g, TIMEOUT_MS, &one));
    asq_group_free(g);
    for (int i = 0; i < CALLS; i++)
        asq_result_free(r[i]);
    asq_agent_free(made);
}
END_TEST

START_TEST(a_worker_that_is_alive_is_seen_and_so_is_its_death)
{
    sup_proc *worker =
        sup_worker_start(sup_redis_url_default(redis), "--agent-dir", sup_agent_dir(), "--id", "w",
                         "--lease-time", "1s", "--drain-timeout", "100ms", NULL);
    asq_agent *echo;

    sup_wait_until(sup_redis_workers(redis, "default") == 1);
    /* The worker is alive; the call only takes longer than the wait. */
    ck_assert_int_eq(asq_create(h, "Echo", "e", &echo, NULL), 0);
    ck_assert_int_eq(asq_call_wait(echo, "sleep", NULL, "[i]", 600000), ASQ_ETIMEOUT);
    ck_assert_msg(!says_nobody(), "%s", asq_errmsg(h));
    sup_proc_kill(worker);
    sup_wait_until(waits_in_vain());
    sup_proc_free(worker);
    /* Only a hash with a lease time and a recent heartbeat is that of a living worker. */
    sup_redis_do(redis, "DEL asq:{default}:workers");
    sup_redis_do(redis, "SADD asq:{default}:workers other text x");
    sup_redis_do(redis, "SET asq:{default}:worker:text nothing");
    sup_redis_do(redis, "HSET asq:{default}:worker:x lease_time_ms 60000");
    sup_redis_do(redis, "PEXPIRE asq:{default}:worker:x 600000");
    sup_wait_until(!waits_in_vain());
    sup_redis_do(redis, "HSET asq:{default}:worker:x lease_time_ms never");
    sup_wait_until(waits_in_vain());
    asq_agent_free(echo);
}
END_TEST

static int64_t calls_of(const char *command)
{
    char *line = sup_format("cmdstat_%s:", command);
    int64_t n = sup_redis_stat(redis, "commandstats", line, "calls=");
    free(line);
    return n;
}

START_TEST(polls_do_not_look_and_other_waits_look_once_in_a_while)
{
    asq_result *r;

    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
    for (int i = 0; i < 200; i++)
        ck_assert_int_eq(asq_result_wait(r, i % 2), ASQ_ETIMEOUT);
    ck_assert_int_eq(calls_of("smembers"), 0);
    ck_assert(waits_in_vain());
    ck_assert(waits_in_vain());
    ck_assert_int_ge(calls_of("smembers"), 1);
    ck_assert_int_le(calls_of("smembers"), 2);
    asq_result_free(r);
}
END_TEST

static int64_t denials(void)
{
    redisReply *log = sup_redis_reply(redis, "ACL LOG");
    int64_t n = (int64_t) log->elements;
    freeReplyObject(log);
    return n;
}

START_TEST(a_user_that_may_not_see_workers_is_told_nothing)
{
    /* For a named user nothing is asked. */
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all -smembers");
    asq_agent_free(agent);
    asq_close(h);
    open_as("?user=app&password=pw");
    ck_assert(!waits_in_vain());
    ck_assert_int_eq(denials(), 0);
    asq_agent_free(agent);
    asq_close(h);
    /* For the default user, Redis is asked once. */
    open_as("");
    sup_redis_do(redis, "ACL SETUSER default -hmget");
    sup_redis_do(redis, "SADD asq:{default}:workers x");
    for (int i = 0; i < 12; i++)
        ck_assert(!waits_in_vain());
    redisReply *log = sup_redis_reply(redis, "ACL LOG");
    ck_assert_uint_eq(log->elements, 1);
    ck_assert_int_eq(log->element[0]->element[1]->integer, 1);
    freeReplyObject(log);
}
END_TEST

START_TEST(a_redis_that_does_not_answer_ends_the_look)
{
    asq_result *r;

    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_proc_signal(sup_redis_proc(redis), SIGSTOP);
    ck_assert_int_eq(asq_result_wait(r, TIMEOUT_MS), ASQ_ETIMEOUT);
    ck_assert(!says_nobody());
    sup_proc_signal(sup_redis_proc(redis), SIGCONT);
    sup_wait_until(waits_in_vain());
    asq_result_free(r);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    TCase *tc = tcase_create("late");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, every_wait_says_that_no_worker_is_alive);
    tcase_add_test(tc, a_worker_that_is_alive_is_seen_and_so_is_its_death);
    tcase_add_test(tc, polls_do_not_look_and_other_waits_look_once_in_a_while);
    tcase_add_test(tc, a_user_that_may_not_see_workers_is_told_nothing);
    tcase_add_test(tc, a_redis_that_does_not_answer_ends_the_look);
    tcase_set_timeout(tc, 300);
    Suite *s = suite_create("late");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
