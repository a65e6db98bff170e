/*
 * check_timers_faults.c: each time of a timer is fired exactly once, whatever dies. A timer that
 * makes up for missed times has made as many calls as intervals have passed since its first time:
 * so its record alone shows what is missing or there twice, and the agent's state shows it again.
 */
#include "load.h"
#include "redis/script.h"
#include "support/suite.h"
#include "value/hash.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OFTEN_MS = 100, AGENTS = 50, TIMERS = 1000, ROUNDS = 3 };

static sup_redis *redis;
static asq *h;

static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };

static pid_t worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 1000;
    return load_worker(sup_redis_url(redis), &options);
}

static void set_up(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[300] = "";
    redis = sup_redis_start(durable);
    options.partitions = 4;
    options.timeout_ms = 4 * sup_limit_ms();
    ck_assert_msg(load_asq_open(sup_redis_url(redis), &options, &h, err, sizeof err) == 0, "%s",
                  err);
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

static asq_agent *counter(void)
{
    asq_agent *a;
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &a, "{s:i}", "value", 0), 0);
    return a;
}

static int64_t value(asq_agent *a)
{
    asq_result *r;
    int64_t n;
    ck_assert_int_eq(asq_call(a, "read", &r, NULL), 0);
    ck_assert_msg(asq_result_int(r, &n) == 0, "%s", asq_errmsg(h));
    asq_result_free(r);
    return n;
}

static asq_value *list_of(asq_agent *a)
{
    asq_value *list;
    ck_assert_msg(asq_schedules(h, a ? asq_agent_id(a) : NULL, &list) == 0, "%s", asq_errmsg(h));
    return list;
}

static size_t count(asq_agent *a)
{
    asq_value *list = list_of(a);
    size_t n = asq_list_size(list);
    asq_value_free(list);
    return n;
}

/* What the record of an agent's only timer says. */
struct shown {
    int64_t fired, next_ms;
};

static struct shown show(asq_agent *a)
{
    asq_value *list = list_of(a);
    const asq_value *timer = asq_list_get(list, 0);
    ck_assert_uint_eq(asq_list_size(list), 1);
    struct shown s = { asq_map_int(timer, "fired"), asq_map_int(timer, "next_ms") };
    asq_value_free(list);
    return s;
}

static void tick(asq_agent *a, struct shown *ret)
{
    asq_timer timer = ASQ_TIMER_INIT;
    timer.every_ms = OFTEN_MS;
    timer.missed = ASQ_MISSED_ALL;
    ck_assert_msg(asq_schedule(a, "tick", &timer, "add", "[i]", 1) == 0, "%s", asq_errmsg(h));
    *ret = show(a);
}

static asq_agent *ticking(struct shown *ret)
{
    asq_agent *a = counter();
    tick(a, ret);
    return a;
}

/* Waits until a timer has made `more` calls. */
static void wait_for(asq_agent *a, int64_t more)
{
    int64_t fired = show(a).fired;
    sup_wait_until(show(a).fired >= fired + more);
}

/* Checks that no time is missing, and none was fired twice. */
static void check(asq_agent *a, struct shown first)
{
    struct shown before = show(a);
    int64_t ran = value(a); /* behind all calls that were fired before this one was made */
    struct shown after = show(a);
    ck_assert_int_eq(after.next_ms - first.next_ms, OFTEN_MS * (after.fired - first.fired));
    ck_assert_int_ge(ran, before.fired);
    ck_assert_int_le(ran, after.fired);
}

START_TEST(no_time_is_lost_or_fired_twice_when_workers_and_redis_die)
{
    struct shown first;
    pid_t w = worker();
    asq_agent *a = ticking(&first);
    for (int i = 0; i < ROUNDS; i++) {
        wait_for(a, 3);
        load_worker_kill(w);
        w = worker();
        wait_for(a, 3);
        sup_redis_restart(redis);
    }
    wait_for(a, 3);
    check(a, first);
    load_worker_stop(w);
    asq_agent_free(a);
}
END_TEST

