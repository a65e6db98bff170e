/*
 * actor.c: agents in memory: found or made, fetched from Redis, awake while calls concern them and for a
 * while after, asleep as their records alone, and out of memory again.
 *
 *     made ──▶ asleep ──call──▶ busy ──nothing to do──▶ awake ──not called for long──▶ asleep ─▶ freed
 *                                 ▲─────────call──────────┘    (or others are) │
 *                                 └──────────────────call──────────────────────┘
 *
 * There may be a million of them, called in no order, so that each line of memory that a call touches is
 * far away: the parts that only calls need (struct asq__calls) come and go with being awake. To be kept
 * awake beside many, an agent must have been called twice within a moment; else it goes to sleep at once, while
 * its memory is near, and nobody is sent to sleep for it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value/clock.h"
#include "worker/process.h"

enum {
    FETCH_AT_ONCE = 256,
    AWAKE = 16384,        /* idle agents that are kept awake: those called last, … */
    AWAKE_MS = 10 * 1000, /* … at most so long */
    MOMENT_MS = 1000,
    GONE_MS = 10 * 1000 /* that there is no such agent is remembered at most so long */
};

/* What it holds, about: its state counts as encoded. */
void asq__actor_note_size(struct asq__actor *a)
{
    size_t bytes = sizeof *a + a->id_n + (a->object.record ? a->object.record->n : 0);
    if (bytes != a->bytes)
        atomic_fetch_add(&a->part->w->actor_bytes, bytes - a->bytes);
    a->bytes = bytes;
}

struct asq__actor *asq__actor_of(struct asq__partition *p, const char *id)
{
    size_t n = strlen(id);
    struct asq__node *node = asq__table_find(&p->actors, id, n);
    if (node)
        return ASQ__CONTAINER(node, struct asq__actor, node);
    struct asq__actor *a = calloc(1, sizeof *a + n + 1);
    if (!a)
        return NULL;
    memcpy(a->id, id, n);
    a->id_n = (uint32_t) n;
    a->part = p;
    asq__object_init(&a->object, a->id);
    asq__list_add(&p->w->asleep, &a->where);
    asq__table_add(&p->actors, &a->node);
    atomic_fetch_add(&p->w->actors_in_memory, 1);
    asq__actor_note_size(a);
    return a;
}

/* ---- awake and asleep ---- */

static void leave_list(struct asq__actor *a)
{
    asq__list_del(&a->where);
    a->part->w->nawake -= a->awake;
    a->awake = a->busy = false;
}

bool asq__actor_wake(struct asq__actor *a)
{
    if (a->busy)
        return true;
    if (!a->calls) {
        if (!(a->calls = calloc(1, sizeof *a->calls)))
            return false;
        asq__list_init(&a->calls->mailbox);
        asq__list_init(&a->calls->reentrant);
        asq__list_init(&a->calls->insiders);
        asq__list_init(&a->calls->wakers);
    }
    leave_list(a);
    a->busy = true;
    asq__list_add(&a->part->busy, &a->where);
    return true;
}

/* Its record alone is kept; and a struct of the class's own, as making it again may cost its owner more. */
static void let_sleep(struct asq__actor *a)
{
    struct asq__process *w = a->part->w;
    bool gone = a->loaded && !a->object.record && !a->object.failure;
    leave_list(a);
    free(a->calls);
    a->calls = NULL;
    if (a->object.state)
        asq__object_unload(&a->object);
    asq__actor_note_size(a);
    asq__list_add(gone ? &w->gone : &w->asleep, &a->where);
}

static bool is_idle(const struct asq__actor *a)
{
    return !a->calls->inside && !a->loading && !asq__actor_has_queued(a);
}

bool asq__actor_has_queued(const struct asq__actor *a)
{
    return a->calls &&
           (!asq__list_empty(&a->calls->mailbox) || !asq__list_empty(&a->calls->reentrant));
}

