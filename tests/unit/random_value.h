/*
 * random_value.h: random trees of values from a seed, the same on every machine, for tests that
 * compare two implementations.
 */
#ifndef ASQ_TESTS_RANDOM_VALUE_H
#define ASQ_TESTS_RANDOM_VALUE_H

#include "value/value.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* splitmix64 */
static inline uint64_t random_u64(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static inline size_t random_below(uint64_t *seed, size_t n)
{
    return (size_t) (random_u64(seed) % n);
}

/* Returns numbers of every magnitude, also the limits of the type. */
static inline int64_t random_int(uint64_t *seed)
{
    static const int64_t borders[] = { 0,   1,         -1,        63,        64,       -64,
                                       -65, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN };
    if (random_below(seed, 3) == 0)
        return borders[random_below(seed, sizeof borders / sizeof *borders)];
    return (int64_t) random_u64(seed) >> random_below(seed, 64);
}

static inline double random_double(uint64_t *seed)
{
    static const double odd[] = { 0.0,
                                  -0.0,
                                  1.0,
                                  0.1,
                                  1e22,
                                  1e300,
                                  5e-324,
                                  (double) NAN,
                                  (double) INFINITY,
                                  (double) -INFINITY };
    if (random_below(seed, 2))
        return odd[random_below(seed, sizeof odd / sizeof *odd)];
    uint64_t bits = random_u64(seed);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* Writes up to 200 bytes of UTF-8 and a NUL behind them; if with_nul, sometimes with NULs in
 * them. */
static inline size_t random_text(uint64_t *seed, char text[256], bool with_nul)
{
    static const char *const pieces[] = { "a",
                                          "key",
                                          " ",
                                          "\"",
                                          "\\",
                                          "\n",
                                          "\x01",
                                          "\x7f",
                                          "/",
                                          "$",
                                          "é",
                                          "ß",
                                          "€",
                                          "\xf0\x9f\x98\x80",
                                          "\xed\x9f\xbf",
                                          "\xf4\x8f\xbf\xbf",
                                          "{tag}" };
    size_t n = 0;
    for (size_t left = random_below(seed, random_below(seed, 8) ? 6 : 40); left; left--) {
        if (with_nul && random_below(seed, 20) == 0) {
            text[n++] = '\0';
            continue;
        }
        const char *piece = pieces[random_below(seed, sizeof pieces / sizeof *pieces)];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
    }
    text[n] = '\0';
    return n;
}

/* Returns a tree of up to `levels` levels of containers. */
static inline asq_value *random_value(uint64_t *seed, unsigned levels)
{
    char text[256];
    size_t n;
    switch (random_below(seed, levels ? 12 : 8)) {
    case 0: return asq_value_null();
    case 1: return asq_value_bool(random_below(seed, 2) == 1);
    case 2: return asq_value_int(random_int(seed));
    case 3: return asq_value_double(random_double(seed));
    case 4: n = random_text(seed, text, true); return asq_value_stringn(text, n);
    case 5:
        for (n = 0; n < random_below(seed, 200); n++)
            text[n] = (char) random_u64(seed);
        return asq_value_bytes(text, n);
    case 6:
        snprintf(text, sizeof text, "agent-%zu", random_below(seed, 1000));
        return asq__value_agent_ref(text, random_below(seed, 4) ? "Class" : NULL);
    case 7: {
        struct asq__call_id id = { .partition = (uint32_t) random_u64(seed),
                                   .index = (uint32_t) random_u64(seed) };
        for (size_t i = 0; i < sizeof id.batch; i++)
            id.batch[i] = (uint8_t) random_u64(seed);
        asq__call_id_format(&id, text);
        asq_value *future = asq__value_future_ref(text, NULL);
        if (future)
            future->future->unawaited = random_below(seed, 2);
        return future;
    }
    case 8:
    case 9: {
        asq_value *list = asq_value_list();
        for (size_t left = random_below(seed, random_below(seed, 10) ? 5 : 50); left; left--)
            asq_list_append(list, random_value(seed, levels - 1));
        return list;
    }
    default: {
        asq_value *map = asq_value_map();
        for (size_t left = random_below(seed, random_below(seed, 10) ? 5 : 50); left; left--) {
            asq_value *item = random_value(seed, levels - 1);
            random_text(seed, text, false);
            asq_map_set(map, text, item);
        }
        return map;
    }
    }
}

/* Returns `levels` lists in each other: [[[…]]]. NULL when that is refused. */
static inline asq_value *nested_lists(unsigned levels)
{
    asq_value *v = asq_value_list();
    for (unsigned i = 1; v && i < levels; i++) {
        asq_value *around = asq_value_list();
        if (asq_list_append(around, v) < 0) {
            asq_value_free(around);
            return NULL;
        }
        v = around;
    }
    return v;
}

#endif
