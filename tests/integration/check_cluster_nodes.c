/*
 * check_cluster_nodes.c: a node of a Redis Cluster is lost, and nobody takes over from it until
 * the test lets it happen: calls to agents of the other nodes go on meanwhile, and afterwards all
 * calls have taken effect once, those that were held back for it as well.
 */
#include <ev.h>
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

#include "value/hash.h"

enum { AGENTS = 24, CALLS = 50, OTHERS = MASTERS - 1, CALLS_WHILE_AWAY = 50 };

static void take(asq_result *result, int64_t expected)
{
    int64_t n;
    int rc = asq_result_int(result, &n);
    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(n, expected);
    asq_result_free(result);
}

/* ---- what is done while a node is away ---- */

struct scene {
    int victim;
    struct load *load; /* on agents of all nodes */
    asq_agent *lost, *counters[OTHERS], *relays[OTHERS];
    asq_result *late; /* of a call to `lost`, made when its node was away */
};

static void set_up(struct scene *s, int victim)
{
    sup_wait_until(all_are_owned());
    s->victim = victim;
    s->load = load_new(h, AGENTS);
    s->lost = agent_on(victim, "Counter", "lost");
    for (int i = 0; i < OTHERS; i++) {
        int node = (victim + 1 + i) % MASTERS;
        s->counters[i] = agent_on(node, "Counter", "counter");
        s->relays[i] = agent_on(node, "Relay", "relay");
    }
    load_calls(s->load, CALLS);
}

/* Calls agents of the other nodes, also by methods on one of these to the other, when the client
 * and all workers have seen that the node is lost. */
static void go_on_without(struct scene *s)
{
    asq_result *result;
    load_calls(s->load, CALLS);
    ck_assert_int_eq(asq_call(s->lost, "add", &s->late, "[i]", 7), 0);
    sup_wait_until((load_is_done(s->load), atomic_load(&seen->client_away) > 0 &&
                                               atomic_load(&seen->worker_away) >= PROCESSES));
    for (int i = 0; i < CALLS_WHILE_AWAY; i++)
        for (int k = 0; k < OTHERS; k++) {
            ck_assert_int_eq(asq_call(s->counters[k], "add", &result, "[i]", 1), 0);
            take(result, 2 * i + 1);
            ck_assert_int_eq(asq_call(s->relays[k], "call", &result, "[a, s, [i]]",
                                      s->counters[(k + 1) % OTHERS], "add", 0),
                             0);
            take(result, k == 0 ? 2 * i : 2 * i + 2); /* what the other counter has by now */
            ck_assert_int_eq(asq_call(s->counters[k], "add", &result, "[i]", 1), 0);
            take(result, 2 * i + 2);
        }
    ck_assert(!load_is_done(s->load));
    ck_assert_int_eq(asq_result_wait(s->late, 0), ASQ_ETIMEOUT);
}

static void finish(struct scene *s)
{
    load_check(s->load);
    take(s->late, 7);
    for (int i = 0; i < OTHERS; i++) {
        asq_agent_free(s->counters[i]);
        asq_agent_free(s->relays[i]);
    }
    asq_agent_free(s->lost);
}

/* _i is 0 where the node with the keys of the namespace is lost. */
START_TEST(calls_of_other_nodes_go_on_while_one_is_dead)
{
    struct scene s;
    set_up(&s, (home_node() + _i) % MASTERS);
    sup_redis_kill(sup_cluster_node(nodes, s.victim));
    go_on_without(&s);
    sup_redis_restart(sup_cluster_node(nodes, s.victim));
    finish(&s);
}
END_TEST

START_TEST(calls_of_other_nodes_go_on_while_one_hangs)
{
    struct scene s;
    set_up(&s, (home_node() + _i) % MASTERS);
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, s.victim)), SIGSTOP);
    go_on_without(&s);
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, s.victim)), SIGCONT);
    finish(&s);
}
END_TEST

