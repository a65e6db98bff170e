/*
 * nested.c: the handle inside a method. Its calls leave through the loop's engine; its waits park
 * the fiber.
 *
 * The calls of one statement make one batch for each partition. Its id is derived from the outer
 * call and the statement, so a second run of the outer call makes the same batches, which are
 * recognised as duplicates. A batch is deferred until the agent's earlier effects are
 * acknowledged, because it may show them to others. Redis takes it only while this worker owns the
 * agent's partition (send.lua). So a worker that was paused and has lost the partition cannot send
 * a copy after the call has ended elsewhere and the batch's record was deleted. That happens only
 * after the outer call's own commit, which waits until all its batches are taken: if this process
 * died between the two, no run would send them.
 *
 * Threads: submit and wait run on the method's thread; functions named on_loop run on the loop. The
 * two meet in requests that are handed over in order, in `completed` under its lock, and in the
 * wait, which belongs to the loop from the moment its request is handed over until the fiber is
 * woken.
 */
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/handle.h"
#include "redis/timer.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/grow.h"
#include "value/hash.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/tally.h"
#include "value/value.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/exec/fiber.h"
#include "worker/exec/pool.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

struct asq__nested {
    asq handle; /* first, so that freeing the handle frees all of it */
    struct asq__process *w;
    struct asq__run *run; /* NULL once the method has ended; of the loop */
    uint64_t ordinal;     /* of the statement; of the method's thread */
    bool may_have_begun;  /* the call may have been begun before */
    uint32_t retries;     /* failed runs before this one, whose nested calls have other ids */
    Asqueue__Chain chain;
    Asqueue__Link own;
    char own_id[ASQ__CALL_ID_TEXT];
    pthread_mutex_t lock;
    struct asq__list completed; /* results for the method to take; under lock */
    /* The wait; see above. */
    struct asq__handover wait;
    bool (*ready)(void *arg);
    void *arg;
    int64_t until_ms;
    bool deadline_first; /* the call's deadline comes before the wait's timeout */
    ev_timer timer;
    Asqueue__Link *links[]; /* of chain */
};

/* Batch on its way to the loop. */
struct request {
    struct asq__handover handover;
    struct asq__list deferred; /* in partition->deferred */
    struct asq__nested *nested;
    uint32_t partition;
    uint8_t id[ASQ__BATCH_ID];
    int64_t made_ms;
    bool resent; /* an earlier run of the outer call may have sent it */
    struct asq__buf jobs;
    char label[ASQ__CALL_LABEL];
    size_t n;
    asq_result *results[];
};

/* ---- results ---- */

/* Counts a failure that the method did not look at. */
static void nested_unseen(asq *h, const asq_result *r, const asq_error *error)
{
    const struct asq__nested *n = h->impl;
    char name[ASQ__TALLY_NAME];
    asq__result_name(r, error, name);
    pthread_mutex_lock(&n->w->untaken_failures_lock);
    asq__tally_note(&n->w->untaken_failures, name, error, asq__now_ms_coarse());
    pthread_mutex_unlock(&n->w->untaken_failures_lock);
}

/* Takes a result, on the loop. */
static void call_done(struct asq__call *call, const Asqueue__Result *result, const asq_error *error)
{
    asq_result *r = ASQ__CONTAINER(call, asq_result, call);
    struct asq__nested *n = r->h->impl;
    if (result)
        asq__result_set_message(r, result);
    else
        asq__result_set(r, NULL, error);
    if (!n->run) { /* the method has ended without waiting for it */
        if (result && r->error && !r->unwatched && !r->keep && r->error->pub.code != ASQ_ECANCELED)
            nested_unseen(r->h, r, &r->error->pub);
        r->seen = true;
        asq_result_free(r);
        return;
    }
    pthread_mutex_lock(&n->lock);
    asq__list_add(&n->completed, &r->node); /* takes over the engine's reference */
    pthread_mutex_unlock(&n->lock);
    if (asq__run_is_parked(n->run) && (r->fn || n->ready(n->arg))) {
        n->run->wait_rc = 0;
        ev_timer_stop(n->w->loop, &n->timer);
        n->w->run_hooks->unpark(n->run);
    }
}

