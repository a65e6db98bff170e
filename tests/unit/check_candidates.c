/*
 * check_candidates.c: each pool is placed among the workers that serve it, whatever the last
 * placement was, and whatever ids are made of.
 */
#include "worker/candidates.h"
#include "support/suite.h"

#include <check.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/pools.h"
#include "worker/core/place.h"
#include "worker/partition.h"

enum { PARTITIONS = 64 };

static struct asq__partition parts[PARTITIONS];
static struct asq__placed placed;

static struct asq__pools *pools;

static void set_up(void)
{
    ck_assert_int_eq(asq__pools_read(PARTITIONS, "", &pools, NULL, 0), 0);
}

/* Default pool and gpu, half of the partitions each. */
static void set_up_two_pools(void)
{
    char text[50];
    snprintf(text, sizeof text, "gpu %d %d", PARTITIONS / 2, PARTITIONS / 2);
    ck_assert_int_eq(asq__pools_read(PARTITIONS / 2, text, &pools, NULL, 0), 0);
}

static void tear_down(void)
{
    asq__placed_release(&placed);
    free(pools);
}

struct worker {
    const char *id;
    uint32_t weight;
    const char *pools, *knows;
};

static void place(struct asq__candidates *c, const struct worker *workers, size_t n)
{
    ck_assert_int_eq(asq__candidates_init(c, n, pools, PARTITIONS), 0);
    for (size_t i = 0; i < n; i++)
        asq__candidates_add(c, workers[i].id, workers[i].weight,
                            (struct asq__kind){ workers[i].knows, workers[i].pools });
    ck_assert_int_eq(asq__candidates_place(c, parts, &placed), 0);
}

static size_t owned_by(const struct asq__candidates *c, const char *id)
{
    size_t n = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        n += strcmp(asq__candidates_best(c, i), id) == 0;
    return n;
}

START_TEST(another_weight_places_anew)
{
    static const struct worker equal[] = { { "a", 1, NULL, NULL }, { "b", 1, NULL, NULL } };
    static const struct worker other[] = { { "a", 1, NULL, NULL }, { "b", 1000, NULL, NULL } };
    struct asq__candidates c;
    place(&c, equal, 2);
    ck_assert_uint_gt(owned_by(&c, "a"), PARTITIONS / 4);
    asq__candidates_release(&c);
    place(&c, other, 2);
    ck_assert_uint_lt(owned_by(&c, "a"), PARTITIONS / 4);
    asq__candidates_release(&c);
}
END_TEST

/* A worker's id may have any bytes but NUL. */
START_TEST(an_id_that_looks_like_two_workers_is_one)
{
    static const struct worker two[] = { { "a", 1, NULL, NULL }, { "b", 1, NULL, NULL } };
    static const struct worker one[] = { { "a 1\nb", 1, NULL, NULL } };
    struct asq__candidates c;
    place(&c, two, 2);
    asq__candidates_release(&c);
    place(&c, one, 1);
    ck_assert_uint_eq(owned_by(&c, one[0].id), PARTITIONS);
    asq__candidates_release(&c);
}
END_TEST

static uint32_t owned_of(const struct asq__candidates *c, const char *id, uint32_t first)
{
    uint32_t n = 0;
    for (uint32_t i = first; i < first + PARTITIONS / 2; i++)
        n += strcmp(asq__candidates_best(c, i), id) == 0;
    return n;
}

