/*
 * commit.c: makes the outcomes of calls real. Calls that finish within one iteration of the loop are
 * gathered in one commit for each partition. At the end of the iteration all commits leave in as few
 * script calls as possible. While a commit of a partition is on its way, further outcomes are gathered
 * in the next one until it is full, so its fixed cost is shared by more calls. Each commit has the next
 * sequence number, so commits take effect in order or not at all.
 *
 *     open ──iteration's end──▶ closed ──its turn──▶ sent ──1──▶ acknowledged
 *                                                 │ lost, refused
 *                                                 ▼
 *                         recovering: the lease is read; commits at or below its seq have taken
 *                         effect, the others are sent again in order; another token: partition lost
 *
 * Redis is busy with a large commit for a while, and answers no client meanwhile. So a commit is closed
 * at some size, and few large ones of all partitions are under way at a time; small ones go between
 * them. A partition with many bytes to commit starts no calls until fewer are left.
 *
 * A commit keeps all it needs until it is acknowledged. After each new connection the leases are read.
 * There the worker also asks whether its calls are still in their streams, because Redis may have lost
 * its last second.
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
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "redis/timer.h"
#include "value/arena.h"
#include "value/buf.h"
#include "value/clock.h"
#include "value/decimal.h"
#include "value/error.h"
#include "value/grow.h"
#include "value/hex.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/tally.h"
#include "value/value.h"
#include "worker/actor.h"
#include "worker/allowed.h"
#include "worker/commit.h"
#include "worker/core/attempts.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"
#include "worker/entries.h"
#include "worker/exec/exec.h"
#include "worker/nested.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/refused.h"
#include "worker/shared.h"

enum {
    SCRIPTS_IN_FLIGHT = 8,
    SECTIONS_PER_SCRIPT = 64,
    KEYS = 5,       /* of a partition, before those of results */
    LATER_KEYS = 2, /* keys behind them, if it has moves */
    FULL_CALLS = 512,
    LARGE_BYTES = 128 * 1024,
    LARGE_IN_FLIGHT = 2,
    RETRY_MS = 500,
    REFUSED_MS = 500,
    RESULT_ROOM = 512 /* bytes kept free for each result of a batch that is still to come */
};
#define RECORD_BYTES ((size_t) 512 * 1024 * 1024) /* limit of a string in Redis by default */
/* Lifetime of records of nested calls: a call that runs again needs them to come back to where it was. */
#define NESTED_RECORD_MS ((int64_t) 7 * 24 * 3600 * 1000)
#define BYTES_PER_SCRIPT ((size_t) 2 * 1024 * 1024)
/* Unacknowledged bytes of one partition: with more it starts no calls, until half of them are left. */
#define BYTES_WAITING ((size_t) 16 * 1024 * 1024)

/* New snapshot of an agent, or its deletion. */
struct set {
    const char *id; /* in the commit's ids */
    size_t id_n;
    struct asq__snapshot *record; /* NULL: deleted */
};

/* Bytes that one commit adds to a batch's record. */
struct piece {
    struct asq__entry *entry;
    struct asq__buf frame;
    bool first, last; /* of the batch's frames */
};

/* Change of a field of attempts. */
struct mark {
    char field[ASQ__CALL_ID_TEXT + 1];
    char value[48]; /* "": unset */
};

/* Entry of the stream of dead letters. */
struct dead {
    char *label, *call, *reason;
    uint32_t attempts;
    void *batch;
    size_t n;
};

/* Batch that moves out of the stream, or is done outside of it. */
struct move {
    struct asq__entry *entry; /* moves; NULL: its stored form is deleted */
    uint8_t batch[ASQ__BATCH_ID];
    uint64_t due_ms;
    void *kept;
    size_t n;
};

struct asq__commit {
    struct asq__list node; /* in part->commits */
    struct asq__partition *part;
    uint64_t seq;
    bool sent;
    bool unheard; /* sent once without an answer: may have taken effect */
    bool tied;    /* last part takes effect together with the next one */
    bool apart;   /* outcome of one call with attempts, alone */
    struct set *sets;
    struct asq__arena ids;
    struct piece *pieces;
    struct asq__stream_id *removed;
    struct mark *marks;
    struct asq__inner *inner; /* records of nested calls to forget afterwards */
    struct dead *deads;
    struct move *moves;
    size_t nsets, npieces, nremoved, nmarks, ninner, ndeads, nmoves;
    size_t csets, cpieces, cremoved, cmarks, cinner, cdeads, cmoves;
    size_t bytes; /* at least those of its strings together, but for ids and names */
    size_t calls;
    unsigned losses; /* losses of the connection that it may have caused */
};

/* Makes room for one more element. False: no memory. */
#define GROW(c, what) asq__grow(&(c)->what, (c)->n##what, &(c)->c##what, sizeof *(c)->what)

static void dead_release(struct dead *d)
{
    free(d->label);
    free(d->call);
    free(d->reason);
    free(d->batch);
}

static void commit_free(struct asq__commit *c)
{
    for (size_t i = 0; i < c->nsets; i++)
        asq__snapshot_unref(c->sets[i].record);
    asq__arena_release(&c->ids);
    for (size_t i = 0; i < c->npieces; i++)
        asq__buf_release(&c->pieces[i].frame);
    for (size_t i = 0; i < c->ndeads; i++)
        dead_release(&c->deads[i]);
    for (size_t i = 0; i < c->nmoves; i++)
        free(c->moves[i].kept);
    free(c->moves);
    free(c->deads);
    free(c->sets);
    free(c->pieces);
    free(c->removed);
    free(c->marks);
    free(c->inner);
    free(c);
}

