/*
 * topology_reader.c: see topology_reader.h.
 *
 * IDLE ──its time has come──▶ ASKING ──map, refusal, loss or no answer in time──▶ IDLE
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/refusal.h"
#include "redis/timer.h"
#include "redis/topology.h"
#include "redis/topology_reader.h"
#include "redis/url.h"
#include "value/clock.h"

enum {
    SOON_MS = 50,      /* after a refresh is asked for */
    APART_MS = 200,    /* least time between two questions */
    HURRY_MS = 200,    /* while slots lack a node, at first: an election takes about a second */
    HURRIES = 50,      /* questions at this pace */
    WAITING_MS = 500,  /* while they lack one for longer */
    BACKOFF_MS = 2000, /* longest time between failures */
    REGULAR_MS = 60 * 1000,
    ANSWER_MS = 2000 /* waited for an answer */
};

struct asq__topology_reader {
    struct asq__topology_reader_config config;
    ev_timer timer;          /* IDLE: the next question; ASKING: the end of waiting */
    struct asq__conn *asked; /* ASKING: the connection; NULL: IDLE */
    struct asq__conn *own;   /* made for the question; or NULL */
    char name[256];          /* host that is asked */
    int port;
    int64_t asked_ms, due_ms;
    bool again; /* a refresh is asked for while a question is under way */
    unsigned failures;
    unsigned hurries; /* maps since slots lack a node */
    unsigned seed;
};

static void ask(struct asq__topology_reader *r);

/* Returns from half of ms to one and a half. */
static int64_t spread(struct asq__topology_reader *r, int64_t ms)
{
    return ms / 2 + rand_r(&r->seed) % (ms + 1);
}

static void set_timer(struct asq__topology_reader *r, int64_t ms)
{
    ev_now_update(r->config.loop);
    asq__timer_restart(r->config.loop, &r->timer, (double) (ms > 0 ? ms : 1) / 1000, 0.);
}

/* Becomes IDLE until the time has come, or earlier if a refresh was asked for. */
static void become_idle(struct asq__topology_reader *r, int64_t ms)
{
    struct asq__conn *own = r->own;
    r->own = r->asked = NULL;
    asq__conn_free(own);
    if (r->again && ms > APART_MS)
        ms = spread(r, APART_MS);
    r->again = false;
    r->due_ms = asq__now_ms() + ms;
    set_timer(r, ms);
}

static void fail(struct asq__topology_reader *r, int code, const char *why)
{
    char text[800];
    snprintf(text, sizeof text, "asking %s:%d for the nodes of the Cluster: %s", r->name, r->port,
             why);
    int64_t ms = SOON_MS;
    for (unsigned i = 0; i < r->failures && ms < BACKOFF_MS; i++)
        ms *= 2;
    r->failures++;
    become_idle(r, spread(r, ms < BACKOFF_MS ? ms : BACKOFF_MS));
    r->config.failed(r->config.user, code, text);
}

/* ---- answers ---- */

static void take_map(struct asq__topology_reader *r, const redisReply *reply, bool shards)
{
    struct asq__topology_view view = { r->config.url, r->name, r->port };
    struct asq__topology map;
    char why[200];
    int rc = shards ? asq__topology_from_shards(&view, reply, &map, why, sizeof why)
                    : asq__topology_from_slots(&view, reply, &map, why, sizeof why);
    if (rc < 0) {
        fail(r, rc, why);
        return;
    }
    r->failures = 0;
    become_idle(r, spread(r, REGULAR_MS));
    if (!r->config.read(r->config.user, &map))
        r->hurries = 0;
    else if (r->due_ms > asq__now_ms() + 2 * WAITING_MS)
        become_idle(r, spread(r, r->hurries++ < HURRIES ? HURRY_MS : WAITING_MS));
    asq__topology_release(&map);
}

static void on_slots(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__topology_reader *r = user;
    if (c != r->asked)
        return; /* too late */
    if (!reply)
        fail(r, ASQ_ECONN, "the connection was lost");
    else if (reply->type == REDIS_REPLY_ERROR)
        fail(r, ASQ_EREDIS, reply->str);
    else
        take_map(r, reply, false);
}

