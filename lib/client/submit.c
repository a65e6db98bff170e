/*
 * submit.c: puts calls into batches and batches into streams, in the order in which they were made.
 * A batch is sent until Redis accepts it or refuses it for good (resend.c). See batch.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/batch.h"
#include "client/batch_state.h"
#include "client/engine.h"
#include "redis/barrier.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/limit.h"
#include "redis/redis.h"
#include "redis/redis_clock.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/pools.h"
#include "value/table.h"
#include "value/value.h"

enum { SOON_MS = 100, BATCH_CALLS = 64, BATCH_BYTES = 64 * 1024 };
/* A probe may carry thousands of calls. */
enum { CONTROL_BYTES = 8 << 20 };
/* A fence lives as long as records of methods' batches, times this. */
enum { FENCE_TTLS = 2 };
#define MAX_BACKLOG   ((size_t) 1024 * 1024 * 1024)
#define MAX_UNWRITTEN ((size_t) 64 * 1024 * 1024)

/* ---- replies of Redis ---- */

static void refuse_batch(struct asq__engine *e, struct asq__batch *b, const redisReply *reply)
{
    bool full = asq__reply_is_error(reply, "OOM"), sealed = asq__reply_is_wrong_type(reply);
    struct asq__error text;
    asq__error_init(&text);
    if (b->resent)
        asq__error_set(
            &text, ASQ_EUNKNOWN,
            "the call was sent before the connection was lost, and Redis refuses it now: %s",
            asq__reply_text(reply));
    else
        asq__error_set(&text, full ? ASQ_EBUSY : ASQ_EREDIS,
                       full ? "Redis has no memory for more calls: %s%s"
                            : "Redis refuses the call: %s%s",
                       asq__reply_text(reply),
                       asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT
                       : sealed ? ": the namespace has moved to another Redis (as-ctl ping tells "
                                  "where), or somebody has written to its keys"
                                : "");
    if (sealed)
        asq__redis_refresh_meta(e->redis);
    asq__batch_fail(e, b, text.pub.code, text.pub.message);
    asq__error_clear(&text);
}

/* Fails a batch that is longer than any string that Redis accepts. */
static void refuse_large(struct asq__engine *e, struct asq__batch *b, const char *why)
{
    struct asq__error text;
    size_t limit = asq__redis_max_string(e->redis);
    asq__error_init(&text);
    asq__error_set(&text, b->history == ASQ__WAS_ACCEPTED ? ASQ_EUNKNOWN : ASQ_ELIMIT,
                   "this Redis takes at most %zu bytes as one string (proto-max-bulk-len, "
                   "client-query-buffer-limit), and %s %zu%s%s",
                   limit, b->n == 1 ? "the call has" : "the calls of one statement have",
                   b->bytes.len, why ? ": " : "", why ? why : "");
    asq__batch_fail(e, b, text.pub.code, text.pub.message);
    asq__error_clear(&text);
}

/* Notes that the connection was lost while the batch was under way. Suspects the first batch that
 * is large enough to be the cause, and fails it after repeated losses. */
static void count_loss(struct asq__engine *e, struct asq__batch *b)
{
    if (e->closing || e->suspected || b->bytes.len < ASQ__LIMIT_SUSPECT)
        return;
    e->suspected = true;
    if (++b->losses < ASQ__LIMIT_LOSSES)
        return;
    asq__batch_fail(
        e, b, ASQ_EUNKNOWN,
        "the connection was lost at each attempt to send the call: a proxy before Redis may limit "
        "the size of a command");
}

/* Fails batches that Redis has refused temporarily before it accepted `taken`, a later one: a
 * resend would break the order. */