/* Returns the commit that is being filled. NULL: no memory, and the partition is dropped. */
static struct asq__commit *open_commit(struct asq__partition *p)
{
    if (p->open)
        return p->open;
    struct asq__commit *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->part = p;
    c->seq = ++p->seq;
    asq__arena_init(&c->ids, SIZE_MAX / 2);
    asq__list_init(&c->node);
    p->open = c;
    if (asq__list_empty(&p->ready))
        asq__list_add(&p->w->ready, &p->ready);
    return c;
}

/* Closes the open commit, which leaves in its turn. */
static void close_open(struct asq__partition *p)
{
    struct asq__commit *c = p->open;
    p->open = NULL;
    p->unsent++;
    p->commit_bytes += c->bytes;
    asq__list_add(&p->commits, &c->node);
}

/* Returns the commit for `bytes` more bytes. Closes a commit that is large enough before: none of its
 * strings may be longer than Redis takes, however many calls of a batch end in one iteration. */
static struct asq__commit *commit_for(struct asq__partition *p, size_t more)
{
    struct asq__commit *c = p->open;
    size_t limit = asq__redis_max_string(p->w->redis) / 2;
    if (limit > BYTES_PER_SCRIPT)
        limit = BYTES_PER_SCRIPT;
    if (c && c->bytes && c->bytes + more > limit && !c->tied)
        close_open(p);
    return open_commit(p);
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

/* Closes the open commit before the outcome of a call with attempts, which is committed alone: if it
 * is refused, no other call is. A dead letter stays with its result. */
static __attribute__((noinline, cold)) void close_before(struct asq__partition *p)
{
    if (p->open && !p->open->tied)
        close_open(p);
}

/* Closes the commit of such an outcome. */
static __attribute__((noinline, cold)) void close_apart(struct asq__partition *p)
{
    if (!p->open)
        return;
    p->open->apart = true;
    close_open(p);
}

/* ---- filling ---- */

static bool add_set(struct asq__commit *c, struct asq__actor *a, struct asq__snapshot *record)
{
    if (a->saved_seq == c->seq)
        for (size_t i = c->nsets; i > 0; i--) {
            if (strcmp(c->sets[i - 1].id, a->id) != 0)
                continue;
            c->bytes += record ? record->n : 0;
            asq__snapshot_unref(c->sets[i - 1].record); /* of an earlier call in the same iteration */
            c->sets[i - 1].record = asq__snapshot_ref(record);
            return true;
        }
    char *id = asq__arena_alloc(&c->ids, a->id_n + 1);
    if (!id || !GROW(c, sets))
        return false;
    c->sets[c->nsets].id = memcpy(id, a->id, a->id_n + 1);
    c->sets[c->nsets].id_n = a->id_n;
    c->sets[c->nsets++].record = asq__snapshot_ref(record);
    c->bytes += record ? record->n : 0;
    a->saved_seq = c->seq;
    return true;
}

static struct piece *piece_of(struct asq__commit *c, struct asq__entry *e)
{
    if (c->npieces && c->pieces[c->npieces - 1].entry == e)
        return &c->pieces[c->npieces - 1];
    if (e->batch->n_jobs > 1)
        for (size_t i = 0; i < c->npieces; i++)
            if (c->pieces[i].entry == e)
                return &c->pieces[i];
    if (!GROW(c, pieces))
        return NULL;
    struct piece *piece = &c->pieces[c->npieces++];
    piece->entry = e;
    piece->first = !e->partial;
    piece->last = false;
    asq__buf_init(&piece->frame, (size_t) 1 << 31);
    asq__results_head(e->batch->id.data, &piece->frame);
    c->bytes += piece->frame.len;
    e->result_bytes += piece->frame.len;
    e->partial = true; /* later commits append to it */
    e->uncommitted++;
    return piece;
}

static bool add_removed(struct asq__commit *c, struct asq__stream_id id)
{
    if (!GROW(c, removed))
        return false;
    c->removed[c->nremoved++] = id;
    return true;
}

/* Sets a field of attempts. value NULL: deletes it. */
static __attribute__((noinline)) bool add_mark(struct asq__commit *c, const struct asq__wcall *call,
                                               enum asq__attempt_kind kind, const char *value)
{
    char id[ASQ__CALL_ID_TEXT], sign[2] = { (char) kind, '\0' };
    if (!GROW(c, marks))
        return false;
    struct mark *m = &c->marks[c->nmarks++];
    asq__wcall_id(call, id);
    snprintf(m->field, sizeof m->field, "%s%s", sign, id);
    snprintf(m->value, sizeof m->value, "%s", value ? value : "");
    return true;
}

static bool add_inner(struct asq__commit *c, const struct asq__run *run)
{
    for (size_t i = 0; i < run->ninner; i++) {
        if (!GROW(c, inner))
            return false;
        c->inner[c->ninner] = run->inner[i];
        c->inner[c->ninner++].keep = run->keep_inner;
    }
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
    size_t others = e->result_bytes + e->unfinished * RESULT_ROOM;
    return limit > others ? limit - others : 1;
}

/* Returns whether a result fits into the batch's record. Only now are the sizes known of results of
 * calls that ran at the same time. */
static bool fits_record(const struct asq__entry *e, size_t n)
{
    return e->batch->n_jobs == 1 || e->result_bytes + n + RESULT_ROOM <= record_limit(e->part->w);
}

static __attribute__((noinline, cold)) void put_large(const struct asq__entry *e, uint32_t index,
                                                      const asq_error *where, size_t n,
                                                      struct asq__buf *out)
{
    struct asq__error text;
    asq__error_init(&text);
    asq__error_set(
        &text, ASQ_ELIMIT,
        "the call has run and its effect stays, but its result of %zu bytes does not fit "
        "beside those of its batch (%zu bytes) into what this Redis takes as one string, %zu "
        "bytes",
        n, e->result_bytes, record_limit(e->part->w));
    asq__error_where(&text, where->class_name, where->method, where->agent_id, where->worker,
                     where->call_id);
    asq__result_put_failure(index, &text.pub, false, out);
    asq__error_clear(&text);
}

/* Logs the failure of a call without a result, because no caller learns of it. */
static __attribute__((noinline, cold)) void note_failure(const struct asq__wcall *call,
                                                         const asq_error *error)
{
    const Asqueue__Job *job = asq__wcall_job(call);
    const char *class_name = *error->class_name ? error->class_name : job->class_name;
    char name[ASQ__TALLY_NAME];
    snprintf(name, sizeof name, "%.47s%s%.47s", class_name, *class_name ? "." : "", job->method);
    struct asq__process *w = call->entry->part->w;
    pthread_mutex_lock(&w->unheard_lock);
    asq__tally_note(&w->unheard, name, error, asq__now_ms_coarse());
    pthread_mutex_unlock(&w->unheard_lock);
}

/* Adds a move; takes over `kept`. */
static bool add_move(struct asq__commit *c, const struct asq__entry *e, struct asq__entry *moves,
                     uint64_t due_ms, void *kept, size_t n)
{
    if (!c || !GROW(c, moves)) {
        free(kept);
        return false;
    }
    struct move *m = &c->moves[c->nmoves++];
    *m = (struct move){ .entry = moves, .due_ms = due_ms, .kept = kept, .n = n };
    memcpy(m->batch, e->batch->id.data, ASQ__BATCH_ID);
    c->bytes += n;
    return true;
}

/* Notes for the supervisor, in case this process dies, which seq shows that the run was committed. */
static void note_outcome(const struct asq__commit *c, const struct asq__run *run)
{
    if (!run->slot)
        return;
    run->slot->done_seq = c->seq;
    run->slot->done = run->ticket;
}

void asq__commit_result(struct asq__wcall *call, struct asq__run *run, const asq_error *error)
{
    struct asq__entry *e = call->entry;
    struct asq__partition *p = e->part;
    size_t n = run && !error ? run->effect.value.len : 0;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c =
        commit_for(p, n + (run && run->effect.record ? run->effect.record->n : 0));
    bool ok = c != NULL, attempts = call->attempts; /* the call may go with its entry */
    if (ok)
        c->tied = false;
    e->unfinished--;
    if (ok && run && run->effect.kind != ASQ__EFFECT_NONE)
        ok = add_set(c, run->actor, run->effect.record);
    struct piece *piece = ok ? piece_of(c, e) : NULL;
    if (piece) {
        const Asqueue__Job *job = asq__wcall_job(call);
        size_t before = piece->frame.len;
        if (error && job->no_result)
            note_failure(call, error);
        if (error)
            asq__result_put_failure(call->index, error,
                                    !run && (error->code == ASQ_EBUSY || e->overtaken),
                                    &piece->frame);
        else if (job->no_result || !run)
            asq__result_put(call->index, NULL, 0, &piece->frame);
        else if (!fits_record(e, n))
            put_large(e, call->index, &run->ctx.error.pub, n, &piece->frame);
        else
            asq__result_put(call->index, run->effect.value.data, run->effect.value.len,
                            &piece->frame);
        c->bytes += piece->frame.len - before;
        e->result_bytes += piece->frame.len - before;
        c->calls++;
        ok = !piece->frame.error;
        if (ok && e->unfinished == 0) {
            piece->last = true;
            ok = add_removed(c, e->id);
            for (size_t i = 0; i < e->ncopies && ok; i++)
                ok = add_removed(c, e->copies[i]);
            if (ok && e->kept)
                ok = add_move(c, e, NULL, 0, NULL, 0);
        }
    } else {
        ok = false;
    }
    if (ok && call->attempts)
        ok = add_mark(c, call, ASQ__ATTEMPT_DIED, NULL) &&
             add_mark(c, call, ASQ__ATTEMPT_WAIT, NULL);
    if (ok && run)
        note_outcome(c, run);
    if (ok && call->reentered)
        ok = add_mark(c, call, ASQ__ATTEMPT_MARK, NULL);
    if (ok && call->retries)
        ok = add_mark(c, call, ASQ__ATTEMPT_RETRY, NULL);
    if (ok && run)
        ok = add_inner(c, run);
    if (!ok)
        asq__partition_abandon(p, "out of memory");
    if (attempts)
        close_apart(p);
}

void asq__commit_later(struct asq__entry *e, uint64_t due_ms, void *kept, size_t n)
{
    struct asq__partition *p = e->part;
    struct asq__commit *c = commit_for(p, n);
    bool ok = add_move(c, e, e, due_ms, kept, n);
    e->uncommitted += ok;
    ok = ok && add_removed(c, e->id);
    for (size_t i = 0; i < e->ncopies && ok; i++)
        ok = add_removed(c, e->copies[i]);
    for (size_t i = 0; i < e->batch->n_jobs && ok; i++)
        if (e->calls[i].apart && e->calls[i].retries) /* attempts are kept with the batch now */
            ok = add_mark(c, &e->calls[i], ASQ__ATTEMPT_RETRY, NULL);
    if (!ok)
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_forget_later(struct asq__entry *e)
{
    if (!add_move(open_commit(e->part), e, NULL, 0, NULL, 0))
        asq__partition_abandon(e->part, "out of memory");
}

void asq__commit_remove(struct asq__partition *p, struct asq__stream_id id)
{
    struct asq__commit *c = open_commit(p);
    if (!c || !add_removed(c, id))
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_mark(struct asq__wcall *call)
{
    struct asq__partition *p = call->entry->part;
    struct asq__commit *c = open_commit(p);
    if (!c || !add_mark(c, call, ASQ__ATTEMPT_MARK, "1"))
        asq__partition_abandon(p, "out of memory");
}

void asq__commit_retry(struct asq__wcall *call, struct asq__run *run, uint64_t due_ms)
{
    struct asq__partition *p = call->entry->part;
    if (call->attempts)
        close_before(p);
    struct asq__commit *c = commit_for(p, run->effect.record ? run->effect.record->n : 0);
    char value[48];
    snprintf(value, sizeof value, "%u %llu %d", call->retries, (unsigned long long) due_ms,
             call->keeps_place);
    bool ok = c && add_mark(c, call, ASQ__ATTEMPT_RETRY, value);
    if (ok)
        note_outcome(c, run);
    if (ok && run->effect.kind != ASQ__EFFECT_NONE) /* the method changed its state */
        ok = add_set(c, run->actor, run->effect.record);
    if (ok)
        ok = add_inner(c, run);
    if (!ok)
        asq__partition_abandon(p, "out of memory");
    if (call->attempts)
        close_apart(p);
}

/* ---- acknowledged ---- */

static void acknowledged(struct asq__commit *c)
{
    struct asq__partition *p = c->part;
    struct asq__process *w = p->w;
    asq__list_del(&c->node);
    p->unsent -= !c->sent;
    p->commit_bytes -= c->bytes;
    if (c->seq > p->acked)
        p->acked = c->seq;
    if (p->refused)
        asq__refused_over(p, true);
    atomic_fetch_add(&w->commits, 1);
    atomic_fetch_add(&w->commit_calls, c->calls);
    for (size_t i = 0; i < c->npieces; i++) {
        struct asq__entry *e = c->pieces[i].entry;
        e->uncommitted--;
        asq__entry_release_if_done(e);
    }
    for (size_t i = 0; i < c->nmoves; i++)
        if (c->moves[i].entry) {
            c->moves[i].entry->uncommitted--;
            asq__list_add(&w->moved, &c->moves[i].entry->moved);
        }
    for (size_t i = 0; i < c->ninner; i++)
        asq__engine_unpin(w->engine, c->inner[i].id,
                          c->inner[i].keep ? ASQ__RECORD_EXPIRE : ASQ__RECORD_UNLINK);
    commit_free(c);
}

void asq__commits_drop(struct asq__partition *p)
{
    struct asq__list *node;
    struct asq__list dropped;
    asq__list_init(&dropped);
    asq__list_splice(&dropped, &p->commits);
    if (p->open)
        asq__list_add(&dropped, &p->open->node);
    p->open = NULL;
    asq__list_del(&p->ready);
    while ((node = asq__list_pop(&dropped))) {
        struct asq__commit *c = ASQ__CONTAINER(node, struct asq__commit, node);
        for (size_t i = 0; i < c->npieces; i++) {
            /* The entry itself goes with the table of entries, which is dropped next. */
            c->pieces[i].entry->uncommitted--;
        }
        for (size_t i = 0; i < c->nmoves; i++)
            if (c->moves[i].entry) {
                c->moves[i].entry->uncommitted--;
                asq__list_add(&p->w->moved, &c->moves[i].entry->moved);
            }
        for (size_t i = 0; i < c->ninner; i++) /* the call may run again and need them */
            asq__engine_unpin(p->w->engine, c->inner[i].id, ASQ__RECORD_LEAVE);
        commit_free(c);
    }
    p->in_flight = p->unsent = p->commit_bytes = 0;
    p->commits_many = false;
    if (p->refused)
        asq__refused_over(p, false);
}

/* ---- sending ---- */

/* Script call under way: its commits, and their ownerships. */
struct section {
    struct asq__partition *part;
    uint64_t ownership, seq;
};

struct script {
    struct asq__process *w;
    size_t n;
    bool large;
    struct section sections[SECTIONS_PER_SCRIPT];
};

static struct asq__commit *find_commit(const struct section *s)
{
    if (s->part->ownership != s->ownership || !asq__partition_is_owned(s->part))
        return NULL;
    ASQ__LIST_EACH (it, &s->part->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->seq == s->seq)
            return c;
    }
    return NULL;
}

static void begin_recovery(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    p->recovering = true;
    if (!ev_is_active(&w->retry)) {
        asq__timer_restart(w->loop, &w->retry, RETRY_MS / 1000., 0.);
    }
}

/* ---- strings that Redis does not take ---- */

static size_t longest_string(const struct asq__commit *c)
{
    size_t longest = 0;
    for (size_t i = 0; i < c->nsets; i++)
        if (c->sets[i].record && c->sets[i].record->n > longest)
            longest = c->sets[i].record->n;
    for (size_t i = 0; i < c->npieces; i++)
        if (c->pieces[i].frame.len > longest)
            longest = c->pieces[i].frame.len;
    for (size_t i = 0; i < c->ndeads; i++)
        if (c->deads[i].n > longest)
            longest = c->deads[i].n;
    for (size_t i = 0; i < c->nmoves; i++)
        if (c->moves[i].n > longest)
            longest = c->moves[i].n;
    return longest;
}

/* Gives up a partition whose commit has a string that Redis never takes. Its calls run again from what
 * Redis has, and the call that makes such a string fails then, because the limit is known by now.
 * False: all strings are short enough. */
static bool give_up_large(struct asq__partition *p, const struct asq__commit *c)
{
    char why[300];
    size_t n, limit = asq__redis_max_string(p->w->redis);
    if (c->bytes <= limit || (n = longest_string(c)) <= limit)
        return false;
    snprintf(
        why, sizeof why,
        "a result or state of %zu bytes is more than this Redis takes as one string (at most %zu: "
        "proto-max-bulk-len, client-query-buffer-limit, or what stands before Redis); the call that "
        "it is of will fail",
        n, limit);
    asq__partition_abandon(p, why);
    return true;
}

/* Handles a refusal for the length of the script's longest string. */
static void refused_large(struct script *s)
{
    struct asq__process *w = s->w;
    size_t longest = 0;
    for (size_t i = 0; i < s->n; i++) {
        const struct asq__commit *c = find_commit(&s->sections[i]);
        size_t n = c ? longest_string(c) : 0;
        longest = n > longest ? n : longest;
    }
    asq__redis_refused_string(w->redis, longest);
    asq__process_learn_limit(w);
    for (size_t i = 0; i < s->n; i++) {
        const struct asq__commit *c = find_commit(&s->sections[i]);
        if (c)
            give_up_large(c->part, c);
    }
}

/* Handles the loss of the connection while a script was under way. A script large enough to be the
 * cause is sent again a few times, because connections are lost for other reasons too; then it counts
 * as refused. Of all scripts that were under way, the first one is suspected. */
static void note_loss(struct script *s)
{
    struct asq__process *w = s->w;
    for (size_t i = 0; i < s->n && !w->suspected; i++) {
        struct asq__commit *c = find_commit(&s->sections[i]);
        if (!c || longest_string(c) < ASQ__LIMIT_SUSPECT)
            continue;
        w->suspected = true;
        if (++c->losses >= ASQ__LIMIT_LOSSES)
            refused_large(s);
    }
}

/* ---- answers ---- */

static const char foreign_seq[] = "this owner did not write the sequence number in its lease";

/* Returns whether the lease has a seq that no commit of this owner gave it. While no answer is missing,
 * it has the number of the last acknowledged commit. */
static bool is_foreign_seq(const struct asq__partition *p, const char *text)
{
    uint64_t held;
    ASQ__LIST_EACH (it, &p->commits)
        if (ASQ__CONTAINER(it, struct asq__commit, node)->unheard)
            return false;
    return !asq__decimal_read(&text, &held) || *text || held != p->acked;
}

/* Returns the result whose record a refusal names; or NULL. */
static const struct piece *refused_piece(const struct asq__commit *c, const char *text)
{
    const struct asq__partition *p = c->part;
    char key[ASQ__KEY_MAX];
    for (size_t i = 0; i < c->npieces; i++) {
        size_t n = asq__keys_result(asq__redis_keys(p->w->redis), p->number,
                                    c->pieces[i].entry->batch->id.data, key);
        if (strncmp(text, "ERR ", 4) == 0 && strncmp(text + 4, key, n) == 0 && text[4 + n] == ':')
            return &c->pieces[i];
    }
    return NULL;
}

/* Gives up a result whose record would be longer than Redis allows, because the limit was lowered
 * meanwhile. The call runs again, and ends in an error that says so. False: the result is such an error
 * already, and waits until the limit is raised. */
static bool give_up_appended(struct asq__commit *c, const char *text)
{
    struct asq__partition *p = c->part;
    const struct piece *piece = refused_piece(c, text);
    if (asq__text_refusal(text) != ASQ__REFUSED_SIZE || !piece ||
        piece->frame.len <= 2 * RESULT_ROOM)
        return false;
    asq__redis_refused_string(p->w->redis, piece->entry->result_bytes);
    asq__process_learn_limit(p->w);
    asq__partition_abandon(
        p,
        "a result does not fit beside those of its batch into what this Redis takes as one string; "
        "its call will fail");
    return true;
}

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
    return n;
}

void asq__commit_recover_later(struct asq__partition *p)
{
    begin_recovery(p);
}

bool asq__commit_is_apart(const struct asq__commit *c)
{
    return c->apart;
}

static void section_answered(const struct section *s, const redisReply *reply)
{
    struct asq__partition *p = s->part;
    struct asq__process *w = p->w;
    struct asq__commit *c = find_commit(s);
    if (!c)
        return; /* partition lost meanwhile, or commit acknowledged by reading the lease */
    if (p->in_flight)
        p->in_flight--;
    c->unheard |= !reply;
    if (reply && reply->type == REDIS_REPLY_INTEGER) {
        if (reply->integer == 2)
            asq__process_log_some(
                w, ASQ_LOG_ERROR,
                "partition %u: a dead letter was added under the highest id that a stream can "
                "have, so the stream took no more of them; the earlier dead letters are in the "
                "key …:dead:aside",
                p->number);
        if (reply->integer == 3)
            asq__process_log_some(
                w, ASQ_LOG_WARNING,
                "partition %u: its dead letters take more than %zu bytes (--max-dead-letters-size); "
                "the oldest were dropped",
                p->number, w->config.max_dead_letters_size);
        acknowledged(c);
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strcmp(reply->str, "FENCED") == 0) {
        asq__partition_abandon(p, "the commit found another token in its lease");
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strstr(reply->str, "WRONGTYPE")) {
        asq__partition_abandon(p, reply->str); /* the claim sees to it, see claim.lua */
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "SEQ ", 4) == 0 &&
        is_foreign_seq(p, reply->str + 4)) {
        asq__partition_abandon(p, foreign_seq);
        return;
    }
    if (reply && reply->type == REDIS_REPLY_STRING && strncmp(reply->str, "ERR", 3) == 0) {
        if (give_up_appended(c, reply->str))
            return;
        asq__refused_note(p, reply->str);
        begin_recovery(p);
        asq__refused_blame(p, c, c->seq, reply->str);
        return;
    }
    begin_recovery(p);
}

