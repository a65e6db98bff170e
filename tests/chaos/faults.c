/*
 * faults.c: see faults.h. Faults are made by the thread that keeps the deployment running, so they
 * wait for nothing but a starting Redis.
 */
#include "faults.h"
#include "cluster_faults.h"
#include "sentinel_faults.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_HEALS = 64, SIZES = 128, LOST_MS = 1000 };

static struct {
    struct {
        int64_t due_ms;
        heal_fn fn;
        int arg;
    } heals[MAX_HEALS];
    size_t n_heals;
    int64_t next_ms;
    bool redis_down, redis_paused, memory_low, readonly;
    struct { /* sizes of the append-only file, over the last second */
        int64_t at_ms;
        off_t size;
    } sizes[SIZES];
    size_t n_sizes;
} now;

static unsigned counts[MAX_FAULTS];

void faults_later(int64_t ms, heal_fn fn, int arg)
{
    if (now.n_heals == MAX_HEALS)
        sup_fail("too many faults at a time");
    now.heals[now.n_heals].due_ms = sup_now_ms() + ms;
    now.heals[now.n_heals].fn = fn;
    now.heals[now.n_heals++].arg = arg;
}

int64_t faults_between(struct deployment *d, int from, int to)
{
    return from + (int64_t) rng_below(&d->rng, (uint32_t) (to - from));
}

int64_t faults_pause_ms(struct deployment *d)
{
    static const int of_ten[] = { 5, 15, 50 };

    return LEASE_MS * of_ten[rng_below(&d->rng, 3)] / 10;
}

/* Returns a worker that runs undisturbed, or -1. */
static int any_worker(struct deployment *d)
{
    int from = (int) rng_below(&d->rng, MAX_WORKERS);

    for (int i = 0; i < MAX_WORKERS; i++) {
        struct worker *w = &d->workers[(from + i) % MAX_WORKERS];
        if (w->proc && sup_proc_alive(w->proc) && !w->n_paused && !w->leaving_ms)
            return (from + i) % MAX_WORKERS;
    }
    return -1;
}

/* ---- workers ---- */

enum which { WHOLE, SUPERVISOR, PROCESS };

static size_t pids_of(struct deployment *d, int index, enum which which, pid_t *pids)
{
    size_t n = worker_pids(&d->workers[index], pids, 16);

    if (which == SUPERVISOR)
        return n ? 1 : 0;
    if (which == PROCESS) {
        if (n < 2)
            return 0;
        pids[0] = pids[1 + rng_below(&d->rng, (uint32_t) n - 1)];
        return 1;
    }
    return n;
}

static bool kill_some(struct deployment *d, enum which which)
{
    int index = any_worker(d);
    pid_t pids[16];
    size_t n;

    if (index < 0 || (n = pids_of(d, index, which, pids)) == 0)
        return false;
    d->workers[index].hurt |= which != PROCESS;
    for (size_t i = 0; i < n; i++)
        kill(pids[i], SIGKILL);
    return true;
}

static bool kill_worker(struct deployment *d)
{
    return kill_some(d, WHOLE);
}
static bool kill_supervisor(struct deployment *d)
{
    return kill_some(d, SUPERVISOR);
}
static bool kill_process(struct deployment *d)
{
    return kill_some(d, PROCESS);
}

static void resume(struct deployment *d, int index)
{
    struct worker *w = &d->workers[index];

    for (size_t i = 0; i < w->n_paused; i++)
        kill(w->paused[i], SIGCONT);
    w->n_paused = 0;
}

static bool pause_some(struct deployment *d, enum which which)
{
    int index = any_worker(d);
    size_t n;

    if (index < 0 || (n = pids_of(d, index, which, d->workers[index].paused)) == 0)
        return false;
    d->workers[index].n_paused = n;
    for (size_t i = 0; i < n; i++)
        kill(d->workers[index].paused[i], SIGSTOP);
    faults_later(faults_pause_ms(d), resume, index);
    return true;
}

static bool pause_worker(struct deployment *d)
{
    return pause_some(d, WHOLE);
}
static bool pause_supervisor(struct deployment *d)
{
    return pause_some(d, SUPERVISOR);
}
static bool pause_process(struct deployment *d)
{
    return pause_some(d, PROCESS);
}

static bool join(struct deployment *d)
{
    for (int i = 0; i < MAX_WORKERS; i++)
        if (!d->workers[i].proc) {
            worker_launch(d, i);
            return true;
        }
    return false;
}

static bool leave(struct deployment *d)
{
    int index = any_worker(d);

    if (index < 0)
        return false;
    d->workers[index].leaving_ms = sup_now_ms();
    sup_proc_signal(d->workers[index].proc, SIGTERM);
    return true;
}

/* ---- callers ---- */

