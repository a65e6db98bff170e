/*
 * metrics_text.c: see metrics_text.h.
 */
#include "worker/core/metrics_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/escape.h"
#include "worker/core/series.h"

/* Bounds of histograms: every power of two of nanoseconds from 8.2 µs to 69 s, then every second
 * one to 4,398 s. Each is the bound of a bucket, so the counts are exact. */
enum { FIRST_POWER = 13, DENSE_TO = 36, LAST_POWER = 42 };

struct writer {
    struct asq__buf *out;
    bool open; /* OpenMetrics */
};

/* ---- words ---- */

/* Writes the value of a label. What is not UTF-8 becomes U+FFFD. */
static void put_label_value(struct asq__buf *out, const char *text)
{
    const unsigned char *s = (const unsigned char *) text;
    uint32_t c;
    asq__buf_putc(out, '"');
    while (*s) {
        size_t n = asq__utf8_next(s, &c);
        if (n == 0)
            asq__buf_puts(out, "\xef\xbf\xbd");
        else if (*s == '\n')
            asq__buf_puts(out, "\\n");
        else if (*s == '"' || *s == '\\')
            asq__buf_printf(out, "\\%c", *s);
        else
            asq__buf_put(out, s, n);
        s += n ? n : 1;
    }
    asq__buf_putc(out, '"');
}

/* Writes nanoseconds as seconds, exactly, without zeros at the end. */
static void put_seconds(struct asq__buf *out, uint64_t ns)
{
    char text[40];
    int n = snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long) (ns / 1000000000),
                     (unsigned long long) (ns % 1000000000));
    while (text[n - 1] == '0' && text[n - 2] != '.')
        n--;
    asq__buf_put(out, text, (size_t) n);
}

/* Begins a family: `name` without the suffix of its samples. */
static void family(const struct writer *w, const char *name, const char *type, const char *unit,
                   const char *help)
{
    bool counter = strcmp(type, "counter") == 0, info = strcmp(type, "info") == 0;
    const char *suffix = w->open ? "" : counter ? "_total" : info ? "_info" : "";
    if (!w->open && info)
        type = "gauge";
    asq__buf_printf(w->out, "# TYPE %s%s %s\n", name, suffix, type);
    if (unit && w->open)
        asq__buf_printf(w->out, "# UNIT %s %s\n", name, unit);
    asq__buf_printf(w->out, "# HELP %s%s %s\n", name, suffix, help);
}

