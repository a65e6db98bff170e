/*
 * attempts.h: earlier attempts of calls: the fields of a partition's key `attempts`.
 */
#ifndef ASQ_WORKER_CORE_ATTEMPTS_H
#define ASQ_WORKER_CORE_ATTEMPTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/value.h"

struct asq__wcall;

/* Kind of a field: a call id, alone or after a sign. */
enum asq__attempt_kind {
    ASQ__ATTEMPT_DIED, /* "ID": number of processes that died while running it */
    /* "+ID": earliest next try (partition's clock, ms), and how the last process died. */
    ASQ__ATTEMPT_WAIT = '+',
    ASQ__ATTEMPT_MARK = '!', /* "!ID": a re-entrant call took effect inside it */
    /* "~ID": failed runs, when the next is due (partition's clock, ms), 1 if it keeps its place, and
     * " s" if it sleeps. */
    ASQ__ATTEMPT_RETRY = '~',
    ASQ__ATTEMPT_STEPS = '=' /* "=ID": its steps have records, under a key of their own */
};

struct asq__attempt {
    char call[ASQ__CALL_ID_TEXT];
    enum asq__attempt_kind kind;
    uint32_t count;
    uint64_t due_ms;
    bool keeps_place, sleeps;
    char *how; /* WAIT: how the last process died; or NULL */
};

/* The fields of one partition, in order of call id once they are sorted. All zero: none. */
struct asq__attempts {
    struct asq__attempt *list;
    size_t n, cap;
};

/* Wait of a call after a process has died of it: the first time, and at most. */
enum { ASQ__DIED_WAIT_MS = 1000, ASQ__DIED_WAIT_MAX_MS = 60000 };

/* Adds a field as Redis has it. Ignores a field that is not a call id, and any field when there
 * is no memory: the call then runs as if it had no earlier attempts. */
void asq__attempts_add(struct asq__attempts *all, const char *field, const char *value);
void asq__attempts_sort(struct asq__attempts *all); /* once, after the last is added */
void asq__attempts_clear(struct asq__attempts *all);
/* Gives `c`, whose id is `call`, what is known of its earlier attempts. now_ms: monotonic;
 * minus_mono_ms: the partition's clock minus the monotonic one. returned: its batch has come back
 * from `later` since they were read, and has told of its failed runs, its sleep and its records
 * already. c->died_how is borrowed from `all`. */
void asq__attempts_take(const struct asq__attempts *all, const char *call, int64_t now_ms,
                        int64_t minus_mono_ms, bool returned, struct asq__wcall *c);

#endif
