/*
 * check_claim_bytes.c: foreign writes into a partition's attempts or lease, or into the hash of a
 * worker, take no memory of a worker. Content that no worker writes is removed, set aside or
 * ignored, and logged.
 */
#include "load.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

enum { MIB = 1024 * 1024, MOST_KB = 64 * 1024 };

#define ATTEMPTS "asq:{default.1}:attempts"
#define LEASE    "asq:{default.1}:lease"

static sup_redis *redis;
static asq *h;
static sup_proc *worker;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    load_make_namespace(sup_redis_url(redis), 2);
    h = load_open(sup_redis_url(redis));
}

static void tear_down(void)
{
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    asq_close(h);
    sup_redis_free(redis);
}

/* Checks that both partitions are served and that little memory was taken. */
static void check_served(void)
{
    for (int i = 0; i < 8; i++) {
        char *id = sup_format("e%d", i);
        asq_agent *agent;
        int rc = asq_create(h, "Echo", id, &agent, NULL);
        ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
        ck_assert_int_eq(asq_call_wait(agent, "echo", NULL, "[i]", i), 0);
        asq_agent_free(agent);
        free(id);
    }
    int64_t peak_kb = sup_redis_worker_peak_kb(redis, "w.0");
    ck_assert_int_gt(peak_kb, 0);
    if (!sup_is_wrapped() && !SUP_SANITIZED) /* sanitizers keep freed memory */
        ck_assert_int_lt(peak_kb, MOST_KB);
}

static void serve(void)
{
    worker = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(), "--id", "w",
                              "--lease-time", "2s", NULL);
    check_served();
}

/* Writes n fields of a hash in Redis. Name and value are filled up with x's, made here because
 * string.rep would make them one by one. */
static void fill(const char *key, const char *field, int n, int field_bytes, int value_bytes)
{
    sup_redis_do(
        redis, "EVAL %s 1 %s %s %d %d %d",
        "local function xs(n) local s = 'x' while #s < n do s = s .. s end return s:sub(1, n) "
        "end local f, v = xs(tonumber(ARGV[3])), xs(tonumber(ARGV[4])) for i = 1, ARGV[2] do "
        "redis.call('HSET', KEYS[1], ARGV[1] .. (i > 1 and i or '') .. f, v) end return 1",
        key, field, n, field_bytes, value_bytes);
}

static int64_t length(void)
{
    return sup_redis_int(redis, "HLEN " ATTEMPTS);
}

START_TEST(attempts_with_long_values_or_names_are_removed)
{
    enum { LARGE = 6, LONG = 1500 };
    sup_redis_do(redis, "HSET " ATTEMPTS " ~short 1 +another 5");
    fill(ATTEMPTS, "z", LARGE, 0, 20 * MIB);
    fill(ATTEMPTS, "n", LONG, 100, 1);
    serve();
    sup_wait_until(sup_proc_said(worker, "1506 fields of its key attempts") == 1);
    ck_assert_int_eq(length(), 2);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS " ATTEMPTS ":aside"), 0);
}
END_TEST

START_TEST(more_attempts_than_a_worker_writes_are_set_aside)
{
    static const int fields[] = { 1000001, 70000 }, bytes[] = { 0, 1000 };
    fill(ATTEMPTS, "", fields[_i], 0, bytes[_i]);
    serve();
    sup_wait_until(sup_proc_said(worker, ATTEMPTS " had a wrong type, too many fields") == 1);
    ck_assert_int_eq(length(), 0);
    ck_assert_int_eq(sup_redis_int(redis, "HLEN " ATTEMPTS ":aside"), fields[_i]);
}
END_TEST

/* Calls that wait in the memory of a worker may have many attempts. */
START_TEST(as_many_attempts_as_a_worker_writes_are_read)
{
    enum { MANY = 100000 };
    fill(ATTEMPTS, "~", MANY, 45, 20);
    serve();
    ck_assert_int_eq(length(), MANY);
}
END_TEST

START_TEST(a_clock_that_is_too_long_counts_as_none)
{
    fill(LEASE, "clock", 1, 0, 100 * MIB);
    serve();
    sup_wait_until(sup_redis_int(redis, "HSTRLEN " LEASE " clock") < 128);
}
END_TEST

static const char *const lease_fields[] = { "owner", "token", "epoch", "seq" };
enum { LEASE_FIELDS = sizeof lease_fields / sizeof *lease_fields };

/* After each new connection, when an owner checks its commits, it meets such content, too. */
START_TEST(a_field_of_a_lease_that_is_too_long_counts_as_none)
{
    const char *field = lease_fields[_i];

    fill(LEASE, field, 1, 0, 100 * MIB);
    serve();
    sup_wait_until(sup_redis_int(redis, "HSTRLEN " LEASE " %s", field) <= 64);
    for (int lost = 0; lost < 2; lost++) {
        fill(LEASE, field, 1, 0, 100 * MIB);
        if (lost)
            sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
        check_served();
        if (strcmp(field, "seq") != 0)
            sup_wait_until(sup_redis_int(redis, "HSTRLEN " LEASE " %s", field) <= 64);
        check_served();
    }
}
END_TEST

static const char *const worker_fields[] = { "beat", "capacity", "stopping", "lease_time_ms",
                                             "id",   "client",   "host",     "pid" };
enum { WORKER_FIELDS = sizeof worker_fields / sizeof *worker_fields };

START_TEST(a_field_of_a_worker_that_is_too_long_counts_as_none)
{
    sup_redis_do(redis, "SADD asq:{default}:workers x w.0");
    for (int i = 0; i < WORKER_FIELDS; i++) {
        fill("asq:{default}:worker:x", worker_fields[i], 1, 0, 20 * MIB);
        fill("asq:{default}:worker:w.0", worker_fields[i], 1, 0, 20 * MIB);
    }
    serve();
    fill("asq:{default}:worker:w.0", "stop", 1, 0, 100 * MIB);
    int64_t beat = sup_redis_int(redis, "HGET asq:{default}:worker:w.0 beat");
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:w.0 beat") > beat + 1);
    check_served();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("claims in bytes");
    TCase *t = tcase_create("claims in bytes");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, attempts_with_long_values_or_names_are_removed);
    tcase_add_loop_test(t, more_attempts_than_a_worker_writes_are_set_aside, 0, 2);
    tcase_add_test(t, as_many_attempts_as_a_worker_writes_are_read);
    tcase_add_test(t, a_clock_that_is_too_long_counts_as_none);
    tcase_add_loop_test(t, a_field_of_a_lease_that_is_too_long_counts_as_none, 0, LEASE_FIELDS);
    tcase_add_test(t, a_field_of_a_worker_that_is_too_long_counts_as_none);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
