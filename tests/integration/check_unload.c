/*
 * check_unload.c: a call that sleeps gives its run back, when it sleeps for long or its worker
 * hands its agent over. It is run again when its sleep is over, and to others it is as if it had
 * slept on.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/random_steps.h"
#include "support/suite.h"
#include "walker.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { HOUR_MS = 3600000 };

static asq_agent *walker, *peer;

static void begin_with(int64_t unload_after_ms)
{
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    mode = MODE_INDEPENDENT;
    logged_set_up();
    walker_set_up();
    logged_open();
    options.lease_time_ms = 1000;
    options.drain_timeout_ms = HOUR_MS;
    options.unload_after_ms = unload_after_ms;
    logged_start_worker(NULL, &options, list);
    walker = agent_new("Walker", NULL);
    peer = agent_new("Walker", NULL);
    ok(asq_ready(walker, sup_limit_ms()));
    ok(asq_ready(peer, sup_limit_ms()));
}

/* Sleeps of more than a second are unloaded. */
static void set_up(void)
{
    begin_with(1000);
}

static void set_up_parked(void)
{
    begin_with(-1);
}

static void tear_down(void)
{
    asq_agent_free(walker);
    asq_agent_free(peer);
    walker_tear_down();
    logged_tear_down();
}

static asq_result *begin(const char *fmt, ...)
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

static void expect_text(asq_result *r, const char *expected)
{
    const char *text;

    asq_result_wait(r, sup_limit_ms());
    ck_assert_msg(asq_result_error(r)->code == 0, "%s", asq_result_error(r)->message);
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, expected);
    asq_result_free(r);
}

static int64_t count_calls(unsigned states)
{
    int64_t n = -1;

    ok(asq_calls_count(H, states, NULL, "Walker", sup_limit_ms(), &n));
    return n;
}

static int asleep(void)
{
    return sup_file_count(walker_effects, "asleep");
}

/* Waits until the only call that sleeps has given back its run. */
static void wait_until_unloaded(void)
{
    sup_wait_until(asleep() > 0 && count_calls(ASQ_CALLS_DELAYED) == 1);
    ck_assert_int_eq(count_calls(ASQ_CALLS_PARKED), 0);
}

/* Checks that nothing is left of any call. */
static void expect_nothing(void)
{
    redisReply *keys = sup_redis_reply(redis, "KEYS asq:{default*}:s:*");
    redisReply *attempts = sup_redis_reply(redis, "KEYS asq:{default*}:attempts");

    ck_assert_uint_eq(keys->elements, 0);
    ck_assert_uint_eq(attempts->elements, 0);
    freeReplyObject(keys);
    freeReplyObject(attempts);
}

/* ---- long sleeps ----------------------------------------------------------------------------- */

START_TEST(a_call_goes_on_from_its_records_when_its_sleep_is_over)
{
    asq_result *r =
        begin("u:5 w:one c:%s z:3000 s:two c:%s", asq_agent_id(peer), asq_agent_id(peer));

    wait_until_unloaded();
    ck_assert_int_eq(walker_count("two"), 0);
    expect_text(r, "1 1 1 2 ");
    ck_assert_int_eq(asleep(), 2);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(sup_file_count(walker_effects, "changed"), 2);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 5);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 0), 2);
    expect_nothing();
}
END_TEST

START_TEST(sleeps_may_follow_each_other)
{
    asq_result *r = begin("z:2000 w:one Z:10 z:1500 w:two z:1100 w:three");

    expect_text(r, "1 1 1 ");
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 1);
    ck_assert_int_eq(walker_count("three"), 1);
    expect_nothing();
}
END_TEST

START_TEST(the_agents_other_calls_wait_and_those_of_other_agents_do_not)
{
    asq_result *r = begin("u:5 z:3000"), *behind;

    wait_until_unloaded();
    ok(asq_call(walker, "add", &behind, "[i]", 1));
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    ck_assert_int_eq(result_int(behind), 6);
    expect_text(r, "");
    expect_nothing();
}
END_TEST

/* Returns a gauge of the workers; -1 until their figures have a call of Walker.add. */
static int64_t gauge_after_an_add(const char *name)
{
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *all = NULL;
    int64_t n = -1;

    options.last_ms = HOUR_MS;
    options.class_name = "Walker";
    options.method = "add";
    ok(asq_stats(H, &options, &all));
    if (asq_map_int(asq_list_get(asq_map_get(all, "methods"), 0), "calls") > 0)
        n = asq_map_int(asq_map_get(all, "now"), name);
    asq_value_free(all);
    return n;
}

