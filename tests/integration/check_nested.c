/*
 * check_nested.c: calls that make calls, and calls that wait for other calls, in every mode: agents
 * inside values, nested and re-entrant calls, deep recursion, futures as arguments, deadlines,
 * cancellation.
 */
#include "load.h"
#include "modes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static asq_agent *relay(void)
{
    return agent_new("Relay", NULL);
}

/* Returns a list of agents as a value. */
static asq_value *agent_list(asq_agent *const *agents, size_t n)
{
    asq_value *list = asq_value_list();

    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(asq_list_append(list, asq_value_agent(agents[i])), 0);
    return list;
}

static void free_agents(asq_agent **agents, size_t n)
{
    for (size_t i = 0; i < n; i++)
        asq_agent_free(agents[i]);
}

/* ---- agents inside values, nested calls ------------------------------------------------------ */

START_TEST(agents_in_values_are_called_by_whoever_gets_them)
{
    asq_agent *a = counter(10), *r = relay(), *made, *me;
    asq_value *v;

    ck_assert_int_eq(call_int(r, "call", "[a, s, [i]]", a, "add", 5), 15);
    ck_assert_int_eq(call_int(r, "call", "{s:s, s:{s:i}, s:a}", "method", "add_blocking", "args",
                              "n", 5, "agent", a),
                     20);
    ck_assert_int_eq(call_int(a, "read", NULL), 20);
    /* Calls an agent that was made inside a method, and the method's own agent. */
    ok(asq_call_wait(r, "spawn", &v, "[i]", 33));
    ok(asq_attach_value(H, v, &made));
    asq_value_free(v);
    ck_assert_str_eq(asq_agent_class(made), "Counter");
    ck_assert_int_eq(call_int(made, "add", "[i]", 1), 34);
    ok(asq_call_wait(r, "me", &v, NULL));
    ok(asq_attach_value(H, asq_map_get(v, "me"), &me));
    asq_value_free(v);
    ck_assert_str_eq(asq_agent_id(me), asq_agent_id(r));
    ck_assert_int_eq(call_int(me, "call", "[a, s, []]", made, "read"), 34);
    v = asq_value_int(1);
    asq_agent_free(me);
    me = NULL;
    ck_assert_int_lt(asq_attach_value(H, v, &me), 0);
    ck_assert_ptr_null(me);
    asq_value_free(v);
    asq_agent_free(made);
    asq_agent_free(r);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_nested_failure_goes_up_with_its_code_and_text)
{
    asq_agent *a = counter(1), *inner = relay(), *outer = relay();
    const asq_error *e;

    ck_assert_code(
        asq_call_wait(outer, "call", NULL, "[a, s, [a, s, []]]", inner, "call", a, "spoil"),
        ASQ_EUSER(3));
    e = asq_last_error(H);
    ck_assert_contains(e->message, "inner: inner: no luck with");
    ck_assert_contains(e->message, asq_agent_id(a));
    ck_assert_str_eq(e->agent_id, asq_agent_id(outer));
    ck_assert_code(call_code(outer, "call", "[a, s, []]", a, "none"), ASQ_ENOMETHOD);
    ck_assert_int_eq(call_int(a, "read", NULL), 1);
    asq_agent_free(outer);
    asq_agent_free(inner);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_call_that_comes_back_enters_its_agent_again)
{
    asq_agent *a = relay(), *b = relay();
    asq_value *v;

    for (int round = 0; round < 5; round++) {
        ok(asq_call_wait(a, "outer", &v, "[a]", b));
        ck_assert_value(v, "[1,2]");
        asq_value_free(v);
        ok(asq_get(a, "step", &v));
        ck_assert_value(v, "2");
        asq_value_free(v);
    }
    /* Calls re-enter directly, and through a third agent. */
    ok(asq_call_wait(a, "outer", &v, "[a]", a));
    ck_assert_value(v, "[1,2]");
    asq_value_free(v);
    ok(asq_call_wait(b, "call", &v, "[a, s, [a]]", a, "outer", b));
    ck_assert_value(v, "[1,2]");
    asq_value_free(v);
    asq_agent_free(a);
    asq_agent_free(b);
}
END_TEST

