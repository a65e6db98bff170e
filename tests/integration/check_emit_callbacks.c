/*
 * check_emit_callbacks.c: what calls emit is told to callbacks (asq_result_on_emit, and on_emit of
 * asq_call_each) in order, once, all of it before the result, and no longer than somebody wants it.
 */
#include "emitter.h"
#include "logged.h"
#include "modes.h"
#include "support/proxy.h"
#include "support/suite.h"

#include <ev.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asq_agent *emitter;
static int64_t unload_after_ms; /* of the worker; 0: the default */

/* ---- a callback ------------------------------------------------------------------------------ */

/* Record of what a callback was told. */
struct told {
    char text[EMITTER_TEXT];
    int depth; /* callbacks on the stack */
    int n;     /* calls of it */
    int at;    /* with this one, counted from 1, `act` is called; 0: never */
    void (*act)(asq_result *r, struct told *t);
    asq_result *waited; /* for act */
    int rc;             /* of act */
};

static struct told told;

static void add_word(struct told *t, const char *word)
{
    strncat(t->text, word, EMITTER_TEXT - strlen(t->text) - 1);
}

static void tell(asq_result *r, int what, const asq_value *v, void *user)
{
    struct told *t = user;

    ck_assert_int_eq(t->depth++, 0);
    emitter_add(t->text, what, v);
    if (++t->n == t->at)
        t->act(r, t);
    t->depth--;
}

/* A result's other callback. */
static void note_done(asq_result *r, void *user)
{
    (void) r;
    add_word(user, " done");
}

/* ---- a class that emits, and is told of others ----------------------------------------------- */

/* Attaches to another emitter, has it run a script, and is told what it emits. */
static int begin_told(asq_ctx *ctx, const asq_value *args, struct told *t, asq_result **ret)
{
    const char *id, *script;
    asq_agent *a = NULL;
    int rc;

    *ret = NULL;
    if ((rc = asq_args(ctx, args, "[ss]", &id, &script)) < 0)
        return rc;
    if ((rc = asq_attach(asq_ctx_handle(ctx), id, &a)) == 0 &&
        (rc = asq_call(a, "run", ret, "[s]", script)) == 0)
        rc = asq_result_on_emit(*ret, tell, t);
    asq_agent_free(a);
    return rc;
}

static int end_told(asq_ctx *ctx, int rc, struct told *t, asq_result *r, asq_value **ret)
{
    if (rc >= 0)
        *ret = asq_value_string(t->text);
    asq_result_free(r);
    free(t);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx))) : 0;
}

/* Returns what it was told until the other call had ended. */
static int told_run(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct told *t = calloc(1, sizeof *t);
    asq_result *r;
    int rc = begin_told(ctx, args, t, &r);

    (void) self;
    if (rc == 0)
        rc = asq_result_wait(r, ASQ_FOREVER);
    return end_told(ctx, rc, t, r, ret);
}

static int wait_until_told_something(asq_ctx *ctx, const struct told *t)
{
    int rc = 0;

    while (rc >= 0 && mode != MODE_LOCAL && !t->n)
        rc = asq_poll(asq_ctx_handle(ctx), 10);
    return rc;
}

/* Returns what it was told until then as soon as it was told something, or at once. */
static int told_leave(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct told *t = calloc(1, sizeof *t);
    asq_result *r;
    int rc = begin_told(ctx, args, t, &r);

    (void) self;
    if (rc == 0)
        rc = wait_until_told_something(ctx, t);
    return end_told(ctx, rc, t, r, ret);
}

/* Sleeps behind that, and returns what it was told until the other call had ended. */
static int told_sleep(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct told *t = calloc(1, sizeof *t);
    asq_result *r;
    int rc = begin_told(ctx, args, t, &r);

    (void) self;
    if (rc == 0 && (rc = wait_until_told_something(ctx, t)) >= 0 &&
        (rc = asq_ctx_sleep(ctx, 3000)) == 0)
        rc = asq_result_wait(r, ASQ_FOREVER);
    return end_told(ctx, rc, t, r, ret);
}

static void call_somebody(asq_result *r, struct told *t)
{
    asq_result *other;

    (void) r;
    t->rc = asq_call((asq_agent *) t->waited, "run", &other, "[s]", "e:1");
}

