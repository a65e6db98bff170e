/*
 * fetch.c: reads result records from their keys. A push is a hint: a large result is only
 * announced, with its place in the record, and pushes are missed while the connection is lost.
 * Records are read in pieces so that no reply is large, and only a few megabytes are requested at a
 * time. The replies that Redis buffers for this client so stay below the limits that Redis may have
 * for clients, however much is waiting. See batch.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "asqueue.h"
#include "client/batch.h"
#include "redis/barrier.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/buf.h"
#include "value/decimal.h"
#include "value/list.h"

enum {
    PIECE = 1 << 20,               /* bytes read at once */
    FIRST_PIECE = 64 << 10,        /* bytes first read of a record of unknown size */
    MAX_IN_FLIGHT = 8 << 20,       /* bytes requested in all */
    LEAST_GUESS = FIRST_PIECE / 4, /* minimum for the guessed size of such a record */
    WAITING_MAX = 64 /* pending announcements of one batch; beyond, the whole record is read */
};

/* A range of a record, buffered until it is complete. */
struct fetch {
    struct asq__list node;    /* in e->fetches while queued */
    struct asq__batch *batch; /* counts this fetch in its `answers` */
    uint64_t from, upto;      /* upto 0: to the record's end */
    size_t cost;              /* bytes counted as under way */
    bool whole;               /* by GET, because GETRANGE is not allowed */
    struct asq__buf got;
};

static bool is_wanted(const struct asq__batch *b)
{
    return b->state != ASQ__BATCH_ENDED && (b->unfinished || b->foreign);
}

static void fetch_free(struct fetch *f)
{
    struct asq__batch *b = f->batch;
    if (f->upto)
        b->announced--;
    else
        b->reading = ASQ__READING_NOT;
    asq__list_del(&f->node);
    asq__buf_release(&f->got);
    free(f);
    asq__batch_answered(b);
}

static void on_piece(struct asq__conn *c, const redisReply *reply, void *user);

static size_t piece_size(const struct fetch *f)
{
    size_t most = f->upto || f->got.len ? PIECE : FIRST_PIECE;
    uint64_t left = f->upto ? f->upto - f->from - f->got.len : most;
    return left < most ? (size_t) left : most;
}

static bool send_piece(struct asq__engine *e, struct fetch *f)
{
    struct asq__batch *b = f->batch;
    char key[ASQ__KEY_MAX], from[ASQ__DECIMAL_MAX + 1], to[ASQ__DECIMAL_MAX + 1];
    struct asq__conn *conn = asq__redis_conn(e->redis, b->partition);
    asq__keys_result(asq__redis_keys(e->redis), b->partition, b->id, key);
    if (f->whole)
        return asq__conn_cmd(conn, on_piece, f, "GET", key, NULL) == 0;
    uint64_t at = f->from + f->got.len;
    from[asq__decimal(at, from)] = '\0';
    to[asq__decimal(at + piece_size(f) - 1, to)] = '\0';
    return asq__conn_cmd(conn, on_piece, f, "GETRANGE", key, from, to, NULL) == 0;
}

void asq__engine_fetch_more(struct asq__engine *e)
{
    while (e->up && !asq__list_empty(&e->fetches)) {
        struct fetch *f = ASQ__CONTAINER(e->fetches.next, struct fetch, node);
        if (!is_wanted(f->batch)) {
            fetch_free(f);
            continue;
        }
        f->cost = f->whole ? PIECE : f->upto || f->got.len ? piece_size(f) : e->fetch_guess;
        if (e->fetching && e->fetching + f->cost > MAX_IN_FLIGHT)
            return;
        asq__list_del(&f->node);
        if (!send_piece(e, f)) {
            bool serves = asq__redis_serves(e->redis, f->batch->partition);
            fetch_free(f); /* the batch is queried again when Redis is back */
            if (serves)
                return; /* no memory */
            continue;
        }
        e->fetching += f->cost;
    }
}

/* Queues a read. False: no memory; the batch will be queried again. */
static bool queue_fetch(struct asq__engine *e, struct asq__batch *b, uint64_t from, uint64_t upto)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (!f)
        return false;
    f->batch = b;
    f->from = from;
    f->upto = upto;
    f->whole = e->only_get;
    asq__list_init(&f->node);
    asq__buf_init(&f->got, ASQ__BATCH_MAX);
    b->answers++;
    if (upto)
        b->announced++;
    else
        b->reading = ASQ__READING_NOW;
    asq__list_add(&e->fetches, &f->node);
    asq__engine_fetch_more(e);
    return true;
}

void asq__batch_fetch(struct asq__engine *e, struct asq__batch *b)
{
    if (b->reading)
        b->reading = ASQ__READING_TWICE;
    else
        queue_fetch(e, b, b->seen, 0);
}

