/*
 * engine.c: see engine.h. Relies on redis/ for connections and on value/msg for the messages.
 *
 * What is pushed is a hint, the key is the truth: once a second the batches that have been quiet for a
 * while are looked up, a bounded number at a time. A batch whose entry has left the stream and whose
 * record is not there (any more) has an unknown outcome, and says so; it is never sent again then.
 */
#include "client/engine.h"

#include <stdlib.h>
#include <string.h>

#include "value/clock.h"
#include "value/list.h"
#include "value/table.h"

enum {
    BATCH_CALLS = 64,
    BATCH_BYTES = 64 * 1024,
    TICK_MS = 1000,
    QUIET_FIRST_MS = 2000, /* before a batch is looked up; doubles with each look */
    QUIET_MAX_MS = 30000,
    LOOKS_PER_TICK = 256,
    UNLINK_AT = 256,
    LABEL_MAX = 320
};
#define MAX_BACKLOG   ((size_t) 1024 * 1024 * 1024)
#define MAX_UNWRITTEN ((size_t) 64 * 1024 * 1024)

enum batch_state { OPEN, READY, SENT, FOREIGN, HELD, GONE };

/* What a batch made inside a method needs besides. */
struct guard {
    uint32_t partition;
    char token[ASQ__TOKEN_TEXT];
    void (*settled)(void *user, enum asq__settled how); /* NULL: has been called */
    void *user;
};

struct asq__batch {
    struct asq__node node; /* in e->batches, by id */
    struct asq__list
        order; /* in e->ready or e->sent, in the order in which they were made; e->foreign */
    struct asq__list watch; /* in e->watch, the one looked up longest ago first */
    struct asq__engine *engine;
    enum batch_state state;
    uint8_t id[ASQ__BATCH_ID];
    uint32_t partition;
    struct asq__buf bytes;
    char *label;
    struct asq__call **calls; /* [index] → who waits for it */
    size_t n, cap, unfinished;
    struct asq__call *foreign; /* who waits for what was not called here; chained by next */
    unsigned answers;          /* of Redis still to come for it */
    struct guard *guard;       /* made inside a method; else NULL */
    bool accepted, resent, refused, keep, hold;
    char entry[48]; /* its id in the stream, once accepted */
    int64_t look_at_ms, quiet_ms;
};

struct unlinked {
    uint32_t partition;
    uint8_t id[ASQ__BATCH_ID];
};

struct asq__engine {
    struct asq__engine_config config;
    struct asq__redis *redis;
    struct asq__table batches;
    struct asq__list ready, sent, foreign, watch;
    struct asq__batch **open; /* [partition] */
    uint32_t partitions;
    size_t opened;       /* open batches */
    uint32_t *open_list; /* their partitions */
    uint64_t counter;
    size_t unfinished, backlog, unaccepted;
    struct unlinked unlinks[UNLINK_AT];
    size_t nunlinks;
    ev_timer tick;
    struct ev_loop *loop;
    bool up, closing;
    bool stalled;   /* Redis takes nothing for now: tried again at the next tick */
    bool reconnect; /* … on a new connection */
};

static void batch_free(struct asq__batch *b);
static void look_up(struct asq__engine *e, struct asq__batch *b);
static void unlink_soon(struct asq__engine *e, uint32_t partition, const uint8_t id[ASQ__BATCH_ID]);

static const void *batch_key(const struct asq__node *node, size_t *n)
{
    *n = ASQ__BATCH_ID;
    return ASQ__CONTAINER(node, struct asq__batch, node)->id;
}

static void say(struct asq__engine *e, asq_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct asq__engine *e, asq_log_level level, const char *fmt, ...)
{
    struct asq__error text;
    va_list ap;
    if (!e->config.log)
        return;
    asq__error_init(&text);
    va_start(ap, fmt);
    asq__error_vset(&text, ASQ_EREDIS, fmt, ap);
    va_end(ap);
    e->config.log(e->config.log_user, level, text.pub.message);
    asq__error_clear(&text);
}

/* ---- batches ---- */

static int batch_new(struct asq__engine *e, enum batch_state state, uint32_t partition,
                     const uint8_t id[ASQ__BATCH_ID], const char *label, struct asq__batch **ret)
{
    struct asq__batch *b = calloc(1, sizeof *b);
    if (!b)
        return ASQ_ENOMEM;
    b->engine = e;
    b->state = state;
    b->partition = partition;
    memcpy(b->id, id, sizeof b->id);
    asq__list_init(&b->order);
    asq__list_init(&b->watch);
    asq__buf_init(&b->bytes, (size_t) 1 << 31);
    if (label && !(b->label = strdup(label))) {
        free(b);
        return ASQ_ENOMEM;
    }
    asq__table_add(&e->batches, &b->node);
    e->unfinished++;
    *ret = b;
    return 0;
}

