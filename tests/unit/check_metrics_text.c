/*
 * check_metrics_text.c: the text of metrics, in both formats, also with hostile names.
 */
#include "support/suite.h"

#include "asqueue.h"
#include "value/buf.h"
#include "worker/core/metrics_text.h"
#include "worker/core/series.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROCESSES = 2, SERIES = 3 };

static struct asq__figures *figures[PROCESSES];
static struct asq__series_name names[SERIES];
static struct asq__metrics_view view;
static char *text;

static void set_up(void)
{
    for (int i = 0; i < PROCESSES; i++)
        figures[i] = calloc(1, sizeof **figures + SERIES * sizeof(struct asq__series));
    for (int i = 0; i < SERIES; i++)
        names[i] = (struct asq__series_name){ "Counter", i == 0   ? "(other)"
                                                         : i == 1 ? "add"
                                                                  : "sub" };
    view = (struct asq__metrics_view){ "w",    "default", "1.2.3",   names,
                                       SERIES, figures,   PROCESSES, 9000 };
    text = NULL;
}

static void tear_down(void)
{
    for (int i = 0; i < PROCESSES; i++)
        free(figures[i]);
    free(text);
}

static const char *write_text(bool openmetrics)
{
    struct asq__buf out;
    free(text);
    asq__buf_init(&out, (size_t) 1 << 24);
    asq__metrics_write(&view, openmetrics, &out);
    text = (char *) asq__buf_detach(&out, NULL);
    ck_assert_ptr_nonnull(text);
    return text;
}

static void call(int process, int series, int64_t run_ns)
{
    asq__counter_add(&figures[process]->series[series].calls, 1);
    asq__histogram_add(&figures[process]->series[series].run, run_ns);
}

#define HAS(line)                                                                                  \
    ck_assert_msg(strstr(text, line "\n") != NULL, "%s is missing in:\n%s", line, text)
#define HAS_NOT(part) ck_assert_msg(!strstr(text, part), "%s is in:\n%s", part, text)

START_TEST(series_are_sums_of_all_processes)
{
    call(0, 1, 8192);
    call(1, 1, 8193);
    call(1, 1, INT64_C(5000) * 1000000000);
    write_text(true);
    HAS("asqueue_calls_total{class=\"Counter\",method=\"add\"} 3");
    HAS("asqueue_call_run_seconds_bucket{class=\"Counter\",method=\"add\",le=\"0.000008192\"} 1");
    HAS("asqueue_call_run_seconds_bucket{class=\"Counter\",method=\"add\",le=\"0.000016384\"} 2");
    HAS("asqueue_call_run_seconds_bucket{class=\"Counter\",method=\"add\",le=\"+Inf\"} 3");
    HAS("asqueue_call_run_seconds_count{class=\"Counter\",method=\"add\"} 3");
    HAS("asqueue_call_run_seconds_sum{class=\"Counter\",method=\"add\"} 5000.000016385");
    HAS_NOT("method=\"sub\"");
}
END_TEST

START_TEST(openmetrics_has_families_units_and_an_end)
{
    call(0, 1, 1);
    write_text(true);
    HAS("# TYPE asqueue_calls counter");
    HAS("# TYPE asqueue_worker info");
    HAS("# UNIT asqueue_call_run_seconds seconds");
    HAS("# UNIT asqueue_agent_bytes bytes");
    HAS("asqueue_worker_info{worker=\"w\",namespace=\"default\",version=\"1.2.3\"} 1");
    ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
}
END_TEST

START_TEST(the_older_format_has_names_of_samples_and_no_end)
{
    call(0, 1, 1);
    write_text(false);
    HAS("# TYPE asqueue_calls_total counter");
    HAS("# TYPE asqueue_worker_info gauge");
    HAS_NOT("# EOF");
    HAS_NOT("# UNIT");
    HAS_NOT(" info\n");
}
END_TEST

START_TEST(failures_have_names_of_codes)
{
    struct asq__series *s = &figures[0]->series[1];
    asq__counter_add(&s->calls, 1);
    asq__series_fail(s, ASQ_EARGS);
    asq__series_fail(s, ASQ_EUSER(3));
    asq__series_fail(s, ASQ_EUSER(3));
    asq__series_fail(s, 17);
    for (int i = 10; i < 30; i++)
        asq__series_fail(s, ASQ_EUSER(i));
    write_text(true);
#define FAILURES(code)                                                                             \
    "asqueue_call_failures_total{class=\"Counter\",method=\"add\",code=\"" code "\"} "
    HAS(FAILURES("ASQ_EARGS") "1");
    HAS(FAILURES("ASQ_EUSER(3)") "2");
    HAS(FAILURES("17") "1");
    HAS(FAILURES("ASQ_EUSER(15)") "1");
    HAS(FAILURES("other") "14"); /* the first 8 codes of applications have places */
}
END_TEST

