/*
 * check_timers.c: timers of agents, in all modes: when they fire, what they call, how they are
 * changed, listed and removed. check_timers_faults.c has what happens when something dies.
 */
#include "modes.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { OFTEN_MS = 100, HOUR_MS = 3600000 };

static asq_timer every(int64_t ms)
{
    asq_timer timer = ASQ_TIMER_INIT;
    timer.every_ms = ms;
    return timer;
}

static int64_t wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static asq_timer at(int64_t ms)
{
    asq_timer timer = ASQ_TIMER_INIT;
    timer.at_ms = ms;
    return timer;
}

static asq_value *list_of(asq_agent *a)
{
    asq_value *list;
    ok(asq_schedules(H, a ? asq_agent_id(a) : NULL, &list));
    return list;
}

static size_t count(asq_agent *a)
{
    asq_value *list = list_of(a);
    size_t n = asq_list_size(list);
    asq_value_free(list);
    return n;
}

/* Returns the only timer of an agent. */
static asq_value *only(asq_agent *a)
{
    asq_value *list = list_of(a), *timer;
    ck_assert_uint_eq(asq_list_size(list), 1);
    timer = asq_value_copy(asq_list_get(list, 0));
    asq_value_free(list);
    return timer;
}

static int64_t field(asq_agent *a, const char *key)
{
    asq_value *timer = only(a);
    int64_t n = asq_map_int(timer, key);
    asq_value_free(timer);
    return n;
}

