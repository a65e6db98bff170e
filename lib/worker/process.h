/*
 * process.h: one worker process: its configuration, and the state that its files share. All of it
 * belongs to the thread of the event loop unless a field says otherwise. Other threads hand work
 * over by asq__process_hand_over(), see handover.h. ARCHITECTURE.md shows the way of a call and the
 * states of a partition.
 */
#ifndef ASQ_WORKER_PROCESS_H
#define ASQ_WORKER_PROCESS_H

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/object.h"
#include "redis/cmd.h"
#include "redis/trouble.h"
#include "value/clock.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/quick_clock.h"
#include "value/tally.h"
#include "worker/core/actors.h"
#include "worker/core/allowance.h"
#include "worker/core/series.h"

struct asq__engine;
struct asq__members;
struct asq__metrics;
struct asq__method;
struct asq__partition;
struct asq__pause;
struct asq__pool;
struct asq__process_link;
struct asq__reader;
struct asq__redis;
struct asq__mailbox_hooks;
struct asq__registry;
struct asq__run_hooks;
struct asq__slot;
struct asq__stats;
struct asq__url;
struct asq__wcall;
struct redisReply;

enum { ASQ__MACHINE_TEXT = 17 };
/* Questions that report.c answers. */
enum { ASQ__REPORT_NONCES = 8 };
struct asq__report {
    char nonces[ASQ__REPORT_NONCES][33]; /* the last ones */
    unsigned next_nonce;
    bool due;        /* a question is not answered yet */
    int64_t next_ns; /* time of the next answer, by the monotonic clock */
};

/* Partitions that claims have brought and of which nothing was told yet; of takeover.c. */
enum { ASQ__TAKEOVERS_MAX = 8 }; /* former owners that a line names */
struct asq__takeovers {
    struct asq__takeover {
        struct asq__former *former; /* with the highest epoch of its leases */
        unsigned n;                 /* partitions */
    } list[ASQ__TAKEOVERS_MAX];
    size_t n;
};

/* Classes that operators have paused; of pause.c. */
struct asq__pauses {
    struct asq__pause *list; /* by name */
    size_t n;
    bool all;           /* the namespace is paused, and so is each class */
    bool known;         /* read on the present connection; no call starts before */
    bool asking, again; /* a read is under way; another is to follow it */
    int64_t last_logged_ms;
};

enum { ASQ__STUCK_MAX = 8192, ASQ__AWAITS_MAX = 1024, ASQ__EXIT_THREAD_LOST = 5 };

/* From a write that a failover loses until what follows from the loss: replication lags, the node
 * is missed, a replica elected, the partition claimed. */
enum { ASQ__FAILOVER_MS = 60 * 1000 };

/* Defaults; see asq_worker_options. */
enum {
    ASQ__MAX_WAITING = 1000000,
    ASQ__MAX_DEAD_LETTERS = 10000,
    ASQ__KEEP_FAILURES = 100,
    ASQ__MAX_DEAD_LETTERS_SIZE = 32 * 1024 * 1024,
    ASQ__MAX_BACKLOG_SIZE = 256 * 1024 * 1024,
    ASQ__MAX_AGENT_MEMORY = 1024 * 1024 * 1024,
    ASQ__AGENT_IDLE_TIME_MS = 10 * 60 * 1000,
    ASQ__UNLOAD_AFTER_MS = 60 * 1000
};

struct asq__process_config {
    const struct asq__url *url;
    const char *ns, *id;
    const char *pools; /* that it serves, as value/pools.h has lists */
    struct asq__registry *registry;
    const asq_value *models;
    uint32_t partitions, capacity, max_expire_time_s, max_attempts, max_waiting, max_dead_letters;
    size_t max_message_size, max_backlog_size, max_agent_memory, max_dead_letters_size, stack_size;
    int64_t lease_time_ms, drain_timeout_ms, agent_idle_time_ms;
    int64_t unload_after_ms; /* below 0: never */
    uint32_t keep_failures;  /* last ones of a partition that stay in Redis */
    bool omit_arguments;     /* of failures */
    bool fail_no_class;      /* a call of a class that no live worker has fails at once */
    uint32_t wait_replicas;  /* N: no result is told before N replicas have it; 0: none */
    int64_t wait_timeout_ms;
    bool was_up;             /* replaces a process that had served: waits for what Redis lacks */
    struct asq__slot *slots; /* capacity + 1, in shared memory; or NULL */
    struct asq__process_link *link;     /* in shared memory; or NULL */
    struct asq__figures *figures;       /* in shared memory; NULL: nothing is measured */
    const struct asq__metrics *metrics; /* with figures: the names of their series */
    bool stats;                         /* tell the figures to Redis, if there are any */
    const char *traces;                 /* URL of a collector; NULL: no call is traced */
    const char *trace_service;          /* or NULL */
    double trace_rate;                  /* share of the calls that nobody else traces */
    int supervisor_fd;                  /* with link: a write to it wakes the supervisor */
    /* with link: the parent at the start; getppid() differs once it has ended */
    pid_t supervisor;
    /* Called once it reads the streams of all its partitions, except those others still hold. */
    void (*ready)(void *user);
    void *ready_user;
    asq_log_level log_level;
    asq_log_level method_log_level; /* of asq_ctx_log */
    asq_log_fn log;
    asq_log_fields_fn log_fields; /* in place of log; or NULL */
    void *log_user;
    void (*set_title)(const char *title); /* see asq_worker_options; or NULL */
};

