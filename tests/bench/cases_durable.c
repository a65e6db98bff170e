/*
 * cases_durable.c: the case of durable work: steps, emitted values, promises and timers, with the
 * CPU of each one. Their floors are the same writes as bare commands (floor_bare.c).
 */
#include "bench.h"

#include <stdio.h>
#include <string.h>

enum {
    WINDOW = 1024,
    AGENTS = 1024,
    STEPS = 10,   /* of a call: bench_class.c */
    EMITS = 100,  /* likewise */
    VALUE = 26,   /* bytes of an emitted value in a stream */
    RECORD = 18,  /* bytes of a step's record */
    READERS = 128 /* calls under way of which values are read */
};

/* Writes of a call with a state and a result. */
#define CALL                                                                                       \
    "XADD asq:{default.%p}:jobs %i-1 call Bench/a%w-0.noop batch "                                 \
    "0123456789012345678901234567890123456789012345678901234567890123",                            \
        "HSET asq:{default.%p}:agents a%w-0 012345678901234567890123456789012345678901234567",     \
        "SET asq:{default.%p}:r:%i 012345678901234567890123456789 PX 7200000",                     \
        "PUBLISH asq:{default}:c:client 012345678901234567890123456789",                           \
        "XDEL asq:{default.%p}:jobs %i-1", "UNLINK asq:{default.%p}:r:%i"

static const char *const call_commands[] = { CALL, NULL };
static const char *const call_with_steps[] = { CALL,
                                               "APPEND asq:{default.%p}:s:%i %x",
                                               "HSET asq:{default.%p}:attempts =%i 1",
                                               "HDEL asq:{default.%p}:attempts =%i",
                                               "DEL asq:{default.%p}:s:%i",
                                               NULL };
#define APPEND "APPEND asq:{default.%p}:s:%i %x"
static const char *const call_with_records[] = { CALL,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 APPEND,
                                                 "HSET asq:{default.%p}:attempts =%i 1",
                                                 "HDEL asq:{default.%p}:attempts =%i",
                                                 "DEL asq:{default.%p}:s:%i",
                                                 NULL };
static const char *const emit_commands[] = { "XADD asq:{default.%p}:p:%w MINID %o-0 %i-0 v %x",
                                             "PTTL asq:{default.%p}:p:%w", NULL };
/* A call emits the id of its promise, which is settled with an entry for the owner. */
static const char *const promise_commands[] = {
    CALL,
    "XADD asq:{default.%p}:o:%i 0-1 call 0123456789012345678901234567890123456789",
    "APPEND asq:{default.%p}:s:%i 012345678901234567890123456789",
    "HSET asq:{default.%p}:attempts =%i 1",
    "XADD asq:{default.%p}:p:%i 1-0 v 0123456789012345678901234567890123456789",
    "PEXPIRE asq:{default.%p}:p:%i 7200000",
    "XADD asq:{default.%p}:o:%i NOMKSTREAM 1-0 token 0123456789012345 value 01",
    "XADD asq:{default.%p}:jobs %i-2 call promise promise 0123456789012345678901234567890123456789",
    "XDEL asq:{default.%p}:jobs %i-2",
    "HDEL asq:{default.%p}:attempts =%i",
    "DEL asq:{default.%p}:s:%i",
    "UNLINK asq:{default.%p}:p:%i",
    "PEXPIRE asq:{default.%p}:o:%i 1000", /* else they would fill the memory of the floor */
    NULL
};
/* A timer with intervals enters its call into the stream, and has another state and time. */
static const char *const timer_commands[] = {
    "XADD asq:{default.%p}:jobs %i-1 call Bench/a%w-0.noop batch "
    "0123456789012345678901234567890123456789012345678901234567890123",
    "HSET asq:{default.%p}:t:a%w +tick 012345678901234567890123456789012345678901234567",
    "ZADD asq:{default.%p}:timers %i a%w",
    "HSET asq:{default.%p}:agents a%w-0 012345678901234567890123456789012345678901234567",
    "XDEL asq:{default.%p}:jobs %i-1",
    NULL
};

static struct deployment *redis_alone(void)
{
    static struct deployment *d;
    struct deployment_options o = { .name = "bare", .alone = true };
    if (!d)
        d = deployment_start(&o);
    return d;
}

