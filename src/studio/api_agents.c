/*
 * api_agents.c: agents: a page of them, their number, and one with its state and its calls.
 */
#include <stdlib.h>
#include <string.h>

#include "studio/api.h"
#include "studio/studio.h"

enum {
    PAGE = 100,
    MAX_PAGE = 1000,
    COUNT_MS = 30000,
    PAGE_MS = 1000,
    CALLS = 200,
    FAILURES = 50,
    CALLS_MS = 5000,
    MAX_STATE = 1024 * 1024
};

void as_api_agents(const struct as_call *c, struct as_answer *a)
{
    int64_t limit = PAGE;
    asq_value *list;
    char next[ASQ_CURSOR_SIZE];
    if (!as_api_number(c, "limit", 1, MAX_PAGE, &limit, a))
        return;
    if (!as_api_ok(c,
                   asq_agents_page(c->h, as_api_text(c, "class"), as_api_text(c, "prefix"),
                                   as_api_text(c, "from"), (size_t) limit, PAGE_MS, &list, next),
                   a))
        return;
    as_answer_value(a, 200,
                    asq_pack("{s:o, s:s?}", "agents", list, "next", *next ? next : (char *) NULL));
}

void as_api_agents_count(const struct as_call *c, struct as_answer *a)
{
    int64_t n;
    if (as_api_ok(
            c,
            asq_agents_count(c->h, as_api_text(c, "class"), as_api_text(c, "prefix"), COUNT_MS, &n),
            a))
        as_answer_value(a, 200, asq_pack("{s:I}", "count", n));
}

void as_api_agent(const struct as_call *c, struct as_answer *a)
{
    asq_value *agent;
    char *state = NULL;
    if (!as_api_ok(c, asq_show(c->h, c->id, &agent), a))
        return;
    int rc = asq_to_json(asq_map_get(agent, "state"), 0, &state);
    bool cut = rc == ASQ_ELIMIT || (rc == 0 && strlen(state) > MAX_STATE);
    free(state);
    if (cut)
        rc = asq_map_set(agent, "state", asq_value_null());
    if (rc == 0)
        rc = asq_map_set(agent, "cut", asq_value_bool(cut));
    if (rc == 0) {
        as_answer_value(a, 200, agent);
        return;
    }
    asq_value_free(agent);
    as_answer_code(a, rc, asq_strerror(rc));
}

/* ---- calls ---- */

static int add_call(const asq_value *call, void *user)
{
    asq_value *list = user;
    if (asq_list_size(list) >= CALLS)
        return 1;
    return asq_list_append(list, asq_value_copy(call));
}

void as_api_agent_calls(const struct as_call *c, struct as_answer *a)
{
    asq_value *calls = asq_value_list(), *failures = NULL;
    asq_failures_options wanted = ASQ_FAILURES_OPTIONS_INIT;
    wanted.agent_id = c->id;
    wanted.limit = FAILURES;
    int rc = calls ? asq_calls_each(c->h, 0, c->id, NULL, CALLS_MS, add_call, calls) : ASQ_ENOMEM;
    if (rc >= 0)
        rc = asq_failures(c->h, &wanted, &failures);
    if (rc < 0)
        asq_value_free(calls);
    if (as_api_ok(c, rc, a))
        as_answer_value(a, 200, asq_pack("{s:o, s:o}", "calls", calls, "failures", failures));
}