static void batch_free(struct asq__batch *b)
{
    if (!b)
        return;
    asq__buf_release(&b->bytes);
    free(b->calls);
    free(b->label);
    free(b->guard);
    free(b);
}

static void settle(struct asq__batch *b, enum asq__settled how)
{
    struct guard *g = b->guard;
    if (!g || !g->settled)
        return;
    void (*settled)(void *user, enum asq__settled how) = g->settled;
    g->settled = NULL;
    settled(g->user, how);
}

/* Forgets it, and lets Redis forget it when it may. */
static void batch_forget(struct asq__engine *e, struct asq__batch *b)
{
    bool own = b->n > 0;
    if (own && b->unfinished == 0 && !b->keep && !b->resent && !e->closing)
        unlink_soon(e, b->partition, b->id);
    asq__table_del(&e->batches, &b->node);
    b->state = GONE;
    if (b->answers == 0)
        batch_free(b);
}

/* Nobody waits for it any more. */
static void batch_end(struct asq__engine *e, struct asq__batch *b)
{
    if (b->state == GONE)
        return;
    if (b->state != HELD) {
        if ((b->state == SENT || b->state == READY) && !b->accepted)
            e->unaccepted--;
        asq__list_del(&b->order);
        asq__list_del(&b->watch);
        e->unfinished--;
        e->backlog -= b->bytes.len;
        asq__buf_release(&b->bytes);
        b->state = HELD;
        settle(b, ASQ__TAKEN); /* it has results, whether or not the answer has come */
    }
    if (!b->hold || e->closing)
        batch_forget(e, b);
}

static void complete(struct asq__call *call, const Asqueue__Result *result, const asq_error *error)
{
    while (call) {
        struct asq__call *next = call->next;
        call->batch = NULL;
        call->next = NULL;
        call->done(call, result, error);
        call = next;
    }
}

static void batch_result(struct asq__batch *b, const Asqueue__Result *result)
{
    struct asq__call *matching = NULL, **at = &b->foreign;
    while (*at) {
        struct asq__call *call = *at;
        if (call->index == result->index) {
            *at = call->next;
            call->next = matching;
            matching = call;
        } else {
            at = &call->next;
        }
    }
    if (result->index < b->n && b->calls[result->index]) {
        struct asq__call *call = b->calls[result->index];
        b->calls[result->index] = NULL;
        b->unfinished--;
        complete(call, result, NULL);
    }
    complete(matching, result, NULL);
}

static bool batch_is_finished(const struct asq__batch *b)
{
    return b->foreign == NULL && b->unfinished == 0;
}

/* All that is unfinished in it ends in `error`. */
static void batch_fail(struct asq__engine *e, struct asq__batch *b, int code, const char *why)
{
    asq_error error = { code, why, "", "", "", "", "" };
    b->answers++; /* keeps it while it calls out */
    for (size_t i = 0; i < b->n; i++) {
        struct asq__call *call = b->calls[i];
        b->calls[i] = NULL;
        complete(call, NULL, &error);
    }
    b->unfinished = 0;
    struct asq__call *foreign = b->foreign;
    b->foreign = NULL;
    complete(foreign, NULL, &error);
    settle(b, ASQ__REFUSED);
    b->keep = true; /* whatever there is, its TTL ends it */
    b->hold = false;
    batch_end(e, b);
    if (--b->answers == 0 && b->state == GONE)
        batch_free(b);
}

static int batch_add_call(struct asq__batch *b, struct asq__call *call)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? b->cap * 2 : 1;
        struct asq__call **calls = realloc(b->calls, cap * sizeof(struct asq__call *));
        if (!calls)
            return ASQ_ENOMEM;
        b->calls = calls;
        b->cap = cap;
    }
    call->batch = b;
    call->index = (uint32_t) b->n;
    call->next = NULL;
    b->calls[b->n++] = call;
    b->unfinished++;
    return 0;
}

