/*
 * check_cluster_calls.c: workers, clients and as-ctl in a Redis Cluster of several nodes: all that
 * works with one Redis works there, and calls take effect once and in order when slots move and
 * masters die.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "classes.h"
#include "load.h"
#include "on_cluster.h"
#include "support/support.h"

#include "redis/keys.h"
#include "redis/slots.h"
#include "value/hash.h"

enum { AGENTS = 24, CALLS = 200 };

/* ---- what works with one Redis ---- */

START_TEST(calls_run_on_all_nodes)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    load_check(l);
    for (int i = 0; i < MASTERS; i++)
        ck_assert_int_gt(sup_redis_int(sup_cluster_node(nodes, i), "DBSIZE"), 0);
}
END_TEST

START_TEST(agents_call_each_other_across_nodes)
{
    enum { CHAINS = 30 };
    asq_result *results[CHAINS];
    asq_agent *relays[CHAINS], *counters[CHAINS];
    for (int i = 0; i < CHAINS; i++) {
        char id[32];
        snprintf(id, sizeof id, "relay-%d", i);
        ck_assert_int_eq(asq_create(h, "Relay", id, &relays[i], NULL), 0);
        snprintf(id, sizeof id, "counter-%d", i);
        ck_assert_int_eq(asq_create(h, "Counter", id, &counters[i], "{s:i}", "value", i), 0);
    }
    for (int i = 0; i < CHAINS; i++)
        ck_assert_int_eq(
            asq_call(relays[i], "call", &results[i], "[a, s, [i]]", counters[i], "add", 1000), 0);
    for (int i = 0; i < CHAINS; i++) {
        int64_t n = 0;
        int rc = asq_result_int(results[i], &n);
        ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
        ck_assert_int_eq(n, 1000 + i);
        asq_result_free(results[i]);
        asq_agent_free(relays[i]);
        asq_agent_free(counters[i]);
    }
}
END_TEST

START_TEST(delayed_calls_run)
{
    asq_agent *a;
    asq_result *results[10];
    ck_assert_int_eq(asq_create(h, "Counter", "late", &a, NULL), 0);
    for (int i = 0; i < 10; i++) {
        asq_call_options options = ASQ_CALL_OPTIONS_INIT;
        options.delay_ms = 200;
        ck_assert_int_eq(asq_callv(a, "add", &options, asq_pack("[i]", 1), &results[i]), 0);
    }
    for (int i = 0; i < 10; i++) {
        ck_assert_int_eq(asq_result_wait(results[i], sup_limit_ms()), 0);
        asq_result_free(results[i]);
    }
    asq_agent_free(a);
}
END_TEST

/* The key of a handle is in the slot of the namespace, its agents are on all nodes. */
START_TEST(agents_end_with_their_handle)
{
    asq_create_options options = ASQ_CREATE_OPTIONS_INIT;
    asq_agent *agents[AGENTS];
    char err[300] = "";
    asq *other;
    ck_assert_msg(asq_open(url, NULL, &other, err, sizeof err) == 0, "%s", err);
    options.with_handle = true;
    for (int i = 0; i < AGENTS; i++)
        ck_assert_msg(asq_create_with(other, "Counter", &options, NULL, &agents[i]) == 0, "%s",
                      asq_errmsg(other));
    for (int i = 0; i < AGENTS; i++) {
        asq_agent *proxy;
        ck_assert_msg(asq_ready(agents[i], sup_limit_ms()) == 0, "%s", asq_errmsg(other));
        ck_assert_int_eq(asq_attach(h, asq_agent_id(agents[i]), &proxy), 0);
        asq_agent_free(agents[i]);
        agents[i] = proxy;
    }
    asq_close(other);
    for (int i = 0; i < AGENTS; i++) {
        sup_wait_until(asq_ready(agents[i], sup_limit_ms()) == ASQ_ENOAGENT);
        asq_agent_free(agents[i]);
    }
}
END_TEST

