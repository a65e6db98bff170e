/*
 * check_histogram.c: what a histogram tells of random durations, against the durations themselves.
 */
#include "support/suite.h"
#include "value/histogram.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES = 20000 };

static struct asq__histogram h, other;
static uint64_t values[VALUES];

static void set_up(void)
{
    memset(&h, 0, sizeof h);
    memset(&other, 0, sizeof other);
    srand48(7);
}

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Draws durations of all sizes: each power of two is as likely as any other. */
static uint64_t draw(void)
{
    uint64_t most = UINT64_C(1) << (unsigned) (drand48() * ASQ__HISTOGRAM_HIGH);
    return (uint64_t) (drand48() * (double) most);
}

START_TEST(buckets_follow_each_other_without_a_gap)
{
    uint64_t lower = 0;
    for (unsigned i = 0; i < ASQ__HISTOGRAM_BUCKETS; i++) {
        uint64_t upper = asq__histogram_upper(i);
        ck_assert_uint_gt(upper, lower);
        ck_assert_uint_eq(asq__histogram_bucket(lower + 1), i);
        ck_assert_uint_eq(asq__histogram_bucket(upper), i);
        ck_assert(upper - lower <= 64 || upper - lower <= lower / 8);
        lower = upper;
    }
    ck_assert_uint_eq(lower, UINT64_C(1) << ASQ__HISTOGRAM_HIGH);
    ck_assert_uint_eq(asq__histogram_bucket(0), 0);
}
END_TEST

START_TEST(quantiles_are_at_most_an_eighth_too_high)
{
    static const double quantiles[] = { 0, 0.001, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1 };
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = draw();
        asq__histogram_add(&h, (int64_t) values[i]);
    }
    qsort(values, VALUES, sizeof *values, by_size);
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double rank = quantiles[i] * VALUES;
        size_t at = (size_t) rank + ((double) (size_t) rank < rank);
        uint64_t exact = values[at ? at - 1 : 0], told = asq__histogram_quantile(&h, quantiles[i]);
        ck_assert_msg(told >= exact && told <= exact + exact / 8 + 64, "%g: %llu, exactly %llu",
                      quantiles[i], (unsigned long long) told, (unsigned long long) exact);
    }
}
END_TEST

START_TEST(counts_up_to_a_bound_are_exact)
{
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = draw();
        asq__histogram_add(&h, (int64_t) values[i]);
    }
    for (unsigned power = ASQ__HISTOGRAM_LOW; power <= ASQ__HISTOGRAM_HIGH; power++) {
        uint64_t exact = 0;
        for (size_t i = 0; i < VALUES; i++)
            exact += values[i] <= UINT64_C(1) << power;
        ck_assert_uint_eq(asq__histogram_count_to(&h, UINT64_C(1) << power), exact);
    }
    ck_assert_uint_eq(asq__histogram_count(&h), VALUES);
}
END_TEST

START_TEST(merged_ones_tell_what_one_of_all_values_would)
{
    struct asq__histogram all;
    memset(&all, 0, sizeof all);
    for (size_t i = 0; i < VALUES; i++) {
        uint64_t v = draw();
        asq__histogram_add(i % 3 ? &h : &other, (int64_t) v);
        asq__histogram_add(&all, (int64_t) v);
    }
    asq__histogram_merge(&h, &other);
    for (unsigned i = 0; i < ASQ__HISTOGRAM_BUCKETS; i++)
        ck_assert_uint_eq(atomic_load(&h.counts[i]), atomic_load(&all.counts[i]));
    ck_assert_uint_eq(atomic_load(&h.sum_ns), atomic_load(&all.sum_ns));
}
END_TEST

START_TEST(impossible_durations_count_at_the_ends)
{
    asq__histogram_add(&h, INT64_MIN);
    asq__histogram_add(&h, INT64_MAX);
    ck_assert_uint_eq(atomic_load(&h.counts[0]), 1);
    ck_assert_uint_eq(atomic_load(&h.counts[ASQ__HISTOGRAM_BUCKETS - 1]), 1);
    ck_assert_uint_eq(atomic_load(&h.sum_ns), (uint64_t) INT64_MAX);
}
END_TEST

START_TEST(an_empty_one_has_no_quantile)
{
    ck_assert_uint_eq(asq__histogram_quantile(&h, 0.5), 0);
    ck_assert_uint_eq(asq__histogram_count(&h), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("histogram");
    TCase *t = tcase_create("histogram");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_test(t, buckets_follow_each_other_without_a_gap);
    tcase_add_test(t, quantiles_are_at_most_an_eighth_too_high);
    tcase_add_test(t, counts_up_to_a_bound_are_exact);
    tcase_add_test(t, merged_ones_tell_what_one_of_all_values_would);
    tcase_add_test(t, impossible_durations_count_at_the_ends);
    tcase_add_test(t, an_empty_one_has_no_quantile);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
