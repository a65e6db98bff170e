/*
 * histogram.c: see histogram.h.
 */
#include "value/histogram.h"

static uint64_t load(const atomic_ullong *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void asq__histogram_merge(struct asq__histogram *to, const struct asq__histogram *from)
{
    for (unsigned i = 0; i < ASQ__HISTOGRAM_BUCKETS; i++)
        asq__counter_add(&to->counts[i], load(&from->counts[i]));
    asq__counter_add(&to->sum_ns, load(&from->sum_ns));
}

uint64_t asq__histogram_count(const struct asq__histogram *h)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < ASQ__HISTOGRAM_BUCKETS; i++)
        n += load(&h->counts[i]);
    return n;
}

uint64_t asq__histogram_count_to(const struct asq__histogram *h, uint64_t ns)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < ASQ__HISTOGRAM_BUCKETS && asq__histogram_upper(i) <= ns; i++)
        n += load(&h->counts[i]);
    return n;
}

uint64_t asq__histogram_quantile(const struct asq__histogram *h, double q)
{
    uint64_t counts[ASQ__HISTOGRAM_BUCKETS], n = 0, below = 0;
    for (unsigned i = 0; i < ASQ__HISTOGRAM_BUCKETS; i++)
        n += counts[i] = load(&h->counts[i]);
    if (n == 0)
        return 0;
    double exact = q * (double) n;
    uint64_t rank = exact <= 1 ? 1 : exact >= (double) n ? n : (uint64_t) exact;
    rank += (double) rank < exact && rank < n;
    unsigned bucket = 0;
    while ((below += counts[bucket]) < rank)
        bucket++;
    return asq__histogram_upper(bucket);
}