/* Runs as-ctl, and returns what it has printed. */
static char *ctl(const char *const arguments[])
{
    const char *argv[16] = { sup_program("as-ctl"), "--url", url };
    char *out, *err;
    for (int i = 0; arguments[i]; i++)
        argv[3 + i] = arguments[i];
    int status = sup_run(argv, &out, &err);
    ck_assert_msg(status == 0, "as-ctl %s: %d: %s%s", arguments[0], status, out, err);
    free(err);
    return out;
}

START_TEST(operators_reach_all_nodes)
{
    for (int i = 0; i < 12; i++) {
        char id[16];
        snprintf(id, sizeof id, "tally-%d", i);
        free(ctl((const char *[]){ "create", "Counter", "{\"value\":40}", "--id", id, NULL }));
        char *out = ctl((const char *[]){ "call", id, "add", "[2]", NULL });
        ck_assert_str_eq(out, "42\n");
        free(out);
    }
    char *agents = ctl((const char *[]){ "agents", NULL });
    for (int i = 0; i < 12; i++) {
        char id[16];
        snprintf(id, sizeof id, "tally-%d", i);
        ck_assert_msg(strstr(agents, id), "%s", agents);
    }
    free(agents);
    char *workers = ctl((const char *[]){ "workers", NULL });
    ck_assert_int_eq(sup_count(workers, "Counter") > 0 || sup_count(workers, ".0") > 0, 1);
    free(workers);
    free(ctl((const char *[]){ "dead", "list", NULL }));
    free(ctl((const char *[]){ "ping", NULL }));
}
END_TEST

/* ---- slots move, masters die ---- */

/* Makes a counter in a partition, which is found by trying names. */
static asq_agent *counter_in(uint32_t partition)
{
    asq_agent *a;
    char id[24];
    int i = 0;
    do
        snprintf(id, sizeof id, "c%d", i++);
    while (asq__partition_of(id, strlen(id), PARTITIONS) != partition);
    ck_assert_int_eq(asq_create(h, "Counter", id, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}

static void add(asq_agent *a, int64_t expected)
{
    asq_value *v;
    int64_t n;
    int rc = asq_call_wait(a, "add", &v, "[i]", 1);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_value_get_int(v, &n), 0);
    ck_assert_int_eq(n, expected);
    asq_value_free(v);
}

/* While the keys of a slot are on their way, scripts on them are refused. */
START_TEST(a_slot_that_moves_for_long_holds_up_its_own_partitions_alone)
{
    asq_agent *still = counter_in(1), *moving = counter_in(2);
    uint16_t slot = slot_of(2);
    int from = sup_cluster_owner(nodes, 0, slot), to = (from + 1) % MASTERS;
    asq_result *late;
    add(still, 1);
    add(moving, 1);
    sup_cluster_move_begin(nodes, slot, from, to);
    ck_assert_int_eq(asq_call(moving, "add", &late, "[i]", 1), 0);
    for (int i = 0; i < 20; i++) {
        add(still, 2 + i);
        sup_sleep_ms(100); /* so that the refused call is tried a few times */
    }
    ck_assert_int_eq(atomic_load(&seen->aways), 0);
    ck_assert_int_eq(asq_result_wait(late, 0), ASQ_ETIMEOUT);
    sup_cluster_move_keys(nodes, slot, from, to);
    sup_cluster_move_end(nodes, slot, from, to);
    int64_t n;
    ck_assert_int_eq(asq_result_int(late, &n), 0);
    ck_assert_int_eq(n, 2);
    add(moving, 3);
    add(still, 22);
    asq_result_free(late);
    asq_agent_free(moving);
    asq_agent_free(still);
}
END_TEST

/* Agents of a node that answers, and the name of one of a node that does not, for now. */
struct silence {
    int node, home; /* home: that of the relay */
    asq_agent *relay, *echo;
    char late[32];
};

static struct silence begin_silence(void)
{
    int home = home_node();
    struct silence s = { .node = (home + 1) % MASTERS,
                         .home = home,
                         .relay = agent_on(home, "Relay", "relay"),
                         .echo = agent_on((home + 2) % MASTERS, "Echo", "echo") };
    for (int i = 0;
         !*s.late || node_of(asq__partition_of(s.late, strlen(s.late), PARTITIONS)) != s.node; i++)
        snprintf(s.late, sizeof s.late, "late-%d", i);
    return s;
}

/* Calls of other nodes have come to their end, and the relay still has none. */
static void check_silence(const struct silence *s)
{
    sup_redis *node = sup_cluster_node(nodes, s->home);
    for (int i = 0; i < 20; i++)
        ck_assert_msg(asq_call_wait(s->echo, "sum", NULL, "[i, i]", i, 1) == 0, "%s",
                      asq_errmsg(h));
    ck_assert_int_eq(
        sup_redis_int(node, "XLEN asq:{default.%d}:jobs", (int) partition_of(s->relay)), 0);
}

static void end_silence(struct silence *s, asq_result *r)
{
    int64_t n = 0;
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, s->node)), SIGCONT);
    ck_assert_msg(asq_result_int(r, &n) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(n, 42);
    asq_result_free(r);
    asq_agent_free(s->relay);
    asq_agent_free(s->echo);
}

