/*
 * push.c: see push.h.
 */
#include "worker/push.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "redis/barrier.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/buf.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/partition.h"
#include "worker/process.h"

enum {
    PUSHED_AT_MOST = 1024 * 1024,   /* bytes, of one record to all clients that wait for it */
    HELD_AT_MOST = 16 * 1024 * 1024 /* bytes that are held until replicas have them */
};

void asq__push(struct asq__partition *p, const char *client, const void *data, size_t n)
{
    char channel[ASQ__KEY_MAX];
    size_t channel_n = asq__redis_push_channel(p->w->redis, p->number, client, channel);
    const char *command = asq__redis_push_command(p->w->redis);
    const char *argv[] = { command, channel, data };
    size_t lens[] = { strlen(command), channel_n, n };
    if (*client && n <= asq__redis_max_string(p->w->redis)) /* else it reads the record */
        asq__conn_argv(asq__redis_conn(p->w->redis, p->number), NULL, NULL, 3, argv, lens);
}

void asq__push_announcement(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                            const char *client, size_t n)
{
    struct asq__buf out;
    asq__buf_init(&out, 64);
    asq__results_announce(batch, n, n, &out);
    if (!out.error)
        asq__push(p, client, out.data, out.len);
    asq__buf_release(&out);
}

/* A record that was read from Redis, and is pushed once replicas have it. */
struct held {
    struct asq__partition *p;
    size_t n;
    char client[17]; /* as in asq__process */
    char data[];
};

static void on_replicas(bool on_replicas, void *user)
{
    struct held *held = user;
    held->p->w->held_pushes -= held->n;
    if (on_replicas)
        asq__push(held->p, held->client, held->data, held->n);
    free(held);
}

/* Pushes a record once replicas have it. False: too much is held already, or memory is short. */
static bool push_later(struct asq__partition *p, const char *client, const void *data, size_t n)
{
    struct asq__process *w = p->w;
    struct asq__barrier *barrier = asq__redis_barrier(w->redis, p->number);
    struct held *held = w->held_pushes + n <= HELD_AT_MOST ? malloc(sizeof *held + n) : NULL;
    if (!held)
        return false;
    held->p = p;
    held->n = n;
    snprintf(held->client, sizeof held->client, "%s", client);
    memcpy(held->data, data, n);
    if (asq__barrier_wait(barrier, p->number, false, on_replicas, held) < 0) {
        free(held);
        return false;
    }
    w->held_pushes += n;
    return true;
}

void asq__push_record(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                      const char *client, const void *data, size_t n)
{
    if (n <= ASQ__PUSH_MAX && !p->w->config.wait_replicas)
        asq__push(p, client, data, n);
    else if (n > ASQ__PUSH_MAX || !push_later(p, client, data, n))
        asq__push_announcement(p, batch, client, n);
}

void asq__push_to_all(const struct asq__entry *e, const void *data, size_t n)
{
    const uint8_t *batch = e->batch->id.data;
    size_t pushed = n;
    asq__push_record(e->part, batch, e->batch->reply, data, n);
    for (size_t i = 0; i < e->nchannels; i++) {
        pushed += n;
        if (pushed <= PUSHED_AT_MOST)
            asq__push_record(e->part, batch, e->channels[i], data, n);
        else
            asq__push_announcement(e->part, batch, e->channels[i], n);
    }
}

/* ---- frames of several batches, gathered for each client ---- */

enum {
    GATHERED = 64 * 1024,  /* bytes pushed together */
    GATHERED_FRAME = 16384 /* a larger frame is pushed alone, because joining would copy it */
};

static void push_group(struct asq__partition *p, struct asq__push_group *g)
{
    if (g->frames.len && !g->frames.error)
        asq__push(p, g->client, g->frames.data, g->frames.len);
    asq__buf_release(&g->frames);
    g->client = NULL;
}

/* Returns the client's group, made if there is none; the first one leaves if all are taken. */
static struct asq__push_group *group_of(struct asq__partition *p, struct asq__push_group *groups,
                                        const char *client)
{
    struct asq__push_group *free_one = NULL;
    for (int i = 0; i < ASQ__PUSH_GROUPS; i++) {
        if (groups[i].client && strcmp(groups[i].client, client) == 0)
            return &groups[i];
        if (!groups[i].client)
            free_one = &groups[i];
    }
    if (!free_one) {
        free_one = &groups[0];
        push_group(p, free_one);
    }
    free_one->client = client;
    asq__buf_init(&free_one->frames, 2 * GATHERED);
    return free_one;
}

static void push_frame(struct asq__partition *p, struct asq__push_group *groups, const char *client,
                       const uint8_t batch[ASQ__BATCH_ID], const struct asq__buf *frame)
{
    if (!*client)
        return;
    if (frame->len > ASQ__PUSH_MAX) {
        /* The frame's place in the record is not known here: the client reads what it lacks. */
        struct asq__buf out;
        asq__buf_init(&out, 64);
        asq__results_announce(batch, 0, frame->len, &out);
        if (!out.error)
            asq__push(p, client, out.data, out.len);
        asq__buf_release(&out);
    } else if (frame->len > GATHERED_FRAME) {
        asq__push(p, client, frame->data, frame->len);
    } else {
        struct asq__push_group *g = group_of(p, groups, client);
        if (g->frames.len == 0)
            asq__buf_put(&g->frames, frame->data, frame->len);
        else
            asq__results_add_other(frame->data, frame->len, &g->frames);
        if (g->frames.len >= GATHERED || g->frames.error)
            push_group(p, g);
    }
}

void asq__push_gather(struct asq__push_group groups[ASQ__PUSH_GROUPS], const struct asq__entry *e,
                      const struct asq__buf *frame)
{
    const uint8_t *batch = e->batch->id.data;
    push_frame(e->part, groups, e->batch->reply, batch, frame);
    for (size_t i = 0; i < e->nchannels; i++)
        push_frame(e->part, groups, e->channels[i], batch, frame);
}

void asq__push_gathered(struct asq__partition *p, struct asq__push_group groups[ASQ__PUSH_GROUPS])
{
    for (int i = 0; i < ASQ__PUSH_GROUPS; i++)
        if (groups[i].client)
            push_group(p, &groups[i]);
}

void asq__push_results(const struct asq__commit *c)
{
    struct asq__push_group groups[ASQ__PUSH_GROUPS] = { 0 };
    for (size_t i = 0; i < c->npieces; i++)
        asq__push_gather(groups, c->pieces[i].entry, &c->pieces[i].frame);
    asq__push_gathered(c->part, groups);
}
