/*
 * promises.c: see promises.h. The stream of a promise says all there is; here is only who waits for
 * it. Whoever settles a promise puts an entry into the jobs of its partition, which has the owner
 * look at it. An entry that is not there (a recipe by hand may leave it out) is made up for by the
 * clients, which ask again every some seconds, as they do for results of calls.
 *
 *     AWAIT ──▶ noted, and read ──▶ open: stays noted         ┐ read again for the entry,
 *                   │                                         ┘ or when a client asks again
 *                   ├─────────────▶ settled: pushed to all, forgotten
 *                   └─────────────▶ none: all are told, forgotten
 *
 * Any partition's next owner begins with nothing: the clients ask again. An outcome that is too
 * large to be pushed is put under a key as results are, and announced. It never changes, so it does
 * not matter whether this process still has the lease.
 */
#include "worker/promises.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/promise.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/grow.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/commit.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/push.h"

enum {
    CLIENTS_AT_MOST = 1000,       /* of one promise; further ones are told when they ask again */
    PUSHED_AT_MOST = 1024 * 1024, /* bytes, of one outcome to all clients */
    SWEEP_MS = 30000,
    UNASKED_MS = 120000 /* clients ask again sooner */
};

struct client {
    char id[17];
};

struct promise {
    struct asq__node node;    /* in part->promises */
    struct asq__partition *p; /* NULL: dropped while it was read; the answer frees it */
    uint8_t batch[ASQ__BATCH_ID];
    bool reading, again; /* again: it may have been settled since the read was sent */
    int64_t asked_ms;
    struct client *clients;
    size_t nclients, cclients;
};

const void *asq__promise_key(const struct asq__node *node, size_t *n)
{
    *n = ASQ__BATCH_ID;
    return ASQ__CONTAINER(node, struct promise, node)->batch;
}

static void free_promise(struct promise *pr)
{
    free(pr->clients);
    free(pr);
}

static void forget(struct promise *pr)
{
    asq__table_del(&pr->p->promises, &pr->node);
    if (pr->reading)
        pr->p = NULL;
    else
        free_promise(pr);
}

static struct asq__call_id id_of(const struct promise *pr)
{
    struct asq__call_id id = { .partition = pr->p->number, .index = ASQ__PROMISE_INDEX };
    memcpy(id.batch, pr->batch, sizeof id.batch);
    return id;
}

/* ---- telling ---- */

/* Puts the outcome where clients read what is too large to be pushed. */
static void keep(const struct promise *pr, const struct asq__buf *frame)
{
    struct asq__process *w = pr->p->w;
    char key[ASQ__KEY_MAX], ttl[ASQ__DECIMAL_MAX + 1];
    ttl[asq__decimal((uint64_t) asq__commit_record_ms(w, false), ttl)] = '\0';
    asq__keys_result(asq__redis_keys(w->redis), pr->p->number, pr->batch, key);
    const char *argv[] = { "SET", key, (const char *) frame->data, "PX", ttl };
    size_t lens[] = { 3, strlen(key), frame->len, 2, strlen(ttl) };
    asq__conn_argv(asq__redis_conn(w->redis, pr->p->number), NULL, NULL, 5, argv, lens);
}

static void push_to_all(const struct promise *pr, const struct asq__buf *frame)
{
    bool large = frame->len > ASQ__PUSH_MAX || frame->len * pr->nclients > PUSHED_AT_MOST;
    if (large)
        keep(pr, frame);
    for (size_t i = 0; i < pr->nclients; i++)
        if (large)
            asq__push_announcement(pr->p, pr->batch, pr->clients[i].id, frame->len);
        else
            asq__push_record(pr->p, pr->batch, pr->clients[i].id, frame->data, frame->len);
}

/* Tells all clients the failure. */
static void push_failure(const struct promise *pr, int code, const char *message)
{
    struct asq__call_id id = id_of(pr);
    struct asq__buf frame;
    char text[ASQ__CALL_ID_TEXT];
    asq__call_id_format(&id, text);
    asq_error error = { code, message, "", "", "", "", text };
    asq__buf_init(&frame, 2 * ASQ__REJECTION_MAX);
    asq__results_head(pr->batch, &frame);
    asq__result_put_failure(ASQ__PROMISE_INDEX, &error, false, &frame);
    if (!frame.error)
        push_to_all(pr, &frame);
    asq__buf_release(&frame);
}