/* Applies a record or a push. False when it cannot be decoded. */
static bool apply(struct asq__engine *e, const void *payload, size_t n, struct asq__batch *expected)
{
    struct asq__arena arena;
    Asqueue__Results *results;
    char err[200];
    asq__arena_init(&arena, n * 4 + 64 * 1024);
    bool ok = asq__results_decode(payload, n, &arena, &results, err, sizeof err) == 0;
    if (!ok) {
        say(e, ASQ_LOG_WARNING, "a result was ignored: %s", err);
    } else {
        struct asq__node *node = asq__table_find(&e->batches, results->batch.data, ASQ__BATCH_ID);
        struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
        if (expected && b != expected) {
            ok = false;
        } else if (b) {
            b->answers++;
            b->look_at_ms = asq__now_ms_coarse() + (b->quiet_ms = QUIET_FIRST_MS);
            for (size_t i = 0; i < results->n_results && b->state != GONE; i++)
                batch_result(b, results->results[i]);
            if (b->state != GONE && batch_is_finished(b))
                batch_end(e, b);
            if (--b->answers == 0 && b->state == GONE)
                batch_free(b);
        }
    }
    asq__arena_release(&arena);
    return ok;
}

/* ---- sending ---- */

static void answered(struct asq__batch *b)
{
    if (--b->answers == 0 && b->state == GONE)
        batch_free(b);
}

static void refuse_batch(struct asq__engine *e, struct asq__batch *b, const redisReply *reply)
{
    bool full = asq__reply_is_error(reply, "OOM");
    struct asq__error text;
    asq__error_init(&text);
    if (b->resent)
        asq__error_set(&text, ASQ_EUNKNOWN,
                       "it was sent before the connection was lost, and Redis refuses it now: "
                       "%s",
                       asq__reply_text(reply));
    else
        asq__error_set(&text, full ? ASQ_EBUSY : ASQ_EREDIS,
                       full ? "Redis has no memory for more calls: %s"
                            : "Redis refuses the call: %s",
                       asq__reply_text(reply));
    batch_fail(e, b, text.pub.code, text.pub.message);
    asq__error_clear(&text);
}

/* Redis has refused a batch for a while, and then taken one that was behind it on its way already. Sent
 * again, it would come out of its order. */
static void give_up_refused(struct asq__engine *e, struct asq__batch *taken)
{
    ASQ__LIST_EACH (it, &e->sent) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b == taken)
            break;
        if (b->partition == taken->partition && b->refused && !b->accepted)
            batch_fail(e, b, b->resent ? ASQ_EUNKNOWN : ASQ_EREDIS,
                       b->resent
                           ? "it was sent before the connection was lost; Redis refuses it now, "
                             "and has taken a later call to the same partition"
                           : "Redis has refused it for a while, and taken a later call to the "
                             "same partition: it was not run");
    }
}

static void on_added(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    struct asq__engine *e = b->engine;
    (void) c;
    if (b->state == SENT && reply) {
        if (reply->type == REDIS_REPLY_STRING && (size_t) reply->len < sizeof b->entry) {
            memcpy(b->entry, reply->str, (size_t) reply->len + 1);
            if (!b->accepted) {
                b->accepted = true;
                e->unaccepted--;
            }
            if (e->stalled)
                give_up_refused(e, b);
            settle(b, ASQ__TAKEN);
        } else if (asq__reply_is_transient(reply) ||
                   ((b->resent || b->guard) && asq__reply_is_error(reply, "OOM"))) {
            /* It is sent again, and nobody may overtake it. An earlier copy of a resent one may have been
             * accepted, so that it cannot be refused any more; and a method may have returned already. */
            b->refused = e->stalled = true;
            e->reconnect |= asq__reply_is_transient(reply);
        } else if (b->guard && asq__reply_is_error(reply, "FENCED")) {
            settle(b, ASQ__FENCED);
            batch_fail(e, b, ASQ_ECANCELED,
                       "this worker has lost the agent's partition; the call runs elsewhere");
        } else {
            refuse_batch(e, b, reply);
        }
    }
    answered(b);
}

static int add_guarded(struct asq__engine *e, struct asq__batch *b, const char *label)
{
    char lease[ASQ__KEY_MAX], key[ASQ__KEY_MAX];
    const struct guard *g = b->guard;
    size_t lease_n = asq__keys_lease(asq__redis_keys(e->redis), g->partition, lease);
    size_t key_n = asq__keys_jobs(asq__redis_keys(e->redis), b->partition, key);
    const char *argv[] = { "EVAL", asq__script_send, "2",   lease,
                           key,    g->token,         label, (const char *) b->bytes.data };
    size_t lens[] = {
        4,           strlen(asq__script_send), 1, lease_n, key_n, strlen(g->token), strlen(label),
        b->bytes.len
    };
    return asq__conn_argv(asq__redis_conn(e->redis, b->partition), on_added, b, 8, argv, lens);
}

