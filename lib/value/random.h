/*
 * random.h: random bytes from the kernel.
 */
#ifndef ASQ_VALUE_RANDOM_H
#define ASQ_VALUE_RANDOM_H

#include <stddef.h>

/* Fills n bytes, at most 256. 0, or ASQ_ESYS with errno set. Waits only while the kernel has no entropy yet,
 * early in its boot. */
int asq__random(void *to, size_t n);

#endif
