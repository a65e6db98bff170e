/*
 * random.h: random bytes from the kernel.
 */
#ifndef ASQ_VALUE_RANDOM_H
#define ASQ_VALUE_RANDOM_H

#include <stddef.h>

/* Fills n bytes, at most 256. ASQ_ESYS, with errno. Waits only early in the kernel's boot, before
 * it has entropy. */
int asq__random(void *to, size_t n);

#endif
