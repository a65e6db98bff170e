/*
 * lines.h: limits log lines that hostile or repeated input could multiply. Each kind, by its
 * format, is logged once a second; further lines are counted, and their number is logged with the
 * last of them.
 */
#ifndef ASQ_VALUE_LINES_H
#define ASQ_VALUE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

enum { ASQ__LINE_KINDS = 32, ASQ__LINE_SHOWN = 240, ASQ__LINE_EVERY_MS = 1000 };

struct asq__line {
    const char *fmt; /* the kind; NULL: free */
    asq_log_level level;
    int64_t last_logged_ms;
    size_t n_unlogged;
    char last[ASQ__LINE_SHOWN];
};

/* Limited log lines, for one thread. If all places are taken, further kinds share the last one. */
struct asq__lines {
    asq_log_fn log; /* NULL: no log */
    void *user;
    bool logs_rest; /* the line being logged is an earlier one, or a number of them */
    struct asq__line kinds[ASQ__LINE_KINDS];
};

void asq__lines_init(struct asq__lines *l, asq_log_fn log, void *user);
/* Logs or counts a line. fmt must be a string literal: its address is kept and identifies the
 * kind. */
void asq__lines_log(struct asq__lines *l, int64_t now_ms, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Logs the numbers of left-out lines; called about once a second. */
void asq__lines_log_rest(struct asq__lines *l, int64_t now_ms);

#endif