void asq__batch_fetch_announced(struct asq__engine *e, struct asq__batch *b, uint64_t upto,
                                uint64_t size)
{
    if (!is_wanted(b) || !e->up)
        return;
    if (e->no_get) {
        asq__batch_fail(
            e, b, ASQ_EREDIS,
            "its result is too large to be pushed, and Redis does not let this user read "
            "it: allow GET and GETRANGE of asq:{NAMESPACE.*}:r:*");
        return;
    }
    /* Offsets in Redis end at INT64_MAX: a push that exceeds it is nonsense. */
    if (e->only_get || size == 0 || size > upto || upto > INT64_MAX || b->announced >= WAITING_MAX)
        asq__batch_query(e, b);
    else
        queue_fetch(e, b, upto - size, upto);
}

/* Hands a complete range on. */
static void deliver(struct asq__engine *e, struct fetch *f)
{
    struct asq__batch *b = f->batch;
    if (!is_wanted(b))
        return;
    if (!f->upto || f->whole) {
        asq__batch_take_record(e, b, f->whole ? 0 : f->from, f->got.data, f->got.len);
    } else if (f->got.len != f->upto - f->from ||
               !asq__engine_apply(e, f->got.data, f->got.len, b)) {
        asq__batch_query(e, b); /* the record has changed */
    }
}

/* Ends a read, and starts the next one if the record was requested again meanwhile. */
static void end_fetch(struct asq__engine *e, struct fetch *f)
{
    struct asq__batch *b = f->batch;
    bool reread = !f->upto && b->reading == ASQ__READING_TWICE;
    b->answers++;
    fetch_free(f);
    if (reread && is_wanted(b))
        queue_fetch(e, b, b->seen, 0);
    asq__batch_answered(b);
}

/* Handles an error reply. True: read on, by GET. */
static bool refused(struct asq__engine *e, struct fetch *f, const redisReply *reply)
{
    struct asq__batch *b = f->batch;
    if (asq__reply_is_transient(reply) || !is_wanted(b))
        return false; /* the batch will be queried again */
    bool lacking = asq__reply_is_denial(reply);
    if (lacking && !f->whole) {
        e->only_get = f->whole = true;
        asq__buf_reset(&f->got);
        return true;
    }
    if (lacking)
        asq__batch_cannot_read(e, b, reply);
    else
        asq__batch_fail(e, b, ASQ_EPROTO, asq__reply_text(reply));
    return false;
}

/* Handles the end of a read's wait for replicas. After a lost connection the batch is queried. */
static void on_replicas(bool on_replicas, void *user)
{
    struct fetch *f = user;
    struct asq__engine *e = f->batch->engine;
    if (!e) {
        fetch_free(f);
        return;
    }
    if (on_replicas)
        deliver(e, f);
    end_fetch(e, f);
    asq__engine_fetch_more(e);
}

/* Delivers a complete range, once the replicas have it that are to have it. True: later. */
static bool deliver_on_replicas(struct asq__engine *e, struct fetch *f)
{
    const struct asq__batch *b = f->batch;
    struct asq__barrier *barrier = asq__redis_barrier(e->redis, b->partition);
    if (barrier && f->got.len && is_wanted(b))
        return asq__barrier_wait(barrier, b->partition, false, on_replicas, f) == 0;
    deliver(e, f);
    return false;
}

static void on_piece(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct fetch *f = user;
    struct asq__engine *e = f->batch->engine;
    (void) c;
    if (!e) {
        fetch_free(f);
        return;
    }
    if (!reply) { /* others have its room when the loss was told of */
        e->fetching -= f->cost < e->fetching ? f->cost : e->fetching;
        fetch_free(f);
        return;
    }
    e->fetching -= f->cost < e->fetching ? f->cost : e->fetching;
    bool more = false;
    if (reply->type == REDIS_REPLY_ERROR) {
        more = refused(e, f, reply);
    } else {
        size_t n = reply->type == REDIS_REPLY_STRING ? (size_t) reply->len : 0;
        size_t asked = piece_size(f), guess = e->fetch_guess - e->fetch_guess / 16;
        guess = n > guess ? n : guess;
        e->fetch_guess = guess < LEAST_GUESS ? LEAST_GUESS : guess < PIECE ? guess : PIECE;
        asq__buf_put(&f->got, reply->str, n);
        more = !f->whole && n == asked && (!f->upto || f->got.len < f->upto - f->from);
        if (!f->got.error && !more && deliver_on_replicas(e, f)) {
            asq__engine_fetch_more(e);
            return;
        }
        more &= !f->got.error;
    }
    if (more)
        asq__list_add_first(&e->fetches, &f->node);
    else
        end_fetch(e, f);
    asq__engine_fetch_more(e);
}

void asq__engine_begin_fetches(struct asq__engine *e)
{
    e->fetching = 0;
    e->fetch_guess = PIECE;
    e->only_get = e->no_get = false; /* the user's rights may have changed */
}

void asq__engine_forget_fetches(struct asq__engine *e, const bool *parts)
{
    ASQ__LIST_EACH (it, &e->fetches) {
        struct fetch *f = ASQ__CONTAINER(it, struct fetch, node);
        if (asq__engine_concerns(parts, f->batch->partition))
            fetch_free(f);
    }
}
