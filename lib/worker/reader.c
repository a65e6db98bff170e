/*
 * reader.c: the blocking reads. A reader is a connection that follows up to 16 streams by XREAD
 * BLOCK from where each was last read; in a Cluster one stream, because each is in another slot. It
 * ends with its partition there, so that a server has about one connection for each partition.
 * Reading changes nothing in Redis, so an entry that was delivered to a dead socket is simply read
 * again. When the set of streams changes, the read under way is unblocked.
 *
 * The next read is sent behind the commits of the last one's entries. After a read with many
 * entries it waits for the answers to their commits: Redis is busy until then, and one later read
 * gets all entries that come meanwhile, which then share one commit of each partition. In a Cluster
 * a read waits likewise, however few the entries are, while its node has commits of others to do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "redis/trouble.h"
#include "value/clock.h"
#include "value/pools.h"
#include "worker/commit_send.h"
#include "worker/intake.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/read_budget.h"
#include "worker/reader.h"
#include "worker/core/stream_id.h"

enum {
    STREAMS = 16,
    BLOCK_MS = 5000,
    /* In a Cluster: thousands of connections that read again every few seconds would be a load. */
    BLOCK_LONG_MS = 60000,
    REPLY_MARGIN_MS = 15000,
    ENTRIES_PER_PIECE = 512,
    MANY_ENTRIES = 16,
    READ_SIZE = 128 * 1024,
    SHORT_BLOCK_MS = 250, /* where reads cannot be cut short */
    UNBLOCK_MS = 5
};

struct asq__reader {
    struct asq__process *w;
    struct asq__reader **place; /* in w->readers */
    struct asq__conn *conn;
    struct asq__partition **parts; /* room for w->streams_per_reader, as `asked` */
    size_t n;
    /* Streams of the read under way, or of the last one. A partition that was lost and claimed
     * again meanwhile counts as another one, whose entries are read from the start. */
    struct asked {
        struct asq__partition *part;
        uint64_t ownership;
        struct asq__stream_id after;
        char key[ASQ__KEY_MAX];
        struct asq__cmd id; /* `after`, as an argument */
    } * asked;
    size_t nasked;
    struct asq__cmd streams; /* command up to its keys, for the same streams */
    struct asq__cmd whole;
    size_t count; /* entries of a stream that the command asks for */
    /* The next read does not block and is bounded in bytes, because entries are large or unknown.
     * */
    bool pieces;
    size_t first; /* first stream of such a read */
    size_t bytes; /* bound of such a read while it is under way */
    bool reading; /* a read is under way */
    /* In w->readers_due while the next read must be sent, or the reader is to end. */
    struct asq__list due;
    bool patient; /* the next read waits for the commits of the last one's entries */
    bool changed; /* the read under way must be cut short */
    bool unblocking;
    bool cannot_unblock; /* an ACL forbids CLIENT ID or CLIENT UNBLOCK */
    bool restated;       /* cannot_unblock has changed: the command is built anew */
    bool bad_key_found;  /* the key that is no stream was found */
    ev_timer unblock_retry;
    size_t asking; /* pending answers about keys that may be no streams */
    bool moving;   /* reconnects because the connection for commands did */
    bool down;     /* counted in readers_down: failed, and has not read since */
};

static void read_on(struct asq__reader *r);

static void make_due(struct asq__reader *r)
{
    asq__list_del(&r->due);
    asq__list_add(&r->w->readers_due, &r->due);
}

/* Returns whether each reader follows one stream of its own. */
static bool reads_one(const struct asq__process *w)
{
    return w->streams_per_reader == 1;
}

/* Unblocks again later if the read still has to be cut short: it may have been on its way to Redis,
 * by its own connection, and not blocked yet, or the set of streams has changed again. */
