/*
 * nested.c: the handle inside a method. Its waits park the fiber; its calls leave as
 * nested_submit.c says.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/handle.h"
#include "client/object.h"
#include "client/progress.h"
#include "client/step_log.h"
#include "redis/timer.h"
#include "value/clock.h"
#include "value/list.h"
#include "worker/agent_signals.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/emits.h"
#include "worker/exec/fiber.h"
#include "worker/exec/pool.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/nested.h"
#include "worker/nested_pools.h"
#include "worker/nested_state.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/settle.h"
#include "worker/steps.h"
#include "worker/unload.h"

/* ---- wait ---- */

/* Returns the result whose call emits. */
static asq_result *emitting(const struct asq__progress *p)
{
    return ASQ__CONTAINER(p->call, asq_result, call);
}

/* Takes completed results and runs callbacks, on the method's thread. */
static void take_completed(struct asq__nested *n)
{
    struct asq__list taken, arrived;
    struct asq__list *node;
    asq__list_init(&taken);
    asq__list_init(&arrived);
    pthread_mutex_lock(&n->lock);
    asq__list_splice(&taken, &n->completed);
    asq__list_splice(&arrived, &n->arrived);
    pthread_mutex_unlock(&n->lock);
    while ((node = asq__list_pop(&taken))) {
        asq_result *r = ASQ__CONTAINER(node, asq_result, node);
        n->handle.ncompleted++;
        asq__result_queue_callback(r);
        asq__result_unref(r);
    }
    while ((node = asq__list_pop(&arrived))) {
        asq_result *r = emitting(ASQ__CONTAINER(node, struct asq__progress, of_method));
        if (!asq__emit_is_over(r))
            asq__emit_due(r);
        asq__result_unref(r);
    }
    asq__handle_run_callbacks(&n->handle);
}

/* Ends a wait whose time is over, or unloads its run; otherwise starts the timer. Returns whether
 * the wait is over. */
static bool end_or_time(struct asq__nested *n)
{
    struct asq__run *run = n->run;
    int64_t now = asq__now_ms(), ask_ms;
    if (now >= n->until_ms) {
        run->wait_rc = n->deadline_first ? ASQ_EDEADLINE : ASQ_ETIMEOUT;
        return true;
    }
    if (asq__unload_is_due(run, &ask_ms) && asq__unload(run))
        return true;
    if (n->until_ms != INT64_MAX && n->until_ms - now < ask_ms)
        ask_ms = n->until_ms - now;
    if (ask_ms == INT64_MAX) {
        ev_timer_stop(n->w->loop, &n->timer); /* a cancelled wait may have left it active */
    } else {
        ev_now_update(n->w->loop);
        asq__timer_restart(n->w->loop, &n->timer, (double) ask_ms / 1000, 0.);
    }
    return false;
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__nested *n = w->data;
    (void) loop;
    (void) revents;
    if (n->run && asq__run_is_parked(n->run) && end_or_time(n))
        n->w->run_hooks->unpark(n->run);
}

/* Returns whether a completed result has a callback to run, or one is to be told of emitted
 * values. */
static bool has_callback_due(struct asq__nested *n)
{
    pthread_mutex_lock(&n->lock);
    bool due = !asq__list_empty(&n->arrived);
    ASQ__LIST_EACH (it, &n->completed)
        due = due || ASQ__CONTAINER(it, asq_result, node)->fn;
    pthread_mutex_unlock(&n->lock);
    return due;
}

static void wait_on_loop(struct asq__handover *h)
{
    struct asq__nested *n = ASQ__CONTAINER(h, struct asq__nested, wait);
    struct asq__run *run = n->run;
    run->wait = ++run->w->waits;
    run->w->run_hooks->parks(run);
    if (!asq__run_is_parked(run))
        return;
    if ((n->handle.asleep_until_ms || n->tells_cancel) && run->active.call->canceled &&
        !atomic_exchange(&run->ctx.canceled, true))
        asq__nested_cancel(run); /* it was cancelled in this sleep or wait, without a run */
    if (atomic_load(&run->ctx.canceled))
        run->wait_rc = ASQ_ECANCELED;
    else if (n->ready(n->arg) || has_callback_due(n))
        run->wait_rc = 0;
    else if (!end_or_time(n))
        return;
    run->w->run_hooks->unpark(run);
}

