/*
 * peer_refresh.c: see peer_refresh.h.
 *
 * The index has the time of each worker's last heartbeat by the clock of Redis, which the one in
 * redis_clock.h turns into time of this process, also when it was set. Redis may have lost the last
 * heartbeats: what was known of a worker before still holds, and when Redis has lost one of this
 * process, all workers get a lease time to send another.
 */
#include "worker/peer_refresh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/fields.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/list.h"
#include "value/table.h"
#include "worker/heartbeat.h"
#include "worker/peers.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum {
    AT_ONCE = 64, /* hashes that one script reads; many keep Redis from others for long */
    /* Parts of a lease time after which a worker without a heartbeat is looked at: more than the
     * third after which the next one is due, and at the look after that its lease has not ended. */
    SILENT_PARTS = 5,
    SILENT_OF = 12,
    LOG_EVERY_MS = 60000
};
#define MOST_MS 1e15 /* no time of Redis is later */

/* Answer of peers.lua. */
enum { TIME, OWN_BEAT, IS_ALL, IDS, TIMES, ANSWERS };

static const char *const peer_fields[ASQ__PEER_FIELDS] = { [ASQ__PEER_HEARTBEAT] = "beat",
                                                           [ASQ__PEER_CAPACITY] = "capacity",
                                                           [ASQ__PEER_STOPPING] = "stopping",
                                                           [ASQ__PEER_LEASE_TIME] = "lease_time_ms",
                                                           [ASQ__PEER_ID] = "id",
                                                           [ASQ__PEER_CLIENT] = "client",
                                                           [ASQ__PEER_HOST] = "host",
                                                           [ASQ__PEER_PID] = "pid",
                                                           [ASQ__PEER_KNOWS] = "knows",
                                                           [ASQ__PEER_POOLS] = "pools" };

/* Workers whose hashes one command reads. */
struct query {
    struct asq__peer_refresh *look;
    struct asq__peer *peers[AT_ONCE];
    size_t n;
};

/* ---- hashes ---- */

/* Takes a worker's hash; NULL: the key is none. An indexed worker has moved when the index says so,
 * or when only its counter has moved between two looks, because Redis refuses its index entry. */
static void take_hash(struct asq__peer_refresh *l, struct asq__peer *p, const redisReply *fields)
{
    int64_t moved_ms = p->moved_ms;
    if (!fields) {
        p->present = false; /* not the hash of a worker; others are still seen */
        return;
    }
    l->proved |= asq__peer_see(p, fields->element);
    if (p->indexed && !p->index_stands)
        p->moved_ms = moved_ms;
    p->read_round = l->round;
}

static void on_hashes(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct query *q = user;
    struct asq__peer_refresh *l = q->look;
    bool arrived = asq__fields_arrived(reply, q->n);
    (void) c;
    for (size_t i = 0; arrived && i < q->n; i++)
        take_hash(l, q->peers[i], asq__fields_of(reply, i, ASQ__PEER_FIELDS));
    free(q);
    l->answered(l->user, reply, arrived);
}

/* A look whose index has arrived. */
struct looking {
    struct asq__peer_refresh *look;
    struct query *query; /* not sent yet; or NULL */
    int64_t silent_ms;   /* workers that are not late have sent a heartbeat since then */
    bool failed, unindexed;
};

static int send_query(struct query *q)
{
    struct asq__redis *redis = q->look->w->redis;
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    asq__cmd_init(&cmd);
    asq__fields_begin(&cmd, asq__redis_home_scripts(redis), q->n);
    for (size_t i = 0; i < q->n; i++)
        asq__cmd_put(&cmd, key, asq__keys_worker(asq__redis_keys(redis), q->peers[i]->id, key));
    asq__fields_end(&cmd, ASQ__PEER_FIELDS, peer_fields);
    int rc = asq__conn_send(asq__redis_home(redis), on_hashes, q, &cmd);
    asq__cmd_release(&cmd);
    return rc;
}

static void flush(struct looking *k)
{
    if (!k->query)
        return;
    if (send_query(k->query) == 0) {
        ++*k->look->answers;
    } else {
        k->failed = true;
        free(k->query);
    }
    k->query = NULL;
}

