/*
 * progress.c: see progress.h. A read takes what stands in the stream from the reader's place on, so
 * nothing is missed and nothing comes twice, whatever became of earlier reads and of pushes, which
 * only say that there is more.
 *
 *     want ──▶ XRANGE ──values──▶ there                          the reader takes them, and wants
 *                │                                               more
 *                ├─ nothing, the call had ended ──▶ there, finished
 *                └─ nothing ──▶ waits ──a push, the call's end, a second, a new connection──▶ XRANGE
 *
 * An entry has the id RUN-N and the values N, N + 1, … of that run. A higher run voids what the
 * reader had before; a gap before the first value are values that are not kept any more.
 */
#include "client/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/batch.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/assert.h"
#include "value/decimal.h"
#include "value/emissions.h"

enum { ENTRIES_AT_ONCE = 16 };

void asq__progress_init(struct asq__progress *p, const struct asq__call_id *id,
                        struct asq__call *call)
{
    *p = (struct asq__progress){ .call = call, .id = *id };
    asq__list_init(&p->node);
    asq__list_init(&p->of_method);
    asq__list_init(&p->due);
    asq__emitted_init(&p->got);
    atomic_init(&p->there, true);
}

void asq__progress_release(struct asq__progress *p)
{
    asq__assert(asq__list_empty(&p->node) && !p->asking);
    asq__assert(asq__list_empty(&p->of_method) && asq__list_empty(&p->due));
    asq__emitted_release(&p->got);
}

/* ---- what was read ---- */

/* Gives the reader what has come. `p` may be freed after this. */
static void deliver(struct asq__progress *p)
{
    bool asking = p->asking; /* then the reply releases it */
    asq__list_del(&p->node);
    p->call->progress = NULL;
    atomic_store_explicit(&p->there, true, memory_order_release);
    p->arrived(p);
    if (!asking)
        p->release(p);
}

static void fail(struct asq__progress *p, int code, const char *why)
{
    p->code = code;
    snprintf(p->why, sizeof p->why, "%s", why);
    deliver(p);
}

/* Tells at the end what the reader has not got of the last run. */
static void finish(struct asq__progress *p)
{
    p->finished = true;
    if (!p->counted)
        return;
    if (p->last_count && (p->last_run > p->place.run || p->last_count > p->place.next))
        asq__emitted_go_to(&p->got, &p->place, p->last_run, p->last_count);
    else if (!p->last_count && p->place.run && p->succeeded)
        p->got.again = true; /* the last run has emitted nothing */
}

/* Takes an entry. False: the rest is read again, when the reader has taken what is there. */
static bool take_entry(struct asq__progress *p, const redisReply *entry)
{
    uint64_t run, n;
    if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
        entry->element[0]->type != REDIS_REPLY_STRING ||
        entry->element[1]->type != REDIS_REPLY_ARRAY)
        return false;
    const char *at = entry->element[0]->str;
    if (!asq__decimal_read(&at, &run) || *at++ != '-' || !asq__decimal_read(&at, &n) || *at)
        return false;
    const redisReply *fields = entry->element[1];
    const redisReply *v = fields->elements == 2 ? fields->element[1] : NULL;
    if (!v || v->type != REDIS_REPLY_STRING)
        return asq__emitted_add_entry(&p->got, &p->place, run, n, "", 0);
    return asq__emitted_add_entry(&p->got, &p->place, run, n, v->str, v->len);
}

static void read_on(struct asq__progress *p);

/* Handles that the read has found nothing. */
static void found_nothing(struct asq__progress *p)
{
    if (p->more || p->at_end != p->ended) {
        read_on(p);
    } else if (p->ended) {
        finish(p);
        deliver(p);
    }
}

static void take_entries(struct asq__progress *p, const redisReply *reply)
{
    size_t n = 0;
    while (n < reply->elements && take_entry(p, reply->element[n]))
        n++;
    if (p->got.values.error)
        fail(p, ASQ_ENOMEM, "out of memory");
    else if (asq__emitted_has(&p->got))
        deliver(p);
    else if (!reply->elements)
        found_nothing(p);
    else if (n)
        read_on(p); /* nothing of it was of use */
    else
        fail(p, ASQ_EPROTO, "Redis has answered with something else than entries of a stream");
}

