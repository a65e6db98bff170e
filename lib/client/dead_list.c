/*
 * dead_list.c: lists dead letters, newest last, a page at a time. See dead.h.
 */
#include "client/dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"

enum { PAGE = 100, PAGE_BYTES = 1 << 20 };

static int out_of_memory(asq *h)
{
    return asq__fail(h, ASQ_ENOMEM, "out of memory");
}

struct listing {
    uint32_t partition;
    size_t limit; /* SIZE_MAX: all */
    asq_value *list;
    size_t asked;   /* letters requested */
    size_t page;    /* letters in the last reply */
    bool more;      /* further letters may follow */
    bool plain;     /* EVAL_RO is not available */
    size_t bytes;   /* plain: size of the last reply */
    size_t at_once; /* plain: letters to request next */
    char before[64];
};

static int take_page(asq *h, const redisReply *reply, void *user)
{
    struct listing *l = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list");
    if (reply->elements == 0 || reply->element[0]->type != REDIS_REPLY_INTEGER)
        return asq__fail(h, ASQ_EPROTO,
                         "Redis answered with something other than a list of dead letters");
    l->page = reply->elements - 1;
    l->more = reply->element[0]->integer != 0;
    for (size_t i = 1; i < reply->elements; i++) {
        const redisReply *entry = reply->element[i];
        struct asq__letter_id id = { .partition = l->partition };
        asq_value *letter;
        const char *text;
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements < 2 ||
            entry->element[0]->type != REDIS_REPLY_STRING ||
            entry->element[1]->type != REDIS_REPLY_INTEGER)
            return asq__fail(h, ASQ_EPROTO,
                             "Redis answered with something other than a dead letter");
        text = entry->element[0]->str;
        snprintf(l->before, sizeof l->before, "(%s", text);
        if (!asq__dead_parse_stream_id(text, &id))
            return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a stream id");
        int rc = asq__dead_describe(&id, (const redisReply *const *) entry->element + 2,
                                    entry->elements - 2, entry->element[1]->integer, &letter);
        if (rc == 0)
            rc = asq_list_append(l->list, letter);
        if (rc < 0)
            return out_of_memory(h);
    }
    return 0;
}

static int compare_letters(const void *a, const void *b)
{
    struct asq__letter_id x = { 0 }, y = { 0 };
    const char *text = "";
    asq_value_get_string(asq_map_get(*(asq_value *const *) a, "id"), &text, NULL);
    asq__dead_parse_id(text, &x);
    asq_value_get_string(asq_map_get(*(asq_value *const *) b, "id"), &text, NULL);
    asq__dead_parse_id(text, &y);
    if (x.ms != y.ms)
        return x.ms < y.ms ? -1 : 1;
    if (x.n != y.n)
        return x.n < y.n ? -1 : 1;
    return x.partition < y.partition ? -1 : x.partition > y.partition;
}

/* Sorts the list, newest last, and cuts it to the limit. */
static void sort_and_truncate(struct listing *l)
{
    asq_value *list = l->list;
    if (list->list.n == 0)
        return;
    qsort(list->list.items, list->list.n, sizeof(asq_value *), compare_letters);
    if (list->list.n <= l->limit)
        return;
    size_t over = list->list.n - l->limit;
    for (size_t i = 0; i < over; i++)
        asq_value_free(list->list.items[i]);
    memmove(list->list.items, list->list.items + over, l->limit * sizeof(asq_value *));
    list->list.n = l->limit;
}

/* Reads a page of whole entries, as XREVRANGE returns it. */
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
        struct asq__letter_id id = { .partition = l->partition };
        long long batch_bytes = -1;
        asq_value *letter;
        const char *text;
        if (entry->type != REDIS_REPLY_ARRAY || entry->elements != 2 ||
            entry->element[0]->type != REDIS_REPLY_STRING ||
            entry->element[1]->type != REDIS_REPLY_ARRAY)
            return asq__fail(h, ASQ_EPROTO,
                             "Redis answered with something other than a dead letter");
        fields = entry->element[1];
        text = entry->element[0]->str;
        snprintf(l->before, sizeof l->before, "(%s", text);
        if (!asq__dead_parse_stream_id(text, &id))
            return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a stream id");
        for (size_t f = 0; f + 1 < fields->elements; f += 2)
            if (fields->element[f]->type == REDIS_REPLY_STRING &&
                fields->element[f + 1]->type == REDIS_REPLY_STRING) {
                l->bytes += (size_t) fields->element[f + 1]->len;
                if (strcmp(fields->element[f]->str, "batch") == 0)
                    batch_bytes = (long long) fields->element[f + 1]->len;
            }
        int rc = asq__dead_describe(&id, (const redisReply *const *) fields->element,
                                    fields->elements, batch_bytes, &letter);
        if (rc == 0)
            rc = asq_list_append(l->list, letter);
        if (rc < 0)
            return out_of_memory(h);
    }
    return 0;
}

/* Lists a page of at most l->asked letters. The script leaves the batches out, which may be large.
 * Redis 6.2, which has no EVAL_RO, and users without scripts read whole entries, about PAGE_BYTES
 * at a time, estimated by the last page. */
static int list_page(asq *h, struct listing *l, const char *key)
{
    char count[24];
    int rc;
    snprintf(count, sizeof count, "%zu", l->asked);
    if (!l->plain) {
        struct asq__query q = { .partition = l->partition,
                                .take = take_page,
                                .user = l,
                                .argc = 6,
                                .argv = (const char *[]){ "EVAL_RO", asq__script_dead_list, "1",
                                                          key, l->before, count } };
        rc = asq__admin_ask(h, &q);
        if (!q.denied)
            return rc;
        l->plain = true;
        l->asked = 1;
        strcpy(count, "1");
    }
    struct asq__query q = { .partition = l->partition,
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

static int list_partition(asq *h, struct listing *l)
{
    char key[ASQ__KEY_MAX];
    size_t wanted = l->limit;
    int rc = 0;
    asq__keys_dead(asq__redis_keys(asq__remote_redis(h)), l->partition, key);
    strcpy(l->before, "+");
    l->at_once = 1;
    do {
        l->asked = wanted < PAGE ? wanted : PAGE;
        if (l->plain && l->asked > l->at_once)
            l->asked = l->at_once;
        rc = list_page(h, l, key);
        wanted -= l->page < wanted ? l->page : wanted;
    } while (rc == 0 && wanted && l->page && l->more);
    return rc;
}

static int list_dead(asq *h, size_t limit, asq_value **ret)
{
    struct listing l = { .limit = limit ? limit : SIZE_MAX };
    int rc = 0;
    if (!(l.list = asq_value_list()))
        return out_of_memory(h);
    for (; l.partition < h->partitions && rc == 0; l.partition++) {
        rc = list_partition(h, &l);
        if (l.list->list.n > l.limit)
            sort_and_truncate(&l);
    }
    if (rc < 0) {
        asq_value_free(l.list);
        return rc;
    }
    sort_and_truncate(&l);
    *ret = l.list;
    return 0;
}

int asq_dead_list(asq *h, size_t limit, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_dead_list");
    int rc = asq__admin_begin(h, "asq_dead_list");
    return rc < 0 ? rc : asq__admin_end(h, list_dead(h, limit, ret));
}
