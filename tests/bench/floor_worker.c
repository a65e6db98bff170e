/*
 * floor_worker.c: the floor's worker: bare hiredis, blocking reads of 16 streams to a connection,
 * as in the library's reader, and for each read one commit by the library's own script (or by
 * floor.lua), with a state saved for each call. It has no agents, keeps no order, and stores
 * nothing else.
 *
 * put_section writes the same arguments as lib/worker/commit.c: when the arguments of commit.lua
 * change, it has to change, too.
 */
#include "bench.h"
#include "floor.h"

#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Not all scripts of the header are used here. */
#pragma GCC diagnostic ignored "-Wunused-const-variable"
#include "redis/scripts_gen.h"

enum {
    STREAMS = 16,
    MAX_PARTS = 1024,
    KEY = 96,
    READ_COUNT = 128,         /* entries of a stream at a time */
    READ_BYTES = 1024 * 1024, /* approximate limit of their bytes */
    SCRIPTS_IN_FLIGHT = 2     /* with more of them, commits are smaller */
};

static const char TTL[] = "7200000", TOKEN[] = "0123456789abcdef0123456789abcdef";

/* The deployment for which the script is chosen. The worker is forked with it. */
static bool lean;
static char sha[41];

struct reader {
    struct floor_conn c;
    uint32_t from, n;
};

struct part {
    uint64_t seq;
    char read_to[32];
    struct {
        const char *id, *batch;
        size_t batch_n;
    } * entries; /* of this commit; they point into replies */
    size_t n, cap;
    size_t entry_bytes; /* of the last one */
    char keys[3][KEY], attempts[KEY], dead[KEY];
};

struct worker {
    const struct deployment *d;
    struct reader readers[MAX_PARTS / STREAMS];
    uint32_t nreaders;
    struct part *parts;
    uint32_t *ready, nready; /* partitions that have entries */
    void **replies;          /* memory that entries point into */
    size_t nreplies, creplies;
    struct floor_conn c;
    int in_flight;
    const char **argv;
    size_t *lens, n, cap;
    char *texts; /* numbers and names made for a command */
    size_t ntexts, ctexts;
    char record[FLOOR_RECORD], *frame;
};

static void *checked(void *p)
{
    if (!p)
        die("floor: out of memory");
    return p;
}

void floor_prepare(struct deployment *d, const struct deployment_options *o)
{
    char path[256], text[8192];
    redisContext *c = redisConnectUnix(d->socket);
    redisReply *reply;
    size_t n = 0;
    lean = o->lean;
    if (!c || c->err)
        die("floor: no connection");
    if (lean) {
        snprintf(path, sizeof path, "%.200s/floor.lua", settings.source_dir);
        FILE *f = fopen(path, "r");
        if (!f)
            die("%s cannot be read", path);
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
    }
    text[n] = '\0';
    reply = redisCommand(c, "SCRIPT LOAD %s", lean ? text : asq__lua_commit);
    if (!reply || reply->type != REDIS_REPLY_STRING)
        die("floor: the script is refused: %s", reply ? reply->str : c->errstr);
    snprintf(sha, sizeof sha, "%s", reply->str);
    freeReplyObject(reply);
    for (uint32_t p = 0; p < d->partitions; p++) {
        reply = redisCommand(c, "HSET asq:{default.%u}:lease owner floor epoch 1 token %s seq 0", p,
                             TOKEN);
        if (reply)
            freeReplyObject(reply);
    }
    redisFree(c);
}

/* ---- commands ---- */

static void put(struct worker *w, const void *data, size_t n)
{
    if (w->n == w->cap) {
        w->cap = w->cap ? w->cap * 2 : 1024;
        w->argv = checked(realloc(w->argv, w->cap * sizeof *w->argv));
        w->lens = checked(realloc(w->lens, w->cap * sizeof *w->lens));
    }
    w->argv[w->n] = data;
    w->lens[w->n++] = n;
}

/* Texts must not move while argv points at them, so space for a command is reserved before. */
static char *text(struct worker *w, size_t n)
{
    char *p = w->texts + w->ntexts;
    w->ntexts += n;
    return p;
}

static void put_number(struct worker *w, uint64_t number)
{
    char *p = text(w, 24);
    put(w, p, (size_t) snprintf(p, 24, "%llu", (unsigned long long) number));
}

static unsigned calls_of(const char *batch)
{
    char digits[5] = { batch[32], batch[33], batch[34], batch[35], '\0' };
    return (unsigned) strtoul(digits, NULL, 16);
}

