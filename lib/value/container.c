/*
 * container.c: lists and maps. A map keeps its pairs in the order of insertion; a map with more
 * than SMALL pairs has an open-addressing index (linear probing, at most three quarters full).
 * Insertion builds the index, lookups never do, so reading a value changes nothing.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/hash.h"
#include "value/value.h"

enum { SMALL = 16, FIRST_CAP = 4, FIRST_SLOTS = 64, MOST_PAIRS = 1 << 29 };

struct slot {
    uint32_t at; /* 1 + position of the pair; 0: free */
    uint32_t hash;
};

struct asq__map_index {
    uint32_t mask; /* slots - 1 */
    struct slot slots[];
};

/* ---- The tree: depth and ownership ----------------------------------------------------------- */

static uint8_t update_height(asq_value *v)
{
    if (v->type != ASQ_LIST && v->type != ASQ_MAP)
        return 0;
    uint8_t most = 0;
    size_t n = v->type == ASQ_LIST ? v->list.n : v->map.n;
    for (size_t i = 0; i < n; i++) {
        uint8_t h = update_height(v->type == ASQ_LIST ? v->list.items[i] : v->map.pairs[i].value);
        if (h > most)
            most = h;
    }
    return v->height = (uint8_t) (most + 1);
}

int asq__value_adopt(asq_value *container, asq_value *item)
{
    if (item->type <= ASQ_BOOL)
        return 0;
    if (item->owned)
        return ASQ_EINVAL;
    unsigned above = 1;
    if (item->height) {
        for (asq_value *c = container; c->parent; c = c->parent)
            above++;
        /* The deepest part may have been removed since `height` was set. */
        if (above + item->height > ASQ_MAX_DEPTH && above + update_height(item) > ASQ_MAX_DEPTH)
            return ASQ_ELIMIT;
        unsigned height = item->height;
        for (asq_value *c = container; c && c->height <= height; c = c->parent)
            c->height = (uint8_t) ++height;
        item->parent = container;
    }
    item->owned = true;
    return 0;
}

/* Returns whether item is the container or one of its ancestors. */
static bool contains(const asq_value *item, const asq_value *container)
{
    while (container && container != item)
        container = container->parent;
    return container != NULL;
}

/* Adopts item, or frees it on failure. An item that belongs to a tree already is left there. */
static int adopt_or_free(asq_value *container, asq_value *item)
{
    if (!item)
        return ASQ_ENOMEM;
    if (contains(item, container))
        return ASQ_EINVAL;
    bool elsewhere = item->owned;
    int rc = asq__value_adopt(container, item);
    if (rc < 0 && !elsewhere)
        asq_value_free(item);
    return rc;
}

/* Frees an item that was removed from its container. */
static void free_item(asq_value *item)
{
    if (item->type <= ASQ_BOOL)
        return;
    item->owned = false;
    item->parent = NULL;
    asq_value_free(item);
}

/* Frees an item because `container` is not a container, and returns the error. */
static int reject_item(const asq_value *container, asq_value *item)
{
    if (item && !item->owned)
        asq_value_free(item);
    return container ? ASQ_ETYPE : ASQ_EINVAL;
}

/* ---- Lists ----------------------------------------------------------------------------------- */

static bool is_list(const asq_value *v)
{
    return v && v->type == ASQ_LIST;
}

int asq__list_reserve(asq_value *list, size_t n)
{
    if (n <= list->list.cap)
        return 0;
    if (n > SIZE_MAX / sizeof(asq_value *))
        return ASQ_ENOMEM;
    bool is_inline = list->list.items == asq__list_inline(list);
    asq_value **items = realloc(is_inline ? NULL : list->list.items, n * sizeof *items);
    if (!items)
        return ASQ_ENOMEM;
    if (is_inline)
        memcpy(items, list->list.items, list->list.n * sizeof *items);
    list->list.items = items;
    list->list.cap = n;
    return 0;
}

size_t asq_list_size(const asq_value *list)
{
    return is_list(list) ? list->list.n : 0;
}

asq_value *asq_list_at(asq_value *list, size_t i)
{
    return is_list(list) && i < list->list.n ? list->list.items[i] : NULL;
}

const asq_value *asq_list_get(const asq_value *list, size_t i)
{
    return is_list(list) && i < list->list.n ? list->list.items[i] : NULL;
}

int asq_list_append(asq_value *list, asq_value *item)
{
    if (!is_list(list))
        return reject_item(list, item);
    size_t n = list->list.n;
    int room = n < list->list.cap ? 0 : asq__list_reserve(list, n * 2);
    int rc = adopt_or_free(list, item);
    if (rc < 0)
        return rc;
    if (room < 0) {
        free_item(item);
        return room;
    }
    list->list.items[list->list.n++] = item;
    return 0;
}

int asq_list_set(asq_value *list, size_t i, asq_value *item)
{
    if (!is_list(list))
        return reject_item(list, item);
    int rc = adopt_or_free(list, item);
    if (rc < 0)
        return rc;
    if (i >= list->list.n) {
        free_item(item);
        return ASQ_ENOENT;
    }
    asq_value *old = list->list.items[i];
    list->list.items[i] = item;
    free_item(old);
    return 0;
}

