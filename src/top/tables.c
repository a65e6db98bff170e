/*
 * tables.c: see tables.h.
 */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bar.h"
#include "output.h"
#include "top/died.h"
#include "top/tables.h"

const struct as_top_table_kind as_top_table_kinds[AS_TOP_TABLES] = {
    { "methods", 4, "no calls in this time, or the workers keep no figures" },
    { "calls", 1, "no calls are under way" },
    { "workers", 0, "no workers" },
    { "failures", 0, "no failures are kept" },
    { "dead letters", 0, "no dead letters" },
};

const char *as_top_short_ms(double ms, char text[32])
{
    static const struct {
        double below, divisor;
        int digits;
        const char *unit;
    } forms[] = { { 9.995, 1, 2, "ms" },
                  { 99.95, 1, 1, "ms" },
                  { 9999.5, 1, 0, "ms" },
                  { 99950, 1000, 1, "s" } };
    enum { MOST_DAYS = 99999 };
    if (isnan(ms))
        return strcpy(text, "-");
    ms = ms < 0 ? 0 : ms;
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++)
        if (ms < forms[i].below) {
            snprintf(text, 32, "%.*f %s", forms[i].digits, ms / forms[i].divisor, forms[i].unit);
            return text;
        }
    as_duration((int64_t) fmin(ms, MOST_DAYS * 86400000.), text); /* as as-ctl's other commands */
    return text;
}

const char *as_top_short_number(double number, char text[32])
{
    static const char units[] = " kMGTPE";
    size_t unit = 0;
    if (isnan(number))
        return strcpy(text, "-");
    double size = fabs(number);
    while (size >= 99999.5 && unit + 2 < sizeof units) {
        size /= 1000;
        number /= 1000;
        unit++;
    }
    int digits = size >= 99.95 || (unit == 0 && size == floor(size)) ? 0 : size >= 0.995 ? 1 : 2;
    snprintf(text, 32, "%.*f%.1s", digits, fmin(number, 99999), unit ? units + unit : "");
    return text;
}

/* ---- Cells ---------------------------------------------------------------------------------- */

static void add_ms(struct as_top_grid *grid, enum as_top_style style, double ms)
{
    char text[32];
    as_top_grid_number(grid, style, ms, isnan(ms) ? NULL : as_top_short_ms(ms, text));
}

static void add_number(struct as_top_grid *grid, enum as_top_style style, double number)
{
    char text[32];
    as_top_grid_number(grid, style, number,
                       isnan(number) ? NULL : as_top_short_number(number, text));
}

static void add_text(struct as_top_grid *grid, enum as_top_style style, const char *text)
{
    as_top_grid_text(grid, style, *text ? text : NULL);
}

/* ---- Methods -------------------------------------------------------------------------------- */

static const struct as_top_column method_columns[] = {
    { "METHOD", 16, 0, false, true },     { "CALLS/s", 8, 0, true, false },
    { "FAILED", 7, 0, true, false },      { "RUN p50", 8, 3, true, false },
    { "RUN p99", 8, 0, true, false },     { "QUEUE p50", 9, 5, true, false },
    { "QUEUE p99", 9, 1, true, false },   { "PARKED p99", 10, 4, true, false },
    { "COMMIT p99", 10, 7, true, false }, { "CALLS", 7, 6, true, false },
    { "ERRORS", 16, 2, false, true },
};

/* Lists the codes of failures, "2 ASQ_EDEADLINE, 1 ASQ_EUSER(3)". */
static void list_codes(const asq_value *failures, char *text, size_t n)
{
    size_t used = 0;
    *text = '\0';
    for (size_t i = 0; i < asq_map_size(failures) && used < n; i++) {
        const char *code;
        int64_t times = 0;
        asq_value_get_int(asq_map_at(failures, i, &code), &times);
        used += (size_t) snprintf(text + used, n - used, "%s%lld %s", i ? ", " : "",
                                  (long long) times, code);
    }
}