static void on_unblocked(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__reader *r = user;
    (void) c;
    r->unblocking = false;
    if (asq__reply_is_error(reply, NULL) && !asq__reply_is_transient(reply)) {
        asq__process_log_some(
            r->w, ASQ_LOG_WARNING,
            "blocking reads cannot be interrupted, so they are kept short: CLIENT UNBLOCK: %s",
            reply->str);
        r->cannot_unblock = r->restated = true; /* the read under way ends by itself */
        return;
    }
    if (reply && r->reading && r->changed) {
        asq__timer_restart(r->w->loop, &r->unblock_retry, UNBLOCK_MS / 1000., 0.);
    }
}

static void unblock(struct asq__reader *r)
{
    char id[24];
    if (r->unblocking || r->cannot_unblock || ev_is_active(&r->unblock_retry))
        return;
    snprintf(id, sizeof id, "%lld", asq__conn_redis_id(r->conn));
    if (asq__conn_cmd(asq__redis_conn(r->w->redis, r->asked[0].part->number), on_unblocked, r,
                      "CLIENT", "UNBLOCK", id, NULL) == 0)
        r->unblocking = true;
}

static void on_unblock_retry(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__reader *r = w->data;
    (void) loop;
    (void) revents;
    if (r->reading && r->changed)
        unblock(r);
}

static void reconnect(struct asq__reader *r, const char *why)
{
    r->moving = true;
    asq__conn_drop(r->conn, why);
    r->moving = false;
}

/* Begins a read, or cuts short the one under way, after the set of streams has changed. */
static void changed(struct asq__reader *r)
{
    r->pieces = true;
    if (!r->reading) {
        read_on(r);
        return;
    }
    r->changed = true;
    if (reads_one(r->w)) /* the partition was lost, and claimed again before the reader has ended */
        reconnect(r, "its stream is read anew");
    else
        unblock(r);
}

static struct asq__partition *find_stream(const struct asq__reader *r, const char *key)
{
    for (size_t i = 0; i < r->nasked; i++) {
        struct asq__partition *p = r->asked[i].part;
        if (strcmp(r->asked[i].key, key) == 0)
            return p->reader == r && p->ownership == r->asked[i].ownership &&
                           asq__partition_is_owned(p)
                       ? p
                       : NULL;
    }
    return NULL;
}

/* ---- a key that is no stream ---- */

struct query {
    struct asq__reader *reader;
    struct asq__partition *part;
    uint64_t ownership;
};

static void on_length(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct query *q = user;
    struct asq__reader *r = q->reader;
    struct asq__partition *p = q->part;
    (void) c;
    if (asq__reply_is_wrong_type(reply)) {
        r->bad_key_found = true;
        if (p->ownership == q->ownership)
            asq__partition_abandon(p, "its jobs key is not a stream"); /* the claim sees to it */
    }
    free(q);
    if (--r->asking)
        return;
    if (r->bad_key_found || !reply)
        make_due(r);
    else /* Redis does not say; asked again later */
        asq__conn_fail(r->conn, ASQ_EREDIS,
                       "one of the job keys is not a stream, and Redis does not say which");
}

/* Asks which key is not a stream and has made Redis refuse the whole read. */
static void find_bad_key(struct asq__reader *r)
{
    struct asq__redis *redis = r->w->redis;
    r->bad_key_found = false;
    for (size_t i = 0; i < r->nasked; i++) {
        struct asq__partition *p = r->asked[i].part;
        struct query *q = malloc(sizeof *q);
        if (!q)
            break;
        *q = (struct query){ r, p, r->asked[i].ownership };
        if (asq__conn_cmd(asq__redis_conn(redis, p->number), on_length, q, "XLEN", r->asked[i].key,
                          NULL) < 0) {
            free(q);
            break;
        }
        r->asking++;
    }
    if (r->asking == 0)
        asq__conn_drop(r->conn, "one of its keys is not a stream");
}

