/*
 * check_calls.c: calls have the same effects in every mode: arguments, values, errors, attributes,
 * state, order, limits. Agents, nested calls and results have files of their own.
 */
#include "modes.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asq_agent *echo(void)
{
    return agent_new("Echo", NULL);
}

/* ---- arguments and methods ------------------------------------------------------------------- */

START_TEST(arguments_are_given_by_position_or_by_name)
{
    asq_agent *a = counter(40), *e = echo();
    asq_value *v;

    ck_assert_int_eq(call_int(a, "add", "[i]", 2), 42);
    ck_assert_int_eq(call_int(a, "add", "{s:i}", "n", 3), 45);
    ck_assert_int_eq(call_int(a, "add_blocking", "[i]", -5), 40);
    ck_assert_int_eq(call_int(a, "add_blocking", "{s:i}", "n", 1), 41);
    ck_assert_int_eq(call_int(a, "read", NULL), 41);
    ok(asq_call_wait(e, "named", &v, "{s:i, s:i, s:i}", "c", 3, "a", 1, "b", 2));
    ck_assert_value(v, "[1,2,3]");
    asq_value_free(v);
    ok(asq_call_wait(e, "all", &v, "{s:i}", "x", 1));
    ck_assert_value(v, "{\"x\":1}");
    asq_value_free(v);
    ok(asq_call_wait(e, "all", &v, NULL));
    ck_assert_value(v, "[]");
    asq_value_free(v);
    ok(asq_call_wait(e, "nothing", &v, NULL));
    ck_assert_int_eq(asq_value_type(v), ASQ_NULL);
    asq_value_free(v);
    ok(asq_call_wait(e, "nothing", NULL, NULL));
    asq_agent_free(e);
    asq_agent_free(a);
}
END_TEST

START_TEST(wrong_arguments_are_told_by_name_and_change_nothing)
{
    asq_agent *a = counter(1);

    ck_assert_code(asq_call_wait(a, "add", NULL, "[s]", "two"), ASQ_EARGS);
    ck_assert_contains(asq_errmsg(H), "Counter.add(n): n: int expected, string found");
    ck_assert_code(asq_call_wait(a, "add", NULL, "{s:f}", "n", 3.5), ASQ_EARGS);
    ck_assert_contains(asq_errmsg(H), "Counter.add(n): n: int expected, double found");
    ck_assert_code(asq_call_wait(a, "add", NULL, "[i, i]", 1, 2), ASQ_EARGS);
    ck_assert_code(asq_call_wait(a, "add", NULL, NULL), ASQ_EARGS);
    ck_assert_code(asq_call_wait(a, "add", NULL, "{s:i}", "m", 2), ASQ_EARGS);
    ck_assert_contains(asq_errmsg(H), "m");
    ck_assert_code(asq_call_wait(a, "add_blocking", NULL, "[n]"), ASQ_EARGS);
    ck_assert_int_eq(call_int(a, "read", NULL), 1);
    /* Arguments are a list or a map. */
    ck_assert_code(asq_call_wait(a, "add", NULL, "i", 2), ASQ_EINVAL);
    ck_assert_code(asq_call_wait(a, "add", NULL, "[i", 2), ASQ_EINVAL);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_wrong_method_is_told_with_the_right_ones)
{
    asq_agent *a = counter(1);
    const asq_error *e;

    ck_assert_code(asq_call_wait(a, "ad", NULL, "[i]", 2), ASQ_ENOMETHOD);
    e = asq_last_error(H);
    ck_assert_int_eq(e->code, ASQ_ENOMETHOD);
    ck_assert_contains(e->message, "ad");
    ck_assert_contains(e->message, "add_blocking");
    ck_assert_contains(e->message, "spoil");
    ck_assert_msg(strstr(e->message, " _secret") == NULL, "lists a private one: %s", e->message);
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 2);
    asq_agent_free(a);
}
END_TEST

