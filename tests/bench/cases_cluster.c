/*
 * cases_cluster.c: the case cluster: what a call costs in a Redis Cluster of 1, 3 and 6 masters
 * against one Redis, by the CPU of Redis, with the same number of partitions; what it costs to wait
 * for a replica; both without an append-only file, and with one that is synced each second or
 * always. All servers are on this machine, so the rate is bounded by its processors; what the
 * masters would serve with a processor for each is computed from the CPU per call.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

enum { WINDOW = 1024, AGENTS = 1024, GROUP = 2048, LOADS = 5, SHAPES = 4, WAITS = 3 };

/* Without replicas; with replicas that nobody waits for; with such that are waited for. */
enum wait { NO_REPLICAS, NOT_WAITED, WAITED };

static const struct shape {
    const char *name, *with_replicas;
    int nodes;
} shapes[SHAPES] = { { "one Redis", "one Redis + 1", 0 },
                     { "1 master", "1 master + 1", 1 },
                     { "3 masters", "3 masters + 3", 3 },
                     { "6 masters", "6 masters + 6", 6 } };

static const struct load loads[LOADS] = {
    { .method = "noop", .payload = 100, .window = WINDOW, .agents = AGENTS },
    { .method = "noop", .payload = 100, .group = GROUP },
    { .method = "noop", .payload = 100, .window = 0, .agents = AGENTS }, /* WINDOW to a master */
    /* the share of each of 3 or 6 masters, at one Redis */
    { .method = "noop", .payload = 100, .window = WINDOW / 3, .agents = AGENTS },
    { .method = "noop", .payload = 100, .window = WINDOW / 6, .agents = AGENTS },
};
enum { ASYNC, PACKED, ASYNC_EACH, ASYNC_THIRD, ASYNC_SIXTH };
static const char *const load_names[LOADS] = { "async", "packed", "async each", "async of a third",
                                               "async of a sixth" };

/* Puts into extra[0] what the masters would serve with a processor for each, and into extra[1] how
 * much more than its share the busiest one has. */
static void load_servers(const struct deployment *d, const void *load, struct outcome *out)
{
    struct load l = *(const struct load *) load;
    if (!l.group && !l.window)
        l.window = WINDOW * d->masters;
    (l.group ? load_packed : load_async)(d, &l, out);
    double share = out->redis_cpu / d->masters;
    out->extra[0] = share > 0 ? out->calls / share : 0;
    out->extra[1] = share > 0 ? out->busiest_cpu / share : 0;
}

static double replica_us(const struct outcome *o)
{
    return o->calls > 0 ? o->replica_cpu / o->calls * 1e6 : 0;
}

typedef struct contender contenders[SHAPES][WAITS][LOADS];

/* Returns whether a load differs from the others for this shape, and is measured. */
static bool is_run(int shape, enum wait wait, int load)
{
    if (load == ASYNC || load == PACKED)
        return true;
    return wait == NO_REPLICAS && (load == ASYNC_EACH ? shapes[shape].nodes > 1 : shape == 0);
}

static void run_loads(contenders c, int shape, enum wait wait, struct deployment *d, int round)
{
    for (int l = 0; l < LOADS; l++) {
        struct contender *now = &c[shape][wait][l];
        now->d = d;
        if (is_run(shape, wait, l) && !now->failed && !run_clients(now, &now->rounds[round]))
            now->failed = true;
    }
}

/* Measures one shape in a round, on deployments of its own. */
static void run_shape(contenders c, int shape, const char *log, int round)
{
    struct deployment_options o = {
        .name = "cluster", .tcp = true, .nodes = shapes[shape].nodes, .log = log
    };
    struct deployment *d = deployment_start(&o);
    run_loads(c, shape, NO_REPLICAS, d, round);
    deployment_stop(d);
    o.replicas = true;
    d = deployment_start(&o);
    run_loads(c, shape, NOT_WAITED, d, round);
    o.wait_replicas = 1;
    deployment_restart_worker(d, &o);
    run_loads(c, shape, WAITED, d, round);
    deployment_stop(d);
}

