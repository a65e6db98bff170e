/*
 * tally.h: counts failures that are reported nowhere else, by name (class and method) and code. The
 * first failure of each kind is logged at once, further ones as a count once a minute. Bounded:
 * kinds that do not fit into the table count as one. No I/O: the text goes to a function. For one
 * thread.
 */
#ifndef ASQ_VALUE_TALLY_H
#define ASQ_VALUE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

enum { ASQ__TALLY_NAME = 96 };

struct asq__tally_kind;

/* Logs a line. error: the failure; for a count it has just the code, and the class and method if
 * those of the first failure are known, because the count stands for several. */
typedef void (*asq__tally_fn)(void *user, asq_log_level level, const char *text,
                              const asq_error *error);

struct asq__tally {
    struct asq__tally_kind *kinds; /* NULL: no failure so far */
    size_t n;
    int64_t last_checked_ms;
    uint64_t total;
    asq__tally_fn log;
    void *user;
};

void asq__tally_init(struct asq__tally *t, asq__tally_fn log, void *user);
void asq__tally_release(struct asq__tally *t);
/* Counts a failure. `name` is cut to ASQ__TALLY_NAME. */
void asq__tally_note(struct asq__tally *t, const char *name, const asq_error *error,
                     int64_t now_ms);
/* Logs counts that are a minute old; all: all counts. Called from time to time. */
void asq__tally_log_due(struct asq__tally *t, int64_t now_ms, bool all);

#endif