static int add_entry(struct asq__engine *e, uint32_t partition, const char *label,
                     const void *bytes, size_t n, asq__reply_fn fn, void *user)
{
    char key[ASQ__KEY_MAX];
    size_t key_n = asq__keys_jobs(asq__redis_keys(e->redis), partition, key);
    const char *argv[] = { "XADD", key, "*", "call", label, "batch", bytes };
    size_t lens[] = { 4, key_n, 1, 4, strlen(label), 5, n };
    return asq__conn_argv(asq__redis_conn(e->redis, partition), fn, user, 7, argv, lens);
}

/* The readable field of an entry: the first call, and how many more there are. */
static const char *entry_label(const struct asq__batch *b, char out[LABEL_MAX])
{
    if (b->n <= 1)
        return b->label;
    asq__err(out, LABEL_MAX, 0, "%s +%zu", b->label, b->n - 1);
    return out;
}

static bool send_batch(struct asq__engine *e, struct asq__batch *b)
{
    char text[LABEL_MAX];
    const char *label = entry_label(b, text);
    int rc = b->guard ? add_guarded(e, b, label)
                      : add_entry(e, b->partition, label, b->bytes.data, b->bytes.len, on_added, b);
    if (rc < 0)
        return false;
    b->answers++;
    b->state = SENT;
    b->refused = false;
    b->quiet_ms = QUIET_FIRST_MS;
    b->look_at_ms = asq__now_ms_coarse() + b->quiet_ms;
    asq__list_del(&b->order);
    asq__list_add(&e->sent, &b->order);
    asq__list_del(&b->watch);
    asq__list_add(&e->watch, &b->watch);
    return true;
}

static void make_ready(struct asq__engine *e, struct asq__batch *b)
{
    b->state = READY;
    e->unaccepted++;
    asq__list_add(&e->ready, &b->order);
}

static void close_open(struct asq__engine *e, uint32_t partition)
{
    struct asq__batch *b = e->open[partition];
    e->open[partition] = NULL;
    for (size_t i = 0; i < e->opened; i++)
        if (e->open_list[i] == partition) {
            /* Order among partitions does not matter. */
            e->open_list[i] = e->open_list[--e->opened];
            break;
        }
    make_ready(e, b);
}

static void send_ready(struct asq__engine *e)
{
    if (!e->up || e->stalled)
        return;
    while (!asq__list_empty(&e->ready)) {
        struct asq__batch *b = ASQ__CONTAINER(e->ready.next, struct asq__batch, order);
        if (asq__conn_unwritten(asq__redis_conn(e->redis, b->partition)) > MAX_UNWRITTEN) {
            asq__conn_flush(asq__redis_conn(e->redis, b->partition));
            if (asq__conn_unwritten(asq__redis_conn(e->redis, b->partition)) > MAX_UNWRITTEN)
                break; /* the tick and the next flush go on */
        }
        if (!send_batch(e, b))
            break;
    }
}

void asq__engine_send(struct asq__engine *e)
{
    while (e->opened)
        close_open(e, e->open_list[e->opened - 1]);
    send_ready(e);
}

void asq__engine_flush(struct asq__engine *e)
{
    asq__engine_send(e);
    if (e->up)
        asq__conn_flush(asq__redis_conn(e->redis, 0));
}

static int open_tables(struct asq__engine *e)
{
    if (e->open)
        return 0;
    uint32_t n = asq__redis_partitions(e->redis);
    if (n == 0)
        return ASQ_ESTATE;
    struct asq__batch **open = calloc(n, sizeof(struct asq__batch *));
    uint32_t *list = calloc(n, sizeof *list);
    if (!open || !list) {
        free(open);
        free(list);
        return ASQ_ENOMEM;
    }
    e->open = open;
    e->open_list = list;
    e->partitions = n;
    return 0;
}

/* A batch id of this client; gives its number. */
static uint64_t next_id(struct asq__engine *e, uint8_t ret_id[ASQ__BATCH_ID])
{
    uint64_t client = e->config.client_number, counter = ++e->counter;
    for (int i = 7; i >= 0; i--, client >>= 8, counter >>= 8) {
        ret_id[i] = (uint8_t) client;
        ret_id[8 + i] = (uint8_t) counter;
    }
    return e->counter;
}

