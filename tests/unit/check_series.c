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

/* Returns a random duration, often the upper bound of a bucket. */
static int64_t duration(double most_ns)
{
    uint64_t ns = (uint64_t) (drand48() * drand48() * most_ns);
    return (int64_t) (lrand48() % 4 ? ns : asq__histogram_upper(asq__histogram_bucket(ns)));
}

/* Counts the runs of a commit in two series, and one by one what should come of it: runs that
 * mostly begin when the one before has ended, of entries of some calls. */
static void commit_runs(struct asq__timed *t, struct asq__series series[2],
                        struct expected expected[2], size_t n)
{
    int64_t last_ns = INT64_C(1) << 40, since_ms = 0, ends[RUNS];
    int of[RUNS];
    for (size_t i = 0; i < n; i++) {
        of[i] = lrand48() % 16 == 0;
        struct expected *e = &expected[of[i]];
        if (lrand48() % 32 == 0 || i == 0)
            since_ms = (last_ns - duration(3e8)) / 1000000 + lrand48() % 3; /* also in the future */
        int64_t began_ns = lrand48() % 8 ? last_ns : last_ns + duration(1e6),
                ended_ns = began_ns + duration(lrand48() % 64 ? 1e4 : 1e9);
        bool counted = lrand48() % 5 == 0;
        asq__timed_add(t, &series[of[i]], counted ? ASQ__TIMED_COUNTED : since_ms, began_ns,
                       ended_ns);
        last_ns = ends[i] = ended_ns;
        if (counted)
            continue;
        e->calls++;
        asq__histogram_add(&e->queue, began_ns - since_ms * 1000000);
        asq__histogram_add(&e->run, ended_ns - began_ns);
    }
    last_ns += duration(1e6);
    for (size_t i = 0; i < n; i++)
        asq__histogram_add(&expected[of[i]].commit, last_ns - ends[i]);
    asq__series_runs(t);
    asq__series_commit(t, last_ns);
}

START_TEST(runs_of_a_commit_count_as_one_by_one)
{
    static struct asq__series series[2];
    static struct expected expected[2];
    struct asq__timed t = { 0 }, spare = { 0 };
    for (size_t n = 0; n <= RUNS; n += n < 50 ? 1 : RUNS - 50) {
        commit_runs(&t, series, expected, n);
        asq__timed_recycle(&spare, &t); /* with the memory of the one before, as commits do */
        ck_assert_ptr_null(t.times);
        ck_assert_uint_eq(spare.n + spare.nrows, 0);
        asq__timed_recycle(&t, &spare);
    }
    asq__timed_release(&t);
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

/* Returns how many durations are counted in a bucket. */
static unsigned long long count_of(const struct asq__histogram *h, unsigned bucket)
{
    return atomic_load(&h->counts[bucket]);
}

START_TEST(impossible_times_count_at_the_ends)
{
    enum { LAST = ASQ__HISTOGRAM_BUCKETS - 1 };
    static struct asq__series s;
    struct asq__timed t = { 0 };
    int64_t hours_ms = 36000000, long_ns = hours_ms * 1000000; /* more than the histogram has */
    /* Made in the future; ended before it began. */
    asq__timed_add(&t, &s, 2 * hours_ms, 5, 3);
    asq__timed_add(&t, &s, 2 * hours_ms, 5, 5);
    /* Two that follow each other, each longer than all buckets. */
    asq__timed_add(&t, &s, -hours_ms - 1, 9, 9 + long_ns);
    asq__timed_add(&t, &s, -hours_ms - 1, 9 + long_ns, 9 + 2 * long_ns);
    /* Ends after the acknowledgement, by the clock of another processor. */
    asq__timed_add(&t, &s, 0, 3 * long_ns, 3 * long_ns);
    asq__series_runs(&t);
    ck_assert_uint_eq(atomic_load(&s.calls), 5);
    ck_assert_uint_eq(count_of(&s.queue, 0), 2);
    ck_assert_uint_eq(count_of(&s.queue, LAST), 3);
    ck_assert_uint_eq(count_of(&s.run, 0), 3);
    ck_assert_uint_eq(count_of(&s.run, LAST), 2);
    ck_assert_uint_eq(atomic_load(&s.run.sum_ns), (uint64_t) long_ns * 2);
    asq__series_commit(&t, 3 * long_ns - 1);
    ck_assert_uint_eq(count_of(&s.commit, 0), 1);
    ck_assert_uint_eq(count_of(&s.commit, LAST), 4);
    ck_assert_uint_eq(atomic_load(&s.commit.sum_ns), (uint64_t) (9 * long_ns - 2 * 6 - 2 * 10));
    asq__timed_release(&t);
}
END_TEST

START_TEST(memory_is_not_moved_over_other_memory)
{
    static struct asq__series s;
    struct asq__timed t[2] = { { 0 }, { 0 } };
    asq__timed_recycle(&t[0], &t[1]); /* neither has any */
    for (int i = 0; i < 2; i++)
        asq__timed_add(&t[i], &s, 0, 1, 2);
    const int64_t *times = t[0].times;
    asq__timed_recycle(&t[0], &t[1]);
    ck_assert_ptr_eq(t[0].times, times);
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(t[i].nrows, 1);
        asq__timed_release(&t[i]);
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
    tcase_add_test(t, memory_is_not_moved_over_other_memory);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
