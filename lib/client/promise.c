/*
 * promise.c: promises (asq_promise_…). A method makes one, under an id that is the same when its
 * call runs again; anybody settles it, once; and who waits for it waits as for a call. A promise is
 * a stream of its own (promise_entry.c); its partition's owner tells those who wait
 * (worker/promises.c). Local mode has its own (local_promises.c).
 */
#include "client/pools.h"
#include "client/promise.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/object.h"
#include "client/remote.h"
#include "client/resettle.h"
#include "client/step.h"
#include "redis/redis.h"
#include "value/error.h"
#include "value/hash.h"
#include "value/msg.h"
#include "value/random.h"

enum { PROMISES_MAX = 10000 /* of one call */ };

/* ---- making one ---- */

/* Derives the batch id that stands for the promise. */
static void derive(const asq_ctx *ctx, uint64_t number, uint8_t out[ASQ__BATCH_ID])
{
    char text[ASQ__CALL_ID_TEXT + 64];
    int n = snprintf(text, sizeof text, "promise %llu %u %s", (unsigned long long) number,
                     ctx->h->retries, ctx->call_id);
    asq__siphash128(text, (size_t) n, out);
}

/* Takes the next number for a promise, and opens it unless an earlier run has. */
static int open_promise(asq_ctx *ctx, struct asq__call_id *ret)
{
    struct asq__step_log *log;
    struct asq__step known;
    int rc = asq__step_begin(ctx, ASQUEUE__STEP_KIND__PROMISE, "", ASQ__BATCH_ID, &log, &known);
    if (rc < 0)
        return rc;
    if (++log->promises > PROMISES_MAX)
        return asq_fail(ctx, ASQ_ELIMIT, "a call can make %d promises", PROMISES_MAX);
    if (asq__call_id_parse(ctx->call_id, ret) < 0)
        return asq_fail(ctx, ASQ_ENOTSUP, "asq_promise_new: only in a method");
    ret->index = ASQ__PROMISE_INDEX;
    derive(ctx, log->number, ret->batch);
    if (rc == 1) {
        if (known.value_n != ASQ__BATCH_ID)
            return asq_fail(ctx, ASQ_EINTERRUPTED, "the record of a promise has %zu bytes",
                            known.value_n);
        memcpy(ret->batch, known.value, ASQ__BATCH_ID);
        return 0;
    }
    struct asq__step step = { .number = log->number,
                              .kind = ASQUEUE__STEP_KIND__PROMISE,
                              .name = "",
                              .value = ret->batch,
                              .value_n = ASQ__BATCH_ID };
    return asq__step_record(ctx, log, &step, true);
}

int asq_promise_new(asq_ctx *ctx, asq_result **ret)
{
    struct asq__call_id id;
    if (!ctx || !ret)
        return ctx ? asq_fail(ctx, ASQ_EINVAL, "asq_promise_new: an argument is NULL") : ASQ_EINVAL;
    int rc = asq__step_told(ctx, open_promise(ctx, &id));
    if (rc < 0)
        return rc;
    rc = asq__result_attach(ctx->h, &id, ret);
    return rc < 0 ? asq_fail(ctx, rc, "asq_promise_new: %s", asq_errmsg(ctx->h)) : 0;
}

/* ---- settling ---- */

static int parse(asq *h, const char *text, struct asq__call_id *ret)
{
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    if (asq__call_id_parse(text, ret) < 0 || !asq__partition_is_there(h, ret->partition))
        return asq__fail(h, ASQ_EINVAL, "'%.100s' is not the id of a promise of this namespace",
                         text);
    if (h->in_method && (h->notifying || (h->steps && h->steps->in_step)))
        return asq__fail(
            h, ASQ_ESTATE,
            "a promise cannot be settled in a step or a callback of asq_call_each or "
            "asq_result_on_emit: that would be missing, or in another order, when the method runs "
            "again");
    if (!asq__call_id_is_promise(ret))
        return asq__fail(h, ASQ_EINVAL, "'%s' is the id of a call: only a promise can be settled",
                         text);
    return 0;
}

/* Makes the token of a program's attempt. The same outcome from the same handle is the same
 * attempt, made again because the first one's answer was lost. */
