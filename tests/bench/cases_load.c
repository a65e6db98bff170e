/*
 * cases_load.c: the cases of kinds and lengths of load: scale (clients, worker processes,
 * partitions, state) and soak (memory under load for a long time).
 */
#include "bench.h"

#include <asqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 1024, AGENTS = 1024 };

/* Adds a row. The ratios of a family are to its first contender. */
static void scale_row(const char *name, struct contender *c, struct contender *first, int rounds)
{
    struct row row = row_of(name, c, first == c ? NULL : first, rounds, calls_per_s, "calls/s");
    table_add(&row);
}

/* Divides the same number of calls in flight among more and more clients. The ratio is to the floor
 * with as many processes, because their cost to the system is no cost of the library. */
static void scale_clients(int rounds)
{
    static const int counts[] = { 1, 8, 64, 500 };
    enum { COUNTS = sizeof counts / sizeof *counts, FLOOR = 0, PROCESSES, HANDLES, KINDS };
    struct load loads[COUNTS][KINDS];
    char names[COUNTS][48], name[64];
    for (int i = 0; i < COUNTS; i++) {
        int n = counts[i];
        struct load one = { .method = "noop", .payload = 100, .window = WINDOW, .agents = AGENTS };
        loads[i][HANDLES] = loads[i][PROCESSES] = loads[i][FLOOR] = one;
        loads[i][HANDLES].handles = n;
        loads[i][PROCESSES].window = loads[i][FLOOR].window = WINDOW / n;
        snprintf(names[i], sizeof names[i], "floor, %d process%s", n, n > 1 ? "es" : "");
        struct contender c[KINDS] = {
            { .name = names[i], .d = the_floor(), .fn = floor_async, .clients = n },
            { .name = "processes", .d = the_library(), .fn = load_async, .clients = n },
            { .name = "handles", .d = the_library(), .fn = load_handles },
        };
        for (int k = 0; k < KINDS; k++) {
            c[k].arg = &loads[i][k];
            c[k].cpu = -1;
        }
        measure(c, KINDS, rounds);
        snprintf(name, sizeof name, "floor: scale, %d client process%s", n, n > 1 ? "es" : "");
        scale_row(name, &c[FLOOR], &c[FLOOR], rounds);
        snprintf(name, sizeof name, "scale: %d client process%s", n, n > 1 ? "es" : "");
        scale_row(name, &c[PROCESSES], &c[FLOOR], rounds);
        snprintf(name, sizeof name, "scale: %d handle%s of one process", n, n > 1 ? "s" : "");
        scale_row(name, &c[HANDLES], &c[FLOOR], rounds);
    }
}

/* Measures deployments of one family in the same rounds. */
static void scale_deployments(const struct deployment_options *options, const struct load *loads,
                              const char *const *names, int n, const char *first, int rounds)
{
    struct deployment *d[MAX_CONTENDERS];
    struct contender c[MAX_CONTENDERS];
    memset(c, 0, sizeof c);
    for (int i = 0; i < n; i++) {
        d[i] = deployment_start(&options[i]);
        c[i] = (struct contender){
            .name = first, .d = d[i], .fn = load_async, .arg = &loads[i], .cpu = -1
        };
    }
    measure(c, n, rounds);
    for (int i = 0; i < n; i++) {
        scale_row(names[i], &c[i], &c[0], rounds);
        deployment_stop(d[i]);
    }
}

void case_scale(void)
{
    int rounds = rounds_of(5, 2);
    struct load load = { .method = "noop", .payload = 100, .window = WINDOW, .agents = AGENTS };
    struct load same[4] = { load, load, load, load }, states[4] = { load, load, load, load };
    static const struct deployment_options processes[] = { { .name = "p1", .processes = 1 },
                                                           { .name = "p2", .processes = 2 },
                                                           { .name = "p4", .processes = 4 },
                                                           { .name = "p8", .processes = 8 } },
                                           partitions[] = { { .name = "n16", .partitions = 16 },
                                                            { .name = "n128", .partitions = 128 },
                                                            { .name = "n1024",
                                                              .partitions = 1024 } },
                                           state[] = { { .name = "s0" },
                                                       { .name = "s1" },
                                                       { .name = "s16" },
                                                       { .name = "s64" } };
    static const char *const process_names[] = { "scale: 1 worker process",
                                                 "scale: 2 worker processes",
                                                 "scale: 4 worker processes",
                                                 "scale: 8 worker processes" },
                             *const partition_names[] = { "scale: 16 partitions",
                                                          "scale: 128 partitions",
                                                          "scale: 1024 partitions" },
                             *const state_names[] = { "scale: state of 0", "scale: state of 1 KiB",
                                                      "scale: state of 16 KiB",
                                                      "scale: state of 64 KiB" };
    states[1].state = 1024;
    states[2].state = 16384;
    states[3].state = 65536;
    table_case("scale", "one call per entry, 1,024 in flight in all, 100 B");
    scale_clients(rounds);
    scale_deployments(processes, same, process_names, 4, "1 process", rounds);
    scale_deployments(partitions, same, partition_names, 3, "16 partitions", rounds);
    scale_deployments(state, states, state_names, 4, "state of 0", rounds);
}

/* ---- soak ---- */

