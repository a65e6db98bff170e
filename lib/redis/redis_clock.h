/*
 * redis_clock.h: derives the time of Redis' clock from the monotonic clock of this process. Samples
 * come from TIME; between samples the monotonic clock goes on, so reading the time costs no
 * command. No sockets.
 *
 *     Redis  ──────┬───────────┬───── 12:00:07 ┐ set back      ┌──── 11:00:09 ──┬──────▶
 *                sample      sample            └───────────────┘             sample
 *     segment  ◀────────── minus_mono_ms = A ──────────▶◀──── minus_mono_ms = B ────▶
 *
 * A step of the clock begins a new segment. Older stamps belong to an older segment and are read by
 * it: so deadlines do not all pass when the clock leaps ahead, and a delay does not last an hour
 * longer when the clock is set back by one. A process started after the step knows no older
 * segment; it takes a stamp from the future as made now.
 */
#ifndef ASQ_REDIS_REDIS_CLOCK_H
#define ASQ_REDIS_REDIS_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

enum { ASQ__CLOCK_SEGMENTS = 8 };

struct asq__clock_segment {
    int64_t from_ms;       /* monotonic: the step came after this */
    int64_t minus_mono_ms; /* Redis' time is at least the monotonic time plus this */
};

struct asq__redis_clock {
    bool known;
    int64_t error_ms; /* maximum by which Redis is ahead of the current segment */
    int64_t asked_ms; /* monotonic: request of the last sample */
    unsigned n;       /* segments; the current one first, then older ones */
    struct asq__clock_segment segments[ASQ__CLOCK_SEGMENTS];
};

/* Takes a sample: Redis' time was redis_ms between asked_ms and now_ms. Returns the step of its
 * clock since the last sample, in milliseconds; 0: none. */
int64_t asq__redis_clock_take(struct asq__redis_clock *clock, int64_t redis_ms, int64_t asked_ms,
                              int64_t now_ms);
/* Converts monotonic time to Redis' time; 0 while the clock is unknown. */
int64_t asq__redis_clock_at(const struct asq__redis_clock *clock, int64_t mono_ms);
/* Converts Redis' time to monotonic time, at most now_ms. The clock must be known. */
int64_t asq__redis_clock_to_mono(const struct asq__redis_clock *clock, int64_t redis_ms,
                                 int64_t now_ms);

#endif
