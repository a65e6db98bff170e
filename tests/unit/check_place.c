/*
 * check_place.c: placement of partitions: all workers compute the same, no worker gets too many,
 * and changes of membership move few.
 */
#include "support/placing.h"
#include "support/suite.h"
#include "value/hash.h"

#include <check.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX = 40 };

static char ids[MAX][40];
static struct asq__place_worker workers[MAX];
static uint32_t owners[4096], others[4096];

static void make(size_t n, int seed)
{
    for (size_t i = 0; i < n; i++) {
        snprintf(ids[i], sizeof ids[i], "w%d-%zu", seed, i);
        workers[i] = (struct asq__place_worker){ ids[i], 1, 0 };
    }
}

static void place(size_t n, uint32_t partitions)
{
    ck_assert_int_eq(sup_place(workers, n, partitions, NULL, owners), 0);
    for (uint32_t p = 0; p < partitions; p++)
        ck_assert_uint_lt(owners[p], n);
}

START_TEST(one_worker_owns_all)
{
    make(1, 0);
    place(1, 128);
}
END_TEST

START_TEST(nobody_has_more_than_a_quarter_above_its_share)
{
    for (size_t n = 2; n <= MAX; n += 3) {
        make(n, _i);
        double total = 0;
        for (size_t i = 0; i < n; i++)
            total += workers[i].weight = 1 + (uint32_t) (i * 7 + (size_t) _i) % 5;
        for (uint32_t partitions = 16; partitions <= 1024; partitions *= 4) {
            uint32_t count[MAX] = { 0 };
            place(n, partitions);
            for (uint32_t p = 0; p < partitions; p++)
                count[owners[p]]++;
            for (size_t i = 0; i < n; i++)
                ck_assert_uint_le(count[i], ceil(1.25 * partitions * workers[i].weight / total));
        }
    }
}
END_TEST

START_TEST(weight_brings_partitions)
{
    uint32_t count[4] = { 0 };
    make(4, _i);
    workers[0].weight = 8;
    place(4, 4096);
    for (int p = 0; p < 4096; p++)
        count[owners[p]]++;
    for (int i = 1; i < 4; i++)
        ck_assert_uint_gt(count[0], 4 * count[i]);
}
END_TEST

START_TEST(the_order_of_the_list_does_not_matter)
{
    enum { N = 9, PARTITIONS = 256 };
    make(N, _i);
    place(N, PARTITIONS);
    const char *owner[PARTITIONS];
    for (int p = 0; p < PARTITIONS; p++)
        owner[p] = workers[owners[p]].id;
    for (int i = 0; i < N / 2; i++) {
        struct asq__place_worker w = workers[i];
        workers[i] = workers[N - 1 - i];
        workers[N - 1 - i] = w;
    }
    place(N, PARTITIONS);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_str_eq(workers[owners[p]].id, owner[p]);
}
END_TEST

/* If everything were placed anew, (n - 1) / n of all partitions would move. */
START_TEST(a_worker_that_comes_or_goes_moves_little)
{
    enum { PARTITIONS = 1024 };
    for (size_t n = 4; n < MAX; n += 5) {
        make(n + 1, _i);
        ck_assert_int_eq(sup_place(workers, n, PARTITIONS, NULL, others), 0);
        place(n + 1, PARTITIONS);
        unsigned moved = 0;
        for (int p = 0; p < PARTITIONS; p++)
            moved += owners[p] != others[p];
        ck_assert_uint_gt(moved, 0);
        ck_assert_uint_le(moved,
                          3 * PARTITIONS / (unsigned) n); /* a share, and some for the bound */
    }
}
END_TEST

/* Returns the score as place.c has it in its head comment. */
static double score(const struct asq__place_worker *w, uint32_t partition)
{
    uint64_t hash = asq__siphash64(w->id, strlen(w->id));
    uint8_t key[12];
    for (int i = 0; i < 12; i++)
        key[i] = (uint8_t) (i < 8 ? hash >> (8 * i) : (uint64_t) partition >> (8 * (i - 8)));
    return -log(((double) (asq__siphash64(key, sizeof key) >> 11) + 0.5) * 0x1p-53) / w->weight;
}

/* Processes of different versions must agree. */
START_TEST(the_worker_with_the_lowest_score_that_has_room_is_chosen)
{
    enum { PARTITIONS = 512 };
    for (size_t n = 1; n <= MAX; n += 1 + n / 3) {
        uint32_t room[MAX];
        double total = 0;
        make(n, _i);
        for (size_t i = 0; i < n; i++)
            total += workers[i].weight = 1U << (i * 5 + (size_t) _i) % 13;
        for (size_t i = 0; i < n; i++)
            room[i] = (uint32_t) ceil(1.25 * PARTITIONS * workers[i].weight / total);
        place(n, PARTITIONS);
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            double own = score(&workers[owners[p]], p);
            ck_assert_uint_gt(room[owners[p]], 0);
            for (size_t i = 0; i < n; i++)
                ck_assert(!room[i] || score(&workers[i], p) >= own);
            room[owners[p]]--;
        }
    }
}
END_TEST

/* The model: among the workers that lack the fewest, the one with the lowest score that has room;
 * if none has room, the one with the lowest score. */
