/*
 * floor_io.c: the floor's connections: hiredis connects and parses. Commands are formatted into one
 * buffer and large arguments written from where they are, because hiredis 0.14's own buffer is
 * moved to its front with each partial write, and reads have larger pieces than its 16 KiB. With
 * payloads of 1 MiB, these would take most of the floor's time.
 */
#include "bench.h"
#include "floor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_PIECE = 256 * 1024, LARGE = 32 * 1024 };

void floor_connect(struct floor_conn *c, const char *socket)
{
    memset(c, 0, sizeof *c);
    c->c = redisConnectUnix(socket);
    if (!c->c || c->c->err)
        fail_client("floor: %s: %s", socket, c->c ? c->c->errstr : "out of memory");
    c->c->reader->maxbuf = 0; /* the buffer is kept, however large it has become */
}

void floor_close(struct floor_conn *c)
{
    redisFree(c->c);
    free(c->out);
}

static void write_all(struct floor_conn *c, const char *data, size_t n)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = write(c->c->fd, data + done, n - done);
        if (k < 0 && errno != EINTR)
            fail_client("floor: %s", strerror(errno));
        done += k > 0 ? (size_t) k : 0;
    }
}

void floor_write(struct floor_conn *c)
{
    write_all(c, c->out, c->n);
    c->n = 0;
}

static void add(struct floor_conn *c, const char *data, size_t n)
{
    if (c->n + n > c->cap) {
        c->cap = (c->n + n) * 2;
        c->out = realloc(c->out, c->cap);
        if (!c->out)
            fail_client("floor: out of memory");
    }
    memcpy(c->out + c->n, data, n);
    c->n += n;
}

/* Adds a length such as "$12\r\n". Most of the formatted text is of this kind. */
static void add_length(struct floor_conn *c, char type, size_t n)
{
    char text[24], *p = text + sizeof text;
    *--p = '\n';
    *--p = '\r';
    do
        *--p = (char) ('0' + n % 10);
    while ((n /= 10) > 0);
    *--p = type;
    add(c, p, (size_t) (text + sizeof text - p));
}

void floor_command(struct floor_conn *c, size_t argc, const char *const *argv, const size_t *lens)
{
    add_length(c, '*', argc);
    for (size_t i = 0; i < argc; i++) {
        size_t n = lens ? lens[i] : strlen(argv[i]);
        add_length(c, '$', n);
        if (n < LARGE) {
            add(c, argv[i], n);
        } else {
            floor_write(c);
            write_all(c, argv[i], n);
        }
        add(c, "\r\n", 2);
    }
}

void floor_read(struct floor_conn *c)
{
    static char piece[READ_PIECE];
    ssize_t n = read(c->c->fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0)
        fail_client("floor: %s", n < 0 ? strerror(errno) : "Redis closed the connection");
    if (redisReaderFeed(c->c->reader, piece, (size_t) n) != REDIS_OK)
        fail_client("floor: %s", c->c->reader->errstr);
}

redisReply *floor_reply(struct floor_conn *c)
{
    void *reply = NULL;
    if (redisReaderGetReply(c->c->reader, &reply) != REDIS_OK)
        fail_client("floor: %s", c->c->reader->errstr);
    if (reply && ((redisReply *) reply)->type == REDIS_REPLY_ERROR)
        fail_client("floor: %s", ((redisReply *) reply)->str);
    return reply;
}
