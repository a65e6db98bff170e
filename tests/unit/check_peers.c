/*
 * check_peers.c: what a process takes for true of another worker, from that one's hash and the
 * heartbeats that it announces, when others have written there too.
 */
#include "worker/peers.h"
#include "support/suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct asq__table peers;
static struct asq__peer *peer;

static void set_up(void)
{
    ck_assert_int_eq(asq__peers_init(&peers), 0);
    peer = asq__peers_list(&peers, "w.0", NULL);
    ck_assert_ptr_nonnull(peer);
}

static void tear_down(void)
{
    asq__peers_release(&peers);
}

/* Reads the hash as it is with this heartbeat, capacity and classes; NULL: it has no such field. */
static bool read_classes(const char *heartbeat, const char *capacity, const char *knows)
{
    const char *const texts[ASQ__PEER_FIELDS] = { [ASQ__PEER_HEARTBEAT] = heartbeat,
                                                  [ASQ__PEER_CAPACITY] = capacity,
                                                  [ASQ__PEER_STOPPING] = "0",
                                                  [ASQ__PEER_LEASE_TIME] = "6000",
                                                  [ASQ__PEER_ID] = "w.0",
                                                  [ASQ__PEER_CLIENT] = "0123456789abcdef",
                                                  [ASQ__PEER_HOST] = "here",
                                                  [ASQ__PEER_PID] = "7",
                                                  [ASQ__PEER_KNOWS] = knows };
    char copies[ASQ__PEER_FIELDS][24];
    redisReply replies[ASQ__PEER_FIELDS], *fields[ASQ__PEER_FIELDS];

    for (int i = 0; i < ASQ__PEER_FIELDS; i++) {
        snprintf(copies[i], sizeof copies[i], "%s", texts[i] ? texts[i] : "");
        replies[i] = (redisReply){ .type = texts[i] ? REDIS_REPLY_STRING : REDIS_REPLY_NIL,
                                   .str = copies[i],
                                   .len = strlen(copies[i]) };
        fields[i] = &replies[i];
    }
    return asq__peer_see(peer, fields);
}

static bool read_hash(const char *heartbeat, const char *capacity)
{
    return read_classes(heartbeat, capacity, NULL);
}

START_TEST(a_worker_is_proven_by_its_second_heartbeat)
{
    ck_assert(!read_hash("1", "4"));
    ck_assert(peer->whole && !peer->proven);
    ck_assert_uint_eq(peer->capacity, 4);
    ck_assert(!read_hash("1", "4"));
    ck_assert(read_hash("2", "4"));
    ck_assert(peer->proven);
}
END_TEST

START_TEST(another_capacity_counts_when_a_second_heartbeat_has_it)
{
    read_hash("1", "4");
    read_hash("2", "8");
    read_hash("2", "8");
    ck_assert_uint_eq(peer->capacity, 4);
    read_hash("3", "8");
    ck_assert_uint_eq(peer->capacity, 8);
}
END_TEST

/* The announcement is of a heartbeat from before the foreign value, and comes between two reads. */
START_TEST(an_announced_heartbeat_does_not_confirm_what_others_have_written)
{
    read_hash("1", "4");
    read_hash("2", "4");
    read_hash("77", "4096");
    asq__peer_see_heartbeat(peer, 3);
    read_hash("77", "4096");
    ck_assert_uint_eq(peer->capacity, 4);
    read_hash("4", "4");
    ck_assert_uint_eq(peer->capacity, 4);
}
END_TEST

START_TEST(a_capacity_without_a_heartbeat_does_not_count)
{
    read_hash("1", "4");
    read_hash("nan", "4096");
    asq__peer_see_heartbeat(peer, 2);
    read_hash("nan", "4096");
    read_hash("3", "4");
    ck_assert_uint_eq(peer->capacity, 4);
}
END_TEST

START_TEST(other_classes_count_when_a_second_heartbeat_has_them)
{
    read_classes("1", "4", "Echo 1");
    ck_assert_str_eq(peer->knows.text, "Echo 1");
    read_classes("2", "4", "Echo 2");
    read_classes("2", "4", "Echo 2");
    ck_assert_str_eq(peer->knows.text, "Echo 1");
    read_classes("3", "4", "Echo 2");
    ck_assert_str_eq(peer->knows.text, "Echo 2");
    read_classes("4", "4", "");
    read_classes("5", "4", "Echo 2");
    read_classes("6", "4", "");
    ck_assert_str_eq(peer->knows.text, "Echo 2");
    read_classes("7", "4", "");
    ck_assert_str_eq(peer->knows.text, "");
}
END_TEST

START_TEST(a_worker_that_tells_no_classes_may_have_every_class)
{
    read_classes("1", "4", NULL);
    ck_assert_ptr_null(peer->knows.text);
    read_classes("2", "4", "Echo 1");
    read_classes("3", "4", "Echo 1");
    ck_assert_str_eq(peer->knows.text, "Echo 1");
    read_classes("4", "4", "*");
    read_classes("5", "4", "*");
    ck_assert_ptr_null(peer->knows.text);
}
END_TEST

/* A survivor that was away itself gives others a lease time to send a heartbeat. */
START_TEST(one_that_was_missed_is_so_until_its_heartbeat_moves)
{
    read_hash("1", "4");
    asq__peer_see_alive(peer, true);
    ck_assert(!peer->missed);
    asq__peer_see_alive(peer, false);
    ck_assert(peer->missed);
    asq__peer_see_alive(peer, true);
    ck_assert(peer->missed);
    read_hash("2", "4");
    asq__peer_see_alive(peer, false); /* its hash has expired */
    ck_assert(peer->missed);
    asq__peer_see_alive(peer, true);
    ck_assert(peer->missed);
    read_hash("3", "4");
    asq__peer_see_alive(peer, true);
    ck_assert(!peer->missed);
    asq__peer_see_alive(peer, true);
    ck_assert(!peer->missed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("peers");
    TCase *t = tcase_create("peers");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_worker_is_proven_by_its_second_heartbeat);
    tcase_add_test(t, another_capacity_counts_when_a_second_heartbeat_has_it);
    tcase_add_test(t, an_announced_heartbeat_does_not_confirm_what_others_have_written);
    tcase_add_test(t, a_capacity_without_a_heartbeat_does_not_count);
    tcase_add_test(t, other_classes_count_when_a_second_heartbeat_has_them);
    tcase_add_test(t, a_worker_that_tells_no_classes_may_have_every_class);
    tcase_add_test(t, one_that_was_missed_is_so_until_its_heartbeat_moves);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
