/*
 * arena.h: memory that is freed together: what was decoded from one message. Bounded from birth; also
 * an allocator for protobuf-c, so that unpacking costs a pointer bump per field.
 */
#ifndef ASQ_VALUE_ARENA_H
#define ASQ_VALUE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct asq__arena_block;

struct asq__arena {
    struct asq__arena_block *blocks;
    size_t used, max; /* bytes given out, and their bound */
    ProtobufCAllocator allocator;
};

void asq__arena_init(struct asq__arena *a, size_t max);
void asq__arena_release(struct asq__arena *a);
/* Empty, but with a block for what comes next. */
void asq__arena_reset(struct asq__arena *a);
/* Aligned for any type; NULL when memory is short or the bound is reached. */
void *asq__arena_alloc(struct asq__arena *a, size_t n);

#endif
