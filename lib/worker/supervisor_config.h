/*
 * supervisor_config.h: the configuration of a supervisor.
 */
#ifndef ASQ_WORKER_SUPERVISOR_CONFIG_H
#define ASQ_WORKER_SUPERVISOR_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "worker/process.h"

struct asq__metrics;

struct asq__supervisor_config {
    struct asq__process_config process; /* id: of the supervisor; its processes are ID.0, ID.1, … */
    uint32_t processes;
    /* The program's pidfd and the read end of a pipe: all ends at once when either becomes
     * readable; -1: none. */
    int parent_fds[2];
    struct asq__metrics *metrics; /* NULL: nothing is measured */
    bool notify;                  /* notify systemd, if present */
    /* Wait for all children, because the program has none of its own. */
    bool reap_orphans;
    void (*log_reopen)(void *log_user); /* on SIGHUP; may be NULL */
    atomic_int *stop;                   /* set by asq_worker_stop; with wake_fd */
    int wake_fd;                        /* eventfd written to after *stop was set; -1: none */
};

#endif