START_TEST(private_methods_and_attributes_are_for_the_agent_alone)
{
    asq_agent *a = counter(1), *relay = agent_new("Relay", NULL);
    asq_value *v;

    ck_assert_code(call_code(a, "_secret", NULL), ASQ_EPRIVATE);
    ck_assert_code(asq_get(a, "_hidden", &v), ASQ_EPRIVATE);
    ck_assert_code(asq_set(a, "_hidden", asq_value_int(1)), ASQ_EPRIVATE);
    ck_assert_int_eq(call_int(a, "use_secret", NULL), 7);
    ck_assert_code(call_code(relay, "call", "[a, s, []]", a, "_secret"), ASQ_EPRIVATE);
    asq_agent_free(relay);
    asq_agent_free(a);
}
END_TEST

/* ---- attributes ------------------------------------------------------------------------------ */

START_TEST(attributes_are_read_and_written)
{
    asq_agent *a = agent_new("Counter", "{s:i, s:s}", "value", 5, "label", "five");
    asq_result *r;
    asq_value *v;

    ok(asq_get(a, "value", &v));
    ck_assert_value(v, "5");
    asq_value_free(v);
    ok(asq_get(a, "label", &v));
    ck_assert_value(v, "\"five\"");
    asq_value_free(v);
    ok(asq_set(a, "value", asq_value_int(8)));
    ck_assert_int_eq(call_int(a, "read", NULL), 8);
    ok(asq_get_async(a, "twice", &r));
    ck_assert_int_eq(result_int(r), 16);
    ok(asq_set_async(a, "twice", asq_value_int(20), &r));
    ck_assert_code(result_code(r), 0);
    ck_assert_int_eq(call_int(a, "read", NULL), 10);
    asq_agent_free(a);
}
END_TEST

START_TEST(attributes_refuse_what_may_not_be)
{
    asq_agent *a = agent_new("Counter", "{s:i, s:s}", "value", 5, "label", "five");
    asq_agent *j = agent_new("Journal", "{s:i}", "limit", 3);
    asq_value *v = NULL;

    ck_assert_code(asq_get(a, "valeu", &v), ASQ_ENOATTR);
    ck_assert_contains(asq_errmsg(H), "value");
    ck_assert_contains(asq_errmsg(H), "label");
    ck_assert_code(asq_set(a, "valeu", asq_value_int(1)), ASQ_ENOATTR);
    ck_assert_int_lt(asq_set(a, "label", asq_value_string("six")), 0);
    ck_assert_contains(asq_errmsg(H), "label");
    ck_assert_code(asq_set(a, "twice", asq_value_int(3)), ASQ_EARGS);
    ck_assert_contains(asq_errmsg(H), "even");
    ck_assert_int_lt(asq_set(j, "count", asq_value_int(3)), 0);
    ck_assert_ptr_null(v);
    ok(asq_get(a, "label", &v));
    ck_assert_value(v, "\"five\"");
    asq_value_free(v);
    ck_assert_int_eq(call_int(a, "read", NULL), 5);
    ok(asq_get(j, "count", &v));
    ck_assert_value(v, "0");
    asq_value_free(v);
    asq_agent_free(j);
    asq_agent_free(a);
}
END_TEST

/* ---- failures and state ---------------------------------------------------------------------- */

START_TEST(a_failure_says_what_failed_and_where)
{
    const char *id = own("unlucky");
    const asq_error *e;
    asq_agent *a;
    asq_result *r;

    ok(asq_create(H, "Counter", id, &a, NULL));
    ok(asq_call(a, "spoil", &r, NULL));
    ck_assert_code(asq_result_wait(r, ASQ_FOREVER), ASQ_EUSER(3));
    e = asq_result_error(r);
    ck_assert_int_eq(e->code, ASQ_EUSER(3));
    ck_assert_contains(e->message, "no luck with");
    ck_assert_contains(e->message, id);
    ck_assert_str_eq(e->class_name, "Counter");
    ck_assert_str_eq(e->method, "spoil");
    ck_assert_str_eq(e->agent_id, id);
    ck_assert_int_eq(*e->worker != '\0', mode != MODE_LOCAL);
    ck_assert_str_ne(e->call_id, "");
    asq_result_free(r);
    ck_assert_code(asq_call_wait(a, "spoil", NULL, NULL), ASQ_EUSER(3));
    e = asq_last_error(H);
    ck_assert_int_eq(e->code, ASQ_EUSER(3));
    ck_assert_str_eq(e->agent_id, id);
    ck_assert_str_eq(e->method, "spoil");
    ck_assert_str_eq(asq_errmsg(H), e->message);
    ck_assert_code(call_code(a, "bare", NULL), ASQ_EUSER(9));
    ck_assert_code(call_code(a, "zero", NULL), ASQ_EFAILED);
    asq_agent_free(a);
}
END_TEST

