/*
 * backlog.c: decides which entries of a stream the process holds in memory. A process holds waiting
 * entries up to a number of bytes (--max-backlog-size). Beyond that, calls are left in the stream,
 * where they are anyway, and read again later (backlog_read.c). No agent has to wait for another
 * agent's calls:
 *
 *     not full                  full                                 notes are full as well
 *     ───────────────────────   ──────────────────────────────────   ─────────────────────────────
 *     all is taken in, but      an idle agent's call is admitted;    everything from here on is
 *     calls to agents with      calls to busy agents are noted       left (`all`), and read again
 *     notes are noted                                                from there when there is room
 *
 * A note is the id of an entry, in a queue of its agent (notes.c), in a few bytes. As long as an
 * agent has notes, all further calls to it are noted behind them, so its calls stay in their order.
 * Admitted entries may take a quarter of the bound beyond it (and one large entry more), so a full
 * memory always leaves room for an idle agent's call. Entries that await results of other calls may
 * take half of that quarter, so the awaited calls find room.
 *
 * An entry may have calls to several agents. Calls to agents without notes are taken in. The other
 * calls are left, and the entry is noted for each of their agents. When all calls that were taken
 * in are done and committed, the entry leaves memory, not the stream
 * (asq__entry_release_if_done()). When the entry is read again for one of its agents, it is looked
 * up like an entry that another owner had begun: its result record tells which calls were run.
 *
 *     seen ──▶ noted for A and B ──A is thirsty──▶ taken in, B's calls left ──▶ A's calls committed
 *                  ▲                                                                 │ out of memory
 *                  └───────────────── note of B stays ◀──────────────────────────────┘
 *
 * Each entry with calls that are left, and not ended, has a note for each of their agents, or is at
 * or behind `from`; every other entry is in memory. Notes are lost with the partition: its next
 * owner reads the stream from its start.
 *
 * Control jobs, and calls made inside methods, are always taken in, because calls in memory may be
 * waiting for them. The reader goes on meanwhile, so read_to tells how far the stream has been
 * seen.
 */
#include "asqueue.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/backlog.h"
#include "worker/backlog_state.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"
#include "worker/core/notes.h"
#include "worker/core/stream_id.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL_BYTES = 64 * 1024,
    ADMIT_SHARE = 4, /* of --max-backlog-size, beyond it */
    NOTES_SHARE = 8, /* part of --max-backlog-size for notes */
    NOTES_AT_LEAST = 4096,
    LOOK_AT_MOST = 10000, /* calls and agents counted for the log */
    FEW = 8,              /* calls of a mailbox that cannot start, from which on no more are read */
    MAX_CANCELS = 100000
};

/* A cancelled call that may have been left in the stream. */
struct canceled {
    struct asq__node node;
    struct asq__call_id id;
};

/* ---- how much is held ---- */

bool asq__backlog_is_full(const struct asq__partition *p, size_t bytes, size_t entries)
{
    const struct asq__process *w = p->w;
    return atomic_load_explicit(&w->held_bytes, memory_order_relaxed) > bytes + w->admitted_bytes &&
           (p->entries.count >= entries || p->held_bytes > SMALL_BYTES);
}

bool asq__backlog_may_admit(const struct asq__partition *p, size_t coming, size_t bytes,
                            bool needs_inputs, unsigned times)
{
    const struct asq__process *w = p->w;
    size_t limit = w->config.max_backlog_size / ADMIT_SHARE;
    limit = (limit < SMALL_BYTES ? SMALL_BYTES : limit) / (needs_inputs ? 2 : 1) * times;
    size_t used = w->admitted_bytes + coming;
    if (used + bytes <= limit || used <= limit / 2) /* so that a large entry gets room, too */
        return true;
    return (!p->admitted && !coming) || (p->admitted < ASQ__BACKLOG_AT_LEAST &&
                                         coming + bytes <= SMALL_BYTES / ASQ__BACKLOG_AT_LEAST);
}

