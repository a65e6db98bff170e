/*
 * resend.c: resends batches after a lost connection. Redis is asked first (taken.lua), before
 * anything is sent to the partitions that had lost their server: a batch that is in its stream
 * stays there, and the record of a batch that has one is read (fetch.c). A batch with neither was
 * not accepted, was lost by Redis, or has expired: it is resent before anything new, in its old
 * order, and marked. Nothing that Redis has is sent twice, because a large batch may itself have
 * caused the loss of the connection. See batch.h.
 *
 * The order may have been broken already. Of two batches for one partition whose replies were
 * lost, Redis may have refused the first because its memory was full, and accepted the second,
 * which may even be done by now. The first would then come out of order, and is never resent. If
 * bytes of the old connection arrive still later, the owner recognises them in the stream.
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

/* The round of a partition whose query was not answered: it waits for the next connection. */
#define ROUND_LOST UINT32_MAX

/* The queries of one asq__engine_resend, whose batches are sorted when all are answered. */
struct round {
    uint32_t number;     /* in e->rounds of its partitions */
    unsigned unanswered; /* and 1 while they are being sent */
};

/* A query about batches of one partition, in the order of their creation. The batches are kept
 * until the reply. */
struct query {
    struct asq__list node; /* in e->queries */
    struct asq__engine *e; /* NULL: freed, or the partitions are other ones now */
    struct round *round;
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
    for (const struct asq__list *it = b->order.next; later && it != &e->blocked; it = it->next) {
        const struct asq__batch *other = ASQ__CONTAINER(it, struct asq__batch, order);
        if (other->partition == b->partition && has_arrived(other) &&
            asq__batch_is_in_order_with(b, other))
            return true;
    }
    return false;
}

static void fail_out_of_order(struct asq__engine *e, uint32_t round)
{
    bool *later = calloc(e->partitions, sizeof *later);
    for (struct asq__list *it = e->blocked.prev; later && it != &e->blocked; it = it->prev) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (e->rounds[b->partition] != round)
            continue;
        if (is_out_of_order(e, b, later[b->partition]))
            b->asked = ASQ__ASKED_OUT_OF_ORDER;
        later[b->partition] |= has_arrived(b);
    }
    free(later);
    ASQ__LIST_EACH (it, &e->blocked) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (e->rounds[b->partition] == round && b->asked == ASQ__ASKED_OUT_OF_ORDER)
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

static void apply_answers(struct asq__engine *e, uint32_t round);

/* Counts a query as answered, or that all are sent. Sorts the batches after the last one; this
 * sends nothing. Returns whether it was the last. */
static bool answered(struct asq__engine *e, struct round *round)
{
    if (--round->unanswered)
        return false;
    if (e && e->up && e->rounds)
        apply_answers(e, round->number);
    free(round);
    return true;
}

static void end_query(struct query *q)
{
    struct asq__engine *e = q->e;
    bool last = answered(e, q->round);
    asq__list_del(&q->node);
    for (size_t i = 0; i < q->n; i++)
        asq__batch_answered(q->batches[i]);
    free(q);
    if (last && e)
        asq__engine_send_ready(e);
}

/* Has the partition of a query wait for the next connection, which asks again. */
static void lose_query(const struct query *q)
{
    uint32_t *round = &q->e->rounds[q->batches[0]->partition];
    if (*round == q->round->number)
        *round = ROUND_LOST;
}

/* Has a server that does not answer now asked on a new connection. */
static void reconnect(const struct query *q)
{
    struct asq__engine *e = q->e;
    if (asq__redis_is_spread(e->redis))
        asq__redis_drop_server(e->redis, q->batches[0]->partition, "Redis refuses to answer");
    else
        e->stalled = e->reconnect = true;
}

static void on_answer(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct query *q = user;
    struct asq__engine *e = q->e;
    (void) c;
    if (e && (!reply || asq__reply_is_transient(reply)))
        lose_query(q);
    if (!e || !reply) {
        end_query(q);
        return;
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < q->n && i < reply->elements; i++)
        take_answer(q->batches[i], reply->element[i]);
    if (asq__reply_is_transient(reply))
        reconnect(q);
    /* Without an answer from Redis, the owners keep the order as far as they can. */
    asq__engine_denied(e, ASQ__DENIED_ASK, reply);
    end_query(q);
}

void asq__engine_forget_queries(struct asq__engine *e)
{
    ASQ__LIST_EACH (it, &e->queries) {
        ASQ__CONTAINER(it, struct query, node)->e = NULL;
        asq__list_del(it);
    }
}

static void send_query(struct asq__engine *e, struct round *round,
                       struct asq__batch *const *batches, size_t n)
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
    q->round = round;
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
    round->unanswered++;
    for (size_t i = 0; i < n; i++)
        batches[i]->answers++;
}

static bool is_asked_about(const struct asq__engine *e, const struct asq__batch *b,
                           const struct round *round)
{
    return e->rounds[b->partition] == round->number && b->history != ASQ__NEVER_SENT;
}

