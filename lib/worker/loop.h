/*
 * loop.h: runs a worker process.
 */
#ifndef ASQ_WORKER_LOOP_H
#define ASQ_WORKER_LOOP_H

#include <stdatomic.h>
#include <stddef.h>

struct asq__process;
struct asq__process_config;

/* Runs until *stop is set and asq__process_wake is called on *current (set while it runs; may be
 * NULL). Returns 0, or why it could not continue. */
int asq__process_run(const struct asq__process_config *config, atomic_int *stop,
                     struct asq__process **current, char *err, size_t errlen);

#endif
