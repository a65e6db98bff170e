/*
 * failures.c: lists the failed runs of calls that workers keep in the streams asq:{N.p}:failures,
 * newest first. Memory is bounded by the limit, however many partitions there are: after each one
 * only the newest of all stay. Partitions whose newest failure comes behind the limit are not read.
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
#include "value/error.h"
#include "value/sized_options.h"
#include "value/value.h"

enum { LIMIT = 100 };

struct listing {
    asq_failures_options wanted;
    size_t limit;
    asq_value *list;
    size_t taken;                 /* from this partition */
    unsigned long long oldest_ms; /* older ones are not wanted, or come behind the limit */
};

/* Returns a field's value, which may hold any bytes; NULL: there is none. */
static const redisReply *field_of(const redisReply *const *fields, size_t n, const char *name)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        if (fields[i]->type == REDIS_REPLY_STRING && fields[i + 1]->type == REDIS_REPLY_STRING &&
            strcmp(fields[i]->str, name) == 0)
            return fields[i + 1];
    return NULL;
}

static const char *text_of(const redisReply *field)
{
    return field ? field->str : "";
}

static bool is_wanted(const asq_failures_options *o, const redisReply *const *fields, size_t n)
{
    const struct {
        const char *wanted, *field;
    } texts[] = { { o->class_name, "class" }, { o->method, "method" }, { o->agent_id, "agent" } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i].wanted &&
            strcmp(texts[i].wanted, text_of(field_of(fields, n, texts[i].field))) != 0)
            return false;
    return !o->code || strtol(text_of(field_of(fields, n, "code")), NULL, 10) == o->code;
}

/* Makes the public map of a failure. NULL: no memory. */
static asq_value *describe(const struct asq__letter_id *id, const redisReply *const *fields,
                           size_t n)
{
    static const struct {
        const char *field, *key;
    } texts[] = { { "class", "class" },     { "method", "method" }, { "agent", "agent" },
                  { "message", "message" }, { "worker", "worker" }, { "call", "call_id" },
                  { "args", "args" } };
    char text[96], code[32];
    snprintf(text, sizeof text, "%u-%llu-%llu", id->partition, id->ms, id->n);
    long number = strtol(text_of(field_of(fields, n, "code")), NULL, 10);
    long attempt = strtol(text_of(field_of(fields, n, "attempt")), NULL, 10);
    asq__error_code_name((int) number, code, sizeof code);
    asq_value *map =
        asq_pack("{s:s, s:I, s:I, s:s, s:I, s:I, s:b}", "id", text, "time_ms", (int64_t) id->ms,
                 "partition", (int64_t) id->partition, "code", code, "number", (int64_t) number,
                 "attempt", (int64_t) attempt, "again", field_of(fields, n, "again") != NULL);
    for (size_t i = 0; i < sizeof texts / sizeof *texts && map; i++) {
        const redisReply *field = field_of(fields, n, texts[i].field);
        asq_value *v = field ? asq__admin_text(field->str, (size_t) field->len) : asq_value_null();
        if (asq_map_set(map, texts[i].key, v) < 0) {
            asq_value_free(map);
            map = NULL;
        }
    }
    return map;
}

static int take(const struct asq__letter_id *id, const redisReply *const *fields, size_t n,
                long long batch_bytes, void *user)
{
    struct listing *l = user;
    (void) batch_bytes;
    if (id->ms < l->oldest_ms)
        return 1;
    if (!is_wanted(&l->wanted, fields, n))
        return 0;
    asq_value *failure = describe(id, fields, n);
    if (!failure)
        return ASQ_ENOMEM;
    int rc = asq_list_append(l->list, failure);
    return rc < 0 ? rc : ++l->taken >= l->limit;
}

static int compare_newest_first(const void *a, const void *b)
{
    return asq__dead_compare(*(asq_value *const *) b, *(asq_value *const *) a);
}

/* Sorts the list, newest first, and cuts it to the limit. */
static void sort_and_truncate(struct listing *l)
{
    asq_value *list = l->list;
    if (list->list.n)
        qsort(list->list.items, list->list.n, sizeof(asq_value *), compare_newest_first);
    while (list->list.n > l->limit)
        asq_value_free(list->list.items[--list->list.n]);
    if (list->list.n == l->limit)
        l->oldest_ms =
            (unsigned long long) asq_map_int(list->list.items[list->list.n - 1], "time_ms");
}

static int list_failures(asq *h, const asq_failures_options *wanted, asq_value **ret)
{
    struct listing l = { .wanted = *wanted,
                         .limit = wanted->limit ? wanted->limit : LIMIT,
                         .oldest_ms = (unsigned long long) wanted->since_ms };
    char key[ASQ__KEY_MAX];
    struct asq__streams streams = { 0 };
    struct asq__stream_list list = { .key = key, .what = "failures", .limit = SIZE_MAX };
    int rc = 0;
    if (!(l.list = asq_value_list()))
        return asq__fail_memory(h);
    rc = asq__streams_find(h, asq__keys_failures, true, &streams);
    for (size_t i = 0; i < streams.n && rc == 0 && streams.found[i].ms >= l.oldest_ms; i++) {
        list.partition = streams.found[i].partition;
        asq__keys_failures(asq__redis_keys(asq__remote_redis(h)), list.partition, key);
        l.taken = 0;
        rc = asq__stream_list(h, &list, take, &l);
        if (rc == 0)
            rc = asq__admin_check_partitions(h, streams.partitions);
        if (rc == 0 && l.taken)
            sort_and_truncate(&l);
    }
    free(streams.found);
    if (rc < 0) {
        asq_value_free(l.list);
        return rc;
    }
    *ret = l.list;
    return 0;
}

int asq_failures(asq *h, const asq_failures_options *options, asq_value **ret)
{
    char why[300];
    asq_failures_options wanted = ASQ_FAILURES_OPTIONS_INIT;
    if (!h || !ret)
        return asq__null(h, "asq_failures");
    int rc = asq__sized_options_take(&wanted, sizeof wanted, options, "ASQ_FAILURES_OPTIONS_INIT",
                                     why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "asq_failures: %s", why);
    if (wanted.since_ms < 0)
        return asq__fail(h, ASQ_EINVAL, "asq_failures: since_ms is below 0");
    rc = asq__admin_begin(h, "asq_failures");
    return rc < 0 ? rc : asq__admin_end(h, list_failures(h, &wanted, ret));
}
