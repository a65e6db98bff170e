/*
 * score.h: how well a worker suits a partition: -ln(u) / weight, u in (0, 1) from a hash of both.
 * The lowest score wins with a probability in proportion to the weight. Processes of all versions
 * must compute the same.
 */
#ifndef ASQ_WORKER_CORE_SCORE_H
#define ASQ_WORKER_CORE_SCORE_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "value/hash.h"

/* Returns u. */
static inline double asq__score_chance(uint64_t worker_hash, uint32_t partition)
{
    uint8_t key[12];
    for (int i = 0; i < 8; i++)
        key[i] = (uint8_t) (worker_hash >> (8 * i));
    for (int i = 0; i < 4; i++)
        key[8 + i] = (uint8_t) (partition >> (8 * i));
    return ((double) (asq__siphash64(key, sizeof key) >> 11) + 0.5) * 0x1p-53;
}

static inline double asq__score(double u, uint32_t weight)
{
    return -log(u) / weight;
}

/* Returns whether a score is certainly above another one, without the logarithm that costs most:
 * -ln(u) is at least 1 - u, and hardly more where the score can win. The rest is for rounding. */
static inline bool asq__score_is_above(double u, uint32_t weight, double score)
{
    return 1 - u > score * weight * (1 + 1e-9);
}

#endif
