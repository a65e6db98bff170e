/*
 * check_client_traces.c: what a program's handle exports of its calls, in each mode, and how the
 * runs of the calls are below them.
 */
#include "classes.h"
#include "load.h"
#include "modes.h"
#include "support/collector.h"
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRACE   "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN    "00f067aa0ba902b7"
#define SAMPLED "00-" TRACE "-" SPAN "-01"
#define SILENT  "00-" TRACE "-" SPAN "-00"

enum { LOCAL, CHILD, INDEPENDENT, MODES };

static sup_collector *collector;
static sup_redis *redis;
static pid_t worker;

static void set_up(void)
{
    collector = sup_collector_start();
}

static void tear_down(void)
{
    if (worker)
        load_worker_stop(worker);
    sup_redis_free(redis);
    sup_collector_free(collector);
    worker = 0;
    redis = NULL;
}

/* Opens H, whose calls, and their runs, are exported to the collector. */
static void open_traced(int which, double rate)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[500] = "";
    const char *url = which == LOCAL ? "local:" : "child:";
    options.traces = sup_collector_url(collector);
    options.trace_rate = rate;
    options.trace_service = "shop";
    options.timeout_ms = 2 * sup_limit_ms();
    options.child_processes = 2;
    if (which == INDEPENDENT) {
        asq_worker_options of_worker = ASQ_WORKER_OPTIONS_INIT;
        redis = sup_redis_start(NULL);
        url = sup_redis_url(redis);
        of_worker.traces = sup_collector_url(collector);
        worker = load_worker(url, &of_worker);
        load_make_namespace(url, 0);
    }
    ck_assert_msg(asq_open(url, &options, &H, err, sizeof err) == 0, "%s", err);
    for (const asq_class *const *c = classes; *c; c++)
        ok(asq_register(H, *c));
}

static asq_result *call(asq_agent *a, const char *method, const char *parent,
                        const asq_retry *retry, asq_value *args)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_trace trace = { parent, NULL };
    asq_result *r;
    options.trace = parent ? &trace : NULL;
    options.retry = retry;
    ok(asq_callv(a, method, &options, args, &r));
    return r;
}

