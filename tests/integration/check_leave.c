/*
 * check_leave.c: a worker process that ends in any way is removed from the list of workers, by
 * itself or by its supervisor. If neither reaches Redis, other workers find it dead.
 */
#include "load.h"
#include "support/file_lines.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT "stack_used" /* field that only a heartbeat writes */
#define LEAVING   "leave.lua"

static sup_redis *redis;
static sup_proxy *proxy;
static asq_worker_options options;
static char *log_path;

static bool says(const char *text)
{
    return sup_file_count(log_path, text) > 0;
}

static void set_up(void)
{
    static const char *const config[] = { "appendonly yes", "appendfsync always", NULL };

    redis = sup_redis_start(config);
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 4");
    proxy = sup_proxy_start(sup_redis_socket(redis));
    log_path = sup_write_file("log", "");
    options = (asq_worker_options) ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 300;
    options.drain_timeout_ms = 2000;
    options.log = sup_log_to_file;
    options.log_user = log_path;
    options.log_level = ASQ_LOG_INFO;
}

static void tear_down(void)
{
    sup_proxy_free(proxy);
    sup_redis_free(redis);
    free(log_path);
}

static pid_t start(const char *id)
{
    options.id = id;
    return load_worker(sup_proxy_url(proxy), &options);
}

static bool is_listed(const char *id)
{
    return sup_redis_int(redis, "SISMEMBER asq:{default}:workers %s", id) == 1;
}

static bool has_hash(const char *id)
{
    return sup_redis_int(redis, "EXISTS asq:{default}:worker:%s", id) == 1;
}

static int64_t number(const char *id, const char *field)
{
    char *text = sup_redis_str(redis, "HGET asq:{default}:worker:%s %s", id, field);
    int64_t n = text ? strtoll(text, NULL, 10) : 0;

    free(text);
    return n;
}

static void await_heartbeats(int64_t n)
{
    sup_wait_until(is_listed("w.0") && number("w.0", "beat") >= n);
}

/* Stops the process with SIGSTOP, not its supervisor. */
static void stop_still(void)
{
    ck_assert_int_eq(kill(sup_redis_worker_pid(redis, "w.0"), SIGSTOP), 0);
}

static void check_ends(pid_t w)
{
    ck_assert_int_eq(load_worker_status(w), 0);
}

static void check_has_left(pid_t w)
{
    check_ends(w);
    ck_assert(!is_listed("w.0"));
    ck_assert(!has_hash("w.0"));
}

/* Redis has listed the process, but the answer has not arrived when the process is told to stop. It
 * arrives only after the end, or after the signal. */
START_TEST(who_stops_during_a_heartbeat_leaves)
{
    bool first = _i % 2, hears = _i / 2;
    pid_t w;

    if (first)
        sup_proxy_stall(proxy, HEARTBEAT);
    w = start("w");
    await_heartbeats(1);
    if (!first) {
        await_heartbeats(3);
        sup_proxy_stall(proxy, HEARTBEAT);
    }
    sup_wait_until(sup_proxy_n_stalled(proxy) > 0);
    kill(w, SIGTERM);
    if (hears)
        sup_proxy_resume(proxy);
    check_has_left(w);
}
END_TEST

/* The connection of a worker breaks before Redis gets its last command, or when Redis has
 * answered. */
START_TEST(who_loses_its_connection_when_it_ends_leaves)
{
    pid_t w = start("w");

    await_heartbeats(2);
    sup_proxy_cut(proxy, _i ? SUP_CUT_ANSWER : SUP_CUT_REQUEST, LEAVING);
    kill(w, SIGTERM);
    check_has_left(w);
    ck_assert(sup_proxy_has_cut(proxy));
}
END_TEST

/* The connection of its heartbeat was lost earlier. */
START_TEST(the_supervisor_sees_off_who_cannot_tell)
{
    pid_t w = start("w");

    await_heartbeats(2);
    sup_proxy_cut(proxy, SUP_CUT_EACH, HEARTBEAT);
    sup_wait_until(says("the heartbeat's connection: "));
    kill(w, SIGTERM);
    check_has_left(w);
}
END_TEST

START_TEST(the_supervisor_sees_off_who_is_ended_by_force)
{
    pid_t w = start("w");

    await_heartbeats(2);
    stop_still();
    kill(w, SIGTERM);
    kill(w, SIGTERM);
    check_has_left(w);
    ck_assert(says("has not ended in time"));
}
END_TEST

START_TEST(who_is_told_to_end_at_once_leaves)
{
    pid_t w = start("w");

    await_heartbeats(2);
    kill(w, SIGQUIT);
    check_has_left(w);
}
END_TEST

/* Another process has the id by now. */
START_TEST(what_another_process_has_written_stays)
{
    static const char other[] = "0123456789abcdef";
    pid_t w = start("w");
    char *client;

    await_heartbeats(2);
    stop_still();
    sup_redis_do(redis, "HSET asq:{default}:worker:w.0 client %s", other);
    sup_redis_do(redis, "PERSIST asq:{default}:worker:w.0");
    kill(w, SIGQUIT);
    check_ends(w);
    ck_assert(is_listed("w.0"));
    client = sup_redis_str(redis, "HGET asq:{default}:worker:w.0 client");
    ck_assert_str_eq(client, other);
    free(client);
}
END_TEST

/* Redis is away. The process still ends and logs that, and the next worker finds it dead. */
START_TEST(who_ends_while_redis_is_away_is_found_dead)
{
    pid_t w = start("w"), other;

    await_heartbeats(2);
    sup_redis_kill(redis);
    kill(w, SIGTERM);
    check_ends(w);
    ck_assert(says("the entry of w.0, which has ended, cannot be removed from Redis"));
    sup_redis_restart(redis);
    ck_assert(is_listed("w.0"));
    other = start("other");
    sup_wait_until(is_listed("other.0") && !is_listed("w.0"));
    load_worker_stop(other);
    ck_assert(!is_listed("other.0"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("leave");
    TCase *t = tcase_create("leave");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, who_stops_during_a_heartbeat_leaves, 0, 4);
    tcase_add_loop_test(t, who_loses_its_connection_when_it_ends_leaves, 0, 2);
    tcase_add_test(t, the_supervisor_sees_off_who_cannot_tell);
    tcase_add_test(t, the_supervisor_sees_off_who_is_ended_by_force);
    tcase_add_test(t, who_is_told_to_end_at_once_leaves);
    tcase_add_test(t, what_another_process_has_written_stays);
    tcase_add_test(t, who_ends_while_redis_is_away_is_found_dead);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
