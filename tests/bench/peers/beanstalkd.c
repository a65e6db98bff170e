/*
 * beanstalkd.c: beanstalkd by its own protocol, pipelined: the client puts jobs into the tube
 * "calls", the worker deletes each and puts an answer into "answers", which the client reserves and
 * deletes.
 */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { IN = 1 << 18, OUT = 1 << 20, RESERVES = 256, FEW = 64 };

struct conn {
    int fd;
    char in[IN];
    size_t n, at, body; /* body: bytes of a job still to be skipped */
    char out[OUT];
    size_t out_n;
};

static struct conn a, b; /* a: puts; b: takes */
static long unanswered;  /* puts whose answers have not been read */
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

static void put(const char *bytes, size_t n)
{
    char head[64] = "";
    int head_n = snprintf(head, sizeof head, "put 0 0 60 %zu\r\n", n);
    say(&a, head, (size_t) head_n);
    say(&a, bytes, n);
    say_text(&a, "\r\n");
    unanswered++;
}

static void conn_read(struct conn *c)
{
    if (c->at == 0 && c->n == IN)
        exit(1);
    memmove(c->in, c->in + c->at, c->n - c->at);
    c->n -= c->at;
    c->at = 0;
    ssize_t n = read(c->fd, c->in + c->n, IN - c->n);
    if (n <= 0)
        exit(1);
    c->n += (size_t) n;
}

/* Returns the next whole line, without its end; skips a reserved job's body. NULL: more has to
 * be read. */
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

/* Reads and drops the answers to puts. A Unix socket holds some 280 of them; beanstalkd then stops
 * reading this connection. */
static void drop_answers(void)
{
    conn_read(&a);
    while (next_line(&a))
        unanswered--;
}

static void conn_flush(struct conn *c)
{
    size_t done = 0;
    while (done < c->out_n) {
        ssize_t n = send(c->fd, c->out + done, c->out_n - done, MSG_DONTWAIT | MSG_NOSIGNAL);
        struct pollfd fds[] = { { c->fd, POLLOUT, 0 }, { a.fd, POLLIN, 0 } };
        if (n < 0 && errno != EAGAIN)
            exit(1);
        done += n > 0 ? (size_t) n : 0;
        if (n < 0 && poll(fds, 2, -1) > 0 && fds[1].revents)
            drop_answers();
    }
    c->out_n = 0;
}

/* Waits for the next line of `b`, and meanwhile drops the lines of `a`. */
static char *wait_line(void)
{
    char *line;
    while (!(line = next_line(&b))) {
        struct pollfd fds[] = { { b.fd, POLLIN, 0 }, { a.fd, POLLIN, 0 } };
        bool both = unanswered > FEW && poll(fds, 2, -1) > 0;
        if (both && fds[1].revents)
            drop_answers();
        if (!both || fds[0].revents)
            conn_read(&b);
    }
    return line;
}

/* Takes up to n of the present jobs, or waits for one. The connection that reserved a job deletes
 * it. Nothing is sent behind a reserve that waits. */
static int take(int n)
{
    int taken = 0;
    for (int asked = n; taken == 0; asked = 1) {
        for (int i = 0; i < asked; i++)
            say_text(&b, asked > 1 ? "reserve-with-timeout 0\r\n" : "reserve\r\n");
        conn_flush(&b);
        for (int answers = 0; answers < asked;) {
            const char *line = wait_line();
            if (strncmp(line, "RESERVED", 8) == 0) {
                delete_job(&b, line);
                taken++;
                answers++;
            } else if (strncmp(line, "TIMED_OUT", 9) == 0) {
                answers++;
            }
        }
    }
    return taken;
}

/* Waits until the server has executed all sent commands, because deleted jobs would otherwise be
 * there again. */
static void conn_finish(struct conn *c)
{
    conn_flush(c);
    shutdown(c->fd, SHUT_WR);
    while (read(c->fd, c->in, IN) > 0)
        ;
}

int peer_worker(const char *address, int one_at_a_time)
{
    if (conn_open(&a, address) < 0 || conn_open(&b, address) < 0)
        return 1;
    say_text(&a, "use answers\r\n");
    say_text(&b, "watch calls\r\nignore default\r\n");
    conn_flush(&a);
    for (;;) {
        for (int n = take(one_at_a_time ? 1 : RESERVES); n > 0; n--)
            put("", 0);
        conn_flush(&a);
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
    put(payload, payload_n);
    conn_flush(&a);
    take(1); /* the deletion leaves with the next */
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
            put(payload, payload_n);
        conn_flush(&a);
        done += (unsigned long) take(RESERVES);
    }
    span_print(&span, done);
    while (done < sent) /* empties the tubes for the next round */
        done += (unsigned long) take(1);
    conn_finish(&a);
    conn_finish(&b);
    return 0;
}

PEER_MAIN
