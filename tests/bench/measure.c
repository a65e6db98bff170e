/*
 * measure.c: runs a case's contenders in rounds, each client in a process of its own, and takes
 * medians. A client process writes its outcome into memory shared with the bench.
 */
#include "bench.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT_S = 900 };

/* Memory shared by client processes and the bench. */
static struct {
    int ready, go; /* ready: how many are set up; go: all are */
    struct outcome outcomes[MAX_CLIENTS];
} * shared;
static struct outcome *mine; /* in a client process */

void fail_client(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    if (mine)
        vsnprintf(mine->error, sizeof mine->error, fmt, ap);
    else
        vfprintf(stderr, fmt, ap), fputc('\n', stderr);
    va_end(ap);
    _exit(1);
}

void client_ready(void)
{
    __atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(&shared->go, __ATOMIC_SEQ_CST))
        usleep(1000);
}

double warm_s(void)
{
    double s = settings.span_s * 0.15;
    return s > 0.25 ? s : 0.25;
}

void meter_start(struct meter *m, const struct deployment *d)
{
    m->d = d;
    m->worker = d ? worker_cpu_s(d) : 0;
    for (int i = 0; d && i < d->nservers; i++)
        m->servers[i] = cpu_s(d->servers[i].pid);
    m->client = cpu_s(getpid());
    m->at = now_s();
}

