/*
 * check_cluster.c: the nodes of a Redis Cluster as lib/redis knows them: found through any host,
 * followed when slots move and masters die. Counters, one for each of some slots, are raised all
 * the time: what was acknowledged is there, once.
 */
#include "redis/cluster.h"

#include <check.h>
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/slots.h"
#include "redis/url.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "support/support.h"

enum { COUNTERS = 24, IN_FLIGHT = 4 };

struct counter {
    char key[16];
    uint16_t slot;
    struct asq__cluster_node *node; /* to which the last command was sent */
    long sent, pending, done, lost, refused;
    long moves; /* how often it was said where the slot is */
    long heard; /* messages of its channel, whose name is the key */
};

static sup_cluster *nodes;
static struct ev_loop *loop;
static struct asq__url url;
static struct asq__cluster *cluster;
static struct counter counters[COUNTERS];
static int failures, moved_replies, ask_replies, hears, deafs, refused_channels;
static bool hearing; /* subscribing to the channels of all counters */
static char failure[900];

/* ---- callbacks ---- */

static void on_up(struct asq__cluster *c, struct asq__cluster_node *node, void *user)
{
    (void) c, (void) user;
    ck_assert(asq__conn_is_up(node->conn));
}

static void on_down(struct asq__cluster *c, struct asq__cluster_node *node, int code,
                    const char *why, void *user)
{
    (void) c, (void) node, (void) code, (void) why, (void) user;
}

/* Subscribes to the channel of a counter, if its node can be subscribed to now. */
static void hear(const struct counter *c)
{
    struct asq__cluster_node *node = asq__cluster_node_of(cluster, c->slot);
    if (node && node->sub && asq__conn_is_up(node->sub))
        ck_assert_int_eq(asq__conn_cmd(node->sub, NULL, NULL, "SSUBSCRIBE", c->key, NULL), 0);
}

static void on_hears(struct asq__cluster *c, struct asq__cluster_node *node, void *user)
{
    (void) user;
    hears++;
    for (int i = 0; i < COUNTERS; i++)
        if (*counters[i].key && asq__cluster_node_of(c, counters[i].slot) == node)
            hear(&counters[i]);
}

static void on_deaf(struct asq__cluster *c, struct asq__cluster_node *node, int code,
                    const char *why, void *user)
{
    (void) c, (void) node, (void) code, (void) why, (void) user;
    deafs++;
}

static void on_push(struct asq__cluster *c, struct asq__cluster_node *node, const redisReply *reply,
                    void *user)
{
    (void) user;
    if (reply->type == REDIS_REPLY_ERROR) {
        refused_channels++;
        asq__cluster_redirected(c, node, reply->str);
        return;
    }
    ck_assert_uint_eq(reply->elements, 3);
    for (int i = 0; i < COUNTERS; i++)
        counters[i].heard += strcmp(reply->element[0]->str, "smessage") == 0 &&
                             strcmp(reply->element[1]->str, counters[i].key) == 0;
}

/* No command of the slot is under way on its former node. */
static void on_moved(struct asq__cluster *c, uint16_t slot, struct asq__cluster_node *node,
                     void *user)
{
    (void) user;
    for (int i = 0; i < COUNTERS; i++)
        if (counters[i].slot == slot && *counters[i].key) {
            ck_assert_int_eq(counters[i].pending, 0);
            counters[i].moves++;
            if (hearing && node)
                hear(&counters[i]);
        }
    ck_assert_ptr_eq(asq__cluster_node_of(c, slot), node);
}

static void on_failed(struct asq__cluster *c, int code, const char *why, void *user)
{
    (void) c, (void) code, (void) user;
    failures++;
    snprintf(failure, sizeof failure, "%s", why);
}

static void on_counted(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct counter *c = user;
    (void) conn;
    c->pending--;
    if (!reply) {
        c->lost++;
    } else if (reply->type == REDIS_REPLY_INTEGER) {
        c->done++;
    } else {
        ck_assert_int_eq(reply->type, REDIS_REPLY_ERROR);
        c->refused++;
        switch (asq__cluster_redirected(cluster, c->node, reply->str)) {
        case ASQ__REDIRECT_MOVED: moved_replies++; break;
        case ASQ__REDIRECT_ASK: ask_replies++; break;
        case ASQ__REDIRECT_NONE: break;
        }
    }
}

/* ---- a program that counts ---- */

