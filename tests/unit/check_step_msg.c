/*
 * check_step_msg.c: records of steps are what protobuf makes of them, and hostile bytes do no harm.
 */
#include "asqueue.h"
#include "proto/asqueue.pb-c.h"
#include "support/suite.h"
#include "value/buf.h"
#include "value/step_msg.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

static const struct asq__step steps[] = {
    { 1, ASQUEUE__STEP_KIND__CALLED, "a.add", 5, "", 0, 0, "", 0 },
    { 2, ASQUEUE__STEP_KIND__STEP, "pay", 3, "\x18\x54", 2, 0, "", 0 },
    { 300, ASQUEUE__STEP_KIND__STEP, "mail", 4, "", 0, -1007, "no luck", 7 },
    { 301, ASQUEUE__STEP_KIND__NOW, "", 0, "12345678", 8, 0, "", 0 },
    { 302, ASQUEUE__STEP_KIND__SLEEP, "", 0, "87654321", 8, 0, "", 0 },
    { 303, ASQUEUE__STEP_KIND__PROMISE, "", 0, "0123456789abcdef", 16, 0, "", 0 },
    { 304, ASQUEUE__STEP_KIND__WAITED, "", 0, "\x01", 1, 0, "", 0 }
};
enum { N = sizeof steps / sizeof *steps };

static struct asq__buf all;

static void set_up(void)
{
    asq__buf_init(&all, 4096);
    for (size_t i = 0; i < N; i++)
        asq__step_encode(&steps[i], &all);
    ck_assert_int_eq(all.error, 0);
}

static void tear_down(void)
{
    asq__buf_release(&all);
}

START_TEST(records_are_read_one_after_the_other)
{
    struct asq__step s;
    size_t at = 0;

    for (size_t i = 0; i < N; i++) {
        ck_assert_int_eq(asq__step_read(all.data, all.len, &at, &s), 0);
        ck_assert_uint_eq(s.number, steps[i].number);
        ck_assert_int_eq(s.kind, steps[i].kind);
        ck_assert_int_eq(s.code, steps[i].code);
        ck_assert_uint_eq(s.name_n, steps[i].name_n);
        ck_assert_mem_eq(s.name, steps[i].name, s.name_n);
        ck_assert_uint_eq(s.value_n, steps[i].value_n);
        ck_assert_mem_eq(s.value, steps[i].value, s.value_n);
        ck_assert_uint_eq(s.message_n, steps[i].message_n);
        ck_assert_mem_eq(s.message, steps[i].message, s.message_n);
    }
    ck_assert_uint_eq(at, all.len);
    ck_assert_int_eq(asq__step_read(all.data, all.len, &at, &s), ASQ_ENOENT);
}
END_TEST

START_TEST(records_are_written_as_protobuf_writes_them)
{
    Asqueue__Steps *m = asqueue__steps__unpack(NULL, all.len, all.data);

    ck_assert_ptr_nonnull(m);
    ck_assert_uint_eq(m->n_steps, N);
    ck_assert_uint_eq(m->steps[2]->number, 300);
    ck_assert_str_eq(m->steps[2]->message, "no luck");
    ck_assert_int_eq(m->steps[2]->code, -1007);
    size_t n = asqueue__steps__get_packed_size(m);
    ck_assert_uint_eq(n, all.len);
    uint8_t *packed = malloc(n);
    asqueue__steps__pack(m, packed);
    ck_assert_mem_eq(packed, all.data, n);
    free(packed);
    asqueue__steps__free_unpacked(m, NULL);
}
END_TEST

/* Reads all records of n bytes in a block of just that size. Returns the last code. */
static int read_all(const uint8_t *data, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    struct asq__step s;
    size_t at = 0;
    int rc;

    memcpy(copy, data, n);
    while ((rc = asq__step_read(copy, n, &at, &s)) == 0)
        ck_assert_uint_gt(s.number, 0);
    free(copy);
    return rc;
}

START_TEST(no_cut_and_no_flipped_bit_does_harm)
{
    for (size_t n = 0; n < all.len; n++)
        read_all(all.data, n);
    for (size_t i = 0; i < all.len; i++)
        for (int bit = 0; bit < 8; bit++) {
            all.data[i] ^= (uint8_t) (1 << bit);
            read_all(all.data, all.len);
            all.data[i] ^= (uint8_t) (1 << bit);
        }
    ck_assert_int_eq(read_all(all.data, all.len), ASQ_ENOENT);
    ck_assert_int_eq(read_all(all.data, all.len - 1), ASQ_EPROTO);
    ck_assert_int_eq(read_all((const uint8_t *) "\x0a\x00", 2), ASQ_EPROTO); /* no number */
    ck_assert_int_eq(read_all((const uint8_t *) "\x0a\x04\x08\x01\x10\x0a", 6), ASQ_EPROTO);
    ck_assert_int_eq(read_all((const uint8_t *) "\x0a\x04\x08\x01\x28\x02", 6), ASQ_EPROTO);
    ck_assert_int_eq(read_all((const uint8_t *) "rubbish", 7), ASQ_EPROTO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("step_msg");
    TCase *t = tcase_create("step_msg");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, records_are_read_one_after_the_other);
    tcase_add_test(t, records_are_written_as_protobuf_writes_them);
    tcase_add_test(t, no_cut_and_no_flipped_bit_does_harm);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