/* The replica is stopped, so it cannot take over before the test lets it. */
START_TEST(calls_of_other_nodes_go_on_until_a_replica_takes_over)
{
    struct scene s;
    set_up(&s, (home_node() + _i) % MASTERS);
    sup_redis *replica = sup_cluster_node(nodes, s.victim + MASTERS);
    sup_redis_do(replica, "CONFIG SET cluster-replica-no-failover yes"); /* but by command */
    sup_proc_signal(sup_redis_proc(replica), SIGSTOP);
    sup_redis_kill(sup_cluster_node(nodes, s.victim));
    go_on_without(&s);
    sup_proc_signal(sup_redis_proc(replica), SIGCONT);
    sup_redis_do(replica, "CLUSTER FAILOVER TAKEOVER");
    sup_redis_restart(sup_cluster_node(nodes, s.victim)); /* as a replica, which is waited for */
    finish(&s);
}
END_TEST

/* ---- owners ---- */

/* Writes how often each partition has changed hands. */
static void read_epochs(int64_t epochs[PARTITIONS])
{
    for (uint32_t p = 0; p < PARTITIONS; p++)
        epochs[p] =
            sup_redis_int(sup_cluster_node(nodes, node_of(p)), "EVAL %s 1 asq:{default.%u}:lease",
                          "return tonumber(redis.call('HGET', KEYS[1], 'epoch'))", p);
}

/* Returns the lowest number of heartbeats of a process; 0: not all are listed. */
static int64_t beats(sup_redis *home)
{
    if (sup_redis_int(home, "SCARD asq:{default}:workers") != PROCESSES)
        return 0;
    return sup_redis_int(home, "EVAL %s 1 asq:{default}:workers",
                         "local n for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do "
                         "local b = redis.call('HGET', 'asq:{default}:worker:' .. id, 'beat') "
                         "b = tonumber(b or 0) if not n or b < n then n = b end end return n");
}

static bool serves(sup_redis *node)
{
    redisReply *info = sup_redis_reply(node, "CLUSTER INFO");
    bool ok = strstr(info->str, "cluster_state:ok");
    freeReplyObject(info);
    return ok;
}

/* The home node is away for so long that the hashes of the workers expire (0), or has lost also the
 * list of them (1), as a replica without the last writes. All live: the first one that is back must
 * not take what the others have. */
START_TEST(partitions_stay_when_the_home_node_comes_back_without_workers)
{
    int64_t epochs[PARTITIONS], now[PARTITIONS];
    sup_wait_until(all_are_owned());
    read_epochs(epochs);
    int node = home_node();
    sup_redis *home = sup_cluster_node(nodes, node);
    sup_redis_do(home,
                 "EVAL %s 3 asq:{default}:workers asq:{default}:beats asq:{default}:beats:changes",
                 _i ? "for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do "
                      "redis.call('DEL', 'asq:{default}:worker:' .. id) end "
                      "redis.call('DEL', unpack(KEYS)) return 1"
                    : "for _, id in ipairs(redis.call('SMEMBERS', KEYS[1])) do "
                      "redis.call('DEL', 'asq:{default}:worker:' .. id) end return 1");
    sup_redis_kill(home);
    sup_wait_until(atomic_load(&seen->worker_away) >= PROCESSES);
    sup_sleep_ms(LEASE_MS);
    sup_redis_restart(home);
    sup_wait_until(serves(home));
    int64_t first;
    sup_wait_until((first = beats(home)) > 0);
    sup_wait_until(beats(home) > first + 4);
    sup_wait_until(all_are_owned());
    read_epochs(now);
    for (uint32_t p = 0; p < PARTITIONS; p++)
        ck_assert_int_eq(now[p], epochs[p]);
}
END_TEST

/* ---- refusals ---- */

static int aways;

static void count_away(void *user, asq_log_level level, const char *message)
{
    (void) user, (void) level;
    aways += strstr(message, "is away") != NULL;
}

