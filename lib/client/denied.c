/*
 * denied.c: logs, once per handle and command, that Redis denies the client's user a command, what
 * follows from that, and what to allow. A client works on without the commands below. A denied
 * command that it needs (XADD, HMGET, SUBSCRIBE) fails the call, or asq_open, with an error that
 * has Redis' reply. See batch.h.
 */
#include "asqueue.h"
#include "client/batch.h"
#include "client/engine.h"
#include "redis/refusal.h"
#include "value/error.h"

static const char *const texts[ASQ__DENIED_KINDS] = {
    [ASQ__DENIED_READ] =
        "Redis does not let this user read results, so large ones cannot be read, and small ones "
        "have to be asked for: allow GET and GETRANGE of asq:{NAMESPACE.*}:r:*",
    [ASQ__DENIED_ASK] =
        "Redis does not let this user ask which calls it took before the connection was lost, so "
        "the client sends all of them again: allow EVAL, with EXISTS, XRANGE and HEXISTS of "
        "asq:{NAMESPACE.*}:r:*, :jobs and :later:jobs",
    [ASQ__DENIED_QUERY] =
        "Redis does not let this user look up whether calls still wait, so a call that was lost "
        "in Redis is waited for "
        "until its timeout: allow XRANGE and HEXISTS of asq:{NAMESPACE.*}:jobs and :later:jobs",
    [ASQ__DENIED_FORGET] =
        "Redis does not let this user remove results that have arrived, so they stay in its "
        "memory until they "
        "expire: allow UNLINK of asq:{NAMESPACE.*}:r:*",
};

void asq__engine_denied(struct asq__engine *e, enum asq__denied what, const redisReply *reply)
{
    char text[700];

    if (!asq__reply_is_denial(reply) || e->denied_logged & 1u << what || !e->config.log)
        return;
    e->denied_logged |= 1u << what;
    asq__err(text, sizeof text, 0, "%s" ASQ__DENIAL_HINT ": %s", texts[what],
             asq__reply_text(reply));
    e->config.log(e->config.log_user, ASQ_LOG_WARNING, text);
}
