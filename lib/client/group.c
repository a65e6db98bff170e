/*
 * group.c: hands out results in the order of completion. A group uses the results' callbacks, so a
 * result with a callback of its own cannot join one.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "asqueue.h"
#include "client/handle.h"
#include "client/late.h"
#include "value/grow.h"

struct asq_group {
    asq *h;
    /* [0, first) returned, [first, done) completed, [done, n) waiting */
    asq_result **results;
    size_t n, cap, first, done;
};

int asq_group_new(asq *h, asq_group **ret)
{
    if (!h || !ret)
        return asq__null(h, "asq_group_new");
    asq_group *g = calloc(1, sizeof *g);
    if (!g)
        return asq__fail_memory(h);
    g->h = h;
    asq__handle_ref(h);
    *ret = g;
    return 0;
}

/* Swaps a completed result with the first waiting one. `user` is its position. */
static void completed(asq_result *r, void *user)
{
    asq_group *g = r->group;
    size_t at = (size_t) (uintptr_t) user;
    asq_result *other = g->results[g->done];
    g->results[at] = other;
    other->user = (void *) (uintptr_t) at;
    g->results[g->done++] = r;
    r->group = NULL;
}

int asq_group_add(asq_group *g, asq_result *r)
{
    if (!g)
        return ASQ_EINVAL;
    if (!r || r->h != g->h)
        return asq__fail(g->h, ASQ_EINVAL, "asq_group_add: the result is %s",
                         r ? "of another handle" : "NULL");
    if (r->fn || r->group)
        return asq__fail(g->h, ASQ_ESTATE, "asq_group_add: the result has a callback or a group");
    if (!asq__grow(&g->results, g->n, &g->cap, sizeof(asq_result *)))
        return asq__fail_memory(g->h);
    g->results[g->n] = r;
    r->group = g;
    r->user = (void *) (uintptr_t) g->n;
    g->n++;
    return asq__result_then_at_once(r, completed, (void *) (uintptr_t) (g->n - 1));
}

size_t asq_group_pending(const asq_group *g)
{
    if (!g)
        return 0;
    return g->n - g->first;
}

/* Returns the place of the first result that can be handed out, or g->done. */
static size_t first_settled(const asq_group *g)
{
    size_t i = g->first;
    while (i < g->done && !asq__result_is_settled(g->results[i]))
        i++;
    return i;
}

static bool has_next(void *arg)
{
    const asq_group *g = arg;
    return first_settled(g) < g->done;
}

enum asq__wait asq__group_wait_results(bool (*ready)(void *arg), const void *arg,
                                       asq__wait_fn visit, void *user)
{
    const asq_group *g = arg;
    if (ready != has_next || g->first < g->done)
        return ASQ__WAIT_OTHER;
    for (size_t i = g->done; i < g->n; i++)
        if (!visit(user, g->results[i]))
            break;
    return ASQ__WAIT_ANY;
}

int asq_group_next(asq_group *g, int64_t timeout_ms, asq_result **ret)
{
    if (!g || !ret)
        return asq__null(g ? g->h : NULL, "asq_group_next");
    if (g->first == g->n)
        return ASQ_ENOENT;
    if (!has_next(g)) {
        char nobody[ASQ__LATE_TEXT];
        int rc = asq__late_wait(g->h, has_next, g, timeout_ms, nobody);
        if (rc == ASQ_ETIMEOUT)
            asq__fail(g->h, rc, "no result of the group has come within %lld ms%s; its calls go on",
                      (long long) timeout_ms, nobody);
        if (rc < 0)
            return rc;
    }
    size_t at = first_settled(g);
    *ret = g->results[at];
    for (; at > g->first; at--)
        g->results[at] = g->results[at - 1];
    g->first++;
    return 0;
}

void asq_group_free(asq_group *g)
{
    if (!g)
        return;
    for (size_t i = g->done; i < g->n; i++) {
        g->results[i]->group = NULL;
        g->results[i]->fn = NULL;
    }
    asq__handle_unref(g->h);
    free(g->results);
    free(g);
}
