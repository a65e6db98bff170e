/*
 * check_deadlock.c: in a cycle of waiting calls one call fails and all others succeed. Calls that
 * only resemble a cycle go on.
 */
#include "modes.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_RING = 24 }; /* the message names that many agents */

/* Closes a ring of agents. Each is busy with a call of its own chain while it calls the next agent.
 * Every call has begun before the first one goes on. */
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
        /* The nested call of this one has failed; its message names the cycle. */
        const char *message = asq_result_error(results[i])->message;
        for (int k = 0; k < n; k++)
            ck_assert_contains(message, asq_agent_id(agents[k]));
    }
    ck_assert_int_eq(failed, 1);
    for (int i = 0; i < n; i++) {
        asq_result_free(results[i]);
        /* the agent is free again */
        ck_assert_code(call_code(agents[i], "nowhere", NULL), ASQ_ENOMETHOD);
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

START_TEST(a_call_that_does_not_wait_is_in_no_cycle)
{
    asq_agent *a = agent_new("Relay", NULL), *b = agent_new("Relay", NULL);
    char *begun = sup_path(own("begun")), *go = sup_path(own("go"));
    char *begun2 = sup_path(own("begun"));
    asq_result *x, *y;

    /* b is busy with a call that will wait for a; a sends to b, and does not wait for that. */
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

/* Agents: the first waits for any of the others, which are busy while they call another one. */
struct knot {
    asq_agent *agents[3];
    asq_result *results[3];
    char *begun[3], *go, *free; /* `free`: the last agent waits for this file. */
};

/* Makes the first agent wait for any of the others. The others call the first once `go` exists;
 * if last_is_free, the last calls an agent outside, once `free` exists. */
static void tie(struct knot *k, int how, bool last_is_free)
{
    asq_agent *other = agent_new("Relay", NULL);

    k->go = sup_path(own("go"));
    k->free = last_is_free ? sup_path(own("free")) : NULL;
    for (int i = 0; i < 3; i++) {
        k->agents[i] = agent_new("Relay", NULL);
        k->begun[i] = sup_path(own("begun"));
    }
    ok(asq_call(k->agents[0], "any", &k->results[0], "[s, s, [a, a], i]", k->begun[0], k->go,
                k->agents[1], k->agents[2], how));
    for (int i = 1; i < 3; i++)
        ok(asq_call(k->agents[i], "cross", &k->results[i], "[s, s, a, s, []]", k->begun[i],
                    i == 2 && last_is_free ? k->free : k->go,
                    i == 2 && last_is_free ? other : k->agents[0], "me"));
    for (int i = 0; i < 3; i++)
        sup_wait_until(exists(k->begun[i]));
    touch(k->go);
    asq_agent_free(other);
}

static void untie(struct knot *k)
{
    for (int i = 0; i < 3; i++) {
        asq_result_free(k->results[i]);
        ck_assert_code(call_code(k->agents[i], "nowhere", NULL), ASQ_ENOMETHOD);
        asq_agent_free(k->agents[i]);
        free(k->begun[i]);
    }
    free(k->go);
    free(k->free);
}

START_TEST(a_call_that_waits_for_any_is_in_a_cycle_when_none_can_come)
{
    struct knot k;
    int64_t code = 0;
    int failed = 0;

    tie(&k, _i, false);
    for (int i = 0; i < 3; i++) {
        int rc = asq_result_wait(k.results[i], sup_limit_ms());
        if (rc == 0)
            continue;
        ck_assert_code(rc, ASQ_EDEADLK);
        ck_assert_contains(asq_result_error(k.results[i])->message, asq_agent_id(k.agents[0]));
        failed++;
    }
    /* Otherwise one of the first agent's calls has failed and so ended its wait. */
    if (asq_result_int(k.results[0], &code) == 0 && code) {
        ck_assert_int_eq(code, ASQ_EDEADLK);
        failed++;
    }
    ck_assert_int_eq(failed, 1);
    untie(&k);
}
END_TEST

START_TEST(a_call_that_waits_for_any_is_in_no_cycle_while_one_can_come)
{
    struct knot k;
    int64_t code = 1;

    tie(&k, _i, true);
    /* Long enough for many probes. */
    ck_assert_code(asq_result_wait(k.results[0], 2000), ASQ_ETIMEOUT);
    ck_assert_code(asq_result_wait(k.results[1], 0), ASQ_ETIMEOUT);
    touch(k.free);
    for (int i = 0; i < 3; i++)
        ck_assert_code(asq_result_wait(k.results[i], sup_limit_ms()), 0);
    ok(asq_result_int(k.results[0], &code));
    ck_assert_int_eq(code, 0);
    untie(&k);
}
END_TEST

static void add_tests(TCase *t)
{
    (void) t; /* in a program calls run one inside the other, so there are no cycles */
}

static void add_distributed_tests(TCase *t)
{
    tcase_add_test(t, two_agents_that_call_each_other_are_told);
    tcase_add_test(t, a_ring_of_agents_is_told_once);
    tcase_add_test(t, a_call_that_does_not_wait_is_in_no_cycle);
    tcase_add_loop_test(t, a_call_that_waits_for_any_is_in_a_cycle_when_none_can_come, 0, 4);
    tcase_add_loop_test(t, a_call_that_waits_for_any_is_in_no_cycle_while_one_can_come, 0, 4);
}

int main(void)
{
    return modes_main("deadlock", add_tests, add_distributed_tests);
}
