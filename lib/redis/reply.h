/*
 * reply.h: makes hiredis build replies in an arena, to be freed at once, without two allocations
 * for each element: a read of many entries has thousands.
 */
#ifndef ASQ_REDIS_REPLY_H
#define ASQ_REDIS_REPLY_H

#include <hiredis/hiredis.h>

struct asq__arena;

/* Makes the reader build its replies, ordinary redisReply trees, in the arena, which outlives it.
 * Replies live until the arena is reset, and must not be passed to freeReplyObject. */
void asq__reply_in_arena(redisReader *reader, struct asq__arena *arena);

#endif
