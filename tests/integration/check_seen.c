/*
 * check_seen.c: uncommitted effects stay invisible. No caller sees an uncommitted result, and no
 * agent gets a call that a method made after an uncommitted effect on its own agent.
 */
#include "load.h"
#include "support/suite.h"
#include "value/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PARTITIONS = 8, RETRIES = 4 };

static sup_redis *redis;

/* Makes Redis refuse commits of one partition, by denying its agents to the worker's user. */
static void refuse_commits(uint32_t partition)
{
    sup_redis_do(
        redis,
        "ACL SETUSER app resetkeys ~asq:{default}:* ~asq:{default.[^%u]}:* ~asq:{default.%u}:[^a]*",
        partition, partition);
}

static int64_t refusals(void)
{
    return sup_redis_stat(redis, "errorstats", "errorstat_NOPERM", ":count=");
}

static int64_t value_of(asq_agent *counter)
{
    asq_result *r;
    int64_t value = -1;

    ck_assert_int_eq(asq_call(counter, "read", &r, NULL), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    asq_result_free(r);
    return value;
}

START_TEST(a_methods_call_leaves_when_what_its_agent_did_before_is_committed)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char *begun = sup_path("begun"), *go = sup_path("go"), *url;
    uint32_t p = asq__partition_of("{one}relay", 10, PARTITIONS);
    asq_agent *relay, *counter;
    asq_result *before, *calls;
    pid_t w;
    asq *h;

    ck_assert_uint_ne(p, asq__partition_of("{two}counter", 12, PARTITIONS));
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all");
    url = sup_format("%s?user=app&password=pw", sup_redis_url_default(redis));
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    h = load_open(sup_redis_url_default(redis));
    w = load_worker(url, &options);
    ck_assert_int_eq(asq_create(h, "Relay", "{one}relay", &relay, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Counter", "{two}counter", &counter, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(relay, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_ready(counter, sup_limit_ms()), 0);

    refuse_commits(p);
    /* both calls are read at once, so the second begins before the first is committed */
    asq_cork(h);
    ck_assert_int_eq(asq_call(relay, "late", &before, "[i, i]", 0, 0), 0);
    ck_assert_int_eq(
        asq_call(relay, "cross", &calls, "[s, s, a, s, [i]]", begun, go, counter, "add", 1), 0);
    ck_assert_int_eq(asq_uncork(h), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    free(sup_write_file("go", ""));
    int64_t refused = refusals();
    sup_wait_until(refusals() > refused + RETRIES); /* the commit is tried again and again */
    ck_assert_int_eq(value_of(counter), 0);
    ck_assert(!asq_result_done(before) && !asq_result_done(calls));

    sup_redis_do(redis, "ACL SETUSER app ~*");
    ck_assert_int_eq(asq_result_wait(before, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(calls, sup_limit_ms()), 0);
    ck_assert_int_eq(value_of(counter), 1);
    asq_result_free(before);
    asq_result_free(calls);
    asq_agent_free(relay);
    asq_agent_free(counter);
    asq_close(h);
    load_worker_stop(w);
    sup_redis_free(redis);
    free(begun);
    free(go);
    free(url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("seen");
    TCase *t = tcase_create("seen");

    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    tcase_set_timeout(t, 200);
    tcase_add_test(t, a_methods_call_leaves_when_what_its_agent_did_before_is_committed);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
