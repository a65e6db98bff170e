/*
 * heartbeat.c: see heartbeat.h.
 *
 * The thread runs beat.lua every third of the lease time: it looks for another process with the
 * same id, and writes the process's hash, its id and its entry in the index of heartbeats, which
 * the others read (peers.lua). It alone writes the atomics that other threads read.
 */
#include "worker/heartbeat.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/class.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "redis/slots.h"
#include "redis/sync.h"
#include "redis/sync_cluster.h"
#include "redis/trouble.h"
#include "redis/url.h"
#include "value/classes.h"
#include "value/clock.h"
#include "value/fd.h"
#include "value/pools.h"
#include "worker/allowed.h"
#include "worker/core/series.h"
#include "worker/leave.h"
#include "worker/peers.h"
#include "worker/exec/pool.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/shared.h"
#include "worker/watch.h"

enum {
    LOG_EVERY_MS = 60000,
    BLOCKED_THREAD_MS = 5000,
    HASH_LIVES_LEASES = 10,
    HEARTBEAT_RETRY_MS = 200,
    MAX_CLASSES = 512 * 1024, /* bytes: some Redis take no strings above 1 MiB */
    HEARTBEAT_TIMEOUT_MS = 5000,
    GOOD_BYE_MS = 2000, /* for each answer, whatever the lease time */
    /* changes of a heartbeat that prove another process with the same id alive to a new one */
    MOVES_OF_LIFE = 2,
    /* Heartbeats that are announced: of a new process, which lives if there is a second one; of a
     * change, which others believe when two of their looks have found it beside two heartbeats. */
    OF_START = 2,
    OF_CHANGE = 3,
    ANNOUNCE_MS = 100 /* between them */
};

struct asq__heartbeat {
    struct asq__process *w;
    pthread_t thread;
    bool thread_started;
    pthread_mutex_t lock;
    pthread_cond_t ring;
    bool quit, now; /* under lock: thread must end; must send one at once */
    bool changed;   /* under lock: what others decide by has changed since the last heartbeat */
    int quit_fd;    /* eventfd, readable once the thread must end, which may be connecting */
    atomic_bool quitting;
    struct asq__trouble unreachable; /* of the thread */
    /* time of the first heartbeat after heartbeats were unacknowledged for too long, or lost */
    atomic_llong resumed_ms;
    atomic_uint partitions; /* owned, for the hash */
    int64_t last_logged_ms;
    unsigned long long heartbeats;
    atomic_ullong acked;  /* the last one that was acknowledged */
    unsigned to_announce; /* heartbeats that are still to be announced */
    bool tells_change;    /* so that others read the hash */
    bool mended;          /* the obstacle of the last heartbeat was removed: it must be repeated */
    bool listed;          /* a heartbeat was sent, which may have put it into the list of workers */
    bool joined;          /* a heartbeat was acknowledged */
    char others_heartbeat[24]; /* heartbeat of another process with this id */
    unsigned others_moves;     /* changes of that heartbeat */
    char others_client[17];    /* client id in the hash at the last read */
    char others_place[320];
    bool wait_logged;       /* the wait for a sign of the other process was logged */
    atomic_bool superseded; /* another process with this id is alive */
    char *classes;          /* JSON */
    char *drain;            /* last request of drain.lua that the loop was told; or NULL */
};

static void hash_key(const struct asq__heartbeat *hb, char key[ASQ__KEY_MAX])
{
    asq__keys_worker(asq__redis_keys(hb->w->redis), hb->w->config.id, key);
}

/* Answer of beat.lua; fields that the hash had; the commands of a heartbeat. */
enum { BEAT_HAD, BEAT_WRITTEN, BEAT_PARTS, BEAT_STOP, BEAT_NEWS, BEAT_DRAIN, BEAT_ANSWERS };
enum { HAD_CLIENT, HAD_HOST, HAD_PID, HAD_HEARTBEAT, HAD_STOPPING, HAD };
enum { PART_HASH, PART_EXPIRE, PART_LIST, PART_BEATS, PART_CHANGES, PARTS };

