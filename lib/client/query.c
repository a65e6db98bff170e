/*
 * query.c: asks Redis about batches that have been quiet for a while, once a second and a bounded
 * number at a time: a push is a hint, the result record is the truth. A batch ends in an error, its
 * outcome unknown, and is never resent, when its entry has left the stream, it is not waiting to be
 * due, and its record is missing. Questions about calls that were made already go to their owner.
 * See batch.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "asqueue.h"
#include "client/batch.h"
#include "client/batch_state.h"
#include "client/engine.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"

enum {
    QUERIES_PER_TICK = 256,
    PLAIN_READ_MAX = 4096 /* bytes; an entry up to this size is read to see whether it exists */
};

static void await_call(struct asq__batch *b, uint32_t index)
{
    struct asq__call_id id = { .partition = b->partition, .index = index };
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__AWAIT };
    memcpy(id.batch, b->id, ASQ__BATCH_ID);
    asq__engine_control(b->engine, "await", &job, &id);
}

/* Asks the owner for missing results. */
static void await_unfinished(struct asq__batch *b, bool own)
{
    for (uint32_t i = 0; own && i < b->n; i++)
        if (b->calls[i])
            await_call(b, i);
    for (struct asq__call *call = b->foreign; call; call = call->next)
        await_call(b, call->index);
}

void asq__batch_take_record(struct asq__engine *e, struct asq__batch *b, uint64_t from,
                            const void *data, size_t n)
{
    if (n && !asq__engine_apply(e, data, n, b)) {
        if (b->garbled) {
            asq__batch_fail(e, b, ASQ_EPROTO, "the call's result record cannot be decoded");
            return;
        }
        /* The record may have changed or vanished while it was read. */
        b->garbled = true;
        b->seen = 0;
        asq__batch_query(e, b);
        return;
    }
    if (b->state == ASQ__BATCH_ENDED)
        return;
    b->garbled = false;
    if (n)
        b->seen = from + n;
    /* Ask the owner for results that are not in the record (yet), also when the id of the batch's
     * entry is unknown. */
    await_unfinished(b, b->state == ASQ__BATCH_ACCEPTED && !*b->entry && n == 0);
    /* The record is final, and has no result for a call that is still unfinished. */
    if (b->state == ASQ__BATCH_ACCEPTED && b->left)
        asq__batch_fail(e, b, ASQ_EUNKNOWN,
                        "the call has left its stream, and its result is not there: it may have "
                        "expired while this client was cut off, or Redis has been flushed");
}

void asq__batch_cannot_read(struct asq__engine *e, struct asq__batch *b, const redisReply *reply)
{
    e->no_get = true;
    asq__engine_denied(e, ASQ__DENIED_READ, reply);
    asq__batch_query(e, b);
}

static void on_entry(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    (void) c;
    asq__engine_denied(b->engine, ASQ__DENIED_QUERY, reply);
    /* An empty reply: the entry has left the stream. */
    b->left = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 0;
    asq__batch_answered(b);
}

static void on_large_entry(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    if (b->engine)
        b->engine->reading_entry = false;
    on_entry(c, reply, user);
}

/* Handles the reply of there.lua. */
static void on_there(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    (void) c;
    if (b->engine && asq__reply_is_denial(reply))
        b->engine->no_eval = true; /* the next query reads the entry */
    b->left = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
    asq__batch_answered(b);
}

static void on_later(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    (void) c;
    asq__engine_denied(b->engine, ASQ__DENIED_QUERY, reply);
    /* A delayed batch stays in later:jobs until it is done. A batch in neither place has had a
     * record since the commit that removed it; if the GET that follows finds none, the record has
     * expired. */
    b->left &= reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
    asq__batch_answered(b);
}

static void put_hex(const uint8_t id[ASQ__BATCH_ID], char out[2 * ASQ__BATCH_ID + 1])
{
    *asq__hex(out, id, ASQ__BATCH_ID) = '\0';
}

/* Asks whether the batch's entry is in the stream. Plain commands send the whole entry, so a script
 * checks for large ones. A user without scripts reads large entries, one at a time. */
static bool ask_stream(struct asq__engine *e, struct asq__batch *b, struct asq__conn *conn)
{
    char key[ASQ__KEY_MAX];
    bool large = b->bytes.len > PLAIN_READ_MAX;
    asq__keys_jobs(asq__redis_keys(e->redis), b->partition, key);
    if (large && !e->no_eval)
        return asq__conn_cmd(conn, on_there, b, "EVAL", asq__script_there, "1", key, b->entry,
                             NULL) == 0;
    if (large && e->reading_entry)
        return false; /* left to a later query */
    bool asked = asq__conn_cmd(conn, large ? on_large_entry : on_entry, b, "XRANGE", key, b->entry,
                               b->entry, NULL) == 0;
    e->reading_entry |= large && asked;
    return asked;
}

