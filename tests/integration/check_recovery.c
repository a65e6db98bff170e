/*
 * check_recovery.c: an answer of Redis is late or lost, though Redis has executed the command.
 * Worker and client recover.
 */
#include "load.h"
#include "support/proxy.h"
#include "support/suite.h"
#include "value/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LONG_MS = 3600000, ROUNDS = 12 };

/* The number of keys of claim.lua, which no other script has, and the length of the first. */
static const char claim[] = "$1\r\n7\r\n$2";

static sup_redis *redis;
static sup_proxy *proxy;
static asq *h;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    proxy = sup_proxy_start(sup_redis_socket(redis));
    h = load_open(sup_redis_url(redis));
}

static void tear_down(void)
{
    asq_close(h);
    sup_proxy_free(proxy);
    sup_redis_free(redis);
}

/* Starts a worker that notices a fault only by the answer to a commit. */
static pid_t worker_behind_proxy(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = "w";
    options.lease_time_ms = LONG_MS;
    return load_worker(sup_proxy_url(proxy), &options);
}

/* Returns the beginning of the keys of a commit of this partition. */
static char *commit_of(uint32_t p)
{
    char *jobs = sup_format("asq:{default.%u}:jobs", p);
    char *pattern = sup_format("asq:{default.%u}:agents\r\n$%zu\r\n%s", p, strlen(jobs), jobs);

    free(jobs);
    return pattern;
}

/* The worker reads back the outcome of a commit whose answer was lost (1); it resends a commit
 * that Redis did not get (0). Either way the call has taken effect once, and the worker stays
 * the owner. */
START_TEST(a_commit_whose_answer_is_lost_takes_effect_once)
{
    uint32_t p = asq__partition_of("{one}", 5, 128);
    char *pattern = commit_of(p);
    pid_t w = worker_behind_proxy();
    asq_agent *a;
    asq_result *r;
    int64_t value, epoch;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    epoch = sup_redis_int(redis, "HGET asq:{default.%u}:lease epoch", p);
    for (int i = 1; i <= ROUNDS; i++) {
        sup_proxy_cut(proxy, _i ? SUP_CUT_ANSWER : SUP_CUT_REQUEST, pattern);
        ck_assert_int_eq(asq_call(a, "add_blocking", &r, "[i]", 1), 0);
        ck_assert_int_eq(asq_result_int(r, &value), 0);
        ck_assert_int_eq(value, i);
        asq_result_free(r);
        sup_wait_until(sup_proxy_has_cut(proxy));
    }
    ck_assert_int_eq(asq_call(a, "read", &r, NULL), 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, ROUNDS);
    ck_assert_int_eq(sup_redis_int(redis, "HGET asq:{default.%u}:lease epoch", p), epoch);
    asq_result_free(r);
    asq_agent_free(a);
    free(pattern);
    load_worker_stop(w);
}
END_TEST

/* Several commits are on their way when the connection breaks. */
START_TEST(commits_keep_their_order_when_answers_are_lost_under_load)
{
    pid_t w = worker_behind_proxy();
    struct load *l = load_new(h, 8);

    for (int i = 0; i < 3 * ROUNDS; i++) {
        sup_proxy_cut(proxy, i % 2 ? SUP_CUT_ANSWER : SUP_CUT_REQUEST, "}:agents\r\n$");
        load_calls(l, 20);
        sup_wait_until(asq_poll(h, 5) >= 0 && sup_proxy_has_cut(proxy));
    }
    load_check(l);
    load_worker_stop(w);
}
END_TEST

/* Redis refuses the first of two calls and accepts the second, and both answers are lost. When both
 * could be resent, the second has run and its worker is gone, so the first would run after it. */
