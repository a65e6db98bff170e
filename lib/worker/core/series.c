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
        int64_t *ended_ns = reallocarray(t->ended_ns, more, sizeof *ended_ns);
        if (!ended_ns)
            return false;
        t->ended_ns = ended_ns;
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
    free(t->ended_ns);
    free(t->parts);
}

static uint64_t waited_ns(int64_t ended_ns, int64_t now_ns)
{
    return now_ns > ended_ns ? (uint64_t) (now_ns - ended_ns) : 0;
}

/* Counts times of one series. Runs that ended one after the other mostly have theirs in one bucket,
 * to which they are added at once. */
static void commit_part(struct asq__series *s, const int64_t *ended_ns, const int64_t *end,
                        int64_t now_ns)
{
    while (ended_ns < end) {
        uint64_t ns = waited_ns(*ended_ns, now_ns), sum_ns = 0, same = 0;
        unsigned bucket = asq__histogram_bucket(ns);
        uint64_t lower = bucket ? asq__histogram_upper(bucket - 1) : 0;
        uint64_t width = asq__histogram_upper(bucket) - lower;
        do {
            same++;
            sum_ns += ns;
            ns = ++ended_ns < end ? waited_ns(*ended_ns, now_ns) : lower;
        } while (ns - lower - 1 < width);
        asq__histogram_add_many(&s->commit, bucket, same, sum_ns);
    }
}

void asq__series_commit(const struct asq__timed *t, int64_t now_ns)
{
    for (size_t i = 0; i < t->nparts; i++) {
        size_t end = i + 1 < t->nparts ? t->parts[i + 1].first : t->n;
        commit_part(t->parts[i].series, t->ended_ns + t->parts[i].first, t->ended_ns + end, now_ns);
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
