/*
 * lines.c: see lines.h.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "value/lines.h"

enum { LINE_MAX = 1200 };

void asq__lines_init(struct asq__lines *l, asq_log_fn log, void *user)
{
    memset(l, 0, sizeof *l);
    l->log = log;
    l->user = user;
}

static struct asq__line *line_of(struct asq__lines *l, const char *fmt)
{
    size_t i = 0;
    while (i < ASQ__LINE_KINDS - 1 && l->kinds[i].fmt && l->kinds[i].fmt != fmt)
        i++;
    l->kinds[i].fmt = fmt;
    return &l->kinds[i];
}

static void log_rest(struct asq__lines *l, struct asq__line *line)
{
    char text[ASQ__LINE_SHOWN + 80];
    l->logs_rest = true;
    if (line->n_unlogged == 1)
        l->log(l->user, line->level, line->last);
    if (line->n_unlogged > 1) {
        snprintf(text, sizeof text, "%s (and %zu more like this one)", line->last,
                 line->n_unlogged - 1);
        l->log(l->user, line->level, text);
    }
    line->n_unlogged = 0;
    l->logs_rest = false;
}

void asq__lines_log(struct asq__lines *l, int64_t now_ms, asq_log_level level, const char *fmt, ...)
{
    char text[LINE_MAX];
    va_list ap;
    if (!l->log)
        return;
    struct asq__line *line = line_of(l, fmt);
    bool due = line->last_logged_ms == 0 || now_ms - line->last_logged_ms >= ASQ__LINE_EVERY_MS;
    if (due && line->n_unlogged)
        log_rest(l, line);
    line->level = level;
    va_start(ap, fmt);
    vsnprintf(due ? text : line->last, due ? sizeof text : sizeof line->last, fmt, ap);
    va_end(ap);
    if (due) {
        line->last_logged_ms = now_ms ? now_ms : 1;
        l->log(l->user, level, text);
    } else {
        line->n_unlogged++;
    }
}

void asq__lines_log_rest(struct asq__lines *l, int64_t now_ms)
{
    for (size_t i = 0; l->log && i < ASQ__LINE_KINDS; i++) {
        struct asq__line *line = &l->kinds[i];
        if (!line->n_unlogged || now_ms - line->last_logged_ms < ASQ__LINE_EVERY_MS)
            continue;
        line->last_logged_ms = now_ms;
        log_rest(l, line);
    }
}