START_TEST(a_call_with_an_agent_comes_after_its_creation)
{
    struct silence s = begin_silence();
    asq_agent *late;
    asq_result *r, *behind;
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, s.node)), SIGSTOP);
    ck_assert_int_eq(asq_create(h, "Counter", s.late, &late, "{s:i}", "value", 40), 0);
    ck_assert_int_eq(asq_call(s.relay, "call", &r, "[a, s, [i]]", late, "add", 2), 0);
    ck_assert_int_eq(asq_call(s.relay, "me", &behind, NULL), 0);
    check_silence(&s);
    ck_assert_int_eq(asq_result_wait(behind, 0), ASQ_ETIMEOUT);
    end_silence(&s, r);
    ck_assert_int_eq(asq_result_wait(behind, sup_limit_ms()), 0);
    asq_result_free(behind);
    asq_agent_free(late);
}
END_TEST

/* The program never enters the library again after the call. */
static void call_and_leave(const char *id, bool corked)
{
    asq_agent *relay = agent_on(0, "Relay", id), *late;
    char *begun = sup_path(id), *go = sup_path("go-on");
    asq_result *r;
    int node = node_of(asq__partition_of(id, strlen(id), PARTITIONS));
    ck_assert_int_ne(node, 0);
    if (corked)
        asq_cork(h);
    ck_assert_int_eq(asq_create(h, "Counter", id, &late, "{s:i}", "value", 1), 0);
    ck_assert_int_eq(asq_call(relay, "cross", &r, "[s, s, a, s, [i]]", begun, go, late, "add", 2),
                     0);
    if (corked)
        ck_assert_int_eq(asq_uncork(h), 0);
    sup_wait_until(access(begun, F_OK) == 0);
    close(open(go, O_CREAT | O_WRONLY, 0600));
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    asq_result_free(r);
    asq_agent_free(late);
    asq_agent_free(relay);
    free(begun);
    free(go);
}

START_TEST(a_call_with_an_agent_leaves_without_a_wait)
{
    char id[32];
    for (int i = 0, n = 0; n < 2; i++) {
        snprintf(id, sizeof id, "parting-%d", i);
        if (node_of(asq__partition_of(id, strlen(id), PARTITIONS)) != 0)
            call_and_leave(id, n++ == 1);
    }
}
END_TEST

START_TEST(so_does_the_call_of_a_method)
{
    struct silence s = begin_silence();
    asq_agent *boss = agent_on((s.node + 1) % MASTERS, "Relay", "boss");
    char *begun = sup_path("begun");
    asq_result *r;
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, s.node)), SIGSTOP);
    ck_assert_int_eq(asq_call(boss, "hire", &r, "[s, a, s]", s.late, s.relay, begun), 0);
    sup_wait_until((asq_poll(h, 0), access(begun, F_OK) == 0));
    check_silence(&s);
    end_silence(&s, r);
    asq_agent_free(boss);
    free(begun);
}
END_TEST

