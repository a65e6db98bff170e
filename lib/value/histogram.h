/*
 * histogram.h: a log-linear histogram of durations, in fixed memory.
 *
 * Each power of two of nanoseconds from 512 ns to 9.7 h has 8 buckets of equal width; below there
 * are 8 of 64 ns each. A bucket counts the values above its lower bound, up to and including its
 * upper bound, so a quantile is at most an eighth (or 64 ns) above the exact one. Longer durations
 * count in the last bucket.
 *
 * One thread adds. Other threads, and processes that share the memory, may read meanwhile: each
 * word is read whole, and what is missing in one reading is in the next one. A writer that dies
 * loses what it was adding.
 *
 * No I/O and no clock.
 */
#ifndef ASQ_VALUE_HISTOGRAM_H
#define ASQ_VALUE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    ASQ__HISTOGRAM_LOW = 9,   /* power of two from which buckets grow */
    ASQ__HISTOGRAM_HIGH = 45, /* power of two above which all is in the last one */
    ASQ__HISTOGRAM_BUCKETS = 8 + (ASQ__HISTOGRAM_HIGH - ASQ__HISTOGRAM_LOW) * 8
};

struct asq__histogram {
    atomic_ullong sum_ns;
    atomic_ullong counts[ASQ__HISTOGRAM_BUCKETS];
};

/* Adds to a counter that one thread writes. */
static inline void asq__counter_add(atomic_ullong *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

/* Returns the number of the bucket of a value. */
static inline unsigned asq__histogram_bucket(uint64_t ns)
{
    uint64_t v = ns - (ns > 0); /* an upper bound belongs to its bucket */
    unsigned power = 63 ^ (unsigned) __builtin_clzll(v | UINT64_C(1) << ASQ__HISTOGRAM_LOW);
    unsigned bucket = (power - ASQ__HISTOGRAM_LOW) * 8 + (unsigned) (v >> (power - 3));
    return bucket < ASQ__HISTOGRAM_BUCKETS ? bucket : ASQ__HISTOGRAM_BUCKETS - 1;
}

/* Returns the upper bound of a bucket. */
static inline uint64_t asq__histogram_upper(unsigned bucket)
{
    unsigned power = bucket / 8, eighths = bucket % 8 + 1;
    return power == 0 ? (uint64_t) eighths << (ASQ__HISTOGRAM_LOW - 3)
                      : (uint64_t) (8 + eighths) << (ASQ__HISTOGRAM_LOW - 4 + power);
}

/* Adds a value; a negative one counts as 0. */
static inline void asq__histogram_add(struct asq__histogram *h, int64_t ns)
{
    uint64_t v = ns > 0 ? (uint64_t) ns : 0;
    asq__counter_add(&h->counts[asq__histogram_bucket(v)], 1);
    asq__counter_add(&h->sum_ns, v);
}

/* Adds all of `from` to `to`, which no other thread writes. */
void asq__histogram_merge(struct asq__histogram *to, const struct asq__histogram *from);
uint64_t asq__histogram_count(const struct asq__histogram *h);
/* Returns how many values are at most `ns`, which is an upper bound of a bucket. */
uint64_t asq__histogram_count_to(const struct asq__histogram *h, uint64_t ns);
/* Returns an upper bound of the value below which the fraction q (0 to 1) of all lies; 0: there is
 * none. */
uint64_t asq__histogram_quantile(const struct asq__histogram *h, double q);

#endif
