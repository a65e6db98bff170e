/*
 * check_waits.c: exactly the cycles of calls that wait for each other are found, compared with a
 * search through every set of calls.
 */
#include "worker/core/waits.h"
#include "support/suite.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 7 };

static struct asq__waits w;

static void setup(void)
{
    ck_assert_int_eq(asq__waits_init(&w), 0);
}

static void teardown(void)
{
    asq__waits_release(&w);
}

/* Reads waits from text: in "a:b" a call waits for all of its targets, in "a?bc" for any. A capital
 * letter is a queued call of agent A. */
static void given(const char *const lines[])
{
    for (size_t i = 0; lines[i]; i++) {
        uint32_t targets[MOST];
        size_t n = strlen(lines[i]) - 2;
        char name[2] = { lines[i][0], '\0' };
        uint32_t at = asq__waits_place(&w, name);
        for (size_t t = 0; t < n; t++) {
            name[0] = lines[i][2 + t];
            targets[t] = asq__waits_place(&w, name);
        }
        name[0] = lines[i][0];
        bool queued = name[0] >= 'A' && name[0] <= 'Z';
        asq__waits_know(&w, at, queued ? "A" : "b", targets, n, lines[i][1] == '?');
        w.calls[at]->queued = queued;
    }
}

static const char *found(void)
{
    static char text[64];
    size_t n = asq__waits_cycle(&w, "A");
    for (size_t i = 0; i < n; i++)
        text[i] = w.calls[i]->call[0];
    text[n] = '\0';
    return text;
}

static void expect(const char *path, const char *const lines[])
{
    given(lines);
    ck_assert_str_eq(found(), path);
}

START_TEST(a_cycle_is_found_with_the_path_around_it)
{
    expect("Xabc", (const char *const[]){ "X:a", "a:b", "b:c", "c:X", "d:X", NULL });
    ck_assert_uint_eq(w.n, 4); /* a call that only leads there is not part of the cycle */
}
END_TEST

START_TEST(a_call_that_waits_for_any_is_in_a_cycle_with_all_of_them)
{
    expect("Xac", (const char *const[]){ "X:a", "a?bc", "b:c", "c:X", NULL });
    ck_assert_uint_eq(w.n, 4);
}
END_TEST

START_TEST(a_call_that_waits_for_any_goes_on_with_one_that_goes_on)
{
    expect("", (const char *const[]){ "X:a", "a?bc", "b:", "c:X", NULL });
}
END_TEST

START_TEST(what_is_not_known_may_go_on)
{
    expect("", (const char *const[]){ "X:a", "a?bc", "c:X", NULL });
    ck_assert_uint_eq(w.n, 4); /* all is unchanged */
}
END_TEST

START_TEST(a_call_that_waits_for_all_is_stuck_with_one)
{
    expect("Xac", (const char *const[]){ "X:a", "a:bc", "b:", "c:X", NULL });
    ck_assert_uint_eq(w.n, 3);
}
END_TEST

START_TEST(a_call_that_leads_to_a_cycle_is_in_none)
{
    expect("", (const char *const[]){ "X:a", "a:b", "b:a", NULL });
}
END_TEST

START_TEST(a_cycle_that_another_one_would_free_is_none)
{
    /* The call a waits for any of its targets. b is in a cycle of its own; when that is broken, a
     * goes on. */
    expect("", (const char *const[]){ "X:a", "a?bc", "b:d", "d:b", "c:X", NULL });
}
END_TEST

START_TEST(too_many_calls_are_worth_nothing)
{
    char name[16];
    for (int i = 0; i < ASQ__WAITS_CALLS; i++) {
        snprintf(name, sizeof name, "c%d", i);
        ck_assert_uint_eq(asq__waits_place(&w, name), i);
    }
    ck_assert(!w.full);
    ck_assert_uint_eq(asq__waits_place(&w, "one more"), UINT32_MAX);
    ck_assert(w.full);
    ck_assert_uint_eq(asq__waits_cycle(&w, "A"), 0);
}
END_TEST

/* ---- against all sets ---- */

static unsigned targets[MOST]; /* as bits */
static bool any[MOST];

