/*
 * later_clock.h: the time by the clock of a partition, computed from what its last owner has kept.
 * No sockets.
 */
#ifndef ASQ_WORKER_LATER_CLOCK_H
#define ASQ_WORKER_LATER_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "redis/redis.h"

struct asq__partition;
struct asq__process;
struct asq__redis_clock;

enum { ASQ__CLOCK_MARK = 48 };

/* Input from a claim. */
struct asq__later_claim {
    /* Field `clock` of the lease; "" or NULL: there is none. */
    const char *kept;
    const char *machine;                  /* name of this machine and its boot; "": unknown */
    int64_t suspended_ms;                 /* suspension of the machine since its boot */
    const struct asq__redis_clock *clock; /* clock of Redis as known to this process */
    /* Redis said redis_ms between these two monotonic times. */
    int64_t redis_ms, asked_ms, now_ms;
};

/* Computes the partition's clock minus the monotonic one. False: nothing usable was kept, and the
 * result is by the clock of Redis. *ret_set_ms gets by how much the clock of Redis was set
 * unnoticed, as far as that shows. */
bool asq__later_clock_compute(const struct asq__later_claim *claim, int64_t *ret_minus_mono_ms,
                              int64_t *ret_set_ms);

/* Sets the clock of a claimed partition by the clock of Redis and the last owner's mark, or "". */
void asq__later_clock_begin(struct asq__partition *p, int64_t redis_ms, const char *kept);
int64_t asq__later_clock(struct asq__partition *p); /* current time */
/* Formats what the lease keeps for the next owner on this machine. */
void asq__later_clock_mark(const struct asq__partition *p, char mark[ASQ__CLOCK_MARK]);

#endif
