/*
 * admin_deaths.c: lists the worker processes that have died lately, from the hash worker-deaths
 * (PROTOCOL.md), which worker/deaths.c and supervisors write. Any client may have written it, so
 * what has another form is left out.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/decimal.h"
#include "value/value.h"

enum { CLIENT = 16 /* digits */, MAX_DEATHS = 200, MAX_HEIRS = 100, MAX_TEXT = 512 };

static const struct {
    const char *field, *key;
    bool is_number;
} fields[] = { { "id", "id", false },         { "time", "time_ms", true },
               { "signal", "signal", false }, { "status", "status", true },
               { "heard", "heard_ms", true }, { "silent_ms", "silent_ms", true },
               { "host", "host", false },     { "pid", "pid", true },
               { "by", "found_by", false } };

/* Makes a value of a field. NULL: no worker writes this. */
static asq_value *make_value(const redisReply *text, bool is_number)
{
    const char *at = text->str;
    uint64_t n;
    if (text->type != REDIS_REPLY_STRING || text->len > MAX_TEXT)
        return NULL;
    if (!is_number)
        return asq__admin_text(text->str, text->len);
    return asq__decimal_read(&at, &n) && !*at && n <= INT64_MAX ? asq_value_int((int64_t) n) : NULL;
}

/* Finds a death by the number of its process, or adds it. NULL: there are too many. */
static asq_value *death_of(asq_value *deaths, const char *name)
{
    char client[CLIENT + 1];
    snprintf(client, sizeof client, "%.*s", CLIENT, name);
    if (!asq_map_find(deaths, client) && asq_map_size(deaths) < MAX_DEATHS)
        asq_map_set(deaths, client, asq_pack("{s:{}}", "heirs"));
    return asq_map_find(deaths, client);
}

static int take_heir(asq_value *death, const char *id, const redisReply *text)
{
    asq_value *heirs = asq_map_find(death, "heirs");
    asq_value *n = heirs && asq_map_size(heirs) < MAX_HEIRS && asq__utf8_valid(id, strlen(id))
                       ? make_value(text, true)
                       : NULL;
    return n ? asq_map_set(heirs, *id ? id : "(others)", n) : 0;
}

static int take_field(asq_value *deaths, const redisReply *name, const redisReply *text)
{
    if (name->type != REDIS_REPLY_STRING || name->len <= CLIENT + 1 || name->len > MAX_TEXT ||
        strspn(name->str, "0123456789abcdef") != CLIENT || name->str[CLIENT] != ' ')
        return 0;
    const char *field = name->str + CLIENT + 1;
    asq_value *death = death_of(deaths, name->str), *v;
    if (*field == '+')
        return take_heir(death, field + 1, text);
    for (size_t i = 0; death && i < sizeof fields / sizeof fields[0]; i++)
        if (strcmp(field, fields[i].field) == 0 && (v = make_value(text, fields[i].is_number)))
            return asq_map_set(death, fields[i].key, v);
    return 0;
}

static int take_deaths(asq *h, const redisReply *reply, void *user)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a hash");
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        if (take_field(user, reply->element[i], reply->element[i + 1]) == ASQ_ENOMEM)
            return asq__fail_memory(h);
    return 0;
}

/* Makes words of how it died. */
static asq_value *make_how(const asq_value *death)
{
    char text[100] = "unknown";
    const char *signal;
    if (asq_value_get_string(asq_map_get(death, "signal"), &signal, NULL) == 0)
        snprintf(text, sizeof text, "%.60s", signal);
    else if (asq_map_get(death, "status"))
        snprintf(text, sizeof text, "exit status %lld", (long long) asq_map_int(death, "status"));
    else if (asq_map_get(death, "silent_ms"))
        snprintf(text, sizeof text, "no heartbeat for %.3g s",
                 (double) asq_map_int(death, "silent_ms") / 1000);
    return asq_value_string(text);
}

/* Puts a death, which may have its fields in any order, into one. NULL: no memory. */
static asq_value *arrange(const asq_value *death)
{
    static const char *const keys[] = { "id",     "time_ms",   "how",      "signal",
                                        "status", "silent_ms", "heard_ms", "host",
                                        "pid",    "found_by",  "heirs" };
    asq_value *map = asq_value_map();
    for (size_t i = 0; map && i < sizeof keys / sizeof keys[0]; i++) {
        const asq_value *v = asq_map_get(death, keys[i]);
        bool how = strcmp(keys[i], "how") == 0;
        if (!v && !how)
            continue;
        if (asq_map_set(map, keys[i], how ? make_how(death) : asq_value_copy(v)) < 0) {
            asq_value_free(map);
            map = NULL;
        }
    }
    return map;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = asq_map_int(*(asq_value *const *) a, "time_ms"),
            y = asq_map_int(*(asq_value *const *) b, "time_ms");
    return (x < y) - (x > y);
}

static int list_all(asq *h, asq_value *deaths, asq_value **ret)
{
    asq_value *list = asq_value_list();
    int rc = list ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_map_size(deaths); i++) {
        const asq_value *death = asq_map_at(deaths, i, NULL);
        if (asq_map_get(death, "id") && asq_map_get(death, "time_ms"))
            rc = asq_list_append(list, arrange(death));
    }
    if (rc < 0) {
        asq_value_free(list);
        return asq__fail_memory(h);
    }
    if (list->list.n)
        qsort(list->list.items, list->list.n, sizeof(asq_value *), newest_first);
    *ret = list;
    return 0;
}

static int list_deaths(asq *h, asq_value **ret)
{
    char key[ASQ__KEY_MAX];
    asq_value *deaths = asq_value_map();
    if (!deaths)
        return asq__fail_memory(h);
    asq__keys_worker_deaths(asq__redis_keys(asq__remote_redis(h)), key);
    int rc = asq__admin_command(h, ASQ__NO_PARTITION, take_deaths, deaths, 2,
                                (const char *[]){ "HGETALL", key });
    if (rc == 0)
        rc = list_all(h, deaths, ret);
    asq_value_free(deaths);
    return rc;
}

int asq_workers_dead(asq *h, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_workers_dead");
    int rc = asq__admin_begin(h, "asq_workers_dead");
    return rc < 0 ? rc : asq__admin_end(h, list_deaths(h, ret));
}
