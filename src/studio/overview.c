/*
 * overview.c: see overview.h. Workers are asked for their figures, and slow readings are made, less
 * often than the rest: `past` has what they gave.
 */
#include "studio/overview.h"

#include <string.h>
#include <time.h>

#include "program.h"
#include "studio/api.h"
#include "studio/rates.h"
#include "workers.h"

enum { LIVE_MS = 2900, SLOW_MS = 9900, OWNERS_MS = 1900, STATS_MS = 1900, COUNT_MS = 2000 };

static const char *const live_keys[] = { "seen_ms", "uptime_ms", "running", "parked", "waiting" };
enum { LIVE_KEYS = sizeof live_keys / sizeof live_keys[0] };

void as_past_init(struct as_past *past)
{
    *past = (struct as_past){ .agents = -1, .dead = -1 };
}

void as_past_release(struct as_past *past)
{
    asq_value_free(past->counters);
    asq_value_free(past->live);
    asq_value_free(past->owners);
    asq_value_free(past->owned);
    asq_value_free(past->stats);
    as_past_init(past);
}

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- workers ---- */

static int keep_live(struct as_past *past, const asq_value *workers)
{
    asq_value *live = asq_value_map();
    int rc = live ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++) {
        const asq_value *w = asq_list_get(workers, i);
        asq_value *figures = asq_value_map();
        for (size_t k = 0; figures && rc == 0 && k < LIVE_KEYS; k++)
            if (asq_map_get(w, live_keys[k]))
                rc = asq_map_set_int(figures, live_keys[k], asq_map_int(w, live_keys[k]));
        if (rc < 0)
            asq_value_free(figures);
        else
            rc = asq_map_set(live, as_worker_id(w), figures);
    }
    if (rc < 0) {
        asq_value_free(live);
        return rc;
    }
    asq_value_free(past->live);
    past->live = live;
    past->live_ms = as_program_now_ms();
    return 0;
}

/* Adds the figures that workers have told before. */
static int add_live(const struct as_past *past, asq_value *workers)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++) {
        asq_value *w = asq_list_at(workers, i);
        const asq_value *figures = asq_map_get(past->live, as_worker_id(w));
        for (size_t k = 0; rc == 0 && k < asq_map_size(figures); k++) {
            const char *key;
            asq_map_at(figures, k, &key);
            rc = asq_map_set_int(w, key, asq_map_int(figures, key));
        }
    }
    return rc;
}

/* Puts the names of its classes in place of their descriptions, and adds what it owns. */
static int finish_worker(asq_value *w, const asq_value *owned)
{
    asq_value *names = asq_value_list();
    const asq_value *classes = asq_map_get(w, "classes"),
                    *own = asq_map_get(owned, as_worker_id(w));
    int rc = names ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_map_size(classes); i++) {
        const char *name;
        asq_map_at(classes, i, &name);
        rc = asq_list_append(names, asq_value_string(name));
    }
    if (rc < 0) {
        asq_value_free(names);
        return rc;
    }
    rc = asq_map_set(w, "classes", names);
    return rc < 0 ? rc : asq_map_set(w, "owns", own ? asq_value_copy(own) : asq_value_list());
}

/* Reads the owners of all partitions; `owned` gets the partitions of each. */
static int read_owners(asq *h, struct as_past *past)
{
    asq_value *owners, *owned;
    int rc = asq_partitions(h, &owners);
    if (rc < 0)
        return rc;
    rc = (owned = asq_value_map()) ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_list_size(owners); i++) {
        const asq_value *p = asq_list_get(owners, i);
        const char *owner = asq_map_string(p, "owner");
        if (!*owner)
            continue;
        if (!asq_map_get(owned, owner))
            rc = asq_map_set(owned, owner, asq_value_list());
        if (rc == 0)
            rc = asq_list_append(asq_map_find(owned, owner),
                                 asq_value_int(asq_map_int(p, "partition")));
    }
    if (rc < 0) {
        asq_value_free(owners);
        asq_value_free(owned);
        return rc;
    }
    asq_value_free(past->owners);
    asq_value_free(past->owned);
    past->owners = owners;
    past->owned = owned;
    past->owners_ms = as_program_now_ms();
    return 0;
}

static int read_workers(asq *h, struct as_past *past, asq_value **ret)
{
    asq_value *workers = NULL;
    int64_t now_ms = as_program_now_ms();
    bool live = !past->live || now_ms - past->live_ms >= LIVE_MS;
    int rc = live ? asq_workers_live(h, &workers) : asq_workers(h, &workers);
    if (rc < 0)
        return rc;
    rc = live ? keep_live(past, workers) : add_live(past, workers);
    if (rc == 0 && (!past->owners || now_ms - past->owners_ms >= OWNERS_MS))
        rc = read_owners(h, past);
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++)
        rc = finish_worker(asq_list_at(workers, i), past->owned);
    if (rc < 0)
        asq_value_free(workers);
    else
        *ret = workers;
    return rc;
}

