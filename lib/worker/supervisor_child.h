/*
 * supervisor_child.h: a worker process, from its fork to its end.
 */
#ifndef ASQ_WORKER_SUPERVISOR_CHILD_H
#define ASQ_WORKER_SUPERVISOR_CHILD_H

#include <sys/types.h>

struct asq__child;
struct asq__supervisor;

/* Runs a worker process in a process that process `parent` has just forked. */
void asq__child_run(struct asq__supervisor *s, struct asq__child *c, pid_t parent)
    __attribute__((noreturn));

#endif
