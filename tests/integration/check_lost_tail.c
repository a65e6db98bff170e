/*
 * check_lost_tail.c: Redis goes back in time: it restarts without what was written last. Calls that
 * are gone are made again in their order, and each effect is there once. What was told before, and
 * is gone, is reported.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "classes.h"
#include "load.h"
#include "support/file_lines.h"
#include "support/random_steps.h"
#include "support/server_clock.h"
#include "support/suite.h"
#include "support/support.h"

enum {
    LARGE = 2 << 20,
    ROOM = 1 << 20,
    HOUR_MS = 3600000,
    SEEDS = 6,
    ROUNDS = 4,
    AGENTS = 8,
    SHORT_MS = 2000,
    LONG_MS = 60000 /* of leases */
};

static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };

static sup_redis *redis;
static asq *h;
static pid_t worker;
static char *log_path, *begun, *go;

static asq *open_handle(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";
    asq *opened;
    options.partitions = 1;
    options.timeout_ms = 2 * sup_limit_ms();
    options.close_timeout_ms = -1;
    int rc = load_asq_open(sup_redis_url(redis), &options, &opened, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    return opened;
}

static void start_worker(int64_t lease_time_ms)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = lease_time_ms;
    options.max_backlog_size = ROOM;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    worker = load_worker(sup_redis_url(redis), &options);
}

static void begin(void)
{
    sup_clock_start();
    redis = sup_redis_start(durable);
    log_path = sup_path("log");
    begun = sup_path("begun");
    go = sup_path("go");
    h = open_handle();
    start_worker(SHORT_MS);
}

static void end(void)
{
    asq_close(h);
    load_worker_stop(worker);
    sup_redis_free(redis);
    sup_clock_stop();
    free(log_path);
    free(begun);
    free(go);
}

