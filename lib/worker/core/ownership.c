/*
 * ownership.c: see ownership.h.
 */
#include "worker/core/ownership.h"

enum { UNWANTED_LEASES = 2 }; /* lease times after which any candidate claims a free partition */

enum asq__ownership_step asq__ownership_decide(const struct asq__ownership *o, int64_t now_ms,
                                               int64_t lease_time_ms, int64_t *unowned_since_ms)
{
    if (o->owned) {
        if (o->token != ASQ__LEASE_OURS)
            return o->token == ASQ__LEASE_NONE ? ASQ__OWNERSHIP_LOST : ASQ__OWNERSHIP_SUPERSEDED;
        return o->active && (o->foreign || (!o->ours && o->proven)) ? ASQ__OWNERSHIP_DRAIN
                                                                    : ASQ__OWNERSHIP_LEAVE;
    }
    if (!o->idle)
        return ASQ__OWNERSHIP_LEAVE;
    if (o->is_held) {
        *unowned_since_ms = 0;
        return ASQ__OWNERSHIP_CANCEL;
    }
    if (!*unowned_since_ms)
        *unowned_since_ms = now_ms;
    bool unwanted = now_ms - *unowned_since_ms > UNWANTED_LEASES * lease_time_ms;
    return o->ours || (unwanted && o->fit) ? ASQ__OWNERSHIP_CLAIM : ASQ__OWNERSHIP_CANCEL;
}
