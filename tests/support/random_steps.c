/*
 * random_steps.c: see random_steps.h.
 */
#include "support/random_steps.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "value/random.h"

static uint64_t state; /* xorshift64; never 0 */

uint64_t steps_seed(void)
{
    const char *text = getenv("ASQ_TEST_SEED");
    uint64_t seed;

    if (!text || strcmp(text, "random") != 0)
        return steps_from("ASQ_TEST_SEED", 1);
    ck_assert_int_eq(asq__random(&seed, sizeof seed), 0);
    return seed % 1000000000;
}

uint64_t steps_from(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

void steps_begin(uint64_t seed)
{
    state = seed * 0x9e3779b97f4a7c15u + 1;
}

unsigned below(unsigned n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned) (state >> 33) % n;
}

bool percent(unsigned n)
{
    return below(100) < n;
}
