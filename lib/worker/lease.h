/*
 * lease.h: claims, drains and hands back partitions, and drops what a lost one had in memory.
 */
#ifndef ASQ_WORKER_LEASE_H
#define ASQ_WORKER_LEASE_H

#include <stdbool.h>
#include <stdint.h>

struct asq__partition;
struct asq__process;

int asq__partitions_init(struct asq__process *w);
/* Adds those that have come since. */
int asq__partitions_grow(struct asq__process *w);
/* Drops all that they hold; pending replies find nothing. */
void asq__partitions_drop(struct asq__process *w);
void asq__partitions_release(struct asq__process *w);
/* Claims it if the lease is as last seen. May take a while because claims are spread over time. */
void asq__partition_claim(struct asq__partition *p);
void asq__partition_cancel_claim(struct asq__partition *p); /* if it was not sent yet */
/* Writes owner and epoch into the lease again if it is still held. */
void asq__partition_restore_owner(struct asq__partition *p);
/* Stops starting calls, and releases the partition once it is empty. */
void asq__partition_drain(struct asq__partition *p, int64_t timeout_ms);
/* Releases a draining partition that is empty, once a second, and calls off a drain that takes too
 * long. */
void asq__partition_check_drain(struct asq__partition *p);
/* Frees, at the end of an iteration, the memory of abandoned partitions, and hands back drained
 * ones. True: a partition was dropped or handed back, so other work may go on. */
bool asq__leases_run_due(struct asq__process *w);

#endif
