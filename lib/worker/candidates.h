/*
 * candidates.h: the live workers, which pools each of them serves and which classes it knows, and
 * the owners that partitions should have therefore. core/place.h has the rule.
 */
#ifndef ASQ_WORKER_CANDIDATES_H
#define ASQ_WORKER_CANDIDATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__partition;
struct asq__place_worker;
struct asq__placed;
struct asq__pools;

struct asq__candidates {
    struct asq__place_worker *workers;
    struct asq__kind {
        const char *knows; /* classes; NULL: every class */
        const char *pools; /* as value/pools.h has lists */
    } * kinds;
    const struct asq__pools *pools;
    uint16_t *missing; /* as asq__place takes it */
    uint32_t *owners;
    size_t n;
    uint32_t nkinds, partitions;
};

/* Makes room for `most` workers. partitions: at least those of all pools, which must stay.
 * ASQ_ENOMEM; asq__candidates_release frees what was made. */
int asq__candidates_init(struct asq__candidates *c, size_t most, const struct asq__pools *pools,
                         uint32_t partitions);
void asq__candidates_release(struct asq__candidates *c);
/* Adds a worker. The texts must stay. */
void asq__candidates_add(struct asq__candidates *c, const char *id, uint32_t weight,
                         struct asq__kind kind);
/* Returns whether the workers of each pool know the same classes, so that what partitions need
 * makes no difference. */
bool asq__candidates_are_alike(const struct asq__candidates *c);
/* Returns the kinds of workers, sorted, a line each, to be freed: pools, a space, classes. NULL: no
 * memory, or far too many. */
char *asq__candidates_kinds(const struct asq__candidates *c);
/* Places all partitions. placed: as asq__place takes it. Returns 0 or ASQ_ENOMEM. */
int asq__candidates_place(struct asq__candidates *c, const struct asq__partition *parts,
                          struct asq__placed *placed);
/* Returns the id of the worker that should own a partition; "": none serves its pool. */
const char *asq__candidates_best(const struct asq__candidates *c, uint32_t partition);
/* Returns whether some workers of its pool lack classes that the partition needs. */
bool asq__candidates_are_few(const struct asq__candidates *c, uint32_t partition);
/* Returns whether the last worker that was added serves the partition's pool. */
bool asq__candidates_last_serves(const struct asq__candidates *c, uint32_t partition);
/* Returns whether the last worker that was added serves the partition's pool, and no worker of that
 * has more of the classes that the partition needs. */
bool asq__candidates_last_is_fit(const struct asq__candidates *c, uint32_t partition);

#endif
