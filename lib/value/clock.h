/*
 * clock.h: the clocks. Decisions use the monotonic one; that of the wall is only shown to people.
 */
#ifndef ASQ_VALUE_CLOCK_H
#define ASQ_VALUE_CLOCK_H

#include <stdint.h>
#include <time.h>

/* Returns milliseconds of the monotonic clock. */
static inline int64_t asq__now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Returns Unix time in ms, by the clock of this machine. */
static inline int64_t asq__wall_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Returns milliseconds of the monotonic clock, with the time for which the machine was suspended if
 * that is known. */
static inline int64_t asq__boot_ms(void)
{
#ifdef CLOCK_BOOTTIME
    struct timespec t;
    if (clock_gettime(CLOCK_BOOTTIME, &t) == 0)
        return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
#endif
    return asq__now_ms();
}

/* Returns nanoseconds of the monotonic clock, never 0. */
static inline int64_t asq__now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec + 1;
}

/* Returns the same in milliseconds, up to a few milliseconds late, but within a few nanoseconds. */
static inline int64_t asq__now_ms_coarse(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Returns for how many nanoseconds this thread has run. */
static inline int64_t asq__thread_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Adds a timeout to now: INT64_MAX for ASQ_FOREVER (negative) and for an overflow. */
static inline int64_t asq__deadline_ms(int64_t timeout_ms)
{
    int64_t now = asq__now_ms();
    return timeout_ms < 0 || timeout_ms > INT64_MAX - now ? INT64_MAX : now + timeout_ms;
}

#endif