/* Returns whether a refusal has nothing to do with the state of the server. When a script for several
 * partitions is refused, each commit is sent again by itself, so a commit that is refused for its
 * content holds up its own partition alone. */
static bool concerns_one_partition(const redisReply *reply)
{
    enum asq__refusal how = asq__reply_refusal(reply);
    return how == ASQ__REFUSED_ACCESS || how == ASQ__REFUSED_COMMAND;
}

static void on_committed(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct script *s = user;
    struct asq__process *w = s->w;
    bool list = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == s->n;
    (void) conn;
    w->scripts_in_flight--;
    w->large_in_flight -= s->large;
    if (!reply)
        note_loss(s);
    if (reply && !list) {
        if (asq__reply_refusal(reply) == ASQ__REFUSED_SIZE) {
            refused_large(s);
        } else if (asq__reply_is_error(reply, "NOSCRIPT")) {
            asq__redis_reload_scripts(w->redis, s->sections[0].part->number);
        } else if (s->n == 1 && concerns_one_partition(reply)) {
            struct asq__commit *c = find_commit(&s->sections[0]);
            if (c) {
                asq__refused_note(c->part, reply->str);
                asq__refused_blame(c->part, c, c->seq, reply->str);
            }
        } else {
            /* The commits are kept and tried again; no calls start meanwhile. */
            if (!w->refused_until_ms)
                asq__process_log(w, ASQ_LOG_ERROR,
                                 "Redis refuses commits; they are kept and tried again, and "
                                 "no calls are started: %s",
                                 asq__reply_text(reply));
            w->refused_until_ms = asq__now_ms() + REFUSED_MS;
            w->reconnect |= asq__reply_is_transient(reply);
        }
    } else if (list) {
        w->refused_until_ms = 0;
    }
    for (size_t i = 0; i < s->n; i++)
        section_answered(&s->sections[i], list ? reply->element[i] : NULL);
    for (size_t i = 0; i < s->n; i++) {
        struct asq__partition *p = s->sections[i].part;
        if (p->ownership != s->sections[i].ownership)
            continue;
        asq__nested_go_on(p);
        asq__partition_release_if_empty(p);
        if (p->commits_many && !asq__commits_are_many(p))
            asq__partition_resume_later(p);
    }
    free(s);
}

