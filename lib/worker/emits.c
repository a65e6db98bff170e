/*
 * emits.c: see emits.h. A value goes from the method's thread to the loop, in the order of the
 * method's other requests, and into the open chunk of its run: a stream entry to be. Chunks leave
 * together, those of a partition in one call of emit.lua, every 20 to 200 ms.
 *
 *     thread   asq_emit ──────────┬─▶ goes on        ╭─▶ parks, if much is under way
 *                │                │                  │         ▲
 *     loop       ▼ take()         ╰──────────────────╯         │
 *              chunk ──▶ flush ──▶ emit.lua ──▶ on_flushed() ──╯ frees the chunks
 *
 * The id of a chunk is the number of its run and of its first value, so a flush that is sent again,
 * because its answer was lost, adds nothing twice. A run's last chunks leave before the commit of
 * its outcome, on the same connection, also when both are sent again; and the commit names the last
 * flush that is not acknowledged, without which Redis does not take it: whoever has the result
 * finds all values that are ever to come. Redis takes flushes in their order alone, so one that it
 * has refused for the moment is not shut out by those behind it. What it refuses for good is
 * missing, commits wait for it no longer, and readers see that by the numbers. With wait_replicas a
 * flush is kept, and may be sent again, until the replicas have it.
 *
 * The process may die, or lose the partition, at any point: the next owner has a higher epoch, and
 * with it a higher number for its run, and emit.lua refuses what comes from here with an old token.
 */
#include "worker/emits.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/handle.h"
#include "redis/barrier.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/emissions.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/nested_state.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/push.h"

enum {
    EVERY_MS = 20,               /* between two flushes of a process; more with many calls */
    CALLS_PER_MS = 10,           /* so many calls in one make the pause a millisecond longer */
    EVERY_MOST_MS = 200,         /* it is never longer */
    RETRY_MS = 500,              /* after a refusal */
    CHUNK = 16 * 1024,           /* bytes of an entry, unless one value has more */
    FLUSH = 1024 * 1024,         /* bytes of a script call, about */
    RUN_MOST = 256 * 1024,       /* bytes under way of a run; then it parks */
    ALL_MOST = 16 * 1024 * 1024, /* of a process */
    OVERHEAD = 64,               /* what a value takes besides its bytes, about */
    FLUSHES_MOST = 8,            /* of a partition, unanswered */
    MARKS = 32,                  /* see struct asq__emits */
    RENEWALS = 16                /* of a stream's TTL within it; as in emit.lua */
};

/* Runs are numbered: by the owner's epoch times this, and within it as number_of() says. */
static const uint64_t RUNS_PER_EPOCH = 1000000, MOST_WITHIN = 900000;

/* A stream entry that is to be written. */
struct chunk {
    struct asq__list node; /* in emits->open, then in flush->chunks */
    struct asq__emits *emits;
    uint64_t first, n; /* number of its first value; of its values. n 0: renews the TTL alone */
    uint64_t oldest;   /* value of the run that is still to be kept */
    size_t cost;       /* bytes counted as under way */
    struct asq__buf values;
};

/* Emitted values of a run. Freed when the run has ended, and its chunks have left. */
struct asq__emits {
    struct asq__list node; /* in part->emits while it has open chunks */
    struct asq__list open;
    size_t refs; /* of its run and its chunks */
    struct asq__partition *part;
    struct asq__run *run; /* NULL once it has ended */
    char call[ASQ__CALL_ID_TEXT];
    uint64_t number;  /* of the run */
    int64_t added_ms; /* when its last chunk was begun, which renews the stream's TTL */
    /* Numbers of values, each so many bytes behind the one before: the stream keeps what came since
     * the oldest of them. */
    uint64_t marks[MARKS];
    size_t nmarks, since_mark;
};

struct flush {
    struct asq__list node;       /* in part->emit_flushes */
    struct asq__partition *part; /* NULL: dropped, and an answer is still to come */
    bool sent;                   /* an answer is to come, or that of the replicas */
    uint64_t number;             /* grows from flush to flush of a partition */
    size_t calls;
    struct asq__list chunks;
};

/* ---- memory ---- */

static void emits_unref(struct asq__emits *e)
{
    if (--e->refs == 0) {
        asq__list_del(&e->node);
        free(e);
    }
}

static bool has_room(void *arg)
{
    struct asq__nested *n = arg;
    return atomic_load(&n->emit_bytes) == 0;
}