enum { SOAK_MOST = 20, SOAK_WINDOW = 256, SOAK_GROUP = 64 };

struct soak {
    const struct deployment *d;
    asq *h;
    asq_agent *agents[AGENTS];
    uint64_t turns, calls;
};

static void soak_check(const struct soak *s, int rc, const char *what)
{
    if (rc < 0)
        fail_client("soak: %s: %s", what, asq_errmsg(s->h));
}

static void soak_take(struct soak *s, asq_result **results, size_t n)
{
    soak_check(s, asq_wait_all(results, n, 60000), "wait");
    for (size_t i = 0; i < n; i++) {
        if (asq_result_error(results[i])->code)
            fail_client("soak: a call failed: %s", asq_result_error(results[i])->message);
        asq_result_free(results[i]);
    }
    s->calls += n;
}

/* Makes some calls of each kind: one to an entry and packed, marked and unmarked, parked; creates
 * and deletes agents, too. All have ended when it returns. */
static void soak_turn(struct soak *s)
{
    static const char *const methods[] = { "noop", "b_noop", "nap", "b_nap" };
    asq_result *results[SOAK_WINDOW], *packed[SOAK_GROUP];
    asq_agent *fleeting;
    char payload[100] = { 0 };
    for (int i = 0; i < SOAK_WINDOW; i++) {
        asq_agent *agent = s->agents[(s->turns * SOAK_WINDOW + (uint64_t) i) % AGENTS];
        if (i % 16 >= 14)
            soak_check(s, asq_call(agent, methods[i % 4], &results[i], "[I]", (int64_t) 1), "call");
        else
            soak_check(
                s, asq_call(agent, methods[i % 2], &results[i], "[y#]", payload, sizeof payload),
                "call");
    }
    soak_check(s,
               asq_broadcast(s->agents + s->turns % (AGENTS / SOAK_GROUP) * SOAK_GROUP, SOAK_GROUP,
                             methods[s->turns % 2], asq_pack("[y#]", payload, sizeof payload),
                             packed),
               "broadcast");
    soak_check(s, asq_create(s->h, "Bench", NULL, &fleeting, NULL), "create");
    soak_check(s, asq_call_wait(fleeting, "noop", NULL, NULL), "call");
    soak_check(s, asq_delete(fleeting, 60000), "delete");
    asq_agent_free(fleeting);
    soak_take(s, results, SOAK_WINDOW);
    soak_take(s, packed, SOAK_GROUP);
    s->turns++;
}

/* Applies load in pieces, by one handle. After each piece it waits until results are forgotten, and
 * then takes a sample, because memory of calls under way is no growth. */
static void soak_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    struct soak s = { .d = d };
    char err[200];
    double samples[3][SOAK_MOST], quiet_s = 2;
    int n = settings.soak_s >= SOAK_MOST * 5 ? SOAK_MOST : 8;
    double load_s = settings.soak_s / n - quiet_s;
    struct meter m;
    (void) arg;
    if (asq_open(d->url, NULL, &s.h, err, sizeof err) < 0)
        fail_client("soak: %s", err);
    asq_set_timeout(s.h, 60000);
    for (int i = 0; i < AGENTS; i++)
        soak_check(&s, asq_create(s.h, "Bench", NULL, &s.agents[i], NULL), "create");
    meter_start(&m, d);
    for (int k = 0; k < n; k++) {
        double end = now_s() + (load_s > 0.5 ? load_s : 0.5);
        while (now_s() < end)
            soak_turn(&s);
        soak_check(&s, asq_sleep(s.h, (int64_t) (quiet_s * 1000)), "sleep");
        samples[0][k] = (double) worker_rss(d);
        samples[1][k] = (double) redis_memory(d);
        samples[2][k] = (double) rss_bytes(getpid());
    }
    meter_stop(&m, (double) s.calls, out);
    out->seconds -= n * quiet_s;
    /* Growth is the median of the last quarter divided by that of the second. */
    for (int i = 0; i < 3; i++) {
        double before = median(samples[i] + n / 4, n / 4),
               after = median(samples[i] + n - n / 4, n / 4);
        out->extra[i] = before > 0 ? after / before : 0;
    }
}

void case_soak(void)
{
    struct deployment_options o = { .name = "soak" };
    struct contender c = { .name = "soak", .fn = soak_client, .cpu = -1 };
    static const char *const names[] = { "soak: worker, end / after warm-up",
                                         "soak: Redis, end / after warm-up",
                                         "soak: client, end / after warm-up" };
    static const figure_fn figures[] = { extra0, extra1, extra2 };
    char what[80];
    snprintf(what, sizeof what, "memory under load of all kinds, %.0f s", settings.soak_s);
    table_case("soak", what);
    c.d = deployment_start(&o);
    c.failed = !run_clients(&c, &c.rounds[0]);
    deployment_stop(c.d);
    struct row row = row_of("soak: rate", &c, NULL, 1, calls_per_s, "calls/s");
    table_add(&row);
    for (int i = 0; i < 3; i++) {
        row = row_of(names[i], &c, NULL, 1, figures[i], "x");
        memset(row.cpu, 0, sizeof row.cpu);
        row.bar = AT_MOST; /* leftovers of allocators come and go */
        row.bar_value = 1.02;
        row.bar_on_value = true;
        table_add(&row);
    }
}
