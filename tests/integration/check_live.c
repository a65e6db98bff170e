/*
 * check_live.c: attributes that are ASQ_LIVE are read without waiting for the agent's calls, and
 * give what was published last, or the state that a call found.
 */
#include "emitter.h"
#include "logged.h"
#include "modes.h"
#include "support/suite.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static asq_agent *agent;
static int64_t unload_after_ms; /* of the worker; 0: the default */

/* ---- a class that publishes ------------------------------------------------------------------ */

static int get_twice(asq_ctx *ctx, void *self, asq_value **ret)
{
    (void) self;
    if (asq_map_get(asq_ctx_state(ctx), "broken"))
        return asq_fail(ctx, ASQ_EUSER(7), "it is broken");
    if (asq_map_get(asq_ctx_state(ctx), "slow"))
        emitter_wait_for(1);
    *ret = asq_value_int(2 * asq_map_int(asq_ctx_state(ctx), "n"));
    return 0;
}

/* Gets a live attribute of the agent that calls. */
static int peek(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id, *attribute;
    asq_agent *a = NULL;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[ss]", &id, &attribute)) == 0 &&
        (rc = asq_attach(asq_ctx_handle(ctx), id, &a)) == 0)
        rc = asq_get(a, attribute, ret);
    asq_agent_free(a);
    return rc;
}

/* Has the agent "helper" call a method of this one; *ret: what it gives. */
static int call_back(asq_ctx *ctx, const char *method, asq_value **ret)
{
    asq_agent *a = NULL;
    asq_result *r = NULL;
    int rc = asq_attach(asq_ctx_handle(ctx), "helper", &a);

    if (rc == 0)
        rc = strcmp(method, "peek") == 0
                 ? asq_call(a, method, &r, "[ss]", asq_ctx_agent_id(ctx), "n")
                 : asq_call(a, "relay", &r, "[ss]", asq_ctx_agent_id(ctx), method);
    const asq_value *v = NULL;
    if (rc == 0 && (rc = asq_result_wait(r, ASQ_FOREVER)) == 0 &&
        (rc = asq_result_value(r, &v)) == 0)
        *ret = asq_value_copy(v);
    asq_result_free(r);
    asq_agent_free(a);
    return rc;
}

/* Calls `work` of an agent with a text, and gives what live attribute n is after that. */
static int relay(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *id, *script;
    asq_agent *a = NULL;
    asq_result *r = NULL;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[ss]", &id, &script)) == 0 &&
        (rc = asq_attach(asq_ctx_handle(ctx), id, &a)) == 0 &&
        (rc = asq_call(a, "work", &r, "[s]", script)) == 0) {
        asq_result_wait(r, ASQ_FOREVER);
        rc = asq_get(a, "n", ret);
    }
    asq_result_free(r);
    asq_agent_free(a);
    return rc;
}

/* Does what a text says, one letter after the other: a digit sets n; P publishes; t waits at the
 * gate on its thread, p parked; z sleeps until it is unloaded; k kills the process, the first
 * time; c has a callee look at n, and returns that; i, f: has one call `work` with "9P", or "9PF";
 * F fails; B breaks `twice`, S makes it wait for emitter_go(1); b is a state of 100,000 bytes. */
static int work(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const char *script;
    asq_value *state = asq_ctx_state(ctx);
    int rc = asq_args(ctx, args, "[s]", &script);

    (void) self;
    for (; rc == 0 && *script; script++) {
        switch (*script) {
        case 'P': rc = asq_ctx_publish(ctx); break;
        case 't':
            touch(notes);
            while (!exists(gate))
                sup_sleep_ms(5);
            break;
        case 'p':
            touch(notes);
            while (!exists(gate) && rc == 0)
                rc = asq_ctx_sleep(ctx, 10);
            break;
        case 'z':
            touch(notes);
            rc = asq_ctx_sleep(ctx, 600000);
            break;
        case 'k':
            if (!exists(turn)) {
                touch(turn);
                kill(getpid(), SIGKILL);
            }
            break;
        case 'c': rc = call_back(ctx, "peek", ret); break;
        case 'i': rc = call_back(ctx, "9P", ret); break;
        case 'f': rc = call_back(ctx, "9PF", ret); break;
        case 'F': rc = asq_fail(ctx, ASQ_EFAILED, "as it was told"); break;
        case 'B': rc = asq_map_set(state, "broken", asq_value_bool(true)); break;
        case 'S': rc = asq_map_set(state, "slow", asq_value_bool(true)); break;
        case 'b': {
            char *text = calloc(1, 100001);
            memset(text, 'x', 100000);
            rc = asq_map_set(state, "text", asq_value_string(text));
            free(text);
            break;
        }
        default: rc = asq_map_set(state, "n", asq_value_int(*script - '0')); break;
        }
    }
    return rc;
}

