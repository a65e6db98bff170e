/*
 * namespace.c: the namespace's meta hash: reads it on each new connection, makes it for a new
 * namespace, and restores one that was overwritten. See redis_state.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis_state.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/pools.h"

static void create_meta(struct asq__redis *r);

/* Returns whether the namespace has a dot: keys of "a.b", like asq:{a.b.0}:…, match patterns for
 * the keys of "a". */
static bool is_dotted(const struct asq__redis *r)
{
    return strchr(r->config.ns, '.') != NULL;
}

static void announce(struct asq__redis *r, enum asq__namespace_event what, uint32_t before)
{
    if (r->config.namespace_event)
        r->config.namespace_event(r, what, before, r->config.user);
}

/* Parses a whole number from 1 to `most`; 0: not such a number. */
static uint32_t parse_number(const redisReply *field, uint32_t most)
{
    const char *text = field->str;
    uint64_t number;
    if (!asq__decimal_read(&text, &number) || *text || number > most)
        return 0;
    return (uint32_t) number;
}

/* Restores a meta hash that was overwritten with nonsense, if this process knows the facts from
 * before. False: it does not, or restoring has not helped. */
static bool repair_meta(struct asq__redis *r, bool wrong_type)
{
    char key[ASQ__KEY_MAX], aside[ASQ__KEY_MAX + 8];
    if (!r->meta.partitions || r->meta.repairing)
        return false;
    r->meta.repairing = true;
    asq__keys_meta(&r->keys, key);
    snprintf(aside, sizeof aside, "%s:aside", key);
    if (wrong_type)
        asq__conn_cmd(r->home->conn, NULL, NULL, "RENAME", key, aside, NULL);
    else
        asq__conn_cmd(r->home->conn, NULL, NULL, "HDEL", key, "format", "partitions", "pools",
                      NULL);
    create_meta(r);
    return true;
}

/* ---- pools ---- */

const struct asq__pools *asq__redis_pools(const struct asq__redis *r)
{
    return atomic_load(&r->meta.pools);
}

uint32_t asq__redis_partitions(const struct asq__redis *r)
{
    return r->meta.partitions;
}

void asq__namespace_release(struct asq__namespace *m)
{
    for (struct asq__pools *t = m->pools, *before; t; t = before) {
        before = t->before;
        free(t);
    }
}

/* Makes a table the newest one. Those before stay, because other threads may read them. */
static void keep_pools(struct asq__redis *r, struct asq__pools *t)
{
    t->before = r->meta.pools;
    atomic_store(&r->meta.pools, t);
    if (t->partitions > r->meta.partitions)
        r->meta.partitions = t->partitions;
}

/* Tells the layers above of partitions that are new; their servers are known first. */
static bool grow(struct asq__redis *r, uint32_t before)
{
    if (asq__redis_open_routes(r) < 0)
        return false;
    if (before && r->meta.partitions > before)
        announce(r, ASQ__NAMESPACE_GROWN, before);
    return true;
}

int asq__redis_ask_pool(struct asq__redis *r, const char *name, const char *partitions,
                        asq__reply_fn fn, void *user)
{
    char key[ASQ__KEY_MAX], channel[ASQ__KEY_MAX];
    asq__keys_meta(&r->keys, key);
    asq__keys_channel(&r->keys, "workers", channel);
    return asq__conn_cmd(asq__redis_home(r), fn, user,
                         ASQ__POOL_ARGS(key, name, partitions, channel), NULL);
}

/* Puts pools back that Redis has lost. Who may not do it leaves it to others. */
static void restore_pools(struct asq__redis *r, const struct asq__pools *known, size_t there)
{
    char number[16];
    for (size_t i = there; i < known->n; i++) {
        snprintf(number, sizeof number, "%u", known->list[i].partitions);
        asq__redis_ask_pool(r, known->list[i].name, number, NULL, NULL);
    }
}

enum pools_taken { SAME, GROWN, OTHERS };

/* Takes the table that Redis has. */
static enum pools_taken take_pools(struct asq__redis *r, struct asq__pools *t)
{
    const struct asq__pools *known = r->meta.pools;
    if (known && asq__pools_include(known, t)) {
        restore_pools(r, known, t->n);
        free(t);
        return SAME;
    }
    bool grown = !known || asq__pools_include(t, known);
    if (!grown)
        r->meta.partitions = 0;
    keep_pools(r, t);
    return grown ? GROWN : OTHERS;
}

