/*
 * chaos.h: declarations shared by the parts of the chaos run: the plan of a run, the deployment
 * under test, the proxy's controls. Each round has a deployment of its own, which is started,
 * loaded, damaged, repaired, awaited and checked.
 */
#ifndef ASQ_CHAOS_H
#define ASQ_CHAOS_H

#include "cluster_proxy.h"

#include "support/cluster.h"
#include "support/sentinel.h"
#include "support/support.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    LEASE_MS = 1000,
    MAX_WORKERS = 5,
    FIRST_WORKERS = 3,
    MAX_CALLERS = 20,
    PARTITIONS = 64,
    CLUSTER_MASTERS = 3,           /* with a replica each */
    PROXY_PORTS = MAX_WORKERS + 1, /* one for each worker, one for the callers */
    QUIET_LIMIT_MS = 240000
};

/* ---- random numbers, the same for the same seed ---- */

struct rng {
    uint64_t s;
};
uint64_t rng_next(struct rng *r);
uint32_t rng_below(struct rng *r, uint32_t n);
uint64_t rng_mix(uint64_t seed, uint64_t n); /* derives the seed of a part */

/* ---- workloads ---- */

enum workload {
    COUNTER,
    APPEND,
    BANK,
    TREE,
    SEND,
    FUTURE,
    STEP,
    PROMISE,
    PROGRESS,
    TIMER,
    WORKLOADS
};
extern const char *const workload_names[WORKLOADS];
extern const int workload_agents[WORKLOADS]; /* number of agents of each */
/* "append-3" */
void agent_name(char *name, size_t size, int workload, int index);

/* ---- the plan ---- */

struct plan {
    int64_t seconds, round_seconds;
    uint64_t seed;
    bool workloads[WORKLOADS];
    uint64_t faults; /* bits: see faults.h */
    bool sentinels;  /* a master with two replicas and three Sentinels, in place of one Redis */
    bool cluster;    /* three masters with a replica each */
    int wait_replicas;
    int rate;  /* calls a second, of each caller */
    bool keep; /* keep the files of a round with anomalies */
    bool verbose;
};

/* ---- the proxy ---- */

enum proxy_mode {
    PROXY_PASS,
    PROXY_DROP_REPLIES, /* commands pass, their replies do not; then the connection is cut */
    /* Bytes to Redis wait; then the connection is cut and they are lost. */
    PROXY_HOLD_UP,
    PROXY_HOLD_DOWN, /* bytes from Redis wait, and arrive late */
    PROXY_DELAY      /* both directions are late by delay_ms */
};
struct proxy_port {
    atomic_int mode;
    atomic_int delay_ms;
    atomic_uint cuts; /* raised: all its connections are closed */
    /* Raised: the sender's side is closed, and held bytes still arrive. */
    atomic_uint orphans;
    atomic_uint faults;   /* number of faults, this one included */
    atomic_bool old_only; /* connections that are made during the fault are spared */
};
struct proxy_control {
    struct proxy_port ports[PROXY_PORTS];
};
/* Forks a proxy that listens on DIR/port<i>.sock. */
pid_t proxy_start(const char *dir, const char *target, struct proxy_control *control);

/* ---- the deployment ---- */

struct worker {
    sup_proc *proc; /* the supervisor; NULL: not running */
    char id[32];
    unsigned starts;
    pid_t paused[16]; /* stopped processes */
    size_t n_paused;
    bool hurt;           /* it was killed, so its exit status is ignored */
    int64_t leaving_ms;  /* time of the request to stop; 0: none */
    int64_t start_at_ms; /* time of the restart; 0: not planned */
};

struct caller {
    pid_t pid; /* 0: not running */
    int workload;
    unsigned starts;
    int64_t start_at_ms;
};

struct deployment {
    const struct plan *plan;
    struct rng rng;
    char *dir;
    sup_sentinels *sentinels; /* or NULL */
    sup_cluster *cluster;     /* or NULL */
    struct cluster_proxy cluster_proxy;
    int slots[PARTITIONS + 1]; /* of the partitions, and of the namespace */
    /* `redis`: with Sentinels, the master when it was last settled; in a Cluster, NULL. */
    sup_redis *redis, *witness;
    char *url;
    char *agent_dir;
    struct proxy_control *proxy; /* or NULL: no proxy in between */
    pid_t proxy_pid;
    _Atomic int64_t *clock_offset_ns; /* for the processes under test */
    struct worker workers[MAX_WORKERS];
    struct caller callers[MAX_CALLERS];
    int n_callers;
    bool calling; /* whether callers that have ended are started again */
    bool lossy;   /* whether Redis may lose its last writes */
    /* Whether a part of the agents may lose them alone: a call without those that it made. */
    bool parts_lossy;
    /* Reported by the logs of workers: lost commits and outcomes of promises; claims that were
     * lost. */
    uint64_t reported_commits, reported_outcomes;
    unsigned reported_claims;
    unsigned anomalies; /* processes with a wrong exit status or a crash */
};

void deployment_start(struct deployment *d, const struct plan *plan, uint64_t seed, int round);
void deployment_tick(struct deployment *d); /* starts due processes, checks for ended ones */
void deployment_stop_callers(
    struct deployment *d); /* asks the callers to end; deployment_tick reaps them */
bool deployment_callers_ended(const struct deployment *d);
void deployment_stop_workers(
    struct deployment *d); /* stops the workers; a wrong exit is an anomaly */
void deployment_stop(struct deployment *d, bool keep);
/* Returns the number that a command gives whose %d is a partition, which is on any node; -1: its
 * node does not serve it now. */
int64_t deployment_int(struct deployment *d, const char *command, int partition);
char *deployment_str(struct deployment *d, const char *command, int partition);
void worker_launch(struct deployment *d, int index);
/* Lists the supervisor and its children. */
size_t worker_pids(const struct worker *w, pid_t *pids, size_t room);
void anomaly(struct deployment *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Runs a caller's process. Does not return. */
void caller_run(const char *url, const char *history, int workload, int index, uint64_t seed,
                int rate, int wait_replicas) __attribute__((noreturn));

/* Reads the histories and the final states, and reports contradictions. */
struct outcome {
    unsigned calls, ok, failed, unknown, reruns;
    unsigned lost;          /* effects of calls whose callers had been told that they succeeded */
    unsigned taken_back;    /* of what callers had read of states */
    unsigned promises_lost; /* that were settled, and are open, or were settled once more */
};
void check_round(struct deployment *d, struct outcome *ret);

#endif