START_TEST(recursion_goes_200_levels_deep_over_10_agents)
{
    enum { N = 10, LEVELS = 200 };
    asq_agent *ring[N];
    int64_t entered = 0, n;
    asq_value *v;

    ok(asq_create_many(H, "Relay", N, NULL, NULL, ring));
    ck_assert_int_eq(call_int(ring[0], "down", "[o, i]", agent_list(ring, N), LEVELS), LEVELS);
    for (int i = 0; i < N; i++) {
        ok(asq_get(ring[i], "entered", &v));
        ck_assert_int_eq(asq_value_get_int(v, &n), 0);
        ck_assert_int_ge(n, LEVELS / N);
        entered += n;
        asq_value_free(v);
    }
    ck_assert_int_eq(entered, LEVELS + 1);
    free_agents(ring, N);
}
END_TEST

START_TEST(waiting_calls_take_no_capacity)
{
    enum { N = 60 };
    asq_agent *relays[N], *echoes[N], *all = relay();
    asq_result *results[N];

    ok(asq_create_many(H, "Relay", N, NULL, NULL, relays));
    ok(asq_create_many(H, "Echo", N, NULL, NULL, echoes));
    for (int i = 0; i < N; i++)
        ok(asq_call(relays[i], "call", &results[i], "[a, s, [i, i]]", echoes[i], "sum", i, 1));
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(result_int(results[i]), i + 1);
    ck_assert_int_eq(call_int(all, "fan", "[o, s, [i, i]]", agent_list(echoes, N), "sum", 2, 3),
                     5 * N);
    asq_agent_free(all);
    free_agents(relays, N);
    free_agents(echoes, N);
}
END_TEST

/* ---- futures as arguments -------------------------------------------------------------------- */

START_TEST(results_are_given_as_arguments_before_they_are_there)
{
    asq_agent *a = counter(1), *b = counter(2), *e = agent_new("Echo", NULL);
    asq_result *nap, *x, *y, *sum;

    ok(asq_call(e, "nap", &nap, "[i]", 50));
    ok(asq_call(a, "add", &x, "[i]", 10));
    ok(asq_call(b, "add_blocking", &y, "{s:r}", "n", x));
    ok(asq_call(e, "sum", &sum, "[r, r, i, r]", x, y, 100, x));
    asq_result_free(x); /* passing them on needs them no longer */
    asq_result_free(y);
    ck_assert_int_eq(result_int(sum), 11 + 13 + 100 + 11);
    ck_assert_code(result_code(nap), 0);
    ck_assert_int_eq(call_int(b, "read", NULL), 13);
    /* A future that is finished already. */
    ok(asq_call(a, "read", &x, NULL));
    ok(asq_result_wait(x, ASQ_FOREVER));
    ck_assert_int_eq(call_int(e, "sum", "[r, r]", x, x), 22);
    ok(asq_call(e, "nothing", &y, NULL));
    ok(asq_call(e, "type", &sum, "[r]", y));
    asq_result_free(y);
    ok(asq_result_wait(sum, ASQ_FOREVER));
    asq_result_free(sum);
    asq_result_free(x);
    asq_agent_free(e);
    asq_agent_free(b);
    asq_agent_free(a);
}
END_TEST

