/*
 * later_ask.c: queries about single batches that wait outside of the stream (later_move.c):
 * whether a copy of one is there, which other clients wait for its results, and which of its calls
 * are cancelled. Facts that matter when the batch comes back are added to its stored form, in the
 * step that finds it.
 *
 * A job that cancels leaves the stream after it was handled, so that it is not lost with this
 * process.
 */
#include <stdlib.h>
#include <string.h>

#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/reply.h"
#include "value/assert.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/unconst.h"
#include "value/value.h"
#include "worker/backlog.h"
#include "worker/commit.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/entries.h"
#include "worker/later_ask.h"
#include "worker/later_script.h"
#include "worker/partition.h"
#include "worker/process.h"

enum { CANCELS_AT_ONCE = 500, CANCEL_TRIES = 120, ADDED_SIZE = 4096 };

static void put_batch(struct asq__cmd *cmd, const uint8_t batch[ASQ__BATCH_ID])
{
    char hex[2 * ASQ__BATCH_ID];
    asq__hex(hex, batch, ASQ__BATCH_ID);
    asq__cmd_put(cmd, hex, sizeof hex);
}

/* Adds a batch to the command. */
static void put_query(struct asq__cmd *cmd, const uint8_t batch[ASQ__BATCH_ID],
                      const Asqueue__Later *added, bool back)
{
    uint8_t bytes[ADDED_SIZE];
    size_t n = asqueue__later__get_packed_size(added);
    put_batch(cmd, batch);
    asq__cmd_put(cmd, bytes, n <= sizeof bytes ? asqueue__later__pack(added, bytes) : 0);
    asq__cmd_puts(cmd, back ? "back" : "stay");
}

static void put_channel(struct asq__cmd *cmd, const uint8_t batch[ASQ__BATCH_ID],
                        const char *client)
{
    char *reply = asq__unconst(client);
    Asqueue__Later added;
    asqueue__later__init(&added);
    added.replies = &reply;
    added.n_replies = *client != '\0';
    put_query(cmd, batch, &added, false);
}

static struct asq__conn *conn_of(const struct asq__partition *p)
{
    return asq__redis_conn(p->w->redis, p->number);
}

/* Returns the script's answer about batch number i. */
static enum asq__later_place place_of(const redisReply *reply, size_t i)
{
    switch (reply->element[5 + i]->integer) {
    case 0: return ASQ__LATER_NONE;
    case 1: return ASQ__LATER_WAITS;
    default: return ASQ__LATER_IN_STREAM;
    }
}

/* ---- a copy ---- */

/* Adds the batch's own channel, and the channels that joined it from the given one on. */
static size_t put_channels(struct asq__cmd *cmd, const struct asq__entry *e, bool own, size_t from)
{
    size_t n = own;
    if (own)
        put_channel(cmd, e->batch->id.data, e->batch->reply);
    for (size_t i = from; i < e->nchannels; i++, n++)
        put_channel(cmd, e->batch->id.data, e->channels[i]);
    return n;
}

/* Takes the answer about an entry's copies. May free it. */
static void on_copy(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__entry *e = user;
    struct asq__partition *p = e->part;
    (void) c;
    if (!asq__entry_end_lookup(e))
        return;
    e->first_copy = ASQ__LATER_UNKNOWN;
    if (!asq__partition_is_owned(p))
        return;
    if (asq__later_answered(p, reply, e->left_channels + 1))
        e->first_copy = place_of(reply, 0);
}

void asq__later_ask_copy(struct asq__entry *e)
{
    struct asq__partition *p = e->part;
    struct asq__cmd cmd;
    e->first_copy = ASQ__LATER_NONE;
    if (!asq__later_may_have(p))
        return;
    asq__later_script(p, &cmd, 0);
    e->left_channels = put_channels(&cmd, e, true, 0) - 1;
    e->first_copy = ASQ__LATER_UNKNOWN;
    if (asq__conn_send(conn_of(p), on_copy, e, &cmd) == 0)
        e->n_lookups++;
    asq__cmd_release(&cmd);
}

void asq__later_add_channels(struct asq__entry *e, size_t from)
{
    struct asq__cmd cmd;
    if (from >= e->nchannels || !asq__partition_is_owned(e->part))
        return;
    asq__later_script(e->part, &cmd, 0);
    put_channels(&cmd, e, false, from);
    asq__conn_send(conn_of(e->part), NULL, NULL,
                   &cmd); /* if it is not sent, or lost, clients look by themselves */
    asq__cmd_release(&cmd);
}

/* ---- queries about waiting batches ---- */

struct query {
    struct asq__partition *p;
    uint64_t ownership;
    asq__later_place_fn *answer;
    void *user;
};

