/*
 * random_steps.h: random numbers for tests that make random steps from a seed. ASQ_TEST_SEED sets
 * the first seed (a number, or "random"). Each process has one sequence of numbers.
 */
#ifndef ASQ_TESTS_RANDOM_STEPS_H
#define ASQ_TESTS_RANDOM_STEPS_H

#include <stdbool.h>
#include <stdint.h>

/* Returns the first seed. */
uint64_t steps_seed(void);
/* Returns the number in an environment variable, or `otherwise`. */
uint64_t steps_from(const char *name, uint64_t otherwise);

/* Begins the numbers of a seed. */
void steps_begin(uint64_t seed);
/* Returns the next number, below n. */
unsigned below(unsigned n);
/* Returns true in n of 100 calls. */
bool percent(unsigned n);

#endif
