/*
 * varint.h: protobuf's base-128 varints, and the sizes of fields whose number is below 16.
 */
#ifndef ASQ_VALUE_VARINT_H
#define ASQ_VALUE_VARINT_H

#include <stddef.h>
#include <stdint.h>

enum { ASQ__VARINT_MAX = 10 }; /* bytes of a 64-bit varint */

static inline size_t asq__varint_size(uint64_t v)
{
    size_t bits = 64 - (size_t) __builtin_clzll(v | 1);
    return (bits + 6) / 7;
}

/* Writes v at p; returns the end. */
static inline uint8_t *asq__varint_write(uint8_t *p, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *p++ = (uint8_t) (v | 0x80);
    *p++ = (uint8_t) v;
    return p;
}

/* Maps a signed number to an unsigned one, which is small when it is near 0, and back. */
static inline uint64_t asq__zigzag(int64_t v)
{
    return (uint64_t) v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}

static inline int64_t asq__unzigzag(uint64_t v)
{
    return (int64_t) (v >> 1 ^ (0 - (v & 1)));
}

/* Reads a varint of at most 64 bits. Returns its end; NULL: no complete varint before `end`, or, if
 * ASQ__VARINT_MAX bytes were there, one that is too long. */
static inline const uint8_t *asq__varint_read(const uint8_t *p, const uint8_t *end, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; p < end; shift += 7) {
        uint8_t byte = *p++;
        if (shift == 63 && byte > 1)
            return NULL;
        v |= (uint64_t) (byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret = v;
            return p;
        }
    }
    return NULL;
}

/* Returns the size of a field of n bytes with its tag and length. */
static inline size_t asq__field_size(size_t n)
{
    return 1 + asq__varint_size(n) + n;
}

/* Returns the size of such a field; 0 if empty, because proto3 omits it. */
static inline size_t asq__bytes_size(size_t n)
{
    return n ? asq__field_size(n) : 0;
}

#endif
