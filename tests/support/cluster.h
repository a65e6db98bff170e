/*
 * cluster.h: a Redis Cluster for tests: masters with all slots shared out among them, and replicas;
 * each node is a sup_redis that listens on a free TCP port as well. A node takes two seconds to see
 * that another one fails, and goes on without it.
 */
#ifndef ASQ_TESTS_CLUSTER_H
#define ASQ_TESTS_CLUSTER_H

#include "support.h"

typedef struct sup_cluster sup_cluster;

/* Returns whether this redis-server can be a node (7.0 or newer). Starts one to find out. */
bool sup_cluster_available(void);
/* Starts the nodes, and waits until all agree. The masters are the nodes from 0; replica i of the
 * others has the master i % masters. */
sup_cluster *sup_cluster_start(int masters, int replicas);

/* Where a node listens; and, with a proxy in front of it, what it announces: 0 without. */
struct sup_cluster_ports {
    int port, bus, front, front_bus;
};
struct sup_cluster_config {
    const char *const *lines;              /* further lines for each node; or NULL */
    const struct sup_cluster_ports *ports; /* of each node that there may be; NULL: free ones */
};
/* The same with a configuration, whose lists must live as long; NULL: as above. */
sup_cluster *sup_cluster_start_with(int masters, int replicas,
                                    const struct sup_cluster_config *config);
void sup_cluster_free(sup_cluster *c); /* kill -9 for all nodes, and the object is gone */
int sup_cluster_size(const sup_cluster *c);
sup_redis *sup_cluster_node(const sup_cluster *c, int node);
int sup_cluster_port(const sup_cluster *c, int node); /* as it is announced */
/* Returns redis+cluster://127.0.0.1:PORT of one node; the caller frees it. */
char *sup_cluster_url(const sup_cluster *c, int node);
/* Returns the node that has a slot, as node `asked` says; -1: none. */
int sup_cluster_owner(const sup_cluster *c, int asked, int slot);
/* Waits until all nodes name the same owner of a slot, and returns it: they learn of a move one
 * after the other. */
int sup_cluster_settled_owner(const sup_cluster *c, int slot);
/* Returns the node that has a key. */
sup_redis *sup_cluster_node_of(const sup_cluster *c, const char *key);
/* Moves a slot with its keys to another master, as redis-cli --cluster reshard does. */
void sup_cluster_move(const sup_cluster *c, int slot, int to);
/* The same in three steps: both know of the move; the keys go; the move ends. */
void sup_cluster_move_begin(const sup_cluster *c, int slot, int from, int to);
void sup_cluster_move_keys(const sup_cluster *c, int slot, int from, int to);
void sup_cluster_move_end(const sup_cluster *c, int slot, int from, int to);
/* Starts another node, without slots, which the others get to know. Returns which. */
int sup_cluster_add(sup_cluster *c);
/* Makes a node without slots that knows the master its replica. */
void sup_cluster_replicate(const sup_cluster *c, int node, int master);
/* Kills the last node, and has all others forget it. */
void sup_cluster_remove_last(sup_cluster *c);

/* ---- beside faults: the nodes may refuse to answer, but each must run ---- */

/* Returns whether a node has heard of another one. */
bool sup_cluster_knows(const sup_cluster *c, int node, int other);
/* Returns whether a node is a master, as it says itself. */
bool sup_cluster_leads(const sup_cluster *c, int node);
/* Returns whether all nodes know each other, agree on the owner of each slot and serve, and each
 * replica has all that its master has. */
bool sup_cluster_settled(const sup_cluster *c);

#endif