/* Takes completed results and runs callbacks, on the method's thread. */
static void take_completed(struct asq__nested *n)
{
    struct asq__list taken;
    struct asq__list *node;
    asq__list_init(&taken);
    pthread_mutex_lock(&n->lock);
    asq__list_splice(&taken, &n->completed);
    pthread_mutex_unlock(&n->lock);
    while ((node = asq__list_pop(&taken))) {
        asq_result *r = ASQ__CONTAINER(node, asq_result, node);
        n->handle.ncompleted++;
        asq__result_queue_callback(r);
        asq_result_free(r);
    }
    asq__handle_run_callbacks(&n->handle);
}

/* ---- submit ---- */

static void request_free(struct request *q)
{
    asq__list_del(&q->deferred);
    asq__buf_release(&q->jobs);
    for (size_t i = 0; i < q->n; i++)
        asq_result_free(q->results[i]);
    asq__handle_unref(&q->nested->handle);
    free(q);
}

static void fail_request(struct request *q, int code, const char *why)
{
    asq_error error = { code, why, "", "", "", "", "" };
    for (size_t i = 0; i < q->n; i++) {
        asq__result_ref(q->results[i]);
        call_done(&q->results[i]->call, NULL, &error);
    }
}

static bool note_inner(struct asq__run *run, uint32_t partition, const uint8_t id[ASQ__BATCH_ID])
{
    if (!asq__grow(&run->inner, run->ninner, &run->inner_cap, sizeof *run->inner))
        return false;
    run->inner[run->ninner].partition = partition;
    memcpy(run->inner[run->ninner++].id, id, ASQ__BATCH_ID);
    return true;
}

/* Ends a run whose method has returned, when its last batch is accepted or refused. Not at once,
 * because the caller is in the middle of other work. */
static void decided(struct asq__run *run)
{
    asq__assert(run->undecided > 0);
    if (--run->undecided == 0 && run->stage == ASQ__RUN_RETURNED)
        asq__process_hand_over(run->w, &run->finished);
}

static void on_verdict(void *user, enum asq__batch_verdict verdict)
{
    struct asq__run *run = user;
    if (verdict == ASQ__REFUSED && run->stage == ASQ__RUN_RETURNED &&
        !asq__actor_is_orphan(run->actor))
        asq__process_log_some(run->w, ASQ_LOG_ERROR,
                              "%s made a call without waiting for it, and the call was refused",
                              run->active.id);
    if (verdict == ASQ__FENCED && !asq__actor_is_orphan(run->actor))
        asq__partition_abandon(
            run->actor->part,
            "its call was refused: another worker holds the lease, or Redis has lost the calling "
            "call");
    decided(run);
}

/* Sends a batch, on the loop. */
static void send_on_loop(struct request *q)
{
    struct asq__nested *n = q->nested;
    struct asq__engine *engine = n->w->engine;
    struct asq__call **calls = malloc(q->n * sizeof(struct asq__call *));
    int rc = calls ? 0 : ASQ_ENOMEM;
    if (rc == 0 && !note_inner(n->run, q->partition, q->id))
        rc = ASQ_ENOMEM;
    for (size_t i = 0; i < q->n && rc == 0; i++) {
        calls[i] = &q->results[i]->call;
        calls[i]->done = call_done;
    }
    if (rc == 0) {
        struct asq__run *run = n->run;
        char entry[ASQ__STREAM_ID_TEXT];
        asq__stream_id_format(run->active.call->entry->id, entry);
        struct asq__nested_batch batch = { .partition = q->partition,
                                           .id = q->id,
                                           .label = q->label,
                                           .jobs = q->jobs.data,
                                           .n = q->jobs.len,
                                           .made_ms = q->made_ms,
                                           .resent = q->resent,
                                           .calls = calls,
                                           .ncalls = q->n,
                                           .from = run->actor->part->number,
                                           .token = run->actor->part->token,
                                           .seq = run->actor->part->acked,
                                           .entry = entry,
                                           .notify = on_verdict,
                                           .user = run };
        run->undecided++;
        rc = asq__engine_batch(engine, &batch);
        if (rc < 0 && rc != ASQ_EEXIST)
            run->undecided--;
    }
    if (rc == 0) {
        for (size_t i = 0; i < q->n; i++)
            asq__result_ref(q->results[i]);
    } else if (rc == ASQ_EEXIST) {
        /* An earlier run of the outer call in this process has sent it: this one waits for the
         * same. */
        for (size_t i = 0; i < q->n; i++) {
            asq__result_ref(q->results[i]);
            int awaited = asq__engine_await(engine, &q->results[i]->id, calls[i]);
            if (awaited < 0) {
                asq_error error = {
                    awaited, "the result of an earlier run of the call cannot be awaited",
                    "",      "",
                    "",      "",
                    ""
                };
                call_done(calls[i], NULL, &error);
            }
        }
    } else {
        fail_request(q, rc, asq_strerror(rc));
    }
    free(calls);
    request_free(q);
}

