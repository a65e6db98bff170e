/*
 * later_move.c: batches of which no call can run yet. They leave the stream, so that they block no
 * calls there that can run, and they take no memory here:
 *
 *     in the stream ──commit──▶ waits in `later` ──due──▶ in the stream again ──commit──▶ done
 *                                     ▲                          │
 *                                     └────────commit────────────┘
 *
 * A batch is moved as a whole, with the state of its calls (message Later), when all its unfinished
 * calls wait for their time, and the first is not due for a while; if memory is short, at once. Of
 * those that sleep in their agents' first place, sleeper.c keeps the place.
 * later.lua moves due batches back, in bounded steps, and in Redis alone, so its answer may be
 * lost. A field of later:jobs shows from the first move until the batch is done that Redis has
 * taken it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/arena.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/value.h"
#include "worker/commit.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/delay.h"
#include "worker/entries.h"
#include "worker/inputs.h"
#include "worker/later_ask.h"
#include "worker/later_clock.h"
#include "worker/later_move.h"
#include "worker/later_script.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/sleeper.h"
#include "worker/unload_wait.h"

enum {
    NEAR_MS = 5000, /* batches due so soon stay in the stream, with a timer */
    NEAR_SHARE = 4, /* unless this part of --max-backlog-size is used */
    BATCHES_AT_ONCE = 256,
    QUERY_MS = 10000, /* longest pause between queries, which also keep the clock */
    PAUSE_MS = 100,   /* pause between steps while there is a backlog */
    AGAIN_MS = 1000
};
#define MOST_MS ((int64_t) 1 << 53) /* beyond every clock; larger values are forged */

/* ---- what is due ---- */

static void query_due(struct asq__later *l);

static void query_due_in(struct asq__later *l, int64_t ms)
{
    struct asq__process *w = l->part->w;
    if (ev_is_active(&l->timer) && ev_timer_remaining(w->loop, &l->timer) * 1000 <= (double) ms)
        return;
    ev_now_update(w->loop);
    asq__timer_restart(w->loop, &l->timer, (double) ms / 1000, 0.);
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void) loop;
    (void) revents;
    query_due(timer->data);
}

struct due_query {
    struct asq__partition *p;
    uint64_t ownership, puts;
};

static void on_due_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct due_query q = *(struct due_query *) user;
    struct asq__partition *p = q.p;
    struct asq__later *l = p->later;
    (void) c;
    free(user);
    if (p->ownership != q.ownership || !asq__partition_is_owned(p))
        return;
    l->querying = false;
    if (!asq__later_answered(p, reply, 0)) {
        if (asq__partition_is_owned(p))
            query_due_in(l, AGAIN_MS);
        return;
    }
    long long moved = reply->element[0]->integer, next_ms = reply->element[1]->integer;
    if (reply->element[3]->integer)
        asq__process_log_some(
            p->w, ASQ_LOG_ERROR,
            "partition %u: %lld due batches are gone: they were removed from its key later:jobs",
            p->number, reply->element[3]->integer);
    if (reply->element[4]->integer)
        asq__process_log_some(
            p->w, ASQ_LOG_WARNING,
            "partition %u: %lld waiting batches were removed from its key later; they were found "
            "in later:jobs, and still wait",
            p->number, reply->element[4]->integer);
    if (next_ms < -1)
        l->maybe = l->puts != q.puts;
    else if (next_ms < 0) /* batches are in the stream again */
        query_due_in(l, moved ? AGAIN_MS : QUERY_MS);
    if (moved == BATCHES_AT_ONCE || next_ms == 0)
        query_due_in(l, p->backlog ? PAUSE_MS : 0);
    else if (next_ms > 0)
        query_due_in(l, next_ms < QUERY_MS ? next_ms : QUERY_MS);
}

static void query_due(struct asq__later *l)
{
    struct asq__partition *p = l->part;
    if (l->querying || p->state != ASQ__PART_ACTIVE)
        return; /* a draining partition takes in no calls that can wait */
    struct due_query *q = malloc(sizeof *q);
    struct asq__cmd cmd;
    if (!q) {
        query_due_in(l, AGAIN_MS);
        return;
    }
    *q = (struct due_query){ p, p->ownership, l->puts };
    asq__later_script(p, &cmd, BATCHES_AT_ONCE);
    l->querying =
        asq__conn_send(asq__redis_conn(p->w->redis, p->number), on_due_answer, q, &cmd) == 0;
    asq__cmd_release(&cmd);
    if (!l->querying) {
        free(q);
        query_due_in(l, AGAIN_MS);
    }
}

