/*
 * auth.h: who may use as-studio. Without a token whoever reaches the listener, which is a loopback
 * address then; with one, who has the token, or a session that was opened with it. Web pages of
 * others may neither read nor write: see as_auth_check_host.
 *
 * Belongs to the HTTP thread. Knows no HTTP library: headers are given to it.
 */
#ifndef ASQ_SRC_STUDIO_AUTH_H
#define ASQ_SRC_STUDIO_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AS_SESSIONS = 64, AS_SECRET_TEXT = 65, AS_TOKEN_MAX = 1024, AS_TOKEN_MIN = 16 };
enum { AS_COOKIE_NAME = 24 };

struct as_session {
    char id[AS_SECRET_TEXT]; /* hexadecimal; "": free */
    int64_t ends_ms;
};

struct as_auth {
    char token[AS_TOKEN_MAX + 1]; /* "": none is needed */
    bool loopback;                /* the listener is on one */
    char csrf[AS_SECRET_TEXT];
    struct as_session sessions[AS_SESSIONS];
    int64_t failed_since_ms; /* wrong tokens are counted for a minute */
    unsigned failed;
};

/* Headers of a request; NULL: it has none. */
struct as_headers {
    const char *host, *origin, *site, *cookie, *authorization, *csrf, *content_type;
};

/* Reads the token: the first line of a file that others cannot read. ASQ_EINVAL with a text. path
 * NULL: none. */
int as_auth_init(struct as_auth *auth, const char *path, bool loopback, char *err, size_t errlen);

/* Returns why nothing may be answered: the listener is on a loopback address, and the request's
 * Host is none (a name of somebody else leads here, DNS rebinding); else NULL. */
const char *as_auth_check_host(const struct as_auth *auth, const struct as_headers *h);
/* Returns why the API may not answer: a page of another site has sent the request; else NULL. */
const char *as_auth_check_site(const struct as_headers *h);
/* Returns whether the request has the token or a session. */
bool as_auth_is_in(const struct as_auth *auth, const struct as_headers *h, int64_t now_ms);
/* Returns whether the request is of a program that has the token, and of no browser. */
bool as_auth_is_bearer(const struct as_auth *auth, const struct as_headers *h);
/* Returns why a request may not write, although it is let in; else NULL. */
const char *as_auth_check_write(const struct as_auth *auth, const struct as_headers *h);
/* Opens a session. ASQ_EAUTH: the token is wrong; ASQ_EBUSY: too many were wrong; ASQ_ESYS. */
int as_auth_login(struct as_auth *auth, const char *token, int64_t now_ms, char id[AS_SECRET_TEXT]);
/* Ends the session of the request. */
void as_auth_logout(struct as_auth *auth, const struct as_headers *h);
/* Writes the name of the session's cookie. It has the port that the browser knows: cookies are for
 * a host, on which another as-studio may be. */
void as_auth_cookie_name(const struct as_headers *h, char name[AS_COOKIE_NAME]);
/* Copies the session's id of a request; "": it has none. */
void as_auth_session(const struct as_headers *h, char id[AS_SECRET_TEXT]);
bool as_auth_has_session(const struct as_auth *auth, const char *id, int64_t now_ms);

#endif
