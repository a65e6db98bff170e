/*
 * actor_fetch.c: reads snapshots of agents from Redis, with a bound in bytes: a snapshot may have
 * some hundred bytes or megabytes, and hundreds of agents may be called at once.
 *
 *     wanted ──▶ p->to_fetch ──fetch.lua──▶ loaded
 *                   ▲                │
 *                   └──── its size ──┘   there was no room for it in that answer
 *
 * All fetches under way together are bounded in bytes; a larger snapshot is fetched alone. The
 * agents of a partition are fetched together. A snapshot of unknown size comes if it is small;
 * otherwise Redis tells its size, and it is fetched again when there is room. Partitions take
 * turns: the first one that waits for room blocks the others, so none waits for ever, and answers
 * make room. A worker whose agents take more memory than --max-agent-memory has one fetch under way
 * at a time; calls to loaded agents end meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "client/object.h"
#include "redis/cmd.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis.h"
#include "redis/refusal.h"
#include "redis/reply.h"
#include "redis/script.h"
#include "value/arena.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/value.h"
#include "worker/actor_fetch.h"
#include "worker/actor_memory.h"
#include "worker/actor_object.h"
#include "worker/core/actor.h"
#include "worker/core/actors.h"
#include "worker/core/entry.h"
#include "worker/lacking.h"
#include "worker/needs.h"
#include "worker/outcome.h"
#include "worker/partition.h"
#include "worker/process.h"
#include "worker/process_log.h"
#include "worker/sleeper.h"

enum {
    FETCH_AT_ONCE = 256,          /* agents */
    SMALL_BYTES = 256 * 1024,     /* bound of one answer for snapshots of unknown size */
    TOGETHER = 4 * 1024 * 1024,   /* bound of one answer for several of known size */
    UNDER_WAY = 32 * 1024 * 1024, /* bound of all answers */
    MEMORY_SHARE = 4              /* part of --max-agent-memory that bounds all answers too */
};

struct fetch {
    struct asq__partition *p;
    uint64_t ownership;
    size_t bytes; /* counted as under way */
    size_t n;
    struct asq__actor *actors[FETCH_AT_ONCE];
};

static void fail_mailbox(struct asq__actor *a, int code, const char *why)
{
    while (!asq__list_empty(&a->calls->mailbox.queue)) {
        struct asq__wcall *c =
            ASQ__CONTAINER(a->calls->mailbox.queue.next, struct asq__wcall, node);
        asq__wcall_fail(c, code, "%s", why);
    }
}

/* Returns whether the calls of an agent wait for another owner, which has its class in the version
 * of its snapshot; this process has not. */
static bool awaits_class(struct asq__actor *a, const redisReply *snapshot)
{
    struct asq__arena arena;
    Asqueue__AgentRecord *m;
    char why[200];
    asq__arena_init(&arena, 4 * (size_t) snapshot->len + 4096);
    int rc =
        asq__snapshot_decode(snapshot->str, (size_t) snapshot->len, &arena, &m, why, sizeof why);
    bool awaits = rc == 0 && asq__check_name("class", m->class_name, NULL, 0) == 0 &&
                  asq__lacking_await(a->part, m->class_name, m->version);
    asq__arena_release(&arena);
    return awaits;
}

