/*
 * api.c: the table of paths (api.h), and what their functions share.
 */
#include "studio/api.h"

#include <string.h>

static const struct as_route routes[] = {
    { "agents", "class from limit prefix", false, as_api_agents, false, false },
    { "agents", "args class id", true, as_api_create, false, false },
    { "agents/count", "class prefix", false, as_api_agents_count, false, false },
    { "agents/*", "", false, as_api_agent, false, false },
    { "agents/*/call", "args method timeout_ms", true, as_api_call_method, false, false },
    { "agents/*/calls", "", false, as_api_agent_calls, false, false },
    { "agents/*/delete", "", true, as_api_delete, false, false },
    { "agents/*/unschedule", "name", true, as_api_unschedule, false, false },
    { "calls", "agent class limit state", false, as_api_calls, false, false },
    { "calls/*", "", false, as_api_call_tree, false, true },
    { "calls/*/cancel", "", true, as_api_cancel, false, false },
    { "classes", "", false, as_api_classes, false, false },
    { "dead", "limit", false, as_api_dead, false, false },
    { "dead/*", "", false, as_api_dead_letter, false, false },
    { "dead/*/drop", "", true, as_api_dead_drop, false, false },
    { "dead/*/retry", "", true, as_api_dead_retry, false, false },
    { "deaths", "", false, as_api_deaths, false, false },
    { "failures", "agent class code limit method since_ms", false, as_api_failures, false, false },
    { "failures/summary", "since_ms", false, as_api_failures_summary, false, false },
    { "overview", "", false, as_api_overview, false, false },
    { "partitions", "", false, as_api_partitions, false, false },
    { "pause", "class", true, as_api_pause, false, false },
    { "paused", "", false, as_api_paused, false, false },
    { "resume", "class", true, as_api_resume, false, false },
    { "stats", "class last_ms method", false, as_api_stats, false, false },
    { "takeovers", "", false, as_api_takeovers, false, false },
    { "timers", "agent from limit name prefix", false, as_api_timers, false, false },
    { "traces", "agent call limit", false, as_api_traces, true, false },
    { "traces/*", "", false, as_api_trace, true, false },
    { "waits", "", false, as_api_waits, false, true },
    { "workers", "", false, as_api_workers, false, false },
    { "workers/*/stop", "", true, as_api_stop_worker, false, false },
};

/* Matches the segments behind "api" with a route's path. */
static bool matches(const struct as_target *t, const char *path, const char **ret_id)
{
    size_t i = 1;
    *ret_id = NULL;
    for (; *path && i < t->n_segments; i++) {
        size_t n = strcspn(path, "/");
        if (n == 1 && *path == '*')
            *ret_id = t->segments[i];
        else if (strlen(t->segments[i]) != n || memcmp(t->segments[i], path, n) != 0)
            return false;
        path += n + (path[n] == '/');
    }
    return !*path && i == t->n_segments;
}

/* Browsers take "." and "..", also when they are encoded, for steps within a path: an id can be
 * given as a parameter, in place of the one in the path. */
static const char *chosen_id(const struct as_target *t, const char *id)
{
    const char *param = id ? as_target_param(t, "id") : NULL;
    return param ? param : id;
}

const struct as_route *as_api_find(const struct as_target *t, bool post, const char **ret_id,
                                   bool *ret_known)
{
    *ret_known = false;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (matches(t, routes[i].path, ret_id)) {
            *ret_known = true;
            *ret_id = chosen_id(t, *ret_id);
            if (routes[i].writes == post)
                return &routes[i];
        }
    return NULL;
}

/* Returns whether a list of words, by spaces, has the word. */
static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (; *words; words += strspn(words, " ")) {
        size_t len = strcspn(words, " ");
        if (len == n && memcmp(words, word, n) == 0)
            return true;
        words += len;
    }
    return false;
}

static bool knows_param(const struct as_route *route, const char *name)
{
    return (!route->writes && has_word(route->params, name)) ||
           (strchr(route->path, '*') && strcmp(name, "id") == 0);
}

bool as_api_check(const struct as_route *route, const struct as_target *t, const asq_value *body,
                  struct as_answer *a)
{
    const char *wrong = NULL;
    for (size_t i = 0; !wrong && i < t->n_params; i++)
        if (!knows_param(route, t->params[i].name))
            wrong = t->params[i].name;
    for (size_t i = 0; !wrong && body && i < asq_map_size(body); i++) {
        const char *key;
        asq_map_at(body, i, &key);
        if (!has_word(route->params, key))
            wrong = key;
    }
    if (!wrong)
        return true;
    as_answer_fail(a, 400, "BAD_REQUEST", "there is no %s '%.80s' here%s%s",
                   body ? "key" : "parameter", wrong, *route->params ? "; there are: " : "",
                   route->params);
    return false;
}

bool as_api_number(const struct as_call *c, const char *name, int64_t least, int64_t most,
                   int64_t *ret, struct as_answer *a)
{
    char why[200];
    if (as_target_number(c->target, name, least, most, ret, why, sizeof why) == 0)
        return true;
    as_answer_fail(a, 400, "BAD_REQUEST", "%s", why);
    return false;
}

const char *as_api_text(const struct as_call *c, const char *name)
{
    const char *text = as_target_param(c->target, name);
    return text && *text ? text : NULL;
}

bool as_api_ok(const struct as_call *c, int rc, struct as_answer *a)
{
    if (rc >= 0)
        return true;
    const asq_error *e = asq_last_error(c->h);
    if (e->code == rc)
        as_answer_error(a, e);
    else
        as_answer_code(a, rc, asq_strerror(rc)); /* of a function without a handle */
    return false;
}
