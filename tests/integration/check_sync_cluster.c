/*
 * check_sync_cluster.c: connections of threads to the node of a Cluster that has a slot.
 */
#include "redis/sync_cluster.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/slots.h"
#include "redis/sync.h"
#include "redis/url.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "support/support.h"

enum { KEYS = 12 };

static sup_cluster *nodes;
static struct asq__url url;
static char err[400];

static void start_nodes(void)
{
    nodes = sup_cluster_start(3, 1);
}

static void stop_nodes(void)
{
    sup_cluster_free(nodes);
    nodes = NULL;
}

static void teardown(void)
{
    asq__url_release(&url);
}

static void parse(char *text)
{
    ck_assert_msg(asq__url_parse(text, &url, err, sizeof err) == 0, "%s", err);
    free(text);
}

static int open_slot(uint16_t slot, struct asq__sync **ret)
{
    return asq__sync_open_slot(&url, slot, "test", 20000, -1, ret, err, sizeof err);
}

/* Writes and reads a key by a connection of its own. */
static void use(int number)
{
    char key[16];
    struct asq__sync *s = NULL;
    snprintf(key, sizeof key, "key:%d", number);
    ck_assert_msg(open_slot(asq__slot_of_key(key, strlen(key)), &s) == 0, "%s", err);
    redisReply *reply = asq__sync_cmd(s, "SET %s %d", key, number);
    ck_assert_ptr_nonnull(reply);
    ck_assert_msg(reply->type == REDIS_REPLY_STATUS, "%s", reply->str);
    freeReplyObject(reply);
    asq__sync_free(s);
}

START_TEST(a_slots_node_is_found_through_the_one_host_that_answers)
{
    parse(sup_format("redis+cluster://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d", sup_free_port(),
                     sup_cluster_port(nodes, 3), sup_free_port()));
    for (int i = 0; i < KEYS; i++)
        use(i);
}
END_TEST

START_TEST(a_host_that_hangs_takes_its_part_of_the_time)
{
    parse(sup_format("redis+cluster://127.0.0.1:%d,127.0.0.1:%d", sup_cluster_port(nodes, 3),
                     sup_cluster_port(nodes, 1)));
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, 3)), SIGSTOP);
    use(0);
    use(1);
    sup_proc_signal(sup_redis_proc(sup_cluster_node(nodes, 3)), SIGCONT);
}
END_TEST

/* Takes a slot from its owner on each master. A packet of the owner may still give it back. */
static void take_from_owner(int slot)
{
    for (int i = 0; i < 3; i++)
        if (sup_cluster_owner(nodes, i, slot) >= 0)
            sup_redis_do(sup_cluster_node(nodes, i), "CLUSTER DELSLOTS %d", slot);
}

static int code_of_slot(int slot)
{
    struct asq__sync *s = NULL;
    int rc = open_slot((uint16_t) slot, &s);
    asq__sync_free(s);
    return rc;
}

START_TEST(a_slot_that_nobody_serves_is_told)
{
    parse(sup_cluster_url(nodes, 1));
    int slot = 1, owner = sup_cluster_owner(nodes, 1, slot);
    ck_assert_int_eq(owner, 0);
    sup_wait_until((take_from_owner(slot), code_of_slot(slot) == ASQ_EBUSY));
    ck_assert_msg(strstr(err, "slot 1 "), "%s", err);
    sup_redis_do(sup_cluster_node(nodes, 0), "CLUSTER ADDSLOTS %d", slot);
}
END_TEST

START_TEST(one_redis_has_all_slots)
{
    struct asq__sync *s = NULL;
    sup_redis *r = sup_redis_start(NULL);
    parse(sup_format("%s", sup_redis_url(r)));
    ck_assert_msg(open_slot(7, &s) == 0, "%s", err);
    asq__sync_free(s);
    sup_redis_free(r);
}
END_TEST

START_TEST(hosts_that_do_not_answer_are_named)
{
    struct asq__sync *s = NULL;
    int port = sup_free_port();
    parse(sup_format("redis+cluster://127.0.0.1:%d", port));
    char *part = sup_format("127.0.0.1:%d", port);
    ck_assert_int_eq(open_slot(7, &s), ASQ_ECONN);
    ck_assert_msg(strstr(err, part), "%s", err);
    free(part);
}
END_TEST

int main(void)
{
    if (!sup_cluster_available())
        return sup_skip("a Cluster needs Redis 7.0 or newer");
    Suite *s = suite_create("sync_cluster");
    TCase *tc = tcase_create("all");
    tcase_add_unchecked_fixture(tc, start_nodes, stop_nodes);
    tcase_add_checked_fixture(tc, NULL, teardown);
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, a_slots_node_is_found_through_the_one_host_that_answers);
    tcase_add_test(tc, a_host_that_hangs_takes_its_part_of_the_time);
    tcase_add_test(tc, one_redis_has_all_slots);
    tcase_add_test(tc, hosts_that_do_not_answer_are_named);
    tcase_add_test(tc, a_slot_that_nobody_serves_is_told);
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
