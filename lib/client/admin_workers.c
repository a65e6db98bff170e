/*
 * admin_workers.c: shows the workers and classes of a deployment, and asks a worker to stop. The
 * same keys can be read with redis-cli.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/admin_workers.h"
#include "client/class.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/script.h"
#include "value/classes.h"
#include "value/pools.h"
#include "value/decimal.h"
#include "value/value.h"

enum {
    HASH_LIVES_LEASES = 10,
    MAX_LEASE_MS = 24 * 3600 * 1000,
    MAX_FIELD = 1024 * 1024, /* bytes; workers write less */
    MAX_FIELD_NAME = 100,
    CLASSES_HEIGHT = 8 /* workers write fewer levels: {class: {methods: [{flags: [flag]}]}} */
};

/* Reads a list of strings. */
static int take_strings(asq *h, const redisReply *reply, void *user)
{
    asq_value *list = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a list");
    for (size_t i = 0; i < reply->elements; i++)
        if (reply->element[i]->type == REDIS_REPLY_STRING &&
            strlen(reply->element[i]->str) == reply->element[i]->len &&
            asq__utf8_valid(reply->element[i]->str, reply->element[i]->len) && /* else not an id */
            asq_list_append(list, asq_value_stringn(reply->element[i]->str,
                                                    (size_t) reply->element[i]->len)) < 0)
            return asq__fail_memory(h);
    return 0;
}

static bool is_number(const char *text, size_t n, int64_t *ret)
{
    const char *at = text;
    uint64_t number;
    if (!asq__decimal_read(&at, &number) || at != text + n || number > INT64_MAX)
        return false;
    *ret = (int64_t) number;
    return true;
}

/* Makes a value of a field of a worker's hash; numbers become numbers. *ret: NULL if no worker
 * writes such a value. ASQ_ENOMEM. */
static int field_value(const char *name, const char *text, size_t n, asq_value **ret)
{
    static const char *const numbers[] = { "pid",         "beat",          "capacity",
                                           "partitions",  "calls",         "failures",
                                           "agents",      "lease_time_ms", "dead_letters",
                                           "parked",      "stack_used",    "stacks_unguarded",
                                           "agent_bytes", "lost_commits",  NULL };
    asq_value *v = NULL;
    *ret = NULL;
    if (n > MAX_FIELD)
        return 0;
    if (strcmp(name, "classes") == 0) {
        int rc = asq_from_json(text, n, &v, NULL, 0);
        if (rc < 0)
            return rc == ASQ_ENOMEM ? rc : 0;
        if (asq_value_type(v) == ASQ_MAP && v->height <= CLASSES_HEIGHT)
            *ret = v;
        else
            asq_value_free(v);
        return 0;
    }
    if (strcmp(name, "stopping") == 0)
        v = asq_value_bool(strcmp(text, "1") == 0);
    for (int i = 0; !v && numbers[i]; i++)
        if (strcmp(name, numbers[i]) == 0) {
            int64_t number;
            if (!is_number(text, n, &number))
                return 0;
            v = asq_value_int(number);
        }
    if (!v)
        v = asq__utf8_valid(text, n) ? asq_value_stringn(text, n) : asq_value_bytes(text, n);
    *ret = v;
    return v ? 0 : ASQ_ENOMEM;
}

static int take_hash(asq *h, const redisReply *reply, void *user)
{
    asq_value *map = user;
    if (reply->type != REDIS_REPLY_ARRAY)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a hash");
    for (size_t i = 0; i + 1 < reply->elements; i += 2) {
        const redisReply *name = reply->element[i], *text = reply->element[i + 1];
        if (name->type != REDIS_REPLY_STRING || text->type != REDIS_REPLY_STRING ||
            strlen(name->str) != (size_t) name->len || name->len > MAX_FIELD_NAME ||
            !asq__utf8_valid(name->str, (size_t) name->len))
            continue;
        asq_value *v;
        if (field_value(name->str, text->str, (size_t) text->len, &v) < 0 ||
            (v && asq_map_set(map, name->str, v) < 0))
            return asq__fail_memory(h);
    }
    return 0;
}

