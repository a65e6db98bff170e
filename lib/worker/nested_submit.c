/*
 * nested_submit.c: the calls that methods make leave through the loop's engine, and their results
 * arrive.
 *
 * The calls of one statement make one batch for each partition. Its id is derived from the outer
 * call and the statement, so a second run of the outer call makes the same batches, which are
 * recognised as duplicates. A batch is deferred until the agent's earlier effects are
 * acknowledged, because it may show them to others. Redis takes it only while this worker owns the
 * agent's partition (send.lua). So a worker that was paused and has lost the partition cannot send
 * a copy after the call has ended elsewhere and the batch's record was deleted. That happens only
 * after the outer call's own commit, which waits until all its batches are taken: if this process
 * died between the two, no run would send them.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/handle.h"
#include "client/step_log.h"
#include "redis/redis.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/grow.h"
#include "value/hash.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/tally.h"
#include "value/value.h"
#include "worker/core/actor.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/core/stream_id.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/nested.h"
#include "worker/nested_state.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

/* Batch on its way to the loop. */
struct request {
    struct asq__handover handover;
    struct asq__list deferred; /* in partition->deferred */
    struct asq__nested *nested;
    uint32_t partition;
    uint8_t id[ASQ__BATCH_ID];
    int64_t made_ms;
    bool resent;     /* an earlier run of the outer call may have sent it */
    bool creates;    /* it makes agents */
    bool has_agents; /* agents are among its arguments that the method may have made */
    struct asq__buf jobs;
    char label[ASQ__CALL_LABEL];
    size_t n;
    asq_result *results[];
};

/* ---- results ---- */

void asq__nested_unseen(asq *h, const asq_result *r, const asq_error *error)
{
    const struct asq__nested *n = h->impl;
    char name[ASQ__TALLY_NAME];
    if (n->unloaded)
        return;
    asq__result_name(r, error, name);
    pthread_mutex_lock(&n->w->untaken_failures_lock);
    asq__tally_note(&n->w->untaken_failures, name, error, asq__now_ms_coarse());
    pthread_mutex_unlock(&n->w->untaken_failures_lock);
}

void asq__nested_call_done(struct asq__call *call, const Asqueue__Result *result,
                           const asq_error *error)
{
    asq_result *r = ASQ__CONTAINER(call, asq_result, call);
    struct asq__nested *n = r->h->impl;
    if (result)
        asq__result_set_message(r, result);
    else
        asq__result_set(r, NULL, error);
    if (!n->run) { /* the method has ended without waiting for it */
        if (result && r->error && !r->unwatched && !r->keep && r->error->pub.code != ASQ_ECANCELED)
            asq__nested_unseen(r->h, r, &r->error->pub);
        r->seen = true;
        asq__result_unref(r);
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

/* ---- submit ---- */

static void request_free(struct request *q)
{
    asq__list_del(&q->deferred);
    asq__buf_release(&q->jobs);
    for (size_t i = 0; i < q->n; i++)
        asq__result_unref(q->results[i]);
    asq__handle_unref(&q->nested->handle);
    free(q);
}

static void fail_request(struct request *q, int code, const char *why)
{
    asq_error error = { code, why, "", "", "", "", "" };
    for (size_t i = 0; i < q->n; i++) {
        asq__result_ref(q->results[i]);
        asq__call_fail(&q->results[i]->call, &error);
    }
}

static bool note_inner(struct asq__run *run, uint32_t partition, const uint8_t id[ASQ__BATCH_ID])
{
    if (run->inner_at < run->inner_known &&
        memcmp(run->inner[run->inner_at].id, id, ASQ__BATCH_ID) == 0) {
        run->inner_at++;
        return true;
    }
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

static void resume_on_loop(struct asq__handover *h)
{
    struct asq__nested *n = ASQ__CONTAINER(h, struct asq__nested, created);
    n->created_given = false;
    if (n->deferred)
        asq__nested_resume(n->run->actor->part);
    asq__handle_unref(&n->handle);
}

/* Lets requests go that have waited for creations. Not at once, because the engine may be in the
 * middle of other work. */
static void on_created(void *user, enum asq__batch_verdict verdict)
{
    struct asq__run *run = user;
    struct asq__nested *n = run->ctx.h->impl;
    asq__assert(n->creating > 0);
    if (--n->creating == 0 && n->deferred && !n->created_given) {
        n->created_given = true;
        n->created.handle = resume_on_loop;
        asq__handle_ref(&n->handle);
        asq__process_hand_over(run->w, &n->created);
    }
    on_verdict(user, verdict);
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
    for (size_t i = 0; i < q->n && rc == 0; i++)
        calls[i] = &q->results[i]->call;
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
                                           .epoch = run->actor->part->epoch,
                                           .seq = run->actor->part->acked,
                                           .entry = entry,
                                           .notify = q->creates ? on_created : on_verdict,
                                           .user = run };
        run->undecided++;
        n->creating += q->creates;
        rc = asq__engine_batch(engine, &batch);
        if (rc < 0 && rc != ASQ_EEXIST) {
            run->undecided--;
            n->creating -= q->creates;
        }
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
                asq__call_fail(calls[i], &error);
            }
        }
    } else {
        fail_request(q, rc, asq_strerror(rc));
    }
    free(calls);
    request_free(q);
}