static void note_recovery(struct asq__reader *r)
{
    struct asq__process *w = r->w;
    char text[ASQ__TROUBLE_TEXT];
    r->down = false;
    if (--w->readers_down == 0 && asq__trouble_over(&w->reading, asq__now_ms(), text))
        asq__process_log(w, ASQ_LOG_INFO, "calls are read again%s", text);
}

/* Returns whether the reply is an answer; handles all other replies. */
static bool is_answer(struct asq__reader *r, const redisReply *reply)
{
    if (!reply)
        return false; /* connection lost: reads again when it is up */
    if (r->asking == 0 && asq__reply_is_wrong_type(reply)) {
        find_bad_key(r);
        return false;
    }
    if (asq__reply_is_error(reply, "NOSCRIPT")) {
        asq__redis_reload_scripts(r->w->redis, r->asked[0].part->number);
        make_due(r);
        return false;
    }
    if (reply->type == REDIS_REPLY_ERROR && !asq__reply_is_error(reply, "UNBLOCKED")) {
        if (asq__reply_is_transient(reply))
            asq__redis_refused_on(r->w->redis, r->asked[0].part->number, reply);
        /* retries with the backoff of a new connection */
        asq__conn_fail(r->conn, ASQ_EREDIS, reply->str);
        return false;
    }
    if (r->down)
        note_recovery(r);
    return true;
}

/* Takes in the entries of one stream; returns their number. */
static size_t take_entries(struct asq__reader *r, const char *key, const redisReply *list)
{
    size_t entries = 0, largest = 0;
    for (size_t k = 0; k < list->elements; k++) {
        /* Looked up each time, because taking in an entry may lose the partition. */
        struct asq__partition *p = find_stream(r, key);
        if (!p)
            break;
        size_t bytes = asq__intake_reply(p, list->element[k]);
        largest = bytes > largest ? bytes : largest;
        entries++;
    }
    struct asq__partition *p = find_stream(r, key);
    if (p)
        asq__intake_resume(p);
    asq__read_note(r->w, largest);
    return entries;
}

static void on_entries(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__reader *r = user;
    size_t entries = 0;
    (void) c;
    r->reading = r->changed = false;
    if (!is_answer(r, reply))
        return;
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *stream = reply->element[i];
        if (stream->type == REDIS_REPLY_ARRAY && stream->elements == 2 &&
            stream->element[0]->type == REDIS_REPLY_STRING &&
            stream->element[1]->type == REDIS_REPLY_ARRAY)
            entries += take_entries(r, stream->element[0]->str, stream->element[1]);
    }
    make_due(r);
    r->patient = entries >= MANY_ENTRIES;
    r->pieces |= entries && asq__read_entries(r->w, r->n) == 0;
}

/* Takes an answer of read.lua. */
static void on_pieces(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__reader *r = user;
    size_t entries = 0;
    bool changed = r->changed; /* the answer does not include streams added meanwhile */
    (void) c;
    r->reading = r->changed = false;
    asq__read_end(r->w, r->bytes);
    r->bytes = 0;
    if (!is_answer(r, reply))
        return;
    for (size_t i = 1; reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++) {
        const redisReply *stream = reply->element[i];
        if (stream->type != REDIS_REPLY_ARRAY || stream->elements != 2 ||
            stream->element[0]->type != REDIS_REPLY_INTEGER ||
            stream->element[1]->type != REDIS_REPLY_ARRAY || stream->element[0]->integer < 1 ||
            (size_t) stream->element[0]->integer > r->nasked)
            continue;
        size_t at = ((size_t) stream->element[0]->integer - 1 + r->first) % r->nasked;
        entries += take_entries(r, r->asked[at].key, stream->element[1]);
    }
    make_due(r);
    r->patient = true;
    r->pieces = entries || changed; /* otherwise all is read, and the next read blocks */
}

/* Returns whether a commit of its partitions is unsent or unanswered. */
static bool is_committing(const struct asq__reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        const struct asq__partition *p = r->parts[i];
        if (p->open || p->in_flight || (p->unsent && !p->recovering))
            return true;
    }
    return false;
}

