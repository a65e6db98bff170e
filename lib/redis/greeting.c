/*
 * greeting.c: see greeting.h.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "asqueue.h"
#include "redis/greeting.h"
#include "redis/refusal.h"
#include "redis/url.h"
#include "value/error.h"

static const char *const names[] = {
    [ASQ__GREETING_AUTH] = "AUTH",     [ASQ__GREETING_HELLO] = "HELLO",
    [ASQ__GREETING_SELECT] = "SELECT", [ASQ__GREETING_NAME] = "CLIENT SETNAME",
    [ASQ__GREETING_ID] = "CLIENT ID",  [ASQ__GREETING_PING] = "PING"
};

/* Returns whether a field of HELLO has this value. */
static bool says(const redisReply *hello, const char *name, const char *value)
{
    if (hello->type != REDIS_REPLY_ARRAY)
        return false;
    for (size_t i = 0; i + 1 < hello->elements; i += 2)
        if (asq__reply_is(hello->element[i], name))
            return asq__reply_is(hello->element[i + 1], value);
    return false;
}

/* Compares what the server says of itself with what the URL makes of it. */
static int check_kind(const struct asq__url *url, const redisReply *hello,
                      char why[ASQ__GREETING_WHY])
{
    bool to_sentinel = url->servers == ASQ__URL_SENTINEL && !url->sentinels;
    bool is_sentinel = says(hello, "mode", "sentinel");
    if (is_sentinel && !to_sentinel)
        return asq__err(why, ASQ__GREETING_WHY, ASQ_EINVAL,
                        "this is a Sentinel; use %s+sentinel://HOST:PORT/MASTER, where MASTER is "
                        "the name that it has for the Redis",
                        url->tls ? "rediss" : "redis");
    if (!is_sentinel && to_sentinel && hello->type == REDIS_REPLY_ARRAY)
        return asq__err(why, ASQ__GREETING_WHY, ASQ_EINVAL, "this is no Sentinel, but a Redis");
    if (url->sentinels && (says(hello, "role", "replica") || says(hello, "role", "slave")))
        return asq__err(why, ASQ__GREETING_WHY, ASQ_EBUSY,
                        "this is a replica by now, and the Sentinels tell no other master yet");
    return 0;
}

int asq__greeting_check(const struct asq__url *url, enum asq__greeting step,
                        const redisReply *reply, char why[ASQ__GREETING_WHY])
{
    const size_t size = ASQ__GREETING_WHY;
    if (step == ASQ__GREETING_SELECT && asq__reply_is_error(reply, NULL) &&
        strstr(reply->str, "cluster mode"))
        return asq__err(why, size, ASQ_EINVAL,
                        "this Redis is a Cluster, which has database 0 only; leave the database "
                        "out of the URL (/DB, db=): %s",
                        reply->str);
    enum asq__refusal refusal = asq__reply_refusal(reply);
    /* Without the password it is refused with NOAUTH, and it may be renamed. */
    if (step == ASQ__GREETING_HELLO && refusal != ASQ__REFUSED_FOR_NOW)
        return check_kind(url, reply, why);
    switch (refusal) {
    case ASQ__REFUSED_NOT: return 0;
    case ASQ__REFUSED_FOR_NOW:
    case ASQ__REFUSED_SLOT:
        return asq__err(why, size, ASQ_EBUSY, "Redis cannot serve now: %s", reply->str);
    case ASQ__REFUSED_LOGIN:
        if (asq__reply_is_error(reply, "NOAUTH"))
            return asq__err(why, size, ASQ_EAUTH,
                            "this Redis wants a password; give it in the URL "
                            "(redis://:PASSWORD@HOST, unix:PATH?password=PASSWORD): %s",
                            reply->str);
        return asq__err(why, size, ASQ_EAUTH, "Redis does not take the user or password: %s",
                        reply->str);
    case ASQ__REFUSED_MEMORY:
    case ASQ__REFUSED_KEY:
    case ASQ__REFUSED_ACCESS:
    case ASQ__REFUSED_TYPE:
    case ASQ__REFUSED_SIZE:
    case ASQ__REFUSED_COMMAND:
        /* PING, CLIENT ID and CLIENT SETNAME are optional: a user without them can go on. */
        if (step == ASQ__GREETING_PING || step == ASQ__GREETING_ID || step == ASQ__GREETING_NAME)
            return 0;
        break;
    }
    return asq__err(why, size, ASQ_EREDIS, "%s: %s", names[step], reply->str);
}
