/*
 * deployment.c: starts and watches the parts of a round: the Redis under test, the witness, the
 * proxy, the workers (the real as-worker with the plugin of classes.c) and the callers.
 */
#include "chaos.h"
#include "faults.h"

#include "support/remains.h"

#include <asqueue.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const workload_names[WORKLOADS] = {
    "counter", "append", "bank", "tree", "send", "future", "step", "promise", "progress", "timer"
};
const int workload_agents[WORKLOADS] = { 12, 12, 8, 24, 12, 12, 12, 12, 12, 12 };

void agent_name(char *name, size_t size, int workload, int index)
{
    snprintf(name, size, "%s-%d", workload_names[workload], index);
}

/* splitmix64 */
uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->s += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint32_t rng_below(struct rng *r, uint32_t n)
{
    return (uint32_t) (rng_next(r) % n);
}

uint64_t rng_mix(uint64_t seed, uint64_t n)
{
    struct rng r = { seed ^ n * 0xd1342543de82ef95u };

    return rng_next(&r);
}

void anomaly(struct deployment *d, const char *fmt, ...)
{
    va_list ap;

    d->anomalies++;
    if (d->anomalies > 40)
        return;
    printf("ANOMALY ");
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n");
    fflush(stdout);
}

/* Returns a file of this build, beside the program itself. */
static char *built(const char *name)
{
    char path[4096];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash;

    path[n > 0 ? n : 0] = '\0';
    if ((slash = strrchr(path, '/')))
        *slash = '\0';
    return sup_format("%s/%s", path, name);
}

static char *url_of_port(const struct deployment *d, int port)
{
    if (d->proxy)
        return sup_format("unix:%s/port%d.sock", d->dir, port);
    return sup_format("%s", d->url);
}

/* Finds the real program behind Libtool's shell script, because faults must not hit the script's
 * own children. */
static void find_worker(void)
{
    char *program = built("../../src/.libs/as-worker"), *libs = built("../../lib/.libs");

    if (access(program, X_OK) == 0 && !getenv("AS_WORKER")) {
        setenv("AS_WORKER", program, 1);
        setenv("LD_LIBRARY_PATH", libs, 1);
    }
    free(program);
    free(libs);
}

/* Sets the environment of the processes under test; Redis and the witness have the unshifted
 * clock. */
static void under_test(const struct deployment *d, bool on)
{
    if (!on) {
        unsetenv("LD_PRELOAD");
        return;
    }
    if (d->clock_offset_ns) {
        char *shim = built("clock_shim.so");
        setenv("LD_PRELOAD", shim, 1);
        free(shim);
    }
}

/* ---- workers ---- */

/* Every second worker has calls give their runs back almost as soon as they wait. */
#define UNLOADS "5ms"
#define KEEPS   "1m"

void worker_launch(struct deployment *d, int index)
{
    struct worker *w = &d->workers[index];
    char *url = url_of_port(d, index), partitions[16], replicas[16];

    snprintf(partitions, sizeof partitions, "%d", PARTITIONS);
    snprintf(replicas, sizeof replicas, "%d", d->plan->wait_replicas);
    sup_proc_free(w->proc);
    w->start_at_ms = w->leaving_ms = 0;
    w->n_paused = 0;
    w->hurt = false;
    /* A worker sometimes starts again under its old id. */
    if (w->starts == 0 || rng_below(&d->rng, 2))
        snprintf(w->id, sizeof w->id, "w%d.%u", index, w->starts);
    w->starts++;
    under_test(d, true);
    w->proc = sup_worker_start(url, "--id", w->id, "--agent-dir", d->agent_dir, "--partitions",
                               partitions, "--processes", "2", "--capacity", "4", "--lease-time",
                               "1000ms", "--drain-timeout", "5s", "--max-attempts", "1000",
                               "--log-level", "info", "--wait-replicas", replicas, "--unload-after",
                               index % 2 ? UNLOADS : KEEPS, NULL);
    under_test(d, false);
    free(url);
}