struct asq__process {
    struct asq__process_config config;
    struct asq__env env;
    struct ev_loop *loop;
    ev_prepare iteration; /* end of an iteration: fetches snapshots, sends commits, flushes */
    ev_async wake;        /* wakes the loop: handed-over work, or a request to stop */
    ev_timer retry;       /* recovers commits after a refusal */
    ev_timer give_up;     /* gives up entries under the highest ids of streams */
    ev_timer upkeep;      /* housekeeping, such as evicting idle agents */
    struct asq__redis *redis;
    struct asq__engine *engine;
    struct asq__pool *pool;
    struct asq__tracer *tracer; /* NULL: no call is traced */
    const struct asq__run_hooks *run_hooks;
    const struct asq__mailbox_hooks *mailbox_hooks;
    void (*cancel)(struct asq__wcall *c); /* for files below control.c */
    /* For files below intake.c. */
    void (*take_returned)(struct asq__partition *p, const struct redisReply *entry);
    char client[17];
    uint64_t client_number;
    uint32_t nparts;
    /* NULL until Redis was up once; has room for as many as there may be, so that none moves. */
    struct asq__partition *parts;
    size_t pools_under_way; /* pools that it makes */
    struct asq__reader **readers;
    size_t nreaders;
    size_t streams_per_reader;
    struct asq__list readers_due;     /* readers that are to read, or to end */
    size_t reading_bytes;             /* bytes that reads under way may bring */
    size_t entry_bytes;               /* size of the largest recent entries; shrinks */
    struct asq__list ready;           /* partitions with commits to send */
    struct asq__list fetching;        /* partitions with snapshots to fetch */
    size_t fetching_bytes;            /* bytes that fetches under way may bring */
    struct asq__list emitting;        /* partitions with emitted values to send; of emits.c */
    ev_timer emit;                    /* sends them, later */
    int64_t emit_next_ms;             /* when values leave next; monotonic */
    atomic_size_t emit_bytes;         /* of those that Redis has not acknowledged */
    struct asq__list inputs_waiting;  /* inputs that wait for room, first in, first out */
    struct asq__list inputs_admitted; /* inputs that may exceed the bound */
    size_t input_bytes;               /* of results held as inputs; also in held_bytes */
    struct asq__list result_reads;    /* reads of result records that wait for room */
    size_t result_bytes;              /* bytes that such reads under way may bring */
    struct asq__list leaving;         /* partitions with a backlog */
    size_t admitted_bytes;            /* part of held_bytes that was admitted beyond the bound */
    size_t noted_bytes;               /* memory of notes of what is left in streams */
    struct asq__list claims;          /* partitions to claim */
    struct asq__list fenced;          /* partitions that are lost, to be dropped */
    struct asq__list drained;         /* draining partitions that may be empty */
    uint32_t titled;                  /* partitions that the title tells of */
    uint32_t nowned, nidle;           /* partitions that are owned; that are IDLE */
    bool refresh_due;                 /* other workers and all leases are to be read again */
    bool announce_due;                /* the other workers are to be told of a change */
    size_t claims_in_flight;
    struct asq__takeovers takeovers;  /* what claims have brought */
    struct asq__list stuck_actors;    /* stuck actors: calls wait, and no run moves */
    ev_timer probe;                   /* checks the stuck actors */
    int64_t probe_ms;                 /* time of the next check; INT64_MAX: none */
    struct asq__allowance probe_time; /* for probes of other workers; more are dropped */
    uint64_t waits;                   /* last number given to a wait; starts at client_number */
    struct asq__actors actors;
    struct asq__members *members;
    /* Distinct sets of classes of the live workers as of the last decision, a line each; NULL:
     * unknown. */
    char *kinds;
    char *lacked; /* classes that calls here need and this process lacks, as they were logged */
    char *knows;  /* classes of this process, as classes.h has them; NULL: more than that may be */
    /* Pools that it was asked to serve no longer, and those that it serves therefore; NULL: as it
     * was started. Of the loop, which changes them under handover_lock. */
    char *drained_pools, *served;
    char *drain_asked; /* the last request, which the loop has not seen yet; under handover_lock */
    /* Time of sending of the last heartbeat that Redis acknowledged; 0: none. Written by the
     * heartbeat thread. */
    atomic_llong heartbeat_ms;
    atomic_bool is_alive_again; /* it was sent after calls had to wait for it; as is heartbeat_ms */
    int64_t
        home_back_ms; /* when the server of the namespace's keys was back; coarse; 0: never away */
    size_t held_pushes;         /* bytes of records that are pushed once replicas have them */
    struct asq__cmd commit_cmd; /* command being built; else empty */
    size_t scripts_in_flight, large_in_flight;
    struct asq__window *windows;   /* [server]; of commit_send.c */
    unsigned starts;               /* calls started in this iteration */
    struct asq__quick_clock clock; /* of the loop's thread */
    struct asq__timed spare_timed; /* memory of an ended commit, for the next one */
    struct asq__list postponed;    /* partitions with calls left for the next iteration */
    /* entries whose way out of the stream is decided; of later_move.c */
    struct asq__list moved;
    struct asq__list due; /* delays of calls whose time has come; of delay.c */
    /* Time of the next try after Redis refused a commit; no call starts until it takes one. 0: no
     * refusal. */
    int64_t refused_until_ms;
    bool reconnect; /* try again on a new connection */
    /* Lower bound of the clock of Redis minus the monotonic one. See asq__redis_clock for more. */
    int64_t redis_minus_mono_ms;
    bool redis_clock_known;
    bool redis_time_changed; /* entries may wait for the clock, which has become known or was set */
    char machine[ASQ__MACHINE_TEXT]; /* see later_clock.h; "": unknown */
    bool suspected;                  /* a commit is suspected of the last loss of the connection */
    struct asq__wcall *suspect;      /* the only call with attempts that may run now */
    size_t suspects_waiting;
    pthread_t thread;                   /* thread of the loop */
    struct asq__tally untaken_failures; /* failures of calls whose callers do not take the result */
    pthread_mutex_t untaken_failures_lock; /* methods count such failures, too */
    atomic_uint iterations;                /* iterations of the loop, for watch.c */
    bool forked;                           /* copy made by fork() in a method */
    unsigned state_answered;               /* value of link->state_asked last answered */
    /* 1: drain and end; 2: end now. Set from signal handlers and threads. */
    atomic_int *stop;
    struct asq__lines lines;          /* log lines that may come often */
    const asq_log_fields *line_about; /* what the line that is being logged by it is about */
    struct asq__trouble away;         /* Redis is unusable */
    atomic_bool is_away;              /* the same, for other threads */
    struct asq__trouble reading;      /* Redis is unusable for reading */
    struct asq__trouble unreplicated; /* too few replicas have what was written */
    struct asq__trouble refusing;     /* Redis refuses commits of `nrefused` partitions */
    unsigned nrefused;
    size_t readers_down;
    /* Eviction policy: last asked, last logged; the latter 0: no fault. */
    int64_t policy_asked_ms, policy_last_logged_ms;
    bool has_announced_ready; /* config.ready was called */
    unsigned logged_lack;     /* refused commands (ASQ__LACKS_…) that were last logged */
    bool stopping, ended;
    int64_t stop_deadline_ms;
    int code; /* result of asq__process_run */
    char why[400];
    /* Work handed over by threads. */
    pthread_mutex_t handover_lock;
    struct asq__list handover;
    char stuck[ASQ__STUCK_MAX];   /* lines of stuck.c for the heartbeat; under handover_lock */
    char awaits[ASQ__AWAITS_MAX]; /* classes of `lacked`, for the heartbeat; under handover_lock */
    int64_t stuck_refreshed_ms;
    struct asq__report report;
    struct asq__pauses pauses;
    struct asq__handles *handles; /* of programs, that were asked for; of handles.c; NULL: none */
    struct asq__stats *stats;     /* NULL: figures are not told to Redis */
    int64_t started_ms;           /* monotonic */
    /* Counters of the loop, read by the heartbeat thread. */
    atomic_ullong calls, failures, commits, commit_calls, held_bytes, dead;
    atomic_ullong
        lost_commits; /* acknowledged ones, and outcomes of promises, that Redis has lost */
    /* Lost commits that the leases being read have told of so far, and how many are being read. */
    uint64_t lost_now;
    uint32_t lost_partitions, leases_asked;
    const struct asq__method *last_method; /* that a call was looked up for; of dispatch.c */
    unsigned long long told_commits, told_commit_calls, told_dead; /* part of them in `figures` */
};

/* Returns the pools that it serves, as value/pools.h has lists. On the loop. */
static inline const char *asq__process_pools(const struct asq__process *w)
{
    return w->served ? w->served : w->config.pools;
}

#endif
