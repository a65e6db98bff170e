/*
 * cases_agents.c: the cases of many agents: create, round, growth and memory; and start, child
 * mode. Each client process does all work of a case, because agents belong to the deployment. Work
 * that cannot be repeated in one Redis gets a new Redis for each round.
 */
#include "bench.h"

#include <asqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 64 * 1024, TIMEOUT_MS = 600000 };

struct many {
    uint64_t agents;
    bool create_many; /* one statement for AT_ONCE agents, else corked asq_create */
};

static asq *open_handle(const char *url)
{
    asq *h;
    char err[200];
    if (asq_open(url, NULL, &h, err, sizeof err) < 0)
        fail_client("%s", err);
    asq_set_timeout(h, TIMEOUT_MS);
    return h;
}

static void check(asq *h, int rc, const char *what)
{
    if (rc < 0)
        fail_client("%s: %s (%s)", what, asq_errmsg(h), asq_error_name(rc));
}

static void *array(uint64_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        fail_client("out of memory");
    return p;
}

/* Creates agents with a name as argument, and random ids. */
static void create_corked(asq *h, uint64_t n, asq_agent **agents)
{
    char name[32];
    asq_cork(h);
    for (uint64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "agent-%07llu", (unsigned long long) i);
        check(h, asq_create(h, "Bench", NULL, &agents[i], "{s:s}", "name", name), "create");
    }
    check(h, asq_uncork(h), "uncork");
}

/* Creates agents with their name as id. */
static void create_many(asq *h, uint64_t n, asq_agent **agents)
{
    char(*names)[32] = array(AT_ONCE, sizeof *names);
    const char **ids = array(AT_ONCE, sizeof *ids);
    for (uint64_t from = 0; from < n; from += AT_ONCE) {
        size_t count = n - from < AT_ONCE ? (size_t) (n - from) : AT_ONCE;
        for (size_t i = 0; i < count; i++) {
            snprintf(names[i], sizeof *names, "agent-%07llu", (unsigned long long) (from + i));
            ids[i] = names[i];
        }
        check(h, asq_create_many(h, "Bench", count, ids, NULL, agents + from), "create");
    }
    free(names);
    free(ids);
}

static void gather_ready(asq *h, uint64_t n, asq_agent **agents)
{
    for (uint64_t i = 0; i < n; i++)
        check(h, asq_ready(agents[i], TIMEOUT_MS), "ready");
}

/* Calls all agents, and gathers all results. */
static void one_round(asq *h, uint64_t n, asq_agent **agents, const char *method, int64_t nap_ms)
{
    asq_result **results = array(n, sizeof *results);
    check(h, asq_broadcast(agents, n, method, nap_ms ? asq_pack("[I]", nap_ms) : NULL, results),
          "broadcast");
    check(h, asq_wait_all(results, n, TIMEOUT_MS), "wait");
    for (uint64_t i = 0; i < n; i++) {
        if (asq_result_error(results[i])->code)
            fail_client("a call failed: %s", asq_result_error(results[i])->message);
        asq_result_free(results[i]);
    }
    free(results);
}

static void create_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    const struct many *m = arg;
    struct meter meter;
    asq *h = open_handle(d->url);
    asq_agent **agents = array(m->agents, sizeof *agents);
    meter_start(&meter, d);
    if (m->create_many)
        create_many(h, m->agents, agents);
    else
        create_corked(h, m->agents, agents);
    gather_ready(h, m->agents, agents);
    meter_stop(&meter, (double) m->agents, out);
}

/* Returns three rounds for cases that take long. */
static int rounds_for(uint64_t agents)
{
    return agents >= 100000 ? rounds_of(3, 1) : rounds_of(5, 3);
}

enum { CREATE_KINDS = 2 };

