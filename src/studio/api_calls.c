/*
 * api_calls.c: calls that have not ended.
 */
#include <stdatomic.h>
#include <string.h>

#include "oldest.h"
#include "studio/api.h"
#include "studio/studio.h"

enum { LIMIT = 200, MAX_LIMIT = 5000, CALLS_MS = 10000 };

/* Reads "running,parked" as a set of ASQ_CALLS_…. Answers and returns false if a word is none. */
static bool read_states(const char *text, unsigned *ret, struct as_answer *a)
{
    static const struct {
        const char *name;
        unsigned bit;
    } states[] = {
        { "running", ASQ_CALLS_RUNNING },   { "parked", ASQ_CALLS_PARKED },
        { "waiting", ASQ_CALLS_WAITING },   { "delayed", ASQ_CALLS_DELAYED },
        { "retrying", ASQ_CALLS_RETRYING },
    };
    enum { STATES = sizeof states / sizeof states[0] };
    *ret = 0;
    while (text && *text) {
        size_t n = strcspn(text, ","), i = 0;
        while (i < STATES && (strlen(states[i].name) != n || memcmp(states[i].name, text, n) != 0))
            i++;
        if (i == STATES) {
            as_answer_fail(a, 400, "BAD_REQUEST",
                           "there is no state '%.*s'; there are running, parked, waiting, delayed "
                           "and retrying",
                           (int) (n < 40 ? n : 40), text);
            return false;
        }
        *ret |= states[i].bit;
        text += n + (text[n] == ',');
    }
    return true;
}

struct found {
    struct as_studio *studio;
    struct as_oldest oldest;
    bool cut; /* the search was, at the end of the program */
};

static int add_call(const asq_value *call, void *user)
{
    struct found *f = user;
    f->cut = atomic_load(&f->studio->stopping);
    return f->cut ? 1 : as_oldest_add(&f->oldest, call);
}

void as_api_calls(const struct as_call *c, struct as_answer *a)
{
    int64_t limit = LIMIT;
    unsigned states;
    if (!as_api_number(c, "limit", 1, MAX_LIMIT, &limit, a) ||
        !read_states(as_api_text(c, "state"), &states, a))
        return;
    struct found f = { c->studio, { .limit = (size_t) limit }, false };
    asq_value *list = NULL;
    int rc = asq_calls_each(c->h, states, as_api_text(c, "agent"), as_api_text(c, "class"),
                            CALLS_MS, add_call, &f);
    if (rc == ASQ_ETIMEOUT && f.oldest.seen) {
        f.cut = true; /* what was found in this time is better than nothing */
        rc = 0;
    }
    bool more = f.cut || f.oldest.seen > f.oldest.limit;
    if (rc >= 0 && as_oldest_list(&f.oldest, &list) < 0)
        as_answer_code(a, ASQ_ENOMEM, "out of memory");
    else if (as_api_ok(c, rc, a))
        as_answer_value(a, 200, asq_pack("{s:o, s:b}", "calls", list, "more", more));
    as_oldest_release(&f.oldest);
}