static int create_and_publish(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    (void) ret_self;
    return asq_args(ctx, args, "[]") < 0 ? ASQ_EARGS : asq_ctx_publish(ctx);
}

static int nothing_to_publish(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self;
    (void) args;
    (void) ret;
    return asq_ctx_publish(ctx);
}

static const asq_method methods[] = { { "work", work, "script", 0, NULL },
                                      { "soon", work, "script", ASQ_NONBLOCKING, NULL },
                                      { "peek", peek, "id, attribute", 0, NULL },
                                      { "relay", relay, "id, script", 0, NULL },
                                      { 0 } };
static const asq_attribute attributes[] = { { "n", NULL, NULL, ASQ_LIVE | ASQ_WRITABLE, NULL },
                                            { "twice", get_twice, NULL, ASQ_LIVE, NULL },
                                            { "text", NULL, NULL, ASQ_LIVE, NULL },
                                            { "plain", NULL, NULL, 0, NULL },
                                            { 0 } };
static const asq_class publisher = { ASQ_CLASS_INIT, .name = "Publisher", .methods = methods,
                                     .attributes = attributes };
static const asq_class too_early = { ASQ_CLASS_INIT, .name = "TooEarly", .methods = methods,
                                     .attributes = attributes, .create = create_and_publish };
static const asq_method no_live[] = { { "work", nothing_to_publish, NULL, 0, NULL }, { 0 } };
static const asq_class without = { ASQ_CLASS_INIT, .name = "Without", .methods = no_live };
static const asq_class *const list[] = { &publisher, &too_early, &without, NULL };

/* ---- fixtures -------------------------------------------------------------------------------- */

static void start_worker(void)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.lease_time_ms = 1000;
    options.unload_after_ms = unload_after_ms;
    logged_start_worker(NULL, &options, list);
}

static void open_agents(void)
{
    asq_agent *helper;

    ok(asq_create(H, "Publisher", "helper", &helper, NULL));
    asq_agent_free(helper);
    agent = agent_new("Publisher", "{s:i}", "n", 0);
    ok(asq_ready(agent, sup_limit_ms()));
}

static void set_up(void)
{
    mode = MODE_INDEPENDENT;
    logged_set_up();
    emitter_begin();
    logged_open();
    start_worker();
    open_agents();
}

static void set_up_unload(void)
{
    unload_after_ms = 500;
    set_up();
}

static void tear_down(void)
{
    asq_agent_free(agent);
    logged_tear_down();
    emitter_end();
}

static void set_up_local(void)
{
    mode = MODE_LOCAL;
    emitter_begin();
    H = modes_open_url("local:");
    for (size_t i = 0; list[i]; i++)
        ok(asq_register(H, list[i]));
    open_agents();
}

static void tear_down_local(void)
{
    asq_agent_free(agent);
    asq_close(H);
    H = NULL;
    emitter_end();
}

static asq_result *begin(const char *script)
{
    asq_result *r;

    ok(asq_call(agent, "work", &r, "[s]", script));
    return r;
}

static int64_t get_int(const char *attribute)
{
    asq_value *v = NULL;
    char *json;

    ok(asq_get(agent, attribute, &v));
    ok(asq_to_json(v, 0, &json));
    int64_t n = atol(json);
    free(json);
    asq_value_free(v);
    return n;
}