static int make_token(asq *h, struct asq__settlement *s)
{
    const void *data = s->code ? s->message : s->value;
    size_t n = s->code ? strlen(s->message) : s->value_n;
    if (!h->settler && asq__random(&h->settler, sizeof h->settler) < 0)
        return asq__fail(h, ASQ_ESYS, "getrandom failed");
    snprintf(s->token, sizeof s->token, "%016llx %d %016llx", (unsigned long long) h->settler,
             s->code, (unsigned long long) (n ? asq__siphash64(data, n) : 0));
    return 0;
}

static int take_reply(asq *h, const redisReply *reply, void *user)
{
    int rc = asq__settle_reply(reply, user);
    return rc < 0 ? asq__fail(h, rc, "Redis has given another answer than promise_settle.lua") : 0;
}

static int settle_remote(asq *h, struct asq__settlement *s, enum asq__settled *ret)
{
    struct asq__settle_command c;
    int rc = asq__admin_begin(h, "settling a promise");
    if (rc < 0)
        return rc;
    asq__settle_command(asq__redis_keys(asq__remote_redis(h)), s, &c);
    struct asq__query q = { .partition = s->id.partition,
                            .take = take_reply,
                            .user = ret,
                            .argc = c.argc,
                            .argv = c.argv,
                            .lens = c.lens,
                            .replicate = true };
    rc = asq__admin_ask(h, &q);
    if (rc == 0 && *ret == ASQ__SETTLED &&
        !asq__redis_barrier(asq__remote_redis(h), s->id.partition))
        asq__resettle_keep(asq__remote_engine(h), s);
    return asq__admin_end(h, rc);
}

static int no_promise(asq *h, const char *id)
{
    return asq__fail(h, ASQ_EEXPIRED, "there is no promise %s: it has expired, or never existed",
                     id);
}

static int settle(asq *h, struct asq__settlement *s)
{
    enum asq__settled is = ASQ__SETTLED;
    asq__call_id_format(&s->id, s->id_text);
    int rc = h->in_method ? 0 : make_token(h, s);
    if (rc == 0)
        rc = h->mode->settle ? h->mode->settle(h, s, &is) : settle_remote(h, s, &is);
    if (rc < 0 || is == ASQ__SETTLED)
        return rc;
    if (is == ASQ__SETTLED_OTHER)
        return asq__fail(h, ASQ_ESTATE,
                         "promise %s was settled before, by another one: it stays as it is",
                         s->id_text);
    return no_promise(h, s->id_text);
}

int asq_promise_resolve(asq *h, const char *id, asq_value *value)
{
    struct asq__settlement s = { .code = 0 };
    struct asq__buf bytes;
    if (!h || !id || !value) {
        asq_value_free(value);
        return asq__null(h, "asq_promise_resolve");
    }
    int rc = parse(h, id, &s.id);
    if (rc == 0) {
        asq__buf_init(&bytes, h->max_message_size);
        rc = asq__value_encode(value, &bytes);
        s.value = bytes.data;
        s.value_n = bytes.len;
        if (rc < 0)
            asq__fail(h, rc, "promise %s: its value %s", id,
                      rc == ASQ_ELIMIT ? "is too large, or nested too deep" : asq_strerror(rc));
        else
            rc = settle(h, &s);
        asq__buf_release(&bytes);
    }
    asq_value_free(value);
    return rc;
}

int asq_promise_reject(asq *h, const char *id, int code, const char *message)
{
    struct asq__settlement s = { .code = code ? code : ASQ_EREJECTED };
    if (!h || !id)
        return asq__null(h, "asq_promise_reject");
    int rc = parse(h, id, &s.id);
    if (rc < 0)
        return rc;
    if (code > 0)
        return asq__fail(h, ASQ_EINVAL,
                         "promise %s: a rejection has a negative code, as ASQ_EUSER(n), or 0", id);
    s.message = message ? message : asq_strerror(s.code);
    if (!asq__utf8_valid(s.message, strlen(s.message)))
        return asq__fail(h, ASQ_EINVAL, "promise %s: the message is not UTF-8", id);
    return settle(h, &s);
}

/* ---- showing ---- */