static void on_shards(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__topology_reader *r = user;
    if (c != r->asked)
        return;
    if (!reply)
        fail(r, ASQ_ECONN, "the connection was lost");
    else if (asq__reply_is_transient(reply))
        fail(r, ASQ_EBUSY, reply->str);
    else if (reply->type != REDIS_REPLY_ERROR)
        take_map(r, reply, true);
    else if (asq__conn_cmd(c, on_slots, r, "CLUSTER", "SLOTS", NULL) < 0) /* before Redis 7.0 */
        fail(r, ASQ_ECONN, "out of memory");
}

static void send_question(struct asq__topology_reader *r)
{
    if (asq__conn_cmd(r->asked, on_shards, r, "CLUSTER", "SHARDS", NULL) < 0)
        fail(r, ASQ_ECONN, "out of memory");
}

/* ---- a connection for one question ---- */

static void on_up(struct asq__conn *c, void *user)
{
    struct asq__topology_reader *r = user;
    if (c == r->asked)
        send_question(r);
}

static void on_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__topology_reader *r = user;
    if (c == r->asked)
        fail(r, code, why);
}

static void ask(struct asq__topology_reader *r)
{
    const struct asq__host *host = NULL;
    const struct asq__url *url = r->config.url;
    struct asq__conn *conn = r->config.choose(r->config.user, r->failures, &host);
    /* The host of a Unix socket is this machine. */
    snprintf(r->name, sizeof r->name, "%s",
             host        ? host->name
             : url->host ? url->host
                         : "127.0.0.1");
    r->port = host ? host->port : url->port;
    r->again = false;
    r->asked_ms = asq__now_ms();
    if (conn) {
        r->asked = conn;
        set_timer(r, ANSWER_MS);
        send_question(r);
        return;
    }
    struct asq__conn_config config = {
        .loop = r->config.loop,
        .url = url,
        .host = host,
        .name = r->config.name,
        .once = true,
        .connect_timeout_ms = r->config.connect_timeout_ms,
        .up = on_up,
        .down = on_down,
        .user = r,
    };
    if (asq__conn_new(&config, &r->own) < 0) {
        fail(r, ASQ_ENOMEM, "out of memory");
        return;
    }
    r->asked = r->own;
    set_timer(r, r->config.connect_timeout_ms + ANSWER_MS);
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__topology_reader *r = w->data;
    (void) loop, (void) revents;
    if (r->asked)
        fail(r, ASQ_ECONN, "no answer in time");
    else
        ask(r);
}

void asq__topology_reader_refresh(struct asq__topology_reader *r)
{
    int64_t now = asq__now_ms(), soonest = r->asked_ms + spread(r, APART_MS);
    if (r->asked) {
        r->again = true; /* the answer may be older than the reason to ask */
        return;
    }
    int64_t due = now + spread(r, SOON_MS);
    if (due < soonest)
        due = soonest;
    if (due >= r->due_ms)
        return; /* it is to be asked already */
    r->due_ms = due;
    set_timer(r, due - now);
}

/* ---- life ---- */

int asq__topology_reader_new(const struct asq__topology_reader_config *config,
                             struct asq__topology_reader **ret)
{
    struct asq__topology_reader *r = calloc(1, sizeof *r);
    if (!r)
        return ASQ_ENOMEM;
    r->config = *config;
    r->seed = (unsigned) getpid() ^ (unsigned) (uintptr_t) r ^ (unsigned) asq__now_ms();
    ev_timer_init(&r->timer, on_timer, 0., 0.);
    r->timer.data = r;
    r->due_ms = asq__now_ms();
    set_timer(r, 0); /* from the loop, so that callbacks find *ret set */
    *ret = r;
    return 0;
}

void asq__topology_reader_free(struct asq__topology_reader *r)
{
    if (!r)
        return;
    ev_timer_stop(r->config.loop, &r->timer);
    struct asq__conn *own = r->own;
    r->own = r->asked = NULL;
    asq__conn_free(own);
    free(r);
}

void asq__topology_reader_set_loop(struct asq__topology_reader *r, struct ev_loop *loop)
{
    int64_t left = (int64_t) (ev_timer_remaining(r->config.loop, &r->timer) * 1000);
    ev_timer_stop(r->config.loop, &r->timer);
    r->config.loop = loop;
    if (r->own)
        asq__conn_set_loop(r->own, loop);
    set_timer(r, left);
}
