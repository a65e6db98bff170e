/*
 * check_group.c: many calls at once, in every mode: results are gathered as they come, and calls
 * over a list of inputs have a limit of unfinished ones, from a program and from inside a method.
 */
#include "modes.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_agents(asq_agent **agents, size_t n)
{
    for (size_t i = 0; i < n; i++)
        asq_agent_free(agents[i]);
}

static asq_value *agent_list(asq_agent *const *agents, size_t n)
{
    asq_value *list = asq_value_list();

    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(asq_list_append(list, asq_value_agent(agents[i])), 0);
    return list;
}

/* The arguments of a callback. */
struct notified {
    size_t order[256], n, total;
    size_t stop_at;      /* index at which it ends the gather, with 7 */
    const char *release; /* the file is made when all calls but one are done */
    size_t failures;
};

static int note(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    struct notified *t = user;

    ck_assert_uint_lt(t->n, 256);
    ck_assert(asq_result_done(r));
    t->order[t->n++] = index;
    t->total = n;
    t->failures += asq_result_error(r)->code != 0;
    ck_assert_uint_eq(done, t->n);
    if (t->release && done == n - 1)
        touch(t->release);
    return t->stop_at == done ? 7 : 0;
}

static bool notified_of_all(const struct notified *t)
{
    bool seen[256] = { false };

    for (size_t i = 0; i < t->n; i++) {
        if (t->order[i] >= t->total || seen[t->order[i]])
            return false;
        seen[t->order[i]] = true;
    }
    return t->n == t->total;
}

/* ---- gather ---------------------------------------------------------------------------------- */

START_TEST(gather_tells_of_each_result_as_it_comes)
{
    enum { N = 20 };
    char *begun = sup_path("begun"), *release = sup_path("release");
    struct notified t = { .release = release };
    asq_agent *agents[N];
    asq_result *results[N];

    ok(asq_create_many(H, "Echo", N, NULL, NULL, agents));
    if (mode == MODE_LOCAL)
        touch(release);
    ok(asq_call(agents[0], "hold", &results[0], "[s, s]", begun, release));
    ok(asq_broadcast(agents + 1, N - 1, "sum", asq_pack("[i, i]", 1, 2), results + 1));
    ok(asq_gather(results, N, ASQ_FOREVER, note, &t));
    ck_assert_uint_eq(t.total, N);
    ck_assert(notified_of_all(&t));
    if (mode != MODE_LOCAL) /* the others were reported while the first still ran */
        ck_assert_uint_eq(t.order[N - 1], 0);
    for (int i = 1; i < N; i++)
        ck_assert_int_eq(result_int(results[i]), 3);
    asq_result_free(results[0]);
    free_agents(agents, N);
    free(begun);
    free(release);
}
END_TEST

START_TEST(gather_ends_early_when_it_is_told_to)
{
    enum { N = 5 };
    struct notified t = { .stop_at = 3 }, all = { 0 };
    asq_agent *a = counter(0);
    asq_result *results[N];

    for (int i = 0; i < N; i++)
        ok(asq_call(a, "add", &results[i], "[i]", 1));
    ck_assert_int_eq(asq_gather(results, N, ASQ_FOREVER, note, &t), 7);
    ck_assert_uint_eq(t.n, 3);
    /* Results can be gathered again, also after a callback has seen them. */
    ok(asq_gather(results, N, ASQ_FOREVER, note, &all));
    ck_assert(notified_of_all(&all));
    ok(asq_gather(results, N, ASQ_FOREVER, NULL, NULL));
    ok(asq_gather(results, 0, ASQ_FOREVER, NULL, NULL));
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(result_int(results[i]), i + 1);
    asq_agent_free(a);
}
END_TEST

static int free_it(void *user, size_t index, asq_result *r, size_t done, size_t n)
{
    (void) index, (void) done, (void) n;
    ++*(int *) user;
    asq_result_free(r);
    return 0;
}

START_TEST(gathered_results_may_be_freed_at_once)
{
    enum { N = 10 };
    asq_agent *a = counter(0);
    asq_result *results[N];
    int freed = 0;

    for (int i = 0; i < N; i++)
        ok(asq_call(a, i == 3 ? "spoil" : "read", &results[i], NULL));
    ok(asq_gather(results, N, ASQ_FOREVER, free_it, &freed));
    ck_assert_int_eq(freed, N);
    asq_agent_free(a);
}
END_TEST