/* Each heartbeat sets the hash's TTL; the part of it that has passed is the heartbeat's age. */
bool asq__admin_is_alive(int64_t lease_ms, int64_t ttl_ms)
{
    if (lease_ms <= 0 || lease_ms > MAX_LEASE_MS) /* no worker writes this */
        return false;
    return ttl_ms >= 0 && lease_ms * HASH_LIVES_LEASES - ttl_ms < lease_ms;
}

int64_t asq__admin_lease_time(const char *text, size_t n)
{
    int64_t ms;
    return is_number(text, n, &ms) ? ms : 0;
}

static int one_worker(asq *h, const char *id, asq_value **ret)
{
    char key[ASQ__KEY_MAX];
    asq_value *map = asq_value_map();
    int64_t ttl = -2;
    if (!map)
        return asq__fail_memory(h);
    asq__keys_worker(asq__redis_keys(asq__remote_redis(h)), id, key);
    /* A key that is not a hash is not a worker, and must not hide the others. */
    struct asq__query hash = { .partition = ASQ__NO_PARTITION,
                               .take = take_hash,
                               .user = map,
                               .argc = 2,
                               .argv = (const char *[]){ "HGETALL", key } };
    int rc = asq__admin_ask(h, &hash);
    if (hash.wrong_type)
        rc = 0;
    if (rc == 0)
        rc = asq__admin_command(h, ASQ__NO_PARTITION, asq__admin_take_int, &ttl, 2,
                                (const char *[]){ "PTTL", key });
    if (rc == 0) {
        bool alive = asq__admin_is_alive(asq_map_int(map, "lease_time_ms"), ttl);
        if (asq_map_set(map, "id", asq_value_string(id)) < 0 ||
            asq_map_set(map, "alive", asq_value_bool(alive)) < 0)
            rc = asq__fail_memory(h);
    }
    if (rc < 0)
        asq_value_free(map);
    else
        *ret = map;
    return rc;
}

static int compare_strings(const void *a, const void *b)
{
    return asq_value_compare(*(asq_value *const *) a, *(asq_value *const *) b);
}

int asq__admin_worker_ids(asq *h, asq_value **ret)
{
    char key[ASQ__KEY_MAX];
    asq_value *ids = asq_value_list();
    if (!ids)
        return asq__fail_memory(h);
    asq__keys_workers(asq__redis_keys(asq__remote_redis(h)), key);
    int rc = asq__admin_command(h, ASQ__NO_PARTITION, take_strings, ids, 2,
                                (const char *[]){ "SMEMBERS", key });
    if (rc < 0) {
        asq_value_free(ids);
        return rc;
    }
    if (ids->list.n)
        qsort(ids->list.items, ids->list.n, sizeof(asq_value *), compare_strings);
    *ret = ids;
    return 0;
}

/* Returns the set of classes that a live worker tells; NULL: it is not alive, or tells none. */
static const char *known_by(const asq_value *worker)
{
    const char *set = NULL;
    bool alive = asq_map_bool(worker, "alive");
    if (!alive || asq_value_get_string(asq_map_get(worker, "knows"), &set, NULL) < 0 ||
        strlen(set) > ASQ__CLASSES_MAX || strcmp(set, ASQ__CLASSES_ALL) == 0)
        return NULL;
    return set;
}

/* Adds the classes of one set to another one. */
static int add_set(char **all, const char *from)
{
    struct asq__class_item item;
    char name[ASQ_MAX_NAME + 1];
    int rc = 0;
    while (rc >= 0 && asq__classes_next(&from, &item)) {
        snprintf(name, sizeof name, "%.*s", (int) item.n, item.name);
        rc = item.n <= ASQ_MAX_NAME ? asq__classes_add(all, name, item.version) : 0;
    }
    return rc == ASQ_ENOMEM ? rc : 0; /* too many: some are not told */
}

