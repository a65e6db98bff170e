/*
 * blockers.c: see blockers.h.
 */
#include "worker/core/blockers.h"

#include "worker/core/entry.h"

static void add(struct asq__blockers *b, const struct asq__wcall *blocker)
{
    b->add(b->user, blocker);
    b->n++;
}

static const struct asq__wcall *call_at(const struct asq__list *node)
{
    return ASQ__CONTAINER(node, struct asq__wcall, node);
}

/* Looks for what blocks a call behind others of its queue that await inputs, as mailbox.c skips them:
 * calls of its caller, its caller, a creation, or all skipped calls when they are too many. */
static void look_in_queue(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                          const struct asq__list *queue, const struct asq__wcall *c,
                          struct asq__blockers *b)
{
    struct asq__skipped skipped = { .n = 0 };
    unsigned seen = 0;
    ASQ__LIST_EACH (it, queue) {
        const struct asq__wcall *before = call_at(it);
        if (before == c || ++b->steps > ASQ__BLOCKERS_STEPS)
            return;
        bool too_far = skipped.n && ++seen > ASQ__SKIPPED_SEEN;
        if (!too_far) {
            if (asq__mailbox_blocker(m, before) || asq__skipped_blocks(&skipped, before))
                continue;
            if (before->state != ASQ__CALL_INPUTS)
                return; /* `c` is next, or keeps its place */
            skipped.calls[skipped.n++] = before;
            if (asq__skipped_blocks(&skipped, c) || asq__mailbox_blocks_all(m, hooks, before)) {
                add(b, before);
                return;
            }
        }
        if (skipped.n == ASQ__SKIPPED_MAX || too_far) {
            for (unsigned i = 0; i < skipped.n; i++)
                add(b, skipped.calls[i]);
            b->any = true;
            return;
        }
    }
}

static bool may_share(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                      const struct asq__wcall *c)
{
    return !c->reentrant && hooks->is_concurrent(m, c);
}

/* Returns the first call of the queue before `c` that cannot run beside others; NULL: none. */
static const struct asq__wcall *alone_before(const struct asq__mailbox *m,
                                             const struct asq__mailbox_hooks *hooks,
                                             const struct asq__wcall *c, struct asq__blockers *b)
{
    ASQ__LIST_EACH (it, &m->queue) {
        const struct asq__wcall *before = call_at(it);
        if (before == c || ++b->steps > ASQ__BLOCKERS_STEPS)
            return NULL;
        if (!may_share(m, hooks, before))
            return before;
    }
    return NULL;
}

static void add_active(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                       const struct asq__wcall *c, struct asq__blockers *b)
{
    bool shares = may_share(m, hooks, c);
    ASQ__LIST_EACH (it, &m->active) {
        const struct asq__wcall *active = ASQ__CONTAINER(it, struct asq__active, node)->call;
        if (b->n < ASQ__BLOCKERS_MAX && (!shares || !active->shared))
            add(b, active);
    }
    const struct asq__wcall *alone;
    if (shares && m->n_active == m->n_active_shared && b->n == 0 &&
        (alone = alone_before(m, hooks, c, b)))
        add(b, alone);
}

void asq__blockers_of_queued(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                             const struct asq__wcall *c, struct asq__blockers *b)
{
    const struct asq__active *blocker = asq__mailbox_blocker(m, c);
    if (blocker)
        add(b, blocker->call);
    else if (!c->reentrant && !asq__list_empty(&m->reentrant))
        add(b, call_at(m->reentrant.next));
    else if (!c->reentrant && m->n_active)
        add_active(m, hooks, c, b);
    else if (b->n == 0)
        look_in_queue(m, hooks, c->reentrant ? &m->reentrant : &m->queue, c, b);
}

void asq__blockers_of_resumable(const struct asq__mailbox *m, const struct asq__wcall *c,
                                struct asq__blockers *b)
{
    const struct asq__active *innermost = asq__mailbox_innermost(m);
    if (innermost && innermost->call != c && !c->shared)
        add(b, innermost->call);
}