static bool is_answer(const redisReply *r)
{
    return r && r->type == REDIS_REPLY_ARRAY && r->elements > BEAT_WRITTEN &&
           r->element[BEAT_HAD]->type == REDIS_REPLY_ARRAY && r->element[BEAT_HAD]->elements == HAD;
}

/* Returns whether the process that left the hash has certainly ended. */
static bool has_died(const redisReply *host, const redisReply *pid)
{
    char own[256] = "";
    gethostname(own, sizeof own - 1);
    long number = pid->type == REDIS_REPLY_STRING ? strtol(pid->str, NULL, 10) : 0;
    return asq__reply_is(host, own) && number > 1 && kill((pid_t) number, 0) < 0 && errno == ESRCH;
}

enum others { NOBODY, SOMEBODY, MAYBE, UNANSWERED };

/* Returns whether another client id has come into the hash since the last heartbeat. Only a live
 * process writes its own again after the next heartbeat. */
static bool is_only_scribbled(struct asq__heartbeat *hb, const redisReply *client)
{
    if (!hb->joined || strcmp(client->str, hb->others_client) == 0)
        return false;
    snprintf(hb->others_client, sizeof hb->others_client, "%s", client->str);
    return true;
}

/* Looks for another process with this id: both would claim from each other again and again. A new
 * process that finds a hash waits to see whether its heartbeat moves. It also waits for a process
 * that is about to end: processes whose supervisor was killed drain, and the worker may have been
 * restarted meanwhile. A process that has joined already finds another one in two cases: it was
 * stopped for so long that another took its place, or Redis has lost its last second, and with it
 * the new hash. had: what the hash had before this heartbeat. */
static enum others find_others(struct asq__heartbeat *hb, redisReply *const *had)
{
    if (!asq__peer_is_client(had[HAD_CLIENT]) || asq__reply_is(had[HAD_CLIENT], hb->w->client)) {
        hb->others_heartbeat[0] = hb->others_client[0] = '\0';
        hb->others_moves = 0;
        return NOBODY;
    }
    if (is_only_scribbled(hb, had[HAD_CLIENT]))
        return NOBODY;
    const redisReply *heartbeat = had[HAD_HEARTBEAT], *host = had[HAD_HOST], *pid = had[HAD_PID];
    bool first = !hb->others_heartbeat[0];
    bool moved = !first && !asq__reply_is(heartbeat, hb->others_heartbeat);
    bool leaving = asq__reply_is(had[HAD_STOPPING], "1");
    hb->others_moves = leaving ? 0 : hb->others_moves + moved;
    snprintf(hb->others_heartbeat, sizeof hb->others_heartbeat, "%s",
             heartbeat->type == REDIS_REPLY_STRING ? heartbeat->str : "none");
    snprintf(hb->others_place, sizeof hb->others_place, "host %s, process %s",
             host->type == REDIS_REPLY_STRING ? host->str : "?",
             pid->type == REDIS_REPLY_STRING ? pid->str : "?");
    if (hb->others_moves >= (hb->joined ? 1 : MOVES_OF_LIFE))
        return SOMEBODY;
    return (first || moved) && !(hb->joined && leaving) && !has_died(host, pid) ? MAYBE : NOBODY;
}

static void announce_heartbeat(struct asq__heartbeat *hb, struct asq__sync *ctx)
{
    char key[ASQ__KEY_MAX], payload[ASQ_MAX_ID + 32];
    asq__keys_channel(asq__redis_keys(hb->w->redis), "workers", key);
    snprintf(payload, sizeof payload, "%c%llu %s",
             hb->tells_change ? ASQ__BEAT_OF_CHANGE : ASQ__BEAT, hb->heartbeats, hb->w->config.id);
    freeReplyObject(asq__sync_cmd(ctx, "PUBLISH %s %s", key, payload));
    hb->to_announce -= hb->to_announce > 0;
    hb->tells_change &= hb->to_announce > 0;
}

