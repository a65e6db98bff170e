/*
 * intake.c: decodes and checks the entries of a stream, recognises duplicates, and dispatches the
 * calls in the order of the stream. No entry may stop the entries behind it: an entry that cannot
 * be decoded becomes a dead letter.
 *
 * A batch may have been (partly) done before if it is marked as resent, was in the stream when the
 * partition was claimed, comes out of the order of its sender, or has an unknown sender. Only then
 * is its result record read before it runs; the entries behind it wait meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "value/arena.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/pools.h"
#include "value/quick_clock.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/agent_signals.h"
#include "worker/await.h"
#include "worker/backlog.h"
#include "worker/backlog_state.h"
#include "worker/call_time.h"
#include "worker/commit.h"
#include "worker/control.h"
#include "worker/core/attempts.h"
#include "worker/core/entry.h"
#include "worker/core/notes.h"
#include "worker/core/sender.h"
#include "worker/core/stream_id.h"
#include "worker/deadlock.h"
#include "worker/dispatch.h"
#include "worker/entries.h"
#include "worker/intake.h"
#include "worker/later.h"
#include "worker/later_ask.h"
#include "worker/later_move.h"
#include "worker/later_script.h"
#include "worker/nested.h"
#include "worker/outcome.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/promises.h"
#include "worker/push.h"
#include "worker/read_budget.h"
#include "worker/result_read.h"
#include "worker/stream_end.h"

/* ---- records of batches that were (partly) done before ---- */

static void take_record(struct asq__entry *e, const char *data, size_t n)
{
    struct asq__partition *p = e->part;
    struct asq__arena arena;
    Asqueue__Results *results;
    char why[200];
    asq__arena_init(&arena, asq__results_room(data, n));
    e->result_bytes = n;
    if (asq__results_decode(data, n, &arena, &results, why, sizeof why) < 0) {
        /* Foreign bytes under the key do not show which calls ran; the commit overwrites them. */
        asq__process_log_some(p->w, ASQ_LOG_ERROR,
                              "partition %u: a result record cannot be decoded: %s", p->number,
                              why);
    } else {
        for (size_t i = 0; i < results->n_results; i++) {
            uint32_t index = results->results[i]->index;
            if (index >= e->batch->n_jobs || e->calls[index].state == ASQ__CALL_FINISHED)
                continue;
            asq__wcall_unleave(&e->calls[index]);
            asq__wcall_enter(&e->calls[index], ASQ__CALL_FINISHED);
            e->unfinished--;
            e->partial = true;
        }
    }
    asq__arena_release(&arena);
}

/* Decides whether an entry without a record may run. */
static void judge(struct asq__entry *e)
{
    if (e->fate != ASQ__FATE_RUN || e->first_copy != ASQ__LATER_NONE)
        return; /* a copy of it that has left the stream shows that it was accepted */
    if (!e->returned && asq__entry_is_stale(e))
        e->fate = ASQ__FATE_STALE;
    else if (e->out_of_order)
        e->fate = ASQ__FATE_NEVER_ACCEPTED;
}

/* Takes the reply to a read of its record. May free `e`. */
static void take_reply(struct asq__entry *e, const redisReply *reply, size_t n)
{
    struct asq__partition *p = e->part;
    if (!asq__entry_end_lookup(e))
        return;
    if (!reply || !asq__partition_is_owned(p))
        return; /* asked again when Redis is back, or dropped with the partition */
    if ((reply->type == REDIS_REPLY_ERROR && !asq__reply_is_wrong_type(reply)) ||
        e->first_copy == ASQ__LATER_UNKNOWN)
        return; /* not known yet: asked again within a second */
    if (e->first_copy == ASQ__LATER_WAITS && e->left_channels < e->nchannels)
        return; /* others have joined it meanwhile: asked again with them */
    asq__assert(!e->n_lookups);
    asq__entry_enter(e, ASQ__ENTRY_QUEUED);
    if (e->first_copy == ASQ__LATER_WAITS ||
        (e->first_copy == ASQ__LATER_IN_STREAM && !e->returned)) {
        /* The first copy waits until it is due, and has this copy's channels as well; or it is in
         * the stream again, with what is known of its calls, and is still to be read. */
        for (size_t i = 0; i < e->batch->n_jobs; i++) {
            asq__wcall_unleave(&e->calls[i]);
            if (e->calls[i].state != ASQ__CALL_FINISHED)
                asq__wcall_enter(&e->calls[i], ASQ__CALL_FINISHED);
        }
        e->unfinished = 0;
        asq__intake_resume(p);
        return;
    }
    if (n) {
        take_record(e, reply->str, n);
        if (e->partial)
            asq__push_to_all(e, reply->str, n);
    } else if (reply->type != REDIS_REPLY_ERROR) {
        judge(e);
        if (!asq__stream_id_is_at_most(e->id, p->inherited) && !e->returned &&
            e->first_copy == ASQ__LATER_NONE)
            asq__sender_note(&p->senders, e->batch, true); /* the batch was never accepted before */
    }
    asq__intake_resume(p);
}

