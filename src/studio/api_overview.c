/*
 * api_overview.c: the deployment as a whole: overview, workers, partitions, classes. While somebody
 * listens to events, the watcher's last reading is given.
 */
#include <string.h>

#include "studio/api.h"
#include "studio/overview.h"
#include "studio/studio.h"

/* Answers with one of the two lists of a new reading. */
static void answer_new(const struct as_call *c, bool wants_workers, struct as_answer *a)
{
    asq_value *overview, *workers;
    if (!as_api_ok(c, as_overview_read(c->h, NULL, &overview, &workers), a))
        return;
    as_answer_value(a, 200, wants_workers ? workers : overview);
    asq_value_free(wants_workers ? overview : workers);
}

void as_api_overview(const struct as_call *c, struct as_answer *a)
{
    char *fresh = as_feed_fresh(&c->studio->feed, AS_EVENT_OVERVIEW);
    if (fresh)
        as_answer_text(a, 200, fresh);
    else
        answer_new(c, false, a);
}

void as_api_workers(const struct as_call *c, struct as_answer *a)
{
    answer_new(c, true, a);
}

void as_api_partitions(const struct as_call *c, struct as_answer *a)
{
    asq_value *list;
    if (as_api_ok(c, asq_partitions(c->h, &list), a))
        as_answer_value(a, 200, list);
}

void as_api_takeovers(const struct as_call *c, struct as_answer *a)
{
    as_answer_value(a, 200, as_feed_takeovers(&c->studio->feed));
}

void as_api_deaths(const struct as_call *c, struct as_answer *a)
{
    asq_value *list;
    if (as_api_ok(c, asq_workers_dead(c->h, &list), a))
        as_answer_value(a, 200, list);
}

void as_api_paused(const struct as_call *c, struct as_answer *a)
{
    asq_value *list;
    if (as_api_ok(c, asq_paused(c->h, &list), a))
        as_answer_value(a, 200, asq_pack("{s:o}", "paused", list));
}

void as_api_stats(const struct as_call *c, struct as_answer *a)
{
    enum { LEAST_MS = 1000, MOST_MS = 86400000 };
    asq_stats_options o = ASQ_STATS_OPTIONS_INIT;
    asq_value *stats;
    o.points = true;
    o.class_name = as_api_text(c, "class");
    o.method = as_api_text(c, "method");
    if (as_api_number(c, "last_ms", LEAST_MS, MOST_MS, &o.last_ms, a) &&
        as_api_ok(c, asq_stats(c->h, &o, &stats), a))
        as_answer_value(a, 200, stats);
}

/* ---- classes ---- */

/* Makes a list of "url, depth"; null: any arguments. */
static asq_value *split_params(const asq_value *params)
{
    const char *text;
    if (asq_value_get_string(params, &text, NULL) < 0)
        return asq_value_null();
    asq_value *list = asq_value_list();
    for (text += strspn(text, ", "); list && *text; text += strspn(text, ", ")) {
        size_t n = strcspn(text, ", ");
        if (asq_list_append(list, asq_value_stringn(text, n)) < 0) {
            asq_value_free(list);
            return NULL;
        }
        text += n;
    }
    return list;
}

/* Makes the description of a class: what others could have written is left as it is. */
static asq_value *describe(const char *name, const asq_value *about)
{
    asq_value *map = asq_value_copy(about);
    asq_value *methods = asq_map_find(map, "methods");
    int rc = map ? asq_map_set(map, "name", asq_value_string(name)) : ASQ_ENOMEM;
    for (size_t i = 0; rc == 0 && i < asq_list_size(methods); i++) {
        asq_value *m = asq_list_at(methods, i);
        if (asq_value_type(m) == ASQ_MAP)
            rc = asq_map_set(m, "params", split_params(asq_map_get(m, "params")));
    }
    if (rc == 0)
        return map;
    asq_value_free(map);
    return NULL;
}

void as_api_classes(const struct as_call *c, struct as_answer *a)
{
    asq_value *classes, *list;
    if (!as_api_ok(c, asq_classes(c->h, &classes), a))
        return;
    list = asq_value_list();
    for (size_t i = 0; list && i < asq_map_size(classes); i++) {
        const char *name;
        const asq_value *about = asq_map_at(classes, i, &name);
        if (asq_list_append(list, describe(name, about)) < 0) {
            asq_value_free(list);
            list = NULL;
        }
    }
    asq_value_free(classes);
    as_answer_value(a, 200, list);
}