void case_create(void)
{
    static const char *const names[CREATE_KINDS] = { "corked asq_create", "asq_create_many" };
    table_case("create", "agents with a name each, until the last acknowledgement is there");
    for (uint64_t n = 1000; n <= settings.agents; n *= 10) {
        struct many args[CREATE_KINDS] = { { n, false }, { n, true } };
        struct contender c[CREATE_KINDS];
        struct deployment_options o = { .name = "create" };
        int rounds = rounds_for(n);
        memset(c, 0, sizeof c);
        for (int r = 0; r < rounds; r++)
            for (int k = 0; k < CREATE_KINDS; k++) {
                if (r == 0)
                    c[k] = (struct contender){
                        .name = names[k], .fn = create_client, .arg = &args[k], .cpu = -1
                    };
                if (c[k].failed)
                    continue;
                c[k].d = deployment_start(&o);
                c[k].failed = !run_clients(&c[k], &c[k].rounds[r]);
                deployment_stop(c[k].d);
            }
        for (int k = 0; k < CREATE_KINDS; k++) {
            char name[64];
            snprintf(name, sizeof name, "create: %llu, %s", (unsigned long long) n, names[k]);
            struct row row = row_of(name, &c[k], NULL, rounds, seconds_of, "s");
            if (n == 1000000) {
                row.bar = AT_MOST;
                row.bar_value = 8;
                row.bar_on_value = true;
            }
            table_add(&row);
        }
    }
}

/* ---- round ---- */

enum { ROUND_KINDS = 4 };
static const struct {
    const char *name, *method;
    int64_t nap_ms;
    double bar_s;
} round_kinds[ROUND_KINDS] = { { "at once", "noop", 0, 6 },
                               { "at once, unmarked", "b_noop", 0, 0 },
                               { "sleeping 1 s", "nap", 1000, 15 },
                               { "sleeping 1 s, unmarked", "b_nap", 1000, 0 } };

struct round {
    uint64_t agents;
    int kind;
};

static void round_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    const struct round *r = arg;
    struct meter meter;
    char name[32];
    asq *h = open_handle(d->url);
    asq_agent **agents = array(r->agents, sizeof *agents);
    for (uint64_t i = 0; i < r->agents; i++) {
        snprintf(name, sizeof name, "agent-%07llu", (unsigned long long) i);
        check(h, asq_attach(h, name, &agents[i]), "attach");
    }
    if (asq_ready(agents[r->agents - 1], TIMEOUT_MS) < 0) {
        for (uint64_t i = 0; i < r->agents; i++)
            asq_agent_free(agents[i]);
        create_many(h, r->agents, agents);
        gather_ready(h, r->agents, agents);
    }
    meter_start(&meter, d);
    one_round(h, r->agents, agents, round_kinds[r->kind].method, round_kinds[r->kind].nap_ms);
    meter_stop(&meter, (double) r->agents, out);
}

void case_round(void)
{
    table_case("round", "one call to each agent, all answers gathered");
    for (uint64_t n = 1000; n <= settings.agents; n *= 10) {
        struct deployment_options o = { .name = "round" };
        struct deployment *d = deployment_start(&o);
        struct round args[ROUND_KINDS];
        struct contender c[ROUND_KINDS];
        memset(c, 0, sizeof c);
        for (int k = 0; k < ROUND_KINDS; k++) {
            args[k] = (struct round){ n, k };
            c[k] = (struct contender){
                .name = "round", .d = d, .fn = round_client, .arg = &args[k], .cpu = -1
            };
        }
        int rounds = rounds_for(n);
        measure(c, ROUND_KINDS, rounds);
        for (int k = 0; k < ROUND_KINDS; k++) {
            char name[64];
            snprintf(name, sizeof name, "round: %llu, %s", (unsigned long long) n,
                     round_kinds[k].name);
            struct row row = row_of(name, &c[k], NULL, rounds, seconds_of, "s");
            if (n == 1000000 && round_kinds[k].bar_s > 0) {
                row.bar = AT_MOST;
                row.bar_value = round_kinds[k].bar_s;
                row.bar_on_value = true;
            }
            table_add(&row);
        }
        deployment_stop(d);
    }
}