void asq__later_open(struct asq__partition *p)
{
    struct asq__later *l = p->later;
    if (asq__redis_lack(p->w->redis, NULL) & ASQ__LACKS_SORTED_SETS) {
        asq__later_free(p); /* delayed calls stay in the stream */
        return;
    }
    if (!l) {
        if (!(l = calloc(1, sizeof *l))) {
            asq__partition_abandon(p, "out of memory");
            return;
        }
        l->part = p;
        ev_timer_init(&l->timer, on_time, 0., 0.);
        l->timer.data = l;
        asq__list_init(&l->cancels);
        p->later = l;
    }
    l->querying = false;
    l->maybe = true;
    query_due(l);
}

void asq__later_close(struct asq__partition *p)
{
    struct asq__later *l = p->later;
    if (!l)
        return;
    ev_timer_stop(p->w->loop, &l->timer);
    asq__later_drop_cancels(p);
    l->querying = false;
}

void asq__later_free(struct asq__partition *p)
{
    asq__later_close(p);
    free(p->later);
    p->later = NULL;
}

void asq__later_upkeep(struct asq__partition *p)
{
    struct asq__later *l = p->later;
    if (!l || p->state != ASQ__PART_ACTIVE)
        return;
    if (l->maybe && !l->querying && !ev_is_active(&l->timer))
        query_due(l); /* a drain was called off */
    if (!asq__list_empty(&l->cancels))
        asq__later_resend_cancels(p);
}

/* ---- out of the stream ---- */

/* Writes what `look` shows of the batch: its first call, and how many more there are. */
static void put_label(const Asqueue__Batch *batch, char *out, size_t size)
{
    const Asqueue__Job *job = batch->jobs[0];
    int n = snprintf(out, size, "%s%s%s%s%s", job->class_name, *job->class_name ? "/" : "",
                     job->agent, *job->method ? "." : "", job->method);
    if (batch->n_jobs > 1 && n > 0 && (size_t) n < size)
        snprintf(out + n, size - (size_t) n, " +%zu", batch->n_jobs - 1);
}

/* Encodes the stored form of a batch, owned by the caller. NULL: no memory. */
static void *encode(const struct asq__entry *e, size_t *ret_n)
{
    const Asqueue__Batch *batch = e->batch;
    char label[2 * ASQ_MAX_NAME + ASQ_MAX_ID + 32];
    Asqueue__Later m;
    Asqueue__LaterCall *calls = calloc(batch->n_jobs, sizeof *calls);
    Asqueue__LaterCall **list = calloc(batch->n_jobs, sizeof(Asqueue__LaterCall *));
    size_t n = asqueue__batch__get_packed_size(batch);
    uint8_t *bytes = malloc(n + 1), *out = NULL;
    asqueue__later__init(&m);
    for (size_t i = 0; calls && list && i < batch->n_jobs; i++) {
        const struct asq__wcall *c = &e->calls[i];
        if (c->state == ASQ__CALL_FINISHED ||
            (!c->retries && !c->reentered && !c->canceled && !c->recorded))
            continue;
        Asqueue__LaterCall *call = &calls[m.n_calls];
        asqueue__later_call__init(call);
        call->index = (uint32_t) i;
        call->runs = c->retries;
        call->due_ms = (c->retries || c->recorded) && (c->apart || c->rests)
                           ? (uint64_t) (c->wake_ms + e->part->minus_mono_ms)
                           : 0;
        call->recorded = c->recorded;
        call->reentered = c->reentered;
        call->canceled = c->canceled;
        call->in_place = c->rests;
        list[m.n_calls++] = call;
    }
    if (calls && list && bytes) {
        put_label(batch, label, sizeof label);
        m.call = label;
        m.batch = (ProtobufCBinaryData){ asqueue__batch__pack(batch, bytes), bytes };
        m.made_ms = e->made_ms + e->part->minus_mono_ms;
        m.replies = e->channels;
        m.n_replies = e->nchannels;
        m.calls = list;
        *ret_n = asqueue__later__get_packed_size(&m);
        if ((out = malloc(*ret_n)))
            asqueue__later__pack(&m, out);
    }
    free(bytes);
    free(calls);
    free(list);
    return out;
}

static bool is_tight(const struct asq__process *w)
{
    return atomic_load_explicit(&w->held_bytes, memory_order_relaxed) >
           w->config.max_backlog_size / NEAR_SHARE;
}