int asq_list_remove(asq_value *list, size_t i)
{
    if (!is_list(list))
        return list ? ASQ_ETYPE : ASQ_EINVAL;
    if (i >= list->list.n)
        return ASQ_ENOENT;
    asq_value **at = &list->list.items[i];
    asq_value *old = *at;
    memmove(at, at + 1, (list->list.n - i - 1) * sizeof *at);
    list->list.n--;
    free_item(old);
    return 0;
}

/* ---- The index of a map ---------------------------------------------------------------------- */

static uint32_t hash_of(const char *key)
{
    struct asq__siphash_key seed;
    asq__memory_key(&seed);
    return (uint32_t) asq__hash_memory(&seed, key, strlen(key));
}

static size_t index_bytes(uint32_t mask)
{
    return sizeof(struct asq__map_index) + ((size_t) mask + 1) * sizeof(struct slot);
}

void asq__map_index_free(struct asq__map_index *index)
{
    free(index);
}

int asq__map_index_copy(asq_value *to, const asq_value *from)
{
    if (!from->map.index)
        return 0;
    size_t n = index_bytes(from->map.index->mask);
    struct asq__map_index *index = malloc(n);
    if (!index)
        return ASQ_ENOMEM;
    memcpy(index, from->map.index, n);
    free(to->map.index);
    to->map.index = index;
    return 0;
}

static void index_put(struct asq__map_index *index, uint32_t at, uint32_t hash)
{
    uint32_t i = hash & index->mask;
    while (index->slots[i].at)
        i = (i + 1) & index->mask;
    index->slots[i] = (struct slot){ at + 1, hash };
}

/* Makes the index large enough for n pairs; small maps have none. */
static int index_reserve(asq_value *map, uint32_t n)
{
    const struct asq__map_index *old = map->map.index;
    if (n <= SMALL || (old && n <= (old->mask + 1) / 4 * 3))
        return 0;
    uint32_t slots = FIRST_SLOTS;
    while (slots / 4 * 3 < n)
        slots *= 2;
    struct asq__map_index *index = calloc(1, index_bytes(slots - 1));
    if (!index)
        return ASQ_ENOMEM;
    index->mask = slots - 1;
    if (old) {
        for (uint32_t i = 0; i <= old->mask; i++)
            if (old->slots[i].at)
                index_put(index, old->slots[i].at - 1, old->slots[i].hash);
    } else {
        for (uint32_t i = 0; i < map->map.n; i++)
            index_put(index, i, hash_of(map->map.pairs[i].key));
    }
    free(map->map.index);
    map->map.index = index;
    return 0;
}

/* Finds the slot of a key with this hash, or NULL. */
static struct slot *index_find(const asq_value *map, const char *key, uint32_t hash)
{
    struct asq__map_index *index = map->map.index;
    for (uint32_t i = hash & index->mask; index->slots[i].at; i = (i + 1) & index->mask)
        if (index->slots[i].hash == hash &&
            strcmp(map->map.pairs[index->slots[i].at - 1].key, key) == 0)
            return &index->slots[i];
    return NULL;
}

/* Frees a slot, and moves slots up that collisions had pushed past it. */
static void index_del(struct asq__map_index *index, struct slot *slot)
{
    uint32_t hole = (uint32_t) (slot - index->slots), i = hole;
    for (;;) {
        i = (i + 1) & index->mask;
        if (!index->slots[i].at)
            break;
        uint32_t home = index->slots[i].hash & index->mask;
        if (((i - home) & index->mask) < ((i - hole) & index->mask))
            continue; /* moving it would put it before its home */
        index->slots[hole] = index->slots[i];
        hole = i;
    }
    index->slots[hole].at = 0;
}

/* ---- Maps ------------------------------------------------------------------------------------ */

static bool is_map(const asq_value *v)
{
    return v && v->type == ASQ_MAP;
}

/* Finds the pair of a key, or NULL. Sets *hash if the map has an index. */
static struct asq__pair *lookup(const asq_value *map, const char *key, uint32_t *hash)
{
    if (map->map.index) {
        *hash = hash_of(key);
        struct slot *slot = index_find(map, key, *hash);
        return slot ? &map->map.pairs[slot->at - 1] : NULL;
    }
    for (uint32_t i = 0; i < map->map.n; i++)
        if (strcmp(map->map.pairs[i].key, key) == 0)
            return &map->map.pairs[i];
    return NULL;
}

int asq__map_reserve(asq_value *map, size_t n)
{
    if (n > MOST_PAIRS)
        return ASQ_ELIMIT;
    if (n > map->map.cap) {
        struct asq__pair *pairs = realloc(map->map.pairs, n * sizeof *pairs);
        if (!pairs)
            return ASQ_ENOMEM;
        map->map.pairs = pairs;
        map->map.cap = (uint32_t) n;
    }
    return 0;
}

