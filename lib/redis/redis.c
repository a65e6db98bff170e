/*
 * redis.c: see redis.h. One server: a connection for commands and one that subscribes.
 *
 * Coming up: the command connection loads the scripts, checks the server's version, and makes or
 * reads the namespace's meta hash; the subscriber waits for the reply to SUBSCRIBE. When both are
 * ready, `up`. Losing either connection takes the deployment down until both are back. Pushes in
 * between are missed, and their receivers query the results.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/limit.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/error.h"

enum { REPLY_TIMEOUT_MS = 30000 };

struct asq__redis {
    struct asq__redis_config config;
    struct asq__keys keys;
    struct asq__conn *cmd, *sub;
    struct asq__script_cache scripts;
    char *channels[2]; /* full names */
    int subscribed, wanted;
    struct asq__redis_clock clock;
    int64_t time_asked_ms;
    bool asking_time;
    bool meta_known;
    bool permitted;    /* every command that a worker needs was tried */
    char denied[1000]; /* refused commands that a worker needs; "": none */
    unsigned lack;     /* flags of asq__lack */
    char lacking[400];
    bool reading_meta; /* a read of the meta hash is under way */
    bool creating;     /* the meta hash was made since the last read */
    bool recreated;    /* the meta hash was gone, and exists again */
    bool repairing;    /* the meta hash was invalid, and is being restored */
    bool up;
    uint32_t partitions;
    char policy[32];
    char meta_error[200];    /* error of making the meta hash */
    bool meta_denied;        /* why the meta key cannot be made: this user may not */
    bool dropping;           /* dropping the subscriber after the loss of the command connection */
    struct asq__limit limit; /* of strings */
};

const char *asq__redis_eviction_policy(const struct asq__redis *r)
{
    return r->policy;
}

bool asq__redis_is_up(const struct asq__redis *r)
{
    return r->up;
}

unsigned asq__redis_lack(const struct asq__redis *r, const char **ret_names)
{
    if (ret_names)
        *ret_names = r->lacking;
    return r->lack;
}

struct asq__conn *asq__redis_conn(struct asq__redis *r, uint32_t partition)
{
    (void) partition;
    return r->cmd;
}

struct asq__script_cache *asq__redis_scripts(struct asq__redis *r, uint32_t partition)
{
    (void) partition;
    return &r->scripts;
}

const struct asq__keys *asq__redis_keys(const struct asq__redis *r)
{
    return &r->keys;
}

const struct asq__url *asq__redis_url(const struct asq__redis *r)
{
    return r->config.url;
}

struct ev_loop *asq__redis_loop(const struct asq__redis *r)
{
    return r->config.loop;
}

uint32_t asq__redis_partitions(const struct asq__redis *r)
{
    return r->partitions;
}

/* ---- coming up ---- */

static void reject_server(struct asq__redis *r, int code, const char *why);

static void check_up(struct asq__redis *r)
{
    if (r->up || !r->meta_known || !asq__conn_is_up(r->cmd))
        return;
    if (*r->denied) { /* refused only after the namespace exists, so that clients can make calls */
        reject_server(r, ASQ_EREDIS, r->denied);
        return;
    }
    if (!r->permitted || r->subscribed < r->wanted)
        return;
    r->up = true;
    r->config.up(r, r->config.user);
}

static void went_down(struct asq__redis *r, int code, const char *why)
{
    r->up = false;
    r->config.down(r, code, why, r->config.user);
}

/* Fails because of a fact about the server or the namespace that an operator has to change. The
 * fact is checked again on the next connection, with backoff. */
static void reject_server(struct asq__redis *r, int code, const char *why)
{
    asq__conn_fail(r->cmd, code, why);
}

static bool info_field(const char *info, const char *name, char *out, size_t size)
{
    const char *at = info;
    size_t n = strlen(name);
    while ((at = strstr(at, name))) {
        if ((at == info || at[-1] == '\n') && at[n] == ':') {
            const char *from = at + n + 1;
            size_t len = strcspn(from, "\r\n");
            if (len >= size)
                len = size - 1;
            memcpy(out, from, len);
            out[len] = '\0';
            return true;
        }
        at += n;
    }
    return false;
}

static void on_info(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    char version[32] = "";
    int major = 0, minor = 0;
    (void) c;
    if (!reply || reply->type != REDIS_REPLY_STRING)
        return; /* an ACL may forbid INFO; a missing command shows when it is used */
    if (info_field(reply->str, "redis_version", version, sizeof version) &&
        sscanf(version, "%d.%d", &major, &minor) == 2 && (major < 6 || (major == 6 && minor < 2))) {
        char why[160];
        snprintf(why, sizeof why, "this is Redis %s; asqueue needs 6.2 or newer, or Valkey",
                 version);
        reject_server(r, ASQ_EVERSION, why);
    }
}