START_TEST(gather_times_out_and_goes_on_later)
{
    char *begun = sup_path("begun"), *release = sup_path("release");
    struct notified t = { 0 };
    asq_agent *e = agent_new("Echo", NULL), *a = counter(3);
    asq_result *results[2];

    ok(asq_call(e, "hold", &results[0], "[s, s]", begun, release));
    ok(asq_call(a, "read", &results[1], NULL));
    ok(asq_result_wait(results[1], sup_limit_ms()));
    ck_assert_code(asq_gather(results, 2, 20, note, &t), ASQ_ETIMEOUT);
    ck_assert_uint_eq(t.n, 1);
    ck_assert_contains(asq_errmsg(H), "1 of 2 results");
    touch(release);
    memset(&t, 0, sizeof t);
    ok(asq_gather(results, 2, ASQ_FOREVER, note, &t));
    ck_assert_uint_eq(t.n, 2);
    asq_result_free(results[0]);
    asq_result_free(results[1]);
    asq_agent_free(e);
    asq_agent_free(a);
    free(begun);
    free(release);
}
END_TEST

static asq_result *others[3];
static struct notified inner_notified;
static int inner_rc;

static void gather_others(asq_result *r, void *user)
{
    (void) r;
    for (int i = 0; i < 3; i++) /* no call can have ended yet */
        ok(asq_call(user, "add", &others[i], "[i]", 1));
    inner_rc = asq_gather(others, 3, ASQ_FOREVER, note, &inner_notified);
}

static void group_others(asq_result *r, void *user)
{
    asq_result *next;
    asq_group *g;

    (void) r;
    ok(asq_group_new(H, &g));
    for (int i = 0; i < 3; i++) {
        ok(asq_call(user, "add", &others[i], "[i]", 1));
        ok(asq_group_add(g, others[i]));
    }
    for (int i = 0; i < 3; i++) {
        ok(asq_group_next(g, ASQ_FOREVER, &next));
        ck_assert_ptr_eq(next, others[i]); /* one agent's: in order */
    }
    asq_group_free(g);
    inner_notified.n = inner_notified.total = 0;
    inner_rc = 0;
}

START_TEST(gather_and_groups_work_inside_of_a_callback)
{
    asq_agent *a = counter(0);
    asq_result *r;

    inner_rc = 1;
    ok(asq_call(a, "read", &r, NULL));
    ok(asq_result_then(r, _i == 0 ? gather_others : group_others, a));
    ok(asq_result_wait(r, sup_limit_ms()));
    while (inner_rc == 1)
        ok(asq_poll(H, 100));
    ck_assert_int_eq(inner_rc, 0);
    ck_assert(notified_of_all(&inner_notified));
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(result_int(others[i]), i + 1);
    asq_result_free(r);
    asq_agent_free(a);
}
END_TEST

/* ---- each ------------------------------------------------------------------------------------ */

START_TEST(each_gives_the_values_in_the_order_of_the_inputs)
{
    enum { N = 200, AGENTS = 3 };
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *agents[AGENTS];
    asq_value *inputs = asq_value_list(), *values, *v;
    struct notified t = { 0 };
    int64_t n;

    ok(asq_create_many(H, "Echo", AGENTS, NULL, NULL, agents));
    for (int i = 0; i < N; i++)
        asq_list_append(inputs, asq_pack("[i, i]", i, 1000));
    options.limit = 7;
    options.fn = note;
    options.user = &t;
    ck_assert_code(asq_call_each(agents, AGENTS, "sum", inputs, &options, &values), 0);
    ck_assert_uint_eq(asq_list_size(values), N);
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(asq_value_get_int(asq_list_get(values, (size_t) i), &n), 0);
        ck_assert_int_eq(n, 1000 + i);
    }
    ck_assert_uint_eq(t.total, N);
    ck_assert(notified_of_all(&t));
    asq_value_free(values);
    asq_value_free(inputs);
    /* An input that is no list or map is the only argument. Also tries the defaults, and no inputs
     * at all. */
    inputs = asq_pack("[i, s, n, {s:i}, [], [[i]]]", 1, "two", "a", 3, 4);
    ck_assert_code(asq_call_each(agents, 1, "named", inputs, NULL, &values), 0);
    ck_assert_value(values, "[[1],[\"two\"],[null],[3],[],[[4]]]");
    asq_value_free(values);
    asq_value_free(inputs);
    v = asq_value_list();
    ck_assert_code(asq_call_each(agents, 1, "named", v, NULL, &values), 0);
    ck_assert_value(values, "[]");
    asq_value_free(values);
    asq_value_free(v);
    free_agents(agents, AGENTS);
}
END_TEST

