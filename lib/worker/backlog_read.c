/*
 * backlog_read.c: reads entries again that were left in a stream, one read of a partition at a
 * time:
 *
 * - Noted entries are read by their ids. As long as the process holds half of its bound or more,
 *   only agents without work (thirsty) get theirs: a few entries each, admitted beyond the bound.
 *   Otherwise all agents get theirs in turn. An entry that is in the intake already, for another
 *   agent, is put off: its calls come behind the ones noted before it.
 * - Where all entries were left (`all`), the stream is read from there on, by read.lua. Each entry
 *   is taken in, or noted.
 *
 * A note is removed when its entry has been taken in, or is gone: cancelled, or removed by people.
 * A lost answer or a refusal leaves the notes as they are; their entries are read again within a
 * second.
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
#include "redis/script.h"
#include "value/clock.h"
#include "value/list.h"
#include "worker/backlog.h"
#include "worker/backlog_state.h"
#include "worker/core/notes.h"
#include "worker/core/stream_id.h"
#include "worker/intake.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/read_budget.h"

enum {
    READ_AT_ONCE = 128,
    FEW = 16, /* entries read for one agent, while other agents wait for theirs */
    FEW_BYTES = 64 * 1024,
    LOOK_AT = 256, /* agents, at the end of one iteration */
    STARVING_MS = 1000
};

static bool is_free(const struct asq__partition *p, size_t bytes)
{
    return !asq__backlog_is_full(p, bytes, ASQ__BACKLOG_AT_LEAST / 2);
}

/* ---- noted entries ---- */

struct pick {
    struct asq__left *left; /* NULL: not in this read */
    struct asq__note note;
};

/* One read under way. */
struct fetch {
    struct asq__partition *p;
    uint64_t ownership;
    size_t bytes; /* reserved for its answers */
    size_t n, answered;
    bool admitted; /* the entries are admitted beyond the bound */
    bool failed;   /* no more of its entries are taken in */
    struct pick picks[READ_AT_ONCE];
};

static bool note_refusal(struct asq__partition *p, const redisReply *reply)
{
    if (asq__reply_is_wrong_type(reply)) {
        asq__partition_abandon(p, "its jobs key is not a stream"); /* the next claim mends it */
        return false;
    }
    if (reply && !asq__reply_is_transient(reply))
        asq__process_log_some_about(p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
                                    "partition %u: reading its backlog: %s", p->number,
                                    asq__reply_text(reply));
    p->backlog->refused = true;
    return false;
}

static bool is_awaited(const struct fetch *f)
{
    const struct asq__partition *p = f->p;
    return p->ownership == f->ownership && p->backlog && asq__partition_is_owned(p);
}

/* Puts off an agent, because its entry is about to be dispatched for another one: the next read
 * brings it. */
static void put_off(struct fetch *f, const struct asq__left *l)
{
    f->p->backlog->put_off = true;
    for (size_t i = f->answered; i < f->n; i++)
        if (f->picks[i].left == l)
            f->picks[i].left = NULL;
}

/* Takes in one entry of a read. False: no more entries of the read may be taken in. */
static bool take(struct fetch *f, struct pick *pick, const redisReply *reply)
{
    struct asq__partition *p = f->p;
    if (!reply || reply->type != REDIS_REPLY_ARRAY)
        return note_refusal(p, reply);
    if (!pick->left)
        return true;
    bool put = reply->elements &&
               !asq__intake_noted(p, reply->element[0], &pick->note, pick->left->id, f->admitted);
    if (!is_awaited(f))
        return false; /* taking in an entry may end in losing the partition */
    pick->left->taken_upto = p->intake_in;
    if (put)
        put_off(f, pick->left);
    else
        asq__left_pop(p, pick->left);
    return true;
}

static void on_noted(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct fetch *f = user;
    struct asq__partition *p = f->p;
    struct pick *pick = &f->picks[f->answered++];
    (void) c;
    if (is_awaited(f) && !f->failed)
        f->failed = !take(f, pick, reply);
    if (f->answered < f->n)
        return;
    asq__read_end(p->w, f->bytes);
    bool current = is_awaited(f);
    free(f);
    if (!current)
        return;
    p->backlog->reading = false;
    asq__intake_resume(p);
}

/* Picks the first notes of an agent, as many as there is room for. */
static void pick_of(struct fetch *f, struct asq__left *l, size_t most, size_t *bytes,
                    size_t most_bytes)
{
    struct asq__notes_place place = asq__notes_begin(&l->notes);
    struct asq__note note;
    size_t few = 0, few_bytes = 0;
    while (f->n < READ_AT_ONCE && few < most && asq__notes_next(&l->notes, &place, &note)) {
        if (f->admitted &&
            ((few && few_bytes + note.bytes > FEW_BYTES) ||
             !asq__backlog_may_admit(f->p, *bytes, note.bytes, note.needs_inputs, 1)))
            return;
        if (f->n && *bytes + note.bytes > most_bytes)
            return;
        f->picks[f->n++] = (struct pick){ l, note };
        few++;
        few_bytes += note.bytes;
        *bytes += note.bytes;
    }
}

