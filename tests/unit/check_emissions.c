/*
 * check_emissions.c: emitted values are what protobuf makes of them, hostile bytes do no harm, and
 * the oldest of many go first.
 */
#include "asqueue.h"
#include "client/emitted.h"
#include "proto/asqueue.pb-c.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/emissions.h"
#include "value/value.h"

#include <check.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Appends an int as an emitted value. */
static void put_int(struct asq__buf *out, int64_t i)
{
    asq_value *v = asq_value_int(i);
    struct asq__buf one;

    asq__buf_init(&one, 100);
    ck_assert_int_eq(asq__value_encode(v, &one), 0);
    asq__emission_put(one.data, one.len, out);
    asq__buf_release(&one);
    asq_value_free(v);
}

START_TEST(values_are_written_as_protobuf_writes_them)
{
    struct asq__buf out;
    uint64_t n;

    asq__buf_init(&out, 1000);
    for (int i = 0; i < 5; i++)
        put_int(&out, 1000 * i);
    Asqueue__Emissions *m = asqueue__emissions__unpack(NULL, out.len, out.data);
    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->n_values, 5);
    ck_assert_int_eq(m->values[4]->integer, 4000);
    ck_assert_uint_eq(asqueue__emissions__get_packed_size(m), out.len);
    asqueue__emissions__free_unpacked(m, NULL);
    ck_assert(asq__emissions_count(out.data, out.len, &n));
    ck_assert_uint_eq(n, 5);
    asq__buf_release(&out);
}
END_TEST

START_TEST(no_cut_does_harm)
{
    struct asq__buf out;
    uint64_t n;

    asq__buf_init(&out, 1000);
    for (int i = 0; i < 3; i++)
        put_int(&out, 100000 * i);
    for (size_t cut = 1; cut < out.len; cut++) {
        uint8_t *exact = malloc(cut); /* sanitizers see a read behind it */
        memcpy(exact, out.data, cut);
        if (asq__emissions_count(exact, cut, &n))
            ck_assert_uint_lt(n, 3);
        for (size_t i = 0; i < cut; i++) {
            exact[i] ^= 0x81;
            asq__emissions_count(exact, cut, &n);
            exact[i] ^= 0x81;
        }
        free(exact);
    }
    asq__buf_release(&out);
}
END_TEST

/* Takes what is next, and returns its kind; an int is in *ret. */
static int take(struct asq__emitted *e, int64_t *ret)
{
    asq_value *v;
    int what = asq__emitted_take(e, &v);

    if (v)
        ck_assert_int_eq(asq_value_get_int(v, ret), 0);
    asq_value_free(v);
    return what;
}

static void add_int(struct asq__emitted *e, int64_t i)
{
    asq_value *v = asq_value_int(i);
    struct asq__buf one;

    asq__buf_init(&one, 100);
    ck_assert_int_eq(asq__value_encode(v, &one), 0);
    ck_assert_int_eq(asq__emitted_add(e, one.data, one.len), 0);
    asq__buf_release(&one);
    asq_value_free(v);
}

START_TEST(a_queue_tells_a_new_run_then_a_gap_then_values)
{
    struct asq__emitted e;
    int64_t i = 0;

    asq__emitted_init(&e);
    ck_assert(!asq__emitted_has(&e));
    e.again = true;
    e.missed = 7;
    add_int(&e, 8);
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_AGAIN);
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_MISSED);
    ck_assert_int_eq(i, 7);
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_VALUE);
    ck_assert_int_eq(i, 8);
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_END);
    ck_assert(!asq__emitted_has(&e));
    asq__emitted_release(&e);
}
END_TEST

START_TEST(the_oldest_of_many_go)
{
    struct asq__emitted e;
    enum { N = 250000 };
    int64_t missed = 0, i = 0, next;

    asq__emitted_init(&e);
    for (int k = 0; k < N; k++)
        add_int(&e, k);
    ck_assert_uint_le(e.values.len - e.at, ASQ__EMITTED_KEPT);
    ck_assert_uint_le(e.values.cap, 4 * ASQ__EMITTED_KEPT);
    ck_assert_int_eq(take(&e, &missed), ASQ_NEXT_MISSED);
    for (next = missed; take(&e, &i) == ASQ_NEXT_VALUE; next++)
        ck_assert_int_eq(i, next);
    ck_assert_int_eq(next, N);
    asq__emitted_release(&e);
}
END_TEST