/* Logs that the heartbeat cannot reach Redis. The loop's connection logs it while Redis is away. */
static void log_unreachable(struct asq__heartbeat *hb, const char *why)
{
    char text[ASQ__TROUBLE_TEXT];
    if (atomic_load(&hb->quitting) ||
        !asq__trouble_note(&hb->unreachable, why, asq__now_ms(), text))
        return;
    if (atomic_load(&hb->w->is_away)) { /* the loop has told it */
        hb->unreachable.logged = false;
        return;
    }
    asq__process_log(hb->w, ASQ_LOG_WARNING, "the heartbeat's connection: %s; trying again", text);
}

/* Renames keys of the heartbeat that were overwritten by another type. Otherwise the worker would
 * be dead to the others for ever. Ignores other refusals. */
static void mend(struct asq__heartbeat *hb, struct asq__sync *ctx, int part,
                 const redisReply *reply)
{
    char key[ASQ__KEY_MAX];
    const struct asq__keys *keys = asq__redis_keys(hb->w->redis);
    if (!asq__reply_is_wrong_type(reply))
        return;
    if (part == PART_LIST)
        asq__keys_workers(keys, key);
    else if (part == PART_BEATS)
        asq__keys_beats(keys, key);
    else if (part == PART_CHANGES)
        asq__keys_beat_changes(keys, key);
    else
        hash_key(hb, key);
    freeReplyObject(asq__sync_cmd(ctx, "RENAME %s %s:aside", key, key));
    hb->mended = true;
    asq__process_log_some(
        hb->w, ASQ_LOG_ERROR,
        "%s was overwritten, and is begun anew (its content is under NAME:aside): %s", key,
        reply->str);
}

static bool is_asked_to_stop(struct asq__sync *ctx, const char *key)
{
    redisReply *r = asq__sync_cmd(ctx, "HGET %s stop", key);
    bool asked = r && asq__reply_is(r, "1");
    freeReplyObject(r);
    return asked;
}

/* Runs beat.lua. force: also where the hash is another process's. NULL: no answer. */
static redisReply *run_beat(struct asq__heartbeat *hb, struct asq__sync *ctx, bool force)
{
    struct asq__process *w = hb->w;
    const struct asq__keys *keys = asq__redis_keys(w->redis);
    char key[ASQ__KEY_MAX], workers[ASQ__KEY_MAX], beats[ASQ__KEY_MAX], changes[ASQ__KEY_MAX];
    char host[256] = "", number[14][24];
    hash_key(hb, key);
    asq__keys_workers(keys, workers);
    asq__keys_beats(keys, beats);
    asq__keys_beat_changes(keys, changes);
    gethostname(host, sizeof host - 1);
    snprintf(number[0], 24, "%ld", (long) getpid());
    snprintf(number[1], 24, "%u", w->config.capacity);
    snprintf(number[2], 24, "%u", atomic_load(&hb->partitions));
    snprintf(number[3], 24, "%llu", atomic_load(&w->calls));
    snprintf(number[4], 24, "%llu", atomic_load(&w->failures));
    snprintf(number[5], 24, "%llu", atomic_load(&w->actors.n));
    snprintf(number[6], 24, "%lld", (long long) w->config.lease_time_ms);
    snprintf(number[7], 24, "%llu", atomic_load(&w->dead));
    struct asq__pool_stats pool = asq__pool_stats(w->pool);
    snprintf(number[8], 24, "%zu", pool.parked);
    snprintf(number[9], 24, "%zu", pool.high_water);
    snprintf(number[10], 24, "%zu", pool.unguarded);
    snprintf(number[11], 24, "%llu", atomic_load(&w->actors.bytes));
    snprintf(number[12], 24, "%llu", ++hb->heartbeats); /* whatever the hash had */
    snprintf(number[13], 24, "%llu", atomic_load(&w->lost_commits));
    char stuck[ASQ__STUCK_MAX], awaits[ASQ__AWAITS_MAX];
    pthread_mutex_lock(&w->handover_lock);
    memcpy(stuck, w->stuck, sizeof stuck);
    memcpy(awaits, w->awaits, sizeof awaits);
    char *pools = strdup(asq__process_pools(w) ? asq__process_pools(w) : ASQ__POOL_DEFAULT),
         *drained = strdup(w->drained_pools ? w->drained_pools : "");
    pthread_mutex_unlock(&w->handover_lock);
    if (!pools || !drained) {
        free(pools);
        free(drained);
        return NULL;
    }
    if (!hb->listed && w->config.link) {
        memcpy(w->config.link->client, w->client, sizeof w->client);
        atomic_store(&w->config.link->listed, 1);
    }
    hb->listed = true;
    if (w->config.link)
        atomic_store(&w->config.link->in_cluster, asq__url_is_cluster(w->config.url));
    int64_t sent_ns = asq__now_ns();
    redisReply *r = asq__sync_cmd(
        ctx,
        "EVAL %s 4 %s %s %s %s %s %s %lld %s id %s host %s pid %s version %s client %s capacity %s "
        "partitions %s calls %s failures %s dead_letters %s agents %s agent_bytes %s "
        "lease_time_ms %s stopping %s classes %s knows %s pools %s drained %s awaits %s stuck %s parked %s "
        "stack_used %s stacks_unguarded %s lost_commits %s beat %s",
        asq__script_beat, workers, key, beats, changes, w->config.id, w->client,
        (long long) (w->config.lease_time_ms * HASH_LIVES_LEASES), force ? "1" : "0", w->config.id,
        host, number[0], ASQ_VERSION, w->client, number[1], number[2], number[3], number[4],
        number[7], number[5], number[11], number[6], atomic_load(w->stop) ? "1" : "0", hb->classes,
        w->knows ? w->knows : ASQ__CLASSES_ALL, pools, drained, awaits, stuck, number[8], number[9],
        number[10], number[13], number[12]);
    free(pools);
    free(drained);
    if (r && w->config.figures)
        atomic_store(&w->config.figures->gauges.round_trip_ns, asq__now_ns() - sent_ns);
    if (!r)
        log_unreachable(hb, asq__sync_why(ctx));
    return r;
}