static void put_keys(struct worker *w, uint32_t number)
{
    struct part *p = &w->parts[number];
    for (int i = 0; i < 3; i++)
        put(w, p->keys[i], strlen(p->keys[i]));
    if (!lean) {
        put(w, p->attempts, strlen(p->attempts));
        put(w, p->dead, strlen(p->dead));
    }
    for (size_t i = 0; i < p->n; i++) {
        char *key = text(w, KEY);
        int n = snprintf(key, KEY, "asq:{default.%u}:r:%.32s", number, p->entries[i].batch);
        put(w, key, (size_t) n);
    }
}

static void put_sets(struct worker *w, const struct part *p)
{
    uint64_t sets = 0;
    for (size_t i = 0; i < p->n; i++)
        sets += calls_of(p->entries[i].batch);
    put_number(w, sets);
    for (uint64_t i = 0; i < sets; i++) {
        char *id = text(w, 24);
        int n = snprintf(id, 24, "a%llu-0", (unsigned long long) ((p->seq + i) % 512));
        put(w, id, (size_t) n);
        put(w, w->record, sizeof w->record);
    }
}

/* Puts channel and id as the client expects them. The frame begins with the batch's id. */
static void put_frame(struct worker *w, const char *batch)
{
    size_t n = FLOOR_FRAME + (calls_of(batch) - 1) * FLOOR_RESULT;
    char *frame = text(w, n);
    memset(frame, 'r', n);
    memcpy(frame, batch, n < FLOOR_ID ? n : FLOOR_ID);
    put(w, frame, n);
}

/* Puts the channel. Each client has its own. */
static void put_channel(struct worker *w, const char *batch)
{
    char *channel = text(w, FLOOR_CHANNEL_MAX);
    int n = snprintf(channel, FLOOR_CHANNEL_MAX, FLOOR_CHANNEL "%.*s", FLOOR_CLIENT, batch);
    put(w, channel, (size_t) n);
}

static void put_section(struct worker *w, struct part *p)
{
    put(w, TOKEN, sizeof TOKEN - 1);
    put_number(w, ++p->seq);
    if (!lean) {
        put(w, "", 0);  /* classes that are needed */
        put(w, "0", 1); /* emitted values */
    }
    put_sets(w, p);
    if (!lean)
        put(w, "0", 1); /* deleted agents */
    put_number(w, p->n);
    for (size_t i = 0; i < p->n; i++) {
        if (!lean) {
            put(w, "1", 1);
            put(w, TTL, sizeof TTL - 1);
        }
        put_frame(w, p->entries[i].batch);
        if (!lean) {
            put(w, "1", 1);
            put_channel(w, p->entries[i].batch);
        }
    }
    if (lean) {
        put(w, TTL, sizeof TTL - 1);
        put_channel(w, p->entries[0].batch);
    }
    put_number(w, p->n);
    for (size_t i = 0; i < p->n; i++)
        put(w, p->entries[i].id, strlen(p->entries[i].id));
    for (int i = 0; i < 7 && !lean; i++)
        put(w, "0", 1); /* marks, unmarks, dead letters, moves, failures, steps, timers */
}

static void commit(struct worker *w)
{
    uint64_t calls = 0, entries = 0;
    w->n = w->ntexts = 0;
    for (uint32_t i = 0; i < w->nready; i++) {
        const struct part *p = &w->parts[w->ready[i]];
        entries += p->n;
        for (size_t k = 0; k < p->n; k++)
            calls += calls_of(p->entries[k].batch);
    }
    size_t need = calls * (24 + FLOOR_RESULT) + entries * (KEY + FLOOR_FRAME + FLOOR_CHANNEL_MAX) +
                  w->nready * 200 + 100;
    if (need > w->ctexts)
        w->texts = checked(realloc(w->texts, w->ctexts = need * 2));
    put(w, "EVALSHA", 7);
    put(w, sha, 40);
    put_number(w, (uint64_t) w->nready * (lean ? 3 : 5) + entries);
    for (uint32_t i = 0; i < w->nready; i++)
        put_keys(w, w->ready[i]);
    put_number(w, w->nready);
    for (uint32_t i = 0; i < w->nready; i++) {
        put_section(w, &w->parts[w->ready[i]]);
        w->parts[w->ready[i]].n = 0;
    }
    floor_command(&w->c, w->n, w->argv, w->lens);
    floor_write(&w->c);
    w->in_flight++;
    w->nready = 0;
    while (w->nreplies)
        freeReplyObject(w->replies[--w->nreplies]);
}

/* ---- reading ---- */

static void read_on(struct worker *w, struct reader *r)
{
    char count[16];
    const char *argv[6 + 2 * STREAMS] = { "XREAD", "COUNT", count, "BLOCK", "5000", "STREAMS" };
    size_t bytes = 1, n;
    for (uint32_t i = 0; i < r->n; i++) {
        if (w->parts[r->from + i].entry_bytes > bytes)
            bytes = w->parts[r->from + i].entry_bytes;
        argv[6 + i] = w->parts[r->from + i].keys[2];
        argv[6 + r->n + i] = w->parts[r->from + i].read_to;
    }
    n = READ_BYTES / bytes;
    snprintf(count, sizeof count, "%zu", n > READ_COUNT ? READ_COUNT : n > 0 ? n : 1);
    floor_command(&r->c, 6 + 2 * r->n, argv, NULL);
    floor_write(&r->c);
}

