/*
 * later.h: calls that are due in the future.
 */
#ifndef ASQ_WORKER_LATER_H
#define ASQ_WORKER_LATER_H

#include <stdbool.h>

#include "value/msg.h"

struct asq__partition;
struct asq__run;
struct asq__wcall;

/* Delays a new call. False: due now; true: the call waits, or has failed. */
bool asq__later_begin(struct asq__wcall *c);
/* Returns whether every call of a new entry is due later than now. */
bool asq__later_is_all_ahead(struct asq__partition *p, Asqueue__Batch *batch);
#define ASQ__CANCELED_BEFORE_RETRY "the call was cancelled before it ran again"
/* Handles a failed run. True: the call runs again, later. A cancelled call that would run again
 * fails with the text above. */
bool asq__later_retry(struct asq__wcall *c, struct asq__run *run);

#endif