static void fail_refused(struct asq__engine *e, struct asq__batch *taken)
{
    ASQ__LIST_EACH (it, &e->sent) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b == taken)
            break;
        if (b->state == ASQ__BATCH_REFUSED && b->partition == taken->partition &&
            asq__batch_is_in_order_with(b, taken))
            asq__batch_fail(
                e, b, b->resent ? ASQ_EUNKNOWN : ASQ_EREDIS,
                b->resent
                    ? "the call was sent before the connection was lost; Redis refuses it now, "
                      "and has taken a later call to the same partition"
                    : "Redis has refused the call for a while, and taken a later call to the same "
                      "partition: the call was not run");
    }
}

/* Returns whether the stream has no higher id left. The owner recreates such a stream, see
 * claim.lua. */
static bool is_out_of_ids(const redisReply *reply)
{
    return asq__reply_is_error(reply, NULL) && strstr(reply->str, "exhausted the last possible ID");
}

static void set_alone(struct asq__engine *e, uint32_t partition, enum asq__alone alone)
{
    e->n_alone += alone != ASQ__ALONE_NOT;
    e->n_alone -= e->alone[partition] != ASQ__ALONE_NOT;
    e->alone[partition] = alone;
}

/* Sends a single batch to the partition soon, because the owner recreates the stream within
 * moments. With several batches the first could be refused and the next accepted, out of order. */
static void send_first_soon(struct asq__engine *e, uint32_t partition)
{
    if (e->alone[partition] == ASQ__ALONE_NEXT)
        return;
    set_alone(e, partition, ASQ__ALONE_NEXT);
    asq__timer_restart(e->loop, &e->tick, SOON_MS / 1000., e->tick.repeat);
}

static void accept_batch(struct asq__batch *b)
{
    asq__batch_enter(b, ASQ__BATCH_ACCEPTED);
    asq__batch_is_there(b->engine, b);
    asq__batch_notify(b, ASQ__ACCEPTED);
}

/* Handles the end of a batch's wait for replicas. After a lost connection it is asked about. */
static void on_replicas(bool on_replicas, void *user)
{
    struct asq__batch *b = user;
    struct asq__engine *e = b->engine;
    if (on_replicas && e && b->state == ASQ__BATCH_SENT)
        accept_batch(b);
    asq__batch_answered(b);
    if (e && e->released)
        asq__engine_send_ready(e);
}

void asq__batch_accept(struct asq__engine *e, struct asq__batch *b, bool wrote)
{
    struct asq__barrier *barrier = asq__redis_barrier(e->redis, b->partition);
    if (!barrier)
        accept_batch(b);
    else if (asq__barrier_wait(barrier, b->partition, wrote, on_replicas, b) == 0)
        b->answers++;
    else
        e->reconnect = true; /* no memory: it is asked about on a new connection */
}

/* Ends a method's batch that another owner of the calling agent's partition sends. */
static void fence(struct asq__engine *e, struct asq__batch *b)
{
    asq__batch_notify(b, ASQ__FENCED);
    asq__batch_fail(e, b, ASQ_ECANCELED,
                    "this worker has lost the agent's partition; the call runs elsewhere");
}

/* Has nothing leave before a batch that Redis has refused for now. Of several servers one alone
 * does not take it. */
static void hold_refused(struct asq__engine *e, const struct asq__batch *b, const redisReply *reply)
{
    bool transient = asq__reply_is_transient(reply);
    if (asq__redis_is_spread(e->redis)) {
        e->moves = e->moving[b->partition] = true;
        if (transient)
            asq__redis_drop_server(e->redis, b->partition, "Redis refuses calls");
    } else {
        e->stalled = true;
        e->reconnect |= transient;
    }
    if (is_out_of_ids(reply))
        send_first_soon(e, b->partition);
}

/* Returns whether the others of its partition have waited for the answer to a batch, which is
 * there. Meanwhile the namespace may have got fewer partitions. */
static bool end_alone(struct asq__engine *e, struct asq__batch *b)
{
    if (!b->alone)
        return false;
    b->alone = false;
    if (b->partition < e->partitions && e->alone[b->partition] == ASQ__ALONE_SENT)
        set_alone(e, b->partition, ASQ__ALONE_NOT);
    return true;
}

