/*
 * steps.c: see steps.h. Records go from the method's thread to the loop, in the order of its other
 * requests, and into the partition's commit; what is waited for is in part->recording.
 *
 *     thread    record ──────────────┬──▶ goes on         load ──▶ parks
 *                 │                  │                      │        ▲
 *     loop        ▼ asq__commit_steps()   wait: parks       ▼        │
 *               commit ── acknowledged ──▶ wakes it       GETRANGE ──┘
 *
 * A commit that is lost with its connection is sent again, or its partition is lost; both wake the
 * run in the end. So does the answer to a read: when Redis cannot answer, the read is made again
 * once the partition has recovered. A wait may end before that by a deadline or a cancel; the next
 * step then waits for the same load.
 */
#include "worker/steps.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/handle.h"
#include "client/object.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "value/buf.h"
#include "value/list.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/entry.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/nested_state.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/result_read.h"

/* asq__steps_wait.rc of a wait that is not over. */
enum { UNDER_WAY = 1 };
/* asq__steps_wait.seq of a read that is to be made again. */
static const uint64_t AGAIN = UINT64_MAX;

static bool is_over(void *arg)
{
    struct asq__nested *n = arg;
    return atomic_load_explicit(&n->steps.rc, memory_order_acquire) != UNDER_WAY;
}

void asq__steps_end_wait(struct asq__nested *n, int rc)
{
    asq__list_del(&n->steps.node);
    atomic_store_explicit(&n->steps.rc, rc, memory_order_release);
    if (asq__run_is_parked(n->run) && n->ready == is_over) {
        n->run->wait_rc = 0;
        ev_timer_stop(n->w->loop, &n->timer);
        n->w->run_hooks->unpark(n->run);
    }
}

static int lost(asq *h)
{
    return asq__fail(h, ASQ_ECANCELED,
                     "this worker has lost the agent's partition; the call runs elsewhere");
}

bool asq__steps_are_current(const struct asq__run *run)
{
    return !asq__actor_is_orphan(run->actor) && asq__partition_is_owned(run->actor->part);
}

/* ---- waiting ---- */

void asq__steps_begin_wait(struct asq__nested *n)
{
    atomic_store(&n->steps.rc, UNDER_WAY);
}

void asq__steps_wait_until(struct asq__nested *n, uint64_t seq)
{
    asq__list_del(&n->steps.node); /* of a wait that was cut short */
    if (seq) {
        n->steps.seq = seq;
        asq__list_add(&n->run->actor->part->recording, &n->steps.node);
    } else {
        asq__steps_end_wait(n, ASQ_ECANCELED);
    }
}

int asq__nested_wait_steps(struct asq__nested *n)
{
    int rc = asq__handle_wait(&n->handle, is_over, n, ASQ_FOREVER);
    if (rc == 0 && (rc = atomic_load(&n->steps.rc)) == ASQ_ECANCELED)
        lost(&n->handle);
    return rc;
}

/* ---- records ---- */

struct record {
    struct asq__handover handover;
    struct asq__nested *nested;
    bool binds, wait;
    bool has_promise;
    uint8_t promise[ASQ__BATCH_ID];
    size_t n;
    uint8_t bytes[];
};

static void record_on_loop(struct asq__handover *h)
{
    struct record *r = ASQ__CONTAINER(h, struct record, handover);
    struct asq__nested *n = r->nested;
    struct asq__run *run = n->run; /* the method returns behind this hand-over */
    bool wait = r->wait;
    uint64_t seq = asq__steps_are_current(run)
                       ? asq__commit_steps(run->active.call, r->bytes, r->n,
                                           r->has_promise ? r->promise : NULL)
                       : 0;
    if (seq && r->binds)
        run->recorded_seq = seq;
    free(r);
    if (wait)
        asq__steps_wait_until(n, seq);
}

int asq__nested_record_steps(asq *h, const void *records, size_t n, const uint8_t *promise,
                             bool binds, bool wait)
{
    struct asq__nested *nested = h->impl;
    struct record *r = malloc(sizeof *r + n);
    if (!r)
        return asq__fail_memory(h);
    r->handover.handle = record_on_loop;
    r->nested = nested;
    r->binds = binds;
    r->wait = wait;
    r->has_promise = promise != NULL;
    if (promise)
        memcpy(r->promise, promise, sizeof r->promise);
    r->n = n;
    memcpy(r->bytes, records, n);
    if (wait)
        asq__steps_begin_wait(nested);
    asq__process_hand_over(nested->w, &r->handover);
    return wait ? asq__nested_wait_steps(nested) : 0;
}

static void wait_on_loop(struct asq__handover *h)
{
    struct record *r = ASQ__CONTAINER(h, struct record, handover);
    struct asq__nested *n = r->nested;
    const struct asq__run *run = n->run;
    const struct asq__partition *p = run->actor->part;
    uint64_t seq =
        run->actor->saved_seq > run->recorded_seq ? run->actor->saved_seq : run->recorded_seq;
    free(r);
    if (asq__steps_are_current(run) && !p->recovering && seq <= p->acked)
        asq__steps_end_wait(n, 0);
    else
        asq__steps_wait_until(n, !asq__steps_are_current(run) ? 0 : seq ? seq : 1);
}

