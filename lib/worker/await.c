/*
 * await.c: clients that did not make a call wait for its result. While the call waits or runs here,
 * their channels join those that get the result. Otherwise the result is searched in the batch's
 * record, and among the batches that wait outside of the stream. One read of a batch is under way
 * at a time, for all its waiters. A record may have megabytes: only as much is read as is pushed.
 * After it was pushed to some waiters, it is announced to the others, which read it from its key.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/reply.h"
#include "value/buf.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/await.h"
#include "worker/core/entry.h"
#include "worker/entries.h"
#include "worker/later_ask.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/push.h"

enum {
    WAITERS_AT_MOST = 1000, /* waiters of one read; further ones poll by themselves */
    PUSHED_AT_MOST = 1024 * 1024
};

struct waiter {
    struct waiter *next;
    uint32_t index;              /* index of the call */
    enum asq__later_place place; /* of the batch */
    struct await *await;
    char client[];
};

/* Read of one record. */
struct await {
    struct asq__node node; /* in part->awaits, until the record has been read */
    struct asq__partition *p;
    uint64_t ownership;
    uint8_t batch[ASQ__BATCH_ID];
    size_t answers; /* pending answers */
    bool reading;   /* the record's answer is pending, so others may join */
    bool none;      /* there is no record */
    size_t nwaiters;
    struct waiter *waiters;
};

const void *asq__await_key(const struct asq__node *node, size_t *n)
{
    *n = ASQ__BATCH_ID;
    return ASQ__CONTAINER(node, struct await, node)->batch;
}

/* Pushes a failure that concerns the waiter and not the call, so it is not recorded. */
static void push_failure(const struct await *a, const struct waiter *waiter)
{
    struct asq__partition *p = a->p;
    struct asq__call_id id = { .partition = p->number, .index = waiter->index };
    struct asq__buf out;
    char text[ASQ__CALL_ID_TEXT];
    memcpy(id.batch, a->batch, ASQ__BATCH_ID);
    asq__call_id_format(&id, text);
    asq_error error = { ASQ_EEXPIRED,
                        "no such call is waiting or running, and no result is kept for it: it has "
                        "expired, was fetched by its caller, or never existed",
                        "",
                        "",
                        "",
                        p->w->config.id,
                        text };
    asq__buf_init(&out, 4096);
    asq__results_head(a->batch, &out);
    asq__result_put_failure(waiter->index, &error, false, &out);
    if (!out.error)
        asq__push(p, waiter->client, out.data, out.len);
    asq__buf_release(&out);
}

static void answered(struct await *a)
{
    struct asq__partition *p = a->p;
    if (--a->answers)
        return;
    bool current = p->ownership == a->ownership && asq__partition_is_owned(p);
    bool unknown = a->none && current && !asq__entry_find(p, a->batch) && !p->backlog;
    struct waiter *next;
    for (struct waiter *waiter = a->waiters; waiter; waiter = next) {
        next = waiter->next;
        if (unknown && waiter->place == ASQ__LATER_NONE)
            push_failure(a, waiter);
        free(waiter);
    }
    free(a);
}

static void on_later(void *user, enum asq__later_place place)
{
    struct waiter *waiter = user;
    waiter->place = place;
    answered(waiter->await);
}

static void stop_joining(struct await *a)
{
    if (a->reading)
        asq__table_del(&a->p->awaits, &a->node);
    a->reading = false;
}

/* Pushes the record to all waiters. n: size of the record; data: all of it, or NULL if it has more
 * bytes than are pushed. */
static void push_to_all(struct await *a, const char *data, size_t n)
{
    size_t pushed = 0;
    for (const struct waiter *waiter = a->waiters; waiter; waiter = waiter->next) {
        pushed += n;
        if (data && (pushed <= PUSHED_AT_MOST || pushed == n))
            asq__push_record(a->p, a->batch, waiter->client, data, n);
        else
            asq__push_announcement(a->p, a->batch, waiter->client, n);
    }
}

/* Adds the channels of the waiters to the entry, because its commit may still be unsent. */
static void join(struct await *a)
{
    struct asq__entry *e = asq__entry_find(a->p, a->batch);
    for (const struct waiter *waiter = a->waiters; e && waiter; waiter = waiter->next)
        asq__entry_add_channel(e, waiter->client);
}