static uint64_t load(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* ---- series ---- */

static void put_series_labels(struct asq__buf *out, const struct asq__series_name *name)
{
    asq__buf_puts(out, "{class=");
    put_label_value(out, name->class_name);
    asq__buf_puts(out, ",method=");
    put_label_value(out, name->method);
}

static void put_failures(const struct writer *w, const struct asq__series_name *name,
                         const char *code, uint64_t n)
{
    if (n == 0)
        return;
    asq__buf_puts(w->out, "asqueue_call_failures_total");
    put_series_labels(w->out, name);
    asq__buf_puts(w->out, ",code=");
    put_label_value(w->out, code);
    asq__buf_printf(w->out, "} %llu\n", (unsigned long long) n);
}

static void put_all_failures(const struct writer *w, const struct asq__series_name *name,
                             const struct asq__series *s)
{
    char text[32];
    for (int i = 0; i < ASQ__SERIES_CODES; i++) {
        const char *code = asq_error_name(-i);
        snprintf(text, sizeof text, "%d", -i);
        put_failures(w, name, code ? code : text, load(&s->failures[i]));
    }
    for (size_t i = 0; i < ASQ__SERIES_OWN; i++) {
        int code = atomic_load_explicit(&s->own[i].code, memory_order_relaxed);
        if (code <= ASQ_EUSER(0))
            snprintf(text, sizeof text, "ASQ_EUSER(%d)", ASQ_EUSER(0) - code);
        else
            snprintf(text, sizeof text, "%d", code);
        put_failures(w, name, text, load(&s->own[i].n));
    }
    put_failures(w, name, "other", load(&s->other_failures));
}

static void put_histogram(const struct writer *w, const char *family_name,
                          const struct asq__series_name *name, const struct asq__histogram *h)
{
    uint64_t all = asq__histogram_count(h);
    if (all == 0)
        return;
    for (unsigned power = FIRST_POWER; power <= LAST_POWER; power += power < DENSE_TO ? 1 : 2) {
        uint64_t bound = UINT64_C(1) << power;
        asq__buf_printf(w->out, "%s_bucket", family_name);
        put_series_labels(w->out, name);
        asq__buf_puts(w->out, ",le=\"");
        put_seconds(w->out, bound);
        asq__buf_printf(w->out, "\"} %llu\n",
                        (unsigned long long) asq__histogram_count_to(h, bound));
    }
    asq__buf_printf(w->out, "%s_bucket", family_name);
    put_series_labels(w->out, name);
    asq__buf_printf(w->out, ",le=\"+Inf\"} %llu\n%s_count", (unsigned long long) all, family_name);
    put_series_labels(w->out, name);
    asq__buf_printf(w->out, "} %llu\n%s_sum", (unsigned long long) all, family_name);
    put_series_labels(w->out, name);
    asq__buf_puts(w->out, "} ");
    put_seconds(w->out, load(&h->sum_ns));
    asq__buf_putc(w->out, '\n');
}

/* The sums of a series that has been used. */
struct sum {
    const struct asq__series_name *name;
    struct asq__series series;
};

/* Adds up the series of all processes that have calls. NULL: no memory. */
static struct sum *sums_of(const struct asq__metrics_view *v, size_t *ret_n)
{
    size_t used = 0, n = 0;
    for (size_t i = 0; i < v->nseries; i++)
        for (size_t k = 0; k < v->n; k++)
            if (load(&v->processes[k]->series[i].calls)) {
                used++;
                break;
            }
    struct sum *sums = calloc(used + 1, sizeof *sums);
    for (size_t i = 0; sums && i < v->nseries && n < used; i++) {
        bool any = false;
        for (size_t k = 0; k < v->n; k++)
            if (load(&v->processes[k]->series[i].calls)) {
                asq__series_merge(&sums[n].series, &v->processes[k]->series[i]);
                any = true;
            }
        sums[n].name = &v->names[i];
        n += any;
    }
    *ret_n = n;
    return sums;
}

static void put_all_series(const struct writer *w, const struct sum *sums, size_t n)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } histograms[] = {
        { "asqueue_call_queue_seconds",
          "Time from the making of a call, or from when it was due, to its start.",
          offsetof(struct asq__series, queue) },
        { "asqueue_call_run_seconds", "Time that a run took, without the time that it was parked.",
          offsetof(struct asq__series, run) },
        { "asqueue_call_parked_seconds",
          "Time that a run waited in functions of the library, of runs that did.",
          offsetof(struct asq__series, parked) },
        { "asqueue_call_commit_seconds",
          "Time from the end of a run to the acknowledgement of its commit by Redis.",
          offsetof(struct asq__series, commit) },
    };
    family(w, "asqueue_calls", "counter", NULL,
           "Ended calls; of a call that is run again, each run.");
    for (size_t i = 0; i < n; i++) {
        asq__buf_puts(w->out, "asqueue_calls_total");
        put_series_labels(w->out, sums[i].name);
        asq__buf_printf(w->out, "} %llu\n", (unsigned long long) load(&sums[i].series.calls));
    }
    family(w, "asqueue_call_failures", "counter", NULL, "Failed calls, and failed runs, by code.");
    for (size_t i = 0; i < n; i++)
        put_all_failures(w, sums[i].name, &sums[i].series);
    for (size_t k = 0; k < sizeof histograms / sizeof *histograms; k++) {
        family(w, histograms[k].name, "histogram", "seconds", histograms[k].help);
        for (size_t i = 0; i < n; i++)
            put_histogram(w, histograms[k].name, sums[i].name,
                          (const struct asq__histogram *) ((const char *) &sums[i].series +
                                                           histograms[k].at));
    }
}

/* ---- processes ---- */

enum form { NUMBER, AGE, MS, NS };

