/*
 * http.c: see http.h. A request passes through these functions:
 *
 *     on_uri       the address has come: an exchange is made
 *     on_request   the head; each part of the body; the end, which as_route_request answers,
 *                  perhaps after the connection was suspended and an asker has resumed it
 *     on_end       answered, or the client is gone: the exchange is freed
 */
#include "studio/http.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "studio/exchange.h"
#include "studio/studio.h"
#include "studio/watcher.h"

enum { CONNECTIONS = 160, CONNECTION_BYTES = 32 * 1024, IDLE_S = 30 };

struct as_http {
    struct as_studio *studio;
    struct MHD_Daemon *daemon;
};

/* ---- answers ---- */

enum MHD_Result as_exchange_queue(struct as_exchange *x, unsigned status, const char *type,
                                  struct MHD_Response *r)
{
    static const char *const headers[][2] = {
        { "Content-Security-Policy",
          "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src "
          "'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'" },
        { "X-Content-Type-Options", "nosniff" },
        { "X-Frame-Options", "DENY" },
        { "Referrer-Policy", "no-referrer" },
        { "Cross-Origin-Resource-Policy", "same-origin" },
        { "Cross-Origin-Opener-Policy", "same-origin" },
    };
    if (!r)
        return MHD_NO; /* closes the connection */
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        MHD_add_response_header(r, headers[i][0], headers[i][1]);
    if (type)
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (!MHD_get_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL))
        MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    enum MHD_Result rc = MHD_queue_response(x->connection, status, r);
    MHD_destroy_response(r);
    return rc;
}

enum MHD_Result as_exchange_answer(struct as_exchange *x, unsigned status, const char *type,
                                   const char *text, size_t n, bool copy, const char *cookie)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        n, (void *) (uintptr_t) text, copy ? MHD_RESPMEM_MUST_COPY : MHD_RESPMEM_PERSISTENT);
    if (r && cookie)
        MHD_add_response_header(r, MHD_HTTP_HEADER_SET_COOKIE, cookie);
    if (r && status == MHD_HTTP_SERVICE_UNAVAILABLE)
        MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "2");
    if (r && status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, x->is_post ? "GET, HEAD" : "POST");
    return as_exchange_queue(x, status, type, r);
}

enum MHD_Result as_exchange_json(struct as_exchange *x, struct as_answer *a, const char *cookie)
{
    enum MHD_Result rc = MHD_NO;
    if (a->text)
        rc = as_exchange_answer(x, a->status, "application/json; charset=utf-8", a->text,
                                strlen(a->text), true, cookie);
    as_answer_release(a);
    return rc;
}

enum MHD_Result as_exchange_fail(struct as_exchange *x, unsigned status, const char *name,
                                 const char *message)
{
    struct as_answer a = { 0, NULL };
    as_answer_fail(&a, status, name, "%s", message);
    return as_exchange_json(x, &a, NULL);
}

enum MHD_Result as_exchange_too_large(struct as_exchange *x)
{
    return as_exchange_fail(x, 413, "TOO_LARGE",
                            x->body_max == AS_EXPORT_MAX  ? "an export may have 4 MiB"
                            : x->body_max == AS_LOGIN_MAX ? "a login may have 8 KiB"
                                                          : "the body may have 1 MiB");
}

const char *as_exchange_header(struct as_exchange *x, const char *name)
{
    return MHD_lookup_connection_value(x->connection, MHD_HEADER_KIND, name);
}

/* ---- libmicrohttpd ---- */

static void suspend(void *connection)
{
    MHD_suspend_connection(connection);
}

static void resume(void *connection)
{
    MHD_resume_connection(connection);
}

static void *on_uri(void *user, const char *uri, struct MHD_Connection *c)
{
    struct as_http *server = user;
    struct as_exchange *x = calloc(1, sizeof *x);
    if (!x)
        return NULL;
    x->studio = server->studio;
    x->connection = c;
    x->waiter.connection = c;
    if (!(x->uri = strdup(uri))) {
        free(x);
        return NULL;
    }
    return x;
}

/* Takes a part of the body. One that is too large, or that does not fit into memory, is read to its
 * end, and dropped. */
