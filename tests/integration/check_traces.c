/*
 * check_traces.c: what a worker with --traces exports: the shape of a call's tree with its nested
 * calls and retries, which calls are traced, and collectors that are away, slow, or refuse.
 */
#include "classes.h"
#include "logged.h"
#include "modes.h"
#include "support/collector.h"
#include "support/suite.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define TRACE    "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN     "00f067aa0ba902b7"
#define SAMPLED  "00-" TRACE "-" SPAN "-01"
#define SILENT   "00-" TRACE "-" SPAN "-00"
#define SPANS(n) sup_wait_until(sup_collector_read(collector) == (n))

static sup_collector *collector;
static double rate;

/* grind(counter, begun, go): fails in its first run; later ones add 1 to the counter, make a file,
 * and occupy their thread until there is another. */
static int mill_grind(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    const asq_value *target;
    const char *begun, *go;
    asq *h = asq_ctx_handle(ctx);
    asq_agent *counter = NULL;
    int rc = asq_args(ctx, args, "[O, s, s]", &target, &begun, &go);
    (void) self;
    if (rc < 0)
        return rc;
    if (asq_ctx_attempt(ctx) == 1)
        return asq_fail(ctx, ASQ_EFAILED, "once more");
    if ((rc = asq_attach_value(h, target, &counter)) < 0 ||
        (rc = asq_call_wait(counter, "add", ret, "[i]", 1)) < 0)
        rc = asq_fail(ctx, rc, "%s", asq_errmsg(h));
    asq_agent_free(counter);
    if (rc == 0)
        touch(begun);
    while (rc == 0 && !exists(go))
        sup_sleep_ms(5);
    return rc;
}

static const asq_method mill_methods[] = { { "grind", mill_grind, NULL, 0, NULL }, { 0 } };
static const asq_class mill_class = { ASQ_CLASS_INIT, .name = "Mill", .methods = mill_methods };

static void start_worker(void)
{
    const asq_class *const all[] = { &counter_class, &echo_class, &relay_class, &mill_class, NULL };
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    options.traces = sup_collector_url(collector);
    options.trace_rate = rate;
    options.trace_service = "shop";
    options.log_level = ASQ_LOG_INFO;
    logged_start_worker(NULL, &options, all);
}

static void set_up_with(const char *const config[])
{
    rate = 0;
    collector = sup_collector_start();
    logged_set_up_with(config);
    start_worker();
    logged_open();
}

static void set_up(void)
{
    set_up_with(NULL);
}

static void set_up_durable(void)
{
    set_up_with((const char *const[]){ "appendonly yes", "appendfsync always", NULL });
}

static void tear_down(void)
{
    logged_tear_down();
    sup_collector_free(collector);
    collector = NULL;
}

/* Stops the worker once it has handlers of signals. */
static void stop_worker(void)
{
    sup_wait_until(sup_redis_workers(redis, "default") == 1);
    modes_stop_worker(worker);
    worker = 0;
}

/* Starts a worker that traces a share of the calls on its own, too. */
static void trace_share(double share)
{
    stop_worker();
    rate = share;
    start_worker();
}

static asq_agent *agent(const char *cls)
{
    asq_agent *a;
    ok(asq_create(H, cls, NULL, &a, NULL));
    ok(asq_ready(a, ASQ_FOREVER));
    return a;
}

static asq_result *call(asq_agent *a, const char *method, const char *parent,
                        const asq_retry *retry, asq_value *args)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_trace trace = { parent, "vendor=1" };
    asq_result *r;
    options.trace = parent ? &trace : NULL;
    options.retry = retry;
    ok(asq_callv(a, method, &options, args, &r));
    return r;
}

static void done(asq_result *r, int code)
{
    ck_assert_code(asq_result_wait(r, ASQ_FOREVER), code);
    asq_result_free(r);
}

/* Counts the spans of calls, without their phases. */
static size_t calls(void)
{
    size_t n = 0;
    const struct sup_span *s;
    sup_collector_read(collector);
    for (size_t i = 0; (s = sup_collector_span(collector, NULL, i)); i++)
        n += s->kind != SUP_INTERNAL;
    return n;
}

/* Returns the i-th span of a name below another (NULL: any), which must be there. */
static const struct sup_span *below(const struct sup_span *above, const char *name, size_t i)
{
    const struct sup_span *s = above ? sup_collector_child(collector, above, name, i)
                                     : sup_collector_span(collector, name, i);
    ck_assert_msg(s != NULL, "there is no span %s %zu", name, i);
    return s;
}

