/*
 * check_pause.c: calls of what is paused wait, and none is lost; calls that have begun end, with
 * all that they call; a pause outlives workers and Redis, and reaches workers that hear no
 * announcement.
 */
#include "logged.h"
#include "modes.h"
#include "support/suite.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "classes.h"

enum { AGENTS = 8, CALLS = 5 };

static const char *begun, *release;

/* ---- a class of this test: waits, then calls ---- */

/* run(begun, release, agent, method): makes a file, waits for another, and calls the agent. */
static int stepper_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *made, *awaited, *method;
    const asq_value *target;
    asq_agent *agent;
    (void) self;
    int rc = asq_args(ctx, args, "[s, s, O, s]", &made, &awaited, &target, &method);
    if (rc < 0)
        return rc;
    touch(made);
    while (access(awaited, F_OK) < 0)
        if ((rc = asq_ctx_sleep(ctx, 5)) < 0)
            return rc;
    if ((rc = asq_attach_value(asq_ctx_handle(ctx), target, &agent)) < 0)
        return rc;
    rc = asq_call_wait(agent, method, ret, "[i]", 1);
    asq_agent_free(agent);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx))) : 0;
}

static const asq_method stepper_methods[] = { { "run", stepper_run, NULL, 0, NULL }, { 0 } };
static const asq_class stepper_class = { ASQ_CLASS_INIT, .name = "Stepper",
                                         .methods = stepper_methods };
static const asq_class *const served[] = { &counter_class, &echo_class, &stepper_class, NULL };

/* ---- fixture ---- */

enum { PROCESSES = 2 };

static void start_worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.lease_time_ms = 2000;
    options.capacity = 4;
    options.processes = PROCESSES;
    options.partitions = 16;
    logged_start_worker(NULL, &options, served);
}

static void kill_worker(void)
{
    kill(-worker, SIGKILL);
    waitpid(worker, NULL, 0);
    worker = 0;
}

static void set_up(void)
{
    static const char *const durable[] = { "appendonly yes", "appendfsync always", NULL };
    logged_set_up_with(durable);
    begun = logged_file("begun");
    release = logged_file("release");
    logged_open();
    start_worker();
}

static void tear_down(void)
{
    logged_tear_down();
}

/* Returns whether each live worker has told that it obeys so many pauses. */
static bool all_obey(int64_t n)
{
    asq_value *list;
    size_t alive = 0, obeying = 0;
    ck_assert_msg(asq_workers_live(H, &list) == 0, "%s", asq_errmsg(H));
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *w = asq_list_get(list, i);
        bool is_alive = false;
        asq_value_get_bool(asq_map_get(w, "alive"), &is_alive);
        alive += is_alive;
        obeying += is_alive && asq_map_get(w, "paused") && asq_map_int(w, "paused") == n;
    }
    asq_value_free(list);
    return alive == PROCESSES && obeying == alive;
}

static void pause_all_of(const char *class_name, int64_t n)
{
    ck_assert_msg(asq_pause(H, class_name) == 0, "%s", asq_errmsg(H));
    sup_wait_until(all_obey(n));
}

struct count {
    size_t n, told;
    const char *why;
};

static int count_call(const asq_value *call, void *user)
{
    struct count *count = user;
    const char *why = "";
    asq_value_get_string(asq_map_get(call, "why"), &why, NULL);
    count->n++;
    count->told += count->why && strcmp(why, count->why) == 0;
    return 0;
}

static size_t waiting(const char *why)
{
    struct count count = { .why = why };
    ck_assert_msg(
        asq_calls_each(H, ASQ_CALLS_WAITING, NULL, NULL, sup_limit_ms(), count_call, &count) == 0,
        "%s", asq_errmsg(H));
    return why ? count.told : count.n;
}

static int64_t value_of(const char *id)
{
    asq_value *shown;
    ck_assert_msg(asq_show(H, id, &shown) == 0, "%s", asq_errmsg(H));
    int64_t value = asq_map_int(asq_map_get(shown, "state"), "value");
    asq_value_free(shown);
    return value;
}

