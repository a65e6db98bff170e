/*
 * link.c: see link.h.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/fork_guard.h"
#include "redis/link.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/fd.h"

enum {
    ADDRESS_MIN_MS = 250, /* minimum for each address but the last */
    FULL_MS = 10,
    KEEPALIVE_IDLE_S = 10,
    KEEPALIVE_INTERVAL_S = 5,
    KEEPALIVE_PROBES = 3
};

static int try_addresses(struct asq__link *l);

void asq__link_init(struct asq__link *l, const struct asq__url *url)
{
    memset(l, 0, sizeof *l);
    l->url = url;
    l->fd = -1;
}

static void close_socket(struct asq__link *l)
{
#ifdef HAVE_TLS
    asq__tls_session_free(l->tls);
    l->tls = NULL;
#endif
    if (l->fd >= 0) {
        asq__fork_guard_remove(l->fd);
        close(l->fd);
    }
    l->fd = -1;
    l->full = false;
    l->send_wants_read = l->recv_wants_write = false;
}

void asq__link_close(struct asq__link *l)
{
    close_socket(l);
    l->state = ASQ__LINK_CLOSED;
    if (l->lookup && asq__lookup_is_done(l->lookup)) {
        asq__lookup_free(l->lookup); /* addresses may be outdated at the next try */
        l->lookup = NULL;
    }
}

void asq__link_release(struct asq__link *l)
{
    asq__link_close(l);
    asq__lookup_free(l->lookup);
    l->lookup = NULL;
    free(l->endpoint);
    l->endpoint = NULL;
}

int asq__link_set_endpoint(struct asq__link *l, const char *host, int port)
{
    char *copy = strdup(host);
    if (!copy)
        return ASQ_ENOMEM;
    int before;
    if (strcmp(asq__link_host(l, &before), host) != 0 || before != port) {
        asq__lookup_free(l->lookup); /* of the former one */
        l->lookup = NULL;
        l->n_skipped = 0;
    }
    free(l->endpoint);
    l->endpoint = copy;
    l->endpoint_port = port;
    return 0;
}

const char *asq__link_host(const struct asq__link *l, int *ret_port)
{
    *ret_port = l->endpoint ? l->endpoint_port : l->url->port;
    return l->endpoint ? l->endpoint : l->url->host;
}

void asq__link_skip_address(struct asq__link *l)
{
    l->n_skipped++;
}

