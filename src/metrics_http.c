/*
 * metrics_http.c: see metrics_http.h.
 *
 * The thread waits in poll(), without a lock, and works with libmicrohttpd under `lock`. A fork
 * takes the lock first, so no lock of a library is held by the thread meanwhile, which does not
 * exist in the child. The child closes the descriptors, and does nothing else with libmicrohttpd:
 * an orderly end would shut down the parent's connections.
 */
#include "metrics_http.h"

#include <stdio.h>

#ifdef HAVE_LIBMICROHTTPD

#include <errno.h>
#include <limits.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "listen.h"

enum { CONNECTIONS = 32, CONNECTION_BYTES = 16 * 1024, IDLE_S = 10 };

static struct {
    int listener; /* -1: none */
    int events;   /* the daemon's descriptor for poll() */
    int connections[CONNECTIONS];
    struct MHD_Daemon *daemon;
    const asq_worker *worker;
    bool serves; /* in this process */
    pthread_mutex_t lock;
    pthread_barrier_t begun;
} http = { .listener = -1, .events = -1, .lock = PTHREAD_MUTEX_INITIALIZER };

int as_metrics_listen(const char *address, char *err, size_t errlen)
{
    static const struct as_listen_option option = {
        "--metrics", "9464",
        " (one port serves all processes of a worker; give each worker its own)"
    };
    int fd = as_listen(&option, address, err, errlen);
    if (fd < 0)
        return fd;
    http.listener = fd;
    return 0;
}

/* ---- answers ---- */

/* Returns the weight (0 to 1) that an Accept header gives to a type, or to all types; -1: none. */
static double accepted(const char *header, const char *type)
{
    size_t n = strlen(type);
    double q = -1;
    for (const char *at = header; at && *at; at = strchr(at, ','), at += at != NULL) {
        at += strspn(at, " \t");
        size_t end = strcspn(at, ",");
        size_t word = strcspn(at, ",; \t");
        if (word != n || strncasecmp(at, type, n) != 0)
            continue;
        const char *weight = memmem(at, end, "q=", 2);
        double given = weight ? strtod(weight + 2, NULL) : 1;
        q = given > q ? given : q;
    }
    return q;
}

/* Returns whether the client takes OpenMetrics at least as much as plain text. */
static bool wants_openmetrics(struct MHD_Connection *c)
{
    const char *header = MHD_lookup_connection_value(c, MHD_HEADER_KIND, MHD_HTTP_HEADER_ACCEPT);
    double open = accepted(header, "application/openmetrics-text");
    return open > 0 && open >= accepted(header, "text/plain");
}

