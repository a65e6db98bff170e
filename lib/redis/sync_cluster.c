/*
 * sync_cluster.c: see sync_cluster.h.
 */
#include <hiredis/hiredis.h>
#include <string.h>

#include "asqueue.h"
#include "redis/known_hosts.h"
#include "redis/refusal.h"
#include "redis/sync.h"
#include "redis/sync_cluster.h"
#include "redis/tls.h"
#include "redis/topology.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/error.h"

#define ASKING "asking %s:%d for the nodes of the Cluster: "

/* One opening under way. */
struct opening {
    const struct asq__url *url;
    const char *name;
    int64_t deadline_ms;
    int cancel_fd;
    char *err;
    size_t errlen;
};

int asq__sync_open_node(const struct asq__url *url, const struct asq__host *host, const char *name,
                        int64_t timeout_ms, int cancel_fd, struct asq__sync **ret, char *err,
                        size_t errlen)
{
    char why[ASQ__TLS_WHY];
    int rc = asq__sync_open_host(url, host, name, timeout_ms, cancel_fd, ret, why, sizeof why);
    return rc == 0 ? 0
                   : asq__err(err, errlen, rc, "node %s:%d of the Cluster: %s", host->name,
                              host->port, why);
}

/* Returns a part of the time that is left, at least 1 ms; ASQ_ECONN: none is. */
static int64_t share(const struct opening *o, unsigned parts)
{
    int64_t left = o->deadline_ms - asq__now_ms();
    if (left <= 0)
        return asq__err(o->err, o->errlen, ASQ_ECONN, "no answer within the timeout");
    return left > parts ? left / parts : 1;
}

/* Connects to a host that may tell the map, in a part of the time that is left. */
static int open_seed(const struct opening *o, const struct asq__host *host, unsigned parts,
                     struct asq__sync **ret)
{
    char why[ASQ__TLS_WHY];
    int64_t ms = share(o, parts);
    if (ms < 0)
        return (int) ms;
    int rc = asq__sync_open_host(o->url, host, o->name, ms, o->cancel_fd, ret, why, sizeof why);
    return rc == 0 ? 0 : asq__err(o->err, o->errlen, rc, ASKING "%s", host->name, host->port, why);
}

/* Asks a host for the map. */
static int ask(const struct opening *o, struct asq__sync *s, const struct asq__host *host,
               struct asq__topology *ret)
{
    struct asq__topology_view view = { o->url, host->name, host->port };
    redisReply *reply = asq__sync_cmd(s, "CLUSTER SHARDS");
    bool shards = reply && reply->type != REDIS_REPLY_ERROR;
    if (reply && !shards && !asq__reply_is_transient(reply)) {
        freeReplyObject(reply);
        reply = asq__sync_cmd(s, "CLUSTER SLOTS"); /* before Redis 7.0 */
    }
    int rc;
    if (!reply)
        rc = asq__err(o->err, o->errlen, ASQ_ECONN, ASKING "%s", host->name, host->port,
                      asq__sync_why(s));
    else if (reply->type == REDIS_REPLY_ERROR)
        rc = asq__err(o->err, o->errlen, asq__reply_is_transient(reply) ? ASQ_EBUSY : ASQ_EREDIS,
                      ASKING "%s", host->name, host->port, reply->str);
    else if (shards)
        rc = asq__topology_from_shards(&view, reply, ret, o->err, o->errlen);
    else
        rc = asq__topology_from_slots(&view, reply, ret, o->err, o->errlen);
    freeReplyObject(reply);
    if (rc == 0)
        asq__known_hosts_learn(o->url->known, ret);
    return rc;
}

/* Connects to the node with the slot, as this host says. parts: hosts that may be asked, with this
 * one. */
static int open_through(const struct opening *o, const struct asq__host *host, uint16_t slot,
                        unsigned parts, struct asq__sync **ret)
{
    struct asq__topology map;
    struct asq__sync *s = NULL;
    int rc = open_seed(o, host, parts + 1, &s);
    if (rc < 0)
        return rc;
    rc = ask(o, s, host, &map);
    if (rc < 0) {
        asq__sync_free(s);
        return rc;
    }
    const struct asq__topology_node *node =
        map.owner[slot] == ASQ__NO_NODE ? NULL : &map.nodes[map.owner[slot]];
    if (node && asq__host_is_same(&node->host, host)) {
        *ret = s;
        s = NULL;
    } else if (node && !node->fails) {
        int64_t ms = share(o, parts);
        rc = ms < 0 ? (int) ms
                    : asq__sync_open_node(o->url, &node->host, o->name, ms, o->cancel_fd, ret,
                                          o->err, o->errlen);
    } else {
        rc = asq__err(o->err, o->errlen, ASQ_EBUSY, "no node of the Cluster serves slot %d now",
                      slot);
    }
    asq__sync_free(s);
    asq__topology_release(&map);
    return rc;
}