static struct asq__actor *first_of(const struct asq__list *list)
{
    return asq__list_empty(list) ? NULL : ASQ__CONTAINER(list->next, struct asq__actor, where);
}

void asq__actor_rest(struct asq__actor *a)
{
    struct asq__process *w = a->part->w;
    if (!a->calls || !is_idle(a) || a->orphan)
        return;
    int64_t now = asq__now_ms_coarse();
    bool again = now - a->idle_since_ms < MOMENT_MS;
    a->idle_since_ms = now;
    asq__deadlock_forget(a);
    if (!a->object.live || (w->nawake >= AWAKE && !again)) {
        let_sleep(a);
        return;
    }
    leave_list(a);
    a->awake = true;
    asq__list_add(&w->awake, &a->where);
    if (++w->nawake > AWAKE)
        let_sleep(first_of(&w->awake));
}

/* An agent that was made, and that nobody calls yet, sleeps. */
void asq__actor_unload_created(struct asq__actor *a, Asqueue__JobKind kind)
{
    if ((kind == ASQUEUE__JOB_KIND__CREATE || kind == ASQUEUE__JOB_KIND__GET_OR_CREATE) &&
        is_idle(a) && a->object.state)
        asq__object_unload(&a->object);
}

/* ---- out of memory ---- */

void asq__actor_free(struct asq__actor *a)
{
    leave_list(a);
    asq__deadlock_forget(a);
    if (!a->orphan)
        asq__table_del(&a->part->actors, &a->node);
    atomic_fetch_sub(&a->part->w->actors_in_memory, 1);
    atomic_fetch_sub(&a->part->w->actor_bytes, a->bytes);
    asq__object_release(&a->object);
    free(a->calls);
    free(a);
}

void asq__actor_orphan(struct asq__actor *a)
{
    leave_list(a);
    asq__deadlock_forget(a);
    asq__table_del(&a->part->actors, &a->node);
    a->orphan = true;
    a->loading = false;
    if (!a->calls || !a->calls->inside)
        asq__actor_free(a);
}

bool asq__is_crowded(const struct asq__process *w)
{
    return atomic_load(&w->actor_bytes) > w->config.max_agent_memory;
}

static void evict_from(struct asq__process *w, struct asq__list *idle, int64_t older_than_ms)
{
    struct asq__actor *a;
    int64_t now = asq__now_ms_coarse();
    while ((a = first_of(idle))) {
        if (!asq__is_crowded(w) && now - a->idle_since_ms < older_than_ms)
            break;
        if (a->saved_seq > a->part->acked)
            break; /* Redis does not have its state yet; nor that of those behind it, about */
        asq__actor_free(a);
    }
}

void asq__actors_evict(struct asq__process *w)
{
    int64_t idle_ms = w->config.agent_idle_time_ms;
    evict_from(w, &w->gone, idle_ms < GONE_MS ? idle_ms : GONE_MS);
    evict_from(w, &w->asleep, idle_ms);
    evict_from(w, &w->awake, idle_ms); /* who was called a moment ago goes last */
}

void asq__actors_upkeep(struct asq__process *w)
{
    struct asq__actor *a;
    int64_t now = asq__now_ms_coarse();
    while ((a = first_of(&w->awake)) && now - a->idle_since_ms >= AWAKE_MS)
        let_sleep(a);
    asq__actors_evict(w);
}

/* ---- loading ---- */

struct asq__fetch {
    struct asq__partition *p;
    uint64_t ownership;
    size_t n;
    struct asq__actor *actors[FETCH_AT_ONCE];
};

static void fail_mailbox(struct asq__actor *a, int code, const char *why)
{
    while (!asq__list_empty(&a->calls->mailbox)) {
        struct asq__wcall *c = ASQ__CONTAINER(a->calls->mailbox.next, struct asq__wcall, node);
        asq__wcall_fail(c, code, "%s", why);
    }
}

