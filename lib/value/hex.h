/*
 * hex.h: bytes as lower-case hexadecimal digits.
 */
#ifndef ASQ_VALUE_HEX_H
#define ASQ_VALUE_HEX_H

#include <stddef.h>
#include <stdint.h>

/* Writes 2 * n digits, without a NUL. Returns the end. */
static inline char *asq__hex(char *to, const void *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = bytes;
    for (size_t i = 0; i < n; i++) {
        *to++ = digits[from[i] >> 4];
        *to++ = digits[from[i] & 15];
    }
    return to;
}

#endif
