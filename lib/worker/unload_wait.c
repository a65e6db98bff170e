/*
 * unload_wait.c: see unload_wait.h. An unloaded call has no handle and no results, so the engine
 * completes calls of its own for it, one for each id that the run has waited for. They are awaited
 * from the moment at which the run is unloaded, so nothing comes unheard while its method returns:
 *
 *     parked ──begin──▶ run->unload_wait ──hand_over──▶ call->unload_wait ──over──▶ its call runs again
 *                             │                                                        ▲
 *                             └──over meanwhile────────────────────────────────────────┘
 *
 * Values that come are dropped: the next run makes the same calls, and is given them again, by the
 * records in Redis. All of it belongs to the loop.
 */
#include "worker/unload_wait.h"

#include <stdlib.h>
#include <string.h>

#include "client/engine.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/unconst.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/delay.h"
#include "worker/exec/run.h"
#include "worker/nested_state.h"
#include "worker/partition.h"
#include "worker/process.h"

struct item {
    struct asq__call call;
    struct asq__unload_wait *wait;
    struct asq__call_id id;
    bool pending;
};

struct asq__unload_wait {
    struct asq__process *w;
    struct asq__wcall *c; /* NULL: its run has not ended yet */
    uint64_t number;
    bool any;  /* one of the results is enough */
    bool over; /* the call can run again */
    size_t n, left;
    char *signal; /* NULL: results are waited for */
    struct item items[];
};

/* ---- the end of the wait ---- */

void asq__unload_wake(struct asq__wcall *c)
{
    if (c->unload_wait) /* else it says when its sleep is over */
        c->due_ms = (uint64_t) (asq__now_ms() + c->entry->part->minus_mono_ms);
    asq__delay_end(c);
    asq__wcall_enter(c, ASQ__CALL_WAITING);
}

static void set_over(struct asq__unload_wait *wait)
{
    struct asq__wcall *c = wait->c;
    wait->over = true;
    if (!c || c->state != ASQ__CALL_DELAYED)
        return;
    asq__unload_wake(c);
    asq__actors_resume_later(&wait->w->actors, c->actor);
}

static void result_done(struct asq__call *call, const Asqueue__Result *result,
                        const asq_error *error)
{
    struct item *item = ASQ__CONTAINER(call, struct item, call);
    struct asq__unload_wait *wait = item->wait;
    (void) result;
    (void) error; /* the next run is told */
    item->pending = false;
    if (--wait->left == 0 || wait->any)
        set_over(wait);
}

void asq__unload_wait_signal(const struct asq__partition *p, const char *agent, const char *name)
{
    const struct asq__actor *a = asq__actors_find(&p->actors, agent, strlen(agent));
    const struct asq__mailbox *m = a && a->calls ? &a->calls->mailbox : NULL;
    struct asq__unload_wait *wait = NULL;
    if (!m)
        return;
    /* A run that is unloaded is the only one of its agent, and its call has the first place. */
    if (m->n_active == 1)
        wait = ASQ__CONTAINER(m->active.next, struct asq__run, active.node)->unload_wait;
    else if (m->n_active == 0 && !asq__list_empty(&m->queue))
        wait = ASQ__CONTAINER(m->queue.next, struct asq__wcall, node)->unload_wait;
    if (wait && wait->signal && strcmp(wait->signal, name) == 0)
        set_over(wait);
}

/* ---- its beginning ---- */

struct found {
    asq_result **results; /* NULL: they are counted */
    size_t n;
    bool unfit;
};

static bool find(void *user, const asq_result *r)
{
    struct found *f = user;
    /* A call that the engine does not know yet must not be awaited: it would not be sent then. */
    f->unfit |= !r->call.batch || r->progress;
    if (f->results)
        f->results[f->n] = asq__unconst(r);
    f->n++;
    return !f->unfit;
}

