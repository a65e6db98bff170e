/*
 * dead_list.c: lists dead letters, newest last. See dead.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/dead.h"
#include "client/handle.h"
#include "client/remote.h"
#include "client/stream_list.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/value.h"

struct listing {
    size_t limit; /* SIZE_MAX: all */
    asq_value *list;
};

static int take_letter(const struct asq__letter_id *id, const redisReply *const *fields, size_t n,
                       long long batch_bytes, void *user)
{
    struct listing *l = user;
    asq_value *letter;
    int rc = asq__dead_describe(id, fields, n, batch_bytes, &letter);
    return rc < 0 ? rc : asq_list_append(l->list, letter);
}

static int compare_letters(const void *a, const void *b)
{
    return asq__dead_compare(*(asq_value *const *) a, *(asq_value *const *) b);
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

static int list_dead(asq *h, size_t limit, asq_value **ret)
{
    struct listing l = { .limit = limit ? limit : SIZE_MAX };
    char key[ASQ__KEY_MAX];
    struct asq__streams streams = { 0 };
    struct asq__stream_list list = { .key = key, .what = "dead letters", .limit = l.limit };
    int rc = 0;
    if (!(l.list = asq_value_list()))
        return asq__fail_memory(h);
    rc = asq__streams_find(h, asq__keys_dead, false, &streams);
    for (size_t i = 0; i < streams.n && rc == 0; i++) {
        list.partition = streams.found[i].partition;
        asq__keys_dead(asq__redis_keys(asq__remote_redis(h)), list.partition, key);
        rc = asq__stream_list(h, &list, take_letter, &l);
        if (rc == 0)
            rc = asq__admin_check_partitions(h, streams.partitions);
        if (l.list->list.n > l.limit)
            sort_and_truncate(&l);
    }
    free(streams.found);
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
