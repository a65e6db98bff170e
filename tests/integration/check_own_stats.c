/*
 * check_own_stats.c: a program asks its handle what its own calls have done: how many were made,
 * how they have ended, and how long that took, by class and method, in every mode.
 */
#include "modes.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Gets the figures of a handle; the caller frees them. */
static asq_value *stats_of(asq *h, const char *class_name, const char *method)
{
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *all = NULL;
    options.own = true;
    options.class_name = class_name;
    options.method = method;
    ck_assert_msg(asq_stats(h, &options, &all) == 0, "%s", asq_errmsg(h));
    return all;
}

static int64_t total(const asq_value *all, const char *name)
{
    return asq_map_int(asq_map_get(all, "total"), name);
}

static int64_t ended(const asq_value *figures)
{
    return asq_map_int(asq_map_get(figures, "result"), "count");
}

static double result_ms(const asq_value *figures, const char *name)
{
    double ms = -1;
    asq_value_get_double(asq_map_get(asq_map_get(figures, "result"), name), &ms);
    return ms;
}

/* Returns a figure of a method of H. */
static int64_t figure(const char *class_name, const char *method, const char *name)
{
    asq_value *all = stats_of(H, class_name, method);
    int64_t n = total(all, name);
    asq_value_free(all);
    return n;
}

static void check_name(const asq_value *methods, size_t i, const char *key, const char *wanted)
{
    const char *name = NULL;
    asq_value_get_string(asq_map_get(asq_list_get(methods, i), key), &name, NULL);
    ck_assert_pstr_eq(name, wanted);
}

