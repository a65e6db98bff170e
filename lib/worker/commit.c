/*
 * commit.c: gathers the outcomes of calls in commits. Calls that finish within one iteration of the
 * loop are gathered in one commit for each partition. While a commit of a partition is on its way,
 * further outcomes are gathered in the next one until it is full, so its fixed cost is shared by
 * more calls. Each commit has the next sequence number, so commits take effect in order or not at
 * all.
 *
 *     open ──iteration's end──▶ closed ──its turn──▶ sent ──1──▶ acknowledged
 *                                                 │ lost, refused
 *                                                 ▼
 *                         recovering: the lease is read; commits at or below its seq have taken
 *                         effect, the others are sent again in order; another token: partition lost
 *
 * A partition with many bytes to commit starts no calls until fewer are left. Sending and
 * recovering are in commit_send.c and commit_recover.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/engine.h"
#include "client/object.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/limit.h"
#include "redis/permit.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/arena.h"
#include "value/assert.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/expiry.h"
#include "value/grow.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/span.h"
#include "value/table.h"
#include "value/tally.h"
#include "value/value.h"
#include "worker/actor_object.h"
#include "worker/allowed.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"
#include "worker/core/attempts.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/entries.h"
#include "worker/exec/run.h"
#include "worker/failures.h"
#include "worker/measure.h"
#include "worker/needs.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/refused.h"
#include "worker/shared.h"

enum { RETRY_MS = 500, TIMER_TRACE = 1024 };
#define RECORD_BYTES ((size_t) 512 * 1024 * 1024) /* limit of a string in Redis by default */
/* Lifetime of records of nested calls: a call that runs again needs them to come back to where it
 * was. */
#define NESTED_RECORD_MS ((int64_t) 7 * 24 * 3600 * 1000)
/* Unacknowledged bytes of one partition: with more it starts no calls, until half of them are
 * left. */
#define BYTES_WAITING ((size_t) 16 * 1024 * 1024)

/* Returns the commit that is being filled. NULL: no memory, and the partition is dropped. */
static struct asq__commit *open_commit(struct asq__partition *p)
{
    if (p->open)
        return p->open;
    struct asq__commit *c = asq__commit_new(p, p->seq + 1);
    if (!c)
        return NULL;
    asq__timed_recycle(&c->timed, &p->w->spare_timed);
    p->seq++;
    p->open = c;
    if (asq__list_empty(&p->ready))
        asq__list_add(&p->w->ready, &p->ready);
    return c;
}

void asq__commit_close(struct asq__partition *p)
{
    struct asq__commit *c = p->open;
    p->open = NULL;
    p->unsent++;
    p->commit_bytes += c->bytes;
    asq__series_runs(&c->timed);
    asq__list_add(&p->commits, &c->node);
}

/* Returns the commit for `bytes` more bytes. Closes a commit that is large enough before: none of
 * its strings may be longer than Redis takes, however many calls of a batch end in one
 * iteration. */
static struct asq__commit *commit_for(struct asq__partition *p, size_t more)
{
    struct asq__commit *c = p->open;
    size_t limit = asq__redis_max_string(p->w->redis) / 2;
    if (limit > ASQ__COMMIT_BYTES)
        limit = ASQ__COMMIT_BYTES;
    if (c && c->bytes && c->bytes + more > limit && !c->tied)
        asq__commit_close(p);
    return open_commit(p);
}

int64_t asq__commit_record_ms(const struct asq__process *w, bool nested)
{
    int64_t ms = (int64_t) w->config.max_expire_time_s * 1000;
    return nested && ms < NESTED_RECORD_MS ? NESTED_RECORD_MS : ms;
}

bool asq__commits_pending(const struct asq__partition *p)
{
    return p->open || !asq__list_empty(&p->commits);
}

bool asq__commits_are_many(struct asq__partition *p)
{
    p->commits_many = p->commit_bytes > (p->commits_many ? BYTES_WAITING / 2 : BYTES_WAITING);
    return p->commits_many;
}

