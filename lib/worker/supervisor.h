/*
 * supervisor.h: the parent of worker processes. Starts them, starts them again when they die, and
 * tells the deployment at once that one has died and which calls were on its threads.
 */
#ifndef ASQ_WORKER_SUPERVISOR_H
#define ASQ_WORKER_SUPERVISOR_H

#include <stdatomic.h>

#include "worker/process.h"

struct asq__supervisor_config {
    struct asq__process_config process; /* id: of the supervisor; its processes are ID.0, ID.1, … */
    uint32_t processes;
    /* The program's pidfd and the read end of a pipe: all ends at once when either becomes
     * readable; -1: none. */
    int parent_fds[2];
    bool notify; /* notify systemd, if present */
    /* Wait for all children, because the program has none of its own. */
    bool reap_orphans;
    void (*log_reopen)(void *log_user); /* on SIGHUP; may be NULL */
    atomic_int *stop;                   /* set by asq_worker_stop; with wake_fd */
    int wake_fd;                        /* eventfd written to after *stop was set; -1: none */
};

/* Runs until all processes have ended. Blocks the signals it handles (TERM, INT, CHLD; HUP, USR1,
 * QUIT, XCPU and those of signals.h unless the program has handlers of its own for them), SIGPIPE
 * and SIGXFSZ, and restores them. Returns
 * 0 after an orderly stop, else why a process could not continue. */
int asq__supervise(const struct asq__supervisor_config *config, char *err, size_t errlen);

#endif