START_TEST(a_call_that_sleeps_does_not_count_as_waiting)
{
    asq_result *r = begin("z:%d", HOUR_MS);

    wait_until_unloaded();
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    sup_wait_until(gauge_after_an_add("waiting") >= 0);
    ck_assert_int_eq(gauge_after_an_add("waiting"), 0);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    asq_result_free(r);
}
END_TEST

START_TEST(a_cancelled_call_is_told_in_its_sleep)
{
    asq_result *r = begin("w:one z:%d w:two", HOUR_MS);

    wait_until_unloaded();
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    ck_assert_int_eq(asleep(), 2);
    ck_assert_int_eq(walker_count("one"), 1);
    ck_assert_int_eq(walker_count("two"), 0);
    asq_result_free(r);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 1), 1);
    expect_nothing();
}
END_TEST

START_TEST(the_deadline_of_a_call_ends_its_sleep)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    char *script = sup_format("w:one z:%d", HOUR_MS);
    asq_result *r;

    options.deadline_ms = 5000;
    ok(asq_callv(walker, "run", &options, asq_pack("[s]", script), &r));
    free(script);
    wait_until_unloaded();
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_EDEADLINE);
    asq_result_free(r);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 1), 1);
    expect_nothing();
}
END_TEST

START_TEST(a_call_that_comes_from_it_loads_it)
{
    asq_result *r = begin("u:5 b:%s z:%d", asq_agent_id(peer), HOUR_MS);

    wait_until_unloaded();
    touch(walker_gate);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 0), 0); /* the one before has come back */
    ck_assert_int_eq(asleep(), 2);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    asq_result_free(r);
    ck_assert_int_eq(call_int(walker, "add", "[i]", 0), 6); /* of the inner call: 5 + 1 */
    expect_nothing();
}
END_TEST

START_TEST(the_next_owner_runs_it_when_it_is_due)
{
    asq_result *r = begin("w:one z:%d w:two", HOUR_MS);

    wait_until_unloaded();
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
    ck_assert_int_eq(call_int(peer, "add", "[i]", 1), 1);
    ck_assert_int_eq(count_calls(ASQ_CALLS_DELAYED), 1);
    ck_assert_int_eq(asleep(), 1);
    ok(asq_result_cancel(r));
    asq_result_wait(r, sup_limit_ms());
    ck_assert_code(asq_result_error(r)->code, ASQ_ECANCELED);
    ck_assert_int_eq(asleep(), 2);
    asq_result_free(r);
    expect_nothing();
}
END_TEST

/* ---- hand-overs ------------------------------------------------------------------------------ */

/* Calls sleep on the worker that ends, which has an hour for its calls. */
START_TEST(a_worker_that_ends_does_not_wait_for_sleeping_calls)
{
    enum { N = 20 };
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_agent *agents[N];
    asq_result *r[N];

    for (int i = 0; i < N; i++) {
        agents[i] = agent_new("Walker", NULL);
        ok(asq_call(agents[i], "run", &r[i], "[s]",
                    i % 2 ? "w:odd z:3600000 w:never" : "w:even z:4000 w:later"));
    }
    sup_wait_until(asq_poll(H, 0) >= 0 && asleep() == N);
    pid_t first = worker;
    options.id = "second";
    options.lease_time_ms = 1000;
    options.unload_after_ms = -1;
    worker = modes_fork_worker_with(sup_redis_url(redis), &options, list);
    modes_stop_worker(first);
    for (int i = 0; i < N; i++) {
        asq_agent *other = agent_new("Walker", NULL);
        ck_assert_int_eq(call_int(other, "add", "[i]", i), i);
        asq_agent_free(other);
    }
    for (int i = 0; i < N; i += 2) {
        asq_result_wait(r[i], sup_limit_ms());
        ck_assert_code(asq_result_error(r[i])->code, 0);
        asq_result_free(r[i]);
    }
    ck_assert_int_eq(walker_count("even"), N / 2);
    ck_assert_int_eq(walker_count("odd"), N / 2);
    ck_assert_int_eq(walker_count("later"), N / 2);
    for (int i = 1; i < N; i += 2) {
        ok(asq_result_cancel(r[i]));
        asq_result_wait(r[i], sup_limit_ms());
        ck_assert_code(asq_result_error(r[i])->code, ASQ_ECANCELED);
        asq_result_free(r[i]);
    }
    for (int i = 0; i < N; i++)
        asq_agent_free(agents[i]);
    ck_assert_int_eq(walker_count("never"), 0);
    expect_nothing();
}
END_TEST