/* Calls from a callback; returns what has become of that. */
static int told_call(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct told *t = calloc(1, sizeof *t);
    asq_agent *a = NULL;
    asq_result *r = NULL;
    const char *id;
    int rc = asq_args(ctx, args, "[s]", &id), outcome = 0;

    (void) self;
    t->at = 1;
    t->act = call_somebody;
    if (rc == 0 && (rc = asq_attach(asq_ctx_handle(ctx), id, &a)) == 0 &&
        (rc = asq_call(a, "run", &r, "[s]", "e:1")) == 0) {
        t->waited = (asq_result *) a;
        if ((rc = asq_result_on_emit(r, tell, t)) == 0)
            rc = asq_result_wait(r, ASQ_FOREVER);
        outcome = t->rc;
    }
    asq_agent_free(a);
    rc = end_told(ctx, rc, t, r, ret);
    if (rc == 0) {
        asq_value_free(*ret);
        *ret = asq_value_int(outcome);
    }
    return rc;
}

/* ---- what calls of asq_call_each emit ---- */

enum { EACH = 3 };

struct each_told {
    char text[EACH][EMITTER_TEXT]; /* by input */
    int n, stop_at;                /* ends with this one, counted from 1; 0: never */
    void (*act)(struct each_told *t);
    asq_agent *agent; /* for act */
    int rc;           /* of act */
};

static int tell_each(void *user, size_t index, asq_result *r, int what, const asq_value *v)
{
    struct each_told *t = user;

    ck_assert_ptr_nonnull(r);
    emitter_add(t->text[index], what, v);
    t->n++;
    if (t->act)
        t->act(t);
    return t->n == t->stop_at ? 7 : 0;
}

static int note_each(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    struct each_told *t = user;

    (void) r, (void) done, (void) n;
    strcat(t->text[index], " done");
    return 0;
}

static int call_each(asq_agent *a, const asq_value *scripts, struct each_told *t, size_t size,
                     asq_value **ret)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;

    options.size = size;
    options.fn = note_each;
    options.on_emit = tell_each;
    options.user = t;
    options.all = true;
    return asq_call_each(&a, 1, "run", scripts, &options, ret);
}

static void call_from_each(struct each_told *t)
{
    t->rc = asq_send(t->agent, "run", "[s]", "e:0");
}

/* Has another emitter run two scripts, and returns what it was told of both, and whether it may
 * make calls meanwhile. */
static int told_each(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    struct each_told *t = calloc(1, sizeof *t);
    asq_value *scripts = asq_pack("[s, s]", "e:2", "e:1");
    const char *id;
    int rc;

    (void) self;
    t->act = call_from_each;
    if ((rc = asq_args(ctx, args, "[s]", &id)) == 0 &&
        (rc = asq_attach(asq_ctx_handle(ctx), id, &t->agent)) == 0 &&
        (rc = call_each(t->agent, scripts, t, sizeof(asq_each_options), NULL)) == 0)
        *ret = asq_pack("[s, s, s]", t->text[0], t->text[1], asq_error_name(t->rc));
    asq_agent_free(t->agent);
    asq_value_free(scripts);
    free(t);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx))) : 0;
}

static const asq_retry twice = { ASQ_RETRY_INIT, .attempts = 2 };
static const asq_method methods[] = {
    { "run", emitter_run, "script", 0, NULL },      { "retried", emitter_run, "script", 0, NULL },
    { "told", told_run, "id, script", 0, NULL },    { "leave", told_leave, "id, script", 0, NULL },
    { "sleep", told_sleep, "id, script", 0, NULL }, { "call", told_call, "id", 0, NULL },
    { "each", told_each, "id", 0, NULL },           { 0 }
};
static const asq_method_retry retries[] = { { "retried", &twice }, { NULL, NULL } };
static const asq_class emitter_class = { ASQ_CLASS_INIT, .name = "Emitter", .methods = methods,
                                         .retries = retries };

/* ---- fixtures -------------------------------------------------------------------------------- */

static void open_emitter(void)
{
    emitter = agent_new("Emitter", NULL);
    ok(asq_ready(emitter, sup_limit_ms()));
    memset(&told, 0, sizeof told);
}