static void loaded(struct asq__actor *a, const redisReply *snapshot)
{
    struct asq__process *w = a->part->w;
    char why[400];
    int rc = 0;
    if (snapshot->type == REDIS_REPLY_STRING) {
        struct asq__snapshot *r = asq__snapshot_new(snapshot->str, (size_t) snapshot->len);
        rc = r ? asq__object_load(asq__actor_object(a), w->config.registry, r, why, sizeof why)
               : asq__err(why, sizeof why, ASQ_ENOMEM, "out of memory");
        asq__snapshot_unref(r);
    }
    asq__actor_enter_snapshot(a, rc < 0 ? ASQ__SNAPSHOT_UNKNOWN : ASQ__SNAPSHOT_LOADED);
    a->calls->lacks_class = (rc == ASQ_ENOCLASS || rc == ASQ_EVERSION) && awaits_class(a, snapshot);
    if (a->calls->lacks_class) {
        asq__actor_passivate(a); /* its calls may have ended meanwhile */
        return;
    }
    if (rc < 0) {
        /* The snapshot stays as it is in Redis; errors tell callers what is wrong with it. */
        char text[700];
        asq__err(text, sizeof text, 0, "agent '%s' cannot be restored: %s", a->id, why);
        asq__process_log_some(w, ASQ_LOG_ERROR, "%s", text);
        fail_mailbox(a, rc, text);
        asq__actor_passivate(a);
        return;
    }
    asq__needs_note(a->part, asq__actor_object(a)->cls);
    asq__actor_note_size(a);
    asq__actor_resume_later(a);
}

static void put_into_queue(struct asq__actor *a)
{
    struct asq__partition *p = a->part;
    if (asq__list_empty(&p->to_fetch))
        asq__list_add(&p->w->fetching, &p->fetching);
    asq__list_add(&p->to_fetch, &a->calls->fetching);
}

void asq__actor_request_load(struct asq__actor *a)
{
    if (a->snapshot == ASQ__SNAPSHOT_LOADING)
        return;
    asq__actor_enter_snapshot(a, ASQ__SNAPSHOT_LOADING);
    put_into_queue(a);
}

/* Gives up a fetch, which is repeated when Redis is back or at the next upkeep. */
static void give_up(struct asq__actor *a)
{
    asq__actor_enter_snapshot(a, ASQ__SNAPSHOT_UNKNOWN);
}

static void take(struct asq__actor *a, const redisReply *reply, const redisReply *snapshot)
{
    if (snapshot && snapshot->type == REDIS_REPLY_INTEGER && snapshot->integer > 0) {
        a->calls->record_bytes = (size_t) snapshot->integer;
        put_into_queue(a);
    } else if (snapshot) {
        loaded(a, snapshot);
    } else if (asq__reply_is_wrong_type(reply)) {
        give_up(a);
        fail_mailbox(a, ASQ_EREDIS, "the partition's agents key is not a hash: it was overwritten");
        asq__actor_passivate(a);
    } else {
        give_up(a);
    }
}

static void on_fetched(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct fetch *f = user;
    struct asq__partition *p = f->p;
    bool forgotten = asq__reply_is_error(reply, "NOSCRIPT");
    (void) c;
    p->w->fetching_bytes -= f->bytes;
    if (forgotten)
        asq__redis_reload_scripts(p->w->redis, p->number);
    if (p->ownership == f->ownership && asq__partition_is_owned(p)) {
        bool ok = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == f->n;
        if (reply && !ok && !forgotten && !asq__reply_is_transient(reply))
            asq__process_log_some_about(p->w, ASQ__LOG_ABOUT_PARTITION(p), ASQ_LOG_ERROR,
                                        "partition %u: reading agents: %s", p->number,
                                        asq__reply_text(reply));
        for (size_t i = 0; i < f->n && p->ownership == f->ownership && asq__partition_is_owned(p);
             i++) {
            if (forgotten)
                put_into_queue(f->actors[i]);
            else
                take(f->actors[i], reply, ok ? reply->element[i] : NULL);
        }
    } else if (p->ownership == f->ownership && p->state == ASQ__PART_RELEASING) {
        for (size_t i = 0; i < f->n; i++)
            give_up(f->actors[i]); /* the partition may be kept, if Redis refuses its release */
    }
    free(f);
}

static struct asq__actor *first_to_fetch(const struct asq__partition *p)
{
    if (asq__list_empty(&p->to_fetch))
        return NULL;
    struct asq__calls *calls = ASQ__CONTAINER(p->to_fetch.next, struct asq__calls, fetching);
    return calls->actor;
}

/* Returns the bound in bytes of a fetch of the partition's first agents; *ret_n gets their
 * number. */