static void on_memory(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    r->policy[0] = '\0';
    if (reply && reply->type == REDIS_REPLY_STRING)
        info_field(reply->str, "maxmemory_policy", r->policy, sizeof r->policy);
}

const struct asq__redis_clock *asq__redis_clock(const struct asq__redis *r)
{
    return &r->clock;
}

void asq__redis_take_time(struct asq__redis *r, const redisReply *reply, int64_t asked_ms)
{
    int64_t set_ms = 0;
    if (!reply)
        return;
    if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
        reply->element[0]->type == REDIS_REPLY_STRING &&
        reply->element[1]->type == REDIS_REPLY_STRING) {
        int64_t redis_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 +
                           strtoll(reply->element[1]->str, NULL, 10) / 1000;
        set_ms = asq__redis_clock_take(&r->clock, redis_ms, asked_ms, asq__now_ms());
    } else {
        r->clock.asked_ms = asked_ms; /* an ACL forbids TIME: do not wait for a sample */
    }
    if (r->config.time)
        r->config.time(r, set_ms, r->config.user);
}

static void on_time(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    r->asking_time = false;
    asq__redis_take_time(r, reply, r->time_asked_ms);
}

void asq__redis_ask_time(struct asq__redis *r)
{
    if (r->asking_time)
        return;
    r->time_asked_ms = asq__now_ms();
    r->asking_time = asq__conn_cmd(r->cmd, on_time, r, "TIME", NULL) == 0;
}

static void on_limit(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    asq__limit_take(&r->limit, reply); /* after a denial, the limit is learned from refusals */
}

size_t asq__redis_max_string(const struct asq__redis *r)
{
    return asq__limit_bytes(&r->limit);
}

void asq__redis_refused_string(struct asq__redis *r, size_t n)
{
    asq__limit_refused(&r->limit, n, asq__now_ms());
}

void asq__redis_expire_limit(struct asq__redis *r)
{
    asq__limit_expire(&r->limit, asq__now_ms());
}

void asq__redis_ask_policy(struct asq__redis *r)
{
    if (r->up)
        asq__conn_cmd(r->cmd, on_memory, r, "INFO", "memory", NULL);
}

/* ---- the namespace's meta hash ---- */

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
    if (!r->partitions || r->repairing)
        return false;
    r->repairing = true;
    asq__keys_meta(&r->keys, key);
    snprintf(aside, sizeof aside, "%s:aside", key);
    if (wrong_type)
        asq__conn_cmd(r->cmd, NULL, NULL, "RENAME", key, aside, NULL);
    else
        asq__conn_cmd(r->cmd, NULL, NULL, "HDEL", key, "format", "partitions", NULL);
    create_meta(r);
    return true;
}

