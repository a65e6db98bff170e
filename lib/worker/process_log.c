/*
 * process_log.c: see process_log.h.
 */
#include "worker/process_log.h"

#include <stdarg.h>
#include <stdio.h>

bool asq__config_logs(const struct asq__process_config *config, asq_log_level level)
{
    return (config->log || config->log_fields) && level <= config->log_level;
}

void asq__config_log(const struct asq__process_config *config, asq_log_level level,
                     const asq_log_fields *about, const char *text)
{
    asq_log_fields fields = about ? *about : ASQ__LOG_ABOUT_NOTHING;
    fields.worker = config->id;
    if (config->log_fields)
        config->log_fields(config->log_user, level, text, &fields);
    else if (config->log)
        config->log(config->log_user, level, text);
}

static void log_formatted(struct asq__process *w, asq_log_level level, const asq_log_fields *about,
                          const char *fmt, va_list ap) __attribute__((format(printf, 4, 0)));

static void log_formatted(struct asq__process *w, asq_log_level level, const asq_log_fields *about,
                          const char *fmt, va_list ap)
{
    char text[1200];
    if (!asq__config_logs(&w->config, level))
        return;
    vsnprintf(text, sizeof text, fmt, ap);
    asq__config_log(&w->config, level, about, text);
}

void asq__process_log(struct asq__process *w, asq_log_level level, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_formatted(w, level, NULL, fmt, ap);
    va_end(ap);
}

void asq__process_log_about(struct asq__process *w, asq_log_level level,
                            const asq_log_fields *about, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    log_formatted(w, level, about, fmt, ap);
    va_end(ap);
}

void asq__process_log_line(void *process, asq_log_level level, const char *text)
{
    struct asq__process *w = process;
    asq__config_log(&w->config, level, w->lines.logs_rest ? NULL : w->line_about, text);
}
