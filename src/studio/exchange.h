/*
 * exchange.h: one request and its answer, between http.c, which gets it from libmicrohttpd, and
 * router.c, which decides what it means.
 */
#ifndef ASQ_SRC_STUDIO_EXCHANGE_H
#define ASQ_SRC_STUDIO_EXCHANGE_H

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "studio/auth.h"
#include "studio/askers.h"
#include "studio/target.h"
#include "studio/feed.h"

struct as_studio;

enum { AS_LOGIN_MAX = 8 * 1024, AS_BODY_MAX = 1024 * 1024, AS_EXPORT_MAX = 4 * 1024 * 1024 };
#define AS_EXPORT_PATH "/v1/traces"

struct as_exchange {
    struct as_studio *studio;
    struct MHD_Connection *connection;
    char *uri;       /* as it was sent */
    bool begun;      /* the head has come */
    bool too_big;    /* the body is */
    size_t body_max; /* what goes beyond it is read, and dropped */
    char *body;
    size_t body_n, body_room;
    struct as_target target;
    struct as_headers headers;
    bool is_post;
    struct as_reading *reading; /* or NULL */
    struct as_waiter waiter;
    struct as_listener *listener; /* or NULL */
};

/* Takes the head of a request, and decides how large a body is kept: none where its sender, or
 * anybody, may not send one, so that only who is logged in can have memory taken. Answers an
 * address that is none. */
enum MHD_Result as_route_head(struct as_exchange *x);
/* Answers a request that has come as a whole, or suspends its connection. */
enum MHD_Result as_route_request(struct as_exchange *x);

/* Queues an answer, a copy of the text if `copy`, else borrowed until the exchange is over. cookie:
 * a header Set-Cookie, or NULL. */
enum MHD_Result as_exchange_answer(struct as_exchange *x, unsigned status, const char *type,
                                   const char *text, size_t n, bool copy, const char *cookie);
/* Queues an answer of JSON, and releases it. */
enum MHD_Result as_exchange_json(struct as_exchange *x, struct as_answer *a, const char *cookie);
/* Queues a failure of the server's own. */
enum MHD_Result as_exchange_fail(struct as_exchange *x, unsigned status, const char *name,
                                 const char *message);
/* The same for a body that is too large. */
enum MHD_Result as_exchange_too_large(struct as_exchange *x);
/* Queues what all answers have, and the response; destroys it. NULL: no memory. */
enum MHD_Result as_exchange_queue(struct as_exchange *x, unsigned status, const char *type,
                                  struct MHD_Response *r);
/* Returns a header of the request, or NULL. */
const char *as_exchange_header(struct as_exchange *x, const char *name);

#endif
