/*
 * admin_partitions.c: shows who owns the partitions of a deployment: the leases in Redis.
 */
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/pools.h"
#include "value/value.h"

static int take_lease(asq *h, const redisReply *reply, void *user)
{
    asq_value *map = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than two fields");
    const redisReply *owner = reply->element[0], *epoch = reply->element[1];
    const char *at = epoch->str;
    uint64_t n = 0;
    bool owned = owner->type == REDIS_REPLY_STRING && owner->len > 0 && owner->len <= ASQ_MAX_ID;
    bool counted =
        epoch->type == REDIS_REPLY_STRING && asq__decimal_read(&at, &n) && !*at && n <= INT64_MAX;
    if (asq_map_set(map, "owner",
                    owned ? asq__admin_text(owner->str, owner->len) : asq_value_null()) < 0 ||
        asq_map_set_int(map, "epoch", counted ? (int64_t) n : 0) < 0)
        return asq__fail_memory(h);
    return 0;
}

static int add_partition(asq *h, uint32_t partition, asq_value *list)
{
    char key[ASQ__KEY_MAX];
    const struct asq__pool *pool = asq__pools_of(h->pools, partition);
    asq_value *map = asq_pack("{s:I}", "partition", (int64_t) partition);
    if (!map)
        return asq__fail_memory(h);
    asq__keys_lease(asq__redis_keys(asq__remote_redis(h)), partition, key);
    struct asq__query q = { .partition = partition,
                            .take = take_lease,
                            .user = map,
                            .argc = 4,
                            .argv = (const char *[]){ "HMGET", key, "owner", "epoch" } };
    int rc = asq__admin_ask(h, &q);
    if (q.wrong_type) /* nobody can own it */
        rc = asq_map_set(map, "owner", asq_value_null()) < 0 || asq_map_set_int(map, "epoch", 0) < 0
                 ? asq__fail_memory(h)
                 : 0;
    if (rc == 0 && asq_map_set(map, "pool", asq_value_string(pool ? pool->name : "")) < 0)
        rc = asq__fail_memory(h);
    if (rc < 0) {
        asq_value_free(map);
        return rc;
    }
    return asq_list_append(list, map) < 0 ? asq__fail_memory(h) : 0;
}

int asq_partitions(asq *h, asq_value **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_partitions");
    int rc = asq__admin_begin(h, "asq_partitions");
    if (rc < 0)
        return rc;
    asq_value *list = asq_value_list();
    rc = list ? 0 : asq__fail_memory(h);
    uint32_t n = h->partitions;
    for (uint32_t p = 0; rc == 0 && p < n; p++) {
        asq__admin_extend(h, INT64_MAX);
        rc = add_partition(h, p, list);
        if (rc == 0)
            rc = asq__admin_check_partitions(h, n);
    }
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return asq__admin_end(h, rc);
}