/* Ends the call that waits at the gate. */
static void end(asq_result *r)
{
    touch(gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    asq_result_free(r);
}

/* Waits until the only call, which sleeps, has given back its run. */
static void wait_until_unloaded(void)
{
    int64_t n = 0;

    do {
        ok(asq_calls_count(H, ASQ_CALLS_DELAYED, NULL, "Publisher", sup_limit_ms(), &n));
    } while (n != 1);
}

/* ---- both modes ------------------------------------------------------------------------------ */

START_TEST(an_agent_at_rest_is_read)
{
    ck_assert_int_eq(get_int("n"), 0);
    end(begin("3"));
    ck_assert_int_eq(get_int("n"), 3);
    ck_assert_int_eq(get_int("twice"), 6);
    ok(asq_set(agent, "n", asq_value_int(5)));
    ck_assert_int_eq(get_int("n"), 5);
}
END_TEST

/* The reader is a call that the method makes. */
START_TEST(a_callee_reads_what_its_caller_has_published)
{
    static const struct {
        const char *script;
        int seen;
    } rows[] = { { "1c", 0 },  { "1Pc", 1 }, { "1P2c", 1 }, { "1P2Pc", 2 },
                 { "1Pi", 9 }, { "1Pf", 1 }, { "1P2f", 1 } };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ok(asq_set(agent, "n", asq_value_int(0)));
        ck_assert_msg(call_int(agent, "work", "[s]", rows[i].script) == rows[i].seen, "%s",
                      rows[i].script);
    }
}
END_TEST

START_TEST(bad_publications_fail_the_call)
{
    asq_result *r = begin("bP");

    ck_assert_int_eq(result_code(r), ASQ_ELIMIT);
    r = begin("BP");
    ck_assert_int_eq(result_code(r), ASQ_EUSER(7));
    ck_assert_int_eq(create_code("TooEarly", own("early"), NULL), ASQ_ESTATE);
    asq_agent *a = agent_new("Without", NULL);
    ck_assert_int_eq(call_code(a, "work", NULL), ASQ_ENOATTR);
    asq_agent_free(a);
    ck_assert_int_eq(get_int("n"), 0);
}
END_TEST

/* ---- with a worker --------------------------------------------------------------------------- */

/* The method is on its thread (0), or parked (1). */
START_TEST(published_values_are_read_while_a_call_runs)
{
    asq_result *r = begin(_i ? "1P2p" : "1P2t"), *second;

    emitter_wait_at_gate();
    ck_assert_int_eq(get_int("n"), 1);
    ck_assert_int_eq(get_int("twice"), 2);
    ok(asq_call(agent, "work", &second, "[s]", "4"));
    ck_assert_int_eq(get_int("n"), 1); /* past a call that is queued, of the same handle */
    ck_assert(!asq_result_done(r));
    end(r);
    end(second);
    ck_assert_int_eq(get_int("n"), 4);
}
END_TEST

START_TEST(a_call_that_publishes_nothing_is_read_as_it_began)
{
    ok(asq_set(agent, "n", asq_value_int(3)));
    asq_result *r = begin(_i ? "7p" : "7t");

    emitter_wait_at_gate();
    ck_assert_int_eq(get_int("n"), 3);
    end(r);
    ck_assert_int_eq(get_int("n"), 7);
}
END_TEST

START_TEST(other_attributes_wait_for_their_turn)
{
    asq_result *r = begin("1P2t"), *plain, *live;

    emitter_wait_at_gate();
    ok(asq_get_async(agent, "plain", &plain));
    ok(asq_get_async(agent, "n", &live));
    ok(asq_result_wait(live, sup_limit_ms()));
    ck_assert(!asq_result_done(plain));
    ck_assert_code(asq_result_wait(plain, 50), ASQ_ETIMEOUT);
    asq_result_free(live);
    end(r);
    ok(asq_result_wait(plain, sup_limit_ms()));
    asq_result_free(plain);
}
END_TEST

START_TEST(a_failed_call_leaves_nothing)
{
    asq_result *r = begin("5PtF");

    emitter_wait_at_gate();
    ck_assert_int_eq(get_int("n"), 5);
    touch(gate);
    ck_assert_int_eq(result_code(r), ASQ_EFAILED);
    ck_assert_int_eq(get_int("n"), 0);
}
END_TEST

START_TEST(a_get_function_that_fails_fails_the_reads)
{
    asq_value *v = NULL;

    end(begin("B"));
    remove(gate);
    asq_result *r = begin("t");
    emitter_wait_at_gate();
    ck_assert_int_eq(asq_get(agent, "twice", &v), ASQ_EUSER(7));
    ck_assert_contains(asq_errmsg(H), "it is broken");
    ck_assert_int_eq(get_int("n"), 0);
    end(r);
}
END_TEST

