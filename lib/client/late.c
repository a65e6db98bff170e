/*
 * late.c: see late.h. A call waits in Redis until there is a worker, so a program without one waits
 * in silence; the text of a wait whose time is up is the place to say so. The query costs a wait
 * some hundred microseconds, and QUERY_MS if Redis does not answer, at most once in PAUSE_MS; waits
 * that are shorter than QUERY_MS are polls and go without.
 *
 * A named user of Redis has the rights of its role, and clients have no right to heartbeats, which
 * show hosts and classes. Asking anyway would fill ACL LOG, so for such a user there is no query,
 * and the text says nothing.
 */
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "client/admin.h"
#include "client/admin_workers.h"
#include "client/handle.h"
#include "client/late.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/clock.h"

enum { QUERY_MS = 100, PAUSE_MS = 1000 };

/* Reads the time between two heartbeats at which a worker counts as dead; 0: no worker wrote it. */
static int take_lease_time(asq *h, const redisReply *reply, void *user)
{
    int64_t *ret = user;
    (void) h;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
        reply->element[0]->type == REDIS_REPLY_STRING)
        *ret = asq__admin_lease_time(reply->element[0]->str, (size_t) reply->element[0]->len);
    return 0;
}

static int take_ttl(asq *h, const redisReply *reply, void *user)
{
    (void) h;
    if (reply->type == REDIS_REPLY_INTEGER)
        *(int64_t *) user = reply->integer;
    return 0;
}

/* Asks whether a worker is alive. A key of another type is no worker. */
static int query_worker(asq *h, const char *id, bool *ret_alive)
{
    char key[ASQ__KEY_MAX];
    int64_t lease_ms = 0, ttl_ms = -2;
    struct asq__query lease = {
        .partition = ASQ__NO_PARTITION, .take = take_lease_time, .user = &lease_ms, .argc = 3
    };
    struct asq__query ttl = {
        .partition = ASQ__NO_PARTITION, .take = take_ttl, .user = &ttl_ms, .argc = 2
    };
    asq__keys_worker(asq__redis_keys(asq__remote_redis(h)), id, key);
    lease.argv = (const char *const[]){ "HMGET", key, "lease_time_ms" };
    ttl.argv = (const char *const[]){ "PTTL", key };
    int rc = asq__admin_ask(h, &lease);
    if (rc == 0)
        rc = asq__admin_ask(h, &ttl);
    *ret_alive = rc == 0 && asq__admin_is_alive(lease_ms, ttl_ms);
    return rc < 0 && lease.wrong_type ? 0 : rc;
}

/* Returns whether there is certainly no worker alive. */
static bool query_workers(asq *h)
{
    asq_value *ids = NULL;
    bool alive = false;
    const char *id;
    int rc = asq__admin_worker_ids(h, &ids);
    for (size_t i = 0; rc == 0 && !alive && i < asq_list_size(ids); i++)
        if ((rc = asq_value_get_string(asq_list_get(ids, i), &id, NULL)) == 0)
            rc = query_worker(h, id, &alive);
    asq_value_free(ids);
    h->late.denied = rc == ASQ_EREDIS;
    return rc == 0 && !alive;
}

/* Asks, unless the last answer is recent. */
static bool is_nobody_alive(asq *h)
{
    int64_t now = asq__now_ms(), until = h->admin_until_ms;
    if (h->late.at_ms && now - h->late.at_ms < PAUSE_MS)
        return h->late.nobody;
    h->admin_until_ms = now + QUERY_MS; /* a callback may wait here while an outer function asks */
    h->late.nobody = query_workers(h);
    h->late.at_ms = now;
    h->admin_until_ms = until;
    return h->late.nobody;
}

int asq__late_wait(asq *h, bool (*ready)(void *arg), void *arg, int64_t timeout_ms,
                   char nobody[ASQ__LATE_TEXT])
{
    int rc = asq__handle_wait(h, ready, arg, timeout_ms);
    *nobody = '\0';
    if (rc != ASQ_ETIMEOUT || h->mode != &asq__remote_mode || timeout_ms < QUERY_MS ||
        h->late.denied || asq__remote_has_named_user(h) || !asq__redis_is_up(asq__remote_redis(h)))
        return rc;
    asq__handle_enter(h);
    bool none = is_nobody_alive(h);
    if (h->closed)
        rc = asq__fail(h, ASQ_ECLOSED, "a callback closed the handle");
    else if (ready(arg)) /* the last result came meanwhile */
        rc = 0;
    else if (none)
        snprintf(nobody, ASQ__LATE_TEXT, " (no worker of namespace '%s' is alive)",
                 asq_namespace(h));
    asq__handle_leave(h);
    return rc;
}