static void take_body(struct as_exchange *x, const char *data, size_t n)
{
    if (x->too_big)
        return;
    if (n > x->body_max - x->body_n) {
        x->too_big = true;
        return;
    }
    if (x->body_n + n + 1 > x->body_room) {
        size_t room = 2 * (x->body_n + n + 1);
        char *more = realloc(x->body, room);
        if (!more) {
            x->too_big = true;
            return;
        }
        x->body = more;
        x->body_room = room;
    }
    memcpy(x->body + x->body_n, data, n);
    x->body_n += n;
    x->body[x->body_n] = '\0';
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct as_exchange *x = *state;
    (void) user, (void) c, (void) url, (void) version;
    if (!x)
        return MHD_NO;
    if (!x->begun) {
        const char *length = as_exchange_header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
        x->begun = true;
        x->is_post = strcmp(method, "POST") == 0;
        if (!x->is_post && strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
            return as_exchange_fail(x, 405, "METHOD_NOT_ALLOWED", "only GET, HEAD and POST exist");
        if (length && strtoull(length, NULL, 10) > AS_EXPORT_MAX)
            return as_exchange_too_large(x);
        return as_route_head(x);
    }
    if (*upload_size) {
        take_body(x, upload, *upload_size);
        *upload_size = 0;
        return MHD_YES;
    }
    return as_route_request(x);
}

static void on_end(void *user, struct MHD_Connection *c, void **state,
                   enum MHD_RequestTerminationCode code)
{
    struct as_exchange *x = *state;
    (void) user, (void) c, (void) code;
    if (!x)
        return;
    *state = NULL;
    if (x->listener) {
        as_feed_leave(&x->studio->feed, x->listener);
        free(x->listener);
    }
    if (x->reading)
        as_askers_leave(&x->studio->askers, x->reading, &x->waiter);
    as_target_release(&x->target);
    if (x->body)
        explicit_bzero(x->body, x->body_n); /* it can have the token */
    free(x->body);
    free(x->uri);
    free(x);
}

/* Keeps libmicrohttpd quiet: it tells of each client that hangs up. */
static void drop_log(void *user, const char *fmt, va_list ap)
{
    (void) user, (void) fmt, (void) ap;
}

int as_http_start(struct as_studio *studio, struct as_http **ret, char *err, size_t errlen)
{
    struct as_http *server = calloc(1, sizeof *server);
    if (!server) {
        snprintf(err, errlen, "out of memory");
        return ASQ_ENOMEM;
    }
    server->studio = studio;
    studio->askers.suspend = studio->feed.suspend = suspend;
    studio->askers.resume = studio->feed.resume = resume;
    int rc = as_askers_start(&studio->askers, studio);
    int feed_rc = as_feed_init(&studio->feed, studio);
    if (feed_rc == 0)
        feed_rc = as_watch_start(&studio->feed);
    if (rc == 0 && feed_rc == 0)
        server->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL,
            NULL, on_request, server, MHD_OPTION_EXTERNAL_LOGGER, drop_log, NULL,
            MHD_OPTION_LISTEN_SOCKET, studio->listener, MHD_OPTION_CONNECTION_LIMIT,
            (unsigned) CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) CONNECTION_BYTES,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_S, MHD_OPTION_URI_LOG_CALLBACK, on_uri,
            server, MHD_OPTION_NOTIFY_COMPLETED, on_end, server, MHD_OPTION_END);
    if (server->daemon) {
        *ret = server;
        return 0;
    }
    rc = rc ? rc : feed_rc;
    snprintf(err, errlen, "the HTTP server cannot start: %s",
             rc ? strerror(rc) : "libmicrohttpd has failed");
    as_http_stop(server);
    return ASQ_ESYS;
}

void as_http_stop(struct as_http *server)
{
    struct as_studio *studio = server->studio;
    atomic_store(&studio->stopping, true);
    as_feed_close(&studio->feed);
    as_watch_join(&studio->feed);
    as_askers_stop(&studio->askers);
    /* Nobody suspends a connection any more, and all are resumed. */
    if (server->daemon)
        MHD_stop_daemon(server->daemon); /* closes the listener */
    else
        close(studio->listener);
    as_feed_release(&studio->feed);
    as_askers_release(&studio->askers);
    free(server);
}
