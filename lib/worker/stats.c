/*
 * stats.c: see stats.h.
 *
 * Beside each series is a copy, as it was told last, in the same memory (metrics.c); the difference
 * is what is new. What a process has not told when it dies is so told by the next one in its place:
 * a call that it has given up, just before another one has killed it, counts. What has been sent
 * counts as told, whatever becomes of it: figures of a second may be lost with a connection, but
 * none count twice. A process without anything new sends nothing, but for a sign
 * every ten minutes. One report is under way at a time. When many processes have reported lately,
 * each does so less often, so that a Redis gets some AT_ONCE reports a second at most.
 */
#include "worker/stats.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/stats_figures.h"
#include "worker/allowed.h"
#include "worker/core/metrics_text.h"
#include "worker/core/series.h"
#include "worker/metrics.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum {
    AT_ONCE = 64,
    MAX_INTERVAL_MS = 60000,
    SIGN_MS = 600000, /* below the TTL of stats:now */
    REFUSED_MS = 60000,
    LOG_EVERY_MS = 600000,
    SERIES_PER_REPORT = 128,
    FIGURES_BYTES = 16384, /* all pairs of a series take less */
    GAUGES = 11
};

struct asq__stats {
    struct asq__series *told; /* by series; in shared memory */
    size_t nseries, next;     /* next: the series with which the next report begins */
    uint64_t gauges[GAUGES];  /* as told last */
    int64_t told_ms, due_ms, last_logged_ms;
    bool in_flight;
};

