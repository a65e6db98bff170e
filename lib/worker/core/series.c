/*
 * series.c: see series.h.
 */
#include "worker/core/series.h"

#include <stdlib.h>
#include <string.h>

#include "value/grow.h"

enum { NS_PER_MS = 1000000 };

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

bool asq__timed_reserve(struct asq__timed *t, struct asq__series *s, int64_t since_ms,
                        int64_t began_ns)
{
    bool begins = s != t->series || since_ms != t->since_ms || t->times[t->n - 1] != began_ns;
    if (!asq__grow(&t->times, t->n + begins, &t->room, sizeof *t->times))
        return false;
    if (!begins)
        return true;
    if (!asq__grow(&t->rows, t->nrows, &t->rows_room, sizeof *t->rows))
        return false;
    t->rows[t->nrows++] = (struct asq__timed_row){
        .series = s, .since_ms = since_ms, .first = t->n, .sum_ns = t->sum_ns
    };
    t->times[t->n++] = began_ns;
    /* A run whose call was made later, by another clock, has a row of its own: it counts as if it
     * had not waited, and those behind it by the time that they have. */
    t->series = since_ms > began_ns / NS_PER_MS ? NULL : s;
    t->since_ms = since_ms;
    return true;
}

void asq__timed_release(struct asq__timed *t)
{
    free(t->times);
    free(t->rows);
}

void asq__timed_recycle(struct asq__timed *to, struct asq__timed *from)
{
    if (to->times)
        return;
    *to = (struct asq__timed){
        .times = from->times, .room = from->room, .rows = from->rows, .rows_room = from->rows_room
    };
    *from = (struct asq__timed){ 0 };
}

void asq__series_run(struct asq__series *s, int64_t queue_ns, int64_t run_ns)
{
    asq__counter_add(&s->calls, 1);
    asq__histogram_add(&s->queue, queue_ns);
    asq__histogram_add(&s->run, run_ns);
}

/* n runs that follow each other. */
struct row {
    struct asq__series *series;
    int64_t since_ms;
    const int64_t *began, *ended; /* both in one array: one ends when the next one begins */
    size_t n;
    uint64_t sum_ns; /* of the ends */
};

static struct row row_of(const struct asq__timed *t, size_t i)
{
    const struct asq__timed_row *r = &t->rows[i];
    bool last = i + 1 == t->nrows;
    return (struct row){ .series = r->series,
                         .since_ms = r->since_ms,
                         .began = t->times + r->first,
                         .ended = t->times + r->first + 1,
                         .n = (last ? t->n : r[1].first) - r->first - 1,
                         .sum_ns = (last ? t->sum_ns : r[1].sum_ns) - r->sum_ns };
}

/* Returns the place of the first of n times, from place i on, that is after `limit`. */
static size_t first_after(const int64_t *times, size_t i, size_t n, int64_t limit)
{
    if (times[n - 1] <= limit)
        return n;
    while (times[i] <= limit)
        i++;
    return i;
}

/* Counts, but does not sum up, the durations from one time to each of n later ones. */
static void count_from(struct asq__histogram *h, int64_t since_ns, const int64_t *times, size_t n)
{
    unsigned bucket = asq__histogram_bucket((uint64_t) times[0] - (uint64_t) since_ns);
    for (size_t i = 0, next; i < n; i = next, bucket++) {
        next = bucket == ASQ__HISTOGRAM_BUCKETS - 1
                   ? n
                   : first_after(times, i, n, since_ns + (int64_t) asq__histogram_upper(bucket));
        asq__counter_add(&h->counts[bucket], next - i);
    }
}

/* The same, from each of n times to a later one. */
static void count_until(struct asq__histogram *h, const int64_t *times, size_t n, int64_t until_ns)
{
    unsigned bucket = asq__histogram_bucket((uint64_t) until_ns - (uint64_t) times[0]);
    for (size_t i = 0, next; i < n; i = next, bucket--) {
        next = bucket == 0 ? n
                           : first_after(times, i, n,
                                         until_ns - 1 - (int64_t) asq__histogram_upper(bucket - 1));
        asq__counter_add(&h->counts[bucket], next - i);
    }
}

void asq__series_runs(const struct asq__timed *t)
{
    for (size_t i = 0; i < t->nrows; i++) {
        struct row r = row_of(t, i);
        if (r.since_ms == ASQ__TIMED_COUNTED)
            continue;
        struct asq__series *s = r.series;
        int64_t began_ns = r.began[0], ran_ns = r.ended[r.n - 1] - began_ns;
        int64_t since_ns = r.since_ms > began_ns / NS_PER_MS
                               ? began_ns
                               : (int64_t) ((uint64_t) r.since_ms * NS_PER_MS);
        asq__counter_add(&s->calls, r.n);
        count_from(&s->queue, since_ns, r.began, r.n);
        asq__counter_add(&s->queue.sum_ns,
                         r.sum_ns - (uint64_t) ran_ns - r.n * (uint64_t) since_ns);
        for (size_t k = 0; k < r.n; k++) {
            unsigned bucket = asq__histogram_bucket((uint64_t) (r.ended[k] - r.began[k]));
            asq__counter_add(&s->run.counts[bucket], 1);
        }
        asq__counter_add(&s->run.sum_ns, (uint64_t) ran_ns);
    }
}

void asq__series_commit(const struct asq__timed *t, int64_t now_ns)
{
    for (size_t i = 0; i < t->nrows; i++) {
        struct row r = row_of(t, i);
        struct asq__histogram *h = &r.series->commit;
        int64_t until_ns = now_ns > r.ended[r.n - 1] ? now_ns : r.ended[r.n - 1];
        count_until(h, r.ended, r.n, until_ns);
        asq__counter_add(&h->sum_ns, r.n * (uint64_t) until_ns - r.sum_ns);
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

struct asq__pool_gauges *asq__figures_pool(struct asq__figures *f, const char *name, bool make)
{
    unsigned n = atomic_load_explicit(&f->npools, memory_order_relaxed);
    for (unsigned i = 0; i < n; i++)
        if (strcmp(f->pools[i].name, name) == 0)
            return &f->pools[i];
    if (!make || n == ASQ__POOLS_SHOWN || strlen(name) > ASQ_MAX_POOL)
        return NULL;
    memcpy(f->pools[n].name, name, strlen(name) + 1);
    atomic_store_explicit(&f->npools, n + 1, memory_order_release); /* the supervisor reads */
    return &f->pools[n];
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