START_TEST(an_owner_that_was_paused_fires_nothing_any_more)
{
    struct shown first;
    pid_t w = worker();
    asq_agent *a = ticking(&first);
    for (int i = 0; i < ROUNDS; i++) {
        wait_for(a, 3);
        load_signal(w, SIGSTOP);
        pid_t other = worker();
        wait_for(a, 3);
        load_signal(w, SIGCONT);
        wait_for(a, 3);
        load_worker_kill(w);
        w = other;
    }
    check(a, first);
    load_worker_stop(w);
    asq_agent_free(a);
}
END_TEST

START_TEST(answers_that_are_lost_do_no_harm)
{
    struct shown first;
    pid_t w = worker();
    asq_agent *a = ticking(&first);
    for (int i = 0; i < 10 * ROUNDS; i++) {
        wait_for(a, 1);
        sup_redis_do(redis, "CLIENT KILL TYPE normal SKIPME yes");
    }
    wait_for(a, 3);
    check(a, first);
    load_worker_stop(w);
    asq_agent_free(a);
}
END_TEST

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

START_TEST(a_thousand_timers_fire_once_each_over_deaths)
{
    asq_agent *agents[AGENTS];
    pid_t workers[2] = { worker(), worker() };
    for (int i = 0; i < AGENTS; i++)
        agents[i] = counter();
    int64_t from_ms = wall_ms() + 500;
    for (int i = 0; i < TIMERS; i++) {
        asq_timer timer = ASQ_TIMER_INIT;
        char name[32];
        snprintf(name, sizeof name, "t%d", i);
        timer.at_ms = from_ms + i * 5;
        ck_assert_msg(asq_schedule(agents[i % AGENTS], name, &timer, "add", "[i]", 1) == 0, "%s",
                      asq_errmsg(h));
        if (i % 250 == 249) {
            pid_t *dies = &workers[i / 250 % 2];
            load_worker_kill(*dies);
            *dies = worker();
            sup_redis_restart(redis);
        }
    }
    sup_wait_until(count(NULL) == 0);
    for (int i = 0; i < AGENTS; i++) {
        ck_assert_int_eq(value(agents[i]), TIMERS / AGENTS);
        asq_agent_free(agents[i]);
    }
    load_worker_stop(workers[0]);
    load_worker_stop(workers[1]);
}
END_TEST

/* Runs timers_fire.lua for the timer "tick" of an agent, with a batch that cannot be decoded. Returns
 * its answer, or -1 if it is FENCED. */
static int64_t fire(const char *agent, int partition, const char *token, const char *state)
{
    char *member = sup_format("%s tick", agent);
    redisReply *r = sup_redis_reply(
        redis,
        "EVAL %s 4 asq:{default.%d}:lease asq:{default.%d}:jobs asq:{default.%d}:timers "
        "asq:{default.%d}:later:jobs %s %b %s 99999999999999 q %b 1 99999999999998 ff label x",
        asq__script_text(ASQ__SCRIPT_TIMERS_FIRE), partition, partition, partition, partition,
        token, member, strlen(member), state, "", (size_t) 0);
    ck_assert_ptr_nonnull(r);
    ck_assert_msg(r->type != REDIS_REPLY_ERROR, "%s", r->str);
    int64_t n = r->type == REDIS_REPLY_INTEGER ? r->integer : -1;
    freeReplyObject(r);
    free(member);
    return n;
}

