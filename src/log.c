/*
 * log.c: see log.h. All of a worker's threads call it, and it must not call into the library, so it
 * makes JSON with Jansson directly. Times are local, with their offset from UTC.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "log_sink.h"
#include "output.h"
#include "value/escape.h"

#define MAX_LINE 8192 /* bytes of a text line; longer messages are cut */
#define FLUSH_MS 1000

static const char *const levels[] = { "error", "warning", "info", "debug" };

/* Writes the time as 2025-11-23T12:34:56.789+01:00. */
static void time_text(char *buf, size_t n)
{
    char seconds[32] = "", zone[8] = "";
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm tm;
    if (localtime_r(&now.tv_sec, &tm)) {
        strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
        strftime(zone, sizeof zone, "%z", &tm); /* like +0100 */
    }
    snprintf(buf, n, "%s.%03ld%.3s:%.2s", seconds, now.tv_nsec / 1000000, zone,
             strlen(zone) > 3 ? zone + 3 : "");
}

/* Makes a text line. Escapes bytes that could affect a terminal, because messages may quote outside
 * data. */
static size_t make_text(char *line, size_t size, const char *when, asq_log_level level,
                        const char *message, const asq_log_fields *fields)
{
    size_t n = (size_t) snprintf(line, size, "%s %-7s %.255s[%ld] ", when, levels[level],
                                 fields ? fields->worker : "as-worker", (long) getpid());
    while (*message && n + ASQ__ESCAPE_MAX + 1 < size)
        n += asq__escape_next(&message, ASQ__ESCAPE_LINE, line + n);
    line[n++] = '\n';
    return n;
}

/* Returns an escaped copy in one of the forms, to be freed; NULL if memory is short. */
static char *escaped(const char *text, enum asq__escape_form form)
{
    char *copy = malloc(strlen(text) * ASQ__ESCAPE_MAX + 2), *end = copy;
    if (copy)
        for (*end = '\0'; *text;)
            end += asq__escape_next(&text, form, end);
    return copy;
}

static json_t *make_string(const char *message)
{
    json_t *text = json_string(message);
    if (!text) { /* not UTF-8 */
        char *copy = escaped(message, ASQ__ESCAPE_LINES);
        text = copy ? json_string(copy) : NULL;
        free(copy);
    }
    return text;
}

/* Adds what is known of the line. False: no memory. */
static bool add_fields(json_t *object, const asq_log_fields *f)
{
    const struct {
        const char *key, *value;
    } texts[] = { { "class", f->class_name },
                  { "method", f->method },
                  { "agent", f->agent_id },
                  { "call_id", f->call_id },
                  { "signal", f->signal } };
    char code[32];
    bool ok = true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && ok; i++)
        if (*texts[i].value)
            ok = json_object_set_new(object, texts[i].key, make_string(texts[i].value)) == 0;
    if (ok && f->partition >= 0)
        ok = json_object_set_new(object, "partition", json_integer(f->partition)) == 0;
    if (ok && f->epoch)
        ok = json_object_set_new(object, "epoch", json_integer((json_int_t) f->epoch)) == 0;
    if (ok && f->code)
        ok = json_object_set_new(object, "code",
                                 json_string(as_code_name(f->code, code, sizeof code))) == 0;
    return ok;
}

/* Makes a JSON line, freed with free(). NULL: no memory. */
static char *make_json(const char *when, asq_log_level level, const char *message,
                       const asq_log_fields *fields)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:i, s:o}", "time", when, "level", levels[level], "worker",
        make_string(fields ? fields->worker : "as-worker"), "pid", (int) getpid(), "message",
        make_string(fields && fields->said ? fields->said : message)); /* NULL: it fails */
    if (object && fields && !add_fields(object, fields)) {
        json_decref(object);
        object = NULL;
    }
    char *plain = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    char *line = plain ? escaped(plain, ASQ__ESCAPE_JSON) : NULL;
    free(plain);
    return line;
}

/* Makes the line about lost lines, in the log's format. */
static size_t format_lost(void *user, size_t lost, char *line, size_t size)
{
    const struct as_log *log = user;
    char *json = NULL;
    size_t n = 0;
    char when[64];
    time_text(when, sizeof when);
    char text[128];
    snprintf(text, sizeof text,
             "%zu lines of the log were lost, because its reader did not keep up", lost);
    if (log->json && (json = make_json(when, ASQ_LOG_WARNING, text, NULL)))
        n = (size_t) snprintf(line, size, "%s\n", json);
    if (n == 0 || n >= size)
        n = make_text(line, size, when, ASQ_LOG_WARNING, text, NULL);
    free(json);
    return n;
}

bool as_log_open(const struct as_log *log)
{
    return as_sink_open(log->path);
}

void as_log_flush(void)
{
    as_sink_flush(FLUSH_MS);
}

void as_log_reopen(void *user)
{
    (void) user;
    as_sink_reopen();
}

void as_log_write(void *user, asq_log_level level, const char *message)
{
    as_log_write_fields(user, level, message, NULL);
}

void as_log_write_fields(void *user, asq_log_level level, const char *message,
                         const asq_log_fields *fields)
{
    const struct as_log *log = user;
    if (level < ASQ_LOG_ERROR || level > ASQ_LOG_DEBUG)
        level = ASQ_LOG_ERROR;
    char when[64];
    time_text(when, sizeof when);
    char *json;
    if (log->json && (json = make_json(when, level, message, fields))) {
        size_t n = strlen(json);
        json[n] = '\n'; /* in place of the NUL */
        as_sink_write(json, n + 1, format_lost, user);
        free(json);
    } else {
        char text[MAX_LINE];
        as_sink_write(text, make_text(text, sizeof text, when, level, message, fields), format_lost,
                      user);
    }
}
