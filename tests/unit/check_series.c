/*
 * check_series.c: where a process counts: series of classes and methods, also of more than there
 * are places for; times of commits.
 */
#include "support/suite.h"

#include "asqueue.h"
#include "client/class.h"
#include "worker/core/metrics_text.h"
#include "worker/core/series.h"
#include "worker/metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { METHODS = 600, RUNS = 20000 };

static asq_method methods[METHODS + 1];
static char names[METHODS][16];
static struct asq__registry registry;
static struct asq__metrics *metrics;

static int nothing(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    return 0;
}

/* Registers a class whose methods are m0, m1 … */
static const struct asq__class *add_class(const char *name, size_t n)
{
    char err[200];
    memset(methods, 0, sizeof methods);
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], sizeof names[i], "m%zu", i);
        methods[i] = (asq_method){ .name = names[i], .fn = nothing };
    }
    asq_class def = { ASQ_CLASS_INIT, .name = name, .methods = methods };
    ck_assert_msg(asq__registry_add(&registry, &def, err, sizeof err) == 0, "%s", err);
    return asq__registry_find(&registry, name);
}

static void set_up(void)
{
    srand48(7);
    ck_assert_int_eq(asq__registry_init(&registry), 0);
}

static void tear_down(void)
{
    asq__metrics_free(metrics);
    metrics = NULL;
    asq__registry_release(&registry);
}

static void lay_out(void)
{
    ck_assert_int_eq(asq__metrics_new(&registry, "w", "default", 1, 1000, &metrics), 0);
}

static void check_name(uint32_t series, const char *class_name, const char *method)
{
    ck_assert_uint_lt(series, asq__metrics_count(metrics));
    ck_assert_str_eq(asq__metrics_name(metrics, series)->class_name, class_name);
    ck_assert_str_eq(asq__metrics_name(metrics, series)->method, method);
}

static void check_first(const struct asq__class *c)
{
    check_name(c->first_series + ASQ__SERIES_CREATE, c->def.name, "(create)");
    check_name(c->first_series + ASQ__SERIES_REST, c->def.name, "(other)");
}

START_TEST(each_class_and_method_has_its_series)
{
    const struct asq__class *a = add_class("A", 3), *b = add_class("B", 2);
    lay_out();
    check_name(0, "(other)", "(other)");
    ck_assert_uint_eq(asq__metrics_count(metrics), 1 + 2 * ASQ__SERIES_METHODS + 3 + 2);
    check_first(a);
    check_first(b);
    for (size_t i = 0; i < 3; i++)
        check_name(a->methods[i].series, "A", names[i]);
    for (size_t i = 0; i < 2; i++)
        check_name(b->methods[i].series, "B", names[i]);
}
END_TEST

START_TEST(methods_without_a_place_count_as_others_of_their_class)
{
    const struct asq__class *a = add_class("A", METHODS), *b = add_class("B", METHODS),
                            *c = add_class("C", 2);
    lay_out();
    ck_assert_uint_eq(asq__metrics_count(metrics), ASQ__SERIES_MAX);
    size_t fit = ASQ__SERIES_MAX - 1 - METHODS - 2 * ASQ__SERIES_METHODS;
    check_first(b);
    for (size_t i = 0; i < METHODS; i++) {
        check_name(a->methods[i].series, "A", names[i]);
        check_name(b->methods[i].series, "B", i < fit ? names[i] : "(other)");
    }
    ck_assert_uint_eq(c->first_series, 0);
    for (size_t i = 0; i < 2; i++)
        ck_assert_uint_eq(c->methods[i].series, 0);
}
END_TEST

START_TEST(a_class_without_a_place_leaves_none_to_its_methods)
{
    const struct asq__class *a = add_class("A", METHODS);
    add_class("B", ASQ__SERIES_MAX - 1 - METHODS - 2 * ASQ__SERIES_METHODS - 1);
    const struct asq__class *c = add_class("C", 1);
    lay_out();
    check_first(a);
    ck_assert_uint_eq(asq__metrics_count(metrics), ASQ__SERIES_MAX - 1); /* one is left over */
    ck_assert_uint_eq(c->first_series, 0);
    ck_assert_uint_eq(c->methods[0].series, 0);
}
END_TEST