START_TEST(a_call_that_would_be_out_of_order_is_not_resent)
{
    uint32_t p = asq__partition_of("{one}", 5, 128);
    pid_t w = load_worker(sup_redis_url(redis), NULL);
    asq *cut_off = load_open(sup_proxy_url(proxy));
    asq_agent *a, *same;
    asq_result *refused, *taken;
    int64_t value;

    ck_assert_int_eq(asq_create(h, "Counter", "{one}", &a, "{s:i}", "value", 0), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    ck_assert_int_eq(asq_attach(cut_off, "{one}", &same), 0);
    ck_assert_int_eq(asq_call(same, "read", &taken, NULL), 0);
    ck_assert_int_eq(asq_result_wait(taken, sup_limit_ms()), 0);
    asq_result_free(taken);
    load_worker_stop(w);

    sup_proxy_stall(proxy, "{one}.add");
    sup_proxy_cut(proxy, SUP_CUT_ANSWER, "{one}.add");
    sup_redis_do(redis, "CONFIG SET maxmemory 1");
    ck_assert_int_eq(asq_call(same, "add", &refused, "[i]", 1), 0);
    sup_wait_until(asq_poll(cut_off, 5) >= 0 &&
                   sup_redis_stat(redis, "errorstats", "errorstat_OOM", ":count=") == 1);
    sup_redis_do(redis, "CONFIG SET maxmemory 0");
    ck_assert_int_eq(asq_call(same, "add", &taken, "[i]", 10), 0);
    sup_wait_until(asq_poll(cut_off, 5) >= 0 &&
                   sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) == 1);
    w = load_worker(sup_redis_url(redis), NULL);
    sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) == 0);
    load_worker_stop(w);

    sup_proxy_resume(proxy);
    ck_assert_int_eq(asq_result_wait(refused, sup_limit_ms()), ASQ_EUNKNOWN);
    ck_assert_int_eq(asq_result_int(taken, &value), 0);
    ck_assert_int_eq(value, 10);
    asq_result_free(refused);
    asq_result_free(taken);
    w = load_worker(sup_redis_url(redis), NULL);
    ck_assert_int_eq(asq_call(same, "read", &taken, NULL), 0);
    ck_assert_int_eq(asq_result_int(taken, &value), 0);
    ck_assert_int_eq(value, 10);
    asq_result_free(taken);
    asq_agent_free(same);
    asq_agent_free(a);
    asq_close(cut_off);
    load_worker_stop(w);
}
END_TEST

static char *file_of(const char *what, int number)
{
    char *name = sup_format("%s %d", what, number), *path = sup_path(name);

    free(name);
    return path;
}

/* Makes a call that waits for the file `go` and then makes the given call. Returns when it has
 * begun. */
static asq_result *cross(asq_agent *relay, int number, const char *go, asq_agent *to,
                         const char *method, const char *args)
{
    char *begun = file_of("begun", number);
    asq_result *r;

    ck_assert_int_eq(
        asq_callv(relay, "cross", NULL,
                  asq_pack("[s, s, a, s, o]", begun, go, to, method, asq_pack(args, 0, 0)), &r),
        0);
    sup_wait_until(asq_poll(h, 5) >= 0 && access(begun, F_OK) == 0);
    free(begun);
    return r;
}

static void check_result(asq_result *r)
{
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
}

/* Does the same with two calls made by different calls. There is no order between them, so both
 * run, whether the later one is done (0) or waits (1) when the first is resent. */
