/*
 * redis_state.h: the state of a deployment's Redis, for the files that redis.h is made of: redis.c
 * (connections, up and down), namespace.c (the meta hash), server_facts.c (what the server is and
 * allows) and subscriber.c (pushes).
 *
 * `home` is the server that has the keys of the namespace. Without a Cluster it is `one`, and has
 * everything. In a Cluster each partition has a route to the node with its slot, and `one` stands
 * for a node that is not known or was lost: it never connects, so commands to it fail as on a lost
 * connection.
 *
 * A URL of one host that is a node of a Cluster begins like one server. Once the host has told of
 * other nodes, or has refused a command because of its slot, asq__redis_join() has the loop make
 * the connections of a Cluster in place of those.
 *
 * While all is up, a slot's way to another node, or back to one that was lost:
 *
 *     route to a node ──lost, or slot_moved()──▶ route to `one` ──find_servers()──▶ route to a node
 *                                               parts_down()                      parts_up()
 */
#ifndef ASQ_REDIS_REDIS_STATE_H
#define ASQ_REDIS_REDIS_STATE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "redis/cluster.h"
#include "redis/keys.h"
#include "redis/limit.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "redis/server_mode.h"
#include "redis/shard_channels.h"

struct asq__sentinel_watch;

/* The meta hash, read and made by namespace.c. */
struct asq__namespace {
    uint32_t partitions;              /* of all pools, and those that were reached for */
    struct asq__pools *_Atomic pools; /* the newest table; NULL: none is known */
    int64_t asked_ms;                 /* of the last read */
    bool known;                       /* on this connection */
    bool reading;                     /* a read is under way */
    bool creating;                    /* it was made since the last read */
    bool recreated;                   /* it was gone, and exists again */
    bool repairing;                   /* it was invalid, and is being restored */
    bool denied;                      /* why it cannot be made: this user may not */
    char error[200];                  /* of making it */
};

/* Holds what server_facts.c has learned from the home server. */
struct asq__server_facts {
    struct asq__server_mode mode;
    bool was_cluster; /* the mode of the connection before */
    struct asq__redis_clock clock;
    int64_t time_asked_ms;
    bool asking_time;
    char policy[32];
    struct asq__limit limit; /* of strings */
    /* The commands that a worker needs are tried at each server, whose users have rules of their
     * own. */
    bool permitted;       /* all were tried */
    unsigned asked;       /* servers that have not answered yet */
    uint32_t tried_first; /* partition whose keys are tried first */
    char denied[1000];    /* refused commands that a worker needs; "": none */
    bool asking_nodes;    /* a URL of one host: whether its Cluster has others */
    unsigned lack;        /* flags of asq__lack, of all servers */
    char lacking[400];
};

/* The channels of subscriber.c. */
struct asq__subscriber {
    char *channels[2]; /* full names */
    int subscribed, wanted;
    struct asq__shard_channels shards;
};

struct asq__redis {
    struct asq__redis_config config;
    char *name; /* of the config, for connections that are made later */
    struct asq__keys keys;
    struct asq__cluster_node *home; /* never NULL, as the routes */
    struct asq__cluster_node one;
    struct asq__sentinel_watch *watch; /* or NULL */
    struct asq__namespace meta;
    struct asq__server_facts facts;
    struct asq__subscriber pushes;
    bool up;
    bool dropping; /* dropping the other connections after the loss of one */
    bool closing;
    /* In a Cluster; else NULL. */
    struct asq__cluster *cluster;
    bool joining;                      /* it is about to be made for a URL of one host */
    struct asq__cluster_node **routes; /* [slot] */
    uint16_t *slots;                   /* [partition]; NULL until their number is known */
    uint32_t nslots;                   /* their number */
    bool *announced; /* [partition]: the layers above believe that it has a server */
    bool *parts;     /* [partition]: those of the call to them that is being made */
    bool
        announcing; /* it is being made or prepared: what is lost meanwhile is lost from the loop */
    bool home_announced; /* the layers above believe that `home` is there */
    uint16_t home_slot;
    uint64_t maps;       /* read when a host did not answer last */
    unsigned unanswered; /* hosts that have not told the map since */
    ev_timer find_timer; /* finds servers for partitions without one */
    char stale_why[800]; /* why nodes are marked as stale; "": none is */
    char cause[800];     /* of being down; "": told by none yet */
    int64_t cause_ms;
};

/* redis.c */
/* Calls `up` if all is known and connected. */
void asq__redis_check_up(struct asq__redis *r);
/* Fails because of a fact about the server or the namespace that an operator has to change. The
 * fact is checked again on the next connection, with backoff. */
void asq__redis_reject(struct asq__redis *r, int code, const char *why);
/* Returns the server of a partition. */
static inline struct asq__cluster_node *asq__redis_node(const struct asq__redis *r,
                                                        uint32_t partition)
{
    return partition < r->nslots ? r->routes[r->slots[partition]] : r->home;
}
/* Returns the node with a connection for commands; NULL: none. */
struct asq__cluster_node *asq__redis_node_with(struct asq__redis *r, const struct asq__conn *c);
/* Goes over to all nodes of the Cluster, from the loop. False: the URL cannot. */
bool asq__redis_join(struct asq__redis *r);
/* While all is up: finds servers for what has none, from the loop. */
void asq__redis_find_later(struct asq__redis *r);
/* Finds the nodes of the partitions, whose number has become known. ASQ_ENOMEM. */
int asq__redis_open_routes(struct asq__redis *r);

/* namespace.c */
void asq__namespace_release(struct asq__namespace *m);
void asq__namespace_reset(struct asq__namespace *m); /* on a new connection */
int asq__namespace_ask(struct asq__redis *r);

/* server_facts.c */
/* Asks on a new connection to the home server. */
int asq__server_facts_ask(struct asq__redis *r);
/* Tries the commands that a worker needs, at all servers that have partitions, unless it is under
 * way: calls asq__redis_check_up when it is done. In a Cluster all nodes are connected. */
void asq__server_facts_try(struct asq__redis *r);
/* Does the same at the node that gets a partition while all is up: calls asq__redis_find_later. */
void asq__server_facts_try_at(struct asq__redis *r, struct asq__cluster_node *node,
                              uint32_t partition);
void asq__server_facts_init(struct asq__redis *r);

/* subscriber.c */
int asq__subscriber_init(struct asq__redis *r);
void asq__subscriber_release(struct asq__subscriber *s);
bool asq__subscriber_is_up(const struct asq__redis *r);
/* Subscribes to what a partition pushes that has a server from now on. */
void asq__subscriber_part_up(struct asq__redis *r, uint32_t partition);
/* Subscribes on a new connection to a server. */
void asq__subscriber_up(struct asq__redis *r, const struct asq__cluster_node *node);
void asq__subscriber_down(struct asq__redis *r, const struct asq__cluster_node *node);
void asq__subscriber_push(struct asq__redis *r, const struct asq__cluster_node *node,
                          const redisReply *reply);

#endif
