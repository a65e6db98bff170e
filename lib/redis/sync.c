/*
 * sync.c: see sync.h.
 */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/greeting.h"
#include "redis/link.h"
#include "redis/password.h"
#include "redis/route.h"
#include "redis/sync.h"
#include "redis/tls.h"
#include "redis/url.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"

enum { READ_SIZE = 16 * 1024 };
#define MAX_BYTES ((size_t) 64 * 1024 * 1024) /* of unsent commands, and of one reply */

struct asq__sync {
    struct asq__link link;
    struct asq__route route; /* leads the link to the server */
    redisReader *reader;
    struct asq__buf out;
    size_t max_bytes;
    size_t sent;     /* bytes of `out`; sending goes on here after a cancelled wait */
    unsigned unread; /* pending replies */
    int64_t timeout_ms;
    int cancel_fd;
    bool cancelled;
    char why[ASQ__TLS_WHY];
};

static int fail(struct asq__sync *s, int code, const char *why)
{
    return asq__err(s->why, sizeof s->why, code, "%s", why);
}

/* Waits for a descriptor (-1: only for the time). ASQ_ECONN: not within the time, or cancelled. */
static int wait_for(struct asq__sync *s, int fd, bool writing, int64_t ms)
{
    struct pollfd fds[] = { { fd, writing ? POLLOUT : POLLIN, 0 }, { s->cancel_fd, POLLIN, 0 } };
    poll(fds, 2, ms > 60000 ? 60000 : (int) ms);
    if (!fds[1].revents)
        return 0;
    s->cancelled = true;
    return fail(s, ASQ_ECONN, "its caller does not want it any more");
}

static int connect_link(struct asq__sync *s)
{
    int rc = asq__route_open(&s->route, s->timeout_ms);
    while (rc == 0) {
        bool writing;
        int fd = asq__route_fd(&s->route, &writing);
        if (wait_for(s, fd, writing, asq__route_wait_ms(&s->route)) < 0)
            return ASQ_ECONN;
        rc = asq__route_step(&s->route);
    }
    return rc < 0 ? fail(s, rc, s->link.why) : 0;
}

/* ---- commands ---- */

static int send_all(struct asq__sync *s, int64_t deadline)
{
    while (s->sent < s->out.len) {
        ssize_t n = asq__link_send(&s->link, s->out.data + s->sent, s->out.len - s->sent);
        if (n < 0)
            break; /* Redis may have sent a reason, which is read next */
        s->sent += (size_t) n;
        if (n > 0)
            continue;
        int64_t left = deadline - asq__now_ms();
        if (left <= 0)
            return fail(s, ASQ_ECONN, "Redis does not take what is sent");
        int rc = wait_for(s, s->link.fd, !s->link.send_wants_read, left);
        if (rc < 0)
            return rc;
    }
    asq__buf_reset(&s->out);
    s->sent = 0;
    return 0;
}

/* Reads available bytes, or waits for more. */
static int read_more(struct asq__sync *s, int64_t deadline)
{
    char bytes[READ_SIZE];
    ssize_t n = asq__link_recv(&s->link, bytes, sizeof bytes);
    if (n < 0)
        return fail(s, ASQ_ECONN, s->link.why);
    if (n == 0) {
        int64_t left = deadline - asq__now_ms();
        if (left <= 0)
            return fail(s, ASQ_ECONN, "no answer within the timeout");
        return wait_for(s, s->link.fd, s->link.recv_wants_write, left);
    }
    if (redisReaderFeed(s->reader, bytes, (size_t) n) != REDIS_OK)
        return fail(s, ASQ_ENOMEM, "out of memory for what Redis sends");
    if (s->reader->len - s->reader->pos > s->max_bytes)
        return fail(s, ASQ_ECONN, "Redis sends more bytes than any request asked for");
    return 0;
}

static redisReply *read_reply(struct asq__sync *s)
{
    int64_t deadline = asq__deadline_ms(s->timeout_ms);
    void *reply = NULL;
    if (send_all(s, deadline) < 0)
        return NULL;
    for (;;) {
        if (redisReaderGetReply(s->reader, &reply) != REDIS_OK) {
            fail(s, ASQ_ECONN, s->reader->errstr);
            return NULL;
        }
        if (reply) {
            s->unread -= s->unread > 0; /* Redis may send an unrequested error before it closes */
            return reply;
        }
        if (read_more(s, deadline) < 0)
            return NULL;
    }
}

int asq__sync_append(struct asq__sync *s, const struct asq__cmd *cmd)
{
    size_t before = s->out.len;
    asq__cmd_write_head(&s->out, cmd->argc);
    asq__buf_put(&s->out, cmd->bytes.data, cmd->bytes.len);
    int rc = cmd->bytes.error ? cmd->bytes.error : s->out.error;
    if (rc < 0) {
        s->out.error = 0;
        s->out.len = before;
        return fail(s, rc, asq_strerror(rc));
    }
    s->unread++;
    return 0;
}

redisReply *asq__sync_reply(struct asq__sync *s)
{
    return read_reply(s);
}