int asq__engine_add(struct asq__engine *e, uint32_t partition, const char *label, const void *job,
                    size_t n, struct asq__call *call, struct asq__call_id *ret_id)
{
    int rc = open_tables(e);
    if (rc < 0)
        return rc;
    if (e->backlog > MAX_BACKLOG)
        return ASQ_EBUSY;
    struct asq__batch *b = e->open[partition];
    if (b && (b->n >= BATCH_CALLS || b->bytes.len + n > BATCH_BYTES)) {
        close_open(e, partition);
        send_ready(e);
        b = NULL;
    }
    if (!b) {
        uint8_t id[ASQ__BATCH_ID];
        uint64_t number = next_id(e, id);
        rc = batch_new(e, OPEN, partition, id, label, &b);
        if (rc < 0)
            return rc;
        asq__batch_head(id, e->config.client, number, &b->bytes);
        e->backlog += b->bytes.len;
        e->open[partition] = b;
        e->open_list[e->opened++] = partition;
    }
    rc = batch_add_call(b, call);
    if (rc == 0) {
        size_t before = b->bytes.len;
        asq__buf_put(&b->bytes, job, n);
        e->backlog += b->bytes.len - before;
        rc = b->bytes.error;
        if (rc < 0) {
            b->n--;
            b->unfinished--;
            call->batch = NULL;
            b->bytes.error = 0;
        }
    }
    if (rc < 0)
        return rc; /* an empty open batch stays for the next call */
    memcpy(ret_id->batch, b->id, ASQ__BATCH_ID);
    ret_id->partition = partition;
    ret_id->index = call->index;
    return 0;
}

static void guard_set(struct guard *g, const struct asq__nested_batch *nested)
{
    g->partition = nested->from;
    snprintf(g->token, sizeof g->token, "%s", nested->token);
    g->settled = nested->settled;
    g->user = nested->user;
}

/* An earlier run of the outer call, in this very process, has made it. Another worker may have run the
 * call in between, and sent the same. */
static void take_over(struct asq__batch *b, const struct asq__nested_batch *nested)
{
    b->resent = true;
    settle(b, ASQ__REFUSED);
    guard_set(b->guard, nested);
    if (b->state == HELD || b->accepted)
        settle(b, ASQ__TAKEN);
}

int asq__engine_batch(struct asq__engine *e, const struct asq__nested_batch *nested)
{
    struct asq__node *known = asq__table_find(&e->batches, nested->id, ASQ__BATCH_ID);
    struct asq__batch *b = known ? ASQ__CONTAINER(known, struct asq__batch, node) : NULL;
    if (b && b->guard)
        take_over(b, nested);
    if (b)
        return ASQ_EEXIST;
    if (e->backlog > MAX_BACKLOG)
        return ASQ_EBUSY;
    int rc = batch_new(e, OPEN, nested->partition, nested->id, nested->label, &b);
    if (rc < 0)
        return rc;
    asq__batch_head(nested->id, e->config.client, ++e->counter, &b->bytes);
    asq__buf_put(&b->bytes, nested->jobs, nested->n);
    if (nested->again)
        asq__batch_mark_resent(&b->bytes);
    b->resent = nested->again;
    e->backlog += b->bytes.len;
    rc = b->bytes.error;
    for (size_t i = 0; i < nested->ncalls && rc == 0; i++)
        rc = batch_add_call(b, nested->calls[i]);
    if (rc == 0 && !(b->guard = malloc(sizeof *b->guard)))
        rc = ASQ_ENOMEM;
    if (rc < 0) {
        for (size_t i = 0; i < b->n; i++)
            b->calls[i]->batch = NULL;
        batch_end(e, b);
        return rc;
    }
    guard_set(b->guard, nested);
    b->hold = true;
    make_ready(e, b);
    return 0;
}

/* A job that needs no answer and no record: await, cancel, probe. */
static int send_control(struct asq__engine *e, const char *name, struct asq__job *job,
                        const struct asq__call_id *id)
{
    char target[ASQ__CALL_ID_TEXT], label[LABEL_MAX];
    struct asq__buf bytes;
    uint8_t own[ASQ__BATCH_ID];
    uint64_t number = next_id(e, own);
    asq__call_id_format(id, target);
    asq__err(label, sizeof label, 0, "%s %s", name, target);
    asq__buf_init(&bytes, 65536);
    asq__batch_head(own, e->config.client, number, &bytes);
    job->target = target;
    int rc = asq__job_encode(job, &bytes);
    if (rc == 0)
        rc = add_entry(e, id->partition, label, bytes.data, bytes.len, NULL, NULL);
    asq__buf_release(&bytes);
    return rc;
}