static void put_gauges(const struct writer *w, const struct asq__metrics_view *v)
{
    static const struct {
        const char *name, *unit, *help;
        size_t at;
        enum form form;
    } gauges[] = {
#define GAUGE(member) offsetof(struct asq__gauges, member)
        { "asqueue_figures_age_seconds", "seconds",
          "Time since the process last said the gauges below, which it does each second.",
          GAUGE(updated_ms), AGE },
        { "asqueue_process_serves", NULL, "1: it reads the calls of all its partitions.",
          GAUGE(serves), NUMBER },
        { "asqueue_redis_up", NULL, "1: Redis can be used, and acknowledges the heartbeat.",
          GAUGE(redis_up), NUMBER },
        { "asqueue_process_stopping", NULL, "1: it has been asked to stop.", GAUGE(stopping),
          NUMBER },
        { "asqueue_partitions", NULL, "Partitions that it owns.", GAUGE(partitions), NUMBER },
        { "asqueue_calls_running", NULL, "Calls that have begun and are not parked.",
          GAUGE(running), NUMBER },
        { "asqueue_calls_parked", NULL, "Calls that wait in functions of the library.",
          GAUGE(parked), NUMBER },
        { "asqueue_calls_waiting", NULL, "Calls in memory that have not begun.", GAUGE(waiting),
          NUMBER },
        { "asqueue_oldest_waiting_seconds", "seconds",
          "Age of the oldest call that waits, of those looked at.", GAUGE(oldest_ms), MS },
        { "asqueue_waiting_bytes", "bytes", "Memory of calls that have not ended.",
          GAUGE(waiting_bytes), NUMBER },
        { "asqueue_backlog_calls", NULL, "Calls that are left in Redis for lack of room, about.",
          GAUGE(backlog), NUMBER },
        { "asqueue_agents", NULL, "Agents in memory.", GAUGE(agents), NUMBER },
        { "asqueue_agent_bytes", "bytes", "Memory of agents, as encoded.", GAUGE(agent_bytes),
          NUMBER },
        { "asqueue_threads_busy", NULL, "Threads that run a method.", GAUGE(threads_busy), NUMBER },
        { "asqueue_commits_in_flight", NULL, "Commits that Redis has not answered yet.",
          GAUGE(commits_in_flight), NUMBER },
        { "asqueue_commits_waiting", NULL, "Commits that have not been sent yet.",
          GAUGE(commits_waiting), NUMBER },
        { "asqueue_redis_round_trip_seconds", "seconds",
          "Time of a small command of the last heartbeat.", GAUGE(round_trip_ns), NS },
#undef GAUGE
    };
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++) {
        family(w, gauges[i].name, "gauge", gauges[i].unit, gauges[i].help);
        for (size_t k = 0; k < v->n; k++) {
            const struct asq__gauges *g = &v->processes[k]->gauges;
            int64_t value = atomic_load_explicit(
                (const atomic_llong *) (const void *) ((const char *) g + gauges[i].at),
                memory_order_relaxed);
            if (!atomic_load_explicit(&g->updated_ms, memory_order_relaxed))
                continue; /* it has not said anything yet */
            if (gauges[i].form == AGE)
                value = v->now_ms > value ? v->now_ms - value : 0;
            asq__buf_printf(w->out, "%s{process=\"%zu\"} ", gauges[i].name, k);
            if (gauges[i].form == NUMBER)
                asq__buf_printf(w->out, "%lld", (long long) value);
            else
                put_seconds(w->out, (uint64_t) value * (gauges[i].form == NS ? 1 : 1000000));
            asq__buf_putc(w->out, '\n');
        }
    }
}

