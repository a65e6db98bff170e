/*
 * redis_clock.h: what the clock of Redis says, told by the monotonic clock of this process. Samples come from
 * TIME; between them the monotonic clock goes on, so a look at it costs no command. No sockets.
 *
 *     Redis  ──────┬───────────┬───── 12:00:07 ┐ set back      ┌──── 11:00:09 ──┬──────▶
 *                sample      sample            └───────────────┘             sample
 *     segment  ◀────────── minus_mono_ms = A ──────────▶◀──── minus_mono_ms = B ────▶
 *
 * A clock that was set makes a new segment. What was stamped before belongs to an older one, and is read by
 * that: so neither do all deadlines pass when the clock leaps ahead, nor does a delay last for an hour when
 * it is set back by one. A process that was not there before the leap knows no older segment; to it, a
 * stamp from the future counts as made now.
 */
#ifndef ASQ_REDIS_REDIS_CLOCK_H
#define ASQ_REDIS_REDIS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum { ASQ__CLOCK_SEGMENTS = 8 };

struct asq__clock_segment {
    int64_t from_ms;       /* monotonic: it was set at some time after this */
    int64_t minus_mono_ms; /* Redis has at least the monotonic time plus this */
};

struct asq__redis_clock {
    bool known;
    int64_t error_ms; /* Redis is at most so far ahead of what the present segment says */
    int64_t asked_ms; /* monotonic: when the last sample was asked for */
    unsigned n;       /* segments; the present one is the first, older ones follow */
    struct asq__clock_segment segments[ASQ__CLOCK_SEGMENTS];
};

/* Takes a sample: Redis said redis_ms at some time between asked_ms and now_ms. Returns by how far its clock
 * was set since the last one, in milliseconds; 0: it was not. */
int64_t asq__redis_clock_take(struct asq__redis_clock *clock, int64_t redis_ms, int64_t asked_ms,
                              int64_t now_ms);
/* The time of Redis at a time of the monotonic clock; 0 while it is not known. */
int64_t asq__redis_clock_at(const struct asq__redis_clock *clock, int64_t mono_ms);
/* The time of the monotonic clock at a time of Redis, at the latest now. The clock must be known. */
int64_t asq__redis_clock_to_mono(const struct asq__redis_clock *clock, int64_t redis_ms,
                                 int64_t now_ms);

#endif
