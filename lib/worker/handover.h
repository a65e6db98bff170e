/*
 * handover.h: work that threads hand over to the loop, which does it in the order in which it came.
 */
#ifndef ASQ_WORKER_HANDOVER_H
#define ASQ_WORKER_HANDOVER_H

#include <stdbool.h>

#include "value/list.h"

struct asq__process;

struct asq__handover {
    struct asq__list node;
    void (*handle)(struct asq__handover *h); /* on the loop; may free the object around h */
};

void asq__handovers_init(struct asq__process *w);
void asq__handovers_release(struct asq__process *w);
/* Gives the loop work, in the order of the calls, from any thread. */
void asq__process_hand_over(struct asq__process *w, struct asq__handover *h);
/* Returns whether this is the thread of the loop, and nothing is handed over. */
bool asq__process_is_quiet(struct asq__process *w);
/* Does, on the loop, what is handed over. False: there was nothing. */
bool asq__handovers_take(struct asq__process *w);
/* Wakes the loop, from any thread or signal handler. */
void asq__process_wake(struct asq__process *w);

#endif