/* Returns whether the earlier effects of the agent are acknowledged, so that its calls may
 * leave. */
static bool may_go(const struct asq__run *run)
{
    const struct asq__partition *p = run->actor->part;
    return asq__partition_is_owned(p) && !p->recovering && run->actor->saved_seq <= p->acked;
}

static void submit_on_loop(struct asq__handover *h)
{
    struct request *q = ASQ__CONTAINER(h, struct request, handover);
    struct asq__run *run = q->nested->run;
    if (asq__actor_is_orphan(run->actor)) {
        /* The partition is lost, and another worker runs the call again. */
        fail_request(q, ASQ_ECANCELED,
                     "this worker has lost the agent's partition; the call runs elsewhere");
        request_free(q);
        return;
    }
    if (may_go(run)) {
        send_on_loop(q);
    } else {
        run->undecided++;
        asq__list_add(&run->actor->part->deferred, &q->deferred);
    }
}

void asq__nested_resume(struct asq__partition *p)
{
    ASQ__LIST_EACH (it, &p->deferred) {
        struct request *q = ASQ__CONTAINER(it, struct request, deferred);
        struct asq__run *run = q->nested->run;
        if (!may_go(run))
            continue;
        asq__list_del(&q->deferred);
        send_on_loop(q);
        decided(run);
    }
}

void asq__nested_drop_deferred(struct asq__partition *p)
{
    ASQ__LIST_EACH (it, &p->deferred) {
        struct request *q = ASQ__CONTAINER(it, struct request, deferred);
        struct asq__run *run = q->nested->run;
        asq__list_del(&q->deferred);
        fail_request(q, ASQ_ECANCELED,
                     "this worker has lost the agent's partition; the call runs elsewhere");
        request_free(q);
        decided(run);
    }
}

/* Derives the id of the batch that this statement sends to a partition. */
static void derive_id(struct asq__nested *n, uint32_t partition, const struct request *q,
                      uint8_t out[ASQ__BATCH_ID])
{
    struct asq__buf b;
    asq__buf_init(&b, (size_t) 1 << 31);
    asq__buf_puts(&b, n->own.call);
    if (n->retries)
        asq__buf_printf(&b, "#%u", n->retries);
    asq__buf_printf(&b, " %llu %u ", (unsigned long long) n->ordinal, partition);
    /* The jobs contain target, method and arguments. */
    asq__siphash128(q->jobs.data, q->jobs.len, out);
    asq__buf_put(&b, out, ASQ__BATCH_ID);
    asq__siphash128(b.data, b.len, out);
    asq__buf_release(&b);
}

