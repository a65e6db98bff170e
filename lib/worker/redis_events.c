/*
 * redis_events.c: what a worker process does when Redis comes and goes, when the namespace or the
 * eviction policy has changed, and when a message is pushed. Parts of the process that need the
 * number of partitions are made when Redis is up for the first time.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/engine.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/tls.h"
#include "redis/trouble.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/pools.h"
#include "worker/allowed.h"
#include "worker/call_time.h"
#include "worker/commit_recover.h"
#include "worker/commit_send.h"
#include "worker/descriptors.h"
#include "worker/dispatch.h"
#include "worker/ending.h"
#include "worker/handles.h"
#include "worker/intake.h"
#include "worker/later_move.h"
#include "worker/lease.h"
#include "worker/member.h"
#include "worker/partition.h"
#include "worker/pause.h"
#include "worker/pools.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/reader.h"
#include "worker/redis_events.h"
#include "worker/report.h"
#include "worker/stopping.h"
#include "worker/timers.h"

enum { ASK_POLICY_MS = 5000, LOG_POLICY_EVERY_MS = 60000 };

static void resume(struct asq__partition *p)
{
    asq__intake_resume(p);
    asq__partition_resume(p);
}

void asq__process_resume_all(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++)
        resume(&w->parts[i]);
}

/* ---- the eviction policy ---- */

static const char policy_text[] =
    "this Redis has maxmemory-policy %s, which may drop calls and agents when memory is full; set "
    "it to noeviction (redis-cli CONFIG SET maxmemory-policy noeviction, and in redis.conf)";

static bool policy_is_safe(const struct asq__process *w)
{
    const char *policy = asq__redis_eviction_policy(w->redis);
    return !*policy || strcmp(policy, "noeviction") == 0;
}

void asq__process_check_policy(struct asq__process *w)
{
    int64_t now = asq__now_ms();
    if (policy_is_safe(w)) {
        if (w->policy_last_logged_ms)
            asq__process_log(w, ASQ_LOG_INFO, "this Redis has maxmemory-policy noeviction again");
        w->policy_last_logged_ms = 0;
    } else if (!w->policy_last_logged_ms || now - w->policy_last_logged_ms > LOG_POLICY_EVERY_MS) {
        asq__process_log(w, ASQ_LOG_ERROR, policy_text, asq__redis_eviction_policy(w->redis));
        w->policy_last_logged_ms = now;
    }
    if (now - w->policy_asked_ms > ASK_POLICY_MS) {
        w->policy_asked_ms = now;
        asq__redis_ask_policy(w->redis);
    }
}

/* ---- the namespace ---- */

/* Restarts the process because its namespace was made anew: nothing that it holds is of the new
 * one, and the number of partitions, on which everything is built, may differ. */
static void start_anew(struct asq__process *w)
{
    asq__process_end(w, w->stopping ? 0 : ASQ__START_ANEW);
}

static void on_namespace(struct asq__redis *redis, enum asq__namespace_event what, uint32_t before,
                         void *user)
{
    struct asq__process *w = user;
    switch (what) {
    case ASQ__NAMESPACE_RECREATED:
        asq__process_log(w, ASQ_LOG_WARNING,
                         "namespace '%s' was gone: this Redis was flushed, or asq:{%s}:meta was "
                         "deleted. The namespace is made again, with its %u partitions",
                         w->config.ns, w->config.ns, before);
        break;
    case ASQ__NAMESPACE_REPAIRED:
        asq__process_log(w, ASQ_LOG_WARNING,
                         "asq:{%s}:meta was overwritten with impossible values, and is restored: "
                         "%u partitions",
                         w->config.ns, before);
        break;
    case ASQ__NAMESPACE_DOTTED:
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "the name of namespace '%s' has dots: patterns of commands and ACL rules for the keys "
            "of another namespace may reach it; new ones cannot have any",
            w->config.ns);
        break;
    case ASQ__NAMESPACE_GROWN: asq__worker_pools_grown(w); break;
    case ASQ__NAMESPACE_CHANGED:
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "namespace '%s' has %u partitions now, not %u: it was made anew, or asq:{%s}:meta was "
            "changed. This process drops its partitions and claims the new ones",
            w->config.ns, asq__redis_partitions(redis), before, w->config.ns);
        start_anew(w);
        break;
    case ASQ__NAMESPACE_MOVED:
        asq__process_log(w, ASQ_LOG_WARNING,
                         "the server of namespace '%s' is %s now: it was replaced. This process "
                         "drops its partitions and claims them there",
                         w->config.ns,
                         asq__redis_is_cluster(redis) ? "a node of a Cluster" : "no Cluster");
        start_anew(w);
        break;
    }
}

/* ---- up and down ---- */

