/*
 * forget.c: removes result records that nobody needs any more, many by one command. See batch.h.
 *
 * In a Cluster the records of each partition go by a command of their own, so they are collected by
 * partition and id, and sorted. Those that a failover may make needed again get a short TTL.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/batch.h"
#include "client/engine.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/assert.h"
#include "value/decimal.h"

struct asq__forgotten {
    int64_t ttl_ms; /* 0: to be unlinked */
    uint32_t partition;
    uint8_t id[ASQ__BATCH_ID];
};

static void on_unlinked(struct asq__conn *c, const redisReply *reply, void *user)
{
    (void) c;
    if (reply) /* else the engine may be gone */
        asq__engine_denied(user, ASQ__DENIED_FORGET, reply);
}

static void put_record(struct asq__engine *e, uint32_t partition, const uint8_t id[ASQ__BATCH_ID])
{
    char key[ASQ__KEY_MAX];
    if (!e->unlink.argc)
        asq__cmd_puts(&e->unlink, "UNLINK");
    asq__cmd_put(&e->unlink, key, asq__keys_result(asq__redis_keys(e->redis), partition, id, key));
}

static void send_unlink(struct asq__engine *e, uint32_t partition)
{
    asq__conn_send(asq__redis_conn(e->redis, partition), on_unlinked, e, &e->unlink);
    asq__cmd_reset(&e->unlink);
}

static int by_partition(const void *a, const void *b)
{
    const struct asq__forgotten *x = a, *y = b;
    return (x->partition > y->partition) - (x->partition < y->partition);
}

static void expire(struct asq__engine *e, uint32_t partition, const uint8_t id[ASQ__BATCH_ID],
                   int64_t ttl_ms)
{
    char key[ASQ__KEY_MAX], ttl[ASQ__DECIMAL_MAX + 1];
    asq__keys_result(asq__redis_keys(e->redis), partition, id, key);
    ttl[asq__decimal((uint64_t) ttl_ms, ttl)] = '\0';
    asq__conn_cmd(asq__redis_conn(e->redis, partition), NULL, NULL, "PEXPIRE", key, ttl, NULL);
}

void asq__engine_flush_unlinks(struct asq__engine *e)
{
    if (!e->up)
        return;
    if (e->unlink.argc)
        send_unlink(e, 0);
    if (!e->n_forgotten)
        return;
    qsort(e->forgotten, e->n_forgotten, sizeof *e->forgotten, by_partition);
    for (size_t i = 0; i < e->n_forgotten; i++) {
        const struct asq__forgotten *f = &e->forgotten[i];
        if (f->ttl_ms)
            expire(e, f->partition, f->id, f->ttl_ms);
        else
            put_record(e, f->partition, f->id);
        if (e->unlink.argc && (i + 1 == e->n_forgotten || f[1].partition != f->partition))
            send_unlink(e, f->partition);
    }
    e->n_forgotten = 0;
}

void asq__engine_forget_soon(struct asq__engine *e, uint32_t partition,
                             const uint8_t id[ASQ__BATCH_ID], int64_t ttl_ms)
{
    if (e->unlink.argc > ASQ__UNLINK_AT || e->n_forgotten == ASQ__UNLINK_AT)
        asq__engine_flush_unlinks(e);
    if (e->unlink.argc > ASQ__UNLINK_AT || e->n_forgotten == ASQ__UNLINK_AT)
        return; /* Redis is away: the TTL will do it */
    if (!asq__redis_is_cluster(e->redis)) {
        asq__assert(!ttl_ms);
        put_record(e, partition, id);
        return;
    }
    if (!e->forgotten)
        e->forgotten = malloc(ASQ__UNLINK_AT * sizeof *e->forgotten);
    if (!e->forgotten)
        return;
    struct asq__forgotten *f = &e->forgotten[e->n_forgotten++];
    f->ttl_ms = ttl_ms;
    f->partition = partition;
    memcpy(f->id, id, ASQ__BATCH_ID);
}

void asq__engine_drop_unlinks(struct asq__engine *e, const bool *parts)
{
    size_t kept = 0;
    if (!parts)
        asq__cmd_reset(&e->unlink);
    for (size_t i = 0; i < e->n_forgotten; i++)
        if (!asq__engine_concerns(parts, e->forgotten[i].partition))
            e->forgotten[kept++] = e->forgotten[i];
    e->n_forgotten = kept;
}

/* If Redis is away, the record keeps its longer one. */
void asq__engine_expire_soon(struct asq__engine *e, uint32_t partition,
                             const uint8_t id[ASQ__BATCH_ID])
{
    expire(e, partition, id, e->config.kept_ms);
}
