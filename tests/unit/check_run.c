/*
 * check_run.c: the stages of a run.
 */
#include "support/aborts.h"
#include "support/suite.h"

#include <stdbool.h>
#include <stddef.h>

#include "worker/exec/exec.h"
#include "worker/exec/run.h"

enum { STAGES = ASQ__RUN_RETURNED + 1 };

static const bool in_picture[STAGES][STAGES] = {
    [ASQ__RUN_NEW] = { [ASQ__RUN_INLINE] = true, [ASQ__RUN_STARTED] = true },
    [ASQ__RUN_INLINE] = { [ASQ__RUN_THROUGH] = true, [ASQ__RUN_STARTED] = true },
    [ASQ__RUN_THROUGH] = { [ASQ__RUN_RETURNED] = true },
    [ASQ__RUN_STARTED] = { [ASQ__RUN_RETURNED] = true },
};

struct step {
    int from, to;
};

static void enter(void *arg)
{
    const struct step *step = arg;
    struct asq__run run = { .stage = (enum asq__run_stage) step->from };
    asq__run_enter(&run, (enum asq__run_stage) step->to);
}

static void free_run(void *arg)
{
    asq__run_free(arg);
}

START_TEST(a_step_that_is_not_in_the_picture_ends_the_process)
{
    if (!SUP_ASSERTS)
        return;
    for (int from = 0; from < STAGES; from++)
        for (int to = 0; to < STAGES; to++)
            ck_assert_msg(sup_aborts(enter, &(struct step){ from, to }) == !in_picture[from][to],
                          "step from stage %d to %d", from, to);
}
END_TEST

START_TEST(a_run_whose_batches_are_undecided_is_not_freed)
{
    struct asq__run run = { .stage = ASQ__RUN_RETURNED, .undecided = 1 };
    asq__run_free(NULL);
    if (SUP_ASSERTS)
        ck_assert(sup_aborts(free_run, &run));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("run");
    TCase *t = tcase_create("stages");
    tcase_add_test(t, a_step_that_is_not_in_the_picture_ends_the_process);
    tcase_add_test(t, a_run_whose_batches_are_undecided_is_not_freed);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
