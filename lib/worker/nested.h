/*
 * nested.h: calls that a method makes.
 */
#ifndef ASQ_WORKER_NESTED_H
#define ASQ_WORKER_NESTED_H

#include "asqueue.h"
#include "client/handle.h"

struct asq__nested;
struct asq__partition;
struct asq__run;

/* Returns memory for the handle inside the run's method, for run->nested. NULL: there is none. */
struct asq__nested *asq__nested_room(const struct asq__run *run);
asq *asq__nested_handle(asq_ctx *ctx);      /* made there, on the method's thread */
void asq__nested_end(struct asq__run *run); /* after the method has returned; on the loop */
/* Visits what a parked run waits for; see asq__wait_results. OTHER: also when its wait is over. */
enum asq__wait asq__nested_waits_for(const struct asq__run *run, asq__wait_fn visit, void *user);
void asq__nested_cancel(struct asq__run *run); /* cancels the calls that it made */
/* Sends deferred batches whose commit is acknowledged. */
void asq__nested_resume(struct asq__partition *p);
void asq__nested_drop_deferred(struct asq__partition *p);

#endif