START_TEST(inputs_go_to_the_agents_in_turn)
{
    asq_agent *agents[3] = { counter(0), counter(100), counter(200) };
    asq_value *inputs = asq_pack("[i, i, i, i, i, i, i]", 1, 1, 1, 1, 1, 1, 1), *values;

    ck_assert_code(asq_call_each(agents, 3, "add", inputs, NULL, &values), 0);
    ck_assert_value(values, "[1,101,201,2,102,202,3]");
    asq_value_free(values);
    asq_value_free(inputs);
    free_agents(agents, 3);
}
END_TEST

START_TEST(each_stops_at_the_first_failure)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_value *inputs = asq_pack("[i, i, s, i, i]", 1, 2, "three", 4, 5), *values = NULL;

    options.limit = 1;
    ck_assert_code(asq_call_each(&a, 1, "add", inputs, &options, &values), ASQ_EARGS);
    ck_assert_ptr_null(values);
    ck_assert_contains(asq_errmsg(H), "input 2: ");
    ck_assert_str_eq(asq_last_error(H)->method, "add");
    ck_assert_str_eq(asq_last_error(H)->agent_id, asq_agent_id(a));
    ck_assert_int_eq(call_int(a, "read", NULL), 3); /* no further calls were made */
    asq_value_free(inputs);
    asq_agent_free(a);
}
END_TEST

START_TEST(each_goes_on_to_the_end_when_all_are_wanted)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *a = counter(0);
    asq_value *inputs = asq_pack("[i, s, i, s, i]", 1, "two", 3, "four", 5), *values = NULL;
    struct notified t = { 0 };

    options.all = true;
    options.fn = note;
    options.user = &t;
    ck_assert_code(asq_call_each(&a, 1, "add", inputs, &options, &values), 2);
    ck_assert_value(values, "[1,null,4,null,9]");
    ck_assert_contains(asq_errmsg(H), "input 1: ");
    ck_assert_int_eq(asq_last_error(H)->code, ASQ_EARGS);
    ck_assert_uint_eq(t.failures, 2);
    ck_assert(notified_of_all(&t));
    asq_value_free(values);
    asq_value_free(inputs);
    asq_agent_free(a);
}
END_TEST

START_TEST(each_ends_when_its_callback_says_so_and_refuses_what_cannot_be)
{
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_call_options call = ASQ_CALL_OPTIONS_INIT;
    asq_agent *a = counter(0), *two[2] = { a, NULL };
    asq_value *inputs = asq_pack("[i, i, i, i]", 1, 1, 1, 1), *values = NULL, *none = NULL;
    struct notified t = { .stop_at = 2 };
    asq *other;

    options.limit = 1;
    options.fn = note;
    options.user = &t;
    ck_assert_int_eq(asq_call_each(&a, 1, "add", inputs, &options, &values), 7);
    ck_assert_ptr_null(values);
    ck_assert_int_eq(call_int(a, "read", NULL), 2);
    ck_assert_code(asq_call_each(&a, 0, "add", inputs, NULL, &values), ASQ_EINVAL);
    ck_assert_code(asq_call_each(&a, 1, "no method", inputs, NULL, &values), ASQ_EINVAL);
    ck_assert_code(asq_call_each(&a, 1, "add", none, NULL, &values), ASQ_EINVAL);
    call.no_result = true;
    options.call = &call;
    ck_assert_code(asq_call_each(&a, 1, "add", inputs, &options, &values), ASQ_EINVAL);
    options.size++;
    ck_assert_code(asq_call_each(&a, 1, "add", inputs, &options, &values), ASQ_EVERSION);
    other = modes_open();
    ck_assert_int_eq(asq_attach(other, asq_agent_id(a), &two[1]), 0);
    ck_assert_code(asq_call_each(two, 2, "add", inputs, NULL, &values), ASQ_EINVAL);
    ck_assert_ptr_null(values);
    ck_assert_int_eq(call_int(a, "read", NULL), 2);
    asq_agent_free(two[1]);
    asq_close(other);
    asq_value_free(inputs);
    asq_agent_free(a);
}
END_TEST

/* Lets calls end, and notes which calls have begun by then. */
struct watcher {
    char *begun[6], *release[6];
    bool too_many;
};

