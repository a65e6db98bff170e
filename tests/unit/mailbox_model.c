/*
 * mailbox_model.c: see mailbox_model.h.
 */
#include "mailbox_model.h"

#include <string.h>

struct asq__wcall *wcall(const struct call *c)
{
    return &c->entry->calls[0];
}

struct call *call_of(const struct asq__wcall *c)
{
    return ASQ__CONTAINER(c->entry->batch, struct call, batch);
}

struct agent *agent_of(const struct asq__mailbox *m)
{
    return ASQ__CONTAINER(m, struct agent, m);
}

void queue_append(struct queue *q, struct call *c)
{
    q->calls[q->n++] = c;
}

void queue_take_out(struct queue *q, const struct call *c)
{
    unsigned at = 0;
    while (at < q->n && q->calls[at] != c)
        at++;
    if (at == q->n)
        return;
    q->n--;
    memmove(&q->calls[at], &q->calls[at + 1], (q->n - at) * sizeof q->calls[0]);
}

void queue_prepend(struct queue *q, struct call *c)
{
    memmove(&q->calls[1], &q->calls[0], q->n * sizeof q->calls[0]);
    q->calls[0] = c;
    q->n++;
}

bool is_ancestor(const struct call *older, const struct call *c)
{
    for (c = c->parent; c; c = c->parent)
        if (c == older)
            return true;
    return false;
}

bool has_one_caller(const struct call *a, const struct call *b)
{
    return a->parent == b->parent && (a->parent || strcmp(a->reply, b->reply) == 0);
}

bool is_called_from_active(const struct agent *a, const struct call *c)
{
    for (unsigned i = 0; i < a->active.n; i++)
        if (is_ancestor(a->active.calls[i], c))
            return true;
    return false;
}

bool runs(const struct call *c)
{
    return wcall(c)->state == ASQ__CALL_RUNNING;
}

struct call *innermost(const struct agent *a)
{
    for (unsigned i = a->active.n; i > 0; i--)
        if (!wcall(a->active.calls[i - 1])->shared)
            return a->active.calls[i - 1];
    return NULL;
}

unsigned count_running(const struct agent *a, bool shared)
{
    unsigned n = 0;
    for (unsigned i = 0; i < a->active.n; i++)
        n += runs(a->active.calls[i]) && wcall(a->active.calls[i])->shared == shared;
    return n;
}

static bool all_active_share(const struct agent *a)
{
    return innermost(a) == NULL;
}

bool waits_for_inputs(const struct call *c)
{
    return c->inputs && (!c->inputs->finished || c->fetches);
}

static bool keeps_place(const struct call *c)
{
    const struct asq__wcall *w = wcall(c);
    return w->keeps_place || w->state == ASQ__CALL_DELAYED || w->not_before_ms;
}

bool is_creation(const struct call *c)
{
    return c->job.kind == ASQUEUE__JOB_KIND__CREATE;
}

static bool nested_is_behind(const struct queue *q, unsigned at)
{
    for (unsigned i = at + 1; i < q->n; i++)
        if (q->calls[i]->parent)
            return true;
    return false;
}

/* Returns whether a pause holds the queue's call number `at`; any: it holds one before it. */
static bool is_held(const struct agent *a, const struct queue *q, unsigned at, bool any)
{
    const struct call *c = q->calls[at];
    return a->paused && !c->reentrant && !c->parent &&
           (any || !is_creation(c) || a->exists || !nested_is_behind(q, at));
}

/* Returns the first call of a queue that may start; NULL: none. */
static struct call *first_of(const struct agent *a, const struct queue *q, int64_t now_ms)
{
    const struct call *skipped[ASQ__SKIPPED_MAX];
    unsigned n = 0;
    const struct call *held[CALLS];
    unsigned n_held = 0;
    for (unsigned i = 0; i < q->n; i++) {
        struct call *c = q->calls[i];
        bool behind = false;
        for (unsigned k = 0; k < n_held; k++)
            behind = behind || is_ancestor(held[k], c) || keeps_place(held[k]);
        if (is_held(a, q, i, n_held > 0)) {
            if (!c->unfit)
                held[n_held++] = c;
            continue;
        }
        if (behind)
            continue;
        bool blocked = c->reentrant && innermost(a) && !is_ancestor(innermost(a), c);
        for (unsigned k = 0; k < n; k++)
            blocked = blocked || has_one_caller(skipped[k], c) || is_ancestor(skipped[k], c);
        if (blocked || c->unfit)
            continue;
        if (wcall(c)->state == ASQ__CALL_DELAYED || wcall(c)->not_before_ms > now_ms)
            return NULL;
        bool shares = !c->reentrant && c->concurrent && a->exists;
        if (!c->reentrant && a->active.n && (!shares || count_running(a, true) >= MAX_SHARING))
            return NULL;
        if (!waits_for_inputs(c))
            return c;
        if (n + 1 == ASQ__SKIPPED_MAX || (is_creation(c) && !a->exists))
            return NULL;
        skipped[n++] = c;
    }
    return NULL;
}

static bool all_unfit(const struct queue *q)
{
    for (unsigned i = 0; i < q->n; i++)
        if (!q->calls[i]->unfit)
            return false;
    return true;
}

struct call *expected(const struct agent *a, int64_t now_ms)
{
    if (a->reentrant.n && (count_running(a, true) || count_running(a, false)))
        return NULL;
    struct call *c = first_of(a, &a->reentrant, now_ms);
    if (c || !all_unfit(&a->reentrant))
        return c;
    if (!all_active_share(a) || !a->admits)
        return NULL;
    return first_of(a, &a->waiting, now_ms);
}
