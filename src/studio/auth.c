/*
 * auth.c: see auth.h.
 *
 * A page of another site can make a browser send requests here. What protects against it:
 *
 *     Host            has to be localhost or a loopback address, if the listener is on one: other
 *                     names may be of anybody; elsewhere the cookie is bound to the name that the
 *                     browser knows
 *     Sec-Fetch-Site  browsers tell where a request comes from: another site's are refused
 *     Origin          the same for older browsers, which send it with each POST
 *     the cookie      SameSite=Strict, HttpOnly
 *     writes          need a header with a random text that only our own page can read
 */
#include "studio/auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "asqueue.h"
#include "secret.h"

enum { SESSION_MS = 12 * 3600 * 1000, FAILED_MS = 60000, FAILED_MAX = 10, RANDOM_BYTES = 32 };

#define COOKIE "asq_studio"

/* Compares in a time that depends on the length of `given` alone. */
static bool is_same(const char *secret, const char *given)
{
    size_t n = strlen(secret), m = strlen(given);
    unsigned char differs = n != m;
    for (size_t i = 0; i < m; i++)
        differs |= (unsigned char) (given[i] ^ secret[n ? i % n : 0]);
    return differs == 0 && n > 0;
}

static int make_secret(char text[AS_SECRET_TEXT])
{
    unsigned char bytes[RANDOM_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t) sizeof bytes)
        return ASQ_ESYS;
    for (size_t i = 0; i < sizeof bytes; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return 0;
}

int as_auth_init(struct as_auth *auth, const char *path, bool loopback, char *err, size_t errlen)
{
    char text[AS_SECRET_MAX];
    *auth = (struct as_auth){ .loopback = loopback };
    if (make_secret(auth->csrf) < 0) {
        snprintf(err, errlen, "no random numbers: %s", strerror(errno));
        return ASQ_ESYS;
    }
    if (!path)
        return 0;
    int rc = as_secret_read_file("token", path, text, err, errlen);
    if (rc < 0)
        return rc;
    size_t n = strlen(text);
    if (n < AS_TOKEN_MIN || n > AS_TOKEN_MAX) {
        snprintf(
            err, errlen,
            "the token in %s has %zu characters, and must have %d to %d: make one with openssl "
            "rand -hex 32",
            path, n, AS_TOKEN_MIN, AS_TOKEN_MAX);
        rc = ASQ_EINVAL;
    } else {
        memcpy(auth->token, text, n + 1);
    }
    explicit_bzero(text, sizeof text);
    return rc;
}

/* ---- sites ---- */

/* Returns where the ":PORT" of HOST[:PORT] is, or the end. */
static const char *port_of(const char *host)
{
    const char *bracket = strrchr(host, ']');
    const char *at = bracket ? bracket : host;
    return at + strcspn(at, ":");
}

static bool is_loopback6(const struct in6_addr *a)
{
    return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == IN_LOOPBACKNET);
}

/* Returns whether HOST[:PORT] can only mean this machine: localhost or a loopback address. Names of
 * others are not looked up: they lead wherever their owners want. */
