/*
 * resend.c: resends batches after a lost connection. Redis is asked first (taken.lua), before
 * anything is sent: a batch that is in its stream stays there, and the record of a batch that has
 * one is read (fetch.c). A batch with neither was not accepted, was lost by Redis, or has expired:
 * it is resent before anything new, in its old order, and marked. Nothing that Redis has is sent
 * twice, because a large batch may itself have caused the loss of the connection. See batch.h.
 *
 * The order may have been broken already. Of two batches for one partition whose replies were lost,
 * Redis may have refused the first because its memory was full, and accepted the second, which may
 * even be done by now. The first would then come out of order, and is never resent. If bytes of the
 * old connection arrive still later, the owner recognises them in the stream.
 *
 * Without the right to run scripts (EVAL) the client warns once and resends everything; the owners
 * sort it out.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/batch.h"
#include "client/batch_state.h"
#include "client/engine.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/script.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"

enum { ASKED_AT_ONCE = 1000, CLOCK_SKEW_MS = 60000 };

/* A query about batches of one partition, in the order of their creation. The batches are kept
 * until the reply. */
struct query {
    struct asq__list node; /* in e->queries */
    struct asq__engine *e; /* NULL: freed */
    size_t n;
    struct asq__batch *batches[];
};

/* ---- batches that are out of order ---- */

static bool has_arrived(const struct asq__batch *b)
{
    return b->asked == ASQ__ASKED_WAITS || b->asked == ASQ__ASKED_RECORD;
}

/* Returns whether Redis has never had a batch in a stream, as far as this client knows. One whose
 * entry was known was not refused: if it is gone, Redis has lost it, and all that came later. */
static bool may_be_refused(const struct asq__batch *b)
{
    return b->history != ASQ__WAS_ACCEPTED && !b->had_entry && !*b->entry;
}

/* Returns whether Redis has accepted a batch that must come after `b`. `later`: a later batch of
 * the partition is known to be there. */
static bool is_out_of_order(const struct asq__engine *e, const struct asq__batch *b, bool later)
{
    if (b->asked != ASQ__ASKED_MISSING)
        return false;
    if (!b->guard)
        return later || (may_be_refused(b) && b->number < e->ended[b->partition]);
    for (const struct asq__list *it = b->order.next; later && it != &e->ready; it = it->next) {
        const struct asq__batch *other = ASQ__CONTAINER(it, struct asq__batch, order);
        if (other->partition == b->partition && has_arrived(other) &&
            asq__batch_is_in_order_with(b, other))
            return true;
    }
    return false;
}

static void fail_out_of_order(struct asq__engine *e)
{
    bool *later = calloc(e->partitions, sizeof *later);
    for (struct asq__list *it = e->ready.prev; later && it != &e->ready; it = it->prev) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (is_out_of_order(e, b, later[b->partition]))
            b->asked = ASQ__ASKED_OUT_OF_ORDER;
        later[b->partition] |= has_arrived(b);
    }
    free(later);
    ASQ__LIST_EACH (it, &e->ready) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b->asked == ASQ__ASKED_OUT_OF_ORDER)
            asq__batch_fail(
                e, b, ASQ_EUNKNOWN,
                b->history == ASQ__WAS_ACCEPTED
                    ? "Redis had taken the call, and has a later call to the same partition, but "
                      "neither this call nor its result: the result has expired or was removed"
                    : "the connection was lost after the call had been sent; Redis has a later "
                      "call to the same partition, but neither this call nor its result: most "
                      "likely Redis refused the call");
    }
}

/* ---- asking ---- */

static void take_answer(struct asq__batch *b, const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_STRING && (size_t) reply->len < sizeof b->entry) {
        memcpy(b->entry, reply->str, (size_t) reply->len + 1);
        b->asked = ASQ__ASKED_WAITS;
    } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 3) {
        b->asked = ASQ__ASKED_WAITS;
    } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 2) {
        b->asked = ASQ__ASKED_RECORD;
    } else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0) {
        b->asked = ASQ__ASKED_MISSING;
    }
}

static void end_query(struct query *q)
{
    asq__list_del(&q->node);
    for (size_t i = 0; i < q->n; i++)
        asq__batch_answered(q->batches[i]);
    free(q);
}

static void apply_answers(struct asq__engine *e);

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct query *q = user;
    struct asq__engine *e = q->e;
    (void) c;
    if (!e || !reply) { /* the next connection asks again */
        end_query(q);
        return;
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < q->n && i < reply->elements; i++)
        take_answer(q->batches[i], reply->element[i]);
    if (asq__reply_is_transient(reply))
        e->stalled = e->reconnect = true;
    asq__engine_denied(e, ASQ__DENIED_ASK, reply);
    /* Without an answer from Redis, the owners keep the order as far as they can. */
    bool last = e->queries.next == &q->node && e->queries.prev == &q->node;
    bool all_known = last && e->up && !e->stalled;
    if (all_known)
        apply_answers(e); /* sends nothing: the query is still in e->queries */
    end_query(q);
    if (all_known)
        asq__engine_send_ready(e);
}

void asq__engine_forget_queries(struct asq__engine *e)
{
    ASQ__LIST_EACH (it, &e->queries) {
        ASQ__CONTAINER(it, struct query, node)->e = NULL;
        asq__list_del(it);
    }
}

