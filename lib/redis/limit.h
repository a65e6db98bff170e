/*
 * limit.h: the longest string that this Redis accepts as an argument of a command. A longer one
 * ends the connection, with everything under way on it, each time it is sent, so it must not be
 * sent. The limit is proto-max-bulk-len, which the user "default" may read. A lower
 * client-query-buffer-limit, or a proxy before Redis, closes the connection without an error. Such
 * a limit is learned from connections that are lost again and again.
 */
#ifndef ASQ_REDIS_LIMIT_H
#define ASQ_REDIS_LIMIT_H

#include <hiredis/hiredis.h>
#include <stddef.h>
#include <stdint.h>

/* A string of SUSPECT bytes or more counts as refused after LOSSES lost connections that carried
 * it. */
enum { ASQ__LIMIT_SUSPECT = 512 * 1024, ASQ__LIMIT_LOSSES = 5 };

struct asq__limit {
    size_t stated;  /* proto-max-bulk-len; 0: unknown */
    size_t refused; /* shortest string refused lately; 0: none */
    int64_t refused_ms;
    size_t longest_1; /* one more than the longest string that both allow; 0: no known bound */
};

/* Returns the longest string; SIZE_MAX: no known bound. */
static inline size_t asq__limit_bytes(const struct asq__limit *l)
{
    return l->longest_1 - 1;
}
/* Notes that a string of n bytes was refused. Counts for some minutes, because the server may
 * change. */
void asq__limit_refused(struct asq__limit *l, size_t n, int64_t now_ms);
void asq__limit_expire(struct asq__limit *l, int64_t now_ms);
/* Reads the reply to CONFIG GET proto-max-bulk-len. */
void asq__limit_take(struct asq__limit *l, const redisReply *reply);

#endif