static bool first_note(const struct asq__left *l, struct asq__note *ret)
{
    struct asq__notes_place place = asq__notes_begin(&l->notes);
    return asq__notes_next(&l->notes, &place, ret);
}

/* Picks the oldest entry when no entry has found room for a while, because the calls that hold the
 * room may be waiting for a call that is left. A second share, as large as the first, gives the
 * entry room. An entry that awaits results has room in any case, so in the end each awaited call
 * has its turn. */
static void pick_oldest(struct fetch *f)
{
    struct asq__partition *p = f->p;
    struct asq__left *oldest = NULL;
    struct asq__note note, first = { 0 };
    ASQ__LIST_EACH (it, &p->backlog->thirsty) {
        struct asq__left *l = ASQ__CONTAINER(it, struct asq__left, thirsty);
        if (l->taken_upto > p->intake_out || !asq__left_is_thirsty(p, l) || !first_note(l, &note) ||
            (!note.needs_inputs && !asq__backlog_may_admit(p, 0, note.bytes, false, 2)))
            continue;
        if (!oldest || note.ms < first.ms || (note.ms == first.ms && note.n < first.n)) {
            oldest = l;
            first = note;
        }
    }
    if (oldest)
        f->picks[f->n++] = (struct pick){ oldest, first };
}

/* Picks notes of agents without work. */
static void pick_thirsty(struct fetch *f)
{
    struct asq__partition *p = f->p;
    struct asq__backlog *b = p->backlog;
    struct asq__list seen, *node;
    int64_t now = asq__now_ms_coarse();
    size_t bytes = 0, n = 0;
    asq__list_init(&seen);
    while (f->n < READ_AT_ONCE && n++ < LOOK_AT && bytes < f->bytes &&
           (node = asq__list_pop(&b->thirsty))) {
        struct asq__left *l = ASQ__CONTAINER(node, struct asq__left, thirsty);
        if (!asq__left_is_thirsty(p, l))
            continue; /* comes back when it is thirsty, see asq__backlog_actor_passive() */
        asq__list_add(&seen, &l->thirsty);
        if (l->taken_upto > p->intake_out)
            continue; /* the entry read last has not reached the agent yet */
        pick_of(f, l, FEW, &bytes, f->bytes);
    }
    asq__list_splice(&b->thirsty, &seen); /* behind the others */
    if (!f->n && b->starved_ms && now - b->starved_ms >= STARVING_MS)
        pick_oldest(f);
    b->starved_ms = f->n || asq__list_empty(&b->thirsty) ? 0 : b->starved_ms ? b->starved_ms : now;
}

/* Picks notes of all agents in turn. */
static void pick_any(struct fetch *f)
{
    struct asq__backlog *b = f->p->backlog;
    b->starved_ms = 0;
    size_t bytes = 0, agents = b->left.count,
           most = agents < READ_AT_ONCE / FEW ? READ_AT_ONCE / agents : FEW;
    for (size_t n = 0; n < agents && f->n < READ_AT_ONCE && bytes < f->bytes; n++) {
        struct asq__left *l = ASQ__CONTAINER(asq__list_pop(&b->agents), struct asq__left, order);
        asq__list_add(&b->agents, &l->order);
        pick_of(f, l, most, &bytes, f->bytes);
    }
}

static void ask(struct fetch *f)
{
    struct asq__partition *p = f->p;
    struct asq__process *w = p->w;
    char key[ASQ__KEY_MAX], id[ASQ__STREAM_ID_TEXT];
    size_t sent = 0;
    asq__keys_jobs(asq__redis_keys(w->redis), p->number, key);
    for (; sent < f->n; sent++) {
        const struct asq__note *note = &f->picks[sent].note;
        asq__stream_id_format((struct asq__stream_id){ note->ms, note->n }, id);
        if (asq__conn_cmd(asq__redis_conn(w->redis, p->number), on_noted, f, "XRANGE", key, id, id,
                          NULL) < 0)
            break;
    }
    f->n = sent; /* less if Redis is away or memory short: the rest is requested again */
    p->backlog->reading = sent > 0;
    p->backlog->refused = sent == 0;
}

static void read_noted(struct asq__partition *p)
{
    struct asq__backlog *b = p->backlog;
    bool any = is_free(p, p->w->config.max_backlog_size / 2);
    b->put_off &= !asq__list_empty(&p->intake);
    if (!b->left.count || (!any && asq__list_empty(&b->thirsty)) || b->put_off)
        return;
    struct fetch *f = malloc(sizeof *f);
    if (!f)
        return;
    f->n = f->answered = 0;
    f->failed = false;
    f->p = p;
    f->ownership = p->ownership;
    f->admitted = !any;
    f->bytes = asq__read_begin(p->w);
    if (any)
        pick_any(f);
    else
        pick_thirsty(f);
    if (f->n)
        ask(f);
    if (!f->n) {
        asq__read_end(p->w, f->bytes);
        free(f);
    }
}

