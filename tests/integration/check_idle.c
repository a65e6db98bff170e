/*
 * check_idle.c: what worker processes without calls ask of Redis.
 */
#include "load.h"
#include "support/suite.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTITIONS = 1024, MANY = 4096, OWN_LOOKS = 16, WORKERS = 4, LOOKS = 8 * WORKERS };

static sup_redis *redis;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
}

static void tear_down(void)
{
    sup_redis_free(redis);
}

static pid_t worker(const char *id)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = id;
    options.lease_time_ms = 1500;
    return load_worker(sup_redis_url(redis), &options);
}

/* Returns how often Redis has run a command so far, scripts included. */
static int64_t runs(const char *command)
{
    char *info = sup_redis_str(redis, "INFO commandstats"),
         *name = sup_format("cmdstat_%s:calls=", command);
    const char *at = info ? strstr(info, name) : NULL;
    int64_t n = at ? strtoll(at + strlen(name), NULL, 10) : 0;

    free(name);
    free(info);
    return n;
}

static int owned(void)
{
    return (int) sup_redis_int(
        redis, "EVAL %s 0",
        "local n = 0 for _, id in ipairs(redis.call('SMEMBERS', 'asq:{default}:workers')) do "
        "n = n + (tonumber(redis.call('HGET', 'asq:{default}:worker:' .. id, 'partitions')) or 0) "
        "end return n");
}

/* Returns how often processes have looked at the others: each look asks for the size of the set. */
static int64_t looks(void)
{
    return runs("scard");
}

/* Returns whether the next looks at the other workers read fewer leases than one look at all of
 * them. */
static bool few_leases_are_read(void)
{
    int64_t before = looks(), reads = runs("hmget");

    sup_wait_until(looks() >= before + LOOKS);
    return (runs("hmget") - reads) / (looks() - before) < PARTITIONS / 2;
}

/* All processes together read each lease about once in the time between two looks. Something may
 * happen on a busy machine that has more of them read; not always. */
START_TEST(a_look_does_not_read_all_leases)
{
    const char *const ids[WORKERS] = { "a", "b", "c", "d" };
    pid_t w[WORKERS];

    for (int i = 0; i < WORKERS; i++)
        w[i] = worker(ids[i]);
    sup_wait_until(owned() == PARTITIONS);
    sup_wait_until(few_leases_are_read());
    for (int i = 0; i < WORKERS; i++)
        load_worker_stop(w[i]);
}
END_TEST

/* Returns whether the next looks of a process ask for the ends of enough of its streams, which are
 * all empty. */
static bool the_next_looks_are_at_enough(void)
{
    int64_t before = looks(), asked = runs("xinfo|stream");

    sup_wait_until(looks() >= before + LOOKS);
    asked = runs("xinfo|stream") - asked;
    return asked / (looks() - before) >= MANY / OWN_LOOKS - MANY / OWN_LOOKS / 8;
}

/* A stream at its end takes no calls until its owner finds out. */
START_TEST(few_looks_ask_for_the_ends_of_all_streams_however_many_there_are)
{
    sup_redis_do(redis, "HSET asq:{default}:meta partitions %d", MANY);
    pid_t w = worker("a");
    sup_wait_until(owned() == MANY);
    sup_wait_until(the_next_looks_are_at_enough());
    load_worker_stop(w);
}
END_TEST

/* Returns whether the next looks at the other workers are by the index of heartbeats. */
static bool no_list_is_read(void)
{
    int64_t before = looks(), lists = runs("smembers");

    sup_wait_until(looks() >= before + LOOKS);
    return runs("smembers") == lists;
}

/* Otherwise the commands would grow with the square of the number of workers. */
START_TEST(a_look_does_not_read_all_workers)
{
    const char *const ids[WORKERS] = { "a", "b", "c", "d" };
    pid_t w[WORKERS];

    for (int i = 0; i < WORKERS; i++)
        w[i] = worker(ids[i]);
    sup_wait_until(owned() == PARTITIONS);
    sup_wait_until(no_list_is_read());
    for (int i = 0; i < WORKERS; i++)
        load_worker_stop(w[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("idle");
    TCase *t = tcase_create("idle");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_look_does_not_read_all_leases);
    tcase_add_test(t, few_looks_ask_for_the_ends_of_all_streams_however_many_there_are);
    tcase_add_test(t, a_look_does_not_read_all_workers);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
