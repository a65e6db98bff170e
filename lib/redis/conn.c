/*
 * conn.c: see conn.h. hiredis makes the socket (and TLS) and parses replies; commands are formatted
 * straight into the write buffer and written without a pass through the loop.
 */
#include "redis/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef HAVE_HIREDIS_SSL
#include <hiredis/hiredis_ssl.h>
#endif

#include "redis/reply.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/fd.h"

enum {
    BACKOFF_FIRST_MS = 20,
    BACKOFF_MAX_MS = 2000,
    STABLE_MS = 1000,
    READS_PER_EVENT = 64,
    READ_SIZE = 16 * 1024,
    KEPT_BUFFER = 4 * 1024 * 1024 /* hiredis gives a larger one back when it is empty */
};
#define MAX_UNWRITTEN ((size_t) 2048 * 1024 * 1024)

enum state { WAITING, CONNECTING, GREETING, UP };

struct pending {
    asq__reply_fn fn;
    void *user;
    int64_t sent_ms;
};

struct asq__conn {
    struct asq__conn_config config;
    char *name;
    enum state state;
    redisContext *ctx;
#ifdef HAVE_HIREDIS_SSL
    redisSSLContext *ssl;
#endif
    ev_io reader, writer;
    ev_timer timer; /* WAITING: next try; CONNECTING, GREETING: timeout; UP: reply timeout */
    char *in;       /* what one read takes */
    size_t in_size;
    struct asq__arena replies; /* the reply that is read or handed out */
    struct asq__buf out;
    size_t written;          /* of out */
    int write_error;         /* errno: nothing can be written any more */
    struct pending *pending; /* ring */
    size_t first, count, cap;
    int greetings; /* answers of the greeting still to come */
    int failures;  /* in a row: to get up, or to stay up for a second */
    int64_t up_since_ms;
    unsigned seed;
    long long redis_id;
    int busy; /* depth of callbacks */
    bool freed;
};

static void start_connecting(struct asq__conn *c);
static void lost(struct asq__conn *c, int code, const char *why);

/* ---- commands that wait for their answers ---- */

static int pending_push(struct asq__conn *c, asq__reply_fn fn, void *user)
{
    if (c->count == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 64;
        struct pending *p = malloc(cap * sizeof *p);
        if (!p)
            return ASQ_ENOMEM;
        for (size_t i = 0; i < c->count; i++)
            p[i] = c->pending[(c->first + i) & (c->cap - 1)];
        free(c->pending);
        c->pending = p;
        c->first = 0;
        c->cap = cap;
    }
    c->pending[(c->first + c->count++) & (c->cap - 1)] =
        (struct pending){ fn, user, asq__now_ms_coarse() };
    return 0;
}

static struct pending pending_pop(struct asq__conn *c)
{
    struct pending p = c->pending[c->first];
    c->first = (c->first + 1) & (c->cap - 1);
    c->count--;
    return p;
}

/* ---- life ---- */

static void destroy(struct asq__conn *c)
{
    asq__buf_release(&c->out);
    asq__arena_release(&c->replies);
    free(c->pending);
    free(c->name);
    free(c->in);
    free(c);
}

static void close_socket(struct asq__conn *c)
{
    ev_io_stop(c->config.loop, &c->reader);
    ev_io_stop(c->config.loop, &c->writer);
    ev_timer_stop(c->config.loop, &c->timer);
    if (c->ctx)
        redisFree(c->ctx);
    c->ctx = NULL;
#ifdef HAVE_HIREDIS_SSL
    if (c->ssl)
        redisFreeSSLContext(c->ssl);
    c->ssl = NULL;
#endif
    asq__buf_reset(&c->out);
    c->written = 0;
    c->write_error = 0;
    c->redis_id = 0;
}

/* Calls back all that will get no answer any more. Works on a detached ring: callbacks may send. */
static void fail_pending(struct asq__conn *c)
{
    struct pending *ring = c->pending;
    size_t first = c->first, count = c->count, cap = c->cap;
    c->pending = NULL;
    c->first = c->count = c->cap = 0;
    c->busy++;
    for (size_t i = 0; i < count; i++) {
        struct pending *p = &ring[(first + i) & (cap - 1)];
        if (p->fn)
            p->fn(c, NULL, p->user);
    }
    c->busy--;
    free(ring);
}

