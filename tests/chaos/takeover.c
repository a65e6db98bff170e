/*
 * takeover.c: measures how long agents do not answer when their worker is killed, and whether
 * others are affected. Two workers of two processes each, and 64 agents that are called 20 ms after
 * each answer. In turns, one process and a whole worker with its supervisor get SIGKILL. Prints
 * figures, and returns status 1 when an agent did not answer for longer than allowed, when an agent
 * of a living worker waited for long, or when the counts are wrong.
 */
#include "support/remains.h"
#include "support/support.h"

#include "value/hash.h"

#include <asqueue.h>

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    AGENTS = 64,
    PARTITIONS = 128,
    PROCESSES = 2,
    PAUSE_MS = 20,
    CALM_MS = 3000,
    SPARE_MS = 1000, /* allowed absence beside the lease time */
    HISTORY = 1 << 18
};

struct agent {
    asq_agent *handle;
    uint32_t partition;
    int64_t called_ms, next_ms, answered_ms;
    int64_t answers;
    bool waiting, hit; /* the agent's process is killed */
};

static struct {
    asq *h;
    sup_redis *redis;
    sup_proc *workers[2];
    struct agent agents[AGENTS];
    int64_t waits[HISTORY]; /* of agents on other workers, in this phase */
    size_t n_waits;
    int64_t failures;
    int64_t lease_ms;
} self;

/* ---- calls ---- */

static void answered(asq_result *r, void *user)
{
    struct agent *a = user;
    int64_t now = sup_now_ms();

    if (asq_result_wait(r, 0) < 0) {
        self.failures++;
        fprintf(stderr, "%s: %s\n", asq_agent_id(a->handle), asq_result_error(r)->message);
    }
    if (!a->hit && self.n_waits < HISTORY)
        self.waits[self.n_waits++] = now - a->called_ms;
    a->answers++;
    a->waiting = false;
    a->answered_ms = now;
    a->next_ms = now + PAUSE_MS;
    asq_result_free(r);
}

static void go_on(void)
{
    int64_t now = sup_now_ms();

    asq_cork(self.h);
    for (int i = 0; i < AGENTS; i++) {
        struct agent *a = &self.agents[i];
        asq_result *r;
        if (a->waiting || now < a->next_ms)
            continue;
        if (asq_call(a->handle, "add", &r, "[i]", 1) < 0)
            sup_fail("asq_call: %s", asq_errmsg(self.h));
        a->waiting = true;
        a->called_ms = now;
        asq_result_then(r, answered, a);
    }
    asq_uncork(self.h);
    asq_poll(self.h, 2);
}

static void go_on_for(int64_t ms)
{
    int64_t end_ms = sup_now_ms() + ms;

    while (sup_now_ms() < end_ms)
        go_on();
}

/* Returns a random moment. Heartbeats and checks come every third of the lease time, so deaths and
 * starts are to happen at all points between them. */
static int64_t some_moment_ms(void)
{
    static int64_t n;

    return ++n * 1237 % (self.lease_ms / 3);
}

/* ---- owners of partitions ---- */

static void owner_of(uint32_t partition, char *owner, size_t size)
{
    char *is = sup_redis_str(self.redis, "HGET asq:{default.%d}:lease owner", (int) partition);

    snprintf(owner, size, "%s", is ? is : "");
    free(is);
}

/* Returns whether each process has about its share. */
static bool is_balanced(void)
{
    int held[2][PROCESSES] = { { 0 } };
    char owner[64];

    for (uint32_t p = 0; p < PARTITIONS; p++) {
        unsigned worker, process;
        owner_of(p, owner, sizeof owner);
        if (sscanf(owner, "w%u.%u", &worker, &process) == 2 && worker < 2 && process < PROCESSES)
            held[worker][process]++;
    }
    for (int w = 0; w < 2; w++)
        for (int p = 0; p < PROCESSES; p++)
            if (held[w][p] < PARTITIONS / (4 * PROCESSES))
                return false;
    return true;
}

static void launch(int worker)
{
    char id[8], processes[8];

    snprintf(id, sizeof id, "w%d", worker);
    snprintf(processes, sizeof processes, "%d", PROCESSES);
    sup_proc_free(self.workers[worker]);
    self.workers[worker] =
        sup_worker_start(sup_redis_url(self.redis), "--id", id, "--agent-dir", sup_agent_dir(),
                         "--processes", processes, "--log-level", "error", NULL);
}

static void wait_for_balance(void)
{
    int64_t end_ms = sup_now_ms() + 4 * self.lease_ms + sup_limit_ms();

    while (!is_balanced()) {
        if (sup_now_ms() > end_ms)
            sup_fail("the partitions are not shared out");
        go_on();
    }
}

/* ---- one death ---- */

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *) a, y = *(const int64_t *) b;

    return (x > y) - (x < y);
}

static int64_t of_waits(int percent)
{
    qsort(self.waits, self.n_waits, sizeof *self.waits, by_size);
    return self.n_waits ? self.waits[(self.n_waits - 1) * (size_t) percent / 100] : 0;
}

static bool all_answer(int64_t since_ms)
{
    for (int i = 0; i < AGENTS; i++)
        if (self.agents[i].hit && self.agents[i].answered_ms <= since_ms)
            return false;
    return true;
}