static int fail(struct asq__link *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int fail(struct asq__link *l, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(l->why, sizeof l->why, fmt, ap);
    va_end(ap);
    return ASQ_ECONN;
}

/* ---- TLS ---- */

static int handshake(struct asq__link *l)
{
#ifdef HAVE_TLS
    int rc = asq__tls_handshake(l->tls, &l->wants, l->why);
    if (rc == 1)
        l->state = ASQ__LINK_OPEN;
    else if (rc < 0)
        asq__link_skip_address(l);
    return rc;
#else
    (void) l;
    return ASQ_ENOTSUP; /* not reached: parsing has refused the URL */
#endif
}

static int connected(struct asq__link *l)
{
    if (!l->url->tls) {
        l->state = ASQ__LINK_OPEN;
        return 1;
    }
    l->state = ASQ__LINK_HANDSHAKING;
#ifdef HAVE_TLS
    int port;
    const char *host = asq__link_host(l, &port);
    int rc = asq__tls_session_new(l->url, host, port, l->fd, &l->tls, l->why);
    if (rc < 0)
        return rc;
#endif
    return handshake(l);
}

/* ---- addresses ---- */

/* Writes the current address, for messages. */
static void name_address(const struct asq__link *l, char *out, size_t size)
{
    char host[64], port[8];
    const struct asq__address *a = &l->addresses[(l->at + l->n_skipped) % l->naddresses];
    const void *sockaddr = &a->sockaddr;
    if (l->url->path)
        snprintf(out, size, "%.120s", l->url->path);
    else if (getnameinfo(sockaddr, a->len, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, size, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    else
        snprintf(out, size, "its address");
}

static void set_up_tcp(int fd)
{
    int on = 1, idle = KEEPALIVE_IDLE_S, interval = KEEPALIVE_INTERVAL_S, probes = KEEPALIVE_PROBES;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
}

/* Begins to connect to the current address. Returns 1 (open), 0 (under way), or a negative
 * errno. */
static int connect_to(struct asq__link *l)
{
    const struct asq__address *a = &l->addresses[(l->at + l->n_skipped) % l->naddresses];
    const void *sockaddr = &a->sockaddr;
    int family = a->sockaddr.ss_family;
    l->fd = asq__fd_keep(socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (l->fd < 0)
        return -errno;
    asq__fork_guard_add(l->fd);
    if (family != AF_UNIX)
        set_up_tcp(l->fd);
    int64_t now = asq__now_ms(), left = l->deadline_ms - now;
    unsigned others = l->naddresses - l->at;
    int64_t share = left / others > ADDRESS_MIN_MS ? left / others : ADDRESS_MIN_MS;
    l->address_deadline_ms = others == 1 || share > left ? l->deadline_ms : now + share;
    if (connect(l->fd, sockaddr, a->len) == 0)
        return 1;
    if (errno == EINPROGRESS || errno == EINTR)
        return 0;
    if (errno == EAGAIN && family == AF_UNIX) {
        l->full = true;
        l->address_deadline_ms = now + FULL_MS;
        return 0;
    }
    return -errno;
}

/* Gives the current address up and tries the next one. */
static int try_next(struct asq__link *l, const char *failure)
{
    char where[160];
    name_address(l, where, sizeof where);
    fail(l, "%s: %s", where, failure);
    close_socket(l);
    if (++l->at >= l->naddresses || asq__now_ms() >= l->deadline_ms)
        return ASQ_ECONN;
    return try_addresses(l);
}

static int try_addresses(struct asq__link *l)
{
    l->state = ASQ__LINK_CONNECTING;
    int rc = connect_to(l);
    return rc < 0 ? try_next(l, strerror(-rc)) : rc > 0 ? connected(l) : 0;
}

static int resolved(struct asq__link *l)
{
    const struct asq__address *found;
    int n = asq__lookup_addresses(l->lookup, &found, l->why, sizeof l->why);
    if (n < 0)
        return n;
    memcpy(l->addresses, found, (size_t) n * sizeof *found);
    l->naddresses = (unsigned) n;
    asq__lookup_free(l->lookup);
    l->lookup = NULL;
    return try_addresses(l);
}

static int resolve(struct asq__link *l)
{
    if (l->url->path) {
        struct sockaddr_un *un = (void *) &l->addresses[0].sockaddr;
        memset(un, 0, sizeof *un);
        un->sun_family = AF_UNIX;
        if (strlen(l->url->path) >= sizeof un->sun_path)
            return fail(l, "the path of the Unix socket is too long");
        memcpy(un->sun_path, l->url->path, strlen(l->url->path));
        l->addresses[0].len = sizeof *un;
        l->naddresses = 1;
        return try_addresses(l);
    }
    int port;
    const char *host = asq__link_host(l, &port);
    if (asq__address_parse(host, port, &l->addresses[0])) {
        l->naddresses = 1;
        return try_addresses(l);
    }
    l->state = ASQ__LINK_RESOLVING;
    if (!l->lookup) {
        int rc = asq__lookup_start(host, port, &l->lookup, l->why, sizeof l->why);
        if (rc < 0)
            return rc == ASQ_ENOMEM ? rc : ASQ_ECONN;
    }
    return asq__lookup_is_done(l->lookup) ? resolved(l) : 0;
}

/* ---- driving it ---- */

int asq__link_open(struct asq__link *l, int64_t timeout_ms)
{
    close_socket(l);
    l->at = 0;
    l->timeout_ms = timeout_ms;
    l->deadline_ms = l->address_deadline_ms = asq__deadline_ms(timeout_ms);
    return resolve(l);
}

int asq__link_give_up(struct asq__link *l)
{
    long long ms = (long long) l->timeout_ms;
    char where[160];
    int port;
    switch (l->state) {
    case ASQ__LINK_RESOLVING:
        return fail(l, "the resolver has not answered for the name '%.200s' within %lld ms",
                    asq__link_host(l, &port), ms);
    case ASQ__LINK_HANDSHAKING:
        asq__link_skip_address(l);
        return fail(l,
                    "the TLS handshake was not answered within %lld ms; does the server speak TLS "
                    "at this port?",
                    ms);
    default:
        name_address(l, where, sizeof where);
        return fail(l, "%s: no connection within the connect timeout (%lld ms)", where, ms);
    }
}

static int continue_connecting(struct asq__link *l)
{
    int error = 0;
    socklen_t n = sizeof error;
    struct sockaddr_storage peer;
    socklen_t peer_n = sizeof peer;
    if (l->full) {
        close_socket(l);
        return try_addresses(l);
    }
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (error)
        return try_next(l, strerror(error));
    if (getpeername(l->fd, (void *) &peer, &peer_n) == 0)
        return connected(l);
    if (errno != ENOTCONN)
        return try_next(l, strerror(errno));
    return asq__now_ms() >= l->address_deadline_ms ? try_next(l, "no answer") : 0;
}

int asq__link_step(struct asq__link *l)
{
    int rc = 0;
    switch (l->state) {
    case ASQ__LINK_RESOLVING: rc = asq__lookup_is_done(l->lookup) ? resolved(l) : 0; break;
    case ASQ__LINK_CONNECTING: rc = continue_connecting(l); break;
    case ASQ__LINK_HANDSHAKING: rc = handshake(l); break;
    case ASQ__LINK_CLOSED:
    case ASQ__LINK_OPEN: break;
    }
    return rc == 0 && asq__now_ms() >= l->deadline_ms ? asq__link_give_up(l) : rc;
}

int asq__link_fd(const struct asq__link *l, bool *ret_writing)
{
    *ret_writing = l->state == ASQ__LINK_CONNECTING ||
                   (l->state == ASQ__LINK_HANDSHAKING && l->wants == ASQ__TLS_WRITABLE);
    if (l->state == ASQ__LINK_RESOLVING)
        return asq__lookup_fd(l->lookup);
    return l->full ? -1 : l->fd;
}

int64_t asq__link_wait_ms(const struct asq__link *l)
{
    int64_t until = l->state == ASQ__LINK_CONNECTING && l->address_deadline_ms < l->deadline_ms
                        ? l->address_deadline_ms
                        : l->deadline_ms;
    int64_t left = until - asq__now_ms();
    return left > 0 ? left : 0;
}

/* ---- bytes ---- */

ssize_t asq__link_recv(struct asq__link *l, void *to, size_t n)
{
#ifdef HAVE_TLS
    if (l->tls)
        return asq__tls_recv(l->tls, to, n, &l->recv_wants_write, l->why);
#endif
    ssize_t got = recv(l->fd, to, n, 0);
    if (got > 0)
        return got;
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    snprintf(l->why, sizeof l->why, "%s", got ? strerror(errno) : "Redis closed the connection");
    return -1;
}

ssize_t asq__link_send(struct asq__link *l, const void *from, size_t n)
{
#ifdef HAVE_TLS
    if (l->tls)
        return asq__tls_send(l->tls, from, n, &l->send_wants_read, l->why);
#endif
    for (;;) {
        ssize_t sent = send(l->fd, from, n, MSG_NOSIGNAL);
        if (sent >= 0)
            return sent;
        if (errno == EAGAIN)
            return 0;
        if (errno == EINTR)
            continue;
        snprintf(l->why, sizeof l->why, "%s", strerror(errno));
        return -1;
    }
}

bool asq__link_has_more(const struct asq__link *l)
{
#ifdef HAVE_TLS
    if (l->tls)
        return asq__tls_has_more(l->tls);
#endif
    (void) l;
    return false;
}
