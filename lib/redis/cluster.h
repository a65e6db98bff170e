/*
 * cluster.h: the nodes of a Redis Cluster: which of them has which slot, and to each one that has a
 * wanted slot a connection for commands and one that subscribes.
 *
 * The map is read from any node that answers: from one with a connection, else from the URL's hosts
 * and the nodes known, in turn. It is read again after a redirection, when a connection is lost or
 * has not answered for a second, as long as a wanted slot has no node, and about once a minute; at
 * times that are spread by chance, so that the processes of a deployment do not ask together.
 *
 * A slot that moves has no connection at first: commands that were sent to its former node are
 * answered first, or fail with the loss of its connection. Then `moved` is called, and commands for
 * the slot go to the new node. So a slot's commands are never under way on two nodes.
 *
 *     SERVED ──map or MOVED names another node──▶ MOVING ──former node has answered all──▶ SERVED
 */
#ifndef ASQ_REDIS_CLUSTER_H
#define ASQ_REDIS_CLUSTER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/script.h"
#include "redis/topology.h"

struct asq__barrier;
struct asq__cluster;
struct asq__conn;
struct asq__keys;
struct asq__url;
struct ev_loop;

struct asq__cluster_node {
    struct asq__cluster *cluster;
    struct asq__host host;
    uint16_t index;
    bool fails;             /* another node says so */
    bool is_down;           /* conn was lost, or could not be made, and is not there again */
    bool is_listed;         /* the last map has it */
    uint32_t slots;         /* wanted slots that it serves, or that leave it */
    struct asq__conn *conn; /* NULL: it has no wanted slot */
    struct asq__conn *sub;  /* NULL: the same, or pushes are not wanted */
    struct asq__script_cache scripts;
    /* For the layer above, false on each new connection: whether the commands are tried that it
     * needs, and whether all of them are allowed. */
    bool trying, permitted;
    /* For the layer above, which wants the connections lost by asq__cluster_drop_stale. */
    bool stale;
    struct asq__barrier *barrier; /* of conn; NULL: no replicas are waited for, or no conn */
    unsigned pings;               /* under way, behind which no slot is left that moves */
};

struct asq__cluster_config {
    struct ev_loop *loop;
    const struct asq__url *url; /* outlives it */
    const char *name;           /* for CLIENT SETNAME; copied */
    int64_t connect_timeout_ms, reply_timeout_ms;
    /* N replicas are waited for, as by barrier.h; 0: none are. */
    unsigned wait_replicas;
    int64_t wait_timeout_ms;
    const struct asq__keys *keys; /* for that; outlives it */
    void (*waited)(unsigned have, void *user);
    /* Loses the connection to a node that refuses a command because it does not serve the slot, or
     * nothing at all; else callers hand refusals to asq__cluster_redirected. */
    bool follows;
    /* Called when a node's connection is made, and when it is lost or cannot be made; as those of
     * a connection. */
    void (*up)(struct asq__cluster *c, struct asq__cluster_node *node, void *user);
    void (*down)(struct asq__cluster *c, struct asq__cluster_node *node, int code, const char *why,
                 void *user);
    /* Called when a node's subscribing connection is made, when it is lost or cannot be made, and
     * with each of its replies and messages. push NULL: no such connections. */
    void (*hears)(struct asq__cluster *c, struct asq__cluster_node *node, void *user);
    void (*deaf)(struct asq__cluster *c, struct asq__cluster_node *node, int code, const char *why,
                 void *user);
    void (*push)(struct asq__cluster *c, struct asq__cluster_node *node, const redisReply *reply,
                 void *user);
    /* Called when a wanted slot has a node, or another one, or none any more; NULL if there is no
     * node. Its connections may be up or not. The former node has ended subscriptions to
     * channels of the slot. */
    void (*moved)(struct asq__cluster *c, uint16_t slot, struct asq__cluster_node *node,
                  void *user);
    /* Called when a host does not tell the map; others are asked. */
    void (*failed)(struct asq__cluster *c, int code, const char *why, void *user);
    void *user;
};

/* Begins to read the map. No callback may free the cluster. */
int asq__cluster_new(const struct asq__cluster_config *config, struct asq__cluster **ret);
void asq__cluster_free(struct asq__cluster *c);
void asq__cluster_set_loop(struct asq__cluster *c, struct ev_loop *loop);

/* Wants a slot from now on: its node gets a connection. Calls `moved` if the node is known. */
void asq__cluster_want(struct asq__cluster *c, uint16_t slot);
/* Returns the node to which commands for a wanted slot may be sent; NULL: none now. */
struct asq__cluster_node *asq__cluster_node_of(const struct asq__cluster *c, uint16_t slot);
/* Returns the node with this connection for commands, also while its slots move; NULL: none. */
struct asq__cluster_node *asq__cluster_node_with(const struct asq__cluster *c,
                                                 const struct asq__conn *conn);
/* Returns whether each wanted slot has a node, with its connections up. */
bool asq__cluster_is_up(const struct asq__cluster *c);
/* Returns the first wanted slot without a node; ASQ__SLOTS: there is none. */
uint32_t asq__cluster_first_unserved(const struct asq__cluster *c);
/* Drops all connections to nodes, which then connect again. */
void asq__cluster_drop(struct asq__cluster *c, const char *why);
/* Does the same with those of nodes that are marked as stale, and removes the mark. */
void asq__cluster_drop_stale(struct asq__cluster *c, const char *why);
/* Loses connections that are not up yet, as asq__conn_give_up. */
void asq__cluster_give_up(struct asq__cluster *c);
/* Writes what the connections for commands have not written yet. */
void asq__cluster_flush(struct asq__cluster *c);
/* Takes the error reply of a command to a node. After MOVED the slot is moving, towards the node
 * that the reply names. The command had no effect. */
enum asq__redirect_kind asq__cluster_redirected(struct asq__cluster *c,
                                                struct asq__cluster_node *node, const char *text);
/* Reads the map soon. */
void asq__cluster_refresh(struct asq__cluster *c);
/* Return how many maps were read, and the number of connections. */
uint64_t asq__cluster_maps(const struct asq__cluster *c);
size_t asq__cluster_connections(const struct asq__cluster *c);

#endif
