/*
 * supervisor_state.c: see supervisor_state.h.
 */
#include <stdarg.h>
#include <stdio.h>

#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/supervisor_config.h"
#include "worker/supervisor_state.h"

void asq__supervisor_log(const struct asq__supervisor *s, asq_log_level level, const char *fmt, ...)
{
    char text[800];
    va_list ap;
    if (!asq__config_logs(&s->config->process, level))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    asq__config_log(&s->config->process, level, NULL, text);
}

asq_log_fields asq__slot_fields(const struct asq__slot *slot)
{
    return (asq_log_fields){ .worker = "",
                             .class_name = slot->class_name,
                             .method = slot->method,
                             .agent_id = slot->agent,
                             .call_id = slot->call,
                             .partition = slot->partition,
                             .epoch = slot->epoch,
                             .signal = "" };
}

void asq__supervisor_log_about(const struct asq__supervisor *s, asq_log_level level,
                               const asq_log_fields *about, const char *fmt, ...)
{
    char text[1600];
    va_list ap;
    if (!asq__config_logs(&s->config->process, level))
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    asq__config_log(&s->config->process, level, about, text);
}

bool asq__supervisor_is_part_of_program(const struct asq__supervisor *s)
{
    return s->config->parent_fds[0] >= 0 || s->config->parent_fds[1] >= 0;
}

bool asq__child_stays_away(const struct asq__supervisor *s, const struct asq__child *c)
{
    return s->stopping || c->done || c->cut_off || atomic_load(&c->shared->link.stop);
}
