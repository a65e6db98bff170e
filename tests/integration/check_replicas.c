/*
 * check_replicas.c: with --wait-replicas and asq_options.wait_replicas, nothing is told before
 * replicas of Redis have it, and a failover takes nothing back that was told.
 */
#include "on_pair.h"
#include "support/suite.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"

enum { SOON_MS = 200, BEFORE = 5 };

static sup_proc *worker;
static asq *h;
static asq_agent *agent;

static void start_worker(void)
{
    char *url = link_url(NULL);
    worker = sup_worker_start(url, "--agent-dir", sup_agent_dir(), "--id", "w", "--wait-replicas",
                              "1", "--wait-timeout", "50ms", NULL);
    free(url);
}

static void begin(void)
{
    on_pair_begin();
    h = open_handle(NULL);
    if (asq_attach(h, "a", &agent) < 0)
        sup_fail("%s", asq_errmsg(h));
    worker = NULL;
}

static void end(void)
{
    asq_agent_free(agent);
    asq_close(h);
    if (worker)
        sup_proc_kill(worker);
    sup_proc_free(worker);
    on_pair_end();
}

static void serve(void)
{
    asq_agent *made;
    start_worker();
    ck_assert_int_eq(asq_create(h, "Counter", "a", &made, NULL), 0);
    ck_assert_int_eq(asq_ready(made, sup_limit_ms()), 0);
    asq_agent_free(made);
}

static int64_t add(int64_t n)
{
    asq_value *v;
    int64_t sum = -1;
    if (asq_call_wait(agent, "add", &v, "[i]", (int) n) < 0)
        sup_fail("%s", asq_errmsg(h));
    ck_assert_int_eq(asq_value_get_int(v, &sum), 0);
    asq_value_free(v);
    return sum;
}

static int64_t records(void)
{
    redisReply *keys = sup_redis_reply(master.redis, "KEYS asq:{default.*}:r:*");
    int64_t n = (int64_t) keys->elements;
    freeReplyObject(keys);
    return n;
}

static int64_t reads_of_records(void)
{
    return sup_redis_stat(master.redis, "commandstats", "cmdstat_getrange:", "calls=");
}

START_TEST(a_result_is_told_when_a_replica_has_it)
{
    asq_result *r;
    serve();
    ck_assert_int_eq(add(1), 1);
    sup_proc_signal(sup_redis_proc(replica.redis), SIGSTOP);
    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
    while (records() == 0) /* the call has run, and its commit is in the master */
        ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    int64_t reads = reads_of_records();
    while (reads_of_records() == reads) /* the handle has looked at the record by itself */
        ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    sup_proc_signal(sup_redis_proc(replica.redis), SIGCONT);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
    ck_assert_int_eq(add(0), 2);
    sup_wait_until(sup_proc_said(worker, "0 of 1 replicas of Redis (--wait-replicas) have") > 0);
    sup_wait_until(sup_proc_said(worker, "enough replicas of Redis have all results again") > 0);
}
END_TEST

START_TEST(a_call_counts_as_accepted_when_a_replica_has_it)
{
    asq_result *r;
    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_proc_signal(sup_redis_proc(replica.redis), SIGSTOP);
    asq_result_free(r);
    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_flush(h, SOON_MS), ASQ_ETIMEOUT);
    ck_assert_int_eq(sup_redis_int(master.redis, "EXISTS asq:{default.0}:jobs asq:{default.1}:jobs "
                                                 "asq:{default.2}:jobs asq:{default.3}:jobs"),
                     1);
    sup_proc_signal(sup_redis_proc(replica.redis), SIGCONT);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    asq_result_free(r);
}
END_TEST

/* Attaches as a user that may ("+") or may not ("-") read results. Waits until the record was read
 * `reads_then` times, which tells nothing yet. */