static size_t notes_limit(const struct asq__process *w)
{
    size_t limit = w->config.max_backlog_size / NOTES_SHARE;
    return limit < SMALL_BYTES ? SMALL_BYTES : limit;
}

bool asq__backlog_can_note(const struct asq__partition *p)
{
    return p->w->noted_bytes <= notes_limit(p->w) / 2 || p->backlog->bytes <= NOTES_AT_LEAST / 2;
}

/* ---- agents ---- */

/* Returns whether no call concerns the agent: a call to it would begin at once. */
static bool is_idle(const struct asq__partition *p, const char *id)
{
    const struct asq__actor *a = asq__actors_find(&p->actors, id, strlen(id));
    return !a || !a->calls || (!a->calls->mailbox.n_active && !asq__actor_has_queued(a));
}

bool asq__left_is_thirsty(const struct asq__partition *p, const struct asq__left *l)
{
    const struct asq__actor *a = asq__actors_find(&p->actors, l->id, l->id_n);
    if (!a || !a->calls)
        return true;
    const struct asq__mailbox *m = &a->calls->mailbox;
    if (m->turn || m->n_active != m->n_active_shared)
        return false;
    /* Calls that share the agent begin beside each other; others may wait for results. */
    size_t few = m->n_active ? 1 : FEW, n = 0;
    ASQ__LIST_EACH (it, &m->queue)
        if (++n == few)
            return false;
    return true;
}

static const void *left_key(const struct asq__node *node, size_t *n)
{
    const struct asq__left *l = ASQ__CONTAINER(node, struct asq__left, node);
    *n = l->id_n;
    return l->id;
}

static struct asq__left *find_left(const struct asq__partition *p, const char *id, size_t n)
{
    struct asq__node *node = p->backlog ? asq__table_find(&p->backlog->left, id, n) : NULL;
    return node ? ASQ__CONTAINER(node, struct asq__left, node) : NULL;
}

bool asq__backlog_has(const struct asq__partition *p, const char *agent)
{
    return find_left(p, agent, strlen(agent)) != NULL;
}

bool asq__backlog_defers(const struct asq__partition *p, const char *agent,
                         struct asq__stream_id id)
{
    const struct asq__left *l = find_left(p, agent, strlen(agent));
    struct asq__note note;
    if (!l)
        return false;
    struct asq__notes_place place = asq__notes_begin(&l->notes);
    return asq__notes_next(&l->notes, &place, &note) &&
           asq__stream_id_is_at_most((struct asq__stream_id){ note.ms, note.n }, id);
}

void asq__backlog_actor_passive(struct asq__actor *a)
{
    struct asq__left *l = find_left(a->part, a->id, a->id_n);
    if (l && !asq__actor_is_orphan(a) && asq__list_empty(&l->thirsty) &&
        asq__left_is_thirsty(a->part, l))
        asq__list_add(&a->part->backlog->thirsty, &l->thirsty);
}

static void mark_actor(const struct asq__partition *p, const struct asq__left *l, bool left)
{
    struct asq__actor *a = asq__actors_find(&p->actors, l->id, l->id_n);
    if (a)
        a->left = left;
}

/* ---- notes ---- */

static void count_bytes(struct asq__partition *p, struct asq__left *l)
{
    size_t bytes = sizeof *l + l->id_n + l->notes.bytes;
    p->w->noted_bytes += bytes - l->bytes;
    p->backlog->bytes += bytes - l->bytes;
    l->bytes = bytes;
}

static void free_left(struct asq__partition *p, struct asq__left *l)
{
    struct asq__backlog *b = p->backlog;
    p->w->noted_bytes -= l->bytes;
    b->bytes -= l->bytes;
    b->noted_calls -= l->calls;
    asq__table_del(&b->left, &l->node);
    asq__list_del(&l->order);
    asq__list_del(&l->thirsty);
    asq__notes_free(&l->notes);
    free(l);
}