/* Waits, in a function of the library, because local mode fires timers there. */
#define wait_for(condition)                                                                        \
    do {                                                                                           \
        int64_t end_ = sup_now_ms() + sup_limit_ms();                                              \
        while (!(condition)) {                                                                     \
            ck_assert_msg(sup_now_ms() < end_, "not in time: %s", #condition);                     \
            ok(asq_sleep(H, 5));                                                                   \
        }                                                                                          \
    } while (0)

static int64_t value(asq_agent *a)
{
    return call_int(a, "read", NULL);
}

START_TEST(a_timer_calls_its_method_again_and_again)
{
    asq_agent *a = counter(0);
    asq_timer timer = every(OFTEN_MS);
    ok(asq_schedule(a, "tick", &timer, "add", "[i]", 5));
    wait_for(value(a) >= 15);
    ck_assert_int_eq(value(a) % 5, 0);
    ok(asq_unschedule(a, "tick"));
    int64_t last = value(a);
    ok(asq_sleep(H, 3 * OFTEN_MS));
    ck_assert_int_eq(value(a), last);
    ck_assert_uint_eq(count(a), 0);
    asq_agent_free(a);
}
END_TEST

START_TEST(times_do_not_drift)
{
    asq_agent *a = counter(0);
    asq_timer timer = every(OFTEN_MS);
    timer.missed = ASQ_MISSED_ALL;
    ok(asq_schedule(a, "tick", &timer, "add", "[i]", 1));
    asq_value *shown = only(a);
    int64_t first = asq_map_int(shown, "next_ms") - OFTEN_MS * asq_map_int(shown, "fired");
    asq_value_free(shown);
    wait_for(field(a, "fired") >= 5);
    shown = only(a);
    ck_assert_int_eq(asq_map_int(shown, "next_ms"), first + OFTEN_MS * asq_map_int(shown, "fired"));
    ck_assert_int_eq(asq_map_int(shown, "last_ms"), asq_map_int(shown, "next_ms") - OFTEN_MS);
    asq_value_free(shown);
    ok(asq_unschedule(a, "tick"));
    asq_agent_free(a);
}
END_TEST

START_TEST(a_time_comes_once)
{
    asq_agent *a = counter(0);
    asq_timer timer = at(wall_ms() + 200);
    ok(asq_schedule(a, "once", &timer, "add", "[i]", 1));
    wait_for(count(a) == 0);
    wait_for(value(a) == 1);
    ok(asq_sleep(H, 200));
    ck_assert_int_eq(value(a), 1);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_time_that_was_missed_comes_late_or_not_at_all)
{
    static const asq_missed missed[] = { ASQ_MISSED_ONE, ASQ_MISSED_ALL, ASQ_MISSED_SKIP };
    for (int i = 0; i < 3; i++) {
        asq_agent *a = counter(0);
        asq_timer timer = at(wall_ms() - HOUR_MS);
        timer.missed = missed[i];
        ok(asq_schedule(a, "late", &timer, "add", "[i]", 1));
        wait_for(count(a) == 0);
        ck_assert_int_eq(value(a), missed[i] != ASQ_MISSED_SKIP);
        asq_agent_free(a);
    }
}
END_TEST

START_TEST(a_timer_that_is_set_again_goes_on)
{
    asq_agent *a = counter(0);
    asq_timer timer = every(HOUR_MS);
    ok(asq_schedule(a, "tick", &timer, "add", "[i]", 1));
    int64_t next_ms = field(a, "next_ms");
    ok(asq_sleep(H, 300)); /* more than two estimates of Redis's clock may differ */
    ok(asq_schedule(a, "tick", &timer, "add", "[i]", 1));
    ck_assert_int_eq(field(a, "next_ms"), next_ms);
    ok(asq_schedule(a, "tick", &timer, "add", "[i]", 2)); /* in place, and from now on */
    ck_assert_int_gt(field(a, "next_ms"), next_ms);
    timer.every_ms = 2 * HOUR_MS;
    ok(asq_schedule(a, "tick", &timer, "add", "[i]", 2));
    ck_assert_int_eq(field(a, "every_ms"), 2 * HOUR_MS);
    ck_assert_int_eq(value(a), 0);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_cron_expression_is_due_at_its_next_time)
{
    asq_agent *a = counter(0);
    asq_timer timer = ASQ_TIMER_INIT;
    timer.cron = "0 * * * *";
    int64_t before_ms = wall_ms();
    ok(asq_schedule(a, "hourly", &timer, "add", "[i]", 1));
    int64_t next_ms = field(a, "next_ms");
    ck_assert_int_eq(next_ms % HOUR_MS, 0);
    ck_assert_int_gt(next_ms, before_ms - HOUR_MS); /* its hour may have passed since */
    ck_assert_int_le(next_ms, wall_ms() + HOUR_MS);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_list_has_what_was_set)
{
    asq_agent *a = counter(0);
    asq_timer timer = ASQ_TIMER_INIT;
    timer.cron = "30 4 1 1 *";
    timer.zone = "UTC";
    timer.overlap = ASQ_OVERLAP_SKIP;
    timer.missed = ASQ_MISSED_ALL;
    ok(asq_schedule(a, "new-year", &timer, "add", "[i]", 7));
    asq_value *shown = only(a);
    const char *text;
    static const char *const texts[][2] = {
        { "name", "new-year" }, { "method", "add" }, { "cron", "30 4 1 1 *" }, { "zone", "UTC" }
    };
    for (size_t i = 0; i < 4; i++) {
        ok(asq_value_get_string(asq_map_get(shown, texts[i][0]), &text, NULL));
        ck_assert_str_eq(text, texts[i][1]);
    }
    ok(asq_value_get_string(asq_map_get(shown, "agent"), &text, NULL));
    ck_assert_str_eq(text, asq_agent_id(a));
    ck_assert_int_eq(asq_map_int(shown, "overlap"), ASQ_OVERLAP_SKIP);
    ck_assert_int_eq(asq_map_int(shown, "missed"), ASQ_MISSED_ALL);
    ck_assert_int_eq(asq_map_int(shown, "fired"), 0);
    ck_assert_ptr_null(asq_map_get(shown, "last_call"));
    asq_value_free(shown);
    ck_assert_uint_ge(count(NULL), 1);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_timer_that_makes_no_sense_is_refused)
{
    asq_agent *a = counter(0), *nobody;
    asq_timer timer = every(HOUR_MS);
    ck_assert_code(asq_schedule(a, "t", &timer, "nosuch", NULL), ASQ_ENOMETHOD);
    ck_assert_contains(asq_errmsg(H), "timer 't'");
    ck_assert_code(asq_schedule(a, "t", &timer, "_secret", NULL), ASQ_EPRIVATE);
    ck_assert_code(asq_schedule(a, "", &timer, "add", NULL), ASQ_EINVAL);
    ck_assert_code(asq_schedule(a, "a b", &timer, "add", NULL), ASQ_EINVAL);
    timer.at_ms = 1;
    ck_assert_code(asq_schedule(a, "t", &timer, "add", NULL), ASQ_EINVAL);
    ck_assert_contains(asq_errmsg(H), "one of every_ms, at_ms and cron");
    timer = every(OFTEN_MS - 1);
    ck_assert_code(asq_schedule(a, "t", &timer, "add", NULL), ASQ_EINVAL);
    timer = every(0);
    timer.cron = "61 * * * *";
    ck_assert_code(asq_schedule(a, "t", &timer, "add", NULL), ASQ_EINVAL);
    ck_assert_contains(asq_errmsg(H), "minute");
    timer.cron = "@daily";
    timer.zone = "Mars/Olympus";
    ck_assert_code(asq_schedule(a, "t", &timer, "add", NULL), ASQ_EINVAL);
    ck_assert_contains(asq_errmsg(H), "Mars/Olympus");
    timer.zone = "../../../etc/passwd";
    ck_assert_code(asq_schedule(a, "t", &timer, "add", NULL), ASQ_EINVAL);
    timer.size = 0;
    ck_assert_code(asq_schedule(a, "t", &timer, "add", NULL), ASQ_EINVAL);
    ck_assert_uint_eq(count(a), 0);
    timer = every(HOUR_MS);
    ok(asq_attach(H, own("nobody"), &nobody));
    ck_assert_code(asq_schedule(nobody, "t", &timer, "add", NULL), ASQ_ENOAGENT);
    ok(asq_unschedule(a, "never-set"));
    asq_agent_free(nobody);
    asq_agent_free(a);
}
END_TEST

START_TEST(timers_end_with_their_agent)
{
    const char *id = own("mortal");
    asq_timer timer = every(HOUR_MS);
    asq_agent *a;
    ok(asq_create(H, "Counter", id, &a, "{s:i}", "value", 0));
    ok(asq_schedule(a, "one", &timer, "add", "[i]", 1));
    ok(asq_schedule(a, "two", &timer, "add", "[i]", 1));
    ck_assert_uint_eq(count(a), 2);
    ok(asq_delete(a, sup_limit_ms()));
    ck_assert_uint_eq(count(a), 0);
    asq_agent_free(a);
    ok(asq_create(H, "Counter", id, &a, "{s:i}", "value", 0));
    ok(asq_ready(a, sup_limit_ms()));
    ck_assert_uint_eq(count(a), 0);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_method_sets_a_timer_of_its_own_agent)
{
    asq_agent *a = counter(0);
    asq_result *r;
    ok(asq_call(a, "every", &r, "[s, i]", "mine", OFTEN_MS));
    ck_assert_int_eq(result_code(r), 0);
    wait_for(value(a) >= 2);
    ok(asq_unschedule(a, "mine"));
    asq_agent_free(a);
}
END_TEST

START_TEST(a_failed_call_of_a_timer_ends_no_timer)
{
    asq_agent *a = counter(0);
    asq_timer timer = every(OFTEN_MS);
    ok(asq_schedule(a, "tick", &timer, "add", "[s]", "no number"));
    wait_for(field(a, "fired") >= 3);
    ck_assert_int_eq(value(a), 0);
    ok(asq_unschedule(a, "tick"));
    asq_agent_free(a);
}
END_TEST

#define TRACE_ID "0af7651916cd43dd8448eb211c80319c"

START_TEST(the_calls_of_a_timer_belong_to_the_trace_in_which_it_was_set)
{
    static const asq_trace trace = { "00-" TRACE_ID "-b7ad6b7169203331-00", NULL };
    asq_agent *a = counter(0);
    asq_timer timer = at(wall_ms());
    ok(asq_set_trace(H, &trace));
    ok(asq_schedule(a, "once", &timer, "traced", "[s]", TRACE_ID));
    ok(asq_set_trace(H, NULL));
    wait_for(count(a) == 0);
    ck_assert_int_eq(value(a), 1);
    asq_agent_free(a);
}
END_TEST

/* ---- distributed ---- */

/* Sets a timer whose calls hold their agent until `release` exists, and waits for the first. */
static asq_agent *holder(asq_overlap overlap, const char *begun, const char *release)
{
    asq_agent *a = agent_new("Echo", NULL);
    asq_timer timer = every(OFTEN_MS);
    timer.overlap = overlap;
    ok(asq_schedule(a, "hold", &timer, "hold", "[s, s]", begun, release));
    wait_for(exists(begun));
    return a;
}

START_TEST(a_timer_skips_times_while_its_call_runs)
{
    char *begun = sup_path(own("begun")), *release = sup_path(own("release"));
    asq_agent *a = holder(ASQ_OVERLAP_SKIP, begun, release);
    int64_t next_ms = field(a, "next_ms");
    wait_for(field(a, "next_ms") >= next_ms + 5 * OFTEN_MS);
    ck_assert_int_eq(field(a, "fired"), 1);
    touch(release);
    wait_for(field(a, "fired") > 1);
    ok(asq_unschedule(a, "hold"));
    asq_agent_free(a);
    free(begun);
    free(release);
}
END_TEST

START_TEST(a_timer_queues_its_calls)
{
    char *begun = sup_path(own("begun")), *release = sup_path(own("release"));
    asq_agent *a = holder(ASQ_OVERLAP_QUEUE, begun, release);
    wait_for(field(a, "fired") >= 4);
    touch(release);
    ok(asq_unschedule(a, "hold"));
    asq_agent_free(a);
    free(begun);
    free(release);
}
END_TEST

START_TEST(a_timer_cancels_its_last_call)
{
    char *begun = sup_path(own("begun")), *never = sup_path(own("never"));
    asq_agent *a = holder(ASQ_OVERLAP_CANCEL, begun, never);
    asq_value *shown = only(a);
    const char *id;
    ok(asq_value_get_string(asq_map_get(shown, "last_call"), &id, NULL));
    asq_result *r;
    ok(asq_result_attach(H, id, &r)); /* held by nobody but the next call */
    ck_assert_int_eq(result_code(r), ASQ_ECANCELED);
    asq_value_free(shown);
    wait_for(field(a, "fired") >= 3);
    touch(never);
    ok(asq_unschedule(a, "hold"));
    asq_agent_free(a);
    free(begun);
    free(never);
}
END_TEST

static void add_all(TCase *t)
{
    tcase_add_test(t, a_timer_calls_its_method_again_and_again);
    tcase_add_test(t, times_do_not_drift);
    tcase_add_test(t, a_time_comes_once);
    tcase_add_test(t, a_time_that_was_missed_comes_late_or_not_at_all);
    tcase_add_test(t, a_timer_that_is_set_again_goes_on);
    tcase_add_test(t, a_cron_expression_is_due_at_its_next_time);
    tcase_add_test(t, a_list_has_what_was_set);
    tcase_add_test(t, a_timer_that_makes_no_sense_is_refused);
    tcase_add_test(t, timers_end_with_their_agent);
    tcase_add_test(t, a_method_sets_a_timer_of_its_own_agent);
    tcase_add_test(t, a_failed_call_of_a_timer_ends_no_timer);
    tcase_add_test(t, the_calls_of_a_timer_belong_to_the_trace_in_which_it_was_set);
}

static void add_distributed(TCase *t)
{
    tcase_add_test(t, a_timer_skips_times_while_its_call_runs);
    tcase_add_test(t, a_timer_queues_its_calls);
    tcase_add_test(t, a_timer_cancels_its_last_call);
}

int main(void)
{
    return modes_main("timers", add_all, add_distributed);
}
