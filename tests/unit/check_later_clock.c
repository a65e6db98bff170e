/*
 * check_later_clock.c: the time of a partition's clock is computed from the mark that its last
 * owner has kept, on the machine of the last owner and elsewhere, by a worker that knows of a jump
 * and by one that does not.
 */
#include "redis/redis_clock.h"
#include "worker/later_clock.h"
#include "support/suite.h"

#include <stdio.h>
#include <stdlib.h>

#define HERE      "0123456789abcdef"
#define ELSEWHERE "fedcba9876543210"

/* A time by the monotonic clock; then by how much the clock of Redis and that of the partition are
 * ahead of it. */
enum { HOUR_MS = 3600000, KEPT_MS = 1000000, NOW_MS = KEPT_MS + 60000 };
static const int64_t redis_minus_ms = 1800000000000, minus_ms = 1700000000000;

static struct asq__redis_clock clock_;
static int64_t set_ms;

static void sample(int64_t now_ms, int64_t by_ms)
{
    asq__redis_clock_take(&clock_, now_ms + redis_minus_ms + by_ms, now_ms - 1, now_ms);
}

static void set_up(void)
{
    clock_ = (struct asq__redis_clock){ 0 };
    set_ms = 0;
}

/* Returns by how much the partition's clock is ahead of the monotonic one, if it is claimed when
 * the clock of Redis was set by by_ms. */
static int64_t tell_kept(const char *kept, const char *machine, int64_t by_ms, bool *ret_told)
{
    struct asq__later_claim claim = {
        kept, machine, 500, &clock_, NOW_MS + redis_minus_ms + by_ms, NOW_MS - 1, NOW_MS
    };
    int64_t ms;
    *ret_told = asq__later_clock_compute(&claim, &ms, &set_ms);
    return ms;
}

/* Does the same with a clock that was kept at KEPT_MS, when the clock of Redis had been set by
 * kept_by_ms. */
static int64_t tell(const char *machine, int64_t kept_by_ms, int64_t by_ms)
{
    char kept[128];
    bool told;
    int64_t at_ms = KEPT_MS + minus_ms;
    snprintf(kept, sizeof kept, "%lld %lld " HERE " %lld",
             (long long) (at_ms - (KEPT_MS + redis_minus_ms + kept_by_ms)), (long long) at_ms,
             (long long) minus_ms - 500);
    int64_t ms = tell_kept(kept, machine, by_ms, &told);
    ck_assert(told);
    return ms;
}

static void is_about(int64_t is, int64_t expected)
{
    ck_assert_int_ge(is, expected - 5);
    ck_assert_int_le(is, expected + 5);
}

/* The partition had no owner when the clock was set by _i hours, and the claimer was not there. */
START_TEST(on_the_same_machine_time_is_known_whatever_was_set)
{
    int64_t by = (int64_t) _i * HOUR_MS;
    ck_assert_int_eq(tell(HERE, 0, by), minus_ms);
    is_about(set_ms, by);
    ck_assert_int_eq(tell(HERE, by, by), minus_ms);
    is_about(set_ms, 0);
}
END_TEST

START_TEST(elsewhere_a_jump_that_was_heard_of_counts_once)
{
    int64_t by = (int64_t) _i * HOUR_MS;
    sample(KEPT_MS - 20000, 0);
    sample(KEPT_MS + 20000, by); /* set before this, after the previous one */
    is_about(tell(ELSEWHERE, 0, by),
             minus_ms); /* the last owner has not noticed it, or only after it wrote */
    is_about(tell(ELSEWHERE, by, by), minus_ms); /* the last owner has noticed it first */
    ck_assert_int_eq(set_ms, 0);
}
END_TEST

START_TEST(elsewhere_the_claim_itself_shows_a_jump)
{
    int64_t by = (int64_t) _i * HOUR_MS;
    sample(KEPT_MS - 20000, 0);
    is_about(tell(ELSEWHERE, 0, by), minus_ms);
    is_about(tell(ELSEWHERE, by, by), minus_ms);
}
END_TEST

START_TEST(who_came_after_a_jump_that_was_written_down_goes_on)
{
    int64_t by = (int64_t) _i * HOUR_MS;
    is_about(tell(ELSEWHERE, by, by), minus_ms);
    ck_assert_int_eq(set_ms, 0);
}
END_TEST

/* The clock is not earlier than when it was kept, so a delay becomes longer by at most the time
 * since then. */
START_TEST(an_hour_back_that_nobody_heard_of_loses_the_time_since)
{
    is_about(tell(ELSEWHERE, 0, -HOUR_MS), minus_ms - (NOW_MS - KEPT_MS));
    is_about(set_ms, NOW_MS - KEPT_MS - HOUR_MS);
}
END_TEST

/* A clock that is an hour ahead cannot be distinguished from an hour in which no worker ran. */
START_TEST(an_hour_ahead_that_nobody_heard_of_looks_like_time_that_has_passed)
{
    is_about(tell(ELSEWHERE, 0, HOUR_MS), minus_ms + HOUR_MS);
}
END_TEST