/* Counts bytes of a run as not under way any more, and wakes it if it waits for that. */
static void release_bytes(struct asq__process *w, struct asq__nested *n, size_t bytes)
{
    atomic_fetch_sub(&w->emit_bytes, bytes);
    if (!n || !n->run)
        return;
    atomic_fetch_sub(&n->emit_bytes, bytes);
    if (asq__run_is_parked(n->run) && n->ready == has_room && has_room(n)) {
        n->run->wait_rc = 0;
        ev_timer_stop(w->loop, &n->timer);
        w->run_hooks->unpark(n->run);
    }
}

static void chunk_free(struct chunk *c)
{
    struct asq__emits *e = c->emits;
    struct asq__nested *n = e->run ? e->run->ctx.h->impl : NULL;
    struct asq__process *w = e->part->w;
    size_t cost = c->cost;
    asq__list_del(&c->node);
    asq__buf_release(&c->values);
    free(c);
    emits_unref(e);
    release_bytes(w, n, cost);
}

static void chunks_free(struct asq__list *chunks)
{
    while (!asq__list_empty(chunks))
        chunk_free(ASQ__CONTAINER(chunks->next, struct chunk, node));
}

static void flush_free(struct flush *f)
{
    asq__list_del(&f->node);
    chunks_free(&f->chunks);
    free(f);
}

/* ---- from the method to the chunk ---- */

/* Value on its way to the loop. */
struct emission {
    struct asq__handover handover;
    struct asq__nested *nested;
    size_t n;
    uint8_t value[];
};

static size_t cost_of(size_t n)
{
    return n + OVERHEAD;
}

/* Has a partition's values sent. */
static void make_due(struct asq__partition *p)
{
    if (asq__list_empty(&p->emitting))
        asq__list_add(&p->w->emitting, &p->emitting);
}

/* Returns the number of a run, above that of each earlier run of the call, also of one that was
 * unloaded: that is no failure, but the next run begins with the first value again. A call that
 * fails may leave memory and come back seconds later, hence the seconds since the claim. */
static uint64_t number_of(const struct asq__partition *p, struct asq__wcall *call)
{
    uint64_t within = call->retries + (uint64_t) (asq__now_ms() - p->claimed_ms) / 1000;
    uint64_t number = p->epoch * RUNS_PER_EPOCH + (within < MOST_WITHIN ? within : MOST_WITHIN);
    if (number <= call->emit_run)
        number = call->emit_run + 1;
    return call->emit_run = number;
}

static struct asq__emits *emits_of(struct asq__run *run)
{
    struct asq__partition *p = run->actor->part;
    struct asq__emits *e = run->emits;
    if (e || !(e = calloc(1, sizeof *e)))
        return e;
    asq__list_init(&e->node);
    asq__list_init(&e->open);
    e->refs = 1;
    e->part = p;
    e->run = run;
    memcpy(e->call, run->active.id, sizeof e->call);
    run->emit_run = e->number = number_of(p, run->active.call);
    run->emits = e;
    return e;
}

/* Notes that a stream has got so many more bytes, and which values it is to keep. */
static void move_marks(struct asq__emits *e, uint64_t first, size_t n)
{
    e->since_mark += n;
    if (e->since_mark < ASQ__EMITTED_KEPT / MARKS)
        return;
    e->since_mark = 0;
    e->marks[e->nmarks++ % MARKS] = first;
}

static uint64_t oldest_kept(const struct asq__emits *e)
{
    return e->nmarks < MARKS ? 0 : e->marks[e->nmarks % MARKS];
}

/* Adds an empty chunk to a run. */
static struct chunk *add_chunk(struct asq__emits *e, uint64_t first)
{
    struct chunk *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->emits = e;
    e->refs++;
    c->first = first;
    e->added_ms = asq__now_ms();
    asq__buf_init(&c->values, CHUNK + 2 * ASQ__EMIT_MAX);
    asq__list_add(&e->open, &c->node);
    if (asq__list_empty(&e->node))
        asq__list_add(&e->part->emits, &e->node);
    make_due(e->part);
    return c;
}

/* Returns the chunk that takes a value of n bytes; NULL: no memory. */
static struct chunk *chunk_for(struct asq__run *run, size_t n)
{
    struct asq__emits *e = emits_of(run);
    if (!e)
        return NULL;
    struct chunk *last =
        asq__list_empty(&e->open) ? NULL : ASQ__CONTAINER(e->open.prev, struct chunk, node);
    if (last && last->values.len + n <= CHUNK)
        return last;
    return add_chunk(e, run->emitted);
}

