/*
 * sleeper.c: see sleeper.h.
 *
 * A call that sleeps without a run keeps its agent's other calls waiting. While there are none, it
 * needs no memory, so its batch waits in `later` like delayed ones (later_move.c), and the commit
 * that moves it there sets a mark, the field @AGENT of later:jobs. The mark stays until the
 * commit with the call's outcome, or with the failed run by which it gives up its place:
 *
 *     in the mailbox ──commit: batch to `later`, mark──▶ AWAY ──due, cancelled, or others come──┐
 *           ▲                                                                                   │
 *           └───────────── read from the stream, first in the mailbox ◀────later.lua────────────┘
 *
 * The next owner knows of no mark. It asks for that of an agent before it starts the first call of
 * it, if any batch has left the partition's stream. The answer moves the batch into the stream
 * again, so a call that comes finds the same mailbox as if the sleeping call had never left it.
 *
 * | the process dies, or loses the partition | next owner |
 * | --- | --- |
 * | before the commit with the move | finds the entry in the stream, and moves it |
 * | after it | finds nothing, until the call is due or a call to its agent comes |
 * | when the batch is in the stream again | reads it; calls that it reads before wait for it |
 * | in the commit with the outcome | finds mark and entry, or neither |
 */
#include "worker/sleeper.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/reply.h"
#include "value/assert.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/actor_memory.h"
#include "worker/commit.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/core/stream_id.h"
#include "worker/later_script.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"

enum {
    MISSED_MAX = 5, /* times, a second apart, that an entry is not found: it was removed by hand */
    ASK_AT_ONCE = 256
};

static struct asq__actor *actor_of_call(const struct asq__wcall *c)
{
    const char *id = asq__wcall_job(c)->agent;
    return asq__actors_find(&c->entry->part->actors, id, strlen(id));
}

/* ---- out of the mailbox, and back ---- */

bool asq__sleeper_may_leave(const struct asq__wcall *c)
{
    const struct asq__actor *a = c->actor;
    asq__assert(c->rests && a && a->calls);
    const struct asq__mailbox *m = &a->calls->mailbox;
    return m->queue.next == &c->node && c->node.next == &m->queue &&
           asq__list_empty(&m->reentrant) && !m->n_active && !a->left;
}

void asq__sleeper_leaves(struct asq__wcall *c)
{
    struct asq__actor *a = c->actor;
    asq__mailbox_remove(c);
    a->sleeper = ASQ__SLEEPER_AWAY;
    a->saved_seq = a->part->seq; /* what Redis has of it is older until then */
    a->calls->sleeper_missed = 0;
    asq__actor_resume_later(a); /* leaves memory, if no call comes meanwhile */
    c->actor = NULL;
}

void asq__sleeper_has_left(const struct asq__entry *e)
{
    for (size_t i = 0; i < e->batch->n_jobs; i++) {
        struct asq__actor *a = e->calls[i].rests ? actor_of_call(&e->calls[i]) : NULL;
        if (a && asq__actor_has_queued(a))
            asq__actor_resume_later(a);
    }
}

void asq__sleeper_is_back(struct asq__actor *a)
{
    a->sleeper = ASQ__SLEEPER_NONE;
}

/* ---- questions ---- */

struct question {
    struct asq__partition *p;
    uint64_t ownership;
    size_t n;
    char *ids; /* one after the other, each with its NUL; behind the struct */
};

/* Takes the answer to a read of the entry of an agent's sleeping call. */
static void on_entry(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct question *q = user;
    struct asq__partition *p = q->p;
    (void) conn;
    struct asq__actor *a = p->ownership == q->ownership && asq__partition_is_owned(p)
                               ? asq__actors_find(&p->actors, q->ids, strlen(q->ids))
                               : NULL;
    if (a && a->calls)
        a->calls->asks_sleeper = false;
    if (a && reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 1) {
        p->w->take_returned(p, reply->element[0]);
    } else if (a && a->calls && reply && reply->type == REDIS_REPLY_ARRAY &&
               a->sleeper == ASQ__SLEEPER_AWAY && ++a->calls->sleeper_missed > MISSED_MAX) {
        static const uint8_t no_batch[ASQ__BATCH_ID];
        asq__process_log_some_about(p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
                                    "partition %u: a call of agent %s slept, and its entry was "
                                    "removed from the stream: the agent's other calls go on",
                                    p->number, a->id);
        a->sleeper = ASQ__SLEEPER_NONE;
        asq__commit_place(p, a->id, no_batch, false);
        if (asq__partition_is_owned(p))
            asq__actor_resume_later(a);
    }
    free(q);
}

