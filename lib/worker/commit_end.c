/*
 * commit_end.c: see commit_end.h. A commit that has ended frees its entries, and lets the engine
 * forget the records of nested calls.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "client/engine.h"
#include "redis/redis.h"
#include "value/assert.h"
#include "value/list.h"
#include "worker/commit.h"
#include "worker/commit_end.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/entries.h"
#include "worker/measure.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/refused.h"
#include "worker/spans.h"
#include "worker/timers.h"

/* Counts a commit with a piece of the entry, or with its move, as acknowledged or dropped. */
static void uncount(struct asq__entry *e)
{
    asq__assert(e->uncommitted > 0);
    e->uncommitted--;
}

static void forget_if_same(struct asq__stream_id *id, struct asq__stream_id removed)
{
    if (id->ms == removed.ms && id->n == removed.n)
        *id = (struct asq__stream_id){ 0, 0 };
}

void asq__commit_acknowledge(struct asq__commit *c)
{
    struct asq__partition *p = c->part;
    struct asq__process *w = p->w;
    asq__list_del(&c->node);
    p->unsent -= !c->sent;
    p->commit_bytes -= c->bytes;
    if (c->seq > p->acked)
        p->acked = c->seq;
    if (p->refused)
        asq__refused_over(p, true);
    atomic_fetch_add(&w->commits, 1);
    atomic_fetch_add(&w->commit_calls, c->calls);
    if (c->timed.n)
        asq__measure_committed(c);
    if (!asq__list_empty(&c->spans))
        asq__spans_committed(w, c);
    for (size_t i = 0; i < c->nremoved; i++) {
        forget_if_same(&p->last_there, c->removed[i]);
        forget_if_same(&p->must_have, c->removed[i]);
    }
    for (size_t i = 0; i < c->npieces; i++) {
        struct asq__entry *e = c->pieces[i].entry;
        uncount(e);
        asq__entry_release_if_done(e);
    }
    for (size_t i = 0; i < c->nmoves; i++)
        if (c->moves[i].entry) {
            uncount(c->moves[i].entry);
            asq__list_add(&w->moved, &c->moves[i].entry->moved);
        }
    for (size_t i = 0; i < c->ninner; i++)
        asq__engine_unpin(w->engine, c->inner[i].id,
                          c->inner[i].keep ? ASQ__RECORD_EXPIRE : ASQ__RECORD_UNLINK,
                          c->inner[i].again_ms);
    if (c->ntimers)
        asq__timers_changed(p);
    asq__commit_free(c);
}

void asq__commits_drop(struct asq__partition *p)
{
    struct asq__list *node;
    struct asq__list dropped;
    asq__list_init(&dropped);
    if (p->open)
        asq__commit_close(p);
    asq__list_splice(&dropped, &p->commits);
    asq__list_del(&p->ready);
    while ((node = asq__list_pop(&dropped))) {
        struct asq__commit *c = ASQ__CONTAINER(node, struct asq__commit, node);
        for (size_t i = 0; i < c->npieces; i++) {
            /* The entry itself goes with the table of entries, which is dropped next. */
            uncount(c->pieces[i].entry);
        }
        for (size_t i = 0; i < c->nmoves; i++)
            if (c->moves[i].entry) {
                uncount(c->moves[i].entry);
                asq__list_add(&p->w->moved, &c->moves[i].entry->moved);
            }
        for (size_t i = 0; i < c->ninner; i++) /* the call may run again and need them */
            asq__engine_unpin(p->w->engine, c->inner[i].id, ASQ__RECORD_LEAVE, 0);
        asq__commit_free(c);
    }
    p->in_flight = p->unsent = p->commit_bytes = 0;
    p->commits_many = false;
    if (p->refused)
        asq__refused_over(p, false);
}

bool asq__commit_give_up_large(struct asq__partition *p, const struct asq__commit *c)
{
    char why[300];
    size_t n, limit = asq__redis_max_string(p->w->redis);
    if (c->bytes <= limit || (n = asq__commit_longest_string(c)) <= limit)
        return false;
    snprintf(
        why, sizeof why,
        "a result or state of %zu bytes is too large for this Redis (at most %zu: "
        "proto-max-bulk-len, client-query-buffer-limit, or the limit of a proxy before Redis); "
        "its call will fail",
        n, limit);
    asq__partition_abandon(p, why);
    return true;
}

void asq__commit_foreign_seq(struct asq__partition *p)
{
    asq__partition_abandon(p, "this owner did not write the sequence number in its lease");
}