static void count(struct counter *c)
{
    struct asq__cluster_node *node = asq__cluster_node_of(cluster, c->slot);
    while (node && node->conn && asq__conn_is_up(node->conn) && c->pending < IN_FLIGHT) {
        if (hearing)
            asq__conn_cmd(node->conn, NULL, NULL, "SPUBLISH", c->key, "counted", NULL);
        if (asq__conn_cmd(node->conn, on_counted, c, "INCR", c->key, NULL) < 0)
            break;
        c->node = node;
        c->sent++;
        c->pending++;
    }
}

static void turn(bool counting)
{
    for (int i = 0; i < COUNTERS && counting; i++)
        count(&counters[i]);
    ev_run(loop, EVRUN_NOWAIT);
    sup_sleep_ms(1);
}

static bool run_once(void)
{
    turn(true);
    return true;
}

#define run_until(condition) sup_wait_until(run_once() && (condition))

/* Lets each command under way end. */
static bool all_ended(void)
{
    turn(false);
    for (int i = 0; i < COUNTERS; i++)
        if (counters[i].pending)
            return false;
    return true;
}

static void open_cluster(const char *text)
{
    char err[300];
    ck_assert_msg(asq__url_parse(text, &url, err, sizeof err) == 0, "%s", err);
    loop = ev_loop_new(EVFLAG_AUTO);
    struct asq__cluster_config config = { .loop = loop,
                                          .url = &url,
                                          .name = "test",
                                          .connect_timeout_ms = 5000,
                                          .reply_timeout_ms = 60000,
                                          .up = on_up,
                                          .down = on_down,
                                          .hears = on_hears,
                                          .deaf = on_deaf,
                                          .push = hearing ? on_push : NULL,
                                          .moved = on_moved,
                                          .failed = on_failed };
    ck_assert_int_eq(asq__cluster_new(&config, &cluster), 0);
}

static void want_counters(void)
{
    for (int i = 0; i < COUNTERS; i++) {
        struct counter *c = &counters[i];
        snprintf(c->key, sizeof c->key, "counter:%d", i);
        c->slot = asq__slot_of_key(c->key, strlen(c->key));
        int owner = sup_cluster_settled_owner(nodes, c->slot);
        sup_redis_do(sup_cluster_node(nodes, owner), "DEL %s", c->key); /* of another test */
        asq__cluster_want(cluster, c->slot);
    }
}

static void close_cluster(void)
{
    asq__cluster_free(cluster);
    for (int i = 0; i < COUNTERS; i++)
        ck_assert_int_eq(counters[i].pending, 0);
    ev_loop_destroy(loop);
    asq__url_release(&url);
}

/* Checks a counter in Redis: nothing acknowledged is missing, nothing was done twice. */
static void check_counter(const struct counter *c)
{
    int owner = sup_cluster_settled_owner(nodes, c->slot);
    char *text = sup_redis_str(sup_cluster_node(nodes, owner), "GET %s", c->key);
    long value = text ? atol(text) : 0;
    free(text);
    ck_assert_int_eq(c->sent, c->done + c->lost + c->refused);
    ck_assert_int_ge(value, c->done);
    ck_assert_int_le(value, c->done + c->lost);
}

/* ---- fixtures ---- */

static void start_nodes(void)
{
    nodes = sup_cluster_start(3, 3);
}

static void stop_nodes(void)
{
    sup_cluster_free(nodes);
    nodes = NULL;
}

static struct counter *counter_of_node(int node)
{
    for (int i = 0; i < COUNTERS; i++)
        if (sup_cluster_settled_owner(nodes, counters[i].slot) == node)
            return &counters[i];
    sup_fail("no counter has a slot of node %d", node);
}

/* The next test begins with nodes that have heard of it. */
static void move_back(const struct counter *c)
{
    sup_cluster_move(nodes, c->slot, 0);
    sup_cluster_settled_owner(nodes, c->slot);
}

static bool all_have_done(long n)
{
    for (int i = 0; i < COUNTERS; i++)
        if (counters[i].done < n)
            return false;
    return true;
}

/* ---- tests ---- */

START_TEST(all_slots_are_found_through_the_one_host_that_answers)
{
    char *text = sup_format("redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d",
                            sup_free_port(), sup_cluster_port(nodes, 4), sup_free_port());
    open_cluster(text);
    free(text);
    want_counters();
    run_until(all_have_done(5));
    ck_assert_int_eq(moved_replies, 0);
    ck_assert_uint_eq(asq__cluster_connections(cluster), 3);
    sup_wait_until(all_ended());
    for (int i = 0; i < COUNTERS; i++) {
        ck_assert_int_eq(counters[i].refused + counters[i].lost, 0);
        ck_assert_int_eq(counters[i].moves, 1);
        check_counter(&counters[i]);
    }
    close_cluster();
}
END_TEST

