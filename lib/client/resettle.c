/*
 * resettle.c: see resettle.h. Who has settled a promise is told so, and has no result that would be
 * missing later, as the result of a call is. So the settlement is kept here, and made again on each
 * new connection to its partition, under its token: of one that is there nothing changes.
 *
 *     kept ──▶ in doubt: new connection ──▶ asked ──▶ there, or made again: kept
 *       │                     ▲                 ├───▶ another one was first: lost
 *       ▼                     └── a second ─────┴───▶ no such promise, no answer; after a minute: lost
 *     forgotten after a minute
 *
 * There may be no such promise for a while: the call that has made it runs again, and makes it with
 * the same id.
 */
#include "client/resettle.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/engine.h"
#include "client/promise.h"
#include "client/batch.h"
#include "redis/conn.h"
#include "redis/redis.h"
#include "value/clock.h"
#include "value/list.h"

enum { KEPT_MS = 60000, KEPT_MOST = 1000, KEPT_BYTES = 4 << 20 };

struct outcome {
    struct asq__list node; /* in e->settled, the oldest first; or in none while the answer comes */
    struct asq__engine *e; /* NULL: forgotten while the answer comes */
    struct asq__settlement s; /* with copies of what it points at */
    size_t bytes;
    int64_t until_ms; /* kept, or in doubt, until then */
    bool doubted, asking;
    char data[];
};

static void forget(struct outcome *o)
{
    asq__list_del(&o->node);
    o->e->n_settled--;
    o->e->settled_bytes -= o->bytes;
    if (o->asking)
        o->e = NULL;
    else
        free(o);
}

static void forget_oldest(struct asq__engine *e)
{
    forget(ASQ__CONTAINER(e->settled.next, struct outcome, node));
}

void asq__resettle_keep(struct asq__engine *e, const struct asq__settlement *s)
{
    size_t message_n = s->message ? strlen(s->message) + 1 : 0;
    size_t bytes = sizeof(struct outcome) + message_n + s->value_n;
    struct outcome *o = bytes > KEPT_BYTES ? NULL : calloc(1, bytes);
    if (!o)
        return;
    o->e = e;
    o->s = *s;
    o->bytes = bytes;
    o->until_ms = asq__now_ms_coarse() + KEPT_MS;
    if (message_n)
        o->s.message = memcpy(o->data, s->message, message_n);
    if (s->value_n)
        o->s.value = memcpy(o->data + message_n, s->value, s->value_n);
    while (e->n_settled == KEPT_MOST || e->settled_bytes > KEPT_BYTES - bytes)
        forget_oldest(e);
    asq__list_init(&o->node);
    asq__list_add(&e->settled, &o->node);
    e->n_settled++;
    e->settled_bytes += bytes;
}

/* Counts an outcome that was told and is lost. */
static void lose(struct outcome *o)
{
    struct asq__engine *e = o->e;
    e->settled_lost++;
    memcpy(e->settled_lost_id, o->s.id_text, sizeof e->settled_lost_id);
    forget(o);
}

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct outcome *o = user;
    enum asq__settled is;
    (void) c;
    o->asking = false;
    if (!o->e) {
        free(o);
        return;
    }
    if (!reply || reply->type == REDIS_REPLY_ERROR || asq__settle_reply(reply, &is) < 0)
        return; /* asked again within a second */
    if (is == ASQ__SETTLED) {
        o->e->settled_again += reply->integer == 1;
        o->doubted = false;
    } else if (is == ASQ__SETTLED_OTHER) {
        lose(o);
    }
}

static void ask(struct outcome *o)
{
    struct asq__redis *redis = o->e->redis;
    struct asq__settle_command c;
    if (o->asking || !asq__redis_serves(redis, o->s.id.partition))
        return;
    asq__settle_command(asq__redis_keys(redis), &o->s, &c);
    o->asking = asq__conn_argv(asq__redis_conn(redis, o->s.id.partition), on_answer, o, c.argc,
                               c.argv, c.lens) == 0;
}

void asq__resettle_all(struct asq__engine *e, const bool *parts)
{
    int64_t until_ms = asq__now_ms_coarse() + KEPT_MS;
    ASQ__LIST_EACH (it, &e->settled) {
        struct outcome *o = ASQ__CONTAINER(it, struct outcome, node);
        if (!asq__engine_concerns(parts, o->s.id.partition))
            continue;
        o->doubted = true;
        o->until_ms = until_ms;
        ask(o);
    }
}

static void tell(const struct asq__engine *e, asq_log_level level, const char *text)
{
    if (e->config.log)
        e->config.log(e->config.log_user, level, text);
}

/* Logs what has come out since the last second. */
static void report(struct asq__engine *e)
{
    char text[400];
    if (e->settled_again) {
        snprintf(text, sizeof text,
                 "Redis has gone back in time (a failover, or a restart): it had lost the outcomes "
                 "of %u promises, which are settled with them again",
                 e->settled_again);
        tell(e, ASQ_LOG_WARNING, text);
    }
    if (e->settled_lost) {
        snprintf(text, sizeof text,
                 "Redis has gone back in time (a failover, or a restart): %u outcomes of promises "
                 "are gone that were told as settled, the last one that of %s, which is not there "
                 "any more, or was settled by another one since",
                 e->settled_lost, e->settled_lost_id);
        tell(e, ASQ_LOG_ERROR, text);
        if (e->config.lost_outcomes)
            e->config.lost_outcomes(e->config.log_user, e->settled_lost);
    }
    e->settled_again = e->settled_lost = 0;
}

void asq__resettle_tick(struct asq__engine *e)
{
    int64_t now = asq__now_ms_coarse();
    ASQ__LIST_EACH (it, &e->settled) {
        struct outcome *o = ASQ__CONTAINER(it, struct outcome, node);
        if (!asq__redis_serves(e->redis, o->s.id.partition))
            continue; /* it may be lost, and is asked about when the server is back */
        if (now < o->until_ms && o->doubted)
            ask(o);
        else if (now >= o->until_ms && o->doubted)
            lose(o);
        else if (now >= o->until_ms)
            forget(o);
    }
    report(e);
}

void asq__resettle_drop(struct asq__engine *e)
{
    while (!asq__list_empty(&e->settled))
        forget_oldest(e);
    report(e);
}