/* Adds a new pair; the map takes key and item. */
static int add_pair(asq_value *map, char *key, asq_value *item)
{
    uint32_t n = map->map.n;
    int rc = n < map->map.cap ? 0 : asq__map_reserve(map, n ? (size_t) n * 2 : FIRST_CAP);
    if (rc == 0)
        rc = index_reserve(map, n + 1);
    if (rc < 0)
        return rc;
    if (map->map.index)
        index_put(map->map.index, n, hash_of(key));
    map->map.pairs[n] = (struct asq__pair){ key, item };
    map->map.n++;
    return 0;
}

int asq__map_add(asq_value *map, char *key, asq_value *item)
{
    uint32_t hash;
    int rc = adopt_or_free(map, item);
    if (rc < 0) {
        free(key);
        return rc;
    }
    rc = !key ? ASQ_ENOMEM : lookup(map, key, &hash) ? ASQ_EEXIST : add_pair(map, key, item);
    if (rc < 0) {
        free(key);
        free_item(item);
    }
    return rc;
}

size_t asq_map_size(const asq_value *map)
{
    return is_map(map) ? map->map.n : 0;
}

asq_value *asq_map_find(asq_value *map, const char *key)
{
    uint32_t hash;
    struct asq__pair *pair = is_map(map) && key ? lookup(map, key, &hash) : NULL;
    return pair ? pair->value : NULL;
}

const asq_value *asq_map_get(const asq_value *map, const char *key)
{
    uint32_t hash;
    const struct asq__pair *pair = is_map(map) && key ? lookup(map, key, &hash) : NULL;
    return pair ? pair->value : NULL;
}

const asq_value *asq_map_at(const asq_value *map, size_t i, const char **ret_key)
{
    if (!is_map(map) || i >= map->map.n)
        return NULL;
    if (ret_key)
        *ret_key = map->map.pairs[i].key;
    return map->map.pairs[i].value;
}

int asq_map_set(asq_value *map, const char *key, asq_value *item)
{
    if (!is_map(map))
        return reject_item(map, item);
    int rc = adopt_or_free(map, item);
    if (rc < 0)
        return rc;
    uint32_t hash;
    struct asq__pair *pair = key ? lookup(map, key, &hash) : NULL;
    if (pair) {
        asq_value *old = pair->value;
        pair->value = item;
        free_item(old);
        return 0;
    }
    char *copy = NULL;
    if (!key || !asq__utf8_valid(key, strlen(key)))
        rc = ASQ_EINVAL;
    else if (!(copy = strdup(key)))
        rc = ASQ_ENOMEM;
    else
        rc = add_pair(map, copy, item);
    if (rc < 0) {
        free(copy);
        free_item(item);
    }
    return rc;
}

int asq_map_remove(asq_value *map, const char *key)
{
    uint32_t hash;
    if (!is_map(map))
        return map ? ASQ_ETYPE : ASQ_EINVAL;
    struct asq__pair *pair = key ? lookup(map, key, &hash) : NULL;
    if (!pair)
        return key ? ASQ_ENOENT : ASQ_EINVAL;
    struct asq__pair old = *pair;
    struct asq__map_index *index = map->map.index;
    uint32_t at = (uint32_t) (pair - map->map.pairs), n_after = map->map.n - at - 1;
    if (index) {
        index_del(index, index_find(map, key, hash));
        /* Without a branch, so that compilers vectorize the main cost of removal from large
         * maps. */
        for (size_t i = 0, n = n_after ? (size_t) index->mask + 1 : 0; i < n; i++)
            index->slots[i].at -= index->slots[i].at > at + 1;
    }
    memmove(pair, pair + 1, n_after * sizeof *pair);
    map->map.n--;
    free(old.key);
    free_item(old.value);
    return 0;
}

int64_t asq_map_int(const asq_value *map, const char *key)
{
    int64_t i = 0;
    asq_value_get_int(asq_map_get(map, key), &i);
    return i;
}

const char *asq_map_string(const asq_value *map, const char *key)
{
    const char *text = "";
    asq_value_get_string(asq_map_get(map, key), &text, NULL);
    return text;
}

bool asq_map_bool(const asq_value *map, const char *key)
{
    bool is = false;
    asq_value_get_bool(asq_map_get(map, key), &is);
    return is;
}

int asq_map_set_int(asq_value *map, const char *key, int64_t i)
{
    asq_value *there = asq_map_find(map, key);
    if (there && there->type == ASQ_INT) {
        there->integer = i;
        return 0;
    }
    return asq_map_set(map, key, asq_value_int(i));
}

static void adopt_all(asq_value *map)
{
    for (size_t i = 0; i < map->map.n; i++) {
        asq_value *item = map->map.pairs[i].value;
        if (item->type == ASQ_LIST || item->type == ASQ_MAP)
            item->parent = map;
    }
}

bool asq__map_swap(asq_value *a, asq_value *b)
{
    if (!is_map(a) || !is_map(b))
        return false;
    asq_value swap = *a;
    a->map = b->map;
    a->height = b->height;
    b->map = swap.map;
    b->height = swap.height;
    adopt_all(a);
    adopt_all(b);
    return true;
}
