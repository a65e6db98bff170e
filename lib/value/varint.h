/*
 * varint.h: protobuf's base-128 varints, and the sizes of fields whose number is below 16.
 */
#ifndef ASQ_VALUE_VARINT_H
#define ASQ_VALUE_VARINT_H

#include <stddef.h>
#include <stdint.h>

static inline size_t asq__varint_size(uint64_t v)
{
    size_t bits = 64 - (size_t) __builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

/* Writes v at p; gives the place behind it. */
static inline uint8_t *asq__varint_write(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t) (v | 0x80);
    *p++ = (uint8_t) v;
    return p;
}

/* Of a field of n bytes with its tag and length. */
static inline size_t asq__field_size(size_t n)
{
    return 1 + asq__varint_size(n) + n;
}

/* The same where one that is empty is not written, as in proto3. */
static inline size_t asq__bytes_size(size_t n)
{
    return n ? asq__field_size(n) : 0;
}

#endif
