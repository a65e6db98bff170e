/*
 * collector.c: see collector.h. Each connection has a process; each request becomes a line
 * "STATUS BODY" of the file DIR/requests, and its head is appended to DIR/heads. The answer to the
 * next requests stands in DIR/answer, as "STATUS HEAD|BODY". With a file DIR/identity connections
 * begin with TLS; of clients that then make no request, DIR/refusals gets a line each.
 */
#include "collector.h"
#include "otlp_schema.h"
#include "peer.h"
#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <jansson.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, BODY_MAX = 1 << 26 };

struct sup_collector {
    int port;
    pid_t pid; /* 0: it does not run */
    char *dir, *url, *requests, *heads, *answer, *identity, *refusals;
    json_t **bodies; /* that were read, of spans */
    size_t nbodies;
    struct sup_span *spans;
    size_t nspans;
};

/* ---- the process ---- */

static bool read_all(const struct sup_peer *p, char *to, size_t n)
{
    while (n) {
        ssize_t got = sup_peer_read(p, to, n);
        if (got <= 0)
            return false;
        to += got;
        n -= (size_t) got;
    }
    return true;
}

/* Appends in one write, because other connections do, too. */
static void append(const char *path, const struct iovec *parts, int n)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (writev(fd, parts, n) < 0)
        perror(path);
    close(fd);
}

/* Sends the answer that is due, or that of a malformed request. */
static bool answer(const struct sup_peer *p, const char *due, int status)
{
    const char *head = strchr(due, ' ') + 1, *body = strchr(head, '|') + 1;
    char *reply =
        sup_format("HTTP/1.1 %d Answer\r\nContent-Type: application/json\r\n%.*sContent-Length: "
                   "%zu\r\n\r\n%s",
                   status, (int) (body - head - 1), head, strlen(body), body);
    bool sent = sup_peer_write(p, reply, strlen(reply));
    free(reply);
    return sent;
}

/* Serves one request. False: the connection is over. */
static bool serve(const sup_collector *c, const struct sup_peer *p)
{
    char head[HEAD_MAX] = "", status_text[16];
    size_t n = 0;
    while (n < 4 || memcmp(head + n - 4, "\r\n\r\n", 4) != 0) {
        if (n == sizeof head - 1 || sup_peer_read(p, head + n, 1) != 1)
            return false;
        n++;
    }
    head[n] = '\0';
    const char *length = strcasestr(head, "\r\nContent-Length:");
    size_t size = length ? strtoul(length + 17, NULL, 10) : 0;
    char *body = size <= BODY_MAX ? malloc(size + 1) : NULL;
    if (!body || !read_all(p, body, size)) {
        free(body);
        return false;
    }
    char *due = sup_read_file(c->answer);
    int status = atoi(due);
    bool fits = strncmp(head, "POST /v1/traces HTTP/1.1\r\n", 26) == 0 &&
                strcasestr(head, "\r\nContent-Type: application/json\r\n") && size;
    if (!fits)
        status = 400;
    append(c->heads, (struct iovec[]){ { head, n } }, 1);
    snprintf(status_text, sizeof status_text, "%d ", status);
    body[size] = '\n';
    append(c->requests,
           (struct iovec[]){ { status_text, strlen(status_text) }, { body, size + 1 } }, 2);
    free(body);
    if (status == SUP_COLLECTOR_STALLS) {
        pause();
        return false;
    }
    bool sent = answer(p, due, status);
    free(due);
    return sent;
}

/* Serves a connection until it is over. A client may end the handshake and then find the name
 * wrong. */
static void serve_all(const sup_collector *c, int fd)
{
    struct sup_peer p = { .fd = fd };
    bool secure = access(c->identity, R_OK) == 0;
    size_t served = 0;
    while ((served || !secure || sup_peer_secure(&p, c->identity)) && serve(c, &p))
        served++;
    if (secure && !served)
        append(c->refusals, (struct iovec[]){ { (char[]){ '\n' }, 1 } }, 1);
}