/* Returns whether Redis has all that was read of its streams on connections before. */
static bool may_read(const struct asq__reader *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (!asq__partition_may_read(r->parts[i]))
            return false;
    return true;
}

/* Returns whether the next read had better get what comes until the last one's calls are committed.
 * In a Cluster each read has but one stream, so that others tell whether Redis is busy. */
static bool is_patient(const struct asq__reader *r)
{
    return r->patient || (r->n && asq__commits_keep_busy(r->parts[0]));
}

static void reader_free(struct asq__reader *r)
{
    struct asq__process *w = r->w;
    *r->place = NULL;
    ev_timer_stop(w->loop, &r->unblock_retry);
    asq__conn_free(r->conn); /* its replies make it due again */
    asq__list_del(&r->due);
    w->readers_down -= r->down;
    asq__cmd_release(&r->streams);
    asq__cmd_release(&r->whole);
    for (size_t i = 0; r->asked && i < w->streams_per_reader; i++)
        asq__cmd_release(&r->asked[i].id);
    free(r->asked);
    free(r->parts);
    free(r);
}

void asq__readers_run_due(struct asq__process *w)
{
    struct asq__list due, *node;
    asq__list_init(&due);
    asq__list_splice(&due, &w->readers_due);
    while ((node = asq__list_pop(&due))) {
        struct asq__reader *r = ASQ__CONTAINER(node, struct asq__reader, due);
        bool ends = r->n == 0 && reads_one(w);
        if (r->asking || (ends && r->unblocking) || (!ends && is_patient(r) && is_committing(r))) {
            asq__list_add(&w->readers_due, node);
        } else if (ends) {
            reader_free(r);
        } else {
            read_on(r);
            asq__conn_flush(r->conn);
        }
    }
}

/* Sets the argument of a stream, which mostly is as in the last read. True: it is the same stream.
 * */
static bool ask_for(struct asked *asked, struct asq__partition *p)
{
    bool same = asked->part == p;
    if (!same)
        asq__keys_jobs(asq__redis_keys(p->w->redis), p->number, asked->key);
    if (!same || asked->after.ms != p->read_to.ms || asked->after.n != p->read_to.n ||
        asked->id.bytes.error) {
        char id[ASQ__STREAM_ID_TEXT];
        asq__stream_id_format(p->read_to, id);
        asq__cmd_reset(&asked->id);
        asq__cmd_puts(&asked->id, id);
    }
    asked->part = p;
    asked->ownership = p->ownership;
    asked->after = p->read_to;
    return same;
}

static void name_streams(struct asq__reader *r)
{
    asq__cmd_reset(&r->streams);
    asq__cmd_puts(&r->streams, "XREAD");
    asq__cmd_puts(&r->streams, "COUNT");
    asq__cmd_number(&r->streams, r->count);
    asq__cmd_puts(&r->streams, "BLOCK");
    asq__cmd_number(&r->streams, reads_one(r->w)     ? BLOCK_LONG_MS
                                 : r->cannot_unblock ? SHORT_BLOCK_MS
                                                     : BLOCK_MS);
    asq__cmd_puts(&r->streams, "STREAMS");
    for (size_t i = 0; i < r->n; i++)
        asq__cmd_puts(&r->streams, r->asked[i].key);
}

/* Begins each read with another stream, so that large entries of one do not delay the others. */
static void put_pieces(struct asq__reader *r)
{
    r->first = (r->first + 1) % r->n;
    r->bytes = asq__read_begin(r->w);
    asq__script_begin(&r->whole, asq__redis_scripts(r->w->redis, r->asked[0].part->number),
                      ASQ__SCRIPT_READ, r->n);
    for (size_t i = 0; i < r->n; i++)
        asq__cmd_puts(&r->whole, r->asked[(r->first + i) % r->n].key);
    asq__cmd_number(&r->whole, r->bytes);
    asq__cmd_number(&r->whole, asq__read_entries_at_most(r->w, ENTRIES_PER_PIECE));
    for (size_t i = 0; i < r->n; i++) {
        char after[49] = "(";
        asq__stream_id_format(r->asked[(r->first + i) % r->n].after, after + 1);
        asq__cmd_puts(&r->whole, after);
    }
}

