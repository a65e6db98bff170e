/*
 * deadlock.c: finds calls that wait for each other in a circle, and fails one of them. A chain of
 * callers that comes back to an agent is let in (dispatch.c); a circle needs two chains: A calls B
 * while B calls A.
 *
 * What holds an agent while others wait for it is a call inside it that is parked, or one that is queued
 * before them while its inputs are awaited. Such a holder waits for one call; the owner of that call is
 * asked by a probe, a job to its partition, who sends the probe on to what that call waits for in turn.
 * A probe that comes back to the holder which sent it has gone round a circle: each of its calls can
 * only go on after the next (a holder that waits for any of several is not followed). The queued call
 * through which it came back has not begun, and is failed.
 *
 * Only the probe of the holder with the greatest call id goes all the way round; the others end where
 * they meet a greater one, which sends probes of its own. So one call of a circle is failed, not all.
 */
#include <stdio.h>
#include <string.h>

#include "worker/process.h"

enum {
    MAX_HOPS = 10000,
    MAX_PATH = 24, /* links that a probe carries */
    MAX_PAUSE = 2, /* looks between two probes of one holder */
    PROBES_PER_LOOK = 500
};

/* ---- who holds, and what for ---- */

struct holder {
    struct asq__wcall *call;
    struct asq__call_id waits_for;
};

static bool inside_waits(const struct asq__run *run, struct holder *ret)
{
    const struct asq__call_id *target = asq__nested_waits_for(run);
    if (!target)
        return false;
    ret->call = run->call;
    ret->waits_for = *target;
    return true;
}

static bool input_waits(struct asq__wcall *c, struct holder *ret)
{
    ret->call = c;
    return c->state == ASQ__CALL_INPUTS && asq__inputs_pending(c, &ret->waits_for);
}

/* The call that holds up others of its queue while its inputs are awaited, or NULL: the first, when nobody
 * inside does. */
static struct asq__wcall *head_of(const struct asq__actor *a, const struct asq__list *queue)
{
    struct asq__wcall *c = ASQ__CONTAINER(queue->next, struct asq__wcall, node);
    if (asq__list_empty(queue) ||
        (queue == &a->mailbox ? a->inside > 0 : asq__actor_holds_back(c) != NULL))
        return NULL;
    return c;
}

/* Who holds up `c` in its queue; as dispatch.c passes over calls whose inputs are awaited. */
static bool queue_waits(const struct asq__actor *a, const struct asq__wcall *c, struct holder *ret)
{
    const char *skipped = NULL;
    ASQ__LIST_EACH (it, c->reentrant ? &a->reentrant : &a->mailbox) {
        struct asq__wcall *before = ASQ__CONTAINER(it, struct asq__wcall, node);
        const char *caller = before->entry->batch->reply;
        if (before == c)
            return false;
        if (asq__actor_holds_back(before) || (skipped && strcmp(skipped, caller) == 0))
            continue;
        if (!input_waits(before, ret))
            return false;
        if (skipped || strcmp(caller, c->entry->batch->reply) == 0)
            return true;
        skipped = caller;
    }
    return false;
}

/* ---- probes ---- */

/* Sends on a probe: the path so far, and the holder at its end. */
static bool send_on(struct asq__process *w, const Asqueue__Chain *path, uint32_t hops,
                    const struct holder *h)
{
    Asqueue__Chain longer;
    Asqueue__Link *links[MAX_PATH], own;
    char id[ASQ__CALL_ID_TEXT];
    asqueue__chain__init(&longer);
    asqueue__link__init(&own);
    for (size_t i = 0; path && i < path->n_links && longer.n_links < MAX_PATH - 1; i++)
        links[longer.n_links++] = path->links[i];
    asq__wcall_id(h->call, id);
    own.call = id;
    own.agent = h->call->actor->id;
    links[longer.n_links++] = &own;
    longer.links = links;
    return asq__engine_probe(w->engine, &h->waits_for, &longer, hops) == 0;
}

/* The circle is closed: `c` is queued behind the holder that asked. */
static void fail_call(struct asq__wcall *c, const Asqueue__Chain *path, uint32_t hops)
{
    struct asq__buf text;
    asq__buf_init(&text, 8192);
    asq__buf_printf(&text, "a deadlock: this call waits for agent '%s'", path->links[0]->agent);
    for (size_t i = 0; i < path->n_links; i++)
        asq__buf_printf(&text, ", whose call %s waits for agent '%s'", path->links[i]->call,
                        i + 1 < path->n_links ? path->links[i + 1]->agent : path->links[0]->agent);
    if (hops >= path->n_links)
        asq__buf_printf(&text, " (%u in between are left out)",
                        hops + 1 - (unsigned) path->n_links);
    asq__buf_putc(&text, '\0');
    asq__wcall_fail(c, ASQ_EDEADLK, "%s",
                    text.error ? "a deadlock: calls wait for each other in a circle"
                               : (const char *) text.data);
}