/* ---- growth ---- */

static double s_per_call(const struct outcome *o)
{
    return o->calls > 0 ? o->seconds / o->calls * 1e6 : 0;
}

void case_growth(void)
{
    struct deployment_options few_o = { .name = "few" }, many_o = { .name = "many" };
    struct deployment *few = deployment_start(&few_o), *many = deployment_start(&many_o);
    struct load a = { .method = "noop", .payload = 100, .window = 1024, .agents = 1000 }, b = a;
    b.agents = settings.agents;
    struct contender c[] = {
        { .name = "1000 agents", .d = few, .fn = load_async, .arg = &a, .cpu = -1 },
        { .name = "many agents", .d = many, .fn = load_async, .arg = &b, .cpu = -1 },
    };
    int rounds = rounds_of(5, 2);
    char name[64];
    table_case("growth", "time per call, 1,024 in flight, over agents in no order");
    measure(c, 2, rounds);
    struct row row = row_of("growth: 1000 agents", &c[0], NULL, rounds, s_per_call, "us/call");
    table_add(&row);
    snprintf(name, sizeof name, "growth: %llu agents", (unsigned long long) b.agents);
    row = row_of(name, &c[1], &c[0], rounds, s_per_call, "us/call");
    row.bar = AT_MOST;
    row.bar_value = 1.3;
    table_add(&row);
    deployment_stop(few);
    deployment_stop(many);
}

/* ---- memory ---- */

enum { MEMORY_KINDS = 4 };

/* Waits until worker and Redis are idle: calls have arrived and are parked, and results are
 * forgotten. */
static void settle(asq *h, const struct deployment *d)
{
    enum { PIECE_MS = 500, LIMIT = 240 };
    int idle = 0;
    for (int i = 0; i < LIMIT && idle < 3; i++) {
        double before = worker_cpu_s(d) + cpu_s(d->redis);
        check(h, asq_sleep(h, PIECE_MS), "sleep");
        double used = worker_cpu_s(d) + cpu_s(d->redis) - before;
        idle = used < 0.03 * PIECE_MS / 1000 ? idle + 1 : 0;
    }
    if (idle < 3)
        fail_client("worker and Redis did not come to rest");
}

/* Puts the bytes beyond `before` into extra: worker, Redis, client, for each of n. */
static void per_piece(const struct deployment *d, uint64_t n, const int64_t before[3],
                      struct outcome *out)
{
    out->extra[0] = (double) (worker_rss(d) - before[0]) / (double) n;
    out->extra[1] = (double) (redis_memory(d) - before[1]) / (double) n;
    out->extra[2] = (double) (rss_bytes(getpid()) - before[2]) / (double) n;
}

static void memory_now(const struct deployment *d, int64_t to[3])
{
    to[0] = worker_rss(d);
    to[1] = redis_memory(d);
    to[2] = rss_bytes(getpid());
}

static void idle_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    uint64_t n = *(const uint64_t *) arg;
    int64_t before[3] = { 0 };
    asq *h = open_handle(d->url);
    enum { CHUNK = 1000 };
    asq_agent **agents = array(n + CHUNK, sizeof *agents);
    /* Agents are made in small pieces, because the memory of calls under way is no part of an
     * agent. */
    for (uint64_t from = 0; from + CHUNK <= n + CHUNK; from += CHUNK) {
        if (from == CHUNK) {
            settle(h, d);
            memory_now(d, before);
        }
        create_corked(h, CHUNK, agents + from);
        gather_ready(h, CHUNK, agents + from);
    }
    settle(h, d);
    per_piece(d, n, before, out);
    asq_value *state = asq_pack("{s:s}", "name", "agent-0000000");
    double own = (double) asq_value_encoded_size(state);
    asq_value_free(state);
    out->extra[0] -= own;
    out->extra[1] -= own;
}

