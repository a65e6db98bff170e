/*
 * conn.c: see conn.h. link.c connects to the server, hiredis parses replies. Commands are formatted
 * directly into the write buffer, and may be written without a pass through the loop.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/greeting.h"
#include "redis/link.h"
#include "redis/password.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/route.h"
#include "redis/timer.h"
#include "redis/tls.h"
#include "redis/url.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/unconst.h"

enum {
    BACKOFF_FIRST_MS = 20,
    BACKOFF_MAX_MS = 2000,
    STABLE_MS = 1000,
    READS_PER_EVENT = 64,
    READ_SIZE = 16 * 1024,
    KEPT_BUFFER = 4 * 1024 * 1024 /* a larger one is freed when it is empty, as hiredis does */
};
#define MAX_UNWRITTEN ((size_t) 2048 * 1024 * 1024)
#define MAX_REPLY     ((size_t) 2048 * 1024 * 1024) /* bytes of a reply, raw and parsed */
#define MAX_PENDING   ((size_t) 4 * 1024 * 1024)    /* commands without a reply */

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
    struct asq__link link;
    struct asq__route route; /* leads the link to the server */
    redisReader *parser;     /* NULL: not connected */
    ev_io reader, writer;
    ev_timer timer; /* WAITING: next try; CONNECTING, GREETING: timeout; UP: reply timeout */
    char *in;       /* buffer of one read */
    size_t in_size;
    struct asq__arena replies; /* the current reply */
    struct asq__buf out;
    size_t written;                 /* bytes of `out` */
    char write_error[ASQ__TLS_WHY]; /* error after which writing has stopped; "": none */
    struct pending *pending;        /* ring */
    size_t first, count, cap;
    int64_t deadline_ms; /* for coming up */
    int greetings;       /* pending replies of the greeting */
    bool received;       /* a reply has arrived on this connection */
    int failures;        /* successive failures to come up, or to stay up for a second */
    /* Reason that AUTH was refused for, kept until HELLO's reply; "": none. */
    char login_refused[ASQ__GREETING_WHY + ASQ__ROUTE_NAME];
    int64_t up_since_ms;
    unsigned seed;
    long long redis_id;
    int busy; /* depth of callbacks */
    bool freed;
};

static void start_connecting(struct asq__conn *c);
static void lose(struct asq__conn *c, int code, const char *why);

/* ---- pending commands ---- */

static int pending_push(struct asq__conn *c, asq__reply_fn fn, void *user)
{
    if (c->count >= MAX_PENDING)
        return ASQ_ELIMIT;
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
    asq__route_release(&c->route);
    asq__buf_release(&c->out);
    asq__arena_release(&c->replies);
    free(c->pending);
    free(c->name);
    free(c->in);
    free(c);
}

/* Empties the buffer of what is to be written. */
static void empty_out(struct asq__conn *c)
{
    asq__buf_reset(&c->out);
    c->written = 0;
    if (c->out.cap > KEPT_BUFFER)
        asq__buf_release(&c->out);
}

static void close_socket(struct asq__conn *c)
{
    ev_io_stop(c->config.loop, &c->reader);
    ev_io_stop(c->config.loop, &c->writer);
    ev_timer_stop(c->config.loop, &c->timer);
    asq__route_close(&c->route);
    if (c->parser)
        redisReaderFree(c->parser);
    c->parser = NULL;
    empty_out(c);
    c->write_error[0] = c->login_refused[0] = '\0';
    c->received = false;
    c->redis_id = 0;
}

/* Calls all pending callbacks with NULL. Works on a detached ring, because callbacks may send. */
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
    if (seconds > 0)
        asq__timer_restart(c->config.loop, &c->timer, seconds, 0.);
    else
        ev_timer_stop(c->config.loop, &c->timer);
}

static void lose(struct asq__conn *c, int code, const char *why)
{
    char text[ASQ__TLS_WHY + 100];
    if (*c->login_refused && code == ASQ_ECONN) { /* closed, or silent, before HELLO's reply */
        code = ASQ_EAUTH;
        why = c->login_refused;
    }
    asq__err(text, sizeof text, code, "%s", why); /* `why` may be in memory that is freed below */
    if (c->state == GREETING && !c->received)
        asq__link_skip_address(&c->link);
    if (c->state == UP && asq__now_ms_coarse() - c->up_since_ms > STABLE_MS)
        c->failures = 0; /* only then, so that repeated drops back off as well */
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
    ms = ms / 2 + rand_r(&c->seed) % (ms / 2 + 1); /* jitter spreads reconnecting clients */
    set_timer(c, (double) ms / 1000);
}