START_TEST(a_nested_call_is_not_out_of_order_with_one_of_another_call)
{
    enum { FIRST, LATER, BUSY, N };
    uint32_t p = asq__partition_of("{one}", 5, 128);
    pid_t w = worker_behind_proxy();
    asq_agent *to, *relays[N];
    asq_result *results[N] = { NULL };
    asq_value *entered;
    char *go[N];
    int64_t seq, n;

    ck_assert_int_eq(asq_create(h, "Relay", "{one}", &to, NULL), 0);
    for (int i = 0; i < N; i++) {
        go[i] = file_of("go", i);
        ck_assert_int_eq(asq_create(h, "Relay", NULL, &relays[i], NULL), 0);
        /* Makes earlier calls, so that the owner knows the sender and looks up none of its calls in
         * Redis. */
        ck_assert_int_eq(asq_call_wait(relays[i], "call", NULL, "[a, s, []]", to, "me"), 0);
    }
    results[FIRST] = cross(relays[FIRST], FIRST, go[FIRST], to, "late", "[i, i]");
    results[LATER] = cross(relays[LATER], LATER, go[LATER], to, "late", "[i, i]");
    if (_i)
        results[BUSY] = cross(to, BUSY, go[BUSY], relays[BUSY], "me", "[]");
    seq = sup_redis_int(redis, "HGET asq:{default.%u}:lease seq", p);

    sup_proxy_stall(proxy, "{one}.late");
    sup_proxy_cut(proxy, SUP_CUT_ANSWER, "{one}.late");
    sup_redis_do(redis, "CONFIG SET maxmemory 1");
    fclose(fopen(go[FIRST], "w"));
    sup_wait_until(sup_redis_stat(redis, "errorstats", "errorstat_OOM", ":count=") == 1);
    sup_redis_do(redis, "CONFIG SET maxmemory 0");
    fclose(fopen(go[LATER], "w"));
    if (_i)
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) == 2);
    else
        sup_wait_until(sup_redis_int(redis, "HGET asq:{default.%u}:lease seq", p) > seq);
    sup_proxy_resume(proxy);
    if (_i) {
        sup_wait_until(sup_redis_int(redis, "XLEN asq:{default.%u}:jobs", p) > 2);
        fclose(fopen(go[BUSY], "w"));
        check_result(results[BUSY]);
    }
    check_result(results[LATER]);
    check_result(results[FIRST]);
    ck_assert_int_eq(asq_get(to, "entered", &entered), 0);
    ck_assert_int_eq(asq_value_get_int(entered, &n), 0);
    ck_assert_int_eq(n, 2);
    asq_value_free(entered);
    for (int i = 0; i < N; i++) {
        asq_agent_free(relays[i]);
        free(go[i]);
    }
    asq_agent_free(to);
    load_worker_stop(w);
}
END_TEST

START_TEST(claims_are_spread_over_time)
{
    enum { AT_ONCE = 16, PARTITIONS = 128 };
    pid_t w;

    sup_proxy_stall(proxy, claim);
    w = worker_behind_proxy();
    sup_wait_until(sup_proxy_n_stalled(proxy) >= AT_ONCE);
    sup_sleep_ms(200); /* further batches would have left together by now */
    ck_assert_int_eq(sup_proxy_n_stalled(proxy), AT_ONCE);
    sup_proxy_resume(proxy);
    sup_wait_until(sup_redis_int(redis, "EVAL %s 0",
                                 "local n = 0 for p = 0, 127 do n = n + redis.call('HEXISTS', "
                                 "'asq:{default.' .. p .. '}:lease', 'token') end return n") ==
                   PARTITIONS);
    load_worker_stop(w);
}
END_TEST

/* Connections of a worker are accepted, and closed. */
START_TEST(who_is_turned_away_comes_again_later_and_later)
{
    enum { TRIES = 8, CONNECTIONS = 2, LEAST_MS = 10 + 20 + 40 + 80 + 160 + 320 };
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    char *path = sup_path("nobody.sock"), *url = sup_format("unix:%s", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int64_t begun_ms;
    pid_t w;

    strncpy(a.sun_path, path, sizeof a.sun_path - 1);
    ck_assert_int_eq(bind(listener, (struct sockaddr *) &a, sizeof a), 0);
    ck_assert_int_eq(listen(listener, 64), 0);
    w = load_worker(url, NULL);
    begun_ms = sup_now_ms();
    for (int i = 0; i < TRIES * CONNECTIONS; i++)
        close(accept(listener, NULL, NULL));
    ck_assert_int_ge(sup_now_ms() - begun_ms, LEAST_MS);
    load_worker_stop(w);
    close(listener);
    free(path);
    free(url);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("recovery");
    TCase *t = tcase_create("recovery");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_loop_test(t, a_commit_whose_answer_is_lost_takes_effect_once, 0, 2);
    tcase_add_test(t, commits_keep_their_order_when_answers_are_lost_under_load);
    tcase_add_test(t, a_call_that_would_be_out_of_order_is_not_resent);
    tcase_add_loop_test(t, a_nested_call_is_not_out_of_order_with_one_of_another_call, 0, 2);
    tcase_add_test(t, claims_are_spread_over_time);
    tcase_add_test(t, who_is_turned_away_comes_again_later_and_later);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
