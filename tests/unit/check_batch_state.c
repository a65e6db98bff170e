/*
 * check_batch_state.c: a batch of the client takes the steps in the picture of batch.h, and no
 * others. The picture is repeated here as a list.
 */
#include "support/aborts.h"
#include "support/suite.h"

#include <string.h>

#include "client/batch_state.h"

enum { STATES = ASQ__BATCH_ENDED + 1 };

static const struct {
    enum asq__batch_state from, to;
} steps[] = {
    { ASQ__BATCH_NEW, ASQ__BATCH_OPEN },
    { ASQ__BATCH_NEW, ASQ__BATCH_FOREIGN },
    /* its method runs again here; memory is short for that */
    { ASQ__BATCH_FOREIGN, ASQ__BATCH_OPEN },
    { ASQ__BATCH_OPEN, ASQ__BATCH_FOREIGN },
    { ASQ__BATCH_OPEN, ASQ__BATCH_READY },
    { ASQ__BATCH_READY, ASQ__BATCH_SENT },
    { ASQ__BATCH_READY, ASQ__BATCH_ACCEPTED }, /* a connection was lost, and Redis has it */
    { ASQ__BATCH_SENT, ASQ__BATCH_ACCEPTED },
    { ASQ__BATCH_SENT, ASQ__BATCH_REFUSED },
    { ASQ__BATCH_SENT, ASQ__BATCH_READY },
    { ASQ__BATCH_REFUSED, ASQ__BATCH_READY },
    { ASQ__BATCH_ACCEPTED, ASQ__BATCH_READY },
    /* results for a batch that is READY, which came before a connection was lost */
    { ASQ__BATCH_READY, ASQ__BATCH_PINNED },
    { ASQ__BATCH_SENT, ASQ__BATCH_PINNED },
    { ASQ__BATCH_REFUSED, ASQ__BATCH_PINNED },
    { ASQ__BATCH_ACCEPTED, ASQ__BATCH_PINNED },
    /* the end, from every state */
    { ASQ__BATCH_OPEN, ASQ__BATCH_ENDED },
    { ASQ__BATCH_READY, ASQ__BATCH_ENDED },
    { ASQ__BATCH_SENT, ASQ__BATCH_ENDED },
    { ASQ__BATCH_REFUSED, ASQ__BATCH_ENDED },
    { ASQ__BATCH_ACCEPTED, ASQ__BATCH_ENDED },
    { ASQ__BATCH_FOREIGN, ASQ__BATCH_ENDED },
    { ASQ__BATCH_PINNED, ASQ__BATCH_ENDED },
};

static bool is_step(enum asq__batch_state from, enum asq__batch_state to)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
        if (steps[i].from == from && steps[i].to == to)
            return true;
    return false;
}

static bool is_unfinished(enum asq__batch_state s)
{
    return s != ASQ__BATCH_NEW && s != ASQ__BATCH_PINNED && s != ASQ__BATCH_ENDED;
}

static bool is_unaccepted(enum asq__batch_state s)
{
    return s == ASQ__BATCH_READY || s == ASQ__BATCH_SENT || s == ASQ__BATCH_REFUSED;
}

/* The engine of the tests counts its batch, and three others. */
enum { OTHERS = 3 };
static struct asq__engine e;
static struct asq__batch b;

static void put_into(enum asq__batch_state state)
{
    memset(&e, 0, sizeof e);
    memset(&b, 0, sizeof b);
    b.engine = &e;
    b.state = state;
    e.unfinished = OTHERS + is_unfinished(state);
    e.unaccepted = OTHERS + is_unaccepted(state);
}

static void enter(void *arg)
{
    asq__batch_enter(&b, *(const enum asq__batch_state *) arg);
}

START_TEST(a_step_of_the_picture_is_taken_and_counted)
{
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        put_into(steps[i].from);
        asq__batch_enter(&b, steps[i].to);
        ck_assert_int_eq(b.state, steps[i].to);
        ck_assert_uint_eq(e.unfinished, OTHERS + is_unfinished(steps[i].to));
        ck_assert_uint_eq(e.unaccepted, OTHERS + is_unaccepted(steps[i].to));
    }
}
END_TEST

START_TEST(every_other_step_is_caught)
{
    if (!SUP_ASSERTS)
        return;
    for (int from = 0; from < STATES; from++)
        for (int to = 0; to < STATES; to++) {
            enum asq__batch_state state = (enum asq__batch_state) to;
            put_into((enum asq__batch_state) from);
            ck_assert_msg(sup_aborts(enter, &state) == !is_step(from, to), "from %d to %d", from,
                          to);
        }
    for (int from = 0; from < STATES; from++) { /* impossible states */
        enum asq__batch_state none = (enum asq__batch_state) STATES;
        put_into((enum asq__batch_state) from);
        ck_assert_msg(sup_aborts(enter, &none), "from %d", from);
        put_into(none);
        ck_assert_msg(sup_aborts(enter, &(enum asq__batch_state){ from }), "to %d", from);
    }
}
END_TEST