static void look_up(struct asq__entry *e)
{
    e->first_copy = ASQ__LATER_NONE;
    if (!e->returned)
        asq__later_ask_copy(e);
    asq__result_read(e, take_reply); /* without memory it is asked for at the next upkeep */
}

/* ---- taking in ---- */

static void add_to_intake(struct asq__entry *e)
{
    asq__list_add(&e->part->intake, &e->order);
    e->part->intake_in++;
}

/* Fails a call of an entry that must not run. */
static __attribute__((noinline, cold)) void fail(struct asq__wcall *c)
{
    const struct asq__partition *p = c->entry->part;
    switch (c->entry->fate) {
    case ASQ__FATE_MISPLACED:
        asq__wcall_fail(
            c, ASQ_EPROTO,
            "the call was put into partition %u, but not all agents of its batch belong there: "
            "its client computes partitions wrongly",
            p->number);
        break;
    case ASQ__FATE_REFUSED:
        asq__wcall_fail(c, ASQ_EBUSY,
                        "more than %u calls wait in partition %u already (--max-waiting)",
                        p->w->config.max_waiting, p->number);
        break;
    case ASQ__FATE_STALE:
        asq__wcall_fail(
            c, ASQ_EUNKNOWN,
            "its sender was cut off for longer than results are kept (--max-expire-time): if the "
            "call was run meanwhile, its result has expired; the call is not run again");
        break;
    case ASQ__FATE_NEVER_ACCEPTED:
        asq__wcall_fail(c, ASQ_EREDIS,
                        "Redis has taken later calls of the same client to partition %u, but not "
                        "this one, when it was first sent: the call was not run",
                        p->number);
        break;
    case ASQ__FATE_RUN:
    case ASQ__FATE_CONTROL: asq__assert(false);
    }
}

/* Dispatches a call that is to run. One that was cancelled in a sleep runs, so that the sleep tells
 * its method. */
static void dispatch(struct asq__wcall *c)
{
    bool sleeps = c->recorded && c->due_ms;
    if (c->canceled && !sleeps) {
        asq__wcall_fail(c, ASQ_ECANCELED, ASQ__CANCELED_BEFORE);
        return;
    }
    if (c->canceled)
        c->due_ms = 1; /* now */
    asq__dispatch(c);
}

static void dispatch_entry(struct asq__partition *p, struct asq__entry *e)
{
    asq__assert(e->state == ASQ__ENTRY_QUEUED || e->state == ASQ__ENTRY_DISPATCHED);
    asq__assert(!asq__entry_is_in_intake(e) && !e->n_lookups);
    if (e->fate == ASQ__FATE_CONTROL) {
        asq__entry_detach(e);
        if (!asq__control(p, e))
            asq__commit_remove(p, e->id);
        asq__entry_free(e);
        return;
    }
    if (e->unfinished == 0) {
        /* All done before: the record stands and was pushed again. */
        asq__commit_remove(p, e->id);
        for (size_t i = 0; i < e->ncopies; i++)
            asq__commit_remove(p, e->copies[i]);
        if (e->kept)
            asq__commit_forget_later(e);
        asq__entry_release_if_done(e);
        return;
    }
    e->uncommitted++; /* keeps it while its calls are dispatched; they may end at once */
    bool was_dispatched = e->state == ASQ__ENTRY_DISPATCHED;
    if (!was_dispatched)
        asq__entry_enter(e, ASQ__ENTRY_DISPATCHED);
    asq__quick_row(&p->w->clock, true);
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        struct asq__wcall *c = &e->calls[i];
        if (c->state == ASQ__CALL_FINISHED || (was_dispatched && !c->left && !c->released))
            continue;
        if (c->left && e->fate == ASQ__FATE_RUN && !c->canceled)
            continue;
        asq__wcall_unleave(c);
        c->released = false;
        if (e->fate != ASQ__FATE_RUN)
            fail(c);
        else
            dispatch(c);
    }
    asq__quick_row(&p->w->clock, false);
    asq__later_move_out(e);
    e->uncommitted--;
    asq__entry_release_if_done(e);
}

