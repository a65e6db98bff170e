/*
 * admin_scan.c: see admin_scan.h. A cursor is a partition that is being read, with one HSCAN under
 * way. It goes on to the next partition that nobody has begun. A page whose reply is lost with a
 * connection is asked for again.
 */
#include "client/admin_scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/admin.h"
#include "client/handle.h"
#include "client/remote.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "value/clock.h"

enum { AT_ONCE = 8, FIRST_COUNT = 16, MAX_COUNT = 500, PAGE_BYTES = 1 << 20, WAIT_MS = 100 };

struct reading;
struct cursor {
    struct reading *reading;
    uint32_t partition;
    char at[32];    /* of HSCAN */
    size_t count;   /* agents of the next page, about; after large ones few, in all partitions */
    bool under_way; /* a reply will come */
    bool done;      /* no partition is left for it */
};

/* Freed by its asker, or by the last reply when the asker has given up. */
struct reading {
    asq *h;
    struct asq__scan *scan; /* NULL: the asker has given up */
    int64_t deadline_ms;
    size_t under_way, n;
    int rc;
    bool enough;
    struct cursor cursors[AT_ONCE];
};

/* ---- a page ---- */

static bool is_page(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           reply->element[1]->type == REDIS_REPLY_ARRAY;
}

/* Sets how many agents the next page has: as many as have about PAGE_BYTES, by those of this one;
 * more than this one if none of it has the prefix. */
static void measure_page(struct cursor *c, size_t n, size_t bytes)
{
    size_t count = n ? PAGE_BYTES / (bytes / n + 1) : 2 * c->count;
    c->count = count < 1 ? 1 : count > MAX_COUNT ? MAX_COUNT : count;
}

static int give_page(struct cursor *c, const redisReply *pairs)
{
    struct reading *r = c->reading;
    size_t n = 0, bytes = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i + 1 < pairs->elements; i += 2) {
        const redisReply *id = pairs->element[i], *record = pairs->element[i + 1];
        if (id->type != REDIS_REPLY_STRING || record->type != REDIS_REPLY_STRING)
            continue;
        n++;
        bytes += record->len;
        rc = r->scan->take(r->h, c->partition, id, record, r->scan->user);
        if (rc == 0 && r->h->closed)
            rc = asq__admin_closed(r->h);
    }
    measure_page(c, n, bytes);
    return rc;
}

/* Begins with the next partition, if one is left. */
static void begin_partition(struct cursor *c)
{
    struct asq__scan *scan = c->reading->scan;
    c->done = scan->next >= scan->end;
    c->partition = scan->next;
    scan->next += !c->done;
    strcpy(c->at, "0");
    if (c->count > FIRST_COUNT)
        c->count = FIRST_COUNT;
}

static int take_page(struct cursor *c, const redisReply *reply)
{
    struct reading *r = c->reading;
    char key[ASQ__KEY_MAX];
    if (reply->type == REDIS_REPLY_ERROR) {
        asq__keys_agents(asq__redis_keys(asq__remote_redis(r->h)), c->partition, key);
        return asq__fail(r->h, ASQ_EREDIS, "Redis: %s: %s%s", key, reply->str,
                         asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
    }
    if (!is_page(reply))
        return asq__fail(r->h, ASQ_EPROTO,
                         "Redis answered HSCAN with something other than a page of fields");
    snprintf(c->at, sizeof c->at, "%s", reply->element[0]->str);
    int rc = give_page(c, reply->element[1]);
    if (rc == 0)
        r->enough = r->scan->is_enough && r->scan->is_enough(r->scan->user);
    return rc;
}

/* ---- sending ---- */

static void on_page(struct asq__conn *conn, const redisReply *reply, void *user);

/* Asks for the next page. Without a connection nothing is sent: ask_all sends it later. */
static void send_page(struct cursor *c)
{
    struct reading *r = c->reading;
    struct asq__redis *redis = asq__remote_redis(r->h);
    struct asq__conn *conn = asq__redis_conn(redis, c->partition);
    char key[ASQ__KEY_MAX], count[24];
    asq__keys_agents(asq__redis_keys(redis), c->partition, key);
    snprintf(count, sizeof count, "%zu", c->count);
    const char *argv[] = { "HSCAN", key, c->at, "COUNT", count, "MATCH", r->scan->pattern };
    if (asq__conn_argv(conn, on_page, c, *r->scan->pattern ? 7 : 5, argv, NULL) < 0)
        return;
    c->under_way = true;
    r->under_way++;
    asq__conn_flush(conn);
}

static void on_page(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct cursor *c = user;
    struct reading *r = c->reading;
    (void) conn;
    c->under_way = false;
    r->under_way--;
    if (!r->scan) {
        if (r->under_way == 0)
            free(r);
        return;
    }
    if (!reply || r->rc != 0 || r->enough)
        return;
    r->rc = take_page(c, reply);
    if (r->rc != 0)
        return;
    asq__admin_extend(r->h, r->deadline_ms);
    if (strcmp(c->at, "0") == 0)
        begin_partition(c);
    if (!c->done && !r->enough)
        send_page(c);
}

/* Sends what was lost with a connection, or was never sent. Returns whether all has been read. */
static bool send_missing(struct reading *r)
{
    bool all = true;
    for (size_t i = 0; i < r->n; i++) {
        struct cursor *c = &r->cursors[i];
        all = all && c->done;
        if (!c->done && !c->under_way && asq__redis_is_up(asq__remote_redis(r->h)))
            send_page(c);
    }
    return all;
}

/* Asks until all has been read, or it is enough. */
static int ask_all(struct reading *r)
{
    asq *h = r->h;
    int rc = 0;
    while (rc == 0 && r->rc == 0 && !r->enough && !send_missing(r)) {
        int64_t left = h->admin_until_ms - asq__now_ms();
        if (h->closed)
            rc = asq__admin_closed(h);
        else if (left <= 0)
            rc = asq__fail(h, ASQ_ETIMEOUT, "Redis did not answer in time");
        else
            asq__remote_pump(h, left < WAIT_MS ? left : WAIT_MS);
        if (rc == 0 && r->rc == 0)
            rc = asq__admin_check_partitions(h, r->scan->partitions);
    }
    return rc < 0 ? rc : r->rc;
}

int asq__admin_scan(asq *h, struct asq__scan *scan, int64_t deadline_ms)
{
    struct reading *r = calloc(1, sizeof *r);
    if (!r)
        return asq__fail_memory(h);
    r->h = h;
    r->scan = scan;
    r->deadline_ms = deadline_ms;
    r->n = scan->at_once < AT_ONCE ? scan->at_once : AT_ONCE;
    asq__admin_extend(h, deadline_ms);
    for (size_t i = 0; i < r->n; i++) {
        r->cursors[i].reading = r;
        r->cursors[i].count = FIRST_COUNT;
        begin_partition(&r->cursors[i]);
    }
    if (r->n == 1 && !r->cursors[0].done)
        strcpy(r->cursors[0].at, scan->cursor);
    int rc = ask_all(r);
    if (r->n == 1 && !r->cursors[0].done) {
        scan->next = r->cursors[0].partition;
        strcpy(scan->cursor, r->cursors[0].at);
    }
    r->scan = NULL;
    if (r->under_way == 0)
        free(r);
    return rc;
}