/* ---- the overview ---- */

struct sums {
    int64_t alive, stopping, dead, capacity, running, parked, waiting, agents, agent_bytes, calls,
        failures, owned, new_calls, new_failures;
};

static int64_t counter(const asq_value *w, const char *key)
{
    int64_t n = asq_map_int(w, key);
    return n > 0 && n < INT64_MAX / 65536 ? n : 0; /* others could have written it */
}

/* Adds up the workers that are alive; what they have counted since the last time goes into new_….
 * *ret_counters gets what they have counted. */
static int add_up(const struct as_past *past, const asq_value *workers, struct sums *s,
                  asq_value **ret_counters)
{
    asq_value *counters = asq_value_map();
    int rc = counters ? 0 : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_list_size(workers); i++) {
        const asq_value *w = asq_list_get(workers, i);
        const asq_value *before = asq_map_get(past->counters, as_worker_id(w));
        bool stopping = asq_map_bool(w, "stopping");
        if (!as_worker_is_alive(w)) {
            s->dead++;
            continue;
        }
        s->alive++;
        s->stopping += stopping;
        s->capacity += counter(w, "capacity");
        s->running += counter(w, "running");
        s->parked += counter(w, "parked");
        s->waiting += counter(w, "waiting");
        s->agents += counter(w, "agents");
        s->agent_bytes += counter(w, "agent_bytes");
        int64_t calls = counter(w, "calls"), failures = counter(w, "failures");
        s->calls += calls;
        s->failures += failures;
        if (before && calls >= asq_map_int(before, "calls"))
            s->new_calls += calls - asq_map_int(before, "calls");
        if (before && failures >= asq_map_int(before, "failures"))
            s->new_failures += failures - asq_map_int(before, "failures");
        rc = asq_map_set(counters, as_worker_id(w),
                         asq_pack("{s:I, s:I}", "calls", calls, "failures", failures));
    }
    for (size_t i = 0; i < asq_list_size(past->owners); i++)
        s->owned += *asq_map_string(asq_list_get(past->owners, i), "owner") != '\0';
    if (rc < 0)
        asq_value_free(counters);
    else
        *ret_counters = counters;
    return rc;
}

static int count_slowly(asq *h, struct as_past *past)
{
    asq_value *letters;
    int64_t n;
    int rc = asq_dead_list(h, AS_DEAD_COUNTED + 1, &letters);
    if (rc < 0)
        return rc;
    past->dead = (int64_t) asq_list_size(letters);
    asq_value_free(letters);
    if ((rc = asq_agents_count(h, NULL, NULL, COUNT_MS, &n)) < 0 && rc != ASQ_ETIMEOUT)
        return rc;
    past->agents = rc == 0 ? n : past->agents;
    past->slow_ms = as_program_now_ms();
    return 0;
}

/* Reads the figures that workers keep. A Redis user that may not see them has the rest. */
static int read_stats(asq *h, struct as_past *past)
{
    asq_stats_options o = ASQ_STATS_OPTIONS_INIT;
    asq_value *stats = NULL;
    o.points = true;
    int rc = asq_stats(h, &o, &stats);
    if (rc < 0 && rc != ASQ_EREDIS && rc != ASQ_ENOTSUP)
        return rc;
    past->has_rates = stats && as_rates_of(stats, &past->rates);
    if (stats)
        asq_map_remove(stats, "points");
    asq_value_free(past->stats);
    past->stats = stats;
    past->stats_ms = as_program_now_ms();
    return 0;
}

/* Reads how many workers there were. Tells nothing of it to a Redis user that may not see it. */
static int read_history(asq *h, struct as_past *past)
{
    int rc = as_history_read(h, &past->history);
    past->history_next_ms = as_program_now_ms() + AS_HISTORY_PAUSE_MS;
    return rc == ASQ_EREDIS || rc == ASQ_ENOTSUP ? 0 : rc;
}

static asq_value *rate(int64_t n, int64_t ms)
{
    return ms > 0 ? asq_value_double((double) n * 1000 / (double) ms) : asq_value_null();
}

/* Adds the rates: those of the workers' figures, or else what their counters have moved by. */
static int add_rates(asq_value *o, struct as_past *past, const struct sums *s)
{
    int64_t now_ms = as_program_now_ms(), ms = past->counters ? now_ms - past->counted_ms : 0;
    bool known = past->has_rates;
    int rc = asq_map_set(o, "calls_per_s",
                         known ? asq_value_double(past->rates.calls) : rate(s->new_calls, ms));
    if (rc == 0)
        rc =
            asq_map_set(o, "failures_per_s",
                        known ? asq_value_double(past->rates.failures) : rate(s->new_failures, ms));
    past->counted_ms = now_ms;
    return rc;
}

