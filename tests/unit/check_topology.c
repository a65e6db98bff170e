/*
 * check_topology.c: descriptions of a Cluster, as nodes of each version give them, and nonsense,
 * which is refused whole.
 */
#include "redis/topology.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/url.h"
#include "support/suite.h"
#include "value/buf.h"

static struct asq__url url;
static struct asq__topology_view view = { &url, "seed.example", 7000 };
static struct asq__topology t;
static struct asq__buf bytes;
static char err[400];

static void setup(void)
{
    asq__buf_init(&bytes, 1 << 26);
    memset(&t, 0, sizeof t);
    memset(&url, 0, sizeof url);
    err[0] = '\0';
}

static void teardown(void)
{
    asq__topology_release(&t);
    asq__url_release(&url);
    asq__buf_release(&bytes);
}

/* ---- replies, in the protocol of Redis ---- */

static void list(int n)
{
    asq__buf_printf(&bytes, "*%d\r\n", n);
}

static void text(const char *s)
{
    asq__buf_printf(&bytes, "$%zu\r\n%s\r\n", strlen(s), s);
}

static void number(long long n)
{
    asq__buf_printf(&bytes, ":%lld\r\n", n);
}

static void nil(void)
{
    asq__buf_puts(&bytes, "$-1\r\n");
}

/* Parses what was written, and forgets it. */
static int parse(int (*from)(const struct asq__topology_view *, const redisReply *,
                             struct asq__topology *, char *, size_t))
{
    void *reply = NULL;
    redisReader *reader = redisReaderCreate();
    ck_assert_ptr_nonnull(reader);
    ck_assert_int_eq(redisReaderFeed(reader, (const char *) bytes.data, bytes.len), REDIS_OK);
    ck_assert_int_eq(redisReaderGetReply(reader, &reply), REDIS_OK);
    ck_assert_ptr_nonnull(reply);
    asq__buf_reset(&bytes);
    asq__topology_release(&t);
    int rc = from(&view, reply, &t, err, sizeof err);
    freeReplyObject(reply);
    redisReaderFree(reader);
    return rc;
}

static void parses(int (*from)(const struct asq__topology_view *, const redisReply *,
                               struct asq__topology *, char *, size_t))
{
    int rc = parse(from);
    ck_assert_msg(rc == 0, "%s", err);
}

static void refuses(int (*from)(const struct asq__topology_view *, const redisReply *,
                                struct asq__topology *, char *, size_t),
                    const char *part)
{
    ck_assert_int_eq(parse(from), ASQ_EPROTO);
    ck_assert_msg(strstr(err, part) != NULL, "expected \"%s\" in \"%s\"", part, err);
    ck_assert_ptr_null(t.nodes);
}

/* Writes the beginning of a shard with one range (first < 0: without slots) and n nodes. */
static void shard(int first, int last, int n)
{
    list(4);
    text("slots");
    list(first < 0 ? 0 : 2);
    if (first >= 0) {
        number(first);
        number(last);
    }
    text("nodes");
    list(n);
}

static void shard_node(const char *endpoint, int port, const char *role, const char *health)
{
    list(12);
    text("id");
    text("a4b171a69ff123d6cad77cd3042e8aae77a183e7");
    text("port");
    number(port);
    text("ip");
    text("10.0.0.9");
    text("endpoint");
    if (endpoint)
        text(endpoint);
    else
        nil();
    text("role");
    text(role);
    text("health");
    text(health);
}

static void slots_node(const char *host, long long port)
{
    list(3);
    if (host)
        text(host);
    else
        nil();
    number(port);
    text("a4b171a69ff123d6cad77cd3042e8aae77a183e7");
}

/* Checks which node serves a slot. */
static void serves(uint32_t slot, const char *host, int port)
{
    ck_assert_uint_lt(t.owner[slot], t.n);
    const struct asq__topology_node *node = &t.nodes[t.owner[slot]];
    ck_assert_str_eq(node->host.name, host);
    ck_assert_int_eq(node->host.port, port);
    ck_assert(!node->is_replica);
}

/* ---- the two forms ---- */

