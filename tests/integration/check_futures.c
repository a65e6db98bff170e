/*
 * check_futures.c: results of other calls among the arguments of a call, in lists and maps at any
 * depth, in a program and inside a method. They are awaited, or passed on.
 */
#include "modes.h"
#include "classes.h"

#include <stdlib.h>
#include <string.h>

enum { N = 50 };

/* Returns the first argument as the method `first` sees it, as JSON; the caller frees it. */
static char *seen_by_method(asq_agent *e, asq_value *args)
{
    asq_result *r;
    asq_value *v;
    char *json;

    ok(asq_callv(e, "first", NULL, args, &r));
    ok(asq_result_take(r, &v));
    ck_assert_int_eq(asq_to_json(v, 0, &json), 0);
    asq_value_free(v);
    asq_result_free(r);
    return json;
}

START_TEST(futures_are_awaited_wherever_they_stand)
{
    asq_agent *e = agent_new("Echo", NULL), *slow = agent_new("Echo", NULL);
    asq_result *nap, *x, *y;
    char *json;

    ok(asq_call(slow, "nap", &nap, "[i]", 50)); /* calls behind it on `slow` have no result yet */
    ok(asq_call(slow, "sum", &x, "[i, i]", 1, 2));
    ok(asq_call(slow, "all", &y, "[s, {s:i}]", "deep", "k", 7));
    json = seen_by_method(
        e, asq_pack("[{s:[i, r, {s:r}], s:r, s:s}]", "a", 0, x, "b", y, "c", x, "d", "end"));
    ck_assert_str_eq(json, "{\"a\":[0,3,{\"b\":[\"deep\",{\"k\":7}]}],\"c\":3,\"d\":\"end\"}");
    free(json);
    /* Makes the same calls again when the results are there. */
    ok(asq_result_wait(y, ASQ_FOREVER));
    json = seen_by_method(e, asq_pack("[[[[r]], {s:{s:r}}]]", x, "a", "b", y));
    ck_assert_str_eq(json, "[[[3]],{\"a\":{\"b\":[\"deep\",{\"k\":7}]}}]");
    free(json);
    ck_assert_code(result_code(nap), 0);
    asq_result_free(x);
    asq_result_free(y);
    asq_agent_free(slow);
    asq_agent_free(e);
}
END_TEST

START_TEST(map_and_reduce_are_two_statements)
{
    asq_agent *mappers[5], *reducer = agent_new("Relay", NULL), *e = agent_new("Echo", NULL);
    asq_value *parts = asq_value_list(), *args = asq_value_list();
    asq_result *r, *sum;

    ok(asq_create_many(H, "Echo", 5, NULL, NULL, mappers));
    for (int i = 0; i < N; i++) {
        ok(asq_call(mappers[i % 5], "sum", &r, "[i, i]", i, 1));
        ok(asq_list_append(parts, asq_value_future(r)));
        asq_result_free(r);
    }
    ok(asq_list_append(args, asq_value_agent(e)));
    ok(asq_list_append(args, parts));
    ok(asq_callv(reducer, "pass", NULL, args, &sum));
    ck_assert_int_eq(result_int(sum), N * (N + 1) / 2);
    for (int i = 0; i < 5; i++)
        asq_agent_free(mappers[i]);
    asq_agent_free(e);
    asq_agent_free(reducer);
}
END_TEST

START_TEST(a_future_that_is_handed_on_is_not_awaited)
{
    asq_agent *e = agent_new("Echo", NULL), *r = agent_new("Relay", NULL),
              *sink = agent_new("Echo", NULL);
    asq_result *x, *y, *back, *again;
    const asq_value *v;
    const char *id;

    ok(asq_call(e, "sum", &x, "[i, i]", 1, 2));
    ok(asq_call(e, "sum", &y, "[i, i]", 3, 4));
    /* The futures are at the top level and below, finished or not. The method returns the
     * reference. */
    for (int i = 0; i < 2; i++) {
        ok(asq_call(sink, "all", &back, "[R, {s:R, s:r}, r]", x, "x", x, "y", y, x));
        ok(asq_result_unpack(back, "[R, {s:r, s:i}, i]", &v, "x", &v, "y", &(int){ 0 },
                             &(int){ 0 }));
        ck_assert_int_eq(asq_value_get_future(v, &id), 0);
        ck_assert_str_eq(id, asq_result_id(x));
        ok(asq_result_attach(H, id, &again));
        ck_assert_int_eq(result_int(again), 3);
        asq_result_free(back);
        ok(asq_result_wait(x, ASQ_FOREVER));
    }
    /* The method passes the future to a call of its own, which waits for it. */
    ck_assert_int_eq(call_int(r, "pass", "[a, [R, i, r]]", sink, x, 10, y), 3 + 10 + 7);
    asq_result_free(x);
    asq_result_free(y);
    asq_agent_free(sink);
    asq_agent_free(r);
    asq_agent_free(e);
}
END_TEST

