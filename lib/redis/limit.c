/*
 * limit.c: see limit.h.
 */
#include <stdlib.h>

#include "redis/limit.h"

enum { BELIEVED_MS = 10 * 60 * 1000 };

/* Recomputes longest_1 after a change of `stated` or `refused`; every call reads longest_1. */
static void combine(struct asq__limit *l)
{
    l->longest_1 = l->stated ? l->stated + 1 : 0;
    if (l->refused && (!l->stated || l->refused <= l->stated))
        l->longest_1 = l->refused;
}

void asq__limit_refused(struct asq__limit *l, size_t n, int64_t now_ms)
{
    if (n && (!l->refused || n < l->refused))
        l->refused = n;
    l->refused_ms = now_ms;
    combine(l);
}

void asq__limit_expire(struct asq__limit *l, int64_t now_ms)
{
    if (l->refused && now_ms - l->refused_ms >= BELIEVED_MS)
        l->refused = 0;
    combine(l);
}

void asq__limit_take(struct asq__limit *l, const redisReply *reply)
{
    long long n = 0;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[1]->type == REDIS_REPLY_STRING)
        n = strtoll(reply->element[1]->str, NULL, 10);
    l->stated = n > 0 && (unsigned long long) n < SIZE_MAX ? (size_t) n : 0;
    combine(l);
}