START_TEST(shards_say_masters_and_replicas)
{
    list(3);
    shard(0, 5460, 2);
    shard_node("10.0.0.1", 7001, "master", "online");
    shard_node("10.0.0.4", 7004, "replica", "online");
    shard(5461, 10922, 1);
    shard_node("n2.example", 7002, "master", "online");
    shard(10923, 16383, 1);
    shard_node("2001:db8::3", 7003, "master", "online");
    parses(asq__topology_from_shards);
    ck_assert_uint_eq(t.n, 4);
    ck_assert_uint_eq(asq__topology_first_unserved(&t), ASQ__SLOTS);
    serves(0, "10.0.0.1", 7001);
    serves(5460, "10.0.0.1", 7001);
    serves(5461, "n2.example", 7002);
    serves(16383, "2001:db8::3", 7003);
    ck_assert(t.nodes[1].is_replica);
    ck_assert_str_eq(t.nodes[1].host.name, "10.0.0.4");
}
END_TEST

START_TEST(slots_say_the_same)
{
    list(3);
    list(4);
    number(0);
    number(100);
    slots_node("10.0.0.1", 7001);
    slots_node("10.0.0.4", 7004);
    list(3);
    number(102);
    number(16383);
    slots_node("10.0.0.2", 7001);
    list(3);
    number(101);
    number(101);
    slots_node("10.0.0.1", 7001);
    parses(asq__topology_from_slots);
    ck_assert_uint_eq(t.n, 3);
    serves(0, "10.0.0.1", 7001);
    serves(101, "10.0.0.1", 7001);
    serves(102, "10.0.0.2", 7001);
    ck_assert(t.nodes[1].is_replica);
}
END_TEST

#ifdef REDIS_REPLY_MAP
START_TEST(maps_of_the_newer_protocol_are_as_lists)
{
    asq__buf_puts(&bytes, "*1\r\n%2\r\n$5\r\nslots\r\n*2\r\n:0\r\n:16383\r\n$5\r\nnodes\r\n*1\r\n"
                          "%3\r\n$4\r\nport\r\n:7001\r\n$8\r\nendpoint\r\n$1\r\nh\r\n"
                          "$4\r\nrole\r\n$6\r\nmaster\r\n");
    parses(asq__topology_from_shards);
    serves(16383, "h", 7001);
    asq__buf_puts(&bytes, "*1\r\n*3\r\n:0\r\n:16383\r\n*4\r\n$1\r\n?\r\n:7001\r\n$1\r\ni\r\n"
                          "%1\r\n$2\r\nip\r\n$3\r\n::1\r\n");
    parses(asq__topology_from_slots);
    serves(0, "::1", 7001);
}
END_TEST
#endif

/* ---- hosts ---- */

START_TEST(a_node_without_an_endpoint_is_at_the_host_that_was_asked)
{
    list(2);
    shard(0, 8000, 1);
    shard_node(NULL, 7001, "master", "online");
    shard(8001, 16383, 1);
    shard_node("", 7002, "master", "online");
    parses(asq__topology_from_shards);
    serves(0, "seed.example", 7001);
    serves(16383, "seed.example", 7002);
    list(1);
    list(3);
    number(0);
    number(16383);
    slots_node(NULL, 7003);
    parses(asq__topology_from_slots);
    serves(0, "seed.example", 7003);
}
END_TEST

START_TEST(a_node_that_lacks_a_name_is_at_its_ip_address)
{
    list(1);
    shard(0, 16383, 1);
    shard_node("?", 7001, "master", "online");
    parses(asq__topology_from_shards);
    serves(0, "10.0.0.9", 7001);
    list(1);
    list(3);
    number(0);
    number(16383);
    slots_node("?", 7001); /* and says no address either */
    parses(asq__topology_from_slots);
    serves(0, "seed.example", 7001);
}
END_TEST

START_TEST(a_map_leads_to_nodes_behind_other_addresses)
{
    ck_assert_int_eq(
        asq__url_parse("redis+cluster://a?nat=10.0.0.1:7001=[::1]:17001", &url, err, sizeof err),
        0);
    list(2);
    shard(0, 8000, 1);
    shard_node("10.0.0.1", 7001, "master", "online");
    shard(8001, 16383, 1);
    shard_node("10.0.0.1", 7002, "master", "online");
    parses(asq__topology_from_shards);
    serves(0, "::1", 17001);
    serves(8001, "10.0.0.1", 7002);
}
END_TEST