static void add_row(const char *name, const struct contender *c, const struct contender *floor,
                    int rounds, const char *unit)
{
    struct row row = row_of(name, c, floor, rounds, calls_per_s, unit);
    table_add(&row);
}

/* A load, and its floor; one without a floor_name has no row for it. */
struct pair {
    const char *name, *floor_name;
    struct load load;
    struct bare floor;
};

/* Measures pairs in the same rounds. Entries of the floor have as many values as those that the
 * library has made just before. */
static void measure_pairs(const struct pair *pairs, int n, int rounds, const char *unit)
{
    struct contender c[MAX_CONTENDERS], floors[MAX_CONTENDERS];
    struct bare bare[MAX_CONTENDERS];
    char name[64];
    memset(c, 0, sizeof c);
    memset(floors, 0, sizeof floors);
    for (int i = 0; i < n; i++) {
        bare[i] = pairs[i].floor;
        c[i] = (struct contender){ .name = pairs[i].name,
                                   .d = the_library(),
                                   .fn = load_async,
                                   .arg = &pairs[i].load,
                                   .cpu = -1 };
        floors[i] = (struct contender){
            .name = "floor", .d = redis_alone(), .fn = floor_bare, .arg = &bare[i], .cpu = -1
        };
    }
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < n; i++) {
            c[i].failed = c[i].failed || !run_clients(&c[i], &c[i].rounds[r]);
            if (bare[i].commands == emit_commands) {
                double in_entry = c[i].rounds[r].extra[0];
                bare[i].counted = in_entry < 1 ? 1 : in_entry;
                bare[i].text = (size_t) (bare[i].counted * VALUE);
            }
            floors[i].failed = floors[i].failed || !run_clients(&floors[i], &floors[i].rounds[r]);
        }
    for (int i = 0; i < n; i++) {
        if (pairs[i].floor_name) {
            snprintf(name, sizeof name, "floor: %s", pairs[i].floor_name);
            add_row(name, &floors[i], NULL, rounds, unit);
        }
        add_row(pairs[i].name, &c[i], &floors[i], rounds, unit);
    }
}

static void step_rows(int rounds)
{
    struct load load = { .payload = 20, .window = WINDOW, .agents = AGENTS, .events = STEPS };
    struct bare call = { .commands = call_commands, .window = WINDOW, .counted = STEPS },
                with_steps = { .commands = call_with_steps,
                               .window = WINDOW,
                               .counted = STEPS,
                               .text = (size_t) STEPS * RECORD },
                with_records = { .commands = call_with_records,
                                 .window = WINDOW,
                                 .counted = STEPS,
                                 .text = RECORD };
    struct pair pairs[] = {
        { "steps, gone with the result", "steps, gone with the result", load, call },
        { "steps, gone with the result, unmarked", NULL, load, call },
        { "steps, then a wait", "steps, then a wait", load, with_steps },
        { "steps that wait for their record", "steps that wait for their record", load,
          with_records },
    };
    static const char *const methods[] = { "steps", "b_steps", "steps_wait", "steps_recorded" };
    for (int i = 0; i < 4; i++)
        pairs[i].load.method = methods[i];
    measure_pairs(pairs, 4, rounds, "steps/s");
}

static void emit_rows(int rounds)
{
    struct load load = { .method = "emit",
                         .payload = 20,
                         .window = READERS,
                         .agents = AGENTS,
                         .events = EMITS },
                read = load;
    struct bare floor = { .commands = emit_commands, .window = WINDOW };
    read.reads = true;
    struct pair pairs[] = {
        { "emitted values, 100 a call", "emitted values, 100 a call", load, floor },
        { "emitted values, 100 a call, read", NULL, read, floor },
    };
    measure_pairs(pairs, 2, rounds, "values/s");
}

static double share(const struct outcome *o)
{
    return o->extra[1];
}

