/*
 * check_partition.c: the states of a partition, and the work that a lost partition leaves to the
 * end of the iteration.
 */
#include "support/aborts.h"
#include "support/suite.h"

#include <stdbool.h>
#include <stdlib.h>

#include "value/list.h"
#include "worker/partition.h"
#include "worker/process.h"

enum { STATES = ASQ__PART_FENCED + 1 };

static const bool in_picture[STATES][STATES] = {
    [ASQ__PART_IDLE] = { [ASQ__PART_CLAIMING] = true },
    [ASQ__PART_CLAIMING] = { [ASQ__PART_IDLE] = true, [ASQ__PART_ACTIVE] = true },
    [ASQ__PART_ACTIVE] = { [ASQ__PART_DRAINING] = true, [ASQ__PART_FENCED] = true },
    [ASQ__PART_DRAINING] = { [ASQ__PART_ACTIVE] = true,
                             [ASQ__PART_RELEASING] = true,
                             [ASQ__PART_FENCED] = true },
    [ASQ__PART_RELEASING] = { [ASQ__PART_DRAINING] = true,
                              [ASQ__PART_IDLE] = true,
                              [ASQ__PART_FENCED] = true },
    [ASQ__PART_FENCED] = { [ASQ__PART_IDLE] = true },
};

static struct asq__process process;
static struct asq__partition part;

static void set_up(enum asq__part_state state)
{
    process = (struct asq__process){ .nparts = 1 };
    part = (struct asq__partition){ .w = &process, .state = state };
    asq__list_init(&process.fenced);
    asq__list_init(&process.drained);
    asq__list_init(&part.fenced);
    asq__list_init(&part.drained);
    process.nowned = asq__partition_is_owned(&part);
    process.nidle = state == ASQ__PART_IDLE;
    process.config.log_level = ASQ_LOG_ERROR;
}

static void enter(void *arg)
{
    asq__partition_enter(&part, *(const enum asq__part_state *) arg);
}

START_TEST(a_step_that_is_not_in_the_picture_ends_the_process)
{
    if (!SUP_ASSERTS)
        return;
    for (int from = 0; from < STATES; from++)
        for (int to = 0; to < STATES; to++) {
            enum asq__part_state state = (enum asq__part_state) to;
            set_up((enum asq__part_state) from);
            ck_assert_msg(sup_aborts(enter, &state) == !in_picture[from][to],
                          "step from state %d to %d", from, to);
        }
}
END_TEST

START_TEST(owned_and_idle_partitions_are_counted)
{
    set_up(ASQ__PART_IDLE);
    static const struct {
        enum asq__part_state state;
        unsigned owned, idle;
    } steps[] = { { ASQ__PART_CLAIMING, 0, 0 }, { ASQ__PART_ACTIVE, 1, 0 },
                  { ASQ__PART_DRAINING, 1, 0 }, { ASQ__PART_ACTIVE, 1, 0 },
                  { ASQ__PART_FENCED, 0, 0 },   { ASQ__PART_IDLE, 0, 1 } };
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        asq__partition_enter(&part, steps[i].state);
        ck_assert_uint_eq(process.nowned, steps[i].owned);
        ck_assert_uint_eq(process.nidle, steps[i].idle);
    }
}
END_TEST

START_TEST(an_abandoned_partition_is_not_owned_and_waits_to_be_dropped)
{
    static const enum asq__part_state held[] = { ASQ__PART_ACTIVE, ASQ__PART_DRAINING,
                                                 ASQ__PART_RELEASING };
    for (size_t i = 0; i < sizeof held / sizeof held[0]; i++) {
        set_up(held[i]);
        asq__partition_abandon(&part, "a test");
        ck_assert(!asq__partition_is_owned(&part));
        ck_assert_uint_eq(process.nowned, 0);
        asq__partition_abandon(&part,
                               "another test"); /* found once more before the iteration ends */
        ck_assert_ptr_eq(asq__list_pop(&process.fenced), &part.fenced);
        ck_assert(asq__list_empty(&process.fenced));
    }
}
END_TEST

START_TEST(a_partition_that_is_not_held_cannot_be_abandoned)
{
    static const enum asq__part_state others[] = { ASQ__PART_IDLE, ASQ__PART_CLAIMING };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        set_up(others[i]);
        asq__partition_abandon(&part, "a test");
        ck_assert_int_eq(part.state, others[i]);
        ck_assert(asq__list_empty(&process.fenced));
    }
}
END_TEST

START_TEST(only_a_draining_partition_is_looked_at_for_its_release)
{
    for (int state = 0; state < STATES; state++) {
        set_up((enum asq__part_state) state);
        asq__partition_release_if_empty(&part);
        asq__partition_release_if_empty(&part);
        ck_assert_int_eq(!asq__list_empty(&process.drained), state == ASQ__PART_DRAINING);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("partition");
    TCase *t = tcase_create("states");
    tcase_add_test(t, a_step_that_is_not_in_the_picture_ends_the_process);
    tcase_add_test(t, owned_and_idle_partitions_are_counted);
    tcase_add_test(t, an_abandoned_partition_is_not_owned_and_waits_to_be_dropped);
    tcase_add_test(t, a_partition_that_is_not_held_cannot_be_abandoned);
    tcase_add_test(t, only_a_draining_partition_is_looked_at_for_its_release);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
