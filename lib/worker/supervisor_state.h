/*
 * supervisor_state.h: the state of a supervisor and of its processes, shared by the
 * supervisor's files.
 */
#ifndef ASQ_WORKER_SUPERVISOR_STATE_H
#define ASQ_WORKER_SUPERVISOR_STATE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "asqueue.h"
#include "redis/trouble.h"
#include "worker/shared.h"
#include "worker/signals.h"

struct asq__supervisor_config;

/* Status with which a process ends for a reason that is in its memory. */
enum { ASQ__EXIT_CANNOT_GO_ON = 3, ASQ__EXIT_START_ANEW = 4 };

/* Shared with one child. */
struct asq__child_memory {
    atomic_int ready;
    atomic_int ended; /* ended in order: status 0 may also be an exit of user code */
    struct asq__signals_got got;
    int code;
    char why[400];
    struct asq__process_link link;
    struct asq__slot slots[];
};

struct asq__child {
    pid_t pid;        /* 0: not running */
    bool done;        /* ended in order, or not restarted */
    bool unannounced; /* ended, and Redis does not know yet */
    bool died;        /* ended neither in order nor cut off: its calls are blamed */
    bool cut_off;     /* ended by SIGKILL because it had to stop: its calls are not blamed */
    unsigned starts;
    char id[ASQ_MAX_ID + 16];
    unsigned blamed;            /* rank of the calls blamed for the last death; RANKS: none yet */
    char how[ASQ_MAX_ID + 100]; /* how the last process died */
    pid_t ended_pid;            /* the last process */
    int ended_status;           /* of waitpid */
    struct asq__child_memory *shared;
    int64_t started_ms, start_at_ms;
    int64_t backoff_ms;
    struct asq__signals_logged signals_logged;
};

struct asq__supervisor {
    const struct asq__supervisor_config *config;
    struct asq__child *children;
    size_t shared_size;
    sigset_t old_mask;
    sigset_t meaningless; /* signals that are ignored, with a line */
    struct asq__signals_logged signals_logged;
    int signals;        /* signalfd */
    int ready[2];       /* pipe: children say that they are ready */
    int stopping;       /* number of requests to stop */
    int64_t kill_at_ms; /* while stopping: processes that still run then are ended */
    bool unreachable;   /* Redis was away while stopping: no second wait */
    bool has_announced_ready;
    struct asq__trouble unreported; /* failures to tell Redis of a death */
    bool was_up; /* a process was ready once: from then on every answer of Redis is waited out */
    int code;
    char why[400];
};

void asq__supervisor_log(const struct asq__supervisor *s, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Returns what a line is about that is about the call in a slot, whose texts have ends and are
 * borrowed. */
asq_log_fields asq__slot_fields(const struct asq__slot *slot);
/* The same, with what the line is about. */
void asq__supervisor_log_about(const struct asq__supervisor *s, asq_log_level level,
                               const asq_log_fields *about, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Returns whether the worker belongs to a program (child mode). A signal to all processes of a
 * service stops the program, which may need its workers to finish: they end with it, and by no
 * signal before. */
bool asq__supervisor_is_part_of_program(const struct asq__supervisor *s);
/* Returns whether an ended process had to stop, by a signal or by a request in Redis. */
bool asq__child_stays_away(const struct asq__supervisor *s, const struct asq__child *c);

#endif
