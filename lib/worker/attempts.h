/*
 * attempts.h: earlier attempts of calls: the fields of a partition's key `attempts`.
 */
#ifndef ASQ_WORKER_ATTEMPTS_H
#define ASQ_WORKER_ATTEMPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "value/value.h"

/* A field of the partition's attempts: a call id, alone or after a sign. */
enum asq__attempt_kind {
    ASQ__ATTEMPT_DIED, /* "ID": number of processes that died while running it */
    /* "+ID": earliest next try (partition's clock, ms), and how the last process died. */
    ASQ__ATTEMPT_WAIT = '+',
    ASQ__ATTEMPT_MARK = '!', /* "!ID": a re-entrant call took effect inside it */
    /* "~ID": failed runs, when the next is due (partition's clock, ms), 1 if it keeps its place. */
    ASQ__ATTEMPT_RETRY = '~'
};

struct asq__attempt {
    char call[ASQ__CALL_ID_TEXT];
    enum asq__attempt_kind kind;
    uint32_t count;
    uint64_t due_ms;
    bool keeps_place;
    char *how; /* WAIT: how the last process died; or NULL */
};

/* Wait of a call after a process has died of it: the first time, and at most. */
enum { ASQ__DIED_WAIT_MS = 1000, ASQ__DIED_WAIT_MAX_MS = 60000 };

#endif
