/*
 * collector.c: see collector.h. Relies on nothing of the program: no signal, no redirection, no
 * certificate that does not hold.
 */
#include "client/collector.h"

#include "asqueue.h"
#include "value/error.h"

#ifndef HAVE_LIBCURL

int asq__collector_check(const char *url, char *err, size_t errlen)
{
    (void) url;
    return asq__err(err, errlen, ASQ_ENOTSUP,
                    "traces cannot be exported: asqueue was built without libcurl");
}

int asq__collector_new(const char *url, struct asq__collector **ret, char *err, size_t errlen)
{
    (void) ret;
    return asq__collector_check(url, err, errlen);
}

void asq__collector_free(struct asq__collector *c)
{
    (void) c;
}

enum asq__collector_answer asq__collector_send(struct asq__collector *c, const void *body, size_t n,
                                               char why[ASQ__COLLECTOR_WHY])
{
    (void) c, (void) body, (void) n;
    why[0] = '\0';
    return ASQ__COLLECTOR_REFUSED;
}

uint64_t asq__collector_rejected(const struct asq__collector *c)
{
    (void) c;
    return 0;
}

int64_t asq__collector_wait_ms(const struct asq__collector *c)
{
    (void) c;
    return 0;
}

void asq__collector_stop_at(struct asq__collector *c, int64_t ms)
{
    (void) c, (void) ms;
}

const char *asq__collector_url(const struct asq__collector *c)
{
    (void) c;
    return "";
}

#else

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redis/fork_guard.h"
#include "value/clock.h"
#include "value/fd.h"
#include "value/otlp.h"

#define CA_VARIABLE "OTEL_EXPORTER_OTLP_CERTIFICATE"

enum {
    CONNECT_MS = 5000,
    REQUEST_MS = 10000,
    WAIT_MAX_S = 30, /* that a collector may ask for */
    HEADERS_MAX = 64,
    ANSWER_MAX = 64 * 1024
};

struct asq__collector {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    char *url, *shown;
    char *ca; /* file of the CAs to trust; NULL: those of the system */
    char why[CURL_ERROR_SIZE];
    char answer[ANSWER_MAX]; /* the begin of its body */
    size_t nanswer;
    bool cut; /* the answer */
    uint64_t rejected;
    int64_t wait_ms;
    atomic_llong stop_ms; /* INT64_MAX: not yet */
};

/* ---- headers ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Writes "NAME: VALUE" for NAME=VALUE, whose value has bytes as %XX. False: it is none. */
static bool read_header(const char *s, size_t n, char *out)
{
    static const char token[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                "!#$%&'*+-.^_`|~";
    size_t name = strspn(s, token), i;
    if (name == 0 || name >= n || s[name] != '=')
        return false;
    memcpy(out, s, name);
    out += name;
    out = stpcpy(out, ": ");
    for (i = name + 1; i < n; i++) {
        int high = s[i] == '%' && i + 2 < n ? hex_digit(s[i + 1]) : -1;
        int low = high < 0 ? -1 : hex_digit(s[i + 2]);
        unsigned char c = (unsigned char) s[i];
        if (low >= 0) {
            c = (unsigned char) (high << 4 | low);
            i += 2;
        }
        if (c < ' ' || c == 0x7f)
            return false;
        *out++ = (char) c;
    }
    *out = '\0';
    return true;
}

/* Reads "NAME=VALUE,NAME=VALUE". What is wrong is told by its number, because it can be secret. */
static int read_headers(const char *text, struct curl_slist **ret, char *err, size_t errlen)
{
    struct curl_slist *list = NULL;
    int rc = 0;
    unsigned number = 0;
    for (const char *s = text; rc == 0 && *s;) {
        s += strspn(s, " \t");
        size_t n = strcspn(s, ","), used = n;
        while (used && (s[used - 1] == ' ' || s[used - 1] == '\t'))
            used--;
        char *line = malloc(used + 3);
        if (line && used && (++number > HEADERS_MAX || !read_header(s, used, line))) {
            rc = asq__err(err, errlen, ASQ_EINVAL,
                          "header %u of OTEL_EXPORTER_OTLP_HEADERS is not NAME=VALUE, or one of "
                          "more than %d",
                          number, HEADERS_MAX);
        } else if (line && used) {
            struct curl_slist *more = curl_slist_append(list, line);
            rc = more ? 0 : ASQ_ENOMEM;
            list = more ? more : list;
        }
        if (line)
            explicit_bzero(line, used + 3);
        else
            rc = ASQ_ENOMEM;
        free(line);
        s += n + (s[n] == ',');
    }
    if (rc == ASQ_ENOMEM)
        asq__err(err, errlen, rc, "out of memory");
    if (rc == 0)
        *ret = list;
    else
        curl_slist_free_all(list);
    return rc;
}

/* ---- sockets ---- */

/* Opens a socket that programs which are executed do not have, nor processes that a worker's method
 * forks. */
static curl_socket_t open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *a)
{
    (void) user, (void) purpose;
    int fd = asq__fd_keep(socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol));
    if (fd < 0)
        return CURL_SOCKET_BAD;
    asq__fork_guard_add(fd);
    return fd;
}