/* ---- writing ---- */

/* Gives the place of what was written to what comes: under load the buffer may never be empty, and
 * would grow by all that is sent. No byte is moved more often than one is written. */
static void reuse_written(struct asq__conn *c)
{
    size_t rest = c->out.len - c->written;
    if (c->written < rest)
        return;
    memcpy(c->out.data, c->out.data + c->written, rest);
    c->out.len = rest;
    c->written = 0;
}

static void write_pending(struct asq__conn *c)
{
    if (*c->write_error)
        return;
    while (c->written < c->out.len) {
        ssize_t n = asq__link_send(&c->link, c->out.data + c->written, c->out.len - c->written);
        if (n < 0) {
            /* Redis may have sent a reason before it closed: read it first; reading reports the
             * loss. */
            asq__err(c->write_error, sizeof c->write_error, 0, "%s", c->link.why);
            ev_io_stop(c->config.loop, &c->writer);
            ev_feed_event(c->config.loop, &c->reader, EV_READ);
            return;
        }
        if (n == 0) {
            reuse_written(c);
            if (!c->link.send_wants_read)
                ev_io_start(c->config.loop, &c->writer);
            return;
        }
        c->written += (size_t) n;
    }
    empty_out(c);
    if (!c->link.recv_wants_write)
        ev_io_stop(c->config.loop, &c->writer);
}

/* Makes a command pending that was appended behind `before` bytes, or removes it on failure. */
static int push_appended(struct asq__conn *c, size_t before, asq__reply_fn fn, void *user)
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
        ev_feed_event(c->config.loop, &c->writer, EV_WRITE); /* the loop writes it */
    return 0;
}

static int append(struct asq__conn *c, asq__reply_fn fn, void *user, int argc,
                  const char *const *argv, const size_t *lens)
{
    size_t before = c->out.len;
    asq__cmd_write_head(&c->out, (size_t) argc);
    for (int i = 0; i < argc; i++)
        asq__cmd_write_arg(&c->out, argv[i], lens ? lens[i] : strlen(argv[i]));
    return push_appended(c, before, fn, user);
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
    return push_appended(c, before, fn, user);
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
        write_pending(c);
}

/* ---- greeting ---- */

static void enter_up(struct asq__conn *c)
{
    c->state = UP;
    c->up_since_ms = asq__now_ms_coarse();
    c->config.once = false; /* the server exists: reconnect from now on */
    c->link.n_skipped = 0;
    set_timer(c, c->config.reply_timeout_ms > 0 ? (double) c->config.reply_timeout_ms / 1000 : 0);
    if (c->config.up)
        c->config.up(c, c->config.user);
}

/* Greeting steps, whose addresses identify them in callbacks. */
static const enum asq__greeting steps[] = { ASQ__GREETING_AUTH,   ASQ__GREETING_HELLO,
                                            ASQ__GREETING_SELECT, ASQ__GREETING_NAME,
                                            ASQ__GREETING_ID,     ASQ__GREETING_PING };

/* Returns whether the server is asked of which kind it is. A Unix socket leads to a Redis that
 * somebody has started here. */
static bool asks_kind(const struct asq__conn *c)
{
    return c->config.url->scheme == ASQ__URL_TCP;
}

static void on_greeting(struct asq__conn *c, const redisReply *reply, void *user)
{
    const enum asq__greeting *step = user;
    char why[ASQ__GREETING_WHY], name[ASQ__ROUTE_NAME], text[sizeof why + sizeof name];
    if (!reply || c->state != GREETING)
        return;
    int rc = asq__greeting_check(c->config.url, *step, reply, why);
    if (rc == ASQ_EAUTH)
        asq__password_refused(c->config.url);
    if (rc < 0) {
        asq__err(text, sizeof text, rc, "%s%s", asq__route_name(&c->route, name), why);
        /* A server of another kind is the greater fault: HELLO tells. */
        if (*step == ASQ__GREETING_AUTH && rc == ASQ_EAUTH && asks_kind(c))
            memcpy(c->login_refused, text, strlen(text) + 1);
        else
            lose(c, rc, text);
        return;
    }
    if (*c->login_refused) {
        lose(c, ASQ_EAUTH, c->login_refused);
        return;
    }
    if (*step == ASQ__GREETING_ID && reply->type == REDIS_REPLY_INTEGER)
        c->redis_id = reply->integer;
    if (--c->greetings == 0)
        enter_up(c);
}

