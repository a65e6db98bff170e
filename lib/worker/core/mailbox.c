/*
 * mailbox.c: see mailbox.h.
 */
#include "worker/core/mailbox.h"

#include <string.h>

#include "value/assert.h"
#include "worker/core/entry.h"

static struct asq__wcall *call_at(struct asq__list *node)
{
    return ASQ__CONTAINER(node, struct asq__wcall, node);
}

static const struct asq__active *active_at(const struct asq__list *node)
{
    return ASQ__CONTAINER(node, struct asq__active, node);
}

void asq__mailbox_init(struct asq__mailbox *m, const char *agent)
{
    *m = (struct asq__mailbox){ .agent = agent };
    asq__list_init(&m->queue);
    asq__list_init(&m->reentrant);
    asq__list_init(&m->active);
    asq__list_init(&m->resumable);
}

/* ---- callers ---- */

/* Returns the caller, whose calls to an agent run in the order in which they were made: the call
 * that made `c`, or the client id of a program. */
static const char *caller_of(const struct asq__wcall *c)
{
    const Asqueue__Batch *batch = c->entry->batch;
    const Asqueue__Chain *chain = asq__wcall_job(c)->chain;
    return chain && chain->n_links ? chain->links[chain->n_links - 1]->call : batch->reply;
}

static bool has_in_chain(const struct asq__wcall *c, const char *id)
{
    const Asqueue__Chain *chain = asq__wcall_job(c)->chain;
    for (size_t i = 0; chain && i < chain->n_links; i++)
        if (strcmp(chain->links[i]->call, id) == 0)
            return true;
    return false;
}

bool asq__wcall_is_called_by(const struct asq__wcall *c, const struct asq__wcall *by)
{
    char id[ASQ__CALL_ID_TEXT];
    if (!asq__wcall_job(c)->chain)
        return false;
    asq__wcall_id(by, id);
    return has_in_chain(c, id);
}

bool asq__mailbox_calls(const struct asq__mailbox *m, const Asqueue__Job *job)
{
    if (!m->n_active || !job->chain)
        return false;
    for (size_t i = job->chain->n_links; i > 0; i--) {
        const Asqueue__Link *link = job->chain->links[i - 1];
        if (strcmp(link->agent, m->agent) != 0)
            continue;
        ASQ__LIST_EACH (it, &m->active)
            if (strcmp(active_at(it)->id, link->call) == 0)
                return true;
    }
    return false;
}

/* ---- queues ---- */

void asq__mailbox_enqueue(struct asq__mailbox *m, struct asq__wcall *c)
{
    if (!asq__list_empty(&c->node))
        return;
    asq__assert(!c->active && (c->state == ASQ__CALL_WAITING || c->keeps_place));
    c->reentrant = asq__mailbox_calls(m, asq__wcall_job(c));
    asq__list_add(c->reentrant ? &m->reentrant : &m->queue, &c->node);
}

void asq__mailbox_enqueue_first(struct asq__mailbox *m, struct asq__wcall *c)
{
    asq__assert(!c->active && asq__list_empty(&c->node));
    /* A call whose caller is active becomes re-entrant again. */
    c->reentrant = m->n_active > 0;
    asq__list_add_first(c->reentrant ? &m->reentrant : &m->queue, &c->node);
}

void asq__mailbox_remove(struct asq__wcall *c)
{
    asq__list_del(&c->node);
}

static void make_reentrant(struct asq__mailbox *m, struct asq__wcall *c)
{
    asq__list_del(&c->node);
    c->reentrant = true;
    asq__list_add(&m->reentrant, &c->node);
}

bool asq__mailbox_promote(struct asq__mailbox *m, struct asq__wcall *c)
{
    /* A call that waits for its time or its inputs moves too, because later calls of its caller
     * do. */
    bool queued = c->state == ASQ__CALL_WAITING || c->state == ASQ__CALL_INPUTS ||
                  c->state == ASQ__CALL_DELAYED;
    if (!queued || c->reentrant || asq__list_empty(&c->node) ||
        !asq__mailbox_calls(m, asq__wcall_job(c)))
        return false;
    make_reentrant(m, c);
    return true;
}