static void on_added(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    struct asq__engine *e = b->engine; /* NULL: freed; the batch is gone, too */
    bool was_alone = e && end_alone(e, b);
    (void) c;
    if (b->state == ASQ__BATCH_SENT && !reply) {
        count_loss(e, b);
    } else if (b->state == ASQ__BATCH_SENT) {
        if (reply->type == REDIS_REPLY_STRING && (size_t) reply->len < sizeof b->entry) {
            memcpy(b->entry, reply->str, (size_t) reply->len + 1);
            e->taken_ms[b->partition] = strtoull(b->entry, NULL, 10);
            if (e->stalled || e->moves)
                fail_refused(e, b);
            asq__batch_accept(e, b, true);
        } else if (asq__reply_refusal(reply) == ASQ__REFUSED_SIZE) {
            asq__redis_refused_string(e->redis, b->bytes.len);
            refuse_large(e, b, reply->str);
        } else if (asq__reply_refusal(reply) == ASQ__REFUSED_SLOT) {
            asq__batch_enter(b, ASQ__BATCH_REFUSED);
            e->moves = e->moving[b->partition] = true;
            if (!asq__redis_is_spread(e->redis))
                asq__redis_refused_on(e->redis, b->partition, reply);
        } else if (asq__reply_is_transient(reply) || is_out_of_ids(reply) ||
                   ((b->resent || b->guard) && asq__reply_is_error(reply, "OOM"))) {
            /* Resend the batch before all later ones. A resent or a method's batch cannot be
             * refused: an earlier copy may have been accepted, or the method may have returned. */
            asq__batch_enter(b, ASQ__BATCH_REFUSED);
            hold_refused(e, b, reply);
        } else if (b->guard && asq__reply_is_error(reply, "FENCED")) {
            fence(e, b);
        } else {
            refuse_batch(e, b, reply);
        }
    }
    asq__batch_answered(b);
    if (was_alone && !e->stalled)
        asq__engine_resend_refused(e);
    if (e && ((was_alone && !e->stalled) || e->released))
        asq__engine_send_ready(e);
}

/* ---- sending ---- */

static int add_guarded(struct asq__engine *e, struct asq__batch *b, const char *label)
{
    const struct asq__keys *keys = asq__redis_keys(e->redis);
    const struct asq__guard *g = b->guard;
    char lease[ASQ__KEY_MAX], from[ASQ__KEY_MAX], to[ASQ__KEY_MAX], seq[ASQ__DECIMAL_MAX];
    size_t seq_n = asq__decimal(g->seq, seq);
    size_t lease_n = asq__keys_lease(keys, g->partition, lease);
    size_t from_n = asq__keys_jobs(keys, g->partition, from);
    size_t to_n = asq__keys_jobs(keys, b->partition, to);
    const char *caller = b->from_old_connection ? g->entry : "";
    const char *argv[] = { "EVAL", asq__script_send, "3", lease, from,
                           to,     g->token,         seq, label, (const char *) b->bytes.data,
                           caller };
    size_t lens[] = { 4,
                      strlen(asq__script_send),
                      1,
                      lease_n,
                      from_n,
                      to_n,
                      strlen(g->token),
                      seq_n,
                      strlen(label),
                      b->bytes.len,
                      strlen(caller) };
    return asq__conn_argv(asq__redis_conn(e->redis, b->partition), on_added, b, 11, argv, lens);
}

/* Does the same in a Cluster, where the lease is in another slot than the stream. */
static int add_fenced(struct asq__engine *e, struct asq__batch *b, const char *label)
{
    const struct asq__keys *keys = asq__redis_keys(e->redis);
    const struct asq__guard *g = b->guard;
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_send_fenced, 2);
    asq__cmd_put(&cmd, key, asq__keys_jobs(keys, b->partition, key));
    asq__cmd_put(&cmd, key, asq__keys_fences(keys, b->partition, key));
    asq__cmd_number(&cmd, g->partition);
    asq__cmd_number(&cmd, g->epoch);
    asq__cmd_number(&cmd, (uint64_t) (FENCE_TTLS * e->config.record_ms));
    asq__cmd_puts(&cmd, label);
    asq__cmd_put(&cmd, b->bytes.data, b->bytes.len);
    int rc = asq__conn_send(asq__redis_conn(e->redis, b->partition), on_added, b, &cmd);
    asq__cmd_release(&cmd);
    return rc;
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

