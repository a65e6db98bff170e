/*
 * load.c: the library's clients: one call per entry with many in flight, one at a time, and packed.
 * Each runs in a process of its own, against workers that have the class Bench.
 */
#include "bench.h"

#include <asqueue.h>
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TAGGED = 64, MAX_SAMPLES = 1 << 20, TIMEOUT_MS = 300000 };

struct client {
    asq *h;
    asq_agent **agents;
    const struct load *load;
    void *payload;
    size_t next;
    uint64_t rng;
    uint64_t done, values;
    int in_flight;
    bool stop;
};

static void check(const struct client *c, int rc, const char *what)
{
    if (rc < 0)
        fail_client("%s: %s (%s)", what, c->h ? asq_errmsg(c->h) : "", asq_error_name(rc));
}

/* Makes ids that name the kind of agent, so that agents of an earlier round are found again. For
 * packed calls, 64 agents share a tag, and so a partition, so that batches are full. */
static void name_agent(const struct load *l, uint64_t i, char *out, size_t n)
{
    if (l->group)
        snprintf(out, n, "{t%llu}-%llu", (unsigned long long) (i / TAGGED),
                 (unsigned long long) (i % TAGGED));
    else
        snprintf(out, n, "a%llu-%zu", (unsigned long long) i, l->state);
}

static void make_agents(struct client *c)
{
    enum { AT_ONCE = 10000 };
    const struct load *l = c->load;
    char id[64], last[64];
    asq_agent *one;
    bool there;

    name_agent(l, l->agents - 1, last, sizeof last);
    check(c, asq_attach(c->h, last, &one), "attach");
    there = asq_ready(one, TIMEOUT_MS) == 0;
    asq_agent_free(one);
    for (uint64_t i = 0; i < l->agents; i++) {
        name_agent(l, i, id, sizeof id);
        check(c, asq_attach(c->h, id, &c->agents[i]), "attach");
    }
    for (uint64_t from = 0; from < l->agents && !there; from += AT_ONCE) {
        uint64_t n = l->agents - from < AT_ONCE ? l->agents - from : AT_ONCE;
        asq_cork(c->h);
        for (uint64_t i = from; i < from + n; i++) {
            asq_agent_free(c->agents[i]);
            name_agent(l, i, id, sizeof id);
            check(c, asq_create(c->h, "Bench", id, &c->agents[i], NULL), "create");
            if (l->state)
                check(c, asq_send(c->agents[i], "fill", "[I]", (int64_t) l->state), "fill");
        }
        check(c, asq_uncork(c->h), "uncork");
        for (uint64_t i = from; i < from + n; i++) {
            int rc = asq_ready(c->agents[i], TIMEOUT_MS);
            if (rc != ASQ_EEXIST)
                check(c, rc, "creating the agents");
        }
    }
}

static void client_open(struct client *c, const struct deployment *d, const struct load *l)
{
    char err[200];
    memset(c, 0, sizeof *c);
    c->load = l;
    c->rng = 88172645463325252u ^ (uint64_t) (now_s() * 1e9);
    asq_options options = ASQ_OPTIONS_INIT;
    options.wait_replicas = d->wait_replicas;
    if (asq_open(d->url, &options, &c->h, err, sizeof err) < 0)
        fail_client("%s", err);
    asq_set_timeout(c->h, TIMEOUT_MS);
    c->agents = calloc(l->agents, sizeof(asq_agent *));
    c->payload = calloc(1, l->payload + 1);
    if (!c->agents || !c->payload)
        fail_client("out of memory");
    memset(c->payload, 'x', l->payload);
    make_agents(c);
}

/* Returns a random agent, so that caches do not help. */
static asq_agent *some_agent(struct client *c)
{
    c->rng ^= c->rng << 13;
    c->rng ^= c->rng >> 7;
    c->rng ^= c->rng << 17;
    return c->agents[c->rng % c->load->agents];
}

static void call_one(struct client *c);

static void on_result(asq_result *r, void *user)
{
    struct client *c = user;
    if (asq_result_error(r)->code)
        fail_client("a call failed: %s", asq_result_error(r)->message);
    asq_result_free(r);
    c->done++;
    c->in_flight--;
    if (!c->stop)
        call_one(c);
}

static void on_emitted(asq_result *r, int what, const asq_value *value, void *user)
{
    struct client *c = user;
    (void) r;
    (void) value;
    if (what < 0 || what == ASQ_NEXT_MISSED || what == ASQ_NEXT_AGAIN)
        fail_client("values of a call are missing");
    c->values += what == ASQ_NEXT_VALUE;
}

static void call_one(struct client *c)
{
    asq_result *r;
    check(c, asq_call(some_agent(c), c->load->method, &r, "[y#]", c->payload, c->load->payload),
          "call");
    c->in_flight++;
    if (c->load->reads)
        check(c, asq_result_on_emit(r, on_emitted, c), "on_emit");
    check(c, asq_result_then(r, on_result, c), "then");
}

static void run_for(struct client *c, double seconds)
{
    for (double end = now_s() + seconds; now_s() < end;)
        if (asq_poll(c->h, 1000) < 0)
            fail_client("poll: %s", asq_errmsg(c->h));
}

static double events_of(const struct load *l)
{
    return l->events ? l->events : 1;
}

