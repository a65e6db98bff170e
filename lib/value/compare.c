/*
 * compare.c: a total order over all values, and equality. Never fails: if there is no memory to
 * sort a map's keys, a slower algorithm without memory gives the same result.
 */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/value.h"

#define SIGN(a, b) (((a) > (b)) - ((a) < (b)))

/* Compares exactly, because not every int64_t is a double. NaN is above all numbers. */
static int compare_int_double(int64_t i, double d)
{
    if (isnan(d) || d >= 0x1p63)
        return -1;
    if (d < -0x1p63)
        return 1;
    double whole = trunc(d);
    int rc = SIGN(i, (int64_t) whole);
    return rc ? rc : -SIGN(d, whole);
}

static int compare_doubles(double a, double b)
{
    if (isnan(a) || isnan(b))
        return !!isnan(a) - !!isnan(b);
    return SIGN(a, b);
}

static int compare_numbers(const asq_value *a, const asq_value *b)
{
    if (a->type == b->type)
        return a->type == ASQ_INT ? SIGN(a->integer, b->integer)
                                  : compare_doubles(a->number, b->number);
    if (a->type == ASQ_DOUBLE)
        return -compare_numbers(b, a);
    int rc = compare_int_double(a->integer, b->number);
    return rc ? rc : -1; /* orders 1 before 1.0 */
}

static int compare_bytes(const asq_value *a, const asq_value *b)
{
    size_t n = a->str.n < b->str.n ? a->str.n : b->str.n;
    int rc = memcmp(a->str.data, b->str.data, n);
    return rc ? rc : SIGN(a->str.n, b->str.n);
}

static int compare_lists(const asq_value *a, const asq_value *b)
{
    for (size_t i = 0; i < a->list.n && i < b->list.n; i++) {
        int rc = asq_value_compare(a->list.items[i], b->list.items[i]);
        if (rc)
            return rc;
    }
    return SIGN(a->list.n, b->list.n);
}

static int by_key(const void *a, const void *b)
{
    const struct asq__pair *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* Returns the pairs of a map sorted by key; NULL if memory is short. */
static const struct asq__pair **sorted(const asq_value *map)
{
    const struct asq__pair **pairs = malloc((map->map.n + (size_t) 1) * sizeof *pairs);
    if (!pairs)
        return NULL;
    for (uint32_t i = 0; i < map->map.n; i++)
        pairs[i] = &map->map.pairs[i];
    qsort(pairs, map->map.n, sizeof(const struct asq__pair *), by_key);
    return pairs;
}

/* Finds the pair with the smallest key above `after` (NULL: of all keys), by a linear search. */
static const struct asq__pair *next_pair(const asq_value *map, const char *after)
{
    const struct asq__pair *best = NULL;
    for (uint32_t i = 0; i < map->map.n; i++) {
        const struct asq__pair *p = &map->map.pairs[i];
        if ((!after || strcmp(p->key, after) > 0) && (!best || strcmp(p->key, best->key) < 0))
            best = p;
    }
    return best;
}

/* Compares maps with the same keys in the same order: the smallest key with different values
 * decides. */
static int compare_same_keys(const asq_value *a, const asq_value *b)
{
    const char *key = NULL;
    int rc = 0;
    for (uint32_t i = 0; i < a->map.n; i++) {
        if (key && strcmp(a->map.pairs[i].key, key) > 0)
            continue;
        int one = asq_value_compare(a->map.pairs[i].value, b->map.pairs[i].value);
        if (one) {
            rc = one;
            key = a->map.pairs[i].key;
        }
    }
    return rc;
}

static bool have_same_keys(const asq_value *a, const asq_value *b)
{
    if (a->map.n != b->map.n)
        return false;
    for (uint32_t i = 0; i < a->map.n; i++)
        if (strcmp(a->map.pairs[i].key, b->map.pairs[i].key) != 0)
            return false;
    return true;
}

static int compare_maps(const asq_value *a, const asq_value *b)
{
    if (have_same_keys(a, b))
        return compare_same_keys(a, b);
    const struct asq__pair **as = sorted(a), **bs = as ? sorted(b) : NULL;
    const struct asq__pair *x = NULL, *y = NULL;
    int rc = 0;
    for (uint32_t i = 0; !rc && i < a->map.n && i < b->map.n; i++) {
        x = bs ? as[i] : next_pair(a, x ? x->key : NULL);
        y = bs ? bs[i] : next_pair(b, y ? y->key : NULL);
        rc = strcmp(x->key, y->key);
        if (!rc)
            rc = asq_value_compare(x->value, y->value);
    }
    free(as);
    free(bs);
    return rc ? rc : SIGN(a->map.n, b->map.n);
}

int asq_value_compare(const asq_value *a, const asq_value *b)
{
    asq_type ta = asq_value_type(a), tb = asq_value_type(b);
    if ((ta == ASQ_INT || ta == ASQ_DOUBLE) && (tb == ASQ_INT || tb == ASQ_DOUBLE))
        return compare_numbers(a, b);
    if (ta != tb)
        return SIGN(ta, tb);
    int rc;
    switch (ta) {
    case ASQ_BOOL: return a->boolean - b->boolean;
    case ASQ_STRING:
    case ASQ_BYTES: return compare_bytes(a, b);
    case ASQ_LIST: return compare_lists(a, b);
    case ASQ_MAP: return compare_maps(a, b);
    case ASQ_AGENT:
        rc = strcmp(a->agent.id, b->agent.id);
        return rc ? rc : strcmp(a->agent.class_name, b->agent.class_name);
    case ASQ_FUTURE: return strcmp(a->future->text, b->future->text);
    case ASQ_NULL:
    case ASQ_INT:
    case ASQ_DOUBLE: break;
    }
    return 0;
}

bool asq_value_equal(const asq_value *a, const asq_value *b)
{
    asq_type type = asq_value_type(a);
    if (a == b)
        return true;
    if (type != asq_value_type(b))
        return false;
    if (type == ASQ_LIST) {
        if (a->list.n != b->list.n)
            return false;
        for (size_t i = 0; i < a->list.n; i++)
            if (!asq_value_equal(a->list.items[i], b->list.items[i]))
                return false;
        return true;
    }
    if (type == ASQ_MAP) {
        if (a->map.n != b->map.n)
            return false;
        for (uint32_t i = 0; i < a->map.n; i++) {
            const struct asq__pair *x = &a->map.pairs[i], *y = &b->map.pairs[i];
            const asq_value *other =
                strcmp(x->key, y->key) == 0 ? y->value : asq_map_get(b, x->key);
            if (!other || !asq_value_equal(x->value, other))
                return false;
        }
        return true;
    }
    return asq_value_compare(a, b) == 0;
}