static void set_timer(struct asq__conn *c, double seconds)
{
    ev_timer_stop(c->config.loop, &c->timer);
    if (seconds <= 0)
        return;
    ev_timer_set(&c->timer, seconds, 0.);
    ev_timer_start(c->config.loop, &c->timer);
}

static void lost(struct asq__conn *c, int code, const char *why)
{
    char text[300];
    asq__err(text, sizeof text, code, "%s", why); /* `why` may live in what is freed now */
    if (c->state == UP && asq__now_ms_coarse() - c->up_since_ms > STABLE_MS)
        c->failures = 0; /* else who drops it again and again backs off all the same */
    close_socket(c);
    c->state = WAITING;
    c->failures++;
    c->busy++;
    fail_pending(c);
    if (!c->freed && c->config.down)
        c->config.down(c, code, text, c->config.user);
    c->busy--;
    if (c->freed) {
        if (!c->busy)
            destroy(c);
        return;
    }
    if ((c->config.once && code != ASQ_EBUSY) || c->state != WAITING)
        return;
    int64_t ms = BACKOFF_FIRST_MS;
    for (int i = 1; i < c->failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    ms = ms / 2 + rand_r(&c->seed) % (ms / 2 + 1); /* jitter: not everybody at the same instant */
    set_timer(c, (double) ms / 1000);
}

/* ---- writing ---- */

static void write_out(struct asq__conn *c)
{
    if (c->write_error)
        return;
#ifdef HAVE_HIREDIS_SSL
    if (c->ssl) {
        int done = 1;
        if (c->out.len > c->written)
            redisAppendFormattedCommand(c->ctx, (char *) c->out.data + c->written,
                                        c->out.len - c->written);
        asq__buf_reset(&c->out);
        c->written = 0;
        if (redisBufferWrite(c->ctx, &done) == REDIS_ERR) {
            lost(c, ASQ_ECONN, c->ctx->errstr);
            return;
        }
        if (!done)
            ev_io_start(c->config.loop, &c->writer);
        else
            ev_io_stop(c->config.loop, &c->writer);
        return;
    }
#endif
    while (c->written < c->out.len) {
        ssize_t n =
            send(c->ctx->fd, c->out.data + c->written, c->out.len - c->written, MSG_NOSIGNAL);
        if (n >= 0) {
            c->written += (size_t) n;
        } else if (errno == EAGAIN) {
            ev_io_start(c->config.loop, &c->writer);
            return;
        } else if (errno != EINTR) {
            /* Redis may have said why before it closed: that is read first, and tells that it is lost. */
            c->write_error = errno;
            ev_io_stop(c->config.loop, &c->writer);
            ev_feed_event(c->config.loop, &c->reader, EV_READ);
            return;
        }
    }
    asq__buf_reset(&c->out);
    c->written = 0;
    ev_io_stop(c->config.loop, &c->writer);
}

/* A command has been appended to what there was `before`: its answer is waited for, or it is taken back. */
static int appended(struct asq__conn *c, size_t before, asq__reply_fn fn, void *user)
{
    int rc = c->out.error;
    if (rc == 0)
        rc = pending_push(c, fn, user);
    if (rc < 0) {
        c->out.len = before;
        c->out.error = 0;
        return rc;
    }
    if (before == 0)
        ev_feed_event(c->config.loop, &c->writer, EV_WRITE); /* written when the loop comes by */
    return 0;
}

static int append(struct asq__conn *c, asq__reply_fn fn, void *user, int argc,
                  const char *const *argv, const size_t *lens)
{
    size_t before = c->out.len;
    asq__cmd_write_head(&c->out, (size_t) argc);
    for (int i = 0; i < argc; i++)
        asq__cmd_write_arg(&c->out, argv[i], lens ? lens[i] : strlen(argv[i]));
    return appended(c, before, fn, user);
}

int asq__conn_send(struct asq__conn *c, asq__reply_fn fn, void *user, const struct asq__cmd *cmd)
{
    size_t before = c->out.len;
    if (c->state != UP)
        return ASQ_ECONN;
    if (cmd->bytes.error)
        return cmd->bytes.error;
    asq__cmd_write_head(&c->out, cmd->argc);
    asq__buf_put(&c->out, cmd->bytes.data, cmd->bytes.len);
    return appended(c, before, fn, user);
}

int asq__conn_argv(struct asq__conn *c, asq__reply_fn fn, void *user, int argc,
                   const char *const *argv, const size_t *lens)
{
    if (c->state != UP)
        return ASQ_ECONN;
    return append(c, fn, user, argc, argv, lens);
}

int asq__conn_cmd(struct asq__conn *c, asq__reply_fn fn, void *user, ...)
{
    const char *argv[16];
    int argc = 0;
    va_list ap;
    va_start(ap, user);
    for (const char *s; (s = va_arg(ap, const char *)) && argc < 16;)
        argv[argc++] = s;
    va_end(ap);
    return asq__conn_argv(c, fn, user, argc, argv, NULL);
}

void asq__conn_flush(struct asq__conn *c)
{
    if (c->state == UP && c->out.len)
        write_out(c);
}

/* ---- greeting ---- */

static void became_up(struct asq__conn *c)
{
    c->state = UP;
    c->up_since_ms = asq__now_ms_coarse();
    c->config.once = false; /* it was there: from now on it is waited for */
    set_timer(c, c->config.reply_timeout_ms > 0 ? (double) c->config.reply_timeout_ms / 1000 : 0);
    if (c->config.up)
        c->config.up(c, c->config.user);
}

static void on_greeting(struct asq__conn *c, const redisReply *reply, void *user)
{
    const char *what = user;
    enum asq__refusal refusal = asq__reply_refusal(reply);
    if (!reply || c->state != GREETING)
        return;
    /* Neither is needed: who may not, or who cannot, goes on without. */
    if ((refusal == ASQ__REFUSED_ACCESS || refusal == ASQ__REFUSED_COMMAND) &&
        (strcmp(what, "PING") == 0 || strcmp(what, "CLIENT ID") == 0))
        refusal = ASQ__REFUSED_NOT;
    if (refusal != ASQ__REFUSED_NOT) {
        char text[400];
        int code = refusal == ASQ__REFUSED_LOGIN     ? ASQ_EAUTH
                   : refusal == ASQ__REFUSED_FOR_NOW ? ASQ_EBUSY
                                                     : ASQ_EREDIS;
        if (asq__reply_is_error(reply, "NOAUTH"))
            asq__err(text, sizeof text, code,
                     "this Redis wants a password; give it in the URL (redis://:PASSWORD@HOST, "
                     "unix:PATH?password=PASSWORD): %s",
                     reply->str);
        else if (code == ASQ_EAUTH)
            asq__err(text, sizeof text, code, "Redis does not take the user or password: %s",
                     reply->str);
        else if (code == ASQ_EBUSY)
            asq__err(text, sizeof text, code, "Redis cannot serve now: %s", reply->str);
        else
            asq__err(text, sizeof text, code, "%s: %s", what, reply->str);
        lost(c, code, text);
        return;
    }
    if (strcmp(what, "CLIENT ID") == 0 && reply->type == REDIS_REPLY_INTEGER)
        c->redis_id = reply->integer;
    if (--c->greetings == 0)
        became_up(c);
}

static void greet(struct asq__conn *c)
{
    const struct asq__url *url = c->config.url;
    static char auth[] = "AUTH", sel[] = "SELECT", ping[] = "PING", id[] = "CLIENT ID";
    char db[16];
    int rc = 0;
    c->state = GREETING;
    c->greetings = 0;
    if (url->password && *url->password) {
        const char *argv[] = { "AUTH", url->user && *url->user ? url->user : url->password,
                               url->password };
        rc |= append(c, on_greeting, auth, url->user && *url->user ? 3 : 2, argv, NULL);
        c->greetings++;
    }
    if (url->db) {
        asq__err(db, sizeof db, 0, "%d", url->db);
        rc |= append(c, on_greeting, sel, 2, (const char *[]){ "SELECT", db }, NULL);
        c->greetings++;
    }
    /* A name helps who looks at CLIENT LIST; its refusal (an ACL) is no failure. */
    rc |= append(c, NULL, NULL, 3, (const char *[]){ "CLIENT", "SETNAME", c->name }, NULL);
    rc |= append(c, on_greeting, id, 2, (const char *[]){ "CLIENT", "ID" }, NULL);
    /* PING shows whether Redis is still loading its data. */
    rc |= append(c, on_greeting, ping, 1, (const char *[]){ "PING" }, NULL);
    c->greetings += 2;
    if (rc < 0)
        lost(c, ASQ_ECONN, "out of memory");
    else
        write_out(c);
}

/* ---- events ---- */

/* Reads once. False: the connection was lost. */
static bool read_in(struct asq__conn *c, bool *ret_more)
{
#ifdef HAVE_HIREDIS_SSL
    if (c->ssl) {
        if (redisBufferRead(c->ctx) == REDIS_ERR) {
            lost(c, ASQ_ECONN, c->ctx->errstr);
            return false;
        }
        *ret_more = c->ctx->reader->len > c->ctx->reader->pos;
        return true;
    }
#endif
    ssize_t n = recv(c->ctx->fd, c->in, c->in_size, 0);
    *ret_more = n == (ssize_t) c->in_size || (n < 0 && errno == EINTR);
    if (n > 0 && redisReaderFeed(c->ctx->reader, c->in, (size_t) n) != REDIS_OK)
        lost(c, ASQ_ECONN, "out of memory for what Redis sends");
    else if (n == 0)
        lost(c, ASQ_ECONN, "Redis closed the connection");
    else if (n < 0 && errno != EINTR && (errno != EAGAIN || c->write_error))
        lost(c, ASQ_ECONN, strerror(c->write_error ? c->write_error : errno));
    return c->ctx != NULL;
}

/* Is it what a subscriber's command is answered with, and no message? */
static bool confirms(const redisReply *reply)
{
    return reply->elements == 3 && reply->element[0]->type == REDIS_REPLY_STRING &&
           strcmp(reply->element[0]->str, "subscribe") == 0;
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct asq__conn *c = w->data;
    bool more = true;
    (void) loop;
    (void) revents;
    c->busy++;
    for (int reads = 0; c->ctx && more && reads < READS_PER_EVENT; reads++) {
        if (!read_in(c, &more))
            break;
        void *out = NULL;
        while (c->ctx) {
            if (redisGetReplyFromReader(c->ctx, &out) == REDIS_ERR) {
                lost(c, ASQ_ECONN, c->ctx->errstr);
                break;
            }
            if (!out)
                break;
            redisReply *reply = out;
            if (c->config.subscriber && c->state == UP) {
                if (c->count && confirms(reply))
                    pending_pop(c);
                c->config.push(c, reply, c->config.user);
            } else if (c->count) {
                struct pending p = pending_pop(c);
                if (p.fn)
                    p.fn(c, reply, p.user);
            } else {
                lost(c, ASQ_ECONN, "an answer that nobody asked for");
            }
            asq__arena_reset(&c->replies);
            if (c->freed)
                break;
        }
        if (c->freed)
            break;
    }
    c->busy--;
    if (c->freed && !c->busy)
        destroy(c);
}

static void on_connected(struct asq__conn *c)
{
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(c->ctx->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
        error = errno;
    if (error) {
        lost(c, ASQ_ECONN, strerror(error));
        return;
    }
    if (!c->config.url->path) {
        int on = 1, idle = 10, interval = 5, probes = 3;
        setsockopt(c->ctx->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(c->ctx->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
        setsockopt(c->ctx->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
        setsockopt(c->ctx->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
        setsockopt(c->ctx->fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    }
    c->ctx->flags |= REDIS_CONNECTED;
    ev_io_stop(c->config.loop, &c->writer);
    ev_io_start(c->config.loop, &c->reader);
#ifdef HAVE_HIREDIS_SSL
    if (c->config.url->tls) {
        redisSSLContextError failure = REDIS_SSL_CTX_NONE;
        const char *ca = getenv("ASQUEUE_TLS_CA");
        c->ssl = redisCreateSSLContext(ca, ca ? NULL : "/etc/ssl/certs", getenv("ASQUEUE_TLS_CERT"),
                                       getenv("ASQUEUE_TLS_KEY"), c->config.url->host, &failure);
        if (!c->ssl) {
            lost(c, ASQ_ECONN, redisSSLContextGetError(failure));
            return;
        }
        if (redisInitiateSSLWithContext(c->ctx, c->ssl) != REDIS_OK) {
            lost(c, ASQ_ECONN, c->ctx->errstr);
            return;
        }
    }
#endif
    greet(c);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    struct asq__conn *c = w->data;
    (void) loop;
    (void) revents;
    c->busy++;
    if (c->state == CONNECTING)
        on_connected(c);
    else if (c->ctx && (c->state == GREETING || c->state == UP))
        write_out(c);
    c->busy--;
    if (c->freed && !c->busy)
        destroy(c);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__conn *c = w->data;
    (void) loop;
    (void) revents;
    c->busy++;
    if (c->state == WAITING) {
        start_connecting(c);
    } else if (c->state != UP) {
        lost(c, ASQ_ECONN,
             c->state == CONNECTING ? "no connection within the connect timeout"
                                    : "no answer within the connect timeout");
    } else {
        int64_t limit = c->config.reply_timeout_ms;
        int64_t waited = c->count ? asq__now_ms_coarse() - c->pending[c->first].sent_ms : 0;
        if (waited >= limit)
            lost(c, ASQ_ECONN, "no answer within the reply timeout");
        else
            set_timer(c, (double) (limit - waited + 10) / 1000);
    }
    c->busy--;
    if (c->freed && !c->busy)
        destroy(c);
}

static void start_connecting(struct asq__conn *c)
{
    const struct asq__url *url = c->config.url;
    c->ctx = url->path ? redisConnectUnixNonBlock(url->path)
                       : redisConnectNonBlock(url->host, url->port);
    if (!c->ctx || c->ctx->err) {
        lost(c, ASQ_ECONN, c->ctx ? c->ctx->errstr : "out of memory");
        return;
    }
    if ((c->ctx->fd = asq__fd_keep(c->ctx->fd)) < 0) {
        lost(c, ASQ_ECONN, strerror(errno));
        return;
    }
    asq__reply_in_arena(c->ctx->reader, &c->replies);
    c->ctx->reader->maxbuf = KEPT_BUFFER;
    c->state = CONNECTING;
    ev_io_set(&c->reader, c->ctx->fd, EV_READ);
    ev_io_set(&c->writer, c->ctx->fd, EV_WRITE);
    ev_io_start(c->config.loop, &c->writer);
    set_timer(c, (double) c->config.connect_timeout_ms / 1000);
}

int asq__conn_new(const struct asq__conn_config *config, struct asq__conn **ret)
{
    struct asq__conn *c = calloc(1, sizeof *c);
    if (!c)
        return ASQ_ENOMEM;
    c->config = *config;
    c->in_size = config->read_size ? config->read_size : READ_SIZE;
    c->in = malloc(c->in_size);
    c->name = strdup(config->name);
    if (!c->name || !c->in) {
        free(c->in);
        free(c->name);
        free(c);
        return ASQ_ENOMEM;
    }
    asq__arena_init(&c->replies, SIZE_MAX);
    c->config.name = c->name;
    c->seed = (unsigned) getpid() ^ (unsigned) (uintptr_t) c ^ (unsigned) asq__now_ms();
    asq__buf_init(&c->out, MAX_UNWRITTEN);
    ev_io_init(&c->reader, on_readable, -1, EV_READ);
    ev_io_init(&c->writer, on_writable, -1, EV_WRITE);
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    /* What has arrived is read before a timeout is believed, and what several callbacks have to send
     * leaves in one write. */
    ev_set_priority(&c->timer, -1);
    ev_set_priority(&c->writer, EV_MINPRI);
    c->reader.data = c->writer.data = c->timer.data = c;
    c->state = WAITING;
    set_timer(c, 1e-6); /* the first try is made from the loop, so that callbacks find *ret set */
    *ret = c;
    return 0;
}

void asq__conn_free(struct asq__conn *c)
{
    if (!c || c->freed)
        return;
    c->freed = true;
    close_socket(c);
    c->state = WAITING;
    fail_pending(c);
    ev_clear_pending(c->config.loop, &c->writer);
    if (!c->busy)
        destroy(c);
}

bool asq__conn_is_up(const struct asq__conn *c)
{
    return c->state == UP;
}

void asq__conn_drop(struct asq__conn *c, const char *why)
{
    asq__conn_fail(c, ASQ_ECONN, why);
}

void asq__conn_fail(struct asq__conn *c, int code, const char *why)
{
    if (c->state != WAITING)
        lost(c, code, why);
}

void asq__conn_set_loop(struct asq__conn *c, struct ev_loop *loop)
{
    struct ev_loop *old = c->config.loop;
    bool reading = ev_is_active(&c->reader), writing = ev_is_active(&c->writer);
    bool timing = ev_is_active(&c->timer);
    double left = timing ? ev_timer_remaining(old, &c->timer) : 0;
    ev_clear_pending(old, &c->writer);
    ev_clear_pending(old, &c->reader);
    ev_clear_pending(old, &c->timer);
    ev_io_stop(old, &c->reader);
    ev_io_stop(old, &c->writer);
    ev_timer_stop(old, &c->timer);
    c->config.loop = loop;
    if (reading)
        ev_io_start(loop, &c->reader);
    if (writing || c->out.len)
        ev_io_start(loop, &c->writer);
    if (timing)
        set_timer(c, left > 0 ? left : 1e-6);
}

size_t asq__conn_unwritten(const struct asq__conn *c)
{
    return c->out.len - c->written;
}

size_t asq__conn_unanswered(const struct asq__conn *c)
{
    return c->count;
}

long long asq__conn_redis_id(const struct asq__conn *c)
{
    return c->redis_id;
}

/* ---- the blocking kind ---- */

int asq__conn_blocking(const struct asq__url *url, const char *name, int64_t timeout_ms,
                       redisContext **ret, char *err, size_t errlen)
{
    struct timeval tv = { timeout_ms / 1000, timeout_ms % 1000 * 1000 };
    redisContext *ctx = url->path ? redisConnectUnixWithTimeout(url->path, tv)
                                  : redisConnectWithTimeout(url->host, url->port, tv);
    if (!ctx)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    int rc = 0;
    if (ctx->err) {
        rc = asq__err(err, errlen, ASQ_ECONN, "%s", ctx->errstr);
        goto fail;
    }
    if ((ctx->fd = asq__fd_keep(ctx->fd)) < 0) {
        rc = asq__err(err, errlen, ASQ_ECONN, "%s", strerror(errno));
        goto fail;
    }
    redisSetTimeout(ctx, tv);
#ifdef HAVE_HIREDIS_SSL
    if (url->tls) {
        const char *ca = getenv("ASQUEUE_TLS_CA");
        redisSSLContext *ssl =
            redisCreateSSLContext(ca, ca ? NULL : "/etc/ssl/certs", getenv("ASQUEUE_TLS_CERT"),
                                  getenv("ASQUEUE_TLS_KEY"), url->host, NULL);
        if (!ssl || redisInitiateSSLWithContext(ctx, ssl) != REDIS_OK) {
            rc = asq__err(err, errlen, ASQ_ECONN, "TLS: %s", ctx->err ? ctx->errstr : "no context");
            if (ssl)
                redisFreeSSLContext(ssl);
            goto fail;
        }
        redisFreeSSLContext(ssl); /* OpenSSL counts references; the connection keeps its own */
    }
#endif
    if (url->password && *url->password) {
        redisReply *r = url->user && *url->user
                            ? redisCommand(ctx, "AUTH %s %s", url->user, url->password)
                            : redisCommand(ctx, "AUTH %s", url->password);
        if (!r || r->type == REDIS_REPLY_ERROR)
            rc = asq__err(err, errlen, r ? ASQ_EAUTH : ASQ_ECONN, "AUTH: %s", asq__reply_text(r));
        freeReplyObject(r);
    }
    if (rc == 0 && url->db) {
        redisReply *r = redisCommand(ctx, "SELECT %d", url->db);
        if (!r || r->type == REDIS_REPLY_ERROR)
            rc =
                asq__err(err, errlen, r ? ASQ_EREDIS : ASQ_ECONN, "SELECT: %s", asq__reply_text(r));
        freeReplyObject(r);
    }
    if (rc == 0) {
        freeReplyObject(redisCommand(ctx, "CLIENT SETNAME %s", name));
        *ret = ctx;
        return 0;
    }
fail:
    redisFree(ctx);
    return rc;
}
