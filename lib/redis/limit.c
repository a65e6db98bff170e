/*
 * limit.c: see limit.h.
 */
#include "redis/limit.h"

#include <stdlib.h>

enum { BELIEVED_MS = 10 * 60 * 1000 };

size_t asq__limit_bytes(const struct asq__limit *l)
{
    size_t limit = l->said ? l->said : SIZE_MAX;
    return l->refused && l->refused - 1 < limit ? l->refused - 1 : limit;
}

void asq__limit_refused(struct asq__limit *l, size_t n, int64_t now_ms)
{
    if (n && (!l->refused || n < l->refused))
        l->refused = n;
    l->refused_ms = now_ms;
}

void asq__limit_forget_old(struct asq__limit *l, int64_t now_ms)
{
    if (l->refused && now_ms - l->refused_ms >= BELIEVED_MS)
        l->refused = 0;
}

void asq__limit_take(struct asq__limit *l, const redisReply *reply)
{
    l->said = 0;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 ||
        reply->element[1]->type != REDIS_REPLY_STRING)
        return;
    long long n = strtoll(reply->element[1]->str, NULL, 10);
    if (n > 0 && (unsigned long long) n < SIZE_MAX)
        l->said = (size_t) n;
}