/* Kills a process (-1: the whole worker) and waits for the recovery. False: it took too long. */
static bool die(int worker, int process)
{
    pid_t pids[1 + PROCESSES];
    size_t n = 1 + remains_descendants(sup_proc_pid(self.workers[worker]), pids + 1, PROCESSES);
    int64_t limit_ms = process < 0 ? self.lease_ms + SPARE_MS : SPARE_MS, killed_ms, away_ms = 0;
    int64_t calm_99, calm_max, end_ms;
    int hit = 0;
    bool ok;

    pids[0] = sup_proc_pid(self.workers[worker]);
    self.n_waits = 0;
    go_on_for(CALM_MS + some_moment_ms());
    calm_99 = of_waits(99);
    calm_max = of_waits(100);
    for (int i = 0; i < AGENTS; i++) {
        char owner[64], id[64];
        struct agent *a = &self.agents[i];
        snprintf(id, sizeof id, process < 0 ? "w%d." : "w%d.%d", worker, process);
        owner_of(a->partition, owner, sizeof owner);
        a->hit = strncmp(owner, id, strlen(id)) == 0;
        hit += a->hit;
    }
    self.n_waits = 0;
    if (process < 0) {
        for (size_t i = 0; i < n; i++)
            kill(pids[i], SIGKILL);
    } else {
        char key[64], *pid;
        snprintf(key, sizeof key, "asq:{default}:worker:w%d.%d", worker, process);
        if (!(pid = sup_redis_str(self.redis, "HGET %s pid", key)))
            sup_fail("%s has no pid", key);
        kill((pid_t) atoi(pid), SIGKILL);
        free(pid);
    }
    killed_ms = sup_now_ms();
    end_ms = killed_ms + limit_ms + sup_limit_ms();
    while (!all_answer(killed_ms) && sup_now_ms() < end_ms)
        go_on();
    for (int i = 0; i < AGENTS; i++)
        if (self.agents[i].hit && self.agents[i].waiting)
            away_ms = sup_now_ms() - killed_ms; /* still not there */
    if (away_ms == 0)
        away_ms = sup_now_ms() - killed_ms;
    ok = all_answer(killed_ms) && away_ms <= limit_ms && of_waits(100) <= SPARE_MS;
    printf("%-24s %2d agents away for %5" PRId64 " ms (may be %5" PRId64
           "); the others' %5zu calls: %3" PRId64 " ms at p99, %3" PRId64
           " at most (before: %" PRId64 ", %" PRId64 ")%s\n",
           process < 0 ? "a worker is killed:" : "one of its processes is:", hit, away_ms, limit_ms,
           self.n_waits, of_waits(99), of_waits(100), calm_99, calm_max, ok ? "" : "  TOO LONG");
    fflush(stdout);
    for (int i = 0; i < AGENTS; i++)
        self.agents[i].hit = false;
    if (process < 0) {
        go_on_for(some_moment_ms());
        launch(worker);
    }
    wait_for_balance();
    return ok;
}

/* Checks that each answer was one addition, and that there were no others. */
static bool counts_are_right(void)
{
    bool right = self.failures == 0;

    for (int i = 0; i < AGENTS; i++) {
        struct agent *a = &self.agents[i];
        int64_t end_ms = sup_now_ms() + sup_limit_ms();
        asq_value *value = NULL;
        int64_t count = -1;
        while (a->waiting && sup_now_ms() < end_ms)
            asq_poll(self.h, 20);
        if (asq_get(a->handle, "value", &value) < 0 || asq_value_get_int(value, &count) < 0)
            sup_fail("value: %s", asq_errmsg(self.h));
        if (count != a->answers) {
            printf("%s: %" PRId64 " answers, the count is %" PRId64 "\n", asq_agent_id(a->handle),
                   a->answers, count);
            right = false;
        }
        asq_value_free(value);
        asq_agent_free(a->handle);
    }
    printf("the counts are %s\n", right ? "right" : "WRONG");
    return right;
}

static void set_up(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512];

    self.redis = sup_redis_start(NULL);
    launch(0);
    launch(1);
    options.partitions = PARTITIONS;
    options.timeout_ms = 4 * sup_limit_ms();
    if (asq_open(sup_redis_url(self.redis), &options, &self.h, err, sizeof err) < 0)
        sup_fail("asq_open: %s", err);
    for (int i = 0; i < AGENTS; i++) {
        struct agent *a = &self.agents[i];
        char id[16];
        snprintf(id, sizeof id, "agent-%d", i);
        if (asq_create(self.h, "Counter", id, &a->handle, NULL) < 0 ||
            asq_ready(a->handle, 4 * sup_limit_ms()) < 0)
            sup_fail("asq_create: %s", asq_errmsg(self.h));
        a->partition = asq__partition_of(id, strlen(id), PARTITIONS);
        a->next_ms = sup_now_ms() + i % PAUSE_MS;
    }
    self.lease_ms = sup_redis_int(self.redis, "HGET asq:{default}:worker:w0.0 lease_time_ms");
    wait_for_balance();
}

int main(int argc, char **argv)
{
    int times = argc > 1 ? atoi(argv[1]) : 3;
    bool ok = true;

    if (argc > 2 || times < 1) {
        fprintf(stderr, "usage: takeover [TIMES]\n");
        return 2;
    }
    if (!sup_redis_available())
        return sup_skip("no redis-server");
    set_up();
    printf("lease time %" PRId64 " ms, 2 workers of %d processes, %d agents\n", self.lease_ms,
           PROCESSES, AGENTS);
    for (int i = 0; i < times; i++) {
        ok &= die(i % 2, (i / 2) % PROCESSES);
        ok &= die(i % 2, -1);
    }
    ok &= counts_are_right();
    asq_close(self.h);
    return ok ? 0 : 1;
}