static bool kill_caller(struct deployment *d)
{
    struct caller *c = &d->callers[rng_below(&d->rng, (uint32_t) d->n_callers)];

    if (c->pid <= 0)
        return false;
    kill(c->pid, SIGKILL);
    return true;
}

/* ---- Redis ---- */

static char *aof_path(struct deployment *d)
{
    char *path = sup_format("%s/appendonlydir/appendonly.aof.1.incr.aof", sup_redis_dir(d->redis));

    if (access(path, F_OK) != 0) { /* Redis before 7.0 */
        free(path);
        path = sup_format("%s/appendonly.aof", sup_redis_dir(d->redis));
    }
    return path;
}

static void note_aof_size(struct deployment *d)
{
    char *path = aof_path(d);
    struct stat st;

    if (stat(path, &st) == 0) {
        now.sizes[now.n_sizes % SIZES].at_ms = sup_now_ms();
        now.sizes[now.n_sizes++ % SIZES].size = st.st_size;
    }
    free(path);
}

static void redis_back(struct deployment *d, int arg)
{
    (void) arg;
    sup_redis_restart(d->redis);
    now.redis_down = now.memory_low = now.readonly = false;
    now.n_sizes = 0;
}

static bool redis_kill(struct deployment *d)
{
    if (now.redis_down || now.redis_paused)
        return false;
    sup_redis_kill(d->redis);
    now.redis_down = true;
    faults_later(faults_between(d, 0, 1500), redis_back, 0);
    return true;
}

static bool redis_lose(struct deployment *d)
{
    int64_t at = sup_now_ms() - faults_between(d, 0, LOST_MS);
    off_t size = -1;
    char *path;

    if (!redis_kill(d))
        return false;
    for (size_t i = now.n_sizes > SIZES ? now.n_sizes - SIZES : 0; i < now.n_sizes; i++)
        if (size < 0 || now.sizes[i % SIZES].at_ms <= at)
            size = now.sizes[i % SIZES].size;
    path = aof_path(d);
    if (size >= 0 && truncate(path, size) < 0)
        sup_fail("%s: %s", path, strerror(errno));
    free(path);
    return true;
}

static void redis_resume(struct deployment *d, int arg)
{
    (void) arg;
    sup_proc_signal(sup_redis_proc(d->redis), SIGCONT);
    now.redis_paused = false;
}

static bool redis_pause(struct deployment *d)
{
    if (now.redis_down || now.redis_paused)
        return false;
    sup_proc_signal(sup_redis_proc(d->redis), SIGSTOP);
    now.redis_paused = true;
    faults_later(faults_pause_ms(d) / 2, redis_resume, 0);
    return true;
}

static bool redis_says(struct deployment *d, const char *command)
{
    if (now.redis_down || now.redis_paused || sentinel_faults_last() || cluster_faults_last())
        return false;
    sup_redis *to = d->redis;
    if (d->cluster)
        to = sup_cluster_node(d->cluster,
                              (int) rng_below(&d->rng, (uint32_t) sup_cluster_size(d->cluster)));
    sup_redis_do(to, command, NULL);
    return true;
}

static bool cut_connections(struct deployment *d)
{
    return redis_says(d, rng_below(&d->rng, 2) ? "CLIENT KILL TYPE normal SKIPME yes"
                                               : "CLIENT KILL TYPE pubsub SKIPME yes");
}

static bool script_flush(struct deployment *d)
{
    return redis_says(d, "SCRIPT FLUSH");
}

static void memory_back(struct deployment *d, int arg)
{
    (void) arg;
    if (now.memory_low && redis_says(d, "CONFIG SET maxmemory 0"))
        now.memory_low = false;
    else if (now.memory_low)
        faults_later(200, memory_back, 0);
}

static bool memory(struct deployment *d)
{
    if (now.memory_low || !redis_says(d, "CONFIG SET maxmemory 1"))
        return false;
    now.memory_low = true;
    faults_later(faults_between(d, 100, 800), memory_back, 0);
    return true;
}

static void writable(struct deployment *d, int arg)
{
    (void) arg;
    if (now.readonly && redis_says(d, "REPLICAOF NO ONE"))
        now.readonly = false;
    else if (now.readonly)
        faults_later(200, writable, 0);
}

/* A replica of an absent master refuses every write. */
static bool readonly(struct deployment *d)
{
    if (now.readonly || !redis_says(d, "REPLICAOF 127.0.0.1 1"))
        return false;
    now.readonly = true;
    faults_later(faults_between(d, 100, 800), writable, 0);
    return true;
}

/* ---- between them ---- */

static void proxy_pass(struct deployment *d, int arg)
{
    struct proxy_port *port = &d->proxy->ports[arg / 2];

    atomic_store(&port->mode, PROXY_PASS);
    if (arg % 2)
        atomic_fetch_add(&port->cuts, 1);
}

