/*
 * check_decimal.c: numbers as text, up to the largest.
 */
#include "support/suite.h"
#include "value/decimal.h"

#include <stdio.h>

static const uint64_t numbers[] = {
    0, 1, 9, 10, 99, 100, 4294967296, 9999999999999999999u, UINT64_MAX - 1, UINT64_MAX
};

START_TEST(what_is_written_is_read_again)
{
    char text[ASQ__DECIMAL_MAX + 1], expected[32];
    const char *p = text;
    uint64_t number;
    size_t n = asq__decimal(numbers[_i], text);
    text[n] = '\0';
    snprintf(expected, sizeof expected, "%llu", (unsigned long long) numbers[_i]);
    ck_assert_str_eq(text, expected);
    ck_assert(asq__decimal_read(&p, &number));
    ck_assert(number == numbers[_i]);
    ck_assert_ptr_eq(p, text + n);
}
END_TEST

START_TEST(what_is_no_number_is_refused)
{
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "x", "18446744073709551616", "99999999999999999999999"
    };
    uint64_t number = 7;
    const char *p = bad[_i];
    ck_assert(!asq__decimal_read(&p, &number));
    ck_assert_ptr_eq(p, bad[_i]);
    ck_assert_uint_eq(number, 7);
}
END_TEST

START_TEST(reading_ends_at_what_follows)
{
    const char *p = "12-345";
    uint64_t number;
    ck_assert(asq__decimal_read(&p, &number));
    ck_assert_uint_eq(number, 12);
    ck_assert_str_eq(p, "-345");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decimal");
    TCase *t = tcase_create("decimal");
    tcase_add_loop_test(t, what_is_written_is_read_again, 0, sizeof numbers / sizeof *numbers);
    tcase_add_loop_test(t, what_is_no_number_is_refused, 0, 7);
    tcase_add_test(t, reading_ends_at_what_follows);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