static int append_greeting(struct asq__conn *c, enum asq__greeting step, int argc,
                           const char *const *argv)
{
    c->greetings++;
    return append(c, on_greeting, asq__unconst(&steps[step]), argc, argv, NULL);
}

static void greet(struct asq__conn *c)
{
    const struct asq__url *url = c->config.url;
    char db[16];
    int rc = 0;
    c->state = GREETING;
    c->greetings = 0;
    char room[ASQ__PASSWORD_MAX];
    const char *password = asq__password_get(url, room);
    /* AUTH comes first: Redis from 7.2 on, and Valkey, leave the reply to a failed AUTH out if a
     * reply to an earlier command is still to be written (redis #15640, valkey #2106). */
    if (password) {
        const char *argv[] = { "AUTH", url->user ? url->user : password, password };
        rc |= append_greeting(c, ASQ__GREETING_AUTH, url->user ? 3 : 2, argv);
    }
    explicit_bzero(room, sizeof room);
    if (asks_kind(c))
        rc |= append_greeting(c, ASQ__GREETING_HELLO, 1, (const char *[]){ "HELLO" });
    if (url->db) {
        asq__err(db, sizeof db, 0, "%d", url->db);
        rc |= append_greeting(c, ASQ__GREETING_SELECT, 2, (const char *[]){ "SELECT", db });
    }
    /* Over a Unix socket without a password this is the first command, whose answer is also what a
     * full server says before it closes. */
    rc |=
        append_greeting(c, ASQ__GREETING_NAME, 3, (const char *[]){ "CLIENT", "SETNAME", c->name });
    rc |= append_greeting(c, ASQ__GREETING_ID, 2, (const char *[]){ "CLIENT", "ID" });
    rc |= append_greeting(c, ASQ__GREETING_PING, 1, (const char *[]){ "PING" });
    if (rc < 0)
        lose(c, ASQ_ECONN, "out of memory");
    else
        write_pending(c);
}

/* ---- events ---- */

/* Sets the timer to ms from now, at least one. */
static void set_timer_ms(struct asq__conn *c, int64_t ms)
{
    set_timer(c, (double) (ms > 0 ? ms : 1) / 1000);
}

/* Handles a link's step that returned rc: waits for the link's next event, or greets when it is
 * open. */
static void follow_link(struct asq__conn *c, int rc)
{
    bool writing = false;
    if (rc < 0) {
        lose(c, rc == ASQ_EAUTH || rc == ASQ_EINVAL ? rc : ASQ_ECONN, c->link.why);
        return;
    }
    ev_io_stop(c->config.loop, &c->reader);
    ev_io_stop(c->config.loop, &c->writer);
    if (rc == 0) {
        int fd = asq__route_fd(&c->route, &writing);
        ev_io *w = writing ? &c->writer : &c->reader;
        if (fd >= 0) {
            ev_io_set(w, fd, writing ? EV_WRITE : EV_READ);
            ev_io_start(c->config.loop, w);
        }
        set_timer_ms(c, asq__route_wait_ms(&c->route));
        return;
    }
    ev_io_set(&c->reader, c->link.fd, EV_READ);
    ev_io_set(&c->writer, c->link.fd, EV_WRITE);
    ev_io_start(c->config.loop, &c->reader);
    set_timer_ms(c, c->deadline_ms - asq__now_ms());
    greet(c);
}

/* Reads once. False: the connection was lost. */
static bool read_available(struct asq__conn *c, bool *ret_more)
{
    ssize_t n = asq__link_recv(&c->link, c->in, c->in_size);
    *ret_more = n == (ssize_t) c->in_size || asq__link_has_more(&c->link);
    if (n > 0 && redisReaderFeed(c->parser, c->in, (size_t) n) != REDIS_OK)
        lose(c, ASQ_ECONN, "out of memory for what Redis sends");
    else if (n > 0 && c->parser->len - c->parser->pos > MAX_REPLY)
        lose(c, ASQ_ECONN, "Redis sends more bytes than any request asked for");
    else if (n < 0)
        lose(c, ASQ_ECONN, *c->write_error ? c->write_error : c->link.why);
    else if (n == 0 && *c->write_error)
        lose(c, ASQ_ECONN, c->write_error);
    else if (c->link.recv_wants_write)
        ev_io_start(c->config.loop, &c->writer);
    return c->parser != NULL;
}