/* Two agents are told of each other while neither creation is accepted. */
START_TEST(agents_that_get_each_other_do_not_wait_for_ever)
{
    uint16_t slots[2] = { slot_of(2), slot_of(3) };
    int from[2], to[2];
    asq_agent *relays[2];
    asq_result *results[2];
    for (int i = 0; i < 2; i++) {
        from[i] = sup_cluster_owner(nodes, 0, slots[i]);
        to[i] = (from[i] + 1) % MASTERS;
        sup_cluster_move_begin(nodes, slots[i], from[i], to[i]);
        sup_cluster_move_keys(nodes, slots[i], from[i], to[i]);
    }
    for (int i = 0; i < 2; i++) {
        char id[24];
        int n = 0;
        do
            snprintf(id, sizeof id, "mutual%d", n++);
        while (asq__partition_of(id, strlen(id), PARTITIONS) != (uint32_t) (2 + i));
        ck_assert_int_eq(asq_create(h, "Relay", id, &relays[i], NULL), 0);
    }
    for (int i = 0; i < 20; i++) { /* both creations are refused by now */
        asq_poll(h, 0);
        sup_sleep_ms(10);
    }
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(
            asq_call(relays[i], "call", &results[i], "[a, s, []]", relays[1 - i], "me"), 0);
    for (int i = 0; i < 150; i++) {
        asq_poll(h, 0);
        sup_sleep_ms(10);
    }
    for (int i = 0; i < 2; i++)
        sup_cluster_move_end(nodes, slots[i], from[i], to[i]);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_ne(asq_result_wait(results[i], 20000), ASQ_ETIMEOUT);
        asq_result_free(results[i]);
        asq_agent_free(relays[i]);
    }
}
END_TEST

START_TEST(slots_that_move_under_load_lose_and_double_nothing)
{
    enum { ROUNDS = 6, MOVED = 4 };
    struct load *l = load_new(h, AGENTS);
    for (int round = 0; round < ROUNDS; round++) {
        load_calls(l, CALLS);
        for (uint32_t p = 0; p < MOVED; p++) {
            uint16_t slot = slot_of((uint32_t) round * MOVED + p);
            int from = sup_cluster_owner(nodes, 0, slot);
            sup_cluster_move(nodes, slot, (from + 1) % MASTERS);
            load_is_done(l);
        }
    }
    load_check(l);
}
END_TEST

START_TEST(the_slot_of_the_namespace_moves)
{
    struct asq__keys keys;
    char key[ASQ__KEY_MAX], err[200];
    ck_assert_int_eq(asq__keys_init(&keys, "default", err, sizeof err), 0);
    uint16_t slot = asq__slot_of_key(key, asq__keys_meta(&keys, key));
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_cluster_move(nodes, slot, (sup_cluster_owner(nodes, 0, slot) + 1) % MASTERS);
    load_calls(l, CALLS);
    load_check(l);
}
END_TEST

START_TEST(a_master_that_dies_under_load_loses_and_doubles_nothing)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_redis_kill(sup_cluster_node(nodes, 1));
    load_calls(l, CALLS);
    int slot = 16384 / MASTERS + 1; /* node 1 had it */
    sup_wait_until(sup_cluster_owner(nodes, 0, slot) == MASTERS + 1);
    sup_redis_restart(sup_cluster_node(nodes, 1)); /* as a replica, which is waited for */
    load_check(l);
}
END_TEST

/* ---- the URL of one node, as of a Redis without a Cluster ---- */

static int64_t beats_at(sup_redis *home)
{
    return sup_redis_int(
        home, "EVAL %s 1 asq:{default}:workers",
        "local n = 0 for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do "
        "n = n + (redis.call('HGET', 'asq:{default}:worker:' .. id, 'beat') or 0) end return n");
}

/* Heartbeats, each of which may need a connection of its own, find the other nodes, as calls do. */
START_TEST(the_only_host_of_the_url_dies)
{
    int node = home_node();
    sup_redis *replica = sup_cluster_node(nodes, node + MASTERS);
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    sup_redis_kill(sup_cluster_node(nodes, node));
    sup_wait_until((load_is_done(l), sup_cluster_leads(nodes, node + MASTERS)));
    int64_t beats = beats_at(replica);
    sup_wait_until((load_is_done(l), beats_at(replica) > beats + 2 * PROCESSES));
    sup_redis_restart(sup_cluster_node(nodes, node)); /* which is the replica now */
    load_calls(l, CALLS);
    load_check(l);
}
END_TEST