static void push_outcome(const struct promise *pr, const struct asq__promise_outcome *o)
{
    struct asq__buf frame;
    size_t most = asq__redis_max_string(pr->p->w->redis);
    char text[200];
    if (o->code) {
        push_failure(pr, o->code, (const char *) o->text.data);
        return;
    }
    asq__buf_init(&frame, (size_t) 1 << 31);
    asq__results_head(pr->batch, &frame);
    asq__result_put(ASQ__PROMISE_INDEX, o->text.data, o->text.len, &frame);
    if (frame.len > most) {
        snprintf(text, sizeof text,
                 "its value has %zu bytes, and a string of this Redis has %zu at most", o->text.len,
                 most);
        push_failure(pr, ASQ_ELIMIT, text);
    } else if (!frame.error) {
        push_to_all(pr, &frame);
    }
    asq__buf_release(&frame);
}

/* ---- reading ---- */

static void on_read(struct asq__conn *c, const redisReply *reply, void *user);

static void read_promise(struct promise *pr)
{
    struct asq__redis *redis = pr->p->w->redis;
    struct asq__call_id id = id_of(pr);
    char key[ASQ__KEY_MAX], text[ASQ__CALL_ID_TEXT];
    asq__call_id_format(&id, text);
    asq__keys_promise(asq__redis_keys(redis), pr->p->number, text, key);
    pr->again = pr->reading; /* one read of it is under way at a time */
    if (!pr->reading)
        pr->reading = asq__conn_cmd(asq__redis_conn(redis, pr->p->number), on_read, pr, "XRANGE",
                                    key, "-", "+", "COUNT", "2", NULL) == 0;
}

static void on_read(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct promise *pr = user;
    struct asq__promise_outcome o;
    (void) c;
    pr->reading = false;
    if (!pr->p) {
        free_promise(pr);
        return;
    }
    if (!reply || (reply->type == REDIS_REPLY_ERROR && !asq__reply_is_wrong_type(reply)))
        return; /* the clients ask again */
    enum asq__promise_state state = asq__promise_read(reply, &o);
    if (state == ASQ__PROMISE_NONE) {
        push_failure(pr, ASQ_EEXPIRED,
                     "there is no such promise: it has expired, or never existed");
        forget(pr);
        return;
    }
    if (state == ASQ__PROMISE_SETTLED && !o.text.error) {
        push_outcome(pr, &o);
        forget(pr);
    } else if (pr->again) {
        read_promise(pr);
    }
    asq__promise_outcome_release(&o);
}

/* ---- who waits ---- */

static struct promise *find(const struct asq__partition *p, const struct asq__call_id *id)
{
    struct asq__node *node = asq__table_find(&p->promises, id->batch, ASQ__BATCH_ID);
    return node ? ASQ__CONTAINER(node, struct promise, node) : NULL;
}

/* Adds a client; without memory it asks again. */
static void add_client(struct promise *pr, const char *client)
{
    for (size_t i = 0; i < pr->nclients; i++)
        if (strcmp(pr->clients[i].id, client) == 0)
            return;
    if (pr->nclients < CLIENTS_AT_MOST &&
        asq__grow(&pr->clients, pr->nclients, &pr->cclients, sizeof *pr->clients))
        snprintf(pr->clients[pr->nclients++].id, sizeof pr->clients->id, "%s", client);
}

void asq__promise_await(struct asq__partition *p, const struct asq__call_id *id, const char *client)
{
    struct promise *pr = find(p, id);
    if (!asq__partition_is_owned(p) || !*client)
        return; /* who waits asks again */
    if (!pr) {
        if (!(pr = calloc(1, sizeof *pr)))
            return;
        pr->p = p;
        memcpy(pr->batch, id->batch, sizeof pr->batch);
        asq__table_add(&p->promises, &pr->node);
    }
    pr->asked_ms = asq__now_ms_coarse();
    add_client(pr, client);
    read_promise(pr);
}

void asq__promise_look(struct asq__partition *p, const char *id)
{
    struct asq__call_id parsed;
    struct promise *pr = asq__call_id_parse(id, &parsed) == 0 ? find(p, &parsed) : NULL;
    if (pr)
        read_promise(pr);
}

static void sweep(struct asq__node *node, void *user)
{
    struct promise *pr = ASQ__CONTAINER(node, struct promise, node);
    (void) user;
    if (asq__now_ms_coarse() - pr->asked_ms >= UNASKED_MS)
        forget(pr);
}

void asq__promises_upkeep(struct asq__partition *p)
{
    int64_t now = asq__now_ms_coarse();
    if (now < p->promises_sweep_ms)
        return;
    p->promises_sweep_ms = now + SWEEP_MS;
    asq__table_each(&p->promises, sweep, NULL);
}

static void drop(struct asq__node *node, void *user)
{
    (void) user;
    forget(ASQ__CONTAINER(node, struct promise, node));
}

void asq__promises_drop(struct asq__partition *p)
{
    asq__table_each(&p->promises, drop, NULL);
}
