/*
 * greeting.h: what is asked of Redis before a connection is of use, and what its answers mean. The same for
 * all connections; each sends it in its own way.
 */
#ifndef ASQ_REDIS_GREETING_H
#define ASQ_REDIS_GREETING_H

#include <hiredis/hiredis.h>

enum asq__greeting {
    ASQ__GREETING_AUTH,
    ASQ__GREETING_SELECT,
    ASQ__GREETING_ID,
    ASQ__GREETING_PING /* shows whether Redis is still loading its data */
};

enum { ASQ__GREETING_WHY = 400 };

/* 0: on with the next. ASQ_EBUSY: it cannot serve now; ASQ_EAUTH: user or password; ASQ_EREDIS. */
int asq__greeting_check(enum asq__greeting step, const redisReply *reply,
                        char why[ASQ__GREETING_WHY]);

#endif