/* Begins without a worker, with nodes that take nobody for failed. */
static void begin_without_worker(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[500] = "";
    nodes = sup_cluster_start(MASTERS, 0);
    for (int i = 0; i < MASTERS; i++)
        sup_redis_do(sup_cluster_node(nodes, i), "CONFIG SET cluster-node-timeout 3600000");
    sup_redis_do(sup_cluster_node_of(nodes, "asq:{default}:meta"),
                 "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    url = sup_cluster_url(nodes, 0);
    options.close_timeout_ms = 1;
    options.log = count_away;
    int rc = asq_open(url, &options, &h, err, sizeof err);
    ck_assert_msg(rc == 0, "%s: %s", asq_error_name(rc), err);
}

static void end_without_worker(void)
{
    asq_close(h);
    sup_cluster_free(nodes);
    free(url);
}

static uint32_t partition_on(int node)
{
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (node_of(p) == node)
            return p;
    sup_fail("no partition");
}

static asq_agent *attach_in(uint32_t partition)
{
    asq_agent *a;
    char id[40];
    int i = 0;
    do
        snprintf(id, sizeof id, "agent-%d", i++);
    while (asq__partition_of(id, strlen(id), PARTITIONS) != partition);
    ck_assert_int_eq(asq_attach(h, id, &a), 0);
    return a;
}

/* One stream takes no entry before its owner has made it anew, and there is none. Batches go there
 * one by one meanwhile. A batch for a node that hangs is none of these. */
START_TEST(calls_go_on_while_a_stream_takes_none_and_a_node_hangs)
{
    uint32_t parts[MASTERS];
    asq_agent *agents[MASTERS];
    for (int i = 0; i < MASTERS; i++) {
        parts[i] = partition_on(i);
        agents[i] = attach_in(parts[i]);
    }
    sup_redis *full = sup_cluster_node(nodes, 0), *hangs = sup_cluster_node(nodes, 1);
    sup_redis_do(full, "XADD asq:{default.%u}:jobs " LOAD_HIGHEST " call x batch y", parts[0]);
    ck_assert_int_eq(asq_send(agents[0], "add", "[i]", 1), 0);
    sup_wait_until(asq_poll(h, 0) >= 0 &&
                   sup_redis_stat(full, "errorstats", "errorstat_ERR:", "count=") > 2);
    sup_proc_signal(sup_redis_proc(hangs), SIGSTOP);
    for (int n = 1; n <= 20; n++) {
        int64_t since = sup_redis_stat(full, "errorstats", "errorstat_ERR:", "count=");
        ck_assert_int_eq(asq_send(agents[1], "add", "[i]", 1), 0);
        ck_assert_int_eq(asq_send(agents[2], "add", "[i]", 1), 0);
        sup_wait_until(
            asq_poll(h, 0) >= 0 &&
            sup_redis_int(sup_cluster_node(nodes, 2), "XLEN asq:{default.%u}:jobs", parts[2]) == n);
        sup_wait_until(asq_poll(h, 0) >= 0 &&
                       sup_redis_stat(full, "errorstats", "errorstat_ERR:", "count=") > since);
    }
    ck_assert_int_eq(aways, 0); /* nobody has waited for the end of a connection */
    sup_proc_signal(sup_redis_proc(hangs), SIGCONT);
    for (int i = 0; i < MASTERS; i++)
        asq_agent_free(agents[i]);
}
END_TEST

/* ---- calls that are held back ---- */

/* Returns the process that has the partition of an agent; freed by the caller. */
static char *owner_of(const asq_agent *a)
{
    const char *id = asq_agent_id(a);
    uint32_t partition = asq__partition_of(id, strlen(id), PARTITIONS);
    return sup_redis_str(sup_cluster_node(nodes, node_of(partition)),
                         "HGET asq:{default.%d}:lease owner", (int) partition);
}

static bool has_owner(const asq_agent *a, const char *owner)
{
    char *is = owner_of(a);
    bool yes = is && strcmp(is, owner) == 0;
    free(is);
    return yes;
}

/* A process holds back what a method calls while it cannot see its lease. Later calls of the same
 * process leave before it, and the owner of the called agent must take it all the same. */
START_TEST(a_call_that_was_held_back_runs_behind_later_ones)
{
    enum { OTHER_CALLS = 50 };
    int victim = (home_node() + 1) % MASTERS;
    char *begun = sup_path("begun"), *release = sup_path("release"), name[40];
    asq_agent *other = NULL;
    asq_result *held, *result;
    sup_wait_until(all_are_owned());
    asq_agent *held_back = agent_on(victim, "Relay", "held");
    asq_agent *counter = agent_on((victim + 1) % MASTERS, "Counter", "counter");
    char *owner = owner_of(held_back);
    for (int i = 0; !other || !has_owner(other, owner); i++) {
        asq_agent_free(other);
        snprintf(name, sizeof name, "other%d", i);
        other = agent_on((victim + 1) % MASTERS, "Relay", name);
    }
    ck_assert_int_eq(asq_call(held_back, "cross", &held, "[s, s, a, s, [i]]", begun, release,
                              counter, "add", 1000),
                     0);
    sup_wait_until((asq_poll(h, 0), access(begun, F_OK) == 0));
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, victim)), SIGSTOP);
    sup_wait_until((asq_poll(h, 0), atomic_load(&seen->worker_away) >= PROCESSES));
    free(sup_write_file("release", ""));
    for (int i = 0; i < OTHER_CALLS; i++) {
        ck_assert_int_eq(asq_call(other, "call", &result, "[a, s, [i]]", counter, "add", 1), 0);
        take(result, i + 1);
    }
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, victim)), SIGCONT);
    take(held, OTHER_CALLS + 1000);
    asq_agent_free(held_back);
    asq_agent_free(counter);
    asq_agent_free(other);
    free(owner);
    free(begun);
    free(release);
}
END_TEST