/* Checks that the phases of a span follow each other without a gap, from its begin to its end. */
static void has_phases(const struct sup_span *s, const char *const names[])
{
    int64_t at = s->begin_ns;
    size_t i = 0, k = 0;
    const struct sup_span *c;
    for (; (c = sup_collector_child(collector, s, NULL, i)); i++) {
        if (c->kind != SUP_INTERNAL)
            continue;
        ck_assert_msg(names[k] && strcmp(c->name, names[k]) == 0, "%s is not %s", c->name,
                      names[k] ? names[k] : "the end");
        ck_assert(c->begin_ns == at && c->end_ns >= at);
        at = c->end_ns;
        k++;
    }
    ck_assert_ptr_null(names[k]);
    ck_assert(at == s->end_ns);
}
#define HAS_PHASES(s, ...) has_phases(s, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(a_call_its_nested_call_and_its_retries_are_a_tree)
{
    asq_agent *outer = agent("Relay"), *inner = agent("Counter"), *e = agent("Echo");
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    asq_value *v;
    char *json, *parent;
    retry.attempts = 2;
    done(call(outer, "call", SAMPLED, NULL, asq_pack("[a, s, [i]]", inner, "add", 2)), 0);
    sup_wait_until(calls() == 2);
    const struct sup_span *o = below(NULL, "Relay.call", 0), *n = below(o, "Counter.add", 0);
    ck_assert_str_eq(o->trace, TRACE);
    ck_assert_str_eq(o->parent, SPAN);
    ck_assert_str_eq(o->state, "vendor=1");
    ck_assert_str_eq(n->state, "vendor=1");
    ck_assert_str_eq(o->service, "shop");
    ck_assert_str_eq(o->instance, "w.0");
    ck_assert(o->kind == SUP_SERVER && n->kind == SUP_SERVER && !o->status && !n->status);
    if (sup_collector_child(collector, o, "parked", 0))
        HAS_PHASES(o, "queue", "run", "parked", "run", "commit");
    else /* the result was there before it was waited for */
        HAS_PHASES(o, "queue", "run", "commit");
    HAS_PHASES(n, "queue", "run", "commit");
    ck_assert(o->begin_ns <= n->begin_ns && n->begin_ns <= o->end_ns);
    ck_assert_str_eq(sup_span_text(n, "rpc.system"), "asqueue");
    ck_assert_str_eq(sup_span_text(n, "rpc.service"), "Counter");
    ck_assert_str_eq(sup_span_text(n, "rpc.method"), "add");
    ck_assert_str_eq(sup_span_text(n, "asqueue.agent"), asq_agent_id(inner));
    ck_assert_str_eq(sup_span_text(n, "asqueue.worker"), "w.0");
    ck_assert_str_eq(sup_span_text(n, "asqueue.attempt"), "1");

    asq_result *r = call(e, "trace", SAMPLED, &retry, asq_pack("[i]", 2));
    ok(asq_result_take(r, &v));
    sup_wait_until(calls() == 4);
    const struct sup_span *first = below(NULL, "Echo.trace", 0),
                          *second = below(NULL, "Echo.trace", 1);
    ck_assert_str_eq(first->parent, SPAN);
    ck_assert_str_eq(second->parent, SPAN);
    ck_assert_str_ne(first->id, second->id);
    ck_assert(first->status == 2 && !second->status);
    ck_assert_str_eq(first->message, "once more");
    ck_assert_str_eq(sup_span_text(first, "error.type"), "ASQ_EFAILED");
    ck_assert_str_eq(sup_span_text(first, "asqueue.attempt"), "1");
    ck_assert_str_eq(sup_span_text(second, "asqueue.attempt"), "2");
    ck_assert_str_eq(sup_span_text(first, "asqueue.call_id"),
                     sup_span_text(second, "asqueue.call_id"));
    ck_assert_str_eq(sup_span_text(first, "asqueue.call_id"), asq_result_id(r));
    /* What the method hands on is below its own run. */
    ok(asq_to_json(v, 0, &json));
    parent = sup_format("[\"00-" TRACE "-%s-01\",\"vendor=1\"]", second->id);
    ck_assert_str_eq(json, parent);
    free(json);
    free(parent);
    asq_value_free(v);
    asq_result_free(r);
    asq_agent_free(outer);
    asq_agent_free(inner);
    asq_agent_free(e);
}
END_TEST