static void put_key(struct asq__cmd *cmd,
                    size_t (*name)(const struct asq__keys *, uint32_t, char *),
                    const struct asq__partition *p)
{
    char key[ASQ__KEY_MAX];
    asq__cmd_put(cmd, key, name(asq__redis_keys(p->w->redis), p->number, key));
}

static void put_keys(struct asq__cmd *cmd, const struct asq__commit *c)
{
    const struct asq__partition *p = c->part;
    put_key(cmd, asq__keys_lease, p);
    put_key(cmd, asq__keys_agents, p);
    put_key(cmd, asq__keys_jobs, p);
    put_key(cmd, asq__keys_attempts, p);
    put_key(cmd, asq__keys_dead, p);
    for (size_t i = 0; i < c->npieces; i++) {
        char key[ASQ__KEY_MAX];
        asq__cmd_put(cmd, key,
                     asq__keys_result(asq__redis_keys(p->w->redis), p->number,
                                      c->pieces[i].entry->batch->id.data, key));
    }
    if (c->nmoves) {
        put_key(cmd, asq__keys_later, p);
        put_key(cmd, asq__keys_later_jobs, p);
    }
}

static void put_channel(struct asq__cmd *cmd, const struct asq__partition *p, const char *client)
{
    char key[ASQ__KEY_MAX];
    asq__cmd_put(cmd, key, asq__keys_channel(asq__redis_keys(p->w->redis), client, key));
}