/* Returns when the first call that waits for its time is due; monotonic. */
static int64_t first_due_ms(const struct asq__entry *e)
{
    int64_t due_ms = INT64_MAX;
    for (size_t i = 0; i < e->batch->n_jobs; i++)
        if ((e->calls[i].apart || e->calls[i].rests) && e->calls[i].wake_ms < due_ms)
            due_ms = e->calls[i].wake_ms;
    return due_ms;
}

/* Returns whether no call of the batch needs memory: each waits for its time, in no mailbox or
 * alone in its own. */
static bool can_leave(const struct asq__entry *e)
{
    if (e->apart + e->resting < e->unfinished || !e->unfinished)
        return false;
    for (size_t i = 0; e->resting && i < e->batch->n_jobs; i++)
        if (e->calls[i].rests && !asq__sleeper_may_leave(&e->calls[i]))
            return false;
    return true;
}

void asq__later_move_out(struct asq__entry *e)
{
    struct asq__partition *p = e->part;
    struct asq__process *w = p->w;
    size_t n;
    if (!p->later || e->state != ASQ__ENTRY_DISPATCHED || !asq__partition_is_owned(p) ||
        !can_leave(e))
        return;
    int64_t due_ms = first_due_ms(e), left_ms = due_ms - asq__now_ms();
    if (left_ms <= 0 || (left_ms <= NEAR_MS && !is_tight(w)))
        return;
    void *kept = encode(e, &n);
    if (!kept) {
        asq__partition_abandon(p, "out of memory");
        return;
    }
    if (n > asq__redis_max_string(w->redis)) { /* waits in the stream, where it is a bit shorter */
        free(kept);
        return;
    }
    for (size_t i = 0; i < e->batch->n_jobs; i++)
        if (e->calls[i].apart || e->calls[i].rests) {
            asq__delay_stop(&e->calls[i]);
            asq__inputs_free(e->calls[i].inputs); /* awaited again then */
            e->calls[i].inputs = NULL;
            asq__unload_forget(&e->calls[i]);
        }
    asq__assert(!e->left && !asq__entry_is_in_intake(e));
    asq__entry_enter(e, ASQ__ENTRY_LEAVING);
    e->left_channels = e->nchannels;
    e->left_copies = e->ncopies;
    if (!p->later->maybe)
        asq__later_keep_clock(p);
    p->later->maybe = true;
    p->later->puts++;
    asq__commit_later(e, (uint64_t) (due_ms + p->minus_mono_ms), kept, n);
    for (size_t i = 0; e->resting && i < e->batch->n_jobs; i++)
        if (e->calls[i].rests && asq__partition_is_owned(p))
            asq__sleeper_leaves(&e->calls[i]);
}

/* Frees an entry that is not needed here any more. */
static void let_go(struct asq__entry *e)
{
    if (asq__entry_is_known(e))
        asq__entry_detach(e);
    for (size_t i = 0; i < e->batch->n_jobs; i++)
        if (e->calls[i].state != ASQ__CALL_FINISHED)
            asq__wcall_enter(&e->calls[i], ASQ__CALL_FINISHED);
    e->unfinished = 0;
    asq__entry_release_if_done(e);
}

static void moved_out(struct asq__entry *e)
{
    struct asq__partition *p = e->part;
    if (asq__entry_is_known(e)) {
        asq__assert(e->state == ASQ__ENTRY_LEAVING);
        /* Channels and cancels that came while the commit was on its way. */
        size_t n = 0;
        struct asq__call_id *canceled = NULL;
        for (size_t i = 0; i < e->batch->n_jobs; i++)
            n += e->calls[i].state != ASQ__CALL_FINISHED && e->calls[i].canceled;
        if (n && (canceled = calloc(n, sizeof *canceled))) {
            size_t k = 0;
            for (size_t i = 0; i < e->batch->n_jobs; i++) {
                if (e->calls[i].state == ASQ__CALL_FINISHED || !e->calls[i].canceled)
                    continue;
                canceled[k].partition = p->number;
                canceled[k].index = (uint32_t) i;
                memcpy(canceled[k++].batch, e->batch->id.data, ASQ__BATCH_ID);
            }
        }
        if (n && (!canceled || !asq__later_cancel(p, canceled, n, (struct asq__stream_id){ 0, 0 })))
            asq__partition_abandon(p, "out of memory");
        free(canceled);
        asq__later_add_channels(e, e->left_channels);
        for (size_t i = e->left_copies; i < e->ncopies; i++)
            asq__commit_remove(p, e->copies[i]);
    }
    if (e->resting)
        asq__sleeper_has_left(e);
    int64_t left_ms = first_due_ms(e) - asq__now_ms();
    if (p->later)
        query_due_in(p->later, left_ms < 0 ? 0 : left_ms < QUERY_MS ? left_ms : QUERY_MS);
    let_go(e);
}