/* Closes the open commit before the outcome of a call with attempts, which is committed alone: if
 * it is refused, no other call is. A dead letter stays with its result. */
static __attribute__((noinline, cold)) void close_before(struct asq__partition *p)
{
    if (p->open && !p->open->tied)
        asq__commit_close(p);
}

/* Closes the commit of such an outcome. */
static __attribute__((noinline, cold)) void close_apart(struct asq__partition *p)
{
    if (!p->open)
        return;
    p->open->apart = true;
    asq__commit_close(p);
}

/* ---- filling ---- */

static bool add_set(struct asq__commit *c, struct asq__actor *a, struct asq__snapshot *snapshot)
{
    if (snapshot)
        asq__needs_note(a->part, asq__actor_object(a)->cls);
    if (!asq__commit_add_set(c, a->id, a->id_n, a->saved_seq == c->seq, snapshot))
        return false;
    a->saved_seq = c->seq;
    return true;
}

/* Returns how many bytes the results of a batch may have together: its record is one string. */
static size_t record_limit(const struct asq__process *w)
{
    size_t limit = asq__redis_max_string(w->redis);
    return limit < RECORD_BYTES ? limit : RECORD_BYTES;
}

size_t asq__commit_result_room(const struct asq__wcall *c)
{
    const struct asq__entry *e = c->entry;
    if (e->batch->n_jobs == 1)
        return 0;
    size_t limit = record_limit(e->part->w);
    size_t others = e->result_bytes + e->unfinished * ASQ__RESULT_ROOM;
    return limit > others ? limit - others : 1;
}

/* Returns whether a result fits into the batch's record. Only now are the sizes known of results of
 * calls that ran at the same time. */
static bool fits_record(const struct asq__entry *e, size_t n)
{
    return e->batch->n_jobs == 1 ||
           e->result_bytes + n + ASQ__RESULT_ROOM <= record_limit(e->part->w);
}

static __attribute__((noinline, cold)) void put_large(struct asq__commit *c,
                                                      const struct asq__wcall *call,
                                                      const asq_error *where, size_t n,
                                                      struct asq__buf *out)
{
    const struct asq__entry *e = call->entry;
    struct asq__error text;
    asq__error_init(&text);
    asq__error_set(
        &text, ASQ_ELIMIT,
        "the call has run and its effect stays, but its result of %zu bytes does not fit beside "
        "the other results of its batch (%zu bytes) into the longest string that this Redis "
        "takes, %zu bytes",
        n, e->result_bytes, record_limit(e->part->w));
    if (where)
        asq__error_where(&text, where->class_name, where->method, where->agent_id, where->worker,
                         where->call_id);
    asq__result_put_failure(call->index, &text.pub, false, out);
    asq__failure_keep(c, call, &text.pub, call->retries + call->attempts + 1, false);
    asq__error_clear(&text);
}

/* Keeps a failure, and logs that of a call without a result, because no caller learns of it. */
static __attribute__((noinline, cold)) void
note_failure(struct asq__commit *c, const struct asq__wcall *call, const asq_error *error, bool ran)
{
    const Asqueue__Job *job = asq__wcall_job(call);
    asq__failure_keep(c, call, error, call->retries + call->attempts + ran, false);
    if (!job->no_result)
        return;
    const char *class_name = *error->class_name ? error->class_name : job->class_name;
    char name[ASQ__TALLY_NAME];
    snprintf(name, sizeof name, "%.47s%s%.47s", class_name, *class_name ? "." : "", job->method);
    struct asq__process *w = call->entry->part->w;
    pthread_mutex_lock(&w->untaken_failures_lock);
    asq__tally_note(&w->untaken_failures, name, error, asq__now_ms_coarse());
    pthread_mutex_unlock(&w->untaken_failures_lock);
}

/* Notes for the supervisor, in case this process dies, which seq shows that the run was
 * committed. */
static void note_outcome(const struct asq__commit *c, const struct asq__run *run)
{
    if (!run->slot)
        return;
    run->slot->done_seq = c->seq;
    run->slot->done = run->ticket;
}