int64_t asq__commit_record_ms(const struct asq__process *w, bool nested)
{
    int64_t ms = (int64_t) w->config.max_expire_time_s * 1000;
    return nested && ms < NESTED_RECORD_MS ? NESTED_RECORD_MS : ms;
}

/* Returns how the script writes a frame; see commit.lua. */
static const char *frame_mode(const struct piece *piece)
{
    if (piece->first)
        return piece->last ? "1" : "f";
    return piece->last ? "l" : "a";
}

static void put_section(struct asq__cmd *cmd, const struct asq__commit *c)
{
    const struct asq__partition *p = c->part;
    size_t dels = 0, set_marks = 0;
    asq__cmd_puts(cmd, p->token);
    asq__cmd_number(cmd, c->seq);
    for (size_t i = 0; i < c->nsets; i++)
        dels += !c->sets[i].record;
    asq__cmd_number(cmd, c->nsets - dels);
    for (size_t i = 0; i < c->nsets; i++)
        if (c->sets[i].record) {
            asq__cmd_put(cmd, c->sets[i].id, c->sets[i].id_n);
            asq__cmd_put(cmd, c->sets[i].record->data, c->sets[i].record->n);
        }
    asq__cmd_number(cmd, dels);
    for (size_t i = 0; i < c->nsets; i++)
        if (!c->sets[i].record)
            asq__cmd_put(cmd, c->sets[i].id, c->sets[i].id_n);
    asq__cmd_number(cmd, c->npieces);
    for (size_t i = 0; i < c->npieces; i++) {
        const struct piece *piece = &c->pieces[i];
        const struct asq__entry *e = piece->entry;
        asq__cmd_put(cmd, frame_mode(piece), 1);
        asq__cmd_number(cmd,
                        (uint64_t) asq__commit_record_ms(p->w, asq__batch_is_nested(e->batch)));
        asq__cmd_put(cmd, piece->frame.data, piece->frame.len);
        asq__cmd_number(cmd, (*e->batch->reply != '\0') + e->nchannels);
        if (*e->batch->reply)
            put_channel(cmd, p, e->batch->reply);
        for (size_t k = 0; k < e->nchannels; k++)
            put_channel(cmd, p, e->channels[k]);
    }
    asq__cmd_number(cmd, c->nremoved);
    for (size_t i = 0; i < c->nremoved; i++) {
        char id[ASQ__STREAM_ID_TEXT];
        asq__stream_id_format(c->removed[i], id);
        asq__cmd_puts(cmd, id);
    }
    for (size_t i = 0; i < c->nmarks; i++)
        set_marks += *c->marks[i].value != '\0';
    asq__cmd_number(cmd, set_marks);
    for (size_t i = 0; i < c->nmarks; i++)
        if (*c->marks[i].value) {
            asq__cmd_puts(cmd, c->marks[i].field);
            asq__cmd_puts(cmd, c->marks[i].value);
        }
    asq__cmd_number(cmd, c->nmarks - set_marks);
    for (size_t i = 0; i < c->nmarks; i++)
        if (!*c->marks[i].value)
            asq__cmd_puts(cmd, c->marks[i].field);
    asq__cmd_number(cmd, c->ndeads);
    for (size_t i = 0; i < c->ndeads; i++) {
        const struct dead *d = &c->deads[i];
        asq__cmd_number(cmd, p->w->config.max_dead_letters);
        asq__cmd_number(cmd, p->w->config.max_dead_letters_size);
        asq__cmd_puts(cmd, d->label);
        asq__cmd_puts(cmd, d->call);
        asq__cmd_puts(cmd, d->reason);
        asq__cmd_number(cmd, d->attempts);
        asq__cmd_puts(cmd, p->w->config.id);
        asq__cmd_put(cmd, d->batch, d->n);
    }
    asq__cmd_number(cmd, c->nmoves);
    for (size_t i = 0; i < c->nmoves; i++) {
        const struct move *m = &c->moves[i];
        char batch[2 * ASQ__BATCH_ID];
        asq__hex(batch, m->batch, ASQ__BATCH_ID);
        asq__cmd_put(cmd, batch, sizeof batch);
        if (m->entry)
            asq__cmd_number(cmd, m->due_ms);
        else
            asq__cmd_put(cmd, "", 0);
        asq__cmd_put(cmd, m->kept, m->n);
    }
}