/* Returns the readable field of an entry: the first call, and the number of further calls. */
static const char *entry_label(const struct asq__batch *b, char out[ASQ__LABEL_MAX])
{
    if (b->n <= 1)
        return b->label;
    asq__err(out, ASQ__LABEL_MAX, 0, "%s +%zu", b->label, b->n - 1);
    return out;
}

static bool send_batch(struct asq__engine *e, struct asq__batch *b)
{
    char text[ASQ__LABEL_MAX];
    const char *label = entry_label(b, text);
    int rc;
    asq__batch_hear(b);
    if (!b->guard)
        rc = add_entry(e, b->partition, label, b->bytes.data, b->bytes.len, on_added, b);
    else if (asq__redis_is_cluster(e->redis))
        rc = add_fenced(e, b, label);
    else
        rc = add_guarded(e, b, label);
    if (rc < 0)
        return false;
    b->answers++;
    if (b->history == ASQ__NEVER_SENT)
        b->since_ms = e->taken_ms[b->partition];
    asq__batch_enter(b, ASQ__BATCH_SENT);
    b->quiet_ms = ASQ__QUIET_FIRST_MS;
    b->query_at_ms = asq__now_ms_coarse() + b->quiet_ms;
    asq__list_del(&b->order);
    asq__list_add(&e->sent, &b->order);
    asq__list_del(&b->watch);
    asq__list_add(&e->watch, &b->watch);
    return true;
}

static void make_ready(struct asq__engine *e, struct asq__batch *b)
{
    asq__batch_enter(b, ASQ__BATCH_READY);
    asq__list_add(&e->ready, &b->order);
}

static void close_open(struct asq__engine *e, uint32_t partition)
{
    struct asq__batch *b = e->open[partition];
    asq__assert(e->opened > 0 && b->partition == partition);
    e->open[partition] = NULL;
    for (size_t i = 0; i < e->opened; i++)
        if (e->open_list[i] == partition) {
            /* Partitions need no order among each other. */
            e->open_list[i] = e->open_list[--e->opened];
            break;
        }
    b->body = b->bytes.len;
    if (b->n)
        make_ready(e, b);
    else
        asq__batch_end(e, b); /* memory was short for its first call */
}

/* Returns whether a batch may leave by what this process knows. One Redis decides that itself. */
static enum asq__lease_belief believe(const struct asq__engine *e, const struct asq__batch *b)
{
    if (!b->guard || !asq__redis_is_cluster(e->redis) || !e->config.holds)
        return ASQ__LEASE_HELD;
    return e->config.holds(e->config.log_user, b->guard->partition, b->guard->token);
}

bool asq__engine_blocks(const struct asq__engine *e, uint32_t partition)
{
    return e->rounds[partition] || (e->moves && e->moving[partition]) ||
           (e->n_alone && e->alone[partition] == ASQ__ALONE_SENT) ||
           (e->n_full && e->full[partition]) || (e->holding && e->creations[partition].holds) ||
           !asq__redis_serves(e->redis, partition);
}

/* Returns whether a server takes more bytes now. One of several that does not has its partitions
 * wait until it does, so that others go on. */
static bool has_room(struct asq__engine *e, uint32_t partition)
{
    struct asq__conn *conn = asq__redis_conn(e->redis, partition);
    if (asq__conn_unwritten(conn) <= MAX_UNWRITTEN)
        return true;
    asq__conn_flush(conn);
    if (asq__conn_unwritten(conn) <= MAX_UNWRITTEN)
        return true;
    if (asq__redis_is_spread(e->redis) && !e->full[partition]) {
        e->full[partition] = true;
        e->n_full++;
    }
    return false;
}

