/*
 * check_classes.c: sets of classes as text, compared with a plain array in random sequences; and
 * what is made of text that no worker writes.
 */
#include "asqueue.h"
#include "support/suite.h"
#include "value/random.h"
#include "value/classes.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES = 12, STEPS = 400 };

static const char *const names[NAMES] = { "A",    "Aa",    "A.b", "B", "Count",   "Counter",
                                          "Echo", "Echo2", "Z-9", "a", "counter", "zz" };
static char *set;

static void tear_down(void)
{
    free(set);
    set = NULL;
}

static void check_has_all(const uint32_t *versions)
{
    for (int i = 0; i < NAMES; i++) {
        ck_assert(asq__classes_have(set, names[i], 0) == (versions[i] > 0));
        ck_assert(versions[i] == 0 || asq__classes_have(set, names[i], versions[i]));
        ck_assert(!asq__classes_have(set, names[i], versions[i] + 1));
    }
}

static void check_is_sorted(size_t n)
{
    const char *at = set;
    struct asq__class_item item;
    char before[64] = "", name[64];
    size_t seen = 0;
    for (; asq__classes_next(&at, &item); seen++) {
        snprintf(name, sizeof name, "%.*s", (int) item.n, item.name);
        ck_assert_str_lt(before, name);
        strcpy(before, name);
    }
    ck_assert_uint_eq(seen, n);
}

START_TEST(a_set_has_each_class_once_in_its_highest_version)
{
    uint32_t versions[NAMES] = { 0 };
    size_t n = 0;
    for (int step = 0; step < STEPS; step++) {
        uint8_t random[2];
        ck_assert_int_eq(asq__random(random, sizeof random), 0);
        int i = random[0] % NAMES;
        uint32_t version = 1 + random[1] % 5;
        bool grows = version > versions[i];
        ck_assert_int_eq(asq__classes_add(&set, names[i], version), grows);
        n += versions[i] == 0;
        versions[i] = grows ? version : versions[i];
        check_has_all(versions);
        check_is_sorted(n);
    }
}
END_TEST

START_TEST(a_class_is_missing_if_it_is_not_there_or_older)
{
    ck_assert_uint_eq(asq__classes_count_missing("Counter 2,Echo 1", NULL), 0);
    ck_assert_uint_eq(asq__classes_count_missing(NULL, "Counter 2,Echo 1"), 2);
    ck_assert_uint_eq(asq__classes_count_missing("Counter 2,Echo 1", "Counter 2,Echo 1"), 0);
    ck_assert_uint_eq(asq__classes_count_missing("Counter 1,Echo 1", "Counter 2,Echo 1"), 1);
    ck_assert_uint_eq(asq__classes_count_missing("Counter 3,Echo 1", "Counter 2"), 0);
    ck_assert_uint_eq(asq__classes_count_missing("Count 1,Echo 1", "Counter 1,Ech 1,Echo 1"), 2);
}
END_TEST

START_TEST(an_unsorted_set_and_what_is_no_class_do_no_harm)
{
    const char *odd = ",Echo 1, ,Counter,Counter x,Counter 99999999999,Counter 2 ,A 1,,";
    ck_assert(asq__classes_have(odd, "Echo", 1));
    ck_assert(asq__classes_have(odd, "A", 1));
    ck_assert(!asq__classes_have(odd, "Counter", 0));
    ck_assert(!asq__classes_have(odd, "", 0));
    ck_assert_uint_eq(asq__classes_count_missing(odd, "A 1,Echo 1"), 0);
    ck_assert_uint_eq(asq__classes_count_missing("A 1,Echo 1", odd), 0);
    ck_assert_ptr_nonnull(set = strdup(odd));
    ck_assert_int_eq(asq__classes_add(&set, "Counter", 2), 1);
    ck_assert(asq__classes_have(set, "Counter", 2) && asq__classes_have(set, "Echo", 1));
}
END_TEST

START_TEST(a_set_has_a_longest_text)
{
    char name[32];
    int rc = 1;
    for (int i = 0; rc == 1 && i < ASQ__CLASSES_MAX; i++) {
        snprintf(name, sizeof name, "Class%d", i);
        rc = asq__classes_add(&set, name, 1);
    }
    ck_assert_int_eq(rc, ASQ_ELIMIT);
    ck_assert_uint_le(strlen(set), ASQ__CLASSES_MAX);
    ck_assert(!asq__classes_have(set, name, 1) && asq__classes_have(set, "Class0", 1));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("classes");
    TCase *c = tcase_create("classes");

    tcase_add_checked_fixture(c, NULL, tear_down);
    tcase_add_loop_test(c, a_set_has_each_class_once_in_its_highest_version, 0, 20);
    tcase_add_test(c, a_class_is_missing_if_it_is_not_there_or_older);
    tcase_add_test(c, an_unsorted_set_and_what_is_no_class_do_no_harm);
    tcase_add_test(c, a_set_has_a_longest_text);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
