/*
 * route.c: see route.h.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "asqueue.h"
#include "redis/link.h"
#include "redis/route.h"
#include "redis/sentinel_lookup.h"
#include "redis/sentinels.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/error.h"

void asq__route_init(struct asq__route *r, struct asq__link *link)
{
    memset(r, 0, sizeof *r);
    r->link = link;
}

/* Refuses an open link to another machine, when only this one may be meant. */
static int check_place(struct asq__route *r, int rc)
{
    struct asq__link *l = r->link;
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    char name[ASQ__ROUTE_NAME];
    if (rc <= 0 || !l->url->sentinels || !asq__sentinels_are_kept_local(l->url->sentinels))
        return rc;
    if (getpeername(l->fd, (void *) &peer, &n) == 0 && asq__address_is_local((const void *) &peer))
        return rc;
    return asq__err(l->why, sizeof l->why, ASQ_EAUTH,
                    "%sthe Sentinels name a master on another machine, and there is neither "
                    "password nor TLS; protect it, or give --no-local-mode if that is intended",
                    asq__route_name(r, name));
}

static bool is_host_of_url(const struct asq__url *url, const struct asq__host *host)
{
    bool yes = url->host && asq__host_is_same(host, &(struct asq__host){ url->host, url->port });
    for (size_t i = 0; i < url->others.n && !yes; i++)
        yes = asq__host_is_same(host, &url->others.list[i]);
    return yes;
}

/* Adds to the failure to reach a node of a Cluster, whose address is not in the URL, where that is
 * from, or how the URL tells another one. */
static int explain(struct asq__route *r, int rc)
{
    struct asq__link *l = r->link;
    const struct asq__host host = { l->endpoint, l->endpoint_port };
    size_t n = strlen(l->why), from = 0;
    if (rc != ASQ_ECONN || !asq__url_is_cluster(l->url) || !l->endpoint ||
        (l->state != ASQ__LINK_RESOLVING && l->state != ASQ__LINK_CONNECTING) ||
        is_host_of_url(l->url, &host))
        return rc;
    const struct asq__host *announced =
        asq__nat_announced(&l->url->nat, host.name, host.port, &from);
    const struct asq__host *named = announced ? announced : &host;
    char text[300];
    snprintf(text, sizeof text, strchr(named->name, ':') ? "[%s]:%d" : "%s:%d", named->name,
             named->port);
    if (announced)
        snprintf(l->why + n, sizeof l->why - n, " (where nat= in the URL leads for %s)", text);
    else
        snprintf(
            l->why + n, sizeof l->why - n,
            "; if this node is reached elsewhere, map it: redis%s+cluster://HOSTS?nat=%s=HOST:PORT",
            l->url->tls ? "s" : "", text);
    return rc;
}

/* Handles a lookup's step: connects to the master that it has found. */
static int follow_lookup(struct asq__route *r, int rc)
{
    struct asq__link *l = r->link;
    if (rc == 0)
        return 0;
    if (rc > 0) {
        const struct asq__server_address *master = asq__sentinel_lookup_master(r->lookup);
        rc = asq__link_set_endpoint(l, master->host, master->port);
        if (rc < 0)
            asq__err(l->why, sizeof l->why, rc, "out of memory");
    } else {
        asq__err(l->why, sizeof l->why, rc, "%s", asq__sentinel_lookup_why(r->lookup));
    }
    asq__sentinel_lookup_free(r->lookup);
    r->lookup = NULL;
    if (rc < 0)
        return rc;
    int64_t left = r->deadline_ms - asq__now_ms();
    return check_place(r, asq__link_open(l, left > 0 ? left : 1));
}

int asq__route_open(struct asq__route *r, int64_t timeout_ms)
{
    struct asq__link *l = r->link;
    asq__route_close(r);
    if (!l->url->sentinels)
        return explain(r, asq__link_open(l, timeout_ms));
    r->timeout_ms = timeout_ms;
    r->deadline_ms = asq__deadline_ms(timeout_ms);
    /* Half of the time is for the Sentinels, so that the master has the other half. */
    r->lookup = asq__sentinel_lookup_new(l->url, timeout_ms / 2);
    if (!r->lookup)
        return asq__err(l->why, sizeof l->why, ASQ_ENOMEM, "out of memory");
    return follow_lookup(r, asq__sentinel_lookup_step(r->lookup));
}

int asq__route_step(struct asq__route *r)
{
    if (r->lookup)
        return follow_lookup(r, asq__sentinel_lookup_step(r->lookup));
    return explain(r, check_place(r, asq__link_step(r->link)));
}

int asq__route_fd(const struct asq__route *r, bool *ret_writing)
{
    return r->lookup ? asq__sentinel_lookup_fd(r->lookup, ret_writing)
                     : asq__link_fd(r->link, ret_writing);
}

int64_t asq__route_wait_ms(const struct asq__route *r)
{
    return r->lookup ? asq__sentinel_lookup_wait_ms(r->lookup) : asq__link_wait_ms(r->link);
}

int asq__route_give_up(struct asq__route *r)
{
    return r->lookup ? follow_lookup(r, asq__sentinel_lookup_give_up(r->lookup))
                     : explain(r, asq__link_give_up(r->link));
}

void asq__route_close(struct asq__route *r)
{
    asq__sentinel_lookup_free(r->lookup);
    r->lookup = NULL;
    asq__link_close(r->link);
}

void asq__route_release(struct asq__route *r)
{
    asq__route_close(r);
    asq__link_release(r->link);
}

/* Returns the server that the Sentinels have led to. False: the URL names the server itself. */
static bool endpoint(const struct asq__route *r, struct asq__server_address *ret)
{
    const char *host = asq__link_host(r->link, &ret->port);
    if (!r->link->url->sentinels || !r->link->endpoint)
        return false;
    snprintf(ret->host, sizeof ret->host, "%s", host);
    return true;
}

bool asq__route_is_outdated(const struct asq__route *r)
{
    struct asq__server_address here, master;
    return endpoint(r, &here) && asq__sentinels_master(r->link->url->sentinels, &master) &&
           !asq__server_address_is_same(&here, &master);
}

const char *asq__route_name(const struct asq__route *r, char out[ASQ__ROUTE_NAME])
{
    struct asq__server_address here;
    *out = '\0';
    if (!endpoint(r, &here))
        return out;
    char where[ASQ__SENTINEL_HOST + 10];
    asq__server_address_put(&here, where, sizeof where);
    snprintf(out, ASQ__ROUTE_NAME, "the master %s: ", where);
    return out;
}