/* A trace that nobody records is handed on as it is. */
START_TEST(calls_that_are_not_sampled_leave_nothing)
{
    asq_agent *e = agent("Echo");
    asq_value *v;
    asq_result *r = call(e, "trace", SILENT, NULL, asq_pack("[i]", 1));
    ok(asq_result_take(r, &v));
    ck_assert_value(v, "[\"" SILENT "\",\"vendor=1\"]");
    asq_value_free(v);
    asq_result_free(r);
    done(call(e, "nothing", NULL, NULL, NULL), 0);
    done(call(e, "all", SAMPLED, NULL, NULL), 0);
    SPANS(4);
    below(NULL, "Echo.all", 0);
    asq_agent_free(e);
}
END_TEST

START_TEST(a_rate_of_1_begins_a_trace_with_each_call_from_outside)
{
    trace_share(1);
    asq_agent *outer = agent("Relay"), *inner = agent("Counter");
    SPANS(2 * 4);
    ck_assert_str_ne(below(NULL, "Relay.create", 0)->trace,
                     below(NULL, "Counter.create", 0)->trace);
    done(call(outer, "call", NULL, NULL, asq_pack("[a, s, [i]]", inner, "add", 2)), 0);
    done(call(inner, "read", SILENT, NULL, NULL), 0);
    sup_wait_until(calls() == 4);
    const struct sup_span *o = below(NULL, "Relay.call", 0);
    ck_assert_str_eq(o->parent, "");
    below(o, "Counter.add", 0);
    asq_agent_free(outer);
    asq_agent_free(inner);
}
END_TEST

/* The call from outside decides for all that is below it. */
START_TEST(a_share_of_the_calls_is_traced_each_with_all_that_is_below_it)
{
    enum { CALLS = 400 };
    asq_result *r[CALLS];
    const struct sup_span *s;
    size_t chosen = 0, nested = 0;
    trace_share(0.5);
    asq_agent *outer = agent("Relay"), *inner = agent("Counter"), *e = agent("Echo");
    asq_cork(H);
    for (int i = 0; i < CALLS; i++)
        r[i] = call(outer, "call", NULL, NULL, asq_pack("[a, s, [i]]", inner, "add", 1));
    ok(asq_uncork(H));
    for (int i = 0; i < CALLS; i++)
        done(r[i], 0);
    done(call(e, "all", SAMPLED, NULL, NULL), 0); /* exported behind the others */
    sup_wait_until(sup_collector_read(collector) && sup_collector_span(collector, "Echo.all", 0));
    for (; (s = sup_collector_span(collector, "Relay.call", chosen)); chosen++) {
        ck_assert_str_eq(s->parent, "");
        below(s, "Counter.add", 0);
        ck_assert_ptr_null(sup_collector_child(collector, s, "Counter.add", 1));
    }
    while (sup_collector_span(collector, "Counter.add", nested))
        nested++;
    ck_assert_msg(chosen > CALLS / 4 && chosen < CALLS * 3 / 4, "%zu of %d", chosen, CALLS);
    ck_assert_uint_eq(nested, chosen);
    asq_agent_free(outer);
    asq_agent_free(inner);
    asq_agent_free(e);
}
END_TEST

static void kill_process(void)
{
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
}

/* Kills the supervisor, too, which would count the death. */
static void kill_worker(void)
{
    int status;
    kill(-worker, SIGKILL);
    ck_assert_int_eq(waitpid(worker, &status, 0), worker);
    start_worker();
}

static const struct {
    void (*kill)(void);
    const char *attempt; /* of the run that takes the place of the killed one */
} deaths[] = { { kill_process, "3" }, { kill_worker, "2" } };

/* The killed run leaves nothing; its nested call, which is not made again, is below the run that
 * takes its place. */
