/*
 * check_clock_jumps.c: delays of some seconds last as long as they should, whatever the clock of
 * Redis is set to meanwhile, with one owner, with the next one, and with several. Tests measure no
 * durations; only an error of an hour fails them.
 */
#include "load.h"
#include "support/server_clock.h"
#include "support/suite.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HOUR_MS = 3600000, DELAY_MS = 10000, FAR_MS = HOUR_MS / 2, LEASE_MS = 2000 };

static sup_redis *redis;
static asq *h;
static asq_agent *agent;
static pid_t worker;

static pid_t start_worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = LEASE_MS;
    /* No call waits in memory, because all leave the stream at once. */
    options.max_backlog_size = 2000;
    return load_worker(sup_redis_url(redis), &options);
}

static void set_up(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";

    sup_clock_start();
    redis = sup_redis_start(NULL);
    /* The client starts before the worker, which would make the usual number of partitions if it
     * were first. */
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 1");
    worker = start_worker();
    options.timeout_ms = 4 * sup_limit_ms();
    ck_assert_msg(asq_open(sup_redis_url(redis), &options, &h, err, sizeof err) == 0, "%s", err);
    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &agent, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(agent, sup_limit_ms()), 0);
}

static void tear_down(void)
{
    asq_agent_free(agent);
    asq_close(h);
    if (worker)
        load_worker_stop(worker);
    sup_redis_free(redis);
    sup_clock_stop();
}

static asq_result *add(int64_t delay_ms)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *r;
    options.delay_ms = delay_ms;
    ck_assert_int_eq(asq_callv(agent, "add", &options, asq_pack("[i]", 1), &r), 0);
    return r;
}

static void ends(asq_result *r)
{
    ck_assert_msg(asq_result_wait(r, 2 * sup_limit_ms()) == 0, "%s", asq_errmsg(h));
    asq_result_free(r);
}

static int64_t waiting(void)
{
    return sup_redis_int(redis, "ZCARD asq:{default.0}:later");
}

/* Returns by how much the partition's clock is ahead of that of Redis, in ms. */
static int64_t kept_ms(void)
{
    redisReply *reply = sup_redis_reply(redis, "HGET asq:{default.0}:lease clock");
    int64_t ms = reply->str ? strtoll(reply->str, NULL, 10) : 0;
    freeReplyObject(reply);
    return ms;
}

/* Waits until the owner has noticed a jump of `by_ms`. */
static void is_heard(int64_t by_ms)
{
    sup_wait_until(llabs(kept_ms() + by_ms) < HOUR_MS / 2);
}

/* Makes the next owner believe that it runs on another machine. */
static void change_machine(void)
{
    redisReply *reply = sup_redis_reply(redis, "HGET asq:{default.0}:lease clock");
    long long plus, at;
    ck_assert(reply->str && sscanf(reply->str, "%lld %lld", &plus, &at) == 2);
    freeReplyObject(reply);
    char *text = sup_format("%lld %lld fedcba9876543210 5", plus, at);
    sup_redis_do(redis, "HSET asq:{default.0}:lease clock %s", text);
    free(text);
}

/* Checks that the near calls have run, after waiting for them, and that the far ones wait. */
static void only_the_near_run(asq_result *near, asq_result *far)
{
    ends(near);
    sup_wait_until(waiting() == 1); /* on a busy machine the call may still be on its way */
    ck_assert(!asq_result_done(far));
    ck_assert_int_eq(asq_result_cancel(far), 0);
    asq_result_free(far);
}

static void make(asq_result **near, asq_result **far)
{
    *near = add(DELAY_MS);
    *far = add(FAR_MS);
    sup_wait_until(waiting() == 2 || asq_result_done(*near)); /* late, on a busy machine */
}

START_TEST(a_clock_that_is_set_changes_no_long_delay)
{
    asq_result *near, *far;
    make(&near, &far);
    sup_clock_set((int64_t) _i * HOUR_MS);
    only_the_near_run(near, far);
}
END_TEST

/* The clock goes back, ahead and back again. Delays from before and after each jump are kept. */
START_TEST(a_clock_that_is_set_several_times_changes_no_long_delay)
{
    asq_result *near, *far;
    sup_clock_set(HOUR_MS);
    is_heard(HOUR_MS);
    make(&near, &far);
    sup_clock_set(-HOUR_MS);
    is_heard(-HOUR_MS);
    sup_clock_set(0);
    only_the_near_run(near, far);
}
END_TEST

/* Kills the owner after a jump; the next owner, on the same machine or elsewhere, keeps the
 * clock. */