static int send_to_partition(asq *h, uint32_t partition, asq_result **results, size_t n)
{
    struct asq__nested *nested = h->impl;
    size_t count = 0, bytes = 0;
    for (size_t i = 0; i < n; i++)
        if (results[i]->partition == partition) {
            count++;
            bytes += results[i]->job.len;
        }
    struct request *q = calloc(1, sizeof *q + count * sizeof(asq_result *));
    if (!q)
        return asq__fail(h, ASQ_ENOMEM, "out of memory");
    q->handover.handle = submit_on_loop;
    asq__list_init(&q->deferred);
    q->nested = nested;
    asq__handle_ref(h);
    q->partition = partition;
    q->resent = nested->may_have_begun;
    q->made_ms = asq__now_ms_coarse();
    asq__buf_init(&q->jobs, bytes + 64);
    for (size_t i = 0; i < n; i++) {
        asq_result *r = results[i];
        if (r->partition != partition)
            continue;
        if (q->n == 0)
            memcpy(q->label, r->label, sizeof q->label);
        asq__buf_put(&q->jobs, r->job.data, r->job.len);
        asq__result_ref(r);
        r->id.partition = partition;
        r->id.index = (uint32_t) q->n;
        q->results[q->n++] = r;
    }
    if (q->jobs.error) {
        request_free(q);
        return asq__fail(h, ASQ_ENOMEM, "out of memory");
    }
    derive_id(nested, partition, q, q->id);
    /* The remaining time differs from run to run, so it is no part of the id. */
    if (h->deadline_ms != INT64_MAX) {
        int64_t left = h->deadline_ms - asq__now_ms();
        asq__batch_set_timeout(left > 0 ? (uint64_t) left : 1, &q->jobs);
    }
    for (size_t i = 0; i < q->n; i++) {
        memcpy(q->results[i]->id.batch, q->id, ASQ__BATCH_ID);
        asq__buf_release(&q->results[i]->job);
    }
    asq__process_hand_over(nested->w, &q->handover);
    return 0;
}

static int nested_submit(asq *h, asq_result **results, size_t n)
{
    struct asq__nested *nested = h->impl;
    nested->ordinal++;
    for (size_t i = 0; i < n; i++) {
        if (!results[i]->job.len)
            continue; /* was sent with an earlier one of its partition */
        int rc = send_to_partition(h, results[i]->partition, results, n);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- wait ---- */

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__nested *n = w->data;
    (void) loop;
    (void) revents;
    if (!n->run || !asq__run_is_parked(n->run))
        return;
    n->run->wait_rc = n->deadline_first ? ASQ_EDEADLINE : ASQ_ETIMEOUT;
    n->w->run_hooks->unpark(n->run);
}

/* Returns whether a completed result has a callback to run. */
static bool has_callback_due(struct asq__nested *n)
{
    bool due = false;
    pthread_mutex_lock(&n->lock);
    ASQ__LIST_EACH (it, &n->completed)
        due = due || ASQ__CONTAINER(it, asq_result, node)->fn;
    pthread_mutex_unlock(&n->lock);
    return due;
}

static void wait_on_loop(struct asq__handover *h)
{
    struct asq__nested *n = ASQ__CONTAINER(h, struct asq__nested, wait);
    struct asq__run *run = n->run;
    int64_t now = asq__now_ms();
    run->wait = ++run->w->waits;
    run->w->run_hooks->parks(run);
    if (!asq__run_is_parked(run))
        return;
    if (atomic_load(&run->ctx.canceled)) {
        run->wait_rc = ASQ_ECANCELED;
    } else if (n->ready(n->arg) || has_callback_due(n)) {
        run->wait_rc = 0;
    } else if (now >= n->until_ms) {
        run->wait_rc = n->deadline_first ? ASQ_EDEADLINE : ASQ_ETIMEOUT;
    } else {
        if (n->until_ms == INT64_MAX) {
            ev_timer_stop(n->w->loop, &n->timer); /* a cancelled wait may have left it active */
        } else {
            ev_now_update(n->w->loop);
            asq__timer_restart(n->w->loop, &n->timer, (double) (n->until_ms - now) / 1000, 0.);
        }
        return;
    }
    run->w->run_hooks->unpark(run);
}

static int nested_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms)
{
    struct asq__nested *n = h->impl;
    struct asq__run *run = n->run;
    int64_t until = asq__deadline_ms(timeout_ms);
    for (;;) {
        take_completed(n);
        if (ready(arg))
            return 0;
        if (atomic_load(&run->ctx.canceled))
            return asq__fail(h, ASQ_ECANCELED, "the call was cancelled");
        if (timeout_ms == 0)
            return ASQ_ETIMEOUT;
        n->ready = ready;
        n->arg = arg;
        n->deadline_first = run->ctx.deadline_ms < until;
        n->until_ms = n->deadline_first ? run->ctx.deadline_ms : until;
        run->fiber = asq__fiber_current();
        asq__process_hand_over(n->w, &n->wait);
        asq__pool_park();
        if (run->wait_rc == ASQ_ECANCELED)
            return asq__fail(h, ASQ_ECANCELED, "the call was cancelled");
        if (run->wait_rc == ASQ_EDEADLINE)
            return asq__fail(h, ASQ_EDEADLINE, "the call's deadline has passed");
        if (run->wait_rc == ASQ_ETIMEOUT) {
            take_completed(n);
            return ready(arg) ? 0 : ASQ_ETIMEOUT;
        }
    }
}

