/*
 * check_candidates.c: the last placement of partitions is taken again for the same workers alone,
 * whatever their ids are made of.
 */
#include "worker/candidates.h"
#include "support/suite.h"

#include <check.h>
#include <stdint.h>
#include <string.h>

#include "worker/partition.h"

enum { PARTITIONS = 64 };

static struct asq__partition parts[PARTITIONS];
static struct asq__placed placed;

static void tear_down(void)
{
    asq__placed_release(&placed);
}

struct worker {
    const char *id;
    uint32_t weight;
};

static void place(struct asq__candidates *c, const struct worker *workers, size_t n)
{
    ck_assert_int_eq(asq__candidates_init(c, n, PARTITIONS), 0);
    for (size_t i = 0; i < n; i++)
        asq__candidates_add(c, workers[i].id, workers[i].weight, NULL);
    ck_assert_int_eq(asq__candidates_place(c, parts, &placed), 0);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        ck_assert_uint_lt(c->owners[i], n);
}

static size_t owned_by(const struct asq__candidates *c, const char *id)
{
    size_t n = 0;
    for (uint32_t i = 0; i < PARTITIONS; i++)
        n += strcmp(asq__candidates_best(c, i), id) == 0;
    return n;
}

START_TEST(the_same_workers_are_not_placed_again)
{
    static const struct worker two[] = { { "a", 1 }, { "b", 1 } };
    struct asq__candidates c;
    place(&c, two, 2);
    asq__candidates_release(&c);
    for (uint32_t i = 0; i < PARTITIONS; i++)
        placed.owners[i] = 1;
    place(&c, two, 2);
    ck_assert_uint_eq(owned_by(&c, "b"), PARTITIONS);
    asq__candidates_release(&c);
}
END_TEST

START_TEST(another_weight_places_anew)
{
    static const struct worker equal[] = { { "a", 1 }, { "b", 1 } };
    static const struct worker other[] = { { "a", 1 }, { "b", 1000 } };
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
    static const struct worker two[] = { { "a", 1 }, { "b", 1 } };
    static const struct worker one[] = { { "a 1\nb", 1 } };
    struct asq__candidates c;
    place(&c, two, 2);
    asq__candidates_release(&c);
    place(&c, one, 1);
    ck_assert_uint_eq(owned_by(&c, one[0].id), PARTITIONS);
    asq__candidates_release(&c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("candidates");
    TCase *t = tcase_create("candidates");

    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, the_same_workers_are_not_placed_again);
    tcase_add_test(t, another_weight_places_anew);
    tcase_add_test(t, an_id_that_looks_like_two_workers_is_one);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