/* Puts a value into the chunk. False: it is not sent. */
static bool take(struct asq__run *run, const void *value, size_t n)
{
    if (asq__actor_is_orphan(run->actor) || !asq__partition_is_owned(run->actor->part))
        return false; /* void: the call runs elsewhere */
    struct chunk *c = chunk_for(run, n);
    if (!c) {
        asq__partition_abandon(run->actor->part, "out of memory");
        return false;
    }
    asq__emission_put(value, n, &c->values);
    if (c->values.error) {
        asq__partition_abandon(run->actor->part, "out of memory");
        return false;
    }
    c->n++;
    c->cost += cost_of(n);
    move_marks(c->emits, run->emitted, cost_of(n));
    c->oldest = oldest_kept(c->emits);
    run->emitted++;
    return true;
}

static void emit_on_loop(struct asq__handover *h)
{
    struct emission *m = ASQ__CONTAINER(h, struct emission, handover);
    struct asq__nested *n = m->nested; /* the method returns behind this hand-over */
    if (!take(n->run, m->value, m->n))
        release_bytes(n->w, n, cost_of(m->n));
    free(m);
}

int asq__nested_emit(asq *h, const void *value, size_t n)
{
    struct asq__nested *nested = h->impl;
    if (nested->run->ctx.unloaded)
        return ASQ_EUNLOADED;
    struct emission *m = malloc(sizeof *m + n);
    if (!m)
        return ASQ_ENOMEM;
    m->handover.handle = emit_on_loop;
    m->nested = nested;
    m->n = n;
    memcpy(m->value, value, n);
    size_t own = atomic_fetch_add(&nested->emit_bytes, cost_of(n)) + cost_of(n);
    size_t all = atomic_fetch_add(&nested->w->emit_bytes, cost_of(n)) + cost_of(n);
    asq__process_hand_over(nested->w, &m->handover);
    if (own <= RUN_MOST && all <= ALL_MOST)
        return 0;
    return asq__handle_wait(h, has_room, nested, ASQ_FOREVER);
}

void asq__emits_end(struct asq__run *run)
{
    struct asq__emits *e = run->emits;
    if (!e)
        return;
    int64_t ttl = asq__commit_record_ms(run->w, false);
    if (asq__partition_is_owned(e->part) && !asq__actor_is_orphan(run->actor)) {
        if (asq__list_empty(&e->open) && asq__now_ms() - e->added_ms > ttl / RENEWALS)
            add_chunk(e, run->emitted); /* lives as long as the result, then */
        e->part->emit_now |= !asq__list_empty(&e->open);
    }
    e->run = NULL;
    run->emits = NULL;
    emits_unref(e);
}

/* ---- from the chunk to Redis ---- */

static void put_chunk(struct asq__cmd *cmd, const struct chunk *c)
{
    char id[2 * ASQ__DECIMAL_MAX + 2];
    uint64_t at[] = { c->first, c->oldest };
    for (int i = 0; i < 2; i++) {
        size_t n = asq__decimal(c->emits->number, id);
        id[n++] = '-';
        n += asq__decimal(at[i], id + n);
        asq__cmd_put(cmd, id, n);
    }
    asq__cmd_put(cmd, c->values.data, c->values.len);
}

/* Returns the number of the flush that has to be in Redis before this one; 0: none. */
static uint64_t predecessor(const struct flush *f)
{
    if (f->node.prev == &f->part->emit_flushes)
        return 0; /* also when Redis has lost what it had acknowledged */
    return ASQ__CONTAINER(f->node.prev, struct flush, node)->number;
}

static void build(struct asq__cmd *cmd, const struct flush *f)
{
    struct asq__partition *p = f->part;
    const struct asq__keys *keys = asq__redis_keys(p->w->redis);
    char key[ASQ__KEY_MAX];
    size_t n = 0;
    ASQ__LIST_EACH (it, &f->chunks)
        n++;
    asq__script_begin(cmd, asq__redis_scripts(p->w->redis, p->number), ASQ__SCRIPT_EMIT, n + 1);
    asq__cmd_put(cmd, key, asq__keys_lease(keys, p->number, key));
    ASQ__LIST_EACH (it, &f->chunks) {
        const struct chunk *c = ASQ__CONTAINER(it, struct chunk, node);
        asq__cmd_put(cmd, key, asq__keys_emitted(keys, p->number, c->emits->call, key));
    }
    asq__cmd_puts(cmd, p->token);
    asq__cmd_number(cmd, f->number);
    asq__cmd_number(cmd, predecessor(f));
    asq__cmd_number(cmd, (uint64_t) asq__commit_record_ms(p->w, false));
    ASQ__LIST_EACH (it, &f->chunks)
        put_chunk(cmd, ASQ__CONTAINER(it, struct chunk, node));
}

