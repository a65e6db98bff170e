/*
 * attempts.c: see attempts.h.
 */
#include "worker/core/attempts.h"

#include <stdlib.h>
#include <string.h>

#include "value/grow.h"
#include "worker/core/entry.h"

enum { MAX_HOW = 200 };

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct asq__attempt *) a)->call, ((const struct asq__attempt *) b)->call);
}

static void read_value(struct asq__attempt *a, const char *value)
{
    char *rest;
    if (a->kind == ASQ__ATTEMPT_WAIT) {
        a->due_ms = strtoull(value, &rest, 10);
        a->how = strndup(*rest ? rest + 1 : rest, MAX_HOW); /* NULL: not in the text */
        return;
    }
    a->count = (uint32_t) strtoul(value, &rest, 10);
    a->due_ms = strtoull(rest, &rest, 10);
    a->keeps_place = strtoul(rest, &rest, 10) == 1;
    a->sleeps = strcmp(rest, " s") == 0;
}

void asq__attempts_add(struct asq__attempts *all, const char *field, const char *value)
{
    bool sign = *field == ASQ__ATTEMPT_MARK || *field == ASQ__ATTEMPT_RETRY ||
                *field == ASQ__ATTEMPT_WAIT || *field == ASQ__ATTEMPT_STEPS;
    struct asq__attempt a = { .kind = sign ? (enum asq__attempt_kind) * field : ASQ__ATTEMPT_DIED };
    size_t n = strlen(field + sign);
    if (n >= sizeof a.call || !asq__grow(&all->list, all->n, &all->cap, sizeof *all->list))
        return;
    memcpy(a.call, field + sign, n + 1);
    read_value(&a, value);
    all->list[all->n++] = a;
}

void asq__attempts_sort(struct asq__attempts *all)
{
    if (all->n)
        qsort(all->list, all->n, sizeof *all->list, compare);
}

void asq__attempts_clear(struct asq__attempts *all)
{
    for (size_t i = 0; i < all->n; i++)
        free(all->list[i].how);
    free(all->list);
    *all = (struct asq__attempts){ 0 };
}

static void take(const struct asq__attempt *a, int64_t now_ms, int64_t minus_mono_ms,
                 struct asq__wcall *c)
{
    switch (a->kind) {
    case ASQ__ATTEMPT_DIED: c->attempts += a->count; break;
    case ASQ__ATTEMPT_WAIT: {
        int64_t due_ms = a->due_ms < INT64_MAX / 2 ? (int64_t) a->due_ms : 0;
        int64_t left_ms = due_ms - minus_mono_ms - now_ms;
        /* The call never waits longer than the longest wait, even if the clocks are wrong. */
        left_ms = left_ms < ASQ__DIED_WAIT_MAX_MS ? left_ms : ASQ__DIED_WAIT_MAX_MS;
        c->not_before_ms = left_ms > 0 ? now_ms + left_ms : 0;
        c->died_how = a->how;
        break;
    }
    case ASQ__ATTEMPT_MARK: c->reentered = true; break;
    case ASQ__ATTEMPT_STEPS: c->recorded = true; break;
    case ASQ__ATTEMPT_RETRY:
        c->retries = a->count;
        c->due_ms = a->due_ms;
        c->keeps_place = a->keeps_place;
        c->recorded |= a->sleeps;
        break;
    }
}

/* Returns the index of the first attempt of the call; of the first one behind it if there is none.
 * */
static size_t find(const struct asq__attempts *all, const char *call)
{
    size_t low = 0, high = all->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (strcmp(all->list[mid].call, call) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

void asq__attempts_take(const struct asq__attempts *all, const char *call, int64_t now_ms,
                        int64_t minus_mono_ms, bool returned, struct asq__wcall *c)
{
    size_t from = find(all, call), to = from;
    for (; to < all->n && strcmp(all->list[to].call, call) == 0; to++)
        if (all->list[to].kind == ASQ__ATTEMPT_RETRY && !returned)
            c->recorded = false; /* a failed run has ended the records that its Later tells of */
    for (size_t i = from; i < to; i++)
        if (!returned ||
            (all->list[i].kind != ASQ__ATTEMPT_RETRY && all->list[i].kind != ASQ__ATTEMPT_STEPS))
            take(&all->list[i], now_ms, minus_mono_ms, c);
    c->marked = c->marked && c->keeps_place;
}