static void promote_all(struct asq__mailbox *m)
{
    ASQ__LIST_EACH (it, &m->queue)
        if (asq__mailbox_calls(m, asq__wcall_job(call_at(it))))
            make_reentrant(m, call_at(it));
}

/* Puts re-entrant calls that have not begun back among the others, first: no call is active any
 * more. */
static void demote_all(struct asq__mailbox *m)
{
    struct asq__list *last;
    while ((last = m->reentrant.prev) != &m->reentrant) {
        asq__list_del(last);
        call_at(last)->reentrant = false;
        asq__list_add_first(&m->queue, last);
    }
}

/* ---- which call may start ---- */

const struct asq__active *asq__mailbox_innermost(const struct asq__mailbox *m)
{
    /* Each active call, except shared ones, has the one before it in its chain of callers. */
    for (const struct asq__list *it = m->active.prev; it != &m->active; it = it->prev)
        if (!active_at(it)->call->shared)
            return active_at(it);
    return NULL;
}

const struct asq__active *asq__mailbox_blocker(const struct asq__mailbox *m,
                                               const struct asq__wcall *c)
{
    const struct asq__active *innermost = c->reentrant ? asq__mailbox_innermost(m) : NULL;
    return innermost && has_in_chain(c, innermost->id) ? NULL : innermost;
}

bool asq__skipped_blocks(const struct asq__skipped *skipped, const struct asq__wcall *c)
{
    const char *caller = caller_of(c);
    for (unsigned i = 0; i < skipped->n; i++)
        if (strcmp(caller_of(skipped->calls[i]), caller) == 0 ||
            asq__wcall_is_called_by(c, skipped->calls[i]))
            return true;
    return false;
}

bool asq__mailbox_blocks_all(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                             const struct asq__wcall *c)
{
    return asq__wcall_job(c)->kind == ASQUEUE__JOB_KIND__CREATE && !hooks->exists(m);
}

const struct asq__wcall *asq__mailbox_queued_caller(const struct asq__mailbox *m,
                                                    const struct asq__wcall *c, size_t *steps,
                                                    size_t most)
{
    const Asqueue__Chain *chain = asq__wcall_job(c)->chain;
    bool comes_back = false;
    for (size_t i = 0; chain && i < chain->n_links; i++)
        comes_back = comes_back || strcmp(chain->links[i]->agent, m->agent) == 0;
    if (!comes_back)
        return NULL;
    ASQ__LIST_EACH (it, &m->queue) {
        const struct asq__wcall *before = call_at(it);
        if (before == c || ++*steps > most)
            return NULL;
        if (asq__wcall_is_called_by(c, before))
            return before;
    }
    return NULL;
}

/* ---- pauses ---- */

static bool is_nested(const struct asq__wcall *c)
{
    const Asqueue__Chain *chain = asq__wcall_job(c)->chain;
    return chain && chain->n_links;
}

static bool nested_waits_behind(const struct asq__mailbox *m, const struct asq__wcall *c)
{
    for (const struct asq__list *it = c->node.next; it != &m->queue; it = it->next)
        if (is_nested(ASQ__CONTAINER(it, struct asq__wcall, node)))
            return true;
    return false;
}

bool asq__mailbox_holds(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                        const struct asq__wcall *c)
{
    /* A call that was unloaded in a wait has begun. */
    return !c->reentrant && !c->waits_at && !is_nested(c) && hooks->is_paused(m, c) &&
           !(asq__mailbox_blocks_all(m, hooks, c) && nested_waits_behind(m, c));
}

/* Returns whether not even calls that skip held ones may skip `c`, which is held. */
static bool keeps_place(const struct asq__wcall *c)
{
    /* Failed calls that keep their place, and calls that a process has died of: see examine(). */
    return c->keeps_place || c->state == ASQ__CALL_DELAYED || c->not_before_ms;
}

