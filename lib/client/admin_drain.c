/*
 * admin_drain.c: asks workers to serve a pool no longer.
 */
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/admin_workers.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/script.h"
#include "value/pools.h"
#include "value/value.h"

#define MOST_BYTES "16384" /* of a request, as beat.lua takes it */

static bool is_meant(const asq_value *worker, const char *worker_id)
{
    bool alive = asq_map_bool(worker, "alive");
    return alive && asq__admin_is_of_worker(asq_map_string(worker, "id"), worker_id);
}

/* Checks that the process serves the pool, or did so, and another one. */
static int check(asq *h, const asq_value *worker, const char *pool)
{
    const char *id = asq_map_string(worker, "id"), *pools = asq_map_string(worker, "pools"),
               *drained = asq_map_string(worker, "drained");
    if (*drained && asq__pool_list_has(drained, pool))
        return 0;
    if (!asq__pool_list_has(pools, pool))
        return asq__fail(h, ASQ_ENOENT, "worker %s does not serve pool '%s', but %s", id, pool,
                         *pools ? pools : ASQ__POOL_DEFAULT);
    char *left = asq__pool_list_without(pools, pool, h->pools);
    bool any = left && *left, no_memory = !left;
    free(left);
    if (no_memory)
        return asq__fail_memory(h);
    return any ? 0
               : asq__fail(h, ASQ_ESTATE,
                           "worker %s serves no other pool than '%s': stop it (as-ctl stop %s)", id,
                           pool, id);
}

static int ask(asq *h, const char *id, const char *pool)
{
    char key[ASQ__KEY_MAX];
    int64_t answer = 0;
    asq__keys_worker(asq__redis_keys(asq__remote_redis(h)), id, key);
    int rc = asq__admin_command(
        h, ASQ__NO_PARTITION, asq__admin_take_int, &answer, 6,
        (const char *[]){ "EVAL", asq__script_drain, "1", key, pool, MOST_BYTES });
    if (rc == 0 && answer == 0)
        rc = asq__fail(h, ASQ_ENOENT, "worker '%s' has gone meanwhile", id);
    if (rc == 0 && answer < 0)
        rc = asq__fail(h, ASQ_ELIMIT, "worker '%s' was asked to drain too many pools", id);
    return rc;
}

/* Checks all processes before one of them is asked. */
static int drain(asq *h, const asq_value *workers, const char *worker_id, const char *pool)
{
    size_t meant = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++) {
        if (!is_meant(asq_list_get(workers, i), worker_id))
            continue;
        meant++;
        rc = check(h, asq_list_get(workers, i), pool);
    }
    if (rc == 0 && !meant)
        rc = asq__fail(h, ASQ_ENOENT, "there is no live worker '%s'", worker_id);
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++)
        if (is_meant(asq_list_get(workers, i), worker_id))
            rc = ask(h, asq_map_string(asq_list_get(workers, i), "id"), pool);
    return rc < 0 ? rc : asq__admin_wake_workers(h);
}

int asq_drain_worker(asq *h, const char *worker_id, const char *pool)
{
    asq_value *workers = NULL;
    char why[300];
    if (!h || !worker_id || !pool)
        return asq__null(h, "asq_drain_worker");
    int rc = asq__pool_check(pool, strlen(pool), why, sizeof why);
    if (rc < 0)
        return asq__fail(h, ASQ_EINVAL, "%s", why);
    if ((rc = asq_workers(h, &workers)) < 0)
        return rc;
    if ((rc = asq__admin_begin(h, "asq_drain_worker")) == 0)
        rc = asq__admin_end(h, drain(h, workers, worker_id, pool));
    asq_value_free(workers);
    return rc;
}
