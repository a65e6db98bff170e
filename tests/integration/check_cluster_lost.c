/*
 * check_cluster_lost.c: one node of a Redis Cluster goes back in time, without the others, so that
 * a commit is lost, and what its call had called at another node is not. The call runs again, and
 * those calls do not.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "asqueue.h"
#include "classes.h"
#include "load.h"
#include "on_cluster.h"
#include "support/support.h"

enum { AFTER_MS = 2000, MINUTE_MS = 60 * 1000, DAY_MS = 24 * 60 * MINUTE_MS };

static asq_agent *outer, *inner;
static char *begun, *go;
static int victim; /* the node of `outer`; `inner` is on another one */

/* ---- fixtures and helpers ---- */

static void make_agents(void)
{
    sup_wait_until(all_are_owned());
    victim = (home_node() + 1) % MASTERS;
    outer = agent_on(victim, "Relay", "outer");
    inner = agent_on((victim + 1) % MASTERS, "Counter", "inner");
    begun = sup_path("begun");
    go = sup_path("go");
}

static void begin(void)
{
    on_durable_masters_begin();
    make_agents();
}

static void begin_with_replicas(void)
{
    on_replicas_begin();
    make_agents();
}

static void end(void)
{
    asq_agent_free(outer);
    asq_agent_free(inner);
    on_cluster_end();
    remove(begun);
    remove(go);
    free(begun);
    free(go);
}

static sup_redis *server_of(const asq_agent *a)
{
    return sup_cluster_node(nodes, node_of(partition_of(a)));
}

/* Returns the longest TTL of the result records beside an agent, -2: there is none. */
static int64_t records_ttl(const asq_agent *a)
{
    return sup_redis_int(server_of(a), "EVAL %s 1 asq:{default.%u}:jobs asq:{default.%u}:r:*",
                         "local most = -2 for _, key in ipairs(redis.call('KEYS', ARGV[1])) do "
                         "most = math.max(most, redis.call('PTTL', key)) end return most",
                         partition_of(a), partition_of(a));
}

static bool waits_no_more(void)
{
    return sup_redis_int(server_of(outer), "XLEN asq:{default.%u}:jobs", partition_of(outer)) == 0;
}

/* Returns whether the commit of the outer call is acknowledged, and what it had called forgotten;
 * that is the last thing which follows from a call. */
static bool is_through(void)
{
    return waits_no_more() && records_ttl(inner) < DAY_MS;
}

/* Has the outer agent call the inner one, once the file `go` is there. */
static asq_result *call_through(void)
{
    asq_result *r;
    int rc = asq_call(outer, "cross", &r, "[s, s, a, s, [i]]", begun, go, inner, "add", 1);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    return r;
}

static void let_go(void)
{
    FILE *f = fopen(go, "w");
    ck_assert(f && fclose(f) == 0);
}

static int64_t take(asq_result *r)
{
    int64_t n = -1;
    int rc = asq_result_int(r, &n);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    asq_result_free(r);
    return n;
}

static int64_t value_of_inner(void)
{
    asq_result *r;
    ck_assert_int_eq(asq_call(inner, "add", &r, "[i]", 0), 0);
    return take(r);
}

/* Restarts the node of the outer agent as it was. That agent's call begins again then. */
static void go_back(char *kept)
{
    sup_redis *node = sup_cluster_node(nodes, victim);
    ck_assert_int_eq(remove(begun), 0);
    sup_redis_kill(node);
    sup_redis_go_back(node, kept);
    sup_redis_restart(node);
    free(kept);
}

/* ---- a commit is lost ---- */

START_TEST(a_call_whose_commit_is_lost_calls_nothing_twice)
{
    asq_result *r = call_through();
    char *kept = sup_redis_keep(sup_cluster_node(nodes, victim));
    let_go();
    ck_assert_int_eq(take(r), 1);
    sup_wait_until(asq_poll(h, 0) >= 0 && is_through());
    go_back(kept);
    sup_wait_until(access(begun, F_OK) == 0 && waits_no_more());
    ck_assert_int_eq(value_of_inner(), 1);
}
END_TEST

