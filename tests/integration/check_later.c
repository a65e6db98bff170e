/*
 * check_later.c: calls that are run again after a failure, and calls that are made with a delay.
 */
#include "modes.h"
#include "classes.h"
#include "support/acl.h"

#include <stdlib.h>

enum { SOON_MS = 20, NEVER_MS = 3600000 };

static asq_result *digit(asq_agent *a, int n, int runs, const asq_retry *retry)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;

    options.retry = retry;
    ok(asq_callv(a, "digit", &options, asq_pack("[i, i]", n, runs), &r));
    return r;
}

START_TEST(a_failed_call_is_run_again_until_it_succeeds)
{
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 5, .delay_ms = 1 };
    asq_agent *a = counter(0);

    ck_assert_int_eq(result_int(digit(a, 7, 3, &retry)), 7); /* the failed runs left no trace */
    ck_assert_int_eq(result_int(digit(a, 8, 5, &retry)), 78);
    ck_assert_code(result_code(digit(a, 9, 6, &retry)), ASQ_EUSER(9));
    ck_assert_code(result_code(digit(a, 9, 2, NULL)), ASQ_EUSER(9));
    ck_assert_int_eq(call_int(a, "read", NULL), 78);
    asq_agent_free(a);
}
END_TEST

START_TEST(only_the_listed_failures_are_worth_it)
{
    const int listed[] = { ASQ_EFAILED, ASQ_EUSER(9), 0 }, others[] = { ASQ_EUSER(8), 0 };
    const asq_retry worth = { ASQ_RETRY_INIT, .attempts = 3, .codes = listed };
    const asq_retry not_worth = { ASQ_RETRY_INIT, .attempts = 3, .codes = others };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_result *r;

    ck_assert_int_eq(result_int(digit(a, 1, 2, &worth)), 1);
    ck_assert_code(result_code(digit(a, 1, 2, &not_worth)), ASQ_EUSER(9));
    options.retry = &(const asq_retry){ ASQ_RETRY_INIT, .attempts = 3, .delay_ms = NEVER_MS };
    ok(asq_callv(a, "digit", &options, asq_pack("[s]", "no number"), &r));
    ck_assert_code(result_code(r), ASQ_EARGS);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_method_brings_its_own_policy)
{
    asq_agent *a = counter(0);

    ck_assert_int_eq(call_int(a, "stubborn", "[i, i]", 5, 4), 5);
    ck_assert_code(call_code(a, "stubborn", "[i, i]", 5, 5), ASQ_EUSER(9));
    asq_agent_free(a);
}
END_TEST

START_TEST(what_would_come_after_the_deadline_is_not_waited_for)
{
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 5, .delay_ms = NEVER_MS,
                              .max_delay_ms = NEVER_MS };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_result *r;

    options.retry = &retry;
    options.deadline_ms = 60000;
    ok(asq_callv(a, "digit", &options, asq_pack("[i, i]", 1, 2), &r));
    ck_assert_code(result_code(r), ASQ_EUSER(9));
    asq_agent_free(a);
}
END_TEST

START_TEST(wrong_policies_are_refused)
{
    asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = -1 };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_result *r;

    options.retry = &retry;
    ck_assert_code(asq_callv(a, "read", &options, NULL, &r), ASQ_EINVAL);
    retry.delay_ms = 0;
    retry.codes = (const int[]){ 1, 0 };
    ck_assert_code(asq_callv(a, "read", &options, NULL, &r), ASQ_EINVAL);
    retry.size = 0;
    ck_assert_code(asq_callv(a, "read", &options, NULL, &r), ASQ_EINVAL);
    options.retry = NULL;
    options.delay_ms = -1;
    ck_assert_code(asq_callv(a, "read", &options, NULL, &r), ASQ_EINVAL);
    options.size = 0;
    ck_assert_code(asq_callv(a, "read", &options, NULL, &r), ASQ_EINVAL);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_delayed_call_runs_when_it_is_due)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_result *r;

    options.delay_ms = SOON_MS;
    ok(asq_callv(a, "digit", &options, asq_pack("[i, i]", 4, 1), &r));
    ck_assert_int_eq(result_int(r), 4);
    asq_agent_free(a);
}
END_TEST

/* ---- where calls run apart from the program ---- */