/* Gives a method's batch that was in doubt another number if later ones have left before it: the
 * owner takes a lower number for a batch that Redis has refused before. False: it has failed. */
static bool keep_numbers_growing(struct asq__engine *e, struct asq__batch *b)
{
    uint64_t *left = &e->left[b->partition];
    if (b->guard && b->number < *left) {
        b->number = ++e->counter;
        if (!asq__batch_stamp(e, b))
            return false;
    }
    if (*left < b->number)
        *left = b->number;
    return true;
}

/* Lets partitions go on whose servers have taken most of what they had. */
static void resume_full(struct asq__engine *e)
{
    uint32_t before = e->n_full;
    for (uint32_t p = 0; e->n_full && p < e->partitions; p++)
        if (e->full[p] && asq__conn_unwritten(asq__redis_conn(e->redis, p)) <= MAX_UNWRITTEN / 2) {
            e->full[p] = false;
            e->n_full--;
        }
    if (e->n_full < before)
        asq__engine_resend_refused(e);
}

void asq__engine_send_ready(struct asq__engine *e)
{
    if (!e->up || e->stalled)
        return;
    if (e->n_full)
        resume_full(e);
    asq__creations_resume(e);
    struct asq__list waiting;
    asq__list_init(&waiting);
    while (!asq__list_empty(&e->ready)) {
        struct asq__batch *b = ASQ__CONTAINER(e->ready.next, struct asq__batch, order);
        if (asq__engine_blocks(e, b->partition) || asq__batch_is_held(e, b)) {
            asq__list_del(&b->order);
            asq__list_add(&e->blocked, &b->order);
            continue;
        }
        enum asq__lease_belief belief = believe(e, b);
        if (belief == ASQ__LEASE_LOST) {
            fence(e, b);
            continue;
        }
        if (belief == ASQ__LEASE_DOUBTED) { /* all batches of the same run wait with it */
            asq__list_del(&b->order);
            asq__list_add(&waiting, &b->order);
            continue;
        }
        if (!has_room(e, b->partition)) {
            if (asq__engine_blocks(e, b->partition))
                continue;
            break; /* the tick or the next flush continues */
        }
        if (b->bytes.len > asq__redis_max_string(e->redis)) /* Redis would close the connection */
            refuse_large(e, b, NULL);
        else if (!keep_numbers_growing(e, b))
            continue;
        else if (!send_batch(e, b))
            break;
        else if (e->n_alone && e->alone[b->partition] == ASQ__ALONE_NEXT) {
            b->alone = true;
            set_alone(e, b->partition, ASQ__ALONE_SENT);
        }
    }
    asq__list_splice(&waiting, &e->ready);
    asq__list_splice(&e->ready, &waiting);
}

void asq__engine_close_open(struct asq__engine *e)
{
    while (e->opened)
        close_open(e, e->open_list[e->opened - 1]);
}

void asq__engine_send(struct asq__engine *e)
{
    asq__engine_close_open(e);
    asq__engine_send_ready(e);
}

void asq__engine_flush(struct asq__engine *e)
{
    asq__engine_send(e);
    if (e->up)
        asq__redis_flush(e->redis);
}

/* ---- new calls ---- */

/* Makes an array longer, with zeros. */
static bool grow(void *array, size_t size, uint32_t from, uint32_t to)
{
    char **bytes = array, *grown = realloc(*bytes, to * size);
    if (!grown)
        return false;
    memset(grown + from * size, 0, (to - from) * size);
    *bytes = grown;
    return true;
}