START_TEST(a_run_whose_process_is_killed_is_replaced_in_its_trace)
{
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    const char *begun = logged_file("begun"), *go = logged_file("go");
    retry.attempts = 2;
    ok(asq_register(H, &mill_class));
    asq_agent *mill = agent("Mill"), *c = agent("Counter");
    asq_result *r = call(mill, "grind", SAMPLED, &retry, asq_pack("[a, s, s]", c, begun, go));
    sup_wait_until(exists(begun));
    sup_wait_until(calls() == 2); /* the first run, and the nested call of the second */
    const struct sup_span *add = below(NULL, "Counter.add", 0);
    char *place = strdup(add->parent);
    deaths[_i].kill();
    touch(go);
    done(r, 0);
    sup_wait_until(calls() >= 3);
    done(call(c, "read", SAMPLED, NULL, NULL), 0);
    sup_wait_until(calls() >= 4);
    ck_assert_uint_eq(calls(), 4);
    const struct sup_span *first = below(NULL, "Mill.grind", 0),
                          *last = below(NULL, "Mill.grind", 1);
    ck_assert_str_eq(first->trace, TRACE);
    ck_assert_str_eq(last->trace, TRACE);
    ck_assert_str_eq(first->parent, SPAN);
    ck_assert_str_eq(last->parent, SPAN);
    ck_assert(first->status == 2 && !last->status);
    ck_assert_str_eq(sup_span_text(first, "asqueue.attempt"), "1");
    ck_assert_str_eq(sup_span_text(last, "asqueue.attempt"), deaths[_i].attempt);
    ck_assert_str_eq(sup_span_text(first, "asqueue.call_id"),
                     sup_span_text(last, "asqueue.call_id"));
    ck_assert_str_eq(last->id, place);
    below(last, "Counter.add", 0);
    free(place);
    asq_agent_free(mill);
    asq_agent_free(c);
}
END_TEST

/* Redis restarts without a call, which is then sent again. */
START_TEST(a_call_that_redis_has_lost_is_marked_when_it_runs)
{
    asq_agent *c = agent("Counter");
    done(call(c, "read", SAMPLED, NULL, NULL), 0);
    char *kept = sup_redis_keep(redis);
    kill(-worker, SIGSTOP);
    asq_result *r = call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1));
    ok(asq_flush(H, ASQ_FOREVER));
    sup_redis_kill(redis);
    sup_redis_go_back(redis, kept);
    sup_redis_restart(redis);
    kill(-worker, SIGCONT);
    done(r, 0);
    SPANS(2 * 4);
    ck_assert_str_eq(sup_span_text(below(NULL, "Counter.read", 0), "asqueue.resent"), "");
    ck_assert_str_eq(sup_span_text(below(NULL, "Counter.add", 0), "asqueue.resent"), "true");
    free(kept);
    asq_agent_free(c);
}
END_TEST

START_TEST(failures_have_their_code_and_text)
{
    asq_agent *c = agent("Counter"), *e = agent("Echo");
    char *go = sup_path("go"), *begun = sup_path("begun");
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_trace trace = { SAMPLED, NULL };
    asq_result *held, *late;
    done(call(c, "no_such", SAMPLED, NULL, NULL), ASQ_ENOMETHOD);
    SPANS(4);
    const struct sup_span *s = below(NULL, "Counter.no_such", 0);
    ck_assert_int_eq(s->status, 2);
    ck_assert_str_eq(sup_span_text(s, "error.type"), "ASQ_ENOMETHOD");
    ck_assert_ptr_nonnull(strstr(s->message, "no_such"));
    /* A call that never runs has waited, and that is all. */
    held = call(e, "hold", NULL, NULL, asq_pack("[s, s]", begun, go));
    options.deadline_ms = 1;
    options.trace = &trace;
    ok(asq_callv(e, "nothing", &options, NULL, &late));
    sup_wait_until(exists(begun));
    sup_sleep_ms(5); /* its deadline passes before it is its turn */
    touch(go);
    done(late, ASQ_EDEADLINE);
    SPANS(4 + 2);
    s = below(NULL, "Echo.nothing", 0);
    ck_assert_str_eq(sup_span_text(s, "error.type"), "ASQ_EDEADLINE");
    HAS_PHASES(s, "queue");
    done(held, 0);
    free(go);
    free(begun);
    asq_agent_free(c);
    asq_agent_free(e);
}
END_TEST

START_TEST(spans_wait_for_a_collector_that_comes_back)
{
    asq_agent *c = agent("Counter");
    sup_collector_stop(collector);
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    sup_wait_until(logged_count("traces cannot be exported to http://127.0.0.1") == 1);
    ck_assert_int_eq(logged_count(" after "), 0); /* a time would be a new cause at each try */
    sup_collector_restart(collector);
    SPANS(4);
    sup_wait_until(logged_count("traces are exported again") == 1);
    asq_agent_free(c);
}
END_TEST