void asq__intake_resume(struct asq__partition *p)
{
    while (asq__partition_is_owned(p) && !asq__list_empty(&p->intake)) {
        struct asq__entry *e = ASQ__CONTAINER(p->intake.next, struct asq__entry, order);
        if (e->state == ASQ__ENTRY_LOOKUP) {
            /* All that have to be looked up are asked for together. */
            ASQ__LIST_EACH (it, &p->intake) {
                struct asq__entry *other = ASQ__CONTAINER(it, struct asq__entry, order);
                if (other->state == ASQ__ENTRY_LOOKUP && !other->n_lookups)
                    look_up(other);
            }
            return;
        }
        if (!asq__entry_time_is_known(e))
            return;
        asq__list_del(&e->order);
        p->intake_out++;
        dispatch_entry(p, e);
    }
}

/* Merges a second copy of a batch that is being worked on: its sender gets the results too, and it
 * leaves the stream together with the first. */
static void merge_duplicate(struct asq__partition *p, struct asq__entry *first,
                            struct asq__entry *copy)
{
    struct asq__stream_id *copies = NULL;
    if (copy->kept && first->unfinished == 0)
        asq__commit_forget_later(copy);
    first->kept |= copy->kept;
    if (copy->returned && !first->returned && first->state < ASQ__ENTRY_DISPATCHED)
        asq__later_take_state(first, copy);
    if (first->unfinished) /* otherwise the commit that removes it is on its way already */
        copies = realloc(first->copies, (first->ncopies + 1) * sizeof *copies);
    if (copies) {
        first->copies = copies;
        copies[first->ncopies++] = copy->id;
        asq__entry_add_channel(first, copy->batch->reply);
        for (size_t i = 0; i < copy->nchannels; i++)
            asq__entry_add_channel(first, copy->channels[i]);
        /* The caller runs again, and may have a run in the agent now, unlike when `first` came. */
        first->uncommitted++; /* keeps `first` in memory, because its calls may end at once */
        for (size_t i = 0; i < first->batch->n_jobs; i++)
            asq__dispatch_promote(&first->calls[i]);
        for (size_t i = 0; i < first->batch->n_jobs && i < copy->batch->n_jobs; i++)
            if (copy->calls[i].canceled && first->calls[i].state != ASQ__CALL_FINISHED)
                asq__wcall_cancel(&first->calls[i]);
        first->uncommitted--;
        asq__entry_release_if_done(first);
    } else {
        asq__commit_remove(p, copy->id);
    }
    asq__entry_free(copy);
}

static const redisReply *find_field(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        if (fields->element[i]->type == REDIS_REPLY_STRING &&
            strcmp(fields->element[i]->str, name) == 0 &&
            fields->element[i + 1]->type == REDIS_REPLY_STRING)
            return fields->element[i + 1];
    return NULL;
}

static void take_attempts(struct asq__partition *p, struct asq__entry *e)
{
    if (!p->attempts.n)
        return;
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        char id[ASQ__CALL_ID_TEXT];
        asq__wcall_id(&e->calls[i], id);
        asq__attempts_take(&p->attempts, id, asq__now_ms(), p->minus_mono_ms,
                           e->kept && !asq__stream_id_is_at_most(e->id, p->inherited),
                           &e->calls[i]);
    }
}

static bool take_cancel(const struct asq__wcall *c)
{
    struct asq__call_id id = asq__wcall_call_id(c);
    return asq__backlog_take_cancel(c->entry->part, &id);
}

/* Returns whether all agents of the batch belong to this partition. In another partition they would
 * have another state. */
static bool is_at_home(const struct asq__partition *p, const Asqueue__Batch *batch)
{
    for (size_t i = 0; i < batch->n_jobs; i++) {
        const char *agent = batch->jobs[i]->agent;
        uint32_t at;
        if (!asq__pools_place(asq__redis_pools(p->w->redis), agent, &at) || at != p->number)
            return false;
    }
    return true;
}