START_TEST(chains_of_futures_are_submitted_without_waiting)
{
    enum { N = 200, AGENTS = 7 };
    asq_agent *agents[AGENTS];
    asq_result *last, *next, *left, *right;

    ok(asq_create_many(H, "Echo", AGENTS, NULL, NULL, agents));
    ok(asq_call(agents[0], "sum", &last, "[i]", 1));
    for (int i = 1; i < N; i++) {
        ok(asq_call(agents[i % AGENTS], "sum", &next, "[r, i]", last, 1));
        asq_result_free(last);
        last = next;
    }
    ck_assert_int_eq(result_int(last), N);
    /* Builds diamonds, corked: each of 20 sums doubles the one before. */
    asq_cork(H);
    ok(asq_call(agents[0], "sum", &last, "[i]", 1));
    for (int i = 0; i < 20; i++) {
        ok(asq_call(agents[1 + i % 3], "sum", &left, "[r]", last));
        ok(asq_call(agents[4 + i % 3], "sum", &right, "[r]", last));
        asq_result_free(last);
        ok(asq_call(agents[0], "sum", &last, "[r, r]", left, right));
        asq_result_free(left);
        asq_result_free(right);
    }
    ok(asq_uncork(H));
    ck_assert_int_eq(result_int(last), 1 << 20);
    free_agents(agents, AGENTS);
}
END_TEST

START_TEST(a_failed_input_fails_the_call_which_does_not_run)
{
    asq_agent *bad = counter(1), *a = counter(2), *e = agent_new("Echo", NULL);
    asq_result *failed, *dependent, *further;

    ok(asq_call(bad, "spoil", &failed, NULL));
    ok(asq_call(a, "add", &dependent, "[r]", failed));
    ok(asq_call(e, "sum", &further, "[i, r]", 1, dependent));
    ck_assert_code(asq_result_wait(dependent, ASQ_FOREVER), ASQ_EINPUT);
    ck_assert_contains(asq_result_error(dependent)->message, "no luck");
    ck_assert_code(asq_result_wait(further, ASQ_FOREVER), ASQ_EINPUT);
    /* Both errors name the method and its code. */
    ck_assert_contains(asq_result_error(dependent)->message, asq_agent_id(bad));
    ck_assert_contains(asq_result_error(dependent)->message, "ASQ_EUSER(3)");
    ck_assert_str_eq(asq_result_error(further)->message, asq_result_error(dependent)->message);
    ck_assert_code(asq_result_wait(failed, ASQ_FOREVER), ASQ_EUSER(3));
    ck_assert_int_eq(call_int(a, "read", NULL), 2);
    asq_result_free(dependent);
    /* A future that has failed already. */
    ok(asq_call(a, "add", &dependent, "{s:r}", "n", failed));
    ck_assert_code(asq_result_wait(dependent, ASQ_FOREVER), ASQ_EINPUT);
    ck_assert_contains(asq_result_error(dependent)->message, "ASQ_EUSER(3)");
    ck_assert_str_eq(asq_result_error(dependent)->method, "add");
    ck_assert_str_eq(asq_result_error(dependent)->agent_id, asq_agent_id(a));
    ck_assert_int_eq(call_int(a, "add", "[i]", 1), 3);
    asq_result_free(further);
    asq_result_free(dependent);
    asq_result_free(failed);
    asq_agent_free(e);
    asq_agent_free(a);
    asq_agent_free(bad);
}
END_TEST

/* ---- deadlines, cancellation ----------------------------------------------------------------- */

static int64_t remaining_of(asq_result *r)
{
    int64_t remaining = -100;

    ok(asq_result_unpack(r, "{s:I}", "remaining", &remaining));
    asq_result_free(r);
    return remaining;
}

START_TEST(a_call_and_what_it_calls_know_their_deadline)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *e = agent_new("Echo", NULL), *r = relay();
    asq_result *result;
    int64_t left;

    options.deadline_ms = 600000;
    ok(asq_callv(e, "who", &options, NULL, &result));
    left = remaining_of(result);
    ck_assert_int_gt(left, 0);
    ck_assert_int_le(left, 600000);
    ok(asq_callv(r, "call", &options, asq_pack("[a, s, []]", e, "who"), &result));
    left = remaining_of(result);
    ck_assert_int_gt(left, 0);
    ck_assert_int_le(left, 600000);
    ok(asq_call(r, "call", &result, "[a, s, []]", e, "who"));
    ck_assert_int_eq(remaining_of(result), ASQ_FOREVER);
    asq_agent_free(r);
    asq_agent_free(e);
}
END_TEST

