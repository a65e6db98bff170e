/*
 * stuck.h: tells which calls have been under way for long, and why.
 */
#ifndef ASQ_WORKER_STUCK_H
#define ASQ_WORKER_STUCK_H

struct asq__process;

void asq__stuck_refresh(struct asq__process *w); /* once a second */

#endif