/* The value of a future that was passed on has arrived by the time the method asks. */
START_TEST(a_method_that_is_handed_a_future_need_not_wait)
{
    asq_agent *slow = agent_new("Echo", NULL), *e = agent_new("Echo", NULL);
    char begun[200], release[200];
    asq_result *held, *type;

    snprintf(begun, sizeof begun, "%s", own("begun"));
    snprintf(release, sizeof release, "%s", own("release"));
    ok(asq_call(slow, "hold", &held, "[s, s]", begun, release));
    ok(asq_call(e, "type", &type, "[R]", held));
    const char *text;
    ok(asq_result_string(type, &text)); /* while the other agent is busy */
    ck_assert_str_eq(text, "future");
    ck_assert(!asq_result_done(held));
    touch(release);
    ck_assert_code(result_code(held), 0);
    asq_result_free(type);
    asq_agent_free(e);
    asq_agent_free(slow);
}
END_TEST

START_TEST(a_failed_future_in_a_list_fails_the_call)
{
    asq_agent *bad = counter(1), *a = counter(2), *e = agent_new("Echo", NULL);
    asq_result *failed, *dependent;

    ok(asq_call(bad, "spoil", &failed, NULL));
    ok(asq_call(e, "all", &dependent, "[[{s:r}]]", "n", failed));
    ck_assert_code(asq_result_wait(dependent, ASQ_FOREVER), ASQ_EINPUT);
    ck_assert_contains(asq_result_error(dependent)->message, "no luck");
    asq_result_free(dependent);
    ck_assert_code(asq_result_wait(failed, ASQ_FOREVER), ASQ_EUSER(3));
    ok(asq_call(e, "all", &dependent, "[[{s:r}]]", "n", failed));
    ck_assert_code(asq_result_wait(dependent, ASQ_FOREVER), ASQ_EINPUT);
    asq_result_free(dependent);
    /* A future that is passed on is no input. */
    ok(asq_call(e, "all", &dependent, "[[{s:R}]]", "n", failed));
    ck_assert_code(result_code(dependent), 0);
    asq_result_free(failed);
    asq_agent_free(e);
    asq_agent_free(a);
    asq_agent_free(bad);
}
END_TEST

START_TEST(an_attribute_and_creation_arguments_wait_too)
{
    asq_agent *e = agent_new("Echo", NULL), *c;
    asq_result *x;

    ok(asq_call(e, "sum", &x, "[i, i]", 40, 2));
    ok(asq_create(H, "Counter", NULL, &c, "{s:r}", "value", x));
    ck_assert_int_eq(call_int(c, "read", NULL), 42);
    asq_result_free(x);
    asq_agent_free(c);
    asq_agent_free(e);
}
END_TEST

/* Returns a list of n times the same future, as arguments of one call. */
static asq_value *many(asq_result *r, size_t n)
{
    asq_value *list = asq_value_list();
    for (size_t i = 0; i < n; i++)
        ok(asq_list_append(list, asq_value_future(r)));
    return asq_pack("[o]", list);
}

START_TEST(more_futures_than_a_call_may_have_are_refused)
{
    asq_agent *e = agent_new("Echo", NULL);
    asq_result *x, *r = NULL;

    ok(asq_call(e, "sum", &x, "[i]", 1));
    ck_assert_code(asq_callv(e, "first", NULL, many(x, ASQ_MAX_FUTURES + 1), &r), ASQ_ELIMIT);
    ck_assert_contains(asq_errmsg(H), "more than 100000 results");
    ck_assert_ptr_null(r);
    asq_result_free(x);
    asq_agent_free(e);
}
END_TEST

/* Each value fits into a message, but all of them together do not. One call fails, and the next one
 * runs. */
START_TEST(values_that_do_not_fit_together_fail_the_call)
{
    asq_agent *e = agent_new("Echo", NULL), *f = agent_new("Echo", NULL);
    size_t n = 2 * 1024 * 1024;
    char *text = calloc(1, n);
    asq_result *big, *r;

    memset(text, 'x', n);
    for (int i = 0; i < 2; i++) {
        asq_value *args;
        int rc;
        ok(asq_call(e, "first", &big, "[s#]", text, n));
        if (i == 1)
            ok(asq_result_wait(big, ASQ_FOREVER));
        args = many(big, 40);
        rc = asq_callv(f, "first", NULL, args, &r); /* the call fails at once, or in the worker */
        if (rc == 0) {
            rc = asq_result_wait(r, ASQ_FOREVER);
            asq_result_free(r);
        }
        ck_assert_msg(rc == ASQ_ELIMIT || rc == ASQ_EINPUT, "%d", rc);
        ck_assert_contains(asq_errmsg(H), "larg");
        asq_result_free(big);
        ck_assert_int_eq(call_int(f, "sum", "[i]", 5), 5);
    }
    free(text);
    asq_agent_free(f);
    asq_agent_free(e);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, futures_are_awaited_wherever_they_stand);
    tcase_add_test(t, map_and_reduce_are_two_statements);
    tcase_add_test(t, a_future_that_is_handed_on_is_not_awaited);
    tcase_add_test(t, a_failed_future_in_a_list_fails_the_call);
    tcase_add_test(t, an_attribute_and_creation_arguments_wait_too);
    tcase_add_test(t, more_futures_than_a_call_may_have_are_refused);
    tcase_add_test(t, values_that_do_not_fit_together_fail_the_call);
}

static void add_distributed(TCase *t)
{
    tcase_add_test(t, a_method_that_is_handed_a_future_need_not_wait);
}

int main(void)
{
    return modes_main("futures", add_all, add_distributed);
}
