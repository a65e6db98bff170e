/*
 * admin_live.c: asks the workers how many calls run, are parked and wait, and adds it to the list
 * of workers. The question is that of calls.h; a worker that is dead is not waited for.
 */
#include <string.h>

#include "asqueue.h"
#include "client/admin.h"
#include "client/calls.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/value.h"

enum { HASH_LIVES_LEASES = 10, ANSWER_MS = 2500, POLL_MS = 10 };

static const char *const figures[] = { "uptime_ms", "running", "parked", "waiting", "paused" };
enum { FIGURES = sizeof figures / sizeof figures[0] };

struct answer {
    const struct asq__report_reader *report;
    asq_value *worker;
    bool answered;
};

/* Reads {nonces, figures …}. */
static int take_figures(asq *h, const redisReply *reply, void *user)
{
    struct answer *a = user;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 1 + FIGURES)
        return asq__fail(h, ASQ_EPROTO, "Redis answered with something other than fields");
    const redisReply *nonces = reply->element[0];
    if (nonces->type != REDIS_REPLY_STRING || !strstr(nonces->str, a->report->nonce))
        return 0;
    a->answered = true;
    for (size_t i = 0; i < FIGURES; i++) {
        const redisReply *text = reply->element[1 + i];
        const char *at = text->str;
        uint64_t n;
        if (text->type == REDIS_REPLY_STRING && asq__decimal_read(&at, &n) && !*at &&
            n <= INT64_MAX && asq_map_set_int(a->worker, figures[i], (int64_t) n) < 0)
            return asq__fail_memory(h);
    }
    return asq_map_set_int(a->worker, "figures_age_ms", asq__now_ms() - a->report->asked_ms) < 0
               ? asq__fail_memory(h)
               : 0;
}

/* Adds how long ago the worker has written its hash, each time with its whole TTL. */
static int add_seen(asq *h, const char *id, asq_value *worker)
{
    char key[ASQ__KEY_MAX];
    int64_t ttl_ms = -1, lease_ms = asq_map_int(worker, "lease_time_ms");
    asq__keys_worker(asq__redis_keys(asq__remote_redis(h)), id, key);
    int rc = asq__admin_command(h, ASQ__NO_PARTITION, asq__admin_take_int, &ttl_ms, 2,
                                (const char *[]){ "PTTL", key });
    if (rc < 0 || ttl_ms < 0 || lease_ms <= 0 || lease_ms > INT64_MAX / HASH_LIVES_LEASES)
        return rc;
    int64_t seen_ms = lease_ms * HASH_LIVES_LEASES - ttl_ms;
    if (seen_ms < 0)
        return 0; /* no worker has written this */
    return asq_map_set_int(worker, "seen_ms", seen_ms) < 0 ? asq__fail_memory(h) : 0;
}

/* Reads the answer of one worker; waits for it if it is alive. */
static int add_figures(asq *h, const struct asq__report_reader *report, asq_value *worker)
{
    struct answer a = { report, worker, false };
    char key[ASQ__KEY_MAX];
    const char *id = asq_map_string(worker, "id");
    bool alive = asq_map_bool(worker, "alive");
    int rc = add_seen(h, id, worker);
    asq__keys_worker_calls(asq__redis_keys(asq__remote_redis(h)), id, key);
    while (rc == 0 && *report->nonce) {
        const char *argv[3 + FIGURES] = { "HMGET", key, "nonces" };
        for (size_t i = 0; i < FIGURES; i++)
            argv[3 + i] = figures[i];
        struct asq__query q = { .partition = ASQ__NO_PARTITION,
                                .take = take_figures,
                                .user = &a,
                                .argc = 3 + FIGURES,
                                .argv = argv };
        rc = asq__admin_ask(h, &q);
        if (q.denied || q.wrong_type)
            return 0;
        if (a.answered || !alive || asq__now_ms() - report->asked_ms >= ANSWER_MS)
            break;
        asq__remote_pump(h, POLL_MS);
        if (h->closed)
            rc = asq__admin_closed(h);
    }
    return rc;
}

int asq_workers_live(asq *h, asq_value **ret)
{
    struct asq__report_reader report = { .n = 0 };
    asq_value *list;
    if (!h || !ret)
        return asq__null(h, "asq_workers_live");
    int rc = asq_workers(h, &list);
    if (rc == 0 && (rc = asq__admin_begin(h, "asq_workers_live")) < 0) {
        asq_value_free(list);
        return rc;
    }
    if (rc < 0)
        return rc;
    rc = asq__report_ask(h, &report);
    for (size_t i = 0; rc == 0 && i < asq_list_size(list); i++)
        rc = add_figures(h, &report, list->list.items[i]);
    rc = asq__admin_end(h, rc);
    if (rc < 0)
        asq_value_free(list);
    else
        *ret = list;
    return rc;
}