static struct asq__left *add_left(struct asq__partition *p, const char *id)
{
    size_t n = strlen(id);
    struct asq__left *l = calloc(1, sizeof *l + n + 1);
    if (!l)
        return NULL;
    memcpy(l->id, id, n);
    l->id_n = (uint32_t) n;
    asq__list_init(&l->order);
    asq__list_init(&l->thirsty);
    asq__table_add(&p->backlog->left, &l->node);
    asq__list_add(&p->backlog->agents, &l->order);
    count_bytes(p, l);
    return l;
}

/* Makes room for one more note of the agent. False: notes take too much memory, or none is left. */
static bool reserve(struct asq__partition *p, const char *agent)
{
    struct asq__left *l = find_left(p, agent, strlen(agent));
    if (p->w->noted_bytes > notes_limit(p->w) && p->backlog->bytes > NOTES_AT_LEAST)
        return false;
    if ((!l && !(l = add_left(p, agent))) || !asq__notes_reserve(&l->notes))
        return false;
    count_bytes(p, l);
    return true;
}

static void note_for(struct asq__partition *p, const char *agent, const struct asq__note *note)
{
    struct asq__left *l = find_left(p, agent, strlen(agent));
    if (!l->notes.count || l->notes.last_ms != note->ms || l->notes.last_n != note->n)
        asq__notes_add(&l->notes, note); /* otherwise another call of the entry has added it */
    l->calls++;
    p->backlog->noted_calls++;
    mark_actor(p, l, true);
    if (asq__list_empty(&l->thirsty) && asq__left_is_thirsty(p, l))
        asq__list_add(&p->backlog->thirsty, &l->thirsty);
}

void asq__left_pop(struct asq__partition *p, struct asq__left *l)
{
    size_t calls = l->notes.count ? l->calls / l->notes.count : 0;
    asq__notes_pop(&l->notes);
    if (!l->notes.count) {
        mark_actor(p, l, false);
        free_left(p, l);
        return;
    }
    l->calls -= calls;
    p->backlog->noted_calls -= calls;
    count_bytes(p, l);
}

static void drop_empty(struct asq__partition *p, const Asqueue__Batch *batch)
{
    for (size_t i = 0; i < batch->n_jobs; i++) {
        struct asq__left *l = find_left(p, batch->jobs[i]->agent, strlen(batch->jobs[i]->agent));
        if (l && !l->notes.count)
            free_left(p, l);
    }
}

/* ---- where an entry goes ---- */

/* Returns the agent with the most waiting calls, among the first busy ones; NULL: none is busy. */
static const struct asq__actor *busiest(const struct asq__partition *p, size_t *ret_calls)
{
    const struct asq__actor *found = NULL;
    size_t steps = 0, most = 0;
    ASQ__LIST_EACH (it, &p->actors.busy) {
        const struct asq__actor *a = ASQ__CONTAINER(it, struct asq__actor, where);
        size_t n = 0;
        if (!a->calls)
            continue;
        ASQ__LIST_EACH (call, &a->calls->mailbox.queue) {
            n++;
            if (++steps == LOOK_AT_MOST)
                break;
        }
        if (n > most) {
            most = n;
            found = a;
        }
        if (++steps >= LOOK_AT_MOST)
            break;
    }
    *ret_calls = most;
    return found;
}

/* Logs the beginning of each backlog, once; lines of many partitions are counted, see lines.h. */
static void log_begin(const struct asq__partition *p)
{
    size_t calls;
    const struct asq__actor *a = busiest(p, &calls);
    asq__process_log_some(
        p->w, ASQ_LOG_WARNING,
        "partition %u: more calls wait than this process may hold in memory (--max-backlog-size "
        "%zu): calls that cannot run yet stay in Redis for now; calls to idle agents are "
        "served%s%s%s",
        p->number, p->w->config.max_backlog_size, a ? "; most calls in memory wait for agent " : "",
        a ? a->id : "", a ? " (`look stuck` shows what the agent is doing)" : "");
}