/* Hosts of which any one may tell the map: the URL's, and behind these the nodes that were heard
 * of. */
struct hosts {
    struct asq__host first;
    const struct asq__hosts *others;
    struct asq__hosts known;
};

static bool is_given(const struct hosts *h, const struct asq__host *host)
{
    bool is = asq__host_is_same(host, &h->first);
    for (size_t i = 0; i < h->others->n && !is; i++)
        is = asq__host_is_same(host, &h->others->list[i]);
    return is;
}

/* Returns how many there are. */
static unsigned list_hosts(const struct asq__url *url, struct hosts *ret)
{
    *ret = (struct hosts){ { url->host, url->port }, &url->others, { NULL, 0 } };
    asq__known_hosts_copy(url->known, &ret->known); /* without memory: the URL's */
    size_t n = 0;
    for (size_t i = 0; i < ret->known.n; i++)
        if (is_given(ret, &ret->known.list[i]))
            asq__host_release(&ret->known.list[i]);
        else
            ret->known.list[n++] = ret->known.list[i];
    ret->known.n = n;
    return (unsigned) (1 + url->others.n + n);
}

static const struct asq__host *host_at(const struct hosts *h, unsigned at)
{
    if (at == 0)
        return &h->first;
    return at <= h->others->n ? &h->others->list[at - 1] : &h->known.list[at - 1 - h->others->n];
}

typedef int (*host_fn)(const struct opening *o, const struct asq__host *host, unsigned parts,
                       void *user);

/* Has hosts asked, beginning with any, until one has answered or would say the same as the others:
 * as many as the URL has, and MORE of those that were heard of. */
static int try_hosts(const struct opening *o, host_fn fn, void *user)
{
    enum { MORE = 3 };
    struct hosts hosts;
    unsigned n = list_hosts(o->url, &hosts), given = (unsigned) (1 + o->url->others.n);
    unsigned tries = n - given < MORE ? n : given + MORE, start = (unsigned) asq__now_ms() % n;
    int rc = ASQ_ECONN;
    for (unsigned i = 0; i < tries; i++) {
        rc = fn(o, host_at(&hosts, (start + i) % n), tries - i, user);
        if (rc == 0 || rc == ASQ_EAUTH || rc == ASQ_ENOMEM)
            break;
    }
    asq__hosts_release(&hosts.known);
    return rc;
}

struct wanted {
    uint16_t slot;
    struct asq__sync **ret;
};

static int open_slot(const struct opening *o, const struct asq__host *host, unsigned parts,
                     void *user)
{
    const struct wanted *w = user;
    return open_through(o, host, w->slot, parts, w->ret);
}

int asq__sync_open_slot(const struct asq__url *url, uint16_t slot, const char *name,
                        int64_t timeout_ms, int cancel_fd, struct asq__sync **ret, char *err,
                        size_t errlen)
{
    struct opening o = { url, name, asq__deadline_ms(timeout_ms), cancel_fd, err, errlen };
    struct wanted w = { slot, ret };
    if (!asq__url_is_cluster(url))
        return asq__sync_open(url, name, timeout_ms, cancel_fd, ret, err, errlen);
    int rc = try_hosts(&o, open_slot, &w);
    if (rc == 0)
        asq__sync_set_timeout(*ret, timeout_ms);
    return rc;
}

static int ask_host(const struct opening *o, const struct asq__host *host, unsigned parts,
                    void *user)
{
    struct asq__sync *s = NULL;
    int rc = open_seed(o, host, parts, &s);
    if (rc == 0)
        rc = ask(o, s, host, user);
    asq__sync_free(s);
    return rc;
}

int asq__sync_ask_topology(const struct asq__url *url, const char *name, int64_t timeout_ms,
                           struct asq__topology *ret, char *err, size_t errlen)
{
    struct opening o = { url, name, asq__deadline_ms(timeout_ms), -1, err, errlen };
    return try_hosts(&o, ask_host, ret);
}
