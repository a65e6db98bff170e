/*
 * check_redis_routes.c: redis.c in a Redis Cluster: from `up` or `parts_up` to `parts_down`, the
 * commands of a partition go to one node. When its slot moves, nothing reaches the new node before
 * what was sent to the former one was asked about, because a replica that takes over may lack it;
 * partitions of nodes that neither get nor lose a slot are not concerned.
 */
#include <ev.h>
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/slots.h"
#include "redis/url.h"
#include "support/cluster.h"
#include "support/suite.h"
#include "support/support.h"

enum { MASTERS = 3, PARTITIONS = 8 };

static sup_cluster *nodes;
static struct ev_loop *loop;
static struct asq__url url;
static struct asq__redis *redis;
static int ups[PARTITIONS + 1], downs[PARTITIONS + 1], all_downs, strays;
static struct asq__conn *routes[PARTITIONS + 1]; /* since `up`; the last one: of the namespace */
static ev_prepare each_turn;

static struct asq__conn *route(uint32_t p)
{
    return p < PARTITIONS ? asq__redis_conn(redis, p) : asq__redis_home(redis);
}

static void on_up(struct asq__redis *r, void *user)
{
    (void) r, (void) user;
    for (uint32_t p = 0; p <= PARTITIONS; p++)
        routes[p] = route(p);
}

static void on_parts_up(struct asq__redis *r, const bool *parts, void *user)
{
    (void) user;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (parts[p]) {
            ck_assert(asq__redis_serves(r, p));
            ups[p]++;
            routes[p] = route(p);
        }
}

static void on_parts_down(struct asq__redis *r, const bool *parts, int code, const char *why,
                          void *user)
{
    (void) code, (void) why, (void) user;
    for (uint32_t p = 0; p < PARTITIONS; p++)
        if (parts[p]) {
            ck_assert(!asq__redis_serves(r, p));
            downs[p]++;
        }
}

static void on_home_up(struct asq__redis *r, void *user)
{
    (void) r, (void) user;
    ups[PARTITIONS]++;
    routes[PARTITIONS] = route(PARTITIONS);
}

static void on_down(struct asq__redis *r, int code, const char *why, void *user)
{
    (void) r, (void) code, (void) why, (void) user;
    all_downs++;
}

static void on_push(struct asq__redis *r, int channel, const void *payload, size_t n, void *user)
{
    (void) r, (void) channel, (void) payload, (void) n, (void) user;
}

static void on_namespace(struct asq__redis *r, enum asq__namespace_event what, uint32_t before,
                         void *user)
{
    (void) r, (void) what, (void) before, (void) user;
}

/* Where the layers above send what has become ready. */
static void on_turn(struct ev_loop *l, ev_prepare *w, int revents)
{
    (void) l, (void) w, (void) revents;
    for (uint32_t p = 0; asq__redis_is_up(redis) && p <= PARTITIONS; p++)
        strays += route(p) != routes[p] && asq__conn_is_up(route(p));
}

static bool turn(void)
{
    ev_run(loop, EVRUN_NOWAIT);
    return true;
}

static void begin(void)
{
    char err[300];
    nodes = sup_cluster_start(MASTERS, 0);
    char *text = sup_cluster_url(nodes, 0);
    ck_assert_int_eq(asq__url_parse(text, &url, err, sizeof err), 0);
    free(text);
    sup_redis_do(sup_cluster_node_of(nodes, "asq:{default}:meta"),
                 "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    loop = ev_loop_new(EVFLAG_AUTO);
    struct asq__redis_config config = { .loop = loop,
                                        .url = &url,
                                        .ns = "default",
                                        .name = "test",
                                        .channels = { "0123456789abcdef" },
                                        .connect_timeout_ms = 5000,
                                        .up = on_up,
                                        .down = on_down,
                                        .parts_up = on_parts_up,
                                        .parts_down = on_parts_down,
                                        .home_up = on_home_up,
                                        .push = on_push,
                                        .namespace_event = on_namespace };
    ck_assert_int_eq(asq__redis_new(&config, &redis, err, sizeof err), 0);
    ev_prepare_init(&each_turn, on_turn);
    ev_prepare_start(loop, &each_turn);
    sup_wait_until(turn() && asq__redis_is_up(redis));
}

static void end(void)
{
    ev_prepare_stop(loop, &each_turn);
    asq__redis_free(redis);
    ev_loop_destroy(loop);
    asq__url_release(&url);
    sup_cluster_free(nodes);
}

/* Returns the slot of a partition's keys, or of the namespace's. */
static uint16_t slot_of(uint32_t p)
{
    const struct asq__keys *keys = asq__redis_keys(redis);
    char key[ASQ__KEY_MAX];
    size_t n = p < PARTITIONS ? asq__keys_jobs(keys, p, key) : asq__keys_meta(keys, key);
    return asq__slot_of_key(key, n);
}

/* The former node has nothing to answer, so the slot has moved as soon as that is known. */
START_TEST(no_command_goes_to_the_new_node_of_a_slot_before_all_is_asked_about)
{
    char text[] = "CLUSTERDOWN as a reader is told";
    redisReply refusal = { .type = REDIS_REPLY_ERROR, .str = text, .len = strlen(text) };
    for (uint32_t p = 0; p <= PARTITIONS; p++) {
        uint16_t slot = slot_of(p);
        int before = ups[p], from = sup_cluster_settled_owner(nodes, slot);
        int to = (from + 1) % MASTERS, others[PARTITIONS];
        bool concerned[PARTITIONS];
        for (uint32_t q = 0; q < PARTITIONS; q++) {
            concerned[q] = q == p || sup_cluster_settled_owner(nodes, slot_of(q)) == from;
            others[q] = downs[q];
        }
        sup_cluster_move(nodes, slot, to);
        ck_assert_int_eq(sup_cluster_settled_owner(nodes, slot), to); /* each node may be asked */
        asq__redis_refused_on(redis, p, &refusal);
        sup_wait_until(turn() && ups[p] > before && asq__redis_serves_all(redis));
        ck_assert_int_eq(strays, 0);
        ck_assert_int_eq(all_downs, 0);
        for (uint32_t q = 0; q < PARTITIONS; q++)
            ck_assert(concerned[q] || downs[q] == others[q]);
        ck_assert(p == PARTITIONS || downs[p] > others[p]);
    }
}
END_TEST

int main(void)
{
    if (!sup_cluster_available())
        return sup_skip("no redis-server with a Cluster of sharded channels");
    Suite *s = suite_create("redis_routes");
    TCase *t = tcase_create("redis_routes");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, no_command_goes_to_the_new_node_of_a_slot_before_all_is_asked_about);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
