/*
 * table.h: an intrusive hash table with chaining, keyed by bytes that live in the item. It owns
 * neither items nor keys; it grows by itself and never fails on insertion once it was initialised
 * (when growing fails for memory, chains get longer).
 */
#ifndef ASQ_VALUE_TABLE_H
#define ASQ_VALUE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "value/hash.h"

struct asq__node {
    struct asq__node *next;
    uint64_t hash;
};

/* Gives an item's key: its bytes, and their number to *n. */
typedef const void *(*asq__key_fn)(const struct asq__node *node, size_t *n);

struct asq__table {
    struct asq__node **buckets;
    size_t mask; /* buckets - 1 */
    size_t count;
    asq__key_fn key;
    struct asq__siphash_key seed;
};

int asq__table_init(struct asq__table *t, asq__key_fn key);
/* Frees the buckets; the items are the caller's. */
void asq__table_release(struct asq__table *t);
struct asq__node *asq__table_find(const struct asq__table *t, const void *key, size_t n);
/* The key must not be there yet. */
void asq__table_add(struct asq__table *t, struct asq__node *node);
/* No-op when the node is not there. */
void asq__table_del(struct asq__table *t, struct asq__node *node);
/* Visits every item; fn may delete (and free) the item it is given. */
void asq__table_each(struct asq__table *t, void (*fn)(struct asq__node *node, void *user),
                     void *user);

#endif
