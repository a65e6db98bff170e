/*
 * auth.c: see auth.h.
 *
 * A page of another site can make a browser send requests here. What protects against it:
 *
 *     Host            has to be a name of this machine, if the listener is on a loopback address;
 *                     elsewhere the cookie is bound to the name that the browser knows
 *     Sec-Fetch-Site  browsers tell where a request comes from: another site's are refused
 *     Origin          the same for older browsers, which send it with each POST
 *     the cookie      SameSite=Strict, HttpOnly
 *     writes          need a header with a random text that only our own page can read
 */
#include "studio/auth.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#include "asqueue.h"
#include "secret.h"

enum { SESSION_MS = 12 * 3600 * 1000, FAILED_MS = 60000, FAILED_MAX = 10, RANDOM_BYTES = 32 };

#define COOKIE "asq_studio="

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

/* Returns whether HOST[:PORT] is a name of this machine. */
static bool is_local(const char *host)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        size_t n = strlen(names[i]);
        if (strncasecmp(host, names[i], n) == 0 && (!host[n] || host[n] == ':') &&
            strspn(host + n + (host[n] == ':'), "0123456789") ==
                strlen(host + n + (host[n] == ':')))
            return true;
    }
    return false;
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
        return "this as-studio answers under the names localhost, 127.0.0.1 and [::1] alone; open "
               "it under one of them (through a tunnel or a proxy, let that send such a Host)";
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

void as_auth_session(const struct as_headers *h, char id[AS_SECRET_TEXT])
{
    id[0] = '\0';
    for (const char *at = h->cookie; at && *at;) {
        at += strspn(at, " ;");
        size_t n = strcspn(at, ";");
        if (strncmp(at, COOKIE, strlen(COOKIE)) == 0 && n == strlen(COOKIE) + AS_SECRET_TEXT - 1) {
            memcpy(id, at + strlen(COOKIE), AS_SECRET_TEXT - 1);
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
