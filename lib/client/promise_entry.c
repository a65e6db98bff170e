/*
 * promise_entry.c: the stream of a promise: the command that settles it, and what its entries say.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/promise.h"
#include "redis/script.h"
#include "value/assert.h"
#include "value/error.h"

/* ---- settling ---- */

static void add(struct asq__settle_command *c, const void *data, size_t n)
{
    asq__assert(c->argc < ASQ__SETTLE_ARGS);
    c->argv[c->argc] = data;
    c->lens[c->argc++] = n;
}

static void add_text(struct asq__settle_command *c, const char *s)
{
    add(c, s, strlen(s));
}

void asq__settle_command(const struct asq__keys *keys, const struct asq__settlement *s,
                         struct asq__settle_command *ret)
{
    ret->argc = 0;
    asq__keys_promise(keys, s->id.partition, s->id_text, ret->promise);
    asq__keys_jobs(keys, s->id.partition, ret->jobs);
    add_text(ret, "EVAL");
    add_text(ret, asq__script_promise_settle);
    add_text(ret, "2");
    add_text(ret, ret->promise);
    add_text(ret, ret->jobs);
    add_text(ret, s->token);
    add_text(ret, s->id_text);
    if (!s->code) {
        add_text(ret, "value");
        add(ret, s->value_n ? s->value : "", s->value_n);
        return;
    }
    snprintf(ret->code, sizeof ret->code, "%d", s->code);
    add_text(ret, "error");
    add(ret, s->message, strnlen(s->message, ASQ__REJECTION_MAX));
    add_text(ret, "code");
    add_text(ret, ret->code);
}

int asq__settle_reply(const redisReply *reply, enum asq__settled *ret)
{
    if (reply->type != REDIS_REPLY_INTEGER || reply->integer < 0 || reply->integer > 3)
        return ASQ_EREDIS;
    *ret = reply->integer == 2   ? ASQ__SETTLED_OTHER
           : reply->integer == 0 ? ASQ__SETTLED_NONE
                                 : ASQ__SETTLED;
    return 0;
}

/* ---- reading ---- */

static const redisReply *find(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, name) == 0 &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING)
            return fields->element[i + 1];
    return NULL;
}

static const redisReply *fields_of(const redisReply *entry)
{
    return entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 &&
                   entry->element[1]->type == REDIS_REPLY_ARRAY
               ? entry->element[1]
               : NULL;
}

/* Notes a rejection. Other bytes than UTF-8 are replaced. */
static void reject(struct asq__promise_outcome *o, int code, const char *text, size_t n)
{
    o->code = code;
    asq__buf_reset(&o->text);
    n = strnlen(text, n < ASQ__REJECTION_MAX ? n : ASQ__REJECTION_MAX);
    while (n == ASQ__REJECTION_MAX && n > ASQ__REJECTION_MAX - 4 && !asq__utf8_valid(text, n))
        n--; /* a character was cut */
    bool valid = asq__utf8_valid(text, n);
    for (size_t i = 0; i < n; i++)
        asq__buf_putc(&o->text, !valid && (unsigned char) text[i] >= 0x80 ? '?' : text[i]);
    asq__buf_putc(&o->text, '\0');
}

static void reject_text(struct asq__promise_outcome *o, int code, const char *text)
{
    reject(o, code, text, strlen(text));
}

static void take_json(struct asq__promise_outcome *o, const redisReply *json)
{
    asq_value *v = NULL;
    char why[200], text[300];
    int rc = asq_from_json(json->str, json->len, &v, why, sizeof why);
    if (rc == 0)
        rc = asq__value_encode(v, &o->text);
    asq_value_free(v);
    if (rc == ASQ_ENOMEM) {
        o->text.error = rc;
    } else if (rc < 0) {
        snprintf(text, sizeof text, "it was resolved to a text that is no JSON: %s", why);
        reject_text(o, ASQ_EPARSE, text);
    }
}

/* Reads a code that is one of asqueue's, or an application's. */
static int code_of(const redisReply *code)
{
    char *end;
    long n = code ? strtol(code->str, &end, 10) : 0;
    return n < 0 && n > INT32_MIN && !*end ? (int) n : ASQ_EREJECTED;
}

static void take_outcome(struct asq__promise_outcome *o, const redisReply *fields)
{
    const redisReply *value = find(fields, "value"), *json = find(fields, "json"),
                     *error = find(fields, "error");
    if (value)
        asq__buf_put(&o->text, value->str, value->len);
    else if (json)
        take_json(o, json);
    else if (error)
        reject(o, code_of(find(fields, "code")), error->str, error->len);
    else
        reject_text(o, ASQ_EPROTO, "it was settled without a field 'value', 'json' or 'error'");
}

enum asq__promise_state asq__promise_read(const redisReply *entries,
                                          struct asq__promise_outcome *ret)
{
    if (entries->type != REDIS_REPLY_ARRAY || entries->elements == 0)
        return ASQ__PROMISE_NONE;
    const redisReply *head = fields_of(entries->element[0]);
    const redisReply *maker = head ? find(head, "call") : NULL;
    struct asq__call_id id;
    *ret = (struct asq__promise_outcome){ .code = 0 };
    asq__buf_init(&ret->text, (size_t) 1 << 31);
    if (maker && asq__call_id_parse(maker->str, &id) == 0)
        asq__call_id_format(&id, ret->maker);
    if (entries->elements == 1)
        return ASQ__PROMISE_OPEN;
    const redisReply *fields = fields_of(entries->element[1]);
    if (fields)
        take_outcome(ret, fields);
    else
        reject_text(ret, ASQ_EPROTO, "its outcome cannot be read");
    return ASQ__PROMISE_SETTLED;
}

void asq__promise_outcome_release(struct asq__promise_outcome *o)
{
    asq__buf_release(&o->text);
}
