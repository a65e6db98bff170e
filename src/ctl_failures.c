/*
 * ctl_failures.c: as-ctl failures: the last failed runs of calls that workers have kept, and the
 * forms in which their codes and times are asked for.
 */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "codes.h"
#include "ctl.h"
#include "options.h"
#include "output.h"
#include "program.h"

enum { DEFAULT_LIMIT = 100 };

/* ---- options -------------------------------------------------------------------------------- */

int as_ctl_option_code(const struct as_option *o, void *settings, const char *text, char *err,
                       size_t errlen)
{
    int *to = (int *) (void *) ((char *) settings + o->offset);
    if (as_code_read(text, to))
        return 0;
    snprintf(err, errlen,
             "'%.80s' is no error: give a name (ASQ_EDEADLINE), ASQ_EUSER(3), or a "
             "number",
             text);
    return ASQ_EINVAL;
}

/* Reads a time like "2026-11-23T16:24:16+0000", as the list prints it; without the zone it is a
 * local one. */
bool as_ctl_read_time(const char *text, int64_t *ret_ms)
{
    struct tm tm = { .tm_isdst = -1 };
    const char *rest = strptime(text, "%Y-%m-%d", &tm);
    if (rest && (*rest == 'T' || *rest == ' ')) {
        const char *minute = strptime(rest + 1, "%H:%M", &tm);
        const char *second = minute && *minute == ':' ? strptime(minute, ":%S", &tm) : minute;
        rest = second;
    }
    if (!rest)
        return false;
    if (*rest) {
        long zone = 0;
        struct tm zoned = tm;
        rest = strptime(rest, "%z", &zoned);
        zone = zoned.tm_gmtoff;
        if (!rest || *rest)
            return false;
        tm.tm_isdst = 0;
        *ret_ms = ((int64_t) timegm(&tm) - zone) * 1000;
        return true;
    }
    *ret_ms = (int64_t) mktime(&tm) * 1000;
    return true;
}

int as_ctl_option_since(const struct as_option *o, void *settings, const char *text, char *err,
                        size_t errlen)
{
    int64_t *to = (int64_t *) (void *) ((char *) settings + o->offset);
    char why[200];
    struct timespec now;
    bool is_date = strchr(text, '-') || !isdigit((unsigned char) *text);
    if (is_date && as_ctl_read_time(text, to) && *to > 0)
        return 0;
    if (is_date) {
        snprintf(err, errlen,
                 "'%.80s' is no time: give a date, as 2026-11-23T16:24, or how long "
                 "ago, as 10m",
                 text);
        return ASQ_EINVAL;
    }
    int rc = as_option_ms(o, settings, text, why, sizeof why);
    if (rc < 0) {
        snprintf(err, errlen, "%s", why);
        return rc;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    *to = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000 - *to;
    if (*to < 1)
        *to = 1;
    return 0;
}

/* ---- failures ------------------------------------------------------------------------------- */

/* Returns a field as a word; "-" if it is missing or empty. */
static char *word_of(const asq_value *failure, const char *key)
{
    char *word = as_word(asq_map_get(failure, key));
    if (word && !*word) {
        free(word);
        return strdup("-");
    }
    return word;
}

/* Returns what was called, as CLASS.METHOD. NULL: no memory. */
static char *called(const asq_value *failure)
{
    const char *class_name = asq_map_string(failure, "class"),
               *method = asq_map_string(failure, "method");
    char *text;
    return asprintf(&text, "%s%s%s", *class_name ? class_name : "-", *method ? "." : "", method) < 0
               ? NULL
               : text;
}

/* Returns the message, and behind it the arguments if they were kept. NULL: no memory. */
static char *explanation(const asq_value *failure)
{
    const char *message = asq_map_string(failure, "message"),
               *args = asq_map_string(failure, "args");
    char *text;
    return asprintf(&text, "%s%s%s", *message ? message : "-", *args ? "; arguments " : "", args) <
                   0
               ? NULL
               : text;
}

static int print_failures(struct as_ctl *ctl, const asq_value *list)
{
    static const struct as_column columns[] = {
        { "TIME", false },   { "METHOD", false }, { "AGENT", false },
        { "CODE", false },   { "ATTEMPT", true }, { "AGAIN", false },
        { "WORKER", false }, { "CALL", false },   { "MESSAGE", false },
    };
    struct as_table *t = as_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *failure = asq_list_get(list, i);
        bool again = asq_map_bool(failure, "again");
        as_table_add(t, as_ctl_time_text(asq_map_int(failure, "time_ms")));
        as_table_add(t, called(failure));
        as_table_add(t, word_of(failure, "agent"));
        as_table_add(t, word_of(failure, "code"));
        as_table_add(t, word_of(failure, "attempt"));
        as_table_add(t, strdup(again ? "yes" : "no"));
        as_table_add(t, word_of(failure, "worker"));
        as_table_add(t, word_of(failure, "call_id"));
        as_table_add(t, explanation(failure));
    }
    return as_table_print(t, &ctl->base.who);
}

int as_ctl_failures(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_failures_options wanted = ASQ_FAILURES_OPTIONS_INIT;
    (void) argc, (void) argv;
    wanted.class_name = ctl->settings.class_name;
    wanted.method = ctl->settings.method;
    wanted.agent_id = ctl->settings.agent;
    wanted.code = ctl->settings.code;
    wanted.since_ms = ctl->settings.since_ms;
    wanted.limit = ctl->settings.limit ? ctl->settings.limit : DEFAULT_LIMIT;
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    asq_value *list;
    if (asq_failures(ctl->h, &wanted, &list) < 0)
        return as_ctl_failed(ctl);
    if (ctl->base.who.json) {
        status = as_ctl_print(ctl, list);
    } else if (asq_list_size(list) == 0) {
        as_note(&ctl->base.who, "no such failures in namespace '%s'", asq_namespace(ctl->h));
    } else {
        status = print_failures(ctl, list);
        if (status == AS_EXIT_OK && asq_list_size(list) == wanted.limit)
            as_note(&ctl->base.who, "the newest %zu; --limit shows more", wanted.limit);
    }
    asq_value_free(list);
    return status;
}
