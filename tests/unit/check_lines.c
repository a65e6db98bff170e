/*
 * check_lines.c: of log lines that could be many, one of each kind is logged a second, and the
 * others are counted.
 */
#include "support/suite.h"
#include "value/lines.h"

#include <stdio.h>
#include <string.h>

static struct asq__lines lines;
static size_t n_logged;
static char text[4000]; /* the last line */

static void on_line(void *user, asq_log_level level, const char *message)
{
    (void) user, (void) level;
    n_logged++;
    snprintf(text, sizeof text, "%s", message);
}

static void set_up(void)
{
    asq__lines_init(&lines, on_line, NULL);
    n_logged = 0;
}

static void say_first(int64_t now_ms, int n)
{
    asq__lines_log(&lines, now_ms, ASQ_LOG_ERROR, "entry %d is bad", n);
}

START_TEST(one_line_a_second_is_told_of_each_kind)
{
    for (int i = 0; i < 1000; i++) {
        say_first(5000 + i % 10, i);
        asq__lines_log(&lines, 5000 + i % 10, ASQ_LOG_ERROR, "partition %d is lost", i);
    }
    ck_assert_uint_eq(n_logged, 2);
}
END_TEST

START_TEST(what_was_left_out_is_counted_and_the_last_of_it_told)
{
    for (int i = 0; i < 1000; i++)
        say_first(5000, i);
    asq__lines_log_rest(&lines, 5500);
    ck_assert_uint_eq(n_logged, 1);
    asq__lines_log_rest(&lines, 6000);
    ck_assert_uint_eq(n_logged, 2);
    ck_assert_str_eq(text, "entry 999 is bad (and 998 more like this one)");
    asq__lines_log_rest(&lines, 7000);
    ck_assert_uint_eq(n_logged, 2);
}
END_TEST

START_TEST(a_line_of_a_later_second_comes_behind_the_count_of_the_former)
{
    say_first(5000, 1);
    say_first(5001, 2);
    say_first(6500, 3);
    ck_assert_uint_eq(n_logged, 3);
    ck_assert_str_eq(text, "entry 3 is bad");
    say_first(6501, 4);
    ck_assert_uint_eq(n_logged, 3);
}
END_TEST

START_TEST(more_kinds_than_there_is_room_for_are_bounded_too)
{
#define SAY(kind) asq__lines_log(&lines, 5000, ASQ_LOG_ERROR, kind " %d", round)
    for (int round = 0; round < 50; round++) {
        SAY("a"), SAY("b"), SAY("c"), SAY("d"), SAY("e"), SAY("f"), SAY("g"), SAY("h"), SAY("i");
        SAY("j"), SAY("k"), SAY("l"), SAY("m"), SAY("n"), SAY("o"), SAY("p"), SAY("q"), SAY("r");
        SAY("A"), SAY("B"), SAY("C"), SAY("D"), SAY("E"), SAY("F"), SAY("G"), SAY("H"), SAY("I");
        SAY("J"), SAY("K"), SAY("L"), SAY("M"), SAY("N"), SAY("O"), SAY("P"), SAY("Q"), SAY("R");
    }
#undef SAY
    ck_assert_uint_eq(n_logged, ASQ__LINE_KINDS);
}
END_TEST

START_TEST(a_long_line_is_cut)
{
    char much[3000];
    memset(much, 'x', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    for (int i = 0; i < 3; i++)
        asq__lines_log(&lines, 5000, ASQ_LOG_ERROR, "%s", much);
    asq__lines_log_rest(&lines, 6000);
    ck_assert_uint_eq(n_logged, 2);
    ck_assert_uint_lt(strlen(text), ASQ__LINE_SHOWN + 40);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lines");
    TCase *t = tcase_create("lines");
    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_test(t, one_line_a_second_is_told_of_each_kind);
    tcase_add_test(t, what_was_left_out_is_counted_and_the_last_of_it_told);
    tcase_add_test(t, a_line_of_a_later_second_comes_behind_the_count_of_the_former);
    tcase_add_test(t, more_kinds_than_there_is_room_for_are_bounded_too);
    tcase_add_test(t, a_long_line_is_cut);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