/* Pools have names of their own, because a sum over those of processes would count twice. */
static void put_pools(const struct writer *w, const struct asq__metrics_view *v)
{
    static const struct {
        const char *name, *unit, *help;
        size_t at;
    } gauges[] = {
#define GAUGE(member) offsetof(struct asq__pool_gauges, member)
        { "asqueue_pool_partitions", NULL, "Partitions of the pool that the process owns.",
          GAUGE(partitions) },
        { "asqueue_pool_calls_active", NULL,
          "Calls to agents of the pool that have begun and not ended, parked ones included.",
          GAUGE(active) },
        { "asqueue_pool_calls_waiting", NULL,
          "Calls to agents of the pool in memory that have not begun.", GAUGE(waiting) },
        { "asqueue_pool_oldest_waiting_seconds", "seconds",
          "Age of the oldest of these, of those looked at.", GAUGE(oldest_ms) },
        { "asqueue_pool_backlog_calls", NULL,
          "Calls to agents of the pool that are left in Redis for lack of room, about.",
          GAUGE(backlog) },
#undef GAUGE
    };
    for (size_t i = 0; i < sizeof gauges / sizeof *gauges; i++) {
        family(w, gauges[i].name, "gauge", gauges[i].unit, gauges[i].help);
        for (size_t k = 0; k < v->n; k++) {
            const struct asq__figures *f = v->processes[k];
            unsigned n = atomic_load_explicit(&f->npools, memory_order_acquire);
            if (!atomic_load_explicit(&f->gauges.updated_ms, memory_order_relaxed))
                continue; /* it has not said anything yet */
            for (unsigned p = 0; p < n && p < ASQ__POOLS_SHOWN; p++) {
                const struct asq__pool_gauges *g = &f->pools[p];
                int64_t value = atomic_load_explicit(
                    (const atomic_llong *) (const void *) ((const char *) g + gauges[i].at),
                    memory_order_relaxed);
                asq__buf_printf(w->out, "%s{process=\"%zu\",pool=", gauges[i].name, k);
                put_label_value(w->out, g->name);
                asq__buf_puts(w->out, "} ");
                if (gauges[i].unit)
                    put_seconds(w->out, (uint64_t) value * 1000000);
                else
                    asq__buf_printf(w->out, "%lld", (long long) value);
                asq__buf_putc(w->out, '\n');
            }
        }
    }
}

static void put_counters(const struct writer *w, const struct asq__metrics_view *v)
{
    static const struct {
        const char *name, *help;
        size_t at;
    } counters[] = {
        { "asqueue_commits", "Acknowledged commits.", offsetof(struct asq__figures, commits) },
        { "asqueue_committed_calls", "Calls in acknowledged commits.",
          offsetof(struct asq__figures, commit_calls) },
        { "asqueue_dead_letters", "Calls that were given up and kept as dead letters.",
          offsetof(struct asq__figures, dead_letters) },
        { "asqueue_traces_exported", "Traced runs of calls that the collector has taken.",
          offsetof(struct asq__figures, spans_exported) },
        { "asqueue_traces_dropped",
          "Traced runs of calls that were dropped, because the collector was away or slow.",
          offsetof(struct asq__figures, spans_dropped) },
        { "asqueue_process_starts", "Starts of the process.",
          offsetof(struct asq__figures, starts) },
        { "asqueue_process_deaths", "Ends of the process by a signal, or out of order.",
          offsetof(struct asq__figures, deaths) },
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        family(w, counters[i].name, "counter", NULL, counters[i].help);
        for (size_t k = 0; k < v->n; k++)
            asq__buf_printf(
                w->out, "%s_total{process=\"%zu\"} %llu\n", counters[i].name, k,
                (unsigned long long) load(
                    (const atomic_ullong *) (const void *) ((const char *) v->processes[k] +
                                                            counters[i].at)));
    }
}

void asq__metrics_write(const struct asq__metrics_view *v, bool openmetrics, struct asq__buf *out)
{
    const struct writer w = { out, openmetrics };
    size_t n;
    struct sum *sums = sums_of(v, &n);
    if (!sums) {
        out->error = ASQ_ENOMEM;
        return;
    }
    family(&w, "asqueue_worker", "info", NULL, "The worker.");
    asq__buf_puts(out, "asqueue_worker_info{worker=");
    put_label_value(out, v->worker);
    asq__buf_puts(out, ",namespace=");
    put_label_value(out, v->ns);
    asq__buf_puts(out, ",version=");
    put_label_value(out, v->version);
    asq__buf_puts(out, "} 1\n");
    put_all_series(&w, sums, n);
    put_gauges(&w, v);
    put_pools(&w, v);
    put_counters(&w, v);
    if (openmetrics)
        asq__buf_puts(out, "# EOF\n");
    free(sums);
}