/* Logs that Redis refuses a part of the heartbeat. The index is not needed; see beats_index.lua. */
static void log_refused(struct asq__heartbeat *hb, const redisReply *refusal)
{
    int64_t now = asq__now_ms();
    if (now - hb->last_logged_ms < LOG_EVERY_MS)
        return;
    asq__process_log(
        hb->w, ASQ_LOG_ERROR,
        "Redis does not take this worker's heartbeat, without which it starts no calls: %s",
        refusal->str);
    hb->last_logged_ms = now;
}

/* Takes what Redis has answered to the parts of a heartbeat. Returns whether the hash was
 * written. */
static bool take_parts(struct asq__heartbeat *hb, struct asq__sync *ctx, const redisReply *parts)
{
    size_t n = parts->type == REDIS_REPLY_ARRAY ? parts->elements : 0;
    for (size_t i = 0; i < n && i < PARTS; i++) {
        const redisReply *part = parts->element[i];
        if (part->type == REDIS_REPLY_ERROR && i <= PART_LIST)
            log_refused(hb, part);
        if (part->type == REDIS_REPLY_ERROR)
            mend(hb, ctx, (int) i, part);
    }
    return n > PART_HASH && parts->element[PART_HASH]->type == REDIS_REPLY_INTEGER;
}

static void take_stop(struct asq__heartbeat *hb, struct asq__sync *ctx, const redisReply *size)
{
    struct asq__process *w = hb->w;
    char key[ASQ__KEY_MAX];
    int none = 0;
    hash_key(hb, key);
    /* HSTRLEN may be refused */
    if ((size->type != REDIS_REPLY_ERROR && size->integer != 1) || !is_asked_to_stop(ctx, key))
        return;
    if (atomic_compare_exchange_strong(w->stop, &none, 1))
        asq__process_log(w, ASQ_LOG_INFO,
                         "asked to stop through Redis (as-ctl stop, as-worker stop)");
    ev_async_send(w->loop, &w->wake);
}

/* Takes what this process was asked by drain.lua. */
static void take_drain(struct asq__heartbeat *hb, const redisReply *asked)
{
    struct asq__process *w = hb->w;
    size_t n = strlen(w->client);
    const char *names = asked->type == REDIS_REPLY_STRING &&
                                strncmp(asked->str, w->client, n) == 0 && asked->str[n] == ' '
                            ? asked->str + n + 1
                            : "";
    if (!*names || (hb->drain && strcmp(names, hb->drain) == 0))
        return;
    free(hb->drain);
    hb->drain = strdup(names);
    char *copy = strdup(names);
    pthread_mutex_lock(&w->handover_lock);
    free(w->drain_asked);
    w->drain_asked = copy;
    pthread_mutex_unlock(&w->handover_lock);
    ev_async_send(w->loop, &w->wake);
}

