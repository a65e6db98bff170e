/*
 * move_side.c: see move_side.h.
 */
#include "client/move_side.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/slots.h"
#include "redis/sync.h"
#include "value/error.h"
#include "value/pools.h"

enum { WRITES_AT_ONCE = 4096 };
#define BYTES_AT_ONCE ((size_t) 4 * 1024 * 1024)

int asq__side_fail(struct asq__side *side, int code, const char *fmt, ...)
{
    char why[1200];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return asq__err(side->err, side->errlen, code, "the %s, %s: %s", side->role, side->shown, why);
}

/* ---- opening ---- */

static int parse(struct asq__side *side, const char *url, const char *ns, const char *default_ns)
{
    int rc = asq__url_parse(url, &side->url, side->err, side->errlen);
    if (rc < 0)
        return rc;
    char *shown = asq__url_format(&side->url, true);
    if (!shown)
        return asq__err(side->err, side->errlen, ASQ_ENOMEM, "out of memory");
    snprintf(side->shown, sizeof side->shown, "%s", shown);
    free(shown);
    if (side->url.scheme != ASQ__URL_TCP && side->url.scheme != ASQ__URL_UNIX)
        return asq__side_fail(side, ASQ_EINVAL,
                              "the URL of a Redis or a Cluster is needed, because the deployment "
                              "of such a URL ends with its program");
    if (!ns)
        ns = side->url.ns ? side->url.ns : default_ns;
    return asq__keys_init(&side->keys, ns, side->err, side->errlen);
}

int asq__side_open(struct asq__side *side, const char *role, const char *url, const char *ns,
                   const char *default_ns, int64_t timeout_ms, char *err, size_t errlen)
{
    char why[900];
    *side = (struct asq__side){ .role = role, .err = err, .errlen = errlen };
    int rc = parse(side, url, ns, default_ns);
    if (rc == 0) {
        rc = asq__sync_nodes_open(&side->url, "asqueue-migrate", timeout_ms, &side->nodes, why,
                                  sizeof why);
        if (rc < 0)
            asq__side_fail(side, rc, "%s", why);
        else
            side->home = asq__sync_nodes_of(&side->nodes, asq__slot_of_namespace(&side->keys));
    }
    if (rc == 0 && !(side->writes = calloc(side->nodes.n, sizeof *side->writes)))
        rc = asq__side_fail(side, ASQ_ENOMEM, "out of memory");
    if (rc < 0)
        asq__side_close(side);
    return rc;
}

void asq__side_close(struct asq__side *side)
{
    asq__sync_nodes_release(&side->nodes);
    asq__url_release(&side->url);
    free(side->writes);
    free(side->meta.pools);
    *side = (struct asq__side){ 0 };
}

/* ---- commands ---- */

size_t asq__side_node_of(const struct asq__side *side, const char *key, size_t n)
{
    return asq__sync_nodes_of(&side->nodes, asq__slot_of_key(key, n));
}

int asq__side_append(struct asq__side *side, size_t node, const struct asq__cmd *cmd)
{
    struct asq__sync *s = side->nodes.list[node];
    int rc = asq__sync_append(s, cmd);
    return rc < 0 ? asq__side_fail(side, rc, "%s", asq__sync_why(s)) : 0;
}

int asq__side_refused(struct asq__side *side, const redisReply *reply)
{
    enum asq__refusal how = asq__reply_refusal(reply);
    const char *hint = "";
    if (asq__reply_is_denial(reply))
        hint = " (as-ctl acl mover prints the rights that are needed)";
    else if (how == ASQ__REFUSED_SLOT || asq__reply_is_error(reply, "MOVED"))
        hint = " (slots of the Cluster are being moved: wait for the end of that)";
    else if (asq__reply_is_error(reply, "READONLY"))
        hint = " (give the URL of its master)";
    return asq__side_fail(side,
                          how == ASQ__REFUSED_FOR_NOW || how == ASQ__REFUSED_SLOT ||
                                  how == ASQ__REFUSED_MEMORY
                              ? ASQ_EBUSY
                              : ASQ_EREDIS,
                          "Redis: %s%s", reply->str, hint);
}