START_TEST(state_is_put_back_after_a_failure)
{
    asq_agent *a = counter(3);
    asq_value *v;

    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 4);
    ck_assert_code(call_code(a, "spoil", NULL), ASQ_EUSER(3));
    ck_assert_int_eq(call_int(a, "read", NULL), 4);
    ck_assert_code(call_code(a, "replace", NULL), ASQ_EUSER(4));
    ck_assert_int_eq(call_int(a, "read", NULL), 4);
    ck_assert_code(call_code(a, "charge", "[i]", 6), ASQ_EUSER(5));
    ck_assert_int_eq(call_int(a, "read", NULL), 10);
    ck_assert_code(call_code(a, "spoil", NULL), ASQ_EUSER(3));
    ok(asq_get(a, "value", &v));
    ck_assert_value(v, "10");
    asq_value_free(v);
    asq_agent_free(a);
}
END_TEST

START_TEST(state_in_a_struct_is_put_back_and_kept_alike)
{
    asq_agent *j = agent_new("Journal", "{s:i}", "limit", 4);
    asq_value *v;

    ck_assert_int_eq(call_int(j, "push", "[i]", 10), 1);
    ck_assert_int_eq(call_int(j, "push_blocking", "[i]", 20), 2);
    ck_assert_code(call_code(j, "spoil", NULL), ASQ_EUSER(3));
    ok(asq_call_wait(j, "items", &v, NULL));
    ck_assert_value(v, "[10,20]");
    asq_value_free(v);
    ck_assert_code(call_code(j, "charge", "[i]", 30), ASQ_EUSER(5));
    ck_assert_code(call_code(j, "spoil", NULL), ASQ_EUSER(3));
    ck_assert_int_eq(call_int(j, "push", "[i]", 40), 4);
    ck_assert_code(call_code(j, "push", "[i]", 50), ASQ_EUSER(2));
    ok(asq_call_wait(j, "items", &v, NULL));
    ck_assert_value(v, "[10,20,30,40]");
    asq_value_free(v);
    ok(asq_get(j, "count", &v));
    ck_assert_value(v, "4");
    asq_value_free(v);
    asq_agent_free(j);
}
END_TEST

START_TEST(a_method_is_told_its_call)
{
    const char *agent, *cls, *method, *call_id, *worker, *id = own("who");
    int64_t attempt, remaining, epoch;
    asq_agent *a;
    asq_result *r;

    ok(asq_create(H, "Echo", id, &a, NULL));
    ok(asq_call(a, "who", &r, NULL));
    ok(asq_result_unpack(r, "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I}", "agent", &agent, "class",
                         &cls, "method", &method, "call_id", &call_id, "worker", &worker, "attempt",
                         &attempt, "remaining", &remaining, "epoch", &epoch));
    ck_assert_str_eq(agent, id);
    ck_assert_str_eq(cls, "Echo");
    ck_assert_str_eq(method, "who");
    ck_assert_str_eq(call_id, asq_result_id(r));
    ck_assert_int_eq(*worker != '\0', mode != MODE_LOCAL);
    ck_assert_int_eq(attempt, 1);
    ck_assert_int_eq(remaining, ASQ_FOREVER);
    if (mode == MODE_LOCAL)
        ck_assert_int_eq(epoch, 0);
    else
        ck_assert_int_gt(epoch, 0);
    asq_result_free(r);
    asq_agent_free(a);
}
END_TEST

/* ---- values ---------------------------------------------------------------------------------- */