/* Returns whether the reply confirms a subscriber's command and is not a message. */
static bool is_subscribe_reply(const redisReply *reply)
{
    if (reply->elements == 2 && asq__reply_is(reply->element[0], "pong"))
        return true;
    if (reply->elements != 3 || reply->element[0]->type != REDIS_REPLY_STRING)
        return false;
    const char *kind = reply->element[0]->str;
    return strcmp(kind, "subscribe") == 0 || strcmp(kind, "ssubscribe") == 0 ||
           strcmp(kind, "sunsubscribe") == 0;
}

/* Ends the connection because the input is not the Redis protocol, or is too large. */
static void fail_protocol(struct asq__conn *c)
{
    bool alert = !c->received && !c->link.tls && c->in[0] == 0x15;
    lose(c, ASQ_ECONN,
         alert ? "the server speaks TLS at this port: use rediss:" : c->parser->errstr);
}

static bool is_refusal(struct asq__conn *c, const redisReply *reply)
{
    return c->config.refused && c->state == UP && c->count &&
           c->config.refused(c, reply, c->config.user);
}

static void take_replies(struct asq__conn *c)
{
    void *out = NULL;
    while (c->parser) {
        if (redisReaderGetReply(c->parser, &out) != REDIS_OK) {
            fail_protocol(c);
            break;
        }
        if (!out)
            break;
        redisReply *reply = out;
        c->received = true;
        if (c->config.subscriber && c->state == UP) {
            if (c->count && (reply->type == REDIS_REPLY_ERROR || is_subscribe_reply(reply)))
                pending_pop(c);
            c->config.push(c, reply, c->config.user);
        } else if (reply->type == REDIS_REPLY_ERROR && is_refusal(c, reply)) {
            if (c->parser)
                lose(c, ASQ_EBUSY, reply->str);
        } else if (c->count) {
            struct pending p = pending_pop(c);
            if (p.fn)
                p.fn(c, reply, p.user);
        } else {
            lose(c, ASQ_ECONN, "an answer without a request");
        }
        asq__arena_reset(&c->replies);
    }
}

static void read_replies(struct asq__conn *c)
{
    bool more = true;
    int reads = 0;
    for (; c->parser && more && reads < READS_PER_EVENT; reads++) {
        if (!read_available(c, &more))
            return;
        take_replies(c);
    }
    if (c->parser && asq__link_has_more(&c->link))
        ev_feed_event(c->config.loop, &c->reader, EV_READ); /* buffered by TLS, not in the socket */
}

/* Ends an event; destroys a connection freed during it. */
static void end_event(struct asq__conn *c)
{
    c->busy--;
    if (c->freed && !c->busy)
        destroy(c);
}

/* Handles a ready watcher. TLS may need to write before it can read, or to read before it can
 * write. */
static void on_ready(struct asq__conn *c, bool readable)
{
    c->busy++;
    if (c->state == CONNECTING) {
        follow_link(c, asq__route_step(&c->route));
    } else if (c->parser) {
        if (readable || c->link.recv_wants_write)
            read_replies(c);
        if (c->parser && (!readable || c->link.send_wants_read))
            write_pending(c);
    }
    end_event(c);
}

static void on_readable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void) loop, (void) revents;
    on_ready(w->data, true);
}

static void on_writable(struct ev_loop *loop, ev_io *w, int revents)
{
    (void) loop, (void) revents;
    on_ready(w->data, false);
}