/* Returns whether Redis has lost the last acknowledged heartbeat, as after a failover. */
static bool has_lost(const struct asq__heartbeat *hb, const redisReply *had)
{
    const redisReply *heartbeat = had->element[HAD_HEARTBEAT];
    return hb->joined && (heartbeat->type != REDIS_REPLY_STRING ||
                          strtoull(heartbeat->str, NULL, 10) < atomic_load(&hb->acked));
}

/* Sends a heartbeat on the thread's connection, unless another process has the id. *ret_ok: it was
 * acknowledged. */
static enum others send_heartbeat(struct asq__heartbeat *hb, struct asq__sync *ctx, bool *ret_ok)
{
    struct asq__process *w = hb->w;
    int64_t sent = asq__now_ms();
    *ret_ok = hb->mended = false;
    redisReply *r = run_beat(hb, ctx, false);
    enum others others = is_answer(r) ? find_others(hb, r->element[BEAT_HAD]->element) : NOBODY;
    if (is_answer(r) && others == NOBODY && r->element[BEAT_WRITTEN]->integer == 0) {
        freeReplyObject(r);
        sent = asq__now_ms();
        r = run_beat(hb, ctx, true);
    }
    if (others != NOBODY || !r || !is_answer(r) || r->elements < BEAT_ANSWERS) {
        if (r && r->type == REDIS_REPLY_ERROR)
            log_refused(hb, r);
        bool answered = r != NULL;
        freeReplyObject(r);
        return answered ? others : UNANSWERED;
    }
    bool ok = *ret_ok = take_parts(hb, ctx, r->element[BEAT_PARTS]);
    bool was_dead = !asq__process_is_alive(w);
    if (ok && (was_dead || has_lost(hb, r->element[BEAT_HAD])))
        atomic_store(&hb->resumed_ms, asq__now_ms());
    if (ok)
        atomic_store(&hb->acked, hb->heartbeats);
    bool first = ok && atomic_exchange(&w->heartbeat_ms, sent) == 0;
    if (ok && was_dead)
        atomic_store(&w->is_alive_again, true);
    if (first || (ok && was_dead)) /* others can see this process now, so it may claim */
        ev_async_send(w->loop, &w->wake);
    if (ok && (r->element[BEAT_NEWS]->integer == 1 || hb->to_announce))
        announce_heartbeat(hb, ctx);
    take_stop(hb, ctx, r->element[BEAT_STOP]);
    take_drain(hb, r->element[BEAT_DRAIN]);
    freeReplyObject(r);
    return NOBODY;
}

static void on_blocked(void *user, const char *class_name, const char *method, int64_t ms)
{
    asq__process_log(
        user, ASQ_LOG_WARNING,
        "%s.%s has kept its thread busy for %lld ms without waiting through the library",
        class_name, method, (long long) ms);
}

/* Sleeps, or returns early when it must quit. True: quit. */
static bool sleep_or_quit(struct asq__heartbeat *hb, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&hb->lock);
    while (!hb->quit && !hb->now &&
           pthread_cond_timedwait(&hb->ring, &hb->lock, &until) != ETIMEDOUT)
        ;
    bool quit = hb->quit;
    if (hb->changed) {
        hb->to_announce = OF_CHANGE;
        hb->tells_change = true;
    }
    hb->now = hb->changed = false;
    pthread_mutex_unlock(&hb->lock);
    return quit;
}

/* Connects to the server with the keys of the namespace. */
static int open_home(const struct asq__heartbeat *hb, int64_t timeout_ms, int cancel_fd,
                     struct asq__sync **ret, char *err, size_t errlen)
{
    const struct asq__process *w = hb->w;
    uint16_t slot = asq__slot_of_namespace(asq__redis_keys(w->redis));
    return asq__sync_open_slot(w->config.url, slot, "asqueue-beat", timeout_ms, cancel_fd, ret, err,
                               errlen);
}