START_TEST(values_of_every_type_come_back_as_they_went)
{
    asq_agent *e = echo();
    asq_value *v, *list = asq_pack("[n, b, b, i, I, I, f, f, s, s#, y#, [], {}, [[i], {s:[s]}], a]",
                                   1, 0, -1, INT64_MAX, INT64_MIN, 0.1, -0.0, "grüße", "a\0b",
                                   (size_t) 3, "\0\377\1", (size_t) 3, 1, "key", "x", e);

    ck_assert_ptr_nonnull(list);
    ck_assert_int_eq(asq_list_append(list, asq_value_double(NAN)), 0);
    ck_assert_int_eq(asq_list_append(list, asq_value_double(-INFINITY)), 0);
    ck_assert_int_eq(asq_list_append(list, asq_value_string("")), 0);
    ck_assert_int_eq(asq_list_append(list, asq_value_bytes("", 0)), 0);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        ok(asq_call_wait(e, "first", &v, "[O]", asq_list_get(list, i)));
        ck_assert_msg(asq_value_equal(v, asq_list_get(list, i)) &&
                          asq_value_type(v) == asq_value_type(asq_list_get(list, i)),
                      "the value at %zu has changed", i);
        asq_value_free(v);
    }
    ok(asq_call_wait(e, "first", &v, "[O]", list));
    ck_assert(asq_value_equal(v, list));
    asq_value_free(v);
    asq_value_free(list);
    asq_agent_free(e);
}
END_TEST

START_TEST(large_values_come_back_as_they_went)
{
    size_t n = 3 * 1024 * 1024 + 1;
    char *data = malloc(n);
    asq_agent *e = echo();
    const void *back;
    asq_value *v;
    size_t got;

    ck_assert_ptr_nonnull(data);
    for (size_t i = 0; i < n; i++)
        data[i] = (char) (i * 2654435761u >> 13);
    ok(asq_call_wait(e, "first", &v, "[y#]", data, n));
    ck_assert_int_eq(asq_value_get_bytes(v, &back, &got), 0);
    ck_assert_uint_eq(got, n);
    ck_assert(memcmp(back, data, n) == 0);
    asq_value_free(v);
    free(data);
    asq_agent_free(e);
}
END_TEST

/* The values of which the arguments were made may change afterwards. */
START_TEST(a_call_has_its_arguments_when_it_has_been_made)
{
    static const size_t sizes[] = { 10, 20000, 30, 20000, 40, 70000, 70000, 50 };
    enum { N = sizeof sizes / sizeof *sizes };
    asq_agent *e = echo();
    asq_result *results[N];
    char *data = malloc(70000);

    ck_assert_ptr_nonnull(data);
    asq_cork(H);
    for (int i = 0; i < N; i++) {
        memset(data, 'a' + i, sizes[i]);
        ok(asq_call(e, "first", &results[i], "[y#]", data, sizes[i]));
    }
    memset(data, '?', 70000);
    ok(asq_uncork(H));
    for (int i = 0; i < N; i++) {
        const void *back;
        asq_value *v;
        size_t got;

        ok(asq_result_take(results[i], &v));
        ck_assert_int_eq(asq_value_get_bytes(v, &back, &got), 0);
        ck_assert_uint_eq(got, sizes[i]);
        memset(data, 'a' + i, sizes[i]);
        ck_assert_msg(memcmp(back, data, sizes[i]) == 0, "call %d has another's arguments", i);
        asq_value_free(v);
        asq_result_free(results[i]);
    }
    free(data);
    asq_agent_free(e);
}
END_TEST