static void await_call(struct asq__batch *b, uint32_t index)
{
    struct asq__call_id id = { .partition = b->partition, .index = index };
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__AWAIT };
    memcpy(id.batch, b->id, ASQ__BATCH_ID);
    send_control(b->engine, "await", &job, &id);
}

/* ---- looking up ---- */

static void on_record(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    struct asq__engine *e = b->engine;
    (void) c;
    if (reply && b->state != GONE) {
        if (reply->type == REDIS_REPLY_STRING) {
            if (!apply(e, reply->str, (size_t) reply->len, b))
                batch_fail(e, b, ASQ_EPROTO, "the call's result record cannot be decoded");
        } else if (reply->type == REDIS_REPLY_ERROR && !asq__reply_is_transient(reply)) {
            batch_fail(e, b, ASQ_EPROTO, asq__reply_text(reply));
        }
        /* What is not in it (yet), its owner tells when it is there. */
        if (b->state != GONE &&
            (reply->type == REDIS_REPLY_NIL || reply->type == REDIS_REPLY_STRING))
            for (struct asq__call *call = b->foreign; call; call = call->next)
                await_call(b, call->index);
        if (b->state == SENT && reply->type == REDIS_REPLY_NIL && b->entry[0] == '!')
            batch_fail(e, b, ASQ_EUNKNOWN,
                       "the call has left its stream, and its result is not there: it may have "
                       "expired while this client was cut off");
    }
    answered(b);
}

static void on_entry(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    (void) c;
    /* Gone from the stream. The record was written in the same step, so if the GET behind this finds
     * none, it has expired. */
    if (b->state == SENT && reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 0)
        b->entry[0] = '!';
    answered(b);
}

static void look_up(struct asq__engine *e, struct asq__batch *b)
{
    char key[ASQ__KEY_MAX];
    struct asq__conn *conn = asq__redis_conn(e->redis, b->partition);
    if (b->state == SENT && b->accepted && b->entry[0] != '!') {
        asq__keys_jobs(asq__redis_keys(e->redis), b->partition, key);
        if (asq__conn_cmd(conn, on_entry, b, "XRANGE", key, b->entry, b->entry, NULL) == 0)
            b->answers++;
    }
    asq__keys_result(asq__redis_keys(e->redis), b->partition, b->id, key);
    if (asq__conn_cmd(conn, on_record, b, "GET", key, NULL) == 0)
        b->answers++;
}

static void look_at_quiet(struct asq__engine *e)
{
    int64_t now = asq__now_ms();
    for (int i = 0; i < LOOKS_PER_TICK && !asq__list_empty(&e->watch); i++) {
        struct asq__batch *b = ASQ__CONTAINER(e->watch.next, struct asq__batch, watch);
        if (b->look_at_ms > now)
            break;
        asq__list_del(&b->watch);
        asq__list_add(&e->watch, &b->watch);
        if (b->quiet_ms < QUIET_MAX_MS)
            b->quiet_ms *= 2;
        b->look_at_ms = now + b->quiet_ms;
        look_up(e, b);
    }
}

int asq__engine_await(struct asq__engine *e, const struct asq__call_id *id, struct asq__call *call)
{
    struct asq__node *node = asq__table_find(&e->batches, id->batch, ASQ__BATCH_ID);
    struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
    if (b && b->state != FOREIGN) {
        if (id->index >= b->n)
            return ASQ_EINVAL;
        call->batch = b;
        call->index = id->index;
        if (b->calls[id->index]) { /* a call of this very engine, under way */
            call->next = b->calls[id->index];
            b->calls[id->index] = call;
            return 0;
        }
        /* Done: its record is still there, for the batch is held or not finished. */
        call->next = b->foreign;
        b->foreign = call;
        b->keep = true;
        if (e->up)
            look_up(e, b);
        return 0;
    }
    if (!b) {
        int rc = batch_new(e, FOREIGN, id->partition, id->batch, NULL, &b);
        if (rc < 0)
            return rc;
        asq__list_add(&e->foreign, &b->order);
        asq__list_add(&e->watch, &b->watch);
        b->quiet_ms = QUIET_FIRST_MS;
        b->look_at_ms = asq__now_ms() + b->quiet_ms;
    }
    call->batch = b;
    call->index = id->index;
    call->next = b->foreign;
    b->foreign = call;
    if (e->up)
        look_up(e, b);
    return 0;
}

