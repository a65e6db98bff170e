/*
 * table.h: an intrusive hash table with chaining, keyed by bytes in the item. The table owns
 * neither items nor keys. It grows by itself, and insertion never fails (if memory for growing is
 * short, chains get longer).
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

/* Returns an item's key, and its length in *n. */
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
/* Adds an item, whose key must not be in the table yet. */
void asq__table_add(struct asq__table *t, struct asq__node *node);
/* Removes an item; does nothing if it is not in the table. */
void asq__table_del(struct asq__table *t, struct asq__node *node);
/* Visits every item; fn may delete and free its item. */
void asq__table_each(struct asq__table *t, void (*fn)(struct asq__node *node, void *user),
                     void *user);

#endif