START_TEST(calls_count_by_class_and_method)
{
    asq_agent *a = counter(0), *echo = agent_new("Echo", NULL);
    asq_value *value = NULL;
    ok(asq_ready(a, sup_limit_ms()));
    ok(asq_ready(echo, sup_limit_ms()));
    for (int i = 0; i < 7; i++)
        call_int(a, "add", "[i]", 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(call_code(a, "add", "[s]", "x"), ASQ_EARGS);
    ck_assert_int_eq(call_code(a, "spoil", NULL), ASQ_EUSER(3));
    ok(asq_get(a, "value", &value));
    asq_value_free(value);

    asq_value *all = stats_of(H, NULL, NULL);
    const asq_value *methods = asq_map_get(all, "methods"), *add = asq_list_get(methods, 0);
    check_name(methods, 0, "class", "Counter"); /* the most calls first, then by name */
    check_name(methods, 0, "method", "add");
    ck_assert_int_eq(asq_map_int(add, "calls"), 10);
    ck_assert_int_eq(asq_map_int(add, "under_way"), 0);
    ck_assert_int_eq(asq_map_int(add, "failed"), 3);
    ck_assert_value(asq_map_get(add, "failures"), "{\"ASQ_EARGS\":3}");
    ck_assert_int_eq(ended(add), 10);
    ck_assert(0 < result_ms(add, "p50_ms") && result_ms(add, "p50_ms") <= result_ms(add, "max_ms"));
    check_name(methods, 1, "method", "(create)");
    check_name(methods, 2, "method", "(get)");
    check_name(methods, 3, "method", "spoil");
    ck_assert_value(asq_map_get(asq_list_get(methods, 3), "failures"), "{\"ASQ_EUSER(3)\":1}");
    check_name(methods, 4, "class", "Echo");
    ck_assert_uint_eq(asq_list_size(methods), 5);
    ck_assert_int_eq(total(all, "calls"), 14);
    ck_assert_int_eq(total(all, "failed"), 4);
    ck_assert_int_eq(asq_map_int(all, "to_ms"), asq_map_int(all, "now_ms"));
    ck_assert_int_le(asq_map_int(all, "from_ms"), asq_map_int(all, "to_ms"));
    asq_value_free(all);

    all = stats_of(H, "Counter", NULL);
    ck_assert_uint_eq(asq_list_size(asq_map_get(all, "methods")), 4);
    ck_assert_int_eq(total(all, "calls"), 13);
    asq_value_free(all);
    ck_assert_int_eq(figure(NULL, "(create)", "calls"), 2);
    ck_assert_int_eq(figure("Counter", "read", "calls"), 0);
    asq_agent_free(a);
    asq_agent_free(echo);
}
END_TEST

START_TEST(the_time_is_that_from_the_call_to_its_result)
{
    asq_agent *echo = agent_new("Echo", NULL);
    int64_t from_ms = sup_now_ms();
    ck_assert_int_eq(call_code(echo, "nap", "[i]", 50), 0);
    double at_most_ms = (double) (sup_now_ms() - from_ms + 1);
    asq_value *all = stats_of(H, "Echo", "nap");
    const asq_value *nap = asq_list_get(asq_map_get(all, "methods"), 0);
    ck_assert_int_eq(ended(nap), 1);
    ck_assert(result_ms(nap, "max_ms") >= 50);
    ck_assert(result_ms(nap, "mean_ms") >= 50);
    ck_assert(result_ms(nap, "max_ms") <= at_most_ms);
    ck_assert(result_ms(nap, "mean_ms") <= at_most_ms);
    asq_value_free(all);
    all = stats_of(H, "Echo", "who"); /* nothing was measured */
    ck_assert_int_eq(
        asq_value_type(asq_map_get(asq_map_get(asq_map_get(all, "total"), "result"), "mean_ms")),
        ASQ_NULL);
    asq_value_free(all);
    asq_agent_free(echo);
}
END_TEST

START_TEST(a_broadcast_and_calls_without_a_result_count_one_by_one)
{
    asq_agent *a[] = { counter(0), counter(0), counter(0) };
    asq_result *results[3];
    ok(asq_broadcast(a, 3, "add", asq_pack("[i]", 1), results));
    for (int i = 0; i < 3; i++)
        result_int(results[i]);
    ok(asq_send(a[0], "add", "[i]", 1));
    ok(asq_send(a[1], "spoil", NULL));
    ck_assert_int_eq(figure("Counter", "add", "calls"), 4);
    while (figure("Counter", NULL, "under_way"))
        ck_assert_int_ge(asq_poll(H, sup_limit_ms()), 0);
    ck_assert_int_eq(figure("Counter", "spoil", "failed"), 1);
    ck_assert_int_eq(figure("Counter", NULL, "failed"), 1);
    for (int i = 0; i < 3; i++)
        asq_agent_free(a[i]);
}
END_TEST

/* Makes a call with the failure of another one as its argument: it has a result, and is not sent.
 * And one that cannot be made. */
START_TEST(a_call_that_is_not_made_does_not_count)
{
    asq_agent *a = counter(0);
    asq_result *failed = NULL, *r = NULL;
    static char bytes[20000];
    ok(asq_call(a, "spoil", &failed, NULL));
    ck_assert_code(asq_result_wait(failed, sup_limit_ms()), ASQ_EUSER(3));
    ok(asq_call(a, "add", &r, "[r]", failed));
    ck_assert_int_eq(result_code(r), ASQ_EINPUT);
    ck_assert_code(asq_send(a, "add", "[r]", failed), ASQ_EINPUT);
    asq_result_free(failed);
    asq_value *all = stats_of(H, "Counter", "add");
    ck_assert_int_eq(total(all, "calls"), 1);
    ck_assert_int_eq(total(all, "under_way"), 0);
    ck_assert_value(asq_map_get(asq_map_get(all, "total"), "failures"), "{\"ASQ_EINPUT\":1}");
    asq_value_free(all);

    asq_options options = ASQ_OPTIONS_INIT;
    asq *small = NULL;
    asq_agent *there = NULL;
    options.max_message_size = 10000;
    ck_assert_int_eq(
        asq_open(mode == MODE_LOCAL ? "local:" : asq_url(H), &options, &small, NULL, 0), 0);
    ck_assert_int_eq(asq_attach(small, asq_agent_id(a), &there), 0);
    ck_assert_int_eq(asq_call(there, "add", &r, "[y#]", bytes, sizeof bytes), ASQ_ELIMIT);
    all = stats_of(small, NULL, NULL);
    ck_assert_int_eq(total(all, "calls"), 0);
    ck_assert_int_eq(total(all, "under_way"), 0);
    ck_assert_uint_eq(asq_list_size(asq_map_get(all, "methods")), 0);
    asq_value_free(all);
    asq_agent_free(there);
    asq_close(small);
    asq_agent_free(a);
}
END_TEST

START_TEST(methods_beyond_the_bound_count_as_others)
{
    enum { METHODS = 300, BOUND = 256 };
    asq_agent *a = counter(0);
    ok(asq_ready(a, sup_limit_ms()));
    for (int i = 0; i < METHODS; i++) {
        char method[32];
        snprintf(method, sizeof method, "method%d", i);
        ck_assert_int_eq(call_code(a, method, NULL), ASQ_ENOMETHOD);
    }
    ck_assert_int_eq(call_code(a, "method0", NULL), ASQ_ENOMETHOD); /* it has a place */
    asq_value *all = stats_of(H, NULL, NULL);
    ck_assert_uint_eq(asq_list_size(asq_map_get(all, "methods")), BOUND + 1);
    ck_assert_int_eq(total(all, "calls"), 1 + METHODS + 1);
    ck_assert_int_eq(total(all, "failed"), METHODS + 1);
    asq_value_free(all);
    ck_assert_int_eq(figure("(other)", "(other)", "failed"), 1 + METHODS - BOUND);
    ck_assert_int_eq(figure("Counter", "method0", "calls"), 2);
    asq_agent_free(a);
}
END_TEST

START_TEST(the_class_of_an_attached_agent_may_be_unknown)
{
    asq_agent *a = counter(0), *attached = NULL;
    ok(asq_ready(a, sup_limit_ms()));
    ok(asq_attach(H, asq_agent_id(a), &attached));
    call_int(attached, "read", NULL);
    asq_value *all = stats_of(H, NULL, "read");
    const asq_value *methods = asq_map_get(all, "methods");
    ck_assert_uint_eq(asq_list_size(methods), 1);
    ck_assert_int_eq(asq_value_type(asq_map_get(asq_list_get(methods, 0), "class")), ASQ_NULL);
    asq_value_free(all);
    asq_agent_free(attached);
    asq_agent_free(a);
}
END_TEST

static int tell_own(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) self, (void) args;
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    options.own = true;
    int rc = asq_stats(asq_ctx_handle(ctx), &options, ret);
    return rc < 0 ? asq_fail(ctx, rc, "%s", asq_errmsg(asq_ctx_handle(ctx))) : 0;
}

