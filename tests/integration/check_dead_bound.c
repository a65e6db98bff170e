/*
 * check_dead_bound.c: dead letters, and log lines about them, are bounded, whatever entries are
 * sent.
 */
#include "load.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KEPT = 50, SENT = 2000 };

static sup_redis *redis;

START_TEST(dead_letters_and_their_log_lines_are_bounded_and_the_newest_stay)
{
    redis = sup_redis_start(NULL);
    char *kept = sup_format("%d", KEPT);
    sup_proc *worker = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(),
                                        "--partitions", "4", "--max-dead-letters", kept, NULL);
    int64_t begun_ms = sup_now_ms();
    for (int i = 0; i < SENT; i++)
        sup_redis_do(redis, "XADD asq:{default.1}:jobs * call %d batch junk", i);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.1}:jobs") == 0);
    ck_assert_int_eq(sup_redis_int(redis, "XLEN asq:{default.1}:dead"), KEPT);
    redisReply *oldest = sup_redis_reply(redis, "XRANGE asq:{default.1}:dead - + COUNT 1");
    ck_assert_str_eq(oldest->element[0]->element[1]->element[1]->str, "1950");
    freeReplyObject(oldest);

    size_t n_lines, seconds;
    sup_wait_until((size_t) sup_proc_said(worker, "more like this one)") > 0);
    n_lines = (size_t) sup_proc_said(worker, "is a dead letter now");
    seconds = (size_t) (sup_now_ms() - begun_ms) / 1000 + 1;
    ck_assert_msg(n_lines <= 2 * seconds + 2, "%zu lines in %zu s", n_lines, seconds);
    free(kept);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
}
END_TEST

/* Adds a letter or an entry of a MiB in Redis. */
static void add_large(const char *key, int i)
{
    sup_redis_do(
        redis, "EVAL %s 1 %s %d",
        "return(redis.call('XADD',KEYS[1],'*','call',ARGV[1],'batch',string.rep('x',1048576)))",
        key, i);
}

static int64_t peak(void)
{
    return sup_redis_stat(redis, "memory", "used_memory_peak:", "used_memory_peak:");
}

START_TEST(dead_letters_are_bounded_in_bytes_and_the_newest_stay)
{
    enum { MOST = 8 << 20, LARGE = 30 };
    redis = sup_redis_start(NULL);
    sup_proc *worker = sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(),
                                        "--partitions", "4", "--max-dead-letters-size", "8M", NULL);
    for (int i = 0; i < LARGE; i++)
        add_large("asq:{default.1}:jobs", i);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.1}:jobs") == 0);
    ck_assert_int_le(sup_redis_int(redis, "MEMORY USAGE asq:{default.1}:dead SAMPLES 0"), MOST);
    ck_assert_int_ge(sup_redis_int(redis, "XLEN asq:{default.1}:dead"), 3);
    redisReply *newest = sup_redis_reply(redis, "XREVRANGE asq:{default.1}:dead + - COUNT 1");
    ck_assert_str_eq(newest->element[0]->element[1]->element[1]->str, "29");
    freeReplyObject(newest);
    sup_wait_until(sup_proc_said(worker, "--max-dead-letters-size") > 0);

    /* Letters that an operator drops do not count as used space. */
    sup_redis_do(redis, "XTRIM asq:{default.1}:dead MAXLEN 1");
    sup_redis_do(redis, "XADD asq:{default.1}:jobs * call small batch junk");
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.1}:dead") == 2);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
}
END_TEST

START_TEST(large_dead_letters_are_listed_in_pieces)
{
    enum { LARGE = 90 };
    asq_value *list;
    redis = sup_redis_start(NULL);
    load_make_namespace(sup_redis_url(redis), 4);
    for (int i = 0; i < LARGE; i++)
        add_large("asq:{default.1}:dead", i);
    asq *h = load_open(sup_url_as(sup_redis_url(redis), "operator"));
    int64_t before = peak();
    ck_assert_msg(asq_dead_list(h, 0, &list) == 0, "%s", asq_errmsg(h));
    ck_assert_uint_eq(asq_list_size(list), LARGE);
    for (int i = 0; i < LARGE; i++) {
        char *call = sup_format("%d", i);
        const char *text;
        ck_assert_int_eq(
            asq_value_get_string(asq_map_get(asq_list_get(list, (size_t) i), "call"), &text, NULL),
            0);
        ck_assert_str_eq(text, call);
        ck_assert_int_eq(asq_map_int(asq_list_get(list, (size_t) i), "batch_bytes"), 1 << 20);
        free(call);
    }
    asq_value_free(list);
    ck_assert_int_lt(peak() - before, LARGE / 2 * (int64_t) (1 << 20));
    asq_close(h);
    sup_redis_free(redis);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dead letters' bound");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, dead_letters_and_their_log_lines_are_bounded_and_the_newest_stay);
    tcase_add_test(t, dead_letters_are_bounded_in_bytes_and_the_newest_stay);
    tcase_add_test(t, large_dead_letters_are_listed_in_pieces);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
