/*
 * quick_clock.h: the monotonic clock in half of the time that the system takes, for readings before
 * and after each call.
 *
 * Between two readings of the system's clock, at most a millisecond apart, it counts the ticks of
 * the processor. It measures how long a tick is, again and again; until two measurements agree, and
 * where ticks are not known to be steady, it is the system's clock. It is right to a microsecond,
 * or to a millisecond when the thread moves between processors whose ticks are not in step. So a
 * reading may be before the one before.
 *
 * For one thread.
 */
#ifndef ASQ_VALUE_QUICK_CLOCK_H
#define ASQ_VALUE_QUICK_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "value/clock.h"

struct asq__quick_clock {
    uint64_t ticks; /* of the last reading of the system's clock, `ns` */
    int64_t ns;
    uint64_t valid;      /* ticks from there that are counted; 0: none */
    uint64_t tick;       /* nanoseconds of a tick, times 2^32, as measured last */
    bool known;          /* the measurement before said the same */
    bool steady;         /* all ticks are equally long */
    uint64_t from_ticks; /* beginning of the next measurement */
    int64_t from_ns;
};

/* Begins to use a clock. */
void asq__quick_clock_init(struct asq__quick_clock *c);
/* Reads the system's clock, as asq__now_ns does, and goes on from there. */
int64_t asq__quick_clock_read(struct asq__quick_clock *c);
/* Goes on from a reading of the system's clock that was made between two of the ticks. No clock. */
void asq__quick_clock_take(struct asq__quick_clock *c, uint64_t before, int64_t ns, uint64_t after);

static inline uint64_t asq__ticks(void)
{
#ifdef __x86_64__
    return __builtin_ia32_rdtsc();
#else
    return 0;
#endif
}

/* Returns the time at `ticks`; 0: it cannot be told. */
static inline int64_t asq__quick_clock_at(const struct asq__quick_clock *c, uint64_t ticks)
{
    uint64_t since = ticks - c->ticks;
    return since < c->valid ? c->ns + (int64_t) (since * c->tick >> 32) : 0;
}

/* Returns nanoseconds of the monotonic clock, never 0. */
static inline int64_t asq__quick_ns(struct asq__quick_clock *c)
{
    int64_t ns = asq__quick_clock_at(c, asq__ticks());
    return ns ? ns : asq__quick_clock_read(c);
}

#endif