static void send_query(struct asq__engine *e, struct asq__batch *const *batches, size_t n)
{
    const struct asq__keys *keys = asq__redis_keys(e->redis);
    uint32_t partition = batches[0]->partition;
    uint64_t since_ms = batches[0]->since_ms;
    char key[ASQ__KEY_MAX];
    struct query *q = malloc(sizeof *q + n * sizeof *batches);
    struct asq__cmd cmd;
    if (!q)
        return;
    q->e = e;
    q->n = n;
    memcpy(q->batches, batches, n * sizeof *batches);
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_taken, 2 + n);
    asq__cmd_put(&cmd, key, asq__keys_jobs(keys, partition, key));
    asq__cmd_put(&cmd, key, asq__keys_later_jobs(keys, partition, key));
    for (size_t i = 0; i < n; i++)
        asq__cmd_put(&cmd, key, asq__keys_result(keys, partition, batches[i]->id, key));
    asq__cmd_number(&cmd, since_ms > CLOCK_SKEW_MS ? since_ms - CLOCK_SKEW_MS : 0);
    for (size_t i = 0; i < n; i++) {
        asq__cmd_put(&cmd, batches[i]->id, ASQ__BATCH_ID);
        asq__cmd_puts(&cmd, batches[i]->entry);
    }
    int rc = asq__conn_send(asq__redis_conn(e->redis, partition), on_answer, q, &cmd);
    asq__cmd_release(&cmd);
    if (rc < 0) {
        free(q);
        return;
    }
    asq__list_add(&e->queries, &q->node);
    for (size_t i = 0; i < n; i++)
        batches[i]->answers++;
}

/* Asks about all batches that were sent, partition by partition. */
static void query_all(struct asq__engine *e)
{
    size_t n = 0, at = 0;
    size_t *end = calloc(e->partitions + 1, sizeof *end); /* [partition + 1]; then [partition] */
    ASQ__LIST_EACH (it, &e->ready) {
        const struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (end && b->history != ASQ__NEVER_SENT) {
            end[b->partition + 1]++;
            n++;
        }
    }
    struct asq__batch **sorted = n ? malloc(n * sizeof *sorted) : NULL;
    for (uint32_t p = 0; sorted && p < e->partitions; p++)
        end[p + 1] += end[p];
    ASQ__LIST_EACH (it, &e->ready) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (sorted && b->history != ASQ__NEVER_SENT)
            sorted[end[b->partition]++] = b;
    }
    for (uint32_t p = 0; sorted && p < e->partitions; at = end[p++])
        for (size_t from = at; from < end[p]; from += ASKED_AT_ONCE)
            send_query(e, sorted + from,
                       end[p] - from < ASKED_AT_ONCE ? end[p] - from : ASKED_AT_ONCE);
    free(sorted);
    free(end);
}

/* ---- sending ---- */

/* Writes the current age into each batch that is about to be sent. Batches of methods get new
 * numbers: those of different runs are ordered by number only, and the owner must not refuse one
 * because a batch with a higher number was accepted meanwhile. */
static void stamp_ready(struct asq__engine *e)
{
    ASQ__LIST_EACH (it, &e->ready) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b->guard)
            b->number = ++e->counter;
        asq__batch_stamp(e, b);
    }
}

void asq__engine_resend_refused(struct asq__engine *e)
{
    struct asq__list back;
    asq__list_init(&back);
    ASQ__LIST_EACH (it, &e->sent) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b->state != ASQ__BATCH_REFUSED)
            continue;
        asq__list_del(&b->order);
        asq__list_add(&back, &b->order);
        asq__batch_enter(b, ASQ__BATCH_READY);
    }
    asq__list_splice(&back, &e->ready);
    asq__list_splice(&e->ready, &back);
    stamp_ready(e);
}

/* Moves a batch that Redis has back among the sent ones. Reads its record if there is one: the
 * commit that writes a record also removes the entry. */
static void keep_waiting(struct asq__engine *e, struct asq__batch *b)
{
    asq__list_del(&b->order);
    asq__list_add(&e->sent, &b->order);
    asq__batch_enter(b, ASQ__BATCH_SENT);
    asq__batch_accept(e, b, false);
    b->quiet_ms = ASQ__QUIET_FIRST_MS;
    b->query_at_ms = asq__now_ms_coarse() + b->quiet_ms;
    asq__batch_hear(b);
    if (b->asked == ASQ__ASKED_RECORD)
        asq__batch_query(e, b);
}

/* Sorts the batches when all queries are answered: keep waiting, give up, or resend. */
static void apply_answers(struct asq__engine *e)
{
    fail_out_of_order(e);
    ASQ__LIST_EACH (it, &e->ready) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (has_arrived(b)) {
            keep_waiting(e, b);
        } else if (b->history != ASQ__NEVER_SENT) {
            b->resent = true;
            b->had_entry |= *b->entry != '\0';
            b->entry[0] = '\0';
        }
    }
    stamp_ready(e);
}

void asq__engine_resend_all(struct asq__engine *e)
{
    struct asq__list back;
    asq__list_init(&back);
    asq__list_splice(&back, &e->sent);
    ASQ__LIST_EACH (it, &back) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        b->seen = 0;
        asq__batch_enter(b, ASQ__BATCH_READY);
    }
    asq__list_splice(&back, &e->ready);
    asq__list_splice(&e->ready, &back);
    ASQ__LIST_EACH (it, &e->ready) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        b->asked = ASQ__ASKED_NOT;
        b->from_old_connection = true;
    }
    asq__engine_check(e);
    query_all(e);
    if (asq__list_empty(&e->queries))
        apply_answers(e); /* no query was sent: nothing to ask, or no memory */
    asq__engine_send_ready(e);
}
