/*
 * topology.h: which node of a Redis Cluster has which slots, as one node says, and where a refused
 * command should have gone. No I/O.
 *
 * A node is known by the endpoint that it announces: a name or an address (the node's setting
 * cluster-preferred-endpoint-type), and a port. An empty endpoint is the host that was asked, so
 * that nodes behind one address need to announce their ports alone. '?' is a node that should
 * announce a name and has none: its IP address is taken, or the host that was asked.
 */
#ifndef ASQ_REDIS_TOPOLOGY_H
#define ASQ_REDIS_TOPOLOGY_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/slots.h"
#include "redis/url_hosts.h"

struct asq__url;

enum { ASQ__NODES_MAX = 1024, ASQ__NO_NODE = UINT16_MAX };

struct asq__topology_node {
    struct asq__host host; /* where to reach it */
    bool is_replica;
    bool fails; /* the node that was asked cannot reach it */
};

struct asq__topology {
    struct asq__topology_node *nodes; /* each once */
    size_t n;
    uint16_t owner[ASQ__SLOTS]; /* index of a master; ASQ__NO_NODE: nobody serves the slot */
};

/* Facts by which the words of a node are understood. */
struct asq__topology_view {
    const struct asq__url *url; /* TLS or not, and the map of addresses */
    const char *asked;          /* host that gave the answer, as it was reached */
    int asked_port;
};

/* Parse the reply to CLUSTER SHARDS, and that to CLUSTER SLOTS. ASQ_EPROTO with a text: the reply
 * is nonsense, or has no node with a port for this URL, and nothing of it is used; ASQ_ENOMEM. */
int asq__topology_from_shards(const struct asq__topology_view *view, const redisReply *reply,
                              struct asq__topology *ret, char *err, size_t errlen);
int asq__topology_from_slots(const struct asq__topology_view *view, const redisReply *reply,
                             struct asq__topology *ret, char *err, size_t errlen);
void asq__topology_release(struct asq__topology *t);
/* Returns the first of the slots that nobody serves; ASQ__SLOTS: each has a node. */
uint32_t asq__topology_first_unserved(const struct asq__topology *t);

enum asq__redirect_kind {
    ASQ__REDIRECT_NONE,
    ASQ__REDIRECT_MOVED, /* the slot belongs to another node now */
    ASQ__REDIRECT_ASK    /* the slot is being moved, and this key is at the other node already */
};

/* Parses the text of an error reply: "MOVED 3999 host:port". Writes the slot, and the host with a
 * name to be freed by asq__host_release. A redirection without a usable host has the name NULL: the
 * topology has to be asked for. */
enum asq__redirect_kind asq__redirect_parse(const struct asq__topology_view *view, const char *text,
                                            uint16_t *ret_slot, struct asq__host *ret_host);

#endif
