/*
 * admin_pools.c: the pools of a deployment, with what their workers can do.
 */
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/handle.h"
#include "value/pools.h"
#include "value/value.h"

/* Adds up the live workers of a pool. */
static int add_pool(const struct asq__pool *pool, const asq_value *workers, asq_value *list)
{
    int64_t n = 0, capacity = 0;
    for (size_t i = 0; i < asq_list_size(workers); i++) {
        const asq_value *worker = asq_list_get(workers, i);
        const char *pools = NULL;
        bool alive = asq_map_bool(worker, "alive");
        asq_value_get_string(asq_map_get(worker, "pools"), &pools, NULL);
        if (!alive || !asq__pool_list_has(pools, pool->name))
            continue;
        n++;
        capacity += asq_map_int(worker, "capacity");
    }
    return asq_list_append(list,
                           asq_pack("{s:s, s:I, s:I, s:I, s:I}", "pool", pool->name, "first",
                                    (int64_t) pool->first, "partitions", (int64_t) pool->partitions,
                                    "workers", n, "capacity", capacity));
}

int asq_pools(asq *h, asq_value **ret)
{
    asq_value *workers = NULL, *list = NULL;
    if (!h || !ret)
        return asq__null(h, "asq_pools");
    int rc = asq_workers(h, &workers);
    if (rc < 0)
        return rc;
    if (h->mode->ask_pools && (rc = h->mode->ask_pools(h, NULL, false)) == 0 &&
        !(list = asq_value_list()))
        rc = asq__fail_memory(h);
    for (size_t i = 0; rc == 0 && i < h->pools->n; i++)
        if (add_pool(&h->pools->list[i], workers, list) < 0)
            rc = asq__fail_memory(h);
    asq_value_free(workers);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}
