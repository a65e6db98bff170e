/*
 * unloading.c: see unloading.h.
 */
#include "unloading.h"

#include "logged.h"
#include "modes.h"
#include "walker.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

asq_agent *walker, *peer;

void unloading_start_worker(int64_t unload_after_ms)
{
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.lease_time_ms = 1000;
    options.drain_timeout_ms = HOUR_MS;
    options.unload_after_ms = unload_after_ms;
    logged_start_worker(NULL, &options, list);
}

void unloading_set_up(int64_t unload_after_ms)
{
    mode = MODE_INDEPENDENT;
    logged_set_up();
    walker_set_up();
    logged_open();
    unloading_start_worker(unload_after_ms);
    walker = agent_new("Walker", NULL);
    peer = agent_new("Walker", NULL);
    ok(asq_ready(walker, sup_limit_ms()));
    ok(asq_ready(peer, sup_limit_ms()));
}

void unloading_tear_down(void)
{
    asq_agent_free(walker);
    asq_agent_free(peer);
    walker_tear_down();
    logged_tear_down();
}

asq_result *begin(const char *fmt, ...)
{
    asq_result *r;
    char script[500];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(script, sizeof script, fmt, ap);
    va_end(ap);
    ok(asq_call(walker, "run", &r, "[s]", script));
    ok(asq_flush(H, sup_limit_ms()));
    return r;
}

void expect_text(asq_result *r, const char *expected)
{
    const char *text;

    asq_result_wait(r, sup_limit_ms());
    ck_assert_msg(asq_result_error(r)->code == 0, "%s", asq_result_error(r)->message);
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, expected);
    asq_result_free(r);
}

int64_t count_calls(unsigned states)
{
    int64_t n = -1;

    ok(asq_calls_count(H, states, NULL, "Walker", sup_limit_ms(), &n));
    return n;
}

int64_t sum(const char *command, const char *name)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:%s", name);
    int64_t n = 0;

    for (size_t i = 0; i < keys->elements; i++)
        n += sup_redis_int(redis, "%s %s", command, keys->element[i]->str);
    freeReplyObject(keys);
    return n;
}

void expect_nothing(void)
{
    static const char *const names[] = { "s:*", "attempts", "later", "later:jobs" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:%s", names[i]);
        ck_assert_msg(keys->elements == 0, "%zu keys %s", keys->elements, names[i]);
        freeReplyObject(keys);
    }
}

void kill_owner(void)
{
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
}