START_TEST(calls_without_a_deadline_have_that_of_the_handle)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *e = agent_new("Echo", NULL);
    asq_result *result;

    ck_assert_int_eq(asq_set_deadline(H, -1), ASQ_EINVAL);
    ok(asq_set_deadline(H, 600000));
    ok(asq_call(e, "who", &result, NULL));
    ck_assert_int_gt(remaining_of(result), 0);
    options.deadline_ms = 6000000;
    ok(asq_callv(e, "who", &options, NULL, &result));
    ck_assert_int_gt(remaining_of(result), 600000);
    ok(asq_set_deadline(H, 100));
    ok(asq_call(e, "nap", &result, "[i]", 3600000));
    ck_assert_code(asq_result_wait(result, sup_limit_ms()), ASQ_EDEADLINE);
    asq_result_free(result);
    ok(asq_set_deadline(H, 0));
    ok(asq_call(e, "who", &result, NULL));
    ck_assert_int_eq(remaining_of(result), ASQ_FOREVER);
    asq_agent_free(e);
}
END_TEST

START_TEST(a_sleep_ends_with_the_deadline_of_its_call)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    asq_agent *e = agent_new("Echo", NULL);
    asq_result *result;

    ok(asq_ready(e, ASQ_FOREVER));
    options.deadline_ms = 100;
    ok(asq_callv(e, "nap", &options, asq_pack("[i]", 3600000), &result));
    ck_assert_code(asq_result_wait(result, sup_limit_ms()), ASQ_EDEADLINE);
    asq_result_free(result);
    ck_assert_int_eq(call_int(e, "sum", "[i]", 1), 1);
    asq_agent_free(e);
}
END_TEST

/* An agent that is busy with a call until let_go(), and the files of that call. */
struct held {
    asq_agent *agent;
    asq_result *result;
    char *begun, *release;
};

static struct held hold(void)
{
    struct held h = { agent_new("Echo", NULL), NULL, sup_path(own("begun")), sup_path(own("go")) };

    ok(asq_call(h.agent, "hold", &h.result, "[s, s]", h.begun, h.release));
    sup_wait_until(exists(h.begun));
    return h;
}

static void let_go(struct held *h)
{
    touch(h->release);
    ck_assert_code(result_code(h->result), 0);
    asq_agent_free(h->agent);
    free(h->begun);
    free(h->release);
}

START_TEST(a_call_whose_deadline_has_passed_is_not_started)
{
    asq_call_options options = ASQ_CALL_OPTIONS_INIT;
    struct held h = hold();
    char *run = sup_path(own("run"));
    asq_result *late;

    options.deadline_ms = 30;
    ok(asq_callv(h.agent, "hold", &options, asq_pack("[s, s]", run, h.release), &late));
    ok(asq_sleep(H, 100));
    touch(h.release);
    ck_assert_code(asq_result_wait(late, sup_limit_ms()), ASQ_EDEADLINE);
    ck_assert_int_eq(call_int(h.agent, "sum", "[i]", 1), 1);
    ck_assert(!exists(run));
    asq_result_free(late);
    free(run);
    let_go(&h);
}
END_TEST

START_TEST(a_waiting_call_that_is_cancelled_does_not_run)
{
    struct held h = hold();
    char *run = sup_path(own("run"));
    asq_result *waiting, *after;

    ok(asq_call(h.agent, "hold", &waiting, "[s, s]", run, h.release));
    ok(asq_call(h.agent, "sum", &after, "[i]", 5));
    ok(asq_result_cancel(waiting));
    ck_assert_code(asq_result_wait(waiting, sup_limit_ms()), ASQ_ECANCELED);
    ck_assert(!asq_result_done(h.result));
    touch(h.release);
    ck_assert_int_eq(result_int(after), 5);
    ck_assert(!exists(run));
    ok(asq_result_cancel(waiting)); /* ended without effect */
    ck_assert_code(asq_result_wait(waiting, 0), ASQ_ECANCELED);
    asq_result_free(waiting);
    free(run);
    let_go(&h);
}
END_TEST

