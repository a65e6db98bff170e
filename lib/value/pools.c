/*
 * pools.c: see pools.h.
 */
#include "value/pools.h"

#include <stdlib.h>
#include <string.h>

#include "value/buf.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/hash.h"

/* ---- names ---- */

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool may_be_in_name(char c)
{
    return is_letter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* Returns how many bytes at the beginning of a text may be a pool's name. */
static size_t name_length(const char *text, size_t most)
{
    size_t n = 0;
    if (most && !is_letter(*text))
        return 0;
    while (n < most && may_be_in_name(text[n]))
        n++;
    return n;
}

size_t asq__pool_in_id(const char *id)
{
    size_t n = name_length(id, strnlen(id, ASQ_MAX_POOL + 1));
    return n <= ASQ_MAX_POOL && id[n] == '/' ? n : 0;
}

int asq__pool_into_id(const char *pool, const char *id, char out[ASQ_MAX_ID + 1], char *err,
                      size_t errlen)
{
    if (!pool || asq__pool_in_id(id)) {
        memcpy(out, id, strlen(id) + 1);
        return 0;
    }
    size_t pool_n = strlen(pool), id_n = strlen(id), n = pool_n + 1 + id_n;
    if (n > ASQ_MAX_ID)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "the agent id '%.40s...' has %zu bytes with its pool '%s' before it; %d "
                        "are allowed",
                        id, n, pool, ASQ_MAX_ID);
    memcpy(out, pool, pool_n);
    out[pool_n] = '/';
    memcpy(out + pool_n + 1, id, id_n + 1);
    return 0;
}

int asq__pool_check(const char *name, size_t n, char *err, size_t errlen)
{
    if (n > ASQ_MAX_POOL)
        return asq__err(err, errlen, ASQ_ELIMIT, "the name of a pool has %zu bytes; %d are allowed",
                        n, ASQ_MAX_POOL);
    if (!n || name_length(name, n) != n)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "'%.*s' is no name of a pool: letters, digits, '_' and '-' are allowed, "
                        "and it begins with a letter",
                        (int) n, name);
    return 0;
}

/* ---- lists ---- */

/* Reads an item of a list, which ends at a comma or with it. */
static int read_item(const char *text, size_t n, struct asq__pool_item *ret, char *err,
                     size_t errlen)
{
    const char *colon = memchr(text, ':', n), *at = colon ? colon + 1 : NULL;
    size_t length = colon ? (size_t) (colon - text) : n;
    uint64_t partitions = 0;
    int rc = asq__pool_check(text, length, err, errlen);
    if (rc < 0)
        return rc;
    if (at && (!asq__decimal_read(&at, &partitions) || at != text + n || !partitions ||
               partitions > ASQ__MAX_PARTITIONS))
        return asq__err(err, errlen, ASQ_EINVAL, "pool '%.*s': 1 to %u partitions are possible",
                        (int) n, text, ASQ__MAX_PARTITIONS);
    memcpy(ret->name, text, length);
    ret->name[length] = '\0';
    ret->partitions = (uint32_t) partitions;
    return 0;
}

static bool is_all(const char *list)
{
    return strcmp(list, ASQ__POOLS_ALL) == 0;
}

int asq__pool_list_check(const char *list, char *err, size_t errlen)
{
    struct asq__pool_item item;
    if (!list || !*list || is_all(list))
        return 0;
    for (;;) {
        size_t n = strcspn(list, ",");
        int rc = read_item(list, n, &item, err, errlen);
        if (rc < 0)
            return rc;
        if (!list[n])
            return 0;
        list += n + 1;
    }
}

bool asq__pool_list_next(const char **at, struct asq__pool_item *ret)
{
    const char *text = *at;
    if (!text || !*text || is_all(text))
        return false;
    size_t n = strcspn(text, ",");
    *at = text + n + (text[n] == ',');
    return read_item(text, n, ret, NULL, 0) == 0;
}

bool asq__pool_list_has(const char *list, const char *name)
{
    struct asq__pool_item item;
    if (!list || !*list)
        return strcmp(name, ASQ__POOL_DEFAULT) == 0;
    if (is_all(list))
        return true;
    while (asq__pool_list_next(&list, &item))
        if (strcmp(item.name, name) == 0)
            return true;
    return false;
}

static void add_unless(struct asq__buf *out, const char *name, const char *other)
{
    if (!*other || !asq__pool_list_has(other, name))
        asq__buf_printf(out, "%s%s", out->len ? "," : "", name);
}

