/*
 * calls_page.c: reads pages of batches from a partition's stream, or from `later`. A script leaves
 * large arguments out. Without scripts, or before Redis 7, whole batches are read, about PAGE_BYTES
 * at a time, estimated by the last page. Batches that cannot be decoded are left out: their owner
 * makes dead letters of them. See calls.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/admin_each.h"
#include "client/calls.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/script.h"
#include "value/arena.h"
#include "value/decimal.h"
#include "value/grow.h"
#include "value/msg.h"
#include "value/value.h"

enum { PAGE = 512, PAGE_BYTES = 1 << 20 };

static bool is_text(const redisReply *r)
{
    return r->type == REDIS_REPLY_STRING;
}

static int wrong_answer(asq *h)
{
    return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list of batches");
}

static void clear(struct asq__page_reader *r)
{
    for (size_t i = 0; i < r->n; i++)
        asq__arena_release(&r->batches[i].arena);
    r->n = 0;
}

void asq__page_release(struct asq__page_reader *r)
{
    clear(r);
    free(r->batches);
}

/* Decodes what the reply has, because the reply is freed, and adds it to the page: a batch of the
 * stream with the field `later` of its entry, or a Later. */
static int add(asq *h, struct asq__page_reader *r, const struct asq__listed *about,
               const redisReply *message, const redisReply *later)
{
    const redisReply *encoded = r->later ? message : later;
    size_t later_n = encoded ? encoded->len : 0;
    if (!asq__grow(&r->batches, r->n, &r->room, sizeof *r->batches))
        return asq__fail_memory(h);
    struct asq__listed *l = &r->batches[r->n++];
    *l = *about;
    asq__arena_init(&l->arena, asq__batch_room(message->str, message->len) + 64 * later_n + 4096);
    if (later_n)
        l->later =
            asqueue__later__unpack(&l->arena.allocator, later_n, (const uint8_t *) encoded->str);
    const void *data = message->str;
    size_t n = message->len;
    if (r->later) {
        data = l->later ? l->later->batch.data : NULL;
        n = l->later ? l->later->batch.len : 0;
    }
    Asqueue__Batch *batch;
    if (n && asq__batch_decode(data, n, &l->arena, &batch, NULL, 0) == 0)
        l->batch = batch;
    return 0;
}

/* Reads the time in an entry's id, or a time alone. */
static uint64_t first_number(const char *text)
{
    uint64_t number = 0;
    return asq__decimal_read(&text, &number) ? number : 0;
}

/* Reads the answer of calls.lua. */
static int take_page(asq *h, const redisReply *reply, void *user)
{
    struct asq__page_reader *r = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements < 2 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER || !is_text(reply->element[1]))
        return wrong_answer(h);
    r->more = reply->element[0]->integer != 0;
    snprintf(r->from, sizeof r->from, "%s", reply->element[1]->str);
    int rc = 0;
    for (size_t i = 2; rc == 0 && i < reply->elements; i++) {
        redisReply *const *parts = reply->element[i]->element;
        if (reply->element[i]->type != REDIS_REPLY_ARRAY || reply->element[i]->elements != 5 ||
            !is_text(parts[0]) || !is_text(parts[1]) || !is_text(parts[2]))
            return wrong_answer(h);
        struct asq__listed listed = { .first = first_number(parts[0]->str),
                                      .has_record = parts[3]->integer != 0,
                                      .cut = parts[4]->integer != 0 };
        rc = add(h, r, &listed, parts[1], parts[2]);
    }
    return rc;
}

/* ---- Without scripts ---- */

struct plain {
    struct asq__page_reader *r;
    size_t n, bytes;
    char last[64];
    asq_value *ids; /* of batches in `later`, each followed by its time */
};

static int take_entries(asq *h, const redisReply *reply, void *user)
{
    struct plain *p = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return wrong_answer(h);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < reply->elements; i++) {
        const redisReply *entry = reply->element[i], *batch = NULL, *later = NULL;
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            !is_text(entry->element[0]) || entry->element[1]->type != REDIS_REPLY_ARRAY)
            return wrong_answer(h);
        const redisReply *fields = entry->element[1];
        for (size_t f = 0; f + 1 < fields->elements; f += 2) {
            if (!is_text(fields->element[f]) || !is_text(fields->element[f + 1]))
                continue;
            p->bytes += fields->element[f + 1]->len;
            if (strcmp(fields->element[f]->str, "batch") == 0)
                batch = fields->element[f + 1];
            if (strcmp(fields->element[f]->str, "later") == 0)
                later = fields->element[f + 1];
        }
        p->n++;
        snprintf(p->last, sizeof p->last, "%s", entry->element[0]->str);
        struct asq__listed listed = { .first = first_number(p->last), .has_record = true };
        if (batch)
            rc = add(h, p->r, &listed, batch, later);
    }
    return rc;
}

static int take_due(asq *h, const redisReply *reply, void *user)
{
    struct plain *p = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return wrong_answer(h);
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *text = reply->element[i];
        if (is_text(text) && asq_list_append(p->ids, asq_value_bytes(text->str, text->len)) < 0)
            return asq__fail_memory(h);
    }
    return 0;
}

struct kept {
    struct plain *p;
    uint64_t due;
};

static int take_kept(asq *h, const redisReply *reply, void *user)
{
    struct kept *k = user;
    struct asq__listed listed = { .first = k->due, .has_record = true };
    if (!is_text(reply))
        return 0; /* back in the stream by now */
    k->p->bytes += reply->len;
    return add(h, k->p->r, &listed, reply, NULL);
}

