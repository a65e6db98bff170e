/*
 * check_allowance.c: a share of a thread's time: bursts are let through, a flood is not, and what
 * was used is paid back.
 */
#include "worker/core/allowance.h"
#include "support/suite.h"

#include <check.h>

enum { MS = 1000000 };

static const int64_t start = (int64_t) 1000 * 1000 * MS;

/* Uses pieces of `used_ns`, one each `every_ns`; returns how many of `n` were refused. */
static int ask(struct asq__allowance *a, int64_t from, int n, int64_t every_ns, int64_t used_ns)
{
    int refused = 0;

    for (int i = 0; i < n; i++) {
        int64_t now = from + i * every_ns;

        if (asq__allowance_left(a, now))
            asq__allowance_use(a, now, used_ns);
        else
            refused++;
    }
    return refused;
}

/* A probe of a long cycle makes many steps, and is lost with one that is refused. */
START_TEST(of_pieces_that_come_together_none_is_refused)
{
    struct asq__allowance a = { 0 };

    ck_assert_int_eq(ask(&a, start, 500, 0, MS / 5), 0);
}
END_TEST

START_TEST(a_steady_use_below_the_share_is_never_refused)
{
    struct asq__allowance a = { 0 };

    ck_assert_int_eq(ask(&a, start, 100000, 10 * MS, MS), 0);
}
END_TEST

START_TEST(a_flood_gets_the_share_and_the_burst)
{
    struct asq__allowance a = { 0 };
    int n = 60000;
    int taken = n - ask(&a, start, n, MS, MS);

    ck_assert_int_ge(taken, n / ASQ__ALLOWANCE_SHARE);
    ck_assert_int_le(taken, n / ASQ__ALLOWANCE_SHARE + ASQ__ALLOWANCE_BURST_MS + 1);
}
END_TEST

START_TEST(a_piece_that_takes_long_is_paid_back_before_the_next)
{
    struct asq__allowance a = { 0 };

    asq__allowance_use(&a, start, (int64_t) 1000 * MS);
    ck_assert(!asq__allowance_left(&a, start + (int64_t) 3999 * MS));
    ck_assert(asq__allowance_left(&a, start + (int64_t) 4001 * MS));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("allowance");
    TCase *t = tcase_create("allowance");

    tcase_add_test(t, of_pieces_that_come_together_none_is_refused);
    tcase_add_test(t, a_steady_use_below_the_share_is_never_refused);
    tcase_add_test(t, a_flood_gets_the_share_and_the_burst);
    tcase_add_test(t, a_piece_that_takes_long_is_paid_back_before_the_next);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
