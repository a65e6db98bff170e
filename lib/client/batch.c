/*
 * batch.c: completes each call of a batch once, and forgets the batch and its result record when
 * all are complete. See batch.h.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/batch.h"
#include "client/batch_state.h"
#include "client/engine.h"
#include "client/progress.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "value/arena.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/lines.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"

const void *asq__batch_key(const struct asq__node *node, size_t *n)
{
    *n = ASQ__BATCH_ID;
    return ASQ__CONTAINER(node, struct asq__batch, node)->id;
}

/* ---- life of a batch ---- */

void asq__batch_label(struct asq__batch *b, const char *label)
{
    if (label)
        memcpy(b->label, label, strnlen(label, sizeof b->label - 1));
}

int asq__batch_new(struct asq__engine *e, uint32_t partition, const uint8_t id[ASQ__BATCH_ID],
                   const char *label, struct asq__batch **ret)
{
    int rc = asq__engine_reach(e, partition);
    if (rc < 0)
        return rc;
    struct asq__batch *b = calloc(1, sizeof *b);
    if (!b)
        return ASQ_ENOMEM;
    b->engine = e;
    b->partition = partition;
    memcpy(b->id, id, sizeof b->id);
    asq__list_init(&b->order);
    asq__list_init(&b->watch);
    asq__buf_init(&b->bytes, ASQ__BATCH_MAX);
    b->calls = &b->first;
    b->cap = 1;
    asq__batch_label(b, label);
    asq__table_add(&e->batches, &b->node);
    *ret = b;
    return 0;
}

static void batch_free(struct asq__batch *b)
{
    asq__assert(b->state == ASQ__BATCH_ENDED && b->answers == 0);
    asq__assert(!b->foreign && !b->completing && !b->announced && !b->reading);
    asq__list_del(&b->order);
    asq__buf_release(&b->bytes);
    if (b->calls != &b->first)
        free(b->calls);
    free(b->guard);
    free(b->awaited);
    free(b);
}

void asq__batch_notify(struct asq__batch *b, enum asq__batch_verdict verdict)
{
    struct asq__guard *g = b->guard;
    if (!g || !g->notify)
        return;
    void (*notify)(void *user, enum asq__batch_verdict verdict) = g->notify;
    void *user = g->user;
    g->notify = NULL;
    g->user = NULL;
    notify(user, verdict);
}

bool asq__batch_is_in_order_with(const struct asq__batch *b, const struct asq__batch *later)
{
    if (!b->guard || !later->guard)
        return true;
    return b->guard->user && b->guard->user == later->guard->user;
}

void asq__batch_keep_record(struct asq__batch *b)
{
    if (b->record_policy == ASQ__RECORD_UNLINK)
        b->record_policy = b->guard ? ASQ__RECORD_EXPIRE : ASQ__RECORD_LEAVE;
}

/* Returns for how long the record of a method's batch is to stay, although the outer call is
 * committed. A failover may lose that commit alone, because another node has it: then the outer
 * call runs again, and its calls must not. Of one partition both are lost, or neither. */
static int64_t linger_ms(const struct asq__engine *e, const struct asq__batch *b)
{
    if (!e->config.failover_ms || !b->guard || b->guard->partition == b->partition ||
        !asq__redis_is_cluster(e->redis))
        return 0;
    int64_t ms = e->config.failover_ms + b->again_ms;
    return ms < e->config.record_ms ? ms : e->config.record_ms;
}

/* Takes the batch out of the table and out of memory, after its last answer; and its record out of
 * Redis, or shortens the record's TTL, where allowed. */
static void batch_forget(struct asq__engine *e, struct asq__batch *b)
{
    bool own = b->n > 0 && !e->closing;
    asq__list_del(&b->watch);
    if (b->resent) /* a copy may still be on its way, and is recognised by the record */
        asq__batch_keep_record(b);
    if (own && b->record_policy == ASQ__RECORD_UNLINK)
        asq__engine_forget_soon(e, b->partition, b->id, linger_ms(e, b));
    else if (own && b->record_policy == ASQ__RECORD_EXPIRE)
        asq__engine_expire_soon(e, b->partition, b->id);
    asq__batch_is_there(e, b);
    asq__table_del(&e->batches, &b->node);
    asq__batch_enter(b, ASQ__BATCH_ENDED);
    if (b->answers == 0)
        batch_free(b);
    else
        asq__list_add(&e->ended_batches, &b->order);
}

