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

/* Counts the times of runs of two series, and for comparison one by one. Most runs end soon after
 * the one before. */
static void commit_runs(struct asq__series series[2], struct asq__histogram one_by_one[2], size_t n)
{
    struct asq__timed t = { 0 };
    int64_t *ended_ns = calloc(n + 1, sizeof *ended_ns), end_ns = 1;
    ck_assert_ptr_nonnull(ended_ns);
    for (size_t i = 0; i < n; i++)
        ended_ns[i] = end_ns += (int64_t) (drand48() * (lrand48() % 8 ? 2000 : 200000));
    int64_t now_ns = end_ns - 1000;   /* the last ones seem to have ended later */
    for (size_t i = 0; i < n; i += 7) /* some are upper bounds of buckets */
        if (ended_ns[i] < now_ns)
            ended_ns[i] = now_ns - (int64_t) asq__histogram_upper(
                                       asq__histogram_bucket((uint64_t) (now_ns - ended_ns[i])));
    for (size_t i = 0; i < n; i++) {
        int other = lrand48() % 16 == 0;
        asq__timed_add(&t, &series[other], ended_ns[i]);
        asq__histogram_add(&one_by_one[other], now_ns - ended_ns[i]);
    }
    ck_assert_uint_eq(t.n, n);
    asq__series_commit(&t, now_ns);
    asq__timed_release(&t);
    free(ended_ns);
}

START_TEST(times_of_commits_count_as_one_by_one)
{
    static struct asq__series series[2];
    static struct asq__histogram one_by_one[2];
    for (size_t n = 0; n < 50; n++)
        commit_runs(series, one_by_one, n);
    commit_runs(series, one_by_one, RUNS);
    for (int i = 0; i < 2; i++)
        ck_assert(memcmp(&series[i].commit, &one_by_one[i], sizeof one_by_one[i]) == 0);
}
END_TEST

START_TEST(impossible_times_of_commits_count_at_the_ends)
{
    static struct asq__series s;
    static const int64_t ended_ns[] = { INT64_MAX, 0, 1, INT64_MAX };
    struct asq__timed t = { 0 };
    for (size_t i = 0; i < sizeof ended_ns / sizeof *ended_ns; i++)
        asq__timed_add(&t, &s, ended_ns[i]);
    asq__series_commit(&t, INT64_MAX - 1);
    asq__timed_release(&t);
    ck_assert_uint_eq(atomic_load(&s.commit.counts[0]), 2);
    ck_assert_uint_eq(atomic_load(&s.commit.counts[ASQ__HISTOGRAM_BUCKETS - 1]), 2);
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
    tcase_add_test(t, times_of_commits_count_as_one_by_one);
    tcase_add_test(t, impossible_times_of_commits_count_at_the_ends);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
