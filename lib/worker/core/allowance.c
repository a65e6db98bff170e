/*
 * allowance.c: see allowance.h.
 */
#include "worker/core/allowance.h"

bool asq__allowance_left(const struct asq__allowance *a, int64_t now_ns)
{
    return a->paid_ns - now_ns < (int64_t) ASQ__ALLOWANCE_SHARE * ASQ__ALLOWANCE_BURST_MS * 1000000;
}

void asq__allowance_use(struct asq__allowance *a, int64_t now_ns, int64_t used_ns)
{
    if (a->paid_ns < now_ns)
        a->paid_ns = now_ns;
    a->paid_ns += ASQ__ALLOWANCE_SHARE * used_ns;
}