/* Polls, without the engine's tick, which begins anew with each loop. */
static bool goes_on_without_tick(struct ev_loop *loop)
{
    return asq_attach_ev(h, loop) == 0 && asq_detach_ev(h) == 0 && asq_poll(h, 5) >= 0;
}

static int64_t entries(int node, uint32_t partition)
{
    return sup_redis_int(sup_cluster_node(nodes, node), "XLEN asq:{default.%u}:jobs", partition);
}

/* Calls to a node that reads nothing wait behind 64 MiB, and those to others do not. They leave as
 * soon as it reads. */
START_TEST(calls_to_a_node_that_takes_no_more_bytes_wait_until_it_does)
{
    enum { LARGE_ONES = 120, BYTES = 1 << 20 };
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    uint32_t part = partition_on(1), other = partition_on(2);
    asq_agent *a = attach_in(part), *b = attach_in(other);
    char *large = calloc(1, BYTES);
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, 1)), SIGSTOP);
    for (int i = 0; i < LARGE_ONES; i++)
        ck_assert_int_eq(asq_send(a, "first", "[y#]", large, (size_t) BYTES), 0);
    ck_assert_int_eq(asq_send(b, "first", "[i]", 1), 0);
    sup_wait_until(goes_on_without_tick(loop) && entries(2, other) == 1);
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, 1)), SIGCONT);
    sup_wait_until(goes_on_without_tick(loop) && entries(1, part) == LARGE_ONES);
    asq_agent_free(a);
    asq_agent_free(b);
    free(large);
    ev_loop_destroy(loop);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_nodes");
    TCase *t = tcase_create("masters");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_masters_begin, on_cluster_end);
    tcase_add_loop_test(t, calls_of_other_nodes_go_on_while_one_is_dead, 0, OTHERS);
    tcase_add_loop_test(t, calls_of_other_nodes_go_on_while_one_hangs, 0, OTHERS);
    tcase_add_test(t, a_call_that_was_held_back_runs_behind_later_ones);
    suite_add_tcase(s, t);
    t = tcase_create("owners");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_masters_begin, on_cluster_end);
    tcase_add_loop_test(t, partitions_stay_when_the_home_node_comes_back_without_workers, 0, 2);
    suite_add_tcase(s, t);
    t = tcase_create("refusals");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, begin_without_worker, end_without_worker);
    tcase_add_test(t, calls_go_on_while_a_stream_takes_none_and_a_node_hangs);
    tcase_add_test(t, calls_to_a_node_that_takes_no_more_bytes_wait_until_it_does);
    suite_add_tcase(s, t);
    t = tcase_create("replicas");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, on_replicas_begin, on_cluster_end);
    tcase_add_loop_test(t, calls_of_other_nodes_go_on_until_a_replica_takes_over, 0, OTHERS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return on_cluster_main(suite);
}