START_TEST(a_time_is_fired_under_the_owners_token_and_once)
{
    asq_timer timer = ASQ_TIMER_INIT;
    asq_agent *a = counter();
    const char *id = asq_agent_id(a);
    pid_t w = worker();
    timer.every_ms = 3600000;
    ck_assert_msg(asq_schedule(a, "tick", &timer, "add", "[i]", 1) == 0, "%s", asq_errmsg(h));
    int p = (int) asq__partition_of(id, strlen(id), 4);
    char *token = sup_redis_str(redis, "HGET asq:{default.%d}:lease token", p);
    char *state = sup_redis_str(redis, "HGET asq:{default.%d}:t:%s +tick", p, id);
    ck_assert_int_eq(fire(id, p, "another", state), -1);
    ck_assert_int_eq(show(a).fired, 0);
    ck_assert_int_eq(fire(id, p, token, state), 1);
    ck_assert_int_eq(fire(id, p, token, state), 0);
    ck_assert_int_eq(show(a).fired, 1);
    load_worker_stop(w);
    free(token);
    free(state);
    asq_agent_free(a);
}
END_TEST

START_TEST(without_sorted_sets_there_are_no_timers_and_agents_end)
{
    char *url = sup_format("%s?user=app&password=pw", sup_redis_url_default(redis));
    asq_timer timer = ASQ_TIMER_INIT;
    sup_redis_do(redis, "ACL SETUSER app on >pw ~* &* +@all -@dangerous +info -zadd");
    pid_t w = load_worker(url, NULL);
    asq_agent *a = counter();
    timer.every_ms = OFTEN_MS;
    ck_assert_int_eq(asq_schedule(a, "tick", &timer, "add", "[i]", 1), ASQ_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(asq_errmsg(h), "sorted sets"));
    ck_assert_int_eq(value(a), 0);
    ck_assert_msg(asq_delete(a, sup_limit_ms()) == 0, "%s", asq_errmsg(h));
    load_worker_stop(w);
    asq_agent_free(a);
    free(url);
}
END_TEST

START_TEST(keys_of_a_wrong_type_are_set_aside)
{
    struct shown first;
    asq_agent *a = counter();
    for (int p = 0; p < 4; p++) {
        sup_redis_do(redis, "SET asq:{default.%d}:timers x", p);
        sup_redis_do(redis, "SET asq:{default.%d}:t:%s x", p, asq_agent_id(a));
    }
    pid_t w = worker();
    tick(a, &first);
    wait_for(a, 3);
    check(a, first);
    load_worker_stop(w);
    asq_agent_free(a);
}
END_TEST

START_TEST(foreign_writes_do_no_harm)
{
    struct shown first;
    pid_t w = worker();
    asq_agent *a = ticking(&first);
    for (int p = 0; p < 4; p++) {
        sup_redis_do(redis, "ZADD asq:{default.%d}:timers 1 nothing 1 %b 1 %b", p, "no agent",
                     (size_t) 8, "a\0b c", (size_t) 5);
        sup_redis_do(redis, "HSET asq:{default.%d}:t:odd =t x +t y", p);
        sup_redis_do(redis, "ZADD asq:{default.%d}:timers 1 %b", p, "odd t", (size_t) 5);
    }
    wait_for(a, 3);
    check(a, first);
    load_worker_stop(w);
    asq_agent_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("timers_faults");
    TCase *c = tcase_create("timers_faults");

    if (!sup_redis_available())
        return sup_skip("there is no redis-server");
    tcase_set_timeout(c, 0);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, no_time_is_lost_or_fired_twice_when_workers_and_redis_die);
    tcase_add_test(c, an_owner_that_was_paused_fires_nothing_any_more);
    tcase_add_test(c, answers_that_are_lost_do_no_harm);
    tcase_add_test(c, a_thousand_timers_fire_once_each_over_deaths);
    tcase_add_test(c, without_sorted_sets_there_are_no_timers_and_agents_end);
    tcase_add_test(c, keys_of_a_wrong_type_are_set_aside);
    tcase_add_test(c, foreign_writes_do_no_harm);
    suite_add_tcase(s, c);
    c = tcase_create("script");
    tcase_set_timeout(c, 0);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_time_is_fired_under_the_owners_token_and_once);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
