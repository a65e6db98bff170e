/*
 * url_hosts.c: see url_hosts.h.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "asqueue.h"
#include "redis/url_hosts.h"
#include "redis/url_text.h"
#include "value/buf.h"
#include "value/error.h"

enum { NAME_MAX_BYTES = 253 };

/* ---- one host ---- */

int asq__host_check_name(const char *name, const char *what, char *err, size_t errlen)
{
    for (const char *p = name; *p; p++)
        if (!asq__url_is_plain((unsigned char) *p, ".-_"))
            return asq__err(
                err, errlen, ASQ_EINVAL,
                "the URL's %s has byte 0x%02X at place %zu, which a host name cannot have%s", what,
                (unsigned char) *p, (size_t) (p - name) + 1,
                (unsigned char) *p > 0x7f
                    ? "; write a name in another script in its ASCII form, xn--…"
                    : "");
    if (strlen(name) > NAME_MAX_BYTES)
        return asq__err(err, errlen, ASQ_EINVAL, "the URL's %s has %zu bytes; names have up to %d",
                        what, strlen(name), NAME_MAX_BYTES);
    return 0;
}

/* Checks an IPv6 address, perhaps with a zone: fe80::1%eth0. */
static int check_address(const char *text, char *err, size_t errlen)
{
    char address[INET6_ADDRSTRLEN] = "";
    struct in6_addr in6;
    size_t n = strcspn(text, "%");
    bool good = n < sizeof address;
    if (good) {
        memcpy(address, text, n);
        good = inet_pton(AF_INET6, address, &in6) == 1 && strcmp(text + n, "%") != 0;
    }
    for (const char *p = text + n; *p && good; p++)
        good = asq__url_is_plain((unsigned char) *p, p == text + n ? "%" : ".-_:@");
    return good
               ? 0
               : asq__err(err, errlen, ASQ_EINVAL,
                          "the URL has no IPv6 address between '[' and ']' (as in [2001:db8::1] or "
                          "[fe80::1%%25eth0])");
}

bool asq__host_is_name(const char *text)
{
    return *text && (strchr(text, ':') ? check_address(text, NULL, 0) == 0
                                       : asq__host_check_name(text, "", NULL, 0) == 0);
}

int asq__host_parse(const char *s, size_t n, int port_default, const char *what,
                    struct asq__host *ret, char *err, size_t errlen)
{
    struct asq__host host = { NULL, port_default };
    const char *end;
    long port = port_default;
    int rc;
    if (n && *s == '[') {
        end = memchr(s, ']', n);
        if (!end)
            return asq__err(err, errlen, ASQ_EINVAL, "the URL's address has a '[' without ']'");
        rc = asq__url_decode(&host.name, s + 1, (size_t) (end - s - 1), what, err, errlen);
        if (rc == 0)
            rc = check_address(host.name, err, errlen);
        end++;
    } else {
        end = memchr(s, ':', n);
        if (!end)
            end = s + n;
        rc = end == s ? asq__url_decode(&host.name, "127.0.0.1", 9, what, err, errlen)
                      : asq__url_decode(&host.name, s, (size_t) (end - s), what, err, errlen);
        if (rc == 0)
            rc = asq__host_check_name(host.name, what, err, errlen);
    }
    size_t left = n - (size_t) (end - s);
    if (rc == 0 && left && *end != ':')
        rc = asq__err(err, errlen, ASQ_EINVAL, "the URL has '%.*s' behind its %s",
                      (int) (left > 40 ? 40 : left), end, what);
    else if (rc == 0 && left)
        rc = asq__url_number(end + 1, left - 1, 1, 65535, "port", &port, err, errlen);
    else if (rc == 0 && !port)
        rc = asq__err(err, errlen, ASQ_EINVAL, "the URL's %s '%.*s' needs a port", what,
                      (int) (n > 40 ? 40 : n), s);
    if (rc < 0) {
        free(host.name);
        return rc;
    }
    host.port = (int) port;
    *ret = host;
    return 0;
}

void asq__host_release(struct asq__host *host)
{
    free(host->name);
    host->name = NULL;
}

bool asq__host_is_same(const struct asq__host *a, const struct asq__host *b)
{
    return a->port == b->port && strcasecmp(a->name, b->name) == 0;
}

void asq__host_put(struct asq__buf *b, const struct asq__host *host)
{
    if (strchr(host->name, ':')) {
        asq__buf_putc(b, '[');
        for (const char *p = host->name; *p; p++) {
            asq__buf_putc(b, (uint8_t) *p);
            if (*p == '%') /* precedes an address's zone */
                asq__buf_puts(b, "25");
        }
        asq__buf_putc(b, ']');
    } else {
        asq__url_put_escaped(b, host->name, "-._~");
    }
    asq__buf_printf(b, ":%d", host->port);
}

/* ---- lists ---- */

/* Appends an empty host, to be filled in. NULL: no memory. */
static struct asq__host *append(struct asq__hosts *hosts)
{
    struct asq__host *list = realloc(hosts->list, (hosts->n + 1) * sizeof *list);
    if (!list)
        return NULL;
    hosts->list = list;
    list[hosts->n] = (struct asq__host){ NULL, 0 };
    return &list[hosts->n++];
}