static void retry_later(struct flush *f)
{
    f->part->emit_retry_ms = asq__now_ms() + RETRY_MS;
    make_due(f->part);
}

/* Gives up values that Redis does not let this user write. */
static void give_up(struct flush *f, const redisReply *reply)
{
    struct asq__partition *p = f->part;
    asq__process_log_some_about(p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_WARNING,
                                "partition %u: what calls have emitted is lost, because Redis "
                                "refuses it: %s",
                                p->number, asq__reply_text(reply));
    flush_free(f);
}

static void on_replicas(bool on_replicas, void *user)
{
    struct flush *f = user;
    f->sent = false;
    if (!f->part)
        free(f);
    else if (on_replicas)
        flush_free(f);
    else
        make_due(f->part); /* another server may lack it */
}

/* Keeps a flush that Redis has until replicas have it: a failover could leave a gap in what a run
 * has emitted, and the run goes on. */
static void taken(struct flush *f)
{
    struct asq__partition *p = f->part;
    struct asq__barrier *barrier = asq__redis_barrier(p->w->redis, p->number);
    if (!barrier) {
        flush_free(f);
        return;
    }
    f->sent = asq__barrier_wait(barrier, p->number, false, on_replicas, f) == 0;
    if (!f->sent)
        retry_later(f);
}

static void on_flushed(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct flush *f = user;
    struct asq__partition *p = f->part;
    (void) conn;
    f->sent = false;
    if (!p) {
        free(f);
        return;
    }
    if (!reply)
        make_due(p); /* is sent again when Redis is back */
    else if (reply->type == REDIS_REPLY_INTEGER)
        taken(f);
    else if (asq__reply_is(reply, "FENCED"))
        asq__partition_abandon(p, "what its calls emit found another token in its lease");
    else if (asq__reply_is(reply, "EARLY"))
        make_due(p);
    else if (asq__reply_is_error(reply, "NOSCRIPT")) {
        asq__redis_reload_scripts(p->w->redis, p->number);
        make_due(p);
    } else if (asq__reply_is_transient(reply) || asq__reply_refusal(reply) == ASQ__REFUSED_SLOT ||
               asq__reply_refusal(reply) == ASQ__REFUSED_MEMORY)
        retry_later(f);
    else
        give_up(f, reply);
}

/* Sends a flush. False: not now. */
static bool send_flush(struct flush *f)
{
    struct asq__partition *p = f->part;
    struct asq__cmd cmd;
    asq__cmd_init(&cmd);
    build(&cmd, f);
    f->sent = asq__conn_send(asq__redis_conn(p->w->redis, p->number), on_flushed, f, &cmd) == 0;
    asq__cmd_release(&cmd);
    return f->sent;
}

/* Tells those who wait for the calls that there is more. */
static void push_hints(const struct flush *f)
{
    struct asq__push_group groups[ASQ__PUSH_GROUPS] = { 0 };
    ASQ__LIST_EACH (it, &f->chunks) {
        const struct chunk *c = ASQ__CONTAINER(it, struct chunk, node);
        struct asq__run *run = c->emits->run;
        if (!run) /* its result tells them */
            continue;
        const struct asq__entry *e = run->active.call->entry;
        struct asq__buf frame;
        asq__buf_init(&frame, 128);
        asq__results_head(e->batch->id.data, &frame);
        asq__results_put_emitted(run->active.call->index, run->emit_run, c->first + c->n, &frame);
        if (!frame.error)
            asq__push_gather(groups, e, &frame);
        asq__buf_release(&frame);
    }
    asq__push_gathered(f->part, groups);
}

/* Makes a flush of open chunks; NULL: no memory, and it is tried again. */
static struct flush *gather(struct asq__partition *p)
{
    struct flush *f = calloc(1, sizeof *f);
    size_t bytes = 0;
    if (!f)
        return NULL;
    f->part = p;
    f->number = ++p->emit_number;
    asq__list_init(&f->node);
    asq__list_init(&f->chunks);
    while (bytes < FLUSH && !asq__list_empty(&p->emits)) {
        struct asq__emits *e = ASQ__CONTAINER(p->emits.next, struct asq__emits, node);
        asq__list_del(&e->node);
        ASQ__LIST_EACH (it, &e->open)
            bytes += ASQ__CONTAINER(it, struct chunk, node)->values.len;
        f->calls++;
        asq__list_splice(&f->chunks, &e->open);
    }
    asq__list_add(&p->emit_flushes, &f->node);
    return f;
}

