/*
 * check_attempts.c: what the fields of attempts say of a call, also of one that has waited outside
 * of the stream, of which its Later has said something before.
 */
#include "support/suite.h"

#include <stdarg.h>
#include <stddef.h>

#include "worker/core/attempts.h"
#include "worker/core/entry.h"

#define CALL  "0.000102030405060708090a0b0c0d0e0f.0"
#define OTHER "0.000102030405060708090a0b0c0d0e0f.1"

/* Gives `c` what fields and values say, up to a NULL. */
static void vtake(struct asq__wcall *c, bool returned, va_list ap)
{
    struct asq__attempts all = { .n = 0 };
    const char *field;

    while ((field = va_arg(ap, const char *)))
        asq__attempts_add(&all, field, va_arg(ap, const char *));
    asq__attempts_add(&all, "=" OTHER, "1");
    asq__attempts_add(&all, "~" OTHER, "9 9 1 s");
    asq__attempts_sort(&all);
    asq__attempts_take(&all, CALL, 0, 0, returned, c);
    asq__attempts_clear(&all);
}

static void take(struct asq__wcall *c, ...)
{
    va_list ap;

    va_start(ap, c);
    vtake(c, false, ap);
    va_end(ap);
}

/* Does so for a call whose batch has come back from `later` since the fields were read. */
static void take_returned(struct asq__wcall *c, ...)
{
    va_list ap;

    va_start(ap, c);
    vtake(c, true, ap);
    va_end(ap);
}

START_TEST(a_call_that_sleeps_has_records)
{
    struct asq__wcall c = { .retries = 0 };

    take(&c, "~" CALL, "0 5000 1 s", NULL);
    ck_assert(c.recorded && c.keeps_place && !c.marked);
    ck_assert_uint_eq(c.retries, 0);
    ck_assert_uint_eq(c.due_ms, 5000);
}
END_TEST

START_TEST(what_its_later_says_stays_without_fields)
{
    struct asq__wcall c = {
        .recorded = true, .marked = true, .keeps_place = true, .retries = 2, .due_ms = 70
    };

    take(&c, CALL, "1", NULL);
    ck_assert(c.recorded && c.marked && c.keeps_place);
    ck_assert_uint_eq(c.attempts, 1);
    ck_assert_uint_eq(c.retries, 2);
    ck_assert_uint_eq(c.due_ms, 70);
}
END_TEST

START_TEST(a_failed_run_has_no_records_until_the_next_has_some)
{
    struct asq__wcall c = { .recorded = true, .marked = true, .keeps_place = true };

    take(&c, "~" CALL, "1 80 1", NULL);
    ck_assert(!c.recorded && c.marked && c.keeps_place);
    ck_assert_uint_eq(c.retries, 1);
    take(&c, "=" CALL, "1", "~" CALL, "1 80 1", NULL);
    ck_assert(c.recorded);
}
END_TEST

START_TEST(a_failed_run_that_gives_its_place_up_has_no_mark)
{
    struct asq__wcall c = { .recorded = true, .marked = true, .keeps_place = true };

    take(&c, "~" CALL, "1 80 0", NULL);
    ck_assert(!c.marked && !c.keeps_place);
}
END_TEST

START_TEST(what_its_later_says_is_newer_when_it_came_back_since)
{
    struct asq__wcall c = { .recorded = true, .marked = true, .keeps_place = true, .due_ms = 70 };
    struct asq__wcall failed = { .retries = 2, .due_ms = 90 };

    take_returned(&c, "~" CALL, "1 80 0", CALL, "1", "!" CALL, "1", NULL);
    ck_assert(c.recorded && c.marked && c.keeps_place && c.reentered);
    ck_assert_uint_eq(c.attempts, 1);
    ck_assert_uint_eq(c.retries, 0);
    ck_assert_uint_eq(c.due_ms, 70);
    take_returned(&failed, "~" CALL, "0 80 1 s", "=" CALL, "1", NULL);
    ck_assert(!failed.recorded && failed.retries == 2 && failed.due_ms == 90);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("attempts");
    TCase *t = tcase_create("attempts");

    tcase_add_test(t, a_call_that_sleeps_has_records);
    tcase_add_test(t, what_its_later_says_stays_without_fields);
    tcase_add_test(t, a_failed_run_has_no_records_until_the_next_has_some);
    tcase_add_test(t, a_failed_run_that_gives_its_place_up_has_no_mark);
    tcase_add_test(t, what_its_later_says_is_newer_when_it_came_back_since);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
