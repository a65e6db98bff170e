/*
 * load_durable.c: clients of durable work that is no plain load of calls: promises that the program
 * settles, values that are emitted at a given rate, and timers.
 */
#include "bench.h"

#include <asqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS = 300000, ID = 100 };

struct client;

/* An agent, and its call under way. */
struct slot {
    struct client *c;
    asq_agent *agent;
    char id[ID]; /* of its promise */
};

struct client {
    asq *h;
    struct slot *slots;
    uint64_t n, done, values, in_flight;
    uint64_t *told, ntold; /* slots whose promise is to be settled */
    bool stop;
};

static void check(const struct client *c, int rc, const char *what)
{
    if (rc < 0)
        fail_client("%s: %s (%s)", what, c->h ? asq_errmsg(c->h) : "", asq_error_name(rc));
}

/* Opens a handle, and makes agents that this process alone calls. */
static void client_open(struct client *c, const struct deployment *d, uint64_t agents)
{
    char err[200], id[64];
    memset(c, 0, sizeof *c);
    if (asq_open(d->url, NULL, &c->h, err, sizeof err) < 0)
        fail_client("%s", err);
    asq_set_timeout(c->h, TIMEOUT_MS);
    c->n = agents;
    c->slots = calloc(agents, sizeof *c->slots);
    c->told = calloc(agents, sizeof *c->told);
    if (!c->slots || !c->told)
        fail_client("out of memory");
    asq_cork(c->h);
    for (uint64_t i = 0; i < agents; i++) {
        snprintf(id, sizeof id, "d%d-%llu", (int) getpid(), (unsigned long long) i);
        c->slots[i].c = c;
        check(c, asq_create(c->h, "Bench", id, &c->slots[i].agent, NULL), "create");
    }
    check(c, asq_uncork(c->h), "uncork");
    for (uint64_t i = 0; i < agents; i++)
        check(c, asq_ready(c->slots[i].agent, TIMEOUT_MS), "creating the agents");
}

static void client_close(struct client *c)
{
    for (uint64_t i = 0; i < c->n; i++)
        asq_agent_free(c->slots[i].agent);
    asq_close(c->h);
    free(c->slots);
    free(c->told);
}

static void poll_once(const struct client *c, int64_t ms)
{
    if (asq_poll(c->h, ms) < 0)
        fail_client("poll: %s", asq_errmsg(c->h));
}

static void poll_for(const struct client *c, double seconds)
{
    for (double end = now_s() + seconds; now_s() < end;)
        poll_once(c, 100);
}

/* ---- promises ---- */

static void ask(struct slot *s);

static void on_asked(asq_result *r, void *user)
{
    struct slot *s = user;
    if (asq_result_error(r)->code)
        fail_client("a call failed: %s", asq_result_error(r)->message);
    asq_result_free(r);
    s->c->done++;
    s->c->in_flight--;
    if (!s->c->stop)
        ask(s);
}

/* The call tells the id of its promise. */
static void on_told(asq_result *r, int what, const asq_value *value, void *user)
{
    struct slot *s = user;
    const char *id;
    (void) r;
    if (what < 0)
        fail_client("the id of a promise was not told: %s", asq_error_name(what));
    if (what != ASQ_NEXT_VALUE || asq_value_get_string(value, &id, NULL) < 0)
        return;
    snprintf(s->id, sizeof s->id, "%s", id);
    s->c->told[s->c->ntold++] = (uint64_t) (s - s->c->slots);
}

static void ask(struct slot *s)
{
    asq_result *r;
    check(s->c, asq_call(s->agent, "promise", &r, NULL), "call");
    s->c->in_flight++;
    check(s->c, asq_result_on_emit(r, on_told, s), "on_emit");
    check(s->c, asq_result_then(r, on_asked, s), "then");
}

static void settle_told(struct client *c)
{
    while (c->ntold > 0) {
        struct slot *s = &c->slots[c->told[--c->ntold]];
        check(c, asq_promise_resolve(c->h, s->id, asq_value_int(1)), "resolve");
    }
}

/* asq_poll returns when a result is completed, not when an id was told, so waits are short. */
static void settle_for(struct client *c, double seconds)
{
    for (double end = now_s() + seconds; now_s() < end; settle_told(c))
        poll_once(c, 1);
}

void load_promises(const struct deployment *d, const void *durable, struct outcome *out)
{
    const struct durable *l = durable;
    struct client c;
    struct meter m;
    client_open(&c, d, l->agents);
    client_ready();
    for (uint64_t i = 0; i < c.n; i++)
        ask(&c.slots[i]);
    settle_for(&c, warm_s());
    meter_start(&m, d);
    uint64_t before = c.done;
    settle_for(&c, settings.span_s);
    meter_stop(&m, (double) (c.done - before), out);
    for (c.stop = true; c.in_flight > 0; settle_told(&c))
        poll_once(&c, 1);
    client_close(&c);
}

