/*
 * own_stats_value.c: figures of a handle's own calls as values, for asq_stats.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/own_stats.h"
#include "client/stats_value.h"
#include "value/clock.h"

struct selection {
    const char *class_name, *method; /* NULL: any */
    const struct asq__own_series *series[ASQ__OWN_SERIES];
    size_t n;
    int64_t ms;                   /* since the handle was opened */
    struct asq__own_series total; /* without a name */
};

static bool is_wanted(const struct selection *sel, const struct asq__own_series *series)
{
    return series->calls && (!sel->class_name || strcmp(sel->class_name, series->name) == 0) &&
           (!sel->method || strcmp(sel->method, series->method) == 0);
}

static int compare(const void *a, const void *b)
{
    const struct asq__own_series *x = *(const struct asq__own_series *const *) a,
                                 *y = *(const struct asq__own_series *const *) b;
    if (x->calls != y->calls)
        return x->calls < y->calls ? 1 : -1;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->method, y->method);
}

static void add_up(struct asq__own_series *total, const struct asq__own_series *series)
{
    total->calls += series->calls;
    total->sum_ns += series->sum_ns;
    total->max_ns = series->max_ns > total->max_ns ? series->max_ns : total->max_ns;
    for (unsigned b = 0; b < ASQ__STATS_BUCKETS; b++)
        total->counts[b] += series->counts[b];
    asq__stats_merge_failures(&total->failures, &series->failures);
}

/* Chooses the series that are wanted, the most calls first, and adds them up. */
static void choose(struct selection *sel, const struct asq__own_stats *s)
{
    for (size_t i = 0; i < ASQ__OWN_BUCKETS; i++)
        for (const struct asq__own_series *series = s->buckets[i]; series; series = series->next) {
            if (!is_wanted(sel, series))
                continue;
            sel->series[sel->n++] = series;
            add_up(&sel->total, series);
        }
    qsort(sel->series, sel->n, sizeof *sel->series, compare);
}

static int put_figures(asq_value *map, const struct asq__own_series *s, int64_t ms)
{
    struct asq__stats_times result = { .sum_us = s->sum_ns / 1000,
                                       .max_us = (s->max_ns + 999) / 1000 };
    memcpy(result.counts, s->counts, sizeof result.counts);
    uint64_t under_way = s->calls - asq__stats_count(&result);
    int rc = asq__stats_put_rate(map, s->calls, &s->failures, ms);
    rc = rc < 0 ? rc : asq_map_set_int(map, "under_way", asq__stats_int(under_way));
    rc = rc < 0 ? rc : asq_map_set(map, "failures", asq__stats_failures_value(&s->failures));
    return rc < 0 ? rc : asq_map_set(map, "result", asq__stats_times_value(&result));
}

static int put_method(asq_value *map, const struct asq__own_series *series, int64_t ms)
{
    const char *name = series->name, *method = series->method;
    int rc =
        asq_map_set(map, "class", *name ? asq__admin_text(name, strlen(name)) : asq_value_null());
    rc = rc < 0 ? rc : asq_map_set(map, "method", asq__admin_text(method, strlen(method)));
    return rc < 0 ? rc : put_figures(map, series, ms);
}

static int put_methods(asq_value *list, const struct selection *sel)
{
    int rc = 0;
    for (size_t i = 0; i < sel->n && rc == 0; i++) {
        asq_value *map = asq_value_map();
        rc = map ? put_method(map, sel->series[i], sel->ms) : ASQ_ENOMEM;
        rc = asq__stats_append(list, map, rc);
    }
    return rc;
}

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int put_times(asq_value *all, int64_t ms)
{
    int64_t now_ms = unix_ms();
    int rc = asq_map_set_int(all, "now_ms", now_ms);
    rc = rc < 0 ? rc : asq_map_set_int(all, "from_ms", now_ms - ms);
    return rc < 0 ? rc : asq_map_set_int(all, "to_ms", now_ms);
}

static asq_value *selection_value(const struct selection *sel)
{
    asq_value *all = asq_value_map(), *total = asq_value_map(), *methods = asq_value_list();
    int rc = all && total && methods ? put_times(all, sel->ms) : ASQ_ENOMEM;
    rc = rc < 0 ? rc : put_figures(total, &sel->total, sel->ms);
    rc = rc < 0 ? rc : put_methods(methods, sel);
    if (rc == 0) {
        rc = asq_map_set(all, "total", total); /* takes it in any case */
        total = NULL;
    }
    if (rc == 0) {
        rc = asq_map_set(all, "methods", methods);
        methods = NULL;
    }
    asq_value_free(total);
    asq_value_free(methods);
    if (rc == 0)
        return all;
    asq_value_free(all);
    return NULL;
}

asq_value *asq__own_stats_value(const struct asq__own_stats *s, const char *class_name,
                                const char *method)
{
    struct selection *sel = calloc(1, sizeof *sel);
    if (!sel)
        return NULL;
    sel->class_name = class_name;
    sel->method = method;
    sel->ms = (asq__now_ns() - s->opened_ns) / 1000000;
    choose(sel, s);
    asq_value *all = selection_value(sel);
    free(sel);
    return all;
}
