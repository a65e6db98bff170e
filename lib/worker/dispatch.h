/*
 * dispatch.h: agents' mailboxes: decides which call runs next.
 */
#ifndef ASQ_WORKER_DISPATCH_H
#define ASQ_WORKER_DISPATCH_H

#include <stdbool.h>

struct asq__actor;
struct asq__mailbox_hooks;
struct asq__partition;
struct asq__process;
struct asq__run;
struct asq__run_hooks;
struct asq__wcall;

/* Queues or delays a new call. */
void asq__dispatch(struct asq__wcall *c);
/* Re-queues it as re-entrant if its caller runs here by now. */
void asq__dispatch_promote(struct asq__wcall *c);
/* Queues a delayed call that is due. */
void asq__dispatch_due(struct asq__wcall *c);
/* Dispatches delayed calls that are due, and continues agents, at the end of an iteration. False:
 * there were none. */
bool asq__dispatch_run_due(struct asq__process *w);
/* Resumes or starts what it can. Files below use asq__actor_resume_later. */
void asq__actor_resume(struct asq__actor *a);
/* Returns whether a signal to the agent is taken at once, past all its calls. */
bool asq__dispatch_hears_signals(const struct asq__partition *p, const char *agent);
/* Answers to the questions of a mailbox; for process->mailbox_hooks. */
extern const struct asq__mailbox_hooks asq__dispatch_hooks;
/* Resumes or starts what it can, of all its actors. */
void asq__partition_resume(struct asq__partition *p);
/* Returns whether active calls of it wait for calls that only an owner with other classes can run.
 */
bool asq__partition_needs_next_owner(const struct asq__partition *p);
/* Starts, at the end of an iteration, calls that it had no room for. True: some are left for the
 * next one. */
bool asq__dispatch_postponed(struct asq__process *w);
extern const struct asq__run_hooks asq__dispatch_run_hooks; /* for process->run_hooks */
void asq__run_unpark(struct asq__run *run);                 /* run may resume: its wait is over */

#endif
