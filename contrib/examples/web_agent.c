/*
 * web_agent.c: the class WebAgent: an agent that reads one web site and answers questions about it.
 * Crawling takes seconds, which are a sleep here; the example web_search really fetches pages.
 *
 * The class is the same whether the agent lives in the caller's process or on another host.
 */
#include "web_agent.h"

/* Creation arguments: {"name": "Ada", "site": "example.org", "crawl_ms": 5000}. Without a create
 * callback they would become the state without a check. */
static int web_agent_create(asq_ctx *ctx, const asq_value *args, void **ret_self)
{
    const char *name, *site;
    int64_t crawl_ms = 5000;
    asq_value *state;
    int rc;

    (void) ret_self;
    rc = asq_args(ctx, args, "{s:s, s:s, s?:I}", "name", &name, "site", &site, "crawl_ms",
                  &crawl_ms);
    if (rc < 0)
        return rc;
    state = asq_pack("{s:s, s:s, s:I, s:i}", "name", name, "site", site, "crawl_ms", crawl_ms,
                     "answers", 0);
    return state ? asq_ctx_set_state(ctx, state) : ASQ_ENOMEM;
}

/* Returns a text from the state, where create has put one. */
static const char *text_of(const asq_value *state, const char *key)
{
    const char *s = "?";

    (void) asq_value_get_string(asq_map_get(state, key), &s, NULL);
    return s;
}

static int web_agent_answer(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    asq_value *state = asq_ctx_state(ctx);
    const char *question;
    int64_t answers;
    int rc;

    (void) self;
    if ((rc = asq_args(ctx, args, "[s]", &question)) < 0)
        return rc;

    /* A wait through the library parks the call and leaves the thread to others. sleep(3) would
     * work too, but would hold one of the worker's threads meanwhile. */
    if ((rc = asq_ctx_sleep(ctx, asq_map_int(state, "crawl_ms"))) < 0)
        return rc;

    answers = asq_map_int(state, "answers") + 1;
    if ((rc = asq_map_set_int(state, "answers", answers)) < 0)
        return rc;
    *ret = asq_pack("{s:s, s:s, s:s, s:I}", "name", text_of(state, "name"), "site",
                    text_of(state, "site"), "question", question, "answers", answers);
    return *ret ? 0 : ASQ_ENOMEM;
}

static const asq_method web_agent_methods[] = { { "answer", web_agent_answer, "question", 0,
                                                  "Crawls the site and answers the question." },
                                                { NULL, NULL, NULL, 0, NULL } };

static const asq_attribute web_agent_attributes[] = { { "answers", NULL, NULL, 0,
                                                        "How many questions it has answered." },
                                                      { NULL, NULL, NULL, 0, NULL } };

const asq_class web_agent_class = {
    ASQ_CLASS_INIT,
    .name = "WebAgent",
    .doc = "Reads one web site and answers questions about it.",
    .methods = web_agent_methods,
    .attributes = web_agent_attributes,
    .create = web_agent_create,
    .version = 1,
};
