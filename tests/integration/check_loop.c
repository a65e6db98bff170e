/*
 * check_loop.c: handles on a libev loop of the program, which they never block.
 */
#include "load.h"
#include "support/suite.h"

#include <ev.h>
#include <stdio.h>
#include <stdlib.h>

static sup_redis *redis;
static pid_t worker;
static struct ev_loop *loop;
static asq *h;
static ev_timer limit, ticker;
static int ticks, completed;

static void on_limit(struct ev_loop *l, ev_timer *t, int revents)
{
    (void) l, (void) t, (void) revents;
    sup_fail("the loop has not come to an end");
}

static void on_tick(struct ev_loop *l, ev_timer *t, int revents)
{
    (void) l, (void) t, (void) revents;
    ticks++;
}

static void set_up(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.drain_timeout_ms = 500; /* some naps are not waited for */
    redis = sup_redis_start(NULL);
    worker = load_worker(sup_redis_url(redis), &options);
    h = load_open(sup_redis_url(redis));
    loop = ev_loop_new(EVFLAG_AUTO);
    ev_timer_init(&limit, on_limit, (double) sup_limit_ms() / 1000, 0.);
    ev_timer_start(loop, &limit);
    ev_timer_init(&ticker, on_tick, 0.001, 0.001);
    ev_timer_start(loop, &ticker);
    ticks = completed = 0;
    ck_assert_int_eq(asq_attach_ev(h, loop), 0);
}

static void tear_down(void)
{
    asq_close(h);
    ev_loop_destroy(loop);
    load_worker_stop(worker);
    sup_redis_free(redis);
}

/* Runs the loop until *n has reached goal. */
static void run_until(const int *n, int goal)
{
    while (*n < goal)
        ev_run(loop, EVRUN_ONCE);
}

static void count(asq_result *r, void *user)
{
    ck_assert_msg(asq_result_error(r)->code == 0, "%s", asq_result_error(r)->message);
    ++*(int *) user;
    asq_result_free(r);
}

static asq_agent *create(const char *cls)
{
    asq_agent *a;

    ck_assert_int_eq(asq_create(h, cls, NULL, &a, NULL), 0);
    return a;
}

static void call(asq_agent *a, const char *method, int argument)
{
    asq_result *r;

    ck_assert_int_eq(asq_call(a, method, &r, "[i]", argument), 0);
    ck_assert_int_eq(asq_result_then(r, count, &completed), 0);
}

START_TEST(calls_complete_while_the_loop_does_other_things)
{
    enum { N = 500 };
    asq_agent *a = create("Counter"), *e = create("Echo");

    call(e, "nap", 300);
    for (int i = 0; i < N; i++)
        call(a, "add", 1);
    run_until(&completed, N + 1);
    ck_assert_int_gt(ticks, 3); /* the nap alone lasts for many ticks */
    asq_agent_free(a);
    asq_agent_free(e);
}
END_TEST

static int refused;

static void wait_inside(asq_result *r, void *user)
{
    asq_agent *a = user;
    asq_result *other;

    ck_assert_int_eq(asq_result_error(r)->code, 0);
    ck_assert_int_eq(asq_call(a, "add", &other, "[i]", 1), 0);
    refused = asq_result_wait(other, 1000);
    ck_assert_int_eq(asq_result_then(other, count, &completed), 0);
    asq_result_free(r);
}

START_TEST(a_wait_that_would_stop_the_loop_is_refused)
{
    asq_agent *a = create("Counter");
    asq_result *r;

    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    ck_assert_int_eq(asq_result_then(r, wait_inside, a), 0);
    run_until(&completed, 1);
    ck_assert_int_eq(refused, ASQ_ESTATE);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_handle_goes_on_after_it_was_detached)
{
    asq_agent *a = create("Counter");

    call(a, "add", 1);
    ck_assert_int_eq(asq_attach_ev(h, loop), ASQ_ESTATE);
    ck_assert_int_eq(asq_detach_ev(h), 0);
    ck_assert_int_eq(asq_detach_ev(h), ASQ_ESTATE);
    ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
    ck_assert_int_eq(completed, 1);
    ck_assert_int_eq(asq_attach_ev(h, loop), 0);
    call(a, "add", 1);
    run_until(&completed, 2);
    asq_agent_free(a);
}
END_TEST