int asq__side_reply_or_error(struct asq__side *side, size_t node, redisReply **ret)
{
    struct asq__sync *s = side->nodes.list[node];
    *ret = asq__sync_reply(s);
    return *ret ? 0 : asq__side_fail(side, ASQ_ECONN, "%s", asq__sync_why(s));
}

int asq__side_reply(struct asq__side *side, size_t node, redisReply **ret)
{
    redisReply *reply;
    *ret = NULL;
    int rc = asq__side_reply_or_error(side, node, &reply);
    if (rc < 0)
        return rc;
    if (reply->type == REDIS_REPLY_ERROR) {
        rc = asq__side_refused(side, reply);
        freeReplyObject(reply);
        return rc;
    }
    *ret = reply;
    return 0;
}

int asq__side_run(struct asq__side *side, size_t node, const struct asq__cmd *cmd, redisReply **ret)
{
    redisReply *reply;
    int rc = asq__side_append(side, node, cmd);
    if (rc == 0)
        rc = asq__side_reply(side, node, &reply);
    if (rc == 0 && ret)
        *ret = reply;
    else if (rc == 0)
        freeReplyObject(reply);
    return rc;
}

static int flush_node(struct asq__side *side, size_t node)
{
    struct asq__side_writes *w = &side->writes[node];
    redisReply *reply;
    for (; w->n; w->n--) {
        int rc = asq__side_reply(side, node, &reply);
        if (rc < 0)
            return rc;
        freeReplyObject(reply);
    }
    w->bytes = 0;
    return 0;
}

int asq__side_write(struct asq__side *side, size_t node, const struct asq__cmd *cmd)
{
    struct asq__side_writes *w = &side->writes[node];
    int rc = asq__side_append(side, node, cmd);
    if (rc < 0)
        return rc;
    w->n++;
    w->bytes += cmd->bytes.len;
    return w->n < WRITES_AT_ONCE && w->bytes < BYTES_AT_ONCE ? 0 : flush_node(side, node);
}

int asq__side_flush(struct asq__side *side)
{
    int rc = 0;
    for (size_t node = 0; rc == 0 && node < side->nodes.n; node++)
        rc = flush_node(side, node);
    return rc;
}

int asq__side_settle(struct asq__side *side)
{
    enum { SETTLE_MS = 2000 };
    return asq__sync_keep(side->nodes.list[side->home], SETTLE_MS);
}

/* ---- meta ---- */

static void take_field(struct asq__side_meta *m, const char *name, const char *value)
{
    const struct {
        const char *name;
        char *to;
        size_t size;
    } texts[] = {
        { "created", m->created, sizeof m->created }, { "move", m->move, sizeof m->move },
        { "move_state", m->state, sizeof m->state },  { "moved_at", m->at, sizeof m->at },
        { "moved_to", m->other, sizeof m->other },    { "moved_from", m->other, sizeof m->other },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(name, texts[i].name) == 0)
            snprintf(texts[i].to, texts[i].size, "%s", value);
    if (strcmp(name, "format") == 0)
        m->format = (uint32_t) strtoul(value, NULL, 10);
    if (strcmp(name, "partitions") == 0)
        m->own = (uint32_t) strtoul(value, NULL, 10);
    if (strcmp(name, "pools") == 0)
        m->pools = strdup(value);
}

static void forget_meta(struct asq__side *side)
{
    free(side->meta.pools);
    side->meta = (struct asq__side_meta){ 0 };
}

/* Counts the partitions of all pools. */
static int count_partitions(struct asq__side *side)
{
    struct asq__side_meta *m = &side->meta;
    struct asq__pools *pools;
    char why[300];
    if (!m->own || m->own > ASQ__MAX_PARTITIONS)
        return 0;
    int rc = asq__pools_read(m->own, m->pools ? m->pools : "", &pools, why, sizeof why);
    if (rc < 0)
        return asq__side_fail(side, rc, "field pools of asq:{%s}:meta: %s", side->keys.ns, why);
    m->partitions = pools->partitions;
    free(pools);
    return 0;
}