static void on_meta(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    char why[400];
    r->reading_meta = false;
    if (!reply)
        return;
    if (asq__reply_is_transient(reply)) {
        asq__conn_fail(c, ASQ_EBUSY, reply->str);
        return;
    }
    if (reply->type == REDIS_REPLY_ERROR) {
        if (asq__reply_is_error(reply, "WRONGTYPE") && repair_meta(r, true))
            return;
        snprintf(why, sizeof why, "reading asq:{%s}:meta: %s%s", r->config.ns, reply->str,
                 asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
        reject_server(r, ASQ_EREDIS, why);
        return;
    }
    bool whole = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
                 reply->element[0]->type == REDIS_REPLY_STRING &&
                 reply->element[1]->type == REDIS_REPLY_STRING;
    if (!whole && is_dotted(r) && !r->partitions) {
        snprintf(why, sizeof why,
                 "there is no namespace '%s', and names of new namespaces have no dots, because "
                 "patterns for the keys of '%.*s' would reach them",
                 r->config.ns, (int) strcspn(r->config.ns, "."), r->config.ns);
        reject_server(r, ASQ_EINVAL, why);
        return;
    }
    if (!whole && !r->creating) { /* a new namespace, or the hash is gone */
        create_meta(r);
        return;
    }
    if (!whole && r->meta_denied) {
        snprintf(why, sizeof why,
                 "there is no namespace '%s', and this user may not make it; start a worker, which "
                 "makes it (%s)",
                 r->config.ns, r->meta_error);
        reject_server(r, ASQ_EREDIS, why);
        return;
    }
    if (!whole) {
        snprintf(why, sizeof why, "asq:{%s}:meta cannot be made: %s", r->config.ns,
                 *r->meta_error ? r->meta_error : "this Redis may be a read-only replica");
        reject_server(r, ASQ_EREDIS, why);
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
        reject_server(r, ASQ_EVERSION, why);
        return;
    }
    if (!partitions) {
        snprintf(why, sizeof why, "asq:{%s}:meta says %.40s partitions; 1 to %u are allowed",
                 r->config.ns, reply->element[1]->str, ASQ__MAX_PARTITIONS);
        reject_server(r, ASQ_EPROTO, why);
        return;
    }
    uint32_t before = r->partitions;
    r->partitions = partitions;
    r->meta_known = true;
    r->creating = false;
    if (before && before != partitions)
        announce(r, ASQ__NAMESPACE_CHANGED, before);
    else if (r->repairing)
        announce(r, ASQ__NAMESPACE_REPAIRED, before);
    else if (r->recreated)
        announce(r, ASQ__NAMESPACE_RECREATED, before);
    else if (!before && is_dotted(r))
        announce(r, ASQ__NAMESPACE_DOTTED, before);
    r->repairing = r->recreated = false;
    check_up(r);
}

static void on_permit(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    if (!reply)
        return;
    if (asq__reply_is_transient(reply)) {
        asq__conn_fail(c, ASQ_EBUSY, reply->str);
        return;
    }
    asq__permit_refusal(reply, r->keys.ns, r->denied, sizeof r->denied);
    r->lack = asq__permit_lack(reply, r->lacking, sizeof r->lacking);
    r->permitted = !*r->denied;
    check_up(r);
}

static void on_meta_set(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    if (asq__reply_is_transient(reply))
        asq__conn_fail(c, ASQ_EBUSY, reply->str);
    else if (asq__reply_is_error(reply, NULL)) { /* no failure if another process has made it */
        snprintf(r->meta_error, sizeof r->meta_error, "%s", reply->str);
        r->meta_denied = asq__reply_is_denial(reply);
    }
}

static void on_partitions_set(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    if (reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1 && r->partitions)
        r->recreated = true;
    on_meta_set(c, reply, user);
}

static void ask_meta(struct asq__redis *r)
{
    char key[ASQ__KEY_MAX];
    asq__keys_meta(&r->keys, key);
    r->reading_meta =
        asq__conn_cmd(r->cmd, on_meta, r, "HMGET", key, "format", "partitions", NULL) == 0;
}

/* Sets each field of the meta hash that is missing. A namespace known before keeps its number of
 * partitions, so that its processes can go on. */
static void create_meta(struct asq__redis *r)
{
    char key[ASQ__KEY_MAX], format[16], partitions[16], created[32];
    uint32_t n = r->partitions          ? r->partitions
                 : r->config.partitions ? r->config.partitions
                                        : ASQ__DEFAULT_PARTITIONS;
    if (is_dotted(r) && !r->partitions) { /* may be opened, but not created */
        ask_meta(r);
        return;
    }
    r->creating = true;
    asq__keys_meta(&r->keys, key);
    snprintf(format, sizeof format, "%d", ASQ__FORMAT_VERSION);
    snprintf(partitions, sizeof partitions, "%u", n);
    snprintf(created, sizeof created, "%lld", (long long) time(NULL));
    asq__conn_cmd(r->cmd, on_meta_set, r, "HSETNX", key, "format", format, NULL);
    asq__conn_cmd(r->cmd, on_partitions_set, r, "HSETNX", key, "partitions", partitions, NULL);
    asq__conn_cmd(r->cmd, on_meta_set, r, "HSETNX", key, "created", created, NULL);
    ask_meta(r);
    if (!r->reading_meta)
        asq__conn_drop(r->cmd, "out of memory");
}

void asq__redis_refresh_meta(struct asq__redis *r)
{
    if (r->up && !r->reading_meta) {
        r->creating = false;
        ask_meta(r);
    }
}

void asq__redis_reload_scripts(struct asq__redis *r, uint32_t partition)
{
    (void) partition;
    asq__scripts_load(r->cmd, &r->scripts);
}

/* ---- coming up ---- */

static void cmd_up(struct asq__conn *c, void *user)
{
    struct asq__redis *r = user;
    r->meta_known = r->reading_meta = r->repairing = r->creating = r->recreated = false;
    r->permitted = !r->config.serves;
    r->denied[0] = '\0';
    r->meta_error[0] = '\0';
    r->meta_denied = false;
    int rc = asq__conn_cmd(c, on_info, r, "INFO", "server", NULL);
    rc |= asq__conn_cmd(c, on_memory, r, "INFO", "memory", NULL);
    asq__redis_ask_time(r);
    /* A user with a name has rules, which rightly leave out CONFIG, because CONFIG GET tells
     * passwords. */
    if (!r->config.url->user || strcmp(r->config.url->user, "default") == 0)
        rc |= asq__conn_cmd(c, on_limit, r, "CONFIG", "GET", "proto-max-bulk-len", NULL);
    if (r->config.serves) {
        rc |= asq__scripts_load(c, &r->scripts);
        rc |= asq__permit_ask(c, &r->keys, on_permit, r);
    }
    ask_meta(r); /* first, because clients may only read it */
    if (rc < 0 || !r->reading_meta)
        asq__conn_drop(c, "out of memory");
}

static void cmd_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    r->meta_known = false;
    went_down(r, code, why);
    if (!r->sub)
        return;
    r->dropping = true; /* the address may now lead to another server */
    asq__conn_drop(r->sub, "the command connection is lost");
    r->dropping = false;
}

