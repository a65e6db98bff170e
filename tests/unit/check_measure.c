/*
 * check_measure.c: what a run counts as when its outcome goes into a commit: with the commit, or by
 * itself because it waited from another time, has parked, or has failed.
 */
#include "support/suite.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "worker/measure.h"
#include "worker/partition.h"

#define MS INT64_C(1000000)

/* A run of 5 ms that begins 100 ms after its call was made. */
enum { MADE_MS = 900, BEGAN_MS = 1000, ENDED_MS = 1005, ACKED_MS = 1012 };

static struct asq__series series;
static struct asq__timed timed;
static struct asq__partition *part;
static struct asq__entry *entry;
static Asqueue__Job job, *jobs[] = { &job };
static Asqueue__Batch batch = { .n_jobs = 1, .jobs = jobs };
static struct asq__run run;
static struct asq__wcall *call;

static void set_up(void)
{
    part = calloc(1, sizeof *part);
    entry = calloc(1, sizeof *entry + sizeof *entry->calls);
    ck_assert(part && entry);
    memset(&series, 0, sizeof series);
    memset(&timed, 0, sizeof timed);
    memset(&job, 0, sizeof job);
    memset(&run, 0, sizeof run);
    call = entry->calls;
    entry->part = part;
    entry->batch = &batch;
    entry->made_ms = MADE_MS;
    call->entry = entry;
    run.active.call = call;
    asq__run_set_began(&run, BEGAN_MS * MS);
    run.times.ended_ns = ENDED_MS * MS;
    run.times.series = &series;
}

static void tear_down(void)
{
    asq__timed_release(&timed);
    free(entry);
    free(part);
}

static void check_one(const struct asq__histogram *h, int64_t ms)
{
    ck_assert_uint_eq(asq__histogram_count(h), 1);
    ck_assert_int_eq((int64_t) atomic_load(&h->sum_ns), ms * MS);
}

/* Commits the run, and checks that it counts once, with these times. at_once: before the commit is
 * closed. parked_ms 0: it has not parked. */
static void check_counts(bool at_once, int64_t queue_ms, int64_t run_ms, int64_t parked_ms)
{
    asq__measure_commit(&timed, call, &job, &run);
    ck_assert_uint_eq(atomic_load(&series.calls), at_once);
    asq__series_runs(&timed);
    ck_assert_uint_eq(atomic_load(&series.calls), 1);
    check_one(&series.queue, queue_ms);
    check_one(&series.run, run_ms);
    if (parked_ms)
        check_one(&series.parked, parked_ms);
    else
        ck_assert_uint_eq(asq__histogram_count(&series.parked), 0);
    ck_assert_uint_eq(asq__histogram_count(&series.commit), 0);
    asq__series_commit(&timed, ACKED_MS * MS);
    check_one(&series.commit, ACKED_MS - ENDED_MS);
}

START_TEST(a_run_counts_with_its_commit)
{
    check_counts(false, BEGAN_MS - MADE_MS, ENDED_MS - BEGAN_MS, 0);
}
END_TEST

START_TEST(a_parked_run_has_not_run_meanwhile)
{
    run.times.parked_ns = 2 * MS;
    check_counts(true, BEGAN_MS - MADE_MS, ENDED_MS - BEGAN_MS - 2, 2);
}
END_TEST

START_TEST(a_delayed_call_waits_from_when_it_is_due)
{
    job.delay_ms = 60;
    check_counts(true, BEGAN_MS - MADE_MS - 60, ENDED_MS - BEGAN_MS, 0);
}
END_TEST

START_TEST(a_call_that_runs_again_waits_from_when_it_is_due)
{
    part->minus_mono_ms = 5000;
    call->retries = 1;
    call->due_ms = 5000 + 970;
    check_counts(true, BEGAN_MS - 970, ENDED_MS - BEGAN_MS, 0);
}
END_TEST

START_TEST(a_call_that_runs_again_at_once_waits_from_its_making)
{
    call->retries = 1;
    check_counts(false, BEGAN_MS - MADE_MS, ENDED_MS - BEGAN_MS, 0);
}
END_TEST

START_TEST(a_failed_run_counts_once)
{
    asq__measure_end(&run, ASQ_EARGS);
    ck_assert_uint_eq(atomic_load(&series.failures[-ASQ_EARGS]), 1);
    check_counts(true, BEGAN_MS - MADE_MS, ENDED_MS - BEGAN_MS, 0);
    ck_assert_uint_eq(atomic_load(&series.failures[-ASQ_EARGS]), 1);
}
END_TEST

START_TEST(a_failed_run_that_has_parked_counts_once)
{
    run.times.parked_ns = 2 * MS;
    asq__measure_end(&run, ASQ_EARGS);
    check_counts(true, BEGAN_MS - MADE_MS, ENDED_MS - BEGAN_MS - 2, 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("measure");
    TCase *t = tcase_create("measure");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_run_counts_with_its_commit);
    tcase_add_test(t, a_parked_run_has_not_run_meanwhile);
    tcase_add_test(t, a_delayed_call_waits_from_when_it_is_due);
    tcase_add_test(t, a_call_that_runs_again_waits_from_when_it_is_due);
    tcase_add_test(t, a_call_that_runs_again_at_once_waits_from_its_making);
    tcase_add_test(t, a_failed_run_counts_once);
    tcase_add_test(t, a_failed_run_that_has_parked_counts_once);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
