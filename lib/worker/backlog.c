/*
 * backlog.c: a process holds what waits in its partitions' streams in memory, up to a number of bytes.
 * Beyond that, calls are left in the stream, where they are anyway, and read again when there is room.
 * From the first that is left on, all of the partition's calls are, so their order stays; jobs about
 * other calls, and calls made inside methods, are taken in all the same: what holds memory may be
 * waiting for them.
 *
 * Calls to one agent that are many and slow hold up the other agents of their partition in that way: those that come
 * behind are read when there is room. Other partitions are not held up. So the log names the agent with most calls.
 *
 * The reader goes on meanwhile, so read_to tells how far the stream has been seen. A backlog has ended
 * when reading it again has come as far.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/process.h"

enum {
    /* Entries that every partition may hold, whatever the others do, if they are small; else one. */
    AT_LEAST = 64,
    SMALL_BYTES = 64 * 1024,
    READ_AT_ONCE = 128,
    LOOK_AT_MOST = 10000, /* calls and agents, for the log */
    MAX_CANCELS = 100000
};

/* A cancelled call that may be in it. */
struct canceled {
    struct asq__node node;
    struct asq__call_id id;
};

struct asq__backlog {
    struct asq__stream_id from; /* the first that is left */
    size_t calls;               /* that are left; those that were never seen are not known */
    bool reading;
    bool refused; /* by Redis, which is not asked again before a while */
    bool cancels; /* the table is there */
    struct asq__table canceled;
};