size_t worker_pids(const struct worker *w, pid_t *pids, size_t room)
{
    if (!w->proc)
        return 0;
    pids[0] = sup_proc_pid(w->proc);
    return 1 + remains_descendants(pids[0], pids + 1, room - 1);
}

/* Adds up the numbers before a text. */
static uint64_t sum_before(const char *log, const char *text)
{
    uint64_t sum = 0;
    for (const char *at = log; (at = strstr(at, text)); at += strlen(text)) {
        const char *digit = at;
        while (digit > log && digit[-1] >= '0' && digit[-1] <= '9')
            digit--;
        sum += strtoull(digit, NULL, 10);
    }
    return sum;
}

/* Counts what a worker has reported as lost. */
static void read_reports(struct deployment *d, const char *log)
{
    d->reported_commits += sum_before(log, " acknowledged commits of ");
    d->reported_outcomes += sum_before(log, " outcomes of promises are gone");
    d->reported_claims += (unsigned) sup_count(log, "to before this claim");
}

/* Looks for crashes that the library or a sanitizer has reported. */
static void look_at_log(struct deployment *d, struct worker *w)
{
    static const char *const bad[] = { "signal 11", "signal 6",  "signal 7",      "signal 8",
                                       "Sanitizer", "Assertion", "runtime error", NULL };
    char *log = sup_proc_output(w->proc);

    for (int i = 0; bad[i]; i++) {
        char *at = strstr(log, bad[i]);
        if (at)
            anomaly(d, "worker %s: its log has: %.*s", w->id, 300, at);
    }
    read_reports(d, log);
    free(log);
}

/* Returns whether a worker was told to stop before it had begun to handle signals: it has not
 * written a line yet, not even that it runs as root, or that it is connected. */
static bool was_stopped_at_birth(struct worker *w, int status)
{
    char *log = sup_proc_output(w->proc);
    bool silent = !*log;

    free(log);
    return w->leaving_ms && status == 128 + SIGTERM && silent;
}

static void worker_ended(struct deployment *d, struct worker *w)
{
    int status = sup_proc_wait(w->proc);

    look_at_log(d, w);
    if (!w->hurt && status != 0 && !was_stopped_at_birth(w, status)) {
        char *log = sup_proc_output(w->proc);
        size_t n = strlen(log);
        anomaly(d, "worker %s ended with status %d%s: … %s", w->id, status,
                w->leaving_ms ? " when told to stop" : " by itself", log + (n > 600 ? n - 600 : 0));
        free(log);
    }
    sup_proc_free(w->proc);
    w->proc = NULL;
    w->n_paused = 0;
    /* Workers start also after the end of all faults, because waiting calls need them. */
    w->start_at_ms = sup_now_ms() + 100 + rng_below(&d->rng, 3000);
    w->leaving_ms = 0;
}

/* ---- callers ---- */

static void caller_launch(struct deployment *d, int index)
{
    struct caller *c = &d->callers[index];
    char *url = url_of_port(d, PROXY_PORTS - 1), *program = built("run");
    int number = index + (int) c->starts * MAX_CALLERS;
    char *history = sup_format("%s/history.%d", d->dir, number);
    char *args[6] = { sup_format("%d", c->workload),
                      sup_format("%d", number),
                      sup_format("%llu", (unsigned long long) rng_mix(d->rng.s, (uint64_t) number)),
                      sup_format("%d", d->plan->rate),
                      sup_format("%d", d->plan->wait_replicas),
                      NULL };
    pid_t parent = getpid();

    c->starts++;
    c->start_at_ms = 0;
    fflush(NULL);
    under_test(d, true);
    if ((c->pid = fork()) < 0)
        sup_fail("fork: %s", strerror(errno));
    if (c->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        execl(program, program, "caller", url, history, args[0], args[1], args[2], args[3], args[4],
              (char *) NULL);
        _exit(127);
    }
    under_test(d, false);
    for (int i = 0; i < 5; i++)
        free(args[i]);
    free(history);
    free(program);
    free(url);
}