START_TEST(a_copy_has_what_was_read_too)
{
    struct asq__emitted e, copy;
    enum { N = 200000 };
    int64_t missed = 0, i = 0, next;

    asq__emitted_init(&e);
    for (int k = 0; k < N; k++) {
        add_int(&e, k);
        ck_assert_int_eq(take(&e, &i), ASQ_NEXT_VALUE);
        ck_assert_int_eq(i, k);
    }
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_END);
    asq__emitted_init(&copy);
    ck_assert_int_eq(asq__emitted_copy(&copy, &e), 0);
    ck_assert_int_eq(take(&copy, &missed), ASQ_NEXT_MISSED);
    for (next = missed; take(&copy, &i) == ASQ_NEXT_VALUE; next++)
        ck_assert_int_eq(i, next);
    ck_assert_int_eq(next, N);
    asq__emitted_release(&copy);
    asq__emitted_release(&e);
}
END_TEST

START_TEST(an_entry_for_which_there_is_no_room_is_read_again)
{
    struct asq__emitted e;
    struct asq__emitted_place place = { 0, 0 };
    struct asq__buf two;
    int64_t i = 0;

    asq__buf_init(&two, 100);
    put_int(&two, 0);
    put_int(&two, 1);
    asq__emitted_init(&e);
    size_t max = e.values.max;
    e.values.max = 1;
    ck_assert(!asq__emitted_add_entry(&e, &place, 7, 0, two.data, two.len));
    ck_assert_int_ne(e.values.error, 0);
    ck_assert_uint_eq(place.next, 0);
    asq__emitted_reset(&e); /* as before the next read */
    e.values.max = max;
    ck_assert(asq__emitted_add_entry(&e, &place, 7, 0, two.data, two.len));
    ck_assert(asq__emitted_add_entry(&e, &place, 7, 0, two.data, two.len)); /* not twice */
    ck_assert_uint_eq(place.next, 2);
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(take(&e, &i), ASQ_NEXT_VALUE);
        ck_assert_int_eq(i, k);
    }
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_END);
    asq__emitted_release(&e);
    asq__buf_release(&two);
}
END_TEST

START_TEST(a_gap_and_a_foreign_entry_are_told)
{
    struct asq__emitted e;
    struct asq__emitted_place place = { 0, 0 };
    struct asq__buf one;
    int64_t i = 0;

    asq__buf_init(&one, 100);
    put_int(&one, 5);
    asq__emitted_init(&e);
    ck_assert(asq__emitted_add_entry(&e, &place, 7, 3, one.data, one.len));
    ck_assert(!asq__emitted_add_entry(&e, &place, 7, 4, "garbage", 7)); /* values come first */
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_MISSED);
    ck_assert_int_eq(i, 3);
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_VALUE);
    ck_assert(asq__emitted_add_entry(&e, &place, 7, 4, "garbage", 7));
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_MISSED);
    ck_assert_int_eq(i, 1);
    ck_assert(asq__emitted_add_entry(&e, &place, 8, 0, one.data, one.len));
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_AGAIN);
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_VALUE);
    ck_assert(asq__emitted_add_entry(&e, &place, 7, 9, one.data, one.len)); /* of an earlier run */
    ck_assert(!asq__emitted_has(&e));
    asq__emitted_release(&e);
    asq__buf_release(&one);
}
END_TEST

START_TEST(a_value_that_cannot_be_decoded_is_passed_over)
{
    struct asq__emitted e;
    int64_t i = 0;
    asq_value *v;

    asq__emitted_init(&e);
    ck_assert_int_eq(asq__emitted_add(&e, "\xff\xff", 2), 0);
    add_int(&e, 5);
    ck_assert_int_eq(asq__emitted_take(&e, &v), ASQ_EPROTO);
    ck_assert_int_eq(take(&e, &i), ASQ_NEXT_VALUE);
    ck_assert_int_eq(i, 5);
    asq__emitted_release(&e);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("emissions");
    TCase *t = tcase_create("emissions");

    tcase_set_timeout(t, 60);
    tcase_add_test(t, values_are_written_as_protobuf_writes_them);
    tcase_add_test(t, no_cut_does_harm);
    tcase_add_test(t, a_queue_tells_a_new_run_then_a_gap_then_values);
    tcase_add_test(t, the_oldest_of_many_go);
    tcase_add_test(t, a_copy_has_what_was_read_too);
    tcase_add_test(t, an_entry_for_which_there_is_no_room_is_read_again);
    tcase_add_test(t, a_gap_and_a_foreign_entry_are_told);
    tcase_add_test(t, a_value_that_cannot_be_decoded_is_passed_over);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