START_TEST(later_calls_go_ahead_of_a_delayed_one)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_result *r;

    options.delay_ms = 1000;
    ok(asq_callv(a, "digit", &options, asq_pack("[i, i]", 1, 1), &r));
    ck_assert_int_eq(call_int(a, "digit", "[i, i]", 2, 1), 2);
    ck_assert_int_eq(result_int(r), 21);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_failed_call_gives_up_its_place_unless_it_keeps_it)
{
    asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = 1000 };
    asq_agent *a = counter(0);
    asq_result *first, *second;

    first = digit(a, 1, 2, &retry);
    second = digit(a, 2, 1, NULL);
    ck_assert_int_eq(result_int(second), 2);
    ck_assert_int_eq(result_int(first), 21);
    retry.keep_place = true;
    retry.delay_ms = 100;
    first = digit(a, 3, 2, &retry);
    second = digit(a, 4, 1, NULL);
    ck_assert_int_eq(result_int(second), 2134);
    ck_assert_int_eq(result_int(first), 213);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_delayed_call_can_be_cancelled)
{
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = NEVER_MS,
                              .max_delay_ms = NEVER_MS };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_result *delayed, *failed;

    options.delay_ms = NEVER_MS;
    ok(asq_callv(a, "digit", &options, asq_pack("[i, i]", 1, 1), &delayed));
    failed = digit(a, 1, 2, &retry);
    ck_assert_int_eq(call_int(a, "read", NULL), 0);
    ok(asq_result_cancel(delayed));
    ok(asq_result_cancel(failed));
    ck_assert_code(asq_result_wait(delayed, sup_limit_ms()), ASQ_ECANCELED);
    ck_assert_code(asq_result_wait(failed, sup_limit_ms()), ASQ_ECANCELED);
    asq_result_free(delayed);
    asq_result_free(failed);
    asq_agent_free(a);
}
END_TEST

static int64_t count_calls(asq *operator, const asq_agent * a, unsigned states)
{
    int64_t n = -1;

    ok(asq_calls_count(operator, states, asq_agent_id(a), NULL, sup_limit_ms(), &n));
    return n;
}

/* Cancels a failed call that keeps its place, with another call behind it. Returns after how many
 * milliseconds that one has ended. */
static int64_t cancel_before_another(asq *operator, asq_agent * a)
{
    const asq_retry keeps = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = NEVER_MS,
                              .max_delay_ms = NEVER_MS, .keep_place = true };
    asq_result *failed = digit(a, 1, 2, &keeps), *behind;
    int64_t began_ms, ms;

    ok(asq_call(a, "read", &behind, NULL));
    sup_wait_until(count_calls(operator, a, ASQ_CALLS_RETRYING) == 1);
    sup_wait_until(count_calls(operator, a, ASQ_CALLS_WAITING) == 1);
    ck_assert(!asq_result_done(behind));
    began_ms = sup_now_ms();
    ok(asq_result_cancel(failed));
    ck_assert_int_eq(result_int(behind), 0);
    ms = sup_now_ms() - began_ms;
    ck_assert_code(asq_result_wait(failed, sup_limit_ms()), ASQ_ECANCELED);
    asq_result_free(failed);
    return ms;
}

/* A worker looks each second for calls that may start: without that, they go on at once. */
START_TEST(a_cancelled_call_that_keeps_its_place_lets_others_go_on)
{
    bool independent = mode == MODE_INDEPENDENT;
    asq *operator= independent ? modes_open_url(sup_url_as(asq_url(H), "operator")) : H;
    asq_agent *a = counter(0);

    sup_wait_until(cancel_before_another(operator, a) < 300);
    asq_agent_free(a);
    if (independent)
        asq_close(operator);
}
END_TEST

START_TEST(a_call_that_is_cancelled_while_it_fails_is_not_run_again)
{
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = 1 };
    const asq_retry *policies[] = { &retry, NULL };
    /* fails with its own error if the last run failed */
    const int ends[] = { ASQ_ECANCELED, ASQ_EUSER(9) };
    asq_agent *a = agent_new("Echo", NULL);

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        asq_call_options options = ASQ_CALL_OPTIONS_INIT;
        char *begun = sup_path(own("begun"));
        asq_result *r;

        options.retry = policies[i];
        ok(asq_callv(a, "fail_when_cancelled", &options, asq_pack("[s]", begun), &r));
        sup_wait_until(exists(begun));
        ok(asq_result_cancel(r));
        ck_assert_code(asq_result_wait(r, sup_limit_ms()), ends[i]);
        asq_result_free(r);
        free(begun);
    }
    asq_agent_free(a);
}
END_TEST

