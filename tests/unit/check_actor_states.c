/*
 * check_actor_states.c: the states of an agent in memory, and of the knowledge about its snapshot.
 * A step that is not in the picture ends the process, before an agent with calls is freed.
 */
#include "support/aborts.h"
#include "support/suite.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"

#include <check.h>
#include <stdlib.h>

static const struct asq__actors_limits limits = {
    .bytes = 1000, .idle_ms = 1000, .gone_ms = 1000, .awake = 5, .awake_ms = 1000, .moment_ms = 10
};
static struct asq__actors actors;
static struct asq__actor_set set;

static bool fall_asleep(struct asq__actor *a)
{
    return !asq__actor_is_loaded(a);
}

static bool is_saved(const struct asq__actor *a)
{
    (void) a;
    return true;
}

static void evict(struct asq__actor *a)
{
    asq__actors_remove(&actors, &set, a);
}

static const struct asq__actors_hooks hooks = { fall_asleep, is_saved, evict };

enum { WAKE, REST, ORPHAN, REMOVE, LOAD, LOADED, OPERATIONS };
enum { STATES = ASQ__ACTOR_REMOVED + 1 };

struct attempt {
    struct asq__actor *actor;
    int operation;
};

static void attempt(void *arg)
{
    const struct attempt *t = arg;
    struct asq__actor *a = t->actor;
    switch (t->operation) {
    case WAKE: asq__actors_activate(&actors, &set, a); break;
    case REST: asq__actors_passivate(&actors, a, true, 1000); break;
    case ORPHAN: asq__actors_orphan(&actors, &set, a); break;
    case REMOVE: asq__actors_remove(&actors, &set, a); break;
    case LOAD: asq__actor_enter_snapshot(a, ASQ__SNAPSHOT_LOADING); break;
    default: asq__actor_enter_snapshot(a, ASQ__SNAPSHOT_LOADED); break;
    }
}

static void bring_into(struct asq__actor *a, enum asq__actor_state state)
{
    if (state == ASQ__ACTOR_ASLEEP)
        return;
    ck_assert(asq__actors_activate(&actors, &set, a));
    if (state == ASQ__ACTOR_AWAKE)
        asq__actors_passivate(&actors, a, true, 1000);
    if (state == ASQ__ACTOR_GONE) {
        asq__actor_enter_snapshot(a, ASQ__SNAPSHOT_LOADING);
        asq__actor_enter_snapshot(a, ASQ__SNAPSHOT_LOADED);
        asq__actors_passivate(&actors, a, false, 1000);
    }
    if (state == ASQ__ACTOR_ORPHAN || state == ASQ__ACTOR_REMOVED)
        ck_assert(asq__actors_orphan(&actors, &set, a));
    if (state == ASQ__ACTOR_REMOVED)
        asq__actors_remove(&actors, &set, a);
}

START_TEST(a_step_of_an_agent_that_is_not_in_the_picture_aborts)
{
    /* A row for each state has the operations that the state allows. A passive agent has no calls,
     * so it cannot be passivated again. */
    static const bool allowed[STATES][OPERATIONS] = {
        [ASQ__ACTOR_ASLEEP] = { [WAKE] = true, [ORPHAN] = true, [REMOVE] = true },
        [ASQ__ACTOR_BUSY] = { [WAKE] = true, [REST] = true, [ORPHAN] = true, [LOAD] = true },
        [ASQ__ACTOR_AWAKE] = { [WAKE] = true, [REST] = true, [ORPHAN] = true, [REMOVE] = true },
        [ASQ__ACTOR_GONE] = { [WAKE] = true, [ORPHAN] = true, [REMOVE] = true },
        [ASQ__ACTOR_ORPHAN] = { [REMOVE] = true },
        [ASQ__ACTOR_REMOVED] = { false },
    };
    enum asq__actor_state state = (enum asq__actor_state)(_i / OPERATIONS);
    int operation = _i % OPERATIONS;
    bool has_calls =
        state == ASQ__ACTOR_BUSY || state == ASQ__ACTOR_AWAKE || state == ASQ__ACTOR_ORPHAN;
    if ((!allowed[state][operation] && !SUP_ASSERTS) || (operation == REST && !has_calls))
        return;
    struct asq__actor *a = calloc(1, sizeof *a);
    ck_assert_ptr_nonnull(a);
    a->id = "a";
    a->id_n = 1;
    asq__actors_init(&actors, &limits, &hooks);
    ck_assert_int_eq(asq__actor_set_init(&set), 0);
    asq__actors_add(&actors, &set, a);
    bring_into(a, state);
    ck_assert_int_eq(a->state, state);
    struct attempt t = { a, operation };
    ck_assert_msg(sup_aborts(attempt, &t) == !allowed[state][operation], "state %d, operation %d",
                  state, operation);
    if (state < ASQ__ACTOR_ORPHAN)
        ck_assert(asq__actors_orphan(&actors, &set, a));
    if (state < ASQ__ACTOR_REMOVED)
        asq__actors_remove(&actors, &set, a);
    ck_assert_uint_eq(atomic_load(&actors.n), 0);
    asq__actor_set_release(&set);
    free(a);
}
END_TEST

START_TEST(an_agent_with_a_run_does_not_rest)
{
    if (!SUP_ASSERTS)
        return;
    struct asq__actor a = { .id = "a", .id_n = 1 };
    asq__actors_init(&actors, &limits, &hooks);
    ck_assert_int_eq(asq__actor_set_init(&set), 0);
    asq__actors_add(&actors, &set, &a);
    ck_assert(asq__actors_activate(&actors, &set, &a));
    struct attempt rest = { &a, REST }, remove = { &a, REMOVE };
    a.calls->mailbox.n_active = 1;
    ck_assert(sup_aborts(attempt, &rest));
    ck_assert(sup_aborts(attempt, &remove));
    ck_assert(!asq__actors_orphan(&actors, &set, &a));
    ck_assert(sup_aborts(attempt, &remove)); /* also an orphan stays until its last run ends */
    a.calls->mailbox.n_active = 0;
    asq__actors_remove(&actors, &set, &a);
    asq__actor_set_release(&set);
}
END_TEST

int main(void)
{
    TCase *tc = tcase_create("actor_states");
    tcase_add_loop_test(tc, a_step_of_an_agent_that_is_not_in_the_picture_aborts, 0,
                        STATES * OPERATIONS);
    tcase_add_test(tc, an_agent_with_a_run_does_not_rest);
    Suite *s = suite_create("actor_states");
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
