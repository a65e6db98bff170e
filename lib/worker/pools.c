/*
 * pools.c: see pools.h.
 */
#include "worker/pools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/pools.h"
#include "worker/ending.h"
#include "worker/lease.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/reader.h"

/* A pool that the worker makes. */
struct making {
    struct asq__process *w;
    char name[ASQ_MAX_POOL + 1];
};

static void on_made(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct making *m = user;
    char why[500];
    (void) c;
    m->w->pools_under_way--;
    if (reply && !asq__reply_is_transient(reply) &&
        asq__redis_take_pool(m->w->redis, m->name, reply, why, sizeof why) < 0)
        asq__process_log_some(m->w, ASQ_LOG_ERROR, "%s", why);
    free(m);
}

void asq__worker_pools_make(struct asq__process *w)
{
    struct asq__pool_item item;
    char partitions[16];
    if (w->pools_under_way || !asq__redis_is_up(w->redis))
        return;
    for (const char *at = w->config.pools; asq__pool_list_next(&at, &item);) {
        if (asq__pools_find(asq__redis_pools(w->redis), item.name, strlen(item.name)))
            continue;
        struct making *m = malloc(sizeof *m);
        if (!m)
            return;
        m->w = w;
        memcpy(m->name, item.name, sizeof m->name);
        snprintf(partitions, sizeof partitions, "%u", item.partitions);
        if (asq__redis_ask_pool(w->redis, item.name, partitions, on_made, m) < 0)
            free(m);
        else
            w->pools_under_way++;
    }
}

void asq__worker_pools_grown(struct asq__process *w)
{
    if (!w->parts)
        return; /* all of it comes when Redis is up */
    if (asq__partitions_grow(w) < 0) {
        asq__process_fail(w, ASQ_ENOMEM, "out of memory");
        return;
    }
    asq__readers_grow(w);
    asq__engine_grow(w->engine);
    w->refresh_due = true;
}
