/*
 * check_redis_clock.c: the time of a remote clock that is set back and forth, computed from a clock
 * that only goes ahead.
 */
#include "redis/redis_clock.h"
#include "support/suite.h"

enum { HOUR_MS = 3600000, START_MS = 1000000 };

static struct asq__redis_clock clock_;

/* Takes an answer of Redis to a request of now_ms that took 2 ms. The clock of Redis is so much
 * ahead of the monotonic one. */
static int64_t sample(int64_t now_ms, int64_t minus_mono_ms)
{
    return asq__redis_clock_take(&clock_, now_ms + minus_mono_ms - 1, now_ms - 2, now_ms);
}

static int64_t mono(int64_t redis_ms, int64_t now_ms)
{
    return asq__redis_clock_to_mono(&clock_, redis_ms, now_ms);
}

/* Checks that the value is within the uncertainty of the samples. */
static void is_about(int64_t is, int64_t expected)
{
    ck_assert_int_ge(is, expected - 3);
    ck_assert_int_le(is, expected + 3);
}

static void set_up(void)
{
    clock_ = (struct asq__redis_clock){ 0 };
    ck_assert_int_eq(asq__redis_clock_at(&clock_, START_MS), 0);
    ck_assert_int_eq(sample(START_MS, 2 * HOUR_MS), 0);
}

START_TEST(it_goes_on_between_the_samples)
{
    is_about(asq__redis_clock_at(&clock_, START_MS + 5000), START_MS + 5000 + 2 * HOUR_MS);
    is_about(mono(START_MS + 2 * HOUR_MS - 70, START_MS + 5000), START_MS - 70);
    is_about(mono(START_MS - HOUR_MS, START_MS + 5000), START_MS - 3 * HOUR_MS); /* long ago */
}
END_TEST

START_TEST(the_future_counts_as_now)
{
    ck_assert_int_eq(mono(START_MS + 3 * HOUR_MS, START_MS + 5000), START_MS + 5000);
}
END_TEST

START_TEST(drift_sets_nothing)
{
    for (int i = 1; i < 1000; i++)
        ck_assert_int_eq(sample(START_MS + 1000 * i, 2 * HOUR_MS + i), 0);
    ck_assert_uint_eq(clock_.n, 1);
    is_about(asq__redis_clock_at(&clock_, START_MS + 999000), START_MS + 999999 + 2 * HOUR_MS);
}
END_TEST

START_TEST(a_sample_that_took_long_does_not_spoil_a_good_one)
{
    ck_assert_int_eq(asq__redis_clock_take(&clock_, START_MS + 2 * HOUR_MS + 1000, START_MS + 1000,
                                           START_MS + 9000),
                     0);
    is_about(asq__redis_clock_at(&clock_, START_MS + 9000), START_MS + 9000 + 2 * HOUR_MS);
}
END_TEST

/* The clock is set by _i hours. Stamps are as old as before, whichever clock their sender used. */
START_TEST(stamps_keep_their_age_when_it_is_set)
{
    int64_t by = (int64_t) _i * HOUR_MS, now = START_MS + 60000;
    is_about(sample(START_MS + 10000, 2 * HOUR_MS + by), by);
    is_about(asq__redis_clock_at(&clock_, now), now + 2 * HOUR_MS + by);
    is_about(mono(START_MS - 100 + 2 * HOUR_MS, now), START_MS - 100);
    is_about(mono(START_MS + 20000 + 2 * HOUR_MS + by, now), START_MS + 20000);
    /* the sender has not noticed the jump */
    is_about(mono(START_MS + 20000 + 2 * HOUR_MS, now), START_MS + 20000);
}
END_TEST

/* The sender of the stamp had another sample of the clock. An hour back must not make such a
 * call an hour old. */
START_TEST(a_stamp_that_is_a_little_ahead_was_made_now)
{
    int64_t by = (int64_t) _i * HOUR_MS, now = START_MS + 60000;
    is_about(sample(START_MS + 10000, 2 * HOUR_MS + by), by);
    for (int64_t ahead = 1; ahead <= 100; ahead++)
        ck_assert_int_eq(mono(now + 2 * HOUR_MS + by + ahead, now), now);
    is_about(mono(now + 2 * HOUR_MS + by - 1, now), now - 1);
    is_about(mono(START_MS + 2 * HOUR_MS, now), START_MS); /* made before the clock was set */
}
END_TEST

START_TEST(it_can_be_set_often)
{
    int64_t now = START_MS;
    for (int i = 0; i < 100; i++) {
        now += 10000;
        ck_assert_int_ne(sample(now, i % 2 ? 0 : 5 * HOUR_MS), 0);
        ck_assert_uint_le(clock_.n, ASQ__CLOCK_SEGMENTS);
        is_about(mono(now - 5 + (i % 2 ? 0 : 5 * HOUR_MS), now), now - 5);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("redis_clock");
    TCase *t = tcase_create("redis_clock");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_test(t, it_goes_on_between_the_samples);
    tcase_add_test(t, the_future_counts_as_now);
    tcase_add_test(t, drift_sets_nothing);
    tcase_add_test(t, a_sample_that_took_long_does_not_spoil_a_good_one);
    tcase_add_loop_test(t, stamps_keep_their_age_when_it_is_set, -1, 0);
    tcase_add_loop_test(t, stamps_keep_their_age_when_it_is_set, 1, 2);
    tcase_add_loop_test(t, a_stamp_that_is_a_little_ahead_was_made_now, -1, 0);
    tcase_add_loop_test(t, a_stamp_that_is_a_little_ahead_was_made_now, 1, 2);
    tcase_add_test(t, it_can_be_set_often);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