static void run(const sup_collector *c, int listener)
{
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN); /* OpenSSL writes to clients that are gone */
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(listener);
            serve_all(c, fd);
            _exit(0);
        }
        close(fd);
    }
}

void sup_collector_restart(sup_collector *c)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t) c->port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    sup_wait_until(bind(fd, (struct sockaddr *) &at, sizeof at) == 0);
    if (listen(fd, 64) < 0)
        sup_fail("listen: %m");
    pid_t parent = getpid();
    fflush(NULL);
    if ((c->pid = fork()) == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() == parent)
            run(c, fd);
        _exit(1);
    }
    close(fd);
}

/* Puts a file in place of another in one step. */
static void replace(const char *path, const char *text)
{
    char *new = sup_format("%s.new", path);
    FILE *f = fopen(new, "w");
    fputs(text, f);
    fclose(f);
    if (rename(new, path) < 0)
        sup_fail("%s: %m", path);
    free(new);
}

sup_collector *sup_collector_start(void)
{
    return sup_collector_start_as(NULL);
}

sup_collector *sup_collector_start_as(const char *identity)
{
    sup_collector *c = calloc(1, sizeof *c);
    static int number;
    c->port = sup_free_port();
    char *name = sup_format("collector.%d", number++);
    c->dir = sup_path(name);
    free(name);
    if (mkdir(c->dir, 0700) < 0)
        sup_fail("%s: %m", c->dir);
    c->requests = sup_format("%s/requests", c->dir);
    c->heads = sup_format("%s/heads", c->dir);
    c->answer = sup_format("%s/answer", c->dir);
    c->identity = sup_format("%s/identity", c->dir);
    c->refusals = sup_format("%s/refusals", c->dir);
    c->url = sup_format("%s://127.0.0.1:%d", identity ? "https" : "http", c->port); /* usual path */
    if (identity)
        sup_collector_identity(c, identity);
    sup_collector_answer(c, 200);
    sup_collector_restart(c);
    return c;
}

const char *sup_collector_url(const sup_collector *c)
{
    return c->url;
}

void sup_collector_answer(sup_collector *c, int status)
{
    sup_collector_answer_with(c, status, "", "{}");
}

void sup_collector_answer_with(sup_collector *c, int status, const char *head, const char *body)
{
    char *text = sup_format("%d %s|%s", status, head, body);
    replace(c->answer, text);
    free(text);
}

void sup_collector_identity(sup_collector *c, const char *identity)
{
    char *text = sup_read_file(identity);
    replace(c->identity, text);
    free(text);
}

void sup_collector_stop(sup_collector *c)
{
    if (c->pid) {
        kill(c->pid, SIGKILL);
        waitpid(c->pid, NULL, 0);
    }
    c->pid = 0;
}

/* ---- what has come ---- */

static void forget(sup_collector *c)
{
    for (size_t i = 0; i < c->nbodies; i++)
        json_decref(c->bodies[i]);
    free(c->bodies);
    free(c->spans);
    c->bodies = NULL;
    c->spans = NULL;
    c->nbodies = c->nspans = 0;
}

void sup_collector_free(sup_collector *c)
{
    if (!c)
        return;
    sup_collector_stop(c);
    forget(c);
    free(c->dir);
    free(c->url);
    free(c->requests);
    free(c->heads);
    free(c->answer);
    free(c->identity);
    free(c->refusals);
    free(c);
}