static void on_await(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct query q = *(struct query *) user;
    enum asq__later_place place = ASQ__LATER_UNKNOWN;
    (void) c;
    free(user);
    if (q.p->ownership == q.ownership && asq__partition_is_owned(q.p) &&
        asq__later_answered(q.p, reply, 1))
        place = place_of(reply, 0);
    q.answer(q.user, place);
}

bool asq__later_ask_await(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                          const char *client, asq__later_place_fn *answer, void *user)
{
    struct query *q = asq__later_may_have(p) ? malloc(sizeof *q) : NULL;
    struct asq__cmd cmd;
    if (!q)
        return false;
    *q = (struct query){ p, p->ownership, answer, user };
    asq__later_script(p, &cmd, 0);
    put_channel(&cmd, batch, client);
    bool sent = asq__conn_send(conn_of(p), on_await, q, &cmd) == 0;
    asq__cmd_release(&cmd);
    if (!sent)
        free(q);
    return sent;
}

/* ---- cancelling ---- */

struct cancel {
    struct asq__list node; /* in the partition's cancels while it must be repeated */
    struct asq__partition *p;
    uint64_t ownership;
    struct asq__stream_id control;
    unsigned tries;
    size_t n;
    struct asq__call_id ids[];
};

static void ask_cancel(struct cancel *q);

/* Keeps the calls whose batches are in the stream again, and not here yet. */
static void take_states(struct cancel *q, const redisReply *reply)
{
    struct asq__partition *p = q->p;
    size_t left = 0;
    for (size_t i = 0; i < q->n; i++) {
        if (place_of(reply, i) != ASQ__LATER_IN_STREAM)
            continue;
        struct asq__wcall *c = asq__wcall_find(p, &q->ids[i]);
        if (c)
            p->w->cancel(c);
        else if (p->backlog)
            asq__backlog_cancel(p, &q->ids[i]);
        else if (!asq__entry_find(p, q->ids[i].batch))
            q->ids[left++] = q->ids[i];
    }
    q->n = left;
}

static void on_cancel(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct cancel *q = user;
    struct asq__partition *p = q->p;
    (void) c;
    if (p->ownership == q->ownership && asq__partition_is_owned(p)) {
        if (asq__later_answered(p, reply, q->n))
            take_states(q, reply);
        if (p->ownership == q->ownership && asq__partition_is_owned(p)) {
            if (q->n && ++q->tries < CANCEL_TRIES) {
                asq__list_add(&p->later->cancels, &q->node);
                return;
            }
            if (q->control.ms)
                asq__commit_remove(p, q->control);
        }
    }
    free(q);
}

static void ask_cancel(struct cancel *q)
{
    struct asq__partition *p = q->p;
    struct asq__cmd cmd;
    if (!asq__partition_is_owned(p)) {
        asq__list_add(&p->later->cancels, &q->node); /* goes with the partition */
        return;
    }
    asq__later_script(p, &cmd, 0);
    for (size_t i = 0; i < q->n; i++) {
        Asqueue__LaterCall call, *calls = &call;
        Asqueue__Later added;
        asqueue__later_call__init(&call);
        asqueue__later__init(&added);
        call.index = q->ids[i].index;
        call.canceled = true;
        added.calls = &calls;
        added.n_calls = 1;
        put_query(&cmd, q->ids[i].batch, &added, true);
    }
    if (asq__conn_send(conn_of(p), on_cancel, q, &cmd) < 0)
        asq__list_add(&p->later->cancels, &q->node); /* Redis is away */
    asq__cmd_release(&cmd);
}

bool asq__later_cancel(struct asq__partition *p, const struct asq__call_id *ids, size_t n,
                       struct asq__stream_id control)
{
    for (size_t from = 0; from < n; from += CANCELS_AT_ONCE) {
        size_t some = n - from < CANCELS_AT_ONCE ? n - from : CANCELS_AT_ONCE;
        struct cancel *q = calloc(1, sizeof *q + some * sizeof *ids);
        if (!q)
            return false;
        asq__list_init(&q->node);
        q->p = p;
        q->ownership = p->ownership;
        q->n = some;
        if (from + some == n)
            q->control = control; /* answers come in order */
        memcpy(q->ids, ids + from, some * sizeof *ids);
        ask_cancel(q);
    }
    return true;
}

void asq__later_resend_cancels(struct asq__partition *p)
{
    struct asq__list again, *node;
    asq__list_init(&again);
    asq__list_splice(&again, &p->later->cancels);
    while ((node = asq__list_pop(&again)))
        ask_cancel(ASQ__CONTAINER(node, struct cancel, node));
}

void asq__later_drop_cancels(struct asq__partition *p)
{
    struct asq__list *node;
    while ((node = asq__list_pop(&p->later->cancels)))
        free(ASQ__CONTAINER(node, struct cancel, node));
}
