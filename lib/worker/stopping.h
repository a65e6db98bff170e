/*
 * stopping.h: from the request to stop to the end of a worker process.
 */
#ifndef ASQ_WORKER_STOPPING_H
#define ASQ_WORKER_STOPPING_H

struct asq__process;

/* Begins to stop when that was asked for, and ends the process when it was asked for again, when
 * the time for draining is over, or when nothing is left to drain. */
void asq__process_check_stop(struct asq__process *w);
/* Ends a stopping process that owns no partition any more. */
void asq__process_check_stopped(struct asq__process *w);

#endif
