/*
 * timers.h: fires the timers of agents: at their times, the owner of a partition puts their calls
 * into its stream.
 */
#ifndef ASQ_WORKER_TIMERS_H
#define ASQ_WORKER_TIMERS_H

struct asq__partition;

void asq__timers_open(struct asq__partition *p);  /* after a claim: looks for timers */
void asq__timers_close(struct asq__partition *p); /* it is not owned any more */
void asq__timers_free(struct asq__partition *p);
void asq__timers_changed(struct asq__partition *p); /* a commit has changed some */
void asq__timers_upkeep(struct asq__partition *p);  /* once a second */

#endif