static void loaded(struct asq__actor *a, const redisReply *record)
{
    struct asq__process *w = a->part->w;
    char why[400];
    int rc = 0;
    a->loading = false;
    if (record->type == REDIS_REPLY_STRING) {
        struct asq__record *r = asq__record_new(record->str, (size_t) record->len);
        rc = r ? asq__object_load(&a->object, w->config.registry, r, why, sizeof why)
               : asq__err(why, sizeof why, ASQ_ENOMEM, "out of memory");
        asq__record_unref(r);
    }
    if (rc < 0) {
        /* The record stays as it is in Redis; who calls is told what is wrong with it. */
        char text[700];
        asq__err(text, sizeof text, 0, "agent '%s' cannot be restored: %s", a->id, why);
        asq__process_log_some(w, ASQ_LOG_ERROR, "%s", text);
        fail_mailbox(a, rc, text);
        asq__actor_rest(a);
        return;
    }
    a->loaded = true;
    asq__actor_note_size(a);
    asq__actor_go_on(a);
}

static void on_fetched(struct asq__conn *c, const redisReply *reply, void *user)
{
    struct asq__fetch *f = user;
    struct asq__partition *p = f->p;
    (void) c;
    if (p->ownership == f->ownership && asq__partition_is_owned(p)) {
        bool ok = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == f->n;
        if (reply && !ok && !asq__reply_is_transient(reply))
            asq__process_log_some(p->w, ASQ_LOG_ERROR, "partition %u: reading agents: %s",
                                  p->number, asq__reply_text(reply));
        for (size_t i = 0; i < f->n && p->ownership == f->ownership && asq__partition_is_owned(p);
             i++) {
            struct asq__actor *a = f->actors[i];
            if (ok) {
                loaded(a, reply->element[i]);
            } else if (asq__reply_is_error(reply, "WRONGTYPE")) {
                a->loading = false;
                fail_mailbox(a, ASQ_EREDIS,
                             "the partition's agents key is not a hash: somebody has written over "
                             "it");
                asq__actor_rest(a);
            } else {
                a->loading = false; /* asked again when Redis is back, or at the next upkeep */
            }
        }
    }
    free(f);
}

static void send_fetch(struct asq__partition *p)
{
    struct asq__fetch *f = p->fetch;
    const char *argv[FETCH_AT_ONCE + 2];
    char key[ASQ__KEY_MAX];
    p->fetch = NULL;
    asq__list_del(&p->fetching);
    asq__keys_agents(asq__redis_keys(p->w->redis), p->number, key);
    argv[0] = "HMGET";
    argv[1] = key;
    for (size_t i = 0; i < f->n; i++)
        argv[2 + i] = f->actors[i]->id;
    if (asq__conn_argv(asq__redis_conn(p->w->redis, p->number), on_fetched, f, (int) f->n + 2, argv,
                       NULL) < 0) {
        for (size_t i = 0; i < f->n; i++)
            f->actors[i]->loading = false; /* asked again when Redis is back */
        free(f);
    }
}

void asq__actor_want_record(struct asq__actor *a)
{
    struct asq__partition *p = a->part;
    if (a->loading)
        return;
    if (!p->fetch) {
        if (!(p->fetch = malloc(sizeof *p->fetch))) {
            asq__partition_doom(p);
            return;
        }
        p->fetch->p = p;
        p->fetch->ownership = p->ownership;
        p->fetch->n = 0;
        asq__list_add(&p->w->fetching, &p->fetching);
    }
    a->loading = true;
    p->fetch->actors[p->fetch->n++] = a;
    if (p->fetch->n == FETCH_AT_ONCE)
        send_fetch(p);
}

void asq__fetch_records(struct asq__process *w)
{
    while (!asq__list_empty(&w->fetching))
        send_fetch(ASQ__CONTAINER(w->fetching.next, struct asq__partition, fetching));
}

void asq__fetch_drop(struct asq__partition *p)
{
    asq__list_del(&p->fetching);
    free(p->fetch);
    p->fetch = NULL;
}