/* The agent for which most calls wait, of some that are busy; NULL: none. */
static const struct asq__actor *busiest(const struct asq__partition *p, size_t *ret_calls)
{
    const struct asq__actor *found = NULL;
    size_t steps = 0, most = 0;
    ASQ__LIST_EACH (it, &p->busy) {
        const struct asq__actor *a = ASQ__CONTAINER(it, struct asq__actor, where);
        size_t n = 0;
        if (!a->calls)
            continue;
        ASQ__LIST_EACH (call, &a->calls->mailbox) {
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

/* Once for each partition and backlog; lines of many partitions are counted, see lines.h. */
static void tell_begin(const struct asq__partition *p)
{
    size_t calls;
    const struct asq__actor *a = busiest(p, &calls);
    asq__process_log_some(
        p->w, ASQ_LOG_WARNING,
        "partition %u: more calls wait than this process may hold in memory (--max-backlog-size %zu): "
        "the rest stays in Redis for now, and calls to other agents among it wait as well%s%s%s",
        p->number, p->w->config.max_backlog_size, a ? "; most of what is held waits for agent " : "",
        a ? a->id : "", a ? " (`look stuck` tells what it is doing)" : "");
}

static bool is_full(const struct asq__partition *p, size_t bytes, size_t entries)
{
    return atomic_load_explicit(&p->w->held_bytes, memory_order_relaxed) > bytes &&
           (p->entries.count >= entries || p->held_bytes > SMALL_BYTES);
}

bool asq__backlog_leave(struct asq__partition *p, struct asq__stream_id id, size_t calls,
                        bool again)
{
    bool full = is_full(p, p->w->config.max_backlog_size, AT_LEAST);
    if (again) {
        if (!full)
            p->backlog->calls -= calls < p->backlog->calls ? calls : p->backlog->calls;
        return full;
    }
    if (!p->backlog) {
        if (!full || !(p->backlog = calloc(1, sizeof *p->backlog)))
            return false; /* without memory it is taken in */
        p->backlog->from = id;
        tell_begin(p);
        asq__list_add(&p->w->leaving, &p->leaving);
    }
    p->backlog->calls += calls;
    return true;
}

size_t asq__backlog_calls(const struct asq__partition *p)
{
    return p->backlog ? p->backlog->calls : 0;
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
    if (!p->backlog)
        return;
    asq__list_del(&p->leaving);
    if (p->backlog->cancels) {
        asq__table_each(&p->backlog->canceled, free_canceled, NULL);
        asq__table_release(&p->backlog->canceled);
    }
    free(p->backlog);
    p->backlog = NULL;
}

/* ---- cancelling what is left ---- */

void asq__backlog_cancel(struct asq__partition *p, const struct asq__call_id *id)
{
    struct asq__backlog *b = p->backlog;
    if (!b)
        return; /* it has ended */
    if (!b->cancels && asq__table_init(&b->canceled, canceled_key) == 0)
        b->cancels = true;
    if (!b->cancels || b->canceled.count >= MAX_CANCELS ||
        asq__table_find(&b->canceled, id, sizeof *id))
        return; /* without room for it, it is as if the call had begun: it runs */
    struct canceled *c = calloc(1, sizeof *c);
    if (!c)
        return;
    c->id = *id;
    asq__table_add(&b->canceled, &c->node);
}

bool asq__backlog_is_canceled(const struct asq__partition *p, const struct asq__call_id *id)
{
    const struct asq__backlog *b = p->backlog;
    return b && b->cancels && asq__table_find(&b->canceled, id, sizeof *id);
}

/* ---- reading it again ---- */

struct again {
    struct asq__partition *p;
    uint64_t ownership;
    size_t bytes; /* that it may bring */
    struct asq__stream_id upto; /* so far the stream had been seen when it was asked for */
};

static void on_read(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct again *a = user;
    struct asq__partition *p = a->p;
    bool current = p->ownership == a->ownership && p->backlog && asq__partition_is_owned(p);
    bool full = false;
    struct asq__stream_id upto = a->upto;
    (void) c;
    asq__read_end(p->w, a->bytes);
    free(a);
    if (!current)
        return;
    p->backlog->reading = false;
    if (asq__reply_is_error(reply, "NOSCRIPT")) {
        asq__redis_reload_scripts(p->w->redis, p->number);
        return; /* at the end of the cycle it is read again */
    }
    if (reply && reply->type == REDIS_REPLY_ERROR && strstr(reply->str, "WRONGTYPE")) {
        asq__partition_fence(p, "its jobs key is no stream"); /* the claim sees to it */
        return;
    }
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements < 1) {
        if (reply && !asq__reply_is_transient(reply))
            asq__process_log(p->w, ASQ_LOG_ERROR, "partition %u: reading its backlog: %s",
                             p->number, asq__reply_text(reply));
        p->backlog->refused = true;
        return;
    }
    bool more = reply->element[0]->type == REDIS_REPLY_INTEGER && reply->element[0]->integer;
    const redisReply *stream = reply->elements > 1 ? reply->element[1] : NULL;
    const redisReply *entries = stream && stream->type == REDIS_REPLY_ARRAY && stream->elements == 2
                                    ? stream->element[1]
                                    : NULL;
    for (size_t i = 0; entries && i < entries->elements && !full; i++) {
        struct asq__stream_id *from = &p->backlog->from;
        full = !asq__intake_again(p, entries->element[i], from);
        if (!full)
            from->n++; /* behind it */
    }
    /* The last that were seen may have left the stream since: a job that cancels does at once. */
    if (!full && !more && asq__stream_id_is_at_most(p->backlog->from, upto)) {
        p->backlog->from = upto;
        p->backlog->from.n++;
    }
    if (!full && !more && !asq__stream_id_is_at_most(p->backlog->from, p->read_to)) {
        asq__backlog_drop(p); /* everything that was seen is taken in */
        asq__process_log_some(p->w, ASQ_LOG_INFO,
                              "partition %u: what was left in Redis for want of room is held again", p->number);
    }
    asq__intake_go_on(p);
}

static void read_again(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    struct again *a = malloc(sizeof *a);
    char key[ASQ__KEY_MAX], from[48], bytes[24], count[16];
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

void asq__backlog_go_on(struct asq__process *w)
{
    ASQ__LIST_EACH (it, &w->leaving) {
        struct asq__partition *p = ASQ__CONTAINER(it, struct asq__partition, leaving);
        if (asq__partition_is_owned(p) && !p->backlog->reading && !p->backlog->refused &&
            !is_full(p, w->config.max_backlog_size / 2, AT_LEAST / 2))
            read_again(p);
    }
}

void asq__backlog_try_again(struct asq__process *w)
{
    ASQ__LIST_EACH (it, &w->leaving)
        ASQ__CONTAINER(it, struct asq__partition, leaving)->backlog->refused = false;
}
