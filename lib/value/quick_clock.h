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
 * A reading takes a hundredth of a short call's time. In a row of calls that follow each other at
 * once, the end of one is the start of the next.
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
    bool in_row;
    int64_t row_ns; /* end of the row's last call; 0: something else came after it */
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

/* Begins a row, or ends it. */
static inline void asq__quick_row(struct asq__quick_clock *c, bool begins)
{
    c->in_row = begins;
    c->row_ns = 0;
}

/* Notes that something between two calls of a row takes time. */
static inline void asq__quick_interrupt(struct asq__quick_clock *c)
{
    c->row_ns = 0;
}

/* Returns the time at which a call ends. */
static inline int64_t asq__quick_end_ns(struct asq__quick_clock *c)
{
    int64_t ns = asq__quick_ns(c);
    c->row_ns = c->in_row ? ns : 0;
    return ns;
}

/* Returns the time at which a call starts. */
static inline int64_t asq__quick_start_ns(struct asq__quick_clock *c)
{
    int64_t ns = c->row_ns ? c->row_ns : asq__quick_ns(c);
    c->row_ns = 0;
    return ns;
}

#endif