static enum asq__wait visit_results(const struct asq__run *run, struct found *f)
{
    const struct asq__nested *n = run->ctx.h->impl;
    return asq__wait_results(n->ready, n->arg, find, f);
}

bool asq__unload_wait_may_begin(const struct asq__run *run)
{
    struct found f = { .n = 0 };
    return visit_results(run, &f) != ASQ__WAIT_OTHER && f.n && !f.unfit;
}

/* Has the engine complete the item instead of the run's result. */
static void take_over(struct asq__unload_wait *wait, struct item *item, asq_result *r)
{
    struct asq__engine *engine = wait->w->engine;
    item->wait = wait;
    item->id = r->id;
    item->call.done = result_done;
    item->pending = true;
    if (asq__engine_await(engine, &item->id, &item->call) < 0) {
        item->pending = false;
        wait->left--;
        wait->over = true; /* the next run awaits it, or is told why not */
    }
    asq__engine_abandon(engine, &r->call);
    asq__result_unref(r); /* of the engine; the method has its own */
}

struct asq__unload_wait *asq__unload_wait_begin(struct asq__run *run, const char *signal)
{
    struct found f = { .n = 0 };
    size_t name_n = signal ? strlen(signal) + 1 : 0;
    enum asq__wait kind = signal ? ASQ__WAIT_OTHER : visit_results(run, &f);
    size_t n = f.n;
    struct asq__unload_wait *wait = calloc(1, sizeof *wait + n * sizeof wait->items[0] + name_n);
    asq_result **results = calloc(n + 1, sizeof(asq_result *));
    if (!wait || !results) {
        free(wait);
        free(results);
        return NULL;
    }
    wait->w = run->w;
    wait->number = run->wait;
    wait->any = kind == ASQ__WAIT_ANY;
    wait->n = wait->left = n;
    if (signal)
        wait->signal = memcpy((char *) &wait->items[n], signal, name_n);
    f = (struct found){ .results = results };
    if (n)
        visit_results(run, &f);
    asq__assert(f.n == n && !f.unfit);
    for (size_t i = 0; i < n; i++)
        take_over(wait, &wait->items[i], results[i]);
    free(results);
    return wait;
}

bool asq__unload_wait_hand_over(struct asq__unload_wait *wait, struct asq__wcall *c)
{
    asq__assert(!c->unload_wait && !wait->c);
    wait->c = c;
    c->unload_wait = wait;
    return wait->over;
}

void asq__unload_wait_free(struct asq__unload_wait *wait)
{
    if (!wait)
        return;
    for (size_t i = 0; i < wait->n; i++)
        if (wait->items[i].pending)
            asq__engine_abandon(wait->w->engine, &wait->items[i].call);
    if (wait->c)
        wait->c->unload_wait = NULL;
    free(wait);
}

void asq__unload_forget(struct asq__wcall *c)
{
    asq__unload_wait_free(c->unload_wait);
    for (size_t i = 0; i < c->ninner; i++)
        asq__engine_unpin(c->entry->part->w->engine, c->inner[i].id, ASQ__RECORD_LEAVE, 0);
    free(c->inner);
    c->inner = NULL;
    c->ninner = 0;
}

/* ---- what others ask ---- */

uint64_t asq__unload_wait_number(const struct asq__unload_wait *wait)
{
    return wait->number;
}

const char *asq__unload_wait_signal_name(const struct asq__unload_wait *wait)
{
    return wait->signal;
}

enum asq__wait asq__unload_wait_visit(const struct asq__unload_wait *wait,
                                      bool (*visit)(void *user, const struct asq__call_id *id),
                                      void *user)
{
    if (wait->signal || wait->over)
        return ASQ__WAIT_OTHER;
    for (size_t i = 0; i < wait->n; i++)
        if (wait->items[i].pending && !visit(user, &wait->items[i].id))
            break;
    return wait->any ? ASQ__WAIT_ANY : ASQ__WAIT_ALL;
}