void deployment_stop_callers(struct deployment *d)
{
    d->calling = false;
    for (int i = 0; i < d->n_callers; i++)
        if (d->callers[i].pid > 0)
            kill(d->callers[i].pid, SIGTERM);
}

bool deployment_callers_ended(const struct deployment *d)
{
    for (int i = 0; i < d->n_callers; i++)
        if (d->callers[i].pid > 0)
            return false;
    return true;
}

void deployment_tick(struct deployment *d)
{
    int64_t now = sup_now_ms();

    for (int i = 0; i < MAX_WORKERS; i++) {
        struct worker *w = &d->workers[i];
        if (w->proc && !sup_proc_alive(w->proc))
            worker_ended(d, w);
        if (!w->proc && w->start_at_ms && now >= w->start_at_ms)
            worker_launch(d, i);
    }
    for (int i = 0; i < d->n_callers; i++) {
        struct caller *c = &d->callers[i];
        int status;
        if (c->pid > 0 && waitpid(c->pid, &status, WNOHANG) == c->pid) {
            c->pid = 0;
            if (!(WIFEXITED(status) && WEXITSTATUS(status) == 0) &&
                !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
                anomaly(d, "a caller (%s) ended with status 0x%x", workload_names[c->workload],
                        (unsigned) status);
            c->start_at_ms = d->calling ? now + 300 : 0;
        }
        if (d->calling && c->pid == 0 && c->start_at_ms && now >= c->start_at_ms)
            caller_launch(d, i);
    }
}

/* ---- the whole deployment ---- */

static void create_agents(struct deployment *d)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512], name[64];
    asq_agent *agents[WORKLOADS * 32];
    size_t n = 0;
    asq *h;

    options.partitions = PARTITIONS; /* the first client makes the namespace */
    options.wait_replicas = (uint32_t) d->plan->wait_replicas;
    if (asq_open(d->url, &options, &h, err, sizeof err) < 0)
        sup_fail("asq_open: %s", err);
    for (int w = 0; w < WORKLOADS; w++)
        for (int i = 0; d->plan->workloads[w] && i < workload_agents[w]; i++) {
            agent_name(name, sizeof name, w, i);
            if (asq_create(h, "Chaos", name, &agents[n++], NULL) < 0)
                sup_fail("asq_create: %s", asq_errmsg(h));
        }
    for (size_t i = 0; i < n; i++) {
        if (asq_ready(agents[i], 2 * sup_limit_ms()) < 0)
            sup_fail("asq_ready: %s\n%s", asq_errmsg(h), sup_proc_output(d->workers[0].proc));
        asq_agent_free(agents[i]);
    }
    asq_close(h);
}