/* The read comes before the call has published anything. */
START_TEST(a_read_waits_for_the_first_values)
{
    asq_result *live;

    asq_result *first = begin("S");
    ok(asq_result_wait(first, sup_limit_ms()));
    asq_result_free(first);
    asq_result *r = begin("t");
    ok(asq_get_async(agent, "n", &live));
    ck_assert_code(asq_result_wait(live, 50), ASQ_ETIMEOUT);
    emitter_go(1);
    ok(asq_result_wait(live, sup_limit_ms()));
    ck_assert(!asq_result_done(r));
    asq_result_free(live);
    end(r);
}
END_TEST

START_TEST(a_nonblocking_method_may_publish)
{
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(call_int(agent, "soon", "[s]", "1Pc"), 1);
    ck_assert_int_eq(get_int("n"), 1);
}
END_TEST

START_TEST(what_a_dead_worker_has_published_is_gone)
{
    asq_result *r = begin("5P6kt");

    sup_wait_until(asq_poll(H, 0) >= 0 && exists(turn));
    emitter_wait_at_gate();
    ck_assert_int_eq(get_int("n"), 5); /* it runs again */
    end(r);
    ck_assert_int_eq(get_int("n"), 6);
}
END_TEST

/* The call gives back its run, and sleeps for ten minutes. */
START_TEST(values_outlive_the_run_of_a_sleeping_call)
{
    asq_result *r = begin("5P6z");

    emitter_wait_at_gate();
    ck_assert_int_eq(get_int("n"), 5);
    wait_until_unloaded();
    ck_assert_int_eq(get_int("n"), 5);
    ok(asq_result_cancel(r));
    result_code(r);
    ck_assert_int_eq(get_int("n"), 0);
}
END_TEST

/* A call that sleeps keeps all others away, not the reads. */
START_TEST(another_worker_reads_the_state_of_an_agent_whose_call_sleeps)
{
    asq_result *r = begin("5P6z");

    emitter_wait_at_gate();
    ck_assert_int_eq(get_int("n"), 5);
    wait_until_unloaded();
    modes_stop_worker(worker);
    worker = 0;
    start_worker();
    ck_assert_int_eq(get_int("n"), 0);
    ck_assert_int_eq(get_int("twice"), 0);
    ok(asq_result_cancel(r));
    result_code(r);
}
END_TEST

/* The class is paused when the call is to run again, so its deadline passes first. */
START_TEST(a_call_that_ends_without_its_second_run_leaves_nothing)
{
    ok(asq_set_deadline(H, 5000));
    asq_result *r = begin("5P6z");
    ok(asq_set_deadline(H, 0));

    emitter_wait_at_gate();
    wait_until_unloaded();
    ck_assert_int_eq(get_int("n"), 5);
    ok(asq_pause(H, "Publisher"));
    ck_assert_int_eq(result_code(r), ASQ_EDEADLINE);
    ok(asq_resume(H, "Publisher"));
    ck_assert_int_eq(get_int("n"), 0);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, an_agent_at_rest_is_read);
    tcase_add_test(t, a_callee_reads_what_its_caller_has_published);
    tcase_add_test(t, bad_publications_fail_the_call);
    tcase_add_test(t, a_nonblocking_method_may_publish);
}

int main(void)
{
    Suite *s = suite_create("live");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    add_all(sup_suite_case(s, "local", set_up_local, tear_down_local));
    TCase *t = sup_suite_case(s, "independent", set_up, tear_down);
    add_all(t);
    tcase_add_loop_test(t, published_values_are_read_while_a_call_runs, 0, 2);
    tcase_add_loop_test(t, a_call_that_publishes_nothing_is_read_as_it_began, 0, 2);
    tcase_add_test(t, other_attributes_wait_for_their_turn);
    tcase_add_test(t, a_failed_call_leaves_nothing);
    tcase_add_test(t, a_get_function_that_fails_fails_the_reads);
    tcase_add_test(t, a_read_waits_for_the_first_values);
    tcase_add_test(t, what_a_dead_worker_has_published_is_gone);
    t = sup_suite_case(s, "unloaded", set_up_unload, tear_down);
    tcase_add_test(t, values_outlive_the_run_of_a_sleeping_call);
    tcase_add_test(t, a_call_that_ends_without_its_second_run_leaves_nothing);
    tcase_add_test(t, another_worker_reads_the_state_of_an_agent_whose_call_sleeps);
    return sup_suite_run(s);
}
