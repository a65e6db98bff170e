/*
 * grow.h: arrays that double when full.
 */
#ifndef ASQ_VALUE_GROW_H
#define ASQ_VALUE_GROW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ASQ__GROW_FIRST = 8 };

/* Makes room for element n of an array with a capacity of *cap elements of `size` bytes. `array` is
 * the address of the pointer to the first element. False if memory is short; the array is
 * unchanged. */
static inline bool asq__grow(void *array, size_t n, size_t *cap, size_t size)
{
    void *p;
    if (n < *cap)
        return true;
    size_t more = *cap ? 2 * *cap : ASQ__GROW_FIRST;
    memcpy(&p, array, sizeof p); /* a pointer to any type */
    p = more <= SIZE_MAX / size ? realloc(p, more * size) : NULL;
    if (!p)
        return false;
    memcpy(array, &p, sizeof p);
    *cap = more;
    return true;
}

#endif
