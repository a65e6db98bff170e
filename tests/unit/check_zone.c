/*
 * check_zone.c: time zones, compared with those of the C library; and files and names that are no
 * zones.
 */
#include "value/zone.h"

#include "asqueue.h"
#include "support/suite.h"
#include "value/zone_rule.h"
#include "zone_text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const rules[] = {
    "UTC0",
    BERLIN,
    NEW_YORK,
    LORD_HOWE,
    "IST-5:30",
    "IST-1GMT0,M10.5.0,M3.5.0/1", /* Dublin: winter time is the exception */
    "NZST-12NZDT,M9.5.0,M4.1.0/3",
    "<-03>3",
    "EST5EDT4,J60/1,J300/3:30",
};
enum { N_RULES = sizeof rules / sizeof *rules };

static char err[400];

static int64_t random_between(int64_t from_s, int64_t to_s)
{
    return from_s + (int64_t) (((uint64_t) random() << 31 | (uint64_t) random()) %
                               (uint64_t) (to_s - from_s));
}

static void check_span(const struct asq__zone *zone, int64_t at_s)
{
    struct asq__zone_span span, near;
    time_t t = (time_t) at_s;
    struct tm tm;
    localtime_r(&t, &tm);
    asq__zone_find(zone, at_s, &span);
    ck_assert_msg(span.offset_s == tm.tm_gmtoff, "%s at %lld: %d, not %ld", getenv("TZ"),
                  (long long) at_s, span.offset_s, tm.tm_gmtoff);
    ck_assert(span.begin_s <= at_s && at_s < span.end_s);
    if (span.end_s < INT64_MAX / 4) {
        asq__zone_find(zone, span.end_s, &near);
        ck_assert(near.begin_s == span.end_s && near.before_s == span.offset_s);
        asq__zone_find(zone, span.end_s - 1, &near);
        ck_assert(memcmp(&near, &span, sizeof near) == 0);
    }
}

static void check_times(const struct asq__zone *zone, const char *tz, int64_t from_s)
{
    setenv("TZ", tz, 1);
    tzset();
    for (int i = 0; i < 2000; i++)
        check_span(zone, random_between(from_s, 4102444800)); /* to 2100 */
}

START_TEST(a_rule_has_the_offsets_of_the_c_library)
{
    struct asq__zone *zone = zone_of(rules[_i]);
    check_times(zone, rules[_i], 0);
    asq__zone_free(zone);
}
END_TEST

START_TEST(the_databases_zones_have_the_offsets_of_the_c_library)
{
    static const char *const names[] = { "Europe/Berlin",       "America/New_York",
                                         "Australia/Lord_Howe", "Asia/Kolkata",
                                         "Europe/Dublin",       "Africa/Casablanca",
                                         "America/Caracas",     "UTC" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[100];
        struct asq__zone *zone;
        snprintf(path, sizeof path, "/usr/share/zoneinfo/%s", names[i]);
        if (access(path, R_OK) < 0)
            continue;
        int rc = asq__zone_load(names[i], &zone, err, sizeof err);
        ck_assert_msg(rc == 0, "%s", err);
        check_times(zone, names[i], -2208988800); /* from 1900 */
        asq__zone_free(zone);
    }
}
END_TEST

START_TEST(utc_needs_no_file)
{
    static const char *const names[] = { "", "UTC" };
    struct asq__zone *zone;
    struct asq__zone_span span;
    ck_assert_int_eq(asq__zone_load(names[_i], &zone, err, sizeof err), 0);
    asq__zone_find(zone, 1700000000, &span);
    ck_assert(span.offset_s == 0 && span.end_s > 253402300799);
    asq__zone_free(zone);
}
END_TEST

START_TEST(a_name_leads_to_no_other_file)
{
    static const char *const names[] = {
        "../../../etc/passwd", "/etc/localtime", "Europe/../UTC", "Europe/", "Europe//Berlin", ".",
        "Europe/Ber lin",      "Europe",         "Mars/Olympus"
    };
    struct asq__zone *zone = NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int rc = asq__zone_load(names[i], &zone, err, sizeof err);
        ck_assert_msg(rc == ASQ_EINVAL || rc == ASQ_EPROTO, "%s: %d", names[i], rc);
        ck_assert_ptr_nonnull(strstr(err, names[i]));
    }
    char longest[300];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    ck_assert_int_eq(asq__zone_load(longest, &zone, err, sizeof err), ASQ_EINVAL);
}
END_TEST

START_TEST(no_cut_and_no_changed_byte_does_harm)
{
    uint8_t file[256], copy[256];
    size_t n = zone_file(file, LORD_HOWE);
    struct asq__zone_span span;
    for (size_t cut = 0; cut < n; cut++) {
        struct asq__zone *zone;
        uint8_t *exact = malloc(cut ? cut : 1);
        ck_assert_ptr_nonnull(exact);
        memcpy(exact, file, cut);
        ck_assert_int_lt(asq__zone_parse("cut", exact, cut, &zone, err, sizeof err), 0);
        free(exact);
    }
    for (int i = 0; i < 20000; i++) {
        struct asq__zone *zone;
        memcpy(copy, file, n);
        copy[(size_t) random() % n] = (uint8_t) random();
        if (asq__zone_parse("changed", copy, n, &zone, err, sizeof err) < 0)
            continue;
        asq__zone_find(zone, 1700000000, &span);
        ck_assert(span.begin_s <= 1700000000 && span.end_s > 1700000000);
        asq__zone_free(zone);
    }
}
END_TEST

START_TEST(what_is_no_rule_is_refused)
{
    static const char *const texts[] = { "",
                                         "CET",
                                         "-1",
                                         "CET-1CEST",
                                         "CET-1CEST,M3.5.0",
                                         "CET-25",
                                         "CET-1CEST,M13.5.0,M10.5.0",
                                         "CET-1CEST,M3.6.0,M10.5.0",
                                         "<CET-1",
                                         "CET-1CEST,M3.5.0,M10.5.0x",
                                         "CET-1CEST,M3.5.7,M10.5.0",
                                         "CET-1:60" };
    struct asq__zone_rule rule;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!asq__zone_rule_parse(texts[i], &rule), "%s", texts[i]);
}
END_TEST

START_TEST(leap_seconds_are_refused)
{
    uint8_t file[256];
    struct asq__zone *zone;
    size_t n = zone_file(file, "UTC0");
    file[51 + 31] = 1; /* a leap second in the second header; its 12 bytes are the text behind */
    memset(file + n, '0', 16);
    ck_assert_int_eq(asq__zone_parse("right/UTC", file, n + 16, &zone, err, sizeof err),
                     ASQ_EINVAL);
    ck_assert_ptr_nonnull(strstr(err, "leap seconds"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("zone");
    TCase *c = tcase_create("zone");

    srandom(20260329);
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, a_rule_has_the_offsets_of_the_c_library, 0, N_RULES);
    tcase_add_test(c, the_databases_zones_have_the_offsets_of_the_c_library);
    tcase_add_loop_test(c, utc_needs_no_file, 0, 2);
    tcase_add_test(c, a_name_leads_to_no_other_file);
    tcase_add_test(c, no_cut_and_no_changed_byte_does_harm);
    tcase_add_test(c, what_is_no_rule_is_refused);
    tcase_add_test(c, leap_seconds_are_refused);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
