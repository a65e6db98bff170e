/*
 * oldest.c: see oldest.h. Up to twice as many as are wanted are kept, then the younger half goes.
 */
#include "oldest.h"

#include <stdlib.h>

static int compare(const void *left, const void *right)
{
    const struct as_aged *a = left, *b = right;
    return (a->age_ms < b->age_ms) - (a->age_ms > b->age_ms);
}

/* Sorts, and drops all but the oldest. */
static void cut(struct as_oldest *oldest)
{
    if (oldest->n)
        qsort(oldest->calls, oldest->n, sizeof *oldest->calls, compare);
    while (oldest->n > oldest->limit)
        asq_value_free(oldest->calls[--oldest->n].call);
    if (oldest->n == oldest->limit)
        oldest->young_ms = oldest->calls[oldest->n - 1].age_ms;
}

int as_oldest_add(struct as_oldest *oldest, const asq_value *call)
{
    const size_t room = 2 * oldest->limit;
    int64_t age_ms = asq_map_int(call, "age_ms");
    oldest->seen++;
    if (!oldest->calls) {
        if (!(oldest->calls = calloc(room, sizeof *oldest->calls)))
            return ASQ_ENOMEM;
        oldest->young_ms = INT64_MIN;
    }
    if (age_ms <= oldest->young_ms)
        return 0;
    asq_value *copy = asq_value_copy(call);
    if (!copy)
        return ASQ_ENOMEM;
    oldest->calls[oldest->n++] = (struct as_aged){ age_ms, copy };
    if (oldest->n == room)
        cut(oldest);
    return 0;
}

int as_oldest_list(struct as_oldest *oldest, asq_value **ret)
{
    asq_value *list = asq_value_list();
    int rc = list ? 0 : ASQ_ENOMEM;
    cut(oldest);
    for (size_t i = 0; rc == 0 && i < oldest->n; i++) {
        rc = asq_list_append(list, oldest->calls[i].call); /* taken, also on failure */
        oldest->calls[i].call = NULL;
    }
    as_oldest_release(oldest);
    if (rc == 0)
        *ret = list;
    else
        asq_value_free(list);
    return rc;
}

void as_oldest_release(struct as_oldest *oldest)
{
    for (size_t i = 0; i < oldest->n; i++)
        asq_value_free(oldest->calls[i].call);
    free(oldest->calls);
    oldest->calls = NULL;
    oldest->n = 0;
}