static void kill_after_jump(int64_t by_ms, bool elsewhere)
{
    asq_result *near, *far;
    make(&near, &far);
    sup_clock_set(by_ms);
    is_heard(by_ms);
    load_worker_kill(worker);
    if (elsewhere)
        change_machine();
    worker = start_worker();
    only_the_near_run(near, far);
}

START_TEST(the_next_owner_goes_on_with_the_clock_of_the_last)
{
    kill_after_jump((int64_t) _i * HOUR_MS, false);
}
END_TEST

START_TEST(the_next_owner_elsewhere_goes_on_with_the_clock_of_the_last)
{
    kill_after_jump((int64_t) _i * HOUR_MS, true);
}
END_TEST

/* A lease is deleted by hand; delays end by the clock that it kept. */
START_TEST(who_finds_no_lease_goes_on_with_the_clock_that_it_had)
{
    asq_result *near, *far;
    sup_clock_set((int64_t) _i * HOUR_MS);
    is_heard((int64_t) _i * HOUR_MS);
    make(&near, &far);
    sup_redis_do(redis, "DEL asq:{default.0}:lease");
    only_the_near_run(near, far);
}
END_TEST

/* Both workers notice the jump; the one without the lease changes nothing. */
START_TEST(a_jump_that_several_workers_hear_of_counts_once)
{
    asq_result *near, *far;
    pid_t other = start_worker();
    make(&near, &far);
    sup_wait_until(sup_redis_int(redis, "SCARD asq:{default}:workers") == 2);
    sup_clock_set((int64_t) _i * HOUR_MS);
    is_heard((int64_t) _i * HOUR_MS);
    load_worker_stop(worker); /* the lease is handed over, if this worker has it */
    worker = other;
    only_the_near_run(near, far);
}
END_TEST

START_TEST(a_clock_that_is_set_while_nobody_runs_changes_no_delay_on_one_machine)
{
    asq_result *near, *far;
    make(&near, &far);
    load_worker_stop(worker);
    sup_clock_set((int64_t) _i * HOUR_MS);
    worker = start_worker();
    only_the_near_run(near, far);
}
END_TEST

/* The time at which the last worker stopped is the least possible time. */
START_TEST(a_clock_that_is_set_back_while_nobody_runs_makes_no_delay_an_hour)
{
    asq_result *near, *far;
    make(&near, &far);
    load_worker_stop(worker);
    change_machine();
    sup_clock_set(-HOUR_MS);
    worker = start_worker();
    only_the_near_run(near, far);
}
END_TEST

static TCase *group(Suite *s, const char *name)
{
    TCase *t = tcase_create(name);
    tcase_set_timeout(t, 240);
    tcase_add_checked_fixture(t, set_up, tear_down);
    suite_add_tcase(s, t);
    return t;
}

int main(void)
{
    Suite *s = suite_create("clock_jumps");
    TCase *t;

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    t = group(s, "one_owner");
    tcase_add_loop_test(t, a_clock_that_is_set_changes_no_long_delay, -1, 0);
    tcase_add_loop_test(t, a_clock_that_is_set_changes_no_long_delay, 1, 2);
    tcase_add_test(t, a_clock_that_is_set_several_times_changes_no_long_delay);
    t = group(s, "next_owner");
    tcase_add_loop_test(t, the_next_owner_goes_on_with_the_clock_of_the_last, -1, 0);
    tcase_add_loop_test(t, the_next_owner_goes_on_with_the_clock_of_the_last, 1, 2);
    tcase_add_loop_test(t, the_next_owner_elsewhere_goes_on_with_the_clock_of_the_last, -1, 0);
    tcase_add_loop_test(t, the_next_owner_elsewhere_goes_on_with_the_clock_of_the_last, 1, 2);
    tcase_add_loop_test(t, who_finds_no_lease_goes_on_with_the_clock_that_it_had, -1, 0);
    tcase_add_loop_test(t, who_finds_no_lease_goes_on_with_the_clock_that_it_had, 1, 2);
    t = group(s, "several_workers");
    tcase_add_loop_test(t, a_jump_that_several_workers_hear_of_counts_once, -1, 0);
    tcase_add_loop_test(t, a_jump_that_several_workers_hear_of_counts_once, 1, 2);
    t = group(s, "nobody");
    tcase_add_loop_test(t, a_clock_that_is_set_while_nobody_runs_changes_no_delay_on_one_machine,
                        -1, 0);
    tcase_add_loop_test(t, a_clock_that_is_set_while_nobody_runs_changes_no_delay_on_one_machine, 1,
                        2);
    tcase_add_test(t, a_clock_that_is_set_back_while_nobody_runs_makes_no_delay_an_hour);
    return sup_suite_run(s);
}
