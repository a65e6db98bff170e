/*
 * check_dead_bound.c: whatever is sent, dead letters and what is logged of them have an end.
 */
#include "support/suite.h"
#include "support/support.h"

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

    size_t told, seconds;
    sup_wait_until((size_t) sup_proc_said(worker, "more like this one)") > 0);
    told = (size_t) sup_proc_said(worker, "is a dead letter now");
    seconds = (size_t) (sup_now_ms() - begun_ms) / 1000 + 1;
    ck_assert_msg(told <= 2 * seconds + 2, "%zu lines in %zu s", told, seconds);
    free(kept);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
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
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
