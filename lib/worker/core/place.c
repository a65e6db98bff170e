/*
 * place.c: see place.h. The lowest score (score.h) wins. Partitions choose in their order; one
 * whose best worker is full takes the next best. Where all workers that lack the fewest of its
 * classes are full, it takes the best of these all the same. The first few workers for each
 * partition are kept (ranking.h); the scores of all are computed where none of these can be taken.
 */
#include "worker/core/place.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/hash.h"
#include "value/pools.h"
#include "worker/core/ranking.h"
#include "worker/core/score.h"

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

/* Returns whether a worker can be taken for a partition. */
static bool can_take(const struct placing *of, size_t worker, uint32_t p, unsigned fewest,
                     bool needs_room)
{
    return !(needs_room && !of->room[worker]) &&
           count_missing(&of->workers[worker], of->partitions, of->missing, p) == fewest;
}

/* As find_best, by the scores of all workers. */
static size_t find_among_all(const struct placing *of, uint32_t p, unsigned fewest, bool needs_room)
{
    size_t best = of->n;
    double best_score = 0;
    for (size_t i = 0; i < of->n; i++) {
        const struct asq__place_worker *w = &of->workers[i];
        if (!can_take(of, i, p, fewest, needs_room))
            continue;
        double u = asq__score_chance(of->hashes[i], p);
        if (best < of->n && asq__score_is_above(u, w->weight, best_score))
            continue;
        double s = asq__score(u, w->weight);
        if (best == of->n || s < best_score ||
            (s <= best_score && of->hashes[i] < of->hashes[best])) {
            best = i;
            best_score = s;
        }
    }
    return best;
}

/* Returns the candidate for a partition with the lowest score; n: none has room. */
static size_t find_best(const struct placing *of, const struct asq__ranking *ranking, uint32_t p,
                        unsigned fewest, bool needs_room)
{
    const struct asq__rank *rank = asq__ranking_of(ranking, p);
    for (int i = 0; i < rank->n; i++) {
        size_t worker = ranking->workers[rank->workers[i]].index;
        if (can_take(of, worker, p, fewest, needs_room))
            return worker;
    }
    return rank->all ? of->n : find_among_all(of, p, fewest, needs_room);
}

/* Ranks the workers that serve a pool, and gives each the room of its share. */
static int rank_pool(const struct placing *of, const struct asq__pool *pool,
                     struct asq__ranking *ranking)
{
    struct asq__ranked_worker *list = malloc(of->n * sizeof *list);
    size_t n = 0;
    double total = 0;
    if (!list)
        return ASQ_ENOMEM;
    for (size_t i = 0; i < of->n; i++)
        if (serves(of, i, pool)) {
            list[n++] =
                (struct asq__ranked_worker){ of->hashes[i], of->workers[i].weight, (uint32_t) i };
            total += of->workers[i].weight;
        }
    for (size_t i = 0; i < n; i++)
        of->room[list[i].index] = (uint32_t) ceil(1.25 * pool->partitions * list[i].weight / total);
    return asq__ranking_update(ranking, pool, list, n);
}

/* Places the partitions of a pool. */
static int place_pool(const struct placing *of, const struct asq__pool *pool, uint32_t *owners,
                      struct asq__ranking *ranking)
{
    int rc = rank_pool(of, pool, ranking);
    for (uint32_t p = pool->first; rc == 0 && p < pool->first + pool->partitions; p++) {
        unsigned fewest =
            asq__place_fewest_missing(of->workers, of->n, of->partitions, of->missing, p);
        if (fewest == ASQ__PLACE_NEVER)
            continue;
        size_t best = find_best(of, ranking, p, fewest, true);
        if (best == of->n) /* the candidates are full, and others would lack classes */
            best = find_best(of, ranking, p, fewest, false);
        owners[p] = (uint32_t) best;
        of->room[best] -= of->room[best] > 0;
    }
    return rc;
}

/* Makes place for the rankings of all pools, which only get more. */
static int grow(struct asq__placed *placed, size_t n)
{
    if (n <= placed->n)
        return 0;
    struct asq__ranking *rankings = realloc(placed->rankings, n * sizeof *rankings);
    if (!rankings)
        return ASQ_ENOMEM;
    memset(rankings + placed->n, 0, (n - placed->n) * sizeof *rankings);
    placed->rankings = rankings;
    placed->n = n;
    return 0;
}

int asq__place(const struct asq__place_worker *workers, size_t n, uint32_t partitions,
               const struct asq__pools *pools, const uint16_t *missing, uint32_t *owners,
               struct asq__placed *placed)
{
    uint64_t *hashes = malloc(n * sizeof *hashes);
    uint32_t *room = calloc(n, sizeof *room);
    int rc = hashes && room ? grow(placed, pools->n) : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < n; i++)
        hashes[i] = asq__siphash64(workers[i].id, strlen(workers[i].id));
    const struct placing of = { workers, n, partitions, missing, hashes, room };
    for (uint32_t p = 0; p < partitions; p++)
        owners[p] = (uint32_t) n;
    for (size_t i = 0; rc == 0 && i < pools->n; i++)
        rc = place_pool(&of, &pools->list[i], owners, &placed->rankings[i]);
    free(hashes);
    free(room);
    return rc;
}

void asq__placed_release(struct asq__placed *placed)
{
    for (size_t i = 0; i < placed->n; i++)
        asq__ranking_release(&placed->rankings[i]);
    free(placed->rankings);
    *placed = (struct asq__placed){ 0 };
}