int asq__engine_cancel(struct asq__engine *e, const struct asq__call_id *id)
{
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__CANCEL };
    return e->up ? send_control(e, "cancel", &job, id) : ASQ_ECONN;
}

void asq__engine_cancel_batch(struct asq__engine *e, const uint8_t batch[ASQ__BATCH_ID])
{
    struct asq__node *node = asq__table_find(&e->batches, batch, ASQ__BATCH_ID);
    struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
    for (uint32_t i = 0; b && i < b->n; i++) {
        struct asq__call_id id = { .partition = b->partition, .index = i };
        memcpy(id.batch, batch, ASQ__BATCH_ID);
        if (b->calls[i]) /* unfinished */
            asq__engine_cancel(e, &id);
    }
}

int asq__engine_probe(struct asq__engine *e, const struct asq__call_id *id,
                      const Asqueue__Chain *path, uint32_t hops)
{
    struct asq__job job = { .kind = ASQUEUE__JOB_KIND__PROBE, .chain = path, .hops = hops };
    return e->up ? send_control(e, "probe", &job, id) : ASQ_ECONN;
}

static void abandoned(struct asq__call *call, const Asqueue__Result *result, const asq_error *error)
{
    (void) result;
    (void) error;
    free(call);
}

void asq__engine_abandon(struct asq__engine *e, struct asq__call *call)
{
    struct asq__batch *b = call->batch;
    (void) e;
    if (!b)
        return;
    bool own = call->index < b->n;
    struct asq__call **at = own ? &b->calls[call->index] : &b->foreign;
    while (*at && *at != call)
        at = &(*at)->next;
    if (*at != call) {
        own = false;
        for (at = &b->foreign; *at && *at != call;)
            at = &(*at)->next;
        if (*at != call)
            return;
    }
    struct asq__call *stand_in = NULL;
    if (own && (stand_in = malloc(sizeof *stand_in))) {
        *stand_in = *call; /* keeps the batch until the call is through */
        stand_in->done = abandoned;
        *at = stand_in;
    } else {
        *at = call->next;
        if (own && !b->calls[call->index])
            b->unfinished--;
    }
    call->batch = NULL;
    call->next = NULL;
}

void asq__engine_keep(struct asq__engine *e, struct asq__call *call)
{
    (void) e;
    if (call->batch)
        call->batch->keep = true;
}

/* ---- forgetting ---- */

static void flush_unlinks(struct asq__engine *e)
{
    const char *argv[UNLINK_AT + 1];
    size_t lens[UNLINK_AT + 1];
    if (!e->nunlinks || !e->up)
        return;
    char(*keys)[ASQ__KEY_MAX] = malloc(e->nunlinks * sizeof *keys);
    if (!keys)
        return;
    argv[0] = "UNLINK";
    lens[0] = 6;
    for (size_t i = 0; i < e->nunlinks; i++) {
        lens[i + 1] = asq__keys_result(asq__redis_keys(e->redis), e->unlinks[i].partition,
                                       e->unlinks[i].id, keys[i]);
        argv[i + 1] = keys[i];
    }
    asq__conn_argv(asq__redis_conn(e->redis, e->unlinks[0].partition), NULL, NULL,
                   (int) e->nunlinks + 1, argv, lens);
    e->nunlinks = 0;
    free(keys);
}

static void unlink_soon(struct asq__engine *e, uint32_t partition, const uint8_t id[ASQ__BATCH_ID])
{
    if (e->nunlinks == UNLINK_AT)
        flush_unlinks(e);
    if (e->nunlinks == UNLINK_AT)
        return; /* Redis is away: the TTL will do it */
    e->unlinks[e->nunlinks].partition = partition;
    memcpy(e->unlinks[e->nunlinks++].id, id, ASQ__BATCH_ID);
}

void asq__engine_unhold(struct asq__engine *e, const uint8_t id[ASQ__BATCH_ID])
{
    struct asq__node *node = asq__table_find(&e->batches, id, ASQ__BATCH_ID);
    struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
    if (!b)
        return;
    b->hold = false;
    if (b->state == HELD && !b->foreign) /* else not finished, or looked up once more */
        batch_forget(e, b);
}

/* ---- events ---- */

