/*
 * supervisor_state.c: see supervisor_state.h.
 */
#include <stdarg.h>
#include <stdio.h>

#include "worker/process.h"
#include "worker/supervisor_config.h"
#include "worker/supervisor_state.h"

void asq__supervisor_log(const struct asq__supervisor *s, asq_log_level level, const char *fmt, ...)
{
    char text[800];
    va_list ap;
    const struct asq__process_config *c = &s->config->process;
    if (!c->log || level > c->log_level)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    c->log(c->log_user, level, text);
}

bool asq__supervisor_is_part_of_program(const struct asq__supervisor *s)
{
    return s->config->parent_fds[0] >= 0 || s->config->parent_fds[1] >= 0;
}

bool asq__child_stays_away(const struct asq__supervisor *s, const struct asq__child *c)
{
    return s->stopping || c->done || c->cut_off || atomic_load(&c->shared->link.stop);
}
