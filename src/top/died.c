/*
 * died.c: see died.h.
 */
#include "top/died.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "deaths.h"
#include "top/frame.h"
#include "top/remember.h"

const char *as_top_worker_key(const asq_value *worker, char text[AS_TOP_WORKER_KEY])
{
    double pid = as_top_number(worker, "pid");
    if (asq_map_bool(worker, "alive") || isnan(pid))
        snprintf(text, AS_TOP_WORKER_KEY, "%s", asq_map_string(worker, "id"));
    else
        snprintf(text, AS_TOP_WORKER_KEY, "%.*s %.0f", ASQ_MAX_ID - 21,
                 asq_map_string(worker, "id"), pid);
    return text;
}

/* Returns whether the entry is of the process that has died. */
static bool is_of(const asq_value *worker, const asq_value *death)
{
    double pid = as_top_number(death, "pid");
    return !asq_map_bool(worker, "alive") &&
           strcmp(asq_map_string(worker, "id"), asq_map_string(death, "id")) == 0 &&
           (isnan(pid) || !(fabs(pid - as_top_number(worker, "pid")) >= 1));
}

static asq_value *find_entry(asq_value *workers, const asq_value *death)
{
    for (size_t i = 0; i < asq_list_size(workers); i++)
        if (is_of(asq_list_at(workers, i), death))
            return asq_list_at(workers, i);
    return NULL;
}

/* Adds an entry of what is known of the process. */
static asq_value *add_entry(asq_value *workers, const asq_value *death, int64_t age_ms)
{
    asq_value *entry = asq_pack("{s:s, s:b, s:I}", "id", asq_map_string(death, "id"), "alive", 0,
                                "seen_ms", age_ms + asq_map_int(death, "silent_ms"));
    static const char *const fields[] = { "host", "pid" };
    for (size_t i = 0; entry && i < sizeof fields / sizeof fields[0]; i++)
        if (asq_map_get(death, fields[i]))
            asq_map_set(entry, fields[i], asq_value_copy(asq_map_get(death, fields[i])));
    return entry && asq_list_append(workers, entry) == 0 ? entry : NULL;
}

static int mark_dead(asq_value *entry, const asq_value *death, int64_t age_ms)
{
    char how[200], heirs[1000];
    as_death_how(death, how, sizeof how);
    as_death_heirs(death, heirs, sizeof heirs);
    if (!entry || asq_map_set(entry, "became", asq_value_string("died")) < 0 ||
        asq_map_set(entry, "how", asq_value_string(how)) < 0 ||
        asq_map_set(entry, "heirs", asq_value_string(heirs)) < 0 ||
        asq_map_set_int(entry, "died_ms", age_ms) < 0)
        return ASQ_ENOMEM;
    return 0;
}

/* Marks the worker that lives in place of the process. */
static int mark_restarted(asq_value *workers, const asq_value *death)
{
    for (size_t i = 0; i < asq_list_size(workers); i++) {
        asq_value *worker = asq_list_at(workers, i);
        if (asq_map_bool(worker, "alive") && !asq_map_get(worker, "became") &&
            strcmp(asq_map_string(worker, "id"), asq_map_string(death, "id")) == 0)
            return asq_map_set(worker, "became", asq_value_string("restarted"));
    }
    return 0;
}

int as_top_add_dead(asq_value *workers, const asq_value *deaths, int64_t time_ms)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < asq_list_size(deaths); i++) {
        const asq_value *death = asq_list_get(deaths, i);
        int64_t age_ms = time_ms - asq_map_int(death, "time_ms");
        if (age_ms > AS_TOP_DEAD_MS || asq_map_get(death, "heard_ms"))
            continue;
        age_ms = age_ms < 0 ? 0 : age_ms;
        asq_value *entry = find_entry(workers, death);
        rc = mark_dead(entry ? entry : add_entry(workers, death, age_ms), death, age_ms);
        if (rc == 0 && age_ms < AS_TOP_REMEMBER_MS)
            rc = mark_restarted(workers, death);
    }
    return rc;
}