/* Asks about all batches of a round that were sent, partition by partition. */
static void query_all(struct asq__engine *e, struct round *round)
{
    size_t n = 0, at = 0;
    size_t *end = calloc(e->partitions + 1, sizeof *end); /* [partition + 1]; then [partition] */
    ASQ__LIST_EACH (it, &e->blocked) {
        const struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (end && is_asked_about(e, b, round)) {
            end[b->partition + 1]++;
            n++;
        }
    }
    struct asq__batch **sorted = n ? malloc(n * sizeof *sorted) : NULL;
    for (uint32_t p = 0; sorted && p < e->partitions; p++)
        end[p + 1] += end[p];
    ASQ__LIST_EACH (it, &e->blocked) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (sorted && is_asked_about(e, b, round))
            sorted[end[b->partition]++] = b;
    }
    for (uint32_t p = 0; sorted && p < e->partitions; at = end[p++])
        for (size_t from = at; from < end[p]; from += ASKED_AT_ONCE)
            send_query(e, round, sorted + from,
                       end[p] - from < ASKED_AT_ONCE ? end[p] - from : ASKED_AT_ONCE);
    free(sorted);
    free(end);
}

/* ---- sending ---- */

static void put_before(struct asq__list *first, struct asq__list *list)
{
    asq__list_splice(first, list);
    asq__list_splice(list, first);
}

/* Writes the current age into each batch that is about to be sent to partitions with this number
 * in e->rounds. Batches of methods get new numbers: those of different runs are ordered by number
 * only, and the owner must not refuse one because a batch with a higher number was accepted
 * meanwhile. */
static void stamp_ready(struct asq__engine *e, uint32_t round)
{
    ASQ__LIST_EACH (it, &e->ready) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (e->rounds[b->partition] != round)
            continue;
        if (b->guard)
            b->number = ++e->counter;
        asq__batch_stamp(e, b);
    }
}

void asq__engine_resend_refused(struct asq__engine *e)
{
    struct asq__list back;
    asq__list_init(&back);
    asq__creations_look_again(e, NULL);
    ASQ__LIST_EACH (it, &e->sent) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (b->state != ASQ__BATCH_REFUSED || asq__engine_blocks(e, b->partition))
            continue;
        asq__list_del(&b->order);
        asq__list_add(&back, &b->order);
        asq__batch_enter(b, ASQ__BATCH_READY);
    }
    ASQ__LIST_EACH (it, &e->blocked) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (asq__engine_blocks(e, b->partition))
            continue;
        asq__list_del(&b->order);
        asq__list_add(&back, &b->order);
    }
    put_before(&back, &e->ready);
    stamp_ready(e, 0);
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

/* Sorts the batches of a round when all of its queries are answered: keep waiting, give up, or
 * resend. */
static void apply_answers(struct asq__engine *e, uint32_t round)
{
    struct asq__list back;
    asq__list_init(&back);
    fail_out_of_order(e, round);
    ASQ__LIST_EACH (it, &e->blocked) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (e->rounds[b->partition] != round)
            continue;
        if (has_arrived(b)) {
            keep_waiting(e, b);
            continue;
        }
        asq__list_del(&b->order);
        asq__list_add(&back, &b->order);
        if (b->history != ASQ__NEVER_SENT) {
            b->resent = true;
            b->had_entry |= *b->entry != '\0';
            b->entry[0] = '\0';
        }
    }
    put_before(&back, &e->ready);
    stamp_ready(e, round);
    for (uint32_t p = 0; p < e->partitions; p++)
        if (e->rounds[p] == round)
            e->rounds[p] = 0;
}

/* Moves batches of the partitions to the end of another list. */
static void take_batches(struct asq__list *to, struct asq__list *from, const bool *parts)
{
    ASQ__LIST_EACH (it, from) {
        struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        if (!asq__engine_concerns(parts, b->partition))
            continue;
        asq__list_del(&b->order);
        asq__list_add(to, &b->order);
        if (b->state != ASQ__BATCH_READY) { /* it was sent */
            b->seen = 0;
            asq__batch_enter(b, ASQ__BATCH_READY);
        }
        b->asked = ASQ__ASKED_NOT;
        b->from_old_connection = true;
    }
}

static uint32_t begin_round(struct asq__engine *e, const bool *parts)
{
    if (++e->last_round == ROUND_LOST)
        e->last_round = 1;
    for (uint32_t p = 0; p < e->partitions; p++)
        if (asq__engine_concerns(parts, p))
            e->rounds[p] = e->last_round;
    return e->last_round;
}

void asq__engine_resend(struct asq__engine *e, const bool *parts)
{
    struct round *round = malloc(sizeof *round);
    struct asq__list mine;
    asq__list_init(&mine);
    take_batches(&mine, &e->sent, parts);
    take_batches(&mine, &e->blocked, parts);
    take_batches(&mine, &e->ready, parts);
    asq__list_splice(&e->blocked, &mine);
    asq__creations_look_again(e, parts);
    asq__engine_check(e);
    uint32_t number = begin_round(e, parts);
    if (round) {
        *round = (struct round){ number, 1 };
        query_all(e, round);
        answered(e, round);
    } else {
        apply_answers(e, number); /* no memory: as without answers */
    }
    asq__engine_send_ready(e);
}
