/*
 * series.h: the figures of a worker process, in memory that it shares with its supervisor: gauges
 * and counters of the process, and a series for each method of each class.
 *
 * The process's loop writes, except where a member says otherwise; anybody reads, each word by
 * itself. A process that takes the place of a dead one goes on with the same memory, so counters
 * never go back.
 *
 * No I/O and no clock.
 */
#ifndef ASQ_WORKER_CORE_SERIES_H
#define ASQ_WORKER_CORE_SERIES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/histogram.h"

enum {
    ASQ__SERIES_MAX = 1024, /* of a process; further methods count under their class, or all */
    ASQ__SERIES_CODES = 64, /* codes of the library are between 0 and minus this */
    ASQ__SERIES_OWN = 8,    /* codes of applications with a counter of their own */
    ASQ__POOLS_SHOWN = 64   /* further pools have no gauges of their own */
};

/* Places of a class before those of its methods. */
enum {
    ASQ__SERIES_CREATE, /* creation of agents */
    ASQ__SERIES_REST,   /* other jobs, unknown methods, and methods without a place */
    ASQ__SERIES_METHODS
};

struct asq__series {
    atomic_ullong calls; /* that have ended; each run of one that is run again */
    atomic_ullong failures[ASQ__SERIES_CODES]; /* by the negative of the code */
    struct {
        atomic_int code; /* 0: free */
        atomic_ullong n;
    } own[ASQ__SERIES_OWN];
    atomic_ullong other_failures; /* of codes without a place */
    struct asq__histogram queue;  /* from its making, or when it was due, to its start */
    struct asq__histogram run; /* of a thread's time, and of its own waits outside of the library */
    struct asq__histogram parked; /* of calls that have parked */
    struct asq__histogram commit; /* from its end to the acknowledgement by Redis */
};

/* In place of that time, for a run that is counted already, except for its commit. */
#define ASQ__TIMED_COUNTED INT64_MIN

/* Ended runs of a commit, which are counted together: that costs half. Runs in a row are of one
 * series, their calls have waited from one time on, and each begins when the one before ends, as
 * the calls of an entry do. So a run adds one time, when it ended: the sum of what each has taken
 * is that of the row, and runs whose times fall into one bucket are counted at once. Zero: none. */
struct asq__timed {
    int64_t *times; /* of each row: when its first run began, and when each ended; ascending */
    size_t n, room;
    uint64_t sum_ns; /* of all ends */
    struct asq__timed_row {
        struct asq__series *series;
        int64_t since_ms; /* or ASQ__TIMED_COUNTED */
        size_t first;     /* place of its first time */
        uint64_t sum_ns;  /* before it */
    } * rows;
    size_t nrows, rows_room;
    struct asq__series *series; /* of the last row; NULL: nothing may be added to that */
    int64_t since_ms;           /* of the last row */
};

/* Gauges that the loop samples, or others set. Members are in the order in which they are shown. */
struct asq__gauges {
    atomic_llong updated_ms; /* time of the last sample; monotonic; 0: there is none */
    atomic_llong serves;     /* reads the streams of all its partitions */
    atomic_llong redis_up;   /* Redis can be used, and the heartbeat is acknowledged */
    atomic_llong stopping;
    atomic_llong partitions; /* owned */
    atomic_llong running;    /* calls that have begun and are not parked */
    atomic_llong parked;
    atomic_llong waiting;   /* calls in memory that have not begun */
    atomic_llong oldest_ms; /* age of the oldest of these, of a sample */
    atomic_llong waiting_bytes;
    atomic_llong backlog; /* calls that are left in Redis, about */
    atomic_llong agents, agent_bytes;
    atomic_llong threads_busy;
    atomic_llong commits_in_flight, commits_waiting;
    atomic_llong round_trip_ns; /* of a PUBLISH; of the heartbeat's thread; 0: unknown */
};

/* Gauges of a pool, of which a process has partitions, or might. */
struct asq__pool_gauges {
    char name[ASQ_MAX_POOL + 1]; /* written before the pool is counted, and never changed */
    atomic_llong partitions;     /* owned */
    atomic_llong active;         /* calls that have begun and not ended */
    atomic_llong waiting;        /* calls in memory that have not begun */
    atomic_llong oldest_ms;      /* age of the oldest of these, of a sample */
    atomic_llong backlog;        /* calls that are left in Redis, about */
};

struct asq__figures {
    struct asq__gauges gauges;
    atomic_uint npools;
    struct asq__pool_gauges pools[ASQ__POOLS_SHOWN];
    atomic_ullong commits, commit_calls, dead_letters;
    atomic_ullong starts, deaths;                /* of the supervisor */
    atomic_ullong spans_exported, spans_dropped; /* traced runs; of any thread */
    /* As laid out by metrics.c; the first one is of unknown classes. As many follow: the figures
     * last reported to Redis. */
    struct asq__series series[];
};

/* Counts a call that has failed. */
void asq__series_fail(struct asq__series *s, int code);
/* Makes room for one more end, of a run that began then. False: no memory. */
bool asq__timed_reserve(struct asq__timed *t, struct asq__series *s, int64_t since_ms,
                        int64_t began_ns);
/* Adds a run to be measured; without memory it is not. since_ms: from when its call has waited, or
 * ASQ__TIMED_COUNTED. */
static inline void asq__timed_add(struct asq__timed *t, struct asq__series *s, int64_t since_ms,
                                  int64_t began_ns, int64_t ended_ns)
{
    bool fits = s == t->series && since_ms == t->since_ms && t->n < t->room &&
                began_ns == t->times[t->n - 1];
    if (!fits && !asq__timed_reserve(t, s, since_ms, began_ns))
        return;
    if (ended_ns < began_ns) /* by the clock of another processor */
        ended_ns = began_ns;
    t->times[t->n++] = ended_ns;
    t->sum_ns += (uint64_t) ended_ns;
}
void asq__timed_release(struct asq__timed *t);
/* Moves the memory of `from`, without the runs, to `to`, if that has none. */
void asq__timed_recycle(struct asq__timed *to, struct asq__timed *from);
/* Counts a run with its times in the queue and of running. */
void asq__series_run(struct asq__series *s, int64_t queue_ns, int64_t run_ns);
/* Counts all runs so, except those that are counted already. */
void asq__series_runs(const struct asq__timed *t);
/* Counts the times of runs until their commit was acknowledged. */
void asq__series_commit(const struct asq__timed *t, int64_t now_ns);
/* Forgets what a process says of itself that has ended. */
void asq__gauges_reset(struct asq__gauges *g);
/* Returns the gauges of a pool, which are made if `make`; NULL: it has none. */
struct asq__pool_gauges *asq__figures_pool(struct asq__figures *f, const char *name, bool make);
/* Adds all of `from` to `to`, which nobody else uses. */
void asq__series_merge(struct asq__series *to, const struct asq__series *from);

#endif