/* How an entry comes to the intake. */
struct origin {
    bool reread;      /* the entry, or an earlier one, was left in the stream */
    bool read_before; /* seen before: an entry of a kind that is never left was taken in then */
    /* The entry's note, if it was noted for `agent`; or NULL. */
    const struct asq__note *note;
    const char *agent;
    bool admitted;
    bool returned; /* a sleeping call of it has its agent's first place: there is always room */
};

/* Marks the calls of an entry that must not be dispatched yet. `agent`: the agent for which the
 * entry was read; or NULL. */
static void defer_calls(struct asq__entry *e, const char *agent)
{
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        const char *of = e->batch->jobs[i]->agent;
        bool left = (!agent || strcmp(of, agent) != 0) && asq__backlog_defers(e->part, of, e->id);
        e->calls[i].left = left;
        e->left += left;
    }
}

/* Releases the calls to `agent` of a noted entry that is in memory for calls to other agents.
 * False: the entry is about to be dispatched, perhaps before earlier calls to `agent`. */
static bool release(struct asq__entry *e, const char *agent)
{
    bool any = false;
    if (asq__entry_is_in_intake(e))
        return false;
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        struct asq__wcall *c = &e->calls[i];
        if (!c->left || strcmp(e->batch->jobs[i]->agent, agent) != 0)
            continue;
        asq__wcall_unleave(c);
        any = c->released = true;
    }
    if (any)
        add_to_intake(e);
    return true;
}

/* Dispatches all earlier entries, as far as possible, when room is short, because only then it
 * shows which agents are busy. False: the partition was lost by that. */
static bool may_judge(struct asq__partition *p)
{
    const struct asq__process *w = p->w;
    uint64_t ownership = p->ownership;
    bool short_of_room = p->held_calls + asq__backlog_calls(p) >= w->config.max_waiting ||
                         asq__backlog_is_full(p, w->config.max_backlog_size, ASQ__BACKLOG_AT_LEAST);
    if (asq__list_empty(&p->intake) || !short_of_room ||
        ASQ__CONTAINER(p->intake.next, struct asq__entry, order)->n_lookups)
        return true;
    asq__intake_resume(p);
    return asq__partition_is_owned(p) && p->ownership == ownership;
}

/* Returns whether a batch has signals alone, to agents that are there: they are decided at once,
 * and running calls may wait for them. */
static bool is_for_signals(const struct asq__partition *p, const Asqueue__Batch *batch)
{
    for (size_t i = 0; i < batch->n_jobs; i++)
        if (batch->jobs[i]->kind != ASQUEUE__JOB_KIND__SIGNAL ||
            !asq__dispatch_hears_signals(p, batch->jobs[i]->agent))
            return false;
    return true;
}

/* Returns whether a batch may be that of a timer which a failover has set back, so that it fires
 * the same call once more, without a mark. Then the partition was lost, and was claimed since. On
 * one server what that call had called is lost as well. */
static bool may_be_refired(const struct asq__partition *p, const Asqueue__Batch *batch)
{
    return batch->number == 0 && asq__redis_is_cluster(p->w->redis) &&
           asq__now_ms_coarse() - p->claimed_ms < ASQ__FAILOVER_MS;
}