START_TEST(any_node_may_be_named)
{
    for (int i = 0; i < MASTERS; i++) {
        char err[500] = "", *plain = plain_url(i);
        asq *own = h;
        int rc = asq_open(plain, NULL, &h, err, sizeof err);
        ck_assert_msg(rc == 0, "%s: %s", asq_error_name(rc), err);
        struct load *l = load_new(h, AGENTS);
        load_calls(l, CALLS);
        load_check(l);
        asq_close(h);
        h = own;
        free(plain);
    }
}
END_TEST

/* The supervisor tells the nodes of its processes' deaths. */
START_TEST(a_worker_process_that_dies_is_replaced)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    redisReply *ids = sup_redis_reply(sup_cluster_node_of(nodes, "asq:{default}:workers"),
                                      "SMEMBERS asq:{default}:workers");
    ck_assert_uint_eq(ids->elements, PROCESSES);
    sup_redis *home = sup_cluster_node_of(nodes, "asq:{default}:workers");
    kill((pid_t) sup_redis_int(home, "HGET asq:{default}:worker:%s pid", ids->element[0]->str),
         SIGKILL);
    freeReplyObject(ids);
    load_calls(l, CALLS);
    load_check(l);
    sup_wait_until(sup_redis_int(home, "HLEN asq:{default}:worker-deaths") > 0);
    sup_wait_until(atomic_load(&seen->crashes) == 1);
    atomic_store(&seen->crashes, 0);
}
END_TEST

START_TEST(slots_that_leave_the_only_owner_are_followed)
{
    struct load *l = load_new(h, AGENTS);
    load_calls(l, CALLS);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        sup_cluster_move(nodes, slot_of(p), 1 + (int) (p % (MASTERS - 1)));
    load_calls(l, CALLS);
    load_check(l);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_calls");
    TCase *t = tcase_create("masters");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_masters_begin, on_cluster_end);
    tcase_add_test(t, calls_run_on_all_nodes);
    tcase_add_test(t, agents_call_each_other_across_nodes);
    tcase_add_test(t, delayed_calls_run);
    tcase_add_test(t, a_call_with_an_agent_comes_after_its_creation);
    tcase_add_test(t, a_call_with_an_agent_leaves_without_a_wait);
    tcase_add_test(t, so_does_the_call_of_a_method);
    tcase_add_test(t, agents_that_get_each_other_do_not_wait_for_ever);
    tcase_add_test(t, agents_end_with_their_handle);
    tcase_add_test(t, operators_reach_all_nodes);
    suite_add_tcase(s, t);
    t = tcase_create("moves");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_masters_begin, on_cluster_end);
    tcase_add_test(t, a_slot_that_moves_for_long_holds_up_its_own_partitions_alone);
    tcase_add_test(t, slots_that_move_under_load_lose_and_double_nothing);
    tcase_add_test(t, the_slot_of_the_namespace_moves);
    suite_add_tcase(s, t);
    t = tcase_create("one host");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_plain_url_begin, on_cluster_end);
    tcase_add_test(t, any_node_may_be_named);
    tcase_add_test(t, operators_reach_all_nodes);
    tcase_add_test(t, a_worker_process_that_dies_is_replaced);
    suite_add_tcase(s, t);
    t = tcase_create("one owner");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_one_owner_begin, on_cluster_end);
    tcase_add_test(t, slots_that_leave_the_only_owner_are_followed);
    suite_add_tcase(s, t);
    t = tcase_create("replicas");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_replicas_begin, on_cluster_end);
    tcase_add_test(t, a_master_that_dies_under_load_loses_and_doubles_nothing);
    suite_add_tcase(s, t);
    t = tcase_create("home");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, on_home_url_begin, on_cluster_end);
    tcase_add_test(t, the_only_host_of_the_url_dies);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return on_cluster_main(suite);
}
