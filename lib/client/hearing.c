/*
 * hearing.c: in a Cluster results are pushed on a sharded channel of their partition. The engine
 * subscribes together with its first batch to a partition, and leaves the channel when it has had
 * no batch there for a while. What is pushed before the subscription is confirmed is missed, so the
 * records of the batches under way are read once then. See batch.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/batch.h"
#include "client/engine.h"
#include "redis/redis.h"
#include "redis/timer.h"
#include "value/assert.h"
#include "value/clock.h"
#include "value/list.h"

enum { IDLE_MS = 60000, LOOKED_AT_PER_TICK = 1024 };

/* A partition, with one of these for each. */
struct ear {
    uint32_t n; /* batches of the partition that wait for results */
    enum { DEAF, ASKED, HEARS } state;
    bool fresh; /* confirmed: the records of its batches are to be read */
    int64_t idle_since_ms;
};

struct asq__hearing {
    struct asq__engine *e;
    uint32_t n, next; /* next: the partition at which the next tick looks first */
    ev_timer fresh;   /* reads records once for all confirmations that come together */
    struct ear *ears;
};

static void read_records(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__hearing *h = w->data;
    struct asq__engine *e = h->e;
    (void) loop;
    (void) revents;
    if (!e->up)
        return; /* all batches are asked about on the next connection */
    ASQ__LIST_EACH (it, &e->watch) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, watch);
        if (!h->ears[b->partition].fresh)
            continue;
        if (e->no_get)
            asq__batch_query(e, b);
        else
            asq__batch_fetch(e, b);
    }
    for (uint32_t p = 0; p < h->n; p++)
        h->ears[p].fresh = false;
}

int asq__hearing_open(struct asq__engine *e)
{
    if (e->hearing || !asq__redis_is_cluster(e->redis))
        return 0;
    struct asq__hearing *h = calloc(1, sizeof *h);
    if (!h)
        return ASQ_ENOMEM;
    h->e = e;
    ev_timer_init(&h->fresh, read_records, 0., 0.);
    h->fresh.data = h;
    e->hearing = h;
    return asq__hearing_grow(e, asq__redis_partitions(e->redis));
}

int asq__hearing_grow(struct asq__engine *e, uint32_t partitions)
{
    struct asq__hearing *h = e->hearing;
    if (!h || partitions <= h->n)
        return 0;
    struct ear *ears = realloc(h->ears, partitions * sizeof *ears);
    if (!ears)
        return ASQ_ENOMEM;
    memset(ears + h->n, 0, (partitions - h->n) * sizeof *ears);
    h->ears = ears;
    h->n = partitions;
    return 0;
}

void asq__hearing_close(struct asq__engine *e)
{
    if (!e->hearing)
        return;
    ev_timer_stop(e->loop, &e->hearing->fresh);
    free(e->hearing->ears);
    free(e->hearing);
    e->hearing = NULL;
    asq__redis_unhear_all(e->redis);
}

void asq__hearing_set_loop(struct asq__engine *e, struct ev_loop *loop)
{
    struct asq__hearing *h = e->hearing;
    if (!h || !ev_is_active(&h->fresh))
        return;
    ev_timer_stop(e->loop, &h->fresh);
    asq__timer_restart(loop, &h->fresh, 0., 0.);
}

void asq__hearing_down(struct asq__engine *e, const bool *parts)
{
    struct asq__hearing *h = e->hearing;
    for (uint32_t p = 0; h && p < h->n; p++) {
        if (!asq__engine_concerns(parts, p))
            continue;
        if (h->ears[p].state == HEARS)
            h->ears[p].state = ASKED; /* redis.c subscribes again */
        h->ears[p].fresh = false;
    }
}

void asq__engine_heard(struct asq__engine *e, uint32_t partition, bool now)
{
    struct asq__hearing *h = e->hearing;
    if (!h || partition >= h->n || h->ears[partition].state == DEAF)
        return;
    struct ear *ear = &h->ears[partition];
    ear->state = now ? HEARS : ASKED;
    ear->fresh = now && ear->n;
    if (ear->fresh && !ev_is_active(&h->fresh))
        asq__timer_restart(e->loop, &h->fresh, 0., 0.);
}

void asq__batch_hear(struct asq__batch *b)
{
    struct asq__hearing *h = b->engine->hearing;
    if (!h || b->heard)
        return;
    asq__assert(b->partition < h->n);
    struct ear *ear = &h->ears[b->partition];
    b->heard = true;
    ear->n++;
    if (ear->state == DEAF) {
        ear->state = ASKED;
        asq__redis_hear(b->engine->redis, b->partition);
    }
}

void asq__batch_unhear(struct asq__batch *b)
{
    struct asq__hearing *h = b->engine->hearing;
    if (!b->heard)
        return;
    b->heard = false;
    if (!h)
        return; /* the namespace was made anew */
    struct ear *ear = &h->ears[b->partition];
    asq__assert(ear->n > 0);
    if (--ear->n == 0)
        ear->idle_since_ms = asq__now_ms_coarse();
}

void asq__hearing_tick(struct asq__engine *e)
{
    struct asq__hearing *h = e->hearing;
    int64_t now = asq__now_ms_coarse();
    uint32_t most = h && h->n < LOOKED_AT_PER_TICK ? h->n : LOOKED_AT_PER_TICK;
    for (uint32_t i = 0; h && i < most; i++) {
        uint32_t p = h->next;
        h->next = (p + 1) % h->n;
        struct ear *ear = &h->ears[p];
        if (ear->state != HEARS || ear->n || now - ear->idle_since_ms < IDLE_MS)
            continue;
        ear->state = DEAF;
        asq__redis_unhear(e->redis, p);
    }
}
