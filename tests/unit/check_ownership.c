/*
 * check_ownership.c: what a process does about a partition: who claims, who hands over, who gives
 * up.
 */
#include "worker/core/ownership.h"
#include "support/suite.h"

#include <check.h>

enum { LEASE_MS = 1000 };

static int64_t unowned_since_ms;

static enum asq__ownership_step decide(struct asq__ownership o, int64_t now_ms)
{
    return asq__ownership_decide(&o, now_ms, LEASE_MS, &unowned_since_ms);
}

static void set_up(void)
{
    unowned_since_ms = 0;
}

START_TEST(a_free_partition_is_claimed_where_it_is_placed)
{
    ck_assert_int_eq(decide((struct asq__ownership){ .idle = true, .ours = true }, 5000),
                     ASQ__OWNERSHIP_CLAIM);
    ck_assert_int_eq(decide((struct asq__ownership){ .idle = true }, 5000), ASQ__OWNERSHIP_CANCEL);
}
END_TEST

START_TEST(a_worker_that_lacks_classes_does_not_claim_a_partition_that_stays_free)
{
    struct asq__ownership o = { .idle = true };

    ck_assert_int_eq(decide(o, 5000), ASQ__OWNERSHIP_CANCEL);
    ck_assert_int_eq(decide(o, 5000 + 9 * LEASE_MS), ASQ__OWNERSHIP_CANCEL);
}
END_TEST

START_TEST(a_partition_of_a_pool_that_is_not_served_is_handed_back)
{
    struct asq__ownership o = {
        .owned = true, .active = true, .foreign = true, .token = ASQ__LEASE_OURS
    };

    ck_assert_int_eq(decide(o, 5000), ASQ__OWNERSHIP_DRAIN); /* though nobody takes it */
    o.active = false;
    ck_assert_int_eq(decide(o, 5000), ASQ__OWNERSHIP_LEAVE);
    o.active = true;
    o.foreign = false;
    ck_assert_int_eq(decide(o, 5000), ASQ__OWNERSHIP_LEAVE);
}
END_TEST

START_TEST(a_partition_that_stays_free_is_claimed_by_any_candidate)
{
    struct asq__ownership o = { .idle = true, .fit = true };

    ck_assert_int_eq(decide(o, 5000), ASQ__OWNERSHIP_CANCEL);
    ck_assert_int_eq(decide(o, 5000 + 2 * LEASE_MS), ASQ__OWNERSHIP_CANCEL);
    ck_assert_int_eq(decide(o, 5001 + 2 * LEASE_MS), ASQ__OWNERSHIP_CLAIM);
    o.is_held = true; /* an owner in between begins the time anew */
    ck_assert_int_eq(decide(o, 5002 + 2 * LEASE_MS), ASQ__OWNERSHIP_CANCEL);
    o.is_held = false;
    ck_assert_int_eq(decide(o, 5003 + 2 * LEASE_MS), ASQ__OWNERSHIP_CANCEL);
}
END_TEST

START_TEST(a_partition_of_a_live_owner_is_not_claimed)
{
    struct asq__ownership o = { .idle = true, .ours = true, .is_held = true };

    for (int64_t now = 1; now < 10 * LEASE_MS; now += 100)
        ck_assert_int_eq(decide(o, now), ASQ__OWNERSHIP_CANCEL);
}
END_TEST

START_TEST(an_owner_hands_over_only_to_a_member_that_has_proved_itself_alive)
{
    struct asq__ownership o = { .owned = true, .active = true, .token = ASQ__LEASE_OURS };

    ck_assert_int_eq(decide(o, 1), ASQ__OWNERSHIP_LEAVE);
    o.proven = true;
    ck_assert_int_eq(decide(o, 1), ASQ__OWNERSHIP_DRAIN);
    o.active = false; /* it drains */
    ck_assert_int_eq(decide(o, 1), ASQ__OWNERSHIP_LEAVE);
    o.active = o.ours = true;
    ck_assert_int_eq(decide(o, 1), ASQ__OWNERSHIP_LEAVE);
}
END_TEST

START_TEST(an_owner_without_its_token_gives_up)
{
    struct asq__ownership o = { .owned = true, .active = true, .ours = true };

    ck_assert_int_eq(decide(o, 1), ASQ__OWNERSHIP_LOST);
    o.token = ASQ__LEASE_ANOTHER;
    ck_assert_int_eq(decide(o, 1), ASQ__OWNERSHIP_SUPERSEDED);
}
END_TEST

START_TEST(a_claim_or_a_release_under_way_is_awaited)
{
    ck_assert_int_eq(decide((struct asq__ownership){ .ours = true }, 1), ASQ__OWNERSHIP_LEAVE);
    ck_assert_int_eq(unowned_since_ms, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ownership");
    TCase *c = tcase_create("ownership");
    tcase_add_checked_fixture(c, set_up, NULL);
    tcase_add_test(c, a_free_partition_is_claimed_where_it_is_placed);
    tcase_add_test(c, a_worker_that_lacks_classes_does_not_claim_a_partition_that_stays_free);
    tcase_add_test(c, a_partition_of_a_pool_that_is_not_served_is_handed_back);
    tcase_add_test(c, a_partition_that_stays_free_is_claimed_by_any_candidate);
    tcase_add_test(c, a_partition_of_a_live_owner_is_not_claimed);
    tcase_add_test(c, an_owner_hands_over_only_to_a_member_that_has_proved_itself_alive);
    tcase_add_test(c, an_owner_without_its_token_gives_up);
    tcase_add_test(c, a_claim_or_a_release_under_way_is_awaited);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
