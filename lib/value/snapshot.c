/*
 * snapshot.c: see snapshot.h.
 */
#include <stdlib.h>
#include <string.h>

#include "value/snapshot.h"

struct asq__snapshot *asq__snapshot_new(const void *data, size_t n)
{
    struct asq__snapshot *r = malloc(sizeof *r + n);
    if (!r)
        return NULL;
    atomic_init(&r->refs, 1);
    r->spare = 0;
    r->n = n;
    if (n)
        memcpy(r->data, data, n);
    return r;
}

struct asq__snapshot *asq__snapshot_ref(struct asq__snapshot *r)
{
    if (r)
        atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
    return r;
}

void asq__snapshot_unref(struct asq__snapshot *r)
{
    if (r && atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) == 1)
        free(r);
}