static bool proxy_hurt(struct deployment *d, enum proxy_mode mode, int64_t ms, bool cut)
{
    int p = (int) rng_below(&d->rng, PROXY_PORTS);
    struct proxy_port *port = &d->proxy->ports[p];

    if (atomic_load(&port->mode) != PROXY_PASS)
        return false;
    atomic_store(&port->delay_ms, (int) faults_between(d, 5, 600));
    /* Held bytes may arrive long after their sender has opened another connection. */
    atomic_store(&port->old_only, rng_below(&d->rng, 2));
    atomic_fetch_add(&port->faults, 1);
    atomic_store(&port->mode, mode);
    faults_later(ms, proxy_pass, 2 * p + cut);
    return true;
}

static bool proxy_drop(struct deployment *d)
{
    return proxy_hurt(d, PROXY_DROP_REPLIES, faults_between(d, 5, 1500), true);
}
static bool proxy_delay(struct deployment *d)
{
    return proxy_hurt(d, PROXY_DELAY, faults_between(d, 200, 3000), false);
}
/* Bytes of a lost connection arrive after those of the next one. */
static void proxy_orphan(struct deployment *d, int p)
{
    struct proxy_port *port = &d->proxy->ports[p];

    atomic_fetch_add(&port->orphans, 1);
    atomic_store(&port->mode, PROXY_PASS);
}
static bool proxy_late(struct deployment *d)
{
    int p = (int) rng_below(&d->rng, PROXY_PORTS);
    struct proxy_port *port = &d->proxy->ports[p];
    int delay =
        (int) faults_between(d, 300, 3000); /* long enough for the sender to reconnect first */

    if (atomic_load(&port->mode) != PROXY_PASS)
        return false;
    atomic_store(&port->delay_ms, delay);
    atomic_store(&port->old_only, false);
    atomic_store(&port->mode, PROXY_DELAY);
    faults_later(faults_between(d, 20, 300), proxy_orphan, p);
    return true;
}
static bool proxy_up(struct deployment *d)
{
    return proxy_hurt(d, PROXY_HOLD_UP, faults_pause_ms(d), rng_below(&d->rng, 2));
}
static bool proxy_down(struct deployment *d)
{
    return proxy_hurt(d, PROXY_HOLD_DOWN, faults_pause_ms(d), rng_below(&d->rng, 2));
}

/* ---- clocks ---- */

static bool clock_jump(struct deployment *d)
{
    static const int64_t seconds[] = { 60, -60, 3600, -3600 };
    int64_t jump = seconds[rng_below(&d->rng, 4)],
            was = atomic_load(d->clock_offset_ns) / 1000000000;

    if (was + jump > 7200 || was + jump < -7200)
        jump = -jump;
    atomic_store(d->clock_offset_ns, (was + jump) * 1000000000);
    return true;
}

/* ---- the list ---- */

static const struct fault {
    const char *name;
    bool (*start)(struct deployment *d); /* False: it is not possible now. */
    bool loses;
    enum {
        ONE = 1,
        SENTINELS = 2,
        CLUSTER = 4,
        ANY = ONE | SENTINELS | CLUSTER
    } where; /* deployments that can have it */
} faults[] = {
    { "kill-worker", kill_worker, false, ANY },
    { "kill-process", kill_process, false, ANY },
    { "kill-supervisor", kill_supervisor, false, ANY },
    { "pause-worker", pause_worker, false, ANY },
    { "pause-process", pause_process, false, ANY },
    { "pause-supervisor", pause_supervisor, false, ANY },
    { "join", join, false, ANY },
    { "leave", leave, false, ANY },
    { "caller-kill", kill_caller, false, ANY },
    { "redis-kill", redis_kill, false, ONE },
    { "redis-pause", redis_pause, false, ONE },
    { "cut", cut_connections, false, ANY },
    { "script-flush", script_flush, false, ANY },
    { "memory", memory, false, ONE },
    { "readonly", readonly, false, ONE },
    { "proxy-drop", proxy_drop, false, ONE },
    { "proxy-delay", proxy_delay, false, ONE },
    { "proxy-late", proxy_late, false, ONE },
    { "proxy-up", proxy_up, false, ONE },
    { "proxy-down", proxy_down, false, ONE },
    { "clock", clock_jump, false, ANY },
    { "redis-lose", redis_lose, true, ONE },
    { "master-kill", master_kill, false, SENTINELS },
    { "master-pause", master_pause, false, SENTINELS },
    { "master-lag", master_lag, false, SENTINELS },
    { "failover", failover, false, SENTINELS },
    { "replica-kill", replica_kill, false, SENTINELS },
    { "replica-pause", replica_pause, false, SENTINELS },
    { "sentinel-kill", sentinel_kill, false, SENTINELS },
    { "master-kill", cluster_master_kill, false, CLUSTER },
    { "master-pause", cluster_master_pause, false, CLUSTER },
    { "master-lag", cluster_master_lag, false, CLUSTER },
    { "failover", cluster_failover, false, CLUSTER },
    { "failover-force", cluster_failover_force, false, CLUSTER },
    { "failover-takeover", cluster_failover_takeover, false, CLUSTER },
    { "replica-kill", cluster_replica_kill, false, CLUSTER },
    { "replica-pause", cluster_replica_pause, false, CLUSTER },
    { "slots-move", slots_move, false, CLUSTER },
    { "node-add", node_add, false, CLUSTER },
    { "bus-cut", bus_cut, false, CLUSTER },
    { "replication-delay", replication_delay, false, CLUSTER },
};
enum { N_FAULTS = sizeof faults / sizeof *faults, LOSING_ROUND = 4 };
#define LOSES_AT_TIMES (UINT64_C(1) << 63)