bool asq__mailbox_has_nested(const struct asq__mailbox *m)
{
    ASQ__LIST_EACH (it, &m->queue)
        if (is_nested(call_at(it)))
            return true;
    return false;
}

/* Calls that a search has come past. */
struct passed {
    struct asq__skipped skipped;
    unsigned seen; /* calls behind the first skipped one */
    bool held;     /* a call that a pause holds */
    bool all;      /* one of these keeps its place, so no call behind it may start */
};

/* Returns whether a pause keeps `c` from starting: it is held, or waits for one that is. *verdict:
 * what has become of it meanwhile, because a deadline ends it all the same. */
static bool is_kept(struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                    struct asq__wcall *c, struct passed *passed, enum asq__verdict *verdict)
{
    size_t steps = 0;
    bool held = !c->reentrant && (asq__mailbox_holds(m, hooks, c) ||
                                  /* the creation does not skip others that are held */
                                  (passed->held && !is_nested(c) && hooks->is_paused(m, c)));
    if (!held && !passed->all &&
        !(passed->held && asq__mailbox_queued_caller(m, c, &steps, SIZE_MAX)))
        return false;
    *verdict = hooks->end_unfit(m, c);
    if (*verdict == ASQ__VERDICT_RUN) {
        passed->held |= held;
        passed->all |= held && keeps_place(c);
    }
    return true;
}

/* ---- the next call ---- */

/* Lets calls of other callers skip `c`, which waits. False: too many wait, or all others wait for
 * it. */
static bool skip(struct asq__skipped *skipped, const struct asq__mailbox *m,
                 const struct asq__mailbox_hooks *hooks, const struct asq__wcall *c)
{
    if (skipped->n + 1 == ASQ__SKIPPED_MAX || asq__mailbox_blocks_all(m, hooks, c))
        return false;
    skipped->calls[skipped->n++] = c;
    return true;
}

/* Decides about a call that no skipped call and no active one blocks. */
static enum asq__verdict examine(struct asq__mailbox *m, const struct asq__search *s,
                                 struct asq__wcall *c)
{
    enum asq__verdict verdict = s->hooks->end_unfit(m, c);
    if (verdict != ASQ__VERDICT_RUN)
        return verdict;
    if (c->state == ASQ__CALL_DELAYED)
        return ASQ__VERDICT_STOP; /* keeps its place */
    /* A process has died of it, and it is tried again a while later. It may have had effects on
     * other agents, so no call of this agent may run before it has had its effect here. */
    if (c->not_before_ms && s->now_ms < c->not_before_ms)
        return ASQ__VERDICT_STOP;
    c->shared = !c->reentrant && s->hooks->may_share_now(m, c);
    /* Beside active calls only calls that share may start. */
    if (m->n_active && !c->reentrant && (!c->shared || m->n_sharing >= s->max_sharing))
        return ASQ__VERDICT_STOP;
    return s->hooks->prepare(m, c);
}

static struct asq__wcall *next_of(struct asq__mailbox *m, struct asq__list *queue,
                                  const struct asq__search *s)
{
    struct passed passed = { .seen = 0 };
    struct asq__skipped *skipped = &passed.skipped;
    ASQ__LIST_EACH (it, queue) {
        struct asq__wcall *c = call_at(it);
        enum asq__verdict verdict;
        if (is_kept(m, s->hooks, c, &passed, &verdict)) {
            if (verdict == ASQ__VERDICT_STOP)
                return NULL;
            continue;
        }
        if (skipped->n && ++passed.seen > ASQ__SKIPPED_SEEN)
            return NULL;
        if ((c->reentrant && asq__mailbox_blocker(m, c)) ||
            (skipped->n && asq__skipped_blocks(skipped, c)))
            continue;
        switch (examine(m, s, c)) {
        case ASQ__VERDICT_RUN: return c;
        case ASQ__VERDICT_STOP: return NULL;
        case ASQ__VERDICT_ENDED: break;
        case ASQ__VERDICT_SKIP:
            if (!skip(skipped, m, s->hooks, c))
                return NULL;
            break;
        }
    }
    return NULL;
}