/* The call is lost as well. Its caller has not been told, and sends it again. */
START_TEST(a_call_that_is_sent_again_calls_nothing_twice)
{
    sup_redis *node = sup_cluster_node(nodes, victim);
    char *kept = sup_redis_keep(node);
    asq_result *r = call_through();
    /* The client, which connects again when it is asked for the result; and the worker. */
    sup_redis_do(node, "CLIENT KILL TYPE normal SKIPME yes");
    sup_redis_do(node, "CLIENT KILL TYPE pubsub SKIPME yes");
    let_go();
    sup_wait_until(is_through());
    go_back(kept);
    ck_assert_int_eq(take(r), 1);
    ck_assert_int_eq(access(begun, F_OK), 0);
    ck_assert_int_eq(value_of_inner(), 1);
}
END_TEST

/* The timer of the outer agent is set back as well, and fires the same call once more. */
START_TEST(a_call_that_a_timer_makes_again_calls_nothing_twice)
{
    asq_timer timer = ASQ_TIMER_INIT;
    timer.at_ms = (int64_t) time(NULL) * 1000 + AFTER_MS;
    int rc = asq_schedule(outer, "once", &timer, "cross", "[s, s, a, s, [i]]", begun, go, inner,
                          "add", 1);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    char *kept = sup_redis_keep(sup_cluster_node(nodes, victim));
    sup_wait_until(access(begun, F_OK) == 0);
    let_go();
    sup_wait_until(is_through());
    go_back(kept);
    sup_wait_until(access(begun, F_OK) == 0 && waits_no_more());
    ck_assert_int_eq(value_of_inner(), 1);
}
END_TEST

/* ---- what that costs ---- */

START_TEST(what_was_called_at_another_node_is_known_for_a_while)
{
    asq_result *r = call_through();
    let_go();
    ck_assert_int_eq(take(r), 1);
    sup_wait_until(asq_poll(h, 0) >= 0 && is_through() && records_ttl(inner) <= 2 * MINUTE_MS);
    ck_assert_int_ge(records_ttl(inner), 1);
}
END_TEST

/* Makes an agent of the outer one's partition. */
static asq_agent *agent_beside(void)
{
    asq_agent *a = NULL;
    for (int i = 0; !a || partition_of(a) != partition_of(outer); i++) {
        char id[40];
        asq_agent_free(a);
        snprintf(id, sizeof id, "beside-%d", i);
        ck_assert_int_eq(asq_create(h, "Counter", id, &a, NULL), 0);
        ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    }
    return a;
}

/* The commit and the record are lost together there, or with replicas that are waited for not at
 * all (the other case). */
START_TEST(what_cannot_be_lost_alone_is_forgotten_at_once)
{
    if (_i == 0) {
        asq_agent_free(inner);
        inner = agent_beside();
    }
    asq_result *r = call_through();
    sup_wait_until(asq_poll(h, 0) >= 0);
    let_go();
    ck_assert_int_eq(take(r), 1);
    sup_wait_until(asq_poll(h, 0) >= 0 && is_through() && records_ttl(inner) == -2);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_lost");
    TCase *t = tcase_create("lost");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, a_call_whose_commit_is_lost_calls_nothing_twice);
    tcase_add_test(t, a_call_that_is_sent_again_calls_nothing_twice);
    tcase_add_test(t, a_call_that_a_timer_makes_again_calls_nothing_twice);
    tcase_add_test(t, what_was_called_at_another_node_is_known_for_a_while);
    tcase_add_loop_test(t, what_cannot_be_lost_alone_is_forgotten_at_once, 0, 1);
    suite_add_tcase(s, t);
    t = tcase_create("replicas");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, begin_with_replicas, end);
    tcase_add_loop_test(t, what_cannot_be_lost_alone_is_forgotten_at_once, 1, 2);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return on_cluster_main(suite);
}
