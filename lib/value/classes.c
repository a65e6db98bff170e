/*
 * classes.c: see classes.h.
 */
#include "value/classes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/decimal.h"

/* Reads a class that ends before `end`. */
static bool read_item(const char *from, const char *end, struct asq__class_item *ret)
{
    const char *blank = memchr(from, ' ', (size_t) (end - from)), *at = blank ? blank + 1 : end;
    uint64_t version = 0;
    if (!blank || blank == from || !asq__decimal_read(&at, &version) || at != end ||
        version > UINT32_MAX)
        return false;
    *ret = (struct asq__class_item){ from, (size_t) (blank - from), (uint32_t) version };
    return true;
}

bool asq__classes_next(const char **at, struct asq__class_item *ret)
{
    while (*at && **at) {
        const char *from = *at, *end = from + strcspn(from, ",");
        *at = *end ? end + 1 : end;
        if (read_item(from, end, ret))
            return true;
    }
    return false;
}

static bool is_named(const struct asq__class_item *item, const char *name, size_t n)
{
    return item->n == n && memcmp(item->name, name, n) == 0;
}

/* Finds a class from *at on. Where it is not found, *at stays: the next one that is looked for
 * comes behind it too, because sets are sorted. */
static bool find_from(const char **at, const char *name, size_t n, struct asq__class_item *ret)
{
    const char *from = *at;
    while (asq__classes_next(&from, ret))
        if (is_named(ret, name, n)) {
            *at = from;
            return true;
        }
    return false;
}

bool asq__classes_have(const char *set, const char *name, uint32_t version)
{
    struct asq__class_item item;
    return find_from(&set, name, strlen(name), &item) && item.version >= version;
}

unsigned asq__classes_count_missing(const char *set, const char *needed)
{
    struct asq__class_item need, item;
    const char *at = set;
    unsigned n = 0;
    while (asq__classes_next(&needed, &need)) {
        const char *begin = set; /* a foreign set may be unsorted */
        bool found =
            find_from(&at, need.name, need.n, &item) || find_from(&begin, need.name, need.n, &item);
        n += !found || item.version < need.version;
    }
    return n;
}

/* Returns the place of a name in the set, in its order. */
static const char *place_of(const char *set, const char *name, size_t n)
{
    struct asq__class_item item;
    const char *at = set, *before = set;
    while (asq__classes_next(&at, &item)) {
        int order = memcmp(item.name, name, item.n < n ? item.n : n);
        if (order > 0 || (order == 0 && item.n >= n))
            return before;
        before = at;
    }
    return at;
}

int asq__classes_add(char **set, const char *name, uint32_t version)
{
    const char *old = *set ? *set : "";
    struct asq__class_item item;
    size_t n = strlen(name);
    const char *at = place_of(old, name, n), *rest = at;
    if (asq__classes_next(&rest, &item) && is_named(&item, name, n)) {
        if (item.version >= version)
            return 0;
    } else {
        rest = at;
    }
    char *text;
    int head = (int) (at - old);
    int size =
        asprintf(&text, "%.*s%s%s %lu%s%s", head, old, head && old[head - 1] != ',' ? "," : "",
                 name, (unsigned long) version, *rest ? "," : "", rest);
    if (size < 0)
        return ASQ_ENOMEM;
    if (size > ASQ__CLASSES_MAX) {
        free(text);
        return ASQ_ELIMIT;
    }
    free(*set);
    *set = text;
    return 1;
}
