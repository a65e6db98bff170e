/*
 * ctl_stats.c: as-ctl stats: what the deployment has done in the last minute, or the last hours.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

enum { DEFAULT_LAST_MS = 60000 };

static const char *const times[] = { "queue", "run", "parked", "commit" };
static const char *const columns_of_times[] = { "p50_ms", "p90_ms", "p99_ms", "max_ms" };

static const char *text_of(const asq_value *map, const char *key)
{
    const char *text = "-";
    asq_value_get_string(asq_map_get(map, key), &text, NULL);
    return text;
}

/* Formats a number of ms in three digits; "-": there is none. NULL: no memory. */
static char *ms_text(const asq_value *v)
{
    double ms;
    char *text;
    if (asq_value_get_double(v, &ms) < 0)
        return strdup("-");
    char long_text[32];
    if (ms >= 99950) {
        as_duration((int64_t) ms, long_text);
        return strdup(long_text);
    }
    int n = ms < 9.995    ? asprintf(&text, "%.2f ms", ms)
            : ms < 99.95  ? asprintf(&text, "%.1f ms", ms)
            : ms < 9999.5 ? asprintf(&text, "%.0f ms", ms)
                          : asprintf(&text, "%.1f s", ms / 1000);
    return n < 0 ? NULL : text;
}

static char *number_text(const asq_value *map, const char *key)
{
    double rate;
    char *text;
    if (asq_value_type(asq_map_get(map, key)) == ASQ_DOUBLE &&
        asq_value_get_double(asq_map_get(map, key), &rate) == 0)
        return asprintf(&text, "%.*f", rate < 100 ? 2 : 0, rate) < 0 ? NULL : text;
    return asprintf(&text, "%lld", (long long) asq_map_int(map, key)) < 0 ? NULL : text;
}

static char *called(const asq_value *method)
{
    char *text;
    return asprintf(&text, "%s.%s", text_of(method, "class"), text_of(method, "method")) < 0 ? NULL
                                                                                             : text;
}

static int print_methods(struct as_ctl *ctl, const asq_value *methods)
{
    static const struct as_column columns[] = {
        { "METHOD", false },    { "CALLS", true },      { "RATE/S", true }, { "FAILED", true },
        { "QUEUE p50", true },  { "p90", true },        { "p99", true },    { "max", true },
        { "RUN p50", true },    { "p90", true },        { "p99", true },    { "max", true },
        { "PARKED p99", true }, { "COMMIT p99", true },
    };
    struct as_table *t = as_table_new(columns, sizeof columns / sizeof *columns);
    for (size_t i = 0; i < asq_list_size(methods); i++) {
        const asq_value *method = asq_list_get(methods, i);
        as_table_add(t, called(method));
        as_table_add(t, number_text(method, "calls"));
        as_table_add(t, number_text(method, "rate"));
        as_table_add(t, number_text(method, "failed"));
        for (size_t k = 0; k < 2; k++)
            for (size_t c = 0; c < 4; c++)
                as_table_add(
                    t, ms_text(asq_map_get(asq_map_get(method, times[k]), columns_of_times[c])));
        for (size_t k = 2; k < 4; k++)
            as_table_add(t, ms_text(asq_map_get(asq_map_get(method, times[k]), "p99_ms")));
    }
    return as_table_print(t, &ctl->base.who);
}

static int print_failures(struct as_ctl *ctl, const asq_value *methods)
{
    static const struct as_column columns[] = { { "FAILURES", true },
                                                { "CODE", false },
                                                { "METHOD", false } };
    struct as_table *t = NULL;
    for (size_t i = 0; i < asq_list_size(methods); i++) {
        const asq_value *method = asq_list_get(methods, i);
        const asq_value *failures = asq_map_get(method, "failures");
        for (size_t k = 0; k < asq_map_size(failures); k++) {
            const char *code;
            const asq_value *n = asq_map_at(failures, k, &code);
            if (!t && !(t = as_table_new(columns, sizeof columns / sizeof *columns)))
                return as_table_print(t, &ctl->base.who);
            as_table_add(t, as_word(n));
            as_table_add(t, strdup(code));
            as_table_add(t, called(method));
        }
    }
    if (!t)
        return AS_EXIT_OK;
    putchar('\n');
    return as_table_print(t, &ctl->base.who);
}

/* Prints how things are at the moment, in a line. */
static void print_now(const asq_value *now)
{
    char oldest[32];
    char *trip = ms_text(asq_map_get(now, "round_trip_ms"));
    if (asq_value_type(asq_map_get(now, "processes")) != ASQ_INT)
        return;
    as_duration(asq_map_int(now, "oldest_waiting_ms"), oldest);
    printf("now: %lld running, %lld parked, %lld waiting (the oldest for %s), backlog %lld; "
           "%lld agents and %lld partitions in %lld processes; Redis round trip %s\n",
           (long long) asq_map_int(now, "running"), (long long) asq_map_int(now, "parked"),
           (long long) asq_map_int(now, "waiting"), oldest, (long long) asq_map_int(now, "backlog"),
           (long long) asq_map_int(now, "agents"), (long long) asq_map_int(now, "partitions"),
           (long long) asq_map_int(now, "processes"), trip ? trip : "-");
    free(trip);
}

static int print_stats(struct as_ctl *ctl, const asq_value *stats)
{
    const asq_value *methods = asq_map_get(stats, "methods"), *total = asq_map_get(stats, "total");
    char span[32];
    as_duration(asq_map_int(stats, "to_ms") - asq_map_int(stats, "from_ms"), span);
    print_now(asq_map_get(stats, "now"));
    if (asq_list_size(methods) == 0) {
        as_note(&ctl->base.who, "no such calls have ended in the last %s in namespace '%s'", span,
                asq_namespace(ctl->h));
        return AS_EXIT_OK;
    }
    char *rate = number_text(total, "rate");
    printf("in the last %s: %lld calls, %s/s, %lld failed\n\n", span,
           (long long) asq_map_int(total, "calls"), rate ? rate : "-",
           (long long) asq_map_int(total, "failed"));
    free(rate);
    int status = print_methods(ctl, methods);
    return status == AS_EXIT_OK ? print_failures(ctl, methods) : status;
}

int as_ctl_stats(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_stats_options wanted = ASQ_STATS_OPTIONS_INIT;
    (void) argc, (void) argv;
    wanted.class_name = ctl->settings.class_name;
    wanted.method = ctl->settings.method;
    wanted.last_ms = ctl->settings.last_ms ? ctl->settings.last_ms : DEFAULT_LAST_MS;
    wanted.points = ctl->base.who.json;
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    asq_value *stats;
    if (asq_stats(ctl->h, &wanted, &stats) < 0)
        return as_ctl_failed(ctl);
    status = ctl->base.who.json ? as_ctl_print(ctl, stats) : print_stats(ctl, stats);
    asq_value_free(stats);
    return status;
}