static void add(struct looking *k, struct asq__peer *p)
{
    if (p->due_round == k->look->round)
        return; /* both changed and late */
    if (!k->query && !(k->query = calloc(1, sizeof *k->query))) {
        k->failed = true;
        return;
    }
    p->due_round = k->look->round;
    k->query->look = k->look;
    k->query->peers[k->query->n++] = p;
    if (k->query->n == AT_ONCE)
        flush(k);
}

/* ---- the index ---- */

static void drop_member(struct asq__peer_refresh *l, const redisReply *id)
{
    char key[ASQ__KEY_MAX];
    asq__keys_workers(asq__redis_keys(l->w->redis), key);
    const char *argv[] = { "SREM", key, id->str };
    size_t lens[] = { 4, strlen(key), id->len };
    asq__conn_argv(asq__redis_home(l->w->redis), NULL, NULL, 3, argv, lens);
}

/* Takes the time of a worker's last heartbeat, which makes it no older than it is known to be. */
static void take_time(struct asq__peer_refresh *l, struct asq__peer *p, int64_t redis_ms)
{
    int64_t mono_ms =
        asq__redis_clock_to_mono(asq__redis_clock(l->w->redis), redis_ms, asq__now_ms());
    p->index_stands = p->indexed && p->indexed_ms == redis_ms && p->read_round + 1 == l->round;
    p->indexed = true;
    p->indexed_ms = redis_ms;
    if (mono_ms > p->moved_ms)
        p->moved_ms = mono_ms;
}

/* Takes a worker of the answer; at: time of its last heartbeat, if the index has it. */
static void take_worker(struct looking *k, const redisReply *id, const redisReply *at, bool all)
{
    struct asq__peer_refresh *l = k->look;
    if (id->type != REDIS_REPLY_STRING || at->type != REDIS_REPLY_STRING)
        return;
    if (!asq__peer_may_be_called(id)) {
        drop_member(l, id);
        return;
    }
    struct asq__peer *p = asq__peers_find(l->peers, id->str);
    if (!all && at->len == 0) { /* gone */
        if (p) {
            p->listed = false;
            p->left = true;
        }
        return;
    }
    p = asq__peers_list(l->peers, id->str, l->user);
    if (!p) {
        k->failed = true;
        return;
    }
    double redis_ms = strtod(at->str, NULL);
    if (at->len > 0)
        take_time(l, p, redis_ms > 0 && redis_ms < MOST_MS ? (int64_t) redis_ms : 0);
    else
        p->indexed = false;
    add(k, p);
}

/* Takes a worker that the answer does not name: its last heartbeat is young. One that has not
 * proved itself alive, or was missed, is looked at until it has, and one that tells of other pools
 * until that is believed. */
static void take_other(struct asq__node *node, void *user)
{
    struct looking *k = user;
    struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    if (!p->listed || p->due_round == k->look->round)
        return;
    if (p->moved_ms < k->silent_ms)
        p->moved_ms = k->silent_ms;
    if (!p->proven || p->missed || p->pools.other_heartbeat) {
        p->index_stands = false;
        add(k, p);
    }
}

static void find_unindexed(struct asq__node *node, void *user)
{
    struct looking *k = user;
    const struct asq__peer *p = ASQ__CONTAINER(node, struct asq__peer, node);
    k->unindexed |= p->listed && !p->indexed;
}

static int64_t redis_ms_of(const redisReply *time)
{
    if (time->type != REDIS_REPLY_ARRAY || time->elements != 2 ||
        time->element[0]->type != REDIS_REPLY_STRING ||
        time->element[1]->type != REDIS_REPLY_STRING)
        return 0;
    return strtoll(time->element[0]->str, NULL, 10) * 1000 +
           strtoll(time->element[1]->str, NULL, 10) / 1000;
}

