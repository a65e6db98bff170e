/*
 * cases_calls.c: the cases of calls: floor, async, sync, packed and cpu, for methods marked as
 * never blocking and for unmarked ones, with their floors in the same rounds.
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

enum { WINDOW = 1024, AGENTS = 1024, GROUP = 2048 };

static const struct {
    const char *name;
    size_t bytes;
    int window;
} payloads[] = { { "100 B", 100, WINDOW }, { "10 KiB", 10240, WINDOW }, { "1 MiB", 1 << 20, 32 } };

static void with_bar(struct row *row, enum bar bar, double value, bool on_value)
{
    row->bar = bar;
    row->bar_value = value;
    row->bar_on_value = on_value;
    table_add(row);
}

/* The yardstick of the other cases is the fastest floor, with one stream, so the cost of partitions
 * in Redis is part of the library's measured cost. */
void case_floor(void)
{
    struct deployment_options options[] = {
        { .name = "floor-16", .floor = true, .partitions = 16 },
        { .name = "floor-128", .floor = true, .partitions = 128 },
        { .name = "floor-lean", .floor = true, .partitions = 1, .lean = true },
    };
    struct deployment *d[] = { the_floor(), deployment_start(&options[0]),
                               deployment_start(&options[1]), deployment_start(&options[2]) };
    struct load one = { .payload = 100, .window = WINDOW },
                packed = { .payload = 100, .window = GROUP * 4, .batch = 64 };
    static const struct {
        const char *name;
        int deployment;
        bool packed;
    } kinds[] = {
        { "floor: commit.lua, 1 partition", 0, false },
        { "floor: commit.lua, 16 partitions", 1, false },
        { "floor: commit.lua, 128 partitions", 2, false },
        { "floor: floor.lua, 1 partition", 3, false },
        { "floor: commit.lua, 1 partition, packed", 0, true },
        { "floor: commit.lua, 128 partitions, packed", 2, true },
        { "floor: floor.lua, 1 partition, packed", 3, true },
    };
    enum { N = sizeof kinds / sizeof *kinds };
    struct contender c[N] = { { 0 } };
    int rounds = rounds_of(7, 3);
    table_case("floor",
               "bare hiredis with the library's commands, 1,024 in flight; packed: 64 to an entry");
    for (int i = 0; i < N; i++)
        c[i] = (struct contender){ .name = "floor",
                                   .d = d[kinds[i].deployment],
                                   .fn = floor_async,
                                   .arg = kinds[i].packed ? &packed : &one,
                                   .cpu = -1 };
    measure(c, N, rounds);
    for (int i = 0; i < N; i++) {
        struct row row =
            row_of(kinds[i].name, &c[i], i ? &c[0] : NULL, rounds, calls_per_s, "calls/s");
        table_add(&row);
    }
    for (int i = 1; i < 4; i++)
        deployment_stop(d[i]);
}

void case_async(void)
{
    int rounds = rounds_of(7, 3);
    table_case("async", "one call per entry, 1,024 in flight (32 of 1 MiB)");
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        struct load marked = { .method = "noop",
                               .payload = payloads[i].bytes,
                               .window = payloads[i].window,
                               .agents = AGENTS },
                    unmarked = marked;
        unmarked.method = "b_noop";
        struct contender c[] = {
            { .name = "floor", .d = the_floor(), .fn = floor_async, .arg = &marked, .cpu = -1 },
            { .name = "async", .d = the_library(), .fn = load_async, .arg = &marked, .cpu = -1 },
            { .name = "async", .d = the_library(), .fn = load_async, .arg = &unmarked, .cpu = -1 },
        };
        char name[64];
        measure(c, 3, rounds);
        snprintf(name, sizeof name, "floor: async %s", payloads[i].name);
        struct row row = row_of(name, &c[0], NULL, rounds, calls_per_s, "calls/s");
        table_add(&row);
        snprintf(name, sizeof name, "async %s", payloads[i].name);
        row = row_of(name, &c[1], &c[0], rounds, calls_per_s, "calls/s");
        with_bar(&row, i == 0 ? AT_LEAST : NO_BAR, 0.85, false);
        snprintf(name, sizeof name, "async %s, unmarked", payloads[i].name);
        row = row_of(name, &c[2], &c[0], rounds, calls_per_s, "calls/s");
        table_add(&row);
    }
}

