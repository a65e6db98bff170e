/*
 * lines.h: log lines that hostile or repeated input could multiply. Of each kind, by its format, one line a
 * second is told; the others are counted, and how many there were follows with the last of them.
 */
#ifndef ASQ_VALUE_LINES_H
#define ASQ_VALUE_LINES_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

enum { ASQ__LINE_KINDS = 16, ASQ__LINE_SHOWN = 240, ASQ__LINE_EVERY_MS = 1000 };

struct asq__line {
    const char *fmt; /* the kind; NULL: free */
    asq_log_level level;
    int64_t told_ms;
    size_t untold;
    char last[ASQ__LINE_SHOWN];
};

/* Log lines that may come again and again, of one thread. Kinds beyond the room for them share the last one. */
struct asq__lines {
    asq_log_fn log; /* NULL: nothing is told */
    void *user;
    struct asq__line kinds[ASQ__LINE_KINDS];
};

void asq__lines_init(struct asq__lines *l, asq_log_fn log, void *user);
/* fmt is a string literal: it is kept, and tells one kind from another. */
void asq__lines_say(struct asq__lines *l, int64_t now_ms, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* About once a second: tells how many were left out. */
void asq__lines_tell_rest(struct asq__lines *l, int64_t now_ms);

#endif