START_TEST(a_pool_is_placed_among_its_workers)
{
    static const struct worker workers[] = { { "a", 1, NULL, NULL },
                                             { "b", 1, "gpu", NULL },
                                             { "c", 1, "gpu:8,default", NULL },
                                             { "d", 100, "other", NULL } };
    struct asq__candidates c;
    place(&c, workers, 4);
    ck_assert_uint_gt(owned_of(&c, "a", 0), PARTITIONS / 8);
    ck_assert_uint_gt(owned_of(&c, "c", 0), PARTITIONS / 8);
    ck_assert_uint_eq(owned_of(&c, "a", 0) + owned_of(&c, "c", 0), PARTITIONS / 2);
    ck_assert_uint_gt(owned_of(&c, "b", PARTITIONS / 2), PARTITIONS / 8);
    ck_assert_uint_gt(owned_of(&c, "c", PARTITIONS / 2), PARTITIONS / 8);
    ck_assert_uint_eq(owned_of(&c, "b", PARTITIONS / 2) + owned_of(&c, "c", PARTITIONS / 2),
                      PARTITIONS / 2);
    ck_assert(asq__candidates_are_alike(&c));
    asq__candidates_release(&c);
}
END_TEST

START_TEST(a_pool_without_workers_has_no_owners)
{
    static const struct worker alone[] = { { "a", 1, NULL, NULL } };
    struct asq__candidates c;
    place(&c, alone, 1);
    ck_assert_uint_eq(owned_of(&c, "a", 0), PARTITIONS / 2);
    ck_assert_uint_eq(owned_of(&c, "", PARTITIONS / 2), PARTITIONS / 2);
    ck_assert(asq__candidates_last_is_fit(&c, 0));
    ck_assert(!asq__candidates_last_is_fit(&c, PARTITIONS / 2));
    ck_assert(!asq__candidates_are_few(&c, PARTITIONS / 2));
    asq__candidates_release(&c);
}
END_TEST

START_TEST(a_worker_of_all_pools_has_them)
{
    static const struct worker both[] = { { "a", 1, NULL, NULL }, { "b", 1, "*", NULL } };
    struct asq__candidates c;
    place(&c, both, 2);
    ck_assert_uint_eq(owned_of(&c, "b", PARTITIONS / 2), PARTITIONS / 2);
    ck_assert_uint_gt(owned_of(&c, "b", 0), PARTITIONS / 8);
    asq__candidates_release(&c);
}
END_TEST

/* Classes count among the workers of a pool alone, and a worker that changes its pools is placed
 * anew. */
START_TEST(classes_count_within_a_pool)
{
    static const struct worker workers[] = { { "a", 1, NULL, "Echo 1" },
                                             { "b", 1, "gpu", "Model 1" } };
    static const struct worker mixed[] = { { "a", 1, "default,gpu", "Echo 1" },
                                           { "b", 1, "gpu", "Model 1" } };
    char needs[] = "Model 1";
    struct asq__candidates c;
    parts[PARTITIONS - 1].needs = needs;
    place(&c, workers, 2);
    ck_assert(asq__candidates_are_alike(&c));
    ck_assert(!asq__candidates_are_few(&c, PARTITIONS - 1));
    asq__candidates_release(&c);
    place(&c, mixed, 2);
    ck_assert(!asq__candidates_are_alike(&c));
    ck_assert(asq__candidates_are_few(&c, PARTITIONS - 1));
    ck_assert_str_eq(asq__candidates_best(&c, PARTITIONS - 1), "b");
    ck_assert_uint_gt(owned_of(&c, "a", PARTITIONS / 2), 0);
    char *kinds = asq__candidates_kinds(&c);
    ck_assert_str_eq(kinds, "default,gpu Echo 1\ngpu Model 1\n");
    free(kinds);
    asq__candidates_release(&c);
    parts[PARTITIONS - 1].needs = NULL;
}
END_TEST

int main(void)
{
    Suite *s = suite_create("candidates");
    TCase *t = tcase_create("candidates");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, another_weight_places_anew);
    tcase_add_test(t, an_id_that_looks_like_two_workers_is_one);
    suite_add_tcase(s, t);
    t = tcase_create("pools");
    tcase_add_checked_fixture(t, set_up_two_pools, tear_down);
    tcase_add_test(t, a_pool_is_placed_among_its_workers);
    tcase_add_test(t, a_pool_without_workers_has_no_owners);
    tcase_add_test(t, a_worker_of_all_pools_has_them);
    tcase_add_test(t, classes_count_within_a_pool);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