static int parse_next(struct asq__hosts *hosts, const char *s, size_t n, int port_default,
                      const char *what, char *err, size_t errlen)
{
    struct asq__host *host = append(hosts);
    if (!host)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (!n)
        return asq__err(err, errlen, ASQ_EINVAL, "the URL's %s number %zu is empty", what,
                        hosts->n);
    return asq__host_parse(s, n, port_default, what, host, err, errlen);
}

static size_t item_length(const char *s, size_t n, char end)
{
    const char *found = memchr(s, end, n);
    return found ? (size_t) (found - s) : n;
}

int asq__hosts_parse(const char *s, size_t n, int port_default, struct asq__hosts *ret, char *err,
                     size_t errlen)
{
    struct asq__hosts hosts = { NULL, 0 };
    int rc = 0;
    if (!n) {
        s = "127.0.0.1";
        n = strlen(s);
    }
    for (bool more = true; more && rc == 0;) {
        size_t item = item_length(s, n, ',');
        if (hosts.n == ASQ__URL_HOSTS_MAX)
            rc = asq__err(err, errlen, ASQ_EINVAL, "the URL has more than %d hosts",
                          ASQ__URL_HOSTS_MAX);
        else
            rc = parse_next(&hosts, s, item, port_default, "host", err, errlen);
        more = item < n;
        s += item + more;
        n -= item + more;
    }
    if (rc < 0)
        asq__hosts_release(&hosts);
    else
        *ret = hosts;
    return rc;
}

int asq__hosts_copy(struct asq__hosts *to, const struct asq__hosts *from)
{
    struct asq__hosts hosts = { NULL, 0 };
    for (size_t i = 0; i < from->n; i++) {
        struct asq__host *host = append(&hosts);
        if (!host || !(host->name = strdup(from->list[i].name))) {
            asq__hosts_release(&hosts);
            return ASQ_ENOMEM;
        }
        host->port = from->list[i].port;
    }
    *to = hosts;
    return 0;
}

void asq__hosts_release(struct asq__hosts *hosts)
{
    for (size_t i = 0; i < hosts->n; i++)
        asq__host_release(&hosts->list[i]);
    free(hosts->list);
    *hosts = (struct asq__hosts){ NULL, 0 };
}

void asq__hosts_put(struct asq__buf *b, const struct asq__hosts *hosts)
{
    for (size_t i = 0; i < hosts->n; i++) {
        if (i)
            asq__buf_putc(b, ',');
        asq__host_put(b, &hosts->list[i]);
    }
}

/* ---- the map ---- */

static int parse_pair(struct asq__nat *nat, const char *s, size_t n, char *err, size_t errlen)
{
    size_t left = item_length(s, n, '=');
    if (left == n)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "the URL's nat has '%.*s'; announced:port=reached:port is needed",
                        (int) (n > 40 ? 40 : n), s);
    if (nat->announced.n == ASQ__NAT_MAX)
        return asq__err(err, errlen, ASQ_EINVAL, "the URL's nat has more than %d hosts",
                        ASQ__NAT_MAX);
    int rc = parse_next(&nat->announced, s, left, 0, "nat host", err, errlen);
    return rc < 0
               ? rc
               : parse_next(&nat->reached, s + left + 1, n - left - 1, 0, "nat host", err, errlen);
}

int asq__nat_parse(const char *s, size_t n, struct asq__nat *ret, char *err, size_t errlen)
{
    struct asq__nat nat = { { NULL, 0 }, { NULL, 0 } };
    int rc = 0;
    for (bool more = true; more && rc == 0;) {
        size_t item = item_length(s, n, ',');
        rc = parse_pair(&nat, s, item, err, errlen);
        more = item < n;
        s += item + more;
        n -= item + more;
    }
    if (rc < 0)
        asq__nat_release(&nat);
    else
        *ret = nat;
    return rc;
}

int asq__nat_copy(struct asq__nat *to, const struct asq__nat *from)
{
    struct asq__nat nat = { { NULL, 0 }, { NULL, 0 } };
    if (asq__hosts_copy(&nat.announced, &from->announced) < 0 ||
        asq__hosts_copy(&nat.reached, &from->reached) < 0) {
        asq__nat_release(&nat);
        return ASQ_ENOMEM;
    }
    *to = nat;
    return 0;
}

void asq__nat_release(struct asq__nat *nat)
{
    asq__hosts_release(&nat->announced);
    asq__hosts_release(&nat->reached);
}

void asq__nat_put(struct asq__buf *b, const struct asq__nat *nat)
{
    for (size_t i = 0; i < nat->reached.n; i++) {
        if (i)
            asq__buf_putc(b, ',');
        asq__host_put(b, &nat->announced.list[i]);
        asq__buf_putc(b, '=');
        asq__host_put(b, &nat->reached.list[i]);
    }
}

const struct asq__host *asq__nat_find(const struct asq__nat *nat, const struct asq__host *announced)
{
    for (size_t i = 0; i < nat->announced.n; i++)
        if (asq__host_is_same(&nat->announced.list[i], announced))
            return &nat->reached.list[i];
    return announced;
}

const struct asq__host *asq__nat_announced(const struct asq__nat *nat, const char *name, int port,
                                           size_t *from)
{
    while (*from < nat->reached.n) {
        const struct asq__host *reached = &nat->reached.list[*from];
        const struct asq__host *announced = &nat->announced.list[(*from)++];
        if (reached->port == port && strcasecmp(reached->name, name) == 0)
            return announced;
    }
    return NULL;
}