static struct question *new_question(struct asq__partition *p, struct asq__actor *const *actors,
                                     size_t n)
{
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += actors[i]->id_n + 1;
    struct question *q = malloc(sizeof *q + bytes);
    if (!q)
        return NULL;
    *q = (struct question){ .p = p, .ownership = p->ownership, .n = n, .ids = (char *) (q + 1) };
    char *at = q->ids;
    for (size_t i = 0; i < n; i++) {
        memcpy(at, actors[i]->id, actors[i]->id_n + 1);
        at += actors[i]->id_n + 1;
    }
    return q;
}

/* Reads an entry that the reader has passed, because there was no room for it. One that is still to
 * come would be read twice. Returns whether an answer will come. */
static bool read_entry(struct asq__actor *a, const char *id)
{
    struct asq__partition *p = a->part;
    struct asq__stream_id at;
    char key[ASQ__KEY_MAX];
    if (asq__stream_id_parse(id, &at) < 0 || !asq__stream_id_is_at_most(at, p->read_to))
        return false;
    struct question *q = new_question(p, &a, 1);
    if (!q)
        return false;
    asq__keys_jobs(asq__redis_keys(p->w->redis), p->number, key);
    bool sent = asq__conn_cmd(asq__redis_conn(p->w->redis, p->number), on_entry, q, "XRANGE", key,
                              id, id, NULL) == 0;
    if (!sent)
        free(q);
    return sent;
}

static void take_answer(struct asq__actor *a, const redisReply *answer)
{
    if (a->calls)
        a->calls->asks_sleeper = false;
    if (a->sleeper == ASQ__SLEEPER_NONE)
        return; /* it has come meanwhile */
    if (answer->type == REDIS_REPLY_STRING) {
        a->sleeper = ASQ__SLEEPER_AWAY;
        if (a->calls)
            a->calls->asks_sleeper = read_entry(a, answer->str);
    } else if (a->saved_seq <= a->part->acked) {
        a->sleeper = ASQ__SLEEPER_NONE;
        if (a->calls)
            asq__actor_resume_later(a);
    }
}

static void on_answer(struct asq__conn *conn, const redisReply *reply, void *user)
{
    struct question *q = user;
    struct asq__partition *p = q->p;
    (void) conn;
    bool current = p->ownership == q->ownership;
    bool ok = current && asq__partition_is_owned(p) && asq__later_answered(p, reply, q->n);
    const char *id = q->ids;
    for (size_t i = 0; current && i < q->n; i++, id += strlen(id) + 1) {
        struct asq__actor *a = asq__actors_find(&p->actors, id, strlen(id));
        if (!a)
            continue;
        if (ok && asq__partition_is_owned(p))
            take_answer(a, reply->element[5 + i]);
        else if (a->calls)
            a->calls->asks_sleeper = false; /* asked again within a second */
    }
    free(q);
}

static bool is_to_be_asked(const struct asq__actor *a)
{
    return a->sleeper != ASQ__SLEEPER_NONE && a->calls && !a->calls->asks_sleeper &&
           a->saved_seq <= a->part->acked;
}

void asq__sleeper_ask(struct asq__partition *p, struct asq__actor *const *actors, size_t n)
{
    struct asq__actor *asked[ASK_AT_ONCE];
    size_t k = 0;
    for (size_t i = 0; i < n && k < ASK_AT_ONCE && asq__later_may_have(p); i++)
        if (is_to_be_asked(actors[i]))
            asked[k++] = actors[i];
    struct question *q = k ? new_question(p, asked, k) : NULL;
    struct asq__cmd cmd;
    if (!q)
        return;
    asq__later_script(p, &cmd, 0);
    for (size_t i = 0; i < k; i++) {
        char field[1 + ASQ_MAX_ID + 1];
        snprintf(field, sizeof field, "@%s", asked[i]->id);
        asq__cmd_puts(&cmd, field);
        asq__cmd_put(&cmd, "", 0);
        asq__cmd_puts(&cmd, "back");
    }
    bool sent = asq__conn_send(asq__redis_conn(p->w->redis, p->number), on_answer, q, &cmd) == 0;
    asq__cmd_release(&cmd);
    if (!sent) {
        free(q);
        return;
    }
    for (size_t i = 0; i < k; i++)
        asked[i]->calls->asks_sleeper = true;
}

bool asq__sleeper_blocks(struct asq__actor *a)
{
    if (a->sleeper == ASQ__SLEEPER_UNKNOWN && !asq__later_may_have(a->part))
        a->sleeper = ASQ__SLEEPER_NONE;
    if (a->sleeper == ASQ__SLEEPER_NONE)
        return false;
    asq__sleeper_ask(a->part, &a, 1);
    return true;
}
