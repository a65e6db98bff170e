/*
 * cluster_faults.h: faults of a Redis Cluster of three masters with a replica each. One of them
 * lasts at a time, but for a slow replication beside others, until all nodes agree and each replica
 * has its master's data: what a master and its replica have together is lost only when both are.
 */
#ifndef ASQ_CHAOS_CLUSTER_FAULTS_H
#define ASQ_CHAOS_CLUSTER_FAULTS_H

#include "faults.h"

/* False: not possible now. */
bool cluster_master_kill(struct deployment *d);
bool cluster_master_pause(struct deployment *d); /* often until its replica has taken over */
bool cluster_master_lag(struct deployment *d); /* it dies when its replica lacks its last writes */
bool cluster_failover(struct deployment *d);   /* of a master that is well */
bool cluster_failover_force(struct deployment *d);
bool cluster_failover_takeover(struct deployment *d);
bool cluster_replica_kill(struct deployment *d);
bool cluster_replica_pause(struct deployment *d);
bool slots_move(struct deployment *d); /* some slots, one after the other, with their keys */
/* A master and its replica join, get some slots, give them back, and are removed. */
bool node_add(struct deployment *d);
/* The nodes of two sides do not hear each other; at times their replicas do not, either. */
bool bus_cut(struct deployment *d);
bool replication_delay(struct deployment *d);

void cluster_faults_begin(struct deployment *d);
/* Returns whether one lasts that may have a node refuse commands. */
bool cluster_faults_last(void);
/* Returns whether the function starts or resumes a node, or ends a cut. */
bool cluster_faults_heals_server(heal_fn fn);

#endif