static int close_socket(void *user, curl_socket_t fd)
{
    (void) user;
    asq__fork_guard_remove(fd);
    return close(fd);
}

/* Keeps the begin of an answer. */
static size_t take_answer(char *data, size_t size, size_t n, void *user)
{
    struct asq__collector *c = user;
    size_t room = sizeof c->answer - c->nanswer, got = size * n;
    memcpy(c->answer + c->nanswer, data, got < room ? got : room);
    c->nanswer += got < room ? got : room;
    c->cut = c->cut || got > room;
    return got;
}

/* ---- life ---- */

static void begin_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* Returns the part of a URL, which may be absent. */
static char *part(CURLU *u, CURLUPart which)
{
    char *text = NULL;
    return curl_url_get(u, which, &text, 0) == CURLUE_OK ? text : NULL;
}

/* Completes a URL without a path, and makes the text of it that may be shown. */
static int take_url(struct asq__collector *c, const char *url, char *err, size_t errlen)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *user = NULL, *password = NULL, *path = NULL, *whole = NULL, *shown = NULL;
    bool valid = u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK;
    int rc = 0;
    if (valid) {
        scheme = part(u, CURLUPART_SCHEME);
        user = part(u, CURLUPART_USER);
        password = part(u, CURLUPART_PASSWORD);
        path = part(u, CURLUPART_PATH);
    }
    if (!scheme || (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        rc = asq__err(err, errlen, ASQ_EINVAL,
                      "the collector's URL is not http://HOST[:PORT][/v1/traces], or https:");
    } else if (user || password) {
        rc = asq__err(err, errlen, ASQ_EINVAL,
                      "the collector's URL has a user or a password; other users can see those: "
                      "set OTEL_EXPORTER_OTLP_HEADERS=Authorization=… in the environment");
    } else {
        bool bare = !path || strcmp(path, "/") == 0;
        if (bare && curl_url_set(u, CURLUPART_PATH, "/v1/traces", 0) != CURLUE_OK)
            rc = ASQ_ENOMEM;
        whole = rc == 0 ? part(u, CURLUPART_URL) : NULL;
        curl_url_set(u, CURLUPART_QUERY, NULL, 0);
        curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
        shown = part(u, CURLUPART_URL);
        if (!whole || !shown || !(c->url = strdup(whole)) || !(c->shown = strdup(shown)))
            rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    }
    curl_free(scheme);
    curl_free(user);
    curl_free(password);
    curl_free(path);
    curl_free(whole);
    curl_free(shown);
    curl_url_cleanup(u);
    return rc;
}

/* Takes the file of the CAs to trust, which is not read before the first request. */
static int take_ca(struct asq__collector *c, char *err, size_t errlen)
{
    const char *ca = secure_getenv(CA_VARIABLE);
    if (!ca || !*ca || strncmp(c->url, "https:", 6) != 0)
        return 0;
    if (access(ca, R_OK) < 0)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "the file of CAs of " CA_VARIABLE " cannot be read: %.200s: %s", ca,
                        strerror(errno));
    return (c->ca = strdup(ca)) ? 0 : asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
}

static bool set_options(struct asq__collector *c)
{
    struct curl_slist *more = curl_slist_append(c->headers, "Content-Type: application/json");
    if (more)
        c->headers = more;
    struct curl_slist *all = more ? curl_slist_append(c->headers, "Expect:") : NULL;
    if (all)
        c->headers = all;
    bool ok = all;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_URL, c->url) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, c->headers) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_POST, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_CONNECTTIMEOUT_MS, (long) CONNECT_MS) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_TIMEOUT_MS, (long) REQUEST_MS) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    /* None from the environment: it would get the headers, and programs may change the environment
     * while this thread reads it. */
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_PROXY, "") == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_USERAGENT, "asqueue/" PACKAGE_VERSION) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, c->why) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_WRITEDATA, c) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK;
    ok = ok && curl_easy_setopt(c->easy, CURLOPT_CLOSESOCKETFUNCTION, close_socket) == CURLE_OK;
#if LIBCURL_VERSION_NUM >= 0x075700
    curl_easy_setopt(c->easy, CURLOPT_QUICK_EXIT, 1L); /* do not wait for a resolver at the end */
#endif
    return ok && (!c->ca || curl_easy_setopt(c->easy, CURLOPT_CAINFO, c->ca) == CURLE_OK);
}