/* Lets a commit have what is recorded of a run, to be exported once it is acknowledged. */
static __attribute__((noinline, cold)) void add_span(struct asq__commit *c, struct asq__run *run,
                                                     const asq_error *error)
{
    if (error)
        asq__span_fail(run->span, error->code, error->message);
    asq__list_add(&c->spans, &run->span->node);
    run->span = NULL;
}

static __attribute__((noinline, cold)) bool forget_steps(struct asq__commit *c,
                                                         struct asq__wcall *call)
{
    call->recorded = false;
    return asq__commit_forget_steps(c, call);
}

/* Removes the mark that the first place of its agent is kept for a call. */
static __attribute__((noinline, cold)) bool give_up_place(struct asq__commit *c,
                                                          struct asq__wcall *call)
{
    struct asq__partition *p = c->part;
    const char *id = asq__wcall_job(call)->agent;
    struct asq__actor *a = asq__actors_find(&p->actors, id, strlen(id));
    call->marked = false;
    if (!asq__commit_add_place(c, id, call->entry->batch->id.data, false))
        return false;
    if (!a)
        return true;
    a->saved_seq = c->seq;
    if (a->sleeper != ASQ__SLEEPER_NONE && a->calls)
        asq__actors_resume_later(&p->w->actors, a); /* the call has never come to its mailbox */
    a->sleeper = ASQ__SLEEPER_NONE;
    return true;
}

/* Lets the batches of a run go with its commit. */
static bool add_inner(struct asq__commit *c, const struct asq__run *run)
{
    int64_t ms = run->ninner ? (asq__now_ns() - asq__run_began_ns(run)) / 1000000 : 0;
    return asq__commit_add_inner(c, run->inner, run->ninner, run->keep_inner, ms);
}

/* Lets the batches of an unloaded run go that is followed by no other. */
static bool forget_inner(struct asq__commit *c, struct asq__wcall *call)
{
    bool ok = asq__commit_add_inner(c, call->inner, call->ninner, true, 0);
    free(call->inner);
    call->inner = NULL;
    call->ninner = 0;
    return ok;
}

/* Adds the change of timers that a run has made. */
static __attribute__((noinline, cold)) bool
add_timer(struct asq__commit *c, const struct asq__wcall *call, struct asq__effect *effect)
{
    const Asqueue__Job *job = asq__wcall_job(call);
    if (asq__redis_lack(call->entry->part->w->redis, NULL) & ASQ__LACKS_SORTED_SETS)
        return true; /* there are no timers that could end with the agent */
    bool about_timer = asq__job_is_about_timer(job->kind);
    struct asq__timer_set change = { .mode = (char) effect->timer,
                                     .due_ms = effect->timer_ms,
                                     .spec = effect->timer_spec };
    asq__buf_init(&effect->timer_spec, 0);
    asq__buf_init(&change.trace, TIMER_TRACE);
    if (about_timer && effect->timer == ASQ__TIMER_SET && job->trace) {
        asq__buf_put(&change.trace, job->trace->parent.data, job->trace->parent.len);
        asq__buf_put(&change.trace, job->trace->state, strlen(job->trace->state));
    }
    return asq__commit_add_timer(c, job->agent,
                                 effect->timer == ASQ__TIMER_REMOVE_ALL ? ""
                                 : about_timer                          ? job->method
                                                                        : ASQ__EXPIRY_TIMER,
                                 change);
}

/* Records a use of an agent that expires when it is not used, at a time that is `later` ms from
 * now. The last call that ends does it, since the others still have the object. */
static bool touch(struct asq__commit *c, const struct asq__run *run, int64_t later_ms)
{
    struct asq__actor *a = run->actor;
    struct asq__snapshot *snapshot;
    int64_t minus_mono_ms = run->ctx.wall_minus_mono_ms;
    if (!asq__actor_object(a)->expires || (a->calls && a->calls->mailbox.n_active) ||
        asq__wcall_job(run->active.call)->kind == ASQUEUE__JOB_KIND__EXPIRE)
        return true;
    int64_t now_ms = minus_mono_ms ? asq__now_ms() + minus_mono_ms : asq__wall_ms();
    return asq__object_touch(asq__actor_object(a), now_ms + later_ms, &snapshot) &&
           (!snapshot || add_set(c, a, snapshot));
}

