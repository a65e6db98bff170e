/*
 * bench.h: declarations shared by the files of the bench. A case measures contenders (ways to do
 * the same work) in rounds, one after the other in each round, so that other load on the machine
 * affects all of them; it puts rows into the table, with the median and the median of the rounds'
 * ratios.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct asq_class;

enum { MAX_ROUNDS = 101, MAX_CONTENDERS = 8, MAX_PIDS = 24, MAX_CLIENTS = 512, MAX_SERVERS = 12 };

/* ---- settings (main.c) ---- */

struct settings {
    bool quick, json;
    bool install;  /* whether peers may be installed from npm */
    int rounds;    /* 0: the number of each case */
    double span_s; /* of one measurement */
    double soak_s;
    uint64_t agents; /* most agents of a case */
    const char *as_worker, *agent_dir, *source_dir, *node_dir;
    char *svg; /* path of the chart, or NULL */
};
extern struct settings settings;

/* Returns a number of rounds: `full`, or `quick` with --quick, or that of --rounds. */
int rounds_of(int full, int quick);

/* ---- processes (proc.c) ---- */

/* A Redis, or a Redis Cluster, and its worker: as-worker, the floor's worker or none. */
struct deployment {
    char name[32], dir[64], socket[96], url[128];
    pid_t redis, worker;   /* redis: also servers[0], which has the socket */
    int masters, nservers; /* the masters come first, then their replicas */
    struct server {
        pid_t pid;
        int port, bus; /* 0: on its socket alone */
        char socket[96], dir[128];
    } servers[MAX_SERVERS];
    uint32_t wait_replicas; /* of workers and clients */
    uint32_t partitions;
    pid_t pids[MAX_PIDS]; /* the worker's processes */
    int npids;
};

struct deployment_options {
    const char *name;
    uint32_t partitions; /* 0: 128 */
    int processes;       /* as-worker's; 0: 1 */
    bool floor, lean;    /* the floor's worker instead, with its own script */
    bool alone;          /* Redis without a worker */
    const char *log;     /* appendfsync of a Redis with an append-only file, or NULL */
    int batch;           /* calls of the floor to an entry */
    bool no_stats;       /* as-worker keeps no figures */
    const char *metrics; /* the address of as-worker's metrics, or NULL */
    bool tcp;            /* Redis is connected to by TCP, as the nodes of a Cluster always are */
    int nodes;           /* masters of a Redis Cluster; 0: one Redis without a Cluster */
    bool replicas;       /* each master has one */
    int node_timeout_ms; /* of a Cluster; 0: Redis' default */
    uint32_t wait_replicas;
};

