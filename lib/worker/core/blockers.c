/*
 * blockers.c: see blockers.h.
 */
#include "worker/core/blockers.h"

#include <string.h>

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

static bool may_share(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                      const struct asq__wcall *c)
{
    return !c->reentrant && hooks->is_concurrent(m, c);
}

/* alone: without active calls that share. */
static void add_active(const struct asq__mailbox *m, bool alone, struct asq__blockers *b)
{
    ASQ__LIST_EACH (it, &m->active) {
        const struct asq__wcall *active = ASQ__CONTAINER(it, struct asq__active, node)->call;
        if (b->n < ASQ__BLOCKERS_MAX && !(alone && active->shared))
            add(b, active);
    }
}

/* A call that shares and waits beside active calls starts when `obstacle` is gone, or when all
 * active calls have ended, because then it may skip. Active calls that are not stuck end, so at
 * last they are all stuck or there are none. */
static void add_obstacle(const struct asq__mailbox *m, const struct asq__wcall *obstacle,
                         struct asq__blockers *b)
{
    add(b, obstacle);
    add_active(m, false, b);
    b->any = true;
}

/* Looks for what blocks a call behind others of its queue that await inputs, as mailbox.c skips
 * them: calls of its caller, its caller, a creation, or all skipped calls when they are too many.
 * beside: `c` would start beside active calls, which none may that does not share. */
static void visit_queue(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                        const struct asq__list *queue, const struct asq__wcall *c, bool beside,
                        struct asq__blockers *b)
{
    struct asq__skipped skipped = { .n = 0 };
    unsigned seen = 0;
    ASQ__LIST_EACH (it, queue) {
        const struct asq__wcall *before = call_at(it);
        if (before == c || ++b->steps > ASQ__BLOCKERS_STEPS)
            return;
        if (!before->reentrant && asq__mailbox_holds(m, hooks, before))
            continue; /* the end of the pause is no call: it is not waited for in a cycle */
        bool too_far = skipped.n && ++seen > ASQ__SKIPPED_SEEN;
        if (!too_far) {
            if (asq__mailbox_blocker(m, before) || asq__skipped_blocks(&skipped, before))
                continue;
            if (beside && !may_share(m, hooks, before)) {
                add_obstacle(m, before, b);
                return;
            }
            if (asq__wcall_waits_unloaded(before)) {
                add(b, before);
                return;
            }
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

void asq__blockers_of_queued(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                             const struct asq__wcall *c, struct asq__blockers *b)
{
    const struct asq__active *blocker = asq__mailbox_blocker(m, c);
    bool shares = m->n_active && may_share(m, hooks, c);
    bool beside = shares && m->n_active == m->n_active_shared;
    /* When its caller starts, `c` becomes re-entrant, and waits for no other active call. */
    const struct asq__wcall *caller =
        m->n_active && !c->reentrant
            ? asq__mailbox_queued_caller(m, c, &b->steps, ASQ__BLOCKERS_STEPS)
            : NULL;
    if (blocker)
        add(b, blocker->call);
    else if (caller)
        add(b, caller);
    else if (!c->reentrant && m->n_active && !beside)
        add_active(m, shares, b); /* re-entrant calls become ordinary when the last one ends */
    else if (b->n == 0 && beside && !asq__list_empty(&m->reentrant))
        add_obstacle(m, call_at(m->reentrant.next), b);
    else if (b->n == 0)
        visit_queue(m, hooks, c->reentrant ? &m->reentrant : &m->queue, c, beside, b);
}

void asq__blockers_of_resumable(const struct asq__mailbox *m, const struct asq__wcall *c,
                                struct asq__blockers *b)
{
    const struct asq__active *innermost = asq__mailbox_innermost(m);
    if (innermost && innermost->call != c && !c->shared)
        add(b, innermost->call);
}