/* Adds the outcome of a call: an error, or the value of n bytes, n 0: null. run NULL: it has none.
 */
static void add_outcome(struct asq__wcall *call, struct asq__run *run, const asq_error *error,
                        const void *value, size_t n)
{
    struct asq__entry *e = call->entry;
    struct asq__partition *p = e->part;
    asq__assert(call->state == ASQ__CALL_FINISHED && e->state == ASQ__ENTRY_DISPATCHED);
    asq__assert(e->unfinished > e->left);
    if (call->attempts)
        close_before(p);
    struct asq__commit *c =
        commit_for(p, n + (run && run->effect.snapshot ? run->effect.snapshot->n : 0));
    bool ok = c != NULL, attempts = call->attempts; /* the call may go with its entry */
    if (ok)
        c->tied = false;
    e->unfinished--;
    if (ok && run && run->effect.kind != ASQ__EFFECT_NONE)
        ok = add_set(c, run->actor, run->effect.snapshot);
    if (ok && run)
        ok = touch(c, run, 0);
    if (ok && run && run->effect.timer != ASQ__TIMER_NONE && !error)
        ok = add_timer(c, call, &run->effect);
    struct asq__piece *piece = ok ? asq__commit_piece_of(c, e) : NULL;
    if (piece) {
        const Asqueue__Job *job = asq__wcall_job(call);
        size_t before = piece->frame.len;
        if (error)
            note_failure(c, call, error, run != NULL);
        if (error)
            asq__result_put_failure(
                call->index, error,
                !run && (error->code == ASQ_EBUSY || e->fate == ASQ__FATE_NEVER_ACCEPTED),
                &piece->frame);
        else if (job->no_result || !n)
            asq__result_put(call->index, NULL, 0, &piece->frame);
        else if (!fits_record(e, n))
            put_large(c, call, run ? &run->ctx.error.pub : NULL, n, &piece->frame);
        else
            asq__result_put(call->index, value, n, &piece->frame);
        if (run && run->emitted) {
            asq__results_put_emitted(call->index, run->emit_run, run->emitted, &piece->frame);
            c->emits = true;
        }
        c->bytes += piece->frame.len - before;
        e->result_bytes += piece->frame.len - before;
        c->calls++;
        if (run && run->times.series)
            asq__measure_commit(&c->timed, call, job, run);
        if (run && run->span)
            add_span(c, run, error);
        ok = !piece->frame.error;
        if (ok && e->unfinished == 0) {
            piece->last = true;
            ok = asq__commit_add_removed(c, e->id);
            for (size_t i = 0; i < e->ncopies && ok; i++)
                ok = asq__commit_add_removed(c, e->copies[i]);
            if (ok && e->kept)
                ok = asq__commit_add_move(c, e, NULL, 0, NULL, 0);
        }
    } else {
        ok = false;
    }
    if (ok && call->attempts)
        ok = asq__commit_add_mark(c, call, ASQ__ATTEMPT_DIED, NULL) &&
             asq__commit_add_mark(c, call, ASQ__ATTEMPT_WAIT, NULL);
    if (ok && run)
        note_outcome(c, run);
    if (ok && call->reentered)
        ok = asq__commit_add_mark(c, call, ASQ__ATTEMPT_MARK, NULL);
    if (ok && (call->retries || call->due_ms))
        ok = asq__commit_add_mark(c, call, ASQ__ATTEMPT_RETRY, NULL);
    if (ok && call->marked)
        ok = give_up_place(c, call);
    if (ok && run)
        ok = add_inner(c, run);
    else if (ok)
        ok = forget_inner(c, call);
    if (ok && call->recorded)
        ok = forget_steps(c, call);
    if (!ok)
        asq__partition_abandon(p, "out of memory");
    if (attempts)
        close_apart(p);
}