int asq__engine_open_tables(struct asq__engine *e)
{
    uint32_t n = asq__redis_partitions(e->redis), before = e->partitions;
    if (n == 0)
        return ASQ_ESTATE;
    if (n <= before)
        return 0;
    if (!grow(&e->open, sizeof *e->open, before, n) ||
        !grow(&e->open_list, sizeof *e->open_list, before, n) ||
        !grow(&e->ended, sizeof *e->ended, before, n) ||
        !grow(&e->taken_ms, sizeof *e->taken_ms, before, n) ||
        !grow(&e->left, sizeof *e->left, before, n) ||
        !grow(&e->moving, sizeof *e->moving, before, n) ||
        !grow(&e->rounds, sizeof *e->rounds, before, n) ||
        !grow(&e->alone, sizeof *e->alone, before, n) ||
        !grow(&e->full, sizeof *e->full, before, n) ||
        !grow(&e->creations, sizeof *e->creations, before, n) || asq__hearing_grow(e, n) < 0)
        return ASQ_ENOMEM; /* some are longer than needed, until the next attempt */
    e->partitions = n;
    return 0;
}

int asq__engine_reach(struct asq__engine *e, uint32_t partition)
{
    if (!asq__redis_reach(e->redis, partition))
        return partition < ASQ__MAX_PARTITIONS ? ASQ_ENOMEM : ASQ_EINVAL;
    return asq__engine_open_tables(e);
}

/* Makes a new batch id of this client; returns its number. */
static uint64_t next_id(struct asq__engine *e, uint8_t ret_id[ASQ__BATCH_ID])
{
    uint64_t client = e->config.client_number, counter = ++e->counter;
    for (int i = 7; i >= 0; i--, client >>= 8, counter >>= 8) {
        ret_id[i] = (uint8_t) client;
        ret_id[8 + i] = (uint8_t) counter;
    }
    return e->counter;
}

/* Appends the creation time of the batch's calls and their age. */
static void encode_times(struct asq__engine *e, struct asq__batch *b, int64_t now)
{
    int64_t stamp = asq__redis_clock_at(asq__redis_clock(e->redis), now);
    int64_t age = now > b->made_ms ? now - b->made_ms : 0;
    asq__batch_set_times(stamp > 0 ? (uint64_t) stamp : 0, (uint64_t) age, &b->bytes);
}

bool asq__batch_stamp(struct asq__engine *e, struct asq__batch *b)
{
    size_t before = b->bytes.len;
    b->bytes.len = b->body;
    if (b->resent)
        asq__batch_mark_resent(&b->bytes);
    asq__batch_set_number(b->number, &b->bytes);
    encode_times(e, b, asq__now_ms_coarse());
    int rc = b->bytes.error;
    b->bytes.error = 0;
    e->backlog += b->bytes.len - before;
    if (rc < 0) /* without its marks the batch must not be resent */
        asq__batch_fail(e, b, b->history != ASQ__NEVER_SENT ? ASQ_EUNKNOWN : rc,
                        "out of memory when the call was to be sent again");
    return rc == 0;
}

/* Returns the open batch of a call's partition, to which the call may be added: a new one, where
 * there is none. NULL: no memory. */
static struct asq__batch *open_batch(struct asq__engine *e, const struct asq__new_call *new_call)
{
    uint32_t partition = new_call->partition;
    struct asq__batch *b = e->open[partition];
    if (b && (b->n >= BATCH_CALLS || b->bytes.len + new_call->job->len > BATCH_BYTES)) {
        close_open(e, partition);
        asq__engine_send_ready(e);
        b = NULL;
    }
    if (b && new_call->timed && b->n && asq__now_ms_coarse() != b->made_ms) {
        /* A batch has one creation time, and a timed call's time counts from now. */
        close_open(e, partition);
        b = NULL;
    }
    if (b)
        return b;
    uint8_t id[ASQ__BATCH_ID];
    uint64_t number = next_id(e, id);
    if (asq__batch_new(e, partition, id, new_call->label, &b) < 0)
        return NULL;
    asq__batch_enter(b, ASQ__BATCH_OPEN);
    b->number = number;
    e->open[partition] = b;
    e->open_list[e->opened++] = partition;
    return b;
}