int asq__collector_new(const char *url, struct asq__collector **ret, char *err, size_t errlen)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *headers = secure_getenv("OTEL_EXPORTER_OTLP_HEADERS");
    pthread_once(&once, begin_curl);
    struct asq__collector *c = calloc(1, sizeof *c);
    if (!c)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    atomic_init(&c->stop_ms, INT64_MAX);
    int rc = take_url(c, url, err, errlen);
    if (rc == 0)
        rc = take_ca(c, err, errlen);
    if (rc == 0 && headers)
        rc = read_headers(headers, &c->headers, err, errlen);
    if (rc == 0 &&
        (!(c->multi = curl_multi_init()) || !(c->easy = curl_easy_init()) || !set_options(c)))
        rc = asq__err(err, errlen, ASQ_ENOMEM, "libcurl cannot be set up for %s", c->shown);
    if (rc < 0)
        asq__collector_free(c);
    else
        *ret = c;
    return rc;
}

int asq__collector_check(const char *url, char *err, size_t errlen)
{
    struct asq__collector *c;
    int rc = asq__collector_new(url, &c, err, errlen);
    if (rc == 0)
        asq__collector_free(c);
    return rc;
}

void asq__collector_free(struct asq__collector *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    curl_multi_cleanup(c->multi);
    curl_slist_free_all(c->headers);
    free(c->url);
    free(c->shown);
    free(c->ca);
    free(c);
}

const char *asq__collector_url(const struct asq__collector *c)
{
    return c->shown;
}

/* ---- requests ---- */

uint64_t asq__collector_rejected(const struct asq__collector *c)
{
    return c->rejected;
}

int64_t asq__collector_wait_ms(const struct asq__collector *c)
{
    return c->wait_ms;
}

void asq__collector_stop_at(struct asq__collector *c, int64_t ms)
{
    atomic_store(&c->stop_ms, ms);
    curl_multi_wakeup(c->multi);
}

/* Runs the request that was added. CURLE_ABORTED_BY_CALLBACK: it was stopped. */
static CURLcode run(struct asq__collector *c)
{
    int running = 1, left;
    while (running) {
        int64_t rest = atomic_load(&c->stop_ms) - asq__now_ms();
        if (rest <= 0)
            return CURLE_ABORTED_BY_CALLBACK;
        if (curl_multi_perform(c->multi, &running) != CURLM_OK)
            return CURLE_FAILED_INIT;
        if (running)
            curl_multi_poll(c->multi, NULL, 0, rest < REQUEST_MS ? (int) rest : REQUEST_MS, NULL);
    }
    const CURLMsg *m = curl_multi_info_read(c->multi, &left);
    return m && m->msg == CURLMSG_DONE ? m->data.result : CURLE_FAILED_INIT;
}

/* Says why a request has failed. libcurl's text about a connection that is refused or late says how
 * long that took: it would differ each time, and be logged each time. */
static void tell_failure(const struct asq__collector *c, CURLcode code,
                         char why[ASQ__COLLECTOR_WHY])
{
    curl_off_t connected_us = 0;
    long unverified = 0; /* stays 0 when it is the name that is wrong */
    curl_easy_getinfo(c->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    curl_easy_getinfo(c->easy, CURLINFO_SSL_VERIFYRESULT, &unverified);
    if (code == CURLE_OPERATION_TIMEDOUT && connected_us)
        snprintf(why, ASQ__COLLECTOR_WHY, "it has not answered within %d s", REQUEST_MS / 1000);
    else if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_COULDNT_CONNECT || !*c->why)
        snprintf(why, ASQ__COLLECTOR_WHY, "%s", curl_easy_strerror(code));
    else
        snprintf(why, ASQ__COLLECTOR_WHY, "%s%s", c->why,
                 code == CURLE_PEER_FAILED_VERIFICATION && unverified
                     ? "; " CA_VARIABLE " names the file of CAs to trust"
                     : "");
}

enum asq__collector_answer asq__collector_send(struct asq__collector *c, const void *body, size_t n,
                                               char why[ASQ__COLLECTOR_WHY])
{
    long status = 0;
    curl_off_t wait_s = 0;
    c->why[0] = '\0';
    c->nanswer = 0;
    c->cut = false;
    c->rejected = 0;
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(c->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) n);
    CURLcode code = CURLE_FAILED_INIT;
    if (curl_multi_add_handle(c->multi, c->easy) == CURLM_OK) {
        code = run(c);
        curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
        curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &wait_s);
        curl_multi_remove_handle(c->multi, c->easy);
    }
    c->wait_ms = (wait_s < WAIT_MAX_S ? wait_s : WAIT_MAX_S) * 1000;
    if (code == CURLE_OK && status >= 200 && status < 300) {
        c->rejected = asq__otlp_rejects(c->answer, c->nanswer, !c->cut, why, ASQ__COLLECTOR_WHY);
        return c->rejected ? ASQ__COLLECTOR_TOOK_PART : ASQ__COLLECTOR_TOOK;
    }
    if (code == CURLE_OK)
        snprintf(why, ASQ__COLLECTOR_WHY, "it answers %ld", status);
    else
        tell_failure(c, code, why);
    /* The statuses that the specification of OTLP calls retryable. */
    return code != CURLE_OK || status == 429 || status == 502 || status == 503 || status == 504
               ? ASQ__COLLECTOR_AWAY
               : ASQ__COLLECTOR_REFUSED;
}

#endif
