/*
 * server_facts.c: what the home server is and allows: mode, version, clock, eviction policy,
 * longest string; and which commands a worker may run. See redis_state.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/limit.h"
#include "redis/permit.h"
#include "redis/redis_clock.h"
#include "redis/redis_state.h"
#include "redis/refusal.h"
#include "redis/server_mode.h"
#include "redis/topology.h"
#include "redis/url.h"
#include "value/clock.h"

const char *asq__redis_eviction_policy(const struct asq__redis *r)
{
    return r->facts.policy;
}

unsigned asq__redis_lack(const struct asq__redis *r, const char **ret_names)
{
    if (ret_names)
        *ret_names = r->facts.lacking;
    return r->facts.lack;
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
    char version[32] = "", mode[16], why[ASQ__SERVER_MODE_WHY];
    (void) c;
    if (!reply || reply->type != REDIS_REPLY_STRING)
        return; /* an ACL may forbid INFO; a missing command shows when it is used */
    if (info_field(reply->str, "redis_mode", mode, sizeof mode))
        asq__server_mode_take_info(&r->facts.mode, mode);
    if (info_field(reply->str, "redis_version", version, sizeof version) &&
        !asq__server_mode_fits(r->facts.mode.cluster, version, why))
        asq__redis_reject(r, ASQ_EVERSION, why);
}

static void on_memory(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    r->facts.policy[0] = '\0';
    if (reply && reply->type == REDIS_REPLY_STRING)
        info_field(reply->str, "maxmemory_policy", r->facts.policy, sizeof r->facts.policy);
}

const struct asq__redis_clock *asq__redis_clock(const struct asq__redis *r)
{
    return &r->facts.clock;
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
        set_ms = asq__redis_clock_take(&r->facts.clock, redis_ms, asked_ms, asq__now_ms());
    } else {
        r->facts.clock.asked_ms = asked_ms; /* an ACL forbids TIME: do not wait for a sample */
    }
    if (r->config.time)
        r->config.time(r, set_ms, r->config.user);
}

static void on_time(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    r->facts.asking_time = false;
    asq__redis_take_time(r, reply, r->facts.time_asked_ms);
}

void asq__redis_ask_time(struct asq__redis *r)
{
    if (r->facts.asking_time)
        return;
    r->facts.time_asked_ms = asq__now_ms();
    r->facts.asking_time = asq__conn_cmd(r->home->conn, on_time, r, "TIME", NULL) == 0;
}

static void on_limit(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    (void) c;
    asq__limit_take(&r->facts.limit,
                    reply); /* after a denial, the limit is learned from refusals */
}

size_t asq__redis_max_string(const struct asq__redis *r)
{
    return asq__limit_bytes(&r->facts.limit);
}

void asq__redis_refused_string(struct asq__redis *r, size_t n)
{
    asq__limit_refused(&r->facts.limit, n, asq__now_ms());
}

void asq__redis_expire_limit(struct asq__redis *r)
{
    asq__limit_expire(&r->facts.limit, asq__now_ms());
}

void asq__redis_ask_policy(struct asq__redis *r)
{
    if (r->up)
        asq__conn_cmd(r->home->conn, on_memory, r, "INFO", "memory", NULL);
}

/* ---- what a worker may do ---- */

static void on_permit(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    struct asq__server_facts *f = &r->facts;
    char names[sizeof f->lacking];
    if (f->asked) /* else they are tried anew since */
        f->asked--;
    if (!reply)
        return;
    if (asq__reply_is_transient(reply)) {
        f->tried_first++; /* the slot may be on its way to another node */
        asq__conn_fail(c, ASQ_EBUSY, reply->str);
        return;
    }
    struct asq__cluster_node *node = asq__redis_node_with(r, c);
    if (!*f->denied)
        asq__permit_refusal(reply, r->keys.ns, f->denied, sizeof f->denied);
    if (node)
        node->permitted = !*f->denied;
    f->lack |= asq__permit_lack(reply, names, sizeof names);
    if (*names)
        memcpy(f->lacking, names, sizeof names);
    f->permitted = f->asked == 0 && !*f->denied;
    asq__redis_check_up(r);
}