static asq_agent *create(const char *cls, const char *id)
{
    asq_agent *a;
    ck_assert_int_eq(asq_create(h, cls, id, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}

static void restart_as_it_was(const char *kept)
{
    sup_redis_kill(redis);
    sup_redis_go_back(redis, kept);
    sup_redis_restart(redis);
}

static asq_result *call(asq_agent *a, const char *method, int64_t n)
{
    asq_result *r;
    ck_assert_msg(asq_call(a, method, &r, "[I]", (long long) n) == 0, "%s", asq_errmsg(h));
    return r;
}

static void add(asq_agent *a, int64_t expected)
{
    asq_result *r = call(a, "add", 1);
    int64_t n = -1;
    ck_assert_msg(asq_result_int(r, &n) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(n, expected);
    asq_result_free(r);
}

static bool waits_no_more(void)
{
    return sup_redis_int(redis, "XLEN asq:{default.0}:jobs") == 0;
}

/* Returns whether the worker holds no call, as it does from when it has read what Redis said to its
 * last commit. A caller may be told before. */
static bool holds_nothing(asq *other)
{
    asq_value *all = NULL;
    ck_assert_msg(asq_workers_live(other, &all) == 0, "%s", asq_errmsg(other));
    const asq_value *w = asq_list_get(all, 0);
    bool nothing = asq_map_get(w, "waiting") && asq_map_int(w, "waiting") == 0 &&
                   asq_map_int(w, "running") == 0 && asq_map_int(w, "parked") == 0;
    asq_value_free(all);
    return nothing;
}

/* Waits until the worker knows of the commit of all calls. The handle of the test hears of no
 * result meanwhile. */
static void wait_until_acknowledged(void)
{
    asq *other = open_handle();
    sup_wait_until(waits_no_more());
    sup_wait_until(holds_nothing(other));
    asq_close(other);
}

/* ---- calls that were left in the stream ---- */

/* Makes an agent busy, and the worker's memory full, so that further calls to it are left. Returns
 * the two calls. */
static void fill(asq_agent *busy, asq_result *ret[2])
{
    char *text = calloc(1, LARGE);
    ck_assert_int_eq(asq_call(busy, "hold", &ret[0], "[s, s]", begun, go), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    ck_assert_int_eq(asq_call(busy, "nothing", &ret[1], "[y#]", text, (size_t) LARGE), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    free(text);
}

static bool has_left_some(void)
{
    return sup_file_count(log_path, "stay in Redis for now") > 0;
}

/* The worker has nothing of the lost call but its place, and that its sender has come so far. */
START_TEST(a_lost_call_that_was_left_in_its_stream_is_taken_when_it_is_sent_again)
{
    asq_agent *busy = create("Echo", "busy");
    asq_result *before[2], *lost;
    fill(busy, before);
    char *kept = sup_redis_keep(redis);
    lost = call(busy, "first", 7);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(has_left_some());
    restart_as_it_was(kept);
    free(sup_write_file("go", ""));
    int64_t n = 0;
    ck_assert_int_eq(asq_result_wait(before[0], sup_limit_ms()), 0);
    ck_assert_int_eq(asq_result_wait(before[1], sup_limit_ms()), 0);
    ck_assert_msg(asq_result_int(lost, &n) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(n, 7);
    asq_result_free(before[0]);
    asq_result_free(before[1]);
    asq_result_free(lost);
    asq_agent_free(busy);
    free(kept);
}
END_TEST

/* Entries get ids below that of the lost one, as the servers' clocks are apart. Its sender is gone,
 * too. */
START_TEST(calls_are_read_whose_ids_are_below_that_of_a_lost_one)
{
    asq_agent *busy = create("Echo", "busy"), *other = create("Counter", "other");
    asq_result *before[2], *lost;
    fill(busy, before);
    char *kept = sup_redis_keep(redis);
    sup_clock_set(HOUR_MS);
    lost = call(busy, "first", 7);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(has_left_some());
    asq_result_free(lost);
    asq_result_free(before[0]);
    asq_result_free(before[1]);
    asq_agent_free(busy);
    asq_agent_free(other);
    asq_close(h);
    sup_clock_set(0);
    restart_as_it_was(kept);
    h = open_handle();
    ck_assert_int_eq(asq_attach(h, "other", &other), 0);
    add(other, 1);
    free(sup_write_file("go", ""));
    asq_agent_free(other);
    free(kept);
}
END_TEST

/* ---- entries and commits ---- */

enum lost {
    LOST_COMMIT, /* the entry is there still */
    LOST_BOTH,   /* nothing is there */
    LOST_UNTOLD, /* nothing is there, and the caller has not been told */
    LOST_KINDS
};

/* The owner has the partition in memory (0 to 2), or is another process (3 to 5). */
START_TEST(a_call_with_its_commit_lost_runs_in_its_place)
{
    enum lost kind = _i % LOST_KINDS;
    asq_agent *a = create("Counter", "tally");
    char *kept = NULL;
    if (_i <
        LOST_KINDS) { /* it must not lose its lease, and what it has in memory, by being slow */
        load_worker_stop(worker);
        start_worker(LONG_MS);
    }
    add(a, 1);
    sup_wait_until(waits_no_more());
    if (kind != LOST_COMMIT)
        kept = sup_redis_keep(redis);
    load_signal(worker, SIGSTOP);
    asq_result *r = call(a, "add", 1);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    if (kind == LOST_COMMIT)
        kept = sup_redis_keep(redis);
    if (kind == LOST_UNTOLD) { /* the client connects again when it is asked for the result */
        sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
        sup_redis_do(redis, "CLIENT KILL TYPE pubsub SKIPME yes");
    }
    load_signal(worker, SIGCONT);
    int64_t n = 0;
    if (kind == LOST_UNTOLD)
        sup_wait_until(waits_no_more());
    else
        ck_assert_int_eq(asq_result_int(r, &n), 0);
    if (_i >= LOST_KINDS)
        load_worker_kill(worker);
    else
        wait_until_acknowledged(); /* else it cannot tell later that the commit is gone */
    restart_as_it_was(kept);
    if (_i >= LOST_KINDS)
        start_worker(SHORT_MS);
    if (kind == LOST_UNTOLD)
        ck_assert_int_eq(asq_result_int(r, &n), 0);
    ck_assert_int_eq(n, 2);
    int64_t next = kind == LOST_BOTH ? 2 : 3;
    for (int i = 0; i < 3; i++)
        add(a, next++);
    if (_i < LOST_KINDS)
        sup_wait_until(sup_file_count(log_path, "Redis has gone back in time") > 0);
    asq_result_free(r);
    asq_agent_free(a);
    free(kept);
}
END_TEST

/* A client that waits for replicas does not count a call as accepted, though Redis has had it. A
 * later call may end meanwhile. */
START_TEST(a_lost_call_that_replicas_did_not_have_is_sent_again_behind_a_later_one)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";
    asq *waits;
    asq_agent *busy = create("Echo", "busy"), *tally = create("Counter", "tally");
    asq_agent *same_busy, *same_tally;
    asq_result *held, *later;
    options.wait_replicas = 1;
    options.timeout_ms = 2 * sup_limit_ms();
    options.close_timeout_ms = -1;
    ck_assert_int_eq(load_asq_open(sup_redis_url(redis), &options, &waits, err, sizeof err), 0);
    ck_assert_int_eq(asq_attach(waits, "busy", &same_busy), 0);
    ck_assert_int_eq(asq_attach(waits, "tally", &same_tally), 0);
    char *kept = sup_redis_keep(redis);
    ck_assert_int_eq(asq_call(same_busy, "hold", &held, "[s, s]", begun, go), 0);
    ck_assert_int_eq(asq_call(same_tally, "add", &later, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_wait(later, sup_limit_ms()), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    restart_as_it_was(kept);
    free(sup_write_file("go", ""));
    int rc = asq_result_wait(held, sup_limit_ms());
    ck_assert_msg(rc == 0, "%s", asq_errmsg(waits));
    asq_result_free(held);
    asq_result_free(later);
    asq_agent_free(same_busy);
    asq_agent_free(same_tally);
    asq_close(waits);
    asq_agent_free(busy);
    asq_agent_free(tally);
    free(kept);
}
END_TEST

/* ---- at random ---- */

/* Takes the results that a server had sent before it was killed. */
static void take_what_came(void)
{
    for (int i = 0; i < 20; i++)
        asq_poll(h, 10);
}

/* Each agent's calls run in their order, and of those that were not told before Redis went back
 * each runs once. */
static void check_order(asq_result *const *results, const bool *told, size_t calls)
{
    for (size_t a = 0; a < AGENTS; a++) {
        int64_t last = 0;
        for (size_t i = 0; i < calls; i++) {
            int64_t n = 0;
            if (told[i * AGENTS + a])
                continue;
            int rc = asq_result_int(results[i * AGENTS + a], &n);
            ck_assert_msg(rc == 0, "call %zu of agent %zu: %s", i, a, asq_errmsg(h));
            ck_assert_msg(!last || n == last + 1, "call %zu of agent %zu gave %lld after %lld", i,
                          a, (long long) n, (long long) last);
            last = n;
        }
    }
}

START_TEST(calls_stay_in_order_when_redis_goes_back_at_random)
{
    enum { CALLS = 60, PART = 20 };
    asq_agent *agents[AGENTS];
    asq_result *results[CALLS * AGENTS];
    bool told[CALLS * AGENTS];
    steps_begin(steps_seed() + (uint64_t) _i);
    for (size_t a = 0; a < AGENTS; a++)
        agents[a] = create("Counter", NULL);
    for (int round = 0; round < ROUNDS; round++) {
        char *kept = NULL;
        size_t keep_at = below(CALLS);
        for (size_t i = 0; i < CALLS; i++) {
            if (i == keep_at)
                kept = sup_redis_keep(redis);
            for (size_t a = 0; a < AGENTS; a++)
                results[i * AGENTS + a] = call(agents[a], i % 2 ? "add" : "add_blocking", 1);
            if (i % PART == PART - 1)
                asq_poll(h, (int) below(40));
        }
        if (percent(30))
            load_signal(worker, SIGSTOP);
        asq_poll(h, (int) below(100));
        if (percent(30)) {
            load_worker_kill(worker);
            start_worker(SHORT_MS);
        }
        sup_redis_kill(redis);
        take_what_came();
        for (size_t i = 0; i < CALLS * AGENTS; i++)
            told[i] = asq_result_done(results[i]);
        sup_redis_go_back(redis, kept);
        sup_redis_restart(redis);
        load_signal(worker, SIGCONT);
        check_order(results, told, CALLS);
        for (size_t i = 0; i < CALLS * AGENTS; i++)
            asq_result_free(results[i]);
        free(kept);
    }
    for (size_t a = 0; a < AGENTS; a++)
        asq_agent_free(agents[a]);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("lost_tail");
    TCase *t = tcase_create("lost_tail");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_lost_call_that_was_left_in_its_stream_is_taken_when_it_is_sent_again);
    tcase_add_test(t, calls_are_read_whose_ids_are_below_that_of_a_lost_one);
    tcase_add_loop_test(t, a_call_with_its_commit_lost_runs_in_its_place, 0, 2 * LOST_KINDS);
    tcase_add_test(t, a_lost_call_that_replicas_did_not_have_is_sent_again_behind_a_later_one);
    tcase_add_loop_test(t, calls_stay_in_order_when_redis_goes_back_at_random, 0, SEEDS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    return sup_suite_run(suite());
}