/* Figures that a series should have. */
struct expected {
    unsigned long long calls;
    struct asq__histogram queue, run, commit;
};

/* Returns a duration like the one before, or rarely an upper bound of any bucket. */
static int64_t next_duration(int64_t before)
{
    if (lrand48() % 8)
        return before + (int64_t) (drand48() * 2000) - 1000; /* also below 0 */
    return (int64_t) asq__histogram_upper(asq__histogram_bucket((uint64_t) (drand48() * 2000000)));
}

/* Counts the runs of a commit in two series, and one by one what should come of it. */
static void commit_runs(struct asq__series series[2], struct expected expected[2], size_t n)
{
    struct asq__timed t = { 0 };
    int64_t now_ns = INT64_C(1) << 40, waited_ns = 0;
    struct asq__timed_run run = { 0, 0, 0 };
    for (size_t i = 0; i < n; i++) {
        int other = lrand48() % 16 == 0, counted = lrand48() % 5 == 0;
        struct expected *e = &expected[other];
        waited_ns = next_duration(waited_ns);
        run.queue_ns = next_duration(run.queue_ns);
        run.run_ns = counted ? -1 : llabs(next_duration(0));
        run.ended_ns = now_ns - waited_ns;
        asq__timed_add(&t, &series[other], run);
        asq__histogram_add(&e->commit, waited_ns);
        if (counted)
            continue;
        e->calls++;
        asq__histogram_add(&e->queue, run.queue_ns);
        asq__histogram_add(&e->run, run.run_ns);
    }
    ck_assert_uint_eq(t.n, n);
    asq__series_runs(&t);
    asq__series_commit(&t, now_ns);
    asq__timed_release(&t);
}

START_TEST(runs_of_a_commit_count_as_one_by_one)
{
    static struct asq__series series[2];
    static struct expected expected[2];
    for (size_t n = 0; n < 50; n++)
        commit_runs(series, expected, n);
    commit_runs(series, expected, RUNS);
    for (int i = 0; i < 2; i++) {
        struct asq__series *s = &series[i];
        struct expected *e = &expected[i];
        ck_assert_uint_eq(atomic_load(&s->calls), e->calls);
        ck_assert(memcmp(&s->queue, &e->queue, sizeof e->queue) == 0);
        ck_assert(memcmp(&s->run, &e->run, sizeof e->run) == 0);
        ck_assert(memcmp(&s->commit, &e->commit, sizeof e->commit) == 0);
    }
}
END_TEST

START_TEST(impossible_times_count_at_the_ends)
{
    static struct asq__series s;
    static const struct asq__timed_run runs[] = {
        { .ended_ns = INT64_MAX, .queue_ns = -5, .run_ns = 0 },
        { .ended_ns = 0, .queue_ns = INT64_MAX, .run_ns = INT64_MAX },
        { .ended_ns = 1, .queue_ns = INT64_MAX, .run_ns = INT64_MAX },
        { .ended_ns = INT64_MAX, .queue_ns = INT64_MIN, .run_ns = 0 },
    };
    struct asq__timed t = { 0 };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        asq__timed_add(&t, &s, runs[i]);
    asq__series_runs(&t);
    asq__series_commit(&t, INT64_MAX - 1);
    asq__timed_release(&t);
    const struct asq__histogram *all[] = { &s.queue, &s.run, &s.commit };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ck_assert_uint_eq(atomic_load(&all[i]->counts[0]), 2);
        ck_assert_uint_eq(atomic_load(&all[i]->counts[ASQ__HISTOGRAM_BUCKETS - 1]), 2);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("series");
    TCase *t = tcase_create("series");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, each_class_and_method_has_its_series);
    tcase_add_test(t, methods_without_a_place_count_as_others_of_their_class);
    tcase_add_test(t, a_class_without_a_place_leaves_none_to_its_methods);
    tcase_add_test(t, runs_of_a_commit_count_as_one_by_one);
    tcase_add_test(t, impossible_times_count_at_the_ends);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
