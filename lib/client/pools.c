/*
 * pools.c: see pools.h.
 */
#include "client/pools.h"

#include <stdio.h>
#include <string.h>

#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/script.h"
#include "value/hash.h"
#include "value/pools.h"

static int take_pools(asq *h, const redisReply *reply, void *user)
{
    const redisReply *field =
        reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 ? reply->element[0] : NULL;
    char why[500];
    (void) user;
    int rc = asq__redis_take_pools(asq__remote_redis(h),
                                   field && field->type == REDIS_REPLY_STRING ? field->str : "",
                                   why, sizeof why);
    return rc < 0 ? asq__fail(h, rc, "%s", why) : 0;
}

/* Reads which pools there are, which each user may. */
static int read_pools(asq *h)
{
    char key[ASQ__KEY_MAX];
    asq__keys_meta(asq__redis_keys(asq__remote_redis(h)), key);
    return asq__admin_command(h, ASQ__NO_PARTITION, take_pools, NULL, 3,
                              (const char *[]){ "HMGET", key, "pools" });
}

static int take_pool(asq *h, const redisReply *reply, void *user)
{
    char why[500];
    int rc = asq__redis_take_pool(asq__remote_redis(h), user, reply, why, sizeof why);
    if (rc < 0)
        return asq__fail(h, rc, "%s", why);
    if (strcmp(reply->element[0]->str, "MADE") == 0 && !asq__remote_starts_workers(h))
        asq__log(h, ASQ_LOG_WARNING,
                 "there was no pool '%s', which the agent's id names before its '/': it is made, "
                 "and calls wait for a worker that serves it (as-worker --pool %s)",
                 (const char *) user, (const char *) user);
    return 0;
}

static int make_pool(asq *h, char *name)
{
    const struct asq__keys *keys = asq__redis_keys(asq__remote_redis(h));
    char key[ASQ__KEY_MAX], channel[ASQ__KEY_MAX];
    asq__keys_meta(keys, key);
    asq__keys_channel(keys, "workers", channel);
    const char *argv[] = { ASQ__POOL_ARGS(key, name, "0", channel) };
    struct asq__query q = { .partition = ASQ__NO_PARTITION,
                            .take = take_pool,
                            .user = name,
                            .argc = sizeof argv / sizeof *argv,
                            .argv = argv };
    int rc = asq__admin_ask(h, &q);
    return q.denied ? asq__fail(h, ASQ_EREDIS,
                                "there is no pool '%s', and this user may not make it: start a "
                                "worker with --pool %s, which makes it",
                                name, name)
                    : rc;
}

static bool has_pool(const asq *h, const char *name)
{
    return asq__pools_find(h->pools, name, strlen(name)) != NULL;
}

int asq__remote_ask_pools(asq *h, const char *name, bool make)
{
    char copy[ASQ_MAX_POOL + 1];
    int rc = asq__admin_begin(h, "a call");
    if (rc < 0)
        return rc;
    snprintf(copy, sizeof copy, "%s", name ? name : ASQ__POOL_DEFAULT);
    rc = read_pools(h);
    if (rc == 0 && !has_pool(h, copy))
        rc = make ? make_pool(h, copy) : asq__fail(h, ASQ_ENOENT, ASQ__NO_POOL, copy);
    return asq__admin_end(h, rc == 0 && h->closed ? asq__admin_closed(h) : rc);
}

static void pool_in(const char *id, char name[ASQ_MAX_POOL + 1])
{
    snprintf(name, ASQ_MAX_POOL + 1, "%.*s", (int) asq__pool_in_id(id), id);
}

/* Finds the partition by what the handle knows. */
static bool place(const asq *h, const char *id, uint32_t *ret)
{
    if (h->pools)
        return asq__pools_place(h->pools, id, ret);
    *ret = asq__partition_of(id, strlen(id), h->partitions); /* local mode has no pools */
    return true;
}

/* Asks Redis if the handle does not know the agent's pool. */
static int find(asq *h, const char *id, bool make, uint32_t *ret)
{
    char name[ASQ_MAX_POOL + 1];
    if (place(h, id, ret))
        return 0;
    pool_in(id, name);
    int rc = h->mode->ask_pools(h, name, make);
    if (rc == 0 && !place(h, id, ret))
        rc = asq__fail(h, ASQ_EREDIS, "the namespace was made anew meanwhile");
    return rc;
}

int asq__agent_partition(asq *h, const char *id, uint32_t *ret)
{
    return find(h, id, true, ret);
}

int asq__agent_partition_there(asq *h, const char *id, uint32_t *ret)
{
    return find(h, id, false, ret);
}

bool asq__partition_is_there(asq *h, uint32_t partition)
{
    if (partition < h->partitions || !h->partitions)
        return true;
    return h->mode->ask_pools && h->mode->ask_pools(h, NULL, false) == 0 &&
           partition < h->partitions;
}