START_TEST(hostile_names_stay_within_their_label)
{
    names[1] = (struct asq__series_name){ "a\"} 1\n# EOF", "back\\slash\xff\xc3\xa9" };
    view.worker = "w\"x";
    call(0, 1, 1);
    write_text(true);
    HAS("asqueue_calls_total{class=\"a\\\"} 1\\n# EOF\","
        "method=\"back\\\\slash\xef\xbf\xbd\xc3\xa9\"} 1");
    HAS("asqueue_worker_info{worker=\"w\\\"x\",namespace=\"default\",version=\"1.2.3\"} 1");
    ck_assert_ptr_eq(strstr(text, "\n# EOF"), text + strlen(text) - 7);
}
END_TEST

START_TEST(gauges_are_those_of_processes_that_have_said_them)
{
    atomic_store(&figures[1]->gauges.updated_ms, 7500);
    atomic_store(&figures[1]->gauges.oldest_ms, 2250);
    atomic_store(&figures[1]->gauges.agents, 12);
    atomic_store(&figures[1]->gauges.round_trip_ns, 130000);
    write_text(true);
    HAS("asqueue_figures_age_seconds{process=\"1\"} 1.5");
    HAS("asqueue_oldest_waiting_seconds{process=\"1\"} 2.25");
    HAS("asqueue_redis_round_trip_seconds{process=\"1\"} 0.00013");
    HAS("asqueue_agents{process=\"1\"} 12");
    HAS_NOT("asqueue_agents{process=\"0\"}");
    HAS("asqueue_process_starts_total{process=\"0\"} 0");
}
END_TEST

START_TEST(pools_have_gauges_of_their_own)
{
    for (int i = 0; i < PROCESSES; i++)
        ck_assert_ptr_nonnull(asq__figures_pool(figures[i], "default", true));
    struct asq__pool_gauges *gpu = asq__figures_pool(figures[1], "gpu", true);
    ck_assert_ptr_eq(asq__figures_pool(figures[1], "gpu", false), gpu);
    ck_assert_ptr_null(asq__figures_pool(figures[0], "gpu", false));
    atomic_store(&gpu->partitions, 4);
    atomic_store(&gpu->active, 2);
    atomic_store(&gpu->waiting, 3);
    atomic_store(&gpu->oldest_ms, 2250);
    atomic_store(&gpu->backlog, 7);
    write_text(true);
    HAS_NOT("pool=");
    atomic_store(&figures[1]->gauges.updated_ms, 7500);
    write_text(true);
    HAS("asqueue_pool_partitions{process=\"1\",pool=\"default\"} 0");
    HAS("asqueue_pool_partitions{process=\"1\",pool=\"gpu\"} 4");
    HAS("asqueue_pool_calls_active{process=\"1\",pool=\"gpu\"} 2");
    HAS("asqueue_pool_calls_waiting{process=\"1\",pool=\"gpu\"} 3");
    HAS("asqueue_pool_oldest_waiting_seconds{process=\"1\",pool=\"gpu\"} 2.25");
    HAS("asqueue_pool_backlog_calls{process=\"1\",pool=\"gpu\"} 7");
    HAS_NOT("process=\"0\",pool=");
    for (int i = 0; i < ASQ__POOLS_SHOWN; i++) {
        char name[20];
        snprintf(name, sizeof name, "p%d", i);
        ck_assert(!asq__figures_pool(figures[0], name, true) == (i == ASQ__POOLS_SHOWN - 1));
    }
}
END_TEST

START_TEST(a_new_process_starts_with_no_gauges_and_the_old_counters)
{
    call(0, 1, 5);
    atomic_store(&figures[0]->gauges.updated_ms, 7500);
    atomic_store(&figures[0]->gauges.round_trip_ns, 7500);
    asq__gauges_reset(&figures[0]->gauges);
    write_text(true);
    HAS_NOT("asqueue_redis_round_trip_seconds{process=\"0\"}");
    HAS("asqueue_calls_total{class=\"Counter\",method=\"add\"} 1");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics_text");
    TCase *t = tcase_create("metrics_text");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, series_are_sums_of_all_processes);
    tcase_add_test(t, openmetrics_has_families_units_and_an_end);
    tcase_add_test(t, the_older_format_has_names_of_samples_and_no_end);
    tcase_add_test(t, failures_have_names_of_codes);
    tcase_add_test(t, hostile_names_stay_within_their_label);
    tcase_add_test(t, gauges_are_those_of_processes_that_have_said_them);
    tcase_add_test(t, pools_have_gauges_of_their_own);
    tcase_add_test(t, a_new_process_starts_with_no_gauges_and_the_old_counters);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
