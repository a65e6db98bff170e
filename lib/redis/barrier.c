/*
 * barrier.c: see barrier.h.
 */
#include "redis/barrier.h"

#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/refusal.h"
#include "value/assert.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/list.h"

#define OWN_KEY_MS "60000" /* life of the barrier's key, in case nothing else is written */

struct waiter {
    struct asq__list node; /* in b->queued or b->asked */
    uint32_t partition;
    bool wrote;
    asq__barrier_fn fn;
    void *user;
};

struct asq__barrier {
    struct asq__barrier_config config;
    struct asq__list queued; /* came while a WAIT was under way */
    struct asq__list asked;  /* the WAIT under way answers for them; empty: none is */
    char refused[200];       /* why the own key could not be written before it; "": it was */
};

int asq__wait_check(uint32_t replicas, int64_t timeout_ms, char *err, size_t errlen)
{
    if (replicas > ASQ__WAIT_REPLICAS_MOST)
        return asq__err(err, errlen, ASQ_EINVAL, "%u replicas cannot be waited for; at most %d can",
                        replicas, ASQ__WAIT_REPLICAS_MOST);
    if (timeout_ms < ASQ__WAIT_TIMEOUT_LEAST || timeout_ms > ASQ__WAIT_TIMEOUT_MOST)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "a wait of %lld ms for replicas; %d to %d ms are possible, and each wait "
                        "is repeated",
                        (long long) timeout_ms, ASQ__WAIT_TIMEOUT_LEAST, ASQ__WAIT_TIMEOUT_MOST);
    return 0;
}

struct asq__barrier *asq__barrier_new(const struct asq__barrier_config *config)
{
    struct asq__barrier *b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->config = *config;
    asq__list_init(&b->queued);
    asq__list_init(&b->asked);
    return b;
}

void asq__barrier_free(struct asq__barrier *b)
{
    asq__assert(!b || (asq__list_empty(&b->queued) && asq__list_empty(&b->asked)));
    free(b);
}

/* Tells all waiters of a list, which may wait again meanwhile. */
static void tell(struct asq__list *waiters, bool on_replicas)
{
    struct asq__list now, *node;
    asq__list_init(&now);
    asq__list_splice(&now, waiters);
    while ((node = asq__list_pop(&now))) {
        struct waiter *w = ASQ__CONTAINER(node, struct waiter, node);
        w->fn(on_replicas, w->user);
        free(w);
    }
}

/* A WAIT behind a write that was refused would answer for nothing. */
static void on_own_key(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__barrier *b = user;
    (void) c;
    if (asq__reply_is_error(reply, NULL))
        snprintf(b->refused, sizeof b->refused, "%s", reply->str);
}

static int write_own_key(struct asq__barrier *b, uint32_t partition)
{
    char key[ASQ__KEY_MAX];
    asq__keys_barrier(b->config.keys, partition, key);
    return asq__conn_cmd(b->config.conn, on_own_key, b, "SET", key, "", "PX", OWN_KEY_MS, NULL);
}

static void on_waited(struct asq__conn *c, const redisReply *reply, void *user);

/* Sends a WAIT for all that are queued. */
static int ask(struct asq__barrier *b)
{
    char n[ASQ__DECIMAL_MAX + 1], timeout[ASQ__DECIMAL_MAX + 1];
    const struct waiter *reader = NULL;
    asq__assert(asq__list_empty(&b->asked));
    ASQ__LIST_EACH (it, &b->queued) {
        const struct waiter *w = ASQ__CONTAINER(it, struct waiter, node);
        if (!w->wrote)
            reader = w;
    }
    n[asq__decimal(b->config.replicas, n)] = '\0';
    timeout[asq__decimal((uint64_t) b->config.timeout_ms, timeout)] = '\0';
    int rc = reader ? write_own_key(b, reader->partition) : 0;
    if (rc == 0)
        rc = asq__conn_cmd(b->config.conn, on_waited, b, "WAIT", n, timeout, NULL);
    if (rc == 0)
        asq__list_splice(&b->asked, &b->queued);
    return rc;
}

/* Asks for those that are queued; without memory the connection is made anew, and they are told. */
static void ask_next(struct asq__barrier *b)
{
    if (asq__list_empty(&b->queued) || !asq__list_empty(&b->asked) || ask(b) == 0)
        return;
    if (asq__conn_is_up(b->config.conn))
        asq__conn_drop(b->config.conn, "out of memory");
    tell(&b->queued, false);
}

static void tell_all_lost(struct asq__barrier *b)
{
    asq__list_splice(&b->asked, &b->queued);
    tell(&b->asked, false);
}

/* Has the connection made anew, with backoff, because this one cannot tell about replicas. */
static void fail(struct asq__barrier *b, struct asq__conn *c, const redisReply *reply)
{
    char why[400];
    bool denied = asq__reply_is_denial(reply);
    const char *text = *b->refused                        ? b->refused
                       : reply->type == REDIS_REPLY_ERROR ? reply->str
                                                          : "a reply that is no number";
    snprintf(why, sizeof why, "WAIT for replicas: %.200s%s", text, denied ? ASQ__DENIAL_HINT : "");
    b->refused[0] = '\0';
    asq__conn_fail(c, denied ? ASQ_EREDIS : ASQ_EBUSY, why);
    tell_all_lost(b);
}

static void on_waited(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__barrier *b = user;
    if (!reply) {
        b->refused[0] = '\0';
        tell_all_lost(b);
        return;
    }
    if (reply->type != REDIS_REPLY_INTEGER || *b->refused) {
        fail(b, c, reply);
        return;
    }
    unsigned have = reply->integer > 0 ? (unsigned) reply->integer : 0;
    if (b->config.waited)
        b->config.waited(have, b->config.user);
    if (have >= b->config.replicas) {
        tell(&b->asked, true);
    } else { /* asked again, with those that have come meanwhile */
        asq__list_splice(&b->asked, &b->queued);
        asq__list_splice(&b->queued, &b->asked);
    }
    ask_next(b);
}

int asq__barrier_wait(struct asq__barrier *b, uint32_t partition, bool wrote, asq__barrier_fn fn,
                      void *user)
{
    struct waiter *w = malloc(sizeof *w);
    if (!w)
        return ASQ_ENOMEM;
    *w = (struct waiter){ .partition = partition, .wrote = wrote, .fn = fn, .user = user };
    asq__list_add(&b->queued, &w->node);
    int rc = asq__list_empty(&b->asked) ? ask(b) : 0;
    if (rc < 0) {
        asq__list_del(&w->node);
        free(w);
    }
    return rc;
}
