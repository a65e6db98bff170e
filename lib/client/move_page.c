/*
 * move_page.c: see move_page.h.
 */
#include "client/move_page.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/refusal.h"
#include "value/hash.h"

enum { CHUNK = 1024 * 1024, COUNT_FIRST = 16, COUNT_MOST = 1024 };
/* Pages of fewer bytes grow, and those of more bytes shrink: an agent may have some MiB. */
enum { PAGE_SMALL = 256 * 1024, PAGE_LARGE = 4 * 1024 * 1024 };

enum asq__key_type asq__key_type_of(const redisReply *reply)
{
    static const char *const names[] = { "none", "string", "hash", "set", "zset", "stream" };
    for (int i = 0; i <= ASQ__KEY_STREAM; i++)
        if (reply->type == REDIS_REPLY_STATUS && strcmp(reply->str, names[i]) == 0)
            return (enum asq__key_type) i;
    return ASQ__KEY_OTHER;
}

/* ---- pages ---- */

void asq__pages_begin(struct asq__pages *p, const char *name, size_t n, enum asq__key_type type)
{
    *p = (struct asq__pages){ .type = type, .name_n = n, .count = COUNT_FIRST };
    memcpy(p->name, name, n + 1);
    snprintf(p->at, sizeof p->at, "%s", type == ASQ__KEY_STREAM ? "-" : "0");
    p->done = type == ASQ__KEY_NONE || type == ASQ__KEY_OTHER;
}

void asq__pages_ask(struct asq__pages *p, struct asq__cmd *cmd)
{
    const char *scan = p->type == ASQ__KEY_HASH  ? "HSCAN"
                       : p->type == ASQ__KEY_SET ? "SSCAN"
                                                 : "ZSCAN";
    asq__cmd_reset(cmd);
    if (p->type == ASQ__KEY_STRING) {
        asq__cmd_puts(cmd, "GETRANGE");
        asq__cmd_put(cmd, p->name, p->name_n);
        asq__cmd_number(cmd, p->offset);
        asq__cmd_number(cmd, p->offset + CHUNK - 1);
    } else if (p->type == ASQ__KEY_STREAM && !*p->last_id) {
        asq__cmd_puts(cmd, "XINFO");
        asq__cmd_puts(cmd, "STREAM");
        asq__cmd_put(cmd, p->name, p->name_n);
    } else if (p->type == ASQ__KEY_STREAM) {
        asq__cmd_puts(cmd, "XRANGE");
        asq__cmd_put(cmd, p->name, p->name_n);
        asq__cmd_puts(cmd, p->at);
        asq__cmd_puts(cmd, "+");
        asq__cmd_puts(cmd, "COUNT");
        asq__cmd_number(cmd, p->count);
    } else {
        asq__cmd_puts(cmd, scan);
        asq__cmd_put(cmd, p->name, p->name_n);
        asq__cmd_puts(cmd, p->at);
        asq__cmd_puts(cmd, "COUNT");
        asq__cmd_number(cmd, p->count);
    }
}

static bool is_string(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

/* Sets how many elements the next page has, by the size of this one. */
static void pace(struct asq__pages *p, size_t bytes)
{
    if (bytes < PAGE_SMALL && p->count < COUNT_MOST)
        p->count *= 2;
    else if (bytes > PAGE_LARGE && p->count > 1)
        p->count /= 2;
}

static int take_string(struct asq__pages *p, const redisReply *reply, asq__element_fn fn,
                       void *user)
{
    if (!is_string(reply))
        return ASQ_EPROTO;
    p->offset += reply->len;
    p->done = reply->len < CHUNK;
    return reply->len ? fn(user, reply, NULL) : 0;
}

/* The reply: a cursor, and a list of elements, or of elements and their values by turns. */
static int take_scan(struct asq__pages *p, const redisReply *reply, asq__element_fn fn, void *user)
{
    size_t step = p->type == ASQ__KEY_SET ? 1 : 2, bytes = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || !is_string(reply->element[0]) ||
        reply->element[0]->len >= sizeof p->at || reply->element[1]->type != REDIS_REPLY_ARRAY ||
        reply->element[1]->elements % step)
        return ASQ_EPROTO;
    const redisReply *list = reply->element[1];
    for (size_t i = 0; i < list->elements; i += step) {
        const redisReply *a = list->element[i], *b = step == 2 ? list->element[i + 1] : NULL;
        if (!is_string(a) || (b && !is_string(b)))
            return ASQ_EPROTO;
        bytes += a->len + (b ? b->len : 0);
        int rc = fn(user, a, b);
        if (rc < 0)
            return rc;
    }
    memcpy(p->at, reply->element[0]->str, reply->element[0]->len + 1);
    p->done = strcmp(p->at, "0") == 0;
    pace(p, bytes);
    return 0;
}

