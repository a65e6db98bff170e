/*
 * stream_end.c: mends streams at their end. Redis takes no entries after the highest id that a
 * stream can have. So an entry there, even one that is deleted again, ends the partition for every
 * client. The owner finds out by reading the entry, or, if the stream is empty, by asking Redis now
 * and then for the last id that the stream has given. The owner then drops its memory of the
 * partition and claims it anew; claim.lua makes the stream anew meanwhile.
 */
#include <stdint.h>

#include "redis/timer.h"
#include "value/clock.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/stream_end.h"
#include "worker/core/stream_id.h"

#define LAST_IDS UINT64_C(18446744073000000000)
enum { GIVE_UP_MS = 100 };

static const char last_text[] =
    "an entry with the highest id that a stream can have stands in it, or stood there: Redis takes no calls any more";

bool asq__stream_id_is_last(struct asq__stream_id id)
{
    return id.ms == UINT64_MAX && id.n >= LAST_IDS;
}

void asq__stream_give_up_soon(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    if (p->give_up_at_ms)
        return;
    p->give_up_at_ms = asq__now_ms() + GIVE_UP_MS;
    if (!ev_is_active(&w->give_up)) {
        asq__timer_restart(w->loop, &w->give_up, GIVE_UP_MS / 1000., 0.);
    }
}

void asq__streams_give_up(struct asq__process *w)
{
    int64_t now = asq__now_ms();
    bool more = false;
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        if (!p->give_up_at_ms)
            continue;
        if (now < p->give_up_at_ms) {
            more = true;
            continue;
        }
        p->give_up_at_ms = 0;
        asq__partition_abandon(p, last_text);
    }
    if (more) {
        asq__timer_restart(w->loop, &w->give_up, GIVE_UP_MS / 1000., 0.);
    }
}

/* ---- ids that were given, and whose entries are gone ---- */

bool asq__stream_may_be_at_end(const struct asq__partition *p)
{
    return asq__partition_is_owned(p) && !p->entries.count && !p->backlog && !p->give_up_at_ms;
}

void asq__stream_see_last_id(struct asq__partition *p, const redisReply *reply)
{
    struct asq__stream_id id;
    if (asq__partition_is_owned(p) && reply->type == REDIS_REPLY_STRING &&
        asq__stream_id_parse(reply->str, &id) == 0 && asq__stream_id_is_last(id))
        asq__stream_give_up_soon(p);
}
