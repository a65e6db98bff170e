/*
 * stats.c: asq_stats: the deployment's figures as values; those of a handle's own calls come from
 * own_stats_value.c.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/handle.h"
#include "client/own_stats.h"
#include "client/stats_read.h"
#include "client/stats_value.h"
#include "value/sized_options.h"

enum { DEFAULT_LAST_MS = 60000, LAST_MAX_MS = 86400000 };

static const struct {
    const char *name;
    bool is_us; /* microseconds, shown in ms */
} gauges[ASQ__STATS_GAUGES] = {
    { "processes", false },
    { "running", false },
    { "parked", false },
    { "waiting", false },
    { "oldest_waiting_ms", false },
    { "backlog", false },
    { "agents", false },
    { "agent_bytes", false },
    { "partitions", false },
    { "commits_in_flight", false },
    { "round_trip_ms", true },
};

static const char *const times[ASQ__STATS_TIMES] = { "queue", "run", "parked", "commit" };

static int put_gauges(asq_value *map, const struct asq__stats_gauges *g)
{
    int rc = 0;
    for (size_t i = 0; i < ASQ__STATS_GAUGES && rc == 0; i++)
        if (g->known && !gauges[i].is_us)
            rc = asq_map_set_int(map, gauges[i].name, asq__stats_int(g->values[i]));
        else
            rc = asq__stats_set_ms(map, gauges[i].name, g->known, (double) g->values[i]);
    return rc;
}

static int put_figures(asq_value *map, const struct asq__stats_figures *f, int64_t ms)
{
    int rc = asq__stats_put_rate(map, f->calls, &f->failures, ms);
    rc = rc < 0 ? rc : asq_map_set(map, "failures", asq__stats_failures_value(&f->failures));
    for (int i = 0; i < ASQ__STATS_TIMES && rc == 0; i++)
        rc = asq_map_set(map, times[i], asq__stats_times_value(&f->times[i]));
    return rc;
}

static int put_methods(asq_value *list, const struct asq__stats_span *s)
{
    int rc = 0;
    for (size_t i = 0; i < s->nseries && rc == 0; i++) {
        const struct asq__stats_series *series = s->sorted[i];
        const char *method = series->name + series->class_n + 1;
        asq_value *map = asq_value_map();
        if (!map)
            return ASQ_ENOMEM;
        rc = asq_map_set(map, "class", asq__admin_text(series->name, series->class_n));
        rc = rc < 0 ? rc : asq_map_set(map, "method", asq__admin_text(method, strlen(method)));
        rc = rc < 0 ? rc : put_figures(map, &series->figures, s->to_ms - s->from_ms);
        rc = asq__stats_append(list, map, rc);
    }
    return rc;
}

static int put_point(asq_value *map, const struct asq__stats_span *s, size_t i)
{
    static const struct asq__stats_figures none;
    static const struct {
        const char *name;
        enum asq__stats_time time;
        double q;
    } quantiles[] = {
        { "queue_p50_ms", ASQ__STATS_QUEUE, .5 },    { "queue_p99_ms", ASQ__STATS_QUEUE, .99 },
        { "run_p50_ms", ASQ__STATS_RUN, .5 },        { "run_p99_ms", ASQ__STATS_RUN, .99 },
        { "parked_p99_ms", ASQ__STATS_PARKED, .99 }, { "commit_p99_ms", ASQ__STATS_COMMIT, .99 }
    };
    const struct asq__stats_figures *f = s->steps[i].figures ? s->steps[i].figures : &none;
    int64_t from_ms = s->from_ms + (int64_t) i * s->step_ms, to_ms = from_ms + s->step_ms;
    int rc = asq_map_set_int(map, "time_ms", from_ms);
    rc = rc < 0 ? rc
                : asq__stats_put_rate(map, f->calls, &f->failures,
                                      (to_ms < s->to_ms ? to_ms : s->to_ms) - from_ms);
    for (size_t k = 0; k < sizeof quantiles / sizeof *quantiles && rc == 0; k++) {
        const struct asq__stats_times *t = &f->times[quantiles[k].time];
        bool any = asq__stats_count(t) > 0;
        rc = asq__stats_set_ms(map, quantiles[k].name, any,
                               any ? asq__stats_quantile(t, quantiles[k].q) : 0);
    }
    return rc < 0 ? rc : put_gauges(map, &s->steps[i].gauges);
}

