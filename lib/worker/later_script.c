/*
 * later_script.c: see later_script.h.
 */
#include "worker/later_script.h"

#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "value/clock.h"
#include "worker/later_clock.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum { LOG_EVERY_MS = 60000 };
#define BYTES_AT_ONCE ((size_t) 1024 * 1024)

bool asq__later_may_have(const struct asq__partition *p)
{
    return p->later && p->later->maybe;
}

void asq__later_script(struct asq__partition *p, struct asq__cmd *cmd, size_t batches)
{
    const struct asq__keys *keys = asq__redis_keys(p->w->redis);
    char key[ASQ__KEY_MAX], mark[ASQ__CLOCK_MARK];
    asq__cmd_init(cmd);
    asq__script_begin(cmd, asq__redis_scripts(p->w->redis, p->number), ASQ__SCRIPT_LATER, 4);
    asq__cmd_put(cmd, key, asq__keys_lease(keys, p->number, key));
    asq__cmd_put(cmd, key, asq__keys_jobs(keys, p->number, key));
    asq__cmd_put(cmd, key, asq__keys_later(keys, p->number, key));
    asq__cmd_put(cmd, key, asq__keys_later_jobs(keys, p->number, key));
    asq__cmd_puts(cmd, p->token);
    asq__cmd_number(cmd, (uint64_t) asq__later_clock(p));
    asq__later_clock_mark(p, mark);
    asq__cmd_puts(cmd, mark);
    asq__cmd_number(cmd, batches);
    asq__cmd_number(cmd, BYTES_AT_ONCE);
}

bool asq__later_answered(struct asq__partition *p, const redisReply *reply, size_t n)
{
    struct asq__process *w = p->w;
    struct asq__later *l = p->later;
    if (!reply)
        return false;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 5 + n) {
        for (size_t i = 0; i < reply->elements; i++)
            if ((i < 5 || reply->element[i]->type != REDIS_REPLY_STRING) &&
                reply->element[i]->type != REDIS_REPLY_INTEGER)
                return false;
        return true;
    }
    int64_t now = asq__now_ms();
    if (reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "FENCED") == 0)
        asq__partition_abandon(p, "later.lua found another token in its lease");
    else if (asq__reply_is_error(reply, "NOSCRIPT"))
        asq__redis_reload_scripts(w->redis, p->number);
    else if (asq__reply_is_wrong_type(reply))
        asq__partition_abandon(p, reply->str); /* the claim sees to it, see claim.lua */
    else if (!asq__reply_is_transient(reply) &&
             (!l->last_logged_ms || now - l->last_logged_ms > LOG_EVERY_MS)) {
        l->last_logged_ms = now;
        asq__process_log_some(
            w, ASQ_LOG_ERROR,
            "partition %u: Redis refuses to move the calls that are due; the worker retries it: %s",
            p->number, asq__reply_text(reply));
    }
    return false;
}

/* ---- the clock ---- */

void asq__later_keep_clock(struct asq__partition *p)
{
    struct asq__cmd cmd;
    asq__later_script(p, &cmd, 0);
    /* If it is not sent, or lost, the next look at due calls does it; a release would be lost
     * too. */
    asq__conn_send(asq__redis_conn(p->w->redis, p->number), NULL, NULL, &cmd);
    asq__cmd_release(&cmd);
}

void asq__later_keep_clocks(struct asq__process *w)
{
    for (uint32_t i = 0; w->parts && i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]))
            asq__later_keep_clock(&w->parts[i]);
}
