/*
 * limit.h: how long a string this Redis takes as one argument of a command. A longer one ends the connection,
 * with all that is under way on it, and does so again each time it is sent; so whoever has one gives it up.
 * Redis says it (proto-max-bulk-len) to the user "default", if that may ask; what stands before it may have a limit of its own, which shows
 * by what is refused.
 */
#ifndef ASQ_REDIS_LIMIT_H
#define ASQ_REDIS_LIMIT_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

/* A connection that is lost again and again while it carries such a string is taken for a refusal of it. */
enum { ASQ__LIMIT_SUSPECT = 512 * 1024, ASQ__LIMIT_LOSSES = 5 };

struct asq__limit {
    size_t said;    /* bytes, by Redis; 0: it does not say */
    size_t refused; /* the shortest string that was refused a while ago; 0: none was */
    int64_t refused_ms;
    size_t longest_1; /* one more than the longest string that both allow; 0: no bound is known */
};

/* The longest string; SIZE_MAX: none is known to be too long. */
static inline size_t asq__limit_bytes(const struct asq__limit *l)
{
    return l->longest_1 - 1;
}
/* A string of n bytes was refused. That is believed for some minutes: Redis may be another one then. */
void asq__limit_refused(struct asq__limit *l, size_t n, int64_t now_ms);
void asq__limit_forget_old(struct asq__limit *l, int64_t now_ms);
/* The answer to CONFIG GET proto-max-bulk-len. */
void asq__limit_take(struct asq__limit *l, const redisReply *reply);

#endif