/* Returns whether Redis has lost a heartbeat of this process, and perhaps some of others. */
static bool has_lost(const struct asq__peer_refresh *l, const redisReply *beat)
{
    const char *text = beat->type == REDIS_REPLY_STRING ? beat->str : "";
    uint64_t number;
    return !asq__decimal_read(&text, &number) || *text || number < l->acked;
}

static bool is_index(const redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == ANSWERS &&
           reply->element[IDS]->type == REDIS_REPLY_ARRAY &&
           reply->element[TIMES]->type == REDIS_REPLY_ARRAY &&
           reply->element[IDS]->elements == reply->element[TIMES]->elements;
}

static void log_unlisted(struct asq__peer_refresh *l, const redisReply *reply)
{
    char key[ASQ__KEY_MAX];
    if (!reply || asq__reply_is_error(reply, "NOSCRIPT") ||
        asq__now_ms() - l->last_logged_ms < LOG_EVERY_MS)
        return;
    asq__keys_workers(asq__redis_keys(l->w->redis), key);
    asq__process_log(l->w, ASQ_LOG_ERROR,
                     "the workers cannot be listed, and no partitions claimed or handed over: "
                     "%s: %s",
                     key, asq__reply_text(reply));
    l->last_logged_ms = asq__now_ms();
}

static void on_index(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__peer_refresh *l = user;
    (void) c;
    if (!is_index(reply)) {
        log_unlisted(l, reply);
        l->answered(l->user, reply, false);
        return;
    }
    asq__redis_take_time(l->w->redis, reply->element[TIME], l->asked_ms);
    bool all = reply->element[IS_ALL]->integer == 1;
    const redisReply *ids = reply->element[IDS], *times = reply->element[TIMES];
    int64_t lease_ms = l->w->config.lease_time_ms;
    struct looking k = { .look = l,
                         .silent_ms = l->asked_ms - lease_ms * SILENT_PARTS / SILENT_OF };
    if (all)
        asq__peers_unlist(l->peers);
    for (size_t i = 0; i < ids->elements; i++)
        take_worker(&k, ids->element[i], times->element[i], all);
    if (!all)
        asq__table_each(l->peers, take_other, &k);
    flush(&k);
    asq__table_each(l->peers, find_unindexed, &k);
    bool lost = has_lost(l, reply->element[OWN_BEAT]);
    if (lost)
        l->lost_ms = l->asked_ms;
    l->next_since_ms = lost || k.unindexed ? 0 : redis_ms_of(reply->element[TIME]);
    l->answered(l->user, reply, !k.failed);
}

bool asq__peer_refresh(struct asq__peer_refresh *l)
{
    struct asq__redis *redis = l->w->redis;
    const struct asq__keys *keys = asq__redis_keys(redis);
    char workers[ASQ__KEY_MAX], beats[ASQ__KEY_MAX], changes[ASQ__KEY_MAX], own[ASQ__KEY_MAX];
    char since[24], silent[24];
    asq__keys_workers(keys, workers);
    asq__keys_beats(keys, beats);
    asq__keys_beat_changes(keys, changes);
    asq__keys_worker(keys, l->w->config.id, own);
    l->round++;
    l->asked_ms = asq__now_ms();
    l->acked = asq__heartbeat_acked(l->heartbeat);
    int64_t silent_ms = l->asked_ms - l->w->config.lease_time_ms * SILENT_PARTS / SILENT_OF;
    snprintf(since, sizeof since, "%lld", (long long) l->since_ms);
    snprintf(silent, sizeof silent, "%lld",
             (long long) asq__redis_clock_at(asq__redis_clock(redis), silent_ms));
    const char *argv[] = { workers, beats, changes, own, since, silent };
    ++*l->answers;
    if (asq__script_run(asq__redis_home(redis), asq__redis_home_scripts(redis), ASQ__SCRIPT_PEERS,
                        on_index, l, 4, 2, argv) == 0)
        return true;
    --*l->answers;
    return false;
}

void asq__peer_refresh_done(struct asq__peer_refresh *l)
{
    l->since_ms = l->next_since_ms;
}

void asq__peer_refresh_all(struct asq__peer_refresh *l)
{
    l->since_ms = l->next_since_ms = 0;
}