void asq__batch_query(struct asq__engine *e, struct asq__batch *b)
{
    char key[ASQ__KEY_MAX];
    struct asq__conn *conn = asq__redis_conn(e->redis, b->partition);
    b->left = false;
    if (b->state != ASQ__BATCH_PINNED)
        asq__batch_hear(b);
    if (e->no_get) {
        await_unfinished(b, b->state == ASQ__BATCH_ACCEPTED);
        return;
    }
    if (b->state == ASQ__BATCH_ACCEPTED && *b->entry) {
        char batch[2 * ASQ__BATCH_ID + 1];
        if (ask_stream(e, b, conn))
            b->answers++;
        put_hex(b->id, batch);
        asq__keys_later_jobs(asq__redis_keys(e->redis), b->partition, key);
        if (asq__conn_cmd(conn, on_later, b, "HEXISTS", key, batch, NULL) == 0)
            b->answers++;
    }
    asq__batch_fetch(e, b); /* replied to after the commands above */
}

void asq__engine_query_quiet(struct asq__engine *e)
{
    int64_t now = asq__now_ms();
    for (int i = 0; i < QUERIES_PER_TICK && !asq__list_empty(&e->watch); i++) {
        struct asq__batch *b = ASQ__CONTAINER(e->watch.next, struct asq__batch, watch);
        if (b->query_at_ms > now)
            break;
        asq__list_del(&b->watch);
        asq__list_add(&e->watch, &b->watch);
        if (b->quiet_ms < ASQ__QUIET_MAX_MS)
            b->quiet_ms *= 2;
        b->query_at_ms = now + b->quiet_ms;
        asq__batch_query(e, b);
        asq__redis_refresh_meta(e->redis); /* the namespace may have been recreated */
    }
}

/* Has a batch queried now and then, because a query may be lost with its connection. */
static void watch_anew(struct asq__engine *e, struct asq__batch *b)
{
    asq__list_add(&e->watch, &b->watch);
    b->quiet_ms = ASQ__QUIET_FIRST_MS;
    b->query_at_ms = asq__now_ms() + b->quiet_ms;
}

int asq__engine_await(struct asq__engine *e, const struct asq__call_id *id, struct asq__call *call)
{
    if (e->closing)
        return ASQ_ECLOSED;
    struct asq__node *node = asq__table_find(&e->batches, id->batch, ASQ__BATCH_ID);
    struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
    if (b && b->state != ASQ__BATCH_FOREIGN) {
        if (id->index >= b->n)
            return ASQ_EINVAL;
        call->batch = b;
        call->index = id->index;
        if (b->calls[id->index]) { /* an unfinished call of this engine */
            call->next = b->calls[id->index];
            b->calls[id->index] = call;
            return 0;
        }
        /* A done call's record still exists, because the batch is pinned or unfinished. */
        call->next = b->foreign;
        b->foreign = call;
        asq__batch_keep_record(b);
        b->seen = 0;
        if (asq__list_empty(&b->watch)) /* pinned: nothing comes by itself any more */
            watch_anew(e, b);
        if (e->up)
            asq__batch_query(e, b);
        return 0;
    }
    if (!b) {
        int rc = asq__batch_new(e, id->partition, id->batch, NULL, &b);
        if (rc < 0)
            return rc;
        asq__batch_enter(b, ASQ__BATCH_FOREIGN);
        asq__list_add(&e->foreign, &b->order);
        watch_anew(e, b);
    }
    call->batch = b;
    call->index = id->index;
    call->next = b->foreign;
    b->foreign = call;
    b->seen = 0;
    if (e->up)
        asq__batch_query(e, b);
    return 0;
}

int asq__engine_cancel(struct asq__engine *e, const struct asq__call_id *id)
{
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__CANCEL };
    return e->up ? asq__engine_control(e, "cancel", &job, id) : ASQ_ECONN;
}

void asq__engine_cancel_batch(struct asq__engine *e, const uint8_t batch[ASQ__BATCH_ID])
{
    struct asq__node *node = asq__table_find(&e->batches, batch, ASQ__BATCH_ID);
    struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
    for (uint32_t i = 0; b && i < b->n; i++) {
        struct asq__call_id id = { .partition = b->partition, .index = i };
        memcpy(id.batch, batch, ASQ__BATCH_ID);
        if (b->calls[i]) /* unfinished */
            asq__engine_cancel(e, &id);
    }
}

int asq__engine_probe(struct asq__engine *e, const struct asq__call_id *id,
                      const Asqueue__Probe *probe)
{
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__PROBE, .probe = probe };
    return e->up ? asq__engine_control(e, "probe", &job, id) : ASQ_ECONN;
}