void asq__commit_result(struct asq__wcall *call, struct asq__run *run, const asq_error *error)
{
    const struct asq__buf *value = run && !error ? &run->effect.value : NULL;
    add_outcome(call, run, error, value ? value->data : NULL, value ? value->len : 0);
}

void asq__commit_value(struct asq__wcall *call, const void *value, size_t n)
{
    add_outcome(call, NULL, NULL, value, n);
}

void asq__commit_later(struct asq__entry *e, uint64_t due_ms, void *kept, size_t n)
{
    struct asq__partition *p = e->part;
    struct asq__commit *c = commit_for(p, n);
    bool ok = asq__commit_add_move(c, e, e, due_ms, kept, n);
    e->uncommitted += ok;
    ok = ok && asq__commit_add_removed(c, e->id);
    for (size_t i = 0; i < e->ncopies && ok; i++)
        ok = asq__commit_add_removed(c, e->copies[i]);
    for (size_t i = 0; i < e->batch->n_jobs && ok; i++) {
        struct asq__wcall *call = &e->calls[i];
        if ((call->apart || call->rests) && call->due_ms) /* attempts are kept with the batch now */
            ok = asq__commit_add_mark(c, call, ASQ__ATTEMPT_RETRY, NULL);
        if (ok && (call->apart || call->rests) && call->recorded)
            ok = asq__commit_add_mark(c, call, ASQ__ATTEMPT_STEPS, NULL);
        if (ok && call->rests)
            ok = asq__commit_add_place(c, asq__wcall_job(call)->agent, e->batch->id.data, true);
    }
    if (!ok)
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_forget_later(struct asq__entry *e)
{
    if (!asq__commit_add_move(open_commit(e->part), e, NULL, 0, NULL, 0))
        asq__partition_abandon(e->part, "out of memory");
}

void asq__commit_place(struct asq__partition *p, const char *agent,
                       const uint8_t batch[ASQ__BATCH_ID], bool kept)
{
    if (!asq__commit_add_place(open_commit(p), agent, batch, kept))
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_remove(struct asq__partition *p, struct asq__stream_id id)
{
    struct asq__commit *c = open_commit(p);
    if (!c || !asq__commit_add_removed(c, id))
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_needs(struct asq__partition *p)
{
    if (!open_commit(p))
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_mark(struct asq__wcall *call)
{
    struct asq__partition *p = call->entry->part;
    struct asq__commit *c = open_commit(p);
    if (!c || !asq__commit_add_mark(c, call, ASQ__ATTEMPT_MARK, "1"))
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_retry(struct asq__wcall *call, struct asq__run *run, uint64_t due_ms)
{
    struct asq__partition *p = call->entry->part;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c = commit_for(p, run->effect.snapshot ? run->effect.snapshot->n : 0);
    char value[48];
    snprintf(value, sizeof value, "%u %llu %d", call->retries, (unsigned long long) due_ms,
             call->keeps_place);
    bool ok = c && asq__commit_add_mark(c, call, ASQ__ATTEMPT_RETRY, value);
    if (ok)
        note_outcome(c, run);
    if (ok && run->span)
        add_span(c, run, &run->ctx.error.pub);
    if (ok)
        asq__failure_keep(c, call, &run->ctx.error.pub, call->retries + call->attempts, true);
    if (ok && run->effect.kind != ASQ__EFFECT_NONE) /* the method changed its state */
        ok = add_set(c, run->actor, run->effect.snapshot);
    if (ok) /* the agent has to be there for the next run */
        ok = touch(c, run, (int64_t) due_ms - p->minus_mono_ms - asq__now_ms());
    if (ok)
        ok = add_inner(c, run);
    if (ok && call->recorded)
        ok = forget_steps(c, call); /* the next run begins anew */
    if (ok && call->marked && !call->keeps_place)
        ok = give_up_place(c, call);
    if (!ok)
        asq__partition_abandon(p, "out of memory");
    if (call->attempts)
        close_apart(p);
}

void asq__commit_unloaded(struct asq__wcall *call, struct asq__run *run, uint64_t due_ms)
{
    struct asq__partition *p = call->entry->part;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c = open_commit(p);
    char value[48];
    snprintf(value, sizeof value, "%u %llu %d s", call->retries, (unsigned long long) due_ms,
             call->keeps_place);
    bool ok = c && asq__commit_add_mark(c, call, ASQ__ATTEMPT_RETRY, value);
    if (ok)
        note_outcome(c, run); /* the next run has the same span */
    else
        asq__partition_abandon(p, "out of memory");
    if (call->attempts)
        close_apart(p);
}

void asq__commit_nothing(const struct asq__run *run)
{
    if (!run->slot)
        return;
    run->slot->done_seq = 0; /* every seq shows it */
    run->slot->done = run->ticket;
}

uint64_t asq__commit_steps(struct asq__wcall *call, const void *records, size_t n,
                           const uint8_t *promise)
{
    struct asq__partition *p = call->entry->part;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c = commit_for(p, n);
    uint64_t seq = c ? c->seq : 0;
    if (!c || !asq__commit_add_steps(c, call, records, n) ||
        (promise && !asq__commit_add_promise(c, call, promise))) {
        asq__partition_abandon(p, "out of memory");
        return 0;
    }
    call->recorded = true;
    call->recorded_seq = seq;
    if (call->attempts)
        close_apart(p);
    return seq;
}

/* ---- signals ---- */

uint64_t asq__commit_signal(struct asq__wcall *call, enum asq__signals_change mode,
                            const struct asq__buf *bytes)
{
    struct asq__partition *p = call->entry->part;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c = commit_for(p, bytes->len);
    if (!c || !asq__commit_add_signals(c, asq__wcall_job(call)->agent, mode, bytes)) {
        asq__partition_abandon(p, "out of memory");
        return 0;
    }
    uint64_t seq = c->seq;
    c->tied = true;
    asq__commit_result(call, NULL, NULL);
    return seq;
}

uint64_t asq__commit_heard(struct asq__wcall *call, const struct asq__buf *record,
                           enum asq__signals_change mode, const struct asq__buf *bytes)
{
    struct asq__partition *p = call->entry->part;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c = commit_for(p, record->len + bytes->len);
    uint64_t seq = c ? c->seq : 0;
    if (!c || record->error || !asq__commit_add_steps(c, call, record->data, record->len) ||
        !asq__commit_add_signals(c, asq__wcall_job(call)->agent, mode, bytes)) {
        asq__partition_abandon(p, "out of memory");
        return 0;
    }
    call->recorded = true;
    call->recorded_seq = seq;
    if (call->attempts)
        close_apart(p);
    return seq;
}

uint64_t asq__commit_no_signals(struct asq__wcall *call)
{
    struct asq__partition *p = call->entry->part;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c = open_commit(p);
    struct asq__buf none;
    asq__buf_init(&none, 0);
    if (!c ||
        !asq__commit_add_signals(c, asq__wcall_job(call)->agent, ASQ__SIGNALS_UNLINK, &none)) {
        asq__partition_abandon(p, "out of memory");
        return 0;
    }
    c->tied = true;
    return c->seq;
}

/* ---- dead letters ---- */

static void add_dead(struct asq__partition *p, const char *label, const char *call,
                     const char *reason, uint32_t attempts, const void *batch, size_t n)
{
    size_t limit = asq__redis_max_string(p->w->redis);
    struct asq__commit *c = commit_for(p, n <= limit ? n : 0);
    char too_large[600];
    if (n > limit) {
        snprintf(too_large, sizeof too_large,
                 "%s; its %zu bytes are not kept, because a string of this Redis has %zu at most",
                 reason, n, limit);
        reason = too_large;
        n = 0;
    }
    struct asq__dead letter = { strdup(label), strdup(call),  strdup(reason),
                                attempts,      malloc(n + 1), n };
    if (letter.batch && n)
        memcpy(letter.batch, batch, n);
    if (!asq__commit_add_dead(c, letter)) {
        asq__partition_abandon(p, "out of memory");
        return;
    }
    atomic_fetch_add(&p->w->dead, 1);
    const asq_log_fields about = { "",   "",        "",       "",
                                   call, p->number, p->epoch, *call ? ASQ_EDEADLETTER : 0,
                                   NULL, "" };
    asq__process_log_some_about(p->w, &about, ASQ_LOG_ERROR,
                                "partition %u: %s is a dead letter now: %s", p->number, label,
                                reason);
}

void asq__dead_letter(struct asq__partition *p, struct asq__stream_id id, const char *label,
                      const void *batch, size_t n, const char *reason, uint32_t attempts)
{
    add_dead(p, label, "", reason, attempts, batch, n);
    asq__commit_remove(p, id);
}

void asq__commit_dead_letter(struct asq__wcall *call, const char *label, const char *reason)
{
    struct asq__partition *p = call->entry->part;
    char id[ASQ__CALL_ID_TEXT];
    /* The letter contains the call alone, so it can be sent again as it is. */
    Asqueue__Batch batch;
    asqueue__batch__init(&batch);
    batch.id = call->entry->batch->id;
    batch.jobs = &call->entry->batch->jobs[call->index];
    batch.n_jobs = 1;
    size_t n = asqueue__batch__get_packed_size(&batch);
    uint8_t *bytes = malloc(n + 1);
    if (!bytes) {
        asq__partition_abandon(p, "out of memory");
        return;
    }
    asqueue__batch__pack(&batch, bytes);
    asq__wcall_id(call, id);
    if (call->attempts)
        close_before(p);
    add_dead(p, label, id, reason, call->attempts, bytes, n);
    if (p->open)
        p->open->tied = true; /* to the call's result */
    free(bytes);
}

/* ---- refused ---- */

size_t asq__commit_blame(const struct asq__commit *c, struct asq__cmd *out)
{
    uint32_t max = c->part->w->config.max_attempts;
    size_t n = 0;
    for (size_t i = 0; i < c->npieces; i++) {
        const struct asq__entry *e = c->pieces[i].entry;
        const struct asq__buf *frame = &c->pieces[i].frame;
        char id[ASQ__CALL_ID_TEXT], entry[ASQ__STREAM_ID_TEXT];
        struct asq__arena arena;
        Asqueue__Results *results;
        asq__stream_id_format(e->id, entry);
        asq__arena_init(&arena, asq__results_room(frame->data, frame->len));
        if (asq__results_decode(frame->data, frame->len, &arena, &results, NULL, 0) == 0)
            for (size_t k = 0; k < results->n_results; k++) {
                const struct asq__wcall *call = &e->calls[results->results[k]->index];
                if (call->attempts >= max)
                    continue; /* its final error, without an alternative */
                asq__wcall_id(call, id);
                asq__cmd_puts(out, id);
                asq__cmd_puts(out, entry);
                n++;
            }
        asq__arena_release(&arena);
    }
    for (size_t i = 0; i < c->nmarks; i++)
        if (*c->marks[i].field == ASQ__ATTEMPT_RETRY && *c->marks[i].value) {
            asq__cmd_puts(out, c->marks[i].field + 1);
            asq__cmd_puts(out, "");
            n++;
        }
    for (size_t i = 0; i < c->nsteps; i++)
        if (c->steps[i].mode == ASQ__STEPS_FIRST || c->steps[i].mode == ASQ__STEPS_APPEND) {
            asq__cmd_puts(out, c->steps[i].call);
            asq__cmd_puts(out, "");
            n++;
        }
    return n;
}

void asq__commit_recover_later(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    p->recovering = true;
    if (!ev_is_active(&w->retry)) {
        asq__timer_restart(w->loop, &w->retry, RETRY_MS / 1000., 0.);
    }
}