static size_t next_bytes(const struct asq__partition *p, size_t *ret_n)
{
    size_t known = 0, small = 0, n = 0;
    ASQ__LIST_EACH (it, &p->to_fetch) {
        const struct asq__calls *calls = ASQ__CONTAINER(it, struct asq__calls, fetching);
        if (n == FETCH_AT_ONCE || (n && known + calls->record_bytes > TOGETHER))
            break;
        known += calls->record_bytes;
        if (!calls->record_bytes)
            small = SMALL_BYTES;
        n++;
    }
    *ret_n = n;
    return known + small;
}

static size_t limit(const struct asq__process *w)
{
    size_t share = w->config.max_agent_memory / MEMORY_SHARE;
    if (asq__actors_are_crowded(&w->actors))
        return 0;
    return share < UNDER_WAY ? share : UNDER_WAY;
}

/* Sends a fetch. A single snapshot of known size, or with nothing else under way, is bounded
 * without a script, which costs Redis more. */
static int send_to_redis(struct fetch *f)
{
    struct asq__partition *p = f->p;
    struct asq__process *w = p->w;
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;
    asq__sleeper_ask(p, f->actors, f->n); /* answered before */
    asq__keys_agents(asq__redis_keys(w->redis), p->number, key);
    asq__cmd_init(&cmd);
    if (f->n == 1 && (w->fetching_bytes == 0 || f->actors[0]->calls->record_bytes)) {
        asq__cmd_puts(&cmd, "HMGET");
        asq__cmd_puts(&cmd, key);
    } else {
        asq__script_begin(&cmd, asq__redis_scripts(w->redis, p->number), ASQ__SCRIPT_FETCH, 1);
        asq__cmd_puts(&cmd, key);
        asq__cmd_number(&cmd, f->bytes);
    }
    for (size_t i = 0; i < f->n; i++)
        asq__cmd_put(&cmd, f->actors[i]->id, f->actors[i]->id_n);
    int rc = asq__conn_send(asq__redis_conn(w->redis, p->number), on_fetched, f, &cmd);
    asq__cmd_release(&cmd);
    return rc;
}

/* Sends the next fetch of a partition. False: no room now, or no memory. */
static bool fetch_next(struct asq__partition *p)
{
    struct asq__process *w = p->w;
    struct fetch *f;
    if (!asq__partition_is_owned(p)) { /* lost in this iteration, or being released */
        asq__list_del(&p->fetching);
        while (!asq__list_empty(&p->to_fetch)) {
            struct asq__actor *a = first_to_fetch(p);
            asq__list_del(&a->calls->fetching);
            give_up(a);
        }
        return true;
    }
    size_t n, bytes = next_bytes(p, &n);
    if (w->fetching_bytes && w->fetching_bytes + bytes > limit(w))
        return false;
    if (!(f = malloc(sizeof *f))) {
        asq__partition_abandon(p, "out of memory");
        return false;
    }
    f->p = p;
    f->ownership = p->ownership;
    f->bytes = bytes;
    for (f->n = 0; f->n < n; f->n++) {
        f->actors[f->n] = first_to_fetch(p);
        asq__list_del(&f->actors[f->n]->calls->fetching);
    }
    /* Other partitions come first now. */
    asq__list_del(&p->fetching);
    if (!asq__list_empty(&p->to_fetch))
        asq__list_add(&w->fetching, &p->fetching);
    if (send_to_redis(f) < 0) {
        for (size_t i = 0; i < f->n; i++)
            give_up(f->actors[i]);
        free(f);
    } else {
        w->fetching_bytes += bytes;
    }
    return true;
}

void asq__fetch_snapshots(struct asq__process *w)
{
    while (!asq__list_empty(&w->fetching))
        if (!fetch_next(ASQ__CONTAINER(w->fetching.next, struct asq__partition, fetching)))
            return;
}

void asq__fetch_drop(struct asq__partition *p)
{
    asq__list_del(&p->fetching);
    while (asq__list_pop(&p->to_fetch))
        ;
}
