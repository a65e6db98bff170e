/*
 * check_ctl_time.c: --timeout of as-ctl and of as-worker stop limits the whole command, however
 * many requests it sends to Redis. Here each request alone is answered in time, but all of them
 * together are not.
 */
#include "support/proxy.h"
#include "support/suite.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"

enum { ANSWER_MS = 200, LETTERS = 40 };

static sup_redis *redis;
static sup_proxy *proxy;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    proxy = sup_proxy_start(sup_redis_socket(redis));
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions 8");
}

static void tear_down(void)
{
    sup_proxy_free(proxy);
    sup_redis_free(redis);
}

/* Runs a program of this build with its URL; checks that its status is 1 and its error contains
 * `text`. */
static void run_out_of_time(const char *const argv[], const char *text)
{
    char *out, *err;
    int status = sup_run(argv, &out, &err);

    if (status != 1 || !strstr(err, text))
        sup_fail("status %d, without \"%s\":\n%s%s", status, text, out, err);
    free(out);
    free(err);
}

/* Dropping one letter takes one answer; dropping all takes far longer than the timeout. */
START_TEST(dropping_all_dead_letters_ends_when_the_time_is_up)
{
    char *program = strdup(sup_program("as-ctl"));
    const char *const argv[] = { program, "-u",    sup_url_as(sup_proxy_url(proxy), "operator"),
                                 "-t",    "4s",    "dead",
                                 "drop",  "--all", NULL };

    for (int i = 0; i < LETTERS; i++)
        sup_redis_do(
            redis, "XADD asq:{default.3}:dead %d-0 call Counter/a.add reason x attempts 3 batch x",
            i + 1);
    sup_proxy_delay(proxy, ANSWER_MS);
    run_out_of_time(argv, "ASQ_ETIMEOUT");
    ck_assert_int_gt(sup_redis_int(redis, "XLEN asq:{default.3}:dead"), 0);
    free(program);
}
END_TEST

/* Opening, finding the worker, asking it to stop and waiting for its end take some ten answers. */
START_TEST(stopping_a_worker_ends_when_the_time_is_up)
{
    sup_proc *worker =
        sup_worker_start(sup_redis_url(redis), "--agent-dir", sup_agent_dir(), "--id", "w", NULL);
    char *program = strdup(sup_program(_i ? "as-worker" : "as-ctl"));
    const char *url = sup_url_as(sup_proxy_url(proxy), "operator");
    const char *const ctl[] = { program, "-u", url, "-t", "1s", "stop", "w", "--wait", NULL };
    const char *const own[] = {
        program, "stop", "--redis-url", url, "--id", "w", "-t", "1s", NULL
    };

    sup_wait_until(sup_redis_workers(redis, "default") > 0);
    sup_proxy_delay(proxy, ANSWER_MS);
    run_out_of_time(_i ? own : ctl, "ASQ_E");
    sup_proc_free(worker);
    free(program);
}
END_TEST

/* Connecting is a part of the command. */
START_TEST(connecting_ends_when_the_time_is_up)
{
    char *program = strdup(sup_program("as-ctl"));
    const char *const argv[] = { program, "-u",    sup_url_as(sup_proxy_url(proxy), "operator"),
                                 "-t",    "300ms", "ping",
                                 NULL };

    sup_proxy_delay(proxy, 400);
    run_out_of_time(argv, " within "); /* while connecting, or at the greeting */
    free(program);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ctl_time");
    TCase *t = tcase_create("ctl_time");

    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, dropping_all_dead_letters_ends_when_the_time_is_up);
    tcase_add_loop_test(t, stopping_a_worker_ends_when_the_time_is_up, 0, 2);
    tcase_add_test(t, connecting_ends_when_the_time_is_up);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