static void on_entries(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__progress *p = user;
    (void) c;
    p->asking = false;
    if (!p->engine) { /* it was told already, or dropped, and waits for this reply alone */
        p->release(p);
        return;
    }
    if (!reply || asq__reply_is_transient(reply))
        return; /* the next connection, or the next second, reads again */
    if (asq__reply_is_denial(reply))
        fail(p, ASQ_EREDIS,
             "Redis does not let this user read what calls emit: allow XRANGE of "
             "asq:{NAMESPACE.*}:p:*" ASQ__DENIAL_HINT);
    else if (reply->type == REDIS_REPLY_ARRAY)
        take_entries(p, reply);
    else
        found_nothing(p); /* the key is no stream */
}

/* ---- reads ---- */

static size_t stream_of(const struct asq__engine *e, const struct asq__call_id *id,
                        char key[ASQ__KEY_MAX])
{
    char text[ASQ__CALL_ID_TEXT];
    asq__call_id_format(id, text);
    return asq__keys_emitted(asq__redis_keys(e->redis), id->partition, text, key);
}

static void read_on(struct asq__progress *p)
{
    struct asq__engine *e = p->engine;
    char key[ASQ__KEY_MAX], from[2 * ASQ__DECIMAL_MAX + 2], count[ASQ__DECIMAL_MAX + 1];
    if (!e->up || p->asking)
        return;
    stream_of(e, &p->id, key);
    char *at = from + asq__decimal(p->place.run, from);
    *at++ = '-';
    at[asq__decimal(p->place.next, at)] = '\0';
    count[asq__decimal(ENTRIES_AT_ONCE, count)] = '\0';
    p->more = false;
    p->at_end = p->ended;
    p->asking = asq__conn_cmd(asq__redis_conn(e->redis, p->id.partition), on_entries, p, "XRANGE",
                              key, from, "+", "COUNT", count, NULL) == 0;
}

void asq__progress_more(struct asq__progress *p)
{
    p->more = true;
    read_on(p);
}

/* Takes from the call how it has ended. True: there is nothing to read. */
static bool note_end(struct asq__progress *p)
{
    const struct asq__call *call = p->call;
    p->ended = true;
    p->counted = call->outcome != ASQ__OUTCOME_UNKNOWN;
    p->succeeded = call->outcome == ASQ__OUTCOME_SUCCEEDED;
    p->last_run = call->run;
    p->last_count = call->emitted;
    return p->counted &&
           (!p->last_count || (p->last_run == p->place.run && p->last_count <= p->place.next));
}

void asq__progress_ended(struct asq__progress *p)
{
    if (note_end(p) && !p->asking) {
        finish(p);
        deliver(p);
    } else {
        read_on(p);
    }
}

void asq__progress_want(struct asq__engine *e, struct asq__progress *p, bool done)
{
    asq__assert(asq__list_empty(&p->node) && !p->asking);
    asq__emitted_reset(&p->got);
    p->engine = e;
    p->call->progress = p;
    asq__list_add(&e->progress, &p->node);
    if (done)
        asq__progress_ended(p);
    else
        read_on(p);
}

void asq__progress_drop(struct asq__progress *p)
{
    if (asq__list_empty(&p->node))
        return; /* there already */
    asq__list_del(&p->node);
    p->call->progress = NULL;
    p->engine = NULL;
    atomic_store_explicit(&p->there, true, memory_order_release);
    if (!p->asking)
        p->release(p);
}

void asq__progress_read_all(struct asq__engine *e)
{
    ASQ__LIST_EACH (it, &e->progress)
        read_on(ASQ__CONTAINER(it, struct asq__progress, node));
}

void asq__progress_close(struct asq__engine *e)
{
    struct asq__list *node;
    while ((node = e->progress.next) != &e->progress) {
        struct asq__progress *p = ASQ__CONTAINER(node, struct asq__progress, node);
        p->engine = NULL;
        fail(p, ASQ_ECLOSED, "the handle was closed");
    }
}

void asq__engine_forget_emitted(struct asq__engine *e, const struct asq__call_id *id)
{
    char key[ASQ__KEY_MAX];
    if (!e->up)
        return; /* its TTL will do it */
    stream_of(e, id, key);
    asq__conn_cmd(asq__redis_conn(e->redis, id->partition), NULL, NULL, "UNLINK", key, NULL);
}
