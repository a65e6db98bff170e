/*
 * check_buf.c: buffers grow up to their bound, keep their first error, and give their memory away.
 */
#include "asqueue.h"
#include "value/base64.h"
#include "value/buf.h"
#include "support/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

START_TEST(what_is_put_is_there)
{
    struct asq__buf b;
    size_t n;
    asq__buf_init(&b, 100000);
    asq__buf_puts(&b, "abc");
    asq__buf_putc(&b, 0);
    asq__buf_put(&b, "xyz", 3);
    asq__buf_put(&b, NULL, 0);
    asq__buf_printf(&b, "%d-%s", 42, "é");
    ck_assert_uint_eq(b.len, 12);
    uint8_t *data = asq__buf_detach(&b, &n);
    ck_assert_uint_eq(n, 12);
    ck_assert_mem_eq(data, "abc\0xyz42-\xc3\xa9\0", 13);
    free(data);
    ck_assert_ptr_null(b.data);
    ck_assert_uint_eq(b.len, 0);
    ck_assert_uint_eq(b.max, 100000);
}
END_TEST

START_TEST(an_empty_buffer_gives_an_empty_text)
{
    struct asq__buf b;
    size_t n = 1;
    asq__buf_init(&b, 10);
    char *text = (char *) asq__buf_detach(&b, &n);
    ck_assert_str_eq(text, "");
    ck_assert_uint_eq(n, 0);
    free(text);
}
END_TEST

START_TEST(a_buffer_fills_up_to_its_bound_exactly)
{
    for (size_t max = 0; max < 300; max++) {
        struct asq__buf b;
        asq__buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            asq__buf_putc(&b, (uint8_t) i);
        ck_assert_int_eq(b.error, 0);
        ck_assert_uint_eq(b.len, max);
        asq__buf_putc(&b, 1);
        ck_assert_int_eq(b.error, ASQ_ELIMIT);
        ck_assert_uint_eq(b.len, max);
        for (size_t i = 0; i < max; i++)
            ck_assert_uint_eq(b.data[i], (uint8_t) i);
        asq__buf_release(&b);
    }
}
END_TEST

START_TEST(the_first_error_stays_until_reset)
{
    struct asq__buf b;
    asq__buf_init(&b, 8);
    asq__buf_puts(&b, "12345");
    asq__buf_printf(&b, "%s", "6789");
    ck_assert_int_eq(b.error, ASQ_ELIMIT);
    ck_assert_uint_eq(b.len, 5);
    asq__buf_putc(&b, 'x'); /* would fit, but comes after the failure */
    asq__buf_varint(&b, 1);
    ck_assert_uint_eq(b.len, 5);
    ck_assert_ptr_null(asq__buf_reserve(&b, 0));
    asq__buf_reset(&b);
    ck_assert_int_eq(b.error, 0);
    asq__buf_puts(&b, "12345678");
    ck_assert_int_eq(b.error, 0);
    ck_assert_mem_eq(b.data, "12345678", 8);
    asq__buf_putc(&b, 'x');
    ck_assert_ptr_null(asq__buf_detach(&b, NULL)); /* an unfinished text cannot be detached */
    ck_assert_int_eq(b.error, 0);
}
END_TEST

START_TEST(huge_requests_do_not_wrap_around)
{
    struct asq__buf b;
    asq__buf_init(&b, SIZE_MAX);
    asq__buf_putc(&b, 'x');
    ck_assert_ptr_null(asq__buf_reserve(&b, SIZE_MAX));
    ck_assert_int_eq(b.error, ASQ_ELIMIT);
    asq__buf_reset(&b);
    asq__buf_putc(&b, 'x');
    ck_assert_ptr_null(asq__buf_reserve(&b, SIZE_MAX - 1));
    ck_assert_int_eq(b.error, ASQ_ELIMIT);
    asq__buf_release(&b);
}
END_TEST

START_TEST(varints_are_protobufs)
{
    static const struct {
        uint64_t v;
        const char *bytes;
        size_t n;
    } list[] = {
        { 0, "\0", 1 },
        { 1, "\1", 1 },
        { 127, "\x7f", 1 },
        { 128, "\x80\1", 2 },
        { 300, "\xac\2", 2 },
        { UINT32_MAX, "\xff\xff\xff\xff\x0f", 5 },
        { UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 10 },
    };
    struct asq__buf b;
    asq__buf_init(&b, 100);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        asq__buf_reset(&b);
        asq__buf_varint(&b, list[i].v);
        ck_assert_uint_eq(b.len, list[i].n);
        ck_assert_mem_eq(b.data, list[i].bytes, b.len);
    }
    asq__buf_release(&b);
}
END_TEST

/* RFC 4648, section 10. */
START_TEST(base64_gives_the_published_values)
{
    static const char *const list[][2] = { { "", "" },
                                           { "f", "Zg==" },
                                           { "fo", "Zm8=" },
                                           { "foo", "Zm9v" },
                                           { "foob", "Zm9vYg==" },
                                           { "fooba", "Zm9vYmE=" },
                                           { "foobar", "Zm9vYmFy" },
                                           { "\xfb\xff\xbf", "+/+/" } };
    char back[16];
    size_t n;
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct asq__buf b;
        asq__buf_init(&b, 100);
        asq__base64_encode(list[i][0], strlen(list[i][0]), &b);
        char *text = (char *) asq__buf_detach(&b, NULL);
        ck_assert_str_eq(text, list[i][1]);
        ck_assert_int_eq(asq__base64_decode(text, strlen(text), back, &n), 0);
        ck_assert_uint_eq(n, strlen(list[i][0]));
        ck_assert_mem_eq(back, list[i][0], n);
        free(text);
    }
    static const char *const bad[] = { "Z",    "Zg",   "Zg=",   "Zg===",    "Zh==",
                                       "Zm9=", "Z===", "====",  "Zg==Zg==", "Zm 9",
                                       "Zm9-", "Zm9_", "Zm\n9", "=Zm9",     "Zm=9" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(asq__base64_decode(bad[i], strlen(bad[i]), back, &n) == ASQ_EPARSE, "%s",
                      bad[i]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("buf");
    TCase *c = tcase_create("buf");
    tcase_add_test(c, what_is_put_is_there);
    tcase_add_test(c, an_empty_buffer_gives_an_empty_text);
    tcase_add_test(c, a_buffer_fills_up_to_its_bound_exactly);
    tcase_add_test(c, the_first_error_stays_until_reset);
    tcase_add_test(c, huge_requests_do_not_wrap_around);
    tcase_add_test(c, varints_are_protobufs);
    tcase_add_test(c, base64_gives_the_published_values);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