/* Lists the classes of a set that are not in another one, with their version if only that is. */
static asq_value *list_missing(const char *set, const char *all)
{
    asq_value *list = asq_value_list();
    struct asq__class_item item;
    char name[ASQ_MAX_NAME + 1], text[ASQ_MAX_NAME + 16];
    while (list && asq__classes_next(&all, &item)) {
        snprintf(name, sizeof name, "%.*s", (int) item.n, item.name);
        if (asq__classes_have(set, name, item.version))
            continue;
        bool older = asq__classes_have(set, name, 0);
        snprintf(text, sizeof text, older ? "%s %lu" : "%s", name, (unsigned long) item.version);
        if (asq_list_append(list, asq_value_string(text)) < 0) {
            asq_value_free(list);
            list = NULL;
        }
    }
    return list;
}

static const char *pools_of(const asq_value *worker)
{
    const char *pools = ASQ__POOL_DEFAULT;
    asq_value_get_string(asq_map_get(worker, "pools"), &pools, NULL);
    return pools;
}

/* Adds to `all` the classes of workers that serve a pool. */
static int add_pool_classes(char **all, const char *pool, const asq_value *workers)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++)
        if (asq__pool_list_has(pools_of(asq_list_get(workers, i)), pool))
            rc = add_set(all, known_by(asq_list_get(workers, i)));
    return rc;
}

/* Collects the classes of the workers that serve any pool of a list. */
static int add_classes_of(const asq *h, const char *pools, const asq_value *workers, char **all)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < h->pools->n; i++)
        if (asq__pool_list_has(pools, h->pools->list[i].name))
            rc = add_pool_classes(all, h->pools->list[i].name, workers);
    return rc;
}

/* Tells of each live worker which classes it lacks that others of its pools have. Most workers
 * serve the same pools as the one before, whose classes are not collected again. */
static int add_missing(asq *h, asq_value *workers)
{
    const char *collected = NULL;
    char *all = NULL;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++) {
        const asq_value *worker = asq_list_get(workers, i);
        const char *set = known_by(worker), *pools = pools_of(worker);
        if (!set)
            continue;
        if (!collected || strcmp(collected, pools) != 0) {
            free(all);
            all = NULL;
            rc = add_classes_of(h, pools, workers, &all);
            collected = pools;
        }
        if (rc == 0)
            rc = asq_map_set(workers->list.items[i], "lacks", list_missing(set, all));
    }
    free(all);
    return rc < 0 ? asq__fail_memory(h) : 0;
}

static int list_workers(asq *h, asq_value **ret)
{
    asq_value *ids = NULL, *list = NULL;
    int rc = asq__admin_worker_ids(h, &ids);
    if (rc == 0 && !(list = asq_value_list()))
        rc = asq__fail_memory(h);
    for (size_t i = 0; rc == 0 && i < asq_list_size(ids); i++) {
        const char *id;
        asq_value *worker;
        asq_value_get_string(asq_list_get(ids, i), &id, NULL);
        rc = one_worker(h, id, &worker);
        if (rc == 0 && asq_list_append(list, worker) < 0)
            rc = asq__fail_memory(h);
    }
    asq_value_free(ids);
    if (rc == 0)
        rc = add_missing(h, list);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}

int asq_workers(asq *h, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_workers");
    int rc = asq__admin_begin(h, "asq_workers");
    return rc < 0 ? rc : asq__admin_end(h, list_workers(h, ret));
}

static int add_classes(asq *h, asq_value *all, const asq_value *classes)
{
    for (size_t i = 0; i < asq_map_size(classes); i++) {
        const char *name;
        const asq_value *about = asq_map_at(classes, i, &name);
        if (asq_value_type(about) != ASQ_MAP)
            continue; /* not written by a worker */
        asq_value *known = asq_map_find(all, name);
        if (!known) {
            if (asq_map_set(all, name, asq_value_copy(about)) < 0 ||
                !(known = asq_map_find(all, name)) || asq_map_set_int(known, "workers", 0) < 0)
                return asq__fail_memory(h);
        }
        if (asq_map_set_int(known, "workers", asq_map_int(known, "workers") + 1) < 0)
            return asq__fail_memory(h);
    }
    return 0;
}