START_TEST(a_collector_that_refuses_is_told_of_once)
{
    asq_agent *c = agent("Counter");
    sup_collector_answer(collector, 500);
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    sup_wait_until(sup_collector_requests(collector) == 1);
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    sup_wait_until(sup_collector_requests(collector) == 2); /* 500 is not tried again */
    sup_collector_answer(collector, 200);
    done(call(c, "read", SAMPLED, NULL, NULL), 0);
    SPANS(4);
    ck_assert_int_eq(logged_count("it answers 500"), 1);
    sup_wait_until(logged_count("2 calls are missing") == 1);
    asq_agent_free(c);
}
END_TEST

START_TEST(a_collector_that_rejects_spans_of_a_request_is_told_of)
{
    asq_agent *c = agent("Counter");
    sup_collector_answer_with(
        collector, 200, "",
        "{\"partialSuccess\":{\"rejectedSpans\":\"2\",\"errorMessage\":\"too old\"}}");
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    sup_wait_until(logged_count("it rejects spans: too old") == 1);
    ck_assert_uint_eq(sup_collector_requests(collector), 1);
    sup_collector_answer(collector, 200);
    done(call(c, "read", SAMPLED, NULL, NULL), 0);
    sup_wait_until(logged_count("; 0 calls and 2 rejected spans are missing") == 1);
    ck_assert_uint_eq(sup_collector_requests(collector), 2); /* the first was not sent again */
    asq_agent_free(c);
}
END_TEST

START_TEST(a_long_answer_may_reject_spans)
{
    enum { LONG = 100 * 1024 };
    char *text = calloc(1, LONG), *answer;
    asq_agent *c = agent("Counter");
    memset(text, 'x', LONG - 1);
    for (int whole = 1; whole >= 0; whole--) {
        text[whole ? LONG / 10 : LONG - 1] = '\0';
        answer =
            sup_format("{\"partialSuccess\":{\"rejectedSpans\":\"%d\",\"errorMessage\":\"%s\"}}",
                       1 + whole, text);
        text[LONG / 10] = 'x';
        sup_collector_answer_with(collector, 200, "", answer);
        done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
        sup_wait_until(logged_count(whole ? "it rejects spans: xxx"
                                          : "it rejects spans: without a reason") == 1);
        free(answer);
    }
    sup_collector_answer(collector, 200);
    done(call(c, "read", SAMPLED, NULL, NULL), 0);
    sup_wait_until(logged_count("; 0 calls and 3 rejected spans are missing") == 1);
    free(text);
    asq_agent_free(c);
}
END_TEST

/* Without the head it would be tried again after half a second. */
START_TEST(a_collector_that_asks_to_wait_is_left_alone)
{
    enum { WAIT_MS = 3000 };
    asq_agent *c = agent("Counter");
    sup_collector_answer_with(collector, 429, "Retry-After: 3\r\n", "{}");
    int64_t before_ms = sup_now_ms();
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    sup_wait_until(sup_collector_requests(collector) == 1);
    sup_collector_answer(collector, 200);
    SPANS(4);
    ck_assert_int_ge(sup_now_ms() - before_ms, WAIT_MS);
    asq_agent_free(c);
}
END_TEST

/* Calls go on, more than can be kept; the worker ends in order. */
START_TEST(a_collector_that_does_not_answer_holds_up_nothing)
{
    enum { CALLS = 20000, AT_ONCE = 500 };
    asq_agent *c = agent("Counter");
    asq_trace trace = { SAMPLED, NULL };
    asq_result *r[AT_ONCE];
    sup_collector_answer(collector, SUP_COLLECTOR_STALLS);
    ok(asq_set_trace(H, &trace));
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    sup_wait_until(sup_collector_requests(collector) == 1);
    for (int k = 0; k < CALLS / AT_ONCE; k++) {
        asq_cork(H);
        for (int i = 0; i < AT_ONCE; i++)
            ok(asq_call(c, "add", &r[i], "[i]", 1));
        ok(asq_uncork(H));
        for (int i = 0; i < AT_ONCE; i++)
            done(r[i], 0);
    }
    asq_agent_free(c);
    sup_wait_until(logged_count("takes calls more slowly than they end") ||
                   logged_count("traces cannot be exported"));
}
END_TEST

START_TEST(what_is_there_leaves_at_the_end)
{
    asq_agent *c = agent("Counter");
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    stop_worker();
    ck_assert_uint_eq(sup_collector_read(collector), 4);
    asq_agent_free(c);
}
END_TEST