START_TEST(a_sleeping_call_that_is_cancelled_wakes_up)
{
    struct held h = hold();

    ok(asq_result_cancel(h.result));
    ck_assert_code(asq_result_wait(h.result, sup_limit_ms()), ASQ_ECANCELED);
    ck_assert_int_eq(call_int(h.agent, "sum", "[i]", 1), 1);
    asq_result_free(h.result);
    ok(asq_call(h.agent, "nothing", &h.result, NULL));
    let_go(&h);
}
END_TEST

START_TEST(a_call_that_waits_for_its_input_can_be_cancelled)
{
    struct held h = hold();
    asq_agent *e = agent_new("Echo", NULL);
    asq_result *dependent;

    ok(asq_call(e, "type", &dependent, "[r]", h.result));
    ok(asq_result_cancel(dependent));
    ck_assert_code(asq_result_wait(dependent, sup_limit_ms()), ASQ_ECANCELED);
    asq_result_free(dependent);
    ck_assert_int_eq(call_int(e, "sum", "[i]", 1), 1);
    asq_agent_free(e);
    let_go(&h);
}
END_TEST

static int count_row(const asq_value *call, void *n)
{
    (void) call;
    ++*(size_t *) n;
    return 0;
}

static bool have_waiting(asq *reader, asq_agent *a, size_t expected)
{
    size_t n = 0;
    ok(asq_calls_each(reader, ASQ_CALLS_WAITING, asq_agent_id(a), NULL, sup_limit_ms(), count_row,
                      &n));
    return n == expected;
}

/* Waits until so many calls wait for their turn at an agent. */
static void await_waiting(asq_agent *a, size_t n)
{
    if (mode == MODE_LOCAL) { /* which has no list of calls, and one thread */
        ok(asq_sleep(H, 30));
        return;
    }
    asq *reader = load_open(sup_url_as(asq_url(H), "operator"));
    sup_wait_until(asq_poll(H, 0) >= 0 && have_waiting(reader, a, n));
    asq_close(reader);
}

START_TEST(a_cancelled_call_takes_what_it_called_along)
{
    struct held h = hold();
    asq_agent *r = relay();
    char *run = sup_path(own("run"));
    asq_result *outer;

    ok(asq_call(r, "call", &outer, "[a, s, [s, s]]", h.agent, "hold", run, h.release));
    await_waiting(h.agent, 1);
    ok(asq_result_cancel(outer));
    ck_assert_code(asq_result_wait(outer, sup_limit_ms()), ASQ_ECANCELED);
    asq_result_free(outer);
    await_waiting(h.agent, 0);
    touch(h.release);
    ck_assert_int_eq(call_int(h.agent, "sum", "[i]", 1),
                     1); /* would run behind it if it had not been cancelled */
    ck_assert(!exists(run));
    free(run);
    asq_agent_free(r);
    let_go(&h);
}
END_TEST

/* ---- concurrent methods ---------------------------------------------------------------------- */