int asq__side_read_meta(struct asq__side *side)
{
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    redisReply *reply = NULL;
    asq__keys_meta(&side->keys, key);
    asq__cmd_init(&cmd);
    asq__cmd_puts(&cmd, "HGETALL");
    asq__cmd_puts(&cmd, key);
    int rc = asq__side_run(side, side->home, &cmd, &reply);
    asq__cmd_release(&cmd);
    if (rc < 0)
        return rc;
    forget_meta(side);
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i + 1 < reply->elements; i += 2) {
        side->meta.there = true;
        take_field(&side->meta, reply->element[i]->str, reply->element[i + 1]->str);
    }
    freeReplyObject(reply);
    return count_partitions(side);
}

int asq__side_mark(struct asq__side *side, const char *id, const char *state, size_t n,
                   const char *const *fields)
{
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    redisReply *reply = NULL;
    asq__keys_meta(&side->keys, key);
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_move_mark, 1);
    asq__cmd_puts(&cmd, key);
    asq__cmd_puts(&cmd, id);
    asq__cmd_puts(&cmd, state);
    for (size_t i = 0; i < 2 * n; i++)
        asq__cmd_puts(&cmd, fields[i]);
    int rc = asq__side_run(side, side->home, &cmd, &reply);
    asq__cmd_release(&cmd);
    if (rc < 0)
        return rc;
    rc = reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
         asq__reply_is(reply->element[0], id) && asq__reply_is(reply->element[1], state);
    freeReplyObject(reply);
    return rc;
}

int asq__side_lock(struct asq__side *side, const char *token, int64_t ttl_ms, const char *id,
                   const char *state)
{
    char moving[ASQ__KEY_MAX], meta[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    redisReply *reply = NULL;
    asq__keys_moving(&side->keys, moving);
    asq__keys_meta(&side->keys, meta);
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_move_lock, 2);
    asq__cmd_puts(&cmd, moving);
    asq__cmd_puts(&cmd, meta);
    asq__cmd_puts(&cmd, token);
    asq__cmd_number(&cmd, (uint64_t) ttl_ms);
    asq__cmd_puts(&cmd, id);
    asq__cmd_puts(&cmd, state);
    int rc = asq__side_run(side, side->home, &cmd, &reply);
    asq__cmd_release(&cmd);
    if (rc < 0)
        return rc;
    long long left = reply->type == REDIS_REPLY_INTEGER ? reply->integer : -1;
    freeReplyObject(reply);
    if (left < 0)
        return asq__side_fail(side, ASQ_ECANCELED,
                              "another as-ctl migrate has ended this move meanwhile");
    return left > INT32_MAX ? INT32_MAX : (int) left;
}

/* ---- seals ---- */

/* Runs a script for each partition with these keys of it. */
static int each_partition(struct asq__side *side, const char *script, size_t nkeys,
                          const char *argument)
{
    static size_t (*const keys[])(const struct asq__keys *, uint32_t,
                                  char *) = { asq__keys_jobs, asq__keys_jobs_moved,
                                              asq__keys_lease };
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    int rc = 0;
    asq__cmd_init(&cmd);
    for (uint32_t p = 0; rc == 0 && p < side->meta.partitions; p++) {
        asq__cmd_reset(&cmd);
        asq__script_eval(&cmd, script, nkeys);
        size_t n = asq__keys_jobs(&side->keys, p, key);
        size_t node = asq__side_node_of(side, key, n);
        for (size_t i = 0; i < nkeys; i++) {
            keys[i](&side->keys, p, key);
            asq__cmd_puts(&cmd, key);
        }
        if (argument)
            asq__cmd_puts(&cmd, argument);
        rc = asq__side_write(side, node, &cmd);
    }
    asq__cmd_release(&cmd);
    return rc < 0 ? rc : asq__side_flush(side);
}

int asq__side_seal(struct asq__side *side, const char *seal)
{
    return each_partition(side, asq__script_move_seal, 3, seal);
}

int asq__side_unseal(struct asq__side *side)
{
    return each_partition(side, asq__script_move_unseal, 2, NULL);
}