static int put_points(asq_value *list, const struct asq__stats_span *s)
{
    int rc = 0;
    for (size_t i = 0; i < s->nsteps && rc == 0; i++) {
        asq_value *map = asq_value_map();
        rc = asq__stats_append(list, map, map ? put_point(map, s, i) : ASQ_ENOMEM);
    }
    return rc;
}

/* Makes what asq_stats gives. NULL: no memory. */
static asq_value *span_value(const struct asq__stats_span *s)
{
    asq_value *now = asq_value_map(), *total = asq_value_map(), *methods = asq_value_list(),
              *points = s->points ? asq_value_list() : NULL, *all = asq_value_map();
    bool ok =
        now && total && methods && all && (points || !s->points) && put_gauges(now, &s->now) == 0 &&
        put_figures(total, &s->total, s->to_ms - s->from_ms) == 0 && put_methods(methods, s) == 0 &&
        (!points || put_points(points, s) == 0) && asq_map_set_int(all, "now_ms", s->now_ms) == 0 &&
        asq_map_set_int(all, "from_ms", s->from_ms) == 0 &&
        asq_map_set_int(all, "to_ms", s->to_ms) == 0 &&
        asq_map_set_int(all, "step_ms", s->step_ms) == 0;
    const struct {
        const char *key;
        asq_value *value;
    } parts[] = {
        { "now", now }, { "total", total }, { "methods", methods }, { "points", points }
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!ok)
            asq_value_free(parts[i].value);
        else if (parts[i].value)
            ok = asq_map_set(all, parts[i].key, parts[i].value) == 0; /* takes it in any case */
    if (ok)
        return all;
    asq_value_free(all);
    return NULL;
}

static int own_stats(asq *h, const asq_stats_options *wanted, asq_value **ret)
{
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    if (!h->own_stats)
        return asq__fail(h, ASQ_ENOTSUP,
                         "asq_stats: a method's handle has no figures of its own; the worker "
                         "measures what methods call");
    if (wanted->last_ms || wanted->points)
        return asq__fail(h, ASQ_EINVAL,
                         "asq_stats: figures of the handle's own calls are those since it was "
                         "opened; last_ms and points are not possible with own");
    asq_value *all = asq__own_stats_value(h->own_stats, wanted->class_name, wanted->method);
    if (!all)
        return asq__fail_memory(h);
    *ret = all;
    return 0;
}

int asq_stats(asq *h, const asq_stats_options *options, asq_value **ret)
{
    char why[300];
    asq_stats_options wanted = ASQ_STATS_OPTIONS_INIT;
    if (!h || !ret)
        return asq__null(h, "asq_stats");
    int rc = asq__sized_options_take(&wanted, sizeof wanted, options, "ASQ_STATS_OPTIONS_INIT", why,
                                     sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "asq_stats: %s", why);
    if (wanted.own)
        return own_stats(h, &wanted, ret);
    if (wanted.last_ms < 0 || wanted.last_ms > LAST_MAX_MS)
        return asq__fail(h, ASQ_EINVAL, "asq_stats: last_ms is not from 0 to %d", LAST_MAX_MS);
    struct asq__stats_span span = { .class_name = wanted.class_name,
                                    .method = wanted.method,
                                    .points = wanted.points,
                                    .last_ms = wanted.last_ms ? wanted.last_ms : DEFAULT_LAST_MS };
    rc = asq__admin_begin(h, "asq_stats");
    if (rc < 0)
        return rc;
    rc = asq__stats_span_read(h, &span);
    asq_value *all = rc == 0 ? span_value(&span) : NULL;
    if (rc == 0 && !all)
        rc = asq__fail_memory(h);
    asq__stats_span_release(&span);
    rc = asq__admin_end(h, rc);
    if (rc == 0)
        *ret = all;
    return rc;
}