static void read_on(struct asq__reader *r)
{
    asq__list_del(&r->due);
    /* While Redis is away, a server that has gone back may be here already. */
    if (r->n == 0 || r->reading || r->asking || !asq__conn_is_up(r->conn) ||
        !asq__redis_serves(r->w->redis, r->parts[0]->number))
        return;
    if (!may_read(r)) {
        make_due(r);
        return;
    }
    size_t count = asq__read_entries(r->w, r->n);
    bool same = r->nasked == r->n && !r->streams.bytes.error && count == r->count && !r->restated;
    r->count = count ? count : 1;
    for (size_t i = 0; i < r->n; i++)
        same &= ask_for(&r->asked[i], r->parts[i]);
    if (!same)
        name_streams(r);
    r->restated = false;
    r->nasked = r->n;
    asq__cmd_reset(&r->whole);
    if (r->pieces) {
        put_pieces(r);
        r->reading = asq__conn_send(r->conn, on_pieces, r, &r->whole) == 0;
        if (!r->reading)
            asq__read_end(r->w, r->bytes);
    } else {
        asq__cmd_append(&r->whole, &r->streams);
        for (size_t i = 0; i < r->n; i++)
            asq__cmd_append(&r->whole, &r->asked[i].id);
        r->reading = asq__conn_send(r->conn, on_entries, r, &r->whole) == 0;
    }
    if (!r->reading) /* no memory: in the next iteration */
        make_due(r);
}

static void reader_up(struct asq__conn *c, void *user)
{
    struct asq__reader *r = user;
    bool cannot = asq__conn_redis_id(c) == 0;
    r->restated |= cannot != r->cannot_unblock;
    r->cannot_unblock = cannot;
    r->pieces = true;
    read_on(r);
}

static void reader_down(struct asq__conn *c, int code, const char *why, void *user)
{
    struct asq__reader *r = user;
    (void) c;
    struct asq__process *w = r->w;
    char text[ASQ__TROUBLE_TEXT];
    /* The connection for commands has gone down too, and logs that. */
    if (r->moving || !asq__redis_is_up(w->redis) ||
        (r->n && !asq__redis_serves(w->redis, r->parts[0]->number)))
        return;
    w->readers_down += !r->down;
    r->down = true;
    if (asq__trouble_note(&w->reading, why, asq__now_ms(), text))
        asq__process_log(w, ASQ_LOG_WARNING, "reading calls: %s: %s; trying again",
                         asq_error_name(code), text);
}

/* `part`: the first partition; it alone in a Cluster, whose node the reader is connected to. */
static int reader_new(struct asq__process *w, const struct asq__partition *part,
                      struct asq__reader **place)
{
    struct asq__reader *r = calloc(1, sizeof *r);
    if (!r)
        return ASQ_ENOMEM;
    r->w = w;
    asq__cmd_init(&r->streams);
    asq__cmd_init(&r->whole);
    asq__list_init(&r->due);
    ev_timer_init(&r->unblock_retry, on_unblock_retry, 0., 0.);
    r->unblock_retry.data = r;
    struct asq__conn_config config = {
        .loop = w->loop,
        .url = w->config.url,
        .host = asq__redis_host(w->redis, part->number),
        .name = "asqueue-reader",
        .read_size = reads_one(w) ? 0 : READ_SIZE,
        .connect_timeout_ms = 5000,
        .reply_timeout_ms = (reads_one(w) ? BLOCK_LONG_MS : BLOCK_MS) + REPLY_MARGIN_MS,
        .up = reader_up,
        .down = reader_down,
        .user = r,
    };
    size_t room = w->streams_per_reader;
    r->parts = calloc(room, sizeof(struct asq__partition *));
    r->asked = calloc(room, sizeof *r->asked);
    int rc = r->parts && r->asked ? asq__conn_new(&config, &r->conn) : ASQ_ENOMEM;
    if (rc < 0) {
        free(r->parts);
        free(r->asked);
        free(r);
        return rc;
    }
    for (size_t i = 0; i < room; i++)
        asq__cmd_init(&r->asked[i].id);
    r->place = place;
    *place = r;
    return 0;
}