/* False: it is left there. */
static bool take_in(struct asq__partition *p, struct asq__stream_id id, const redisReply *reply,
                    const struct origin *origin)
{
    struct asq__process *w = p->w;
    char why[300];
    const redisReply *fields = reply->element[1];
    const redisReply *bytes =
        fields->type == REDIS_REPLY_ARRAY ? find_field(fields, "batch") : NULL;
    const redisReply *label = fields->type == REDIS_REPLY_ARRAY ? find_field(fields, "call") : NULL;
    const redisReply *promise =
        fields->type == REDIS_REPLY_ARRAY && !bytes ? find_field(fields, "promise") : NULL;
    if (promise) {
        asq__promise_look(p, promise->str);
        asq__commit_remove(p, id);
        return true;
    }
    if (!bytes) {
        asq__dead_letter(p, id, label ? label->str : "?", "", 0, "the entry has no field 'batch'",
                         0);
        return true;
    }
    if ((size_t) bytes->len > 2 * w->config.max_message_size + 65536) {
        snprintf(why, sizeof why,
                 "the entry has %zu bytes; this worker's --max-message-size is %zu",
                 (size_t) bytes->len, w->config.max_message_size);
        asq__dead_letter(p, id, label ? label->str : "?", bytes->str, (size_t) bytes->len, why, 0);
        return true;
    }
    struct asq__arena arena;
    Asqueue__Batch *batch;
    asq__arena_init(&arena, asq__batch_room(bytes->str, (size_t) bytes->len));
    if (asq__batch_decode(bytes->str, (size_t) bytes->len, &arena, &batch, why, sizeof why) < 0) {
        asq__arena_release(&arena);
        asq__dead_letter(p, id, label ? label->str : "?", bytes->str, (size_t) bytes->len, why, 0);
        return true;
    }
    bool control = asq__job_is_control(batch->jobs[0]), nested = asq__batch_is_nested(batch);
    /* A batch with this field waited outside of the stream, see later_move.c. */
    const redisReply *later = fields->elements > 4 && !control ? find_field(fields, "later") : NULL;
    /* Control and nested entries are never left, because running calls may depend on them. */
    if (origin->read_before && (control || nested)) {
        asq__arena_release(&arena);
        return true;
    }
    /* A batch that an owner may have begun is not refused. */
    bool begun = batch->resent || asq__stream_id_is_at_most(id, p->inherited);
    if (!origin->note && !origin->returned && !may_judge(p)) {
        asq__arena_release(&arena);
        return true; /* the partition is lost */
    }
    enum asq__sender_order order = asq__sender_order(p->senders, batch);
    /* A batch that leaves the stream at once is neither refused nor left there. */
    bool ahead = batch->jobs[0]->delay_ms && !later && asq__later_is_all_ahead(p, batch);
    bool signals = is_for_signals(p, batch);
    bool refused = !control && !nested && !signals && !origin->reread && !origin->note && !begun &&
                   !ahead && !later && order != ASQ__SENDER_OUT_OF_ORDER &&
                   p->held_calls + asq__backlog_calls(p) >= w->config.max_waiting;
    bool lookup = !control && (origin->note ? !origin->note->fresh
                                            : begun || later || order != ASQ__SENDER_IN_ORDER);
    /* Otherwise later batches were refused before it, or the batch has waited elsewhere. */
    bool out_of_order = origin->note
                            ? origin->note->out_of_order
                            : order == ASQ__SENDER_OUT_OF_ORDER && !origin->reread && !later;
    size_t size =
        sizeof(struct asq__entry) + batch->n_jobs * sizeof(struct asq__wcall) + arena.used;
    bool may_be_deferred =
        !control && !nested && !signals && !refused && !ahead && !origin->returned;
    enum asq__room room = origin->admitted ? ASQ__ROOM_ADMITTED : ASQ__ROOM;
    if (may_be_deferred && !origin->note) {
        room = asq__backlog_room(p, &(struct asq__arrival){ .id = id,
                                                            .batch = batch,
                                                            .bytes = size,
                                                            .reread = origin->reread,
                                                            .fresh = !lookup,
                                                            .out_of_order = out_of_order });
        if (room == ASQ__ROOM_NOTED && !later)
            asq__sender_note(&p->senders, batch, !lookup);
        if (room == ASQ__ROOM_NOTED || room == ASQ__ROOM_NONE) {
            asq__arena_release(&arena);
            return room == ASQ__ROOM_NOTED;
        }
    }
    struct asq__entry *e = calloc(1, sizeof *e + batch->n_jobs * sizeof e->calls[0]);
    if (!e || room == ASQ__ROOM_NO_MEMORY) {
        free(e);
        asq__arena_release(&arena);
        asq__partition_abandon(p, "out of memory");
        return true;
    }
    e->part = p;
    e->partition = p->number;
    e->id = id;
    /* The allocator inside points at the old place, but allocates no more. */
    e->arena = arena;
    e->batch = batch;
    e->admitted = room == ASQ__ROOM_ADMITTED;
    p->admitted += e->admitted;
    asq__entry_note_bytes(e, size);
    asq__list_init(&e->order);
    asq__list_init(&e->moved);
    e->unfinished = batch->n_jobs;
    e->limited = batch->timeout_ms != 0;
    e->fate = control                 ? ASQ__FATE_CONTROL
              : !is_at_home(p, batch) ? ASQ__FATE_MISPLACED
              : refused               ? ASQ__FATE_REFUSED
                                      : ASQ__FATE_RUN;
    if (p->backlog && may_be_deferred)
        defer_calls(e, origin->agent);
    p->held_calls += batch->n_jobs - e->left;
    for (size_t i = 0; i < batch->n_jobs; i++) {
        e->calls[i].entry = e;
        e->calls[i].index = (uint32_t) i;
        e->limited |= batch->jobs[i]->timeout_ms != 0;
        asq__list_init(&e->calls[i].node);
    }
    if (later && asq__later_take(e, later->str, (size_t) later->len) < 0) {
        asq__entry_free(e);
        asq__dead_letter(p, id, label ? label->str : "?", bytes->str, (size_t) bytes->len,
                         "its field 'later' cannot be decoded", 0);
        return true;
    }
    struct asq__entry *first = asq__entry_find(p, batch->id.data);
    if (first && first->id.ms == id.ms && first->id.n == id.n) {
        asq__entry_free(e); /* already in memory; it was read again together with left entries */
        return !origin->note || release(first, origin->agent);
    }
    if (first && first->state == ASQ__ENTRY_LEAVING && later) {
        asq__later_take_over(first, e);
        first = NULL;
    }
    if (first) {
        merge_duplicate(p, first, e);
        return true;
    }
    take_attempts(p, e);
    asq__table_add(&p->entries, &e->node);
    asq__entry_enter(e, lookup ? ASQ__ENTRY_LOOKUP : ASQ__ENTRY_QUEUED);
    e->may_have_begun = begun || later || may_be_refired(p, batch);
    e->out_of_order = out_of_order;
    if (!later)
        asq__entry_take_time(e);
    if (!control && !later && !origin->note)
        asq__sender_note(&p->senders, batch, !lookup);
    if (p->backlog)
        for (uint32_t i = 0; i < batch->n_jobs; i++)
            e->calls[i].canceled |= take_cancel(&e->calls[i]);
    add_to_intake(e);
    return true;
}