int asq__redis_take_pools(struct asq__redis *r, const char *text, char *err, size_t errlen)
{
    struct asq__pools *t;
    uint32_t before = r->meta.partitions;
    int rc = asq__pools_read(r->meta.pools->list[0].partitions, text, &t, err, errlen);
    if (rc < 0)
        return rc;
    if (!asq__pools_include(t, r->meta.pools) && !asq__pools_include(r->meta.pools, t)) {
        free(t);
        asq__redis_refresh_meta(r);
        return asq__err(err, errlen, ASQ_EREDIS, "the namespace was made anew meanwhile");
    }
    if (take_pools(r, t) == GROWN && !grow(r, before))
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    return 0;
}

int asq__redis_take_pool(struct asq__redis *r, const char *name, const redisReply *reply, char *err,
                         size_t errlen)
{
    bool is_answer = reply->type == REDIS_REPLY_ARRAY && reply->elements &&
                     reply->element[0]->type == REDIS_REPLY_STRING;
    const char *state = is_answer ? reply->element[0]->str : "";
    const redisReply *more = is_answer && reply->elements > 1 ? reply->element[1] : NULL;
    if (asq__reply_is_denial(reply))
        return asq__err(err, errlen, ASQ_EREDIS,
                        "there is no pool '%s', and this user may not make it; start a worker with "
                        "--pool %s, which makes it (%s)",
                        name, name, reply->str);
    if (reply->type == REDIS_REPLY_ERROR)
        return asq__err(err, errlen, ASQ_EREDIS, "making pool '%s': %s", name, reply->str);
    if (strcmp(state, "FULL") == 0 && more && more->type == REDIS_REPLY_INTEGER)
        return asq__err(err, errlen, ASQ_ELIMIT,
                        "there is no pool '%s', and no room for it: a namespace has at most %u "
                        "partitions, and %lld are left (as-ctl pools). Agent ids with a '/' name a "
                        "pool",
                        name, ASQ__MAX_PARTITIONS, more->integer);
    if (!more || more->type != REDIS_REPLY_STRING)
        return asq__err(
            err, errlen, ASQ_EPROTO,
            "making pool '%s': asq:{%s}:meta is not one of a namespace that this version "
            "serves (is it being moved to another Redis?)",
            name, r->config.ns);
    int rc = asq__redis_take_pools(r, more->str, err, errlen);
    return rc < 0 ? rc
           : asq__pools_find(r->meta.pools, name, strlen(name)) != NULL
               ? 0
               : asq__err(err, errlen, ASQ_ENOENT, ASQ__NO_POOL, name);
}

bool asq__redis_reach(struct asq__redis *r, uint32_t partition)
{
    uint32_t before = r->meta.partitions;
    if (partition >= ASQ__MAX_PARTITIONS)
        return false;
    if (partition < before)
        return true;
    r->meta.partitions = partition + 1;
    return grow(r, before);
}

/* ---- reading ---- */

enum {
    FIELD_FORMAT,
    FIELD_PARTITIONS,
    FIELD_STATE,
    FIELD_AT,
    FIELD_TO,
    FIELD_FROM,
    FIELD_POOLS,
    FIELDS
};

/* Returns a field of the reply; "" if it is missing. */
static const char *field(const redisReply *reply, int which)
{
    const redisReply *r = reply->element[which];
    return r->type == REDIS_REPLY_STRING ? r->str : "";
}

/* Writes that the namespace is being moved, or has moved, to another Redis (client/move.c). False:
 * it has not. */