static asq_agent *make(const char *class_name, const char *id)
{
    asq_agent *a;
    ck_assert_int_eq(asq_create(H, class_name, id, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}

static void must_give(asq_result *r)
{
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    ck_assert_msg(asq_result_error(r)->code == 0, "%s", asq_result_error(r)->message);
    asq_result_free(r);
}

static int code_of(asq_result *r)
{
    asq_result_wait(r, sup_limit_ms());
    ck_assert(asq_result_done(r));
    int code = asq_result_error(r)->code;
    asq_result_free(r);
    return code;
}

/* ---- calls that wait ---- */

/* Makes calls to agents of a class: plain, delayed, and ones that fail in their first run. */
static void call_all(asq_agent *const *agents, asq_result **results)
{
    const asq_retry retry = { ASQ_RETRY_INIT, .attempts = 3, .delay_ms = 1 };
    asq_call_options late = ASQ_CALL_OPTIONS_INIT, again = ASQ_CALL_OPTIONS_INIT;
    late.delay_ms = 1;
    again.retry = &retry;
    for (int i = 0; i < AGENTS * CALLS; i++) {
        int rc = i % 5 == 4 ? asq_callv(agents[i / CALLS], "stubborn", &again,
                                        asq_pack("[i, i]", 0, 2), &results[i])
                            : asq_callv(agents[i / CALLS], "add", i % 5 == 3 ? &late : NULL,
                                        asq_pack("[i]", 1), &results[i]);
        ck_assert_int_eq(rc, 0);
    }
    ck_assert_int_eq(asq_flush(H, sup_limit_ms()), 0);
}

static void check_all(asq_result **results)
{
    for (int i = 0; i < AGENTS * CALLS; i++)
        must_give(results[i]);
}

START_TEST(calls_of_a_paused_class_wait_through_the_deaths_of_workers_and_redis)
{
    asq_agent *agents[AGENTS], *echo = make("Echo", "echo");
    asq_result *results[AGENTS * CALLS];
    char id[16];
    for (int i = 0; i < AGENTS; i++) {
        snprintf(id, sizeof id, "c%d", i);
        agents[i] = make("Counter", id);
    }
    pause_all_of("Counter", 1);
    ck_assert_int_ge(logged_count("class Counter is paused"), 1);
    call_all(agents, results);
    sup_wait_until(waiting("is not started, because class Counter is paused (as-ctl resume)") ==
                   AGENTS * CALLS);
    /* Other classes go on. */
    ck_assert_int_eq(asq_call_wait(echo, "nothing", NULL, NULL), 0);

    kill_worker();
    start_worker();
    sup_wait_until(all_obey(1));
    ck_assert_int_eq(asq_call_wait(echo, "nothing", NULL, NULL), 0);
    sup_redis_kill(redis);
    sup_redis_restart(redis);
    sup_wait_until(all_obey(1));
    ck_assert_int_eq(asq_call_wait(echo, "nothing", NULL, NULL), 0);
    kill_worker();
    start_worker();
    sup_wait_until(all_obey(1));

    sup_wait_until(waiting(NULL) == AGENTS * CALLS);
    for (int i = 0; i < AGENTS; i++) {
        snprintf(id, sizeof id, "c%d", i);
        ck_assert_int_eq(value_of(id), 0);
    }
    for (int i = 0; i < AGENTS * CALLS; i++)
        ck_assert(!asq_result_done(results[i]));
    ck_assert_int_eq(asq_resume(H, "Counter"), 0);
    check_all(results);
    ck_assert_int_ge(logged_count("class Counter is not paused any more"), 1);
    for (int i = 0; i < AGENTS; i++) {
        snprintf(id, sizeof id, "c%d", i);
        /* Four add 1; the fifth, whenever it comes, makes ten times the value of it. */
        ck_assert_int_ge(value_of(id), 4);
        ck_assert_int_eq(value_of(id) % 10 + value_of(id) / 10 % 10, 4);
        asq_agent_free(agents[i]);
    }
    asq_agent_free(echo);
}
END_TEST

START_TEST(a_pause_of_the_namespace_holds_all_but_what_has_begun_and_its_calls)
{
    asq_agent *counter = make("Counter", "c"), *stepper = make("Stepper", "s"), *other;
    asq_result *run, *add, *made;
    asq_value *agent = asq_value_agent(counter);
    ck_assert_int_eq(asq_call(stepper, "run", &run, "[s, s, o, s]", begun, release, agent, "add"),
                     0);
    sup_wait_until(exists(begun));
    pause_all_of(NULL, 1);
    ck_assert_int_ge(logged_count("namespace 'default' is paused"), 1);
    ck_assert_int_eq(asq_call(counter, "add", &add, "[i]", 10), 0);
    ck_assert_int_eq(asq_create(H, "Counter", "late", &other, NULL), 0);
    ck_assert_int_eq(asq_call(other, "add", &made, "[i]", 1), 0);
    sup_wait_until(waiting("is not started, because the namespace is paused (as-ctl resume)") == 3);
    touch(release); /* the run goes on, and its call overtakes the one that waits */
    must_give(run);
    ck_assert_int_eq(value_of("c"), 1);
    ck_assert(!asq_result_done(add) && !asq_result_done(made));
    ck_assert_int_eq(asq_resume(H, NULL), 0);
    must_give(add);
    must_give(made);
    ck_assert_int_eq(value_of("c"), 11);
    ck_assert_int_eq(value_of("late"), 1);
    asq_agent_free(counter);
    asq_agent_free(stepper);
    asq_agent_free(other);
}
END_TEST

START_TEST(a_creation_for_which_a_call_of_a_method_waits_is_not_held)
{
    asq_agent *stepper = make("Stepper", "s"), *late;
    asq_result *run;
    ck_assert_int_eq(asq_pause(H, "Counter"), 0);
    sup_wait_until(all_obey(1));
    ck_assert_int_eq(asq_create(H, "Counter", "late", &late, NULL), 0);
    ck_assert_int_eq(asq_flush(H, sup_limit_ms()), 0);
    sup_wait_until(waiting(NULL) == 1);
    touch(release);
    ck_assert_int_eq(asq_call(stepper, "run", &run, "[s, s, o, s]", begun, release,
                              asq_value_agent(late), "add"),
                     0);
    must_give(run);
    ck_assert_int_eq(value_of("late"), 1);
    asq_agent_free(stepper);
    asq_agent_free(late);
}
END_TEST

START_TEST(deadlines_and_cancels_end_calls_that_wait)
{
    asq_agent *counter = make("Counter", "c");
    asq_call_options soon = ASQ_CALL_OPTIONS_INIT;
    asq_result *first, *due, *cancelled, *last;
    soon.deadline_ms = 50;
    pause_all_of("Counter", 1);
    ck_assert_int_eq(asq_call(counter, "add", &first, "[i]", 1), 0);
    ck_assert_int_eq(asq_callv(counter, "add", &soon, asq_pack("[i]", 100), &due), 0);
    ck_assert_int_eq(asq_call(counter, "add", &cancelled, "[i]", 100), 0);
    ck_assert_int_eq(asq_call(counter, "add", &last, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_cancel(cancelled), 0);
    ck_assert_int_eq(code_of(due), ASQ_EDEADLINE);
    ck_assert_int_eq(code_of(cancelled), ASQ_ECANCELED);
    ck_assert(!asq_result_done(first) && !asq_result_done(last));
    ck_assert_int_eq(asq_resume(H, "Counter"), 0);
    must_give(first);
    must_give(last);
    ck_assert_int_eq(value_of("c"), 2);
    asq_agent_free(counter);
}
END_TEST

START_TEST(a_deadline_ends_a_call_to_an_agent_that_no_worker_has_in_memory)
{
    asq_agent *counter = make("Counter", "c");
    asq_call_options soon = ASQ_CALL_OPTIONS_INIT;
    asq_result *due, *last;
    soon.deadline_ms = 50;
    ck_assert_int_eq(asq_pause(H, NULL), 0);
    kill_worker();
    start_worker();
    sup_wait_until(all_obey(1));
    ck_assert_int_eq(asq_callv(counter, "add", &soon, asq_pack("[i]", 100), &due), 0);
    ck_assert_int_eq(asq_call(counter, "add", &last, "[i]", 1), 0);
    ck_assert_int_eq(code_of(due), ASQ_EDEADLINE);
    ck_assert(!asq_result_done(last));
    ck_assert_int_eq(asq_resume(H, NULL), 0);
    must_give(last);
    ck_assert_int_eq(value_of("c"), 1);
    asq_agent_free(counter);
}
END_TEST

START_TEST(a_call_that_its_worker_died_of_waits_before_it_runs_again)
{
    asq_agent *counter = make("Counter", "c"), *stepper = make("Stepper", "s");
    asq_result *run;
    ck_assert_int_eq(asq_call(stepper, "run", &run, "[s, s, o, s]", begun, release,
                              asq_value_agent(counter), "add"),
                     0);
    sup_wait_until(exists(begun));
    ck_assert_int_eq(asq_pause(H, NULL), 0);
    kill_worker();
    touch(release);
    start_worker();
    sup_wait_until(all_obey(1));
    sup_wait_until(waiting(NULL) == 1);
    ck_assert_int_eq(value_of("c"), 0);
    ck_assert_int_eq(asq_resume(H, NULL), 0);
    must_give(run);
    ck_assert_int_eq(value_of("c"), 1);
    asq_agent_free(counter);
    asq_agent_free(stepper);
}
END_TEST

/* ---- the key is the truth ---- */

START_TEST(a_change_that_nobody_announces_is_seen_all_the_same)
{
    asq_agent *counter = make("Counter", "c");
    asq_result *add;
    sup_redis_do(redis, "HSET asq:{default}:paused Counter 5 Counter! 5 Other x");
    sup_wait_until(all_obey(2)); /* what is no class is ignored */
    ck_assert_int_eq(asq_call(counter, "add", &add, "[i]", 1), 0);
    sup_wait_until(waiting("is not started, because class Counter is paused (as-ctl resume)") == 1);
    sup_redis_do(redis, "DEL asq:{default}:paused");
    must_give(add);
    sup_redis_do(redis, "SET asq:{default}:paused nonsense");
    sup_wait_until(logged_count("paused cannot be read") >= 1);
    ck_assert_int_eq(asq_call_wait(counter, "add", NULL, "[i]", 1), 0);
    ck_assert_int_eq(asq_pause(H, "Counter"), ASQ_EREDIS);
    asq_agent_free(counter);
}
END_TEST

START_TEST(what_is_paused_is_listed)
{
    asq_value *list;
    ck_assert_int_eq(asq_paused(H, &list), 0);
    ck_assert_uint_eq(asq_list_size(list), 0);
    asq_value_free(list);
    pause_all_of("Counter", 1);
    pause_all_of("Counter", 1); /* no change */
    pause_all_of("Absent", 2);
    pause_all_of(NULL, 3);
    ck_assert_int_eq(asq_paused(H, &list), 0);
    ck_assert_uint_eq(asq_list_size(list), 3);
    const char *const names[] = { NULL, "Absent", "Counter" };
    for (size_t i = 0; i < 3; i++) {
        const asq_value *row = asq_list_get(list, i);
        const char *name = NULL;
        asq_value_get_string(asq_map_get(row, "class"), &name, NULL);
        if (names[i])
            ck_assert_str_eq(name, names[i]);
        else
            ck_assert_ptr_null(name);
        ck_assert_int_gt(asq_map_int(row, "since"), 1600000000);
        ck_assert_int_ge(asq_map_int(row, "since_ms_ago"), 0);
    }
    asq_value_free(list);
    ck_assert_int_eq(asq_resume(H, NULL), 0);
    ck_assert_int_eq(asq_resume(H, NULL), 0); /* no error */
    sup_wait_until(all_obey(2));
    ck_assert_int_eq(asq_resume(H, "Absent"), 0);
    ck_assert_int_eq(asq_resume(H, "Counter"), 0);
    sup_wait_until(all_obey(0));
}
END_TEST

START_TEST(what_cannot_be_paused_is_refused)
{
    char err[200];
    asq *local;
    asq_value *list;
    ck_assert_int_eq(asq_pause(NULL, NULL), ASQ_EINVAL);
    ck_assert_int_eq(asq_paused(H, NULL), ASQ_EINVAL);
    ck_assert_int_eq(asq_pause(H, ""), ASQ_EINVAL);
    ck_assert_int_eq(asq_pause(H, "*"), ASQ_EINVAL);
    ck_assert_int_eq(asq_resume(H, "a b"), ASQ_EINVAL);
    ck_assert_int_eq(asq_open("local:", NULL, &local, err, sizeof err), 0);
    ck_assert_int_eq(asq_pause(local, NULL), ASQ_ENOTSUP);
    ck_assert_ptr_nonnull(strstr(asq_errmsg(local), "in local mode"));
    ck_assert_int_eq(asq_resume(local, "Counter"), ASQ_ENOTSUP);
    ck_assert_int_eq(asq_paused(local, &list), ASQ_ENOTSUP);
    asq_close(local);
    for (int i = 0; i < 1000; i++)
        sup_redis_do(redis, "HSET asq:{default}:paused C%d 5", i);
    ck_assert_int_eq(asq_pause(H, "Counter"), ASQ_ELIMIT);
    ck_assert_int_eq(asq_pause(H, "C7"), 0); /* is paused already */
    ck_assert_int_eq(asq_pause(H, NULL), 0);
    sup_wait_until(all_obey(1001));
    ck_assert_int_eq(asq_pause(H, NULL), 0);
    ck_assert_int_eq(asq_pause(H, "Counter"), ASQ_ELIMIT);
}
END_TEST

/* The order of the fields is by chance. */
START_TEST(a_pause_of_the_namespace_is_seen_among_any_number_of_classes)
{
    asq_value *list;
    sup_redis_do(redis, "EVAL %s 1 asq:{default}:paused",
                 "for i = 1, 3000 do redis.call('HSET', KEYS[1], 'C' .. i, 5) end");
    for (int i = 0; i < 20; i++) {
        sup_redis_do(redis, "HDEL asq:{default}:paused *");
        sup_redis_do(redis, "HSET asq:{default}:paused E%d 5", i);
        ck_assert_int_eq(asq_pause(H, NULL), 0);
        ck_assert_int_eq(asq_paused(H, &list), 0);
        ck_assert_uint_eq(asq_list_size(list), 1001);
        ck_assert_int_eq(asq_value_type(asq_map_get(asq_list_get(list, 0), "class")), ASQ_NULL);
        asq_value_free(list);
    }
    sup_wait_until(all_obey(1001));
}
END_TEST

int main(void)
{
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    TCase *tc = tcase_create("pause");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, calls_of_a_paused_class_wait_through_the_deaths_of_workers_and_redis);
    tcase_add_test(tc, a_pause_of_the_namespace_holds_all_but_what_has_begun_and_its_calls);
    tcase_add_test(tc, a_creation_for_which_a_call_of_a_method_waits_is_not_held);
    tcase_add_test(tc, deadlines_and_cancels_end_calls_that_wait);
    tcase_add_test(tc, a_deadline_ends_a_call_to_an_agent_that_no_worker_has_in_memory);
    tcase_add_test(tc, a_call_that_its_worker_died_of_waits_before_it_runs_again);
    tcase_add_test(tc, a_change_that_nobody_announces_is_seen_all_the_same);
    tcase_add_test(tc, what_is_paused_is_listed);
    tcase_add_test(tc, what_cannot_be_paused_is_refused);
    tcase_add_test(tc, a_pause_of_the_namespace_is_seen_among_any_number_of_classes);
    tcase_set_timeout(tc, 300);
    Suite *s = suite_create("pause");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