START_TEST(concurrent_calls_run_beside_each_other_and_others_alone)
{
    asq_agent *r = relay(), *e = agent_new("Echo", NULL);
    char *begun[4], *go = sup_path(own("go")), *late = sup_path(own("late"));
    asq_result *beside[3], *alone, *behind;

    ck_assert_code(asq_ready(r, ASQ_FOREVER), 0);
    for (int i = 0; i < 4; i++)
        begun[i] = sup_path(own("begun"));
    for (int i = 0; i < 3; i++)
        ok(asq_call(r, "peek", &beside[i], "[s, s, a, s, [i]]", begun[i], go, e, "sum", i));
    for (int i = 0; i < 3; i++)
        sup_wait_until(exists(begun[i])); /* all of them run, none has ended */
    /* A call that changes state waits for them, and a later call waits for it. */
    ok(asq_call(r, "cross", &alone, "[s, s, a, s, [i]]", begun[3], late, e, "sum", 7));
    ok(asq_call(r, "peek", &behind, "[s, s, a, s, [i]]", late, late, e, "sum", 8));
    ok(asq_sleep(H, 200));
    ck_assert(!exists(begun[3]) && !exists(late));
    touch(go);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(result_int(beside[i]), i);
    sup_wait_until(exists(begun[3]));
    ck_assert(!asq_result_done(behind) && !asq_result_done(alone));
    touch(late);
    ck_assert_int_eq(result_int(alone), 7);
    ck_assert_int_eq(result_int(behind), 8);
    for (int i = 0; i < 4; i++)
        free(begun[i]);
    free(go);
    free(late);
    asq_agent_free(e);
    asq_agent_free(r);
}
END_TEST

START_TEST(concurrent_calls_are_entered_again_one_at_a_time)
{
    enum { N = 6 };
    asq_agent *r = relay(), *other[N];
    char *begun[N], *go = sup_path(own("go"));
    asq_result *results[N];
    int64_t step;

    ck_assert_code(asq_ready(r, ASQ_FOREVER), 0);
    for (int i = 0; i < N; i++) {
        begun[i] = sup_path(own("begun"));
        other[i] = relay();
        ok(asq_call(r, "peek", &results[i], "[s, s, a, s, [a, s, []]]", begun[i], go, other[i],
                    "call", r, "inner"));
    }
    for (int i = 0; i < N; i++)
        sup_wait_until(exists(begun[i]));
    touch(go);
    for (int i = 0, zeros = 0; i < N; i++) {
        step = result_int(results[i]);
        zeros += step == 0;
        ck_assert(step == 0 || step == 2);
        ck_assert_int_le(zeros, 1); /* all others see the first call's change */
    }
    asq_value *v;
    ok(asq_get(r, "step", &v));
    ck_assert_value(v, "2");
    asq_value_free(v);
    for (int i = 0; i < N; i++) {
        asq_agent_free(other[i]);
        free(begun[i]);
    }
    asq_agent_free(r);
    free(go);
}
END_TEST

static void add_tests(TCase *t)
{
    tcase_add_test(t, agents_in_values_are_called_by_whoever_gets_them);
    tcase_add_test(t, a_nested_failure_goes_up_with_its_code_and_text);
    tcase_add_test(t, a_call_that_comes_back_enters_its_agent_again);
    tcase_add_test(t, recursion_goes_200_levels_deep_over_10_agents);
    tcase_add_test(t, waiting_calls_take_no_capacity);
    tcase_add_test(t, results_are_given_as_arguments_before_they_are_there);
    tcase_add_test(t, chains_of_futures_are_submitted_without_waiting);
    tcase_add_test(t, a_failed_input_fails_the_call_which_does_not_run);
    tcase_add_test(t, a_call_and_what_it_calls_know_their_deadline);
    tcase_add_test(t, calls_without_a_deadline_have_that_of_the_handle);
    tcase_add_test(t, a_sleep_ends_with_the_deadline_of_its_call);
}

static void add_distributed_tests(TCase *t)
{
    tcase_add_test(t, a_call_whose_deadline_has_passed_is_not_started);
    tcase_add_test(t, a_waiting_call_that_is_cancelled_does_not_run);
    tcase_add_test(t, a_sleeping_call_that_is_cancelled_wakes_up);
    tcase_add_test(t, a_call_that_waits_for_its_input_can_be_cancelled);
    tcase_add_test(t, a_cancelled_call_takes_what_it_called_along);
    tcase_add_test(t, concurrent_calls_run_beside_each_other_and_others_alone);
    tcase_add_test(t, concurrent_calls_are_entered_again_one_at_a_time);
}

int main(void)
{
    return modes_main("nested", add_tests, add_distributed_tests);
}
