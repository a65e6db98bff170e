/*
 * pools.h: the pools of a worker: it makes those that it was given, and learns of others.
 */
#ifndef ASQ_WORKER_POOLS_H
#define ASQ_WORKER_POOLS_H

struct asq__process;

/* Makes the pools that this worker was given and that are not there, once Redis is up. What Redis
 * refuses is logged, and tried again by the upkeep. */
void asq__worker_pools_make(struct asq__process *w);
/* Takes up what the heartbeat was asked: pools that this process serves no longer, for all of its
 * life. It tells others so, and hands their partitions back in order. A request that leaves it none
 * is logged and has no effect. */
void asq__worker_pools_drain(struct asq__process *w);
void asq__worker_pools_release(struct asq__process *w);
/* Takes partitions that have come; the namespace knows them already. */
void asq__worker_pools_grown(struct asq__process *w);

#endif
