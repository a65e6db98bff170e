/*
 * state.h: state of a process, for the log.
 */
#ifndef ASQ_WORKER_STATE_H
#define ASQ_WORKER_STATE_H

struct asq__process;

void asq__state_log(struct asq__process *w);

#endif
