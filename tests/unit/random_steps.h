/*
 * random_steps.h: random numbers for tests that make random steps from a seed. ASQ_TEST_SEED sets
 * the first seed (a number, or "random"). Included once by each.
 */
#ifndef ASQ_TESTS_RANDOM_STEPS_H
#define ASQ_TESTS_RANDOM_STEPS_H

#include "value/random.h"

#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state;

/* Begins the numbers of a seed. */
static inline void steps_begin(uint64_t of_seed)
{
    random_state = of_seed * 0x9e3779b97f4a7c15u + 1;
}

static inline unsigned below(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned) (random_state >> 33) % n;
}

static inline bool percent(unsigned n)
{
    return below(100) < n;
}

/* Returns a number of the environment. */
static inline uint64_t steps_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* Returns the first seed. */
static inline uint64_t steps_seed(void)
{
    const char *text = getenv("ASQ_TEST_SEED");
    uint64_t seed;
    if (!text || strcmp(text, "random") != 0)
        return steps_from("ASQ_TEST_SEED", 1);
    ck_assert_int_eq(asq__random(&seed, sizeof seed), 0);
    return seed % 1000000000;
}

#endif