static uint64_t load(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- what is new ---- */

/* Does not touch what was told of a series that nobody uses, which takes no memory then. */
static bool has_moved(const struct asq__series *s, const struct asq__series *told)
{
    uint64_t calls = load(&s->calls), commit_ns = load(&s->commit.sum_ns);
    return (calls || commit_ns) &&
           (calls != load(&told->calls) || commit_ns != load(&told->commit.sum_ns));
}

/* Returns the difference, and makes `told` equal. */
static uint64_t take(const atomic_ullong *now, atomic_ullong *told)
{
    uint64_t value = load(now), n = value - load(told);
    atomic_store_explicit(told, value, memory_order_relaxed);
    return n;
}

static void take_times(struct asq__stats_times *t, const struct asq__histogram *now,
                       struct asq__histogram *told)
{
    for (unsigned i = 0; i < ASQ__HISTOGRAM_BUCKETS; i++) {
        uint64_t n = take(&now->counts[i], &told->counts[i]);
        if (!n)
            continue;
        t->counts[asq__stats_bucket(i)] += n;
        t->max_us = (asq__histogram_upper(i) + 999) / 1000;
    }
    t->sum_us = take(&now->sum_ns, &told->sum_ns) / 1000;
}

static void take_series(struct asq__stats_figures *f, const struct asq__series *now,
                        struct asq__series *told)
{
    memset(f, 0, sizeof *f);
    f->calls = take(&now->calls, &told->calls);
    for (int i = 0; i < ASQ__SERIES_CODES; i++) {
        uint64_t n = take(&now->failures[i], &told->failures[i]);
        if (n)
            asq__stats_fail(&f->failures, -i, n);
    }
    for (int i = 0; i < ASQ__SERIES_OWN; i++) {
        uint64_t n = take(&now->own[i].n, &told->own[i].n);
        if (n)
            asq__stats_fail(&f->failures,
                            atomic_load_explicit(&now->own[i].code, memory_order_relaxed), n);
    }
    uint64_t others = take(&now->other_failures, &told->other_failures);
    if (others)
        asq__stats_fail(&f->failures, 0, others);
    take_times(&f->times[ASQ__STATS_QUEUE], &now->queue, &told->queue);
    take_times(&f->times[ASQ__STATS_RUN], &now->run, &told->run);
    take_times(&f->times[ASQ__STATS_PARKED], &now->parked, &told->parked);
    take_times(&f->times[ASQ__STATS_COMMIT], &now->commit, &told->commit);
}

/* Gets the gauges in the order of stats_sum.lua. */
static void sample(const struct asq__process *w, uint64_t ret[GAUGES])
{
    const struct asq__gauges *g = &w->config.figures->gauges;
    const struct {
        const atomic_llong *gauge;
        uint64_t unit;
    } all[] = { { &g->running, 1 },         { &g->parked, 1 },     { &g->waiting, 1 },
                { &g->oldest_ms, 1 },       { &g->backlog, 1 },    { &g->agents, 1 },
                { &g->agent_bytes, 1 },     { &g->partitions, 1 }, { &g->commits_in_flight, 1 },
                { &g->round_trip_ns, 1000 } };
    _Static_assert(sizeof all / sizeof *all == GAUGES - 1, "as stats_sum.lua has them");
    ret[0] = (uint64_t) w->config.lease_time_ms;
    for (size_t i = 0; i < GAUGES - 1; i++) {
        long long value = atomic_load_explicit(all[i].gauge, memory_order_relaxed);
        ret[1 + i] = value > 0 ? (uint64_t) value / all[i].unit : 0;
    }
}

/* Returns whether the gauges have moved, except for the round trip, which always does. */
static bool gauges_have_moved(const struct asq__stats *s, const uint64_t now[GAUGES])
{
    return memcmp(s->gauges, now, (GAUGES - 1) * sizeof *now) != 0;
}

/* ---- reports ---- */

static void on_told(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__process *w = user;
    struct asq__stats *s = w->stats;
    int64_t now_ms = asq__now_ms();
    (void) c;
    s->in_flight = false;
    if (!reply || reply->type != REDIS_REPLY_INTEGER)
        s->told_ms = 0; /* the gauges are to be told again, which does no harm */
    if (!reply || asq__reply_is_transient(reply))
        return;
    if (asq__reply_is_error(reply, "NOSCRIPT")) {
        asq__redis_reload_home_scripts(w->redis);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        s->due_ms = now_ms + REFUSED_MS;
        if (!s->last_logged_ms || now_ms - s->last_logged_ms >= LOG_EVERY_MS) {
            s->last_logged_ms = now_ms;
            asq__process_log(w, ASQ_LOG_WARNING,
                             "Redis does not take this worker's figures, which as-ctl stats will "
                             "lack: %s%s",
                             reply->str, asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
        }
        return;
    }
    int64_t processes = reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0;
    int64_t interval_ms = (processes + AT_ONCE - 1) / AT_ONCE * 1000;
    interval_ms = interval_ms > MAX_INTERVAL_MS ? MAX_INTERVAL_MS : interval_ms;
    if (interval_ms > 1000)
        s->due_ms = now_ms + interval_ms - 500; /* the upkeep comes once a second */
}

/* Appends the series that have moved, up to the number that a report may have. */
static size_t put_series(struct asq__stats *s, const struct asq__process *w, struct asq__cmd *cmd,
                         struct asq__buf *text)
{
    size_t n = 0, i = 0;
    for (; i < s->nseries && n < SERIES_PER_REPORT; i++) {
        size_t at = (s->next + i) % s->nseries;
        const struct asq__series *now = &w->config.figures->series[at];
        const struct asq__series_name *name = asq__metrics_name(w->config.metrics, at);
        struct asq__stats_figures figures;
        char key[2 * ASQ_MAX_NAME + 32];
        if (!has_moved(now, &s->told[at]))
            continue;
        take_series(&figures, now, &s->told[at]);
        asq__buf_reset(text);
        asq__stats_write(&figures, text);
        if (text->error || !text->len)
            continue;
        snprintf(key, sizeof key, "%s %s", name->class_name, name->method);
        asq__cmd_puts(cmd, key);
        asq__cmd_put(cmd, text->data, text->len);
        n++;
    }
    s->next = (s->next + i) % s->nseries;
    return n;
}

static void report(struct asq__process *w, int64_t now_ms)
{
    struct asq__stats *s = w->stats;
    struct asq__cmd cmd;
    struct asq__buf text;
    uint64_t gauges[GAUGES];
    char key[ASQ__KEY_MAX], said[GAUGES * 24] = "";
    sample(w, gauges);
    for (size_t i = 0, n = 0; i < GAUGES; i++)
        n += (size_t) snprintf(said + n, sizeof said - n, "%s%llu", i ? " " : "",
                               (unsigned long long) gauges[i]);
    asq__keys_stats(asq__redis_keys(w->redis), key);
    asq__cmd_init(&cmd);
    asq__buf_init(&text, FIGURES_BYTES);
    asq__script_begin(&cmd, asq__redis_home_scripts(w->redis), ASQ__SCRIPT_STATS, 1);
    asq__cmd_puts(&cmd, key);
    asq__cmd_puts(&cmd, w->config.id);
    asq__cmd_puts(&cmd, said);
    size_t n = put_series(s, w, &cmd, &text);
    if ((n || gauges_have_moved(s, gauges) || !s->told_ms || now_ms - s->told_ms >= SIGN_MS) &&
        asq__conn_send(asq__redis_home(w->redis), on_told, w, &cmd) == 0) {
        s->in_flight = true;
        s->told_ms = now_ms;
        memcpy(s->gauges, gauges, sizeof gauges);
    }
    asq__buf_release(&text);
    asq__cmd_release(&cmd);
}

static bool may_report(const struct asq__process *w)
{
    return w->stats && !w->stats->in_flight && w->parts && asq__redis_is_up(w->redis) &&
           atomic_load(&w->heartbeat_ms) && asq__process_is_alive(w);
}

void asq__stats_upkeep(struct asq__process *w)
{
    int64_t now_ms = asq__now_ms();
    if (may_report(w) && now_ms >= w->stats->due_ms)
        report(w, now_ms);
}

void asq__stats_tell_rest(struct asq__process *w)
{
    if (!may_report(w))
        return;
    report(w, asq__now_ms());
    asq__redis_flush(w->redis);
}

/* ---- life ---- */

int asq__stats_new(struct asq__process *w, struct asq__stats **ret)
{
    struct asq__stats *s = calloc(1, sizeof *s);
    if (!s)
        return ASQ_ENOMEM;
    s->nseries = asq__metrics_count(w->config.metrics);
    s->told = w->config.figures->series + s->nseries;
    *ret = s;
    return 0;
}

void asq__stats_free(struct asq__stats *s)
{
    free(s);
}
