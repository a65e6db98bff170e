/*
 * check_window.c: the room for commits at a node of a Cluster: small at one that is near, so that
 * commits take up more calls, and larger at one that is far away, so that it is kept busy.
 */
#include "worker/core/window.h"
#include "support/suite.h"

#include <check.h>

enum { US = 1000, MS = 1000000, ANSWERS = 4000 };

static const int64_t start = (int64_t) 1000 * 1000 * MS;

/* A node that does one script call after the other, each in `work_ns`, and is `way_ns` away. */
struct node {
    struct asq__window w;
    int64_t work_ns, way_ns;
    int64_t now_ns, free_ns;            /* when it is done with what it has */
    int64_t sent[ASQ__WINDOW_MOST + 1]; /* of those under way, oldest first from `first` */
    int64_t done[ASQ__WINDOW_MOST + 1];
    unsigned first, n;
};

static void send_all(struct node *node)
{
    while (!asq__window_holds(&node->w)) {
        unsigned at = (node->first + node->n++) % (ASQ__WINDOW_MOST + 1);
        int64_t there = node->now_ns + node->way_ns / 2;
        ck_assert_uint_le(node->n, ASQ__WINDOW_MOST);
        node->free_ns = (node->free_ns > there ? node->free_ns : there) + node->work_ns;
        node->sent[at] = node->now_ns;
        node->done[at] = node->free_ns + node->way_ns / 2;
        asq__window_sent(&node->w);
    }
}

/* Keeps as many under way as there is room for; returns the share of time in which it works. */
static double run(struct node *node, int answers)
{
    int64_t begin = node->now_ns;
    send_all(node);
    for (int i = 0; i < answers; i++) {
        unsigned at = node->first;
        node->now_ns = node->done[at];
        node->first = (at + 1) % (ASQ__WINDOW_MOST + 1);
        node->n--;
        asq__window_answered(&node->w, node->sent[at], node->now_ns);
        send_all(node);
    }
    return (double) answers * (double) node->work_ns / (double) (node->now_ns - begin);
}

START_TEST(at_a_node_that_is_near_the_room_stays_small)
{
    struct node node = { .work_ns = 50 * US, .way_ns = 60 * US, .now_ns = start };
    double busy = run(&node, ANSWERS);
    ck_assert_uint_eq(node.n, ASQ__WINDOW_LEAST);
    ck_assert_double_gt(busy, 0.95);
}
END_TEST

START_TEST(a_node_that_is_far_away_is_kept_busy)
{
    struct node node = { .work_ns = 50 * US, .way_ns = 2 * MS, .now_ns = start };
    run(&node, ANSWERS);
    ck_assert_double_gt(run(&node, ANSWERS), 0.8);
    ck_assert_uint_lt(node.n, ASQ__WINDOW_MOST);
}
END_TEST

START_TEST(the_room_has_a_bound)
{
    struct node node = { .work_ns = 1, .way_ns = 500 * (int64_t) MS, .now_ns = start };
    run(&node, ANSWERS);
    ck_assert_uint_eq(node.n, ASQ__WINDOW_MOST);
}
END_TEST

START_TEST(the_room_shrinks_again_when_the_way_becomes_short)
{
    struct node node = { .work_ns = 50 * US, .way_ns = 2 * MS, .now_ns = start };
    run(&node, ANSWERS);
    ck_assert_uint_gt(node.n, ASQ__WINDOW_LEAST);
    node.way_ns = 60 * US;
    run(&node, 20000);
    ck_assert_uint_eq(node.w.room, ASQ__WINDOW_LEAST);
}
END_TEST

/* Times count for 20 s at most: otherwise the room would stay too small for a way that has become
 * long. */
START_TEST(a_way_that_becomes_long_is_learned)
{
    struct node node = { .work_ns = 50 * US, .way_ns = 60 * US, .now_ns = start };
    run(&node, ANSWERS);
    node.way_ns = 2 * MS;
    run(&node, 40 * 4000);
    ck_assert_double_gt(run(&node, ANSWERS), 0.8);
}
END_TEST

START_TEST(without_anything_held_the_room_does_not_grow)
{
    struct asq__window w = { 0 };
    for (int i = 0; i < ANSWERS; i++) {
        asq__window_sent(&w);
        asq__window_answered(&w, start + i * (int64_t) MS, start + i * (int64_t) MS + 2 * MS);
    }
    for (unsigned i = 0; i < ASQ__WINDOW_LEAST; i++) {
        ck_assert(!asq__window_holds(&w));
        asq__window_sent(&w);
    }
    ck_assert(asq__window_holds(&w));
}
END_TEST

START_TEST(what_is_lost_makes_room)
{
    struct asq__window w = { 0 };
    for (unsigned i = 0; i < ASQ__WINDOW_LEAST; i++)
        asq__window_sent(&w);
    ck_assert(asq__window_holds(&w));
    asq__window_answered(&w, 0, start);
    ck_assert(!asq__window_holds(&w));
    ck_assert_uint_eq(w.answers, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("window");
    TCase *t = tcase_create("room");
    tcase_add_test(t, at_a_node_that_is_near_the_room_stays_small);
    tcase_add_test(t, a_node_that_is_far_away_is_kept_busy);
    tcase_add_test(t, the_room_has_a_bound);
    tcase_add_test(t, the_room_shrinks_again_when_the_way_becomes_short);
    tcase_add_test(t, a_way_that_becomes_long_is_learned);
    tcase_add_test(t, without_anything_held_the_room_does_not_grow);
    tcase_add_test(t, what_is_lost_makes_room);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
