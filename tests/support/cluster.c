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
    int n, masters;
    sup_redis *nodes[NODES_MAX];
    int ports[NODES_MAX], bus[NODES_MAX];
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

/* Returns a port that none of the cluster's nodes has. */
static int new_port(const sup_cluster *c)
{
    for (;;) {
        int port = sup_free_port();
        bool is_taken = false;
        for (int i = 0; i < c->n; i++)
            is_taken = is_taken || c->ports[i] == port || c->bus[i] == port;
        if (!is_taken)
            return port;
    }
}

static void start_node(sup_cluster *c)
{
    int i = c->n;
    c->ports[i] = new_port(c);
    do
        c->bus[i] = new_port(c);
    while (c->bus[i] == c->ports[i]);
    char *port = sup_format("port %d", c->ports[i]);
    char *bus = sup_format("cluster-port %d", c->bus[i]);
    const char *config[] = { "cluster-enabled yes",
                             "cluster-node-timeout 2000",
                             "cluster-require-full-coverage no",
                             "cluster-replica-validity-factor 0",
                             "repl-diskless-sync-delay 0",
                             "appendonly yes", /* else one that comes back may empty its replica */
                             port,
                             bus,
                             NULL };
    c->nodes[i] = sup__redis_start(config);
    c->ids[i] = sup_redis_str(c->nodes[i], "CLUSTER MYID");
    sup_redis_do(c->nodes[i], "CLUSTER SET-CONFIG-EPOCH %d", i + 1);
    c->n++;
    free(port);
    free(bus);
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

/* Returns whether a node has heard of another one. */
static bool knows(const sup_cluster *c, int node, int other)
{
    char *nodes = sup_redis_str(c->nodes[node], "CLUSTER NODES");
    bool yes = strstr(nodes, c->ids[other]);
    free(nodes);
    return yes;
}

sup_cluster *sup_cluster_start(int masters, int replicas)
{
    sup_cluster *c = sup__alloc(sizeof *c);
    c->masters = masters;
    while (c->n < masters + replicas)
        start_node(c);
    for (int i = 0; i < masters; i++)
        sup_redis_do(c->nodes[i], "CLUSTER ADDSLOTSRANGE %d %d", SLOTS * i / masters,
                     SLOTS * (i + 1) / masters - 1);
    for (int i = 1; i < c->n; i++)
        sup_redis_do(c->nodes[i], "CLUSTER MEET 127.0.0.1 %d %d", c->ports[0], c->bus[0]);
    for (int i = masters; i < c->n; i++) {
        sup_wait_until(knows(c, i, i % masters));
        sup_redis_do(c->nodes[i], "CLUSTER REPLICATE %s", c->ids[i % masters]);
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
    }
    free(c);
}

sup_redis *sup_cluster_node(const sup_cluster *c, int node)
{
    return c->nodes[node];
}

int sup_cluster_port(const sup_cluster *c, int node)
{
    return c->ports[node];
}

char *sup_cluster_url(const sup_cluster *c, int node)
{
    return sup_format("redis+cluster://%s127.0.0.1:%d", sup__acl_userinfo(), c->ports[node]);
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
            if (c->ports[node] == range->element[2]->element[1]->integer)
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
            sup_redis_do(c->nodes[from], "MIGRATE 127.0.0.1 %d %b 0 5000", c->ports[to],
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