static void add_row(const struct contender *c, const struct contender *yardstick, int rounds,
                    figure_fn fn, const char *unit, enum bar bar, double value, const char *suffix)
{
    char name[64];
    snprintf(name, sizeof name, "%.44s%.18s", c->name, suffix);
    struct row row = row_of(name, c, yardstick, rounds, fn, unit);
    if (yardstick) /* its name is too long for the column */
        snprintf(row.yardstick, sizeof row.yardstick, "%s",
                 strstr(yardstick->name, "N = 0") ? "N = 0" : shapes[0].name);
    row.bar = bar;
    row.bar_value = value;
    table_add(&row);
}

/* Adds the rows of one load without replicas: Redis' CPU per call, the rate, and what the masters
 * would serve. */
static void add_rows(contenders c, int load, int rounds)
{
    for (int s = 0; s < SHAPES; s++) {
        struct contender *now = &c[s][NO_REPLICAS][load];
        struct contender *one = &c[0][NO_REPLICAS][load == PACKED ? PACKED : ASYNC];
        if (!is_run(s, NO_REPLICAS, load))
            continue;
        if (one == now)
            one = NULL;
        add_row(now, one, rounds, redis_us, "us", s ? AT_MOST : NO_BAR, 1.25, ": Redis");
        add_row(now, one, rounds, calls_per_s, "calls/s", s && load == PACKED ? AT_LEAST : NO_BAR,
                0.9, "");
        if (shapes[s].nodes < 2)
            continue;
        add_row(now, one, rounds, extra0, "calls/s", NO_BAR, 0, ", a core each");
        table_note("the busiest master: %.2f x its share", figure(now, rounds, extra1));
    }
}

/* Adds those with a replica for each master, which nobody waits for (N = 0) or all do (N = 1). */
static void add_rows_of_replicas(contenders c, int load, int rounds)
{
    for (int s = 0; s < SHAPES; s++) {
        struct contender *without = &c[s][NOT_WAITED][load], *with = &c[s][WAITED][load];
        add_row(without, NULL, rounds, calls_per_s, "calls/s", NO_BAR, 0, "");
        add_row(with, without, rounds, calls_per_s, "calls/s", load == ASYNC ? AT_LEAST : NO_BAR,
                0.7, "");
        if (shapes[s].nodes > 1)
            add_row(with, without, rounds, extra0, "calls/s", NO_BAR, 0, ", a core each");
        table_note("CPU of all replicas per call, N = 0 and 1: %.2f, %.2f us",
                   figure(without, rounds, replica_us), figure(with, rounds, replica_us));
    }
}

static void rows_of(const char *log, const char *log_name, int rounds)
{
    static contenders c;
    static char names[SHAPES][WAITS][LOADS][64];
    static const char *const waits[WAITS] = { "", ", N = 0", ", N = 1" };
    memset(c, 0, sizeof c);
    for (int s = 0; s < SHAPES; s++)
        for (int w = 0; w < WAITS; w++)
            for (int l = 0; l < LOADS; l++) {
                const char *shape = w == NO_REPLICAS ? shapes[s].name : shapes[s].with_replicas;
                snprintf(names[s][w][l], sizeof names[s][w][l], "%s%s, %s%s", shape, waits[w],
                         load_names[l], log_name);
                c[s][w][l] = (struct contender){
                    .name = names[s][w][l], .fn = load_servers, .arg = &loads[l], .cpu = -1
                };
            }
    for (int r = 0; r < rounds; r++)
        for (int s = 0; s < SHAPES; s++)
            run_shape(c, (s + r) % SHAPES, log, r);
    add_rows(c, ASYNC, rounds);
    add_rows(c, ASYNC_EACH, rounds);
    add_rows(c, ASYNC_THIRD, rounds);
    add_rows(c, ASYNC_SIXTH, rounds);
    add_rows(c, PACKED, rounds);
    add_rows_of_replicas(c, ASYNC, rounds);
    add_rows_of_replicas(c, PACKED, rounds);
}

void case_cluster(void)
{
    int rounds = rounds_of(5, 2);
    table_case(
        "cluster",
        "nodes of a Redis Cluster against one Redis, all by TCP; 1,024 in flight (each: of a master)");
    rows_of(NULL, "", rounds);
    if (settings.quick)
        return;
    rows_of("everysec", ", everysec", rounds);
    rows_of("always", ", always", rounds);
}
