/*
 * remember.c: see remember.h.
 */
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "top/frame.h"
#include "top/remember.h"
#include "value/grow.h"

enum { MAX_KNOWN = 10000 };

static void drop(struct as_top_memory *memory, size_t i)
{
    asq_value_free(memory->known[i].worker);
    memory->known[i] = memory->known[--memory->n];
}

void as_top_forget(struct as_top_memory *memory)
{
    while (memory->n)
        drop(memory, memory->n - 1);
    free(memory->known);
    *memory = (struct as_top_memory){ .n = 0 };
}

static struct as_top_known *find(struct as_top_memory *memory, const char *id)
{
    for (size_t i = 0; i < memory->n; i++)
        if (strcmp(asq_map_string(memory->known[i].worker, "id"), id) == 0)
            return &memory->known[i];
    return NULL;
}

/* Takes in a worker of the list, and marks it if it began anew. */
static int take(struct as_top_memory *memory, asq_value *worker, int64_t now_ms)
{
    struct as_top_known *known = find(memory, asq_map_string(worker, "id"));
    asq_value *copy = asq_value_copy(worker);
    if (!copy)
        return ASQ_ENOMEM;
    if (!known) {
        if (memory->n >= MAX_KNOWN ||
            !asq__grow(&memory->known, memory->n, &memory->room, sizeof *memory->known)) {
            asq_value_free(copy);
            return memory->n >= MAX_KNOWN ? 0 : ASQ_ENOMEM;
        }
        known = &memory->known[memory->n++];
        *known = (struct as_top_known){ .up_ms = NAN };
    }
    /* A missing figure is NAN, with which each comparison fails. */
    double up_ms = as_top_number(worker, "uptime_ms");
    double pid = as_top_number(worker, "pid"), last_pid = as_top_number(known->worker, "pid");
    bool anew = up_ms < known->up_ms || pid < last_pid || pid > last_pid;
    bool was_gone = known->became && strcmp(known->became, "restarted") != 0;
    if (anew || was_gone) {
        known->became = "restarted";
        known->became_ms = now_ms;
    }
    asq_value_free(known->worker);
    known->worker = copy;
    known->listed_ms = now_ms;
    if (anew || up_ms >= 0)
        known->up_ms = up_ms;
    return known->became ? asq_map_set(worker, "became", asq_value_string(known->became)) : 0;
}

/* Decides what became of a worker that is not listed any more. Who goes in order is listed until
 * shortly after its last heartbeat; others are until their lease is over. */
static const char *fate(const struct as_top_known *known, int64_t now_ms)
{
    double age = as_top_number(known->worker, "seen_ms") + (double) (now_ms - known->listed_ms);
    bool alive = true;
    asq_value_get_bool(asq_map_get(known->worker, "alive"), &alive);
    return !alive || age >= as_top_number(known->worker, "lease_time_ms") ? "died" : "left";
}

/* Adds a worker that is not listed any more. */
static int add_gone(const struct as_top_known *known, asq_value *workers, int64_t now_ms)
{
    asq_value *worker = asq_value_copy(known->worker);
    double seen = as_top_number(worker, "seen_ms");
    static const char *const of_the_past[] = { "running", "parked", "waiting", "partitions" };
    int rc = worker ? asq_map_set(worker, "became", asq_value_string(known->became)) : ASQ_ENOMEM;
    if (rc == 0)
        rc = asq_map_set(worker, "alive", asq_value_bool(false));
    if (rc == 0 && seen >= 0)
        rc = asq_map_set_int(worker, "seen_ms", (int64_t) seen + now_ms - known->listed_ms);
    for (size_t i = 0; rc == 0 && i < sizeof of_the_past / sizeof of_the_past[0]; i++)
        if (asq_map_get(worker, of_the_past[i]))
            rc = asq_map_remove(worker, of_the_past[i]);
    if (rc == 0)
        return asq_list_append(workers, worker);
    asq_value_free(worker);
    return rc;
}

int as_top_remember(struct as_top_memory *memory, asq_value *workers, int64_t now_ms)
{
    int rc = 0;
    size_t listed = asq_list_size(workers);
    for (size_t i = 0; rc == 0 && i < listed; i++)
        rc = take(memory, asq_list_at(workers, i), now_ms);
    for (size_t i = 0; rc == 0 && i < memory->n;) {
        struct as_top_known *known = &memory->known[i];
        bool gone = known->listed_ms != now_ms;
        if (gone && (!known->became || strcmp(known->became, "restarted") == 0)) {
            known->became = fate(known, now_ms);
            known->became_ms = now_ms;
        }
        if (known->became && now_ms - known->became_ms > AS_TOP_REMEMBER_MS) {
            known->became = NULL;
            if (gone) {
                drop(memory, i);
                continue;
            }
        }
        if (gone)
            rc = add_gone(known, workers, now_ms);
        i++;
    }
    return rc;
}