/* Sends the given commits, of different partitions, in one script call. */
static void send_script(struct asq__process *w, struct asq__commit *const *commits, size_t n)
{
    uint32_t number = commits[0]->part->number;
    struct asq__cmd *cmd = &w->commit_cmd;
    struct script *s = malloc(sizeof *s);
    size_t nkeys = 0;
    for (size_t i = 0; i < n; i++)
        nkeys += KEYS + commits[i]->npieces + (commits[i]->nmoves ? LATER_KEYS : 0);
    asq__script_begin(cmd, asq__redis_scripts(w->redis, number), ASQ__SCRIPT_COMMIT, nkeys);
    for (size_t i = 0; i < n; i++)
        put_keys(cmd, commits[i]);
    asq__cmd_number(cmd, n);
    for (size_t i = 0; i < n; i++)
        put_section(cmd, commits[i]);
    bool ok = s != NULL;
    if (ok) {
        s->w = w;
        s->n = n;
        s->large = false;
        for (size_t i = 0; i < n; i++) {
            s->sections[i] =
                (struct section){ commits[i]->part, commits[i]->part->ownership, commits[i]->seq };
            s->large |= commits[i]->bytes > LARGE_BYTES;
        }
        ok = asq__conn_send(asq__redis_conn(w->redis, number), on_committed, s, cmd) == 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (ok) {
            commits[i]->sent = true;
            commits[i]->part->unsent--;
            commits[i]->part->in_flight++;
        } else {
            begin_recovery(commits[i]->part); /* Redis is away, or memory short: later */
        }
    }
    if (ok) {
        w->scripts_in_flight++;
        w->large_in_flight += s->large;
    } else {
        free(s);
    }
    asq__cmd_reset(cmd);
}

