/*
 * measure.c: see measure.h. A call takes two readings of the clock: one that its start makes
 * anyway, or of the thread that runs it, and one at its end.
 */
#include "worker/measure.h"

#include "asqueue.h"
#include "client/class.h"
#include "redis/redis.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/quick_clock.h"
#include "worker/actor_object.h"
#include "worker/allowed.h"
#include "worker/backlog.h"
#include "worker/core/actor.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/core/series.h"
#include "worker/exec/pool.h"
#include "worker/partition.h"
#include "worker/process.h"

enum { AGENTS_PER_PARTITION = 64 }; /* that are looked at for the oldest waiting call */

/* Returns the series of a job that calls no method of its class. cls NULL: its agent does not
 * exist. */
static struct asq__series *series_of(const struct asq__process *w, const struct asq__class *cls,
                                     const Asqueue__Job *job)
{
    struct asq__series *all = w->config.figures->series;
    bool creates =
        job->kind == ASQUEUE__JOB_KIND__CREATE || job->kind == ASQUEUE__JOB_KIND__GET_OR_CREATE;
    if (creates)
        cls = asq__registry_find(w->config.registry, job->class_name);
    if (!cls || !cls->first_series)
        return &all[0];
    return &all[cls->first_series + (creates ? ASQ__SERIES_CREATE : ASQ__SERIES_REST)];
}

/* Returns when a call was due: one with a delay, or that is run again, or whose sleep is over. */
static __attribute__((noinline)) int64_t due_since_ms(const struct asq__wcall *c)
{
    const struct asq__entry *e = c->entry;
    int64_t due_ms = c->due_ms && c->due_ms < INT64_MAX / 2
                         ? (int64_t) c->due_ms - e->part->minus_mono_ms
                         : asq__wcall_due_ms(c);
    return due_ms > e->made_ms ? due_ms : e->made_ms;
}

int64_t asq__measure_waits_since_ms(const struct asq__wcall *c)
{
    return c->due_ms || asq__wcall_job(c)->delay_ms ? due_since_ms(c) : c->entry->made_ms;
}

struct asq__series *asq__measure_series_of(const struct asq__run *run)
{
    return series_of(run->w, asq__actor_object(run->actor)->cls, asq__wcall_job(run->active.call));
}

void asq__measure_end(struct asq__run *run, int code)
{
    struct asq__run_times *t = &run->times;
    int64_t began_ns = asq__run_began_ns(run),
            since_ms = asq__measure_waits_since_ms(run->active.call);
    asq__series_run(t->series, began_ns - since_ms * 1000000,
                    t->ended_ns - began_ns - t->parked_ns);
    if (t->parked_ns)
        asq__histogram_add(&t->series->parked, t->parked_ns);
    if (code)
        asq__series_fail(t->series, code);
    t->counted = true;
}

int64_t asq__measure_end_rare(struct asq__run *run)
{
    if (!run->times.counted)
        asq__measure_end(run, 0);
    return ASQ__TIMED_COUNTED;
}

void asq__measure_unstarted(const struct asq__wcall *c, const struct asq__class *cls, int code)
{
    const struct asq__process *w = c->entry->part->w;
    const Asqueue__Job *job = asq__wcall_job(c);
    const struct asq__method *m =
        cls && job->kind == ASQUEUE__JOB_KIND__CALL ? asq__class_method(cls, job->method) : NULL;
    struct asq__series *s = m ? &w->config.figures->series[m->series] : series_of(w, cls, job);
    asq__counter_add(&s->calls, 1);
    asq__series_fail(s, code);
}

void asq__measure_committed(struct asq__commit *c)
{
    struct asq__process *w = c->part->w;
    asq__series_commit(&c->timed, asq__quick_ns(&w->clock));
    asq__timed_recycle(&w->spare_timed, &c->timed);
}

/* ---- gauges ---- */

/* Returns the earlier of `oldest_ms` and the time from which the first call of a queue waits that
 * is due: one that keeps its place may come before. */
static int64_t older(int64_t oldest_ms, const struct asq__list *queue)
{
    ASQ__LIST_EACH (it, queue) {
        const struct asq__wcall *c = ASQ__CONTAINER(it, struct asq__wcall, node);
        if (c->state == ASQ__CALL_DELAYED)
            continue;
        int64_t since_ms = asq__measure_waits_since_ms(c);
        return since_ms < oldest_ms ? since_ms : oldest_ms;
    }
    return oldest_ms;
}

/* Returns since when the oldest call of the partition waits, as far as it is looked at: the first
 * of the intake, and those of the agents that have been busy for longest. */
