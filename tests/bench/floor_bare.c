/*
 * floor_bare.c: a floor for durable work: the writes that one event costs Redis at least, as bare
 * commands, pipelined by one client. There is no worker, and so no script, no lease and no read of
 * a stream: what the library takes beyond that is what it does to be safe.
 */
#include "bench.h"
#include "floor.h"

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS = 12, WORD = 128, OLDER = 1024, TICK_US = 20000 /* as a worker flushes values */ };

struct client {
    struct floor_conn conn;
    const struct deployment *d;
    const struct bare *b;
    char *text;
    size_t commands; /* of an event */
    uint64_t sent, replies;
};

/* Writes a word of a command for event i, and returns its length. */
static size_t expand(const struct client *c, const char *word, size_t n, uint64_t i, char *out)
{
    size_t at = 0;
    for (size_t k = 0; k < n && at < WORD - 24; k++) {
        uint64_t number = i;
        if (word[k] != '%') {
            out[at++] = word[k];
            continue;
        }
        switch (word[++k]) {
        case 'p': number = i % c->d->partitions; break;
        case 'w': number = i % (uint64_t) c->b->window; break;
        case 'o': number = i > OLDER ? i - OLDER : 0; break;
        default: break;
        }
        at += (size_t) snprintf(out + at, WORD - at, "%" PRIu64, number);
    }
    return at;
}

static void put_command(struct client *c, const char *command, uint64_t i)
{
    const char *argv[WORDS];
    char words[WORDS][WORD];
    size_t lens[WORDS], argc = 0;
    for (const char *at = command; *at && argc < WORDS; argc++) {
        size_t n = strcspn(at, " ");
        if (n == 2 && at[0] == '%' && at[1] == 'x') {
            argv[argc] = c->text;
            lens[argc] = c->b->text;
        } else {
            argv[argc] = words[argc];
            lens[argc] = expand(c, at, n, i, words[argc]);
        }
        at += n + (at[n] == ' ');
    }
    floor_command(&c->conn, argc, argv, lens);
}

static uint64_t done(const struct client *c)
{
    return c->replies / c->commands;
}

static void run_for(struct client *c, double seconds)
{
    double begin = now_s(), end = begin + seconds;
    uint64_t first = c->sent;
    for (double now = begin; now < end; now = now_s()) {
        struct pollfd fd = { c->conn.c->fd, POLLIN, 0 };
        redisReply *r;
        double due = c->b->rate > 0 ? (now - begin) * c->b->rate : 1e18;
        while (c->sent < done(c) + (uint64_t) c->b->window && (double) (c->sent - first) < due) {
            c->sent++; /* the number of the first one is 1, because no stream has an id 0-0 */
            for (size_t k = 0; k < c->commands; k++)
                put_command(c, c->b->commands[k], c->sent);
        }
        floor_write(&c->conn);
        if (c->sent == done(c))
            usleep(TICK_US);
        else if (poll(&fd, 1, 10000) <= 0)
            fail_client("floor: nothing came for 10 s");
        else
            for (floor_read(&c->conn); (r = floor_reply(&c->conn)); freeReplyObject(r))
                c->replies++;
    }
}

void floor_bare(const struct deployment *d, const void *bare, struct outcome *out)
{
    const struct bare *b = bare;
    struct client c = { .d = d, .b = b, .text = malloc(b->text + 1) };
    const char *const flush[] = { "FLUSHALL" };
    redisReply *r;
    struct meter m;
    if (!c.text)
        fail_client("out of memory");
    memset(c.text, 'x', b->text);
    while (b->commands[c.commands])
        c.commands++;
    floor_connect(&c.conn, d->socket);
    floor_command(&c.conn, 1, flush, NULL);
    floor_write(&c.conn);
    while (!(r = floor_reply(&c.conn)))
        floor_read(&c.conn);
    freeReplyObject(r);
    run_for(&c, warm_s());
    meter_start(&m, d);
    uint64_t before = done(&c);
    run_for(&c, settings.span_s);
    meter_stop(&m, (double) (done(&c) - before) * b->counted, out);
    out->extra[1] = out->redis_cpu / out->seconds * 100;
    floor_close(&c.conn);
    free(c.text);
}
