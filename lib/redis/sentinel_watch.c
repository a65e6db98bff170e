/*
 * sentinel_watch.c: see sentinel_watch.h.
 *
 * `sub` subscribes. A switch that comes between a connection's lookup and the subscription would
 * not be heard, so the same Sentinel is asked once more when it has subscribed, by a connection
 * `ask` that is closed again, and now and then later, in case it was told of the master without a
 * message. A Sentinel that does not answer a PING is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "redis/conn.h"
#include "redis/refusal.h"
#include "redis/sentinel_reply.h"
#include "redis/sentinel_watch.h"
#include "redis/sentinels.h"
#include "redis/timer.h"
#include "redis/trouble.h"
#include "redis/url.h"
#include "value/clock.h"

enum {
    CONNECT_MS = 2000,
    REPLY_MS = 10000,
    PING_MS = 10000,
    PINGS_PER_CHECK = 6, /* the Sentinel is asked about the master each minute */
    NEXT_MS = 10,        /* before the next Sentinel is tried */
    RETRY_MIN_MS = 1000, /* after all have failed */
    RETRY_MAX_MS = 8000
};

static const char channel[] = "+switch-master";

struct asq__sentinel_watch {
    struct asq__sentinel_watch_config config;
    struct asq__server_address list[ASQ__SENTINELS_MAX];
    unsigned n, at; /* at: the one that is listened to, or tried */
    struct asq__url to;
    struct asq__conn *sub, *ask;
    ev_timer timer; /* without `sub`: the next try; else: the next PING */
    bool started, subscribed;
    unsigned pings;
    unsigned rounds; /* successive rounds in which no Sentinel has answered */
    unsigned seed;
    struct asq__trouble away;
    char why[ASQ__SENTINEL_WHY + ASQ__SENTINEL_HOST + 10]; /* of the last failure */
    char password[ASQ__SENTINEL_PASSWORD_MAX];
};

/* Sets the timer to ms, at most a fifth later, so that many processes do not ask at once. */
static void set_timer(struct asq__sentinel_watch *w, int64_t ms)
{
    ms += rand_r(&w->seed) % (ms / 5 + 1);
    asq__timer_restart(w->config.loop, &w->timer, (double) ms / 1000, 0.);
}

static void close_connections(struct asq__sentinel_watch *w)
{
    asq__conn_free(w->ask);
    asq__conn_free(w->sub);
    w->ask = w->sub = NULL;
    w->subscribed = false;
    explicit_bzero(w->password, sizeof w->password);
}

/* ---- what a Sentinel tells ---- */

static void on_told(struct asq__sentinel_watch *w, const struct asq__server_address *master)
{
    asq__sentinels_told(w->config.url->sentinels, &w->list[w->at], master);
    w->config.told(w->config.user);
}

static void on_master(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__sentinel_watch *w = user;
    struct asq__server_address master;
    char why[ASQ__SENTINEL_WHY];
    (void) c;
    if (!reply)
        return;
    bool known = asq__sentinel_read_master(reply, &master, why) == 0;
    asq__conn_free(w->ask);
    w->ask = NULL;
    if (known)
        on_told(w, &master);
}

static void ask_up(struct asq__conn *c, void *user)
{
    struct asq__sentinel_watch *w = user;
    if (asq__conn_cmd(c, on_master, w, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", w->config.url->master,
                      NULL) < 0) {
        asq__conn_free(w->ask);
        w->ask = NULL;
    }
}

static void ask_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__sentinel_watch *w = user;
    (void) c, (void) code, (void) why; /* `sub` finds out whether the Sentinel is lost */
    asq__conn_free(w->ask);
    w->ask = NULL;
}

/* Asks the Sentinel that is listened to where the master is now. */
static void check_master(struct asq__sentinel_watch *w)
{
    const struct asq__conn_config config = {
        .loop = w->config.loop,
        .url = &w->to,
        .name = "asqueue-sentinel",
        .once = true,
        .connect_timeout_ms = CONNECT_MS,
        .reply_timeout_ms = REPLY_MS,
        .up = ask_up,
        .down = ask_down,
        .user = w,
    };
    if (!w->ask && asq__conn_new(&config, &w->ask) < 0)
        w->ask = NULL; /* no memory: again with a later PING */
}

static void on_push(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__sentinel_watch *w = user;
    struct asq__server_address master;
    char text[ASQ__TROUBLE_TEXT], line[ASQ__TROUBLE_TEXT + 80];
    if (reply->type == REDIS_REPLY_ERROR) {
        asq__conn_fail(c, ASQ_EREDIS, reply->str);
        return;
    }
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3)
        return;
    if (asq__reply_is(reply->element[0], "subscribe")) {
        w->subscribed = true;
        w->rounds = 0;
        w->pings = 0;
        if (asq__trouble_over(&w->away, asq__now_ms(), text)) {
            snprintf(line, sizeof line, "a Sentinel answers again%s", text);
            w->config.log(w->config.user, ASQ_LOG_INFO, line);
        }
        check_master(w);
        set_timer(w, PING_MS);
    } else if (asq__reply_is(reply->element[0], "message") &&
               asq__reply_is(reply->element[1], channel) &&
               reply->element[2]->type == REDIS_REPLY_STRING &&
               asq__sentinel_read_switch(reply->element[2]->str, (size_t) reply->element[2]->len,
                                         w->config.url->master, &master)) {
        on_told(w, &master);
    }
}