START_TEST(a_slot_that_is_wanted_later_has_its_node_at_once)
{
    char *text = sup_cluster_url(nodes, 0);
    open_cluster(text);
    free(text);
    run_until(asq__cluster_maps(cluster) > 0);
    ck_assert_uint_eq(asq__cluster_connections(cluster), 0);
    want_counters();
    ck_assert_uint_eq(asq__cluster_connections(cluster), 3);
    for (int i = 0; i < COUNTERS; i++)
        ck_assert_ptr_nonnull(asq__cluster_node_of(cluster, counters[i].slot));
    close_cluster();
}
END_TEST

START_TEST(a_slot_that_moves_is_followed_and_no_command_is_done_twice)
{
    char *text = sup_cluster_url(nodes, 1);
    open_cluster(text);
    free(text);
    want_counters();
    run_until(all_have_done(5));
    struct counter *c = counter_of_node(0);
    for (int from = 0, round = 0; round < 6; round++) {
        int to = (from + 1) % 3, asks = ask_replies, moves = moved_replies;
        long before = c->done, said = c->moves;
        sup_cluster_move_begin(nodes, c->slot, from, to);
        run_until(c->done > before);
        sup_cluster_move_keys(nodes, c->slot, from, to);
        run_until(ask_replies > asks); /* the key is away, and the slot is still here */
        sup_cluster_move_end(nodes, c->slot, from, to);
        before = c->done;
        run_until(c->done > before + 20);
        ck_assert_int_gt(moved_replies, moves);
        ck_assert_int_gt(c->moves, said);
        ck_assert_int_eq(c->node->host.port, sup_cluster_port(nodes, to));
        from = to;
    }
    sup_wait_until(all_ended());
    for (int i = 0; i < COUNTERS; i++) {
        ck_assert_int_eq(counters[i].lost, 0);
        ck_assert(counters[i].refused == 0 || counters[i].slot == c->slot);
        check_counter(&counters[i]);
    }
    move_back(c);
    close_cluster();
}
END_TEST

/* The reply of a command finds its node, though a map that is out of date gives the slots away. */
START_TEST(a_node_is_found_by_its_connection_while_its_slots_move)
{
    char *text = sup_cluster_url(nodes, 1);
    open_cluster(text);
    free(text);
    want_counters();
    run_until(all_have_done(5));
    sup_wait_until(all_ended());
    struct asq__cluster_node *node = asq__cluster_node_of(cluster, counters[0].slot);
    struct asq__conn *conn = node->conn;
    for (int i = 0; i < COUNTERS; i++)
        if (asq__cluster_node_of(cluster, counters[i].slot) == node) {
            text = sup_format("MOVED %u 127.0.0.1:%d", counters[i].slot, sup_free_port());
            asq__cluster_redirected(cluster, node, text);
            free(text);
        }
    ck_assert_ptr_ne(asq__cluster_node_of(cluster, counters[0].slot), node);
    ck_assert_ptr_eq(asq__cluster_node_with(cluster, conn), node);
    close_cluster();
}
END_TEST

START_TEST(the_map_follows_moves_that_no_command_has_met)
{
    char *text = sup_cluster_url(nodes, 1);
    open_cluster(text);
    free(text);
    want_counters();
    run_until(all_have_done(5));
    struct counter *c = counter_of_node(0);
    sup_wait_until(all_ended());
    sup_cluster_move(nodes, c->slot, 2);
    long said = c->moves;
    /* Nodes learn of the move one after the other. */
    while (c->moves == said) {
        asq__cluster_refresh(cluster);
        uint64_t maps = asq__cluster_maps(cluster);
        while (asq__cluster_maps(cluster) == maps)
            turn(false);
    }
    ck_assert_int_eq(asq__cluster_node_of(cluster, c->slot)->host.port, sup_cluster_port(nodes, 2));
    run_until(all_have_done(10));
    ck_assert_int_eq(moved_replies, 0);
    move_back(c);
    close_cluster();
}
END_TEST

static bool all_have_heard(long n)
{
    for (int i = 0; i < COUNTERS; i++)
        if (counters[i].heard < n)
            return false;
    return true;
}

static void forget_heard(void)
{
    for (int i = 0; i < COUNTERS; i++)
        counters[i].heard = 0;
}

START_TEST(pushes_are_heard_again_when_a_slot_has_moved_or_a_connection_was_lost)
{
    char *text = sup_cluster_url(nodes, 0);
    hearing = true;
    open_cluster(text);
    free(text);
    want_counters();
    ck_assert_uint_eq(asq__cluster_connections(cluster), 0); /* the map is not known yet */
    run_until(all_have_heard(3));
    ck_assert_uint_eq(asq__cluster_connections(cluster), 6);
    struct counter *c = counter_of_node(0);
    sup_cluster_move(nodes, c->slot, 1);
    forget_heard();
    run_until(all_have_heard(3));
    sup_redis_do(sup_cluster_node(nodes, 1), "CLIENT KILL TYPE pubsub");
    run_until(deafs == 1 && hears == 4);
    forget_heard();
    run_until(all_have_heard(3));
    move_back(c);
    sup_wait_until(all_ended());
    check_counter(c);
    close_cluster();
}
END_TEST