START_TEST(a_partition_goes_to_a_worker_that_lacks_the_fewest_of_its_classes)
{
    enum { N = 9, KINDS = 3, PARTITIONS = 256 };
    static uint16_t missing[KINDS * PARTITIONS];
    uint32_t room[N];
    make(N, _i);
    for (uint32_t i = 0; i < N; i++) {
        workers[i].kind = (i + (uint32_t) _i) % KINDS;
        room[i] = (uint32_t) ceil(1.25 * PARTITIONS / N);
    }
    for (uint32_t i = 0; i < KINDS * PARTITIONS; i++)
        missing[i] = (uint16_t) ((i * 2654435761u >> 13) % (i % 5 ? 3 : 1));
    ck_assert_int_eq(sup_place(workers, N, PARTITIONS, missing, owners), 0);
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        unsigned fewest = asq__place_fewest_missing(workers, N, PARTITIONS, missing, p);
        double own = score(&workers[owners[p]], p);
        bool had_room = room[owners[p]] > 0;
        for (size_t i = 0; i < N; i++) {
            unsigned of = missing[workers[i].kind * PARTITIONS + p];
            ck_assert_uint_ge(of, fewest);
            ck_assert(i != owners[p] || of == fewest);
            ck_assert(of > fewest || (had_room && !room[i]) || score(&workers[i], p) >= own);
            ck_assert(had_room || of > fewest || !room[i]);
        }
        room[owners[p]] -= had_room;
    }
}
END_TEST

/* Keeping the placements before makes no difference, whoever has come or gone, has got another
 * weight, other classes or other pools. */
START_TEST(who_was_there_before_makes_no_difference)
{
    enum { KINDS = 3, OWN = 200, PARTITIONS = OWN + 60, STEPS = 60 };
    static uint16_t missing[KINDS * PARTITIONS];
    char text[] = "gpu 200 60";
    struct asq__placed placed = { 0 };
    struct asq__pools *pools;
    bool there[MAX] = { false };
    unsigned seed = (unsigned) _i + 1;
    ck_assert_int_eq(asq__pools_read(OWN, text, &pools, NULL, 0), 0);
    make(MAX, 0);
    for (int step = 0; step < STEPS; step++) {
        struct asq__place_worker now[MAX];
        struct asq__placed none = { 0 };
        size_t n = 0;
        for (size_t i = 0; i < MAX; i++) {
            if (rand_r(&seed) % (step % 7 ? 10 : 2) == 0) /* sometimes many at once */
                there[i] = !there[i];
            if (rand_r(&seed) % 30 == 0)
                workers[i].weight = 1 + (uint32_t) rand_r(&seed) % 50;
            if (rand_r(&seed) % 30 == 0)
                workers[i].kind = (uint32_t) rand_r(&seed) % KINDS;
            if (there[i])
                now[n++] = workers[i];
        }
        if (n == 0)
            continue;
        for (uint32_t i = 0; i < KINDS * PARTITIONS; i++) {
            uint32_t kind = i / PARTITIONS; /* of the own partitions, of gpu, of both */
            bool own = i % PARTITIONS < OWN, serves = kind == 2 || own == (kind == 0);
            missing[i] = serves ? (uint16_t) (rand_r(&seed) % 8 == 0) : ASQ__PLACE_NEVER;
        }
        ck_assert_int_eq(asq__place(now, n, PARTITIONS, pools, missing, owners, &placed), 0);
        ck_assert_int_eq(asq__place(now, n, PARTITIONS, pools, missing, others, &none), 0);
        for (uint32_t p = 0; p < PARTITIONS; p++)
            ck_assert_uint_eq(owners[p], others[p]);
        asq__placed_release(&none);
    }
    asq__placed_release(&placed);
    free(pools);
}
END_TEST

START_TEST(all_partitions_go_to_the_only_worker_that_has_their_class)
{
    enum { N = 4, PARTITIONS = 64 };
    static uint16_t missing[2 * PARTITIONS];
    make(N, _i);
    workers[2].kind = 1;
    for (int p = 0; p < PARTITIONS; p++)
        missing[p] = 1;
    ck_assert_int_eq(sup_place(workers, N, PARTITIONS, missing, owners), 0);
    for (int p = 0; p < PARTITIONS; p++)
        ck_assert_uint_eq(owners[p], 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("place");
    TCase *c = tcase_create("place");
    tcase_add_test(c, one_worker_owns_all);
    tcase_add_loop_test(c, nobody_has_more_than_a_quarter_above_its_share, 0, 20);
    tcase_add_loop_test(c, weight_brings_partitions, 0, 20);
    tcase_add_loop_test(c, the_order_of_the_list_does_not_matter, 0, 20);
    tcase_add_loop_test(c, a_worker_that_comes_or_goes_moves_little, 0, 20);
    tcase_add_loop_test(c, the_worker_with_the_lowest_score_that_has_room_is_chosen, 0, 20);
    tcase_add_loop_test(c, a_partition_goes_to_a_worker_that_lacks_the_fewest_of_its_classes, 0,
                        20);
    tcase_add_loop_test(c, who_was_there_before_makes_no_difference, 0, 40);
    tcase_add_test(c, all_partitions_go_to_the_only_worker_that_has_their_class);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
