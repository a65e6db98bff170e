/*
 * server_mode.c: see server_mode.h.
 */
#include <stdio.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/refusal.h"
#include "redis/server_mode.h"

static void found(struct asq__server_mode *m, bool cluster)
{
    if (m->known)
        return;
    m->cluster = cluster;
    m->known = true;
    m->on_known(m->user);
}

/* The reply has names and values by turns. */
const char *asq__hello_field(const redisReply *reply, const char *name)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return NULL;
    for (size_t i = 0; i + 1 < reply->elements; i += 2)
        if (asq__reply_is(reply->element[i], name) &&
            reply->element[i + 1]->type == REDIS_REPLY_STRING)
            return reply->element[i + 1]->str;
    return NULL;
}

static void on_cluster_info(struct asq__conn *c, const redisReply *reply, void *user)
{
    (void) c;
    if (reply)
        found(user, reply->type == REDIS_REPLY_STRING && strstr(reply->str, "cluster_state:"));
}

static void on_hello(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__server_mode *m = user;
    const char *mode = reply ? asq__hello_field(reply, "mode") : NULL;
    if (mode)
        found(m, strcmp(mode, "cluster") == 0);
    else if (reply && asq__conn_cmd(c, on_cluster_info, m, "CLUSTER", "INFO", NULL) < 0)
        asq__conn_drop(c, "out of memory");
}

int asq__server_mode_ask(struct asq__server_mode *m, struct asq__conn *c)
{
    m->known = false;
    return asq__conn_cmd(c, on_hello, m, "HELLO", NULL);
}

void asq__server_mode_take_info(struct asq__server_mode *m, const char *redis_mode)
{
    found(m, strcmp(redis_mode, "cluster") == 0);
}

bool asq__server_mode_fits(bool cluster, const char *version, char why[ASQ__SERVER_MODE_WHY])
{
    int major = 0, minor = 0;
    if (sscanf(version, "%d.%d", &major, &minor) != 2)
        return true;
    if (major < 6 || (major == 6 && minor < 2)) {
        snprintf(why, ASQ__SERVER_MODE_WHY,
                 "this is Redis %s; asqueue needs 6.2 or newer, or Valkey", version);
        return false;
    }
    if (cluster && major < 7) {
        snprintf(why, ASQ__SERVER_MODE_WHY,
                 "this is a Cluster of Redis %s; asqueue needs 7.0 or newer for a Cluster, or "
                 "Valkey",
                 version);
        return false;
    }
    return true;
}
