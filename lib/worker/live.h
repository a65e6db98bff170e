/*
 * live.h: what methods have published of their agents' live attributes, for whoever reads them:
 * from the method's thread to the loop, and there by agent. Readers are of live_reads.h.
 */
#ifndef ASQ_WORKER_LIVE_H
#define ASQ_WORKER_LIVE_H

#include <stdbool.h>

#include "asqueue.h"

struct asq__live;
struct asq__partition;
struct asq__run;

/* Hands over values (taken), on the method's thread; see asq__env.publish. Values of the run that
 * the loop has not taken yet are dropped, so there is one hand-over of it at a time. */
void asq__live_hand_over(asq_ctx *ctx, struct asq__live *values);
/* Takes them for readers, on the loop. False: nobody may read them any more. */
bool asq__live_take(struct asq__run *run);
/* Returns what is published of an agent; NULL: nothing is. */
const struct asq__live *asq__live_of(const struct asq__partition *p, const char *agent);
/* Ends what a run has published, behind its end in the mailbox; one that is unloaded leaves it. */
void asq__live_end(struct asq__run *run);
/* Ends what an unloaded run of a call has left, because the call has ended without another one. */
void asq__live_call_ended(struct asq__partition *p, const char *agent, const char *call);
/* Drops all of a lost partition. */
void asq__live_drop(struct asq__partition *p);

#endif
