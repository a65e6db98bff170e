/*
 * nested_pools.c: see nested_pools.h.
 */
#include "worker/nested_pools.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "client/handle.h"
#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/pools.h"
#include "worker/handover.h"
#include "worker/nested_state.h"
#include "worker/process.h"

enum { AGAIN_MS = 100 };

/* Belongs to the loop until `over`, then to the thread; freed by the last of both. */
struct request {
    struct asq__handover handover;
    atomic_uint refs;
    atomic_bool over;
    struct asq__nested *nested; /* holds a reference to its handle */
    const char *partitions;     /* as pool.lua takes it */
    int rc;                     /* ASQ_ECONN: to be made again */
    char why[500], name[ASQ_MAX_POOL + 1];
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

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct request *q = user;
    (void) c;
    q->rc = !reply || asq__reply_is_transient(reply)
                ? ASQ_ECONN
                : asq__redis_take_pool(q->nested->w->redis, q->name, reply, q->why, sizeof q->why);
    end(q);
}

static void ask_on_loop(struct asq__handover *h)
{
    struct request *q = ASQ__CONTAINER(h, struct request, handover);
    if (asq__redis_ask_pool(q->nested->w->redis, q->name, q->partitions, on_answer, q) < 0) {
        q->rc = ASQ_ECONN;
        end(q);
    }
}

static int ask_once(asq *h, const char *name, bool make)
{
    struct asq__nested *n = h->impl;
    struct request *q = calloc(1, sizeof *q);
    if (!q)
        return asq__fail_memory(h);
    atomic_init(&q->refs, 2);
    q->handover.handle = ask_on_loop;
    q->nested = n;
    q->partitions = make ? "0" : "-1";
    snprintf(q->name, sizeof q->name, "%s", name ? name : ASQ__POOL_DEFAULT);
    asq__handle_ref(h);
    asq__process_hand_over(n->w, &q->handover);
    int rc = asq__handle_wait(h, is_over, q, ASQ_FOREVER);
    if (rc == 0 && (rc = q->rc) < 0)
        asq__fail(h, rc, "%s", *q->why ? q->why : asq_strerror(rc));
    unref(q);
    return rc;
}

void asq__nested_know_pools(asq *h)
{
    const struct asq__nested *n = h->impl;
    h->pools = asq__redis_pools(n->w->redis);
    h->partitions = h->pools->partitions;
}

int asq__nested_ask_pools(asq *h, const char *name, bool make)
{
    int rc;
    while ((rc = ask_once(h, name, make)) == ASQ_ECONN)
        if ((rc = asq_sleep(h, AGAIN_MS)) < 0)
            return rc;
    asq__nested_know_pools(h);
    return rc;
}
