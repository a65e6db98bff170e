/*
 * check_mailbox.c: the rule that decides which call of an agent runs next, and what a waiting call
 * waits for, compared with a small model (mailbox_model.h). Random episodes of arrivals, starts,
 * waits, re-entries, failures, cancels and hand-overs run on a few agents (mailbox_world.h); after
 * each step the next call must be the one that the model names. The rules that hold for all users
 * are also checked by themselves: one call at a time, order of each caller, re-entry only for calls
 * that are waited for. At the end of an episode every call that can end does. If calls are left,
 * they are a deadlock, and exactly then the waits must contain a cycle.
 *
 * ASQ_TEST_SEED sets the seed of the first episode (a number, or "random"), ASQ_TEST_STEPS how many
 * steps are made.
 */
#include "mailbox_world.h"
#include "support/random_steps.h"
#include "support/suite.h"
#include "worker/core/blockers.h"
#include "worker/core/mailbox.h"
#include "worker/core/waits.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STEPS = 120, /* of an episode, at most */
    TARGET_STEPS = 1000000
};

/* ---- deadlocks ---- */

struct seen {
    struct asq__waits *waits;
    uint32_t targets[ASQ__BLOCKERS_MAX + CALLS];
    size_t n;
};

static void see(void *user, const struct asq__wcall *c)
{
    struct seen *s = user;
    s->targets[s->n++] = asq__waits_place(s->waits, call_of(c)->text);
}

static void view(struct asq__waits *waits, const struct call *c)
{
    struct agent *a = &agents[c->agent];
    struct seen s = { .waits = waits, .n = 0 };
    struct asq__blockers b = { .add = see, .user = &s };
    const struct asq__wcall *w = wcall(c);
    uint32_t at = asq__waits_place(waits, c->text);
    bool any = false, queued = w->state == ASQ__CALL_WAITING || w->state == ASQ__CALL_INPUTS;
    if (!asq__mailbox_is_moving(&a->m, false)) {
        if (w->state == ASQ__CALL_RESUMABLE) {
            asq__blockers_of_resumable(&a->m, w, &b);
        } else if (w->state == ASQ__CALL_PARKED && c->wait != TIME) {
            for (unsigned i = 0; i < c->n_children; i++)
                if (!c->children[i]->finished)
                    see(&s, wcall(c->children[i]));
            any = c->wait == ANY_OF_THEM;
        } else if (queued) {
            if (w->state == ASQ__CALL_INPUTS && waits_for_inputs(c)) {
                see(&s, wcall(c->inputs));
                b.n = 1;
            }
            asq__blockers_of_queued(&a->m, &hooks, w, &b);
            any = b.any;
        }
    }
    asq__waits_know(waits, at, a->id, s.targets, s.n, any);
    waits->calls[at]->queued = queued;
}

/* Returns a call of a cycle that has not begun; NULL: there is no cycle. */
static struct call *find_deadlock(void)
{
    struct call *found = NULL;
    for (int i = 0; i < AGENTS && !found; i++) {
        struct asq__waits waits;
        ck_assert_int_eq(asq__waits_init(&waits), 0);
        for (unsigned k = 0; k < n_calls; k++)
            if (!calls[k].finished)
                view(&waits, &calls[k]);
        if (asq__waits_cycle(&waits, agents[i].id) > 0)
            for (unsigned k = 0; k < n_calls; k++)
                if (strcmp(calls[k].text, waits.calls[0]->call) == 0)
                    found = &calls[k];
        asq__waits_release(&waits);
    }
    return found;
}

/* Ends every call that can end. */
static void drain(void)
{
    for (int quiet = 0; quiet < 40;) {
        bool moved = false;
        for (int i = 0; i < AGENTS; i++)
            agents[i].admits = !(agents[i].paused = false);
        pass_time();
        for (unsigned i = 0; i < n_calls; i++)
            if (runs(&calls[i])) {
                end(&calls[i]);
                moved = true;
            }
        wake_parents();
        for (int i = 0; i < AGENTS; i++)
            resume(&agents[i]);
        quiet = moved ? 0 : quiet + 1;
    }
}

