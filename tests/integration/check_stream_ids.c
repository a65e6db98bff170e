/*
 * check_stream_ids.c: entries under the highest ids of a stream, behind which Redis takes no
 * further entry, in streams of calls and of dead letters. Partitions go on, however the entries are
 * read.
 */
#include "load.h"
#include "support/suite.h"

#include <stdlib.h>

enum { PARTITIONS = 2, AGENTS = 16, MANY = 499 };

static sup_redis *redis;
static asq *h;
static pid_t worker;

static void set_up(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    redis = sup_redis_start(NULL);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    h = load_open(sup_redis_url(redis));
    options.id = "w";
    options.lease_time_ms = 1000;
    worker = load_worker(sup_redis_url(redis), &options);
}

static void tear_down(void)
{
    load_worker_stop(worker);
    asq_close(h);
    sup_redis_free(redis);
}

static void add_highest(const char *stream)
{
    for (int p = 0; p < PARTITIONS; p++)
        sup_redis_do(redis, "XADD asq:{default.%d}:%s " LOAD_HIGHEST " call x batch y", p, stream);
}

/* Checks the calls. A call fails if Redis has refused it and accepted a later one, because it would
 * run out of order. All later calls take effect. */
static void calls_go_on(struct load *meanwhile)
{
    struct load *after = load_new(h, AGENTS);

    load_calls(meanwhile, 10);
    sup_wait_until(load_is_done(meanwhile) && load_streams_are_usable(redis, PARTITIONS));
    load_calls(after, 10);
    sup_wait_until(load_is_done(after));
    load_check_but(meanwhile, ASQ_EREDIS);
    load_check(after);
}

/* A reader whose connection is new reads in pieces first, by a script. */
START_TEST(what_stands_there_is_read_by_a_new_connection)
{
    struct load *l = load_new(h, AGENTS);

    sup_redis_do(redis, "MULTI");
    add_highest("jobs");
    sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
    sup_redis_do(redis, "EXEC");
    calls_go_on(l);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:dead", p), 1);
}
END_TEST

/* The claim reads the stream in pages of 500: the last entry of a page is the last of all. */
START_TEST(the_claim_finds_it_at_the_end_of_a_page)
{
    struct load *l = load_new(h, AGENTS);

    sup_redis_do(redis, "MULTI");
    for (int p = 0; p < PARTITIONS; p++)
        for (int i = 1; i <= MANY; i++)
            sup_redis_do(redis, "XADD asq:{default.%d}:jobs 99999999999999-%d call x batch y", p,
                         i);
    add_highest("jobs");
    for (int p = 0; p < PARTITIONS; p++)
        sup_redis_do(redis, "DEL asq:{default.%d}:lease", p);
    sup_redis_do(redis, "EXEC");
    calls_go_on(l);
    for (int p = 0; p < PARTITIONS; p++)
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:dead", p) == MANY + 1);
}
END_TEST

/* A commit with a dead letter is written as a whole, so the call that ended with it is answered,
 * too. */
START_TEST(dead_letters_behind_it_get_a_stream_of_their_own)
{
    struct load *l = load_new(h, AGENTS);

    add_highest("dead");
    load_calls(l, 5);
    for (int p = 0; p < PARTITIONS; p++)
        sup_redis_do(redis, "XADD asq:{default.%d}:jobs * call x batch y", p);
    load_calls(l, 5);
    sup_wait_until(load_is_done(l));
    load_check(l);
    for (int p = 0; p < PARTITIONS; p++) {
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:dead:aside", p) == 1);
        ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:dead", p), 1);
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%d}:jobs", p) == 0);
    }
}
END_TEST

/* A claim sets a full stream of dead letters aside. */
START_TEST(a_claim_sets_such_a_stream_of_dead_letters_aside)
{
    struct load *l = load_new(h, AGENTS);

    add_highest("dead");
    add_highest("jobs");
    calls_go_on(l);
    for (int p = 0; p < PARTITIONS; p++) {
        ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:dead:aside", p), 1);
        ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.%d}:dead", p), 1);
    }
}
END_TEST

/* After XDEL, XTRIM or XSETID, the stream is at its highest id, and empty. */
START_TEST(an_entry_that_is_deleted_again_ends_no_partition)
{
    struct load *l = load_new(h, AGENTS);

    for (int p = 0; p < PARTITIONS; p++) {
        sup_redis_do(redis, "MULTI");
        sup_redis_do(redis, "XADD asq:{default.%d}:jobs " LOAD_HIGHEST " call x batch y", p);
        sup_redis_do(redis, "XDEL asq:{default.%d}:jobs " LOAD_HIGHEST, p);
        sup_redis_do(redis, "EXEC");
    }
    calls_go_on(l);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stream_ids");
    TCase *t = tcase_create("stream_ids");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_stands_there_is_read_by_a_new_connection);
    tcase_add_test(t, the_claim_finds_it_at_the_end_of_a_page);
    tcase_add_test(t, dead_letters_behind_it_get_a_stream_of_their_own);
    tcase_add_test(t, a_claim_sets_such_a_stream_of_dead_letters_aside);
    tcase_add_test(t, an_entry_that_is_deleted_again_ends_no_partition);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
