/*
 * workers.c: see workers.h. Entries come from Redis and may have any contents: a field that is
 * missing or of another type is shown as "-".
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "workers.h"

static const struct {
    const char *key;
    struct as_column column;
} columns[] = {
    { "id", { "WORKER", false } },
    { "alive", { "ALIVE", false } },
    { "seen_ms", { "SEEN", true } },
    { "uptime_ms", { "UP", true } },
    { "host", { "HOST", false } },
    { "pid", { "PID", true } },
    { "partitions", { "PARTITIONS", true } },
    { "capacity", { "CAPACITY", true } },
    { "running", { "RUNNING", true } },
    { "parked", { "PARKED", true } },
    { "waiting", { "WAITING", true } },
    { "calls", { "CALLS", true } },
    { "failures", { "FAILURES", true } },
    { "agents", { "AGENTS", true } },
    { "version", { "VERSION", false } },
};
#define NCOLUMNS (sizeof columns / sizeof columns[0])

const char *as_worker_id(const asq_value *worker)
{
    return asq_map_string(worker, "id");
}

bool as_worker_is_alive(const asq_value *worker)
{
    return asq_map_bool(worker, "alive");
}

static bool is_stopping(const asq_value *worker)
{
    const asq_value *v = asq_map_get(worker, "stopping");
    bool b;
    if (asq_value_get_bool(v, &b) == 0)
        return b;
    int64_t i;
    if (asq_value_get_int(v, &i) == 0)
        return i != 0;
    const char *s;
    return asq_value_get_string(v, &s, NULL) == 0 && strcmp(s, "1") == 0;
}

bool as_worker_includes(const char *id, const char *process)
{
    size_t n = strlen(id);
    const char *rest = process + n;
    if (strncmp(id, process, n) != 0)
        return false;
    if (!*rest)
        return true;
    /* The rest of W.0 */
    if (*rest++ != '.' || !*rest)
        return false;
    return strspn(rest, "0123456789") == strlen(rest);
}

/* Makes a cell. Partitions may be a number or a list; the table shows their number. */
static char *cell(const asq_value *worker, const char *key)
{
    const asq_value *v = as_field(worker, key);
    if (strcmp(key, "alive") == 0 && as_worker_is_alive(worker) && is_stopping(worker))
        return strdup("stopping");
    size_t n = strlen(key);
    int64_t ms;
    if (n > 3 && strcmp(key + n - 3, "_ms") == 0 && asq_value_get_int(v, &ms) == 0) {
        char text[32];
        as_duration(ms, text);
        return strdup(text);
    }
    if (strcmp(key, "partitions") != 0 || asq_value_type(v) != ASQ_LIST)
        return as_word(v);
    asq_value *count = asq_value_int((int64_t) asq_list_size(v));
    char *word = count ? as_word(count) : NULL;
    asq_value_free(count);
    return word;
}

static int show_table(const struct as_reporter *who, const asq_value *list)
{
    struct as_column heads[NCOLUMNS];
    for (size_t i = 0; i < NCOLUMNS; i++)
        heads[i] = columns[i].column;
    struct as_table *t = as_table_new(heads, NCOLUMNS);
    for (size_t row = 0; row < asq_list_size(list); row++)
        for (size_t i = 0; i < NCOLUMNS; i++)
            as_table_add(t, cell(asq_list_get(list, row), columns[i].key));
    return as_table_print(t, who);
}

bool as_worker_serves(const char *pools, const char *pool)
{
    size_t n = strlen(pool);
    for (const char *at = pools; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (*at == '*' || (strncmp(at, pool, n) == 0 && strchr(",:", at[n])))
            return true; /* strchr also finds the end */
    return false;
}

/* Tells which pools a worker was asked to serve no longer. */
static void note_drained(const struct as_reporter *who, const asq_value *worker)
{
    const char *drained = asq_map_string(worker, "drained");
    if (as_worker_is_alive(worker) && *drained)
        as_note(who,
                "%s serves these pools no longer (as-ctl drain), until it is started anew: %.400s",
                as_worker_id(worker), drained);
}

/* Tells which classes are missing where. */
static void note_classes(const struct as_reporter *who, const asq_value *worker)
{
    const asq_value *lacks = asq_map_get(worker, "lacks");
    const char *id = as_worker_id(worker), *name, *awaits = asq_map_string(worker, "awaits");
    char text[600] = "";
    size_t n = asq_list_size(lacks), used = 0;
    for (size_t i = 0; i < n && used < 400; i++) {
        asq_value_get_string(asq_list_get(lacks, i), &name, NULL);
        used += (size_t) snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", name);
    }
    if (n)
        as_note(who, "%s lacks classes that other workers have: %s%s", id, text,
                used < 400 ? "" : ", …");
    if (as_worker_is_alive(worker) && *awaits)
        as_note(
            who,
            "calls in partitions of %s wait for classes that no live worker has, or none that has "
            "the partition's other classes: %s",
            id, awaits);
}

int as_workers_show(const struct as_reporter *who, asq *h)
{
    asq_value *list;
    if (asq_workers_live(h, &list) < 0)
        return as_report(who, asq_last_error(h));
    int status;
    if (who->json)
        status = as_print_json(who, list, false);
    else if (asq_list_size(list))
        status = show_table(who, list);
    else {
        as_note(who, "no workers in namespace '%s'", asq_namespace(h));
        status = AS_EXIT_OK;
    }
    for (size_t i = 0; i < asq_list_size(list); i++)
        note_classes(who, asq_list_get(list, i));
    for (size_t i = 0; i < asq_list_size(list); i++)
        note_drained(who, asq_list_get(list, i));
    asq_value_free(list);
    return status;
}

int as_workers_alive(asq *h)
{
    asq_value *list;
    int n = 0, rc = asq_workers(h, &list);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < asq_list_size(list); i++)
        n += as_worker_is_alive(asq_list_get(list, i));
    asq_value_free(list);
    return n;
}