static void set_up(void)
{
    static const asq_class *const list[] = { &emitter_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    logged_set_up();
    emitter_begin();
    logged_open();
    options.lease_time_ms = 1000;
    options.unload_after_ms = unload_after_ms;
    logged_start_worker(NULL, &options, list);
    open_emitter();
}

static void set_up_unload(void)
{
    unload_after_ms = 500;
    set_up();
}

static void tear_down(void)
{
    asq_agent_free(emitter);
    logged_tear_down();
    emitter_end();
}

static void set_up_local(void)
{
    mode = MODE_LOCAL;
    emitter_begin();
    H = modes_open_url("local:");
    ok(asq_register(H, &emitter_class));
    open_emitter();
}

static void tear_down_local(void)
{
    asq_agent_free(emitter);
    asq_close(H);
    H = NULL;
    emitter_end();
}

static asq_result *begin(const char *method, const char *script)
{
    asq_result *r;

    ok(asq_call(emitter, method, &r, "[s]", script));
    return r;
}

static asq_result *begin_with(const char *method, const char *script, struct told *t)
{
    asq_result *r = begin(method, script);

    ok(asq_result_on_emit(r, tell, t));
    ck_assert_str_eq(t->text, "");
    return r;
}

/* Polls until the callbacks were told this. */
static void wait_until_told(const char *text)
{
    sup_wait_until(asq_poll(H, 0) >= 0 && strcmp(told.text, text) == 0);
}

/* ---- both modes ------------------------------------------------------------------------------ */

START_TEST(all_is_told_before_a_wait_ends)
{
    asq_result *r = begin_with("run", "e:3", &told), *next;
    asq_group *g;
    size_t which;

    switch (_i) {
    case 0: ok(asq_result_wait(r, sup_limit_ms())); break;
    case 1:
        asq_set_timeout(H, sup_limit_ms());
        asq_result_int(r, &(int64_t){ 0 });
        break;
    case 2: ok(asq_wait_all(&r, 1, sup_limit_ms())); break;
    case 3: ok(asq_wait_any(&r, 1, sup_limit_ms(), &which)); break;
    case 4:
        ok(asq_group_new(H, &g));
        ok(asq_group_add(g, r));
        ok(asq_group_next(g, sup_limit_ms(), &next));
        ck_assert_ptr_eq(next, r);
        asq_group_free(g);
        break;
    case 5: ok(asq_gather(&r, 1, sup_limit_ms(), NULL, NULL)); break;
    default: sup_wait_until(asq_result_done(r));
    }
    ck_assert_str_eq(told.text, "0 1 2 end");
    ck_assert(asq_result_done(r));
    asq_result_free(r);
}
END_TEST

/* The callback of the result is set before, or after, or when the call has ended. */
START_TEST(the_callback_of_the_result_comes_last)
{
    asq_result *r = begin("run", "e:3");

    if (_i == 0)
        ok(asq_result_then(r, note_done, &told));
    if (_i == 0 && mode == MODE_LOCAL) { /* it has ended: the callback comes at once */
        ck_assert_str_eq(told.text, " done");
        told.text[0] = '\0';
    }
    if (_i == 2)
        sup_wait_until(asq_result_done(r));
    ok(asq_result_on_emit(r, tell, &told));
    if (_i)
        ok(asq_result_then(r, note_done, &told));
    ck_assert_str_eq(told.text, "");
    wait_until_told(_i || mode != MODE_LOCAL ? "0 1 2 end done" : "0 1 2 end");
    asq_result_free(r);
}
END_TEST

START_TEST(a_call_that_fails_has_told)
{
    asq_result *r = begin_with("run", "e:2 F", &told);

    ck_assert_code(asq_result_wait(r, sup_limit_ms()), ASQ_EFAILED);
    ck_assert_str_eq(told.text, "0 1 end");
    asq_result_free(r);
}
END_TEST

START_TEST(a_call_that_emits_nothing_tells_its_end)
{
    asq_result *r = begin_with("run", "e:0", &told);

    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_str_eq(told.text, "end");
    asq_result_free(r);
}
END_TEST

START_TEST(values_that_are_gone_are_told)
{
    char script[8000] = "";
    int missed, n = 0;

    for (int i = 0; i < 100; i++)
        strcat(script, "b:60000 ");
    asq_result *r = begin("run", script);
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_on_emit(r, tell, &told));
    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_int_eq(sscanf(told.text, "missed:%d ", &missed), 1);
    for (const char *at = told.text; (at = strstr(at, "long ")); at++)
        n++;
    ck_assert_int_eq(missed + n, 100);
    ck_assert_str_eq(told.text + strlen(told.text) - 3, "end");
    asq_result_free(r);
}
END_TEST