/* Makes the map. value: taken; NULL: none. */
static asq_value *make_map(const char *id, enum asq__promise_state state, const char *maker,
                           asq_value *value, int code, const char *message)
{
    asq_value *map = asq_pack("{s:s, s:s, s:s}", "id", id, "state",
                              state == ASQ__PROMISE_OPEN ? "open"
                              : code                     ? "rejected"
                                                         : "resolved",
                              "call", maker);
    int rc = map ? 0 : ASQ_ENOMEM;
    if (rc == 0 && state == ASQ__PROMISE_SETTLED && code)
        rc = asq_map_set_int(map, "code", code);
    if (rc == 0 && state == ASQ__PROMISE_SETTLED && code)
        rc = asq_map_set(map, "message", asq_value_string(message));
    if (rc == 0 && state == ASQ__PROMISE_SETTLED && !code) {
        rc = asq_map_set(map, "value", value);
        value = NULL;
    }
    asq_value_free(value);
    if (rc == 0)
        return map;
    asq_value_free(map);
    return NULL;
}

struct showing {
    const char *id;
    asq_value *map;
    long long ttl_ms;
};

static int take_promise(asq *h, const redisReply *reply, void *user)
{
    struct showing *s = user;
    struct asq__promise_outcome o;
    enum asq__promise_state state = asq__promise_read(reply, &o);
    asq_value *value = NULL;
    char why[200] = "";
    if (state == ASQ__PROMISE_NONE)
        return no_promise(h, s->id);
    int rc = o.text.error;
    if (rc == 0 && state == ASQ__PROMISE_SETTLED && !o.code)
        rc = o.text.len ? asq__value_decode(o.text.data, o.text.len, &value, why, sizeof why)
             : (value = asq_value_null()) ? 0
                                          : ASQ_ENOMEM;
    if (rc == ASQ_EPROTO) {
        o.code = rc;
        asq__buf_reset(&o.text);
        asq__buf_put(&o.text, why, strlen(why) + 1);
    }
    if (rc == 0 || rc == ASQ_EPROTO)
        s->map = make_map(s->id, state, o.maker, value, o.code, (const char *) o.text.data);
    asq__promise_outcome_release(&o);
    return s->map ? 0 : asq__fail_memory(h);
}

static int take_ttl(asq *h, const redisReply *reply, void *user)
{
    struct showing *s = user;
    (void) h;
    if (reply->type == REDIS_REPLY_INTEGER)
        s->ttl_ms = reply->integer;
    return 0;
}

static int show_remote(asq *h, const struct asq__call_id *id, struct showing *s)
{
    char key[ASQ__KEY_MAX];
    int rc = asq__admin_begin(h, "asq_promise_show");
    if (rc < 0)
        return rc;
    asq__keys_promise(asq__redis_keys(asq__remote_redis(h)), id->partition, s->id, key);
    rc = asq__admin_command(h, id->partition, take_promise, s, 6,
                            (const char *[]){ "XRANGE", key, "-", "+", "COUNT", "2" });
    if (rc == 0)
        rc = asq__admin_command(h, id->partition, take_ttl, s, 2, (const char *[]){ "PTTL", key });
    if (rc == 0 && s->ttl_ms >= 0)
        rc = asq_map_set_int(s->map, "expires_ms", s->ttl_ms) < 0 ? asq__fail_memory(h) : 0;
    return asq__admin_end(h, rc);
}

static int show_local(asq *h, const struct asq__call_id *id, struct showing *s)
{
    const asq_value *value;
    const asq_error *error;
    const char *maker;
    enum asq__promise_state state = asq__local_promise(h, id, &value, &error, &maker);
    if (state == ASQ__PROMISE_NONE)
        return no_promise(h, s->id);
    s->map = make_map(s->id, state, maker, value ? asq_value_copy(value) : NULL,
                      error ? error->code : 0, error ? error->message : "");
    return s->map ? 0 : asq__fail_memory(h);
}

int asq_promise_show(asq *h, const char *id, asq_value **ret)
{
    struct showing s = { .id = id, .ttl_ms = -1 };
    struct asq__call_id call_id;
    if (!h || !id || !ret)
        return asq__null(h, "asq_promise_show");
    int rc = parse(h, id, &call_id);
    if (rc == 0)
        rc = h->mode == &asq__local_mode ? show_local(h, &call_id, &s)
                                         : show_remote(h, &call_id, &s);
    if (rc < 0)
        asq_value_free(s.map);
    else
        *ret = s.map;
    return rc;
}