static void make_methods(struct as_top_grid *grid, const asq_value *stats)
{
    const asq_value *list = asq_map_get(stats, "methods");
    as_top_grid_init(grid, method_columns, sizeof method_columns / sizeof method_columns[0]);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *method = asq_list_get(list, i);
        const asq_value *run = asq_map_get(method, "run"), *queue = asq_map_get(method, "queue");
        char name[AS_TOP_METHOD_NAME], codes[200];
        double failed = as_top_number(method, "failed");
        enum as_top_style style = failed > 0 ? AS_TOP_BAD : AS_TOP_PLAIN;
        as_top_method_name(method, name);
        list_codes(asq_map_get(method, "failures"), codes, sizeof codes);
        as_top_grid_row(grid, name, NULL);
        add_text(grid, style, name);
        add_number(grid, AS_TOP_PLAIN, as_top_number(method, "rate"));
        add_number(grid, style, failed);
        add_ms(grid, AS_TOP_PLAIN, as_top_number(run, "p50_ms"));
        add_ms(grid, AS_TOP_PLAIN, as_top_number(run, "p99_ms"));
        add_ms(grid, AS_TOP_PLAIN, as_top_number(queue, "p50_ms"));
        add_ms(grid, AS_TOP_PLAIN, as_top_number(queue, "p99_ms"));
        add_ms(grid, AS_TOP_PLAIN, as_top_number(asq_map_get(method, "parked"), "p99_ms"));
        add_ms(grid, AS_TOP_PLAIN, as_top_number(asq_map_get(method, "commit"), "p99_ms"));
        add_number(grid, AS_TOP_PLAIN, as_top_number(method, "calls"));
        add_text(grid, style, codes);
    }
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static const struct as_top_column call_columns[] = {
    { "STATE", 8, 0, false, false },  { "AGE", 7, 0, true, false },
    { "METHOD", 13, 0, false, true }, { "AGENT", 12, 0, false, true },
    { "WHY", 12, 1, false, true },    { "CALL", 16, 2, false, true },
};

/* Returns the call that the agent of another one is at. NULL: none is known. */
static const asq_value *find_begun(const asq_value *calls, const char *agent)
{
    for (size_t i = 0; i < asq_list_size(calls); i++) {
        const asq_value *call = asq_list_get(calls, i);
        const char *state = asq_map_string(call, "state");
        if ((*state == 'r' || *state == 'p') && asq_map_get(call, "due_ms") == NULL &&
            strcmp(asq_map_string(call, "agent"), agent) == 0)
            return call;
    }
    return NULL;
}

/* Tells for how long a call has been running, and the median of its method. */
static void tell_run(const asq_value *stats, const asq_value *call, double passed_ms, char *text,
                     size_t n)
{
    const asq_value *methods = asq_map_get(stats, "methods");
    char a[32], b[32], name[AS_TOP_METHOD_NAME], other[AS_TOP_METHOD_NAME];
    double ms = as_top_number(call, "run_ms"), usual = NAN;
    as_top_method_name(call, name);
    for (size_t i = 0; i < asq_list_size(methods) && isnan(usual); i++)
        if (strcmp(as_top_method_name(asq_list_get(methods, i), other), name) == 0)
            usual = as_top_number(asq_map_get(asq_list_get(methods, i), "run"), "p50_ms");
    as_top_short_ms((isnan(ms) ? as_top_number(call, "age_ms") : ms) + passed_ms, a);
    if (isnan(usual))
        snprintf(text, n, "running for %s", a);
    else
        snprintf(text, n, "running for %s, median %s", a, as_top_short_ms(usual, b));
}

enum {
    BAR = 10,
    VALUE = 40, /* bytes of an emitted value that are shown */
    PROGRESS_TEXT = 100,
    WHY_TEXT = 400,
    CALL_TEXT = PROGRESS_TEXT + WHY_TEXT + 2
};

/* Tells why a call runs no further. */
static void explain(const asq_value *calls, const asq_value *call, double passed_ms, char *text,
                    size_t n)
{
    const char *why = asq_map_string(call, "why"), *waits_for = asq_map_string(call, "waits_for");
    double runs = as_top_number(call, "failed_runs"), due = as_top_number(call, "due_ms");
    char when[32], failed[60] = "";
    if (runs > 0)
        snprintf(failed, sizeof failed, "failed %.0f time%s, ", runs, runs == 1 ? "" : "s");
    if (strcmp(asq_map_string(call, "state"), "retrying") == 0)
        why = ""; /* told by `failed` */
    if (!isnan(due))
        snprintf(text, n, "%sdue in %s%s%s", failed, as_top_short_ms(due - passed_ms, when),
                 *why ? ": " : "", why);
    else if (*waits_for && !strstr(why, waits_for))
        snprintf(text, n, "%s%s: %s", failed, *why ? why : "waits for", waits_for);
    else
        snprintf(text, n, "%s%s", failed, why);
    /* Workers give no reason for a call that is simply not the next of its agent. */
    const asq_value *before = *text || strcmp(asq_map_string(call, "state"), "waiting") != 0
                                  ? NULL
                                  : find_begun(calls, asq_map_string(call, "agent"));
    if (before) {
        char name[AS_TOP_METHOD_NAME];
        as_top_method_name(before, name);
        snprintf(text, n, "its agent is at %.250s", name);
    }
}