START_TEST(wrong_questions_are_refused)
{
    static const asq_method methods[] = { { "tell", tell_own, NULL, 0, NULL },
                                          { NULL, NULL, NULL, 0, NULL } };
    static const asq_class teller = { ASQ_CLASS_INIT, .name = "Teller", .methods = methods };
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    asq_value *all = NULL;
    asq *local = NULL;
    asq_agent *a = NULL;
    options.own = true;
    options.last_ms = 1000;
    ck_assert_code(asq_stats(H, &options, &all), ASQ_EINVAL);
    ck_assert_contains(asq_errmsg(H), "last_ms");
    options.last_ms = 0;
    options.points = true;
    ck_assert_code(asq_stats(H, &options, &all), ASQ_EINVAL);
    options.size++;
    ck_assert_code(asq_stats(H, &options, &all), ASQ_EVERSION);
    ck_assert_int_eq(asq_open("local:", NULL, &local, NULL, 0), 0);
    ck_assert_int_eq(asq_register(local, &teller), 0);
    ck_assert_int_eq(asq_create(local, "Teller", NULL, &a, NULL), 0);
    ck_assert_int_eq(asq_call_wait(a, "tell", &all, NULL), ASQ_ENOTSUP);
    ck_assert_contains(asq_errmsg(local), "worker measures");
    asq_agent_free(a);
    asq_close(local);
}
END_TEST

