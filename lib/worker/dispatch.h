/*
 * dispatch.h: agents' mailboxes: decides which call runs next.
 */
#ifndef ASQ_WORKER_DISPATCH_H
#define ASQ_WORKER_DISPATCH_H

#include <stdbool.h>

struct asq__actor;
struct asq__handover;
struct asq__mailbox_hooks;
struct asq__partition;
struct asq__process;
struct asq__run;
struct asq__wcall;

/* Queues or delays a new call. */
void asq__dispatch(struct asq__wcall *c);
/* Re-queues it as re-entrant if its caller runs here by now. */
void asq__dispatch_promote(struct asq__wcall *c);
/* Queues a delayed call that is due. */
void asq__dispatch_due(struct asq__wcall *c);
/* Queues a call, and starts none. False: the call has failed. */
bool asq__dispatch_join(struct asq__wcall *c);
/* Resumes or starts what it can. */
void asq__actor_go_on(struct asq__actor *a);
/* Returns whether a run of it runs, or is about to. */
bool asq__actor_is_moving(const struct asq__actor *a);
/* Answers to the questions of a mailbox; see core/mailbox.h. */
extern const struct asq__mailbox_hooks asq__dispatch_hooks;
/* Resumes or starts what it can, of all its actors. */
void asq__partition_go_on(struct asq__partition *p);
/* Starts, at the end of an iteration, calls that it had no room for. True: some are left for the
 * next one. */
bool asq__dispatch_turn_over(struct asq__process *w);
void asq__run_finished(struct asq__handover *h);
void asq__run_parks(struct asq__run *run); /* run begins to wait: gives up its turn */
void asq__run_wake(struct asq__run *run);  /* run may resume: its wait is over */

#endif
