/*
 * log.c: see log.h. It is called from all of a worker's threads, and must not call into the
 * library: so JSON is made by Jansson itself. Times are local, with their distance to UTC.
 */
#include "log.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "value/escape.h"

#define MAX_LINE 8192 /* of text; longer messages are cut */

static const char *const levels[] = { "error", "warning", "info", "debug" };

/* 2025-11-23T12:34:56.789+01:00 */
static void time_text(char *buf, size_t n)
{
    struct timespec now;
    struct tm tm;
    char seconds[32] = "", zone[8] = "";

    clock_gettime(CLOCK_REALTIME, &now);
    if (localtime_r(&now.tv_sec, &tm)) {
        strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &tm);
        strftime(zone, sizeof zone, "%z", &tm); /* +0100 */
    }
    snprintf(buf, n, "%s.%03ld%.3s:%.2s", seconds, now.tv_nsec / 1000000, zone,
             strlen(zone) > 3 ? zone + 3 : "");
}

static void write_all(const char *line, size_t n)
{
    while (n > 0) {
        ssize_t written = write(STDERR_FILENO, line, n);
        if (written < 0 && errno != EINTR)
            return; /* nowhere to say so */
        if (written > 0) {
            line += written;
            n -= (size_t) written;
        }
    }
}

/* One line: what could play with a terminal in messages (which may quote what came from outside) is
 * shown. */
static void write_text(const char *when, asq_log_level level, const char *message)
{
    char line[MAX_LINE];
    size_t n = (size_t) snprintf(line, sizeof line, "%s %-7s ", when, levels[level]);

    while (*message && n + ASQ__ESCAPE_MAX + 1 < sizeof line)
        n += asq__escape_next(&message, ASQ__ESCAPE_LINE, line + n);
    line[n++] = '\n';
    write_all(line, n);
}

/* All of a text in one of the forms; to be freed, NULL when memory is short. */
static char *escaped(const char *text, enum asq__escape_form form)
{
    char *copy = malloc(strlen(text) * ASQ__ESCAPE_MAX + 2), *end = copy;

    if (copy)
        for (*end = '\0'; *text;)
            end += asq__escape_next(&text, form, end);
    return copy;
}

static bool write_json(const char *when, asq_log_level level, const char *message)
{
    json_t *text = json_string(message), *object;
    char *plain, *line;
    size_t n;

    if (!text) { /* not UTF-8 */
        char *copy = escaped(message, ASQ__ESCAPE_LINES);
        text = copy ? json_string(copy) : NULL;
        free(copy);
    }
    object = json_pack("{s:s, s:s, s:i, s:o}", "time", when, "level", levels[level], "pid",
                       (int) getpid(), "message", text); /* NULL makes it fail */
    plain = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    line = plain ? escaped(plain, ASQ__ESCAPE_JSON) : NULL;
    free(plain);
    if (!line)
        return false;
    n = strlen(line);
    line[n] = '\n'; /* in place of the NUL: one write for all of it */
    write_all(line, n + 1);
    free(line);
    return true;
}

void as_log_write(void *user, asq_log_level level, const char *message)
{
    struct as_log *log = user;
    char when[64];

    if (level < ASQ_LOG_ERROR || level > ASQ_LOG_DEBUG)
        level = ASQ_LOG_ERROR;
    time_text(when, sizeof when);
    if (!log->json || !write_json(when, level, message))
        write_text(when, level, message);
}