static uint64_t bit(int i)
{
    return UINT64_C(1) << i;
}

uint64_t faults_parse(const char *names)
{
    uint64_t bits = 0;

    while (*names) {
        size_t n = strcspn(names, ",");
        uint64_t found = 0;
        for (int i = 0; i < N_FAULTS; i++)
            if (strncmp(names, faults[i].name, n) == 0)
                found |= bit(i);
        if (n == 3 && strncmp(names, "all", 3) == 0)
            for (int i = 0; i < N_FAULTS; i++)
                found |= faults[i].loses ? LOSES_AT_TIMES : bit(i);
        if (!found || n == 0)
            return 0;
        bits |= found;
        names += n + (names[n] == ',');
    }
    return bits;
}

uint64_t faults_of_round(const struct plan *plan, int round)
{
    uint64_t mask = plan->faults;

    for (int i = 0; i < N_FAULTS; i++) {
        if (mask & LOSES_AT_TIMES && round % LOSING_ROUND == LOSING_ROUND - 1 && faults[i].loses)
            mask |= bit(i);
        if (!(faults[i].where & (plan->cluster ? CLUSTER : plan->sentinels ? SENTINELS : ONE)))
            mask &= ~bit(i);
    }
    return mask & ~LOSES_AT_TIMES;
}

bool faults_include(uint64_t mask, const char *names)
{
    return (mask & faults_parse(names)) != 0;
}

void faults_print_names(void)
{
    for (int i = 0; i < N_FAULTS; i++) {
        int k = 0;
        while (strcmp(faults[k].name, faults[i].name) != 0)
            k++;
        if (k == i) /* a Cluster has some of the same names */
            printf(" %s", faults[i].name);
    }
}

unsigned faults_total(void)
{
    unsigned n = 0;

    for (int i = 0; i < N_FAULTS; i++)
        n += counts[i];
    return n;
}

void faults_print_counts(void)
{
    for (int i = 0; i < N_FAULTS; i++)
        if (counts[i])
            printf(" %s=%u", faults[i].name, counts[i]);
}

void faults_begin(struct deployment *d)
{
    memset(&now, 0, sizeof now);
    sentinel_faults_begin();
    cluster_faults_begin(d);
    now.next_ms = sup_now_ms() + faults_between(d, 300, 1300);
}

static void heal_due(struct deployment *d, int64_t until_ms)
{
    for (size_t i = 0; i < now.n_heals;) {
        heal_fn fn = now.heals[i].fn;
        int arg = now.heals[i].arg;
        if (now.heals[i].due_ms > until_ms) {
            i++;
            continue;
        }
        now.heals[i] = now.heals[--now.n_heals];
        fn(d, arg);
    }
}

void faults_tick(struct deployment *d)
{
    int64_t t = sup_now_ms();

    if (d->lossy && d->redis && !d->sentinels && !now.redis_down)
        note_aof_size(d);
    heal_due(d, t);
    if (t < now.next_ms || d->plan->faults == 0)
        return;
    now.next_ms = t + faults_between(d, 200, 1200);
    for (int tries = 0; tries < 20; tries++) {
        int i = (int) rng_below(&d->rng, N_FAULTS);
        if (!(d->plan->faults & bit(i)))
            continue;
        if (faults[i].start(d)) {
            counts[i]++;
            if (d->plan->verbose)
                printf("  %lld %s\n", (long long) t, faults[i].name);
            return;
        }
    }
}

void faults_heal(struct deployment *d)
{
    while (now.n_heals > 0) {
        /* Redis comes first, because the others need it. */
        for (size_t i = 0; i < now.n_heals; i++)
            if (now.heals[i].fn == redis_back || now.heals[i].fn == redis_resume ||
                sentinel_faults_heals_server(now.heals[i].fn) ||
                cluster_faults_heals_server(now.heals[i].fn))
                now.heals[i].due_ms = 0;
        heal_due(d, 0);
        heal_due(d, INT64_MAX);
    }
}
