/*
 * greeting.h: the commands that begin every connection, and the meaning of their replies. conn.c
 * and sync.c send them in their own ways.
 */
#ifndef ASQ_REDIS_GREETING_H
#define ASQ_REDIS_GREETING_H

#include <hiredis/hiredis.h>

enum asq__greeting {
    ASQ__GREETING_AUTH,
    ASQ__GREETING_HELLO, /* shows which kind of server this is, and whether it is a master */
    ASQ__GREETING_SELECT,
    ASQ__GREETING_NAME, /* CLIENT SETNAME, which only serves CLIENT LIST */
    ASQ__GREETING_ID,
    ASQ__GREETING_PING /* shows whether Redis is still loading its data */
};

enum { ASQ__GREETING_WHY = 400 };

struct asq__url;

/* Checks a step's reply. 0: go on. ASQ_EBUSY: Redis cannot serve now, or is a replica; ASQ_EAUTH:
 * user or password; ASQ_EINVAL: another kind of server than the URL says, or its database;
 * ASQ_EREDIS. */
int asq__greeting_check(const struct asq__url *url, enum asq__greeting step,
                        const redisReply *reply, char why[ASQ__GREETING_WHY]);

#endif
