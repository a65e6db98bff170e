/*
 * placing.h: where workers of one kind would own the partitions of a namespace without pools.
 */
#ifndef SUP_PLACING_H
#define SUP_PLACING_H

#include <stdlib.h>

#include "value/pools.h"
#include "worker/core/place.h"

/* As asq__place. missing NULL: no worker lacks any class. */
static inline int sup_place(const struct asq__place_worker *workers, size_t n, uint32_t partitions,
                            const uint16_t *missing, uint32_t *owners)
{
    struct asq__pools *pools;
    uint16_t *none = calloc((size_t) partitions, sizeof *none); /* all are of kind 0 then */
    int rc = asq__pools_read(partitions, "", &pools, NULL, 0);
    if (rc < 0 || !none)
        abort();
    struct asq__placed placed = { 0 };
    rc = asq__place(workers, n, partitions, pools, missing ? missing : none, owners, &placed);
    asq__placed_release(&placed);
    free(none);
    free(pools);
    return rc;
}

#endif
