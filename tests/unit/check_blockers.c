/*
 * check_blockers.c: what a waiting call waits for, in the situations that the random episodes of
 * check_mailbox.c seldom make.
 */
#include "mailbox_world.h"
#include "support/suite.h"
#include "worker/core/blockers.h"
#include "worker/core/mailbox.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct agent *const agent = &agents[0];
static const struct asq__wcall *found[ASQ__BLOCKERS_MAX];

static void note(void *user, const struct asq__wcall *c)
{
    size_t *n = user;
    found[(*n)++] = c;
}

static void set_up(void)
{
    seed = 1;
    begin_episode();
    world = (struct world){ .agents = 1, .programs = 1 };
    agent->exists = true;
}

static void tear_down(void)
{
    for (unsigned i = 0; i < n_calls; i++)
        free(calls[i].entry);
}

/* Makes a call of a program of its own, or of a parent. */
static struct call *make_plain(struct call *parent)
{
    struct call *c = make(parent);
    if (!parent)
        snprintf(c->reply, sizeof c->reply, "p%u", n_calls);
    c->unfit = false;
    c->job.kind = ASQUEUE__JOB_KIND__CALL;
    wcall(c)->not_before_ms = 0;
    return c;
}

static bool any; /* of the last search */

static size_t count_blockers(const struct call *c)
{
    size_t n = 0;
    struct asq__blockers b = { .add = note, .user = &n };
    if (wcall(c)->state == ASQ__CALL_RESUMABLE)
        asq__blockers_of_resumable(&agent->m, wcall(c), &b);
    else
        asq__blockers_of_queued(&agent->m, &hooks, wcall(c), &b);
    any = b.any;
    return n;
}

START_TEST(behind_as_many_skipped_calls_as_may_be_one_of_them_has_to_end)
{
    struct call *source = make_plain(NULL), *skipped[ASQ__SKIPPED_MAX], *c;
    for (int i = 0; i < ASQ__SKIPPED_MAX; i++) {
        skipped[i] = make_plain(NULL);
        skipped[i]->inputs = source;
        enqueue(skipped[i]);
    }
    resume(agent);
    enqueue(c = make_plain(NULL));
    resume(agent);
    ck_assert(!c->started);
    ck_assert_uint_eq(count_blockers(c), ASQ__SKIPPED_MAX);
    ck_assert(any);
    for (int i = 0; i < ASQ__SKIPPED_MAX; i++)
        ck_assert_ptr_eq(found[i], wcall(skipped[i]));
}
END_TEST

START_TEST(a_call_that_may_run_blocks_none_behind_it)
{
    struct call *first = make_plain(NULL), *second = make_plain(NULL);
    snprintf(second->reply, sizeof second->reply, "%s", first->reply);
    agent->admits = false;
    enqueue(first);
    enqueue(second);
    resume(agent);
    ck_assert(!first->started);
    ck_assert_uint_eq(count_blockers(second), 0);
}
END_TEST

START_TEST(a_call_waits_for_its_queued_caller)
{
    struct call *source = make_plain(NULL), *caller = make_plain(NULL), *called;
    caller->inputs = source;
    enqueue(caller);
    resume(agent);
    enqueue(called = make_plain(caller)); /* by an earlier run of the caller */
    ck_assert_uint_eq(count_blockers(called), 1);
    ck_assert_ptr_eq(found[0], wcall(caller));
    struct call *active = make_plain(NULL);
    enqueue(active);
    resume(agent);
    ck_assert(active->started && !caller->started && !called->started);
    ck_assert_uint_eq(count_blockers(called), 1); /* it enters when its caller runs */
    ck_assert_ptr_eq(found[0], wcall(caller));
}
END_TEST

START_TEST(a_call_that_shares_resumes_under_one_that_entered_it)
{
    struct call *shared = make_plain(NULL), *inner;
    shared->concurrent = true;
    enqueue(shared);
    resume(agent);
    ck_assert(wcall(shared)->shared);
    asq__mailbox_park(&agent->m, wcall(shared));
    enqueue(inner = make_plain(shared));
    resume(agent);
    ck_assert(inner->started);
    asq__mailbox_park(&agent->m, wcall(inner));
    asq__mailbox_unpark(&agent->m,
                        wcall(shared)); /* one of several for which it waited has ended */
    ck_assert_int_eq(wcall(shared)->state, ASQ__CALL_RESUMABLE);
    ck_assert_uint_eq(count_blockers(shared), 0);
}
END_TEST

START_TEST(a_call_that_shares_waits_behind_one_that_does_not)
{
    struct call *active = make_plain(NULL), *alone = make_plain(NULL), *c = make_plain(NULL);
    active->concurrent = c->concurrent = true;
    enqueue(active);
    resume(agent);
    enqueue(alone);
    enqueue(c);
    resume(agent);
    ck_assert(active->started && !alone->started && !c->started);
    ck_assert_uint_eq(count_blockers(c), 2);
    ck_assert_ptr_eq(found[0], wcall(alone));
    ck_assert_ptr_eq(found[1], wcall(active));
    ck_assert(any);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("blockers");
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, behind_as_many_skipped_calls_as_may_be_one_of_them_has_to_end);
    tcase_add_test(tc, a_call_that_may_run_blocks_none_behind_it);
    tcase_add_test(tc, a_call_waits_for_its_queued_caller);
    tcase_add_test(tc, a_call_that_shares_resumes_under_one_that_entered_it);
    tcase_add_test(tc, a_call_that_shares_waits_behind_one_that_does_not);
    Suite *s = suite_create("blockers");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