void asq__server_facts_try(struct asq__redis *r)
{
    struct asq__server_facts *f = &r->facts;
    /* All partitions of a single server are alike, and their number is not needed. */
    uint32_t n = r->cluster ? r->meta.partitions : 1;
    bool asked[ASQ__NODES_MAX] = { false }; /* by index; a single server has 0 */
    if (f->asked)
        return;
    f->lack = 0;
    f->lacking[0] = '\0';
    for (uint32_t i = 0; i < n; i++) {
        uint32_t p = (f->tried_first + i) % n;
        const struct asq__cluster_node *node = asq__redis_node(r, p);
        if (asked[node->index])
            continue;
        asked[node->index] = true;
        if (asq__permit_ask(node->conn, &r->keys, p, f->mode.cluster, on_permit, r) < 0) {
            asq__conn_drop(node->conn, "out of memory");
            return;
        }
        f->asked++;
    }
}

static void on_permit_at(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    struct asq__cluster_node *node = asq__redis_node_with(r, c);
    char denied[sizeof r->facts.denied] = "", names[sizeof r->facts.lacking];
    if (!reply || !node)
        return;
    node->trying = false;
    if (asq__reply_is_transient(reply)) {
        asq__conn_fail(c, ASQ_EBUSY, reply->str);
        return;
    }
    asq__permit_refusal(reply, r->keys.ns, denied, sizeof denied);
    if (*denied) { /* tried again on the next connection, with backoff */
        asq__conn_fail(c, ASQ_EREDIS, denied);
        return;
    }
    node->permitted = true;
    r->facts.lack |= asq__permit_lack(reply, names, sizeof names);
    if (*names)
        memcpy(r->facts.lacking, names, sizeof names);
    asq__redis_find_later(r);
}

void asq__server_facts_try_at(struct asq__redis *r, struct asq__cluster_node *node,
                              uint32_t partition)
{
    if (node->trying)
        return;
    node->trying = true;
    if (asq__permit_ask(node->conn, &r->keys, partition, r->facts.mode.cluster, on_permit_at, r) <
        0)
        asq__conn_drop(node->conn, "out of memory");
}

/* The commands to try depend on the mode. */
static void try_or_go_on(struct asq__redis *r)
{
    if (r->config.serves && !r->cluster)
        asq__server_facts_try(r);
    else
        asq__redis_check_up(r);
}

static bool has_several_owners(const struct asq__topology *map)
{
    uint16_t first = ASQ__NO_NODE;
    for (unsigned i = 0; i < ASQ__SLOTS; i++)
        if (map->owner[i] != ASQ__NO_NODE && first == ASQ__NO_NODE)
            first = map->owner[i];
        else if (map->owner[i] != ASQ__NO_NODE && map->owner[i] != first)
            return true;
    return false;
}

/* Without an answer, commands go to the one host until one is refused because of its slot. */
static void on_nodes(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__redis *r = user;
    const struct asq__url *url = r->config.url;
    struct asq__topology_view view = { url, url->host, url->port };
    struct asq__topology map;
    char why[200];
    (void) c;
    r->facts.asking_nodes = false;
    if (!reply)
        return;
    bool several = false;
    if (asq__topology_from_slots(&view, reply, &map, why, sizeof why) == 0) {
        several = has_several_owners(&map);
        asq__topology_release(&map);
    }
    if (!several || !asq__redis_join(r))
        try_or_go_on(r);
}

static void mode_known(void *user)
{
    struct asq__redis *r = user;
    if (r->facts.mode.cluster && !r->cluster && r->config.url->in_cluster)
        r->facts.asking_nodes =
            asq__conn_cmd(r->home->conn, on_nodes, r, "CLUSTER", "SLOTS", NULL) == 0;
    if (!r->facts.asking_nodes)
        try_or_go_on(r);
}

void asq__server_facts_init(struct asq__redis *r)
{
    r->facts.mode.on_known = mode_known;
    r->facts.mode.user = r;
}

int asq__server_facts_ask(struct asq__redis *r)
{
    struct asq__conn *c = r->home->conn;
    const struct asq__url *url = r->config.url;
    r->facts.permitted = !r->config.serves;
    r->facts.denied[0] = '\0';
    r->facts.asked = 0;
    r->facts.asking_nodes = false;
    int rc = asq__server_mode_ask(&r->facts.mode, c);
    rc |= asq__conn_cmd(c, on_info, r, "INFO", "server", NULL);
    rc |= asq__conn_cmd(c, on_memory, r, "INFO", "memory", NULL);
    asq__redis_ask_time(r);
    /* A user with a name has rules, which rightly leave out CONFIG, because CONFIG GET tells
     * passwords. */
    if (!url->user || strcmp(url->user, "default") == 0)
        rc |= asq__conn_cmd(c, on_limit, r, "CONFIG", "GET", "proto-max-bulk-len", NULL);
    return rc;
}