void load_async(const struct deployment *d, const void *load, struct outcome *out)
{
    struct client c;
    struct meter m;
    client_open(&c, d, load);
    client_ready();
    for (int i = 0; i < c.load->window; i++)
        call_one(&c);
    run_for(&c, warm_s());
    int64_t entries = c.load->events ? commands_of(d, "xadd") : 0;
    meter_start(&m, d);
    uint64_t before = c.done;
    run_for(&c, settings.span_s);
    meter_stop(&m, (double) (c.done - before) * events_of(c.load), out);
    /* Each call is an entry of its own; the others are of values. */
    entries = c.load->events ? commands_of(d, "xadd") - entries - (int64_t) (c.done - before) : 0;
    out->extra[0] = entries > 0 ? out->calls / (double) entries : 0;
    c.stop = true;
    while (c.in_flight > 0)
        if (asq_poll(c.h, 1000) < 0)
            fail_client("poll: %s", asq_errmsg(c.h));
    if (c.load->reads && (double) c.values != (double) c.done * events_of(c.load))
        fail_client("%llu values of %llu calls were read", (unsigned long long) c.values,
                    (unsigned long long) c.done);
    asq_close(c.h);
}

static double loop_for(struct ev_loop *loop, struct client *clients, int n, double seconds)
{
    uint64_t before = 0, after = 0;
    for (int i = 0; i < n; i++)
        before += clients[i].done;
    for (double end = now_s() + seconds; now_s() < end;)
        ev_run(loop, EVRUN_ONCE);
    for (int i = 0; i < n; i++)
        after += clients[i].done;
    return (double) (after - before);
}

/* Drives many handles of one process by one loop. */
void load_handles(const struct deployment *d, const void *load, struct outcome *out)
{
    struct load l = *(const struct load *) load;
    struct meter m;
    int n = l.handles;
    struct client *clients = calloc((size_t) n, sizeof *clients);
    struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
    if (!clients || !loop)
        fail_client("out of memory");
    l.window = l.window > n ? l.window / n : 1;
    for (int i = 0; i < n; i++) {
        client_open(&clients[i], d, &l);
        check(&clients[i], asq_attach_ev(clients[i].h, loop), "attach");
    }
    client_ready();
    for (int i = 0; i < n; i++)
        for (int k = 0; k < l.window; k++)
            call_one(&clients[i]);
    loop_for(loop, clients, n, warm_s());
    meter_start(&m, d);
    double done = loop_for(loop, clients, n, settings.span_s);
    meter_stop(&m, done, out);
    for (int i = 0; i < n; i++) {
        clients[i].stop = true;
        while (clients[i].in_flight > 0)
            ev_run(loop, EVRUN_ONCE);
    }
    for (int i = 0; i < n; i++)
        asq_close(clients[i].h);
    ev_loop_destroy(loop);
}

void load_sync(const struct deployment *d, const void *load, struct outcome *out)
{
    struct client c;
    struct meter m;
    size_t n = 0;
    double *us = malloc(MAX_SAMPLES * sizeof *us), end;
    if (!us)
        fail_client("out of memory");
    client_open(&c, d, load);
    client_ready();
    for (bool warm = false;; warm = true) {
        n = 0;
        meter_start(&m, d);
        end = now_s() + (warm ? settings.span_s : warm_s());
        for (double at = now_s(); at < end && n < MAX_SAMPLES;) {
            check(&c,
                  asq_call_wait(some_agent(&c), c.load->method, NULL, "[y#]", c.payload,
                                c.load->payload),
                  "call");
            double now = now_s();
            us[n++] = (now - at) * 1e6;
            at = now;
        }
        if (warm)
            break;
    }
    meter_stop(&m, (double) n, out);
    latencies(us, n, out);
    asq_close(c.h);
}

/* ---- packed ---- */

enum { GROUPS = 4 };

static void send_group(struct client *c, int g, asq_result **results)
{
    size_t n = (size_t) c->load->group;
    asq_agent **agents = c->agents + (size_t) g * n;
    if (c->load->broadcast) {
        check(c,
              asq_broadcast(agents, n, c->load->method,
                            asq_pack("[y#]", c->payload, c->load->payload), results),
              "broadcast");
        return;
    }
    asq_cork(c->h);
    for (size_t i = 0; i < n; i++)
        check(
            c,
            asq_call(agents[i], c->load->method, &results[i], "[y#]", c->payload, c->load->payload),
            "call");
    check(c, asq_uncork(c->h), "uncork");
}

static void take_group(struct client *c, asq_result **results)
{
    size_t n = (size_t) c->load->group;
    check(c, asq_wait_all(results, n, TIMEOUT_MS), "wait");
    for (size_t i = 0; i < n; i++) {
        if (asq_result_error(results[i])->code)
            fail_client("a call failed: %s", asq_result_error(results[i])->message);
        asq_result_free(results[i]);
    }
    c->done += n;
}

void load_packed(const struct deployment *d, const void *load, struct outcome *out)
{
    struct client c;
    struct meter m;
    struct load l = *(const struct load *) load;
    asq_result **results[GROUPS];
    uint64_t before = 0;
    l.agents = (uint64_t) l.group * GROUPS;
    client_open(&c, d, &l);
    client_ready();
    for (int g = 0; g < GROUPS; g++)
        if (!(results[g] = calloc((size_t) l.group, sizeof(asq_result *))))
            fail_client("out of memory");
    for (int g = 0; g < GROUPS; g++)
        send_group(&c, g, results[g]);
    for (bool warm = false;; warm = true) {
        meter_start(&m, d);
        before = c.done;
        double end = now_s() + (warm ? settings.span_s : warm_s());
        for (int g = 0; now_s() < end || g != 0; g = (g + 1) % GROUPS) {
            take_group(&c, results[g]);
            send_group(&c, g, results[g]);
        }
        if (warm)
            break;
    }
    meter_stop(&m, (double) (c.done - before), out);
    for (int g = 0; g < GROUPS; g++)
        take_group(&c, results[g]);
    asq_close(c.h);
}
