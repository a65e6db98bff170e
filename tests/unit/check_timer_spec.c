/*
 * check_timer_spec.c: which times of a timer are due, by its policy for missed ones; and maps that
 * are no timers. Times are numbers here, no clock is read.
 */
#include "value/timer_spec.h"

#include "asqueue.h"
#include "support/suite.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define NOW   ((int64_t) 1800000000000)
#define EVERY ((int64_t) 60000)

static char err[500];
static asq_value *map;
static struct asq__timer_spec spec;

static void tear_down(void)
{
    asq_value_free(map);
    map = NULL;
}

static int read_timer(asq_timer timer)
{
    asq_value_free(map);
    map = asq__timer_spec_map(&timer, "run", NULL);
    ck_assert_ptr_nonnull(map);
    return asq__timer_spec_read(map, &spec, err, sizeof err);
}

static void set(asq_timer timer)
{
    int rc = read_timer(timer);
    ck_assert_msg(rc == 0, "%s", err);
}

static struct asq__timer_due due(int64_t due_ms, int64_t now_ms)
{
    struct asq__timer_due d;
    int rc = asq__timer_due(&spec, due_ms, now_ms, &d, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    return d;
}

static asq_timer every(asq_missed missed)
{
    asq_timer timer = ASQ_TIMER_INIT;
    timer.every_ms = EVERY;
    timer.missed = missed;
    return timer;
}

START_TEST(an_interval_keeps_its_beat)
{
    int64_t first;
    set(every(ASQ_MISSED_ONE));
    ck_assert_int_eq(asq__timer_first(&spec, NOW, &first, err, sizeof err), 0);
    ck_assert_int_eq(first, NOW + EVERY);
    ck_assert_uint_eq(due(NOW, NOW - 1).n, 0);
    ck_assert_int_eq(due(NOW, NOW - 1).next_ms, NOW);
    struct asq__timer_due d = due(NOW, NOW + 7); /* seven ms late */
    ck_assert_uint_eq(d.n, 1);
    ck_assert_int_eq(d.times_ms[0], NOW);
    ck_assert_int_eq(d.next_ms, NOW + EVERY);
}
END_TEST

START_TEST(one_call_is_made_for_all_missed_times)
{
    set(every(ASQ_MISSED_ONE));
    struct asq__timer_due d = due(NOW, NOW + 10 * EVERY + 5);
    ck_assert_uint_eq(d.n, 1);
    ck_assert_int_eq(d.times_ms[0], NOW);
    ck_assert_int_eq(d.next_ms, NOW + 11 * EVERY);
}
END_TEST

START_TEST(all_missed_times_are_made_up_for_in_portions)
{
    enum { MISSED = 2 * ASQ__TIMER_AT_ONCE + 3 };
    int64_t next_ms = NOW;
    size_t n = 0;
    set(every(ASQ_MISSED_ALL));
    while (next_ms <= NOW + (MISSED - 1) * EVERY) {
        struct asq__timer_due d = due(next_ms, NOW + (MISSED - 1) * EVERY);
        ck_assert_uint_ge(d.n, 1);
        for (size_t i = 0; i < d.n; i++)
            ck_assert_int_eq(d.times_ms[i], NOW + (int64_t) n++ * EVERY);
        next_ms = d.next_ms;
    }
    ck_assert_uint_eq(n, MISSED);
    ck_assert_int_eq(next_ms, NOW + MISSED * EVERY);
}
END_TEST

START_TEST(late_times_are_left_out)
{
    set(every(ASQ_MISSED_SKIP));
    struct asq__timer_due d = due(NOW, NOW + ASQ__TIMER_LATE_MS);
    ck_assert_uint_eq(d.n, 1);
    d = due(NOW, NOW + ASQ__TIMER_LATE_MS + 1);
    ck_assert_uint_eq(d.n, 0);
    ck_assert_int_eq(d.next_ms, NOW + EVERY);
    d = due(NOW, NOW + 3 * EVERY + 10); /* the last of them is not late */
    ck_assert_uint_eq(d.n, 1);
    ck_assert_int_eq(d.times_ms[0], NOW + 3 * EVERY);
    ck_assert_int_eq(d.next_ms, NOW + 4 * EVERY);
}
END_TEST

START_TEST(a_single_time_is_done_when_it_is_over)
{
    static const asq_missed missed[] = { ASQ_MISSED_ONE, ASQ_MISSED_ALL, ASQ_MISSED_SKIP };
    asq_timer timer = ASQ_TIMER_INIT;
    timer.at_ms = NOW;
    timer.missed = missed[_i];
    set(timer);
    ck_assert_int_eq(due(NOW, NOW - 1).next_ms, NOW);
    ck_assert_uint_eq(due(NOW, NOW).n, 1);
    ck_assert_int_eq(due(NOW, NOW).next_ms, -1);
    ck_assert_uint_eq(due(NOW, NOW + EVERY).n, missed[_i] != ASQ_MISSED_SKIP);
    ck_assert_int_eq(due(NOW, NOW + EVERY).next_ms, -1);
}
END_TEST

START_TEST(an_expression_goes_on_at_its_next_time)
{
    asq_timer timer = ASQ_TIMER_INIT;
    int64_t first;
    timer.cron = "*/10 * * * *"; /* NOW is 08:00:00 */
    timer.missed = ASQ_MISSED_ALL;
    set(timer);
    ck_assert_int_eq(asq__timer_first(&spec, NOW, &first, err, sizeof err), 0);
    ck_assert_int_eq(first, NOW + 600000);
    struct asq__timer_due d = due(first, NOW + 1800000);
    ck_assert_uint_eq(d.n, 3);
    ck_assert_int_eq(d.times_ms[2], NOW + 1800000);
    ck_assert_int_eq(d.next_ms, NOW + 2400000);
}
END_TEST

START_TEST(what_is_no_timer_is_refused)
{
    asq_timer none = ASQ_TIMER_INIT, timer;
    ck_assert_int_eq(read_timer(none), ASQ_EINVAL);
    timer = none, timer.every_ms = EVERY, timer.at_ms = NOW;
    ck_assert_int_eq(read_timer(timer), ASQ_EINVAL);
    timer = none, timer.every_ms = ASQ__TIMER_SHORTEST_MS - 1;
    ck_assert_int_eq(read_timer(timer), ASQ_EINVAL);
    timer = none, timer.every_ms = -1;
    ck_assert_int_eq(read_timer(timer), ASQ_EINVAL);
    timer = none, timer.at_ms = INT64_MAX;
    ck_assert_int_eq(read_timer(timer), ASQ_EINVAL);
    timer = none, timer.every_ms = EVERY, timer.zone = "UTC";
    ck_assert_int_eq(read_timer(timer), ASQ_EINVAL);
    timer = every((asq_missed) 3);
    ck_assert_int_eq(read_timer(timer), ASQ_EINVAL);
    timer = every(ASQ_MISSED_ONE), timer.overlap = (asq_overlap) -1;
    ck_assert_int_eq(read_timer(timer), ASQ_EINVAL);
    ck_assert_int_eq(asq__timer_spec_read(NULL, &spec, err, sizeof err), ASQ_EINVAL);
    set(every(ASQ_MISSED_ONE));
    ck_assert_int_eq(asq_map_set(map, "args", asq_value_int(1)), 0);
    ck_assert_int_eq(asq__timer_spec_read(map, &spec, err, sizeof err), ASQ_EINVAL);
    static char large[ASQ__TIMER_ARGS + 1];
    memset(large, 'x', sizeof large - 1);
    ck_assert_int_eq(asq_map_set(map, "args", asq_pack("[s]", large)), 0);
    ck_assert_int_eq(asq__timer_spec_read(map, &spec, err, sizeof err), ASQ_ELIMIT);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("timer_spec");
    TCase *c = tcase_create("timer_spec");

    tcase_add_checked_fixture(c, NULL, tear_down);
    tcase_add_test(c, an_interval_keeps_its_beat);
    tcase_add_test(c, one_call_is_made_for_all_missed_times);
    tcase_add_test(c, all_missed_times_are_made_up_for_in_portions);
    tcase_add_test(c, late_times_are_left_out);
    tcase_add_loop_test(c, a_single_time_is_done_when_it_is_over, 0, 3);
    tcase_add_test(c, an_expression_goes_on_at_its_next_time);
    tcase_add_test(c, what_is_no_timer_is_refused);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