/* Puts the job of the batch's newest call into it. */
static int put_job(struct asq__engine *e, struct asq__batch *b, const struct asq__buf *job)
{
    size_t before = b->bytes.len;
    if (b->n == 1) { /* the id comes first, where taken.lua looks for it */
        asq__buf_reserve(&b->bytes, ASQ__BATCH_ROOM + job->len);
        asq__batch_head(b->id, e->config.client, b->number, &b->bytes);
        b->made_ms = asq__now_ms_coarse();
        encode_times(e, b, b->made_ms);
    }
    asq__buf_put(&b->bytes, job->data, job->len);
    int rc = b->bytes.error;
    if (rc < 0) {
        b->bytes.len = before;
        b->bytes.error = 0;
    }
    e->backlog += b->bytes.len - before;
    return rc;
}

/* Completes the open batches that a call is to await, so that they await nothing more. */
static void close_awaited(struct asq__engine *e, const struct asq__new_call *new_call)
{
    for (size_t i = 0; i < new_call->n_awaited; i++) {
        uint32_t p = new_call->awaited[i];
        if (p != new_call->partition && p < e->partitions && e->open[p] && e->open[p]->creates)
            close_open(e, p);
    }
}

int asq__engine_add(struct asq__engine *e, const struct asq__new_call *new_call,
                    struct asq__call *call, struct asq__call_id *ret_id)
{
    int rc = asq__engine_open_tables(e);
    if (rc < 0)
        return rc;
    asq__assert(new_call->partition < e->partitions && !e->closing);
    if (e->backlog > MAX_BACKLOG)
        return ASQ_EBUSY;
    close_awaited(e, new_call);
    struct asq__batch *b = open_batch(e, new_call);
    if (!b)
        return ASQ_ENOMEM;
    rc = asq__batch_await(e, b, new_call->awaited, new_call->n_awaited);
    if (rc == 0)
        rc = asq__batch_add_call(b, call);
    if (rc == 0 && (rc = put_job(e, b, new_call->job)) < 0) {
        b->n--;
        b->unfinished--;
        call->batch = NULL;
    }
    if (rc < 0)
        return rc; /* an empty open batch remains for the next call */
    if (new_call->creates)
        asq__batch_creates(e, b);
    memcpy(ret_id->batch, b->id, ASQ__BATCH_ID);
    ret_id->partition = new_call->partition;
    ret_id->index = call->index;
    return 0;
}

static void set_guard(struct asq__guard *g, const struct asq__nested_batch *nested)
{
    g->partition = nested->from;
    snprintf(g->token, sizeof g->token, "%s", nested->token);
    snprintf(g->entry, sizeof g->entry, "%s", nested->entry);
    g->epoch = nested->epoch;
    g->seq = nested->seq;
    g->notify = nested->notify;
    g->user = nested->user;
}

/* Takes over a batch that an earlier run of the outer call has made in this process. Another worker
 * may have run the call in between and sent the same batch. */
static void reuse_batch(struct asq__engine *e, struct asq__batch *b,
                        const struct asq__nested_batch *nested)
{
    if (!b->resent && b->state == ASQ__BATCH_READY) { /* not marked as resent yet */
        size_t before = b->bytes.len;
        asq__batch_mark_resent(&b->bytes);
        b->bytes.error = 0;
        e->backlog += b->bytes.len - before;
    }
    b->resent = true;
    asq__batch_notify(b, ASQ__REFUSED);
    set_guard(b->guard, nested);
    if (b->state == ASQ__BATCH_PINNED || b->state == ASQ__BATCH_ACCEPTED)
        asq__batch_notify(b, ASQ__ACCEPTED);
}

