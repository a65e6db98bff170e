/*
 * sync_nodes.c: see sync_nodes.h.
 */
#include "redis/sync_nodes.h"

#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/refusal.h"
#include "redis/server_mode.h"
#include "redis/sync.h"
#include "redis/sync_cluster.h"
#include "redis/topology.h"
#include "redis/url.h"
#include "value/error.h"

#define MAX_BYTES ((size_t) 1 << 30)

static int lost(const struct asq__sync *s, char *err, size_t errlen)
{
    return asq__err(err, errlen, ASQ_ECONN, "%s", asq__sync_why(s));
}

/* Reads the map, which must have a node for each slot. */
static int read_map(const struct asq__sync_nodes *nodes, struct asq__topology *ret, char *err,
                    size_t errlen)
{
    int rc = asq__sync_ask_topology(nodes->url, nodes->name, nodes->timeout_ms, ret, err, errlen);
    if (rc < 0)
        return rc;
    uint32_t slot = asq__topology_first_unserved(ret);
    if (slot == ASQ__SLOTS)
        return 0;
    asq__topology_release(ret);
    return asq__err(err, errlen, ASQ_EBUSY, "no node of the Cluster serves slot %u now", slot);
}

/* Connects to a master. */
static int add_node(struct asq__sync_nodes *nodes, const struct asq__host *host, char *err,
                    size_t errlen)
{
    struct asq__sync *s;
    int rc =
        asq__sync_open_node(nodes->url, host, nodes->name, nodes->timeout_ms, -1, &s, err, errlen);
    if (rc < 0)
        return rc;
    asq__sync_set_limit(s, MAX_BYTES);
    nodes->hosts[nodes->n] = (struct asq__host){ strdup(host->name), host->port };
    nodes->list[nodes->n++] = s;
    return nodes->hosts[nodes->n - 1].name ? 0 : asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
}

static int open_cluster(struct asq__sync_nodes *nodes, char *err, size_t errlen)
{
    struct asq__topology map;
    uint16_t place[ASQ__NODES_MAX];
    int rc = read_map(nodes, &map, err, errlen);
    if (rc < 0)
        return rc;
    nodes->list = calloc(map.n, sizeof(struct asq__sync *));
    nodes->hosts = calloc(map.n, sizeof *nodes->hosts);
    nodes->owner = calloc(ASQ__SLOTS, sizeof *nodes->owner);
    if (!nodes->list || !nodes->hosts || !nodes->owner)
        rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    /* A master without slots may have keys of a slot that is on its way there. */
    for (size_t i = 0; rc == 0 && i < map.n; i++) {
        place[i] = (uint16_t) nodes->n;
        if (!map.nodes[i].is_replica)
            rc = add_node(nodes, &map.nodes[i].host, err, errlen);
    }
    for (uint32_t slot = 0; rc == 0 && slot < ASQ__SLOTS; slot++)
        nodes->owner[slot] = place[map.owner[slot]];
    asq__topology_release(&map);
    return rc;
}

/* Returns 1 if the server is a node of a Cluster of which the URL does not tell. */
static int greet(struct asq__sync *s, const struct asq__url *url, char *err, size_t errlen)
{
    redisReply *reply = asq__sync_cmd(s, "HELLO");
    if (!reply)
        return lost(s, err, errlen);
    const char *mode = asq__hello_field(reply, "mode"), *role = asq__hello_field(reply, "role");
    int rc = mode && strcmp(mode, "cluster") == 0 && asq__url_join_cluster(url);
    if (rc == 0 && role && strcmp(role, "master") != 0)
        rc = asq__err(err, errlen, ASQ_EREDIS,
                      "this Redis is a replica; give the URL of its master");
    freeReplyObject(reply);
    return rc;
}

int asq__sync_nodes_open(const struct asq__url *url, const char *name, int64_t timeout_ms,
                         struct asq__sync_nodes *ret, char *err, size_t errlen)
{
    struct asq__sync_nodes nodes = { url, name, timeout_ms, NULL, NULL, 0, NULL };
    struct asq__sync *s = NULL;
    int rc = 0;
    if (!asq__url_is_cluster(url)) {
        rc = asq__sync_open(url, name, timeout_ms, -1, &s, err, errlen);
        if (rc == 0)
            rc = greet(s, url, err, errlen);
        if (rc == 0 && !(nodes.list = calloc(1, sizeof(struct asq__sync *))))
            rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
        if (rc == 0) {
            asq__sync_set_limit(s, MAX_BYTES);
            nodes.list[nodes.n++] = s;
            s = NULL;
        }
        asq__sync_free(s);
    }
    if (rc == 1 || asq__url_is_cluster(url))
        rc = open_cluster(&nodes, err, errlen);
    if (rc == 0)
        *ret = nodes;
    else
        asq__sync_nodes_release(&nodes);
    return rc;
}

void asq__sync_nodes_release(struct asq__sync_nodes *nodes)
{
    for (size_t i = 0; i < nodes->n; i++)
        asq__sync_free(nodes->list[i]);
    for (size_t i = 0; nodes->hosts && i < nodes->n; i++)
        free(nodes->hosts[i].name);
    free(nodes->list);
    free(nodes->hosts);
    free(nodes->owner);
    *nodes = (struct asq__sync_nodes){ 0 };
}

size_t asq__sync_nodes_of(const struct asq__sync_nodes *nodes, uint16_t slot)
{
    return nodes->owner ? nodes->owner[slot] : 0;
}

/* ---- have slots moved ---- */

/* Fails if a node says of itself that slots come or go: [SLOT->-NODE] and [SLOT-<-NODE]. */
static int check_moves(struct asq__sync *s, char *err, size_t errlen)
{
    redisReply *reply = asq__sync_cmd(s, "CLUSTER NODES");
    int rc = 0;
    if (!reply)
        return lost(s, err, errlen);
    if (reply->type == REDIS_REPLY_ERROR)
        rc = asq__err(err, errlen, ASQ_EREDIS, "CLUSTER NODES: %s%s", reply->str,
                      asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
    else if (reply->type == REDIS_REPLY_STRING &&
             (strstr(reply->str, "->-") || strstr(reply->str, "-<-")))
        rc = asq__err(err, errlen, ASQ_EBUSY,
                      "slots of the Cluster are on their way from one node to another; wait until "
                      "redis-cli --cluster check finds none");
    freeReplyObject(reply);
    return rc;
}

int asq__sync_nodes_check(struct asq__sync_nodes *nodes, char *err, size_t errlen)
{
    struct asq__topology map;
    size_t masters = 0;
    int rc = 0;
    if (!nodes->owner)
        return 0;
    for (size_t i = 0; rc == 0 && i < nodes->n; i++)
        rc = check_moves(nodes->list[i], err, errlen);
    if (rc == 0)
        rc = read_map(nodes, &map, err, errlen);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < map.n; i++)
        masters += !map.nodes[i].is_replica;
    bool same = masters == nodes->n;
    for (uint32_t slot = 0; same && slot < ASQ__SLOTS; slot++)
        same =
            asq__host_is_same(&nodes->hosts[nodes->owner[slot]], &map.nodes[map.owner[slot]].host);
    asq__topology_release(&map);
    return same ? 0
                : asq__err(err, errlen, ASQ_EBUSY,
                           "slots of the Cluster have moved to other nodes meanwhile");
}
