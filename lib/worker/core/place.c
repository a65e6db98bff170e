/*
 * place.c: see place.h. A worker's score for a partition is -ln(u) / weight, u in (0, 1) from a
 * hash of both: the lowest wins with a probability in proportion to its weight. Partitions choose
 * in their order; one whose best worker is full takes the next best.
 */
#include "worker/core/place.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "value/hash.h"

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

int asq__place(const struct asq__place_worker *workers, size_t n, uint32_t partitions,
               uint32_t *owners)
{
    uint64_t *hashes = malloc(n * sizeof *hashes);
    uint32_t *room = malloc(n * sizeof *room);
    double total = 0;
    if (!hashes || !room) {
        free(hashes);
        free(room);
        return ASQ_ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        total += workers[i].weight;
    for (size_t i = 0; i < n; i++) {
        hashes[i] = asq__siphash64(workers[i].id, strlen(workers[i].id));
        room[i] = (uint32_t) ceil(1.25 * partitions * workers[i].weight / total);
    }
    for (uint32_t p = 0; p < partitions; p++) {
        size_t best = n;
        double best_score = 0;
        for (size_t i = 0; i < n; i++) {
            if (!room[i])
                continue;
            double u = chance(hashes[i], p);
            if (best < n && is_above(u, workers[i].weight, best_score))
                continue;
            double s = -log(u) / workers[i].weight;
            if (best == n || s < best_score ||
                (s <= best_score && strcmp(workers[i].id, workers[best].id) < 0)) {
                best = i;
                best_score = s;
            }
        }
        owners[p] = (uint32_t) best;
        room[best]--;
    }
    free(hashes);
    free(room);
    return 0;
}
