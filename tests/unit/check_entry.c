/*
 * check_entry.c: the states of an entry and of its calls.
 */
#include "support/aborts.h"
#include "support/suite.h"

#include <stdbool.h>
#include <stddef.h>

#include "worker/core/entry.h"

enum { ENTRY_STATES = ASQ__ENTRY_DETACHED + 1, CALL_STATES = ASQ__CALL_FINISHED + 1 };

static const bool entry_picture[ENTRY_STATES][ENTRY_STATES] = {
    [ASQ__ENTRY_NEW] = { [ASQ__ENTRY_LOOKUP] = true, [ASQ__ENTRY_QUEUED] = true },
    [ASQ__ENTRY_LOOKUP] = { [ASQ__ENTRY_QUEUED] = true, [ASQ__ENTRY_DETACHED] = true },
    [ASQ__ENTRY_QUEUED] = { [ASQ__ENTRY_DISPATCHED] = true, [ASQ__ENTRY_DETACHED] = true },
    [ASQ__ENTRY_DISPATCHED] = { [ASQ__ENTRY_LEAVING] = true, [ASQ__ENTRY_DETACHED] = true },
    [ASQ__ENTRY_LEAVING] = { [ASQ__ENTRY_DETACHED] = true },
};

static const bool call_picture[CALL_STATES][CALL_STATES] = {
    [ASQ__CALL_WAITING] = { [ASQ__CALL_INPUTS] = true,
                            [ASQ__CALL_DELAYED] = true,
                            [ASQ__CALL_RUNNING] = true,
                            [ASQ__CALL_FINISHED] = true },
    [ASQ__CALL_INPUTS] = { [ASQ__CALL_WAITING] = true,
                           [ASQ__CALL_RUNNING] = true,
                           [ASQ__CALL_FINISHED] = true },
    [ASQ__CALL_DELAYED] = { [ASQ__CALL_WAITING] = true, [ASQ__CALL_FINISHED] = true },
    [ASQ__CALL_RUNNING] = { [ASQ__CALL_PARKED] = true,
                            [ASQ__CALL_DELAYED] = true,
                            [ASQ__CALL_FINISHED] = true },
    [ASQ__CALL_PARKED] = { [ASQ__CALL_RESUMABLE] = true },
    [ASQ__CALL_RESUMABLE] = { [ASQ__CALL_RUNNING] = true },
};

struct step {
    int from, to;
};

static void step_entry(void *arg)
{
    const struct step *step = arg;
    struct asq__entry e = { .state = (enum asq__entry_state) step->from };
    asq__entry_enter(&e, (enum asq__entry_state) step->to);
}

static void step_call(void *arg)
{
    const struct step *step = arg;
    struct asq__wcall c = { .state = (enum asq__wcall_state) step->from };
    asq__wcall_enter(&c, (enum asq__wcall_state) step->to);
}

START_TEST(a_step_of_an_entry_that_is_not_in_the_picture_ends_the_process)
{
    if (!SUP_ASSERTS)
        return;
    for (int from = 0; from < ENTRY_STATES; from++)
        for (int to = 0; to < ENTRY_STATES; to++)
            ck_assert_msg(sup_aborts(step_entry, &(struct step){ from, to }) ==
                              !entry_picture[from][to],
                          "step from state %d to %d", from, to);
}
END_TEST

START_TEST(a_step_of_a_call_that_is_not_in_the_picture_ends_the_process)
{
    if (!SUP_ASSERTS)
        return;
    for (int from = 0; from < CALL_STATES; from++)
        for (int to = 0; to < CALL_STATES; to++)
            ck_assert_msg(sup_aborts(step_call, &(struct step){ from, to }) ==
                              !call_picture[from][to],
                          "step from state %d to %d", from, to);
}
END_TEST

START_TEST(an_entry_is_known_until_it_is_detached)
{
    struct asq__entry e = { .state = ASQ__ENTRY_NEW };
    static const enum asq__entry_state known[] = { ASQ__ENTRY_LOOKUP, ASQ__ENTRY_QUEUED,
                                                   ASQ__ENTRY_DISPATCHED, ASQ__ENTRY_LEAVING };
    ck_assert(!asq__entry_is_known(&e));
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        asq__entry_enter(&e, known[i]);
        ck_assert_int_eq(e.state, known[i]);
        ck_assert(asq__entry_is_known(&e));
    }
    asq__entry_enter(&e, ASQ__ENTRY_DETACHED);
    ck_assert(!asq__entry_is_known(&e));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("entry");
    TCase *t = tcase_create("states");
    tcase_add_test(t, a_step_of_an_entry_that_is_not_in_the_picture_ends_the_process);
    tcase_add_test(t, a_step_of_a_call_that_is_not_in_the_picture_ends_the_process);
    tcase_add_test(t, an_entry_is_known_until_it_is_detached);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
