/*
 * sentinel_faults.h: faults of a master, its replicas and their Sentinels. One of them lasts at a
 * time, until the Sentinels agree on a master and all others are its replicas: what a master and
 * all replicas have together is lost only when two of them are.
 */
#ifndef ASQ_CHAOS_SENTINEL_FAULTS_H
#define ASQ_CHAOS_SENTINEL_FAULTS_H

#include "faults.h"

/* False: not possible now. */
bool master_kill(struct deployment *d);
bool master_pause(struct deployment *d); /* often for so long that the Sentinels fail over */
bool master_lag(struct deployment *d);   /* it dies when no replica has its last writes */
bool failover(struct deployment *d);     /* the master is well */
bool replica_kill(struct deployment *d);
bool replica_pause(struct deployment *d);
bool sentinel_kill(struct deployment *d); /* one of three, beside other faults */

void sentinel_faults_begin(void);
/* Returns whether one of a server lasts, so the master may be away or another one. */
bool sentinel_faults_last(void);
/* Returns whether the function starts or resumes a server. */
bool sentinel_faults_heals_server(heal_fn fn);

#endif