/* Fills an open batch, which has no calls of its own yet. */
static int fill_nested(struct asq__engine *e, struct asq__batch *b,
                       const struct asq__nested_batch *nested)
{
    b->number = ++e->counter;
    b->made_ms = nested->made_ms;
    b->resent = nested->resent;
    asq__batch_head(nested->id, e->config.client, b->number, &b->bytes);
    encode_times(e, b, asq__now_ms_coarse());
    asq__buf_put(&b->bytes, nested->jobs, nested->n);
    b->body = b->bytes.len;
    if (nested->resent)
        asq__batch_mark_resent(&b->bytes);
    e->backlog += b->bytes.len;
    int rc = b->bytes.error;
    for (size_t i = 0; i < nested->ncalls && rc == 0; i++)
        rc = asq__batch_add_call(b, nested->calls[i]);
    if (rc == 0 && !(b->guard = malloc(sizeof *b->guard)))
        rc = ASQ_ENOMEM;
    if (rc < 0) {
        for (size_t i = 0; i < b->n; i++)
            b->calls[i]->batch = NULL;
        b->n = b->unfinished = 0;
        return rc;
    }
    set_guard(b->guard, nested);
    b->pinned = true;
    return 0;
}

/* Sends a batch that other calls of this process await already, by its id: its method began in
 * another process, and runs again in this one. */
static int adopt(struct asq__engine *e, struct asq__batch *b,
                 const struct asq__nested_batch *nested)
{
    asq__list_del(&b->order);
    asq__batch_enter(b, ASQ__BATCH_OPEN);
    int rc = fill_nested(e, b, nested);
    if (rc < 0) {
        e->backlog -= b->bytes.len;
        asq__buf_reset(&b->bytes);
        asq__buf_release(&b->bytes);
        asq__batch_enter(b, ASQ__BATCH_FOREIGN);
        asq__list_add(&e->foreign, &b->order);
        return rc;
    }
    asq__batch_label(b, nested->label);
    b->seen = 0; /* what was read had no call of this batch's own */
    make_ready(e, b);
    if (e->up)
        asq__batch_query(e, b);
    return 0;
}

int asq__engine_batch(struct asq__engine *e, const struct asq__nested_batch *nested)
{
    struct asq__node *known = asq__table_find(&e->batches, nested->id, ASQ__BATCH_ID);
    struct asq__batch *b = known ? ASQ__CONTAINER(known, struct asq__batch, node) : NULL;
    if (b && b->guard) {
        reuse_batch(e, b, nested);
        return ASQ_EEXIST;
    }
    if (e->backlog > MAX_BACKLOG)
        return ASQ_EBUSY;
    if (b)
        return adopt(e, b, nested);
    int rc = asq__batch_new(e, nested->partition, nested->id, nested->label, &b);
    if (rc < 0)
        return rc;
    asq__batch_enter(b, ASQ__BATCH_OPEN);
    rc = fill_nested(e, b, nested);
    if (rc < 0)
        asq__batch_end(e, b);
    else
        make_ready(e, b);
    return rc;
}

int asq__engine_control(struct asq__engine *e, const char *name, struct asq__job *job,
                        const struct asq__call_id *id)
{
    char target[ASQ__CALL_ID_TEXT], label[ASQ__LABEL_MAX];
    struct asq__buf bytes;
    uint8_t own[ASQ__BATCH_ID];
    int rc = asq__engine_reach(e, id->partition);
    if (rc < 0)
        return rc;
    uint64_t number = next_id(e, own);
    asq__call_id_format(id, target);
    asq__err(label, sizeof label, 0, "%s %s", name, target);
    asq__buf_init(&bytes, CONTROL_BYTES);
    asq__batch_head(own, e->config.client, number, &bytes);
    job->target = target;
    rc = asq__job_encode(job, &bytes);
    if (rc == 0 && bytes.len > asq__redis_max_string(e->redis))
        rc = ASQ_ELIMIT;
    if (rc == 0)
        rc = add_entry(e, id->partition, label, bytes.data, bytes.len, NULL, NULL);
    asq__buf_release(&bytes);
    return rc;
}