static asq_value *make_overview(asq *h, const struct as_past *past, const struct sums *s,
                                double ping_ms)
{
    asq_value *agents = past->agents < 0 ? asq_value_null() : asq_value_int(past->agents);
    return asq_pack(
        "{s:I, s:s, s:{s:b, s:f, s:s}, s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:I, s:I, s:I,"
        " s:I, s:o, s:I, s:I, s:I, s:I, s:I, s:b, s:n}",
        "time_ms", unix_ms(), "namespace", asq_namespace(h), "redis", "up", 1, "ping_ms", ping_ms,
        "error", "", "workers", "alive", s->alive, "stopping", s->stopping, "dead", s->dead, "most",
        (int64_t) past->history.most_workers, "most_ms", past->history.most_ms, "partitions",
        "total", (int64_t) asq_list_size(past->owners), "owned", s->owned, "capacity", s->capacity,
        "running", s->running, "parked", s->parked, "waiting", s->waiting, "agents", agents,
        "agents_in_memory", s->agents, "agent_bytes", s->agent_bytes, "calls", s->calls, "failures",
        s->failures, "dead_letters",
        past->dead > AS_DEAD_COUNTED ? (int64_t) AS_DEAD_COUNTED : past->dead, "dead_letters_more",
        past->dead > AS_DEAD_COUNTED, "stats");
}

/* Adds the last deaths of workers. Tells nothing of them to a Redis user that may not see them. */
static int add_deaths(asq *h, asq_value *o)
{
    asq_value *list;
    int rc = asq_workers_dead(h, &list);
    if (rc < 0)
        return rc == ASQ_EREDIS || rc == ASQ_ENOTSUP ? 0 : rc;
    while (asq_list_size(list) > AS_DEATHS)
        asq_list_remove(list, AS_DEATHS);
    return asq_map_set(o, "deaths", list);
}

static int read_all(asq *h, struct as_past *past, asq_value **ret_overview, asq_value **ret_workers)
{
    asq_value *workers = NULL, *counters = NULL, *overview = NULL, *paused = NULL;
    struct sums s = { 0 };
    double ping_ms;
    int rc = asq_ping(h, &ping_ms);
    if (rc == 0 && (past->agents < 0 || as_program_now_ms() - past->slow_ms >= SLOW_MS))
        rc = count_slowly(h, past);
    if (rc == 0 && (past->stats_ms == 0 || as_program_now_ms() - past->stats_ms >= STATS_MS))
        rc = read_stats(h, past);
    if (rc == 0 && as_program_now_ms() >= past->history_next_ms)
        rc = read_history(h, past);
    if (rc == 0)
        rc = read_workers(h, past, &workers);
    if (rc < 0)
        return rc;
    if ((rc = asq_paused(h, &paused)) < 0) {
        asq_value_free(workers);
        return rc;
    }
    rc = add_up(past, workers, &s, &counters);
    if (rc == 0 && !(overview = make_overview(h, past, &s, ping_ms)))
        rc = ASQ_ENOMEM;
    if (rc == 0)
        rc = add_rates(overview, past, &s);
    if (rc == 0 && past->stats)
        rc = asq_map_set(overview, "stats", asq_value_copy(past->stats));
    if (rc == 0) {
        rc = asq_map_set(overview, "paused", paused);
        paused = NULL;
    }
    if (rc == 0)
        rc = add_deaths(h, overview);
    if (rc < 0) {
        asq_value_free(paused);
        asq_value_free(workers);
        asq_value_free(counters);
        asq_value_free(overview);
        return rc;
    }
    asq_value_free(past->counters);
    past->counters = counters;
    *ret_overview = overview;
    *ret_workers = workers;
    return 0;
}

int as_overview_read(asq *h, struct as_past *past, asq_value **ret_overview,
                     asq_value **ret_workers)
{
    struct as_past none;
    as_past_init(&none);
    int rc = read_all(h, past ? past : &none, ret_overview, ret_workers);
    as_past_release(&none);
    return rc;
}

asq_value *as_overview_away(const char *ns, const char *why)
{
    return asq_pack("{s:I, s:s, s:{s:b, s:n, s:s}, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, s:n, "
                    "s:n, s:n, s:n, s:n, s:n, s:n, s:n}",
                    "time_ms", unix_ms(), "namespace", ns, "redis", "up", 0, "ping_ms", "error",
                    why, "workers", "partitions", "capacity", "running", "parked", "waiting",
                    "agents", "agents_in_memory", "agent_bytes", "calls", "failures",
                    "dead_letters", "dead_letters_more", "calls_per_s", "failures_per_s", "stats");
}