static void remove_from_lists(struct asq__engine *e, struct asq__batch *b)
{
    asq__list_del(&b->order);
    asq__list_del(&b->watch);
    asq__batch_unhear(b);
    asq__assert(e->backlog >= b->bytes.len);
    e->backlog -= b->bytes.len;
    asq__buf_release(&b->bytes);
}

void asq__batch_end(struct asq__engine *e, struct asq__batch *b)
{
    asq__assert(b->unfinished == 0 && !b->foreign);
    if (b->pinned && b->state == ASQ__BATCH_PINNED) {
        asq__list_del(&b->watch); /* nobody waits for its calls any more */
        return;
    }
    remove_from_lists(e, b);
    b->answers++;
    if (b->pinned) {
        asq__batch_enter(b, ASQ__BATCH_PINNED);
        b->refreshed_ms = asq__now_ms_coarse();
    } else {
        batch_forget(e, b);
    }
    asq__batch_notify(b, ASQ__ACCEPTED); /* results prove it, with or without the XADD's reply */
    asq__batch_answered(b);
}

/* Calls still to be completed. A completed call's callback may abandon others, so
 * asq__engine_abandon has to find them here; they are then no longer touched. */
struct asq__completing {
    struct asq__call *next;
    struct asq__completing *outer;
};

static void begin_completing(struct asq__batch *b, struct asq__completing *now,
                             struct asq__call *calls)
{
    now->next = calls;
    now->outer = b->completing;
    b->completing = now;
}

static void end_call(struct asq__call *call, const Asqueue__Result *result, const asq_error *error)
{
    asq__assert(!result != !error);
    call->outcome = !result           ? ASQ__OUTCOME_UNKNOWN
                    : result->failure ? ASQ__OUTCOME_FAILED
                                      : ASQ__OUTCOME_SUCCEEDED;
    struct asq__progress *progress = call->progress; /* keeps the call, which may go here */
    call->done(call, result, error);
    if (progress)
        asq__progress_ended(progress);
}

void asq__call_fail(struct asq__call *call, const asq_error *error)
{
    asq__assert(!call->batch);
    end_call(call, NULL, error);
}

/* Completes the calls in `now`. The caller keeps the batch alive (b->answers). */
static void complete(struct asq__batch *b, struct asq__completing *now,
                     const Asqueue__Result *result, const asq_error *error)
{
    struct asq__call *call;
    while ((call = now->next)) {
        asq__assert(call->batch == b);
        now->next = call->next;
        call->batch = NULL;
        call->next = NULL;
        end_call(call, result, error);
    }
    b->completing = now->outer;
}

/* Removes a call from the calls being completed. True if it was one of them. */
static bool forget_completing(struct asq__batch *b, struct asq__call *call)
{
    for (struct asq__completing *now = b->completing; now; now = now->outer)
        for (struct asq__call **at = &now->next; *at; at = &(*at)->next)
            if (*at == call) {
                *at = call->next;
                return true;
            }
    return false;
}

static void batch_result(struct asq__batch *b, const Asqueue__Result *result)
{
    struct asq__completing theirs, own;
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
    bool is_awaited = matching != NULL;
    if (is_awaited)
        begin_completing(b, &theirs, matching);
    if (result->index < b->n && b->calls[result->index]) {
        begin_completing(b, &own, b->calls[result->index]);
        b->calls[result->index] = NULL;
        asq__assert(b->unfinished > 0);
        b->unfinished--;
        complete(b, &own, result, NULL);
    }
    if (is_awaited)
        complete(b, &theirs, result, NULL);
}

static bool batch_is_finished(const struct asq__batch *b)
{
    return b->foreign == NULL && b->unfinished == 0;
}