/* ---- many deaths ----------------------------------------------------------------------------- */

enum { WORKERS = 3 };

static pid_t start_another(int *number)
{
    static const asq_class *const list[] = { &walker_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char id[20];

    snprintf(id, sizeof id, "m%d", ++*number);
    options.id = id;
    options.lease_time_ms = 1000;
    options.unload_after_ms = 500;
    return modes_fork_worker_with(sup_redis_url(redis), &options, list);
}

/* Returns which of the workers m1, m2, … owns the walker; 0: none does now. */
static int owner_number(void)
{
    asq_value *about = NULL;
    const char *owner;
    int number = 0;

    if (asq_show(H, asq_agent_id(walker), &about) == 0 &&
        asq_value_get_string(asq_map_get(about, "owner"), &owner, NULL) == 0)
        sscanf(owner, "m%d.", &number);
    asq_value_free(about);
    return number;
}

/* The owner ends each time, by SIGKILL with its supervisor, or in order. ASQ_TEST_STEPS and
 * ASQ_TEST_KILLS: how many steps and ends. */
START_TEST(each_step_is_recorded_once_wherever_its_owners_end)
{
    unsigned steps = (unsigned) steps_from("ASQ_TEST_STEPS", 60),
             kills = (unsigned) steps_from("ASQ_TEST_KILLS", 5);
    pid_t pids[WORKERS];
    int numbers[WORKERS], last = 0;

    steps_begin(steps_seed());
    modes_stop_worker(worker);
    worker = 0;
    for (int i = 0; i < WORKERS; i++) {
        pids[i] = start_another(&last);
        numbers[i] = last;
    }
    asq_result *r = begin("m:%u w:end", steps);
    for (unsigned k = 0; k < kills && !asq_result_done(r); k++) {
        int owner, at = 0;
        sup_wait_until(asq_poll(H, 0) >= 0 && (owner = owner_number()));
        for (int ms = (int) below(1500); ms > 0 && asq_poll(H, 10) >= 0; ms -= 10)
            ;
        while (at < WORKERS && numbers[at] != owner)
            at++;
        if (at == WORKERS)
            continue; /* it is about to end */
        if (below(3)) {
            char *id = sup_format("m%d.0", owner);
            pid_t process = sup_redis_worker_pid(redis, id);
            free(id);
            kill(pids[at], SIGKILL);
            kill(process, SIGKILL);
            waitpid(pids[at], NULL, 0);
        } else {
            modes_stop_worker(pids[at]);
        }
        pids[at] = start_another(&last);
        numbers[at] = last;
    }
    expect_text(r, "1 ");
    for (int i = 0; i < WORKERS; i++)
        modes_stop_worker(pids[i]);
    expect_nothing();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("unload");
    TCase *t = tcase_create("long sleeps"), *handovers = tcase_create("hand-overs"),
          *deaths = tcase_create("deaths");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 240);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_call_goes_on_from_its_records_when_its_sleep_is_over);
    tcase_add_test(t, sleeps_may_follow_each_other);
    tcase_add_test(t, the_agents_other_calls_wait_and_those_of_other_agents_do_not);
    tcase_add_test(t, a_call_that_sleeps_does_not_count_as_waiting);
    tcase_add_test(t, a_cancelled_call_is_told_in_its_sleep);
    tcase_add_test(t, the_deadline_of_a_call_ends_its_sleep);
    tcase_add_test(t, a_call_that_comes_from_it_loads_it);
    tcase_add_test(t, the_next_owner_runs_it_when_it_is_due);
    suite_add_tcase(s, t);
    tcase_set_timeout(handovers, 240);
    tcase_add_checked_fixture(handovers, set_up_parked, tear_down);
    tcase_add_test(handovers, a_worker_that_ends_does_not_wait_for_sleeping_calls);
    suite_add_tcase(s, handovers);
    tcase_set_timeout(deaths, (double) steps_from("ASQ_TEST_TIMEOUT", 240));
    tcase_add_checked_fixture(deaths, set_up, tear_down);
    tcase_add_test(deaths, each_step_is_recorded_once_wherever_its_owners_end);
    suite_add_tcase(s, deaths);
    return sup_suite_run(s);
}
