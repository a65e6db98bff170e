/*
 * supervisor.h: the parent of worker processes: starts them, starts them again when they die, and tells
 * the deployment at once when one has died and which calls were on its threads.
 */
#ifndef ASQ_WORKER_SUPERVISOR_H
#define ASQ_WORKER_SUPERVISOR_H

#include <stdatomic.h>

#include "worker/process.h"

struct asq__supervisor_config {
    struct asq__process_config process; /* id: of the supervisor; its processes are ID.0, ID.1, … */
    uint32_t processes;
    int parent_fds
        [2]; /* the program's pidfd, the read end of a pipe: when one becomes readable, everything
                        * ends at once; -1: none */
    bool notify;      /* tell systemd, when it is there */
    bool reap_orphans;  /* wait for all children there are: the program has none of its own */
    void (*log_reopen)(void *log_user); /* on SIGHUP; may be NULL */
    atomic_int *stop; /* set by asq_worker_stop; with wake_fd */
    int wake_fd;      /* an eventfd that is written to when *stop was set; -1: none */
};

/* Runs until all processes have ended. Blocks the signals it handles (TERM, INT, CHLD; HUP, USR1, QUIT unless
 * the program has handlers of its own for them) and SIGPIPE, and restores them.
 * 0 after an orderly stop; else why a process could not go on. */
int asq__supervise(const struct asq__supervisor_config *config, char *err, size_t errlen);

#endif
