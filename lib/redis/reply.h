/*
 * reply.h: replies that hiredis builds in an arena, to be forgotten all at once, instead of with two
 * allocations for each element: a read of many entries has thousands.
 */
#ifndef ASQ_REDIS_REPLY_H
#define ASQ_REDIS_REPLY_H

#include <hiredis/hiredis.h>

#include "value/arena.h"

/* From now on the reader makes its replies, ordinary redisReply trees, in the arena, which outlives it.
 * They live until the arena is reset, and are not for freeReplyObject. */
void asq__reply_in_arena(redisReader *reader, struct asq__arena *arena);

#endif
