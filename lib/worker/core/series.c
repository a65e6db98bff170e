/*
 * series.c: see series.h.
 */
#include "worker/core/series.h"

#include <stdlib.h>

#include "value/grow.h"

enum { TIMED_FIRST = 32 }; /* most commits have many runs */

/* Returns the counter of a code of the application; NULL: there is no place. */
static atomic_ullong *own_counter(struct asq__series *s, int code)
{
    for (size_t i = 0; i < ASQ__SERIES_OWN; i++) {
        int there = atomic_load_explicit(&s->own[i].code, memory_order_relaxed);
        if (there == 0)
            atomic_store_explicit(&s->own[i].code, code, memory_order_relaxed);
        if (there == 0 || there == code)
            return &s->own[i].n;
    }
    return NULL;
}

static void count_failures(struct asq__series *s, int code, uint64_t n)
{
    atomic_ullong *counter = code < 0 && code > -ASQ__SERIES_CODES ? &s->failures[-code]
                             : code                                ? own_counter(s, code)
                                                                   : NULL;
    asq__counter_add(counter ? counter : &s->other_failures, n);
}

void asq__series_fail(struct asq__series *s, int code)
{
    count_failures(s, code, 1);
}

bool asq__timed_reserve(struct asq__timed *t, struct asq__series *s)
{
    if (t->n == t->room) {
        size_t more = t->room ? 2 * t->room : TIMED_FIRST;
        struct asq__timed_run *runs = reallocarray(t->runs, more, sizeof *runs);
        if (!runs)
            return false;
        t->runs = runs;
        t->room = more;
    }
    if (s == t->last)
        return true;
    if (!asq__grow(&t->parts, t->nparts, &t->parts_room, sizeof *t->parts))
        return false;
    t->parts[t->nparts++] = (struct asq__timed_part){ .series = s, .first = t->n };
    t->last = s;
    return true;
}

void asq__timed_release(struct asq__timed *t)
{
    free(t->runs);
    free(t->parts);
}

void asq__series_run(struct asq__series *s, int64_t queue_ns, int64_t run_ns)
{
    asq__counter_add(&s->calls, 1);
    asq__histogram_add(&s->queue, queue_ns);
    asq__histogram_add(&s->run, run_ns);
}

/* A part of the runs of a commit. */
struct part {
    struct asq__series *series;
    const struct asq__timed_run *run, *end;
};

static struct part part_of(const struct asq__timed *t, size_t i)
{
    const struct asq__timed_part *p = &t->parts[i];
    size_t end = i + 1 < t->nparts ? p[1].first : t->n;
    return (struct part){ p->series, t->runs + p->first, t->runs + end };
}

/* Values of one bucket, which are added to the histogram together: runs that ended one after the
 * other mostly have the same. */
struct alike {
    struct asq__histogram *to;
    unsigned bucket;
    uint64_t lower, width; /* of the bucket: above the one, at most as much */
    uint64_t n, sum_ns;
};

static void alike_end(struct alike *a)
{
    if (a->n)
        asq__histogram_add_many(a->to, a->bucket, a->n, a->sum_ns);
    a->n = a->sum_ns = 0;
}

/* Goes on with the bucket of a value. */
static void alike_begin(struct alike *a, uint64_t ns)
{
    alike_end(a);
    a->bucket = asq__histogram_bucket(ns);
    a->lower = a->bucket ? asq__histogram_upper(a->bucket - 1) : 0;
    a->width = asq__histogram_upper(a->bucket) - a->lower;
}

static inline void alike_add(struct alike *a, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t) ns : 0;
    if (value - a->lower - 1 >= a->width)
        alike_begin(a, value);
    a->n++;
    a->sum_ns += value;
}

void asq__series_runs(const struct asq__timed *t)
{
    for (size_t i = 0; i < t->nparts; i++) {
        struct part p = part_of(t, i);
        struct alike queue = { .to = &p.series->queue };
        uint64_t n = 0;
        for (; p.run < p.end; p.run++) {
            if (p.run->run_ns < 0)
                continue;
            n++;
            alike_add(&queue, p.run->queue_ns);
            asq__histogram_add(&p.series->run, p.run->run_ns);
        }
        alike_end(&queue);
        asq__counter_add(&p.series->calls, n);
    }
}

void asq__series_commit(const struct asq__timed *t, int64_t now_ns)
{
    for (size_t i = 0; i < t->nparts; i++) {
        struct part p = part_of(t, i);
        struct alike commit = { .to = &p.series->commit };
        for (; p.run < p.end; p.run++)
            alike_add(&commit, now_ns - p.run->ended_ns);
        alike_end(&commit);
    }
}

void asq__gauges_reset(struct asq__gauges *g)
{
    atomic_llong *const all[] = { &g->updated_ms,      &g->serves,       &g->redis_up,
                                  &g->stopping,        &g->partitions,   &g->running,
                                  &g->parked,          &g->waiting,      &g->oldest_ms,
                                  &g->waiting_bytes,   &g->backlog,      &g->agents,
                                  &g->agent_bytes,     &g->threads_busy, &g->commits_in_flight,
                                  &g->commits_waiting, &g->round_trip_ns };
    _Static_assert(sizeof all / sizeof *all == sizeof *g / sizeof(atomic_llong),
                   "a gauge is missing");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        atomic_store(all[i], 0);
}

void asq__series_merge(struct asq__series *to, const struct asq__series *from)
{
    asq__counter_add(&to->calls, atomic_load_explicit(&from->calls, memory_order_relaxed));
    for (size_t i = 0; i < ASQ__SERIES_CODES; i++)
        asq__counter_add(&to->failures[i],
                         atomic_load_explicit(&from->failures[i], memory_order_relaxed));
    for (size_t i = 0; i < ASQ__SERIES_OWN; i++) {
        int code = atomic_load_explicit(&from->own[i].code, memory_order_relaxed);
        if (code)
            count_failures(to, code, atomic_load_explicit(&from->own[i].n, memory_order_relaxed));
    }
    asq__counter_add(&to->other_failures,
                     atomic_load_explicit(&from->other_failures, memory_order_relaxed));
    asq__histogram_merge(&to->queue, &from->queue);
    asq__histogram_merge(&to->run, &from->run);
    asq__histogram_merge(&to->parked, &from->parked);
    asq__histogram_merge(&to->commit, &from->commit);
}