/* Tells how far a call is: a bar, or the last value that it has emitted. "": it has emitted none. */
static void tell_progress(const asq_value *progress, const asq_value *call, char *text, size_t n)
{
    const asq_value *known = asq_map_get(progress, asq_map_string(call, "id"));
    const asq_value *value = asq_map_get(known, "value");
    char bar[AS_BAR_TEXT], *json;
    double share;
    *text = '\0';
    if (!value)
        return;
    if (as_bar_share(value, false, &share)) {
        snprintf(text, n, "%s", as_bar(share, BAR, bar));
    } else if (asq_to_json(value, 0, &json) == 0) {
        size_t shown = strnlen(json, VALUE);
        while (json[shown] && ((unsigned char) json[shown] & 0xc0) == 0x80)
            shown--; /* whole characters */
        snprintf(text, n, "emits %.*s%s", (int) shown, json, json[shown] ? "…" : "");
        free(json);
    }
}

/* Tells how far a call is, and why it runs no further, or for how long it has run. */
static void tell_call(const asq_value *calls, const struct as_top_frame *frame,
                      const asq_value *call, double passed_ms, char *text, size_t n)
{
    char why[WHY_TEXT], progress[PROGRESS_TEXT];
    tell_progress(frame->progress, call, progress, sizeof progress);
    if (strcmp(asq_map_string(call, "state"), "running") == 0)
        tell_run(frame->stats, call, passed_ms, why, sizeof why);
    else
        explain(calls, call, passed_ms, why, sizeof why);
    snprintf(text, n, "%s%s%s", progress, *progress && *why ? "; " : "", why);
}

void as_top_make_calls(struct as_top_grid *grid, const asq_value *calls,
                       const struct as_top_frame *frame, int64_t passed_ms,
                       int64_t queued_passed_ms)
{
    as_top_grid_init(grid, call_columns, sizeof call_columns / sizeof call_columns[0]);
    for (size_t i = 0; i < asq_list_size(calls); i++) {
        const asq_value *call = asq_list_get(calls, i);
        const char *state = asq_map_string(call, "state"), *agent = asq_map_string(call, "agent");
        bool begun = strcmp(state, "running") == 0 || strcmp(state, "parked") == 0;
        double passed = (double) (begun ? passed_ms : queued_passed_ms);
        double age = as_top_number(call, "age_ms") + passed;
        char name[AS_TOP_METHOD_NAME], why[CALL_TEXT];
        bool planned = !isnan(as_top_number(call, "due_ms"));
        enum as_top_style style = !planned && age >= AS_TOP_STUCK_MS ? AS_TOP_WARN : AS_TOP_PLAIN;
        as_top_method_name(call, name);
        tell_call(calls, frame, call, passed, why, sizeof why);
        as_top_grid_row(grid, asq_map_string(call, "id"), *agent ? agent : NULL);
        add_text(grid, begun ? AS_TOP_BOLD : AS_TOP_PLAIN, state);
        add_ms(grid, style, age);
        add_text(grid, style, name);
        add_text(grid, AS_TOP_PLAIN, agent);
        add_text(grid, style, why);
        add_text(grid, AS_TOP_DIM, asq_map_string(call, "id"));
    }
}

/* ---- Workers -------------------------------------------------------------------------------- */

static const struct as_top_column worker_columns[] = {
    { "WORKER", 14, 0, false, true },     { "STATE", 9, 0, false, false },
    { "SEEN", 8, 0, true, false },        { "END", 4, 2, false, true },
    { "UP", 8, 4, true, false },          { "RUNNING", 8, 0, true, false },
    { "PARKED", 7, 1, true, false },      { "WAITING", 8, 2, true, false },
    { "PARTITIONS", 10, 3, true, false }, { "CALLS", 8, 5, true, false },
    { "FAILURES", 8, 6, true, false },    { "AGENTS", 8, 7, true, false },
    { "PID", 8, 9, true, false },         { "HOST", 10, 8, false, true },
    { "VERSION", 7, 10, false, false },
};