static void attach(const char *right, int reads_then)
{
    asq_result *r, *same;
    serve();
    sup_redis_do(master.redis, "ACL SETUSER app on >pw ~* &* +@all %sget %sgetrange", right, right);
    asq *other = open_handle("?user=app&password=pw");
    sup_proc_signal(sup_redis_proc(replica.redis), SIGSTOP);
    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
    while (records() == 0)
        ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    ck_assert_int_eq(asq_result_attach(other, asq_result_id(r), &same), 0);
    int64_t reads = reads_of_records();
    while (reads_of_records() < reads + reads_then)
        ck_assert_int_eq(asq_result_wait(same, SOON_MS), ASQ_ETIMEOUT);
    ck_assert_int_eq(asq_result_wait(same, SOON_MS), ASQ_ETIMEOUT);
    sup_proc_signal(sup_redis_proc(replica.redis), SIGCONT);
    ck_assert_int_eq(asq_result_wait(same, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(same);
    asq_result_free(r);
    asq_close(other);
}

START_TEST(who_attaches_to_a_call_is_told_when_a_replica_has_its_result)
{
    attach("+", 1);
}
END_TEST

/* The worker reads the record for it. */
START_TEST(who_may_not_read_results_is_told_when_a_replica_has_them)
{
    attach("-", 1);
}
END_TEST

START_TEST(a_lost_connection_tells_nothing_that_no_replica_has)
{
    asq_result *r;
    serve();
    sup_proc_signal(sup_redis_proc(replica.redis), SIGSTOP);
    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 1), 0);
    while (records() == 0)
        ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    for (int i = 0; i < 5; i++) {
        sup_redis_do(master.redis, "CLIENT KILL TYPE normal");
        ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    }
    sup_proc_signal(sup_redis_proc(replica.redis), SIGCONT);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
    ck_assert_int_eq(add(0), 1);
}
END_TEST

START_TEST(a_failover_takes_nothing_back_and_runs_what_was_lost_again)
{
    asq_result *r;
    const asq_value *v;
    int64_t sum;
    serve();
    for (int i = 1; i <= BEFORE; i++)
        ck_assert_int_eq(add(1), i);
    sup_proc_signal(sup_redis_proc(replica.redis), SIGSTOP);
    ck_assert_int_eq(asq_call(agent, "add", &r, "[i]", 100), 0);
    while (records() == 0)
        ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    fail_over();
    /* The new master has no replica yet: nothing is told. */
    ck_assert_int_eq(asq_result_wait(r, SOON_MS), ASQ_ETIMEOUT);
    sup_redis_restart(master.redis);
    follow(&master, &replica);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_value(r, &v), 0);
    ck_assert_int_eq(asq_value_get_int(v, &sum), 0);
    ck_assert_int_eq(sum, BEFORE + 100);
    asq_result_free(r);
    ck_assert_int_eq(add(1), BEFORE + 101);
}
END_TEST

START_TEST(results_of_many_batches_for_several_clients_all_arrive)
{
    enum { CLIENTS = 11, CALLS = 40 };
    asq *handles[CLIENTS];
    asq_agent *agents[CLIENTS];
    asq_result *results[CLIENTS][CALLS];
    serve();
    for (int i = 0; i < CLIENTS; i++) {
        handles[i] = open_handle(NULL);
        ck_assert_int_eq(asq_attach(handles[i], "a", &agents[i]), 0);
    }
    for (int k = 0; k < CALLS; k++)
        for (int i = 0; i < CLIENTS; i++)
            ck_assert_int_eq(asq_call(agents[i], "add", &results[i][k], "[i]", 1), 0);
    for (int i = 0; i < CLIENTS; i++) {
        ck_assert_int_eq(asq_wait_all(results[i], CALLS, sup_limit_ms()), 0);
        for (int k = 0; k < CALLS; k++)
            asq_result_free(results[i][k]);
        asq_agent_free(agents[i]);
        asq_close(handles[i]);
    }
    ck_assert_int_eq(add(0), CLIENTS * CALLS);
}
END_TEST

START_TEST(numbers_out_of_bounds_are_refused)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[500], *url = link_url(NULL);
    asq *opened;
    options.wait_replicas = 101;
    ck_assert_int_eq(asq_open(url, &options, &opened, err, sizeof err), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "101 replicas cannot be waited for; at most 100 can"), "%s", err);
    options.wait_replicas = 1;
    options.wait_timeout_ms = 9;
    ck_assert_int_eq(asq_open(url, &options, &opened, err, sizeof err), ASQ_EINVAL);
    ck_assert_msg(strstr(err, "a wait of 9 ms for replicas; 10 to 10000 ms are possible"), "%s",
                  err);
    free(url);
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    TCase *tc = tcase_create("replicas");
    tcase_add_checked_fixture(tc, begin, end);
    tcase_add_test(tc, a_result_is_told_when_a_replica_has_it);
    tcase_add_test(tc, a_call_counts_as_accepted_when_a_replica_has_it);
    tcase_add_test(tc, who_attaches_to_a_call_is_told_when_a_replica_has_its_result);
    tcase_add_test(tc, who_may_not_read_results_is_told_when_a_replica_has_them);
    tcase_add_test(tc, a_lost_connection_tells_nothing_that_no_replica_has);
    tcase_add_test(tc, a_failover_takes_nothing_back_and_runs_what_was_lost_again);
    tcase_add_test(tc, results_of_many_batches_for_several_clients_all_arrive);
    tcase_add_test(tc, numbers_out_of_bounds_are_refused);
    tcase_set_timeout(tc, 300);
    Suite *s = suite_create("replicas");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