START_TEST(two_handles_share_a_loop)
{
    asq *other = load_open(sup_redis_url(redis));
    asq_agent *a = create("Counter"), *b;
    int of_other = 0;

    ck_assert_int_eq(asq_attach_ev(other, loop), 0);
    ck_assert_int_eq(asq_create(other, "Counter", NULL, &b, NULL), 0);
    for (int i = 0; i < 50; i++) {
        asq_result *r;
        call(a, "add", 1);
        ck_assert_int_eq(asq_call(b, "add", &r, "[i]", 1), 0);
        ck_assert_int_eq(asq_result_then(r, count, &of_other), 0);
    }
    run_until(&completed, 50);
    run_until(&of_other, 50);
    asq_agent_free(b);
    asq_close(other);
    call(a, "add", 1);
    run_until(&completed, 51);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_lost_connection_comes_back_by_itself)
{
    asq_agent *a = create("Counter");

    call(a, "add", 1);
    run_until(&completed, 1);
    for (int i = 0; i < 5; i++) {
        call(a, "add", 1);
        sup_redis_do(redis, i % 2 ? "CLIENT KILL TYPE normal SKIPME yes"
                                  : "CLIENT KILL TYPE pubsub SKIPME yes");
        call(a, "add", 1);
        run_until(&completed, 3 + 2 * i);
    }
    ck_assert_int_eq(asq_detach_ev(h), 0);
    asq_value *v;
    int64_t n;
    ck_assert_int_eq(asq_call_wait(a, "read", &v, NULL), 0);
    ck_assert_int_eq(asq_value_get_int(v, &n), 0);
    ck_assert_int_eq(n, 11);
    asq_value_free(v);
    asq_agent_free(a);
}
END_TEST

static void closed(asq_result *r, void *user)
{
    ck_assert_int_eq(asq_result_error(r)->code, ASQ_ECLOSED);
    ++*(int *) user;
    asq_result_free(r);
}

START_TEST(closing_an_attached_handle_leaves_the_loop_alone)
{
    asq *other = load_open(sup_redis_url(redis));
    asq_agent *e;
    asq_result *r;

    ck_assert_int_eq(asq_attach_ev(other, loop), 0);
    ck_assert_int_eq(asq_create(other, "Echo", NULL, &e, NULL), 0);
    ck_assert_int_eq(asq_call(e, "nap", &r, "[i]", 3600000), 0);
    ck_assert_int_eq(asq_result_then(r, closed, &completed), 0);
    asq_agent_free(e);
    asq_close(other);
    ck_assert_int_eq(completed, 1);
    int before = ticks;
    run_until(&ticks, before + 5);
}
END_TEST

static void close_inside(asq_result *r, void *user)
{
    asq_close(user);
    ++completed;
    asq_result_free(r);
}

START_TEST(a_callback_may_close_the_handle)
{
    for (int way = 0; way < 2; way++) {
        asq *other = load_open(sup_redis_url(redis));
        asq_agent *a;
        asq_result *r, *never;
        int ended = 0;

        completed = 0;
        ck_assert_int_eq(asq_attach_ev(other, loop), 0);
        ck_assert_int_eq(asq_create(other, "Counter", NULL, &a, NULL), 0);
        ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
        ck_assert_int_eq(asq_result_then(r, close_inside, other), 0);
        asq_agent_free(a);
        ck_assert_int_eq(asq_create(other, "Echo", NULL, &a, NULL), 0);
        ck_assert_int_eq(asq_call(a, "nap", &never, "[i]", 3600000), 0);
        ck_assert_int_eq(asq_result_then(never, closed, &ended), 0);
        asq_agent_free(a);
        /* by the loop, because the program has no other hold on the handle */
        if (way == 0)
            run_until(&completed, 1);
        while (!completed)
            ck_assert_int_gt(asq_poll(other, sup_limit_ms()), 0);
        ck_assert_int_eq(completed, 1);
        ck_assert_int_eq(ended, 1);
    }
    int before = ticks;
    run_until(&ticks, before + 5);
}
END_TEST

static void detach_inside(asq_result *r, void *user)
{
    ck_assert_int_eq(asq_detach_ev(user), 0);
    ++completed;
    asq_result_free(r);
}

START_TEST(a_callback_may_detach_the_loop)
{
    asq_agent *a = create("Counter");
    asq_result *r;

    for (int i = 0; i < 6; i++) {
        completed = 0;
        ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
        ck_assert_int_eq(asq_result_then(r, detach_inside, h), 0);
        if (i % 2)
            run_until(&completed, 1);
        else
            ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
        ck_assert_int_eq(completed, 1);
        ck_assert_int_eq(asq_call_wait(a, "add", NULL, "[i]", 1), 0);
        ck_assert_int_eq(asq_attach_ev(h, loop), 0);
    }
    asq_agent_free(a);
}
END_TEST

/* ---- functions for operators, during which the handle is closed ------------------------------ */

static int ping(void)
{
    return asq_ping(h, NULL);
}

static int list_workers(void)
{
    asq_value *v = NULL;
    int rc = asq_workers(h, &v);
    asq_value_free(v);
    return rc;
}