/* Logs which commands Redis refuses to this worker, when that has changed, and the consequences. */
static void log_lack(struct asq__process *w)
{
    const char *names;
    unsigned lack = asq__redis_lack(w->redis, &names);
    if (lack != w->logged_lack && lack)
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "Redis refuses optional commands of a worker: %s.%s%s%s%s%s as-ctl acl "
            "prints the rules that a worker needs",
            names,
            lack & ASQ__LACKS_SORTED_SETS
                ? " Delayed calls stay in their streams and take room from due calls."
                : "",
            lack & ASQ__LACKS_RANGES ? " Results for other clients take one more command." : "",
            lack & ASQ__LACKS_BOUNDS
                ? " Reads of agents, and dead letters, are not bounded in bytes."
                : "",
            lack & ASQ__LACKS_SEARCH ? " Delayed calls are lost if their keys `later` are deleted."
                                     : "",
            lack & ASQ__LACKS_TIME
                ? " Deadlines and delays count from when a worker reads the call."
                : "");
    else if (lack != w->logged_lack)
        asq__process_log(w, ASQ_LOG_INFO, "Redis refuses no command that a worker needs any more");
    w->logged_lack = lack;
}

/* Looks at batches in `later`, and at timers, which were out of reach while sorted sets were
 * refused. */
static void open_later(struct asq__partition *p)
{
    if (asq__partition_is_owned(p) && !p->later) {
        asq__later_open(p);
        asq__timers_open(p);
    }
}

static void on_up(struct asq__redis *redis, void *user)
{
    struct asq__process *w = user;
    bool first = !w->parts;
    char text[ASQ__TROUBLE_TEXT] = "";
    if (w->ended)
        return;
    if (first && !w->config.was_up && !policy_is_safe(w)) {
        asq__process_fail(w, ASQ_EREDIS, policy_text, asq__redis_eviction_policy(w->redis));
        return;
    }
    if (first) {
        int rc = asq__partitions_init(w);
        if (rc == 0)
            rc = asq__readers_init(w);
        if (rc == 0)
            rc = asq__commits_init(w);
        if (rc == 0)
            rc = asq__members_new(w, &w->members);
        if (rc < 0) {
            asq__process_fail(w, rc, "%s",
                              rc == ASQ_ESYS ? "no file descriptor is left" : "out of memory");
            return;
        }
        asq__descriptors_check(w);
    } else {
        asq__readers_reconnect(w);
    }
    bool logged = asq__trouble_over(&w->away, asq__now_ms(), text);
    atomic_store(&w->is_away, false);
    if (first || logged)
        asq__process_log(w, ASQ_LOG_INFO, "connected to Redis%s%s", first ? "" : " again", text);
    if (first && w->config.url->tls && w->config.url->tls_verify == ASQ__TLS_VERIFY_NO)
        asq__process_log(w, ASQ_LOG_WARNING, "%s", asq__url_unverified_text);
    const struct asq__pools *pools = asq__redis_pools(redis);
    if (first && w->config.partitions && w->config.partitions != pools->list[0].partitions)
        asq__process_log(
            w, ASQ_LOG_WARNING,
            "namespace '%s' has %u partitions since it was made; %u were asked for (--partitions)",
            w->config.ns, pools->list[0].partitions, w->config.partitions);
    log_lack(w);
    for (uint32_t i = 0; i < w->nparts; i++) {
        open_later(&w->parts[i]);
        asq__commits_begin_recovery(&w->parts[i]);
    }
    asq__process_learn_limit(w);
    asq__engine_up(w->engine);
    w->refused_until_ms = 0;
    w->suspected = false;
    asq__pause_read(w, true);
    asq__handles_doubt(w);
    asq__worker_pools_make(w);
    asq__members_start(w->members);
    if (!first)
        asq__members_heartbeat(w->members);
    w->home_back_ms = first ? 0 : asq__now_ms_coarse();
    asq__commits_recover(w);
    asq__process_resume_all(w);
    asq__process_check_stop(w);
}

static void log_all_back(struct asq__process *w)
{
    char text[ASQ__TROUBLE_TEXT];
    if (!asq__redis_serves_all(w->redis))
        return;
    atomic_store(&w->is_away, false);
    if (asq__trouble_over(&w->away, asq__now_ms(), text))
        asq__process_log(w, ASQ_LOG_INFO, "connected to all nodes of the Cluster again%s", text);
}

/* What partitions have in memory is as after a new connection to all: their commits may be lost,
 * and what the server has is asked first. */
static void on_parts_up(struct asq__redis *redis, const bool *parts, void *user)
{
    struct asq__process *w = user;
    (void) redis;
    if (w->ended)
        return;
    log_all_back(w);
    for (uint32_t i = 0; i < w->nparts; i++)
        if (parts[i]) {
            asq__reader_reconnect(&w->parts[i]);
            open_later(&w->parts[i]);
            asq__commits_begin_recovery(&w->parts[i]);
        }
    asq__engine_parts_up(w->engine, parts);
    w->suspected = false;
    asq__members_refresh(w->members);
    asq__commits_recover(w);
    for (uint32_t i = 0; i < w->nparts; i++)
        if (parts[i])
            resume(&w->parts[i]);
}