static void on_subscribe_sent(struct asq__redis *r)
{
    r->subscribed = 0;
    r->wanted = 0;
    for (int i = 0; i < 2; i++) {
        if (!r->channels[i])
            continue;
        r->wanted++;
        if (asq__conn_cmd(r->sub, NULL, NULL, "SUBSCRIBE", r->channels[i], NULL) < 0) {
            asq__conn_drop(r->sub, "out of memory");
            return;
        }
    }
}

static void sub_up(struct asq__conn *c, void *user)
{
    (void) c;
    on_subscribe_sent(user);
}

static void sub_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    r->subscribed = 0;
    if (!r->dropping)
        went_down(r, code, why);
}

static void sub_push(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    if (reply->type == REDIS_REPLY_ERROR) {
        char why[400];
        snprintf(why, sizeof why, "subscribing to %s: %s%s", r->channels[0] ? r->channels[0] : "",
                 reply->str, asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
        asq__conn_fail(c, asq__reply_is_transient(reply) ? ASQ_EBUSY : ASQ_EREDIS, why);
        return;
    }
    if ((reply->type != REDIS_REPLY_ARRAY
#ifdef REDIS_REPLY_PUSH
         && reply->type != REDIS_REPLY_PUSH
#endif
         ) ||
        reply->elements != 3 || reply->element[0]->type != REDIS_REPLY_STRING)
        return;
    const char *kind = reply->element[0]->str;
    const redisReply *channel = reply->element[1], *payload = reply->element[2];
    if (strcmp(kind, "subscribe") == 0) {
        r->subscribed++;
        check_up(r);
    } else if (strcmp(kind, "message") == 0 && channel->type == REDIS_REPLY_STRING &&
               payload->type == REDIS_REPLY_STRING) {
        for (int i = 0; i < 2; i++)
            if (r->channels[i] && strcmp(channel->str, r->channels[i]) == 0) {
                r->config.push(r, i, payload->str, (size_t) payload->len, r->config.user);
                break;
            }
    }
}

/* ---- life ---- */

int asq__redis_new(const struct asq__redis_config *config, struct asq__redis **ret, char *err,
                   size_t errlen)
{
    struct asq__redis *r = calloc(1, sizeof *r);
    if (!r)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    r->config = *config;
    r->wanted = 1; /* prevents `up` before the subscriber has connected */
    int rc = asq__keys_init(&r->keys, config->ns, err, errlen);
    if (rc < 0)
        goto fail;
    r->config.ns = r->keys.ns;
    int channels = 0;
    for (int i = 0; i < 2; i++) {
        char name[ASQ__KEY_MAX];
        if (!config->channels[i])
            continue;
        asq__keys_channel(&r->keys, config->channels[i], name);
        r->channels[i] = strdup(name);
        if (!r->channels[i]) {
            rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
            goto fail;
        }
        channels++;
    }
    struct asq__conn_config cc = {
        .loop = config->loop,
        .url = config->url,
        .name = config->name,
        .once = config->once,
        .connect_timeout_ms = config->connect_timeout_ms,
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .up = cmd_up,
        .down = cmd_down,
        .user = r,
    };
    rc = asq__conn_new(&cc, &r->cmd);
    if (rc == 0 && channels) {
        cc.subscriber = true;
        cc.up = sub_up;
        cc.down = sub_down;
        cc.push = sub_push;
        rc = asq__conn_new(&cc, &r->sub);
    } else {
        r->wanted = 0;
    }
    if (rc < 0) {
        asq__err(err, errlen, rc, "out of memory");
        goto fail;
    }
    *ret = r;
    return 0;
fail:
    asq__redis_free(r);
    return rc;
}

void asq__redis_free(struct asq__redis *r)
{
    if (!r)
        return;
    r->up = false;
    asq__conn_free(r->cmd);
    asq__conn_free(r->sub);
    free(r->channels[0]);
    free(r->channels[1]);
    free(r);
}

void asq__redis_set_loop(struct asq__redis *r, struct ev_loop *loop)
{
    r->config.loop = loop;
    asq__conn_set_loop(r->cmd, loop);
    if (r->sub)
        asq__conn_set_loop(r->sub, loop);
}

void asq__redis_give_up(struct asq__redis *r)
{
    asq__conn_give_up(r->cmd);
    if (r->sub)
        asq__conn_give_up(r->sub);
}

void asq__redis_drop(struct asq__redis *r, const char *why)
{
    asq__conn_drop(r->cmd, why);
}
