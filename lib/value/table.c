/*
 * table.c: see table.h. The number of buckets is a power of two and grows with the number of items.
 * Keys come from outside, so they are hashed under a key of this process.
 */
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/table.h"

enum { FIRST_BUCKETS = 16 };

int asq__table_init(struct asq__table *t, asq__key_fn key)
{
    struct asq__node **buckets = calloc(FIRST_BUCKETS, sizeof(struct asq__node *));
    *t = (struct asq__table){ .buckets = buckets, .mask = FIRST_BUCKETS - 1, .key = key };
    asq__memory_key(&t->seed);
    return buckets ? 0 : ASQ_ENOMEM;
}

void asq__table_release(struct asq__table *t)
{
    free(t->buckets);
    t->buckets = NULL;
    t->mask = t->count = 0;
}

struct asq__node *asq__table_find(const struct asq__table *t, const void *key, size_t n)
{
    if (!t->count)
        return NULL;
    uint64_t hash = asq__hash_memory(&t->seed, key, n);
    for (struct asq__node *node = t->buckets[hash & t->mask]; node; node = node->next) {
        if (node->hash != hash)
            continue;
        size_t its_n;
        const void *its_key = t->key(node, &its_n);
        if (its_n == n && (n == 0 || memcmp(its_key, key, n) == 0))
            return node;
    }
    return NULL;
}

static void grow(struct asq__table *t)
{
    size_t n = (t->mask + 1) * 2;
    struct asq__node **buckets = calloc(n, sizeof(struct asq__node *));
    if (!buckets)
        return; /* chains get longer; the next insertion retries */
    for (size_t i = 0; i <= t->mask; i++)
        for (struct asq__node *node = t->buckets[i], *next; node; node = next) {
            next = node->next;
            struct asq__node **slot = &buckets[node->hash & (n - 1)];
            node->next = *slot;
            *slot = node;
        }
    free(t->buckets);
    t->buckets = buckets;
    t->mask = n - 1;
}

void asq__table_add(struct asq__table *t, struct asq__node *node)
{
    size_t n;
    const void *key = t->key(node, &n);
    node->hash = asq__hash_memory(&t->seed, key, n);
    if (t->count > t->mask)
        grow(t);
    struct asq__node **slot = &t->buckets[node->hash & t->mask];
    node->next = *slot;
    *slot = node;
    t->count++;
}

void asq__table_del(struct asq__table *t, struct asq__node *node)
{
    if (!t->count)
        return;
    for (struct asq__node **at = &t->buckets[node->hash & t->mask]; *at; at = &(*at)->next)
        if (*at == node) {
            *at = node->next;
            node->next = NULL;
            t->count--;
            return;
        }
}

void asq__table_each(struct asq__table *t, void (*fn)(struct asq__node *node, void *user),
                     void *user)
{
    for (size_t i = 0; t->count && i <= t->mask; i++)
        for (struct asq__node *node = t->buckets[i], *next; node; node = next) {
            next = node->next;
            fn(node, user);
        }
}
