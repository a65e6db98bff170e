/*
 * check_cluster_failover.c: replicas of a Redis Cluster take over, at times without what their
 * masters wrote last, and slots move: calls take effect once and in order, and with wait_replicas
 * nothing that was told is lost. ASQ_TEST_SEED=N makes the steps of another seed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "classes.h"
#include "load.h"
#include "on_cluster.h"
#include "support/random_steps.h"
#include "support/support.h"

enum { AGENTS = 24, CALLS = 40, ROUNDS = 6, SEEDS = 2, SOME_MS = 200, FAILOVER_MS = 6000 };

/* ---- steps ---- */

static bool leads(int node)
{
    char *info = sup_redis_str(sup_cluster_node(nodes, node), "INFO replication");
    bool yes = strstr(info, "role:master") != NULL;
    free(info);
    return yes;
}

static int64_t offset(int node, const char *name)
{
    return sup_redis_stat(sup_cluster_node(nodes, node), "replication", name, ":");
}

/* Returns which of a shard's two nodes is the master. */
static int master_of(int shard)
{
    return leads(shard) ? shard : shard + MASTERS;
}

static int other_of(int node)
{
    return (node + MASTERS) % (2 * MASTERS);
}

static bool follows(int node, int64_t upto)
{
    char *info = sup_redis_str(sup_cluster_node(nodes, node), "INFO replication");
    bool yes = strstr(info, "role:slave") && strstr(info, "master_link_status:up");
    free(info);
    return yes && offset(node, "slave_repl_offset") >= upto;
}

static bool agree(void)
{
    for (int shard = 0; shard < MASTERS; shard++)
        for (int node = 0; node < 2 * MASTERS; node++) {
            int slot = 16384 * shard / MASTERS, owner = sup_cluster_owner(nodes, node, slot);
            if (owner < 0 || owner != sup_cluster_owner(nodes, 0, slot))
                return false;
        }
    return true;
}

/* Waits until each shard has one master, and a replica with all that the master has now. A fault
 * before would lose what Redis has acknowledged. */
static void settle(struct load *l)
{
    for (int shard = 0; shard < MASTERS; shard++) {
        sup_wait_until((load_is_done(l), leads(shard) != leads(shard + MASTERS)));
        int master = master_of(shard);
        int64_t upto = offset(master, "master_repl_offset");
        sup_wait_until((load_is_done(l), follows(other_of(master), upto)));
    }
    sup_wait_until((load_is_done(l), agree()));
}

static void kill_master(struct load *l, int shard)
{
    int old = master_of(shard);
    sup_redis_kill(sup_cluster_node(nodes, old));
    sup_wait_until((load_is_done(l), leads(other_of(old))));
    sup_redis_restart(sup_cluster_node(nodes, old));
}

/* The replica's connection is cut, so it lacks what the master writes in between. */
static void take_over(struct load *l, int shard)
{
    int old = master_of(shard);
    int64_t until = sup_now_ms() + below(SOME_MS);
    do {
        sup_redis_do(sup_cluster_node(nodes, old), "CLIENT KILL TYPE replica");
        load_calls(l, 2);
        asq_poll(h, 20);
    } while (sup_now_ms() < until);
    sup_redis_do(sup_cluster_node(nodes, other_of(old)), "CLUSTER FAILOVER TAKEOVER");
    sup_wait_until((load_is_done(l), leads(other_of(old))));
}

static void fail_over(struct load *l, int shard)
{
    int old = master_of(shard);
    int64_t again = 0; /* the election may fail, and the master may be too slow */
    while (!leads(other_of(old))) {
        if (sup_now_ms() > again)
            freeReplyObject(
                sup_redis_reply(sup_cluster_node(nodes, other_of(old)), "CLUSTER FAILOVER"));
        again = sup_now_ms() > again ? sup_now_ms() + FAILOVER_MS : again;
        load_is_done(l);
    }
}

static void move_slots(struct load *l)
{
    for (int i = 0; i < 3; i++) {
        uint16_t slot = slot_of(below(PARTITIONS));
        sup_cluster_move(nodes, slot, master_of((int) below(MASTERS)));
        load_is_done(l);
    }
}

static void random_step(struct load *l)
{
    int shard = (int) below(MASTERS);
    unsigned what = below(4);
    fprintf(stderr, "# step %s of shard %d\n",
            (const char *[]){ "kill", "takeover", "failover", "move" }[what], shard);
    switch (what) {
    case 0: kill_master(l, shard); break;
    case 1: take_over(l, shard); break;
    case 2: fail_over(l, shard); break;
    default: move_slots(l);
    }
}

START_TEST(random_failovers_under_load_lose_and_double_nothing)
{
    struct load *l = load_new(h, AGENTS);
    steps_begin(steps_seed() + (uint64_t) _i);
    settle(l);
    for (int round = 0; round < ROUNDS; round++) {
        load_calls(l, CALLS);
        asq_poll(h, (int) below(50));
        random_step(l);
        settle(l);
    }
    load_check(l);
}
END_TEST

/* The client and the workers are connected to the old master all the time. */
START_TEST(a_replica_that_takes_over_without_the_last_calls_keeps_their_order)
{
    struct load *l = load_new(h, AGENTS);
    settle(l);
    for (int shard = 0; shard < MASTERS; shard++) {
        steps_begin((uint64_t) shard);
        take_over(l, shard);
        load_calls(l, 2);
        settle(l);
    }
    load_check(l);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cluster_failover");
    TCase *t = tcase_create("failover");
    tcase_set_timeout(t, 600);
    tcase_add_checked_fixture(t, on_replicas_begin, on_cluster_end);
    tcase_add_test(t, a_replica_that_takes_over_without_the_last_calls_keeps_their_order);
    tcase_add_loop_test(t, random_failovers_under_load_lose_and_double_nothing, 0, SEEDS);
    suite_add_tcase(s, t);
    return s;
}

int main(void)
{
    return on_cluster_main(suite);
}
