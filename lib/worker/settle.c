/*
 * settle.c: see settle.h. It is a statement of the method as a call is: it is numbered among them,
 * leaves when what the agent and the run have done before is acknowledged, and is made again by a
 * further run of the call, with the same token, so that it counts once.
 *
 *     thread   wait until acknowledged ──▶ request ──▶ parks ──────────────▶ takes the answer
 *     loop                                   │                                  ▲
 *                                            ▼ promise_settle.lua ─▶ replicas ──┘
 *
 * A request whose connection is lost is made again, after a pause. Its partition is another one
 * than the run's, so that nothing checks the lease; a run that has lost it unseen gives the promise
 * the outcome that the next run would, under the same token.
 */
#include "worker/settle.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/object.h"
#include "client/promise.h"
#include "client/resettle.h"
#include "client/step_log.h"
#include "redis/barrier.h"
#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/hash.h"
#include "value/hex.h"
#include "worker/exec/run.h"
#include "worker/handover.h"
#include "worker/nested_state.h"
#include "worker/process.h"
#include "worker/steps.h"

enum { AGAIN_MS = 100, WHY = 300 };

/* Belongs to the loop until `over`, then to the thread; freed by the last of both. */
struct request {
    struct asq__handover handover;
    atomic_uint refs;
    atomic_bool over;
    struct asq__nested *nested; /* holds a reference to its handle */
    int rc;                     /* ASQ_ECONN: to be made again */
    char why[WHY];
    enum asq__settled is;
    struct asq__settlement s; /* with copies of what it points at */
    char bytes[];
};

static void unref(struct request *q)
{
    if (atomic_fetch_sub(&q->refs, 1) != 1)
        return;
    asq__handle_unref(&q->nested->handle);
    free(q);
}

static bool is_over(void *arg)
{
    struct request *q = arg;
    return atomic_load_explicit(&q->over, memory_order_acquire);
}

static void end(struct request *q)
{
    asq__nested_end_wait(q->nested, &q->over, is_over, q);
    unref(q);
}

static void on_replicas(bool on_replicas, void *user)
{
    struct request *q = user;
    q->rc = on_replicas ? 0 : ASQ_ECONN;
    end(q);
}

/* Waits for replicas, without which another settlement may come first after all. False: there are
 * none to wait for. */
static bool wait_for_replicas(struct request *q)
{
    uint32_t partition = q->s.id.partition;
    struct asq__barrier *barrier = asq__redis_barrier(q->nested->w->redis, partition);
    if (!barrier || q->is == ASQ__SETTLED_NONE)
        return false;
    if (asq__barrier_wait(barrier, partition, false, on_replicas, q) == 0)
        return true;
    q->rc = ASQ_ECONN;
    return false;
}

static void on_settled(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct request *q = user;
    (void) c;
    if (!reply || (reply->type == REDIS_REPLY_ERROR && asq__reply_is_transient(reply))) {
        q->rc = ASQ_ECONN;
    } else if (reply->type == REDIS_REPLY_ERROR) {
        q->rc = ASQ_EREDIS;
        snprintf(q->why, sizeof q->why, "Redis: %s%s", reply->str,
                 asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
    } else {
        q->rc = asq__settle_reply(reply, &q->is);
        if (q->rc == 0 && wait_for_replicas(q))
            return;
        if (q->rc == 0 && q->is == ASQ__SETTLED &&
            !asq__redis_barrier(q->nested->w->redis, q->s.id.partition))
            asq__resettle_keep(q->nested->w->engine, &q->s);
    }
    end(q);
}

static void settle_on_loop(struct asq__handover *h)
{
    struct request *q = ASQ__CONTAINER(h, struct request, handover);
    struct asq__redis *redis = q->nested->w->redis;
    struct asq__settle_command c;
    asq__settle_command(asq__redis_keys(redis), &q->s, &c);
    if (asq__conn_argv(asq__redis_conn(redis, q->s.id.partition), on_settled, q, c.argc, c.argv,
                       c.lens) < 0) {
        q->rc = ASQ_ECONN;
        end(q);
    }
}

/* Makes the request once. */
static int settle_once(asq *h, const struct asq__settlement *s, enum asq__settled *ret)
{
    size_t message_n = s->message ? strlen(s->message) + 1 : 0;
    struct request *q = calloc(1, sizeof *q + message_n + s->value_n);
    if (!q)
        return asq__fail_memory(h);
    atomic_init(&q->refs, 2);
    atomic_init(&q->over, false);
    q->handover.handle = settle_on_loop;
    q->nested = h->impl;
    asq__handle_ref(h);
    q->s = *s;
    if (s->message)
        q->s.message = memcpy(q->bytes, s->message, message_n);
    if (s->value_n)
        q->s.value = memcpy(q->bytes + message_n, s->value, s->value_n);
    asq__process_hand_over(q->nested->w, &q->handover);
    int rc = asq__handle_wait(h, is_over, q, ASQ_FOREVER);
    if (rc == 0 && (rc = q->rc) < 0)
        asq__fail(h, rc, "promise %s: %s", s->id_text, *q->why ? q->why : asq_strerror(rc));
    if (rc == 0)
        *ret = q->is;
    unref(q);
    return rc;
}

/* Derives the token from the call and the statement. */
static void make_token(const asq *h, const asq_ctx *ctx, char out[ASQ__SETTLE_TOKEN])
{
    char text[ASQ__CALL_ID_TEXT + 64];
    uint8_t hash[16];
    int n = snprintf(text, sizeof text, "settle %llu %u %s", (unsigned long long) h->steps->number,
                     h->retries, ctx->call_id);
    asq__siphash128(text, (size_t) n, hash);
    *asq__hex(out, hash, sizeof hash) = '\0';
}

int asq__nested_settle(asq *h, const struct asq__settlement *s, enum asq__settled *ret)
{
    struct asq__nested *n = h->impl;
    struct asq__settlement own = *s;
    char label[ASQ__CALL_LABEL];
    snprintf(label, sizeof label, "promise %.40s", s->id_text);
    int rc = asq__step_called(&n->run->ctx, label);
    if (rc < 0)
        return asq__fail_from(h, &n->run->ctx.error.pub);
    make_token(h, &n->run->ctx, own.token);
    for (;;) {
        if ((rc = asq__nested_wait_recorded(h)) < 0)
            return rc;
        if ((rc = settle_once(h, &own, ret)) != ASQ_ECONN)
            return rc;
        if ((rc = asq_sleep(h, AGAIN_MS)) < 0)
            return rc;
    }
}