static bool is_set(const asq_value *worker, const char *key)
{
    bool b;
    if (asq_value_get_bool(asq_map_get(worker, key), &b) == 0)
        return b;
    return as_top_number(worker, key) > 0 || strcmp(asq_map_string(worker, key), "1") == 0;
}

static const char *worker_state(const asq_value *worker, enum as_top_style *style)
{
    const char *became = asq_map_string(worker, "became");
    *style = AS_TOP_BAD;
    if (strcmp(became, "died") == 0)
        return "died";
    *style = AS_TOP_DIM;
    if (strcmp(became, "left") == 0)
        return "left";
    *style = AS_TOP_BAD;
    if (!is_set(worker, "alive"))
        return "dead";
    *style = AS_TOP_WARN;
    if (is_set(worker, "stopping"))
        return "stopping";
    if (*became)
        return "restarted";
    *style = AS_TOP_PLAIN;
    return "alive";
}

/* Returns what a worker has at the moment. One that is dead has nothing, whatever it told. */
static double figure(const asq_value *worker, const char *key)
{
    const asq_value *v = asq_map_get(worker, key);
    if (!is_set(worker, "alive"))
        return NAN;
    return asq_value_type(v) == ASQ_LIST ? (double) asq_list_size(v) : as_top_number(worker, key);
}

/* Tells how a process has died, and who has taken over. */
static const char *tell_end(const asq_value *worker, char *text, size_t n)
{
    const char *how = asq_map_string(worker, "how"), *heirs = asq_map_string(worker, "heirs");
    snprintf(text, n, "%s%s%s", how, *heirs ? "; heirs: " : "", heirs);
    return text;
}

/* Returns a counter of a worker's hash. */
static double counter(const asq_value *worker, const char *key)
{
    double d;
    return asq_value_get_double(as_field(worker, key), &d) == 0 ? d : NAN;
}

static void make_workers(struct as_top_grid *grid, const asq_value *list, double passed_ms)
{
    as_top_grid_init(grid, worker_columns, sizeof worker_columns / sizeof worker_columns[0]);
    for (size_t i = 0; i < asq_list_size(list); i++) {
        const asq_value *worker = asq_list_get(list, i);
        const char *id = asq_map_string(worker, "id");
        enum as_top_style style;
        const char *state = worker_state(worker, &style);
        char key[AS_TOP_WORKER_KEY], end[1300];
        as_top_grid_row(grid, as_top_worker_key(worker, key), NULL);
        add_text(grid, style, id);
        add_text(grid, style, state);
        add_ms(grid, style, as_top_number(worker, "seen_ms") + passed_ms);
        add_text(grid, style, tell_end(worker, end, sizeof end));
        add_ms(grid, AS_TOP_PLAIN, figure(worker, "uptime_ms") + passed_ms);
        add_number(grid, AS_TOP_PLAIN, figure(worker, "running"));
        add_number(grid, AS_TOP_PLAIN, figure(worker, "parked"));
        add_number(grid, AS_TOP_PLAIN, figure(worker, "waiting"));
        add_number(grid, AS_TOP_PLAIN, figure(worker, "partitions"));
        add_number(grid, AS_TOP_PLAIN, counter(worker, "calls"));
        add_number(grid, AS_TOP_PLAIN, counter(worker, "failures"));
        add_number(grid, AS_TOP_PLAIN, counter(worker, "agents"));
        char pid[32] = "";
        double number = as_top_number(worker, "pid");
        snprintf(pid, sizeof pid, "%.0f", number);
        as_top_grid_number(grid, AS_TOP_DIM, number, isnan(number) ? NULL : pid);
        add_text(grid, AS_TOP_DIM, asq_map_string(worker, "host"));
        add_text(grid, AS_TOP_DIM, asq_map_string(worker, "version"));
    }
}

/* ---- Failures and dead letters -------------------------------------------------------------- */

