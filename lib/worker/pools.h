/*
 * pools.h: the pools of a worker: it makes those that it was given, and learns of others.
 */
#ifndef ASQ_WORKER_POOLS_H
#define ASQ_WORKER_POOLS_H

struct asq__process;

/* Makes the pools that this worker was given and that are not there, once Redis is up. What Redis
 * refuses is logged, and tried again by the upkeep. */
void asq__worker_pools_make(struct asq__process *w);
/* Takes partitions that have come; the namespace knows them already. */
void asq__worker_pools_grown(struct asq__process *w);

#endif
