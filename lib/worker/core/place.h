/*
 * place.h: which worker should own which partition, computed from the list of live workers alone,
 * so that all workers agree without asking each other. Weighted rendezvous hashing with bounded
 * load: a change of membership moves only what it must, and no worker gets more than 1.25 × its
 * share, unless too few have the classes that a partition needs. Each pool is placed by itself,
 * among the workers that serve it. Pure.
 */
#ifndef ASQ_WORKER_CORE_PLACE_H
#define ASQ_WORKER_CORE_PLACE_H

#include <stddef.h>
#include <stdint.h>

struct asq__place_worker {
    const char *id;
    uint32_t weight; /* above 0 */
    uint32_t kind;   /* workers of one kind have the same classes, and serve the same pools */
};

/* In place of the number of missing classes: workers of the kind do not serve the pool. */
#define ASQ__PLACE_NEVER UINT16_MAX

struct asq__pools;
struct asq__ranking;

/* Kept from one placement to the next; zero: nothing. */
struct asq__placed {
    struct asq__ranking *rankings; /* of each pool */
    size_t n;
};

/* Sets owners[p] to an index into workers, or to n: no worker serves its pool. The order of workers
 * does not change the outcome. n above 0. missing: how many of the classes that partition p needs
 * the workers of a kind lack, at [kind * partitions + p]. Only workers that lack the fewest are
 * candidates for a partition. partitions: in all; those in no pool have no owner. placed: of the
 * last placement, if there was one; it makes no difference to the owners. Returns 0 or
 * ASQ_ENOMEM. */
int asq__place(const struct asq__place_worker *workers, size_t n, uint32_t partitions,
               const struct asq__pools *pools, const uint16_t *missing, uint32_t *owners,
               struct asq__placed *placed);
void asq__placed_release(struct asq__placed *placed);
/* Returns the fewest of its needed classes that any of the workers lacks, or ASQ__PLACE_NEVER. */
unsigned asq__place_fewest_missing(const struct asq__place_worker *workers, size_t n,
                                   uint32_t partitions, const uint16_t *missing, uint32_t p);

#endif