static int read_plain_later(asq *h, struct plain *p, const char *key)
{
    struct asq__page_reader *r = p->r;
    char last[32], kept_key[ASQ__KEY_MAX];
    uint64_t rank = first_number(r->from);
    snprintf(last, sizeof last, "%llu", (unsigned long long) rank + r->wanted - 1);
    if (!(p->ids = asq_value_list()))
        return asq__fail_memory(h);
    int rc = asq__admin_command(h, r->partition, take_due, p, 5,
                                (const char *[]){ "ZRANGE", key, r->from, last, "WITHSCORES" });
    asq__keys_later_jobs(asq__redis_keys(asq__remote_redis(h)), r->partition, kept_key);
    for (size_t i = 0; rc == 0 && i + 1 < asq_list_size(p->ids); i += 2) {
        const void *id, *due;
        size_t id_n, due_n;
        char text[32] = "";
        asq_value_get_bytes(asq_list_get(p->ids, i), &id, &id_n);
        asq_value_get_bytes(asq_list_get(p->ids, i + 1), &due, &due_n);
        memcpy(text, due, due_n < sizeof text ? due_n : sizeof text - 1);
        struct kept kept = { p, first_number(text) };
        struct asq__query q = { .partition = r->partition,
                                .take = take_kept,
                                .user = &kept,
                                .argc = 3,
                                .argv = (const char *[]){ "HGET", kept_key, id },
                                .lens = (const size_t[]){ 4, strlen(kept_key), id_n } };
        rc = asq__admin_ask(h, &q);
        p->n++;
    }
    asq_value_free(p->ids);
    snprintf(r->from, sizeof r->from, "%llu", (unsigned long long) rank + p->n);
    return rc;
}

static int read_plain(asq *h, struct asq__page_reader *r, const char *key)
{
    struct plain p = { .r = r };
    char count[24];
    int rc;
    snprintf(count, sizeof count, "%u", r->wanted);
    if (r->later) {
        rc = read_plain_later(h, &p, key);
    } else {
        rc = asq__admin_command(h, r->partition, take_entries, &p, 6,
                                (const char *[]){ "XRANGE", key, r->from, "+", "COUNT", count });
        if (p.n)
            snprintf(r->from, sizeof r->from, "(%.40s", p.last);
    }
    r->more = p.n > 0 && strncmp(p.last, "18446744073709551615-", 21) != 0;
    if (p.n) {
        size_t next = PAGE_BYTES / (p.bytes / p.n + 1) + 1;
        next = next > 2 * (size_t) r->wanted ? 2 * (size_t) r->wanted : next;
        r->wanted = (unsigned) (next > PAGE ? PAGE : next);
    }
    return rc;
}

int asq__page_read(asq *h, struct asq__page_reader *r)
{
    static const uint8_t no_batch[ASQ__BATCH_ID];
    const struct asq__keys *keys = asq__redis_keys(asq__remote_redis(h));
    char key[ASQ__KEY_MAX], kept[ASQ__KEY_MAX], prefix[ASQ__KEY_MAX], count[24];
    if (r->later)
        asq__keys_later(keys, r->partition, key);
    else
        asq__keys_jobs(keys, r->partition, key);
    clear(r);
    if (!*r->from)
        strcpy(r->from, r->later ? "0" : "-");
    if (r->plain)
        return read_plain(h, r, key);
    asq__keys_later_jobs(keys, r->partition, kept);
    size_t n = asq__keys_result(keys, r->partition, no_batch, prefix);
    prefix[n - (size_t) 2 * ASQ__BATCH_ID] = '\0';
    snprintf(count, sizeof count, "%d", PAGE);
    const char *with_kept[] = {
        "EVAL_RO", asq__script_calls, "2", key, kept, r->from, count, prefix
    };
    const char *stream[] = { "EVAL_RO", asq__script_calls, "1", key, r->from, count, prefix };
    struct asq__query q = { .partition = r->partition,
                            .take = take_page,
                            .user = r,
                            .argc = r->later ? 8 : 7,
                            .argv = r->later ? with_kept : stream };
    int rc = asq__admin_ask(h, &q);
    if (!q.denied)
        return rc;
    r->plain = true;
    r->wanted = 1;
    return read_plain(h, r, key);
}

/* ---- which partitions have any ---- */

struct finding {
    uint8_t *flags, flag;
};

/* Takes the number of entries, or the first member. A key that cannot be looked at may have some,
 * which its list says then. */
static int take_any(asq *h, uint32_t partition, const redisReply *reply, void *user)
{
    const struct finding *f = user;
    (void) h;
    if ((reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) ||
        (reply->type == REDIS_REPLY_ARRAY && reply->elements == 0))
        return 0;
    f->flags[partition] |= f->flag;
    return 0;
}

int asq__calls_find(asq *h, uint32_t partitions, int64_t deadline_ms, uint8_t **ret)
{
    struct finding f = { calloc(partitions, 1), ASQ__CALLS_IN_STREAM };
    struct asq__each each = { .partitions = partitions,
                              .command = "XLEN",
                              .key = asq__keys_jobs,
                              .take = take_any,
                              .user = &f };
    if (!f.flags)
        return asq__fail_memory(h);
    int rc = asq__admin_each(h, &each, deadline_ms);
    f.flag = ASQ__CALLS_IN_LATER;
    each.command = "ZRANGE"; /* operators may not use ZCARD */
    each.key = asq__keys_later;
    each.n_more = 2;
    each.more[0] = each.more[1] = "0";
    rc = rc < 0 ? rc : asq__admin_each(h, &each, deadline_ms);
    if (rc < 0)
        free(f.flags);
    else
        *ret = f.flags;
    return rc;
}
