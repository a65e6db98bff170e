/*
 * decimal.h: numbers as text, where printf and scanf would be most of the work.
 */
#ifndef ASQ_VALUE_DECIMAL_H
#define ASQ_VALUE_DECIMAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { ASQ__DECIMAL_MAX = 20 };

/* Writes up to ASQ__DECIMAL_MAX digits, without a NUL. Returns their number. */
static inline size_t asq__decimal(uint64_t number, char *out)
{
    char digits[ASQ__DECIMAL_MAX];
    size_t i = sizeof digits;
    do
        digits[--i] = (char) ('0' + number % 10);
    while (number /= 10);
    memcpy(out, digits + i, sizeof digits - i);
    return sizeof digits - i;
}

/* Reads digits from *p on, at least one, and moves *p behind them. False: none, or too large. */
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