/* ---- entries left without notes ---- */

struct reread {
    struct asq__partition *p;
    uint64_t ownership;
    size_t bytes;               /* reserved for its answer */
    struct asq__stream_id upto; /* end of the stream as seen when the read was sent */
};

static bool is_current(const struct reread *a)
{
    const struct asq__partition *p = a->p;
    return p->ownership == a->ownership && p->backlog && asq__partition_is_owned(p);
}

static size_t in_use(const struct asq__process *w)
{
    return atomic_load_explicit(&w->held_bytes, memory_order_relaxed) + w->noted_bytes;
}

static void take_all(const struct reread *a, const redisReply *reply)
{
    struct asq__partition *p = a->p;
    bool more = reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer;
    const redisReply *stream = reply->elements > 1 ? reply->element[1] : NULL;
    const redisReply *entries = stream && stream->type == REDIS_REPLY_ARRAY && stream->elements == 2
                                    ? stream->element[1]
                                    : NULL;
    for (size_t i = 0; entries && i < entries->elements; i++) {
        struct asq__stream_id id = p->backlog->from;
        bool taken = asq__intake_reread(p, entries->element[i], &id);
        if (!is_current(a))
            return; /* taking in an entry may end in losing the partition */
        p->backlog->from = id;
        if (!taken) {
            p->backlog->stopped_at = in_use(p->w);
            return;
        }
        p->backlog->from.n++; /* the next id */
    }
    struct asq__stream_id *from = &p->backlog->from;
    /* The last entries seen may have left the stream since: a cancel leaves it at once. */
    if (!more && asq__stream_id_is_at_most(*from, a->upto)) {
        *from = a->upto;
        from->n++;
    }
    if (!more && !asq__stream_id_is_at_most(*from, p->read_to)) {
        p->backlog->all = false; /* every entry seen is taken in, or noted */
        p->backlog->calls = 0;
    }
}

static void on_read(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct reread a = *(struct reread *) user;
    struct asq__partition *p = a.p;
    (void) c;
    asq__read_end(p->w, a.bytes);
    free(user);
    if (!is_current(&a))
        return;
    p->backlog->reading = false;
    p->backlog->stopped_at = 0;
    if (asq__reply_is_error(reply, "NOSCRIPT")) {
        asq__redis_reload_scripts(p->w->redis, p->number);
        return; /* at the end of the iteration it is read again */
    }
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements < 1) {
        note_refusal(p, reply);
        return;
    }
    take_all(&a, reply);
    if (is_current(&a))
        asq__intake_resume(p);
}

static void read_all(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    struct reread *a = malloc(sizeof *a);
    char key[ASQ__KEY_MAX], from[ASQ__STREAM_ID_TEXT], bytes[24], count[16];
    if (!a)
        return;
    a->p = p;
    a->ownership = p->ownership;
    a->bytes = asq__read_begin(w);
    a->upto = p->read_to;
    asq__keys_jobs(asq__redis_keys(w->redis), p->number, key);
    asq__stream_id_format(p->backlog->from, from);
    snprintf(bytes, sizeof bytes, "%zu", a->bytes);
    snprintf(count, sizeof count, "%zu", asq__read_entries_at_most(w, READ_AT_ONCE));
    const char *argv[] = { key, bytes, count, from };
    if (asq__script_run(asq__redis_conn(w->redis, p->number),
                        asq__redis_scripts(w->redis, p->number), ASQ__SCRIPT_READ, on_read, a, 1, 3,
                        argv) == 0) {
        p->backlog->reading = true;
    } else {
        asq__read_end(w, a->bytes);
        free(a);
    }
}

/* ---- when ---- */

void asq__backlog_run_due(struct asq__process *w)
{
    ASQ__LIST_EACH (it, &w->leaving) {
        struct asq__partition *p = ASQ__CONTAINER(it, struct asq__partition, leaving);
        struct asq__backlog *b = p->backlog;
        if (!asq__partition_is_owned(p) || b->reading || b->refused || !asq__partition_may_read(p))
            continue;
        if (!b->all && !b->left.count) {
            asq__backlog_check_end(p);
            continue;
        }
        /* Both kinds of reads take turns where both are possible. */
        bool all =
            b->all && asq__backlog_can_note(p) && (!b->stopped_at || in_use(w) < b->stopped_at);
        if (!all || !b->was_all)
            read_noted(p);
        if (!b->reading && all)
            read_all(p);
        b->was_all = b->reading && all && !b->was_all;
    }
}

void asq__backlog_retry(struct asq__process *w)
{
    ASQ__LIST_EACH (it, &w->leaving) {
        struct asq__backlog *b = ASQ__CONTAINER(it, struct asq__partition, leaving)->backlog;
        b->refused = b->put_off = false;
        b->stopped_at = 0;
    }
}