void asq__batch_fail(struct asq__engine *e, struct asq__batch *b, int code, const char *why)
{
    asq_error error = { code, why, "", "", "", "", "" };
    struct asq__completing now;
    asq__assert(b->state != ASQ__BATCH_OPEN || e->closing); /* e->open points at it */
    b->answers++;                                           /* keeps it alive during callbacks */
    if (b->pinned)
        b->record_policy = ASQ__RECORD_LEAVE;
    b->pinned = false;
    asq__batch_keep_record(b);
    remove_from_lists(e, b);
    batch_forget(e, b); /* first, so that no waiter finds a batch that has failed */
    for (size_t i = 0; i < b->n; i++) {
        begin_completing(b, &now, b->calls[i]);
        b->unfinished -= b->calls[i] != NULL;
        b->calls[i] = NULL;
        complete(b, &now, NULL, &error);
    }
    asq__assert(b->unfinished == 0);
    begin_completing(b, &now, b->foreign);
    b->foreign = NULL;
    complete(b, &now, NULL, &error);
    asq__batch_notify(b, ASQ__REFUSED);
    asq__batch_answered(b);
}

int asq__batch_add_call(struct asq__batch *b, struct asq__call *call)
{
    asq__assert(b->state == ASQ__BATCH_OPEN && call->done);
    if (b->n == b->cap) {
        size_t cap = b->cap * 2;
        bool is_first = b->calls == &b->first;
        struct asq__call **calls =
            realloc(is_first ? NULL : b->calls, cap * sizeof(struct asq__call *));
        if (!calls)
            return ASQ_ENOMEM;
        if (is_first)
            calls[0] = b->first;
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

static void note(struct asq__call *call, uint32_t index, uint64_t run, uint64_t count)
{
    for (; call; call = call->next) {
        if (call->index != index)
            continue;
        call->run = run;
        call->emitted = count;
        call->has_emitted |= count > 0;
        if (count && call->progress)
            asq__progress_more(call->progress);
    }
}

static void note_emitted(struct asq__batch *b, uint32_t index, uint64_t run, uint64_t count)
{
    if (index < b->n)
        note(b->calls[index], index, run, count);
    note(b->foreign, index, run, count);
}

/* Tells the calls that wait what they have emitted, before their results. A result without a word
 * of it is that of a run that has emitted nothing, whatever earlier ones have. */
static void apply_emitted(struct asq__batch *b, const Asqueue__Results *results)
{
    for (size_t i = 0; i < results->n_results; i++)
        note_emitted(b, results->results[i]->index, 0, 0);
    for (size_t i = 0; i < results->n_emitted; i++) {
        const Asqueue__Emitted *e = results->emitted[i];
        note_emitted(b, e->index, e->run, e->count);
    }
}

static void apply_results(struct asq__engine *e, struct asq__batch *b,
                          const Asqueue__Results *results)
{
    b->answers++;
    /* A result proves that Redis has accepted the batch, even without a reply to its XADD. */
    if (b->history == ASQ__WAS_SENT && e->ended[b->partition] < b->number)
        e->ended[b->partition] = b->number;
    b->query_at_ms = asq__now_ms_coarse() + (b->quiet_ms = ASQ__QUIET_FIRST_MS);
    apply_emitted(b, results);
    for (size_t i = 0; i < results->n_results && b->state != ASQ__BATCH_ENDED; i++)
        batch_result(b, results->results[i]);
    if (b->state != ASQ__BATCH_ENDED && batch_is_finished(b))
        asq__batch_end(e, b);
    asq__batch_answered(b);
}

/* Decodes and applies results. NULL: undecodable, or not of `expected`. */
static const Asqueue__Results *apply(struct asq__engine *e, const void *payload, size_t n,
                                     struct asq__batch *expected, struct asq__arena *arena)
{
    Asqueue__Results *results;
    char err[200];
    if (asq__results_decode(payload, n, arena, &results, err, sizeof err) < 0) {
        asq__lines_log(&e->lines, asq__now_ms_coarse(), ASQ_LOG_WARNING, "a result was ignored: %s",
                       err);
        return NULL;
    }
    struct asq__node *node = asq__table_find(&e->batches, results->batch.data, ASQ__BATCH_ID);
    struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
    if (expected && b != expected)
        return NULL;
    if (b && b->state == ASQ__BATCH_OPEN) {
        asq__lines_log(&e->lines, asq__now_ms_coarse(), ASQ_LOG_WARNING,
                       "a result was ignored: its call has not been sent yet");
        return NULL;
    }
    if (b && results->size && !expected)
        asq__batch_fetch_announced(e, b, results->upto, results->size);
    else if (b)
        apply_results(e, b, results);
    return results;
}

bool asq__engine_apply(struct asq__engine *e, const void *record, size_t n,
                       struct asq__batch *expected)
{
    struct asq__arena arena;
    asq__arena_init(&arena, asq__results_room(record, n));
    bool ok = apply(e, record, n, expected, &arena) != NULL;
    asq__arena_release(&arena);
    return ok;
}

void asq__engine_push(struct asq__engine *e, const void *payload, size_t n)
{
    e->pushed.max = asq__results_room(payload, n);
    const Asqueue__Results *results = apply(e, payload, n, NULL, &e->pushed);
    for (size_t i = 0; results && i < results->n_others; i++) {
        e->other.max = asq__results_room(results->others[i].data, results->others[i].len);
        apply(e, results->others[i].data, results->others[i].len, NULL, &e->other);
        asq__arena_reset(&e->other);
    }
    asq__arena_reset(&e->pushed);
}

void asq__batch_answered(struct asq__batch *b)
{
    asq__assert(b->answers > 0);
    if (--b->answers == 0 && b->state == ASQ__BATCH_ENDED)
        batch_free(b);
}

/* ---- abandoned, kept and pinned calls ---- */

static void on_abandoned_result(struct asq__call *call, const Asqueue__Result *result,
                                const asq_error *error)
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
    if (forget_completing(b, call)) {
        call->batch = NULL;
        call->next = NULL;
        return;
    }
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
    bool alone = own && b->calls[call->index] == call && !call->next;
    if (alone && (stand_in = malloc(sizeof *stand_in))) {
        *stand_in = *call; /* keeps the batch until the call has ended */
        stand_in->done = on_abandoned_result;
        stand_in->progress = NULL;
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
        asq__batch_keep_record(call->batch);
}

static void on_refreshed(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__batch *b = user;
    struct asq__engine *e = b->engine;
    (void) c;
    bool there = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 1;
    bool lost = reply && reply->type == REDIS_REPLY_INTEGER && reply->integer == 0;
    if (there)
        b->refreshed_ms = asq__now_ms_coarse();
    if (b->state == ASQ__BATCH_PINNED && lost) {
        uint32_t from = b->guard->partition;
        asq__batch_fail(e, b, ASQ_EUNKNOWN,
                        "Redis was set back to an earlier state, and has lost this call");
        if (e->config.lost)
            e->config.lost(e->config.log_user, from);
    }
    asq__batch_answered(b);
}

static void refresh_pinned(struct asq__node *node, void *user)
{
    struct asq__batch *b = ASQ__CONTAINER(node, struct asq__batch, node);
    struct asq__engine *e = user;
    char key[ASQ__KEY_MAX], ttl[ASQ__DECIMAL_MAX + 1];
    if (b->state != ASQ__BATCH_PINNED || !b->guard ||
        asq__now_ms_coarse() - b->refreshed_ms >= e->config.record_ms)
        return; /* an expired record is not a lost one */
    asq__keys_result(asq__redis_keys(e->redis), b->partition, b->id, key);
    ttl[asq__decimal((uint64_t) e->config.record_ms, ttl)] = '\0';
    if (asq__conn_cmd(asq__redis_conn(e->redis, b->partition), on_refreshed, b, "PEXPIRE", key, ttl,
                      NULL) == 0)
        b->answers++;
}

void asq__engine_refresh_pinned(struct asq__engine *e)
{
    e->renewed_ms = asq__now_ms_coarse();
    asq__table_each(&e->batches, refresh_pinned, e);
}

void asq__engine_unpin(struct asq__engine *e, const uint8_t id[ASQ__BATCH_ID],
                       enum asq__record_policy policy, int64_t again_ms)
{
    struct asq__node *node = asq__table_find(&e->batches, id, ASQ__BATCH_ID);
    struct asq__batch *b = node ? ASQ__CONTAINER(node, struct asq__batch, node) : NULL;
    if (!b)
        return;
    b->pinned = false;
    if (policy == ASQ__RECORD_UNLINK && b->record_policy != ASQ__RECORD_UNLINK)
        policy = ASQ__RECORD_EXPIRE; /* the batch's id was handed out */
    b->record_policy = policy;
    b->again_ms = again_ms;
    if (b->state == ASQ__BATCH_PINNED && !b->foreign) /* else unfinished, or being queried again */
        batch_forget(e, b);
}
