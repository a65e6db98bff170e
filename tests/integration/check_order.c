/*
 * check_order.c: calls of one caller to one agent run in the order in which they were made,
 * whatever delays the first of them: a process that died of it, a failed run, inputs that have not
 * arrived. So no call reaches an agent before its creation does. Also tests blame for a death: a
 * creation that is not committed yet is not given up because of a call that ran beside it.
 */
#include "logged.h"
#include "modes.h"
#include "support/file_lines.h"
#include "support/suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS = 5 };

static const char *runs_path, *begun, *go;

static void note(const char *text)
{
    sup_file_add(runs_path, text);
}

static size_t count(const char *path, const char *line)
{
    char *text = sup_read_file(path), *rest = text;
    size_t n = 0;

    for (char *at; (at = strsep(&rest, "\n"));)
        n += strcmp(at, line) == 0;
    free(text);
    return n;
}

/* ---- Frail: kills its processes -------------------------------------------------------------- */

static int frail_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    const char *how = NULL;

    (void) ret_self;
    asq_value_get_string(asq_map_get(args, "how"), &how, NULL);
    note("create");
    if (how && strcmp(how, "die") == 0 && count(runs_path, "create") == 1)
        kill(getpid(), SIGKILL);
    if (how && strcmp(how, "occupy") == 0 && count(runs_path, "create") == 1) {
        touch(begun);
        for (;;)
            sleep(1);
    }
    if (how && strcmp(how, "wait") == 0 && count(runs_path, "create") == 1) {
        touch(begun);
        sup_wait_until(exists(go));
        note("created");
    }
    return asq_map_set_int(asq_ctx_state(ctx), "n", 0);
}

static int frail_add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n = asq_map_int(asq_ctx_state(ctx), "n") + 1;

    (void) self, (void) args;
    note("add");
    *ret = asq_value_int(n);
    return asq_map_set_int(asq_ctx_state(ctx), "n", n);
}

/* Lets a creation return, and ends the process before the loop can commit it. */
static int frail_kill_loop(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    touch(go);
    sup_wait_until(count(runs_path, "created") > 0);
    sup_sleep_ms(500);
    kill(getpid(), SIGKILL);
    return 0;
}

static int frail_occupy_loop(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    for (;;)
        sleep(1);
    return 0;
}

static int frail_end_thread(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    pthread_exit(NULL);
    return 0;
}

/* Sets its state to 10 while it calls itself; the process dies there in the first run. */
static int frail_outer(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_agent *me;
    int rc = asq_map_set_int(asq_ctx_state(ctx), "n", 10);

    (void) self, (void) args, (void) ret;
    note("outer");
    if (rc < 0 || (rc = asq_ctx_self(ctx, &me)) < 0)
        return rc;
    if ((rc = asq_send(me, "add", NULL)) == 0)
        rc = asq_flush(asq_ctx_handle(ctx), sup_limit_ms());
    if (rc == 0 && count(runs_path, "outer") == 1)
        kill(getpid(), SIGKILL);
    asq_agent_free(me);
    return rc;
}

/* Has an effect on another agent. In the first run the process dies before the effect on its own
 * agent. */
static int frail_pay(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id;
    asq_agent *other;
    int rc = asq_args(ctx, args, "[s]", &id);

    (void) self, (void) ret;
    note("pay");
    if (rc < 0 || (rc = asq_attach(asq_ctx_handle(ctx), id, &other)) < 0)
        return rc;
    rc = asq_call_wait(other, "add", NULL, NULL);
    asq_agent_free(other);
    if (rc == 0 && count(runs_path, "pay") == 1)
        kill(getpid(), SIGKILL);
    return rc;
}

static int frail_flaky(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args, (void) ret;
    note("flaky");
    return asq_ctx_attempt(ctx) < 3 ? asq_fail(ctx, ASQ_EFAILED, "not yet") : 0;
}

/* Calls two methods of its own agent, the first of which fails twice and keeps its place. */
static int frail_twice(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_result *first = NULL, *second = NULL;
    asq_agent *me;
    int rc = asq_ctx_self(ctx, &me);

    (void) self, (void) args, (void) ret;
    retry.attempts = 3;
    retry.delay_ms = 100;
    retry.keep_place = true;
    options.retry = &retry;
    if (rc < 0)
        return rc;
    if ((rc = asq_callv(me, "flaky", &options, NULL, &first)) == 0 &&
        (rc = asq_call(me, "add", &second, NULL)) == 0 &&
        (rc = asq_result_wait(first, ASQ_FOREVER)) == 0)
        rc = asq_result_wait(second, ASQ_FOREVER);
    asq_result_free(first);
    asq_result_free(second);
    asq_agent_free(me);
    return rc;
}

/* Waits for a file, or for a call of another agent. */
static int frail_late(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id;
    asq_agent *other;
    int rc = asq_args(ctx, args, "[s]", &id);

    (void) self, (void) ret;
    touch(begun);
    if (rc < 0)
        return rc;
    if (!*id) {
        sup_wait_until(exists(go));
        return 0;
    }
    if ((rc = asq_attach(asq_ctx_handle(ctx), id, &other)) < 0)
        return rc;
    rc = asq_call_wait(other, "add", NULL, NULL);
    asq_agent_free(other);
    return rc;
}