struct asq__wcall *asq__mailbox_next(struct asq__mailbox *m, const struct asq__search *s)
{
    struct asq__wcall *c = NULL;
    if (!asq__list_empty(&m->reentrant)) {
        if (!m->turn && !m->n_sharing)
            c = next_of(m, &m->reentrant, s);
        if (c || !asq__list_empty(&m->reentrant))
            return c;
    }
    /* A call on which no active call depends waits for all of them, except that shared ones run
     * beside each other. */
    if (m->n_active != m->n_active_shared || !s->hooks->admits(m))
        return NULL;
    return next_of(m, &m->queue, s);
}

/* ---- active calls ---- */

static void take_turn(struct asq__mailbox *m, struct asq__wcall *c)
{
    asq__assert(!m->turn && (c->shared || !m->n_sharing));
    if (c->shared)
        m->n_sharing++;
    else
        m->turn = c;
}

static void give_up_turn(struct asq__mailbox *m, struct asq__wcall *c)
{
    asq__assert(c->shared ? m->n_sharing > 0 && !m->turn : m->turn == c && !m->n_sharing);
    if (c->shared)
        m->n_sharing--;
    else
        m->turn = NULL;
}

void asq__mailbox_start(struct asq__mailbox *m, struct asq__wcall *c, struct asq__active *active,
                        bool again)
{
    asq__assert(!c->active && !asq__list_empty(&c->node));
    asq__list_del(&c->node);
    c->reentrant = false;
    asq__wcall_enter(c, ASQ__CALL_RUNNING);
    c->active = active;
    take_turn(m, c);
    m->n_active++;
    m->n_active_shared += c->shared;
    asq__list_add(&m->active, &active->node);
    if (again)
        promote_all(m);
}

void asq__mailbox_park(struct asq__mailbox *m, struct asq__wcall *c)
{
    asq__wcall_enter(c, ASQ__CALL_PARKED);
    give_up_turn(m, c);
}

void asq__mailbox_unpark(struct asq__mailbox *m, struct asq__wcall *c)
{
    asq__assert(asq__list_empty(&c->node));
    asq__wcall_enter(c, ASQ__CALL_RESUMABLE);
    asq__list_add(&m->resumable, &c->node);
}

struct asq__wcall *asq__mailbox_find_resumable(const struct asq__mailbox *m, bool abandoned)
{
    const struct asq__active *innermost = asq__mailbox_innermost(m);
    ASQ__LIST_EACH (it, &m->resumable) {
        struct asq__wcall *c = call_at(it);
        if (c->shared || c->active == innermost || abandoned)
            return c;
    }
    return NULL;
}

bool asq__mailbox_is_moving(const struct asq__mailbox *m, bool abandoned)
{
    return m->n_sharing || asq__mailbox_turn_is_taken(m, abandoned);
}

struct asq__wcall *asq__mailbox_resume(struct asq__mailbox *m, bool abandoned)
{
    struct asq__wcall *c = asq__mailbox_resumable(m, abandoned);
    if (!c || m->turn || (!c->shared && m->n_sharing))
        return NULL;
    asq__list_del(&c->node);
    asq__wcall_enter(c, ASQ__CALL_RUNNING);
    take_turn(m, c);
    return c;
}

void asq__mailbox_end(struct asq__mailbox *m, struct asq__wcall *c)
{
    give_up_turn(m, c);
    asq__assert(m->n_active > 0 && m->n_active_shared >= c->shared);
    m->n_active--;
    m->n_active_shared -= c->shared;
    asq__list_del(&c->active->node);
    c->active = NULL;
    asq__assert((m->n_active == 0) == asq__list_empty(&m->active));
    if (m->n_active == 0)
        demote_all(m);
}
