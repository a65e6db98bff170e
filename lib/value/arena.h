/*
 * arena.h: memory that is freed together, for a decoded message. Has an upper bound; also serves
 * protobuf-c as allocator, so that unpacking costs a pointer bump per field.
 */
#ifndef ASQ_VALUE_ARENA_H
#define ASQ_VALUE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct asq__arena_block;

struct asq__arena {
    struct asq__arena_block *blocks;
    size_t used, max; /* allocated bytes, and their bound */
    ProtobufCAllocator allocator;
};

void asq__arena_init(struct asq__arena *a, size_t max);
void asq__arena_release(struct asq__arena *a);
/* Empties the arena, but keeps a block for the next use. */
void asq__arena_reset(struct asq__arena *a);
/* Allocates n bytes, aligned for any type; NULL if memory is short or the bound is reached. */
void *asq__arena_alloc(struct asq__arena *a, size_t n);

#endif
