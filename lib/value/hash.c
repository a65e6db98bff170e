/*
 * hash.c: FNV-1a and SipHash (Aumasson and Bernstein), after their published descriptions.
 * Relies on no other file. Every result has the same bytes on all machines.
 */
#include <string.h>
#include <sys/auxv.h>

#include "value/hash.h"

uint64_t asq__fnv1a64(const void *data, size_t n)
{
    const uint8_t *p = data;
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static inline uint64_t rotl(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline uint64_t load64(const uint8_t *p)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
#else
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v |= (uint64_t) p[i] << 8 * i;
    return v;
#endif
}

static inline void store64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t) (v >> 8 * i);
}

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline void rounds(struct sip *s, unsigned count)
{
    while (count--) {
        s->v0 += s->v1;
        s->v1 = rotl(s->v1, 13) ^ s->v0;
        s->v0 = rotl(s->v0, 32);
        s->v2 += s->v3;
        s->v3 = rotl(s->v3, 16) ^ s->v2;
        s->v0 += s->v3;
        s->v3 = rotl(s->v3, 21) ^ s->v0;
        s->v2 += s->v1;
        s->v1 = rotl(s->v1, 17) ^ s->v2;
        s->v2 = rotl(s->v2, 32);
    }
}

/* Does everything but the finalization, with `each` rounds per word. The 128-bit variant mixes
 * `wide` in. */
static inline struct sip absorb(const struct asq__siphash_key *key, uint64_t wide, unsigned each,
                                const void *data, size_t n)
{
    struct sip s = {
        key->k0 ^ UINT64_C(0x736f6d6570736575),
        key->k1 ^ UINT64_C(0x646f72616e646f6d) ^ wide,
        key->k0 ^ UINT64_C(0x6c7967656e657261),
        key->k1 ^ UINT64_C(0x7465646279746573),
    };
    const uint8_t *p = data;
    size_t left = n;
    for (; left >= 8; p += 8, left -= 8) {
        uint64_t m = load64(p);
        s.v3 ^= m;
        rounds(&s, each);
        s.v0 ^= m;
    }
    uint64_t last = (uint64_t) n << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t) p[i] << 8 * i;
    s.v3 ^= last;
    rounds(&s, each);
    s.v0 ^= last;
    return s;
}

uint64_t asq__siphash64_keyed(const struct asq__siphash_key *key, const void *data, size_t n)
{
    struct sip s = absorb(key, 0, 2, data, n);
    s.v2 ^= 0xff;
    rounds(&s, 4);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

void asq__siphash128_keyed(const struct asq__siphash_key *key, const void *data, size_t n,
                           uint8_t out[16])
{
    struct sip s = absorb(key, 0xee, 2, data, n);
    s.v2 ^= 0xee;
    rounds(&s, 4);
    store64(out, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
    s.v1 ^= 0xdd;
    rounds(&s, 4);
    store64(out + 8, s.v0 ^ s.v1 ^ s.v2 ^ s.v3);
}

static const struct asq__siphash_key zero;

uint64_t asq__siphash64(const void *data, size_t n)
{
    return asq__siphash64_keyed(&zero, data, n);
}

void asq__siphash128(const void *data, size_t n, uint8_t out[16])
{
    asq__siphash128_keyed(&zero, data, n, out);
}

/* Returns 16 random bytes that the kernel gives each process, so that no key has to be kept
 * here. */
void asq__memory_key(struct asq__siphash_key *ret)
{
    unsigned long at = getauxval(AT_RANDOM);
    *ret = zero;
    if (at)
        memcpy(ret, (const void *) at, sizeof *ret);
}

uint64_t asq__hash_memory(const struct asq__siphash_key *key, const void *data, size_t n)
{
    struct sip s = absorb(key, 0, 1, data, n);
    s.v2 ^= 0xff;
    rounds(&s, 3);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint32_t asq__partition_of(const char *id, size_t n, uint32_t partitions)
{
    const char *open = n ? memchr(id, '{', n) : NULL;
    if (open) {
        size_t left = n - (size_t) (open - id) - 1;
        const char *close = left ? memchr(open + 1, '}', left) : NULL;
        if (close && close > open + 1) {
            id = open + 1;
            n = (size_t) (close - id);
        }
    }
    uint64_t h = asq__fnv1a64(id, n);
    return partitions ? (uint32_t) ((h ^ h >> 32) % partitions) : 0;
}
