/*
 * api_failures.c: failed runs that workers have kept, and dead letters.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codes.h"
#include "studio/api.h"

enum { LIMIT = 100, MAX_LIMIT = 5000, SUMMED = 5000 };
#define MAX_TIME_MS (INT64_C(1) << 53)

/* ---- failures ------------------------------------------------------------------------------- */

void as_api_failures(const struct as_call *c, struct as_answer *a)
{
    int64_t limit = LIMIT;
    asq_failures_options wanted = ASQ_FAILURES_OPTIONS_INIT;
    const char *code = as_api_text(c, "code");
    asq_value *list;
    if (!as_api_number(c, "limit", 1, MAX_LIMIT, &limit, a) ||
        !as_api_number(c, "since_ms", 0, MAX_TIME_MS, &wanted.since_ms, a))
        return;
    if (code && !as_code_read(code, &wanted.code)) {
        as_answer_fail(
            a, 400, "BAD_REQUEST",
            "'%.40s' is no error: give a name (ASQ_EDEADLINE), ASQ_EUSER(3), or a number", code);
        return;
    }
    wanted.class_name = as_api_text(c, "class");
    wanted.method = as_api_text(c, "method");
    wanted.agent_id = as_api_text(c, "agent");
    wanted.limit = (size_t) limit;
    if (!as_api_ok(c, asq_failures(c->h, &wanted, &list), a))
        return;
    bool more = asq_list_size(list) >= (size_t) limit;
    as_answer_value(a, 200, asq_pack("{s:o, s:b}", "failures", list, "more", more));
}

/* Failures of the same kind, and how many there are. */
struct kind {
    const asq_value *first; /* the newest */
    int64_t n;
};

static int by_names(const void *x, const void *y)
{
    static const char *const keys[] = { "class", "method", "code" };
    const struct kind *a = x, *b = y;
    int order = 0;
    for (size_t i = 0; order == 0 && i < sizeof keys / sizeof keys[0]; i++)
        order = strcmp(asq_map_string(a->first, keys[i]), asq_map_string(b->first, keys[i]));
    return order;
}

/* The newest comes first among those with the same names. */
static int by_names_and_time(const void *x, const void *y)
{
    const struct kind *a = x, *b = y;
    int order = by_names(x, y);
    int64_t at = asq_map_int(a->first, "time_ms"), bt = asq_map_int(b->first, "time_ms");
    return order ? order : (bt > at) - (bt < at);
}

static int by_number(const void *x, const void *y)
{
    const struct kind *a = x, *b = y;
    return a->n == b->n ? by_names(x, y) : a->n < b->n ? 1 : -1;
}

/* Sums failures up, newest first in the list, by class, method and code. */
static asq_value *sum_up(const asq_value *list)
{
    size_t n = asq_list_size(list), kinds = 0;
    struct kind *all = calloc(n + 1, sizeof *all);
    asq_value *sums = all ? asq_value_list() : NULL;
    for (size_t i = 0; all && i < n; i++)
        all[i] = (struct kind){ asq_list_get(list, i), 1 };
    if (all)
        qsort(all, n, sizeof *all, by_names_and_time);
    for (size_t i = 0; all && i < n; i++) {
        if (kinds && by_names(&all[kinds - 1], &all[i]) == 0)
            all[kinds - 1].n++;
        else
            all[kinds++] = all[i];
    }
    if (all)
        qsort(all, kinds, sizeof *all, by_number);
    for (size_t i = 0; sums && i < kinds; i++) {
        const asq_value *f = all[i].first;
        if (asq_list_append(sums,
                            asq_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "class",
                                     asq_map_string(f, "class"), "method",
                                     asq_map_string(f, "method"), "code", asq_map_string(f, "code"),
                                     "count", all[i].n, "last_ms", asq_map_int(f, "time_ms"),
                                     "message", asq_map_string(f, "message"))) < 0) {
            asq_value_free(sums);
            sums = NULL;
        }
    }
    free(all);
    return sums;
}

void as_api_failures_summary(const struct as_call *c, struct as_answer *a)
{
    asq_failures_options wanted = ASQ_FAILURES_OPTIONS_INIT;
    asq_value *list;
    wanted.limit = SUMMED + 1; /* one more tells whether there are others */
    if (!as_api_number(c, "since_ms", 0, MAX_TIME_MS, &wanted.since_ms, a) ||
        !as_api_ok(c, asq_failures(c->h, &wanted, &list), a))
        return;
    bool more = asq_list_size(list) > SUMMED;
    if (more)
        asq_list_remove(list, SUMMED);
    asq_value *kinds = sum_up(list);
    as_answer_value(a, 200,
                    kinds ? asq_pack("{s:o, s:I, s:b}", "kinds", kinds, "counted",
                                     (int64_t) asq_list_size(list), "more", more)
                          : NULL);
    asq_value_free(list);
}

/* ---- dead letters --------------------------------------------------------------------------- */

void as_api_dead(const struct as_call *c, struct as_answer *a)
{
    int64_t limit = LIMIT;
    asq_value *oldest_first, *list;
    if (!as_api_number(c, "limit", 1, MAX_LIMIT, &limit, a) ||
        !as_api_ok(c, asq_dead_list(c->h, (size_t) limit, &oldest_first), a))
        return;
    list = asq_value_list();
    for (size_t i = asq_list_size(oldest_first); list && i-- > 0;)
        if (asq_list_append(list, asq_value_copy(asq_list_get(oldest_first, i))) < 0) {
            asq_value_free(list);
            list = NULL;
        }
    bool more = asq_list_size(oldest_first) >= (size_t) limit;
    asq_value_free(oldest_first);
    as_answer_value(a, 200, list ? asq_pack("{s:o, s:b}", "letters", list, "more", more) : NULL);
}

void as_api_dead_letter(const struct as_call *c, struct as_answer *a)
{
    asq_value *letter;
    if (as_api_ok(c, asq_dead_show(c->h, c->id, &letter), a))
        as_answer_value(a, 200, letter);
}