static int list_classes(void)
{
    asq_value *v = NULL;
    int rc = asq_classes(h, &v);
    asq_value_free(v);
    return rc;
}

static int stop_worker(void)
{
    return asq_stop_worker(h, "nobody");
}

static int list_agents(void)
{
    asq_value *v = NULL;
    int rc = asq_agents(h, "Counter", &v);
    asq_value_free(v);
    return rc;
}

static int show_agent(void)
{
    asq_value *v = NULL;
    int rc = asq_show(h, "nobody", &v);
    asq_value_free(v);
    return rc;
}

static int list_dead(void)
{
    asq_value *v = NULL;
    int rc = asq_dead_list(h, 0, &v);
    asq_value_free(v);
    return rc;
}

static int show_dead(void)
{
    asq_value *v = NULL;
    int rc = asq_dead_show(h, "0-1-1", &v);
    asq_value_free(v);
    return rc;
}

static int retry_dead(void)
{
    return asq_dead_retry(h, "0-1-1", NULL);
}

static int drop_dead(void)
{
    return asq_dead_drop(h, "0-1-1");
}

static int (*const admin[])(void) = { ping,        list_workers, list_classes, stop_worker,
                                      list_agents, show_agent,   list_dead,    show_dead,
                                      retry_dead,  drop_dead };
enum { ADMIN = sizeof admin / sizeof *admin };

static void close_handle(asq_result *r, void *user)
{
    (void) user;
    asq_result_free(r);
    ck_assert_int_eq(asq_close(h), 0);
    completed++;
}

static void close_from_watcher(struct ev_loop *l, ev_prepare *p, int revents)
{
    (void) revents;
    ev_prepare_stop(l, p);
    ck_assert_int_eq(asq_close(h), 0);
    completed++;
}

static bool is_closed_or_answered(int rc)
{
    return rc == ASQ_ECLOSED || rc == ASQ_ENOENT || rc == ASQ_ENOAGENT || rc == 0;
}

/* The result arrives while one of the functions runs the loop. If the function's answer arrives in
 * the same iteration, it counts. */
START_TEST(a_callback_may_close_the_handle_while_an_operators_function_waits)
{
    asq_agent *a = create("Counter");
    asq_result *r;
    int rc = 0;

    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", 1), 0);
    asq_agent_free(a);
    ck_assert_int_eq(asq_result_then(r, close_handle, NULL), 0);
    ck_assert_int_eq(completed, 0);
    while (!completed)
        rc = admin[_i]();
    ck_assert_msg(is_closed_or_answered(rc), "%s", asq_error_name(rc));
    h = NULL;
}
END_TEST

/* If the answer arrives in the same iteration of the loop, it counts. */
START_TEST(a_watcher_may_close_the_handle_while_an_operators_function_waits)
{
    ev_prepare watcher;

    ev_prepare_init(&watcher, close_from_watcher);
    ev_prepare_start(loop, &watcher);
    int rc = admin[_i]();
    ck_assert_msg(is_closed_or_answered(rc), "%s", asq_error_name(rc));
    ck_assert_int_eq(completed, 1);
    h = NULL;
}
END_TEST

static int close_at_agent(const asq_value *agent, void *user)
{
    (void) agent;
    ++*(int *) user;
    ck_assert_int_eq(asq_close(h), 0);
    return 0;
}

START_TEST(the_handle_may_be_closed_by_the_function_that_is_given_its_agents)
{
    asq_agent *agents[2] = { create("Counter"), create("Counter") };
    int given = 0;

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(asq_ready(agents[i], sup_limit_ms()), 0);
        asq_agent_free(agents[i]);
    }
    ck_assert_int_eq(asq_agents_each(h, NULL, NULL, ASQ_FOREVER, close_at_agent, &given),
                     ASQ_ECLOSED);
    ck_assert_int_eq(given, 1);
    h = NULL;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("loop");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, calls_complete_while_the_loop_does_other_things);
    tcase_add_test(t, a_wait_that_would_stop_the_loop_is_refused);
    tcase_add_test(t, a_handle_goes_on_after_it_was_detached);
    tcase_add_test(t, two_handles_share_a_loop);
    tcase_add_test(t, a_lost_connection_comes_back_by_itself);
    tcase_add_test(t, closing_an_attached_handle_leaves_the_loop_alone);
    tcase_add_test(t, a_callback_may_close_the_handle);
    tcase_add_test(t, a_callback_may_detach_the_loop);
    tcase_add_loop_test(t, a_callback_may_close_the_handle_while_an_operators_function_waits, 0,
                        ADMIN);
    tcase_add_loop_test(t, a_watcher_may_close_the_handle_while_an_operators_function_waits, 0,
                        ADMIN);
    tcase_add_test(t, the_handle_may_be_closed_by_the_function_that_is_given_its_agents);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