/* Makes calls of 100 bytes that wait behind another call of the same agent. */
static void waiting_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    uint64_t n = *(const uint64_t *) arg;
    int64_t before[3] = { 0 };
    char payload[100] = { 0 };
    asq *h = open_handle(d->url);
    asq_agent *agent;
    asq_result *first, **results = array(n, sizeof *results);
    check(h, asq_create(h, "Bench", NULL, &agent, NULL), "create");
    check(h, asq_ready(agent, TIMEOUT_MS), "ready");
    check(h, asq_call(agent, "nap", &first, "[I]", (int64_t) 3600000), "call");
    check(h, asq_flush(h, TIMEOUT_MS), "flush");
    memory_now(d, before);
    for (uint64_t i = 0; i < n; i++)
        check(h, asq_call(agent, "noop", &results[i], "[y#]", payload, sizeof payload), "call");
    check(h, asq_flush(h, TIMEOUT_MS), "flush");
    settle(h, d);
    per_piece(d, n, before, out);
}

static void parked(const struct deployment *d, uint64_t n, const char *method, struct outcome *out)
{
    int64_t before[3] = { 0 };
    asq *h = open_handle(d->url);
    asq_agent **agents = array(n, sizeof *agents);
    asq_result **results = array(n, sizeof *results);
    create_corked(h, n, agents);
    gather_ready(h, n, agents);
    one_round(h, n, agents, "noop", 0);
    settle(h, d);
    memory_now(d, before);
    check(h, asq_broadcast(agents, n, method, asq_pack("[I]", (int64_t) 3600000), results),
          "broadcast");
    check(h, asq_flush(h, TIMEOUT_MS), "flush");
    settle(h, d);
    for (uint64_t i = 0; i < n; i++)
        if (asq_result_done(results[i]))
            fail_client("a call ended that should be parked");
    per_piece(d, n, before, out);
}

static void parked_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    parked(d, *(const uint64_t *) arg, "nap", out);
}

static void parked_unmarked_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    parked(d, *(const uint64_t *) arg, "b_nap", out);
}

void case_memory(void)
{
    static const struct {
        const char *name;
        client_fn fn;
        double bars[2];
    } kinds[MEMORY_KINDS] = { { "idle agent", idle_client, { 400, 250 } },
                              { "waiting call of 100 B", waiting_client, { 0, 0 } },
                              { "parked call", parked_client, { 0, 0 } },
                              { "parked call, unmarked", parked_unmarked_client, { 0, 0 } } };
    static const char *const where[] = { "worker", "Redis", "client" };
    static const figure_fn figures[] = { extra0, extra1, extra2 };
    uint64_t n = settings.agents > 100000 ? 100000 : settings.agents;
    table_case("memory", "bytes for each, in worker (resident), Redis (used_memory) and client; of "
                         "an agent beyond its own state");
    for (int k = 0; k < MEMORY_KINDS; k++) {
        struct deployment_options o = { .name = "memory" };
        struct contender c = { .name = kinds[k].name, .fn = kinds[k].fn, .arg = &n, .cpu = -1 };
        c.d = deployment_start(&o);
        c.failed = !run_clients(&c, &c.rounds[0]);
        deployment_stop(c.d);
        for (int i = 0; i < 3; i++) {
            char name[64];
            snprintf(name, sizeof name, "memory: %s, %s", kinds[k].name, where[i]);
            struct row row = row_of(name, &c, NULL, 1, figures[i], "B");
            if (i < 2 && kinds[k].bars[i] > 0) {
                row.bar = AT_MOST;
                row.bar_value = kinds[k].bars[i];
                row.bar_on_value = true;
            }
            table_add(&row);
        }
    }
}

/* ---- asleep ---- */

enum { OTHERS = 1000, HOUR_MS = 3600000 };

/* Waits until all calls are unloaded: each has two fields in attempts. */
static void wait_until_asleep(asq *h, const struct deployment *d, uint64_t n)
{
    for (int i = 0; attempts_of(d) < 2 * (int64_t) n; i++) {
        if (i == 6000)
            fail_client("%lld of %llu calls sleep", (long long) attempts_of(d) / 2,
                        (unsigned long long) n);
        check(h, asq_sleep(h, 100), "sleep");
    }
}

