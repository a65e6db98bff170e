/*
 * floor_client.c: the floor's client: bare hiredis, one connection for XADD and UNLINK, one
 * subscribed to the channel of the results. It keeps nothing, checks nothing and resends nothing.
 */
#include "bench.h"
#include "floor.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { UNLINK_AT = 256, UNLINK_BEHIND = 2048, MAX_SAMPLES = 1 << 20 };

struct client {
    struct floor_conn out, in;
    const struct deployment *d;
    const struct load *load;
    char *batch; /* the bytes of an entry */
    size_t batch_n;
    int calls; /* in an entry */
    uint64_t sent, done, unlinked;
    char prefix[FLOOR_CLIENT + 1];
};

static int result_key(const struct client *c, uint64_t batch, char *out, size_t n)
{
    return snprintf(out, n, "asq:{default.%u}:r:%.16s%016llx",
                    (unsigned) (batch % c->d->partitions), c->prefix, (unsigned long long) batch);
}

/* Deletes results that were read, in bulk, as the library does. */
static void forget(struct client *c)
{
    const char *argv[UNLINK_AT + 1] = { "UNLINK" };
    size_t lens[UNLINK_AT + 1] = { 6 };
    char keys[UNLINK_AT][80];
    for (int i = 0; i < UNLINK_AT; i++) {
        argv[i + 1] = keys[i];
        lens[i + 1] = (size_t) result_key(c, c->unlinked++, keys[i], sizeof keys[i]);
    }
    floor_command(&c->out, UNLINK_AT + 1, argv, lens);
}

static void send_batch(struct client *c)
{
    char key[64], id[FLOOR_HEADER + 1];
    uint32_t partition = (uint32_t) (c->sent % c->d->partitions);
    int n = snprintf(key, sizeof key, "asq:{default.%u}:jobs", partition);
    snprintf(id, sizeof id, "%.16s%016llx%04x    ", c->prefix, (unsigned long long) c->sent,
             (unsigned) c->calls);
    memcpy(c->batch, id, FLOOR_HEADER);
    const char *argv[] = { "XADD", key, "*", "call", "Bench/a100-0.noop", "batch", c->batch };
    size_t lens[] = { 4, (size_t) n, 1, 4, 17, 5, c->batch_n };
    floor_command(&c->out, 7, argv, lens);
    if (++c->sent >= c->unlinked + UNLINK_AT + UNLINK_BEHIND)
        forget(c);
}

static void client_open(struct client *c, const struct deployment *d, const struct load *l)
{
    char channel[FLOOR_CHANNEL_MAX];
    const char *subscribe[] = { "SUBSCRIBE", channel };
    redisReply *reply;
    memset(c, 0, sizeof *c);
    c->d = d;
    c->load = l;
    c->calls = l->batch ? l->batch : 1;
    c->batch_n = FLOOR_HEADER + (size_t) c->calls * (l->payload + FLOOR_CALL_OVERHEAD);
    c->batch = malloc(c->batch_n);
    if (!c->batch)
        fail_client("out of memory");
    memset(c->batch, 'x', c->batch_n);
    snprintf(c->prefix, sizeof c->prefix, "%08x%08x", (unsigned) getpid(),
             (unsigned) (now_s() * 1000));
    floor_connect(&c->out, d->socket);
    floor_connect(&c->in, d->socket);
    snprintf(channel, sizeof channel, FLOOR_CHANNEL "%s", c->prefix);
    floor_command(&c->in, 2, subscribe, NULL);
    floor_write(&c->in);
    while (!(reply = floor_reply(&c->in)))
        floor_read(&c->in);
    freeReplyObject(reply);
    client_ready();
}

static void client_close(struct client *c)
{
    floor_close(&c->out);
    floor_close(&c->in);
    free(c->batch);
}

/* Returns the number of batches in a push. The first one is there as it is, the others behind a tag
 * and their length. */
static uint64_t batches_of(const struct client *c, size_t n)
{
    size_t frame = FLOOR_FRAME + (size_t) (c->calls - 1) * FLOOR_RESULT;
    return 1 + (n - frame) / (frame + (frame < 128 ? 2 : 3));
}

/* Takes the replies that have arrived, and counts the results. */
static void receive(struct client *c, struct floor_conn *from)
{
    redisReply *r;
    for (floor_read(from); (r = floor_reply(from)); freeReplyObject(r))
        if (from == &c->in && r->type == REDIS_REPLY_ARRAY && r->elements == 3)
            c->done += (uint64_t) c->calls * batches_of(c, (size_t) r->element[2]->len);
}

static void turn(struct client *c)
{
    struct pollfd fds[] = { { c->out.c->fd, POLLIN, 0 }, { c->in.c->fd, POLLIN, 0 } };
    floor_write(&c->out);
    if (poll(fds, 2, 10000) <= 0)
        fail_client("floor: nothing came for 10 s");
    if (fds[0].revents)
        receive(c, &c->out);
    if (fds[1].revents)
        receive(c, &c->in);
}

static void run_for(struct client *c, double seconds)
{
    for (double end = now_s() + seconds; now_s() < end; turn(c))
        while (c->sent * (uint64_t) c->calls < c->done + (uint64_t) c->load->window)
            send_batch(c);
}

void floor_async(const struct deployment *d, const void *load, struct outcome *out)
{
    struct client c;
    struct meter m;
    client_open(&c, d, load);
    run_for(&c, warm_s());
    meter_start(&m, d);
    uint64_t before = c.done;
    run_for(&c, settings.span_s);
    meter_stop(&m, (double) (c.done - before), out);
    while (c.done < c.sent * (uint64_t) c.calls)
        turn(&c);
    client_close(&c);
}

void floor_sync(const struct deployment *d, const void *load, struct outcome *out)
{
    struct client c;
    struct meter m;
    size_t n = 0;
    double *us = malloc(MAX_SAMPLES * sizeof *us);
    if (!us)
        fail_client("out of memory");
    client_open(&c, d, load);
    for (bool warm = false;; warm = true) {
        n = 0;
        meter_start(&m, d);
        double end = now_s() + (warm ? settings.span_s : warm_s());
        for (double at = now_s(); at < end && n < MAX_SAMPLES;) {
            send_batch(&c);
            while (c.done < c.sent)
                turn(&c);
            double now = now_s();
            us[n++] = (now - at) * 1e6;
            at = now;
        }
        if (warm)
            break;
    }
    meter_stop(&m, (double) n, out);
    latencies(us, n, out);
    client_close(&c);
}