static unsigned reached(unsigned from, unsigned in)
{
    unsigned all = from, before;
    do {
        before = all;
        for (int i = 0; i < MOST; i++)
            if (all & 1u << i)
                all |= targets[i] & in;
    } while (all != before);
    return all;
}

static unsigned reached_by_steps(int i, unsigned in)
{
    return reached(targets[i] & in, in);
}

/* Returns whether the set is a cycle with call 0 in it. */
static bool is_cycle(unsigned set)
{
    if (!(set & 1))
        return false;
    for (int i = 0; i < MOST; i++) {
        if (!(set & 1u << i))
            continue;
        unsigned inside = targets[i] & set;
        if (any[i] ? !targets[i] || inside != targets[i] : !inside)
            return false;
        if ((reached_by_steps(i, set) & set) != set)
            return false;
    }
    return true;
}

static void try_one(unsigned seed)
{
    char name[8];
    bool expected = false;
    srand(seed);
    for (int i = 0; i < MOST; i++) {
        any[i] = rand() % 2;
        targets[i] = 0;
        for (int k = rand() % 3; k >= 0; k--)
            targets[i] |= 1u << rand() % MOST;
        if (rand() % 12 == 0)
            targets[i] = 0;
    }
    for (unsigned set = 1; set < 1u << MOST; set++)
        expected |= is_cycle(set);
    for (int i = 0; i < MOST; i++) {
        snprintf(name, sizeof name, "c%d", i);
        ck_assert_int_eq(asq__waits_place(&w, name), i);
    }
    for (uint32_t i = 0; i < MOST; i++) {
        uint32_t to[MOST];
        size_t n = 0;
        for (uint32_t t = 0; t < MOST; t++)
            if (targets[i] & 1u << t)
                to[n++] = t;
        asq__waits_know(&w, i, i ? "B" : "A", to, n, any[i]);
        w.calls[i]->queued = i == 0;
    }
    size_t path = asq__waits_cycle(&w, "A");
    ck_assert_msg((path > 0) == expected, "seed %u: %zu, expected %d", seed, path, expected);
    if (!path)
        return;
    /* The remaining calls are a cycle, and the path leads around it. */
    ck_assert_str_eq(w.calls[0]->call, "c0");
    for (size_t i = 0; i < w.n; i++) {
        const struct asq__waiter *c = w.calls[i];
        ck_assert_uint_eq(c->place, i);
        ck_assert_uint_eq(asq__waits_place(&w, c->call), i);
        ck_assert_uint_gt(c->n, 0);
        bool next = i >= path;
        for (size_t t = 0; t < c->n; t++) {
            ck_assert_uint_lt(c->targets[t], w.n);
            next |= c->targets[t] == (i + 1) % path;
        }
        ck_assert_msg(next, "seed %u: no path from %s", seed, c->call);
        int was = c->call[1] - '0';
        if (any[was])
            ck_assert_int_eq((int) c->n, __builtin_popcount(targets[was]));
    }
}

START_TEST(random_waits_are_as_when_all_sets_are_tried)
{
    int cycles = 0;
    for (unsigned seed = 0; seed < 3000; seed++) {
        try_one(seed);
        cycles += w.n < MOST;
        teardown();
        setup();
    }
    ck_assert_int_gt(cycles, 100);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("waits");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_cycle_is_found_with_the_path_around_it);
    tcase_add_test(t, a_call_that_waits_for_any_is_in_a_cycle_with_all_of_them);
    tcase_add_test(t, a_call_that_waits_for_any_goes_on_with_one_that_goes_on);
    tcase_add_test(t, what_is_not_known_may_go_on);
    tcase_add_test(t, a_call_that_waits_for_all_is_stuck_with_one);
    tcase_add_test(t, a_call_that_leads_to_a_cycle_is_in_none);
    tcase_add_test(t, a_cycle_that_another_one_would_free_is_none);
    tcase_add_test(t, too_many_calls_are_worth_nothing);
    tcase_add_test(t, random_waits_are_as_when_all_sets_are_tried);
    Suite *s = suite_create("waits");
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
