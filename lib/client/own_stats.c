/*
 * own_stats.c: see own_stats.h. A call costs a comparison of names, a reading of the clock and some
 * additions, its result the rest: results that arrive in one message share a reading.
 */
#include "client/own_stats.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "client/handle.h"
#include "value/clock.h"

static const char other[] = "(other)";

static struct asq__own_series **bucket_of(struct asq__own_stats *s, const char *class_name,
                                          const char *method)
{
    unsigned hash = 0;
    for (; *class_name; class_name++)
        hash = hash * 31 + (unsigned char) *class_name;
    for (; *method; method++)
        hash = hash * 31 + (unsigned char) *method;
    return &s->buckets[hash % ASQ__OWN_BUCKETS];
}

static bool is_of(const struct asq__own_series *series, const char *class_name, const char *method)
{
    return strcmp(series->method, method) == 0 && strcmp(series->name, class_name) == 0;
}

/* Makes a series. NULL: no memory, or a name of a length that no class or method has. */
static struct asq__own_series *add(struct asq__own_stats *s, struct asq__own_series **bucket,
                                   const char *class_name, const char *method)
{
    size_t class_size = strlen(class_name) + 1, method_size = strlen(method) + 1;
    if (class_size > ASQ_MAX_NAME + 1 || method_size > ASQ_MAX_NAME + 1)
        return NULL;
    struct asq__own_series *made = calloc(1, sizeof *made + class_size + method_size);
    if (!made)
        return NULL;
    memcpy(made->name, class_name, class_size);
    made->method = memcpy(made->name + class_size, method, method_size);
    made->next = *bucket;
    *bucket = made;
    s->n++;
    return made;
}

/* Finds or makes the series of a method; that of others, if there is no room for one. */
static struct asq__own_series *series_of(struct asq__own_stats *s, const char *class_name,
                                         const char *method)
{
    struct asq__own_series **bucket = bucket_of(s, class_name, method), *series = *bucket;
    while (series && !is_of(series, class_name, method))
        series = series->next;
    if (!series && s->n < ASQ__OWN_SERIES)
        series = add(s, bucket, class_name, method);
    return series ? series : s->other;
}

struct asq__own_stats *asq__own_stats_new(void)
{
    struct asq__own_stats *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->opened_ns = asq__now_ns();
    s->last = s->other = add(s, bucket_of(s, other, other), other, other);
    if (!s->other) {
        free(s);
        return NULL;
    }
    return s;
}

void asq__own_stats_free(struct asq__own_stats *s)
{
    for (size_t i = 0; s && i < ASQ__OWN_BUCKETS; i++)
        while (s->buckets[i]) {
            struct asq__own_series *series = s->buckets[i];
            s->buckets[i] = series->next;
            free(series);
        }
    free(s);
}

void asq__own_stats_begin(asq_result *r, const char *class_name, const char *method, int64_t now_ns)
{
    struct asq__own_stats *s = r->h->own_stats;
    if (!is_of(s->last, class_name, method))
        s->last = series_of(s, class_name, method);
    s->last->calls++;
    r->series = s->last;
    r->made_ns = now_ns;
}

void asq__own_stats_end(asq_result *r)
{
    struct asq__own_series *s = r->series;
    int64_t arrived_ns = r->h->own_stats->arrived_ns;
    int64_t took_ns = (arrived_ns ? arrived_ns : asq__now_ns()) - r->made_ns;
    uint64_t ns = took_ns > 0 ? (uint64_t) took_ns : 0; /* made while this arrived: nothing */
    s->counts[asq__stats_bucket(asq__histogram_bucket(ns))]++;
    s->sum_ns += ns;
    s->max_ns = ns > s->max_ns ? ns : s->max_ns;
    if (!r->value)
        asq__stats_fail(&s->failures, r->error ? r->error->pub.code : ASQ_ENOMEM, 1);
    r->series = NULL;
}

void asq__own_stats_drop(asq_result *r)
{
    r->series->calls--;
    r->series = NULL;
}