START_TEST(with_tls_a_node_has_another_port)
{
    url.tls = true;
    list(2);
    shard(0, 8000, 1);
    list(8);
    text("port");
    number(7001);
    text("tls-port");
    number(17001);
    text("endpoint");
    text("h");
    text("role");
    text("master");
    shard(8001, 16383, 1);
    shard_node("h", 7002, "master", "online"); /* speaks no TLS: of no use */
    parses(asq__topology_from_shards);
    serves(0, "h", 17001);
    ck_assert_uint_eq(t.n, 1);
    ck_assert_uint_eq(asq__topology_first_unserved(&t), 8001);
    url.tls = false;
}
END_TEST

/* ---- roles ---- */

START_TEST(a_failed_master_gives_way_to_the_new_one_in_its_shard)
{
    list(3);
    shard(0, 5460, 2);
    shard_node("old", 7001, "master", "fail");
    shard_node("new", 7004, "master", "online");
    shard(5461, 10922, 1);
    shard_node("only", 7002, "master", "failed"); /* nobody else has its slots yet */
    shard(10923, 16383, 1);
    shard_node("orphan", 7003, "replica", "online");
    parses(asq__topology_from_shards);
    serves(0, "new", 7004);
    serves(5461, "only", 7002);
    ck_assert(t.nodes[t.owner[5461]].fails);
    ck_assert(!t.nodes[t.owner[0]].fails);
    ck_assert_uint_eq(asq__topology_first_unserved(&t), 10923);
}
END_TEST

START_TEST(a_node_without_slots_is_known)
{
    list(2);
    shard(-1, 0, 1);
    shard_node("new", 7004, "master", "online");
    shard(0, 16383, 1);
    shard_node("h", 7001, "master", "online");
    parses(asq__topology_from_shards);
    ck_assert_uint_eq(t.n, 2);
    ck_assert(!t.nodes[0].is_replica);
    serves(5, "h", 7001);
}
END_TEST

/* ---- nonsense ---- */

static void one_range(long long first, long long last, const char *host, long long port)
{
    list(1);
    list(3);
    number(first);
    number(last);
    slots_node(host, port);
}

START_TEST(nonsense_is_refused)
{
    list(0);
    refuses(asq__topology_from_shards, "has no nodes");
    list(0);
    refuses(asq__topology_from_slots, "has no nodes");
    text("OK");
    refuses(asq__topology_from_shards, "is not a list");
    one_range(0, 16383, "h", 0);
    refuses(asq__topology_from_slots, "announces a port without TLS; use rediss+cluster:");
    url.tls = true;
    list(1);
    shard(0, 16383, 1);
    shard_node("h", 7001, "master", "online"); /* its port without TLS */
    refuses(asq__topology_from_shards, "announces a port for TLS; Redis 7.0 does with tls-cluster");
    url.tls = false;
    one_range(0, 16384, "h", 1);
    refuses(asq__topology_from_slots, "slots that are none");
    one_range(-1, 5, "h", 1);
    refuses(asq__topology_from_slots, "slots that are none");
    one_range(6, 5, "h", 1);
    refuses(asq__topology_from_slots, "slots that are none");
    one_range(0, 5, "h", 65536);
    refuses(asq__topology_from_slots, "a port that is none");
    one_range(0, 5, "h", -1);
    refuses(asq__topology_from_slots, "a port that is none");
    one_range(0, 5, "h\nX", 1);
    refuses(asq__topology_from_slots, "a name that is none");
    one_range(0, 5, "a:b", 1);
    refuses(asq__topology_from_slots, "a name that is none");
    list(1);
    list(2);
    number(0);
    number(5);
    refuses(asq__topology_from_slots, "a range of slots without a node");
    list(1);
    list(3);
    number(0);
    number(5);
    text("h");
    refuses(asq__topology_from_slots, "a node without host and port");
    list(1);
    text("slots");
    refuses(asq__topology_from_shards, "a shard without slots and nodes");
    list(2);
    shard(0, 8, 1);
    shard_node("a", 1, "master", "online");
    shard(8, 9, 1);
    shard_node("b", 1, "master", "online");
    refuses(asq__topology_from_shards, "a slot to two nodes");
}
END_TEST

START_TEST(nodes_without_end_are_refused)
{
    list(1);
    shard(0, 16383, ASQ__NODES_MAX + 1);
    for (int i = 0; i <= ASQ__NODES_MAX; i++)
        shard_node("h", i + 1, "master", "online");
    refuses(asq__topology_from_shards, "more than 1024 nodes");
    list(1);
    list(2 + 140000);
    number(0);
    number(16383);
    for (int i = 0; i < 140000; i++)
        slots_node("h", 1);
    refuses(asq__topology_from_slots, "repeats its nodes without end");
}
END_TEST