/* Answers with a text, which is freed. */
static enum MHD_Result answer(struct MHD_Connection *c, unsigned status, const char *type,
                              char *text)
{
    struct MHD_Response *r =
        text ? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!r) {
        free(text);
        return MHD_NO; /* closes the connection */
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result rc = MHD_queue_response(c, status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result answer_text(struct MHD_Connection *c, unsigned status, const char *text)
{
    char *line = NULL;
    return answer(c, status, "text/plain; charset=utf-8",
                  asprintf(&line, "%s\n", text) < 0 ? NULL : line);
}

static enum MHD_Result answer_metrics(struct MHD_Connection *c)
{
    bool open = wants_openmetrics(c);
    char *text;
    int rc = asq_worker_metrics(http.worker, open, &text);
    if (rc < 0)
        return answer_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, asq_strerror(rc));
    return answer(c, MHD_HTTP_OK,
                  open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                       : "text/plain; version=0.0.4; charset=utf-8",
                  text);
}

static enum MHD_Result on_request(void *user, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    char why[300];
    (void) user, (void) version, (void) upload, (void) upload_size, (void) state;
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        return answer_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are possible");
    if (strcmp(url, "/metrics") == 0)
        return answer_metrics(c);
    if (strcmp(url, "/healthz") == 0)
        return answer_text(c, MHD_HTTP_OK, "ok");
    if (strcmp(url, "/readyz") == 0)
        return asq_worker_ready(http.worker, why, sizeof why) == 0
                   ? answer_text(c, MHD_HTTP_OK, "ready")
                   : answer_text(c, MHD_HTTP_SERVICE_UNAVAILABLE, why);
    return answer_text(c, MHD_HTTP_NOT_FOUND, "there are /metrics, /healthz and /readyz");
}

/* Keeps the descriptors of connections, for forked processes. */
static void on_connection(void *user, struct MHD_Connection *c, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    int found = code == MHD_CONNECTION_NOTIFY_STARTED ? -1 : info ? info->connect_fd : -1;
    (void) user, (void) state;
    for (size_t i = 0; info && i < CONNECTIONS; i++)
        if (http.connections[i] == found) {
            http.connections[i] = code == MHD_CONNECTION_NOTIFY_STARTED ? info->connect_fd : -1;
            return;
        }
}

/* ---- the thread, and forks ---- */

static void before_fork(void)
{
    if (http.serves)
        pthread_mutex_lock(&http.lock);
}

static void after_fork(void)
{
    if (http.serves)
        pthread_mutex_unlock(&http.lock);
}

/* The lock stays taken: what is behind it is the parent's. */
static void in_child(void)
{
    if (!http.serves)
        return;
    http.serves = false;
    close(http.listener);
    close(http.events);
    for (size_t i = 0; i < CONNECTIONS; i++)
        if (http.connections[i] >= 0)
            close(http.connections[i]);
}

static void *serve(void *arg)
{
    (void) arg;
    pthread_barrier_wait(&http.begun);
    for (;;) {
        MHD_UNSIGNED_LONG_LONG ms;
        int wait_ms = -1;
        struct pollfd fd = { http.events, POLLIN, 0 };
        pthread_mutex_lock(&http.lock);
        MHD_run(http.daemon);
        if (MHD_get_timeout(http.daemon, &ms) == MHD_YES)
            wait_ms = ms < INT_MAX ? (int) ms : INT_MAX;
        pthread_mutex_unlock(&http.lock);
        poll(&fd, 1, wait_ms);
    }
    return NULL;
}

int as_metrics_serve(const asq_worker *w, char *text, size_t size)
{
    char url[300];
    pthread_t thread;
    sigset_t all, old;
    for (size_t i = 0; i < CONNECTIONS; i++)
        http.connections[i] = -1;
    http.worker = w;
    http.daemon = MHD_start_daemon(
        MHD_USE_EPOLL, 0, NULL, NULL, on_request, NULL, MHD_OPTION_LISTEN_SOCKET, http.listener,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned) CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t) CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned) IDLE_S,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, NULL, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        http.daemon ? MHD_get_daemon_info(http.daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info) {
        snprintf(text, size, "--metrics: libmicrohttpd cannot start");
        return ASQ_ESYS;
    }
    http.events = info->epoll_fd;
    pthread_atfork(before_fork, after_fork, in_child);
    sigfillset(&all); /* signals are for the thread that supervises */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_barrier_init(&http.begun, NULL, 2);
    int failed = pthread_create(&thread, NULL, serve, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        snprintf(text, size, "--metrics: no thread can be started: %s", strerror(failed));
        return ASQ_ESYS;
    }
    /* A library that takes part in starting a thread, as AddressSanitizer does, may hold a lock
     * until the thread has begun. A process forked meanwhile would never get that lock. */
    pthread_barrier_wait(&http.begun);
    pthread_detach(thread);
    http.serves = true;
    as_listen_url(http.listener, url, sizeof url);
    snprintf(text, size, "metrics are served at %s/metrics, with /healthz and /readyz", url);
    return 0;
}

#else

int as_metrics_listen(const char *address, char *err, size_t errlen)
{
    snprintf(err, errlen,
             "--metrics %s: this as-worker was built without libmicrohttpd; build it with that "
             "(Debian: libmicrohttpd-dev)",
             address);
    return ASQ_ENOTSUP;
}

int as_metrics_serve(const asq_worker *w, char *text, size_t size)
{
    (void) w;
    snprintf(text, size, "--metrics: this as-worker was built without libmicrohttpd");
    return ASQ_ENOTSUP;
}

#endif