static int append(struct asq__sync *s, const char *fmt, va_list ap)
{
    char *text = NULL;
    int n = redisvFormatCommand(&text, fmt, ap);
    if (n < 0)
        return fail(s, ASQ_ENOMEM, "out of memory");
    asq__buf_put(&s->out, text, (size_t) n);
    redisFreeCommand(text);
    int rc = s->out.error;
    if (rc < 0) {
        asq__buf_reset(&s->out);
        s->sent = 0;
        return fail(s, rc, asq_strerror(rc));
    }
    s->unread++;
    return 0;
}

redisReply *asq__sync_cmd(struct asq__sync *s, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int rc = append(s, fmt, ap);
    va_end(ap);
    return rc < 0 ? NULL : read_reply(s);
}

const char *asq__sync_why(const struct asq__sync *s)
{
    return s->why;
}

/* ---- life ---- */

/* Checks the reply to a step of the greeting. Frees the reply. */
static int greeted(struct asq__sync *s, enum asq__greeting step, redisReply *reply)
{
    char why[ASQ__GREETING_WHY], name[ASQ__ROUTE_NAME], text[sizeof why + sizeof name];
    if (!reply)
        return ASQ_ECONN;
    int rc = asq__greeting_check(s->link.url, step, reply, why);
    if (rc == ASQ_EAUTH)
        asq__password_refused(s->link.url);
    if (rc < 0) {
        asq__err(text, sizeof text, rc, "%s%s", asq__route_name(&s->route, name), why);
        fail(s, rc, text);
    }
    freeReplyObject(reply);
    return rc;
}

static int greet(struct asq__sync *s, const char *name)
{
    const struct asq__url *url = s->link.url;
    int rc = 0;
    char room[ASQ__PASSWORD_MAX];
    const char *password = asq__password_get(url, room);
    if (password)
        rc = greeted(s, ASQ__GREETING_AUTH,
                     url->user ? asq__sync_cmd(s, "AUTH %s %s", url->user, password)
                               : asq__sync_cmd(s, "AUTH %s", password));
    explicit_bzero(room, sizeof room);
    if (rc == 0 && url->sentinels)
        rc = greeted(s, ASQ__GREETING_HELLO, asq__sync_cmd(s, "HELLO"));
    if (rc == 0 && url->db)
        rc = greeted(s, ASQ__GREETING_SELECT, asq__sync_cmd(s, "SELECT %d", url->db));
    if (rc == 0)
        rc = greeted(s, ASQ__GREETING_PING, asq__sync_cmd(s, "PING"));
    if (rc < 0)
        return rc;
    redisReply *reply = asq__sync_cmd(s, "CLIENT SETNAME %s", name);
    freeReplyObject(reply); /* an ACL may forbid CLIENT SETNAME */
    return reply ? 0 : ASQ_ECONN;
}

int asq__sync_open(const struct asq__url *url, const char *name, int64_t timeout_ms, int cancel_fd,
                   struct asq__sync **ret, char *err, size_t errlen)
{
    return asq__sync_open_host(url, NULL, name, timeout_ms, cancel_fd, ret, err, errlen);
}

int asq__sync_open_host(const struct asq__url *url, const struct asq__host *host, const char *name,
                        int64_t timeout_ms, int cancel_fd, struct asq__sync **ret, char *err,
                        size_t errlen)
{
    struct asq__sync *s = calloc(1, sizeof *s);
    if (!s)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    asq__link_init(&s->link, url);
    asq__route_init(&s->route, &s->link);
    asq__sync_set_limit(s, MAX_BYTES);
    asq__buf_init(&s->out, MAX_BYTES);
    s->timeout_ms = timeout_ms;
    s->cancel_fd = cancel_fd;
    s->reader = redisReaderCreate();
    int rc = s->reader ? 0 : ASQ_ENOMEM;
    if (rc == 0 && host)
        rc = asq__link_set_endpoint(&s->link, host->name, host->port);
    rc = rc == 0 ? connect_link(s) : fail(s, rc, "out of memory");
    if (rc == 0)
        rc = greet(s, name);
    if (rc == 0) {
        *ret = s;
        return 0;
    }
    asq__err(err, errlen, rc, "%s", s->why);
    asq__sync_free(s);
    return rc;
}

bool asq__sync_is_outdated(const struct asq__sync *s)
{
    return asq__route_is_outdated(&s->route);
}

bool asq__sync_is_cancelled(const struct asq__sync *s)
{
    return s->cancelled;
}

int asq__sync_keep(struct asq__sync *s, int64_t timeout_ms)
{
    s->cancel_fd = -1;
    s->cancelled = false;
    asq__sync_set_timeout(s, timeout_ms);
    while (s->unread) {
        redisReply *reply = read_reply(s);
        if (!reply)
            return ASQ_ECONN;
        freeReplyObject(reply);
    }
    return 0;
}

void asq__sync_set_limit(struct asq__sync *s, size_t bytes)
{
    s->out.max = s->max_bytes = bytes;
}

void asq__sync_set_timeout(struct asq__sync *s, int64_t timeout_ms)
{
    s->timeout_ms = timeout_ms;
}

void asq__sync_free(struct asq__sync *s)
{
    if (!s)
        return;
    asq__route_release(&s->route);
    asq__buf_release(&s->out);
    if (s->reader)
        redisReaderFree(s->reader);
    free(s);
}