static const char no_greeting[] = "connected, but no answer within the connect timeout";

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__conn *c = w->data;
    (void) loop;
    (void) revents;
    c->busy++;
    if (c->state == WAITING) {
        start_connecting(c);
    } else if (c->state == CONNECTING) {
        follow_link(c, asq__route_step(&c->route));
    } else if (c->state == GREETING) {
        lose(c, ASQ_ECONN, no_greeting);
    } else {
        int64_t limit = c->config.reply_timeout_ms;
        int64_t waited = c->count ? asq__now_ms_coarse() - c->pending[c->first].sent_ms : 0;
        if (waited >= limit)
            lose(c, ASQ_ECONN, "no answer within the reply timeout");
        else
            set_timer(c, (double) (limit - waited + 10) / 1000);
    }
    end_event(c);
}

static void start_connecting(struct asq__conn *c)
{
    c->parser = redisReaderCreate();
    if (!c->parser) {
        lose(c, ASQ_ECONN, "out of memory");
        return;
    }
    asq__reply_in_arena(c->parser, &c->replies);
    c->parser->maxbuf = KEPT_BUFFER;
    c->state = CONNECTING;
    c->deadline_ms = asq__deadline_ms(c->config.connect_timeout_ms);
    follow_link(c, asq__route_open(&c->route, c->config.connect_timeout_ms));
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
    asq__link_init(&c->link, config->url);
    if (!c->name || !c->in ||
        (config->host &&
         asq__link_set_endpoint(&c->link, config->host->name, config->host->port) < 0)) {
        asq__link_release(&c->link);
        free(c->in);
        free(c->name);
        free(c);
        return ASQ_ENOMEM;
    }
    c->config.host = NULL;
    asq__arena_init(&c->replies, MAX_REPLY);
    asq__route_init(&c->route, &c->link);
    c->config.name = c->name;
    c->seed = (unsigned) getpid() ^ (unsigned) (uintptr_t) c ^ (unsigned) asq__now_ms();
    asq__buf_init(&c->out, MAX_UNWRITTEN);
    ev_io_init(&c->reader, on_readable, -1, EV_READ);
    ev_io_init(&c->writer, on_writable, -1, EV_WRITE);
    ev_timer_init(&c->timer, on_timer, 0., 0.);
    /* The priorities make input be read before a timeout fires, and join the commands of several
     * callbacks in one write. */
    ev_set_priority(&c->timer, -1);
    ev_set_priority(&c->writer, EV_MINPRI);
    c->reader.data = c->writer.data = c->timer.data = c;
    c->state = WAITING;
    if (!config->idle)
        set_timer(c, 1e-6); /* connects from the loop, so that callbacks find *ret set */
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

void asq__conn_give_up(struct asq__conn *c)
{
    c->busy++;
    if (c->state == CONNECTING)
        lose(c, asq__route_give_up(&c->route), c->link.why);
    else if (c->state == GREETING)
        lose(c, ASQ_ECONN, no_greeting);
    end_event(c);
}

void asq__conn_drop(struct asq__conn *c, const char *why)
{
    asq__conn_fail(c, ASQ_ECONN, why);
}

void asq__conn_fail(struct asq__conn *c, int code, const char *why)
{
    if (c->state != WAITING)
        lose(c, code, why);
}

bool asq__conn_is_outdated(const struct asq__conn *c)
{
    return asq__route_is_outdated(&c->route);
}

void asq__conn_move(struct asq__conn *c, const char *why)
{
    c->failures = 0;
    if (c->state != WAITING)
        lose(c, ASQ_ECONN, why);
    else if (ev_is_active(&c->timer))
        set_timer(c, (double) (1 + rand_r(&c->seed) % BACKOFF_FIRST_MS) / 1000);
}

int asq__conn_set_host(struct asq__conn *c, const struct asq__host *host)
{
    return asq__link_set_endpoint(&c->link, host->name, host->port);
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

bool asq__conn_is_local(const struct asq__conn *c)
{
    struct sockaddr_storage peer;
    socklen_t n = sizeof peer;
    return getpeername(c->link.fd, (struct sockaddr *) &peer, &n) < 0 ||
           asq__address_is_local((const struct sockaddr *) &peer);
}

size_t asq__conn_unwritten(const struct asq__conn *c)
{
    return c->out.len - c->written;
}

size_t asq__conn_unanswered(const struct asq__conn *c)
{
    return c->count;
}

int64_t asq__conn_waits_ms(const struct asq__conn *c)
{
    return c->count ? asq__now_ms_coarse() - c->pending[c->first].sent_ms : 0;
}

long long asq__conn_redis_id(const struct asq__conn *c)
{
    return c->redis_id;
}
