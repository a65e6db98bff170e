/*
 * greeting.c: see greeting.h.
 */
#include <stddef.h>

#include "asqueue.h"
#include "redis/greeting.h"
#include "redis/refusal.h"
#include "value/error.h"

static const char *const names[] = { [ASQ__GREETING_AUTH] = "AUTH",
                                     [ASQ__GREETING_SELECT] = "SELECT",
                                     [ASQ__GREETING_NAME] = "CLIENT SETNAME",
                                     [ASQ__GREETING_ID] = "CLIENT ID",
                                     [ASQ__GREETING_PING] = "PING" };

int asq__greeting_check(enum asq__greeting step, const redisReply *reply,
                        char why[ASQ__GREETING_WHY])
{
    const size_t size = ASQ__GREETING_WHY;
    switch (asq__reply_refusal(reply)) {
    case ASQ__REFUSED_NOT: return 0;
    case ASQ__REFUSED_FOR_NOW:
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
    case ASQ__REFUSED_SIZE:
    case ASQ__REFUSED_COMMAND:
        /* PING, CLIENT ID and CLIENT SETNAME are optional: a user without them can go on. */
        if (step == ASQ__GREETING_PING || step == ASQ__GREETING_ID || step == ASQ__GREETING_NAME)
            return 0;
        break;
    }
    return asq__err(why, size, ASQ_EREDIS, "%s: %s", names[step], reply->str);
}