/* Returns whether the earlier effects of the agent, and the records of the run's steps, are
 * acknowledged, so that its calls may leave. */
static bool may_go(const struct asq__run *run)
{
    const struct asq__partition *p = run->actor->part;
    return asq__partition_is_owned(p) && !p->recovering && run->actor->saved_seq <= p->acked &&
           run->recorded_seq <= p->acked;
}

/* Returns whether a request may leave, if those before it have left. Nodes of a Cluster keep no
 * order among each other, so that a call may not leave with an agent whose creation may come
 * later. */
static bool may_leave(const struct request *q)
{
    const struct asq__nested *n = q->nested;
    return may_go(n->run) && !(q->has_agents && n->creating && asq__redis_is_spread(n->w->redis));
}

static void defer(struct request *q)
{
    q->nested->run->undecided++;
    q->nested->deferred++;
    asq__list_add(&q->nested->run->actor->part->deferred, &q->deferred);
}

/* Takes the request out of the list; its run does not wait for it any more. */
static void end_deferral(struct request *q)
{
    asq__list_del(&q->deferred);
    q->nested->deferred--;
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
    if (!q->nested->deferred && may_leave(q))
        send_on_loop(q);
    else
        defer(q);
}

void asq__nested_resume(struct asq__partition *p)
{
    ASQ__LIST_EACH (it, &p->deferred) {
        struct request *q = ASQ__CONTAINER(it, struct request, deferred);
        struct asq__run *run = q->nested->run;
        q->nested->passed_over |= !may_leave(q);
        if (q->nested->passed_over)
            continue;
        end_deferral(q);
        send_on_loop(q);
        decided(run);
    }
    ASQ__LIST_EACH (it, &p->deferred)
        ASQ__CONTAINER(it, struct request, deferred)->nested->passed_over = false;
}

void asq__nested_drop_deferred(struct asq__partition *p)
{
    ASQ__LIST_EACH (it, &p->deferred) {
        struct request *q = ASQ__CONTAINER(it, struct request, deferred);
        struct asq__run *run = q->nested->run;
        end_deferral(q);
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
    if (n->handle.retries)
        asq__buf_printf(&b, "#%u", n->handle.retries);
    asq__buf_printf(&b, " %llu %u ", (unsigned long long) n->handle.steps->number, partition);
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
        return asq__fail_memory(h);
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
        q->creates |= r->creates;
        q->has_agents |= r->has_agents;
        asq__result_ref(r);
        r->call.done = asq__nested_call_done;
        r->id.partition = partition;
        r->id.index = (uint32_t) q->n;
        q->results[q->n++] = r;
    }
    if (q->jobs.error) {
        request_free(q);
        return asq__fail_memory(h);
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

static bool is_made_here(const struct asq__nested *n, uint32_t partition)
{
    for (size_t i = 0; i < n->n_made_in; i++)
        if (n->made_in[i] == partition)
            return true;
    return false;
}

static bool may_be_made_here(void *user, const char *id)
{
    const struct asq__nested *n = user;
    uint32_t partition;
    return asq__pools_place(n->handle.pools, id, &partition) && is_made_here(n, partition);
}

int asq__nested_await_agents(asq *h, const asq_value *args, asq_result *r)
{
    struct asq__nested *n = h->impl;
    r->has_agents = n->n_made_in && asq__value_has_agent(args, may_be_made_here, n);
    if (!r->creates || is_made_here(n, r->partition))
        return 0;
    if (!asq__grow(&n->made_in, n->n_made_in, &n->made_in_room, sizeof *n->made_in))
        return asq__fail_memory(h);
    n->made_in[n->n_made_in++] = r->partition;
    return 0;
}

int asq__nested_submit(asq *h, asq_result **results, size_t n)
{
    struct asq__nested *nested = h->impl;
    int called = asq__step_called(&nested->run->ctx, n ? results[0]->label : "");
    if (called < 0)
        return asq__fail_from(h, &nested->run->ctx.error.pub);
    for (size_t i = 0; i < n; i++) {
        if (!results[i]->job.len)
            continue; /* was sent with an earlier one of its partition */
        int rc = send_to_partition(h, results[i]->partition, results, n);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void asq__nested_cancel(struct asq__run *run)
{
    for (size_t i = 0; i < run->ninner; i++)
        asq__engine_cancel_batch(run->w->engine, run->inner[i].id);
}
