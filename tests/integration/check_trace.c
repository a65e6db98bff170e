/*
 * check_trace.c: a trace travels with a call: into its runs, also late ones, and into the calls
 * that its method makes.
 */
#include "modes.h"
#include "support/suite.h"

#include <stdlib.h>

#define PARENT "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define OTHER  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
#define STATE  "vendor=a b,other=1"

static const asq_trace given = { PARENT, STATE }, other = { OTHER, NULL };

static asq_value *call_with(asq_agent *a, const char *method, const asq_call_options *options,
                            asq_value *args)
{
    asq_result *r;
    asq_value *v;
    ok(asq_callv(a, method, options, args, &r));
    ok(asq_result_take(r, &v));
    asq_result_free(r);
    return v;
}

/* Checks what Echo.trace has returned. */
static void is(asq_value *v, const char *json)
{
    ck_assert_value(v, json);
    asq_value_free(v);
}

START_TEST(a_calls_trace_reaches_its_method)
{
    asq_agent *e = agent_new("Echo", NULL);
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    is(call_with(e, "trace", &options, asq_pack("[i]", 1)), "null");
    options.trace = &given;
    is(call_with(e, "trace", &options, asq_pack("[i]", 1)), "[\"" PARENT "\",\"" STATE "\"]");
    is(call_with(e, "trace", NULL, asq_pack("[i]", 1)), "null");
    asq_agent_free(e);
}
END_TEST

START_TEST(each_run_of_a_delayed_call_that_is_retried_has_its_trace)
{
    asq_agent *e = agent_new("Echo", NULL);
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_retry retry = ASQ_RETRY_OPTIONS_INIT;
    retry.attempts = 3;
    options.retry = &retry;
    options.delay_ms = 50;
    options.trace = &other;
    is(call_with(e, "trace", &options, asq_pack("[i]", 3)), "[\"" OTHER "\",\"\"]");
    asq_agent_free(e);
}
END_TEST

START_TEST(calls_inside_of_a_call_belong_to_its_trace)
{
    asq_agent *e = agent_new("Echo", NULL), *outer = agent_new("Relay", NULL),
              *inner = agent_new("Relay", NULL);
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    options.trace = &given;
    is(call_with(outer, "call", &options,
                 asq_pack("[a, s, [a, s, [i]]]", inner, "call", e, "trace", 1)),
       "[\"" PARENT "\",\"" STATE "\"]");
    is(call_with(outer, "call", NULL,
                 asq_pack("[a, s, [a, s, [i]]]", inner, "call", e, "trace", 1)),
       "null");
    asq_agent_free(inner);
    asq_agent_free(outer);
    asq_agent_free(e);
}
END_TEST

START_TEST(a_handles_trace_is_for_calls_without_one)
{
    asq_agent *e = agent_new("Echo", NULL);
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    char parent[] = PARENT, state[] = STATE;
    asq_trace mine = { parent, state };
    ok(asq_set_trace(H, &mine));
    parent[5] = state[0] = '\0'; /* it is copied */
    is(call_with(e, "trace", NULL, asq_pack("[i]", 1)), "[\"" PARENT "\",\"" STATE "\"]");
    options.trace = &other;
    is(call_with(e, "trace", &options, asq_pack("[i]", 1)), "[\"" OTHER "\",\"\"]");
    ck_assert_int_eq(asq_set_trace(H, &mine), ASQ_EINVAL);
    is(call_with(e, "trace", NULL, asq_pack("[i]", 1)), "[\"" PARENT "\",\"" STATE "\"]");
    ok(asq_set_trace(H, NULL));
    is(call_with(e, "trace", NULL, asq_pack("[i]", 1)), "null");
    asq_agent_free(e);
}
END_TEST

START_TEST(a_malformed_trace_is_refused_before_the_call)
{
    asq_agent *e = agent_new("Echo", NULL);
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_trace bad = { "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", NULL };
    asq_result *r = NULL;
    options.trace = &bad;
    ck_assert_int_eq(asq_callv(e, "trace", &options, asq_pack("[i]", 1), &r), ASQ_EINVAL);
    ck_assert_contains(asq_errmsg(H), "the call of trace: its traceparent is not");
    bad = (asq_trace){ PARENT, "no member" };
    ck_assert_int_eq(asq_callv(e, "trace", &options, asq_pack("[i]", 1), &r), ASQ_EINVAL);
    ck_assert_contains(asq_errmsg(H), "its tracestate is not");
    ck_assert_ptr_null(r);
    asq_agent_free(e);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, a_calls_trace_reaches_its_method);
    tcase_add_test(t, each_run_of_a_delayed_call_that_is_retried_has_its_trace);
    tcase_add_test(t, calls_inside_of_a_call_belong_to_its_trace);
    tcase_add_test(t, a_handles_trace_is_for_calls_without_one);
    tcase_add_test(t, a_malformed_trace_is_refused_before_the_call);
}

int main(void)
{
    return modes_main("trace", add_all, NULL);
}
