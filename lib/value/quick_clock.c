/*
 * quick_clock.c: see quick_clock.h.
 */
#include "value/quick_clock.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif
#include <string.h>

enum {
    VALID_NS = 1000000,
    MEASURE_NS = 100000000, /* at least, of a measurement; a reading is right to some 100 ns */
    STALE_NS = 1000000000,  /* at most: the machine may have been suspended meanwhile */
    APART_TICKS = 1024, /* readings that are further apart are of a thread that was interrupted */
    AGREE = 1024        /* two measurements differ by less than such a part */
};

/* Returns whether the processor says that its ticks have the same length at all times. */
static bool are_ticks_steady(void)
{
#ifdef __x86_64__
    unsigned a, b, c, d;
    return __get_cpuid(0x80000007, &a, &b, &c, &d) && d & 1u << 8;
#else
    return false;
#endif
}

void asq__quick_clock_init(struct asq__quick_clock *c)
{
    memset(c, 0, sizeof *c);
    c->steady = are_ticks_steady();
}

/* Measures how long a tick is. Returns whether the measurement before said the same. */
static bool measure(struct asq__quick_clock *c, uint64_t ticks, uint64_t ns)
{
    uint64_t before = c->tick;
    c->tick = ticks ? (ns << 32) / ticks : 0;
    uint64_t difference = c->tick > before ? c->tick - before : before - c->tick;
    return difference < c->tick / AGREE;
}

void asq__quick_clock_take(struct asq__quick_clock *c, uint64_t before, int64_t ns, uint64_t after)
{
    uint64_t apart = after - before;
    c->valid = 0;
    if (apart > APART_TICKS)
        return;
    c->ticks = before + apart / 2;
    c->ns = ns;
    int64_t since_ns = ns - c->from_ns;
    if (since_ns >= MEASURE_NS) {
        if (since_ns <= STALE_NS)
            c->known = measure(c, c->ticks - c->from_ticks, (uint64_t) since_ns);
        c->from_ticks = c->ticks;
        c->from_ns = ns;
    }
    if (c->known)
        c->valid = ((uint64_t) VALID_NS << 32) / c->tick;
}

int64_t asq__quick_clock_read(struct asq__quick_clock *c)
{
    if (!c->steady)
        return asq__now_ns();
    uint64_t before = asq__ticks();
    int64_t ns = asq__now_ns();
    asq__quick_clock_take(c, before, ns, asq__ticks());
    return ns;
}