/* Shows what Redis takes for values that come slowly, so that few of them make an entry. */
static void paced_rows(int rounds)
{
    enum { CALLS = 1000, GAP_MS = 20, RATE = CALLS * 1000 / GAP_MS };
    struct durable unread = { .agents = CALLS, .gap_ms = GAP_MS }, read = unread;
    struct bare bare = { .commands = emit_commands, .window = WINDOW };
    read.reads = true;
    struct contender
        floor = { .name = "floor", .d = redis_alone(), .fn = floor_bare, .arg = &bare, .cpu = -1 },
        c[] = {
            { .name = "not read", .d = the_library(), .fn = load_paced, .arg = &unread, .cpu = -1 },
            { .name = "read", .d = the_library(), .fn = load_paced, .arg = &read, .cpu = -1 },
        };
    static const char *const names[] = { "1000 calls that emit 50/s each: Redis",
                                         "1000 calls that emit 50/s each, read: Redis" };
    for (int r = 0; r < rounds; r++) {
        for (int i = 0; i < 2; i++)
            c[i].failed = c[i].failed || !run_clients(&c[i], &c[i].rounds[r]);
        bare.counted = c[0].rounds[r].extra[0];
        bare.text = (size_t) (bare.counted * VALUE);
        bare.rate = bare.counted > 0 ? RATE / bare.counted : 1;
        floor.failed = floor.failed || !run_clients(&floor, &floor.rounds[r]);
    }
    struct row row = row_of("floor: 1000 calls that emit 50/s each: Redis", &floor, NULL, rounds,
                            share, "% core");
    table_add(&row);
    for (int i = 0; i < 2; i++) {
        row = row_of(names[i], &c[i], &floor, rounds, share, "% core");
        row.bar = i == 0 ? AT_MOST : NO_BAR;
        row.bar_value = 10;
        row.bar_on_value = true;
        table_add(&row);
    }
    table_note("%.0f values/s, %.1f of them to an entry", figure(&c[0], rounds, calls_per_s),
               figure(&c[0], rounds, extra0));
}

static void promise_rows(int rounds)
{
    struct durable load = { .agents = 256 };
    struct bare bare = { .commands = promise_commands, .window = WINDOW, .counted = 1 };
    struct contender c[] = {
        { .name = "floor", .d = redis_alone(), .fn = floor_bare, .arg = &bare, .cpu = -1 },
        { .name = "promises",
          .d = the_library(),
          .fn = load_promises,
          .arg = &load,
          .clients = 4,
          .cpu = -1 },
    };
    measure(c, 2, rounds);
    add_row("floor: promises", &c[0], NULL, rounds, "promises/s");
    add_row("promises, settled by 4 programs", &c[1], &c[0], rounds, "promises/s");
}

/* Each round has a worker of its own, because timers stay. */
static void timer_rows(int rounds)
{
    enum { KINDS = 2, GAP_MS = 100 };
    static const char *const names[KINDS] = { "timers, all due at once",
                                              "timers, 1000 of them every 100 ms" };
    static const client_fn fns[KINDS] = { load_timers_at_once, load_timers };
    struct durable loads[KINDS] = { { .agents = settings.quick ? 4000 : 20000 },
                                    { .agents = 1000, .gap_ms = GAP_MS } };
    struct bare bare = { .commands = timer_commands, .window = WINDOW, .counted = 1 };
    struct contender floor = { .name = "floor",
                               .d = redis_alone(),
                               .fn = floor_bare,
                               .arg = &bare,
                               .cpu = -1 },
                     c[KINDS];
    struct deployment_options o = { .name = "timers" };
    memset(c, 0, sizeof c);
    for (int r = 0; r < rounds; r++) {
        floor.failed = floor.failed || !run_clients(&floor, &floor.rounds[r]);
        for (int k = 0; k < KINDS; k++) {
            c[k].name = names[k];
            c[k].fn = fns[k];
            c[k].arg = &loads[k];
            c[k].cpu = -1;
            if (c[k].failed)
                continue;
            c[k].d = deployment_start(&o);
            c[k].failed = !run_clients(&c[k], &c[k].rounds[r]);
            deployment_stop(c[k].d);
        }
    }
    add_row("floor: timers", &floor, NULL, rounds, "timers/s");
    for (int k = 0; k < KINDS; k++)
        add_row(names[k], &c[k], k == 0 ? &floor : NULL, rounds, "timers/s");
}

void case_durable(void)
{
    int rounds = rounds_of(5, 2);
    table_case("durable", "ten steps or 100 emitted values to a call, 1,024 (128) calls in flight; "
                          "CPU of each step, value, promise or timer");
    step_rows(rounds);
    emit_rows(rounds);
    paced_rows(rounds);
    promise_rows(rounds);
    timer_rows(rounds);
}
