/*
 * unload.h: calls that give back their fiber and memory while they sleep, or wait for long, and are
 * run again from the records of their steps when that is over.
 */
#ifndef ASQ_WORKER_UNLOAD_H
#define ASQ_WORKER_UNLOAD_H

#include <stdbool.h>
#include <stdint.h>

struct asq__partition;
struct asq__run;
struct asq__wcall;

/* Returns whether a run that is parked should end now, because it sleeps or has waited for long, or
 * its partition is to be handed over. *ret_ms: otherwise, in how many ms to ask again; INT64_MAX:
 * never. */
bool asq__unload_is_due(const struct asq__run *run, int64_t *ret_ms);
/* Ends the wait of such a run with ASQ_EUNLOADED; the caller unparks it. Its method returns then,
 * and the run has no effect. False: no memory, and it stays parked. */
bool asq__unload(struct asq__run *run);
/* Unloads what is due in a partition that drains. The runs resume in this iteration. */
void asq__unload_partition(struct asq__partition *p);
/* Has the call of an ended run wait until it is due, or what it waits for is there; takes its
 * batches. False: no memory, and the
 * partition is lost. */
void asq__unload_end(struct asq__run *run);
/* Gives a run that begins the batches that the unloaded one has made. */
void asq__unload_over(struct asq__wcall *c, struct asq__run *run);

#endif