/* Refuses what an unloaded run asks for. */
static int refuse(asq *h)
{
    const struct asq__nested *n = h->impl;
    return n->run->ctx.unloaded ? asq__fail(h, ASQ_EUNLOADED, ASQ__UNLOADED) : 0;
}

static bool visit_none(void *user, const asq_result *r)
{
    (void) user, (void) r;
    return false;
}

/* Returns whether a wait is the one in which the call was cancelled without a run, or behind it.
 * Waits for records are in no such place. */
static bool tells_cancel(const struct asq__nested *n, bool (*ready)(void *arg), void *arg)
{
    const asq *h = &n->handle;
    uint64_t at = n->run->ctx.canceled_at;
    return at && (h->steps ? h->steps->number : 0) + 1 >= at &&
           (h->waits_until_ms ||
            asq__wait_results(ready, arg, visit_none, NULL) != ASQ__WAIT_OTHER);
}

static int nested_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms)
{
    struct asq__nested *n = h->impl;
    struct asq__run *run = n->run;
    int64_t until = asq__deadline_ms(timeout_ms), since = asq__now_ms();
    bool tells = tells_cancel(n, ready, arg);
    for (;;) {
        if (refuse(h) < 0)
            return ASQ_EUNLOADED;
        take_completed(n);
        if (ready(arg))
            return 0;
        if (atomic_load(&run->ctx.canceled))
            return asq__fail(h, ASQ_ECANCELED, "the call was cancelled");
        if (timeout_ms == 0)
            return ASQ_ETIMEOUT;
        n->ready = ready;
        n->arg = arg;
        n->since_ms = since;
        n->tells_cancel = tells;
        n->deadline_first = run->ctx.deadline_ms < until;
        n->until_ms = n->deadline_first ? run->ctx.deadline_ms : until;
        run->fiber = asq__fiber_current();
        asq__process_hand_over(n->w, &n->wait);
        asq__pool_park();
        if (run->wait_rc == ASQ_ECANCELED)
            return asq__fail(h, ASQ_ECANCELED, "the call was cancelled");
        if (run->wait_rc == ASQ_EUNLOADED)
            run->ctx.unloaded = n->unloaded = true;
        if (run->wait_rc == ASQ_EDEADLINE)
            return asq__fail(h, ASQ_EDEADLINE, "the call's deadline has passed");
        if (run->wait_rc == ASQ_ETIMEOUT) {
            take_completed(n);
            return ready(arg) ? 0 : ASQ_ETIMEOUT;
        }
    }
}

void asq__nested_end_wait(struct asq__nested *n, atomic_bool *over, bool (*ready)(void *arg),
                          void *arg)
{
    atomic_store_explicit(over, true, memory_order_release);
    if (!n->run || !asq__run_is_parked(n->run) || n->ready != ready || n->arg != arg)
        return;
    n->run->wait_rc = 0;
    ev_timer_stop(n->w->loop, &n->timer);
    n->w->run_hooks->unpark(n->run);
}

enum asq__wait asq__nested_waits_for(const struct asq__run *run, asq__wait_fn visit, void *user)
{
    if (!asq__run_is_parked(run))
        return ASQ__WAIT_OTHER;
    const struct asq__nested *n = run->ctx.h->impl; /* a parked run has a handle */
    return asq__wait_results(n->ready, n->arg, visit, user);
}

/* ---- results made elsewhere, cancelling ---- */

enum ask { ASK_ATTACH, ASK_CANCEL, ASK_EMITTED, ASK_DROP_EMITTED };

struct query {
    struct asq__handover handover;
    enum ask ask;
    asq_result *result; /* a reference */
};

