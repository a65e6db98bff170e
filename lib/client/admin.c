/*
 * admin.c: one command to Redis after the other, for functions that look at a deployment; is Redis
 * there. Local mode has no deployment.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/barrier.h"
#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/clock.h"
#include "value/pools.h"
#include "value/value.h"

enum { POOLS_MS = 1000 };

/* One sending of a query. The connection answers each exactly once, at the latest when it ends.
 * A reply that comes too late for its asker frees this. */
struct ask {
    asq *h;
    struct asq__query *q; /* NULL: the asker has given up */
    bool done;
    int rc;
};

/* Returns the first key of a command or a script. */
static const char *key_of(const struct asq__query *q)
{
    int at = strncmp(q->argv[0], "EVAL", 4) == 0 ? 3 : 1;
    return q->argc > at ? q->argv[at] : q->argv[0];
}

static void on_replicas(bool on_replicas, void *user)
{
    struct ask *a = user;
    if (!a->q) {
        free(a);
        return;
    }
    a->done = true;
    if (!on_replicas)
        a->rc = ASQ_ECONN;
}

/* Waits for replicas before the reply that was read counts. Behind a lost connection another server
 * may lack what it stands on. */
static void wait_for_replicas(struct ask *a)
{
    struct asq__barrier *barrier = asq__redis_barrier(asq__remote_redis(a->h), a->q->partition);
    if (!barrier)
        return;
    a->done = asq__barrier_wait(barrier, a->q->partition, false, on_replicas, a) < 0;
    if (a->done)
        a->rc = ASQ_ECONN;
}

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct ask *a = user;
    (void) c;
    if (!a->q) {
        free(a);
        return;
    }
    a->done = true;
    if (!reply)
        a->rc = ASQ_ECONN;
    else if (reply->type == REDIS_REPLY_ERROR) {
        a->q->denied = asq__reply_is_denial(reply);
        a->q->wrong_type = asq__reply_is_wrong_type(reply);
        a->rc = asq__fail(a->h, ASQ_EREDIS, "Redis: %s: %s%s", key_of(a->q), reply->str,
                          a->q->denied ? ASQ__DENIAL_HINT : "");
    } else {
        a->rc = a->q->take ? a->q->take(a->h, reply, a->q->user) : 0;
        if (a->rc == 0 && a->q->replicate)
            wait_for_replicas(a);
    }
}

int asq__admin_closed(asq *h)
{
    return asq__fail(h, ASQ_ECLOSED, "a callback closed the handle");
}

int asq__admin_check_partitions(asq *h, uint32_t partitions)
{
    return asq__pools_had(h->pools, partitions) /* more may have come with a pool */
               ? 0
               : asq__fail(h, ASQ_EREDIS,
                           "the namespace was made anew meanwhile, with %u partitions, not %u",
                           h->partitions, partitions);
}

int asq__admin_begin(asq *h, const char *what)
{
    if (h->closed)
        return asq__fail(h, ASQ_ECLOSED, "the handle was closed");
    if (h->mode != &asq__remote_mode)
        return asq__fail(h, ASQ_ENOTSUP, "%s is not possible %s", what,
                         h->in_method ? "inside a method" : "in local mode");
    h->admin_until_ms = asq__deadline_ms(h->timeout_ms);
    asq__handle_enter(h);
    int rc = asq__remote_ready(h);
    if (rc < 0)
        return asq__admin_end(h, rc);
    /* Pools that are new are there for the function after this one. */
    asq__redis_refresh_meta_after(asq__remote_redis(h), POOLS_MS);
    return 0;
}

int asq__admin_end(asq *h, int rc)
{
    asq__handle_leave(h);
    return rc;
}

void asq__admin_extend(asq *h, int64_t deadline_ms)
{
    h->admin_until_ms = asq__deadline_ms(h->timeout_ms);
    if (h->admin_until_ms > deadline_ms)
        h->admin_until_ms = deadline_ms;
}

static int too_late(asq *h)
{
    return asq__fail(h, ASQ_ETIMEOUT, "Redis did not answer in time");
}

/* Sends once and waits. ASQ_ECONN: no reply will come, and time is left to ask again. */
static int ask_once(asq *h, struct asq__query *q)
{
    struct asq__redis *redis = asq__remote_redis(h);
    struct asq__conn *conn = q->partition == ASQ__NO_PARTITION
                                 ? asq__redis_home(redis)
                                 : asq__redis_conn(redis, q->partition);
    struct ask *a;
    int rc;
    if (!asq__redis_is_up(redis))
        return ASQ_ECONN;
    if (!(a = calloc(1, sizeof *a)))
        return asq__fail_memory(h);
    a->h = h;
    a->q = q;
    if (asq__conn_argv(conn, on_answer, a, q->argc, q->argv, q->lens) < 0) {
        free(a);
        return ASQ_ECONN;
    }
    q->sent++;
    /* Ends with the reply, when the connection is given up, or at the timeout. */
    while (!a->done) {
        int64_t left = h->admin_until_ms - asq__now_ms();
        if (left <= 0) {
            a->q = NULL;
            return too_late(h);
        }
        asq__redis_flush(redis);
        asq__remote_pump(h, left < 100 ? left : 100);
        if (h->closed && !a->done) {
            a->q = NULL;
            return asq__admin_closed(h);
        }
    }
    rc = a->rc;
    free(a);
    return rc;
}

int asq__admin_ask(asq *h, struct asq__query *q)
{
    q->denied = q->wrong_type = false;
    while (asq__now_ms() < h->admin_until_ms) {
        if (h->closed)
            return asq__admin_closed(h);
        int rc = ask_once(h, q);
        if (rc != ASQ_ECONN)
            return rc;
        asq__remote_pump(h, 50);
    }
    return too_late(h);
}

int asq__admin_command(asq *h, uint32_t partition, int (*take)(asq *, const redisReply *, void *),
                       void *user, int argc, const char *const *argv)
{
    struct asq__query q = {
        .partition = partition, .take = take, .user = user, .argc = argc, .argv = argv
    };
    return asq__admin_ask(h, &q);
}

int asq__admin_take_int(asq *h, const redisReply *reply, void *user)
{
    if (reply->type != REDIS_REPLY_INTEGER)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than a number");
    *(int64_t *) user = reply->integer;
    return 0;
}

asq_value *asq__admin_text(const char *s, size_t n)
{
    if (asq__utf8_valid(s, n))
        return asq_value_stringn(s, n);
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = s[i];
    for (size_t i = 0; i < n; i++)
        if ((unsigned char) s[i] >= 0x80)
            copy[i] = '?';
    asq_value *v = asq_value_stringn(copy, n);
    free(copy);
    return v;
}

/* ---- ping ---- */

int asq_ping(asq *h, double *ret_ms)
{
    if (!h)
        return ASQ_EINVAL;
    struct timespec from, to;
    if (h->mode == &asq__local_mode) {
        if (ret_ms)
            *ret_ms = 0;
        return 0;
    }
    int rc = asq__admin_begin(h, "asq_ping");
    if (rc < 0)
        return rc;
    clock_gettime(CLOCK_MONOTONIC, &from);
    rc = asq__admin_command(h, ASQ__NO_PARTITION, NULL, NULL, 1, (const char *[]){ "PING" });
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (rc == 0 && ret_ms)
        *ret_ms =
            (double) (to.tv_sec - from.tv_sec) * 1e3 + (double) (to.tv_nsec - from.tv_nsec) / 1e6;
    return asq__admin_end(h, rc);
}