/* Removes the process from Redis, so that others need not wait for its heartbeat to stop. Awaits a
 * heartbeat whose waiting was cancelled first, or it could list the process again. Also tries a
 * fresh connection, because the old one may have been lost since the last heartbeat. The supervisor
 * does what fails here. */
static void say_good_bye(struct asq__heartbeat *hb, struct asq__sync *ctx)
{
    struct asq__process *w = hb->w;
    char err[400];
    bool gone = false;
    if (!ctx && hb->unreachable.since_ms)
        return; /* Redis was away before, and this would wait for it */
    for (int tries = 2; tries && !gone; tries--) {
        if (!ctx && open_home(hb, GOOD_BYE_MS, -1, &ctx, err, sizeof err) < 0)
            break;
        gone = asq__sync_keep(ctx, GOOD_BYE_MS) == 0 &&
               asq__leave(ctx, asq__redis_keys(w->redis), w->config.id, w->client, err, sizeof err);
        asq__sync_free(ctx);
        ctx = NULL;
    }
    if (gone && w->config.link)
        atomic_store(&w->config.link->listed, 0);
}

static void *heartbeat_thread(void *arg)
{
    struct asq__heartbeat *hb = arg;
    struct asq__process *w = hb->w;
    struct asq__sync *ctx = NULL;
    int64_t third_ms = w->config.lease_time_ms / 3;
    int64_t timeout_ms = third_ms < HEARTBEAT_TIMEOUT_MS ? third_ms : HEARTBEAT_TIMEOUT_MS;
    struct asq__watch watch = { 0 };
    bool quit = false;
    while (!quit) {
        char err[400];
        if (!asq__watch_check(&watch, w, asq__now_ms()))
            asq__watch_end();
        if (ctx && asq__sync_is_outdated(ctx)) {
            asq__sync_free(ctx);
            ctx = NULL;
        }
        bool old = ctx != NULL; /* its server may have gone since the last heartbeat */
        if (!ctx && open_home(hb, timeout_ms, hb->quit_fd, &ctx, err, sizeof err) < 0) {
            ctx = NULL;
            log_unreachable(hb, err);
        }
        bool ok = false;
        enum others others = ctx ? send_heartbeat(hb, ctx, &ok) : UNANSWERED;
        if (others == SOMEBODY) {
            atomic_store(&hb->superseded, true);
            ev_async_send(w->loop, &w->wake);
            asq__sync_free(ctx);
            return NULL;
        }
        if (others == NOBODY && hb->mended) /* at once, before others take this process for dead */
            others = send_heartbeat(hb, ctx, &ok);
        char text[ASQ__TROUBLE_TEXT];
        if (ok && asq__trouble_over(&hb->unreachable, asq__now_ms(), text))
            asq__process_log(w, ASQ_LOG_INFO, "Redis takes the heartbeat again%s", text);
        hb->joined |= ok;
        if (ctx && asq__sync_is_cancelled(ctx))
            break; /* must quit: say_good_bye() awaits its replies */
        if (others == MAYBE && !hb->wait_logged) {
            hb->wait_logged = true;
            asq__process_log(
                w, ASQ_LOG_INFO,
                "a worker with the id '%s' is in the list already (%s): waiting up to %lld ms for "
                "its heartbeat",
                w->config.id, hb->others_place,
                (long long) w->config.lease_time_ms * MOVES_OF_LIFE / 2);
        }
        if (others == MAYBE) {
            quit = sleep_or_quit(hb, w->config.lease_time_ms / 2);
            continue;
        }
        if (!ok && ctx) {
            asq__sync_free(ctx);
            ctx = NULL;
        }
        asq__pool_scan(w->pool, asq__now_ms(), BLOCKED_THREAD_MS, on_blocked, w);
        quit = sleep_or_quit(hb, !ok && old                                  ? 0
                                 : !ok                                       ? HEARTBEAT_RETRY_MS
                                 : hb->to_announce && third_ms > ANNOUNCE_MS ? ANNOUNCE_MS
                                                                             : third_ms);
    }
    if (hb->listed)
        say_good_bye(hb, ctx);
    else
        asq__sync_free(ctx);
    return NULL;
}