static int64_t number(const json_t *text)
{
    return strtoll(json_string_value(text), NULL, 10);
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static void add_span(sup_collector *c, const json_t *span, const json_t *resource)
{
    const json_t *status = json_object_get(span, "status");
    struct sup_span of_resource = { .attributes = json_object_get(resource, "attributes") };
    c->spans = realloc(c->spans, (c->nspans + 1) * sizeof *c->spans);
    c->spans[c->nspans++] = (struct sup_span){
        .trace = text_of(span, "traceId"),
        .id = text_of(span, "spanId"),
        .parent = text_of(span, "parentSpanId"),
        .state = text_of(span, "traceState"),
        .name = text_of(span, "name"),
        .service = sup_span_text(&of_resource, "service.name"),
        .instance = sup_span_text(&of_resource, "service.instance.id"),
        .kind = (int) json_integer_value(json_object_get(span, "kind")),
        .begin_ns = number(json_object_get(span, "startTimeUnixNano")),
        .end_ns = number(json_object_get(span, "endTimeUnixNano")),
        .status = (int) json_integer_value(json_object_get(status, "code")),
        .message = text_of(status, "message"),
        .attributes = json_object_get(span, "attributes"),
    };
}

static int by_begin(const void *a, const void *b)
{
    const struct sup_span *x = a, *y = b;
    return x->begin_ns < y->begin_ns ? -1 : x->begin_ns > y->begin_ns;
}

static void add_body(sup_collector *c, const char *text, size_t n)
{
    json_error_t error;
    char why[300];
    size_t i, k, j;
    json_t *body = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error), *r, *scope, *span;
    if (!body)
        sup_fail("a request is no JSON: %s: %.*s", error.text, (int) n, text);
    if (!sup_otlp_check(body, why, sizeof why))
        sup_fail("a request is not as OTLP has it: %s: %.*s", why, (int) n, text);
    c->bodies = realloc(c->bodies, (c->nbodies + 1) * sizeof(json_t *));
    c->bodies[c->nbodies++] = body;
    json_array_foreach(json_object_get(body, "resourceSpans"), i, r)
        json_array_foreach(json_object_get(r, "scopeSpans"), k, scope)
            json_array_foreach(json_object_get(scope, "spans"), j, span)
                add_span(c, span, json_object_get(r, "resource"));
}

size_t sup_collector_read(sup_collector *c)
{
    char *all = sup_read_file(c->requests), *line = all, *end;
    forget(c);
    for (; (end = strchr(line, '\n')); line = end + 1)
        if (strncmp(line, "200 ", 4) == 0)
            add_body(c, line + 4, (size_t) (end - line - 4));
        else if (strncmp(line, "400 ", 4) == 0)
            sup_fail("a request was not a POST of JSON to /v1/traces: %s", line);
    free(all);
    if (c->nspans)
        qsort(c->spans, c->nspans, sizeof *c->spans, by_begin);
    return c->nspans;
}

static size_t lines_of(const char *path)
{
    char *all = sup_read_file(path);
    int n = sup_count(all, "\n");
    free(all);
    return (size_t) n;
}

size_t sup_collector_requests(sup_collector *c)
{
    return lines_of(c->requests);
}

size_t sup_collector_refusals(sup_collector *c)
{
    return lines_of(c->refusals);
}

char *sup_collector_heads(sup_collector *c)
{
    return sup_read_file(c->heads);
}

static const struct sup_span *find(const sup_collector *c, const struct sup_span *above,
                                   const char *name, size_t i)
{
    for (size_t k = 0; k < c->nspans; k++) {
        const struct sup_span *s = &c->spans[k];
        if ((!name || strcmp(s->name, name) == 0) &&
            (!above ||
             (strcmp(s->parent, above->id) == 0 && strcmp(s->trace, above->trace) == 0)) &&
            i-- == 0)
            return s;
    }
    return NULL;
}

const struct sup_span *sup_collector_span(const sup_collector *c, const char *name, size_t i)
{
    return find(c, NULL, name, i);
}

const struct sup_span *sup_collector_child(const sup_collector *c, const struct sup_span *above,
                                           const char *name, size_t i)
{
    return find(c, above, name, i);
}

const char *sup_span_text(const struct sup_span *s, const char *key)
{
    size_t i;
    json_t *a;
    json_array_foreach((const json_t *) s->attributes, i,
                       a) if (strcmp(text_of(a, "key"), key) == 0)
    {
        const json_t *value = json_object_get(a, "value");
        const char *text = text_of(value, "stringValue");
        if (json_is_true(json_object_get(value, "boolValue")))
            return "true";
        return *text ? text : text_of(value, "intValue");
    }
    return "";
}
