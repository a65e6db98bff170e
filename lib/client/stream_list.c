/*
 * stream_list.c: see stream_list.h.
 */
#include "client/stream_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/admin_each.h"
#include "client/handle.h"
#include "redis/script.h"

enum { PAGE = 100, PAGE_BYTES = 1 << 20 };

struct listing {
    struct asq__stream_list *list;
    asq__entry_fn take;
    void *user;
    size_t asked;   /* entries requested */
    size_t page;    /* entries in the last reply */
    bool more;      /* further entries may follow */
    bool enough;    /* the taker wants no more */
    size_t bytes;   /* plain: size of the last reply */
    size_t at_once; /* plain: entries to request next */
    char before[64];
};

/* Hands an entry to the taker; `id` is that of its stream. */
static int give(asq *h, struct listing *l, const char *id, const redisReply *const *fields,
                size_t n, long long batch_bytes)
{
    struct asq__letter_id at = { .partition = l->list->partition };
    snprintf(l->before, sizeof l->before, "(%s", id);
    if (!asq__dead_parse_stream_id(id, &at))
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a stream id");
    int rc = l->enough ? 0 : l->take(&at, fields, n, batch_bytes, l->user);
    l->enough |= rc > 0;
    return rc < 0 ? asq__fail_memory(h) : 0;
}

/* Takes a page as dead_list.lua returns it. */
static int take_page(asq *h, const redisReply *reply, void *user)
{
    struct listing *l = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 ||
        reply->element[0]->type != REDIS_REPLY_INTEGER)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list of %s",
                         l->list->what);
    l->page = reply->elements - 1;
    l->more = reply->element[0]->integer != 0;
    for (size_t i = 1; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements < 2 ||
            entry->element[0]->type != REDIS_REPLY_STRING ||
            entry->element[1]->type != REDIS_REPLY_INTEGER)
            return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than %s",
                             l->list->what);
        int rc = give(h, l, entry->element[0]->str, (const redisReply *const *) entry->element + 2,
                      entry->elements - 2, entry->element[1]->integer);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Takes a page of whole entries, as XREVRANGE returns it. */
static int take_entries(asq *h, const redisReply *reply, void *user)
{
    struct listing *l = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list");
    l->page = reply->elements;
    l->more = reply->elements >= l->asked;
    l->bytes = 0;
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i], *fields;
        long long batch_bytes = -1;
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            entry->element[0]->type != REDIS_REPLY_STRING ||
            entry->element[1]->type != REDIS_REPLY_ARRAY)
            return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than %s",
                             l->list->what);
        fields = entry->element[1];
        for (size_t f = 0; f + 1 < fields->elements; f += 2)
            if (fields->element[f]->type == REDIS_REPLY_STRING &&
                fields->element[f + 1]->type == REDIS_REPLY_STRING) {
                l->bytes += (size_t) fields->element[f + 1]->len;
                if (strcmp(fields->element[f]->str, "batch") == 0)
                    batch_bytes = (long long) fields->element[f + 1]->len;
            }
        int rc = give(h, l, entry->element[0]->str, (const redisReply *const *) fields->element,
                      fields->elements, batch_bytes);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Lists a page of at most l->asked entries. The script leaves batches out, which may be large.
 * Redis 6.2, which has no EVAL_RO, and users without scripts read whole entries, about PAGE_BYTES
 * at a time, estimated by the last page. */
static int list_page(asq *h, struct listing *l)
{
    const char *key = l->list->key;
    char count[24];
    int rc;
    snprintf(count, sizeof count, "%zu", l->asked);
    if (!l->list->plain) {
        struct asq__query q = { .partition = l->list->partition,
                                .take = take_page,
                                .user = l,
                                .argc = 6,
                                .argv = (const char *[]){ "EVAL_RO", asq__script_dead_list, "1",
                                                          key, l->before, count } };
        rc = asq__admin_ask(h, &q);
        if (!q.denied)
            return rc;
        l->list->plain = true;
        l->asked = 1;
        strcpy(count, "1");
    }
    struct asq__query q = { .partition = l->list->partition,
                            .take = take_entries,
                            .user = l,
                            .argc = 6,
                            .argv = (const char *[]){ "XREVRANGE", key, l->before, "-", "COUNT",
                                                      count } };
    rc = asq__admin_ask(h, &q);
    if (rc == 0 && l->page)
        l->at_once = PAGE_BYTES / (l->bytes / l->page + 1) + 1;
    if (rc == 0 && l->at_once > 2 * l->page)
        l->at_once = l->page ? 2 * l->page : 1;
    return rc;
}

int asq__stream_list(asq *h, struct asq__stream_list *list, asq__entry_fn take, void *user)
{
    struct listing l = { .list = list, .take = take, .user = user, .at_once = 1 };
    size_t wanted = list->limit;
    int rc = 0;
    strcpy(l.before, "+");
    do {
        l.asked = wanted < PAGE ? wanted : PAGE;
        if (list->plain && l.asked > l.at_once)
            l.asked = l.at_once;
        rc = list_page(h, &l);
        wanted -= l.page < wanted ? l.page : wanted;
    } while (rc == 0 && wanted && l.page && l.more && !l.enough);
    return rc;
}

/* ---- which streams there are ---- */

struct finding {
    struct asq__streams streams;
    bool small;
};

/* Takes the number of entries, or the newest entry. What has another form is read later, and says
 * so then. */
static int take_stream(asq *h, uint32_t partition, const redisReply *reply, void *user)
{
    struct finding *f = user;
    struct asq__stream_newest newest = { partition, UINT64_MAX };
    (void) h;
    if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        return 0;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 0)
        return 0;
    if (f->small && reply->type == REDIS_REPLY_ARRAY &&
        reply->element[0]->type == REDIS_REPLY_ARRAY && reply->element[0]->elements &&
        reply->element[0]->element[0]->type == REDIS_REPLY_STRING)
        newest.ms = strtoull(reply->element[0]->element[0]->str, NULL, 10);
    f->streams.found[f->streams.n++] = newest;
    return 0;
}

static int compare_newest(const void *a, const void *b)
{
    const struct asq__stream_newest *x = a, *y = b;
    if (x->ms != y->ms)
        return x->ms < y->ms ? 1 : -1;
    return x->partition < y->partition ? -1 : x->partition > y->partition;
}

int asq__streams_find(asq *h, size_t (*key)(const struct asq__keys *, uint32_t, char *), bool small,
                      struct asq__streams *ret)
{
    struct finding f = { .streams.partitions = h->partitions, .small = small };
    const struct asq__each each = { .partitions = f.streams.partitions,
                                    .command = small ? "XREVRANGE" : "XLEN",
                                    .key = key,
                                    .n_more = small ? 4 : 0,
                                    .more = { "+", "-", "COUNT", "1" },
                                    .take = take_stream,
                                    .user = &f };
    if (!(f.streams.found = calloc(f.streams.partitions + 1, sizeof *f.streams.found)))
        return asq__fail_memory(h);
    int rc = asq__admin_each(h, &each, 0);
    if (rc < 0) {
        free(f.streams.found);
        return rc;
    }
    qsort(f.streams.found, f.streams.n, sizeof *f.streams.found, compare_newest);
    *ret = f.streams;
    return 0;
}
