/*
 * check_stats_figures.c: figures of calls as text: what is written is read again and added up;
 * other texts do no harm; percentiles are about right.
 */
#include "support/suite.h"
#include "value/stats_figures.h"

#include <stdlib.h>
#include <string.h>

static struct asq__stats_figures f, g;
static struct asq__buf text;

static void set_up(void)
{
    memset(&f, 0, sizeof f);
    memset(&g, 0, sizeof g);
    asq__buf_init(&text, 65536);
}

static void tear_down(void)
{
    asq__buf_release(&text);
}

static void read_text(struct asq__stats_figures *to, const char *s)
{
    asq__stats_read(to, s, strlen(s));
}

static uint64_t failures_of(const struct asq__stats_figures *of, int code)
{
    for (size_t i = 0; i < of->failures.n; i++)
        if (of->failures.of[i].code == code)
            return of->failures.of[i].n;
    return 0;
}

START_TEST(what_is_written_is_read_and_added)
{
    f.calls = 12;
    asq__stats_fail(&f.failures, -7, 2);
    asq__stats_fail(&f.failures, 0, 1);
    f.times[ASQ__STATS_QUEUE] = (struct asq__stats_times){ .sum_us = 100, .max_us = 60 };
    f.times[ASQ__STATS_QUEUE].counts[3] = 11;
    f.times[ASQ__STATS_COMMIT].counts[ASQ__STATS_BUCKETS - 1] = 1;
    asq__stats_write(&f, &text);
    asq__buf_putc(&text, 0);
    ck_assert_str_eq((char *) text.data, "c 12 f-7 2 f0 1 qs 100 qm 60 q3 11 k72 1");
    read_text(&g, (char *) text.data);
    ck_assert_int_eq(memcmp(&f, &g, sizeof f), 0);
    read_text(&g, "c 1 f-7 1 qm 61 qs 1 q3 1");
    ck_assert_uint_eq(g.calls, 13);
    ck_assert_uint_eq(failures_of(&g, -7), 3);
    ck_assert_uint_eq(asq__stats_failed(&g.failures), 4);
    ck_assert_uint_eq(g.times[ASQ__STATS_QUEUE].max_us, 61);
    ck_assert_uint_eq(g.times[ASQ__STATS_QUEUE].sum_us, 101);
    asq__stats_merge(&f, &g);
    ck_assert_uint_eq(f.calls, 25);
    ck_assert_uint_eq(f.times[ASQ__STATS_QUEUE].counts[3], 23);
    ck_assert_uint_eq(f.times[ASQ__STATS_QUEUE].max_us, 61);
}
END_TEST

START_TEST(other_texts_do_no_harm)
{
    static const char *const texts[] = { "",
                                         " ",
                                         "c",
                                         "c ",
                                         "c x",
                                         "x 1",
                                         "q 1",
                                         "q99 1",
                                         "q73 1",
                                         "q-1 1",
                                         "f 1",
                                         "f- 1",
                                         "f99999999999999999999 1",
                                         "qx 1",
                                         "  1 1",
                                         "\xff 1",
                                         "cc 1",
                                         "q1x 1" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        read_text(&f, texts[i]);
    ck_assert_int_eq(memcmp(&f, &g, sizeof f), 0);
    read_text(&f, "c 99999999999999999999999999 c 1");
    ck_assert_uint_eq(f.calls, UINT64_MAX);
    asq__stats_read(&f, "r1 77", 4); /* cut within a number: what is there counts */
    ck_assert_uint_eq(f.times[ASQ__STATS_RUN].counts[1], 7);
}
END_TEST

START_TEST(codes_without_a_place_count_as_others)
{
    for (int code = 1; code <= 1000; code++)
        asq__stats_fail(&f.failures, -code, 1);
    ck_assert_uint_eq(f.failures.n, ASQ__STATS_CODES);
    ck_assert_uint_eq(asq__stats_failed(&f.failures), 1000);
    ck_assert_uint_eq(failures_of(&f, 0), 1000 - ASQ__STATS_CODES + 1);
}
END_TEST

static int by_size(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

START_TEST(percentiles_are_about_right)
{
    enum { N = 20000 };
    static uint64_t values[N];
    static const double quantiles[] = { .5, .9, .99 };
    struct asq__stats_times *t = &f.times[ASQ__STATS_RUN];
    srand48(3);
    for (size_t i = 0; i < N; i++) {
        values[i] = (uint64_t) (drand48() * drand48() * 1e8) + 1;
        t->counts[asq__stats_bucket(asq__histogram_bucket(values[i]))]++;
        t->max_us = values[i] / 1000 > t->max_us ? values[i] / 1000 : t->max_us;
    }
    qsort(values, N, sizeof *values, by_size);
    for (size_t i = 0; i < 3; i++) {
        double exact = (double) values[(size_t) (quantiles[i] * N)] / 1000;
        double told = asq__stats_quantile(t, quantiles[i]);
        ck_assert_msg(told > exact * .8 && told < exact * 1.2, "%g: %g, exactly %g", quantiles[i],
                      told, exact);
    }
    ck_assert_double_eq(asq__stats_quantile(t, 1), (double) t->max_us);
    /* Each bucket of a process has a place. */
    ck_assert_uint_eq(asq__stats_bucket(ASQ__HISTOGRAM_BUCKETS - 1), ASQ__STATS_BUCKETS - 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stats figures");
    TCase *t = tcase_create("figures");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, what_is_written_is_read_and_added);
    tcase_add_test(t, other_texts_do_no_harm);
    tcase_add_test(t, codes_without_a_place_count_as_others);
    tcase_add_test(t, percentiles_are_about_right);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
