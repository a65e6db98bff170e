/*
 * check_flush.c: the Redis of a namespace is flushed, or the namespace is made anew or changed,
 * while workers and clients use it: they go on with the new contents.
 */
#include "load.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 2, OTHERS = 5, CALLS = 20 };

static sup_redis *redis;
static asq *h;
static char *log_path;
static pid_t w;

static bool has_logged(const char *part)
{
    return sup_file_count(log_path, part) > 0;
}

static void set_up(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    /* Clients that find the namespace gone try to make it again, with HSETNX. */
    sup_acl_expect("hsetnx");
    redis = sup_redis_start(NULL);
    log_path = sup_path("worker.log");
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    options.id = "w";
    options.processes = 2;
    options.lease_time_ms = 500;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    w = load_worker(sup_redis_url(redis), &options);
    h = load_open(sup_redis_url(redis));
    /* A worker that starts after that makes another namespace. */
    sup_wait_until(sup_redis_int(redis, "SCARD asq:{default}:workers") == 2);
}

static void tear_down(void)
{
    asq_close(h);
    load_worker_stop(w);
    sup_redis_free(redis);
    free(log_path);
}

/* Calls agents in all partitions. The first call may fail because the namespace is another one,
 * and has not run then. */
static void check_serves(void)
{
    int64_t end = sup_now_ms() + sup_limit_ms();
    asq_agent *a;
    char id[32];

    for (int i = 0; i < CALLS; i++) {
        int rc = -1;

        snprintf(id, sizeof id, "a%d", i);
        while (rc < 0 && sup_now_ms() < end) {
            asq_value *v = NULL;
            int64_t n = 0;

            if ((rc = asq_get_or_create(h, "Counter", id, asq_pack("{s:i}", "value", 0), &a)) < 0)
                continue;
            if ((rc = asq_call_wait(a, "add", &v, "[i]", 1)) == 0)
                ck_assert_int_eq(asq_value_get_int(v, &n), 0);
            asq_value_free(v);
            asq_agent_free(a);
        }
        ck_assert_msg(rc == 0, "%s: %s: %s", id, asq_error_name(rc), asq_errmsg(h));
    }
}

static const struct {
    const char *script; /* KEYS[1]: meta */
    int partitions;     /* number of partitions after the change */
    const char *told;
} harms[] = {
    { "return redis.call('FLUSHALL')", PARTITIONS, "is made again, with its 2 partitions" },
    { "return redis.call('DEL', KEYS[1])", PARTITIONS, "is made again, with its 2 partitions" },
    { "return redis.call('SET', KEYS[1], 'x')", PARTITIONS, "2 partitions" },
    { "return redis.call('HSET', KEYS[1], 'partitions', '0')", PARTITIONS, "impossible values" },
    { "return redis.call('HSET', KEYS[1], 'partitions', 'many')", PARTITIONS, "impossible values" },
    { "return redis.call('HSET', KEYS[1], 'format', 'x')", PARTITIONS, "impossible values" },
    { "redis.call('FLUSHALL') return redis.call('HSET', KEYS[1], 'format', 1, 'partitions', 5)",
      OTHERS, "has 5 partitions now, not 2" },
    { "redis.call('FLUSHALL') return redis.call('HSET', KEYS[1], 'format', 1, 'partitions', 1)", 1,
      "has 1 partitions now, not 2" },
};

START_TEST(workers_and_clients_go_on_with_the_namespace_that_there_is)
{
    check_serves();
    sup_redis_do(redis, "EVAL %s 1 asq:{default}:meta", harms[_i].script);
    sup_wait_until(has_logged(harms[_i].told));
    sup_wait_until(sup_redis_int(redis, "HEXISTS asq:{default}:meta partitions") == 1);
    ck_assert_int_eq(sup_redis_int(redis, "EVAL %s 1 asq:{default}:meta",
                                   "return tonumber(redis.call('HGET', KEYS[1], 'partitions'))"),
                     harms[_i].partitions);
    check_serves();
}
END_TEST

/* After a while there is another Redis, in which another process has made the namespace. */
START_TEST(a_namespace_that_was_made_anew_while_redis_was_away_is_served)
{
    check_serves();
    sup_redis_kill(redis);
    sup_redis_restart(redis);
    sup_redis_do(
        redis, "EVAL %s 1 asq:{default}:meta",
        "redis.call('DEL', KEYS[1]) return redis.call('HSET', KEYS[1], 'format', 1, 'partitions', 5)");
    sup_wait_until(has_logged("has 5 partitions now, not 2"));
    check_serves();
}
END_TEST

/* No process overwrites an unknown format: the worker reports it, and waits. */
START_TEST(a_worker_waits_while_the_format_is_another_one)
{
    check_serves();
    sup_redis_do(redis, "HSET asq:{default}:meta format 9");
    sup_wait_until(has_logged("namespace 'default' has format 9"));
    sup_redis_do(redis, "HSET asq:{default}:meta format 1");
    check_serves();
}
END_TEST

START_TEST(scripts_that_redis_has_forgotten_are_loaded_again)
{
    int64_t before;

    check_serves();
    sup_redis_do(redis, "SCRIPT FLUSH");
    check_serves();
    before = sup_redis_stat(redis, "commandstats", "cmdstat_evalsha:", "calls=");
    check_serves();
    ck_assert_int_ge(sup_redis_stat(redis, "commandstats", "cmdstat_evalsha:", "calls="),
                     before + CALLS);
}
END_TEST

/* Patterns for the keys of "prod" match the keys of "prod.eu", so a namespace of such a name is
 * opened if it exists, but not made. */
START_TEST(a_namespace_with_dots_is_opened_but_not_made)
{
    char *url = sup_format("%s%cns=prod.eu", sup_redis_url(redis), sup_acl_on() ? '&' : '?'),
         err[400] = "";
    asq *other = NULL;

    ck_assert_int_eq(asq_open(url, NULL, &other, err, sizeof err), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "no dots") != NULL, "%s", err);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{prod.eu}:meta"), 0);
    sup_redis_do(redis, "HSET asq:{prod.eu}:meta format 1 partitions 2");
    ck_assert_int_eq(asq_open(url, NULL, &other, err, sizeof err), 0);
    asq_close(other);
    free(url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("flush");
    TCase *t = tcase_create("flush");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, workers_and_clients_go_on_with_the_namespace_that_there_is, 0,
                        sizeof harms / sizeof harms[0]);
    tcase_add_test(t, a_namespace_that_was_made_anew_while_redis_was_away_is_served);
    tcase_add_test(t, a_worker_waits_while_the_format_is_another_one);
    tcase_add_test(t, a_namespace_with_dots_is_opened_but_not_made);
    tcase_add_test(t, scripts_that_redis_has_forgotten_are_loaded_again);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