static void *watch(void *arg)
{
    struct watcher *w = arg;

    sup_wait_until(exists(w->begun[0]) && exists(w->begun[1]) && exists(w->begun[2]));
    sup_sleep_ms(150); /* a fourth call would have begun by now, most likely */
    w->too_many = exists(w->begun[3]);
    touch(w->release[1]); /* each call that ends makes room, not only the oldest one */
    sup_wait_until(exists(w->begun[3]));
    sup_sleep_ms(50);
    w->too_many |= exists(w->begun[4]);
    for (int i = 0; i < 6; i++)
        touch(w->release[i]);
    return NULL;
}

START_TEST(so_many_calls_are_under_way_and_no_more)
{
    enum { N = 6 };
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    struct watcher w = { .too_many = false };
    asq_value *inputs = asq_value_list(), *values;
    asq_agent *agents[N];
    pthread_t thread;

    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "begun%d", i);
        w.begun[i] = sup_path(name);
        snprintf(name, sizeof name, "release%d", i);
        w.release[i] = sup_path(name);
        asq_list_append(inputs, asq_pack("[s, s]", w.begun[i], w.release[i]));
    }
    ok(asq_create_many(H, "Echo", N, NULL, NULL, agents));
    ok(asq_ready(agents[0], sup_limit_ms())); /* child mode forks now */
    ck_assert_int_eq(pthread_create(&thread, NULL, watch, &w), 0);
    options.limit = 3;
    ck_assert_code(asq_call_each(agents, N, "hold", inputs, &options, &values), 0);
    ck_assert_value(values, "[true,true,true,true,true,true]");
    pthread_join(thread, NULL);
    ck_assert(!w.too_many);
    asq_value_free(values);
    asq_value_free(inputs);
    free_agents(agents, N);
    for (int i = 0; i < N; i++) {
        free(w.begun[i]);
        free(w.release[i]);
    }
}
END_TEST

START_TEST(each_times_out_and_what_is_under_way_goes_on)
{
    char *begun = sup_path("begun"), *release = sup_path("release");
    asq_each_options options = ASQ_EACH_OPTIONS_INIT;
    asq_agent *agents[2] = { agent_new("Echo", NULL), agent_new("Echo", NULL) };
    asq_value *inputs = asq_pack("[[s, s], [s, s]]", begun, release, begun, release),
              *values = NULL;

    options.limit = 1;
    options.timeout_ms = 300;
    ck_assert_code(asq_call_each(agents, 2, "hold", inputs, &options, &values), ASQ_ETIMEOUT);
    ck_assert_ptr_null(values);
    ck_assert_contains(asq_errmsg(H), "1 of 2 calls of hold");
    ck_assert_contains(asq_errmsg(H), "1 were not made");
    touch(release);
    ck_assert_code(call_code(agents[0], "nothing", NULL), 0);
    asq_value_free(inputs);
    free_agents(agents, 2);
    free(begun);
    free(release);
}
END_TEST

/* ---- inside a method ------------------------------------------------------------------------- */

START_TEST(a_method_calls_each_as_a_program_does)
{
    enum { AGENTS = 3 };
    asq_agent *agents[AGENTS], *r = agent_new("Relay", NULL), *c = counter(0);
    asq_value *v, *inputs = asq_value_list();
    char expected[1024] = "[";

    ok(asq_create_many(H, "Echo", AGENTS, NULL, NULL, agents));
    for (int i = 0; i < 40; i++) {
        asq_list_append(inputs, asq_pack("[i, i]", i, 1));
        snprintf(expected + strlen(expected), 16, "%s%d", i ? "," : "", i + 1);
    }
    strcat(expected, "]");
    for (int limit = 1; limit <= 49; limit += 16) {
        ok(asq_call_wait(r, "each", &v, "[o, s, O, i]", agent_list(agents, AGENTS), "sum", inputs,
                         limit));
        ck_assert_value(v, expected);
        asq_value_free(v);
    }
    ck_assert_code(call_code(r, "each", "[o, s, [i, s], i]", agent_list(&c, 1), "add", 1, "two", 1),
                   ASQ_EARGS);
    ck_assert_int_eq(call_int(c, "read", NULL), 1);
    /* The agent calls itself, among others, and the call is admitted while it waits. */
    ok(asq_call_wait(r, "each", &v, "[o, s, [[i, i], [i, i]], i]", agent_list(&r, 1), "late", 0, 0,
                     0, 0, 2));
    ck_assert_value(v, "[1,1]");
    asq_value_free(v);
    asq_value_free(inputs);
    asq_agent_free(c);
    asq_agent_free(r);
    free_agents(agents, AGENTS);
}
END_TEST

