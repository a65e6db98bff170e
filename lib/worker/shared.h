/*
 * shared.h: shared memory of a process and its supervisor.
 */
#ifndef ASQ_WORKER_SHARED_H
#define ASQ_WORKER_SHARED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/value.h"
#include "worker/core/stream_id.h"

/* The call that a thread runs or ran last: its process may die of it until its outcome is
 * committed. Written by that thread, except the outcome, which the loop writes; read after the
 * process has died. */
enum { ASQ__SLOT_FREE, ASQ__SLOT_RUNS, ASQ__SLOT_ENDED };

enum { ASQ__SLOT_NAME = 64 };

struct asq__slot {
    volatile uint32_t state;
    volatile uint32_t suspect; /* earlier processes died of it: blame it alone */
    volatile uint32_t partition;
    volatile uint64_t ticket; /* number of the call within this slot */
    /* Ticket whose outcome is in commit done_seq; written by the loop. */
    volatile uint64_t done, done_seq;
    volatile uint64_t crashed; /* ticket of the call in which it has crashed; 0: none */
    volatile int crash_signal;
    volatile uint64_t overflowed; /* by a stack overflow: size of the stack; 0: by something else */
    volatile uint64_t guilty;     /* ticket of the call that certainly ended the process; 0: none */
    uint64_t epoch;
    struct asq__stream_id entry;
    char call[ASQ__CALL_ID_TEXT];
    char class_name[ASQ__SLOT_NAME], method[ASQ__SLOT_NAME], agent[ASQ_MAX_ID + 1];
};

/* Shared memory of a process and its supervisor. */
struct asq__process_link {
    atomic_int stop;          /* as asq__process.stop */
    atomic_uint state_asked;  /* raised for each request to log the state */
    atomic_llong stopping_ms; /* time when it began to stop; monotonic; 0: not yet */
    atomic_int given_up;      /* set by its watch: end it and start it again */
    char client[17];          /* CLIENT of the process, once it is listed */
    /* May be in the list of workers: set before the first heartbeat, 0 once it has left. */
    atomic_int listed;
    atomic_bool in_cluster; /* the URL's only host is a node of a Cluster */
};

enum { ASQ__END_GRACE_MS = 3000 }; /* from the drain timeout to SIGKILL */

#endif