static const struct sup_span *below(const struct sup_span *above, const char *name, int kind)
{
    const struct sup_span *s;
    for (size_t i = 0; (s = above ? sup_collector_child(collector, above, name, i)
                                  : sup_collector_span(collector, name, i));
         i++)
        if (s->kind == kind)
            return s;
    ck_abort_msg("there is no span %s of kind %d", name, kind);
    return NULL;
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

START_TEST(a_programs_call_its_runs_and_their_calls_are_a_tree)
{
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    asq_result *r;
    asq_value *v;
    retry.attempts = 2;
    open_traced(_i, 0);
    asq_agent *outer = agent_new("Relay", NULL), *inner = agent_new("Counter", NULL),
              *e = agent_new("Echo", NULL);
    r = call(outer, "call", SAMPLED, NULL, asq_pack("[a, s, [i]]", inner, "add", 2));
    ok(asq_result_wait(r, ASQ_FOREVER));
    char *id = strdup(asq_result_id(r));
    asq_result_free(r);
    sup_wait_until(calls() == 3);
    const struct sup_span *client = below(NULL, "Relay.call", SUP_CLIENT);
    const struct sup_span *o = below(client, "Relay.call", SUP_SERVER);
    const struct sup_span *n = below(o, "Counter.add", SUP_SERVER);
    ck_assert_str_eq(client->trace, TRACE);
    ck_assert_str_eq(client->parent, SPAN);
    ck_assert_str_eq(client->service, "shop");
    ck_assert_str_eq(sup_span_text(client, "asqueue.call_id"), id);
    ck_assert_str_eq(sup_span_text(o, "asqueue.call_id"), id);
    ck_assert_str_eq(sup_span_text(client, "asqueue.agent"), asq_agent_id(outer));
    ck_assert(client->begin_ns < client->end_ns && !client->status);
    below(n, "run", SUP_INTERNAL);

    r = call(e, "trace", SAMPLED, &retry, asq_pack("[i]", 2));
    ok(asq_result_take(r, &v));
    asq_value_free(v);
    asq_result_free(r);
    sup_wait_until(calls() == 6);
    client = below(NULL, "Echo.trace", SUP_CLIENT);
    const struct sup_span *first = sup_collector_child(collector, client, "Echo.trace", 0);
    const struct sup_span *second = sup_collector_child(collector, client, "Echo.trace", 1);
    ck_assert(first->status == 2 && second && !second->status && !client->status);
    ck_assert_str_eq(sup_span_text(second, "asqueue.attempt"), "2");
    free(id);
    asq_agent_free(outer);
    asq_agent_free(inner);
    asq_agent_free(e);
    ok(asq_close(H));
}
END_TEST

START_TEST(a_rate_begins_traces_and_flags_end_them)
{
    asq_result *r;
    open_traced(_i, 1);
    asq_agent *c = agent_new("Counter", NULL);
    ok(asq_ready(c, ASQ_FOREVER));
    sup_wait_until(calls() == 2);
    const struct sup_span *client = below(NULL, "Counter.create", SUP_CLIENT);
    ck_assert_str_eq(client->parent, "");
    below(client, "Counter.create", SUP_SERVER);
    r = call(c, "add", SILENT, NULL, asq_pack("[i]", 1));
    ok(asq_result_wait(r, ASQ_FOREVER));
    asq_result_free(r);
    r = call(c, "add", NULL, NULL, asq_pack("[s]", "no number"));
    ck_assert_code(asq_result_wait(r, ASQ_FOREVER), ASQ_EARGS);
    asq_result_free(r);
    sup_wait_until(calls() == 4); /* not 6 */
    client = below(NULL, "Counter.add", SUP_CLIENT);
    ck_assert_int_eq(client->status, 2);
    ck_assert_str_eq(sup_span_text(client, "error.type"), "ASQ_EARGS");
    ck_assert_int_eq(below(client, "Counter.add", SUP_SERVER)->status, 2);
    asq_agent_free(c);
    ok(asq_close(H));
}
END_TEST

static size_t count(const char *name, int kind)
{
    size_t n = 0;
    const struct sup_span *s;
    for (size_t i = 0; (s = sup_collector_span(collector, name, i)); i++)
        n += s->kind == kind;
    return n;
}

/* Returns whether as many calls of the program have come, with their runs and nested calls. */
static bool are_trees(size_t chosen)
{
    sup_collector_read(collector);
    return count("Relay.call", SUP_CLIENT) == chosen && count("Relay.call", SUP_SERVER) == chosen &&
           count("Counter.add", SUP_SERVER) == chosen;
}

/* The program decides for the runs and nested calls of its calls. */
START_TEST(a_share_of_the_calls_is_traced_each_with_all_that_is_below_it)
{
    enum { CALLS = 400 };
    asq_result *r[CALLS];
    open_traced(_i, 0.5);
    asq_agent *outer = agent_new("Relay", NULL), *inner = agent_new("Counter", NULL);
    asq_cork(H);
    for (int i = 0; i < CALLS; i++)
        r[i] = call(outer, "call", NULL, NULL, asq_pack("[a, s, [i]]", inner, "add", 1));
    ok(asq_uncork(H));
    for (int i = 0; i < CALLS; i++) {
        ok(asq_result_wait(r[i], ASQ_FOREVER));
        asq_result_free(r[i]);
    }
    r[0] = call(outer, "me", SAMPLED, NULL, NULL);
    ok(asq_result_wait(r[0], ASQ_FOREVER));
    asq_result_free(r[0]);
    sup_wait_until(sup_collector_read(collector) && count("Relay.me", SUP_CLIENT) == 1);
    size_t chosen = count("Relay.call", SUP_CLIENT); /* exported before that one */
    ck_assert_msg(chosen > CALLS / 4 && chosen < CALLS * 3 / 4, "%zu of %d", chosen, CALLS);
    sup_wait_until(are_trees(chosen));
    for (size_t i = 0, k = 0; k < chosen; i++) {
        const struct sup_span *client = sup_collector_span(collector, "Relay.call", i);
        if (client->kind == SUP_CLIENT) {
            below(below(client, "Relay.call", SUP_SERVER), "Counter.add", SUP_SERVER);
            k++;
        }
    }
    asq_agent_free(outer);
    asq_agent_free(inner);
    ok(asq_close(H));
    ck_assert(are_trees(chosen));
}
END_TEST

START_TEST(nothing_is_exported_without_a_trace)
{
    open_traced(_i, 0);
    asq_agent *c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    asq_agent_free(c);
    ok(asq_close(H));
    ck_assert_uint_eq(sup_collector_requests(collector), 0);
}
END_TEST

/* asq_close sends what there is, and does not wait for a collector that does not answer. */
START_TEST(the_end_of_a_handle_sends_what_there_is)
{
    open_traced(LOCAL, 1);
    asq_agent *c = counter(1);
    asq_agent_free(c);
    ok(asq_close(H));
    ck_assert_uint_eq(calls(), 2);
    sup_collector_answer(collector, SUP_COLLECTOR_STALLS);
    open_traced(LOCAL, 1);
    c = counter(1);
    asq_agent_free(c);
    int64_t began_ms = sup_now_ms();
    ok(asq_close(H));
    ck_assert_int_lt(sup_now_ms() - began_ms, sup_limit_ms());
    ck_assert_uint_eq(sup_collector_requests(collector), 2);
}
END_TEST

/* The thread is not in the copy, and its lock may be held there. */
START_TEST(a_forked_program_exports_nothing_and_goes_on)
{
    int status;
    open_traced(LOCAL, 1);
    asq_agent *c = counter(1);
    sup_wait_until(calls() == 2);
    pid_t pid = fork();
    if (pid == 0) {
        call_int(c, "add", "[i]", 1);
        asq_agent_free(c);
        asq_close(H);
        _exit(0);
    }
    ck_assert(waitpid(pid, &status, 0) == pid && status == 0);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    sup_wait_until(calls() == 4);
    asq_agent_free(c);
    ok(asq_close(H));
}
END_TEST

START_TEST(what_is_wrong_is_told_by_asq_open)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[500] = "";
    options.traces = "gopher://h/";
    ck_assert_int_eq(asq_open("local:", &options, &H, err, sizeof err), ASQ_EINVAL);
    ck_assert_contains(err, "collector's URL");
    options.traces = "http://127.0.0.1:1";
    options.trace_rate = 2;
    ck_assert_int_eq(asq_open("local:", &options, &H, err, sizeof err), ASQ_EINVAL);
    ck_assert_contains(err, "between 0 and 1");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("client_traces");
    TCase *t = tcase_create("all");
#ifndef HAVE_LIBCURL
    return sup_skip("asqueue was built without libcurl");
#endif
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    mode = MODE_INDEPENDENT;
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_set_timeout(t, 240);
    tcase_add_loop_test(t, a_programs_call_its_runs_and_their_calls_are_a_tree, 0, MODES);
    tcase_add_loop_test(t, a_rate_begins_traces_and_flags_end_them, 0, MODES);
    tcase_add_loop_test(t, a_share_of_the_calls_is_traced_each_with_all_that_is_below_it, 0, MODES);
    tcase_add_loop_test(t, nothing_is_exported_without_a_trace, 0, MODES);
    tcase_add_test(t, the_end_of_a_handle_sends_what_there_is);
    tcase_add_test(t, a_forked_program_exports_nothing_and_goes_on);
    tcase_add_test(t, what_is_wrong_is_told_by_asq_open);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