START_TEST(what_is_told_of_results_in_a_method_makes_no_calls)
{
    asq_agent *r = agent_new("Relay", NULL), *other = agent_new("Relay", NULL);

    ck_assert_code(call_code(r, "tell", "[a]", other), ASQ_ESTATE);
    asq_agent_free(other);
    asq_agent_free(r);
}
END_TEST

START_TEST(a_method_that_runs_again_makes_no_call_twice)
{
    enum { N = 40, AGENTS = 4 };
    asq_agent *agents[AGENTS], *r = agent_new("Relay", NULL), *c = counter(0);
    asq_value *inputs = asq_value_list(), *v;
    int64_t entered = 0, n;

    ok(asq_create_many(H, "Relay", AGENTS, NULL, NULL, agents));
    for (int i = 0; i < N; i++)
        asq_list_append(inputs, asq_pack("[i, i]", i % 3 ? 0 : 5, 0));
    ck_assert_int_eq(call_int(r, "each_then", "[o, s, O, i, a]", agent_list(agents, AGENTS), "late",
                              inputs, 3, c),
                     1);
    ck_assert_int_eq(call_int(c, "read", NULL), 1);
    for (int i = 0; i < AGENTS; i++) {
        ok(asq_get(agents[i], "entered", &v));
        asq_value_get_int(v, &n);
        asq_value_free(v);
        entered += n;
    }
    ck_assert_int_eq(entered, N);
    asq_value_free(inputs);
    asq_agent_free(c);
    asq_agent_free(r);
    free_agents(agents, AGENTS);
}
END_TEST

/* In the first run the failure comes last, in the second it is known from the beginning. */
START_TEST(calls_after_one_that_failed_early_are_not_made_twice)
{
    enum { N = 30, AGENTS = 4 };
    asq_agent *agents[AGENTS], *r = agent_new("Relay", NULL), *c = counter(0);
    asq_value *inputs = asq_value_list();
    const char *method = _i == 0 ? "each_then" : "step_each_then";

    ok(asq_create_many(H, "Relay", AGENTS, NULL, NULL, agents));
    asq_list_append(inputs, asq_pack("[i, i]", 150, 1));
    for (int i = 1; i < N; i++)
        asq_list_append(inputs, asq_pack("[i, i]", 0, 0));
    ck_assert_int_eq(
        call_int(r, method, "[o, s, O, i, a]", agent_list(agents, AGENTS), "late", inputs, 5, c),
        1);
    ck_assert_int_eq(call_int(c, "read", NULL), 1);
    asq_value_free(inputs);
    asq_agent_free(c);
    asq_agent_free(r);
    free_agents(agents, AGENTS);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, gather_tells_of_each_result_as_it_comes);
    tcase_add_test(t, gather_ends_early_when_it_is_told_to);
    tcase_add_test(t, gathered_results_may_be_freed_at_once);
    tcase_add_loop_test(t, gather_and_groups_work_inside_of_a_callback, 0, 2);
    tcase_add_test(t, each_gives_the_values_in_the_order_of_the_inputs);
    tcase_add_test(t, inputs_go_to_the_agents_in_turn);
    tcase_add_test(t, each_stops_at_the_first_failure);
    tcase_add_test(t, each_goes_on_to_the_end_when_all_are_wanted);
    tcase_add_test(t, each_ends_when_its_callback_says_so_and_refuses_what_cannot_be);
    tcase_add_test(t, a_method_calls_each_as_a_program_does);
    tcase_add_test(t, what_is_told_of_results_in_a_method_makes_no_calls);
}

static void add_distributed(TCase *t)
{
    tcase_add_test(t, gather_times_out_and_goes_on_later);
    tcase_add_test(t, so_many_calls_are_under_way_and_no_more);
    tcase_add_test(t, each_times_out_and_what_is_under_way_goes_on);
    if (!sup_is_wrapped()) {
        tcase_add_test(t, a_method_that_runs_again_makes_no_call_twice);
        tcase_add_loop_test(t, calls_after_one_that_failed_early_are_not_made_twice, 0, 2);
    }
}

int main(void)
{
    return modes_main("groups", add_all, add_distributed);
}