/* Returns the next commit of a partition that may leave now, closed; or NULL. */
static struct asq__commit *next_to_send(struct asq__partition *p)
{
    const struct asq__commit *open = p->open;
    if (!asq__partition_is_owned(p))
        return NULL;
    if (open && (!p->in_flight || open->calls >= FULL_CALLS || open->bytes >= BYTES_PER_SCRIPT))
        close_open(p);
    if (!p->unsent ||
        p->recovering) /* commits leave in order, once the outcome of earlier ones is known */
        return NULL;
    ASQ__LIST_EACH (it, &p->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->sent)
            continue;
        if (c->bytes > asq__redis_max_string(p->w->redis) && give_up_large(p, c))
            return NULL;
        return c;
    }
    return NULL;
}

void asq__commits_send(struct asq__process *w)
{
    struct asq__commit *commits[SECTIONS_PER_SCRIPT];
    struct asq__list more;
    size_t n = 0, bytes = 0, large = 0;
    asq__list_init(&more);
    ASQ__LIST_EACH (it, &w->ready) {
        struct asq__partition *p = ASQ__CONTAINER(it, struct asq__partition, ready);
        if (w->scripts_in_flight >= SCRIPTS_IN_FLIGHT + w->large_in_flight)
            break;
        struct asq__commit *c = next_to_send(p);
        if (c && c->bytes > LARGE_BYTES && w->large_in_flight + large >= LARGE_IN_FLIGHT)
            c = NULL; /* leaves in its turn */
        if (c) {
            asq__list_del(&p->ready);
            if (p->open || p->unsent > 1)
                asq__list_add(&more, &p->ready); /* behind the others */
            commits[n++] = c;
            bytes += c->bytes;
            large += c->bytes > LARGE_BYTES;
        } else if ((!p->open && (!p->unsent || p->recovering)) || !asq__partition_is_owned(p)) {
            asq__list_del(&p->ready); /* comes back with its next commit, or after recovery */
        }
        if (n && (n == SECTIONS_PER_SCRIPT || bytes > BYTES_PER_SCRIPT)) {
            send_script(w, commits, n);
            n = bytes = large = 0;
        }
    }
    if (n)
        send_script(w, commits, n);
    asq__list_splice(&w->ready, &more);
}

/* ---- recovering ---- */

struct question {
    struct asq__partition *p;
    uint64_t ownership;
};

