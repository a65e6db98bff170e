/*
 * rates.c: see rates.h. The counters in the hash of a worker move with its heartbeat, every few
 * seconds: their difference from one second to the next would be nothing, or that of all these
 * seconds.
 */
#include "studio/rates.h"

bool as_rates_of(const asq_value *stats, struct as_rates *ret)
{
    const asq_value *points = asq_map_get(stats, "points");
    size_t n = asq_list_size(points), first = n > AS_RATES_S ? n - AS_RATES_S : 0;
    if (!n || asq_map_int(stats, "step_ms") != 1000 ||
        asq_map_int(asq_map_get(stats, "now"), "processes") < 1)
        return false;
    *ret = (struct as_rates){ 0 };
    for (size_t i = first; i < n; i++) {
        ret->calls += (double) asq_map_int(asq_list_get(points, i), "calls");
        ret->failures += (double) asq_map_int(asq_list_get(points, i), "failed");
    }
    ret->calls /= (double) (n - first);
    ret->failures /= (double) (n - first);
    return true;
}