/* What others have said meanwhile on the channel of the workers was missed. */
static void on_home_up(struct asq__redis *redis, void *user)
{
    struct asq__process *w = user;
    (void) redis;
    if (w->ended)
        return;
    log_all_back(w);
    w->home_back_ms = asq__now_ms_coarse();
    asq__pause_read(w, false);
    asq__handles_doubt(w);
    asq__members_start(w->members);
    asq__members_heartbeat(w->members);
}

static void log_away(struct asq__process *w, int code, const char *why)
{
    char text[ASQ__TROUBLE_TEXT];
    atomic_store(&w->is_away, true);
    if (!asq__trouble_note(&w->away, why, asq__now_ms(), text))
        return;
    char *where = asq__url_format(w->config.url, true);
    asq__process_log(w, code == ASQ_ECONN || code == ASQ_EBUSY ? ASQ_LOG_WARNING : ASQ_LOG_ERROR,
                     "%s: %s; trying again", where ? where : "Redis", text);
    free(where);
}

/* The state of partitions without a server is kept, and their leases are looked at when they have
 * one again: until then nobody can take them. */
static void on_parts_down(struct asq__redis *redis, const bool *parts, int code, const char *why,
                          void *user)
{
    struct asq__process *w = user;
    (void) redis;
    asq__engine_parts_down(w->engine, parts);
    log_away(w, code, why);
}

static void on_redis_log(struct asq__redis *redis, asq_log_level level, const char *text,
                         void *user)
{
    (void) redis;
    asq__process_log(user, level, "%s", text);
}

static void on_redis_time(struct asq__redis *redis, int64_t set_ms, void *user)
{
    (void) redis;
    asq__process_on_redis_time(user, set_ms);
}

static void on_down(struct asq__redis *redis, int code, const char *why, void *user)
{
    struct asq__process *w = user;
    (void) redis;
    asq__engine_down(w->engine);
    bool first = !w->parts && !w->config.was_up;
    if (!first || (code != ASQ_EAUTH && code != ASQ_EVERSION && code != ASQ_EINVAL)) {
        log_away(w, code, why);
        return;
    }
    char *where = asq__url_format(w->config.url, true);
    asq__process_fail(w, code, "%s: %s", where ? where : "Redis", why);
    free(where);
}

/* Tells, once and then once a minute, that results wait for replicas. */
static void on_waited(struct asq__redis *redis, unsigned have, void *user)
{
    struct asq__process *w = user;
    char why[160], text[ASQ__TROUBLE_TEXT];
    (void) redis;
    if (have >= w->config.wait_replicas) {
        if (asq__trouble_over(&w->unreplicated, asq__now_ms(), text))
            asq__process_log(w, ASQ_LOG_INFO, "enough replicas of Redis have all results again%s",
                             text);
        return;
    }
    snprintf(why, sizeof why,
             "%u of %u replicas of Redis (--wait-replicas) have the last results, which wait until "
             "enough have them",
             have, w->config.wait_replicas);
    if (asq__trouble_note(&w->unreplicated, why, asq__now_ms(), text))
        asq__process_log(w, ASQ_LOG_WARNING, "%s", text);
}

static void on_heard(struct asq__redis *redis, uint32_t partition, bool now, void *user)
{
    const struct asq__process *w = user;
    (void) redis;
    asq__engine_heard(w->engine, partition, now);
}

static void on_push(struct asq__redis *redis, int channel, const void *payload, size_t n,
                    void *user)
{
    struct asq__process *w = user;
    (void) redis;
    if (channel == 0)
        asq__engine_push(w->engine, payload, n);
    else if (asq__report_on_question(w, payload, n))
        ; /* answered */
    else if (asq__pause_on_announcement(w, payload, n))
        ; /* read again */
    else if (w->members && !asq__members_on_announcement(w->members, payload, n)) {
        /* A worker has come, gone or handed back; or this one must stop. */
        asq__members_refresh(w->members);
        asq__members_heartbeat(w->members);
    }
}

int asq__process_connect(struct asq__process *w, char *err, size_t errlen)
{
    char name[64];
    snprintf(name, sizeof name, "asqueue-worker-%ld", (long) getpid());
    struct asq__redis_config redis = {
        .loop = w->loop,
        .url = w->config.url,
        .ns = w->config.ns,
        .name = name,
        .partitions = w->config.partitions,
        .channels = { w->client, "workers" },
        .serves = true,
        .wait_replicas = w->config.wait_replicas,
        .wait_timeout_ms = w->config.wait_timeout_ms,
        .connect_timeout_ms = 5000,
        .up = on_up,
        .down = on_down,
        .parts_up = on_parts_up,
        .parts_down = on_parts_down,
        .home_up = on_home_up,
        .push = on_push,
        .heard = on_heard,
        .namespace_event = on_namespace,
        .time = on_redis_time,
        .waited = on_waited,
        .log = on_redis_log,
        .user = w,
    };
    return asq__redis_new(&redis, &w->redis, err, errlen);
}
