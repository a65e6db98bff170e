/*
 * api_timers.c: timers of agents: a page of them, those that are due first first.
 */
#include <stdlib.h>
#include <string.h>

#include "studio/api.h"

enum { PAGE = 100, MAX_PAGE = 500, PAGE_MS = 1000, MAX_ARGS = 1000 };

/* Replaces a timer's policy, a number, by its name. */
static int name_policy(asq_value *timer, const char *key, const char *const names[3])
{
    int64_t n = asq_map_int(timer, key);
    return asq_map_set(timer, key, asq_value_string(n >= 0 && n < 3 ? names[n] : "unknown"));
}

/* Replaces a timer's arguments by the head of their JSON. */
static int shorten_args(asq_value *timer)
{
    const asq_value *args = asq_map_get(timer, "args");
    char *json = NULL;
    if (!args)
        return 0;
    int rc = asq_to_json(args, 0, &json);
    if (rc == ASQ_ENOMEM)
        return rc;
    size_t n = json ? strlen(json) : 0;
    bool cut = rc < 0 || n > MAX_ARGS;
    if (n > MAX_ARGS) {
        n = MAX_ARGS;
        while (n > 0 && ((unsigned char) json[n] & 0xc0) == 0x80) /* within a character */
            n--;
    }
    rc = asq_map_set(timer, "args", asq_value_stringn(json ? json : "", n));
    free(json);
    return rc < 0 ? rc : asq_map_set(timer, "args_cut", asq_value_bool(cut));
}

/* Makes a timer as it is shown. NULL: no memory. */
static asq_value *make_shown(const asq_value *timer)
{
    static const char *const overlaps[] = { "queue", "skip", "cancel" };
    static const char *const missed[] = { "one", "all", "skip" };
    asq_value *shown = asq_value_copy(timer);
    if (shown && (name_policy(shown, "overlap", overlaps) < 0 ||
                  name_policy(shown, "missed", missed) < 0 || shorten_args(shown) < 0)) {
        asq_value_free(shown);
        shown = NULL;
    }
    return shown;
}

void as_api_timers(const struct as_call *c, struct as_answer *a)
{
    asq_schedules_options wanted = ASQ_SCHEDULES_OPTIONS_INIT;
    int64_t limit = PAGE;
    char next[ASQ_CURSOR_SIZE];
    asq_value *list, *shown;
    wanted.agent_id = as_api_text(c, "agent");
    wanted.prefix = as_api_text(c, "prefix");
    wanted.name_prefix = as_api_text(c, "name");
    wanted.from = as_api_text(c, "from");
    wanted.timeout_ms = PAGE_MS;
    if (!as_api_number(c, "limit", 1, MAX_PAGE, &limit, a))
        return;
    wanted.limit = (size_t) limit;
    if (!as_api_ok(c, asq_schedules_page(c->h, &wanted, &list, next), a))
        return;
    shown = asq_value_list();
    for (size_t i = 0; shown && i < asq_list_size(list); i++)
        if (asq_list_append(shown, make_shown(asq_list_get(list, i))) < 0) {
            asq_value_free(shown);
            shown = NULL;
        }
    asq_value_free(list);
    as_answer_value(
        a, 200,
        shown ? asq_pack("{s:o, s:s?}", "timers", shown, "next", *next ? next : (char *) NULL)
              : NULL);
}
