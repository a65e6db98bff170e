/*
 * push.c: see push.h.
 */
#include "worker/push.h"

#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/buf.h"
#include "worker/core/entry.h"
#include "worker/partition.h"
#include "worker/process.h"

enum { PUSHED_AT_MOST = 1024 * 1024 }; /* bytes, of one record to all clients that wait for it */

void asq__push(struct asq__partition *p, const char *client, const void *data, size_t n)
{
    char channel[ASQ__KEY_MAX];
    size_t channel_n = asq__keys_channel(asq__redis_keys(p->w->redis), client, channel);
    const char *argv[] = { "PUBLISH", channel, data };
    size_t lens[] = { 7, channel_n, n };
    if (*client && n <= asq__redis_max_string(p->w->redis)) /* else it reads the record */
        asq__conn_argv(asq__redis_conn(p->w->redis, p->number), NULL, NULL, 3, argv, lens);
}

void asq__push_announcement(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                            const char *client, size_t n)
{
    struct asq__buf out;
    asq__buf_init(&out, 64);
    asq__results_announce(batch, n, n, &out);
    if (!out.error)
        asq__push(p, client, out.data, out.len);
    asq__buf_release(&out);
}

void asq__push_record(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                      const char *client, const void *data, size_t n)
{
    if (n <= ASQ__PUSH_MAX)
        asq__push(p, client, data, n);
    else
        asq__push_announcement(p, batch, client, n);
}

void asq__push_to_all(const struct asq__entry *e, const void *data, size_t n)
{
    const uint8_t *batch = e->batch->id.data;
    size_t pushed = n;
    asq__push_record(e->part, batch, e->batch->reply, data, n);
    for (size_t i = 0; i < e->nchannels; i++) {
        pushed += n;
        if (pushed <= PUSHED_AT_MOST)
            asq__push_record(e->part, batch, e->channels[i], data, n);
        else
            asq__push_announcement(e->part, batch, e->channels[i], n);
    }
}