static int list_classes(asq *h, asq_value **ret)
{
    asq_value *workers = NULL, *all = NULL;
    int rc = list_workers(h, &workers);
    if (rc < 0)
        return rc;
    if (!(all = asq_value_map()))
        rc = asq__fail_memory(h);
    /* Live workers come first: their classes prevail over those of dead workers and of other
     * hashes. */
    for (size_t i = 0; rc == 0 && i < 2 * asq_list_size(workers); i++) {
        const asq_value *worker = asq_list_get(workers, i % asq_list_size(workers));
        bool alive = asq_map_bool(worker, "alive");
        if (alive == (i < asq_list_size(workers)))
            rc = add_classes(h, all, asq_map_get(worker, "classes"));
    }
    asq_value_free(workers);
    if (rc < 0)
        asq_value_free(all);
    else
        *ret = all;
    return rc;
}

int asq_classes(asq *h, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_classes");
    if (h->mode == &asq__local_mode && h->registry) {
        asq_value *all = asq__registry_describe(h->registry);
        if (!all)
            return asq__fail_memory(h);
        *ret = all;
        return 0;
    }
    int rc = asq__admin_begin(h, "asq_classes");
    return rc < 0 ? rc : asq__admin_end(h, list_classes(h, ret));
}

bool asq__admin_is_of_worker(const char *id, const char *worker_id)
{
    size_t n = strlen(worker_id);
    return strncmp(id, worker_id, n) == 0 && (id[n] == '\0' || id[n] == '.');
}

int asq__admin_wake_workers(asq *h)
{
    char key[ASQ__KEY_MAX];
    asq__keys_channel(asq__redis_keys(asq__remote_redis(h)), "workers", key);
    return asq__admin_command(h, ASQ__NO_PARTITION, NULL, NULL, 3,
                              (const char *[]){ "PUBLISH", key, "stop" });
}

static int stop_worker(asq *h, const char *worker_id)
{
    asq_value *ids = NULL;
    char key[ASQ__KEY_MAX], names[400] = "";
    size_t asked = 0, listed = 0;
    int rc = asq__admin_worker_ids(h, &ids);
    for (size_t i = 0; rc == 0 && i < asq_list_size(ids); i++) {
        const char *id;
        asq_value_get_string(asq_list_get(ids, i), &id, NULL);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", id);
        if (!asq__admin_is_of_worker(id, worker_id))
            continue;
        listed++;
        asq__keys_worker(asq__redis_keys(asq__remote_redis(h)), id, key);
        int64_t is_worker = 0;
        rc = asq__admin_command(h, ASQ__NO_PARTITION, asq__admin_take_int, &is_worker, 4,
                                (const char *[]){ "EVAL", asq__script_stop, "1", key });
        asked += is_worker == 1;
    }
    asq_value_free(ids);
    if (rc < 0)
        return rc;
    if (listed && !asked)
        return asq__fail(
            h, ASQ_ENOENT,
            "worker '%s' is dead: the list still has it, but it has sent no heartbeat for long",
            worker_id);
    if (!asked)
        return asq__fail(h, ASQ_ENOENT, "there is no worker '%s'; there %s: %s", worker_id,
                         *names ? "are" : "is", *names ? names : "none at all");
    return asq__admin_wake_workers(h);
}

int asq_stop_worker(asq *h, const char *worker_id)
{
    if (!h || !worker_id)
        return asq__null(h, "asq_stop_worker");
    int rc = asq__admin_begin(h, "asq_stop_worker");
    return rc < 0 ? rc : asq__admin_end(h, stop_worker(h, worker_id));
}
