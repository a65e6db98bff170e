/*
 * cluster.c: see cluster.h.
 */
#include "acl.h"
#include "cluster.h"
#include "support_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NODES_MAX = 16, SLOTS = 16384, KEYS = 100 };

struct sup_cluster {
    int n;
    struct sup_cluster_config config;
    sup_redis *nodes[NODES_MAX];
    struct sup_cluster_ports ports[NODES_MAX];
    char *ids[NODES_MAX];
};

bool sup_cluster_available(void)
{
    if (!sup_redis_available())
        return false;
    sup_redis *r = sup__redis_start(NULL);
    redisReply *reply = sup_redis_reply(r, "COMMAND INFO spublish");
    bool yes = reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
               reply->element[0]->type == REDIS_REPLY_ARRAY;
    freeReplyObject(reply);
    sup_redis_free(r);
    return yes;
}

/* Starts a node that has no slots and knows no other one. */
static void start_node(sup_cluster *c)
{
    enum { OWN_LINES = 10, LINES_MAX = 32 };
    int i = c->n;
    if (c->config.ports)
        c->ports[i] = c->config.ports[i];
    else
        c->ports[i] = (struct sup_cluster_ports){ .port = sup_free_port(), .bus = sup_free_port() };
    const struct sup_cluster_ports *p = &c->ports[i];
    bool has_front = p->front && p->front_bus;
    char *port = sup_format("port %d", p->port);
    char *bus = sup_format("cluster-port %d", p->bus);
    char *front = sup_format("cluster-announce-port %d", has_front ? p->front : p->port);
    char *front_bus = sup_format("cluster-announce-bus-port %d", has_front ? p->front_bus : p->bus);
    const char *config[LINES_MAX] = {
        "cluster-enabled yes",
        "cluster-node-timeout 2000",
        "cluster-require-full-coverage no",
        "cluster-replica-validity-factor 0",
        "repl-diskless-sync-delay 0",
        "appendonly yes", /* else one that comes back may empty its replica */
        port,
        bus,
        front,
        front_bus
    };
    for (size_t n = OWN_LINES; c->config.lines && *c->config.lines && n < LINES_MAX - 1; n++) {
        config[n] = c->config.lines[n - OWN_LINES];
        if (!config[n])
            break;
    }
    c->nodes[i] = sup__redis_start(config);
    c->ids[i] = sup_redis_str(c->nodes[i], "CLUSTER MYID");
    c->n++;
    free(port);
    free(bus);
    free(front);
    free(front_bus);
}

/* Returns whether a node knows all others and finds each slot served. */
static bool is_ready(const sup_cluster *c, int node)
{
    char *info = sup_redis_str(c->nodes[node], "CLUSTER INFO");
    char *known = sup_format("cluster_known_nodes:%d\r\n", c->n);
    bool yes = strstr(info, "cluster_state:ok") && strstr(info, "cluster_slots_ok:16384") &&
               strstr(info, known);
    free(info);
    free(known);
    return yes;
}

/* Returns whether a replica has its master's data. */
static bool is_synced(const sup_cluster *c, int node)
{
    char *info = sup_redis_str(c->nodes[node], "INFO replication");
    bool yes = strstr(info, "master_link_status:up");
    free(info);
    return yes;
}

bool sup_cluster_knows(const sup_cluster *c, int node, int other)
{
    char *nodes = sup_redis_str(c->nodes[node], "CLUSTER NODES");
    bool yes = strstr(nodes, c->ids[other]);
    free(nodes);
    return yes;
}

static void meet(const sup_cluster *c, int node)
{
    sup_redis_do(c->nodes[node], "CLUSTER MEET 127.0.0.1 %d %d", sup_cluster_port(c, 0),
                 c->ports[0].front_bus ? c->ports[0].front_bus : c->ports[0].bus);
}

sup_cluster *sup_cluster_start(int masters, int replicas)
{
    return sup_cluster_start_with(masters, replicas, NULL);
}

