/*
 * ending.c: see ending.h.
 */
#include "worker/ending.h"

#include <ev.h>
#include <stdarg.h>
#include <stdio.h>

#include "worker/process.h"

void asq__process_end(struct asq__process *w, int code)
{
    if (!w->ended)
        w->code = code;
    w->ended = true;
    ev_break(w->loop, EVBREAK_ALL);
}

void asq__process_fail(struct asq__process *w, int code, const char *fmt, ...)
{
    va_list ap;
    if (w->ended)
        return;
    va_start(ap, fmt);
    vsnprintf(w->why, sizeof w->why, fmt, ap);
    va_end(ap);
    asq__process_end(w, code);
}