static const char *const none[] = { "",
                                    "0",
                                    "x 1",
                                    "0 -1",
                                    "0 1 x",
                                    "0 1 " HERE,
                                    "0 1 " HERE " ",
                                    "0 1 " HERE " 5x",
                                    "0 1 " HERE " 99999999999999999",
                                    "0 99999999999999999",
                                    "99999999999999999 1",
                                    "-99999999999999999 1",
                                    "99999999999999999999 99999999999999999999" };

START_TEST(what_is_no_clock_counts_as_none)
{
    bool told;
    is_about(tell_kept(none[_i], HERE, 0, &told), redis_minus_ms);
    ck_assert(!told);
    is_about(tell_kept(NULL, HERE, 0, &told), redis_minus_ms);
    ck_assert(!told);
}
END_TEST

/* The monotonic clock of a machine does not go back, so the value is forged. */
START_TEST(a_time_before_the_one_that_was_kept_is_not_believed)
{
    char kept[128];
    bool told;
    int64_t at_ms = KEPT_MS + redis_minus_ms;
    snprintf(kept, sizeof kept, "0 %lld " HERE " 5", (long long) at_ms);
    is_about(tell_kept(kept, HERE, 0, &told), redis_minus_ms);
    ck_assert(told);
}
END_TEST

/* Writes a mark that was made at KEPT_MS, and reached Redis late_ms after that. */
static const char *late_mark(char kept[128], int64_t late_ms)
{
    int64_t at_ms = KEPT_MS + minus_ms;
    snprintf(kept, 128, "%lld %lld " HERE " %lld",
             (long long) (at_ms - (KEPT_MS + late_ms + redis_minus_ms)), (long long) at_ms,
             (long long) minus_ms - 500);
    return kept;
}

static const int64_t late_ms[] = { 900, 1100, 1500, 30000, NOW_MS - KEPT_MS - 1 };
enum { LATE = sizeof late_ms / sizeof *late_ms };

/* A slow Redis has run the last owner's later.lua long after it was sent. */
START_TEST(a_mark_that_was_written_late_shows_no_jump)
{
    char kept[128];
    bool told;
    ck_assert_int_eq(tell_kept(late_mark(kept, late_ms[_i]), HERE, 0, &told), minus_ms);
    ck_assert(told);
    ck_assert_int_eq(set_ms, 0);
}
END_TEST

/* Redis has read its clock long before the claimer read the answer, or has answered late. */
START_TEST(a_claim_that_took_long_shows_no_jump)
{
    char kept[128];
    int64_t ms;
    for (int64_t read_ms = NOW_MS - late_ms[_i]; read_ms <= NOW_MS; read_ms += late_ms[_i]) {
        struct asq__later_claim claim = {
            late_mark(kept, 0),   HERE,  500, &clock_, read_ms + redis_minus_ms,
            NOW_MS - late_ms[_i], NOW_MS
        };
        ck_assert(asq__later_clock_compute(&claim, &ms, &set_ms));
        ck_assert_int_eq(ms, minus_ms);
        ck_assert_int_eq(set_ms, 0);
    }
}
END_TEST

/* The step is larger than slow answers can explain. */
START_TEST(a_step_back_shows_in_spite_of_slow_answers)
{
    char kept[128];
    bool told;
    ck_assert_int_eq(tell_kept(late_mark(kept, late_ms[_i]), HERE, -HOUR_MS, &told), minus_ms);
    is_about(set_ms, -HOUR_MS - late_ms[_i]);
}
END_TEST

START_TEST(a_machine_without_a_name_is_none)
{
    char kept[128];
    bool told;
    snprintf(kept, sizeof kept, "0 %lld", (long long) (KEPT_MS + redis_minus_ms));
    is_about(tell_kept(kept, "", HOUR_MS, &told), redis_minus_ms + HOUR_MS);
    ck_assert(told);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("later_clock");
    TCase *t = tcase_create("later_clock");

    tcase_add_checked_fixture(t, set_up, NULL);
    tcase_add_loop_test(t, on_the_same_machine_time_is_known_whatever_was_set, -1, 2);
    tcase_add_loop_test(t, elsewhere_a_jump_that_was_heard_of_counts_once, -1, 2);
    tcase_add_loop_test(t, elsewhere_the_claim_itself_shows_a_jump, -1, 2);
    tcase_add_loop_test(t, who_came_after_a_jump_that_was_written_down_goes_on, -1, 2);
    tcase_add_test(t, an_hour_back_that_nobody_heard_of_loses_the_time_since);
    tcase_add_test(t, an_hour_ahead_that_nobody_heard_of_looks_like_time_that_has_passed);
    tcase_add_loop_test(t, what_is_no_clock_counts_as_none, 0,
                        (int) (sizeof none / sizeof none[0]));
    tcase_add_test(t, a_time_before_the_one_that_was_kept_is_not_believed);
    tcase_add_loop_test(t, a_mark_that_was_written_late_shows_no_jump, 0, LATE);
    tcase_add_loop_test(t, a_claim_that_took_long_shows_no_jump, 0, LATE);
    tcase_add_loop_test(t, a_step_back_shows_in_spite_of_slow_answers, 0, LATE);
    tcase_add_test(t, a_machine_without_a_name_is_none);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
