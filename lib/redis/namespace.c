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
#include "redis/url.h"
#include "value/decimal.h"

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
        asq__conn_cmd(r->home->conn, NULL, NULL, "HDEL", key, "format", "partitions", NULL);
    create_meta(r);
    return true;
}

enum { FIELD_FORMAT, FIELD_PARTITIONS, FIELD_STATE, FIELD_AT, FIELD_TO, FIELD_FROM, FIELDS };

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
    uint32_t before = r->meta.partitions;
    r->meta.partitions = partitions;
    r->meta.creating = false;
    bool moved = before && r->facts.mode.cluster != r->facts.was_cluster;
    r->facts.was_cluster = r->facts.mode.cluster;
    if (before && before != partitions)
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
    if (asq__redis_open_routes(r) < 0)
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
                           "move_state", "moved_at", "moved_to", "moved_from", NULL);
    r->meta.reading = rc == 0;
    return rc;
}

/* Sets each field of the meta hash that is missing. A namespace known before keeps its number of
 * partitions, so that its processes can go on. */
static void create_meta(struct asq__redis *r)
{
    char key[ASQ__KEY_MAX], format[16], partitions[16], created[32];
    uint32_t n = r->meta.partitions     ? r->meta.partitions
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

void asq__redis_refresh_meta(struct asq__redis *r)
{
    if (r->up && !r->meta.reading) {
        r->meta.creating = false;
        asq__namespace_ask(r);
    }
}
