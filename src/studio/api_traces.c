/*
 * api_traces.c: traces that were collected (--collect-traces).
 */
#include <stdlib.h>

#include "studio/api.h"
#include "studio/studio.h"

enum { LIMIT = 50, MAX_LIMIT = 1000 };

static bool collects(const struct as_call *c, struct as_answer *a)
{
    if (c->studio->spans.ring)
        return true;
    as_answer_fail(a, 404, "NOT_FOUND",
                   "this as-studio collects no traces; start it with --collect-traces");
    return false;
}

void as_api_traces(const struct as_call *c, struct as_answer *a)
{
    int64_t limit = LIMIT;
    if (collects(c, a) && as_api_number(c, "limit", 1, MAX_LIMIT, &limit, a))
        as_answer_value(a, 200,
                        as_spans_list(&c->studio->spans, as_api_text(c, "call"),
                                      as_api_text(c, "agent"), (size_t) limit));
}

void as_api_trace(const struct as_call *c, struct as_answer *a)
{
    bool found;
    if (!collects(c, a))
        return;
    char *text = as_spans_trace(&c->studio->spans, c->id, &found);
    if (text || found)
        as_answer_text(a, 200, text);
    else
        as_answer_fail(a, 404, "ASQ_ENOENT", "this trace is not known here, or not any more");
}