/* Has it gone round a circle that its origin is not part of? That one has probes of its own. */
static bool was_here(const Asqueue__Chain *path, const char *call)
{
    for (size_t i = 1; i < path->n_links; i++)
        if (strcmp(path->links[i]->call, call) == 0)
            return true;
    return false;
}

/* The probe has come to a holder on its way through `c`, which may be the holder itself. */
static void visit(struct asq__wcall *c, bool queued, const struct holder *h,
                  const Asqueue__Job *job)
{
    char id[ASQ__CALL_ID_TEXT];
    const char *origin = job->chain->links[0]->call;
    asq__wcall_id(h->call, id);
    int order = strcmp(id, origin);
    if (order == 0 && queued)
        fail_call(c, job->chain, job->hops);
    else if ((order < 0 || (order > 0 && !queued)) && /* who holds nobody up sends no probes */
             !was_here(job->chain, id))
        send_on(c->entry->part->w, job->chain, job->hops + 1, h);
}

/* The probe has come to a call that has not begun. */
static void probe_queued(struct asq__wcall *c, const Asqueue__Job *job)
{
    struct asq__actor *a = c->actor;
    const struct asq__run *out = asq__actor_holds_back(c);
    struct holder h;
    if (input_waits(c, &h))
        visit(c, c == head_of(a, &a->mailbox) || c == head_of(a, &a->reentrant), &h, job);
    if (c->state != ASQ__CALL_FINISHED && out && inside_waits(out, &h))
        visit(c, true, &h, job);
    if (!c->reentrant)
        ASQ__LIST_EACH (it, &a->insiders)
            if (c->state != ASQ__CALL_FINISHED &&
                inside_waits(ASQ__CONTAINER(it, struct asq__run, inside), &h))
                visit(c, true, &h, job);
    if (c->state != ASQ__CALL_FINISHED && !out && (c->reentrant || !a->inside) &&
        queue_waits(a, c, &h))
        visit(c, true, &h, job);
}

void asq__deadlock_probe(struct asq__wcall *c, const Asqueue__Job *job)
{
    struct holder h;
    if (!c->actor || !job->chain || job->chain->n_links == 0 || job->hops >= MAX_HOPS)
        return;
    if (c->state == ASQ__CALL_PARKED) {
        /* One whose own wait is over waits for what was let in for it. */
        const struct asq__run *waits = c->run->woken ? asq__actor_innermost(c->actor) : c->run;
        if (waits && inside_waits(waits, &h))
            visit(c, false, &h, job);
    } else if (c->state == ASQ__CALL_WAITING || c->state == ASQ__CALL_INPUTS) {
        probe_queued(c, job);
    }
}

/* ---- once a second ---- */

/* Sends the probes of what holds up the actor. Returns their number. */
static int probe_holders(struct asq__actor *a)
{
    struct asq__process *w = a->part->w;
    const struct asq__list *queues[] = { &a->mailbox, &a->reentrant };
    struct holder h;
    int sent = 0;
    for (int i = 0; i < 2; i++) {
        struct asq__wcall *head = head_of(a, queues[i]);
        if (head && input_waits(head, &h))
            sent += send_on(w, NULL, 0, &h);
    }
    ASQ__LIST_EACH (it, &a->insiders)
        if (inside_waits(ASQ__CONTAINER(it, struct asq__run, inside), &h))
            sent += send_on(w, NULL, 0, &h);
    return sent;
}

void asq__deadlock_look(struct asq__process *w)
{
    int budget = PROBES_PER_LOOK;
    for (uint32_t i = 0; i < w->nparts && budget > 0; i++) {
        struct asq__partition *p = &w->parts[i];
        if (!asq__partition_is_owned(p))
            continue;
        ASQ__LIST_EACH (it, &p->busy) {
            struct asq__actor *a = ASQ__CONTAINER(it, struct asq__actor, where);
            if (asq__actor_is_moving(a) ||
                (asq__list_empty(&a->mailbox) && asq__list_empty(&a->reentrant))) {
                a->stuck = 0;
                continue;
            }
            unsigned n = ++a->stuck;
            if (budget > 0 && n % MAX_PAUSE == 0)
                budget -= probe_holders(a);
        }
    }
}
