/*
 * candidates.c: see candidates.h.
 */
#include "worker/candidates.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/buf.h"
#include "value/classes.h"
#include "value/pools.h"
#include "worker/core/place.h"
#include "worker/partition.h"

enum { MOST_BYTES = 64 * 1024 * 1024 }; /* of all distinct sets */

int asq__candidates_init(struct asq__candidates *c, size_t most, const struct asq__pools *pools,
                         uint32_t partitions)
{
    *c = (struct asq__candidates){ .workers = calloc(most, sizeof *c->workers),
                                   .kinds = calloc(most, sizeof *c->kinds),
                                   .owners = calloc(partitions, sizeof *c->owners),
                                   .pools = pools,
                                   .partitions = partitions };
    return c->workers && c->kinds && c->owners ? 0 : ASQ_ENOMEM;
}

void asq__candidates_release(struct asq__candidates *c)
{
    free(c->workers);
    free(c->kinds);
    free(c->owners);
    free(c->missing);
}

static bool is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Returns the number of a kind; most workers of a deployment are of one. */
static uint32_t kind_of(struct asq__candidates *c, struct asq__kind kind)
{
    for (uint32_t i = 0; i < c->nkinds; i++)
        if (is_same(kind.knows, c->kinds[i].knows) && is_same(kind.pools, c->kinds[i].pools))
            return i;
    c->kinds[c->nkinds] = kind;
    return c->nkinds++;
}

void asq__candidates_add(struct asq__candidates *c, const char *id, uint32_t weight,
                         struct asq__kind kind)
{
    c->workers[c->n++] =
        (struct asq__place_worker){ .id = id, .weight = weight, .kind = kind_of(c, kind) };
}

bool asq__candidates_are_alike(const struct asq__candidates *c)
{
    for (size_t i = 0; i < c->pools->n; i++) {
        const struct asq__kind *first = NULL;
        for (uint32_t k = 0; k < c->nkinds; k++) {
            if (!asq__pool_list_has(c->kinds[k].pools, c->pools->list[i].name))
                continue;
            if (first && !is_same(first->knows, c->kinds[k].knows))
                return false;
            first = &c->kinds[k];
        }
    }
    return true;
}

static int compare_kinds(const void *a, const void *b)
{
    const struct asq__kind *x = a, *y = b;
    int order = strcmp(x->pools ? x->pools : "", y->pools ? y->pools : "");
    return order ? order : strcmp(x->knows ? x->knows : "", y->knows ? y->knows : "");
}

char *asq__candidates_kinds(const struct asq__candidates *c)
{
    struct asq__kind *kinds = malloc(c->nkinds * sizeof *kinds);
    struct asq__buf text;
    if (!kinds)
        return NULL;
    memcpy(kinds, c->kinds, c->nkinds * sizeof *kinds);
    qsort(kinds, c->nkinds, sizeof *kinds, compare_kinds);
    asq__buf_init(&text, MOST_BYTES);
    for (uint32_t i = 0; i < c->nkinds; i++)
        asq__buf_printf(&text, "%s %s\n", kinds[i].pools ? kinds[i].pools : ASQ__POOL_DEFAULT,
                        kinds[i].knows ? kinds[i].knows : ASQ__CLASSES_ALL);
    free(kinds);
    return (char *) asq__buf_detach(&text, NULL);
}

static bool needs_same(const struct asq__partition *a, const struct asq__partition *b)
{
    return strcmp(a->needs ? a->needs : "", b->needs ? b->needs : "") == 0;
}

/* Counts what workers of a kind lack of what the partitions of a pool need. */
static void count_missing(const struct asq__candidates *c, const struct asq__partition *parts,
                          const struct asq__pool *pool, uint32_t kind)
{
    uint16_t *missing = c->missing + (size_t) kind * c->partitions;
    const char *knows = c->kinds[kind].knows;
    bool serves = asq__pool_list_has(c->kinds[kind].pools, pool->name);
    for (uint32_t i = 0; i < pool->partitions; i++) {
        uint32_t p = pool->first + i;
        if (!serves)
            missing[p] = ASQ__PLACE_NEVER;
        else if (knows)
            missing[p] = i && needs_same(&parts[p], &parts[p - 1])
                             ? missing[p - 1]
                             : (uint16_t) asq__classes_count_missing(knows, parts[p].needs);
    }
}

int asq__candidates_place(struct asq__candidates *c, const struct asq__partition *parts,
                          struct asq__placed *placed)
{
    c->missing = calloc((size_t) c->nkinds * c->partitions, sizeof *c->missing);
    if (!c->missing)
        return ASQ_ENOMEM;
    for (size_t i = 0; i < c->pools->n; i++)
        for (uint32_t k = 0; k < c->nkinds; k++)
            count_missing(c, parts, &c->pools->list[i], k);
    return asq__place(c->workers, c->n, c->partitions, c->pools, c->missing, c->owners, placed);
}

const char *asq__candidates_best(const struct asq__candidates *c, uint32_t partition)
{
    uint32_t owner = c->owners[partition];
    return owner < c->n ? c->workers[owner].id : "";
}

static unsigned missing_of(const struct asq__candidates *c, uint32_t kind, uint32_t partition)
{
    return c->missing[(size_t) kind * c->partitions + partition];
}

bool asq__candidates_last_serves(const struct asq__candidates *c, uint32_t partition)
{
    return missing_of(c, c->workers[c->n - 1].kind, partition) != ASQ__PLACE_NEVER;
}

bool asq__candidates_last_is_fit(const struct asq__candidates *c, uint32_t partition)
{
    unsigned missing = missing_of(c, c->workers[c->n - 1].kind, partition);
    return missing != ASQ__PLACE_NEVER &&
           missing ==
               asq__place_fewest_missing(c->workers, c->n, c->partitions, c->missing, partition);
}

bool asq__candidates_are_few(const struct asq__candidates *c, uint32_t partition)
{
    for (uint32_t i = 0; i < c->nkinds; i++) {
        unsigned missing = missing_of(c, i, partition);
        if (missing && missing != ASQ__PLACE_NEVER)
            return true;
    }
    return false;
}
