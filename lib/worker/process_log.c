/*
 * process_log.c: see process_log.h.
 */
#include "worker/process_log.h"

#include <stdarg.h>
#include <stdio.h>

void asq__process_log(struct asq__process *w, asq_log_level level, const char *fmt, ...)
{
    char text[1200];
    va_list ap;
    if (!w->config.log || level > w->config.log_level)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    w->config.log(w->config.log_user, level, text);
}
