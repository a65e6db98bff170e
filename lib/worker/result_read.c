/*
 * result_read.c: reads the result records of entries that may have been done before, with a bound
 * in bytes. A worker that takes over a partition may have to look up thousands of them at once, and
 * each may have megabytes.
 *
 *     asked ──▶ w->result_reads ──▶ its beginning, as GETRANGE ──▶ all of it was there ──▶ its taker
 *                    ▲                                  │
 *                    └── its size, as STRLEN ◀──────────┘ then GET, when there is room for it
 *
 * A record up to ASQ__PUSH_MAX takes one command, as with a plain GET. All reads under way together
 * may bring UNDER_WAY bytes; a larger record is read while nothing else is under way. Reads that
 * wait for room go on with the answers of those under way, so none waits for ever. entry->n_lookups
 * counts a read until it is answered, and an answer comes in any case: when the entry's partition
 * is lost while its read waits, or Redis cannot be asked, it is empty, and the intake asks again if
 * that helps.
 *
 * Where GETRANGE is not allowed, the size is asked first.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/core/entry.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/result_read.h"

enum { UNDER_WAY = 8 * 1024 * 1024 };

struct result_read {
    struct asq__list node; /* in w->result_reads while it waits for room */
    struct asq__partition *part;
    struct asq__entry *entry; /* NULL: records of steps are read, or signals */
    asq__result_read_fn *done;
    asq__steps_read_fn *steps_done; /* of the records of steps, or of signals, instead */
    void *user;
    char of[ASQ_MAX_ID + 1]; /* call id; or agent id */
    bool signals;            /* to the agent; false: steps of the call */
    size_t bytes;            /* bound of its answer; 0: a size is asked for */
    bool sized;              /* `bytes` is the record's size */
    bool whole;              /* the beginning cannot be read alone */
};

static void on_beginning(struct asq__conn *c, const redisReply *reply, void *user);
static void on_size(struct asq__conn *c, const redisReply *reply, void *user);
static void on_whole(struct asq__conn *c, const redisReply *reply, void *user);

static int send_read(struct result_read *r)
{
    struct asq__partition *p = r->part;
    struct asq__conn *conn = asq__redis_conn(p->w->redis, p->number);
    char key[ASQ__KEY_MAX], last[24];
    const struct asq__keys *keys = asq__redis_keys(p->w->redis);
    if (r->signals)
        asq__keys_signals(keys, p->number, r->of, key);
    else if (!r->entry)
        asq__keys_steps(keys, p->number, r->of, key);
    else
        asq__keys_result(keys, p->number, r->entry->batch->id.data, key);
    if (r->sized)
        return asq__conn_cmd(conn, on_whole, r, "GET", key, NULL);
    if (r->whole)
        return asq__conn_cmd(conn, on_size, r, "STRLEN", key, NULL);
    snprintf(last, sizeof last, "%zu", ASQ__PUSH_MAX); /* one byte more than a small one has */
    return asq__conn_cmd(conn, on_beginning, r, "GETRANGE", key, "0", last, NULL);
}

static void answer(struct result_read *r, const redisReply *reply, size_t n)
{
    struct asq__entry *e = r->entry;
    asq__result_read_fn *done = r->done;
    asq__steps_read_fn *steps_done = r->steps_done;
    void *reader = r->user;
    free(r);
    if (steps_done)
        steps_done(reader, reply, n);
    else
        done(e, reply, n);
}

static void wait_for_room(struct result_read *r, bool first)
{
    struct asq__process *w = r->part->w;
    if (first)
        asq__list_add_first(&w->result_reads, &r->node);
    else
        asq__list_add(&w->result_reads, &r->node);
}

void asq__result_reads_send(struct asq__process *w)
{
    while (!asq__list_empty(&w->result_reads)) {
        struct result_read *r = ASQ__CONTAINER(w->result_reads.next, struct result_read, node);
        bool wanted =
            asq__partition_is_owned(r->part) && (!r->entry || asq__entry_is_known(r->entry));
        if (wanted && w->result_bytes && w->result_bytes + r->bytes > UNDER_WAY)
            return;
        asq__list_del(&r->node);
        w->result_bytes += r->bytes;
        if (!wanted || send_read(r) < 0) {
            w->result_bytes -= r->bytes;
            answer(r, NULL, 0);
        }
    }
}

/* Counts the answer as arrived, and lets others go on with its room at the end of the iteration. */
static void arrived(const struct result_read *r)
{
    r->part->w->result_bytes -= r->bytes;
}

static void ask_size(struct result_read *r)
{
    r->bytes = 0;
    r->whole = true;
    wait_for_room(r, true);
}

static void on_beginning(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct result_read *r = user;
    bool is_text = reply && reply->type == REDIS_REPLY_STRING;
    (void) c;
    arrived(r);
    if ((is_text && (size_t) reply->len > ASQ__PUSH_MAX) || (reply && asq__reply_is_denial(reply)))
        ask_size(r);
    else
        answer(r, reply, is_text ? (size_t) reply->len : 0);
}

static void on_size(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct result_read *r = user;
    (void) c;
    arrived(r);
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer > 0) {
        r->bytes = (size_t) reply->integer;
        r->sized = true;
        wait_for_room(r, true);
    } else {
        answer(r, reply, 0);
    }
}

static void on_whole(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct result_read *r = user;
    (void) c;
    arrived(r);
    answer(r, reply, reply && reply->type == REDIS_REPLY_STRING ? (size_t) reply->len : 0);
}

/* Adds a read; NULL: no memory. */
static struct result_read *add_read(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    struct result_read *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->part = p;
    r->whole = asq__redis_lack(w->redis, NULL) & ASQ__LACKS_RANGES;
    r->bytes = r->whole ? 0 : ASQ__PUSH_MAX;
    wait_for_room(r, false);
    return r;
}

int asq__result_read(struct asq__entry *e, asq__result_read_fn *done)
{
    struct result_read *r = add_read(e->part);
    if (!r)
        return ASQ_ENOMEM;
    r->entry = e;
    r->done = done;
    e->n_lookups++;
    return 0;
}

static int read_of(struct asq__partition *p, const char *id, bool signals, asq__steps_read_fn *done,
                   void *user)
{
    struct result_read *r = add_read(p);
    if (!r)
        return ASQ_ENOMEM;
    snprintf(r->of, sizeof r->of, "%s", id);
    r->signals = signals;
    r->steps_done = done;
    r->user = user;
    return 0;
}

int asq__steps_read(struct asq__partition *p, const char *call, asq__steps_read_fn *done,
                    void *user)
{
    return read_of(p, call, false, done, user);
}

int asq__signals_read(struct asq__partition *p, const char *agent, asq__steps_read_fn *done,
                      void *user)
{
    return read_of(p, agent, true, done, user);
}

void asq__result_reads_drop(struct asq__process *w)
{
    struct asq__list *node;
    while ((node = asq__list_pop(&w->result_reads)))
        answer(ASQ__CONTAINER(node, struct result_read, node), NULL, 0);
}