bool asq__later_take_moved(struct asq__process *w)
{
    struct asq__list *node;
    bool any = false;
    while ((node = asq__list_pop(&w->moved))) {
        struct asq__entry *e = ASQ__CONTAINER(node, struct asq__entry, moved);
        any = true;
        if (asq__partition_is_owned(e->part))
            moved_out(e);
        else if (!asq__entry_is_known(e)) /* else it goes with the partition's entries */
            let_go(e);
    }
    return any;
}

/* ---- in the stream again ---- */

/* Converts a time to the monotonic clock. A future or impossible time counts as now. */
static int64_t made_ms(const struct asq__partition *p, int64_t kept_ms, int64_t now_ms)
{
    if (kept_ms == 0 || kept_ms < -(INT64_MAX / 2) || kept_ms > INT64_MAX / 2)
        return now_ms;
    int64_t ms = kept_ms - p->minus_mono_ms;
    return ms < now_ms ? ms : now_ms;
}

int asq__later_take(struct asq__entry *e, const void *data, size_t n)
{
    struct asq__arena arena;
    asq__arena_init(&arena, 64 * n + 4096);
    Asqueue__Later *m = asqueue__later__unpack(&arena.allocator, n, data);
    int rc = m && m->made_ms > -MOST_MS && m->made_ms < MOST_MS ? 0 : ASQ_EPROTO;
    for (size_t i = 0; rc == 0 && i < m->n_calls; i++) {
        const Asqueue__LaterCall *call = m->calls[i];
        if (call->index >= e->batch->n_jobs || call->due_ms > (uint64_t) MOST_MS) {
            rc = ASQ_EPROTO;
            break;
        }
        struct asq__wcall *c = &e->calls[call->index];
        c->canceled |= call->canceled;
        c->reentered |= call->reentered;
        c->recorded |= call->recorded;
        if (call->in_place)
            c->marked = c->keeps_place = true;
        if (call->runs || call->due_ms) {
            c->retries = call->runs;
            c->due_ms = call->due_ms;
        }
    }
    for (size_t i = 0; rc == 0 && i < m->n_replies; i++)
        if (m->n_replies > ASQ__LATER_CHANNELS || !asq__is_client_id(m->replies[i]))
            rc = ASQ_EPROTO;
        else
            rc = asq__entry_add_channel(e, m->replies[i]);
    e->read_ms = asq__now_ms_coarse();
    e->made_ms = rc == 0 ? made_ms(e->part, m->made_ms, e->read_ms) : e->read_ms;
    asq__arena_release(&arena);
    e->kept = e->returned = true;
    return rc;
}

void asq__later_take_state(struct asq__entry *to, const struct asq__entry *from)
{
    bool moved_here = !asq__stream_id_is_at_most(from->id, to->part->inherited);
    to->returned = to->may_have_begun = true;
    to->out_of_order = false; /* Redis has accepted it before */
    to->made_ms = from->made_ms;
    for (size_t i = 0; i < from->batch->n_jobs && i < to->batch->n_jobs; i++) {
        const struct asq__wcall *f = &from->calls[i];
        struct asq__wcall *t = &to->calls[i];
        t->reentered |= f->reentered;
        if ((t->retries || t->due_ms) && !moved_here) { /* attempts are newer */
            t->marked = f->marked && t->keeps_place;
            continue;
        }
        t->recorded = moved_here ? f->recorded : t->recorded || f->recorded;
        t->retries = f->retries;
        t->due_ms = f->due_ms;
        t->keeps_place = f->keeps_place;
        t->marked = f->marked;
    }
}

void asq__later_take_over(struct asq__entry *from, struct asq__entry *to)
{
    struct asq__partition *p = from->part;
    asq__entry_detach(from);
    for (size_t i = 0; i < from->batch->n_jobs && i < to->batch->n_jobs; i++)
        to->calls[i].canceled |= from->calls[i].canceled;
    for (size_t i = from->left_channels; i < from->nchannels; i++)
        asq__entry_add_channel(to, from->channels[i]); /* no memory: its client looks by itself */
    for (size_t i = from->left_copies; i < from->ncopies; i++)
        asq__commit_remove(p, from->copies[i]);
}
