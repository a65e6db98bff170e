/*
 * live_reads.h: reads of attributes that are ASQ_LIVE, which do not wait for the agent's calls.
 */
#ifndef ASQ_WORKER_LIVE_READS_H
#define ASQ_WORKER_LIVE_READS_H

#include <stdbool.h>

struct asq__actor;
struct asq__run;
struct asq__wcall;

/* Has a run that begins publish the live attributes, if nothing is published of its agent. */
void asq__live_reads_begin(struct asq__run *run);
/* Answers a read that comes, from what is published. False: it is to be queued. */
bool asq__live_reads_answer(struct asq__wcall *c);
/* Answers those that are queued for an agent that is there. Returns whether there were any. If not,
 * *ret is one that may begin before all other calls, because none is active; or NULL. */
bool asq__live_reads_take(struct asq__actor *a, struct asq__wcall **ret);

#endif