static void take_entry(struct worker *w, uint32_t number, const redisReply *entry)
{
    struct part *p = &w->parts[number];
    const redisReply *batch = entry->element[1]->element[3];
    if (p->n == 0)
        w->ready[w->nready++] = number;
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 64;
        p->entries = checked(realloc(p->entries, p->cap * sizeof *p->entries));
    }
    p->entries[p->n].id = entry->element[0]->str;
    p->entries[p->n].batch = batch->str;
    p->entry_bytes = p->entries[p->n++].batch_n = (size_t) batch->len;
    snprintf(p->read_to, sizeof p->read_to, "%s", entry->element[0]->str);
}

static void on_entries(struct worker *w, struct reader *r, redisReply *reply)
{
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *stream = reply->element[i];
        uint32_t number = (uint32_t) strtoul(stream->element[0]->str + 13, NULL, 10);
        for (size_t k = 0; k < stream->element[1]->elements; k++)
            take_entry(w, number, stream->element[1]->element[k]);
    }
    if (w->nreplies == w->creplies) {
        w->creplies = w->creplies ? w->creplies * 2 : 64;
        w->replies = checked(realloc(w->replies, w->creplies * sizeof *w->replies));
    }
    w->replies[w->nreplies++] = reply; /* until the commit is written */
    read_on(w, r);
}

static void on_commit(struct worker *w, redisReply *answer)
{
    if (answer->type == REDIS_REPLY_ERROR)
        die("floor: Redis refuses the script, which may have got other arguments: %s", answer->str);
    for (size_t i = 0; i < answer->elements; i++)
        if (answer->element[i]->type != REDIS_REPLY_INTEGER)
            die("floor: a commit was refused: %s", answer->element[i]->str);
    w->in_flight--;
    freeReplyObject(answer);
}

static void worker_open(struct worker *w, const struct deployment *d)
{
    static const char *const kinds[] = { "lease", "agents", "jobs" };
    memset(w, 0, sizeof *w);
    w->d = d;
    w->parts = checked(calloc(d->partitions, sizeof *w->parts));
    w->ready = checked(calloc(d->partitions, sizeof *w->ready));
    memset(w->record, 's', sizeof w->record);
    for (uint32_t i = 0; i < d->partitions; i++) {
        struct part *p = &w->parts[i];
        for (int k = 0; k < 3; k++)
            snprintf(p->keys[k], KEY, "asq:{default.%u}:%s", i, kinds[k]);
        snprintf(p->attempts, KEY, "asq:{default.%u}:attempts", i);
        snprintf(p->dead, KEY, "asq:{default.%u}:dead", i);
        strcpy(p->read_to, "0");
    }
    floor_connect(&w->c, d->socket);
    for (uint32_t from = 0; from < d->partitions; from += STREAMS) {
        struct reader *r = &w->readers[w->nreaders++];
        r->from = from;
        r->n = d->partitions - from < STREAMS ? d->partitions - from : STREAMS;
        floor_connect(&r->c, d->socket);
        read_on(w, r);
    }
}

int floor_worker(const void *deployment)
{
    static struct worker w;
    redisReply *reply;
    /* Keeps freed memory, because returning it would cost page faults for each payload of 1 MiB. */
    mallopt(M_MMAP_THRESHOLD, 32 * 1024 * 1024);
    mallopt(M_TRIM_THRESHOLD, 512 * 1024 * 1024);
    worker_open(&w, deployment);
    for (;;) {
        struct pollfd fds[1 + MAX_PARTS / STREAMS];
        fds[0] = (struct pollfd){ w.c.c->fd, POLLIN, 0 };
        for (uint32_t i = 0; i < w.nreaders; i++)
            fds[i + 1] = (struct pollfd){ w.readers[i].c.c->fd, POLLIN, 0 };
        if (poll(fds, w.nreaders + 1, -1) < 0)
            return 1;
        if (fds[0].revents)
            for (floor_read(&w.c); (reply = floor_reply(&w.c));)
                on_commit(&w, reply);
        for (uint32_t i = 0; i < w.nreaders; i++)
            if (fds[i + 1].revents)
                for (floor_read(&w.readers[i].c); (reply = floor_reply(&w.readers[i].c));)
                    on_entries(&w, &w.readers[i], reply);
        if (w.nready && w.in_flight < SCRIPTS_IN_FLIGHT)
            commit(&w);
    }
}