static int take_info(struct asq__pages *p, const redisReply *reply)
{
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        const redisReply *value = reply->element[i + 1];
        if (asq__reply_is(reply->element[i], "last-generated-id") && is_string(value) &&
            value->len < sizeof p->last_id)
            memcpy(p->last_id, value->str, value->len + 1);
    }
    return *p->last_id ? 0 : ASQ_EPROTO;
}

static int take_entries(struct asq__pages *p, const redisReply *reply, asq__element_fn fn,
                        void *user)
{
    size_t bytes = 0;
    if (reply->type != REDIS_REPLY_ARRAY)
        return ASQ_EPROTO;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            !is_string(entry->element[0]) || entry->element[0]->len + 1 >= sizeof p->at ||
            entry->element[1]->type != REDIS_REPLY_ARRAY)
            return ASQ_EPROTO;
        const redisReply *id = entry->element[0], *fields = entry->element[1];
        for (size_t k = 0; k < fields->elements; k++) {
            if (!is_string(fields->element[k]))
                return ASQ_EPROTO;
            bytes += fields->element[k]->len;
        }
        int rc = fn(user, id, fields);
        if (rc < 0)
            return rc;
        snprintf(p->at, sizeof p->at, "(%s", id->str);
    }
    p->done = reply->elements < p->count;
    pace(p, bytes);
    return 0;
}

int asq__pages_take(struct asq__pages *p, const redisReply *reply, asq__element_fn fn, void *user)
{
    if (p->type == ASQ__KEY_STRING)
        return take_string(p, reply, fn, user);
    if (p->type == ASQ__KEY_STREAM)
        return *p->last_id ? take_entries(p, reply, fn, user) : take_info(p, reply);
    return take_scan(p, reply, fn, user);
}

/* ---- checksums ---- */

/* Sums are SipHash-2-4-128 under a zero key: they find accidents, not attacks. */
static void join(uint8_t sum[16], const uint8_t more[16])
{
    uint8_t both[32];
    memcpy(both, sum, 16);
    memcpy(both + 16, more, 16);
    asq__siphash128(both, sizeof both, sum);
}

static void add(struct asq__digest *d, uint8_t sum[16], const redisReply *r)
{
    uint8_t one[16];
    d->bytes += r->len;
    asq__siphash128(r->str, r->len, one);
    join(sum, one);
}

void asq__digest_begin(struct asq__digest *d, enum asq__key_type type)
{
    *d = (struct asq__digest){ .type = type };
}

/* Adds a score: versions write the same number in different ways. */
static void add_score(struct asq__digest *d, uint8_t sum[16], const redisReply *r)
{
    uint8_t one[16];
    double score = strtod(r->str, NULL);
    d->bytes += sizeof score;
    asq__siphash128(&score, sizeof score, one);
    join(sum, one);
}

int asq__digest_element(void *digest, const redisReply *a, const redisReply *b)
{
    struct asq__digest *d = digest;
    uint8_t sum[16] = { 0 };
    if (d->type == ASQ__KEY_STRING) {
        add(d, d->sum, a);
        return 0;
    }
    add(d, sum, a);
    if (d->type == ASQ__KEY_STREAM) {
        d->items++;
        for (size_t i = 0; i < b->elements; i++)
            add(d, sum, b->element[i]);
        join(d->sum, sum);
        return 0;
    }
    if (d->type == ASQ__KEY_ZSET)
        add_score(d, sum, b);
    else if (b)
        add(d, sum, b);
    if (d->n == d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 16;
        void *more = realloc(d->elements, cap * sizeof *d->elements);
        if (!more)
            return ASQ_ENOMEM;
        d->elements = more;
        d->cap = cap;
    }
    memcpy(d->elements[d->n++], sum, sizeof sum);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 16);
}

void asq__digest_end(struct asq__digest *d, const struct asq__pages *p)
{
    uint8_t type[16] = { (uint8_t) d->type };
    if (d->n)
        qsort(d->elements, d->n, sizeof *d->elements, compare);
    for (size_t i = 0; i < d->n; i++)
        if (i == 0 || compare(d->elements[i], d->elements[i - 1]) != 0) {
            join(d->sum, d->elements[i]);
            d->items++;
        }
    if (d->type == ASQ__KEY_STRING)
        d->items = 1;
    if (d->type == ASQ__KEY_STREAM) {
        uint8_t last[16];
        asq__siphash128(p->last_id, strlen(p->last_id), last);
        join(d->sum, last);
    }
    join(d->sum, type);
    free(d->elements);
    d->elements = NULL;
    d->n = d->cap = 0;
}

void asq__digest_release(struct asq__digest *d)
{
    free(d->elements);
    *d = (struct asq__digest){ 0 };
}