START_TEST(what_is_too_deep_or_too_large_is_refused_by_the_caller)
{
    asq_value *deepest = asq_value_list(), *v;
    char *data = calloc(1, ASQ_MAX_MESSAGE_SIZE + 1);
    asq_agent *e = echo(), *made = NULL;
    asq_result *r = NULL;

    for (int i = 1; i < ASQ_MAX_DEPTH; i++)
        ck_assert_ptr_nonnull(deepest = asq_pack("[o]", deepest));
    ck_assert_code(asq_call(e, "first", &r, "[O]", deepest), ASQ_ELIMIT);
    ck_assert_ptr_null(r);
    ck_assert_str_ne(asq_errmsg(H), "");
    ck_assert_code(asq_create(H, "Echo", NULL, &made, "[O]", deepest), ASQ_ELIMIT);
    ck_assert_ptr_null(made);
    ck_assert_ptr_nonnull(data);
    ck_assert_code(asq_call(e, "first", &r, "[y#]", data, ASQ_MAX_MESSAGE_SIZE + 1), ASQ_ELIMIT);
    ck_assert_ptr_null(r);
    ck_assert_code(asq_set(e, "x", asq_value_bytes(data, ASQ_MAX_MESSAGE_SIZE + 1)), ASQ_ELIMIT);
    free(data);
    /* The greatest depth allowed is accepted and returned. */
    ok(asq_callv(e, "all", NULL, asq_value_copy(deepest), &r));
    ok(asq_result_take(r, &v));
    ck_assert(asq_value_equal(v, deepest));
    asq_value_free(v);
    asq_value_free(deepest);
    asq_result_free(r);
    asq_agent_free(e);
}
END_TEST

START_TEST(names_and_ids_that_cannot_be_are_refused)
{
    char longer[ASQ_MAX_ID + 2];
    asq_agent *a = counter(1), *made = NULL;
    asq_result *r = NULL;

    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ck_assert_int_lt(asq_create(H, "Echo", longer, &made, NULL), 0);
    ck_assert_code(asq_create(H, "Echo", "", &made, NULL), ASQ_EINVAL);
    ck_assert_code(asq_create(H, "Echo", "a b", &made, NULL), ASQ_EINVAL);
    ck_assert_code(asq_create(H, "Echo", "a\nb", &made, NULL), ASQ_EINVAL);
    ck_assert_code(asq_create(H, "Echo", "a\377", &made, NULL), ASQ_EINVAL);
    ck_assert_int_lt(asq_attach(H, longer, &made), 0);
    ck_assert_ptr_null(made);
    ck_assert_int_lt(asq_call(a, longer, &r, NULL), 0);
    ck_assert_ptr_null(r);
    longer[ASQ_MAX_ID] = '\0';
    memcpy(longer, own("l"), strlen(own("l")));
    ok(asq_create(H, "Echo", longer, &made, NULL));
    ok(asq_ready(made, ASQ_FOREVER));
    asq_agent_free(made);
    asq_agent_free(a);
}
END_TEST

/* ---- sends, order ---------------------------------------------------------------------------- */

START_TEST(sends_run_like_calls)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_result *r = NULL;

    for (int i = 0; i < 100; i++)
        ok(asq_send(a, i % 2 ? "add" : "add_blocking", "[i]", 1));
    ok(asq_send(a, "spoil", NULL));
    ok(asq_call(a, "add", NULL, "[i]", 1));
    options.no_result = true;
    ok(asq_callv(a, "add", &options, asq_pack("[i]", 1), NULL));
    ck_assert_int_eq(call_int(a, "read", NULL), 102);
    ck_assert_code(asq_flush(H, ASQ_FOREVER), ASQ_EUSER(3)); /* the failure of spoil */
    ok(asq_flush(H, ASQ_FOREVER));
    ck_assert_ptr_null(r);
    asq_agent_free(a);
}
END_TEST

/* Pushes 0, 1, 2… to a journal by every way to call, corked or not. */
START_TEST(calls_to_an_agent_run_in_the_order_in_which_they_were_made)
{
    enum { N = 6000 };
    static asq_result *results[N];
    asq_agent *j = agent_new("Journal", "{s:i}", "limit", N), *others[8];
    asq_value *v;

    ok(asq_create_many(H, "Counter", 8, NULL, NULL, others));
    for (int i = 0; i < N; i++) {
        results[i] = NULL;
        if (i % 1000 == 300)
            asq_cork(H);
        if (i % 3 == 0)
            ok(asq_send(j, "push", "[i]", i));
        else
            ok(asq_call(j, i % 7 ? "push" : "push_blocking", &results[i], "[i]", i));
        ok(asq_send(others[i % 8], "add", "[i]", 1));
        if (i % 1000 == 900)
            ok(asq_uncork(H));
        if (i % 1500 == 1000)
            ck_assert_int_ge(asq_poll(H, 0), 0);
    }
    ok(asq_call_wait(j, "in_order", &v, "[i]", N));
    ck_assert_value(v, "true");
    asq_value_free(v);
    for (int i = 0; i < N; i++)
        if (results[i])
            ck_assert_int_eq(result_int(results[i]), i + 1);
    for (int i = 0; i < 8; i++) {
        ck_assert_int_eq(call_int(others[i], "read", NULL), N / 8);
        asq_agent_free(others[i]);
    }
    asq_agent_free(j);
}
END_TEST

