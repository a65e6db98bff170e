/*
 * history.h: requests of callers and their outcomes, one line each, written before the call leaves
 * and when its outcome is known:
 *
 *     i OP WORKLOAD AGENT:ITEM [AGENT:ITEM …]   invoked; the items it puts into agents' states
 *     o OP [VALUE]                              ok
 *     f OP CODE TEXT                            failed: nothing of the call itself took effect
 *     u OP CODE TEXT                            unknown
 *     b OP TEXT                                 a wrong answer
 *     r AGENT N RUN                             a read: the log had N entries, the last one of RUN
 *     t N                                       N sends were refused, among them earlier ones
 *     e                                         the caller has ended, and knows all outcomes
 *
 * A call without an outcome (its caller was killed) is unknown. The first item belongs to the call
 * itself, the others to its nested calls.
 */
#ifndef ASQ_CHAOS_HISTORY_H
#define ASQ_CHAOS_HISTORY_H

#include "support/support.h"

#include <stdbool.h>
#include <stdint.h>

enum { MAX_HISTORIES = 4096 };

/* Writing: one file for each caller's process. */
void history_open(const char *path);
void history_line(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Reading. */
struct effect {
    char *agent, *item;
    int seen; /* number of occurrences in the state, for the checker */
};

struct op {
    char *id;
    int workload;
    char outcome; /* o f u b */
    int code;
    bool has_value;
    int64_t value;
    char *text;
    int caller; /* number of the file */
    struct effect *effects;
    size_t n_effects;
};

/* The last entry of a log, as a caller has read it. */
struct sight {
    char agent[32], run[40];
    size_t n; /* its number in the log, from 1 */
};

struct history {
    struct op *ops; /* by caller, in the order of the calls */
    size_t n;
    struct sight *sights;
    size_t n_sights;
    struct {
        unsigned told; /* number of refused sends */
        bool ended;
    } callers[MAX_HISTORIES];
};
/* Reads all files DIR/history.*. */
void history_read(struct history *h, const char *dir);
void history_free(struct history *h);

#endif
