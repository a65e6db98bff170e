/*
 * check_cron.c: the times of cron expressions. Random expressions are compared with a model that
 * goes through the minutes one by one, as a cron daemon does; both changes of summer time are
 * written out besides.
 */
#include "value/cron.h"

#include "asqueue.h"
#include "support/suite.h"
#include "value/civil.h"
#include "zone_text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char err[400];
static struct asq__cron cron;
static struct asq__zone *zone;

static void set_up(void)
{
    zone = NULL;
}

static void tear_down(void)
{
    asq__zone_free(zone);
}

static void parse(const char *text)
{
    int rc = asq__cron_parse(text, &cron, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
}

/* Returns the Unix time of "2026-03-29 02:30:00", in UTC. */
static int64_t utc(const char *text)
{
    struct tm tm = { .tm_sec = 0 };
    ck_assert_int_eq(sscanf(text, "%d-%d-%d %d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday,
                            &tm.tm_hour, &tm.tm_min, &tm.tm_sec),
                     6);
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    return (int64_t) timegm(&tm);
}

/* Checks the next times, in UTC, after the first of them; NULL ends them. */
static void check_times(const char *text, const char *const *times)
{
    int64_t at_s = utc(times[0]);
    parse(text);
    for (size_t i = 1; times[i]; i++) {
        ck_assert(asq__cron_next(&cron, zone, at_s, &at_s));
        time_t t = (time_t) at_s;
        char found[40];
        struct tm tm;
        strftime(found, sizeof found, "%Y-%m-%d %H:%M:%S", gmtime_r(&t, &tm));
        ck_assert_msg(strcmp(found, times[i]) == 0, "%s: %zu: %s, not %s", text, i, found,
                      times[i]);
    }
}
#define TIMES(text, ...) check_times(text, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(fields_have_lists_ranges_steps_and_names)
{
    zone = zone_of("UTC0");
    TIMES("0 9 * * 1-5", "2026-01-01 09:00:00", "2026-01-02 09:00:00", "2026-01-05 09:00:00");
    TIMES("0 9 * * mon-FRI", "2026-01-01 09:00:00", "2026-01-02 09:00:00", "2026-01-05 09:00:00");
    TIMES("*/20 * * * *", "2026-01-01 00:20:30", "2026-01-01 00:40:00", "2026-01-01 01:00:00");
    TIMES("5-15/5,50 23 31 dec *", "2026-01-01 00:00:00", "2026-12-31 23:05:00",
          "2026-12-31 23:10:00", "2026-12-31 23:15:00", "2026-12-31 23:50:00",
          "2027-12-31 23:05:00");
    TIMES("0 0 * * 7", "2026-01-01 00:00:00", "2026-01-04 00:00:00", "2026-01-11 00:00:00");
    TIMES("0 0 * * fri-sun", "2026-01-01 00:00:00", "2026-01-02 00:00:00", "2026-01-03 00:00:00",
          "2026-01-04 00:00:00", "2026-01-09 00:00:00");
    TIMES("0 0 * * */2", "2026-01-01 00:00:00", "2026-01-03 00:00:00", "2026-01-04 00:00:00",
          "2026-01-06 00:00:00");
    TIMES(" 0\t0  29 2 * ", "2096-03-01 00:00:00", "2104-02-29 00:00:00");
}
END_TEST

START_TEST(words_stand_for_expressions)
{
    zone = zone_of("UTC0");
    TIMES("@yearly", "2026-01-01 00:00:00", "2027-01-01 00:00:00");
    TIMES("@annually", "2026-05-01 00:00:00", "2027-01-01 00:00:00");
    TIMES("@monthly", "2026-01-01 00:00:00", "2026-02-01 00:00:00");
    TIMES("@weekly", "2026-01-01 00:00:00", "2026-01-04 00:00:00");
    TIMES("@daily", "2026-01-01 00:00:00", "2026-01-02 00:00:00");
    TIMES("@Midnight", "2026-01-01 12:00:00", "2026-01-02 00:00:00");
    TIMES("@hourly", "2026-01-01 00:00:00", "2026-01-01 01:00:00");
}
END_TEST

START_TEST(of_two_restricted_days_one_is_enough)
{
    zone = zone_of("UTC0");
    TIMES("0 0 13 * fri", "2026-02-01 00:00:00", "2026-02-06 00:00:00", "2026-02-13 00:00:00",
          "2026-02-20 00:00:00", "2026-02-27 00:00:00", "2026-03-06 00:00:00",
          "2026-03-13 00:00:00");
    TIMES("0 0 30 2 fri", "2026-02-01 00:00:00", "2026-02-06 00:00:00");
    /* A field that begins with * restricts no less, but both have to agree. */
    TIMES("0 0 */10 * fri", "2026-01-01 00:00:00", "2026-05-01 00:00:00", "2026-07-31 00:00:00",
          "2026-08-21 00:00:00");
}
END_TEST

START_TEST(a_wrong_expression_is_told_its_field)
{
    static const char *const wrong[][2] = {
        { "", "minute is missing" },
        { "* * * *", "day of the week is missing" },
        { "* * * * * *", "more than five" },
        { "60 * * * *", "minute: only 0 to 59" },
        { "* 24 * * *", "hour: only 0 to 23" },
        { "* * 0 * *", "day of the month: only 1 to 31" },
        { "* * * 13 *", "month: only 1 to 12" },
        { "* * * * 8", "day of the week: only 0 to 7" },
        { "99999999999999999999 * * * *", "minute: only" },
        { "5/10 * * * *", "minute: a step (/) needs a range" },
        { "*/0 * * * *", "minute: a step (/) is 1 or more" },
        { "*/ * * * *", "minute: a step" },
        { "30-10 * * * *", "minute: a range begins after its end" },
        { "1- * * * *", "minute: a number or *" },
        { "1,,2 * * * *", "minute: a number or *" },
        { "1,2, * * * *", "minute: a number or *" },
        { "* * * monday *", "month: a number, a name" },
        { "* * * * monday", "day of the week: a number, a name" },
        { "* * L * *", "day of the month: a number or *" },
        { "* * * * 5#2", "day of the week: numbers, ranges" },
        { "*5 * * * *", "minute: numbers, ranges" },
        { "0 0 30 2 *", "day of the month: none of the months" },
        { "0 0 31 feb,apr,jun,9,nov *", "day of the month: none of the months" },
        { "0 0 31 4 */2", "day of the month: none of the months" },
        { "@reboot", "is not known" },
        { "@", "is not known" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        ck_assert_msg(asq__cron_parse(wrong[i][0], &cron, err, sizeof err) == ASQ_EINVAL, "%s",
                      wrong[i][0]);
        ck_assert_msg(strstr(err, wrong[i][1]) != NULL, "%s: %s", wrong[i][0], err);
    }
    char longest[300];
    memset(longest, ' ', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ck_assert_int_eq(asq__cron_parse(longest, &cron, err, sizeof err), ASQ_EINVAL);
}
END_TEST

/* ---- summer time ---- */

START_TEST(a_time_that_is_skipped_is_due_at_the_change)
{
    zone = zone_of(BERLIN); /* 2026-03-29, 2:00 is 3:00 */
    TIMES("30 2 * * *", "2026-03-28 00:00:00", "2026-03-28 01:30:00", "2026-03-29 01:00:00",
          "2026-03-30 00:30:00");
    TIMES("0,30 2 * * *", "2026-03-28 12:00:00", "2026-03-29 01:00:00", "2026-03-30 00:00:00");
    TIMES("0 3 * * *", "2026-03-28 12:00:00", "2026-03-29 01:00:00", "2026-03-30 01:00:00");
    TIMES("30 2 28 3 *", "2026-03-27 00:00:00", "2026-03-28 01:30:00", "2027-03-28 01:00:00");
}
END_TEST

START_TEST(a_time_that_comes_twice_is_due_the_first_time)
{
    zone = zone_of(BERLIN); /* 2026-10-25, 3:00 is 2:00 again */
    TIMES("30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 00:30:00", "2026-10-26 01:30:00");
    TIMES("0 2,3 * * *", "2026-10-24 12:00:00", "2026-10-25 00:00:00", "2026-10-25 02:00:00",
          "2026-10-26 01:00:00");
}
END_TEST

START_TEST(an_expression_with_a_star_follows_the_clock)
{
    zone = zone_of(BERLIN);
    TIMES("*/30 * * * *", "2026-03-29 00:30:00", "2026-03-29 01:00:00", "2026-03-29 01:30:00");
    TIMES("*/30 2 * * *", "2026-03-28 12:00:00", "2026-03-30 00:00:00", "2026-03-30 00:30:00");
    TIMES("*/30 2 * * *", "2026-10-24 12:00:00", "2026-10-25 00:00:00", "2026-10-25 00:30:00",
          "2026-10-25 01:00:00", "2026-10-25 01:30:00", "2026-10-26 01:00:00");
    TIMES("0 * * * *", "2026-10-24 23:30:00", "2026-10-25 00:00:00", "2026-10-25 01:00:00",
          "2026-10-25 02:00:00");
}
END_TEST

START_TEST(new_york_changes_on_other_days)
{
    zone = zone_of(NEW_YORK); /* 2026-03-08 2:00 is 3:00, 2026-11-01 2:00 is 1:00 again */
    TIMES("30 2 * * *", "2026-03-07 12:00:00", "2026-03-08 07:00:00", "2026-03-09 06:30:00");
    TIMES("30 1 * * *", "2026-10-31 12:00:00", "2026-11-01 05:30:00", "2026-11-02 06:30:00");
    TIMES("0 9 * * 1-5", "2026-10-30 12:59:00", "2026-10-30 13:00:00", "2026-11-02 14:00:00");
}
END_TEST

START_TEST(lord_howe_changes_by_half_an_hour)
{
    zone = zone_of(LORD_HOWE); /* 2026-10-04 2:00 is 2:30; 2026-04-05 2:00 is 1:30 again */
    TIMES("15 2 * * *", "2026-10-03 00:00:00", "2026-10-03 15:30:00", "2026-10-04 15:15:00");
    TIMES("45 1 * * *", "2026-04-04 00:00:00", "2026-04-04 14:45:00", "2026-04-05 15:15:00");
    TIMES("*/15 * * * *", "2026-04-04 14:30:00", "2026-04-04 14:45:00", "2026-04-04 15:00:00",
          "2026-04-04 15:15:00", "2026-04-04 15:30:00");
}
END_TEST

START_TEST(a_large_change_is_a_correction)
{
    /* A day is left out: nothing is made up for. It comes again: it counts again. */
    zone = zone_of("AAA12BBB-12,J100/0,J200/0");
    TIMES("0 12 9-11 4 *", "2026-04-09 00:00:00", "2026-04-10 00:00:00", "2026-04-11 00:00:00");
    TIMES("0 12 18 7 *", "2026-07-17 00:00:00", "2026-07-18 00:00:00", "2026-07-19 00:00:00");
}
END_TEST

/* ---- the model ---- */

enum { MODEL_DAYS = 12, MINUTES = MODEL_DAYS * 1440, EXPRESSIONS = 30 };

static int64_t locals_s[MINUTES]; /* local time of each minute */

static bool matches(int64_t local_s)
{
    int64_t days = asq__floor_div(local_s, ASQ__DAY_S), second = local_s - days * ASQ__DAY_S;
    struct asq__civil date = asq__civil_from_days(days);
    bool day = cron.days >> date.day & 1, weekday = cron.weekdays >> asq__civil_weekday(days) & 1;
    bool both = cron.any_day || cron.any_weekday;
    return (cron.minutes >> second % 3600 / 60 & 1) && (cron.hours >> second / 3600 & 1) &&
           (cron.months >> date.month & 1) && (both ? day && weekday : day || weekday);
}

static void set_locals(int64_t from_s)
{
    for (int i = 0; i < MINUTES; i++) {
        struct asq__zone_span span;
        asq__zone_find(zone, from_s + i * 60, &span);
        locals_s[i] = from_s + i * 60 + span.offset_s;
    }
}

/* Returns whether a daemon that looks each minute starts the job. *newest is the latest local
 * minute that it has seen. */
static bool is_due(int64_t now_s, int64_t *newest_s)
{
    bool due = false;
    if (cron.follows_clock)
        return matches(now_s);
    for (; *newest_s < now_s; *newest_s += 60)
        due |= matches(*newest_s + 60);
    return due;
}

static void put_random_field(char *to, unsigned lowest, unsigned highest)
{
    unsigned span = highest - lowest + 1, a = lowest + (unsigned) random() % span;
    unsigned b = lowest + (unsigned) random() % span;
    switch (random() % 6) {
    case 0:
    case 1: strcpy(to, "*"); break;
    case 2: sprintf(to, "*/%u", 1 + (unsigned) random() % (span / 2)); break;
    case 3: sprintf(to, "%u", a); break;
    case 4: sprintf(to, "%u,%u", a, b); break;
    default: sprintf(to, "%u-%u/%u", a < b ? a : b, a < b ? b : a, 1 + (unsigned) random() % 7);
    }
}

static void random_expression(char text[200])
{
    char f[5][40];
    put_random_field(f[0], 0, 59);
    put_random_field(f[1], 0, 4); /* clocks change then */
    put_random_field(f[2], 1, 31);
    put_random_field(f[3], 3, 11);
    put_random_field(f[4], 0, 6);
    if (random() % 2)
        strcpy(f[2], "*");
    sprintf(text, "%s %s %s %s %s", f[0], f[1], f[2], f[3], f[4]);
}

START_TEST(random_expressions_are_due_as_a_daemon_has_them)
{
    static const struct {
        const char *rule, *from; /* some days before a change */
    } places[] = { { BERLIN, "2026-03-24 00:00:00" },    { BERLIN, "2026-10-20 00:00:00" },
                   { NEW_YORK, "2026-03-04 00:00:00" },  { NEW_YORK, "2026-10-28 00:00:00" },
                   { LORD_HOWE, "2026-04-01 00:00:00" }, { LORD_HOWE, "2026-09-30 00:00:00" } };
    int64_t from_s = utc(places[_i].from);
    zone = zone_of(places[_i].rule);
    srandom((unsigned) _i + 1);
    set_locals(from_s);
    for (int n = 0; n < EXPRESSIONS; n++) {
        char text[200];
        int64_t next_s = 0, newest_s = locals_s[0];
        random_expression(text);
        if (asq__cron_parse(text, &cron, err, sizeof err) < 0)
            continue; /* it has no day */
        bool any = asq__cron_next(&cron, zone, from_s, &next_s);
        for (int i = 1; i < MINUTES; i++) {
            int64_t at_s = from_s + i * 60;
            bool due = is_due(locals_s[i], &newest_s);
            ck_assert_msg(due == (any && next_s == at_s), "%s, %s: at %lld, next %lld",
                          places[_i].rule, text, (long long) at_s, (long long) next_s);
            if (due)
                any = asq__cron_next(&cron, zone, at_s, &next_s);
        }
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cron");
    TCase *c = tcase_create("cron");

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, fields_have_lists_ranges_steps_and_names);
    tcase_add_test(c, words_stand_for_expressions);
    tcase_add_test(c, of_two_restricted_days_one_is_enough);
    tcase_add_test(c, a_wrong_expression_is_told_its_field);
    tcase_add_test(c, a_time_that_is_skipped_is_due_at_the_change);
    tcase_add_test(c, a_time_that_comes_twice_is_due_the_first_time);
    tcase_add_test(c, an_expression_with_a_star_follows_the_clock);
    tcase_add_test(c, new_york_changes_on_other_days);
    tcase_add_test(c, lord_howe_changes_by_half_an_hour);
    tcase_add_test(c, a_large_change_is_a_correction);
    tcase_add_loop_test(c, random_expressions_are_due_as_a_daemon_has_them, 0, 6);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