START_TEST(a_result_has_one_reader)
{
    asq_result *r = begin("run", "e:2");
    asq_value *v;

    ck_assert_code(asq_result_on_emit(NULL, tell, &told), ASQ_EINVAL);
    ck_assert_code(asq_result_on_emit(r, NULL, &told), ASQ_EINVAL);
    ok(asq_result_on_emit(r, tell, &told));
    ck_assert_code(asq_result_on_emit(r, tell, &told), ASQ_ESTATE);
    ck_assert_contains(asq_errmsg(H), "goes to a callback already");
    ck_assert_code(asq_result_next(r, &v, 0), ASQ_ESTATE);
    ck_assert_contains(asq_errmsg(H), "goes to a callback (asq_result_on_emit)");
    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_str_eq(told.text, "0 1 end");
    ck_assert_code(asq_result_next(r, &v, 0), ASQ_ESTATE);
    asq_result_free(r);
    r = begin("run", "e:1");
    ck_assert_int_eq(asq_result_next(r, &v, sup_limit_ms()), ASQ_NEXT_VALUE);
    asq_value_free(v);
    ck_assert_code(asq_result_on_emit(r, tell, &told), ASQ_ESTATE);
    ck_assert_contains(asq_errmsg(H), "is read by asq_result_next");
    asq_result_free(r);
}
END_TEST

static void free_it(asq_result *r, struct told *t)
{
    (void) t;
    asq_result_free(r);
}

/* Frees the result in its callback (0, 1: with another callback), or outside of it (2, 3: the
 * same). */
START_TEST(a_result_that_is_freed_tells_nothing)
{
    if (_i < 2) {
        told.at = 2;
        told.act = free_it;
    }
    asq_result *r = begin_with("run", "e:3", &told);
    if (_i % 2)
        ok(asq_result_then(r, note_done, &told));
    if (_i >= 2)
        asq_result_free(r);
    if (_i % 2)
        wait_until_told(_i < 2 ? "0 1  done" : " done");
    else if (_i < 2)
        wait_until_told("0 1 ");
    r = begin("run", "e:1"); /* runs behind the other */
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_poll(H, 0));
    ck_assert_str_eq(told.text, _i == 0 ? "0 1 " : _i == 1 ? "0 1  done" : _i == 2 ? "" : " done");
    asq_result_free(r);
}
END_TEST

static void wait_for_others(asq_result *r, struct told *t)
{
    int64_t n;

    ok(asq_result_wait(r, sup_limit_ms())); /* does not depend on what is told now */
    ok(asq_result_int(t->waited, &n));
    ck_assert_int_eq(n, 4);
}

START_TEST(a_callback_may_wait)
{
    told.at = 1;
    told.act = wait_for_others;
    asq_result *r = begin_with("run", "e:3", &told);
    told.waited = begin("run", "e:4");
    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_str_eq(told.text, "0 1 2 end");
    asq_result_free(told.waited);
    asq_result_free(r);
}
END_TEST

static void wait_inside(asq_result *r, void *user)
{
    struct told *t = user;
    int64_t n;

    (void) r;
    ok(asq_result_int(t->waited, &n)); /* told or not: nothing is told to others in here */
    ck_assert_int_eq(n, 2);
    t->rc = 1;
}

START_TEST(a_callback_may_wait_for_what_is_not_told_yet)
{
    asq_result *first = begin("run", "e:0");
    told.waited = begin_with("run", "e:2", &told);

    ok(asq_result_then(first, wait_inside, &told));
    wait_until_told("0 1 end");
    sup_wait_until(asq_poll(H, 0) >= 0 && told.rc == 1);
    asq_result_free(told.waited);
    asq_result_free(first);
}
END_TEST

