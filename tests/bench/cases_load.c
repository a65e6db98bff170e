/*
 * cases_load.c: the cases of kinds and lengths of load: scale (clients, worker processes, partitions,
 * state) and soak (memory under load for a long time).
 */
#include "bench.h"

#include <asqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WINDOW = 1024, AGENTS = 1024, SAMPLES = 20 };

/* The first of a family is what the others' ratios are to. */
static void scale_row(const char *name, struct contender *c, struct contender *first, int rounds)
{
    struct row row = row_of(name, c, first == c ? NULL : first, rounds, calls_per_s, "calls/s");
    table_add(&row);
}

static void scale_clients(int rounds)
{
    static const int counts[] = { 1, 8, 64, 500 };
    enum { N = sizeof counts / sizeof *counts };
    struct load loads[N];
    struct contender c[N] = { { 0 } };
    char name[64];
    for (int i = 0; i < N; i++) {
        int window = WINDOW / counts[i];
        loads[i] = (struct load){
            .method = "noop", .payload = 100, .window = window ? window : 1, .agents = AGENTS
        };
        c[i] = (struct contender){ .name = "1 client",
                                   .d = the_library(),
                                   .fn = load_async,
                                   .arg = &loads[i],
                                   .clients = counts[i],
                                   .cpu = -1 };
    }
    measure(c, N, rounds);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "scale: %d client processes", counts[i]);
        scale_row(name, &c[i], &c[0], rounds);
    }
}

/* Deployments of one family, measured in the same rounds. */
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

/* Load in pieces, in one process and by one handle, with a sample after each. */
static void soak_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    const struct load *l = arg;
    char err[200], payload[100] = { 0 };
    asq *h;
    asq_agent **agents = calloc(l->agents, sizeof(asq_agent *));
    asq_result **ring = calloc((size_t) l->window, sizeof(asq_result *));
    double samples[3][SAMPLES];
    uint64_t made = 0;
    struct meter m;
    if (!agents || !ring || asq_open(d->url, NULL, &h, err, sizeof err) < 0)
        fail_client("soak: cannot open");
    for (uint64_t i = 0; i < l->agents; i++)
        if (asq_create(h, "Bench", NULL, &agents[i], NULL) < 0)
            fail_client("soak: %s", asq_errmsg(h));
    meter_start(&m, d);
    for (int s = 0; s < SAMPLES; s++) {
        double end = now_s() + settings.soak_s / SAMPLES;
        while (now_s() < end) {
            size_t at = (size_t) (made % (uint64_t) l->window);
            if (ring[at]) {
                if (asq_result_wait(ring[at], 60000) < 0)
                    fail_client("soak: %s", asq_result_error(ring[at])->message);
                asq_result_free(ring[at]);
            }
            if (asq_call(agents[made % l->agents], made % 2 ? "noop" : "b_noop", &ring[at], "[y#]",
                         payload, sizeof payload) < 0)
                fail_client("soak: %s", asq_errmsg(h));
            made++;
        }
        samples[0][s] = (double) worker_rss(d);
        samples[1][s] = (double) redis_memory(d);
        samples[2][s] = (double) rss_bytes(getpid());
    }
    meter_stop(&m, (double) made, out);
    /* Growth: the median of the last quarter against that of the second. */
    for (int k = 0; k < 3; k++) {
        double before = median(samples[k] + SAMPLES / 4, SAMPLES / 4),
               after = median(samples[k] + SAMPLES * 3 / 4, SAMPLES / 4);
        out->extra[k] = before > 0 ? after / before : 0;
    }
}

void case_soak(void)
{
    struct load l = { .window = WINDOW, .agents = AGENTS };
    struct deployment_options o = { .name = "soak" };
    struct contender c = { .name = "soak", .fn = soak_client, .arg = &l, .cpu = -1 };
    static const char *const names[] = { "soak: worker, end / after warm-up",
                                         "soak: Redis, end / after warm-up",
                                         "soak: client, end / after warm-up" };
    static const figure_fn figures[] = { extra0, extra1, extra2 };
    char what[80];
    snprintf(what, sizeof what, "memory under load, %.0f s", settings.soak_s);
    table_case("soak", what);
    c.d = deployment_start(&o);
    c.failed = !run_clients(&c, &c.rounds[0]);
    deployment_stop(c.d);
    struct row row = row_of("soak: rate", &c, NULL, 1, calls_per_s, "calls/s");
    table_add(&row);
    for (int i = 0; i < 3; i++) {
        row = row_of(names[i], &c, NULL, 1, figures[i], "x");
        memset(row.cpu, 0, sizeof row.cpu);
        row.bar = AT_MOST; /* what allocators and Redis's expiry leave lying about comes and goes */
        row.bar_value = 1.02;
        row.bar_on_value = true;
        table_add(&row);
    }
}