/* Has n calls sleep, and then another worker take over all of them. */
static void asleep_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    enum { CHUNK = 10000 };
    uint64_t n = *(const uint64_t *) arg;
    int64_t before[3] = { 0 };
    asq *h = open_handle(d->url);
    asq_agent **agents = array(n, sizeof *agents), **others = array(OTHERS, sizeof *others);
    asq_result **results = array(n, sizeof *results);
    create_corked(h, OTHERS, others);
    gather_ready(h, OTHERS, others);
    for (uint64_t from = 0; from < n; from += CHUNK) {
        uint64_t count = n - from < CHUNK ? n - from : CHUNK;
        create_corked(h, count, agents + from);
        gather_ready(h, count, agents + from);
    }
    settle(h, d);
    memory_now(d, before);
    double at = now_s();
    check(h, asq_broadcast(agents, n, "sleep", asq_pack("[I]", (int64_t) HOUR_MS), results),
          "broadcast");
    wait_until_asleep(h, d, n);
    out->extra[3] = now_s() - at;
    settle(h, d);
    per_piece(d, n, before, out);
    out->seconds = deployment_replace_worker(d);
    at = now_s();
    one_round(h, OTHERS, others, "noop", 0);
    out->calls = now_s() - at;
    for (uint64_t i = 0; i < n; i++)
        if (asq_result_done(results[i]))
            fail_client("a call ended that should sleep");
}

static double calls_of(const struct outcome *o)
{
    return o->calls;
}

static double extra3(const struct outcome *o)
{
    return o->extra[3];
}

void case_asleep(void)
{
    static const struct {
        const char *what, *unit;
        figure_fn fn;
    } rows[] = { { "worker", "B", extra0 },
                 { "Redis", "B", extra1 },
                 { "until all sleep", "s", extra3 },
                 { "hand-over of all", "s", seconds_of },
                 { "then 1000 calls of others", "s", calls_of } };
    struct deployment_options o = { .name = "asleep" };
    struct contender c = {
        .name = "asleep", .fn = asleep_client, .arg = &settings.agents, .cpu = -1
    };
    table_case("asleep", "calls that sleep for an hour: bytes for each in worker (resident) and "
                         "Redis (used_memory); the end of their worker when another is there");
    c.d = deployment_start(&o);
    c.failed = !run_clients(&c, &c.rounds[0]);
    deployment_stop(c.d);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[64];
        snprintf(name, sizeof name, "asleep: %llu calls, %s", (unsigned long long) settings.agents,
                 rows[i].what);
        struct row row = row_of(name, &c, NULL, 1, rows[i].fn, rows[i].unit);
        table_add(&row);
    }
}

/* ---- start ---- */

static void start_client(const struct deployment *d, const void *arg, struct outcome *out)
{
    double at = now_s();
    asq_agent *agent;
    asq *h = open_handle("child:");
    (void) d;
    (void) arg;
    check(h, asq_register(h, &bench_class), "register");
    check(h, asq_create(h, "Bench", NULL, &agent, NULL), "create");
    check(h, asq_call_wait(agent, "noop", NULL, NULL), "call");
    out->seconds = now_s() - at;
    asq_agent_free(agent);
    asq_close(h);
}

static double seconds_as_ms(const struct outcome *o)
{
    return o->seconds * 1e3;
}

void case_start(void)
{
    struct contender c = { .name = "start", .fn = start_client, .cpu = -1 };
    int rounds = rounds_of(9, 5);
    table_case("start", "child mode: open, one agent, first answer");
    measure(&c, 1, rounds);
    struct row row = row_of("start: child mode", &c, NULL, rounds, seconds_as_ms, "ms");
    row.bar = AT_MOST;
    row.bar_value = 150;
    row.bar_on_value = true;
    table_add(&row);
}