/* Sends again what was not answered, in its order. Returns how many are under way; FLUSHES_MOST: no
 * more are to be. */
static size_t resend(struct asq__partition *p)
{
    size_t n = 0;
    p->emit_retry_ms = 0;
    ASQ__LIST_EACH (it, &p->emit_flushes) {
        struct flush *f = ASQ__CONTAINER(it, struct flush, node);
        if (!f->sent && !send_flush(f)) {
            retry_later(f);
            return FLUSHES_MOST;
        }
        n++;
    }
    return n;
}

/* Sends what a partition has. Returns of how many calls it is. */
static size_t send_partition(struct asq__partition *p, bool due)
{
    size_t under_way = resend(p), calls = 0;
    while (!asq__list_empty(&p->emits) && (p->emit_now || (due && under_way++ < FLUSHES_MOST))) {
        struct flush *f = gather(p);
        if (!f)
            break;
        calls += f->calls;
        if (send_flush(f))
            push_hints(f);
        else
            retry_later(f);
    }
    p->emit_now &= !asq__list_empty(&p->emits); /* no memory */
    if (asq__list_empty(&p->emits) && !p->emit_retry_ms)
        asq__list_del(&p->emitting);
    return calls;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    (void) loop; /* only ends the loop's wait: the iteration sends */
    (void) w;
    (void) revents;
}

void asq__emits_init(struct asq__process *w)
{
    asq__list_init(&w->emitting);
    atomic_init(&w->emit_bytes, 0);
    ev_timer_init(&w->emit, on_timer, 0., 0.);
}

/* Returns how long the next flush has to wait. */
static int64_t pause_after(size_t calls)
{
    int64_t ms = EVERY_MS + (int64_t) (calls / CALLS_PER_MS);
    return ms < EVERY_MOST_MS ? ms : EVERY_MOST_MS;
}

/* Returns whether commands of the partition reach Redis. */
static bool is_reachable(const struct asq__partition *p)
{
    return asq__conn_is_up(asq__redis_conn(p->w->redis, p->number));
}

/* Returns whether a partition's values are to leave. What was refused is tried again after a while,
 * and before each commit, because readers do not wait for it after that. */
static bool wants_to_send(const struct asq__partition *p, int64_t now)
{
    bool commits = !asq__list_empty(&p->ready) && !p->recovering;
    return commits || p->emit_now || p->emit_retry_ms <= now;
}

void asq__emits_send(struct asq__process *w)
{
    int64_t now = asq__now_ms();
    bool due = now >= w->emit_next_ms, waits = false;
    size_t calls = 0;
    ASQ__LIST_EACH (it, &w->emitting) {
        struct asq__partition *p = ASQ__CONTAINER(it, struct asq__partition, emitting);
        if (!asq__partition_is_owned(p)) {
            asq__list_del(&p->emitting); /* to be dropped */
        } else if (is_reachable(p)) {    /* else the connection wakes the loop */
            if (wants_to_send(p, now))
                calls += send_partition(p, due);
            waits |= !asq__list_empty(&p->emitting);
        }
    }
    if (due)
        w->emit_next_ms = now + pause_after(calls);
    if (!waits) {
        ev_timer_stop(w->loop, &w->emit);
        return;
    }
    ev_now_update(w->loop);
    asq__timer_restart(w->loop, &w->emit, (double) (w->emit_next_ms - now) / 1000, 0.);
}

uint64_t asq__emits_missing(const struct asq__partition *p, uint64_t upto)
{
    uint64_t last = 0;
    ASQ__LIST_EACH (it, &p->emit_flushes) {
        const struct flush *f = ASQ__CONTAINER(it, struct flush, node);
        if (f->number <= upto)
            last = f->number;
    }
    return last;
}

void asq__emits_drop(struct asq__partition *p)
{
    struct asq__list *node;
    while ((node = asq__list_pop(&p->emit_flushes))) {
        struct flush *f = ASQ__CONTAINER(node, struct flush, node);
        chunks_free(&f->chunks);
        f->part = NULL;
        if (!f->sent)
            free(f);
    }
    while ((node = asq__list_pop(&p->emits))) {
        struct asq__emits *e = ASQ__CONTAINER(node, struct asq__emits, node);
        e->refs++;
        chunks_free(&e->open);
        emits_unref(e);
    }
    asq__list_del(&p->emitting);
    p->emit_now = false;
    p->emit_retry_ms = 0;
}
