/*
 * beanstalkd.c: beanstalkd by its own protocol, pipelined: the client puts jobs into the tube "calls",
 * the worker deletes each and puts an answer into "answers", which the client reserves and deletes.
 */
#include "peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { IN = 1 << 18, OUT = 1 << 20, RESERVES = 256 };

struct conn {
    int fd;
    char in[IN];
    size_t n, at, body; /* body: bytes of a job still to be skipped */
    char out[OUT];
    size_t out_n;
};

static struct conn a, b; /* puts; takes */
static char *payload;
static size_t payload_n;

static int conn_open(struct conn *c, const char *path)
{
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    c->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return connect(c->fd, (struct sockaddr *) &to, sizeof to);
}

static void say(struct conn *c, const char *text, size_t n)
{
    if (c->out_n + n > OUT)
        exit(1);
    memcpy(c->out + c->out_n, text, n);
    c->out_n += n;
}

static void say_text(struct conn *c, const char *text)
{
    say(c, text, strlen(text));
}

static void conn_flush(struct conn *c)
{
    size_t done = 0;
    while (done < c->out_n) {
        ssize_t n = write(c->fd, c->out + done, c->out_n - done);
        if (n <= 0)
            exit(1);
        done += (size_t) n;
    }
    c->out_n = 0;
}

static void put(struct conn *c, const char *bytes, size_t n)
{
    char head[64];
    say(c, head, (size_t) snprintf(head, sizeof head, "put 0 0 60 %zu\r\n", n));
    say(c, bytes, n);
    say_text(c, "\r\n");
}

static void conn_read(struct conn *c)
{
    memmove(c->in, c->in + c->at, c->n - c->at);
    c->n -= c->at;
    c->at = 0;
    ssize_t n = read(c->fd, c->in + c->n, IN - c->n);
    if (n <= 0)
        exit(1);
    c->n += (size_t) n;
}

/* The next whole line, without its end; a reserved job's body is skipped. NULL: more has to be read. */
static char *next_line(struct conn *c)
{
    if (c->body) {
        if (c->n - c->at < c->body)
            return NULL;
        c->at += c->body;
        c->body = 0;
    }
    char *line = c->in + c->at, *end = memchr(line, '\n', c->n - c->at);
    unsigned long long id, n;
    if (!end)
        return NULL;
    *end = '\0';
    if (sscanf(line, "RESERVED %llu %llu", &id, &n) == 2) {
        size_t used = (size_t) (end + 1 - c->in);
        if (c->n - used < n + 2) {
            *end = '\n';
            return NULL;
        }
        c->body = n + 2;
    }
    c->at = (size_t) (end + 1 - c->in);
    return line;
}

static void delete_job(struct conn *c, const char *reserved)
{
    char text[64];
    unsigned long long id = strtoull(reserved + 9, NULL, 10);
    int n = snprintf(text, sizeof text, "delete %llu\r\n", id);
    say(c, text, (size_t) n);
}

/* Takes up to n jobs of those that are there, or else waits for one; each is deleted by the connection that
 * reserved it. Nothing is sent behind a reserve that waits; its wait is bounded, for behind other
 * commands beanstalkd 1.12 can forget to wake it. */
static int take(struct conn *c, int n)
{
    int taken = 0;
    char *line;
    for (int asked = n; taken == 0; asked = 1) {
        for (int i = 0; i < asked; i++)
            say_text(c, asked > 1 ? "reserve-with-timeout 0\r\n" : "reserve-with-timeout 1\r\n");
        conn_flush(c);
        for (int answers = 0; answers < asked;) {
            if (!(line = next_line(c))) {
                conn_read(c);
            } else if (strncmp(line, "RESERVED", 8) == 0) {
                delete_job(c, line);
                taken++;
                answers++;
            } else if (strncmp(line, "TIMED_OUT", 9) == 0) {
                answers++;
            }
        }
    }
    return taken;
}

/* Answers to what was put say nothing that is needed here. */
static void drop_answers(struct conn *c)
{
    struct pollfd fd = { c->fd, POLLIN, 0 };
    while (poll(&fd, 1, 0) > 0) {
        conn_read(c);
        while (next_line(c))
            ;
    }
}

int peer_worker(const char *address, int one_at_a_time)
{
    if (conn_open(&a, address) < 0 || conn_open(&b, address) < 0)
        return 1;
    say_text(&a, "use answers\r\n");
    say_text(&b, "watch calls\r\nignore default\r\n");
    conn_flush(&a);
    for (;;) {
        for (int n = take(&b, one_at_a_time ? 1 : RESERVES); n > 0; n--)
            put(&a, "", 0);
        conn_flush(&a);
        drop_answers(&a);
    }
}

int peer_open(const char *address, size_t bytes, int one_at_a_time)
{
    (void) one_at_a_time;
    payload = calloc(1, bytes + 1);
    payload_n = bytes;
    if (!payload || conn_open(&a, address) < 0 || conn_open(&b, address) < 0)
        return -1;
    say_text(&a, "use calls\r\n");
    say_text(&b, "watch answers\r\nignore default\r\n");
    conn_flush(&a);
    conn_flush(&b);
    return 0;
}

int peer_one(void)
{
    put(&a, payload, payload_n);
    conn_flush(&a);
    take(&b, 1); /* its deletion leaves with the next */
    drop_answers(&a);
    return 0;
}

int peer_async(const char *address, double seconds, size_t bytes)
{
    unsigned long sent = 0, done = 0;
    struct span span;
    if (peer_open(address, bytes, 0) < 0)
        return 1;
    for (span = span_start(seconds); span_on(&span, done);) {
        for (; sent < done + WINDOW; sent++)
            put(&a, payload, payload_n);
        conn_flush(&a);
        done += (unsigned long) take(&b, RESERVES);
        drop_answers(&a);
    }
    span_print(&span, done);
    while (done < sent) /* so that the next round finds none */
        done += (unsigned long) take(&b, 1);
    conn_flush(&b);
    return 0;
}

PEER_MAIN