/* ---- one Sentinel after the other ---- */

static void log_away(struct asq__sentinel_watch *w)
{
    struct asq__server_address master;
    char where[ASQ__SENTINEL_HOST + 10] = "that there is", text[ASQ__TROUBLE_TEXT];
    char line[ASQ__TROUBLE_TEXT + sizeof where + 160];
    if (!w->config.serves(w->config.user) ||
        !asq__trouble_note(&w->away, w->why, asq__now_ms(), text))
        return;
    if (asq__sentinels_master(w->config.url->sentinels, &master))
        asq__server_address_put(&master, where, sizeof where);
    snprintf(line, sizeof line,
             "no Sentinel answers: %s; work goes on with the master %s, but a failover would not "
             "be heard of",
             text, where);
    w->config.log(w->config.user, ASQ_LOG_WARNING, line);
}

/* Goes on to the next Sentinel, or waits when all have been tried. */
static void try_next(struct asq__sentinel_watch *w)
{
    int64_t wait_ms = NEXT_MS;
    close_connections(w);
    if (w->at + 1 < w->n) {
        w->at++;
    } else {
        w->n = 0; /* the list is read again */
        wait_ms = RETRY_MIN_MS;
        for (unsigned i = 0; i < w->rounds && wait_ms < RETRY_MAX_MS; i++)
            wait_ms *= 2;
        w->rounds++;
        log_away(w);
    }
    set_timer(w, wait_ms);
}

static void sub_up(struct asq__conn *c, void *user)
{
    struct asq__sentinel_watch *w = user;
    if (asq__conn_cmd(c, NULL, NULL, "SUBSCRIBE", channel, NULL) < 0)
        asq__conn_drop(w->sub, "out of memory");
}

static void sub_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__sentinel_watch *w = user;
    char where[ASQ__SENTINEL_HOST + 10];
    (void) c, (void) code;
    asq__server_address_put(&w->list[w->at], where, sizeof where);
    snprintf(w->why, sizeof w->why, "%s: %.*s", where, ASQ__SENTINEL_WHY - 4, why);
    if (w->subscribed) { /* this one first: it may only have been restarted */
        w->n = 0;
        close_connections(w);
        set_timer(w, NEXT_MS);
        return;
    }
    try_next(w);
}

static void connect_sub(struct asq__sentinel_watch *w)
{
    if (!w->n) {
        w->n = asq__sentinels_list(w->config.url->sentinels, w->list);
        w->at = 0;
    }
    const struct asq__conn_config config = {
        .loop = w->config.loop,
        .url = &w->to,
        .name = "asqueue-sentinel",
        .subscriber = true,
        .once = true,
        .connect_timeout_ms = CONNECT_MS,
        .reply_timeout_ms = REPLY_MS,
        .up = sub_up,
        .down = sub_down,
        .push = on_push,
        .user = w,
    };
    if (asq__sentinel_url(w->config.url, &w->list[w->at], w->password, &w->to, w->why) < 0) {
        try_next(w);
    } else if (asq__conn_new(&config, &w->sub) < 0) {
        w->sub = NULL;
        set_timer(w, RETRY_MIN_MS);
    }
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct asq__sentinel_watch *w = timer->data;
    (void) loop, (void) revents;
    if (!w->sub) {
        connect_sub(w);
        return;
    }
    if (!w->subscribed)
        return;
    if (asq__conn_unanswered(w->sub) == 0)
        asq__conn_cmd(w->sub, NULL, NULL, "PING", NULL);
    if (++w->pings % PINGS_PER_CHECK == 0)
        check_master(w);
    set_timer(w, PING_MS);
}

/* ---- life ---- */

struct asq__sentinel_watch *asq__sentinel_watch_new(const struct asq__sentinel_watch_config *config)
{
    struct asq__sentinel_watch *w = calloc(1, sizeof *w);
    if (!w)
        return NULL;
    w->config = *config;
    w->seed = (unsigned) getpid() ^ (unsigned) (uintptr_t) w ^ (unsigned) asq__now_ms();
    ev_timer_init(&w->timer, on_timer, 0., 0.);
    w->timer.data = w;
    return w;
}

void asq__sentinel_watch_free(struct asq__sentinel_watch *w)
{
    if (!w)
        return;
    ev_timer_stop(w->config.loop, &w->timer);
    close_connections(w);
    free(w);
}

void asq__sentinel_watch_start(struct asq__sentinel_watch *w)
{
    if (w->started)
        return;
    w->started = true;
    set_timer(w, NEXT_MS);
}

void asq__sentinel_watch_set_loop(struct asq__sentinel_watch *w, struct ev_loop *loop)
{
    bool timing = ev_is_active(&w->timer);
    double left = timing ? ev_timer_remaining(w->config.loop, &w->timer) : 0;
    ev_clear_pending(w->config.loop, &w->timer);
    ev_timer_stop(w->config.loop, &w->timer);
    w->config.loop = loop;
    if (timing)
        asq__timer_restart(loop, &w->timer, left > 0 ? left : 1e-6, 0.);
    if (w->sub)
        asq__conn_set_loop(w->sub, loop);
    if (w->ask)
        asq__conn_set_loop(w->ask, loop);
}
