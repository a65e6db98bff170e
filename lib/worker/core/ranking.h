/*
 * ranking.h: for each partition of a pool, the workers with the lowest scores, kept while workers
 * come and go: to compute the scores of a thousand workers for 16,384 partitions takes a third of a
 * second, and a deployment that starts changes a thousand times. Pure.
 */
#ifndef ASQ_WORKER_CORE_RANKING_H
#define ASQ_WORKER_CORE_RANKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__pool;

/* Where a quarter of the workers is full, one in 4,000 partitions finds all of its best full. */
enum { ASQ__RANKED = 6 };

struct asq__ranked_worker {
    uint64_t hash; /* of its id */
    uint32_t weight;
    uint32_t index; /* the caller's */
};

/* The workers that are first for a partition, in order. */
struct asq__rank {
    double scores[ASQ__RANKED];
    uint32_t workers[ASQ__RANKED];
    uint8_t n;
    bool all; /* there are no others */
};

/* Of one pool; zero: of none yet. */
struct asq__ranking {
    uint32_t first, partitions;
    struct asq__ranked_worker *workers; /* by hash, weight */
    size_t n;
    struct asq__rank *ranks;
};

/* Ranks the workers that serve the pool. list: belongs to the ranking afterwards, also on failure.
 * ASQ_ENOMEM: the ranking is zero again. */
int asq__ranking_update(struct asq__ranking *r, const struct asq__pool *pool,
                        struct asq__ranked_worker *list, size_t n);
/* Returns the rank of a partition of the pool. */
static inline const struct asq__rank *asq__ranking_of(const struct asq__ranking *r, uint32_t p)
{
    return &r->ranks[p - r->first];
}
void asq__ranking_release(struct asq__ranking *r);

#endif