static const char count_attempts[] =
    "local n = 0 for p = 0, 127 do "
    "n = n + redis.call('HLEN', 'asq:{default.' .. p .. '}:attempts') end return n";

START_TEST(the_next_worker_knows_what_is_due_and_how_often_it_failed)
{
    asq_retry retry = { ASQ_RETRY_INIT, .attempts = 2, .delay_ms = 2000 };
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a;
    asq_result *delayed, *failed, *kept, *behind, *marked;
    sup_redis *redis = sup_redis_start(NULL);
    asq *h = modes_open_url(sup_redis_url(redis));
    pid_t worker = modes_fork_worker(sup_redis_url(redis), NULL, classes);

    ck_assert_int_eq(asq_create(h, "Counter", "c", &a, "{s:i}", "value", 0), 0);
    options.delay_ms = 2000;
    ck_assert_int_eq(asq_callv(a, "digit", &options, asq_pack("[i, i]", 1, 1), &delayed), 0);
    options.delay_ms = 0;
    options.retry = &retry;
    ck_assert_int_eq(asq_callv(a, "digit", &options, asq_pack("[i, i]", 2, 2), &failed), 0);
    retry.keep_place = true;
    ck_assert_int_eq(asq_callv(a, "digit", &options, asq_pack("[i, i]", 3, 2), &kept), 0);
    ck_assert_int_eq(asq_call(a, "read", &behind, NULL), 0);
    /* Redis has both failures when it has a later call of the same agent. No such call can be made,
     * because the place is kept, so the test looks for their marks. */
    sup_wait_until(sup_redis_int(redis, "EVAL %s 0", count_attempts) == 2);
    modes_stop_worker(worker);
    worker = modes_fork_worker(sup_redis_url(redis), NULL, classes);
    /* Either order is possible: each call succeeded in its second run, and the one that kept its
     * place ran before the read. */
    ck_assert_int_eq(asq_result_wait(kept, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(behind, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(delayed, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(failed, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_call(a, "read", &marked, NULL), 0);
    int64_t value, seen;
    ck_assert_int_eq(asq_result_int(marked, &value), 0);
    ck_assert_int_eq(asq_result_int(behind, &seen), 0);
    ck_assert_int_gt(value, 100); /* three digits, in the order of their due times */
    ck_assert_int_eq(value / 100 + value / 10 % 10 + value % 10, 6);
    ck_assert_int_eq(seen % 10, 3);
    /* No attempts are left in Redis. */
    sup_wait_until(sup_redis_int(redis, "EVAL %s 0", count_attempts) == 0);
    asq_result_free(delayed);
    asq_result_free(failed);
    asq_result_free(kept);
    asq_result_free(behind);
    asq_result_free(marked);
    asq_agent_free(a);
    asq_close(h);
    modes_stop_worker(worker);
    sup_redis_free(redis);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_test(t, a_failed_call_is_run_again_until_it_succeeds);
    tcase_add_test(t, only_the_listed_failures_are_worth_it);
    tcase_add_test(t, a_method_brings_its_own_policy);
    tcase_add_test(t, what_would_come_after_the_deadline_is_not_waited_for);
    tcase_add_test(t, wrong_policies_are_refused);
    tcase_add_test(t, a_delayed_call_runs_when_it_is_due);
}

static void add_distributed_tests(TCase *t)
{
    tcase_add_test(t, later_calls_go_ahead_of_a_delayed_one);
    tcase_add_test(t, a_failed_call_gives_up_its_place_unless_it_keeps_it);
    tcase_add_test(t, a_delayed_call_can_be_cancelled);
    tcase_add_test(t, a_cancelled_call_that_keeps_its_place_lets_others_go_on);
    tcase_add_test(t, a_call_that_is_cancelled_while_it_fails_is_not_run_again);
    tcase_add_test(t, the_next_worker_knows_what_is_due_and_how_often_it_failed);
}

int main(void)
{
    return modes_main("later", add_tests, add_distributed_tests);
}
