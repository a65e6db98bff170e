/*
 * admin_each.c: see admin_each.h. Some hundred commands are under way at a time. Those whose
 * replies are lost with a connection are sent again.
 */
#include "client/admin_each.h"

#include <stdbool.h>
#include <stdlib.h>

#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/conn.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/clock.h"

enum { AT_ONCE = 512, WAIT_MS = 100 };

struct window;
struct one {
    struct window *window;
    uint32_t partition;
    bool done;
};

/* Freed by its asker, or by the last reply when the asker has given up. */
struct window {
    asq *h;
    const struct asq__each *each; /* NULL: the asker has given up */
    size_t under_way, n;
    int rc;
    struct one ones[AT_ONCE];
};

static void on_reply(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct one *one = user;
    struct window *w = one->window;
    (void) c;
    w->under_way--;
    if (!w->each) {
        if (w->under_way == 0)
            free(w);
        return;
    }
    if (!reply || w->rc < 0)
        return;
    one->done = true;
    if (reply->type == REDIS_REPLY_ERROR && !asq__reply_is_wrong_type(reply) &&
        !asq__reply_is_denial(reply))
        w->rc = asq__fail(w->h, ASQ_EREDIS, "Redis: %s: %s", w->each->command, reply->str);
    else
        w->rc = w->each->take(w->h, one->partition, reply, w->each->user);
}

/* Sends what has no reply yet. */
static void send_window(struct window *w)
{
    struct asq__redis *redis = asq__remote_redis(w->h);
    const struct asq__each *each = w->each;
    for (size_t i = 0; i < w->n; i++) {
        char key[ASQ__KEY_MAX];
        const char *argv[2 + sizeof each->more / sizeof *each->more] = { each->command, key };
        if (w->ones[i].done)
            continue;
        each->key(asq__redis_keys(redis), w->ones[i].partition, key);
        for (size_t k = 0; k < each->n_more; k++)
            argv[2 + k] = each->more[k];
        if (asq__conn_argv(asq__redis_conn(redis, w->ones[i].partition), on_reply, &w->ones[i],
                           2 + (int) each->n_more, argv, NULL) == 0)
            w->under_way++;
    }
    asq__redis_flush(redis);
}

static bool is_done(const struct window *w)
{
    for (size_t i = 0; i < w->n; i++)
        if (!w->ones[i].done)
            return false;
    return true;
}

/* Asks until all have answered, and frees the window. */
static int ask_window(struct window *w)
{
    asq *h = w->h;
    int rc = 0;
    while (rc == 0 && w->rc == 0 && !is_done(w)) {
        int64_t left = h->admin_until_ms - asq__now_ms();
        if (h->closed)
            rc = asq__admin_closed(h);
        else if (asq__admin_check_partitions(h, w->each->partitions) < 0)
            rc = ASQ_EREDIS;
        else if (left <= 0)
            rc = asq__fail(h, ASQ_ETIMEOUT, "Redis did not answer in time");
        else {
            if (w->under_way == 0 && asq__redis_is_up(asq__remote_redis(h)))
                send_window(w);
            asq__remote_pump(h, left < WAIT_MS ? left : WAIT_MS);
        }
    }
    rc = rc < 0 ? rc : w->rc;
    w->each = NULL;
    if (w->under_way == 0)
        free(w);
    return rc;
}

int asq__admin_each(asq *h, const struct asq__each *each, int64_t deadline_ms)
{
    uint32_t end = each->end ? each->end : each->partitions;
    int rc = 0;
    for (uint32_t next = each->first; rc == 0 && next < end;) {
        struct window *w = calloc(1, sizeof *w);
        if (!w)
            return asq__fail_memory(h);
        w->h = h;
        w->each = each;
        for (; w->n < AT_ONCE && next < end; w->n++)
            w->ones[w->n] = (struct one){ .window = w, .partition = next++ };
        if (deadline_ms > 0)
            asq__admin_extend(h, deadline_ms);
        rc = ask_window(w);
        if (rc == 0)
            rc = asq__admin_check_partitions(h, each->partitions);
    }
    return rc;
}