void meter_stop(const struct meter *m, double calls, struct outcome *out)
{
    out->seconds = now_s() - m->at;
    out->calls = calls;
    out->client_cpu = cpu_s(getpid()) - m->client;
    out->redis_cpu = out->busiest_cpu = out->replica_cpu = 0;
    for (int i = 0; m->d && i < m->d->nservers; i++) {
        double used = cpu_s(m->d->servers[i].pid) - m->servers[i];
        if (i >= m->d->masters) {
            out->replica_cpu += used;
            continue;
        }
        out->redis_cpu += used;
        if (used > out->busiest_cpu)
            out->busiest_cpu = used;
    }
    out->worker_cpu = m->d ? worker_cpu_s(m->d) - m->worker : 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

void latencies(double *us, size_t n, struct outcome *out)
{
    if (n == 0)
        return;
    qsort(us, n, sizeof *us, compare);
    out->p50_us = us[n / 2];
    out->p99_us = us[n - 1 - n / 100];
}

double median(const double *v, int n)
{
    double sorted[MAX_ROUNDS];
    if (n <= 0)
        return 0;
    memcpy(sorted, v, (size_t) n * sizeof *v);
    qsort(sorted, (size_t) n, sizeof *sorted, compare);
    return n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static pid_t start_client(const struct contender *c, int i)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        die("fork: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mine = &shared->outcomes[i];
    alarm(LIMIT_S + (unsigned) settings.soak_s);
    c->fn(c->d, c->arg, mine);
    /* _exit, because the bench's atexit handlers are not for this process. */
    fflush(NULL);
    _exit(0);
}

/* Waits until all are set up, or one has failed, which ends the wait for the rest. */
static void start_together(const pid_t *pids, int n)
{
    bool failed = false;
    while (__atomic_load_n(&shared->ready, __ATOMIC_SEQ_CST) < n && !failed) {
        usleep(1000);
        for (int i = 0; i < n && !failed; i++) {
            siginfo_t info = { .si_pid = 0 };
            failed = waitid(P_PID, (id_t) pids[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
                     info.si_pid != 0;
        }
    }
    __atomic_store_n(&shared->go, 1, __ATOMIC_SEQ_CST);
}

bool run_clients(struct contender *c, struct outcome *out)
{
    pid_t pids[MAX_CLIENTS];
    int n = c->clients ? c->clients : 1;
    bool ok = true;
    if (!shared) {
        shared =
            mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (shared == MAP_FAILED)
            die("mmap: %s", strerror(errno));
    }
    memset(shared, 0, sizeof *shared);
    shared->go = n == 1;
    if (c->cpu >= 0)
        deployment_pin(c->d, c->cpu);
    for (int i = 0; i < n; i++)
        pids[i] = start_client(c, i);
    if (n > 1)
        start_together(pids, n);
    for (int i = 0; i < n; i++) {
        int status = 0;
        while (waitpid(pids[i], &status, 0) < 0 && errno == EINTR)
            ;
        if (status != 0 && ok) {
            fprintf(stderr, "bench: %s: %s\n", c->name,
                    shared->outcomes[i].error[0] ? shared->outcomes[i].error
                    : WIFSIGNALED(status)        ? strsignal(WTERMSIG(status))
                                                 : "the client failed");
            ok = false;
        }
    }
    if (c->cpu >= 0)
        deployment_pin(c->d, -1);
    *out = shared->outcomes[0];
    for (int i = 1; i < n; i++) {
        const struct outcome *o = &shared->outcomes[i];
        out->calls += o->calls;
        out->client_cpu += o->client_cpu;
        if (o->seconds > out->seconds)
            out->seconds = o->seconds;
        if (o->worker_cpu > out->worker_cpu)
            out->worker_cpu = o->worker_cpu;
        if (o->redis_cpu > out->redis_cpu)
            out->redis_cpu = o->redis_cpu;
    }
    return ok;
}

void measure(struct contender *c, int n, int rounds)
{
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < n; i++)
            if (!c[i].failed && !run_clients(&c[i], &c[i].rounds[r]))
                c[i].failed = true;
}

static void add_outcome(struct outcome *sum, const struct outcome *o)
{
    sum->seconds += o->seconds;
    sum->calls += o->calls;
    sum->client_cpu += o->client_cpu;
    sum->worker_cpu += o->worker_cpu;
    sum->redis_cpu += o->redis_cpu;
}

void measure_in_turns(struct contender c[2], int round, int turns)
{
    for (int i = 0; i < 2; i++)
        c[i].rounds[round] = (struct outcome){ 0 };
    for (int k = 0; k < 4 * turns; k++) {
        struct contender *now = &c[(k + k / 2) % 2]; /* 0, 1, 1, 0 */
        struct outcome o;
        if (now->failed || !run_clients(now, &o))
            now->failed = true;
        else
            add_outcome(&now->rounds[round], &o);
    }
}

double calls_per_s(const struct outcome *o)
{
    return o->seconds > 0 ? o->calls / o->seconds : 0;
}

double p50_us(const struct outcome *o)
{
    return o->p50_us;
}

double p99_us(const struct outcome *o)
{
    return o->p99_us;
}

double seconds_of(const struct outcome *o)
{
    return o->seconds;
}

double extra0(const struct outcome *o)
{
    return o->extra[0];
}

double extra1(const struct outcome *o)
{
    return o->extra[1];
}

double extra2(const struct outcome *o)
{
    return o->extra[2];
}

double figure(const struct contender *c, int rounds, figure_fn fn)
{
    double v[MAX_ROUNDS];
    for (int r = 0; r < rounds; r++)
        v[r] = fn(&c->rounds[r]);
    return c->failed ? 0 : median(v, rounds);
}

double ratio(const struct contender *c, const struct contender *yardstick, int rounds, figure_fn fn)
{
    double v[MAX_ROUNDS];
    if (!yardstick || c->failed || yardstick->failed)
        return 0;
    for (int r = 0; r < rounds; r++) {
        double of = fn(&yardstick->rounds[r]);
        v[r] = of > 0 ? fn(&c->rounds[r]) / of : 0;
    }
    return median(v, rounds);
}

static double client_us(const struct outcome *o)
{
    return o->calls > 0 ? o->client_cpu / o->calls * 1e6 : 0;
}

double worker_us(const struct outcome *o)
{
    return o->calls > 0 ? o->worker_cpu / o->calls * 1e6 : 0;
}

double redis_us(const struct outcome *o)
{
    return o->calls > 0 ? o->redis_cpu / o->calls * 1e6 : 0;
}

struct row row_of(const char *name, const struct contender *c, const struct contender *y,
                  int rounds, figure_fn fn, const char *unit)
{
    struct row row = { .unit = unit };
    snprintf(row.name, sizeof row.name, "%s", name);
    row.value = figure(c, rounds, fn);
    row.cpu[0] = figure(c, rounds, client_us);
    row.cpu[1] = figure(c, rounds, worker_us);
    row.cpu[2] = figure(c, rounds, redis_us);
    if (y) {
        snprintf(row.yardstick, sizeof row.yardstick, "%s", y->name);
        row.ratio = ratio(c, y, rounds, fn);
    }
    return row;
}