static unsigned count_left(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < n_calls; i++)
        n += !calls[i].finished;
    return n;
}

static void check_deadlocks(unsigned *deadlocks)
{
    for (unsigned i = 0; i < n_calls; i++)
        calls[i].unfit = false; /* a passed deadline ends a deadlock, too */
    wake_parents();
    const struct call *early = find_deadlock();
    drain();
    ck_assert_msg(!early || !early->finished, "seed %llu: %s was in a cycle, and has ended",
                  (unsigned long long) seed, early ? early->text : "");
    /* Failing one call of each cycle lets all others end. */
    while (count_left()) {
        struct call *c = find_deadlock();
        ck_assert_msg(c != NULL, "seed %llu: %u calls wait for ever, and no cycle is found",
                      (unsigned long long) seed, count_left());
        ck_assert_msg(!c->started, "seed %llu: %s is to be failed, but has begun",
                      (unsigned long long) seed, c->text);
        ++*deadlocks;
        asq__mailbox_remove(wcall(c));
        asq__wcall_enter(wcall(c), ASQ__CALL_FINISHED);
        leave_queue(c);
        c->finished = true;
        wake_parents();
        for (int i = 0; i < AGENTS; i++)
            resume(&agents[i]);
        drain();
    }
}

/* ---- episodes ---- */

static void end_episode(void)
{
    for (int i = 0; i < AGENTS; i++) {
        ck_assert(!agents[i].m.turn && !agents[i].m.n_active && !agents[i].m.n_sharing);
        ck_assert(!asq__mailbox_has_queued(&agents[i].m));
    }
    for (unsigned i = 0; i < n_calls; i++)
        free(calls[i].entry);
}

START_TEST(the_next_call_is_the_one_that_the_rules_name_and_deadlocks_are_found_exactly)
{
    uint64_t steps = 0, first = steps_seed(), most = steps_from("ASQ_TEST_STEPS", TARGET_STEPS);
    unsigned deadlocks = 0, handled = 0;
    for (seed = first; steps < most; seed++) {
        begin_episode();
        for (unsigned n = 1 + below(STEPS); n > 0; n--, steps++)
            step();
        handled += n_calls;
        check_deadlocks(&deadlocks);
        end_episode();
    }
    printf("# seeds %llu to %llu: %llu steps, %u calls, %u deadlocks\n", (unsigned long long) first,
           (unsigned long long) seed - 1, (unsigned long long) steps, handled, deadlocks);
    ck_assert_uint_gt(handled, steps / 20);
    ck_assert_uint_gt(deadlocks, steps / 10000);
}
END_TEST

START_TEST(a_queued_call_enters_when_its_caller_runs_by_now)
{
    seed = 1;
    begin_episode();
    world.agents = 1;
    world.inputs = world.concurrent = 0;
    struct call *parent = make(NULL), *child = make(parent), *other = make(NULL);
    parent->unfit = child->unfit = other->unfit = false;
    wcall(parent)->not_before_ms = wcall(child)->not_before_ms = 0;
    enqueue(child); /* by an earlier run of its caller */
    enqueue(parent);
    start(&agents[0], parent);
    ck_assert(!asq__mailbox_promote(&agents[0].m, wcall(other)));
    ck_assert(!wcall(child)->reentrant);
    ck_assert(asq__mailbox_promote(&agents[0].m, wcall(child)));
    ck_assert(wcall(child)->reentrant);
    ck_assert(!asq__mailbox_promote(&agents[0].m, wcall(child)));
    for (unsigned i = 0; i < n_calls; i++)
        free(calls[i].entry);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("mailbox");
    tcase_add_test(tc,
                   the_next_call_is_the_one_that_the_rules_name_and_deadlocks_are_found_exactly);
    tcase_add_test(tc, a_queued_call_enters_when_its_caller_runs_by_now);
    tcase_set_timeout(tc, 600);
    Suite *s = suite_create("mailbox");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