START_TEST(a_method_is_told_what_another_one_emits)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_result *r;
    const char *text;

    ok(asq_call(emitter, "told", &r, "[ss]", asq_agent_id(peer), "e:3 j:\"x\""));
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "0 1 2 \"x\" end");
    asq_result_free(r);
    asq_agent_free(peer);
}
END_TEST

START_TEST(a_callback_in_a_method_makes_no_calls)
{
    asq_agent *peer = agent_new("Emitter", NULL);

    ck_assert_int_eq(call_int(emitter, "call", "[s]", asq_agent_id(peer)), ASQ_ESTATE);
    asq_agent_free(peer);
}
END_TEST

START_TEST(a_method_may_end_before_the_call_that_it_is_told_of)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_result *r;
    const char *text;

    if (mode == MODE_LOCAL)
        touch(gate);
    ok(asq_call(emitter, "leave", &r, "[ss]", asq_agent_id(peer), "e:1 p e:1"));
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, mode == MODE_LOCAL ? "" : "0 ");
    asq_result_free(r);
    touch(gate);
    ck_assert_int_eq(call_int(peer, "run", "[s]", "e:1"), 1); /* behind the other */
    asq_agent_free(peer);
}
END_TEST

START_TEST(each_tells_what_its_calls_emit)
{
    struct each_told *t = calloc(1, sizeof *t);
    asq_value *scripts = asq_pack("[s, s, s]", "e:2", "e:1 F", "e:0"), *values;

    ck_assert_int_eq(call_each(emitter, scripts, t, sizeof(asq_each_options), &values), 1);
    ck_assert_str_eq(t->text[0], "0 1 end done");
    ck_assert_str_eq(t->text[1], "0 end done");
    ck_assert_str_eq(t->text[2], "end done");
    ck_assert_value(values, "[2,null,0]");
    asq_value_free(values);
    asq_value_free(scripts);
    free(t);
}
END_TEST

START_TEST(each_ends_when_it_was_told_enough)
{
    struct each_told *t = calloc(1, sizeof *t);
    asq_value *scripts = asq_pack("[s, s, s]", "e:3", "e:3", "e:3");

    t->stop_at = 2;
    ck_assert_int_eq(call_each(emitter, scripts, t, sizeof(asq_each_options), NULL), 7);
    ck_assert_int_eq(t->n, 2);
    ck_assert_int_eq(call_int(emitter, "run", "[s]", "e:1"), 1); /* behind the others */
    ck_assert_int_eq(t->n, 2);
    asq_value_free(scripts);
    free(t);
}
END_TEST

/* A program that was built before there was on_emit has smaller options. */
START_TEST(each_takes_options_of_before)
{
    struct each_told *t = calloc(1, sizeof *t);
    asq_value *scripts = asq_pack("[s]", "e:3");

    ck_assert_int_eq(call_each(emitter, scripts, t, offsetof(asq_each_options, on_emit), NULL), 0);
    ck_assert_str_eq(t->text[0], " done");
    asq_value_free(scripts);
    free(t);
}
END_TEST

static void each_inside(asq_result *r, void *user)
{
    struct each_told *t = user;
    asq_value *scripts = asq_pack("[s, s]", "e:2", "e:1");

    (void) r;
    ck_assert_int_eq(call_each(t->agent, scripts, t, sizeof(asq_each_options), NULL), 0);
    t->rc = 1;
    asq_value_free(scripts);
}

START_TEST(each_tells_inside_of_a_callback)
{
    struct each_told *t = calloc(1, sizeof *t);
    asq_result *r = begin("run", "e:0");

    t->agent = emitter;
    ok(asq_result_then(r, each_inside, t));
    sup_wait_until(asq_poll(H, 0) >= 0 && t->rc == 1);
    ck_assert_str_eq(t->text[0], "0 1 end done");
    ck_assert_str_eq(t->text[1], "0 end done");
    asq_result_free(r);
    free(t);
}
END_TEST