static bool is_local(const char *host)
{
    char name[INET6_ADDRSTRLEN + 2];
    struct in_addr v4;
    struct in6_addr v6;
    const char *port = port_of(host);
    size_t n = (size_t) (port - host);
    if (n == 0 || n >= sizeof name || (*port && port[1 + strspn(port + 1, "0123456789")]))
        return false;
    memcpy(name, host, n);
    name[n] = '\0';
    if (strcasecmp(name, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, name, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    name[n - 1] = '\0';
    return *host == '[' && host[n - 1] == ']' && inet_pton(AF_INET6, name + 1, &v6) == 1 &&
           is_loopback6(&v6);
}

/* Returns whether the origin SCHEME://HOST[:PORT] is that of the host. */
static bool is_origin_of(const char *origin, const char *host)
{
    const char *at = strstr(origin, "://");
    return at && strcasecmp(at + 3, host) == 0;
}

const char *as_auth_check_host(const struct as_auth *auth, const struct as_headers *h)
{
    if (!h->host || !*h->host)
        return "the request has no Host";
    if (auth->loopback && !is_local(h->host))
        return "this as-studio answers under localhost and loopback addresses (127.0.0.1, [::1]) "
               "alone; open it under one of them (through a tunnel or a proxy, let that send such "
               "a Host)";
    return NULL;
}

const char *as_auth_check_site(const struct as_headers *h)
{
    if (h->site && strcmp(h->site, "same-origin") != 0 && strcmp(h->site, "none") != 0)
        return "a page of another site has sent the request";
    if (h->origin && !is_origin_of(h->origin, h->host))
        return "the request's Origin is not the Host: a page of another site has sent it, or a "
               "proxy has changed the Host";
    return NULL;
}

/* ---- sessions ---- */

void as_auth_cookie_name(const struct as_headers *h, char name[AS_COOKIE_NAME])
{
    const char *port = h->host ? port_of(h->host) : "";
    size_t digits = *port ? strspn(port + 1, "0123456789") : 0;
    bool known = digits > 0 && digits <= 5 && !port[1 + digits];
    snprintf(name, AS_COOKIE_NAME, "%s%s%s", COOKIE, known ? "_" : "", known ? port + 1 : "");
}

void as_auth_session(const struct as_headers *h, char id[AS_SECRET_TEXT])
{
    char name[AS_COOKIE_NAME];
    as_auth_cookie_name(h, name);
    size_t len = strlen(name);
    id[0] = '\0';
    for (const char *at = h->cookie; at && *at;) {
        at += strspn(at, " ;");
        size_t n = strcspn(at, ";");
        if (n == len + AS_SECRET_TEXT && strncmp(at, name, len) == 0 && at[len] == '=') {
            memcpy(id, at + len + 1, AS_SECRET_TEXT - 1);
            id[AS_SECRET_TEXT - 1] = '\0';
            return;
        }
        at += n;
    }
}

bool as_auth_has_session(const struct as_auth *auth, const char *id, int64_t now_ms)
{
    bool found = false;
    for (size_t i = 0; *id && i < AS_SESSIONS; i++)
        found |= is_same(auth->sessions[i].id, id) && auth->sessions[i].ends_ms > now_ms;
    return found;
}

bool as_auth_is_bearer(const struct as_auth *auth, const struct as_headers *h)
{
    return *auth->token && h->authorization && strncasecmp(h->authorization, "Bearer ", 7) == 0 &&
           !h->site && !h->origin && is_same(auth->token, h->authorization + 7);
}

bool as_auth_is_in(const struct as_auth *auth, const struct as_headers *h, int64_t now_ms)
{
    char id[AS_SECRET_TEXT];
    if (!*auth->token || as_auth_is_bearer(auth, h))
        return true;
    as_auth_session(h, id);
    return as_auth_has_session(auth, id, now_ms);
}

const char *as_auth_check_write(const struct as_auth *auth, const struct as_headers *h)
{
    if (!h->content_type || strncasecmp(h->content_type, "application/json", 16) != 0 ||
        (h->content_type[16] && h->content_type[16] != ';' && h->content_type[16] != ' '))
        return "the request needs Content-Type: application/json";
    if (!as_auth_is_bearer(auth, h) && (!h->csrf || !is_same(auth->csrf, h->csrf)))
        return "the request needs X-CSRF-Token with the text \"csrf\" of /api/session; reload the "
               "page if as-studio was started again";
    return NULL;
}

int as_auth_login(struct as_auth *auth, const char *token, int64_t now_ms, char id[AS_SECRET_TEXT])
{
    if (now_ms - auth->failed_since_ms >= FAILED_MS)
        auth->failed = 0;
    if (auth->failed >= FAILED_MAX)
        return ASQ_EBUSY;
    if (!is_same(auth->token, token)) {
        if (auth->failed++ == 0)
            auth->failed_since_ms = now_ms;
        return ASQ_EAUTH;
    }
    struct as_session *oldest = &auth->sessions[0];
    for (size_t i = 1; i < AS_SESSIONS; i++)
        if (auth->sessions[i].ends_ms < oldest->ends_ms)
            oldest = &auth->sessions[i];
    if (make_secret(oldest->id) < 0)
        return ASQ_ESYS;
    oldest->ends_ms = now_ms + SESSION_MS;
    strcpy(id, oldest->id);
    return 0;
}

void as_auth_logout(struct as_auth *auth, const struct as_headers *h)
{
    char id[AS_SECRET_TEXT];
    as_auth_session(h, id);
    for (size_t i = 0; *id && i < AS_SESSIONS; i++)
        if (is_same(auth->sessions[i].id, id))
            auth->sessions[i] = (struct as_session){ .ends_ms = 0 };
}