/* Reads the id of an entry. False: the reply is not an entry of XREAD or XRANGE. */
static bool entry_id(const redisReply *reply, struct asq__stream_id *ret)
{
    return reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
           reply->element[0]->type == REDIS_REPLY_STRING &&
           asq__stream_id_parse(reply->element[0]->str, ret) == 0;
}

size_t asq__intake_reply(struct asq__partition *p, const redisReply *reply)
{
    size_t bytes = asq__reply_entry_bytes(reply), before = p->held_bytes;
    struct asq__stream_id id;
    if (!entry_id(reply, &id) || asq__stream_id_is_at_most(id, p->read_to))
        return bytes;
    asq__partition_note_read(p, id);
    if (asq__stream_id_is_last(id))
        asq__stream_give_up_soon(p);
    else
        take_in(p, id, reply, &(struct origin){ 0 });
    return p->held_bytes > before + bytes ? p->held_bytes - before : bytes;
}

bool asq__intake_reread(struct asq__partition *p, const redisReply *reply,
                        struct asq__stream_id *ret_id)
{
    struct asq__stream_id id;
    if (!entry_id(reply, &id))
        return true;
    *ret_id = id;
    if (asq__stream_id_is_last(id)) {
        asq__stream_give_up_soon(p);
        return false;
    }
    bool read_before = asq__stream_id_is_at_most(id, p->read_to);
    if (!read_before)
        asq__partition_note_read(p, id);
    return take_in(p, id, reply, &(struct origin){ .reread = true, .read_before = read_before });
}

void asq__intake_returned(struct asq__partition *p, const redisReply *reply)
{
    struct asq__stream_id id;
    if (entry_id(reply, &id))
        take_in(p, id, reply, &(struct origin){ .returned = true });
    asq__intake_resume(p);
}

bool asq__intake_noted(struct asq__partition *p, const redisReply *reply,
                       const struct asq__note *note, const char *agent, bool admitted)
{
    struct asq__stream_id id;
    if (!entry_id(reply, &id))
        return true;
    return take_in(p, id, reply,
                   &(struct origin){ .note = note, .agent = agent, .admitted = admitted });
}