int asq__nested_wait_recorded(asq *h)
{
    struct asq__nested *nested = h->impl;
    struct record *r = calloc(1, sizeof *r);
    if (!r)
        return asq__fail_memory(h);
    r->handover.handle = wait_on_loop;
    r->nested = nested;
    asq__steps_begin_wait(nested);
    asq__process_hand_over(nested->w, &r->handover);
    return asq__nested_wait_steps(nested);
}

/* ---- an earlier run's records ---- */

/* Belongs to the method's thread, but for `nested` and `reading`, which are the loop's. */
struct asq__steps_load {
    struct asq__handover handover;
    struct asq__nested *nested; /* NULL: the method has ended; the answer frees this */
    bool reading;               /* an answer will come */
    struct asq__buf records;
};

static void load_free(struct asq__steps_load *l)
{
    asq__buf_release(&l->records);
    free(l);
}

/* Reads when the partition has recovered. */
static void load_later(struct asq__nested *n)
{
    struct asq__partition *p = n->run->actor->part;
    n->steps.seq = AGAIN;
    asq__list_add(&p->recording, &n->steps.node);
    asq__commit_recover_later(p);
}

static void on_records(void *user, const redisReply *reply, size_t size)
{
    struct asq__steps_load *l = user;
    struct asq__nested *n = l->nested;
    l->reading = false;
    if (!n) {
        load_free(l);
        return;
    }
    if (!asq__steps_are_current(n->run)) {
        asq__steps_end_wait(n, ASQ_ECANCELED);
    } else if (size) {
        asq__buf_init(&l->records, size);
        asq__buf_put(&l->records, reply->str, size);
        asq__steps_end_wait(n, l->records.error);
    } else if (reply && (reply->type != REDIS_REPLY_ERROR ||
                         asq__reply_refusal(reply) == ASQ__REFUSED_TYPE)) {
        asq__steps_end_wait(n, ASQ_EINTERRUPTED); /* the key is gone, or of another type */
    } else {
        load_later(n);
    }
}

/* Returns whether Redis has all that earlier runs of the call have recorded. */
static bool has_all(const struct asq__nested *n)
{
    const struct asq__partition *p = n->run->actor->part;
    return !p->recovering && n->run->active.call->recorded_seq <= p->acked;
}

static void load(struct asq__steps_load *l)
{
    struct asq__nested *n = l->nested;
    struct asq__run *run = n->run;
    if (!asq__steps_are_current(run)) {
        asq__steps_end_wait(n, ASQ_ECANCELED);
        return;
    }
    if (!has_all(n)) { /* an earlier run in this process was unloaded a moment ago */
        n->steps.seq = AGAIN;
        asq__list_add(&run->actor->part->recording, &n->steps.node);
        return;
    }
    l->reading = true;
    if (asq__steps_read(run->actor->part, run->active.id, on_records, l) < 0) {
        l->reading = false;
        asq__steps_end_wait(n, ASQ_ENOMEM);
    }
}

static void load_on_loop(struct asq__handover *h)
{
    load(ASQ__CONTAINER(h, struct asq__steps_load, handover));
}

int asq__nested_load_steps(asq *h, struct asq__buf *ret)
{
    struct asq__nested *n = h->impl;
    struct asq__steps_load *l = n->loading;
    if (!l) { /* otherwise an earlier wait for it was cut short */
        if (!(l = calloc(1, sizeof *l)))
            return asq__fail_memory(h);
        l->handover.handle = load_on_loop;
        l->nested = n;
        n->loading = l;
        asq__steps_begin_wait(n);
        asq__process_hand_over(n->w, &l->handover);
    }
    int rc = asq__handle_wait(h, is_over, n, ASQ_FOREVER);
    if (rc < 0)
        return rc;
    rc = atomic_load(&n->steps.rc);
    n->loading = NULL;
    if (rc == 0) {
        *ret = l->records;
        free(l);
        return 0;
    }
    load_free(l);
    if (rc == ASQ_ECANCELED)
        return lost(h);
    if (rc == ASQ_EINTERRUPTED)
        return asq__fail(h, rc,
                         "the records of what an earlier run of the call has done are gone from "
                         "Redis: they were removed, and its steps would be made twice");
    return asq__fail_memory(h);
}

void asq__steps_end(struct asq__nested *n)
{
    asq__list_del(&n->steps.node);
    if (n->loading && n->loading->reading)
        n->loading->nested = NULL;
    else if (n->loading)
        load_free(n->loading);
    n->loading = NULL;
}

/* ---- the partition ---- */

void asq__steps_resume(struct asq__partition *p)
{
    ASQ__LIST_EACH (it, &p->recording) {
        struct asq__nested *n = ASQ__CONTAINER(it, struct asq__nested, steps.node);
        if (n->steps.seq == AGAIN) {
            if (!has_all(n))
                continue;
            asq__list_del(&n->steps.node);
            load(n->loading);
        } else if (n->steps.seq <= p->acked) {
            asq__steps_end_wait(n, 0);
        }
    }
}

void asq__steps_drop(struct asq__partition *p)
{
    ASQ__LIST_EACH (it, &p->recording)
        asq__steps_end_wait(ASQ__CONTAINER(it, struct asq__nested, steps.node), ASQ_ECANCELED);
}