static void sync_rows(const char *payload, size_t bytes, int cpu, bool barred)
{
    struct load marked = { .method = "noop", .payload = bytes, .agents = AGENTS },
                unmarked = marked;
    unmarked.method = "b_noop";
    struct contender c[] = {
        { .name = "floor", .d = the_floor(), .fn = floor_sync, .arg = &marked, .cpu = cpu },
        { .name = "sync", .d = the_library(), .fn = load_sync, .arg = &marked, .cpu = cpu },
        { .name = "sync", .d = the_library(), .fn = load_sync, .arg = &unmarked, .cpu = cpu },
    };
    int rounds = rounds_of(7, 3);
    char name[64];
    const char *where = cpu >= 0 ? ", one core" : "";
    measure(c, 3, rounds);
    static const char *const kinds[] = { "floor: sync", "sync", "sync" };
    for (int i = 0; i < 3; i++) {
        const char *mark = i == 2 ? ", unmarked" : "";
        snprintf(name, sizeof name, "%s %s%s%s, median", kinds[i], payload, where, mark);
        struct row row = row_of(name, &c[i], i ? &c[0] : NULL, rounds, p50_us, "us");
        with_bar(&row, barred && i == 1 ? AT_MOST : NO_BAR, 1.25, false);
        snprintf(name, sizeof name, "%s %s%s%s, p99", kinds[i], payload, where, mark);
        row = row_of(name, &c[i], i ? &c[0] : NULL, rounds, p99_us, "us");
        memset(row.cpu, 0, sizeof row.cpu);
        with_bar(&row, barred && i == 1 ? AT_MOST : NO_BAR, 2, false);
    }
}

void case_sync(void)
{
    table_case("sync", "one call at a time");
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++)
        sync_rows(payloads[i].name, payloads[i].bytes, -1, i == 0);
    sync_rows("100 B", 100, 0, false);
}

void case_packed(void)
{
    struct load one = { .payload = 100, .window = WINDOW },
                full = { .payload = 100, .window = GROUP * 4, .batch = 64 },
                corked = { .method = "noop", .payload = 100, .group = GROUP }, broadcast = corked,
                unmarked = corked;
    broadcast.broadcast = true;
    unmarked.method = "b_noop";
    struct contender c[] = {
        { .name = "floor", .d = the_floor(), .fn = floor_async, .arg = &one, .cpu = -1 },
        { .name = "floor packed", .d = the_floor(), .fn = floor_async, .arg = &full, .cpu = -1 },
        { .name = "corked", .d = the_library(), .fn = load_packed, .arg = &corked, .cpu = -1 },
        { .name = "broadcast",
          .d = the_library(),
          .fn = load_packed,
          .arg = &broadcast,
          .cpu = -1 },
        { .name = "unmarked", .d = the_library(), .fn = load_packed, .arg = &unmarked, .cpu = -1 },
    };
    int rounds = rounds_of(7, 3);
    table_case("packed", "64 calls to an entry, of 100 B; a state saved for each call");
    measure(c, 5, rounds);
    struct row row = row_of("floor: async 100 B", &c[0], NULL, rounds, calls_per_s, "calls/s");
    table_add(&row);
    row = row_of("floor: packed", &c[1], &c[0], rounds, calls_per_s, "calls/s");
    table_add(&row);
    row = row_of("packed: asq_broadcast", &c[3], &c[0], rounds, calls_per_s, "calls/s");
    with_bar(&row, AT_LEAST, 3, false);
    double us = row.cpu[0] + row.cpu[1];
    row = row_of("packed: corked asq_call", &c[2], &c[0], rounds, calls_per_s, "calls/s");
    with_bar(&row, AT_LEAST, 3, false);
    row = row_of("packed: corked asq_call, unmarked", &c[4], &c[0], rounds, calls_per_s, "calls/s");
    table_add(&row);
    struct row cpu = { .name = "cpu: client + worker per broadcast call",
                       .value = us,
                       .unit = "us" };
    with_bar(&cpu, AT_MOST, 3, true);
    row = row_of("", &c[2], NULL, rounds, calls_per_s, "");
    struct row corked_cpu = { .name = "cpu: client + worker per corked call",
                              .value = row.cpu[0] + row.cpu[1],
                              .unit = "us" };
    with_bar(&corked_cpu, AT_MOST, 3, true);
}