enum asq__wait asq__nested_waits_for(const struct asq__run *run, asq__wait_fn visit, void *user)
{
    if (!asq__run_is_parked(run))
        return ASQ__WAIT_OTHER;
    const struct asq__nested *n = run->ctx.h->impl; /* a parked run has a handle */
    return asq__wait_results(n->ready, n->arg, visit, user);
}

void asq__nested_cancel(struct asq__run *run)
{
    for (size_t i = 0; i < run->ninner; i++)
        asq__engine_cancel_batch(run->w->engine, run->inner[i].id);
}

/* ---- results made elsewhere, cancelling ---- */

enum ask { ASK_ATTACH, ASK_CANCEL };

struct query {
    struct asq__handover handover;
    enum ask ask;
    asq_result *result; /* a reference */
};

static void ask_on_loop(struct asq__handover *h)
{
    struct query *q = ASQ__CONTAINER(h, struct query, handover);
    asq_result *r = q->result;
    struct asq__nested *n = r->h->impl;
    int rc;
    if (q->ask == ASK_ATTACH) {
        r->call.done = call_done;
        rc = asq__engine_await(n->w->engine, &r->id, &r->call); /* takes the reference */
        if (rc < 0) {
            asq_error error = { rc, "the result cannot be awaited", "", "", "", "", "" };
            call_done(&r->call, NULL, &error);
        }
    } else {
        asq__engine_cancel(n->w->engine, &r->id);
        asq_result_free(r);
    }
    free(q);
}

static int ask_loop(asq *h, asq_result *r, enum ask ask)
{
    struct asq__nested *n = h->impl;
    struct query *q = calloc(1, sizeof *q);
    if (!q)
        return asq__fail(h, ASQ_ENOMEM, "out of memory");
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
}

static const struct asq__mode nested_mode = {
    .name = "method",
    .repeats = true,
    .submit = nested_submit,
    .wait = nested_wait,
    .flush = nested_flush,
    .accepted = nested_accepted,
    .attach = nested_attach,
    .keep = nested_keep,
    .cancel = nested_cancel,
    .attach_ev = nested_attach_ev,
    .unseen = nested_unseen,
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
    n->retries = c->retries;
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
    n->wait.handle = wait_on_loop;
    ev_timer_init(&n->timer, on_timer, 0., 0.);
    n->timer.data = n;
    h->impl = n;
    h->in_method = true;
    h->chain = &n->chain;
    h->max_message_size = run->w->config.max_message_size;
    h->partitions = run->w->nparts;
    h->log = run->w->config.log;
    h->log_user = run->w->config.log_user;
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
    h->closed = true;
    h->chain = NULL; /* borrowed from the call */
    n->run = NULL;
    while ((node = asq__list_pop(&n->completed)))
        asq_result_free(ASQ__CONTAINER(node, asq_result, node));
    while ((node = asq__list_pop(&h->done)))
        asq_result_free(ASQ__CONTAINER(node, asq_result, node));
    asq__handle_unref(h);
}
