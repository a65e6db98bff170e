/*
 * redis_clock.c: see redis_clock.h.
 */
#include <string.h>

#include "redis/redis_clock.h"

enum { SAMPLES_APART_MS = 100 };

/* Larger differences than drift and slewing explain are a step of the clock. */
enum { SET_MS = 200 };

static void begin_segment(struct asq__redis_clock *clock, int64_t from_ms, int64_t minus_mono_ms)
{
    unsigned kept = clock->n < ASQ__CLOCK_SEGMENTS ? clock->n : ASQ__CLOCK_SEGMENTS - 1;
    memmove(clock->segments + 1, clock->segments, kept * sizeof clock->segments[0]);
    clock->segments[0] = (struct asq__clock_segment){ from_ms, minus_mono_ms };
    clock->n = kept + 1;
}

int64_t asq__redis_clock_take(struct asq__redis_clock *clock, int64_t redis_ms, int64_t asked_ms,
                              int64_t now_ms)
{
    int64_t error = now_ms - asked_ms + 1, low = redis_ms - now_ms;
    int64_t before_ms = clock->asked_ms, set = 0;
    clock->asked_ms = asked_ms;
    if (!clock->known) {
        clock->known = true;
        clock->error_ms = error;
        begin_segment(clock, INT64_MIN, low);
        return 0;
    }
    struct asq__clock_segment *now = &clock->segments[0];
    if (low > now->minus_mono_ms + clock->error_ms + SET_MS)
        set = low - now->minus_mono_ms - clock->error_ms;
    else if (low + error + SET_MS < now->minus_mono_ms)
        set = low + error - now->minus_mono_ms;
    if (set) {
        begin_segment(clock, before_ms, low);
        clock->error_ms = error;
    } else if (error > clock->error_ms) {
        /* A worse sample is not used; the last good one loses accuracy with age. */
        clock->error_ms++;
    } else {
        now->minus_mono_ms = low;
        clock->error_ms = error;
    }
    return set;
}

int64_t asq__redis_clock_at(const struct asq__redis_clock *clock, int64_t mono_ms)
{
    return clock->known ? mono_ms + clock->segments[0].minus_mono_ms : 0;
}

int64_t asq__redis_clock_to_mono(const struct asq__redis_clock *clock, int64_t redis_ms,
                                 int64_t now_ms)
{
    /* The stamp's maker may have a sample slightly ahead of ours: the stamp belongs to the current
     * segment. */
    int64_t ahead_ms = redis_ms - clock->segments[0].minus_mono_ms - now_ms;
    if (ahead_ms > 0 && ahead_ms <= clock->error_ms + SAMPLES_APART_MS)
        return now_ms;
    for (unsigned i = 0; i < clock->n; i++) {
        int64_t mono_ms = redis_ms - clock->segments[i].minus_mono_ms;
        if (mono_ms <= now_ms && (mono_ms >= clock->segments[i].from_ms || i + 1 == clock->n))
            return mono_ms;
    }
    return now_ms;
}
