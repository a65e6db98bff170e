/*
 * honest.h: the callers whose counters have to be exact while hostile bytes arrive. Each caller
 * runs in a process of its own, and uses agents of its own.
 */
#ifndef ASQ_FUZZ_HONEST_H
#define ASQ_FUZZ_HONEST_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HONEST_AGENTS = 8 };

/* Counters of a caller, in memory shared with the harness. */
struct honest {
    atomic_bool stop;
    atomic_ullong calls,
        slow; /* number of answered calls, and of those that took longer than max_ms */
    atomic_ullong worst_ms;
    atomic_bool wrong; /* a call failed, or a counter is not exact; `what` says so */
    char what[600];
};

/* Writes the id of agent i of a caller, of up to 63 bytes; returns its length. */
size_t honest_agent_id(int number, int i, char id[64]);

/* Forks a caller; it ends when `stop` is set, after comparing its counters. */
pid_t honest_start(const char *url, int number, int64_t max_ms, struct honest *shared);

#endif