START_TEST(headers_come_from_the_environment_and_are_not_logged)
{
    stop_worker();
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cr3t, x-tenant=7", 1);
    start_worker();
    unsetenv("OTEL_EXPORTER_OTLP_HEADERS");
    sup_collector_answer(collector, 401);
    asq_agent *c = agent("Counter");
    done(call(c, "add", SAMPLED, NULL, asq_pack("[i]", 1)), 0);
    sup_wait_until(logged_count("it answers 401") == 1);
    char *heads = sup_collector_heads(collector);
    ck_assert_contains(heads, "\r\nauthorization: Bearer s3cr3t\r\n");
    ck_assert_contains(heads, "\r\nx-tenant: 7\r\n");
    free(heads);
    ck_assert_int_eq(logged_count("s3cr3t"), 0);
    asq_agent_free(c);
}
END_TEST

static void refused(const char *url, double share, const char *service, const char *text)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char err[500] = "";
    asq_worker *w;
    options.traces = url;
    options.trace_rate = share;
    options.trace_service = service;
    ck_assert_int_eq(asq_worker_new(&options, &w, err, sizeof err), ASQ_EINVAL);
    ck_assert_contains(err, text);
    ck_assert_ptr_null(strstr(err, "s3cr3t"));
}

START_TEST(what_is_wrong_is_told_at_the_start)
{
    refused("", 0, NULL, "collector's URL");
    refused("ftp://h/", 0, NULL, "collector's URL");
    refused("file:///etc/passwd", 0, NULL, "collector's URL");
    refused("http://u:s3cr3t@h/", 0, NULL, "OTEL_EXPORTER_OTLP_HEADERS");
    refused("http://h/", 1.5, NULL, "between 0 and 1");
    refused("http://h/", -1, NULL, "between 0 and 1");
    refused("http://h/", 0. / 0., NULL, "between 0 and 1");
    refused("http://h/", 0, "\xff", "UTF-8");
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=1,s3cr3t", 1);
    refused("http://h/", 0, NULL, "header 2 of OTEL_EXPORTER_OTLP_HEADERS");
    setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=s3cr3t%0d%0ab: c", 1);
    refused("http://h/", 0, NULL, "header 1 of OTEL_EXPORTER_OTLP_HEADERS");
    unsetenv("OTEL_EXPORTER_OTLP_HEADERS");
    setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such/file", 1);
    refused("https://h/", 0, NULL,
            "OTEL_EXPORTER_OTLP_CERTIFICATE cannot be read: /no/such/file: No");
    unsetenv("OTEL_EXPORTER_OTLP_CERTIFICATE");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("traces");
    TCase *t = tcase_create("worker");
    if (!sup_redis_available())
        return sup_skip("no redis-server");
#ifndef HAVE_LIBCURL
    return sup_skip("asqueue was built without libcurl");
#endif
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 240);
    tcase_add_test(t, a_call_its_nested_call_and_its_retries_are_a_tree);
    tcase_add_test(t, calls_that_are_not_sampled_leave_nothing);
    tcase_add_test(t, a_rate_of_1_begins_a_trace_with_each_call_from_outside);
    tcase_add_test(t, a_share_of_the_calls_is_traced_each_with_all_that_is_below_it);
    tcase_add_loop_test(t, a_run_whose_process_is_killed_is_replaced_in_its_trace, 0,
                        sizeof deaths / sizeof *deaths);
    tcase_add_test(t, failures_have_their_code_and_text);
    tcase_add_test(t, spans_wait_for_a_collector_that_comes_back);
    tcase_add_test(t, a_collector_that_refuses_is_told_of_once);
    tcase_add_test(t, a_collector_that_rejects_spans_of_a_request_is_told_of);
    tcase_add_test(t, a_long_answer_may_reject_spans);
    tcase_add_test(t, a_collector_that_asks_to_wait_is_left_alone);
    tcase_add_test(t, a_collector_that_does_not_answer_holds_up_nothing);
    tcase_add_test(t, what_is_there_leaves_at_the_end);
    tcase_add_test(t, headers_come_from_the_environment_and_are_not_logged);
    suite_add_tcase(s, t);
    t = tcase_create("durable");
    tcase_add_checked_fixture(t, set_up_durable, tear_down);
    tcase_set_timeout(t, 4. * (double) sup_limit_ms() / 1000);
    tcase_add_test(t, a_call_that_redis_has_lost_is_marked_when_it_runs);
    suite_add_tcase(s, t);
    t = tcase_create("options");
    tcase_add_test(t, what_is_wrong_is_told_at_the_start);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