struct caller {
    asq_agent *a;
    pthread_t thread;
    int n, failed;
    asq_value *all;
};

static void *call_and_ask(void *user)
{
    struct caller *c = user;
    asq_stats_options options = ASQ_STATS_OPTIONS_INIT;
    options.own = true;
    for (int i = 0; i < c->n; i++) {
        c->failed += asq_call_wait(c->a, "add", NULL, "[i]", 1) < 0;
        asq_value_free(c->all);
        c->all = NULL;
        c->failed += asq_stats(asq_agent_handle(c->a), &options, &c->all) < 0;
    }
    return NULL;
}

START_TEST(handles_of_several_threads_have_figures_of_their_own)
{
    struct caller callers[] = { { .n = 40 }, { .n = 60 } };
    asq *handles[2];
    asq_agent_free(counter(0)); /* child mode forks now */
    for (int i = 0; i < 2; i++) {
        handles[i] = modes_open();
        ck_assert_int_eq(asq_create(handles[i], "Counter", NULL, &callers[i].a, NULL), 0);
        ck_assert_int_eq(asq_ready(callers[i].a, sup_limit_ms()), 0);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, call_and_ask, &callers[i]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(callers[i].thread, NULL);
        ck_assert_int_eq(callers[i].failed, 0);
        ck_assert_int_eq(total(callers[i].all, "calls"), callers[i].n + 1);
        asq_value_free(callers[i].all);
        asq_agent_free(callers[i].a);
        asq_close(handles[i]);
    }
}
END_TEST

static void note_under_way(asq_result *r, void *user)
{
    (void) r;
    *(int64_t *) user = figure("Echo", "hold", "under_way");
}

START_TEST(a_call_is_under_way_until_its_result_is_there)
{
    asq_agent *echo = agent_new("Echo", NULL);
    char *begun = sup_path("begun"), *release = sup_path("release");
    int64_t seen = -1;
    asq_result *r = NULL;
    ok(asq_call(echo, "hold", &r, "[s, s]", begun, release));
    ok(asq_result_then(r, note_under_way, &seen));
    ck_assert_int_eq(figure("Echo", "hold", "under_way"), 1);
    ck_assert_int_eq(figure("Echo", "hold", "calls"), 1);
    touch(release);
    ok(asq_result_wait(r, sup_limit_ms()));
    asq_poll(H, 0);
    ck_assert_int_eq(seen, 0); /* a callback may ask */
    ck_assert_int_eq(figure("Echo", "hold", "under_way"), 0);
    asq_result_free(r);
    asq_agent_free(echo);
    free(begun);
    free(release);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, calls_count_by_class_and_method);
    tcase_add_test(t, the_time_is_that_from_the_call_to_its_result);
    tcase_add_test(t, a_broadcast_and_calls_without_a_result_count_one_by_one);
    tcase_add_test(t, a_call_that_is_not_made_does_not_count);
    tcase_add_test(t, methods_beyond_the_bound_count_as_others);
    tcase_add_test(t, the_class_of_an_attached_agent_may_be_unknown);
    tcase_add_test(t, wrong_questions_are_refused);
    tcase_add_test(t, handles_of_several_threads_have_figures_of_their_own);
}

static void add_distributed(TCase *t)
{
    tcase_add_test(t, a_call_is_under_way_until_its_result_is_there);
}

int main(void)
{
    return modes_main("own stats", add_all, add_distributed);
}
