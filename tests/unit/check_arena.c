/*
 * check_arena.c: pieces of an arena are aligned, do not overlap, and are bounded.
 */
#include "proto/asqueue.pb-c.h"
#include "value/arena.h"
#include "support/suite.h"

#include <check.h>
#include <string.h>

START_TEST(pieces_are_aligned_and_do_not_overlap)
{
    struct asq__arena a;
    uint8_t *p[500];
    asq__arena_init(&a, 1 << 24);
    for (size_t i = 0; i < 500; i++) {
        size_t n = i % 50 == 7 ? 300000 / (i + 1) : i;
        p[i] = asq__arena_alloc(&a, n);
        ck_assert_ptr_nonnull(p[i]);
        ck_assert_uint_eq((uintptr_t) p[i] % _Alignof(max_align_t), 0);
        memset(p[i], (int) (i & 0xff), n);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t k = 0, n = i % 50 == 7 ? 300000 / (i + 1) : i; k < n; k++)
            ck_assert_uint_eq(p[i][k], (uint8_t) i);
    asq__arena_release(&a);
    ck_assert_uint_eq(a.used, 0);
    ck_assert_ptr_nonnull(asq__arena_alloc(&a, 10)); /* may be used again */
    asq__arena_release(&a);
}
END_TEST

START_TEST(the_bound_holds)
{
    struct asq__arena a;
    size_t given = 0;
    asq__arena_init(&a, 1000);
    ck_assert_ptr_null(asq__arena_alloc(&a, 1001));
    ck_assert_ptr_null(asq__arena_alloc(&a, SIZE_MAX));
    while (asq__arena_alloc(&a, 10))
        given += 10;
    ck_assert_uint_ge(given, 500);
    ck_assert_uint_le(given, 1000);
    asq__arena_release(&a);
}
END_TEST

START_TEST(protobuf_unpacks_into_it_up_to_the_bound)
{
    static const uint8_t chain[] = "\x0a\x06\x0a\x01"
                                   "a\x12\x01"
                                   "b\x0a\x06\x0a\x01"
                                   "c\x12\x01"
                                   "d";
    struct asq__arena a;
    asq__arena_init(&a, 10000);
    Asqueue__Chain *m = asqueue__chain__unpack(&a.allocator, sizeof chain - 1, chain);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->n_links, 2);
    ck_assert_str_eq(m->links[1]->agent, "d");
    asq__arena_release(&a);
    asq__arena_init(&a, 100);
    ck_assert_ptr_null(asqueue__chain__unpack(&a.allocator, sizeof chain - 1, chain));
    asq__arena_release(&a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("arena");
    TCase *c = tcase_create("arena");
    tcase_add_test(c, pieces_are_aligned_and_do_not_overlap);
    tcase_add_test(c, the_bound_holds);
    tcase_add_test(c, protobuf_unpacks_into_it_up_to_the_bound);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
