/*
 * supervisor.h: the parent of worker processes. Starts them, starts them again when they die, and
 * tells the deployment at once that one has died and which calls were on its threads.
 */
#ifndef ASQ_WORKER_SUPERVISOR_H
#define ASQ_WORKER_SUPERVISOR_H

#include <stddef.h>

struct asq__supervisor_config;

/* Runs until all processes have ended. Blocks the signals it handles (TERM, INT, CHLD; HUP, USR1,
 * QUIT, XCPU and those of signals.h unless the program has handlers of its own for them), SIGPIPE
 * and SIGXFSZ, and restores them. Returns
 * 0 after an orderly stop, else why a process could not continue. */
int asq__supervise(const struct asq__supervisor_config *config, char *err, size_t errlen);

#endif