static const asq_method frail_methods[] = {
    { "add", frail_add, "", 0, NULL },
    { "kill_loop", frail_kill_loop, "", ASQ_NONBLOCKING, NULL },
    { "occupy_loop", frail_occupy_loop, "", ASQ_NONBLOCKING, NULL },
    { "end_thread", frail_end_thread, "", 0, NULL },
    { "outer", frail_outer, "", 0, NULL },
    { "pay", frail_pay, "id", 0, NULL },
    { "flaky", frail_flaky, "", 0, NULL },
    { "twice", frail_twice, "", 0, NULL },
    { "late", frail_late, "id", 0, NULL },
    { NULL, NULL, NULL, 0, NULL },
};
static const asq_class frail_class = { ASQ_CLASS_INIT, .name = "Frail", .methods = frail_methods,
                                       .create = frail_create };

/* ---- fixtures -------------------------------------------------------------------------------- */

/* Starts a worker. With two processes, the other one takes over at once, long before the delay of
 * the deadly call is over. */
static void start_worker(uint32_t max_attempts, uint32_t processes)
{
    static const asq_class *const list[] = { &frail_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.processes = processes;
    options.capacity = 4;
    options.lease_time_ms = 500;
    options.max_attempts = max_attempts;
    logged_start_worker(NULL, &options, list);
}

static void set_up(void)
{
    logged_set_up();
    runs_path = logged_file("runs");
    begun = logged_file("begun");
    go = logged_file("go");
    logged_open();
}

static asq_agent *frail(const char *id, const char *how)
{
    asq_agent *a;

    ok(asq_create(H, "Frail", id, &a, "{s:s}", "how", how));
    return a;
}

static asq_agent *ready(const char *how)
{
    asq_agent *a = frail(NULL, how);

    ok(asq_ready(a, sup_limit_ms()));
    return a;
}

static void check_runs(const char *want)
{
    char *runs = sup_read_file(runs_path);

    for (char *c = runs; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    ck_assert_str_eq(runs, want);
    free(runs);
}

/* ---- creation -------------------------------------------------------------------------------- */

enum { EACH_ALONE, ONE_BATCH, TWO_BATCHES, HOWS };

START_TEST(calls_wait_for_the_creation_that_a_process_has_died_of)
{
    asq_result *results[CALLS];
    asq_agent *a;

    if (_i != EACH_ALONE)
        asq_cork(H);
    a = frail(NULL, "die");
    if (_i == TWO_BATCHES) {
        ok(asq_uncork(H));
        asq_cork(H);
    }
    for (int i = 0; i < CALLS; i++)
        ok(asq_call(a, "add", &results[i], NULL));
    if (_i != EACH_ALONE)
        ok(asq_uncork(H));
    start_worker(3, 2);
    for (int i = 0; i < CALLS; i++)
        ck_assert_int_eq(result_int(results[i]), i + 1);
    check_runs("create create add add add add add ");
    ck_assert_int_gt(logged_count("Frail.create of agent"), 0);
    asq_agent_free(a);
}
END_TEST

START_TEST(other_callers_wait_for_a_creation_as_well)
{
    asq *other = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
    asq_agent *a, *same;
    asq_result *r;

    a = frail("x", "die");
    ok(asq_flush(H, sup_limit_ms()));
    ok(asq_attach(other, "x", &same));
    ok(asq_call(same, "add", &r, NULL));
    ok(asq_flush(other, sup_limit_ms()));
    start_worker(3, 2);
    ck_assert_int_eq(result_int(r), 1);
    check_runs("create create add ");
    asq_agent_free(a);
    asq_agent_free(same);
    asq_close(other);
}
END_TEST

/* No call of the agent sees effects of the call elsewhere before its effect here. */
START_TEST(other_callers_wait_for_a_call_that_a_process_has_died_of)
{
    asq *handle = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
    asq_agent *a, *same, *other;
    asq_result *paid, *r;

    start_worker(3, 2);
    a = ready("");
    other = ready("");
    ok(asq_attach(handle, asq_agent_id(a), &same));
    ok(asq_call(a, "pay", &paid, "[s]", asq_agent_id(other)));
    sup_wait_until(asq_poll(H, 1) >= 0 && count(runs_path, "pay") > 0);
    ok(asq_call(same, "add", &r, NULL));
    ck_assert_int_eq(result_int(r), 1);
    ok(asq_result_wait(paid, sup_limit_ms()));
    check_runs("create create pay add pay add ");
    asq_result_free(paid);
    asq_agent_free(a);
    asq_agent_free(other);
    asq_agent_free(same);
    asq_close(handle);
}
END_TEST

START_TEST(calls_wait_for_a_creation_whose_inputs_are_not_there)
{
    asq *other = modes_open_url(sup_url_as(sup_redis_url(redis), "operator"));
    asq_agent *source, *a, *same;
    asq_result *input, *r;

    start_worker(3, 2);
    source = ready("");
    ok(asq_call(source, "late", &input, "[s]", ""));
    ok(asq_create(H, "Frail", "x", &a, "{s:r}", "input", input));
    ok(asq_flush(H, sup_limit_ms()));
    ok(asq_attach(other, "x", &same));
    ok(asq_call(same, "add", &r, NULL));
    sup_wait_until(exists(begun));
    ck_assert_code(asq_result_wait(r, 300), ASQ_ETIMEOUT);
    touch(go);
    ck_assert_int_eq(result_int(r), 1);
    asq_result_free(input);
    asq_agent_free(source);
    asq_agent_free(a);
    asq_agent_free(same);
    asq_close(other);
}
END_TEST

/* The creation waits for a call that waits for a call to the agent, which waits for the
 * creation. */
START_TEST(a_cycle_through_a_creation_is_broken)
{
    asq_agent *source, *a;
    asq_result *input;

    start_worker(3, 2);
    source = ready("");
    ok(asq_call(source, "late", &input, "[s]", "x"));
    ok(asq_create(H, "Frail", "x", &a, "{s:r}", "input", input));
    int source_rc = asq_result_wait(input, sup_limit_ms());
    int create_rc = asq_ready(a, sup_limit_ms());
    ck_assert_int_ne(source_rc, ASQ_ETIMEOUT);
    ck_assert_int_ne(create_rc, ASQ_ETIMEOUT);
    asq_result_free(input);
    asq_agent_free(source);
    asq_agent_free(a);
}
END_TEST

/* ---- blame ----------------------------------------------------------------------------------- */

START_TEST(what_has_returned_is_not_blamed_beside_what_runs)
{
    asq_agent *killer, *a;
    asq_result *r;

    start_worker(1, 1);
    killer = ready("");
    remove(runs_path);
    a = frail(NULL, "wait");
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(exists(begun));
    ok(asq_call(killer, "kill_loop", &r, NULL));
    ck_assert_int_eq(result_code(r), ASQ_EDEADLETTER);
    ck_assert_int_eq(call_int(a, "add", NULL), 1);
    ck_assert_int_eq(logged_count("Frail.create"), 0);
    asq_agent_free(killer);
    asq_agent_free(a);
}
END_TEST

START_TEST(what_runs_is_not_blamed_for_what_is_known_to_end_its_process)
{
    static const char *const ending[] = { "occupy_loop", "end_thread" };
    asq_agent *killer, *a;
    asq_result *r;

    start_worker(1, 1);
    killer = ready("");
    remove(runs_path);
    a = frail(NULL, "occupy");
    ok(asq_flush(H, sup_limit_ms()));
    sup_wait_until(exists(begun));
    ok(asq_call(killer, ending[_i], &r, NULL));
    ck_assert_int_eq(result_code(r), ASQ_EDEADLETTER);
    ck_assert_int_eq(call_int(a, "add", NULL), 1);
    ck_assert_int_eq(logged_count("Frail.create"), 0);
    asq_agent_free(killer);
    asq_agent_free(a);
}
END_TEST

/* ---- calls inside of a method ---------------------------------------------------------------- */

START_TEST(what_a_call_has_made_does_not_pass_it_when_it_runs_again)
{
    asq_agent *a;

    start_worker(3, 2);
    a = ready("");
    ok(asq_call_wait(a, "outer", NULL, NULL));
    ck_assert_int_eq(call_int(a, "add", NULL), 12);
    check_runs("create outer outer add add ");
    asq_agent_free(a);
}
END_TEST

START_TEST(a_call_from_inside_keeps_its_place_for_another_run)
{
    asq_agent *a;

    start_worker(3, 2);
    a = ready("");
    ok(asq_call_wait(a, "twice", NULL, NULL));
    check_runs("create flaky flaky flaky add ");
    asq_agent_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("order");
    TCase *t = tcase_create("independent");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, logged_tear_down);
    tcase_add_loop_test(t, calls_wait_for_the_creation_that_a_process_has_died_of, 0, HOWS);
    tcase_add_test(t, other_callers_wait_for_a_creation_as_well);
    tcase_add_test(t, other_callers_wait_for_a_call_that_a_process_has_died_of);
    tcase_add_test(t, calls_wait_for_a_creation_whose_inputs_are_not_there);
    tcase_add_test(t, a_cycle_through_a_creation_is_broken);
    tcase_add_test(t, what_has_returned_is_not_blamed_beside_what_runs);
    /* Sanitizers do not support a thread that ends on a fiber's stack. */
    tcase_add_loop_test(t, what_runs_is_not_blamed_for_what_is_known_to_end_its_process, 0,
                        SUP_SANITIZED ? 1 : 2);
    tcase_add_test(t, what_a_call_has_made_does_not_pass_it_when_it_runs_again);
    tcase_add_test(t, a_call_from_inside_keeps_its_place_for_another_run);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