char *asq__pool_list_without(const char *list, const char *other, const struct asq__pools *t)
{
    struct asq__pool_item item;
    struct asq__buf out;
    asq__buf_init(&out, (size_t) ASQ__MAX_PARTITIONS * (ASQ_MAX_POOL + 1));
    if (!list || !*list)
        list = ASQ__POOL_DEFAULT;
    if (is_all(list))
        for (size_t i = 0; i < t->n; i++)
            add_unless(&out, t->list[i].name, other);
    while (asq__pool_list_next(&list, &item))
        add_unless(&out, item.name, other);
    return (char *) asq__buf_detach(&out, NULL);
}

/* ---- tables ---- */

static const char *end_of_line(const char *text)
{
    return text + strcspn(text, "\n");
}

/* Reads " NUMBER", from 1 to `most`. */
static bool read_number(const char **at, uint64_t most, uint32_t *ret)
{
    uint64_t number;
    if (*(*at)++ != ' ' || !asq__decimal_read(at, &number) || !number || number > most)
        return false;
    *ret = (uint32_t) number;
    return true;
}

/* Adds the pool of a line. */
static bool read_line(struct asq__pools *t, const char *line, const char *end)
{
    struct asq__pool *pool = &t->list[t->n];
    size_t n = strcspn(line, " \n");
    if (asq__pool_check(line, n, NULL, 0) < 0 || asq__pools_find(t, line, n))
        return false;
    memcpy(pool->name, line, n);
    line += n;
    if (*line != ' ' || !read_number(&line, ASQ__MAX_PARTITIONS, &pool->first) ||
        !read_number(&line, ASQ__MAX_PARTITIONS, &pool->partitions) || line != end ||
        pool->first != t->partitions || pool->partitions > ASQ__MAX_PARTITIONS - t->partitions)
        return false;
    t->partitions += pool->partitions;
    t->n++;
    return true;
}

int asq__pools_read(uint32_t partitions, const char *text, struct asq__pools **ret, char *err,
                    size_t errlen)
{
    size_t lines = 1;
    for (const char *at = text; *at; at++)
        lines += *at == '\n';
    if (lines > ASQ__MAX_PARTITIONS)
        return asq__err(err, errlen, ASQ_EPROTO, "%zu pools are too many", lines);
    struct asq__pools *t = calloc(1, sizeof *t + (lines + 1) * sizeof *t->list);
    if (!t)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    strcpy(t->list[0].name, ASQ__POOL_DEFAULT);
    t->list[0].partitions = t->partitions = partitions;
    t->n = 1;
    while (*text) {
        const char *end = end_of_line(text);
        if (!read_line(t, text, end)) {
            free(t);
            return asq__err(err, errlen, ASQ_EPROTO,
                            "'%.*s' is no line of a pool (NAME FIRST NUMBER) that follows the one "
                            "before",
                            (int) (end - text < 100 ? end - text : 100), text);
        }
        text = *end ? end + 1 : end;
    }
    *ret = t;
    return 0;
}

const struct asq__pool *asq__pools_find(const struct asq__pools *t, const char *name, size_t n)
{
    for (size_t i = 0; i < t->n; i++)
        if (strlen(t->list[i].name) == n && memcmp(t->list[i].name, name, n) == 0)
            return &t->list[i];
    return NULL;
}

const struct asq__pool *asq__pools_of(const struct asq__pools *t, uint32_t partition)
{
    size_t low = 0, high = t->n; /* of the last pool whose first partition is not behind it */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (t->list[middle].first <= partition)
            low = middle;
        else
            high = middle;
    }
    return partition < t->partitions ? &t->list[low] : NULL;
}

bool asq__pools_had(const struct asq__pools *t, uint32_t partitions)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->list[i].first + t->list[i].partitions == partitions)
            return true;
    return false;
}

bool asq__pools_include(const struct asq__pools *whole, const struct asq__pools *part)
{
    if (whole->n < part->n)
        return false;
    for (size_t i = 0; i < part->n; i++) {
        const struct asq__pool *a = &whole->list[i], *b = &part->list[i];
        if (strcmp(a->name, b->name) != 0 || a->partitions != b->partitions)
            return false;
    }
    return true;
}

bool asq__pools_place(const struct asq__pools *t, const char *id, uint32_t *ret_partition)
{
    size_t n = asq__pool_in_id(id);
    const struct asq__pool *pool = n ? asq__pools_find(t, id, n) : &t->list[0];
    if (!pool)
        return false;
    if (n)
        id += n + 1;
    *ret_partition = pool->first + asq__partition_of(id, strlen(id), pool->partitions);
    return true;
}