static bool is_moved(const struct asq__redis *r, const redisReply *reply, char *why, size_t size)
{
    const char *to = field(reply, FIELD_TO), *from = field(reply, FIELD_FROM);
    char at[32] = "?";
    time_t t = (time_t) strtoll(field(reply, FIELD_AT), NULL, 10);
    struct tm tm;
    if (strcmp(field(reply, FIELD_FORMAT), ASQ__FORMAT_MOVED) != 0 || (!*to && !*from))
        return false;
    if (gmtime_r(&t, &tm) && strftime(at, sizeof at, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        *at = '\0';
    if (strcmp(field(reply, FIELD_STATE), "moved") == 0)
        snprintf(why, size, "namespace '%s' has moved to %.300s since %s: use that URL",
                 r->config.ns, to, at);
    else
        snprintf(why, size,
                 "namespace '%s' is being moved %s %.300s since %s: wait for the end of as-ctl "
                 "migrate, or give it --resume or --abort",
                 r->config.ns, *to ? "to" : "here from", *to ? to : from, at);
    return true;
}

static void on_meta(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    char why[600];
    r->meta.reading = false;
    if (!reply)
        return;
    if (!r->cluster && asq__reply_is_error(reply, "MOVED") && asq__redis_join(r))
        return;
    if (asq__reply_is_transient(reply)) {
        asq__conn_fail(c, ASQ_EBUSY, reply->str);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        if (asq__reply_is_wrong_type(reply) && repair_meta(r, true))
            return;
        snprintf(why, sizeof why, "reading asq:{%s}:meta: %s%s", r->config.ns, reply->str,
                 asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
        asq__redis_reject(r, ASQ_EREDIS, why);
        return;
    }
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == FIELDS &&
        is_moved(r, reply, why, sizeof why)) {
        asq__redis_reject(r, ASQ_EVERSION, why);
        return;
    }
    bool whole = reply->type == REDIS_REPLY_ARRAY && reply->elements == FIELDS &&
                 reply->element[0]->type == REDIS_REPLY_STRING &&
                 reply->element[1]->type == REDIS_REPLY_STRING;
    if (!whole && is_dotted(r) && !r->meta.partitions) {
        snprintf(why, sizeof why,
                 "there is no namespace '%s', and names of new namespaces have no dots, because "
                 "patterns for the keys of '%.*s' would reach them",
                 r->config.ns, (int) strcspn(r->config.ns, "."), r->config.ns);
        asq__redis_reject(r, ASQ_EINVAL, why);
        return;
    }
    if (!whole && !r->meta.creating) { /* a new namespace, or the hash is gone */
        create_meta(r);
        return;
    }
    if (!whole && r->meta.denied) {
        snprintf(why, sizeof why,
                 "there is no namespace '%s', and this user may not make it; start a worker, which "
                 "makes it (%s)",
                 r->config.ns, r->meta.error);
        asq__redis_reject(r, ASQ_EREDIS, why);
        return;
    }
    if (!whole) {
        snprintf(why, sizeof why, "asq:{%s}:meta cannot be made: %s", r->config.ns,
                 *r->meta.error ? r->meta.error : "this Redis may be a read-only replica");
        asq__redis_reject(r, ASQ_EREDIS, why);
        return;
    }
    uint32_t format = parse_number(reply->element[0], UINT32_MAX);
    uint32_t partitions = parse_number(reply->element[1], ASQ__MAX_PARTITIONS);
    if ((!format || (format == ASQ__FORMAT_VERSION && !partitions)) && repair_meta(r, false))
        return;
    if (format != ASQ__FORMAT_VERSION) {
        snprintf(why, sizeof why,
                 "namespace '%s' has format %.40s; this is asqueue %s with format %d", r->config.ns,
                 reply->element[0]->str, ASQ_VERSION, ASQ__FORMAT_VERSION);
        asq__redis_reject(r, ASQ_EVERSION, why);
        return;
    }
    if (!partitions) {
        snprintf(why, sizeof why, "asq:{%s}:meta says %.40s partitions; 1 to %u are allowed",
                 r->config.ns, reply->element[1]->str, ASQ__MAX_PARTITIONS);
        asq__redis_reject(r, ASQ_EPROTO, why);
        return;
    }
    struct asq__pools *pools;
    char wrong[300];
    int rc = asq__pools_read(partitions, field(reply, FIELD_POOLS), &pools, wrong, sizeof wrong);
    if (rc == ASQ_ENOMEM) {
        asq__conn_drop(c, wrong);
        return;
    }
    if (rc < 0 && repair_meta(r, false))
        return;
    if (rc < 0) {
        snprintf(why, sizeof why, "field pools of asq:{%s}:meta: %s", r->config.ns, wrong);
        asq__redis_reject(r, ASQ_EPROTO, why);
        return;
    }
    uint32_t before = r->meta.partitions;
    enum pools_taken taken = take_pools(r, pools);
    r->meta.creating = false;
    bool moved = before && r->facts.mode.cluster != r->facts.was_cluster;
    r->facts.was_cluster = r->facts.mode.cluster;
    if (before && taken == OTHERS)
        announce(r, ASQ__NAMESPACE_CHANGED, before);
    else if (moved)
        announce(r, ASQ__NAMESPACE_MOVED, before);
    else if (r->meta.repairing)
        announce(r, ASQ__NAMESPACE_REPAIRED, before);
    else if (r->meta.recreated)
        announce(r, ASQ__NAMESPACE_RECREATED, before);
    else if (!before && is_dotted(r))
        announce(r, ASQ__NAMESPACE_DOTTED, before);
    r->meta.repairing = r->meta.recreated = false;
    if (taken == GROWN ? !grow(r, before) : asq__redis_open_routes(r) < 0)
        asq__conn_drop(c, "out of memory");
    r->meta.known = asq__conn_is_up(c); /* not before all slots are wanted */
    asq__redis_check_up(r);
}

static void on_meta_set(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    if (asq__reply_is_transient(reply))
        asq__conn_fail(c, ASQ_EBUSY, reply->str);
    else if (asq__reply_is_error(reply, NULL)) { /* no failure if another process has made it */
        snprintf(r->meta.error, sizeof r->meta.error, "%s", reply->str);
        r->meta.denied = asq__reply_is_denial(reply);
    }
}

static void on_partitions_set(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1 && r->meta.partitions)
        r->meta.recreated = true;
    on_meta_set(c, reply, user);
}

int asq__namespace_ask(struct asq__redis *r)
{
    char key[ASQ__KEY_MAX];
    asq__keys_meta(&r->keys, key);
    int rc = asq__conn_cmd(r->home->conn, on_meta, r, "HMGET", key, "format", "partitions",
                           "move_state", "moved_at", "moved_to", "moved_from", "pools", NULL);
    r->meta.reading = rc == 0;
    r->meta.asked_ms = asq__now_ms_coarse();
    return rc;
}

/* Sets each field of the meta hash that is missing. A namespace known before keeps its number of
 * partitions, so that its processes can go on. */
static void create_meta(struct asq__redis *r)
{
    char key[ASQ__KEY_MAX], format[16], partitions[16], created[32];
    uint32_t n = r->meta.pools          ? r->meta.pools->list[0].partitions
                 : r->config.partitions ? r->config.partitions
                                        : ASQ__DEFAULT_PARTITIONS;
    if (is_dotted(r) && !r->meta.partitions) { /* may be opened, but not created */
        asq__namespace_ask(r);
        return;
    }
    r->meta.creating = true;
    asq__keys_meta(&r->keys, key);
    snprintf(format, sizeof format, "%d", ASQ__FORMAT_VERSION);
    snprintf(partitions, sizeof partitions, "%u", n);
    snprintf(created, sizeof created, "%lld", (long long) time(NULL));
    asq__conn_cmd(r->home->conn, on_meta_set, r, "HSETNX", key, "format", format, NULL);
    asq__conn_cmd(r->home->conn, on_partitions_set, r, "HSETNX", key, "partitions", partitions,
                  NULL);
    asq__conn_cmd(r->home->conn, on_meta_set, r, "HSETNX", key, "created", created, NULL);
    if (asq__namespace_ask(r) < 0)
        asq__conn_drop(r->home->conn, "out of memory");
}

void asq__namespace_reset(struct asq__namespace *m)
{
    m->known = m->reading = m->repairing = m->creating = m->recreated = m->denied = false;
    m->error[0] = '\0';
}

void asq__redis_refresh_meta_after(struct asq__redis *r, int64_t ms)
{
    if (asq__now_ms_coarse() - r->meta.asked_ms > ms)
        asq__redis_refresh_meta(r);
}

void asq__redis_refresh_meta(struct asq__redis *r)
{
    if (r->up && !r->meta.reading) {
        r->meta.creating = false;
        asq__namespace_ask(r);
    }
}