/* ---- values at a rate ---- */

static void on_emitted(asq_result *r, int what, const asq_value *value, void *user)
{
    struct slot *s = user;
    (void) r;
    (void) value;
    if (what < 0 || what == ASQ_NEXT_MISSED || what == ASQ_NEXT_AGAIN)
        fail_client("values of a call are missing");
    s->c->values += what == ASQ_NEXT_VALUE;
}

static void on_ended(asq_result *r, void *user)
{
    struct slot *s = user;
    if (asq_result_error(r)->code)
        fail_client("a call failed: %s", asq_result_error(r)->message);
    asq_result_free(r);
    s->c->in_flight--;
}

/* Begins the calls one after the other within gap_ms, as those of different users would. */
static void begin_paced(struct client *c, const struct durable *l, int64_t values)
{
    uint64_t at_once = c->n / (uint64_t) l->gap_ms + 1;
    for (uint64_t i = 0; i < c->n; i++) {
        asq_result *r;
        check(c, asq_call(c->slots[i].agent, "emit_paced", &r, "[II]", values, (int64_t) l->gap_ms),
              "call");
        c->in_flight++;
        if (l->reads)
            check(c, asq_result_on_emit(r, on_emitted, &c->slots[i]), "on_emit");
        check(c, asq_result_then(r, on_ended, &c->slots[i]), "then");
        if (i % at_once == 0)
            check(c, asq_sleep(c->h, 1), "sleep");
    }
}

void load_paced(const struct deployment *d, const void *durable, struct outcome *out)
{
    const struct durable *l = durable;
    struct client c;
    struct meter m;
    int64_t values = (int64_t) ((warm_s() + settings.span_s + 1.5) * 1000 / l->gap_ms);
    client_open(&c, d, l->agents);
    double at = now_s();
    begin_paced(&c, l, values);
    poll_for(&c, warm_s() + 0.5);
    int64_t before = commands_of(d, "xadd");
    meter_start(&m, d);
    poll_for(&c, settings.span_s);
    meter_stop(&m, 0, out);
    int64_t entries = commands_of(d, "xadd") - before;
    while (c.in_flight > 0)
        poll_once(&c, 1000);
    /* The rate was the same in all that time, or the calls have taken longer than they were to. */
    out->calls = (double) c.n * (double) values * out->seconds / (now_s() - at);
    if (l->reads && c.values != c.n * (uint64_t) values)
        fail_client("%llu of %llu values were read", (unsigned long long) c.values,
                    (unsigned long long) c.n * (unsigned long long) values);
    out->extra[0] = entries > 0 ? out->calls / (double) entries : 0;
    out->extra[1] = out->redis_cpu / out->seconds * 100;
    client_close(&c);
}

/* ---- timers ---- */

static int64_t clock_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t) ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void set_timers(const struct client *c, uint64_t from, uint64_t to, const asq_timer *timer)
{
    for (uint64_t i = from; i < to; i++)
        check(c, asq_schedule(c->slots[i].agent, "tick", timer, "noop", NULL), "schedule");
}

/* Sets one timer of each agent to the same time, and measures from that time until all calls have
 * run. */
void load_timers_at_once(const struct deployment *d, const void *durable, struct outcome *out)
{
    enum { FIRST = 200 };
    const struct durable *l = durable;
    asq_timer timer = ASQ_TIMER_INIT;
    struct client c;
    struct meter m;
    client_open(&c, d, l->agents);
    timer.at_ms = clock_ms() + 600000;
    double at = now_s();
    set_timers(&c, 0, FIRST, &timer);
    double each_s = (now_s() - at) / FIRST;
    timer.at_ms = clock_ms() + 2000 + (int64_t) (each_s * 2500 * (double) c.n);
    set_timers(&c, 0, c.n, &timer);
    int64_t left = timer.at_ms - clock_ms();
    if (left < 0)
        fail_client("the timers were not set in time");
    check(&c, asq_sleep(c.h, left), "sleep");
    meter_start(&m, d);
    while (due_or_running(d) > 0)
        usleep(10000);
    meter_stop(&m, (double) c.n, out);
    client_close(&c);
}

/* Sets a timer of each agent to every gap_ms. */
void load_timers(const struct deployment *d, const void *durable, struct outcome *out)
{
    const struct durable *l = durable;
    asq_timer timer = ASQ_TIMER_INIT;
    struct client c;
    struct meter m;
    client_open(&c, d, l->agents);
    timer.every_ms = l->gap_ms;
    set_timers(&c, 0, c.n, &timer);
    check(&c, asq_sleep(c.h, (int64_t) (warm_s() * 1000)), "sleep");
    int64_t before = commands_of(d, "xadd");
    meter_start(&m, d);
    check(&c, asq_sleep(c.h, (int64_t) (settings.span_s * 1000)), "sleep");
    meter_stop(&m, (double) (commands_of(d, "xadd") - before), out);
    client_close(&c);
}