unsigned long long asq__heartbeat_acked(const struct asq__heartbeat *hb)
{
    return atomic_load(&hb->acked);
}

bool asq__heartbeat_has_begun(const struct asq__heartbeat *hb)
{
    return atomic_load(&hb->w->heartbeat_ms) != 0;
}

int64_t asq__heartbeat_resumed_ms(const struct asq__heartbeat *hb)
{
    return atomic_load(&hb->resumed_ms);
}

const char *asq__heartbeat_other(const struct asq__heartbeat *hb)
{
    return atomic_load(&hb->superseded) ? hb->others_place : NULL;
}

void asq__heartbeat_set_partitions(struct asq__heartbeat *hb, unsigned owned)
{
    atomic_store(&hb->partitions, owned);
}

static void ring(struct asq__heartbeat *hb, bool changed)
{
    pthread_mutex_lock(&hb->lock);
    hb->now = true;
    hb->changed |= changed;
    pthread_cond_signal(&hb->ring);
    pthread_mutex_unlock(&hb->lock);
}

void asq__heartbeat_now(struct asq__heartbeat *hb)
{
    ring(hb, false);
}

void asq__heartbeat_of_change(struct asq__heartbeat *hb)
{
    ring(hb, true);
}

/* ---- life ---- */

/* Describes the classes for others, as JSON. */
static int describe(struct asq__heartbeat *hb)
{
    asq_value *classes = asq__registry_describe(hb->w->config.registry);
    int rc = classes ? asq_to_json(classes, 0, &hb->classes) : ASQ_ENOMEM;
    asq_value_free(classes);
    if (rc == 0 && strlen(hb->classes) > MAX_CLASSES) {
        /* Redis would refuse a longer string, and the heartbeat with it. */
        asq__process_log(
            hb->w, ASQ_LOG_WARNING,
            "the description of this worker's classes has %zu bytes, which is too large: as-ctl "
            "classes does not show them",
            strlen(hb->classes));
        strcpy(hb->classes, "{}");
    }
    return rc;
}

int asq__heartbeat_new(struct asq__process *w, struct asq__heartbeat **ret)
{
    struct asq__heartbeat *hb = calloc(1, sizeof *hb);
    if (!hb)
        return ASQ_ENOMEM;
    hb->w = w;
    hb->to_announce = OF_START;
    int rc = describe(hb);
    hb->quit_fd = rc == 0 ? asq__fd_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) : -1;
    if (rc == 0 && hb->quit_fd < 0)
        rc = ASQ_ESYS;
    if (rc < 0) {
        free(hb->classes);
        free(hb);
        return rc;
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&hb->lock, NULL);
    pthread_cond_init(&hb->ring, &attr);
    pthread_condattr_destroy(&attr);
    *ret = hb;
    return 0;
}

bool asq__heartbeat_start(struct asq__heartbeat *hb)
{
    hb->thread_started = pthread_create(&hb->thread, NULL, heartbeat_thread, hb) == 0;
    return hb->thread_started;
}

void asq__heartbeat_end(struct asq__heartbeat *hb)
{
    const uint64_t one = 1;
    if (!hb->thread_started)
        return;
    atomic_store(&hb->quitting, true);
    if (write(hb->quit_fd, &one, sizeof one) < 0)
        asq__process_log(hb->w, ASQ_LOG_WARNING, "eventfd: %s", strerror(errno));
    pthread_mutex_lock(&hb->lock);
    hb->quit = true;
    pthread_cond_signal(&hb->ring);
    pthread_mutex_unlock(&hb->lock);
    pthread_join(hb->thread, NULL);
    hb->thread_started = false;
}

void asq__heartbeat_free(struct asq__heartbeat *hb)
{
    if (!hb)
        return;
    asq__heartbeat_end(hb);
    pthread_mutex_destroy(&hb->lock);
    pthread_cond_destroy(&hb->ring);
    close(hb->quit_fd);
    free(hb->classes);
    free(hb->drain);
    free(hb);
}