START_TEST(each_tells_a_method_that_makes_no_calls_meanwhile)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_value *v;

    asq_set_timeout(H, sup_limit_ms());
    ok(asq_call_wait(emitter, "each", &v, "[s]", asq_agent_id(peer)));
    ck_assert_value(v, "[\"0 1 end done\",\"0 end done\",\"ASQ_ESTATE\"]");
    asq_value_free(v);
    asq_agent_free(peer);
}
END_TEST

/* ---- with a worker --------------------------------------------------------------------------- */

START_TEST(values_are_told_while_the_call_runs)
{
    asq_result *r = begin_with("run", "e:2 w:1 e:1 w:2", &told);

    wait_until_told("0 1 ");
    emitter_go(1);
    wait_until_told("0 1 2 ");
    emitter_go(2);
    wait_until_told("0 1 2 end");
    asq_result_free(r);
}
END_TEST

static void let_go(struct each_told *t)
{
    if (t->n == 1)
        emitter_go(1);
}

START_TEST(each_tells_while_its_calls_run)
{
    struct each_told *t = calloc(1, sizeof *t);
    asq_value *scripts = asq_pack("[s]", "e:1 w:1 e:1");

    t->act = let_go;
    ck_assert_int_eq(call_each(emitter, scripts, t, sizeof(asq_each_options), NULL), 0);
    ck_assert_str_eq(t->text[0], "0 1 end done");
    asq_value_free(scripts);
    free(t);
}
END_TEST

