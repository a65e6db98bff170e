/*
 * sync_nodes.h: connections for a thread that waits for each reply (sync.h) to every server that
 * may have keys of a deployment: one Redis, or all masters of a Cluster. For work on all keys of a
 * namespace, so the map is read once: a command for a slot that has moved since is refused with
 * MOVED, and asq__sync_nodes_check finds moves that no command has met.
 */
#ifndef ASQ_REDIS_SYNC_NODES_H
#define ASQ_REDIS_SYNC_NODES_H

#include <stddef.h>
#include <stdint.h>

#include "redis/slots.h"

struct asq__host;
struct asq__sync;
struct asq__url;

struct asq__sync_nodes {
    const struct asq__url *url; /* borrowed */
    const char *name;           /* borrowed */
    int64_t timeout_ms;
    struct asq__sync **list; /* [n] */
    struct asq__host *hosts; /* [n]; NULL: the URL's */
    size_t n;
    uint16_t *owner; /* [slot]: index in `list`; NULL: one server has all */
};

/* Connects to all. A URL of one host that is a node of a Cluster means the Cluster. ASQ_EBUSY: a
 * slot has no node, or a master does not answer; ASQ_EREDIS: it is a replica; codes as
 * asq__sync_open. */
int asq__sync_nodes_open(const struct asq__url *url, const char *name, int64_t timeout_ms,
                         struct asq__sync_nodes *ret, char *err, size_t errlen);
void asq__sync_nodes_release(struct asq__sync_nodes *nodes);
/* Returns the index in `list` of the connection for keys of a slot. */
size_t asq__sync_nodes_of(const struct asq__sync_nodes *nodes, uint16_t slot);
/* Fails with ASQ_EBUSY if slots have moved since asq__sync_nodes_open, or are on their way. No
 * command may be under way. */
int asq__sync_nodes_check(struct asq__sync_nodes *nodes, char *err, size_t errlen);

#endif
