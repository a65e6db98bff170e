/*
 * decimal.h: fast conversion of decimal numbers, where printf and scanf would dominate the cost.
 */
#ifndef ASQ_VALUE_DECIMAL_H
#define ASQ_VALUE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ASQ__DECIMAL_MAX = 20 };

/* Returns the number of digits. */
static inline size_t asq__decimal_size(uint64_t number)
{
    size_t n = 1;
    for (uint64_t power = 10; n < ASQ__DECIMAL_MAX && number >= power; power *= 10)
        n++; /* the power overflows after 20 digits, when the loop ends */
    return n;
}

/* Writes the number's n digits; n from asq__decimal_size. */
static inline void asq__decimal_write(uint64_t number, size_t n, char *out)
{
    for (; n > 1; number /= 10)
        out[--n] = (char) ('0' + number % 10);
    *out = (char) ('0' + number);
}

/* Writes up to ASQ__DECIMAL_MAX digits, without a NUL. Returns their number. */
static inline size_t asq__decimal(uint64_t number, char *out)
{
    size_t n = asq__decimal_size(number);
    asq__decimal_write(number, n, out);
    return n;
}

/* Reads at least one digit from *p on, and moves *p behind the digits. False: none, or too
 * large. */
static inline bool asq__decimal_read(const char **p, uint64_t *ret)
{
    const char *at = *p;
    uint64_t number = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        unsigned digit = (unsigned) (*at - '0');
        if (number > (UINT64_MAX - digit) / 10)
            return false;
        number = number * 10 + digit;
    }
    if (at == *p)
        return false;
    *p = at;
    *ret = number;
    return true;
}

#endif