START_TEST(corked_calls_leave_with_a_wait_or_the_last_uncork)
{
    asq_agent *a = counter(0), *b = counter(0);
    asq_result *first, *second;
    asq *other;
    asq_agent *seen;
    asq_value *v;

    ok(asq_ready(a, ASQ_FOREVER));
    ok(asq_ready(b, ASQ_FOREVER));
    asq_cork(H);
    asq_cork(H);
    ok(asq_call(a, "add", &first, "[i]", 1));
    ck_assert_int_eq(result_int(first), 1);
    ok(asq_call(b, "add", &second, "[i]", 2));
    ok(asq_uncork(H));
    ok(asq_uncork(H));
    /* No caller waits on this handle, but the call runs. */
    if (mode != MODE_LOCAL) {
        other = modes_open();
        ok(asq_attach(other, asq_agent_id(b), &seen));
        for (int64_t n = 0; n != 2; sup_sleep_ms(1)) {
            ck_assert_int_eq(asq_call_wait(seen, "read", &v, NULL), 0);
            ck_assert_int_eq(asq_value_get_int(v, &n), 0);
            asq_value_free(v);
        }
        asq_agent_free(seen);
        asq_close(other);
    }
    ck_assert_int_eq(result_int(second), 2);
    asq_agent_free(a);
    asq_agent_free(b);
}
END_TEST

START_TEST(a_call_is_on_its_way_without_a_wait)
{
    asq *other = modes_open();
    asq_agent *a = counter(0), *seen;
    asq_value *v;

    ok(asq_send(a, "add", "[i]", 2));
    ok(asq_attach(other, asq_agent_id(a), &seen));
    sup_wait_until(asq_ready(seen, sup_limit_ms()) == 0);
    for (int64_t n = 0; n != 2; sup_sleep_ms(1)) {
        ck_assert_int_eq(asq_call_wait(seen, "read", &v, NULL), 0);
        ck_assert_int_eq(asq_value_get_int(v, &n), 0);
        asq_value_free(v);
    }
    asq_agent_free(seen);
    asq_agent_free(a);
    asq_close(other);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_test(t, arguments_are_given_by_position_or_by_name);
    tcase_add_test(t, wrong_arguments_are_told_by_name_and_change_nothing);
    tcase_add_test(t, a_wrong_method_is_told_with_the_right_ones);
    tcase_add_test(t, private_methods_and_attributes_are_for_the_agent_alone);
    tcase_add_test(t, attributes_are_read_and_written);
    tcase_add_test(t, attributes_refuse_what_may_not_be);
    tcase_add_test(t, a_failure_says_what_failed_and_where);
    tcase_add_test(t, state_is_put_back_after_a_failure);
    tcase_add_test(t, state_in_a_struct_is_put_back_and_kept_alike);
    tcase_add_test(t, a_method_is_told_its_call);
    tcase_add_test(t, values_of_every_type_come_back_as_they_went);
    tcase_add_test(t, large_values_come_back_as_they_went);
    tcase_add_test(t, a_call_has_its_arguments_when_it_has_been_made);
    tcase_add_test(t, what_is_too_deep_or_too_large_is_refused_by_the_caller);
    tcase_add_test(t, names_and_ids_that_cannot_be_are_refused);
    tcase_add_test(t, sends_run_like_calls);
    tcase_add_test(t, calls_to_an_agent_run_in_the_order_in_which_they_were_made);
    tcase_add_test(t, corked_calls_leave_with_a_wait_or_the_last_uncork);
}

static void add_distributed_tests(TCase *t)
{
    tcase_add_test(t, a_call_is_on_its_way_without_a_wait);
}

int main(void)
{
    return modes_main("calls", add_tests, add_distributed_tests);
}