START_TEST(a_subscription_that_is_refused_is_answered)
{
    char *text = sup_cluster_url(nodes, 0);
    hearing = true;
    open_cluster(text);
    free(text);
    want_counters();
    run_until(all_have_heard(1));
    struct counter *c = counter_of_node(0), *other = counter_of_node(1);
    struct asq__cluster_node *node = asq__cluster_node_of(cluster, c->slot);
    ck_assert_int_eq(asq__conn_cmd(node->sub, NULL, NULL, "SSUBSCRIBE", other->key, NULL), 0);
    run_until(refused_channels == 1);
    ck_assert_int_eq(asq__conn_unanswered(node->sub), 0);
    ck_assert_int_eq(deafs, 0);
    close_cluster();
}
END_TEST

START_TEST(a_master_that_dies_is_replaced_and_the_others_go_on)
{
    char *text = sup_cluster_url(nodes, 2);
    open_cluster(text);
    free(text);
    want_counters();
    run_until(all_have_done(5));
    struct counter *c = counter_of_node(0), *other = counter_of_node(1);
    sup_redis_kill(sup_cluster_node(nodes, 0));
    long before = c->done, before_other = other->done;
    run_until(c->done > before + 20);
    ck_assert_int_eq(c->node->host.port, sup_cluster_port(nodes, 3));
    ck_assert_int_gt(other->done, before_other);
    ck_assert_int_eq(other->lost + other->refused, 0);
    close_cluster();
}
END_TEST

START_TEST(a_master_that_hangs_is_left_when_it_is_replaced)
{
    char *text = sup_cluster_url(nodes, 2);
    open_cluster(text);
    free(text);
    want_counters();
    run_until(all_have_done(5));
    struct counter *c = counter_of_node(1);
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, 1)), SIGSTOP);
    long before = c->done;
    run_until(c->done > before + 20); /* its connection is not lost by itself */
    ck_assert_int_eq(c->node->host.port, sup_cluster_port(nodes, 4));
    ck_assert_int_gt(c->lost, 0);
    close_cluster();
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, 1)), SIGCONT);
}
END_TEST

START_TEST(a_server_without_a_cluster_says_so)
{
    char *port = sup_format("port %d", sup_free_port());
    sup_redis *r = sup_redis_start((const char *[]){ port, NULL });
    char *text = sup_format("redis+cluster://127.0.0.1:%s", port + 5);
    open_cluster(text);
    run_until(failures > 2);
    ck_assert_msg(strstr(failure, "cluster support disabled"), "%s", failure);
    ck_assert_msg(strstr(failure, port + 5), "%s", failure);
    close_cluster();
    sup_redis_free(r);
    free(text);
    free(port);
}
END_TEST

static void add_case(Suite *s, const char *name, const TTest *const tests[])
{
    TCase *tc = tcase_create(name);
    tcase_add_unchecked_fixture(tc, start_nodes, stop_nodes);
    tcase_set_timeout(tc, 300);
    for (size_t i = 0; tests[i]; i++)
        tcase_add_test(tc, tests[i]);
    suite_add_tcase(s, tc);
}

int main(void)
{
    if (!sup_cluster_available())
        return sup_skip("a Cluster needs Redis 7.0 or newer");
    Suite *s = suite_create("cluster");
    add_case(s, "whole",
             (const TTest *const[]){
                 all_slots_are_found_through_the_one_host_that_answers,
                 a_slot_that_is_wanted_later_has_its_node_at_once,
                 a_slot_that_moves_is_followed_and_no_command_is_done_twice,
                 a_node_is_found_by_its_connection_while_its_slots_move,
                 the_map_follows_moves_that_no_command_has_met,
                 pushes_are_heard_again_when_a_slot_has_moved_or_a_connection_was_lost,
                 a_subscription_that_is_refused_is_answered, a_server_without_a_cluster_says_so,
                 NULL });
    add_case(s, "dies",
             (const TTest *const[]){ a_master_that_dies_is_replaced_and_the_others_go_on, NULL });
    add_case(s, "hangs",
             (const TTest *const[]){ a_master_that_hangs_is_left_when_it_is_replaced, NULL });
    return sup_suite_run(s);
}
