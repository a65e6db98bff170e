/*
 * cluster_proxy.h: stands in front of each node of a Redis Cluster, TCP to TCP: of its port, which
 * clients and replicas use, and of its bus. The nodes announce the proxy's ports. So replication
 * can be delayed, and nodes can be cut off from each other; clients are not disturbed.
 */
#ifndef ASQ_CHAOS_CLUSTER_PROXY_H
#define ASQ_CHAOS_CLUSTER_PROXY_H

#include "support/cluster.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

enum { CLUSTER_NODES_MAX = 8 };

/* Shared with the proxy, which is a process of its own. */
struct cluster_proxy_control {
    atomic_uint changes; /* raised after each change of the others */
    atomic_int sides[CLUSTER_NODES_MAX];
    atomic_bool cuts_bus, cuts_replication; /* between nodes of different sides: bytes wait */
    atomic_bool holds[CLUSTER_NODES_MAX];   /* what the node sends to its replicas waits */
    atomic_int delay_ms[CLUSTER_NODES_MAX]; /* what it sends to them is late */
    atomic_uint breaks[CLUSTER_NODES_MAX];  /* raised: its replicas' connections are closed, and
                                              * what waits is lost */
};

struct cluster_proxy {
    struct cluster_proxy_control *control;
    struct sup_cluster_ports ports[CLUSTER_NODES_MAX]; /* for sup_cluster_start_with */
    pid_t pid;
};

/* Chooses the ports, and forks the proxy. The nodes are started after it. */
void cluster_proxy_start(struct cluster_proxy *p);
void cluster_proxy_stop(struct cluster_proxy *p);
/* Has the proxy see what was changed in the control. */
void cluster_proxy_changed(struct cluster_proxy *p);

#endif