START_TEST(a_run_that_starts_again_is_told)
{
    asq_result *r = begin_with("retried", "o:2 g E e:1", &told);

    wait_until_told("0 1 ");
    touch(gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    ck_assert_str_eq(told.text, "0 1 again 0 end");
    asq_result_free(r);
}
END_TEST

START_TEST(nothing_is_lost_and_nothing_is_told_twice_over_lost_connections)
{
    asq_result *r = begin_with("run", "w:1 e:700 w:2 e:700 w:3 e:700 w:4 e:700", &told);
    char *all = calloc(1, EMITTER_TEXT);

    for (int piece = 1; piece <= 4; piece++) {
        sup_redis_do(redis, "CLIENT KILL TYPE pubsub");
        emitter_go(piece);
        while (told.n <= 700 * (piece - 1))
            ok(asq_poll(H, 1));
        sup_redis_do(redis, piece % 2 ? "CLIENT KILL TYPE normal" : "CLIENT KILL TYPE pubsub");
        while (told.n < 700 * piece)
            ok(asq_poll(H, 1));
    }
    ok(asq_result_wait(r, sup_limit_ms()));
    for (int i = 0; i < 2800; i++)
        snprintf(all + strlen(all), 16, "%d ", i);
    strcat(all, "end");
    ck_assert_str_eq(told.text, all);
    free(all);
    asq_result_free(r);
}
END_TEST

static void cancel_it(asq_result *r, struct told *t)
{
    t->rc = asq_result_cancel(r);
}

START_TEST(a_callback_may_cancel_the_call)
{
    told.at = 1;
    told.act = cancel_it;
    asq_result *r = begin_with("run", "e:1 s:30000", &told);

    ck_assert_code(asq_result_wait(r, sup_limit_ms()), ASQ_ECANCELED);
    ok(told.rc);
    ck_assert_str_eq(told.text, "0 end");
    asq_result_free(r);
}
END_TEST

static void close_it(asq_result *r, struct told *t)
{
    (void) r;
    ok(asq_close((asq *) t->waited));
}

/* Inside of the callback (0) or outside. */
START_TEST(a_handle_that_closes_ends_the_telling)
{
    asq *other = modes_open();
    asq_result *r = begin("run", "e:1 g"), *theirs;

    if (_i == 0) {
        told.at = 1;
        told.act = close_it;
        told.waited = (asq_result *) other;
    }
    ok(asq_result_attach(other, asq_result_id(r), &theirs));
    ok(asq_result_on_emit(theirs, tell, &told));
    ok(asq_result_then(theirs, note_done, &told));
    sup_wait_until(asq_poll(other, 0) < 0 || told.n);
    if (_i)
        ok(asq_close(other));
    ck_assert_str_eq(told.text, "0 ASQ_ECLOSED  done");
    ck_assert_code(asq_result_on_emit(theirs, tell, &told), ASQ_ECLOSED);
    asq_result_free(theirs);
    touch(gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    asq_result_free(r);
}
END_TEST

START_TEST(a_reader_without_the_right_is_told)
{
    asq_result *r = begin("run", "e:3 g");

    sup_redis_do(redis,
                 "ACL SETUSER reader on >pw ~asq:{default}:* ~asq:{default.*}:[^p]* &* +@all");
    char *url = sup_format("%s?user=reader&password=pw", sup_redis_url_default(redis));
    asq *other = modes_open_url(url);
    asq_result *theirs;
    ok(asq_result_attach(other, asq_result_id(r), &theirs));
    ok(asq_result_on_emit(theirs, tell, &told));
    ok(asq_result_then(theirs, note_done, &told));
    sup_wait_until(asq_poll(other, 0) >= 0 && told.n);
    ck_assert_str_eq(told.text, "ASQ_EREDIS ");
    touch(gate);
    sup_wait_until(asq_poll(other, 0) >= 0 && asq_result_done(theirs));
    ck_assert_str_eq(told.text, "ASQ_EREDIS  done");
    asq_result_free(theirs);
    asq_close(other);
    free(url);
    asq_result_free(r);
}
END_TEST

static void stop_loop(asq_result *r, void *user)
{
    note_done(r, user);
    ev_break(EV_DEFAULT_ EVBREAK_ALL);
}

START_TEST(a_loop_of_the_program_tells)
{
    struct ev_loop *loop = EV_DEFAULT;

    ok(asq_attach_ev(H, loop));
    asq_result *r = begin_with("run", "e:2 s:50 e:1", &told);
    ok(asq_result_then(r, stop_loop, &told));
    ev_run(loop, 0);
    ck_assert_str_eq(told.text, "0 1 2 end done");
    ok(asq_detach_ev(H));
    asq_result_free(r);
}
END_TEST

static void watch_when_done(asq_result *r, void *user)
{
    struct told *t = user;

    (void) r;
    ok(asq_result_then(t->waited, note_done, t));
    emitter_go(1);
    ok(asq_result_wait(t->waited, sup_limit_ms())); /* its callback is due, but not called here */
    ok(asq_result_on_emit(t->waited, tell, t));
}

START_TEST(a_callback_that_is_due_comes_behind_what_is_told)
{
    asq_result *first = begin("run", "e:0");

    told.waited = begin("run", "w:1 e:2");
    ok(asq_result_then(first, watch_when_done, &told));
    wait_until_told("0 1 end done");
    asq_result_free(told.waited);
    asq_result_free(first);
}
END_TEST

/* Returns how often emitted values were read since the log of slow commands was emptied, which has
 * all commands then. */
static int n_reads(void)
{
    redisReply *log = sup_redis_reply(redis, "SLOWLOG GET 100000");
    int n = 0;

    for (size_t i = 0; i < log->elements; i++) {
        const redisReply *command = log->element[i]->element[3];
        n += command->elements > 1 && strcmp(command->element[0]->str, "XRANGE") == 0 &&
             strstr(command->element[1]->str, "}:p:");
    }
    freeReplyObject(log);
    return n;
}

/* Waits until the loops of worker and H had time to read again, which they do each second. */
static void wait_for_reads(void)
{
    for (int i = 0; i < 4; i++) {
        int64_t beat = sup_redis_int(redis, "HGET asq:{default}:worker:w.0 beat");
        sup_wait_until(asq_poll(H, 0) >= 0 &&
                       sup_redis_int(redis, "HGET asq:{default}:worker:w.0 beat") >= beat + 2);
    }
}

/* Nobody reads on for a method that has ended, or a result that was freed, though the call runs. */
START_TEST(reads_end_with_those_who_wanted_them)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_result *r, *own = begin("run", "e:1"), *running;

    ok(asq_result_on_emit(own, tell, &told));
    ok(asq_result_wait(own, sup_limit_ms()));
    asq_result_free(own);
    ok(asq_call(emitter, "leave", &r, "[ss]", asq_agent_id(peer), "e:1 p e:1"));
    ok(asq_result_wait(r, sup_limit_ms()));
    asq_result_free(r);
    running = begin_with("run", "w:1", memset(&told, 0, sizeof told));
    ok(asq_flush(H, sup_limit_ms()));
    asq_result_free(running);
    sup_redis_do(redis, "CONFIG SET slowlog-max-len 100000 slowlog-log-slower-than 0");
    sup_wait_until(asq_poll(H, 0) >= 0 && sup_redis_int(redis, "SLOWLOG LEN") > 0);
    wait_for_reads();
    sup_redis_do(redis, "SLOWLOG RESET");
    wait_for_reads();
    ck_assert_int_eq(n_reads(), 0);
    emitter_go(1);
    touch(gate);
    ck_assert_int_eq(call_int(peer, "run", "[s]", "e:1"), 1);
    asq_agent_free(peer);
}
END_TEST

static int64_t n_unloaded(void)
{
    int64_t n;

    ok(asq_calls_count(H, ASQ_CALLS_DELAYED, NULL, "Emitter", sup_limit_ms(), &n));
    return n;
}

/* The method sleeps for longer than it stays in memory, with a read under way. */
START_TEST(a_method_that_was_unloaded_is_told_again)
{
    asq_agent *peer = agent_new("Emitter", NULL);
    asq_result *r;
    const char *text;

    ok(asq_call(emitter, "sleep", &r, "[ss]", asq_agent_id(peer), "e:2 p e:1"));
    emitter_wait_at_gate();
    sup_wait_until(asq_poll(H, 0) >= 0 && n_unloaded() > 0);
    touch(gate);
    ok(asq_result_wait(r, sup_limit_ms()));
    ok(asq_result_string(r, &text));
    ck_assert_str_eq(text, "0 1 2 end");
    asq_result_free(r);
    asq_agent_free(peer);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_loop_test(t, all_is_told_before_a_wait_ends, 0, 7);
    tcase_add_loop_test(t, the_callback_of_the_result_comes_last, 0, 3);
    tcase_add_test(t, a_call_that_fails_has_told);
    tcase_add_test(t, a_call_that_emits_nothing_tells_its_end);
    tcase_add_test(t, values_that_are_gone_are_told);
    tcase_add_test(t, a_result_has_one_reader);
    tcase_add_loop_test(t, a_result_that_is_freed_tells_nothing, 0, 4);
    tcase_add_test(t, a_callback_may_wait);
    tcase_add_test(t, a_callback_may_wait_for_what_is_not_told_yet);
    tcase_add_test(t, a_method_is_told_what_another_one_emits);
    tcase_add_test(t, a_callback_in_a_method_makes_no_calls);
    tcase_add_test(t, a_method_may_end_before_the_call_that_it_is_told_of);
    tcase_add_test(t, each_tells_what_its_calls_emit);
    tcase_add_test(t, each_ends_when_it_was_told_enough);
    tcase_add_test(t, each_takes_options_of_before);
    tcase_add_test(t, each_tells_inside_of_a_callback);
    tcase_add_test(t, each_tells_a_method_that_makes_no_calls_meanwhile);
}

int main(void)
{
    Suite *s = suite_create("emit_callbacks");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    add_all(sup_suite_case(s, "local", set_up_local, tear_down_local));
    TCase *t = sup_suite_case(s, "independent", set_up, tear_down);
    add_all(t);
    tcase_add_test(t, values_are_told_while_the_call_runs);
    tcase_add_test(t, each_tells_while_its_calls_run);
    tcase_add_test(t, a_run_that_starts_again_is_told);
    tcase_add_test(t, nothing_is_lost_and_nothing_is_told_twice_over_lost_connections);
    tcase_add_test(t, a_callback_may_cancel_the_call);
    tcase_add_loop_test(t, a_handle_that_closes_ends_the_telling, 0, 2);
    tcase_add_test(t, a_reader_without_the_right_is_told);
    tcase_add_test(t, a_loop_of_the_program_tells);
    tcase_add_test(t, a_callback_that_is_due_comes_behind_what_is_told);
    t = sup_suite_case(s, "reads", set_up, tear_down);
    tcase_add_test(t, reads_end_with_those_who_wanted_them);
    t = sup_suite_case(s, "unloaded", set_up_unload, tear_down);
    tcase_add_test(t, a_method_that_was_unloaded_is_told_again);
    return sup_suite_run(s);
}
