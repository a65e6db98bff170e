/*
 * check_quick_clock.c: the clock that counts ticks, with ticks that the test makes, and against the
 * system's clock.
 */
#include "support/suite.h"
#include "value/quick_clock.h"

#include <stdlib.h>
#include <unistd.h>

enum { MS = 1000000, READ_NS = 40 };

static struct asq__quick_clock c;
static int64_t ns;
static uint64_t ticks;

static void set_up(void)
{
    c = (struct asq__quick_clock){ .steady = true };
    ns = (int64_t) 5000 * MS;
    ticks = UINT64_C(1) << 40;
}

/* Lets time pass while ticks are `per_us` to a microsecond, and has the clock read. */
static void pass(int64_t time_ns, unsigned per_us)
{
    ns += time_ns;
    ticks += (uint64_t) time_ns * per_us / 1000;
    asq__quick_clock_take(&c, ticks, ns, ticks + READ_NS * per_us / 1000);
}

static void pass_often(int n, int64_t time_ns, unsigned per_us)
{
    while (n--)
        pass(time_ns, per_us);
}

/* Checks that the clock counts the ticks after the last reading, `per_us` to a microsecond. */
static void check_counts(unsigned per_us)
{
    for (int64_t later_ns = READ_NS; later_ns < MS; later_ns += 997) {
        int64_t at = asq__quick_clock_at(&c, ticks + (uint64_t) later_ns * per_us / 1000);
        ck_assert_msg(llabs(at - ns - later_ns) < 100, "%lld", (long long) (at - ns - later_ns));
    }
}

static void check_counts_none(unsigned per_us)
{
    ck_assert_int_eq(asq__quick_clock_at(&c, ticks + READ_NS * per_us / 1000), 0);
}

START_TEST(ticks_are_counted_once_two_measurements_agree)
{
    static const unsigned rates[] = { 24, 1000, 2450, 5800 };
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        set_up();
        pass(0, rates[i]);
        pass(150 * MS, rates[i]);
        check_counts_none(rates[i]);
        pass(150 * MS, rates[i]);
        check_counts(rates[i]);
        pass_often(1000, MS, rates[i]);
        check_counts(rates[i]);
    }
}
END_TEST

START_TEST(ticks_count_for_a_millisecond)
{
    pass(0, 2000);
    pass_often(4, 110 * MS, 2000);
    ck_assert_int_ne(asq__quick_clock_at(&c, ticks + 1990 * 1000), 0);
    ck_assert_int_eq(asq__quick_clock_at(&c, ticks + 2010 * 1000), 0);
    ck_assert_int_eq(asq__quick_clock_at(&c, ticks - 1), 0); /* of a processor that is behind */
}
END_TEST

START_TEST(ticks_of_another_length_are_measured_anew)
{
    pass(0, 2000);
    pass_often(400, MS, 2000);
    check_counts(2000);
    pass_often(110, MS, 3000);
    check_counts_none(3000);
    pass_often(400, MS, 3000);
    check_counts(3000);
}
END_TEST

START_TEST(ticks_of_a_suspended_machine_are_not_taken_for_short_ones)
{
    pass(0, 2000);
    pass_often(400, MS, 2000);
    ticks += UINT64_C(3600) * 2000 * 1000000; /* the clock stood still for an hour */
    pass(0, 2000);
    for (int i = 0; i < 400; i++) {
        pass(MS, 2000);
        int64_t at = asq__quick_clock_at(&c, ticks + 2000 * 500); /* half a millisecond later */
        ck_assert(at == 0 || llabs(at - ns - MS / 2) < 1000);
    }
    check_counts(2000);
}
END_TEST

START_TEST(an_idle_clock_goes_on_with_what_it_knows)
{
    pass(0, 2000);
    pass_often(400, MS, 2000);
    pass((int64_t) 3600 * 1000 * MS, 1); /* ticks stood still meanwhile */
    check_counts(2000);
}
END_TEST

START_TEST(readings_of_an_interrupted_thread_are_not_used)
{
    pass(0, 2000);
    pass_often(400, MS, 2000);
    struct asq__quick_clock before = c;
    asq__quick_clock_take(&c, ticks, ns + MS, ticks + 2000 * 1000);
    ck_assert_int_eq(asq__quick_clock_at(&c, ticks + 2000 * 1000), 0);
    ck_assert_uint_eq(c.tick, before.tick);
    pass(MS, 2000);
    check_counts(2000);
}
END_TEST

/* Takes two measurements and more. Right to a microsecond, but to some milliseconds in a thread
 * that moves between processors whose ticks are not in step. */
START_TEST(the_time_is_that_of_the_system)
{
    int64_t begin = asq__now_ns(), before, at, after;
    asq__quick_clock_init(&c);
    do {
        before = asq__now_ns();
        at = asq__quick_ns(&c);
        after = asq__now_ns();
        ck_assert_msg(at > before - 2 * MS && at < after + 2 * MS, "%lld ns before, %lld ns after",
                      (long long) (before - at), (long long) (at - after));
    } while (after - begin < 500 * (int64_t) MS);
}
END_TEST

START_TEST(in_a_row_the_end_of_a_call_is_the_start_of_the_next)
{
    asq__quick_clock_init(&c);
    int64_t end_ns = asq__quick_end_ns(&c);
    usleep(1000);
    ck_assert_int_ge(asq__quick_start_ns(&c), end_ns + MS / 2); /* there is no row */
    asq__quick_row(&c, true);
    end_ns = asq__quick_end_ns(&c);
    usleep(1000);
    ck_assert_int_eq(asq__quick_start_ns(&c), end_ns);
    ck_assert_int_ge(asq__quick_start_ns(&c), end_ns + MS / 2); /* a second call starts meanwhile */
    asq__quick_end_ns(&c);
    asq__quick_interrupt(&c);
    usleep(1000);
    ck_assert_int_ge(asq__quick_start_ns(&c), end_ns + 3 * MS / 2);
    end_ns = asq__quick_end_ns(&c);
    asq__quick_row(&c, false);
    usleep(1000);
    ck_assert_int_ge(asq__quick_start_ns(&c), end_ns + MS / 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("quick_clock");
    TCase *t = tcase_create("quick_clock");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_test(t, ticks_are_counted_once_two_measurements_agree);
    tcase_add_test(t, ticks_count_for_a_millisecond);
    tcase_add_test(t, ticks_of_another_length_are_measured_anew);
    tcase_add_test(t, ticks_of_a_suspended_machine_are_not_taken_for_short_ones);
    tcase_add_test(t, an_idle_clock_goes_on_with_what_it_knows);
    tcase_add_test(t, readings_of_an_interrupted_thread_are_not_used);
    tcase_add_test(t, the_time_is_that_of_the_system);
    tcase_add_test(t, in_a_row_the_end_of_a_call_is_the_start_of_the_next);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