/* Wakes a method that waits for what a call emits, or has a callback for it. */
static void emitted_arrived(struct asq__progress *p)
{
    asq_result *r = emitting(p);
    struct asq__nested *n = r->h->impl;
    asq__list_del(&p->of_method);
    if (p->by_callback) {
        asq__result_ref(r);
        pthread_mutex_lock(&n->lock);
        asq__list_add(&n->arrived, &p->of_method);
        pthread_mutex_unlock(&n->lock);
    }
    if (asq__run_is_parked(n->run) && (p->by_callback || n->ready(n->arg))) {
        n->run->wait_rc = 0;
        ev_timer_stop(n->w->loop, &n->timer);
        n->w->run_hooks->unpark(n->run);
    }
}

static void release_emitted(struct asq__progress *p)
{
    asq__result_unref(emitting(p));
}

/* Ends a read, on the loop. */
static void drop_read(struct asq__progress *p)
{
    asq__list_del(&p->of_method);
    asq__progress_drop(p);
}

static void ask_on_loop(struct asq__handover *h)
{
    struct query *q = ASQ__CONTAINER(h, struct query, handover);
    asq_result *r = q->result;
    struct asq__nested *n = r->h->impl;
    int rc;
    if (q->ask == ASK_ATTACH) {
        r->call.done = asq__nested_call_done;
        rc = asq__engine_await(n->w->engine, &r->id, &r->call); /* takes the reference */
        if (rc < 0) {
            asq_error error = { rc, "the result cannot be awaited", "", "", "", "", "" };
            asq__call_fail(&r->call, &error);
        }
    } else if (q->ask == ASK_EMITTED) {
        r->progress->arrived = emitted_arrived;
        r->progress->release = release_emitted; /* of the query's reference */
        asq__list_add(&n->reads, &r->progress->of_method);
        asq__progress_want(n->w->engine, r->progress, asq__result_is_done(r));
    } else if (q->ask == ASK_DROP_EMITTED) {
        if (!asq__progress_is_there(r->progress))
            drop_read(r->progress);
        asq__result_unref(r);
    } else {
        asq__engine_cancel(n->w->engine, &r->id);
        asq__result_unref(r);
    }
    free(q);
}

static int ask_loop(asq *h, asq_result *r, enum ask ask)
{
    struct asq__nested *n = h->impl;
    if (refuse(h) < 0)
        return ASQ_EUNLOADED;
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return asq__fail_memory(h);
    q->handover.handle = ask_on_loop;
    q->ask = ask;
    q->result = r;
    asq__result_ref(r);
    asq__process_hand_over(n->w, &q->handover);
    return 0;
}

static int nested_attach(asq *h, asq_result *r)
{
    return ask_loop(h, r, ASK_ATTACH);
}

static int nested_cancel(asq *h, asq_result *r)
{
    return ask_loop(h, r, ASK_CANCEL);
}

static int nested_read_emitted(asq *h, asq_result *r)
{
    return ask_loop(h, r, ASK_EMITTED);
}

/* A failure leaves the read to the end of the method. */
static void nested_drop_emitted(asq *h, asq_result *r)
{
    ask_loop(h, r, ASK_DROP_EMITTED);
}

static void nested_keep(asq *h, asq_result *r)
{
    struct asq__nested *n = h->impl;
    (void) r;
    n->run->keep_inner = true; /* the ids were given away, so the records stay for a while */
}

static int nested_flush(asq *h)
{
    (void) h; /* the calls of a statement leave with it */
    return 0;
}

static bool nested_accepted(asq *h)
{
    (void) h; /* the outer call's commit waits for them */
    return true;
}

static int nested_attach_ev(asq *h, struct ev_loop *loop)
{
    (void) loop;
    return asq__fail(h, ASQ_ENOTSUP,
                     "inside a method waits park the call; no loop can be attached");
}

static int nested_close(asq *h)
{
    (void) h;
    return 0;
}

static void nested_release(asq *h)
{
    struct asq__nested *n = h->impl;
    pthread_mutex_destroy(&n->lock);
    free(n->made_in);
}