sup_cluster *sup_cluster_start_with(int masters, int replicas,
                                    const struct sup_cluster_config *config)
{
    sup_cluster *c = sup__alloc(sizeof *c);
    if (config)
        c->config = *config;
    while (c->n < masters + replicas) {
        start_node(c);
        sup_redis_do(c->nodes[c->n - 1], "CLUSTER SET-CONFIG-EPOCH %d", c->n);
    }
    for (int i = 0; i < masters; i++)
        sup_redis_do(c->nodes[i], "CLUSTER ADDSLOTSRANGE %d %d", SLOTS * i / masters,
                     SLOTS * (i + 1) / masters - 1);
    for (int i = 1; i < c->n; i++)
        meet(c, i);
    for (int i = masters; i < c->n; i++) {
        sup_wait_until(sup_cluster_knows(c, i, i % masters));
        sup_cluster_replicate(c, i, i % masters);
    }
    for (int i = 0; i < c->n; i++)
        sup_wait_until(is_ready(c, i));
    for (int i = masters; i < c->n; i++)
        sup_wait_until(is_synced(c, i));
    return c;
}

void sup_cluster_free(sup_cluster *c)
{
    for (int i = 0; c && i < c->n; i++) {
        sup_redis_free(c->nodes[i]);
        free(c->ids[i]);
        if (!c->config.ports) {
            sup_release_port(c->ports[i].port);
            sup_release_port(c->ports[i].bus);
        }
    }
    free(c);
}

int sup_cluster_size(const sup_cluster *c)
{
    return c->n;
}

sup_redis *sup_cluster_node(const sup_cluster *c, int node)
{
    return c->nodes[node];
}

int sup_cluster_port(const sup_cluster *c, int node)
{
    return c->ports[node].front ? c->ports[node].front : c->ports[node].port;
}

char *sup_cluster_url(const sup_cluster *c, int node)
{
    return sup_format("redis+cluster://%s127.0.0.1:%d", sup__acl_userinfo(),
                      sup_cluster_port(c, node));
}

int sup_cluster_add(sup_cluster *c)
{
    if (c->n == NODES_MAX)
        sup_fail("a Cluster for tests has at most %d nodes", NODES_MAX);
    start_node(c);
    meet(c, c->n - 1);
    return c->n - 1;
}

void sup_cluster_replicate(const sup_cluster *c, int node, int master)
{
    sup_redis_do(c->nodes[node], "CLUSTER REPLICATE %s", c->ids[master]);
}

void sup_cluster_remove_last(sup_cluster *c)
{
    int last = --c->n;
    sup_redis_free(c->nodes[last]);
    /* Each node refuses its former neighbour for a minute, which others may still talk of. */
    for (int i = 0; i < last; i++)
        freeReplyObject(sup_redis_reply(c->nodes[i], "CLUSTER FORGET %s", c->ids[last]));
    free(c->ids[last]);
}

int sup_cluster_owner(const sup_cluster *c, int asked, int slot)
{
    redisReply *reply = sup_redis_reply(c->nodes[asked], "CLUSTER SLOTS");
    int owner = -1;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        if (slot < range->element[0]->integer || slot > range->element[1]->integer)
            continue;
        for (int node = 0; node < c->n; node++)
            if (sup_cluster_port(c, node) == range->element[2]->element[1]->integer)
                owner = node;
    }
    freeReplyObject(reply);
    return owner;
}

static bool agree(const sup_cluster *c, int slot)
{
    int owner = sup_cluster_owner(c, 0, slot);
    for (int node = 1; node < c->n && owner >= 0; node++)
        if (sup_cluster_owner(c, node, slot) != owner)
            return false;
    return owner >= 0;
}

int sup_cluster_settled_owner(const sup_cluster *c, int slot)
{
    sup_wait_until(agree(c, slot));
    return sup_cluster_owner(c, 0, slot);
}

sup_redis *sup_cluster_node_of(const sup_cluster *c, const char *key)
{
    int owner =
        sup_cluster_owner(c, 0, (int) sup_redis_int(c->nodes[0], "CLUSTER KEYSLOT %s", key));
    if (owner < 0)
        sup_fail("nobody has the slot of %s", key);
    return c->nodes[owner];
}

void sup_cluster_move_begin(const sup_cluster *c, int slot, int from, int to)
{
    sup_redis_do(c->nodes[to], "CLUSTER SETSLOT %d IMPORTING %s", slot, c->ids[from]);
    sup_redis_do(c->nodes[from], "CLUSTER SETSLOT %d MIGRATING %s", slot, c->ids[to]);
}