double now_s(void);
/* Ends the bench with a message. */
void die(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* Returns the directory of this run, which is removed at the end, after all started processes. */
const char *run_dir(void);
pid_t spawn(const char *log, char *const argv[]);
pid_t spawn_fn(int (*fn)(const void *arg), const void *arg);
void end_process(pid_t pid);
void end_all(void);
bool wait_for_socket(const char *path, double limit_s);
/* Returns a port of the loopback that was free just now. */
int free_port(void);
/* Returns the answer of a server to a command, or NULL. The caller frees it. */
struct redisReply *ask_server(const struct server *s, const char *command);
/* Starts what the options ask for, and waits until it serves (servers.c). */
void servers_start(struct deployment *d, const struct deployment_options *options);
struct deployment *deployment_start(const struct deployment_options *options);
void deployment_stop(struct deployment *d);
/* Ends the worker, and starts one with other options. */
void deployment_restart_worker(struct deployment *d, const struct deployment_options *options);
/* Deployments that most cases use: started at the first request, kept until the end. */
struct deployment *the_floor(void);
struct deployment *the_library(void);
/* Starts a second worker, and ends the first. Returns the seconds from when the second one serves
 * until the first has ended. In a client process, whose child the second one is. */
double deployment_replace_worker(const struct deployment *d);
/* Returns how many fields the keys attempts have together. */
int64_t attempts_of(const struct deployment *d);
/* Returns how often Redis has run a command, from scripts, too. */
int64_t commands_of(const struct deployment *d, const char *command);
/* Returns how many timers and calls there are. */
int64_t due_or_running(const struct deployment *d);
void deployment_pin(const struct deployment *d, int cpu); /* -1: all processors again */

/* Return the CPU seconds of a process so far, with its threads, and its resident bytes. 0 when it
 * is gone. */
double cpu_s(pid_t pid);
double worker_cpu_s(const struct deployment *d);
int64_t rss_bytes(pid_t pid);
int64_t worker_rss(const struct deployment *d);
int64_t redis_memory(const struct deployment *d); /* used_memory */

/* ---- one measurement (measure.c) ---- */

/* Figures of a client process. CPU figures are seconds of the measured span. */
struct outcome {
    double seconds, calls;
    double p50_us, p99_us;
    double client_cpu, worker_cpu, redis_cpu; /* redis: all masters */
    double busiest_cpu, replica_cpu;          /* the master that used most; all replicas */
    double extra[4];                          /* a case's own */
    char error[160];
};

/* Runs the client's part of a measurement, in a process of its own. Fails by fail_client. */
typedef void (*client_fn)(const struct deployment *d, const void *arg, struct outcome *out);
void fail_client(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

struct meter {
    const struct deployment *d;
    double at, client, worker, servers[MAX_SERVERS];
};
/* Waits for the other clients, in a client that is set up. */
void client_ready(void);
/* Returns how long load is applied before the measured span, so that connections, caches and
 * allocators are warm. */
double warm_s(void);
void meter_start(struct meter *m, const struct deployment *d);
void meter_stop(const struct meter *m, double calls, struct outcome *out);

/* Sorts latencies in µs, and puts p50 and p99 into out. */
void latencies(double *us, size_t n, struct outcome *out);
double median(const double *v, int n);

struct contender {
    const char *name;
    struct deployment *d;
    client_fn fn;
    const void *arg;
    int clients; /* processes; 0: 1 */
    int cpu;     /* pinned to this processor; -1: not */
    struct outcome rounds[MAX_ROUNDS];
    bool failed;
};

/* Runs clients once, and gathers their figures; false (and a note on stderr) when one failed. */
bool run_clients(struct contender *c, struct outcome *out);
void measure(struct contender *c, int n, int rounds);
/* Measures two in turns, twice first and twice second, and adds up what they did, so that a change
 * of the machine's speed meets both alike. Rates, and CPU for a call, are right then. */
void measure_in_turns(struct contender c[2], int round, int turns);

typedef double (*figure_fn)(const struct outcome *o);
double calls_per_s(const struct outcome *o);
double worker_us(const struct outcome *o);
double redis_us(const struct outcome *o);
double p50_us(const struct outcome *o);
double p99_us(const struct outcome *o);
double seconds_of(const struct outcome *o);
double extra0(const struct outcome *o);
double extra1(const struct outcome *o);
double extra2(const struct outcome *o);
double figure(const struct contender *c, int rounds, figure_fn fn);
/* Returns the median of the rounds' ratios c / yardstick. */
double ratio(const struct contender *c, const struct contender *yardstick, int rounds,
             figure_fn fn);

/* ---- the table (table.c) ---- */

enum bar { NO_BAR, AT_LEAST, AT_MOST };

struct row {
    char name[64];
    double value;
    const char *unit;
    char yardstick[48]; /* name of the ratio's denominator; "" */
    double ratio;
    enum bar bar;
    double bar_value;
    bool bar_on_value; /* else on the ratio */
    double cpu[3];     /* µs per call: client, worker, Redis; all 0: not measured */
};
/* Prints the row, and keeps it for the summary and the chart. */
void table_add(const struct row *row);
void table_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void table_case(const char *name, const char *what);
/* Returns how many bars were not met. */
int table_end(void);
int table_svg(const char *path);

/* Returns a row of contender c: the median of fn, its CPU, and the ratio to y (which may be
 * NULL). */
struct row row_of(const char *name, const struct contender *c, const struct contender *y,
                  int rounds, figure_fn fn, const char *unit);

/* ---- load (load.c, load_durable.c, floor_client.c, floor_bare.c) ---- */

struct load {
    const char *method;
    size_t payload;  /* bytes */
    int window;      /* calls in flight, of all handles */
    int handles;     /* on one event loop of one process; 0: one handle without a loop */
    uint64_t agents; /* number of called agents */
    int group;       /* packed: calls in one statement; 0: one call per entry */
    bool broadcast;  /* packed calls: by asq_broadcast, else corked */
    size_t state;    /* bytes of each agent's state beside its counter */
    int batch;       /* the floor's: calls to an entry; 0: 1 */
    int events;      /* counted instead of each call: its steps, or its values; 0: 1 */
    bool reads;      /* whether the caller reads what calls emit */
};
void load_async(const struct deployment *d, const void *load, struct outcome *out);
void load_handles(const struct deployment *d, const void *load, struct outcome *out);
void load_sync(const struct deployment *d, const void *load, struct outcome *out);
void load_packed(const struct deployment *d, const void *load, struct outcome *out);
void floor_async(const struct deployment *d, const void *load, struct outcome *out);
void floor_sync(const struct deployment *d, const void *load, struct outcome *out);
int floor_worker(const void *deployment);
void floor_prepare(struct deployment *d, const struct deployment_options *options);

/* Load with promises, emitted values at a given rate, and timers (load_durable.c). */
struct durable {
    uint64_t agents; /* calls, or timers, at a time */
    int gap_ms;      /* between two values of a call, or two times of a timer */
    bool reads;      /* whether the caller reads the values */
};
void load_promises(const struct deployment *d, const void *durable, struct outcome *out);
/* Put into extra[0] the values that were emitted to an entry. */
void load_paced(const struct deployment *d, const void *durable, struct outcome *out);
void load_timers_at_once(const struct deployment *d, const void *durable, struct outcome *out);
void load_timers(const struct deployment *d, const void *durable, struct outcome *out);

/* Commands for one event after the other, pipelined by one client without a worker (floor_bare.c).
 * In a command, separated by spaces, %p stands for a partition, %i for the number of the event, %o
 * for that of 1,024 events before, %w for one of `window` names, %x for a text. */
struct bare {
    const char *const *commands; /* up to NULL */
    int window;                  /* events under way */
    double counted;              /* as so many, each event */
    double rate;                 /* events a second; 0: as many as possible */
    size_t text;                 /* bytes of %x */
};
void floor_bare(const struct deployment *d, const void *bare, struct outcome *out);

extern const struct asq_class bench_class;

/* ---- cases ---- */

void case_floor(void);
void case_async(void);
void case_sync(void);
void case_packed(void);
void case_create(void);
void case_round(void);
void case_growth(void);
void case_memory(void);
void case_asleep(void);
void case_durable(void);
void case_start(void);
void case_scale(void);
void case_soak(void);
void case_watched(void);
void case_cluster(void);
void case_failover(void);
void case_peers(void);

#endif