START_TEST(how_far_a_batch_has_come_outlives_its_connection)
{
    put_into(ASQ__BATCH_OPEN);
    asq__batch_enter(&b, ASQ__BATCH_READY);
    ck_assert_int_eq(b.history, ASQ__NEVER_SENT);
    asq__batch_enter(&b, ASQ__BATCH_SENT);
    ck_assert_int_eq(b.history, ASQ__WAS_SENT);
    asq__batch_enter(&b, ASQ__BATCH_READY);
    ck_assert_int_eq(b.history, ASQ__WAS_SENT);
    asq__batch_enter(&b, ASQ__BATCH_ACCEPTED);
    asq__batch_enter(&b, ASQ__BATCH_READY);
    asq__batch_enter(&b, ASQ__BATCH_SENT);
    ck_assert_int_eq(b.history, ASQ__WAS_ACCEPTED);
}
END_TEST

/* ---- lists and counts ---- */

static void check(void *arg)
{
    asq__engine_check(arg);
}

/* Makes an engine with one batch in its list. */
static void put_in_list(enum asq__batch_state state, struct asq__list *list)
{
    put_into(state);
    asq__list_init(&e.ready);
    asq__list_init(&e.blocked);
    asq__list_init(&e.sent);
    asq__list_init(&e.foreign);
    asq__list_init(&b.order);
    asq__list_add(list, &b.order);
    e.unfinished -= OTHERS;
    e.unaccepted -= OTHERS;
    e.batches.count = 1;
}

START_TEST(an_engine_whose_lists_and_counts_agree_passes)
{
    put_in_list(ASQ__BATCH_READY, &e.ready);
    asq__engine_check(&e);
    put_in_list(ASQ__BATCH_READY, &e.blocked);
    asq__engine_check(&e);
    put_in_list(ASQ__BATCH_SENT, &e.sent);
    asq__engine_check(&e);
    put_in_list(ASQ__BATCH_REFUSED, &e.sent);
    asq__engine_check(&e);
    put_in_list(ASQ__BATCH_ACCEPTED, &e.sent);
    asq__engine_check(&e);
    put_in_list(ASQ__BATCH_FOREIGN, &e.foreign);
    asq__engine_check(&e);
}
END_TEST

START_TEST(an_engine_whose_lists_and_counts_differ_is_caught)
{
    if (!SUP_ASSERTS)
        return;
    put_in_list(ASQ__BATCH_SENT, &e.ready); /* in the list of another state */
    ck_assert(sup_aborts(check, &e));
    put_in_list(ASQ__BATCH_SENT, &e.blocked);
    ck_assert(sup_aborts(check, &e));
    put_in_list(ASQ__BATCH_READY, &e.ready);
    e.unaccepted++;
    ck_assert(sup_aborts(check, &e));
    put_in_list(ASQ__BATCH_ACCEPTED, &e.sent);
    e.unfinished--;
    ck_assert(sup_aborts(check, &e));
    put_in_list(ASQ__BATCH_ACCEPTED, &e.sent);
    e.opened++;
    ck_assert(sup_aborts(check, &e));
    put_in_list(ASQ__BATCH_SENT, &e.sent);
    b.unfinished = 1; /* of no calls */
    ck_assert(sup_aborts(check, &e));
    put_in_list(ASQ__BATCH_SENT, &e.sent);
    b.number = 1; /* the counter is at 0 */
    ck_assert(sup_aborts(check, &e));
}
END_TEST

static void answered(void *arg)
{
    asq__batch_answered(arg);
}

START_TEST(an_answer_too_many_is_caught)
{
    if (!SUP_ASSERTS)
        return;
    put_into(ASQ__BATCH_SENT);
    ck_assert(sup_aborts(answered, &b));
    b.answers = 1;
    asq__batch_answered(&b);
    ck_assert_uint_eq(b.answers, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("batch_state");
    TCase *t = tcase_create("steps");
    suite_add_tcase(s, t);
    tcase_add_test(t, a_step_of_the_picture_is_taken_and_counted);
    tcase_add_test(t, every_other_step_is_caught);
    tcase_add_test(t, how_far_a_batch_has_come_outlives_its_connection);
    t = tcase_create("counts");
    suite_add_tcase(s, t);
    tcase_add_test(t, an_engine_whose_lists_and_counts_agree_passes);
    tcase_add_test(t, an_engine_whose_lists_and_counts_differ_is_caught);
    tcase_add_test(t, an_answer_too_many_is_caught);
    return sup_suite_run(s);
}
