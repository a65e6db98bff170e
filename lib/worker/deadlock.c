/*
 * deadlock.c: finds calls that wait for each other in a circle, and fails one of them. A chain of
 * callers that comes back to an agent is let in (dispatch.c); a circle needs two chains: A calls B
 * while B calls A.
 *
 * What holds an agent while others wait in its mailbox is a call inside it that is parked, or the head of
 * the mailbox while its inputs are awaited. Such a holder waits for one call; the owner of that call is
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
    MAX_HOPS = 100000,
    MAX_PATH = 24, /* links that a probe carries, for the message */
    MAX_PAUSE = 4, /* looks between two probes of one holder */
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

/* The head of the mailbox, which holds up what its caller called after it (c; NULL: whoever). */
static bool head_waits(const struct asq__actor *a, const struct asq__wcall *c, struct holder *ret)
{
    if (a->inside || asq__list_empty(&a->mailbox))
        return false;
    ret->call = ASQ__CONTAINER(a->mailbox.next, struct asq__wcall, node);
    if (c && strcmp(c->entry->batch->reply, ret->call->entry->batch->reply) != 0)
        return false;
    return ret->call->state == ASQ__CALL_INPUTS && asq__inputs_pending(ret->call, &ret->waits_for);
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
    else if (order < 0 || (order > 0 && !queued)) /* a call that holds nobody up sends no probes */
        send_on(c->entry->part->w, job->chain, job->hops + 1, h);
}

void asq__deadlock_probe(struct asq__wcall *c, const Asqueue__Job *job)
{
    struct asq__actor *a = c->actor;
    struct holder h;
    if (!a || !job->chain || job->chain->n_links == 0 || job->hops >= MAX_HOPS)
        return;
    if (c->state == ASQ__CALL_PARKED) {
        if (inside_waits(c->run, &h))
            visit(c, false, &h, job);
    } else if (c->state == ASQ__CALL_WAITING || c->state == ASQ__CALL_INPUTS) {
        if (head_waits(a, c, &h)) {
            visit(c, true, &h, job);
        } else {
            ASQ__LIST_EACH (it, &a->insiders)
                if (inside_waits(ASQ__CONTAINER(it, struct asq__run, inside), &h)) {
                    visit(c, true, &h, job);
                    if (c->state == ASQ__CALL_FINISHED)
                        break; /* it was failed */
                }
        }
    }
}

/* ---- once a second ---- */

/* Sends the probes of what holds up the actor. Returns their number. */
static int probe_holders(struct asq__actor *a)
{
    struct asq__process *w = a->part->w;
    struct holder h;
    int sent = 0;
    if (head_waits(a, NULL, &h))
        return send_on(w, NULL, 0, &h);
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
            if (a->turn || a->sharing || !asq__list_empty(&a->wakers) || asq__list_empty(&a->mailbox)) {
                a->stuck = 0;
                continue;
            }
            unsigned n = ++a->stuck;
            if (budget > 0 && (n == 2 || n % MAX_PAUSE == 0))
                budget -= probe_holders(a);
        }
    }
}