static const struct as_top_column failure_columns[] = {
    { "AGO", 8, 0, true, false },        { "METHOD", 14, 0, false, true },
    { "CODE", 12, 0, false, true },      { "MESSAGE", 14, 0, false, true },
    { "AGENT", 10, 1, false, true },     { "ATTEMPT", 7, 3, true, false },
    { "AGAIN", 5, 4, false, false },     { "WORKER", 8, 2, false, true },
    { "ARGUMENTS", 10, 5, false, true }, { "CALL", 16, 6, false, true },
};

void as_top_make_failures(struct as_top_grid *grid, const asq_value *failures, int64_t time_ms)
{
    as_top_grid_init(grid, failure_columns, sizeof failure_columns / sizeof failure_columns[0]);
    for (size_t i = 0; i < asq_list_size(failures); i++) {
        const asq_value *failure = asq_list_get(failures, i);
        const char *agent = asq_map_string(failure, "agent");
        char name[AS_TOP_METHOD_NAME], ago[32];
        double time = as_top_number(failure, "time_ms");
        bool again = asq_map_bool(failure, "again");
        as_top_method_name(failure, name);
        as_top_grid_row(grid, asq_map_string(failure, "id"), *agent ? agent : NULL);
        as_top_grid_number(grid, AS_TOP_PLAIN, time,
                           isnan(time) ? NULL : as_top_short_ms((double) time_ms - time, ago));
        add_text(grid, AS_TOP_BAD, name);
        add_text(grid, AS_TOP_BAD, asq_map_string(failure, "code"));
        add_text(grid, AS_TOP_PLAIN, asq_map_string(failure, "message"));
        add_text(grid, AS_TOP_PLAIN, agent);
        add_number(grid, AS_TOP_PLAIN, as_top_number(failure, "attempt"));
        add_text(grid, AS_TOP_PLAIN, again ? "yes" : "no");
        add_text(grid, AS_TOP_DIM, asq_map_string(failure, "worker"));
        add_text(grid, AS_TOP_DIM, asq_map_string(failure, "args"));
        add_text(grid, AS_TOP_DIM, asq_map_string(failure, "call_id"));
    }
}

static const struct as_top_column letter_columns[] = {
    { "AGO", 8, 0, true, false },     { "CALL", 14, 0, false, true },
    { "REASON", 14, 0, false, true }, { "ATTEMPTS", 8, 1, true, false },
    { "WORKER", 8, 2, false, true },  { "BYTES", 8, 4, true, false },
    { "LETTER", 18, 3, false, true },
};

static void make_letters(struct as_top_grid *grid, const asq_value *letters, int64_t time_ms)
{
    as_top_grid_init(grid, letter_columns, sizeof letter_columns / sizeof letter_columns[0]);
    for (size_t i = 0; i < asq_list_size(letters); i++) {
        const asq_value *letter = asq_list_get(letters, i);
        double time = as_top_number(letter, "time_ms");
        char ago[32];
        as_top_grid_row(grid, asq_map_string(letter, "id"), NULL);
        as_top_grid_number(grid, AS_TOP_PLAIN, time,
                           isnan(time) ? NULL : as_top_short_ms((double) time_ms - time, ago));
        add_text(grid, AS_TOP_BAD, asq_map_string(letter, "call"));
        add_text(grid, AS_TOP_PLAIN, asq_map_string(letter, "reason"));
        add_number(grid, AS_TOP_PLAIN, as_top_number(letter, "attempts"));
        add_text(grid, AS_TOP_PLAIN, asq_map_string(letter, "worker"));
        add_number(grid, AS_TOP_PLAIN, as_top_number(letter, "batch_bytes"));
        add_text(grid, AS_TOP_DIM, asq_map_string(letter, "id"));
    }
}

void as_top_make_table(struct as_top_grid *grid, enum as_top_table table,
                       const struct as_top_frame *frame, int64_t now_ms)
{
    int64_t passed_ms = now_ms - frame->read_ms, time_ms = frame->time_ms + passed_ms;
    switch (table) {
    case AS_TOP_METHODS: make_methods(grid, frame->stats); break;
    case AS_TOP_CALLS:
        as_top_make_calls(grid, frame->calls, frame, passed_ms, now_ms - frame->queued_ms);
        break;
    case AS_TOP_WORKERS: make_workers(grid, frame->workers, (double) passed_ms); break;
    case AS_TOP_FAILURES: as_top_make_failures(grid, frame->failures, time_ms); break;
    case AS_TOP_LETTERS: make_letters(grid, frame->letters, time_ms); break;
    }
}