/* Returns the partition of a question if the answer still matters; else NULL. */
static struct asq__partition *answered(struct question *q)
{
    struct asq__partition *p = q->p;
    bool current = p->ownership == q->ownership && asq__partition_is_owned(p) && p->recovering;
    free(q);
    if (!current)
        return NULL;
    p->asking = false;
    return p;
}

static void recovered(struct asq__partition *p)
{
    p->recovering = false;
    ASQ__LIST_EACH (it, &p->commits)
        if (give_up_large(p, ASQ__CONTAINER(it, struct asq__commit, node)))
            return;
    p->unsent = 0;
    ASQ__LIST_EACH (it, &p->commits) {
        ASQ__CONTAINER(it, struct asq__commit, node)->sent = false;
        p->unsent++;
    }
    if (p->unsent && asq__list_empty(&p->ready))
        asq__list_add(&p->w->ready, &p->ready);
    asq__nested_go_on(p);
    asq__partition_release_if_empty(p);
    asq__partition_resume_later(p);
}

static void on_there(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__partition *p = answered(user);
    (void) conn;
    if (!p)
        return;
    if (!reply || asq__reply_is_transient(reply))
        begin_recovery(p);
    else if (reply->type == REDIS_REPLY_INTEGER && reply->integer == 0)
        asq__partition_abandon(p, "Redis has lost a call that was taken in");
    else
        recovered(p);
}

static void put_id(struct asq__node *node, void *user)
{
    char id[ASQ__STREAM_ID_TEXT];
    asq__stream_id_format(ASQ__CONTAINER(node, struct asq__entry, node)->id, id);
    asq__cmd_puts(user, id);
}

/* Asks whether Redis still has the calls that this worker has. A lost call must have no effect before
 * its caller has sent it again, at another place in the order. */
static void look_at_entries(struct asq__partition *p)
{
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    if (p->entries.count == 0) {
        recovered(p);
        return;
    }
    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_there, 1);
    asq__cmd_put(&cmd, key, asq__keys_jobs(asq__redis_keys(p->w->redis), p->number, key));
    asq__table_each(&p->entries, put_id, &cmd);
    struct question *q = malloc(sizeof *q);
    if (q) {
        *q = (struct question){ p, p->ownership };
        p->asking = asq__conn_send(asq__redis_conn(p->w->redis, p->number), on_there, q, &cmd) == 0;
    }
    asq__cmd_release(&cmd);
    if (!p->asking) {
        free(q);
        begin_recovery(p);
    }
}

static void on_lease(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct asq__partition *p = answered(user);
    (void) conn;
    if (!p)
        return;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != 2) {
        begin_recovery(p);
        return;
    }
    const redisReply *token = reply->element[0], *seq = reply->element[1];
    if (token->type != REDIS_REPLY_STRING || strcmp(token->str, p->token) != 0) {
        asq__partition_abandon(p, "its lease holds another token");
        return;
    }
    const char *text = seq->type == REDIS_REPLY_STRING ? seq->str : "0";
    uint64_t held;
    if (!asq__decimal_read(&text, &held) || *text || held > p->seq) {
        asq__partition_abandon(p, foreign_seq);
        return;
    }
    if (held < p->acked) {
        /* Redis has lost the tail of its history, so what this worker has in memory is wrong. */
        asq__partition_abandon(p, "Redis has gone back in time");
        return;
    }
    ASQ__LIST_EACH (it, &p->commits) {
        struct asq__commit *c = ASQ__CONTAINER(it, struct asq__commit, node);
        if (c->seq <= held && c->unheard)
            acknowledged(c);
    }
    if (p->acked != held) {
        /* Refused or unsent commits had no effect, whatever seq somebody writes there. */
        asq__partition_abandon(p, foreign_seq);
        return;
    }
    if (asq__partition_is_owned(p)) /* memory may have been short */
        look_at_entries(p);
}

void asq__commits_doubt(struct asq__process *w)
{
    for (uint32_t i = 0; i < w->nparts; i++)
        if (asq__partition_is_owned(&w->parts[i]))
            w->parts[i].recovering = true;
}

void asq__commits_recover(struct asq__process *w)
{
    char key[ASQ__KEY_MAX];
    bool again = false;
    for (uint32_t i = 0; i < w->nparts; i++) {
        struct asq__partition *p = &w->parts[i];
        if (!p->recovering || p->asking || !asq__partition_is_owned(p))
            continue;
        /* All scripts under way must be answered first, so that what is read is final. */
        struct question *q = p->in_flight ? NULL : malloc(sizeof *q);
        if (!q) {
            again = true;
            continue;
        }
        q->p = p;
        q->ownership = p->ownership;
        asq__keys_lease(asq__redis_keys(w->redis), i, key);
        if (asq__conn_cmd(asq__redis_conn(w->redis, i), on_lease, q, "HMGET", key, "token", "seq",
                          NULL) < 0) {
            free(q);
            again = true;
        } else {
            p->asking = true;
        }
    }
    if (again && !ev_is_active(&w->retry)) {
        asq__timer_restart(w->loop, &w->retry, RETRY_MS / 1000., 0.);
    }
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
                 "%s; its %zu bytes are not kept, because this Redis takes %zu as one string",
                 reason, n, limit);
        reason = too_large;
        n = 0;
    }
    struct dead d = { strdup(label), strdup(call), strdup(reason), attempts, malloc(n + 1), n };
    if (!c || !d.label || !d.call || !d.reason || !d.batch || !GROW(c, deads)) {
        dead_release(&d);
        asq__partition_abandon(p, "out of memory");
        return;
    }
    if (n)
        memcpy(d.batch, batch, n);
    c->deads[c->ndeads++] = d;
    c->bytes += n;
    atomic_fetch_add(&p->w->dead, 1);
    asq__process_log_some(p->w, ASQ_LOG_ERROR, "partition %u: %s is a dead letter now: %s",
                          p->number, label, reason);
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
