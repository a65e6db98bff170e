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
#include "worker/core/place.h"
#include "worker/partition.h"

enum { MOST_BYTES = 64 * 1024 * 1024 }; /* of all distinct sets */

int asq__candidates_init(struct asq__candidates *c, size_t most, uint32_t partitions)
{
    *c = (struct asq__candidates){ .workers = calloc(most, sizeof *c->workers),
                                   .kinds = calloc(most, sizeof *c->kinds),
                                   .owners = calloc(partitions, sizeof *c->owners),
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

/* Returns the kind of workers that know this; most workers of a deployment are of one. */
static uint32_t kind_of(struct asq__candidates *c, const char *knows)
{
    for (uint32_t i = 0; i < c->nkinds; i++)
        if (knows && c->kinds[i] ? strcmp(knows, c->kinds[i]) == 0 : knows == c->kinds[i])
            return i;
    c->kinds[c->nkinds] = knows;
    return c->nkinds++;
}

void asq__candidates_add(struct asq__candidates *c, const char *id, uint32_t weight,
                         const char *knows)
{
    c->workers[c->n++] =
        (struct asq__place_worker){ .id = id, .weight = weight, .kind = kind_of(c, knows) };
}

static int compare_kinds(const void *a, const void *b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

char *asq__candidates_kinds(const struct asq__candidates *c)
{
    const char **kinds = malloc(c->nkinds * sizeof *kinds);
    struct asq__buf text;
    if (!kinds)
        return NULL;
    for (uint32_t i = 0; i < c->nkinds; i++)
        kinds[i] = c->kinds[i] ? c->kinds[i] : ASQ__CLASSES_ALL;
    qsort(kinds, c->nkinds, sizeof *kinds, compare_kinds);
    asq__buf_init(&text, MOST_BYTES);
    for (uint32_t i = 0; i < c->nkinds; i++)
        asq__buf_printf(&text, "%s\n", kinds[i]);
    free(kinds);
    return (char *) asq__buf_detach(&text, NULL);
}

static bool needs_same(const struct asq__partition *a, const struct asq__partition *b)
{
    return strcmp(a->needs ? a->needs : "", b->needs ? b->needs : "") == 0;
}

static void count_missing(const struct asq__candidates *c, const struct asq__partition *parts,
                          uint32_t kind)
{
    uint16_t *missing = c->missing + (size_t) kind * c->partitions;
    for (uint32_t p = 0; c->kinds[kind] && p < c->partitions; p++)
        missing[p] = p && needs_same(&parts[p], &parts[p - 1])
                         ? missing[p - 1]
                         : (uint16_t) asq__classes_count_missing(c->kinds[kind], parts[p].needs);
}

/* Returns the ids, each with its NUL, and weights, to be freed; NULL: no memory. */
static char *list_workers(const struct asq__candidates *c, size_t *ret_n)
{
    struct asq__buf list;
    asq__buf_init(&list, MOST_BYTES);
    for (size_t i = 0; i < c->n; i++) {
        asq__buf_put(&list, c->workers[i].id, strlen(c->workers[i].id) + 1);
        asq__buf_put(&list, &c->workers[i].weight, sizeof c->workers[i].weight);
    }
    return (char *) asq__buf_detach(&list, ret_n);
}

static void keep(const struct asq__candidates *c, struct asq__placed *placed, char *workers,
                 size_t n)
{
    size_t bytes = c->partitions * sizeof *c->owners;
    uint32_t *owners = malloc(bytes);
    asq__placed_release(placed);
    if (!owners) {
        free(workers);
        return;
    }
    memcpy(owners, c->owners, bytes);
    placed->workers = workers;
    placed->workers_n = n;
    placed->owners = owners;
}

int asq__candidates_place(struct asq__candidates *c, const struct asq__partition *parts,
                          struct asq__placed *placed)
{
    c->missing = calloc((size_t) c->nkinds * c->partitions, sizeof *c->missing);
    if (!c->missing)
        return ASQ_ENOMEM;
    for (uint32_t i = 0; i < c->nkinds; i++)
        count_missing(c, parts, i);
    size_t n = 0;
    char *workers = c->nkinds == 1 ? list_workers(c, &n) : NULL;
    if (workers && n == placed->workers_n && memcmp(workers, placed->workers, n) == 0) {
        memcpy(c->owners, placed->owners, c->partitions * sizeof *c->owners);
        free(workers);
        return 0;
    }
    int rc = asq__place(c->workers, c->n, c->partitions, c->missing, c->owners);
    if (rc == 0 && workers)
        keep(c, placed, workers, n);
    else
        free(workers);
    return rc;
}

void asq__placed_release(struct asq__placed *placed)
{
    free(placed->workers);
    free(placed->owners);
    *placed = (struct asq__placed){ 0 };
}

const char *asq__candidates_best(const struct asq__candidates *c, uint32_t partition)
{
    return c->workers[c->owners[partition]].id;
}

bool asq__candidates_last_is_fit(const struct asq__candidates *c, uint32_t partition)
{
    const struct asq__place_worker *last = &c->workers[c->n - 1];
    return c->missing[(size_t) last->kind * c->partitions + partition] ==
           asq__place_fewest_missing(c->workers, c->n, c->partitions, c->missing, partition);
}

bool asq__candidates_are_few(const struct asq__candidates *c, uint32_t partition)
{
    for (uint32_t i = 0; i < c->nkinds; i++)
        if (c->missing[(size_t) i * c->partitions + partition])
            return true;
    return false;
}
