/*
 * handles.c: see handles.h.
 *
 *                    the key is there                          says "closed", or
 *     UNKNOWN ─────────────────────────▶ LIVES ────────────▶ is missing for long enough ──▶ ENDED
 *        ▲                                                                                    │
 *        └──────────────────── Redis was away, or has not answered in time ◀──────────────────┘
 *
 * The key of a handle has a time to live, so a key that is missing may tell that its program has
 * gone, or that Redis has lost it, as in a failover. So this process counts how long it has found
 * the key missing without losing its connection: a program that lives writes the key again as soon
 * as it reaches Redis. Who has seen the key on this connection knows that its time is over, and
 * waits for two renewals; who has not waits for the whole lease.
 *
 * One read of a key is for all agents of that handle. The keys are in the slot of the namespace:
 * scripts of a partition could not read them in a Cluster.
 */
#include "worker/handles.h"

#include <ev.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/handle_key.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/table.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum {
    HANDLES_MAX = 100000,
    WANTED_MS = 180000, /* longer than timers are put off */
    SLOW_MS = 5000,     /* Redis stood still: the programs could not write either */
    LOG_EVERY_MS = 60000
};

struct watched {
    struct asq__node node; /* in table */
    struct asq__process *w;
    uint64_t handle;
    enum asq__handle_state state;
    bool seen; /* its key, on this connection */
    bool asking;
    int64_t wanted_ms, asked_ms;
    int64_t missing_since_ms; /* 0: it is not */
};

struct asq__handles {
    struct asq__table table;
    ev_timer timer; /* the next look; runs while there are any */
    int64_t last_logged_ms;
};

static const void *key_of(const struct asq__node *node, size_t *n)
{
    const struct watched *x = ASQ__CONTAINER(node, struct watched, node);
    *n = sizeof x->handle;
    return &x->handle;
}

/* ---- looks ---- */

static void doubt(struct watched *x)
{
    x->seen = false;
    x->missing_since_ms = 0;
    x->state = ASQ__HANDLE_UNKNOWN;
}

static void log_refused(struct asq__process *w, const redisReply *reply)
{
    int64_t now = asq__now_ms();
    if (w->handles->last_logged_ms && now - w->handles->last_logged_ms < LOG_EVERY_MS)
        return;
    w->handles->last_logged_ms = now;
    asq__process_log(w, ASQ_LOG_ERROR,
                     "the keys of programs' handles cannot be read, so agents that end with them "
                     "stay: %s",
                     asq__reply_text(reply));
}

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct watched *x = user;
    int64_t now = asq__now_ms();
    (void) c;
    x->asking = false;
    if (reply && reply->type == REDIS_REPLY_STRING) {
        bool closed = asq__reply_is(reply, ASQ__HANDLE_CLOSED);
        x->state = closed ? ASQ__HANDLE_ENDED : ASQ__HANDLE_LIVES;
        x->seen = !closed;
        x->missing_since_ms = 0;
        return;
    }
    if (!reply || reply->type != REDIS_REPLY_NIL || now - x->asked_ms > SLOW_MS) {
        if (reply && reply->type != REDIS_REPLY_NIL && !asq__reply_is_transient(reply))
            log_refused(x->w, reply);
        doubt(x);
        return;
    }
    if (!x->missing_since_ms)
        x->missing_since_ms = now;
    x->state = now - x->missing_since_ms >= (x->seen ? ASQ__HANDLE_GRACE_MS : ASQ__HANDLE_LEASE_MS)
                   ? ASQ__HANDLE_ENDED
                   : ASQ__HANDLE_UNKNOWN;
}

static void ask(struct watched *x)
{
    char client[17], key[ASQ__KEY_MAX];
    snprintf(client, sizeof client, "%016llx", (unsigned long long) x->handle);
    asq__keys_handle(asq__redis_keys(x->w->redis), client, key);
    x->asked_ms = asq__now_ms();
    x->asking = asq__conn_cmd(asq__redis_home(x->w->redis), on_answer, x, "GET", key, NULL) == 0;
    if (!x->asking)
        doubt(x);
}

static void look(struct asq__node *node, void *user)
{
    struct watched *x = ASQ__CONTAINER(node, struct watched, node);
    const int64_t *now = user;
    if (x->asking)
        return;
    if (*now - x->wanted_ms < WANTED_MS) {
        ask(x);
    } else {
        asq__table_del(&x->w->handles->table, node);
        free(x);
    }
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
    struct asq__handles *all = timer->data;
    int64_t now = asq__now_ms();
    (void) revents;
    asq__table_each(&all->table, look, &now);
    if (!all->table.count)
        ev_timer_stop(loop, timer);
}

/* ---- for others ---- */

static struct asq__handles *all_of(struct asq__process *w)
{
    if (w->handles)
        return w->handles;
    struct asq__handles *all = calloc(1, sizeof *all);
    if (!all || asq__table_init(&all->table, key_of) < 0) {
        free(all);
        return NULL;
    }
    ev_timer_init(&all->timer, on_time, ASQ__HANDLES_LOOK_MS / 1000., ASQ__HANDLES_LOOK_MS / 1000.);
    all->timer.data = all;
    return w->handles = all;
}

enum asq__handle_state asq__handles_state(struct asq__process *w, uint64_t handle)
{
    struct asq__handles *all = all_of(w);
    struct asq__node *node = all ? asq__table_find(&all->table, &handle, sizeof handle) : NULL;
    struct watched *x = node ? ASQ__CONTAINER(node, struct watched, node) : NULL;
    if (!x) {
        if (!all || all->table.count >= HANDLES_MAX || !(x = calloc(1, sizeof *x)))
            return ASQ__HANDLE_UNKNOWN;
        x->w = w;
        x->handle = handle;
        asq__table_add(&all->table, &x->node);
        ask(x);
        if (!ev_is_active(&all->timer))
            ev_timer_again(w->loop, &all->timer);
    }
    x->wanted_ms = asq__now_ms();
    return x->state;
}

static void doubt_each(struct asq__node *node, void *user)
{
    (void) user;
    doubt(ASQ__CONTAINER(node, struct watched, node));
}

void asq__handles_doubt(struct asq__process *w)
{
    if (w->handles)
        asq__table_each(&w->handles->table, doubt_each, NULL);
}

static void free_each(struct asq__node *node, void *user)
{
    (void) user;
    free(ASQ__CONTAINER(node, struct watched, node));
}

void asq__handles_release(struct asq__process *w)
{
    if (!w->handles)
        return;
    if (w->loop)
        ev_timer_stop(w->loop, &w->handles->timer);
    asq__table_each(&w->handles->table, free_each, NULL);
    asq__table_release(&w->handles->table);
    free(w->handles);
    w->handles = NULL;
}
