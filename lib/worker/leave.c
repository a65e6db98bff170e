/*
 * leave.c: see leave.h.
 */
#include "redis/keys.h"
#include "redis/refusal.h"
#include "redis/sync.h"
#include "worker/leave.h"

#include <stdio.h>

#include "redis/conn.h"
#include "redis/script.h"

bool asq__leave(struct asq__sync *ctx, const struct asq__keys *keys, const char *id,
                const char *client, char *err, size_t errlen)
{
    char workers[ASQ__KEY_MAX], key[ASQ__KEY_MAX], channel[ASQ__KEY_MAX];
    char beats[ASQ__KEY_MAX], changes[ASQ__KEY_MAX];
    asq__keys_workers(keys, workers);
    asq__keys_worker(keys, id, key);
    asq__keys_channel(keys, "workers", channel);
    asq__keys_beats(keys, beats);
    asq__keys_beat_changes(keys, changes);
    redisReply *r = asq__sync_cmd(ctx, "EVAL %s 4 %s %s %s %s %s %s", asq__script_leave, workers,
                                  key, beats, changes, id, client);
    bool gone = r && r->type == REDIS_REPLY_INTEGER;
    if (!gone)
        snprintf(err, errlen, "%s", r ? asq__reply_text(r) : asq__sync_why(ctx));
    freeReplyObject(r);
    if (gone)
        freeReplyObject(asq__sync_cmd(ctx, "PUBLISH %s %s", channel, id));
    return gone;
}