/* Leaves this entry and all later ones in the stream. */
static void defer_all(struct asq__partition *p, struct asq__stream_id id)
{
    struct asq__backlog *b = p->backlog;
    b->all = true;
    b->from = id;
    asq__process_log_some(
        p->w, ASQ_LOG_WARNING,
        "partition %u: too many calls wait: memory beyond --max-backlog-size %zu has no room for "
        "the creation of an agent, or for the places of calls in Redis; all calls of the "
        "partition wait until there is room",
        p->number, p->w->config.max_backlog_size);
}

static bool open_backlog(struct asq__partition *p)
{
    struct asq__backlog *b = p->backlog ? NULL : calloc(1, sizeof *b);
    if (!b)
        return p->backlog != NULL;
    if (asq__table_init(&b->left, left_key) < 0) {
        free(b);
        return false;
    }
    asq__list_init(&b->agents);
    asq__list_init(&b->thirsty);
    p->backlog = b;
    asq__list_add(&p->w->leaving, &p->leaving);
    log_begin(p);
    return true;
}

static bool needs_inputs(const Asqueue__Batch *batch)
{
    for (size_t i = 0; i < batch->n_jobs; i++)
        if (batch->jobs[i]->inputs)
            return true;
    return false;
}

/* Returns whether the batch creates a new agent. No entry may pass the creation, because calls
 * behind it may go to agents that call the new one. */
static bool creates_new(const struct asq__partition *p, const Asqueue__Batch *batch)
{
    for (size_t i = 0; i < batch->n_jobs; i++) {
        const Asqueue__Job *job = batch->jobs[i];
        if ((job->kind == ASQUEUE__JOB_KIND__CREATE ||
             job->kind == ASQUEUE__JOB_KIND__GET_OR_CREATE) &&
            is_idle(p, job->agent) && !asq__backlog_has(p, job->agent))
            return true;
    }
    return false;
}

/* Notes the entry for the agents of its calls that have to wait. False: no room. */
static bool note(struct asq__partition *p, const struct asq__arrival *a, const bool *waits,
                 bool one_agent)
{
    const Asqueue__Batch *batch = a->batch;
    struct asq__note note = { .ms = a->id.ms,
                              .n = a->id.n,
                              .bytes = a->bytes,
                              .fresh = a->fresh && one_agent,
                              .out_of_order = a->out_of_order,
                              .needs_inputs = needs_inputs(batch) };
    for (size_t i = 0; i < batch->n_jobs; i++)
        if (waits[i] && !reserve(p, batch->jobs[i]->agent)) {
            drop_empty(p, batch);
            return false;
        }
    for (size_t i = 0; i < batch->n_jobs; i++)
        if (waits[i])
            note_for(p, batch->jobs[i]->agent, &note);
    return true;
}

