/*
 * sync_cluster.h: connections for threads (sync.h) to the node of a Cluster that has a slot. The
 * map is read for each connection: such threads connect seldom, and drop the connection when a
 * command is refused with MOVED.
 */
#ifndef ASQ_REDIS_SYNC_CLUSTER_H
#define ASQ_REDIS_SYNC_CLUSTER_H

#include <stddef.h>
#include <stdint.h>

struct asq__host;
struct asq__sync;
struct asq__topology;
struct asq__url;

/* Connects to the node that has the slot, as one of the URL's hosts says, or of the nodes that were
 * heard of since: the first that answers, beginning with any. The time is for all of that, and then
 * for each wait. Codes as asq__sync_open; ASQ_EBUSY also if nobody serves the slot now. */
int asq__sync_open_slot(const struct asq__url *url, uint16_t slot, const char *name,
                        int64_t timeout_ms, int cancel_fd, struct asq__sync **ret, char *err,
                        size_t errlen);

/* Connects to a node that the Cluster has named; the text of a failure names it. Codes as
 * asq__sync_open. */
int asq__sync_open_node(const struct asq__url *url, const struct asq__host *host, const char *name,
                        int64_t timeout_ms, int cancel_fd, struct asq__sync **ret, char *err,
                        size_t errlen);

/* Asks the same hosts for the nodes of the Cluster, until one answers. The caller releases the
 * topology. Codes as asq__sync_open, and ASQ_EPROTO. */
int asq__sync_ask_topology(const struct asq__url *url, const char *name, int64_t timeout_ms,
                           struct asq__topology *ret, char *err, size_t errlen);

#endif