void sup_cluster_move_keys(const sup_cluster *c, int slot, int from, int to)
{
    for (bool more = true; more;) {
        redisReply *keys =
            sup_redis_reply(c->nodes[from], "CLUSTER GETKEYSINSLOT %d %d", slot, KEYS);
        more = keys->type == REDIS_REPLY_ARRAY && keys->elements;
        for (size_t i = 0; more && i < keys->elements; i++)
            sup_redis_do(c->nodes[from], "MIGRATE 127.0.0.1 %d %b 0 5000", c->ports[to].port,
                         keys->element[i]->str, (size_t) keys->element[i]->len);
        freeReplyObject(keys);
    }
}

void sup_cluster_move_end(const sup_cluster *c, int slot, int from, int to)
{
    sup_redis_do(c->nodes[to], "CLUSTER SETSLOT %d NODE %s", slot, c->ids[to]);
    sup_redis_do(c->nodes[from], "CLUSTER SETSLOT %d NODE %s", slot, c->ids[to]);
}

void sup_cluster_move(const sup_cluster *c, int slot, int to)
{
    int from = -1;
    /* The new owner may not have heard yet who has the slot since its last move. */
    sup_wait_until((from = sup_cluster_owner(c, to, slot)) >= 0 &&
                   sup_cluster_owner(c, from, slot) == from);
    if (from == to)
        return;
    sup_cluster_move_begin(c, slot, from, to);
    sup_cluster_move_keys(c, slot, from, to);
    sup_cluster_move_end(c, slot, from, to);
}

/* ---- beside faults ---- */

/* Returns a text, or "" when the node refuses to give it, as while it loads its data. */
static char *text_of(const sup_cluster *c, int node, const char *command)
{
    redisReply *reply = sup_redis_reply(c->nodes[node], command);
    bool given = reply->type != REDIS_REPLY_ERROR && reply->str;
    char *text = sup_format("%s", given ? reply->str : "");
    freeReplyObject(reply);
    return text;
}

bool sup_cluster_leads(const sup_cluster *c, int node)
{
    char *info = text_of(c, node, "INFO replication");
    bool yes = strstr(info, "role:master");
    free(info);
    return yes;
}

/* Notes the owner of each slot, as one node says. False: it does not. */
static bool read_owners(const sup_cluster *c, int asked, int *owners)
{
    redisReply *reply = sup_redis_reply(c->nodes[asked], "CLUSTER SLOTS");
    bool ok = reply->type == REDIS_REPLY_ARRAY;
    for (int slot = 0; slot < SLOTS; slot++)
        owners[slot] = -1;
    for (size_t i = 0; ok && i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        long long slot = range->element[0]->integer, last = range->element[1]->integer;
        for (; slot <= last && slot >= 0 && slot < SLOTS; slot++)
            owners[slot] = (int) range->element[2]->element[1]->integer;
    }
    freeReplyObject(reply);
    return ok;
}

static bool all_agree(const sup_cluster *c)
{
    static int first[SLOTS], other[SLOTS];
    if (!read_owners(c, 0, first))
        return false;
    for (int node = 1; node < c->n; node++)
        if (!read_owners(c, node, other) || memcmp(first, other, sizeof first) != 0)
            return false;
    return true;
}

/* Returns a number behind a label, -1 without it. */
static long long field(const char *info, const char *label)
{
    const char *at = strstr(info, label);
    return at ? atoll(at + strlen(label)) : -1;
}

/* Returns whether a node is a master that is followed, or a replica that has all of what its master
 * had just now. */
static bool is_in_place(const sup_cluster *c, int node)
{
    char *info = text_of(c, node, "INFO replication");
    bool yes = strstr(info, "role:master") && field(info, "connected_slaves:") > 0;
    long long port = strstr(info, "master_link_status:up") ? field(info, "master_port:") : -1;
    for (int i = 0; i < c->n && port > 0; i++) {
        if (sup_cluster_port(c, i) != port)
            continue;
        char *of = text_of(c, i, "INFO replication"), *now = text_of(c, node, "INFO replication");
        yes = strstr(of, "role:master") &&
              field(now, "slave_repl_offset:") >= field(of, "master_repl_offset:");
        free(of);
        free(now);
        break;
    }
    free(info);
    return yes;
}

bool sup_cluster_settled(const sup_cluster *c)
{
    for (int node = 0; node < c->n; node++) {
        char *info = text_of(c, node, "CLUSTER INFO");
        bool ok = strstr(info, "cluster_state:ok") && field(info, "cluster_slots_ok:") == SLOTS &&
                  field(info, "cluster_known_nodes:") == c->n;
        free(info);
        if (!ok || !is_in_place(c, node))
            return false;
    }
    return all_agree(c);
}