/* ---- streams come and go ---- */

int asq__readers_init(struct asq__process *w)
{
    w->streams_per_reader = asq__redis_is_cluster(w->redis) ? 1 : STREAMS;
    w->readers = calloc(ASQ__MAX_PARTITIONS, sizeof(struct asq__reader *));
    if (!w->readers)
        return ASQ_ENOMEM;
    asq__readers_grow(w);
    return 0;
}

void asq__readers_grow(struct asq__process *w)
{
    w->nreaders = (w->nparts + w->streams_per_reader - 1) / w->streams_per_reader;
}

void asq__reader_add(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    /* Takes the first reader with room, to need few connections; in a Cluster its own. */
    for (size_t i = reads_one(w) ? p->number : 0; i < w->nreaders; i++) {
        struct asq__reader *r = w->readers[i];
        if (!r && reader_new(w, p, &w->readers[i]) < 0) {
            asq__partition_abandon(p, "out of memory");
            return;
        }
        r = w->readers[i];
        if (r->n == w->streams_per_reader)
            continue;
        r->parts[r->n++] = p;
        p->reader = r;
        changed(r);
        return;
    }
}

void asq__reader_remove(struct asq__partition *p)
{
    struct asq__reader *r = p->reader;
    if (!r)
        return;
    p->reader = NULL;
    for (size_t i = 0; i < r->n; i++)
        if (r->parts[i] == p) {
            r->parts[i] = r->parts[--r->n];
            break;
        }
    /* The read under way may still bring its entries; they find no partition. */
    if (r->n == 0 && reads_one(p->w))
        make_due(r); /* the end of the iteration frees it */
}

/* The new connection for commands may lead to another server; reads that block on the old one, a
 * replica by now, are not woken by new entries. */
static void follow_commands(struct asq__reader *r)
{
    static const char why[] = "the command connection was lost";
    const struct asq__host *host = r->n ? asq__redis_host(r->w->redis, r->parts[0]->number) : NULL;
    if (!host) {
        reconnect(r, why);
        return;
    }
    r->moving = true;
    if (asq__conn_set_host(r->conn, host) < 0)
        asq__partition_abandon(r->parts[0], "out of memory"); /* and its reader with it */
    asq__conn_move(r->conn, why);
    r->moving = false;
}

void asq__readers_reconnect(struct asq__process *w)
{
    for (size_t i = 0; i < w->nreaders; i++)
        if (w->readers[i])
            follow_commands(w->readers[i]);
}

void asq__reader_reconnect(struct asq__partition *p)
{
    if (p->reader)
        follow_commands(p->reader);
}

size_t asq__readers_up(const struct asq__process *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->nreaders; i++)
        n += w->readers[i] && asq__conn_is_up(w->readers[i]->conn);
    return n;
}

bool asq__readers_serve(const struct asq__process *w)
{
    for (size_t i = 0; i < w->nreaders; i++)
        if (w->readers[i] && w->readers[i]->n && !asq__conn_is_up(w->readers[i]->conn))
            return false;
    return true;
}

void asq__readers_release(struct asq__process *w)
{
    for (size_t i = 0; i < w->nreaders; i++)
        if (w->readers[i])
            reader_free(w->readers[i]);
    free(w->readers);
    w->readers = NULL;
    w->nreaders = 0;
}
