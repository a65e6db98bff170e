/*
 * descriptors.h: limit of open files.
 */
#ifndef ASQ_WORKER_DESCRIPTORS_H
#define ASQ_WORKER_DESCRIPTORS_H

struct asq__process;

/* Raises the soft limit of open files to the need of the process, and logs where the hard one is
 * too low. Called when the number of readers is known. */
void asq__descriptors_check(struct asq__process *w);

#endif