static void clock_start(struct deployment *d)
{
    char *path = sup_format("%s/clock", d->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    void *p;

    if (fd < 0 || ftruncate(fd, sizeof *d->clock_offset_ns) < 0)
        sup_fail("%s: %s", path, strerror(errno));
    p = mmap(NULL, sizeof *d->clock_offset_ns, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        sup_fail("mmap: %s", strerror(errno));
    close(fd);
    d->clock_offset_ns = p;
    setenv("CHAOS_CLOCK", path, 1);
    free(path);
}

static void cluster_start(struct deployment *d, const char *const *durable)
{
    static const char *lines[16];
    struct sup_cluster_config config = { .lines = lines, .ports = d->cluster_proxy.ports };
    size_t n = 0;

    while (durable[n]) {
        lines[n] = durable[n];
        n++;
    }
    /* A replica that goes over to another master would be one of two, of which WAIT waits for
     * one, and the other one may take over. */
    lines[n++] = "cluster-allow-replica-migration no";
    lines[n] = NULL;
    cluster_proxy_start(&d->cluster_proxy);
    d->cluster = sup_cluster_start_with(CLUSTER_MASTERS, CLUSTER_MASTERS, &config);
    d->url = sup_format("redis+cluster://127.0.0.1:%d", sup_cluster_port(d->cluster, 0));
    for (int i = 1; i < 2 * CLUSTER_MASTERS; i++) { /* any may be away when a process starts */
        char *url = sup_format("%s,127.0.0.1:%d", d->url, sup_cluster_port(d->cluster, i));
        free(d->url);
        d->url = url;
    }
    sup_redis *node = sup_cluster_node(d->cluster, 0);
    for (int p = 0; p < PARTITIONS; p++)
        d->slots[p] = (int) sup_redis_int(node, "CLUSTER KEYSLOT asq:{default.%d}:jobs", p);
    d->slots[PARTITIONS] = (int) sup_redis_int(node, "CLUSTER KEYSLOT asq:{default}:meta");
}

static redisReply *reply_of_partition(struct deployment *d, const char *command, int partition)
{
    static int owners[PARTITIONS]; /* as far as known, from 1 */
    int *owner = &owners[partition];

    if (!d->cluster)
        return sup_redis_reply(d->redis, command, partition);
    if (*owner == 0 || *owner > sup_cluster_size(d->cluster))
        *owner = 1 + sup_cluster_owner(d->cluster, 0, d->slots[partition]);
    if (*owner == 0)
        return NULL;
    redisReply *reply =
        sup_redis_reply(sup_cluster_node(d->cluster, *owner - 1), command, partition);
    if (reply->type == REDIS_REPLY_ERROR) {
        *owner = 0;
        freeReplyObject(reply);
        reply = NULL;
    }
    return reply;
}

int64_t deployment_int(struct deployment *d, const char *command, int partition)
{
    redisReply *reply = reply_of_partition(d, command, partition);
    int64_t n = reply && reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;

    freeReplyObject(reply);
    return n;
}

char *deployment_str(struct deployment *d, const char *command, int partition)
{
    redisReply *reply = reply_of_partition(d, command, partition);
    char *text = sup_format("%s", reply && reply->str ? reply->str : "none");

    freeReplyObject(reply);
    return text;
}

void deployment_start(struct deployment *d, const struct plan *plan, uint64_t seed, int round)
{
    static const char *const durable[] = { "appendonly yes",
                                           "appendfsync always",
                                           "aof-load-truncated yes",
                                           "maxclients 2000",
                                           "auto-aof-rewrite-percentage 0",
                                           NULL };
    static const char *const fleeting[] = {
        "appendonly yes",  "appendfsync everysec",          "aof-load-truncated yes",
        "maxclients 2000", "auto-aof-rewrite-percentage 0", NULL
    };

    *d = (struct deployment){ .plan = plan, .rng = { seed }, .calling = true };
    /* Sentinel may choose any replica, so all of them must have what was told. */
    d->parts_lossy = plan->cluster && plan->wait_replicas < 1;
    d->lossy = faults_include(plan->faults, "redis-lose") || d->parts_lossy ||
               (plan->sentinels && plan->wait_replicas < SUP_SENTINEL_SERVERS - 1);
    d->dir = sup_format("%s/round%d", sup_dir(), round);
    if (mkdir(d->dir, 0700) < 0)
        sup_fail("%s: %s", d->dir, strerror(errno));
    find_worker();
    d->agent_dir = built("agents");
    if (plan->sentinels) {
        const struct sup_sentinels_config config = { .server = durable };
        d->sentinels = sup_sentinels_start(&config);
        d->redis = sup_sentinels_server(d->sentinels, 0);
        d->url = sup_format("%s", sup_sentinels_url(d->sentinels));
    } else if (plan->cluster) {
        cluster_start(d, durable);
    } else {
        d->redis = sup_redis_start(d->lossy ? fleeting : durable);
        d->url = sup_format("%s", sup_redis_url(d->redis));
    }
    d->witness = sup_redis_start(NULL);
    setenv("CHAOS_WITNESS", sup_redis_socket(d->witness), 1);
    if (faults_include(plan->faults, "proxy-")) {
        void *p =
            mmap(NULL, sizeof *d->proxy, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            sup_fail("mmap: %s", strerror(errno));
        d->proxy = p;
        d->proxy_pid = proxy_start(d->dir, sup_redis_socket(d->redis), d->proxy);
    }
    if (faults_include(plan->faults, "clock"))
        clock_start(d);
    for (int i = 0; i < FIRST_WORKERS; i++)
        worker_launch(d, i);
    create_agents(d);
    if (d->lossy)
        sup_sleep_ms(2000); /* the agents themselves must not be lost */
    for (int w = 0; w < WORKLOADS; w++)
        for (int i = 0; plan->workloads[w] && i < 2 && d->n_callers < MAX_CALLERS; i++)
            d->callers[d->n_callers++] = (struct caller){ .workload = w, .start_at_ms = 1 };
}

void deployment_stop_workers(struct deployment *d)
{
    int64_t end_ms = sup_now_ms() + sup_limit_ms();
    bool any = true;

    for (int i = 0; i < MAX_WORKERS; i++) {
        d->workers[i].start_at_ms = 0;
        if (d->workers[i].proc) {
            d->workers[i].leaving_ms = sup_now_ms();
            sup_proc_signal(d->workers[i].proc, SIGTERM);
        }
    }
    while (any) {
        any = false;
        for (int i = 0; i < MAX_WORKERS; i++) {
            struct worker *w = &d->workers[i];
            if (w->proc && !sup_proc_alive(w->proc))
                worker_ended(d, w);
            if (w->proc && sup_now_ms() > end_ms) {
                anomaly(d, "worker %s does not stop", w->id);
                look_at_log(d, w);
                sup_proc_free(w->proc);
                w->proc = NULL;
            }
            any |= w->proc != NULL;
        }
        sup_sleep_ms(10);
    }
}

static void end_process(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

/* Removes the round's directory, because the files of many rounds do not fit into a temporary
 * directory. */
static void remove_dir(const char *dir)
{
    const char *argv[] = { "rm", "-rf", dir, NULL };

    sup_run(argv, NULL, NULL);
}

void deployment_stop(struct deployment *d, bool keep)
{
    for (int i = 0; i < d->n_callers; i++)
        end_process(d->callers[i].pid);
    for (int i = 0; i < MAX_WORKERS; i++)
        sup_proc_free(d->workers[i].proc);
    end_process(d->proxy_pid);
    if (keep) {
        char *to = sup_format("chaos-kept.%d.%s", (int) getpid(), strrchr(d->dir, '/') + 1);
        const char *argv[] = { "cp", "-r", sup_dir(), to, NULL };
        sup_run(argv, NULL, NULL);
        printf("kept: %s\n", to);
        free(to);
    }
    for (int i = 0; d->sentinels && i < SUP_SENTINEL_SERVERS; i++)
        remove_dir(sup_redis_dir(sup_sentinels_server(d->sentinels, i)));
    for (int i = 0; d->cluster && i < sup_cluster_size(d->cluster); i++)
        remove_dir(sup_redis_dir(sup_cluster_node(d->cluster, i)));
    if (!d->sentinels && !d->cluster)
        remove_dir(sup_redis_dir(d->redis));
    remove_dir(sup_redis_dir(d->witness));
    remove_dir(d->dir);
    if (d->cluster) {
        sup_cluster_free(d->cluster);
        cluster_proxy_stop(&d->cluster_proxy);
    } else if (d->sentinels) {
        sup_sentinels_free(d->sentinels);
    } else {
        sup_redis_free(d->redis);
    }
    free(d->url);
    sup_redis_free(d->witness);
    if (d->proxy)
        munmap(d->proxy, sizeof *d->proxy);
    if (d->clock_offset_ns)
        munmap((void *) (uintptr_t) d->clock_offset_ns, sizeof *d->clock_offset_ns);
    free(d->agent_dir);
    free(d->dir);
}
