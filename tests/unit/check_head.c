/*
 * check_head.c: the head of an encoded value is text for people, in bounded room, whatever the
 * bytes are.
 */
#include "asqueue.h"
#include "value/buf.h"
#include "value/head.h"
#include "value/value.h"

#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

static const char *head_of(const asq_value *v, size_t size)
{
    static char out[512];
    struct asq__buf b;
    asq__buf_init(&b, (size_t) 1 << 24);
    asq__value_encode(v, &b);
    ck_assert_int_eq(b.error, 0);
    size_t n = asq__value_head(b.data, b.len, out, size);
    ck_assert_uint_eq(n, strlen(out));
    ck_assert_uint_lt(n, size);
    asq__buf_release(&b);
    return out;
}

static const char *head_of_json(const char *json, size_t size)
{
    asq_value *v;
    ck_assert_int_eq(asq_from_json(json, strlen(json), &v, NULL, 0), 0);
    const char *text = head_of(v, size);
    asq_value_free(v);
    return text;
}

START_TEST(values_read_like_json)
{
    ck_assert_str_eq(head_of_json("[1, -2, true, false, null, 1.5, \"x\"]", 200),
                     "[1, -2, true, false, null, 1.5, \"x\"]");
    ck_assert_str_eq(head_of_json("{\"a\": [], \"b\": {}}", 200), "{\"a\": [], \"b\": {}}");
    ck_assert_str_eq(head_of_json("{\"$bytes\": \"AAEC\"}", 200), "<3 bytes>");
    ck_assert_str_eq(head_of_json("[{\"$agent\": \"tally\"}]", 200), "[agent \"tally\"]");
    ck_assert_str_eq(head_of_json("\"a\\\"b\\\\c\\nd\\u001be\"", 200),
                     "\"a\\\"b\\\\c\\u000ad\\u001be\"");
    ck_assert_str_eq(head_of_json("\"\xc3\xa4\xe2\x82\xac\"", 200), "\"\xc3\xa4\xe2\x82\xac\"");
    ck_assert_str_eq(head_of_json("[[[[[[[[[[1]]]]]]]]]]", 200), "[[[[[[[[[…]]]]]]]]]");
    char out[16];
    ck_assert_uint_eq(asq__value_head(NULL, 0, out, sizeof out), 4);
    ck_assert_str_eq(out, "null");
}
END_TEST

START_TEST(long_values_are_cut_at_whole_characters)
{
    ck_assert_str_eq(head_of_json("[1, 2, 3, 4, 5, 6, 7]", 16), "[1, 2, 3, 4…");
    for (size_t size = 8; size < 40; size++) {
        const char *text =
            head_of_json("\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\"", size);
        ck_assert(asq__utf8_valid(text, strlen(text)));
    }
    char *large = malloc(1 << 20);
    memset(large, 'x', 1 << 20);
    asq_value *v = asq_value_stringn(large, 1 << 20);
    ck_assert_uint_ge(strlen(head_of(v, 256)), 250);
    asq_value_free(v);
    free(large);
}
END_TEST

START_TEST(no_cut_and_no_flipped_bit_does_harm)
{
    asq_value *v;
    static const char json[] =
        "[1, {\"key\": \"text\", \"other\": [1.5, null, {\"$bytes\": \"AAEC\"}]},"
        " {\"$agent\": \"a\", \"class\": \"C\"}]";
    struct asq__buf b;
    char out[64];
    ck_assert_int_eq(asq_from_json(json, sizeof json - 1, &v, NULL, 0), 0);
    asq__buf_init(&b, 1 << 20);
    asq__value_encode(v, &b);
    for (size_t n = 0; n <= b.len; n++)
        for (size_t bit = 0; bit < 8 * n + 1; bit++) {
            uint8_t *copy = malloc(n + 1); /* of this size, so that a read behind it is seen */
            memcpy(copy, b.data, n);
            if (bit < 8 * n)
                copy[bit / 8] ^= (uint8_t) (1u << bit % 8);
            uint8_t *exact = realloc(copy, n ? n : 1);
            for (size_t size = 8; size <= sizeof out; size += 28) {
                size_t length = asq__value_head(exact, n, out, size);
                ck_assert_uint_eq(length, strlen(out));
                ck_assert_uint_lt(length, size);
                ck_assert(asq__utf8_valid(out, length));
            }
            free(exact);
        }
    char text[32];
    ck_assert_uint_gt(asq__value_head("\x2a\x05ok", 4, text, sizeof text), 0);
    ck_assert_str_eq(text, "?");
    asq__buf_release(&b);
    asq_value_free(v);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("head");
    TCase *t = tcase_create("values");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, values_read_like_json);
    tcase_add_test(t, long_values_are_cut_at_whole_characters);
    tcase_add_test(t, no_cut_and_no_flipped_bit_does_harm);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