/* ---- redirections ---- */

static void redirects(const char *line, enum asq__redirect_kind kind, int slot, const char *name,
                      int port)
{
    struct asq__host host;
    uint16_t at = 9999;
    ck_assert_msg(asq__redirect_parse(&view, line, &at, &host) == kind, "%s", line);
    ck_assert_pstr_eq(host.name, name);
    if (kind != ASQ__REDIRECT_NONE)
        ck_assert_uint_eq(at, slot);
    if (name)
        ck_assert_int_eq(host.port, port);
    asq__host_release(&host);
}

START_TEST(redirections_follow_the_map)
{
    ck_assert_int_eq(
        asq__url_parse("redis+cluster://a?nat=10.0.0.1:7001=n1.example:1,seed.example:7002=[::2]:2",
                       &url, err, sizeof err),
        0);
    redirects("MOVED 3999 10.0.0.1:7001", ASQ__REDIRECT_MOVED, 3999, "n1.example", 1);
    redirects("ASK 3999 :7002", ASQ__REDIRECT_ASK, 3999, "::2", 2);
    redirects("MOVED 3999 10.0.0.1:7002", ASQ__REDIRECT_MOVED, 3999, "10.0.0.1", 7002);
}
END_TEST

START_TEST(redirections_name_a_slot_and_a_node)
{
    redirects("MOVED 3999 127.0.0.1:6381", ASQ__REDIRECT_MOVED, 3999, "127.0.0.1", 6381);
    redirects("ASK 0 n.example:6381", ASQ__REDIRECT_ASK, 0, "n.example", 6381);
    redirects("MOVED 16383 2001:db8::1:6381", ASQ__REDIRECT_MOVED, 16383, "2001:db8::1", 6381);
    redirects("MOVED 5 :6381", ASQ__REDIRECT_MOVED, 5, "seed.example", 6381);
    /* Without a usable node the slot is still known to have moved. */
    redirects("MOVED 5 ?:6381", ASQ__REDIRECT_MOVED, 5, NULL, 0);
    redirects("MOVED 5 h:0", ASQ__REDIRECT_MOVED, 5, NULL, 0);
    redirects("MOVED 5 h:65536", ASQ__REDIRECT_MOVED, 5, NULL, 0);
    redirects("MOVED 5 h\r\n:1", ASQ__REDIRECT_MOVED, 5, NULL, 0);
    redirects("MOVED 5 h", ASQ__REDIRECT_MOVED, 5, NULL, 0);
    redirects("MOVED 16384 h:1", ASQ__REDIRECT_NONE, 0, NULL, 0);
    redirects("MOVED", ASQ__REDIRECT_NONE, 0, NULL, 0);
    redirects("MOVED x h:1", ASQ__REDIRECT_NONE, 0, NULL, 0);
    redirects("TRYAGAIN Multiple keys", ASQ__REDIRECT_NONE, 0, NULL, 0);
    redirects("ERR MOVED 5 h:1", ASQ__REDIRECT_NONE, 0, NULL, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("topology");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, shards_say_masters_and_replicas);
    tcase_add_test(tc, slots_say_the_same);
#ifdef REDIS_REPLY_MAP
    tcase_add_test(tc, maps_of_the_newer_protocol_are_as_lists);
#endif
    tcase_add_test(tc, a_node_without_an_endpoint_is_at_the_host_that_was_asked);
    tcase_add_test(tc, a_node_that_lacks_a_name_is_at_its_ip_address);
    tcase_add_test(tc, a_map_leads_to_nodes_behind_other_addresses);
    tcase_add_test(tc, with_tls_a_node_has_another_port);
    tcase_add_test(tc, a_failed_master_gives_way_to_the_new_one_in_its_shard);
    tcase_add_test(tc, a_node_without_slots_is_known);
    tcase_add_test(tc, nonsense_is_refused);
    tcase_add_test(tc, nodes_without_end_are_refused);
    tcase_add_test(tc, redirections_name_a_slot_and_a_node);
    tcase_add_test(tc, redirections_follow_the_map);
    suite_add_tcase(s, tc);
    return sup_suite_run(s);
}