/* What was sent and not accepted is sent again, before what never was. */
static void send_refused_again(struct asq__engine *e)
{
    struct asq__list again;
    asq__list_init(&again);
    ASQ__LIST_EACH (it, &e->sent) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b->accepted || b->answers)
            continue;
        asq__list_del(&b->order);
        asq__list_add(&again, &b->order);
        b->state = READY;
    }
    asq__list_splice(&again, &e->ready);
    asq__list_splice(&e->ready, &again);
}

static void on_tick(struct ev_loop *loop, ev_timer *w, int revents)
{
    struct asq__engine *e = w->data;
    (void) loop;
    (void) revents;
    if (!e->up)
        return;
    if (e->stalled) {
        bool reconnect = e->reconnect;
        e->stalled = e->reconnect = false;
        if (reconnect) {
            asq__redis_drop(e->redis, "Redis does not take calls");
            return;
        }
        send_refused_again(e);
    }
    send_ready(e);
    look_at_quiet(e);
    flush_unlinks(e);
}

void asq__engine_up(struct asq__engine *e)
{
    struct asq__list again;
    e->up = true;
    e->stalled = e->reconnect = false;
    if (open_tables(e) < 0) {
        asq__redis_drop(e->redis, "out of memory");
        return;
    }
    /* What was sent comes first, in its old order, marked; then what was not. */
    asq__list_init(&again);
    asq__list_splice(&again, &e->sent);
    ASQ__LIST_EACH (it, &again) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (!b->resent) {
            size_t before = b->bytes.len;
            asq__batch_mark_resent(&b->bytes);
            if (b->bytes.error)
                b->bytes.error = 0; /* cannot be marked: its outcome has to be looked up */
            else
                b->resent = true;
            e->backlog += b->bytes.len - before;
        }
        if (b->accepted) {
            b->accepted = false;
            e->unaccepted++;
        }
        b->entry[0] = '\0';
        b->state = READY;
    }
    asq__list_splice(&again, &e->ready);
    asq__list_splice(&e->ready, &again);
    send_ready(e);
    ASQ__LIST_EACH (it, &e->foreign)
        look_up(e, ASQ__CONTAINER(it, struct asq__batch, order));
}

void asq__engine_down(struct asq__engine *e)
{
    e->up = false;
}

void asq__engine_push(struct asq__engine *e, const void *payload, size_t n)
{
    apply(e, payload, n, NULL);
}

/* ---- life ---- */

int asq__engine_new(const struct asq__engine_config *config, struct asq__engine **ret)
{
    struct asq__engine *e = calloc(1, sizeof *e);
    if (!e)
        return ASQ_ENOMEM;
    int rc = asq__table_init(&e->batches, batch_key);
    if (rc < 0) {
        free(e);
        return rc;
    }
    e->config = *config;
    e->redis = config->redis;
    e->loop = asq__redis_loop(config->redis);
    asq__list_init(&e->ready);
    asq__list_init(&e->sent);
    asq__list_init(&e->foreign);
    asq__list_init(&e->watch);
    ev_timer_init(&e->tick, on_tick, TICK_MS / 1000., TICK_MS / 1000.);
    e->tick.data = e;
    ev_timer_start(e->loop, &e->tick);
    *ret = e;
    return 0;
}

static void close_batch(struct asq__node *node, void *user)
{
    struct asq__batch *b = ASQ__CONTAINER(node, struct asq__batch, node);
    struct asq__engine *e = user;
    batch_fail(e, b, ASQ_ECLOSED, "the handle was closed");
}

void asq__engine_free(struct asq__engine *e)
{
    if (!e)
        return;
    e->closing = true;
    ev_timer_stop(e->loop, &e->tick);
    flush_unlinks(e);
    if (e->up)
        asq__conn_flush(asq__redis_conn(e->redis, 0));
    e->up = false;
    asq__table_each(&e->batches, close_batch, e);
    asq__table_release(&e->batches);
    free(e->open);
    free(e->open_list);
    free(e);
}

void asq__engine_set_loop(struct asq__engine *e, struct ev_loop *loop)
{
    ev_timer_stop(e->loop, &e->tick);
    e->loop = loop;
    ev_timer_set(&e->tick, TICK_MS / 1000., TICK_MS / 1000.);
    ev_timer_start(e->loop, &e->tick);
}

bool asq__engine_accepted(const struct asq__engine *e)
{
    return e->unaccepted == 0 && e->opened == 0;
}

size_t asq__engine_unfinished(const struct asq__engine *e)
{
    return e->unfinished;
}

size_t asq__engine_backlog(const struct asq__engine *e)
{
    return e->backlog;
}
