/*
 * allowance.h: a share of a thread's time for work that others may ask for at will. What is used at
 * once is paid back over time; a burst is allowed, because refusing work that comes in bursts would
 * refuse nearly all of it. Times are the caller's: of its processor time what is used, of any clock
 * `now`. Pure.
 */
#ifndef ASQ_WORKER_CORE_ALLOWANCE_H
#define ASQ_WORKER_CORE_ALLOWANCE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ASQ__ALLOWANCE_SHARE = 5,      /* one in so many ns, on average */
    ASQ__ALLOWANCE_BURST_MS = 200, /* used at once, at most, but for the end of the last piece */
};

struct asq__allowance {
    int64_t paid_ns; /* when all that was used is paid back; zeroed: nothing was used */
};

/* Returns whether more may be used now. */
bool asq__allowance_left(const struct asq__allowance *a, int64_t now_ns);
void asq__allowance_use(struct asq__allowance *a, int64_t now_ns, int64_t used_ns);

#endif
