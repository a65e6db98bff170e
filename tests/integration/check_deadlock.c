/*
 * check_deadlock.c: calls that wait for each other in a circle end, all but one of them well; calls
 * that only look like it go on.
 */
#include "modes.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RING = 12 };

/* Agents in a ring, each of which holds itself while it calls the next: each from a chain of its own.
 * Every call has begun before the first goes on. */
static void close_ring(int n)
{
    asq_agent *agents[MAX_RING];
    asq_result *results[MAX_RING];
    char *begun[MAX_RING], *go = sup_path(own("go"));
    int failed = 0;

    for (int i = 0; i < n; i++) {
        agents[i] = agent_new("Relay", NULL);
        begun[i] = sup_path(own("begun"));
    }
    for (int i = 0; i < n; i++)
        ok(asq_call(agents[i], "cross", &results[i], "[s, s, a, s, []]", begun[i], go,
                    agents[(i + 1) % n], "me"));
    for (int i = 0; i < n; i++)
        sup_wait_until(exists(begun[i]));
    touch(go);
    for (int i = 0; i < n; i++) {
        int rc = asq_result_wait(results[i], sup_limit_ms());
        if (rc == 0)
            continue;
        ck_assert_code(rc, ASQ_EDEADLK);
        failed++;
        /* Its inner call was the one, and tells the way round. */
        const char *message = asq_result_error(results[i])->message;
        for (int k = 0; k < n; k++)
            ck_assert_contains(message, asq_agent_id(agents[k]));
    }
    ck_assert_int_eq(failed, 1);
    for (int i = 0; i < n; i++) {
        asq_result_free(results[i]);
        ck_assert_code(call_code(agents[i], "nowhere", NULL), ASQ_ENOMETHOD); /* it is free again */
        asq_agent_free(agents[i]);
        free(begun[i]);
    }
    free(go);
}

START_TEST(two_agents_that_call_each_other_are_told)
{
    close_ring(2);
}
END_TEST

START_TEST(a_ring_of_agents_is_told_once)
{
    close_ring(MAX_RING);
}
END_TEST

START_TEST(who_does_not_wait_is_in_no_circle)
{
    asq_agent *a = agent_new("Relay", NULL), *b = agent_new("Relay", NULL);
    char *begun = sup_path(own("begun")), *go = sup_path(own("go"));
    char *begun2 = sup_path(own("begun"));
    asq_result *x, *y;

    /* b is inside a call that will wait for a; a sends to b, and does not wait for that. */
    ok(asq_call(b, "cross", &y, "[s, s, a, s, []]", begun2, begun, a, "me"));
    sup_wait_until(exists(begun2));
    ok(asq_call(a, "notify", &x, "[s, s, a]", begun, go, b));
    /* Long enough for many probes. */
    ck_assert_code(asq_result_wait(y, 6000), ASQ_ETIMEOUT);
    ck_assert_code(asq_result_wait(x, 0), ASQ_ETIMEOUT);
    touch(go);
    ck_assert_code(asq_result_wait(x, sup_limit_ms()), 0);
    ck_assert_code(asq_result_wait(y, sup_limit_ms()), 0);
    asq_result_free(x);
    asq_result_free(y);
    asq_agent_free(a);
    asq_agent_free(b);
    free(begun);
    free(begun2);
    free(go);
}
END_TEST

static void add_tests(TCase *t)
{
    (void) t; /* in a program calls run one inside the other: there are no circles */
}

static void add_distributed_tests(TCase *t)
{
    tcase_add_test(t, two_agents_that_call_each_other_are_told);
    tcase_add_test(t, a_ring_of_agents_is_told_once);
    tcase_add_test(t, who_does_not_wait_is_in_no_circle);
}

int main(void)
{
    return modes_main("deadlock", add_tests, add_distributed_tests);
}
