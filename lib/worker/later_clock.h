/*
 * later_clock.h: how late it is by the clock of a partition, told from what its last owner has kept. No sockets.
 */
#ifndef ASQ_WORKER_LATER_CLOCK_H
#define ASQ_WORKER_LATER_CLOCK_H

#include "redis/redis_clock.h"

enum { ASQ__MACHINE_TEXT = 17, ASQ__CLOCK_MARK = 48 };

/* What a claim knows. */
struct asq__later_claim {
    const char *kept;     /* field `clock` of the lease; "" or NULL: there is none */
    const char *machine;  /* this machine since it was started; "": not known */
    int64_t suspended_ms; /* for how long it was suspended since */
    const struct asq__redis_clock *clock; /* what this process knows of the clock of Redis */
    int64_t redis_ms, asked_ms, now_ms; /* Redis said redis_ms between these two monotonic times */
};

/* Gives the partition's clock minus the monotonic one. False: nothing usable was kept, and *ret is by the clock of Redis.
 * *ret_set_ms is by how much the clock of Redis was set, as far as that shows, while nobody here heard of it. */
bool asq__later_clock_tell(const struct asq__later_claim *claim, int64_t *ret_minus_mono_ms,
                           int64_t *ret_set_ms);

#endif
