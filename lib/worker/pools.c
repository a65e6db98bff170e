/*
 * pools.c: see pools.h.
 */
#include "worker/pools.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/pools.h"
#include "worker/ending.h"
#include "worker/lease.h"
#include "worker/member.h"
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

/* Serves what is left of the pools that it was started with, without `drained` (taken). */
static void serve(struct asq__process *w, char *drained)
{
    char *left = asq__pool_list_without(w->config.pools, drained, asq__redis_pools(w->redis));
    if (!left || !*left || strcmp(left, asq__process_pools(w) ? asq__process_pools(w) : "") == 0) {
        if (left && !*left)
            asq__process_log(w, ASQ_LOG_WARNING,
                             "asked to serve %s no longer, but this process serves no other pool, "
                             "and goes on: as-ctl stop ends it",
                             drained);
        free(left);
        free(drained);
        return;
    }
    pthread_mutex_lock(&w->handover_lock);
    char *before[] = { w->drained_pools, w->served };
    w->drained_pools = drained;
    w->served = left;
    pthread_mutex_unlock(&w->handover_lock);
    free(before[0]);
    free(before[1]);
    w->refresh_due = true;
    if (w->members)
        asq__members_tell_change(w->members); /* others place by it */
}

void asq__worker_pools_drain(struct asq__process *w)
{
    pthread_mutex_lock(&w->handover_lock);
    char *asked = w->drain_asked;
    w->drain_asked = NULL;
    pthread_mutex_unlock(&w->handover_lock);
    if (!asked)
        return;
    asq__process_log(w, ASQ_LOG_INFO,
                     "asked to serve %s no longer (as-ctl drain): partitions are handed over when "
                     "their running calls have ended; another process with its id serves it again",
                     asked);
    serve(w, asked);
}

void asq__worker_pools_release(struct asq__process *w)
{
    free(w->drained_pools);
    free(w->served);
    free(w->drain_asked);
    w->drained_pools = w->served = w->drain_asked = NULL;
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
    char *drained = w->drained_pools ? strdup(w->drained_pools) : NULL;
    if (drained)
        serve(w, drained); /* of all pools, those that have come, too */
}