static int64_t oldest_of(const struct asq__partition *p, int64_t oldest_ms)
{
    int n = 0;
    if (!asq__list_empty(&p->intake)) {
        const struct asq__entry *e = ASQ__CONTAINER(p->intake.next, struct asq__entry, order);
        oldest_ms = e->made_ms < oldest_ms ? e->made_ms : oldest_ms;
    }
    ASQ__LIST_EACH (it, &p->actors.busy) {
        const struct asq__actor *a = ASQ__CONTAINER(it, struct asq__actor, where);
        if (n++ == AGENTS_PER_PARTITION)
            break;
        oldest_ms = older(oldest_ms, &a->calls->mailbox.queue);
        oldest_ms = older(oldest_ms, &a->calls->mailbox.reentrant);
    }
    return oldest_ms;
}

/* Adds to a counter of the figures, which outlive this process, what was counted since the last
 * sample. */
static void tell(atomic_ullong *to, const atomic_ullong *from, unsigned long long *told)
{
    unsigned long long now = atomic_load_explicit(from, memory_order_relaxed);
    asq__counter_add(to, now - *told);
    *told = now;
}

static void set(atomic_llong *gauge, size_t value)
{
    atomic_store_explicit(gauge, (long long) value, memory_order_relaxed);
}

/* Of some partitions. */
struct sum {
    size_t owned, active, due, left, in_flight, unsent;
    int64_t oldest_ms;
};

static size_t waiting_of(const struct sum *s)
{
    return s->due > s->active ? s->due - s->active : 0;
}

static void add_partition(struct sum *s, const struct asq__partition *p)
{
    s->active += p->n_active;
    if (!asq__partition_is_owned(p))
        return;
    s->owned++;
    s->due += p->held_calls - p->undue_calls;
    s->left += asq__backlog_calls(p);
    s->in_flight += p->in_flight;
    s->unsent += p->unsent + (p->open != NULL);
    s->oldest_ms = oldest_of(p, s->oldest_ms);
}

static void add_sum(struct sum *all, const struct sum *s)
{
    all->active += s->active;
    all->due += s->due;
    all->left += s->left;
    all->in_flight += s->in_flight;
    all->unsent += s->unsent;
    all->oldest_ms = s->oldest_ms < all->oldest_ms ? s->oldest_ms : all->oldest_ms;
}

/* Sets the gauges of a pool, once the process serves it or has partitions of it. */
static void set_pool(struct asq__process *w, const char *name, const struct sum *s, int64_t now_ms)
{
    bool make = s->owned || asq__pool_list_has(asq__process_pools(w), name);
    struct asq__pool_gauges *g = asq__figures_pool(w->config.figures, name, make);
    if (!g)
        return;
    set(&g->partitions, s->owned);
    set(&g->active, s->active);
    set(&g->waiting, waiting_of(s));
    set(&g->oldest_ms, (size_t) (now_ms - s->oldest_ms));
    set(&g->backlog, s->left);
}

/* Adds up each pool, and all of them. */
static struct sum sum_pools(struct asq__process *w, int64_t now_ms)
{
    const struct asq__pools *pools = asq__redis_pools(w->redis);
    struct sum all = { .oldest_ms = now_ms };
    for (size_t i = 0; pools && w->parts && i < pools->n; i++) {
        const struct asq__pool *pool = &pools->list[i];
        struct sum s = { .oldest_ms = now_ms };
        for (uint32_t k = 0; k < pool->partitions && pool->first + k < w->nparts; k++)
            add_partition(&s, &w->parts[pool->first + k]);
        set_pool(w, pool->name, &s, now_ms);
        add_sum(&all, &s);
    }
    return all;
}

void asq__measure_sample(struct asq__process *w)
{
    struct asq__figures *f = w->config.figures;
    struct asq__gauges *g = &f->gauges;
    struct asq__pool_stats pool = asq__pool_stats(w->pool);
    int64_t now_ms = asq__now_ms();
    struct sum all = sum_pools(w, now_ms);
    bool redis_up = asq__redis_is_up(w->redis) && asq__process_is_alive(w) && !w->refused_until_ms;
    set(&g->serves, w->has_announced_ready);
    set(&g->redis_up, redis_up);
    set(&g->stopping, w->stopping);
    set(&g->partitions, w->nowned);
    set(&g->running, all.active > pool.parked ? all.active - pool.parked : 0);
    set(&g->parked, pool.parked);
    set(&g->waiting, waiting_of(&all));
    set(&g->oldest_ms, (size_t) (now_ms - all.oldest_ms));
    set(&g->waiting_bytes, atomic_load(&w->held_bytes));
    set(&g->backlog, all.left);
    set(&g->agents, atomic_load(&w->actors.n));
    set(&g->agent_bytes, atomic_load(&w->actors.bytes));
    set(&g->threads_busy, pool.busy);
    set(&g->commits_in_flight, all.in_flight);
    set(&g->commits_waiting, all.unsent);
    tell(&f->commits, &w->commits, &w->told_commits);
    tell(&f->commit_calls, &w->commit_calls, &w->told_commit_calls);
    tell(&f->dead_letters, &w->dead, &w->told_dead);
    atomic_store(&g->updated_ms, now_ms);
}
