/*
 * check_tally.c: failures that no caller sees are logged: the first of each kind, then their
 * number.
 */
#include "support/suite.h"
#include "value/tally.h"

#include <stdio.h>
#include <string.h>

enum { MINUTE_MS = 60000 };

static struct asq__tally tally;
static unsigned n_logged;
static char last[1000], place[100];

static void log_text(void *user, asq_log_level level, const char *text, const asq_error *error)
{
    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_eq(user, &n_logged);
    ck_assert_int_eq(level, ASQ_LOG_WARNING);
    n_logged++;
    snprintf(last, sizeof last, "%s", text);
    snprintf(place, sizeof place, "%s.%s", error->class_name, error->method);
}

static void note(const char *name, int code, int64_t now_ms)
{
    asq_error error = { code, "the reason", "", "", "", "", "" };
    asq__tally_note(&tally, name, &error, now_ms);
}

static void set_up(void)
{
    n_logged = 0;
    asq__tally_init(&tally, log_text, &n_logged);
}

static void tear_down(void)
{
    asq__tally_release(&tally);
}

START_TEST(the_first_of_each_kind_is_told_at_once)
{
    note("Counter.ad", ASQ_ENOMETHOD, 5);
    ck_assert_uint_eq(n_logged, 1);
    ck_assert(strstr(last, "Counter.ad") && strstr(last, "ASQ_ENOMETHOD") &&
              strstr(last, "the reason"));
    note("Counter.ad", ASQ_ENOMETHOD, 6);
    ck_assert_uint_eq(n_logged, 1);
    note("Counter.ad", ASQ_EARGS, 7);
    note("Counter.sub", ASQ_EUSER(3), 7);
    ck_assert_uint_eq(n_logged, 3);
    ck_assert(strstr(last, "ASQ_EUSER(3)"));
    ck_assert_uint_eq(tally.total, 4);
}
END_TEST

START_TEST(further_ones_are_told_by_their_number_once_a_minute)
{
    for (int i = 0; i < 8; i++)
        note("Counter.ad", ASQ_ENOMETHOD, 5);
    asq__tally_log_due(&tally, 5 + MINUTE_MS - 1, false);
    ck_assert_uint_eq(n_logged, 1);
    asq__tally_log_due(&tally, 5 + 2 * MINUTE_MS, false);
    ck_assert_uint_eq(n_logged, 2);
    ck_assert(strstr(last, "7 more times") && strstr(last, "120 s"));
    asq__tally_log_due(&tally, 5 + 4 * MINUTE_MS, false);
    ck_assert_uint_eq(n_logged, 2);
    note("Counter.ad", ASQ_ENOMETHOD, 5 + 4 * MINUTE_MS);
    asq__tally_log_due(&tally, 5 + 4 * MINUTE_MS, true); /* the end: nothing is kept back */
    ck_assert_uint_eq(n_logged, 3);
}
END_TEST

START_TEST(a_number_has_the_class_and_the_method)
{
    asq_error error = { ASQ_EARGS, "the reason", "Counter", "add", "a", "w", "c" };
    for (int i = 0; i < 2; i++)
        asq__tally_note(&tally, "Counter.add", &error, 5);
    error.class_name = error.method = "gone";
    asq__tally_log_due(&tally, 5 + MINUTE_MS, false);
    ck_assert_uint_eq(n_logged, 2);
    ck_assert_str_eq(place, "Counter.add");
}
END_TEST

START_TEST(what_has_no_room_counts_as_one_kind)
{
    char name[200];
    for (int i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "Class%d.method", i);
        note(name, ASQ_EFAILED, 5);
    }
    ck_assert_uint_eq(tally.n, 64);
    ck_assert_uint_eq(n_logged, 64);
    asq__tally_log_due(&tally, 5, true);
    ck_assert_uint_eq(n_logged, 65);
    ck_assert(strstr(last, "other methods failed 936 more times"));
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    tear_down();
    set_up();
    note(name, ASQ_EFAILED, 5);
    note(name, ASQ_EFAILED, 6); /* cut, and the same */
    ck_assert_uint_eq(n_logged, 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tally");
    TCase *t = tcase_create("tally");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, the_first_of_each_kind_is_told_at_once);
    tcase_add_test(t, further_ones_are_told_by_their_number_once_a_minute);
    tcase_add_test(t, a_number_has_the_class_and_the_method);
    tcase_add_test(t, what_has_no_room_counts_as_one_kind);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
