/*
 * place.c: see place.h. A worker's score for a partition is -ln(u) / weight, u in (0, 1) from a
 * hash of both: the lowest wins with a probability in proportion to its weight. Partitions choose
 * in their order; one whose best worker is full takes the next best. Where all workers that lack
 * the fewest of its classes are full, it takes the best of these all the same.
 */
#include "worker/core/place.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/hash.h"
#include "value/pools.h"

/* Returns u. */
static double chance(uint64_t worker_hash, uint32_t partition)
{
    uint8_t key[12];
    for (int i = 0; i < 8; i++)
        key[i] = (uint8_t) (worker_hash >> (8 * i));
    for (int i = 0; i < 4; i++)
        key[8 + i] = (uint8_t) (partition >> (8 * i));
    return ((double) (asq__siphash64(key, sizeof key) >> 11) + 0.5) * 0x1p-53;
}

/* Returns whether a score is certainly above another one, without the logarithm that costs most:
 * -ln(u) is at least 1 - u, and hardly more where the score can win. The rest is for rounding. */
static bool is_above(double u, uint32_t weight, double score)
{
    return 1 - u > score * weight * (1 + 1e-9);
}

static unsigned count_missing(const struct asq__place_worker *w, uint32_t partitions,
                              const uint16_t *missing, uint32_t p)
{
    return missing[(size_t) w->kind * partitions + p];
}

unsigned asq__place_fewest_missing(const struct asq__place_worker *workers, size_t n,
                                   uint32_t partitions, const uint16_t *missing, uint32_t p)
{
    unsigned fewest = ASQ__PLACE_NEVER;
    for (size_t i = 0; i < n && fewest; i++) {
        unsigned of = count_missing(&workers[i], partitions, missing, p);
        fewest = of < fewest ? of : fewest;
    }
    return fewest;
}

struct placing {
    const struct asq__place_worker *workers;
    size_t n;
    uint32_t partitions;
    const uint16_t *missing;
    const uint64_t *hashes;
    uint32_t *room;
};

static bool serves(const struct placing *of, size_t worker, const struct asq__pool *pool)
{
    return count_missing(&of->workers[worker], of->partitions, of->missing, pool->first) !=
           ASQ__PLACE_NEVER;
}

/* Returns the candidate for a partition with the lowest score; n: none has room. */
static size_t find_best(const struct placing *of, uint32_t p, unsigned fewest, bool needs_room)
{
    size_t best = of->n;
    double best_score = 0;
    for (size_t i = 0; i < of->n; i++) {
        const struct asq__place_worker *w = &of->workers[i];
        if ((needs_room && !of->room[i]) ||
            count_missing(w, of->partitions, of->missing, p) != fewest)
            continue;
        double u = chance(of->hashes[i], p);
        if (best < of->n && is_above(u, w->weight, best_score))
            continue;
        double s = -log(u) / w->weight;
        if (best == of->n || s < best_score ||
            (s <= best_score && strcmp(w->id, of->workers[best].id) < 0)) {
            best = i;
            best_score = s;
        }
    }
    return best;
}

/* Places the partitions of a pool. */
static void place_pool(const struct placing *of, const struct asq__pool *pool, uint32_t *owners)
{
    double total = 0;
    for (size_t i = 0; i < of->n; i++)
        if (serves(of, i, pool))
            total += of->workers[i].weight;
    for (size_t i = 0; i < of->n; i++)
        of->room[i] = serves(of, i, pool)
                          ? (uint32_t) ceil(1.25 * pool->partitions * of->workers[i].weight / total)
                          : 0;
    for (uint32_t p = pool->first; p < pool->first + pool->partitions; p++) {
        unsigned fewest =
            asq__place_fewest_missing(of->workers, of->n, of->partitions, of->missing, p);
        if (fewest == ASQ__PLACE_NEVER)
            continue;
        size_t best = find_best(of, p, fewest, true);
        if (best == of->n) /* the candidates are full, and others would lack classes */
            best = find_best(of, p, fewest, false);
        owners[p] = (uint32_t) best;
        of->room[best] -= of->room[best] > 0;
    }
}

int asq__place(const struct asq__place_worker *workers, size_t n, uint32_t partitions,
               const struct asq__pools *pools, const uint16_t *missing, uint32_t *owners)
{
    uint64_t *hashes = malloc(n * sizeof *hashes);
    uint32_t *room = malloc(n * sizeof *room);
    if (!hashes || !room) {
        free(hashes);
        free(room);
        return ASQ_ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        hashes[i] = asq__siphash64(workers[i].id, strlen(workers[i].id));
    const struct placing of = { workers, n, partitions, missing, hashes, room };
    for (uint32_t p = 0; p < partitions; p++)
        owners[p] = (uint32_t) n;
    for (size_t i = 0; i < pools->n; i++)
        place_pool(&of, &pools->list[i], owners);
    free(hashes);
    free(room);
    return 0;
}