enum asq__room asq__backlog_room(struct asq__partition *p, const struct asq__arrival *a)
{
    const Asqueue__Batch *batch = a->batch;
    bool full = asq__backlog_is_full(p, p->w->config.max_backlog_size, ASQ__BACKLOG_AT_LEAST);
    if (!full && !p->backlog)
        return ASQ__ROOM;
    if (p->backlog && p->backlog->all && !a->reread) {
        p->backlog->calls += batch->n_jobs;
        return ASQ__ROOM_NONE;
    }
    bool small[64], *waits = batch->n_jobs <= 64 ? small : malloc(batch->n_jobs * sizeof *waits);
    if (!waits)
        return ASQ__ROOM_NO_MEMORY;
    /* Busy agents show only when all earlier entries are dispatched. */
    bool creates = full && creates_new(p, batch);
    bool none = full && ((!asq__list_empty(&p->intake) && !creates) ||
                         !asq__backlog_may_admit(p, 0, a->bytes, needs_inputs(batch), 1));
    bool one_agent = true;
    size_t n = 0;
    for (size_t i = 0; i < batch->n_jobs; i++) {
        const char *agent = batch->jobs[i]->agent;
        waits[i] = none || asq__backlog_has(p, agent) || (full && !is_idle(p, agent));
        n += waits[i];
        one_agent &= strcmp(agent, batch->jobs[0]->agent) == 0;
    }
    enum asq__room room = n == batch->n_jobs ? ASQ__ROOM_NOTED
                          : full             ? ASQ__ROOM_ADMITTED
                                             : ASQ__ROOM;
    if (n && !open_backlog(p)) {
        room = ASQ__ROOM_NO_MEMORY;
    } else if (n && ((none && creates) || !note(p, a, waits, one_agent))) {
        room = ASQ__ROOM_NONE;
        if (!p->backlog->all) {
            defer_all(p, a->id);
            p->backlog->calls += batch->n_jobs;
        }
    } else if (a->reread) {
        size_t *calls = &p->backlog->calls;
        *calls -= batch->n_jobs < *calls ? batch->n_jobs : *calls;
    }
    if (waits != small)
        free(waits);
    return room;
}

size_t asq__backlog_calls(const struct asq__partition *p)
{
    return p->backlog ? p->backlog->calls + p->backlog->noted_calls : 0;
}

static const void *canceled_key(const struct asq__node *node, size_t *n)
{
    const struct canceled *c = ASQ__CONTAINER(node, struct canceled, node);
    *n = sizeof c->id;
    return &c->id;
}

static void free_canceled(struct asq__node *node, void *user)
{
    (void) user;
    free(ASQ__CONTAINER(node, struct canceled, node));
}

void asq__backlog_drop(struct asq__partition *p)
{
    struct asq__backlog *b = p->backlog;
    if (!b)
        return;
    asq__list_del(&p->leaving);
    ASQ__LIST_EACH (it, &b->agents)
        free_left(p, ASQ__CONTAINER(it, struct asq__left, order));
    asq__table_release(&b->left);
    if (b->has_cancels) {
        asq__table_each(&b->canceled, free_canceled, NULL);
        asq__table_release(&b->canceled);
    }
    free(b);
    p->backlog = NULL;
}

void asq__backlog_check_end(struct asq__partition *p)
{
    const struct asq__backlog *b = p->backlog;
    if (!b || b->all || b->reading || b->left.count ||
        asq__backlog_is_full(p, p->w->config.max_backlog_size / 2, ASQ__BACKLOG_AT_LEAST / 2))
        return;
    asq__backlog_drop(p);
    asq__process_log_some(
        p->w, ASQ_LOG_INFO,
        "partition %u: the calls that were left in Redis have been read into memory", p->number);
}

/* ---- cancelling calls that are left ---- */

void asq__backlog_cancel(struct asq__partition *p, const struct asq__call_id *id)
{
    struct asq__backlog *b = p->backlog;
    if (!b)
        return; /* the backlog has ended */
    if (!b->has_cancels && asq__table_init(&b->canceled, canceled_key) == 0)
        b->has_cancels = true;
    if (!b->has_cancels || b->canceled.count >= MAX_CANCELS ||
        asq__table_find(&b->canceled, id, sizeof *id))
        return; /* without room for the cancel, the call runs, as if it had begun already */
    struct canceled *c = calloc(1, sizeof *c);
    if (!c)
        return;
    c->id = *id;
    asq__table_add(&b->canceled, &c->node);
}

bool asq__backlog_take_cancel(struct asq__partition *p, const struct asq__call_id *id)
{
    struct asq__backlog *b = p->backlog;
    struct asq__node *node =
        b && b->has_cancels ? asq__table_find(&b->canceled, id, sizeof *id) : NULL;
    if (!node)
        return false;
    asq__table_del(&b->canceled, node);
    free_canceled(node, NULL);
    return true;
}