static const struct asq__mode nested_mode = {
    .name = "method",
    .repeats = true,
    .submit = asq__nested_submit,
    .await_agents = asq__nested_await_agents,
    .wait = nested_wait,
    .flush = nested_flush,
    .accepted = nested_accepted,
    .attach = nested_attach,
    .keep = nested_keep,
    .cancel = nested_cancel,
    .attach_ev = nested_attach_ev,
    .emit = asq__nested_emit,
    .read_emitted = nested_read_emitted,
    .drop_emitted = nested_drop_emitted,
    .unseen = asq__nested_unseen,
    .load_steps = asq__nested_load_steps,
    .record_steps = asq__nested_record_steps,
    .next_signal = asq__nested_next_signal,
    .settle = asq__nested_settle,
    .ask_pools = asq__nested_ask_pools,
    .close = nested_close,
    .release = nested_release,
};

/* ---- life ---- */

static size_t outer_calls(const Asqueue__Job *job)
{
    return job->chain ? job->chain->n_links : 0;
}

struct asq__nested *asq__nested_room(const struct asq__run *run)
{
    size_t links = outer_calls(asq__wcall_job(run->active.call)) + 1;
    return malloc(sizeof(struct asq__nested) + links * sizeof(Asqueue__Link *));
}

static void log_text(void *user, asq_log_level level, const char *message)
{
    const struct asq__process *w = user;
    asq__config_log(&w->config, level, NULL, message);
}

/* Makes the handle when a method first asks for it; most never do, and its memory stays
 * untouched. */
asq *asq__nested_handle(asq_ctx *ctx)
{
    struct asq__run *run = ctx->impl;
    struct asq__wcall *c = run->active.call;
    const Asqueue__Job *job = asq__wcall_job(c);
    size_t outer = outer_calls(job);
    struct asq__nested *n = run->nested;
    asq *h = &n->handle;
    run->nested = NULL; /* from here on the last reference to the handle frees it */
    memset(n, 0, sizeof *n);
    asq__handle_init(h, &nested_mode);
    n->w = run->w;
    n->run = run;
    n->may_have_begun = c->entry->may_have_begun;
    h->retries = c->retries;
    asqueue__chain__init(&n->chain);
    asqueue__link__init(&n->own);
    memcpy(n->own_id, run->active.id, sizeof n->own_id);
    n->own.call = n->own_id;
    n->own.agent = job->agent;
    for (size_t i = 0; i < outer; i++)
        n->links[i] = job->chain->links[i];
    n->links[outer] = &n->own;
    n->chain.links = n->links;
    n->chain.n_links = outer + 1;
    pthread_mutex_init(&n->lock, NULL);
    asq__list_init(&n->completed);
    asq__list_init(&n->arrived);
    asq__list_init(&n->reads);
    asq__list_init(&n->steps.node);
    atomic_init(&n->emit_bytes, 0);
    n->wait.handle = wait_on_loop;
    ev_timer_init(&n->timer, on_timer, 0., 0.);
    n->timer.data = n;
    h->impl = n;
    h->in_method = true;
    h->chain = &n->chain;
    h->outer_trace = ctx->trace;
    h->max_message_size = run->w->config.max_message_size;
    h->registry = run->w->config.registry;
    asq__nested_know_pools(h);
    if (asq__config_logs(&run->w->config, ASQ_LOG_ERROR)) {
        h->log = log_text;
        h->log_user = run->w;
    }
    h->deadline_ms = ctx->deadline_ms;
    return h;
}

void asq__nested_end(struct asq__run *run)
{
    asq *h = run->ctx.h;
    if (!h)
        return;
    struct asq__nested *n = h->impl;
    struct asq__list *node;
    ev_timer_stop(n->w->loop, &n->timer);
    asq__steps_end(n);
    asq__agent_signals_end(n);
    h->closed = true;
    h->chain = NULL; /* borrowed from the call */
    h->outer_trace = NULL;
    n->run = NULL;
    while ((node = asq__list_pop(&n->completed)))
        asq__result_unref(ASQ__CONTAINER(node, asq_result, node));
    while ((node = asq__list_pop(&n->arrived)))
        asq__result_unref(emitting(ASQ__CONTAINER(node, struct asq__progress, of_method)));
    while (!asq__list_empty(&n->reads)) /* the calls that are read of may go on for long */
        drop_read(ASQ__CONTAINER(n->reads.next, struct asq__progress, of_method));
    asq__handle_drop_callbacks(h);
    asq__handle_unref(h);
}
