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

enum asq__due {
    ASQ__DUE_NOW,      /* it is due now */
    ASQ__DUE_IN_PLACE, /* it waits, and keeps a place in its agent's queue */
    ASQ__DUE_APART,    /* it waits, in no queue */
    ASQ__DUE_NEVER     /* it has failed */
};
/* Delays a new call that is not due yet. */
enum asq__due asq__later_begin(struct asq__wcall *c);
/* Returns whether every call of a new entry is due later than now. */
bool asq__later_is_all_ahead(struct asq__partition *p, Asqueue__Batch *batch);
#define ASQ__CANCELED_BEFORE_RETRY "the call was cancelled before it ran again"
/* Handles a failed run. True: the call runs again, later. A cancelled call that would run again
 * fails with the text above. */
bool asq__later_retry(struct asq__wcall *c, struct asq__run *run);

#endif
