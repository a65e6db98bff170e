/*
 * check_stop_reasons.c: a worker's log says why the worker stops, and what it waits for when its id
 * is in use.
 */
#include "support/suite.h"
#include "support/support.h"

#include "asqueue.h"

static sup_redis *redis;

static sup_proc *start(const char *lease_time)
{
    return sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(), "--id", "w",
                            "--partitions", "4", "--lease-time", lease_time, NULL);
}

static void set_up(void)
{
    redis = sup_redis_start(NULL);
}

static void tear_down(void)
{
    sup_redis_free(redis);
}

START_TEST(a_worker_that_is_stopped_through_redis_says_so)
{
    asq *h;
    char err[500];
    sup_proc *worker = start("10s");

    sup_wait_until(sup_proc_said(worker, "ready"));
    if (asq_open(sup_redis_url_default(redis), NULL, &h, err, sizeof err) < 0)
        sup_fail("%s", err);
    ck_assert_int_eq(asq_stop_worker(h, "w"), 0);
    ck_assert_int_eq(sup_proc_wait(worker), 0);
    ck_assert(sup_proc_said(worker, "asked to stop through Redis"));
    asq_close(h);
    sup_proc_free(worker);
}
END_TEST

START_TEST(a_process_whose_supervisor_was_killed_says_so)
{
    sup_proc *worker = start("10s");

    sup_wait_until(sup_proc_said(worker, "ready"));
    sup_proc_kill(worker);
    sup_wait_until(sup_proc_said(worker, "the supervisor has ended; stopping"));
    sup_wait_until(sup_redis_int(redis, "SCARD asq:{default}:workers") == 0);
    sup_proc_free(worker);
}
END_TEST

START_TEST(a_second_worker_with_an_id_says_what_it_waits_for)
{
    sup_proc *first = start("1s"), *second;

    sup_wait_until(sup_proc_said(first, "ready"));
    second = start("1s");
    ck_assert_int_eq(sup_proc_wait(second), 1);
    ck_assert(sup_proc_said(second, "a worker with the id 'w.0' is in the list already"));
    ck_assert(sup_proc_said(second, "waiting up to 1000 ms"));
    ck_assert(sup_proc_said(second, "another worker with the id 'w.0' is alive"));
    ck_assert_int_eq(sup_proc_stop(first), 0);
    ck_assert(!sup_proc_said(first, "supervisor has ended"));
    sup_proc_free(second);
    sup_proc_free(first);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stop_reasons");
    TCase *t = tcase_create("stop_reasons");

    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_worker_that_is_stopped_through_redis_says_so);
    tcase_add_test(t, a_process_whose_supervisor_was_killed_says_so);
    tcase_add_test(t, a_second_worker_with_an_id_says_what_it_waits_for);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
