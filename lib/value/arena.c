/*
 * arena.c: bump allocation in growing blocks; relies on malloc alone.
 */
#include <stdint.h>
#include <stdlib.h>

#include "value/arena.h"

/* The first block, with its head, is a small allocation for malloc. */
enum { FIRST_BLOCK = 448, LARGEST_BLOCK = 256 * 1024, ALIGNMENT = 16 };

struct asq__arena_block {
    struct asq__arena_block *next;
    size_t used, cap;
    _Alignas(ALIGNMENT) uint8_t data[];
};

static void *allocator_alloc(void *data, size_t n)
{
    return asq__arena_alloc(data, n);
}

static void allocator_free(void *data, void *p)
{
    (void) data; /* freed with the arena */
    (void) p;
}

void asq__arena_init(struct asq__arena *a, size_t max)
{
    a->blocks = NULL;
    a->used = 0;
    a->max = max;
    a->allocator.alloc = allocator_alloc;
    a->allocator.free = allocator_free;
    a->allocator.allocator_data = a;
}

void asq__arena_release(struct asq__arena *a)
{
    struct asq__arena_block *b = a->blocks;
    while (b) {
        struct asq__arena_block *next = b->next;
        free(b);
        b = next;
    }
    a->blocks = NULL;
    a->used = 0;
}

void asq__arena_reset(struct asq__arena *a)
{
    struct asq__arena_block *kept = NULL, *b = a->blocks;
    if (b && !b->next && b->cap <= LARGEST_BLOCK) { /* the usual case */
        b->used = a->used = 0;
        return;
    }
    while (b) {
        struct asq__arena_block *next = b->next, *worse = b;
        if (b->cap <= LARGEST_BLOCK && (!kept || b->cap > kept->cap)) {
            worse = kept;
            kept = b;
        }
        free(worse);
        b = next;
    }
    if (kept) {
        kept->next = NULL;
        kept->used = 0;
    }
    a->blocks = kept;
    a->used = 0;
}

void *asq__arena_alloc(struct asq__arena *a, size_t n)
{
    if (n > a->max - a->used)
        return NULL;
    size_t rounded = (n + ALIGNMENT - 1) & ~(size_t) (ALIGNMENT - 1);
    struct asq__arena_block *b = a->blocks;
    if (!b || rounded > b->cap - b->used) {
        size_t cap = b ? b->cap * 2 : FIRST_BLOCK;
        if (cap > LARGEST_BLOCK)
            cap = LARGEST_BLOCK;
        if (cap < rounded)
            cap = rounded;
        struct asq__arena_block *fresh = malloc(sizeof *fresh + cap);
        if (!fresh)
            return NULL;
        fresh->used = 0;
        fresh->cap = cap;
        fresh->next = b;
        a->blocks = b = fresh;
    }
    void *p = b->data + b->used;
    b->used += rounded;
    a->used += rounded < a->max - a->used ? rounded : a->max - a->used;
    return p;
}