static void on_record(struct asq__conn *c, const redisReply *reply, void *user);

static void on_length(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct await *a = user;
    char key[ASQ__KEY_MAX];
    bool is_length = reply && reply->type == REDIS_REPLY_INTEGER;
    asq__keys_result(asq__redis_keys(a->p->w->redis), a->p->number, a->batch, key);
    if (is_length && reply->integer > 0 && reply->integer <= (long long) ASQ__PUSH_MAX &&
        asq__conn_cmd(c, on_record, a, "GET", key, NULL) == 0)
        return;
    stop_joining(a);
    a->none = is_length && reply->integer == 0;
    if (is_length && reply->integer > 0)
        push_to_all(a, NULL, (size_t) reply->integer);
    join(a);
    answered(a);
}

static void on_record(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct await *a = user;
    struct asq__partition *p = a->p;
    char key[ASQ__KEY_MAX];
    bool is_text = reply && reply->type == REDIS_REPLY_STRING;
    asq__keys_result(asq__redis_keys(p->w->redis), p->number, a->batch, key);
    if (is_text && reply->len > ASQ__PUSH_MAX &&
        asq__conn_cmd(c, on_length, a, "STRLEN", key, NULL) == 0)
        return; /* asks for its length; others may still join */
    stop_joining(a);
    a->none = is_text && reply->len == 0;
    if (is_text && reply->len > 0 && reply->len <= ASQ__PUSH_MAX)
        push_to_all(a, reply->str, reply->len);
    join(a);
    answered(a);
}

static struct await *open_await(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID])
{
    struct asq__node *node = asq__table_find(&p->awaits, batch, ASQ__BATCH_ID);
    if (node)
        return ASQ__CONTAINER(node, struct await, node);
    struct await *a = calloc(1, sizeof *a);
    char key[ASQ__KEY_MAX];
    if (!a)
        return NULL;
    a->p = p;
    a->ownership = p->ownership;
    memcpy(a->batch, batch, ASQ__BATCH_ID);
    /* A result on its way to its record arrives before this read; a commit that is unsent gets the
     * channel. */
    asq__keys_result(asq__redis_keys(p->w->redis), p->number, batch, key);
    char last[24];
    snprintf(last, sizeof last, "%zu", ASQ__PUSH_MAX); /* one byte more than is pushed */
    struct asq__conn *conn = asq__redis_conn(p->w->redis, p->number);
    bool ranges = !(asq__redis_lack(p->w->redis, NULL) & ASQ__LACKS_RANGES);
    int rc = ranges ? asq__conn_cmd(conn, on_record, a, "GETRANGE", key, "0", last, NULL)
                    : asq__conn_cmd(conn, on_length, a, "STRLEN", key, NULL);
    if (rc < 0) {
        free(a);
        return NULL;
    }
    a->answers = 1;
    a->reading = true;
    asq__table_add(&p->awaits, &a->node);
    return a;
}

void asq__await(struct asq__partition *p, const struct asq__call_id *target, const char *client)
{
    struct asq__entry *e = asq__entry_find(p, target->batch);
    if (e && target->index < e->batch->n_jobs) {
        asq__entry_add_channel(e, client); /* no memory: the client polls by itself */
        if (e->calls[target->index].state != ASQ__CALL_FINISHED)
            return;
    }
    if (p->backlog || !asq__partition_is_owned(p))
        return; /* the call may be in there, or elsewhere; waiters ask again */
    struct await *a = open_await(p, target->batch);
    if (!a || a->ownership != p->ownership)
        return; /* waiters ask again */
    for (const struct waiter *waiter = a->waiters; waiter; waiter = waiter->next)
        if (strcmp(waiter->client, client) == 0)
            return; /* one push has all of the batch */
    struct waiter *waiter =
        a->nwaiters < WAITERS_AT_MOST ? calloc(1, sizeof *waiter + strlen(client) + 1) : NULL;
    if (!waiter)
        return;
    a->nwaiters++;
    memcpy(waiter->client, client, strlen(client) + 1);
    waiter->index = target->index;
    waiter->await = a;
    waiter->next = a->waiters;
    a->waiters = waiter;
    if (!e && asq__later_ask_await(p, target->batch, client, on_later, waiter))
        a->answers++;
}
