/*
 * actors.c: agents in memory. Finds or makes an agent, keeps it awake while calls concern it and
 * for a while after, then asleep as its snapshot alone, and frees it. actor_fetch.c reads its
 * snapshot.
 *
 *     made ──▶ asleep ──call──▶ busy ──nothing to do──▶ awake ──not called for long──▶ asleep ─▶ freed
 *                                 ▲─────────call──────────┘    (or others are) │
 *                                 └──────────────────call──────────────────────┘
 *
 * A million agents may be in memory, called in no order, so each cache line that a call touches is
 * cold. So the parts that only calls need (struct asq__calls) exist only while the agent is awake.
 * Once AWAKE agents are awake, a further one stays awake only if it was called twice within a
 * moment. Otherwise it goes to sleep at once, while its memory is in the cache, and no other agent
 * has to sleep for it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/object.h"
#include "value/clock.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "worker/actor.h"
#include "worker/actors.h"
#include "worker/backlog.h"
#include "worker/partition.h"
#include "worker/process.h"

enum {
    AWAKE = 16384,        /* idle agents kept awake: the ones called last */
    AWAKE_MS = 10 * 1000, /* time that an idle agent is kept awake at most */
    MOMENT_MS = 1000,
    GONE_MS = 10 * 1000 /* time that a missing agent is remembered at most */
};

/* Notes the approximate memory of an agent: its state counts by its encoded size. */
void asq__actor_note_size(struct asq__actor *a)
{
    size_t bytes = sizeof *a + a->id_n + (a->object.snapshot ? a->object.snapshot->n : 0);
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
    a->left = p->backlog && asq__backlog_has(p, id);
    atomic_fetch_add(&p->w->actors_in_memory, 1);
    asq__actor_note_size(a);
    return a;
}

/* ---- awake and asleep ---- */

/* No call waits for it any more, or it goes. */
static void forget_probing(struct asq__actor *a)
{
    if (a->calls)
        asq__list_del(&a->calls->probing.node);
}

static void free_calls(struct asq__actor *a)
{
    if (a->calls)
        asq__list_del(&a->calls->resuming);
    free(a->calls);
    a->calls = NULL;
}

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
        a->calls->actor = a;
        asq__mailbox_init(&a->calls->mailbox, a->id);
        asq__list_init(&a->calls->probing.node);
        asq__list_init(&a->calls->fetching);
        asq__list_init(&a->calls->resuming);
    }
    leave_list(a);
    a->busy = true;
    asq__list_add(&a->part->busy, &a->where);
    return true;
}

/* Drops the decoded state; keeps the snapshot, and the class's own struct, which is costly to
 * rebuild. */
static void let_sleep(struct asq__actor *a)
{
    struct asq__process *w = a->part->w;
    bool gone = a->loaded && !a->object.snapshot && !a->object.failure;
    leave_list(a);
    free_calls(a);
    if (a->object.state)
        asq__object_unload(&a->object);
    asq__actor_note_size(a);
    asq__list_add(gone ? &w->gone : &w->asleep, &a->where);
}

static bool is_idle(const struct asq__actor *a)
{
    return !a->calls->mailbox.n_active && !a->loading && !asq__actor_has_queued(a);
}

void asq__actor_resume_later(struct asq__actor *a)
{
    if (asq__list_empty(&a->calls->resuming))
        asq__list_add(&a->part->w->resuming, &a->calls->resuming);
}

struct asq__actor *asq__actor_next_to_resume(struct asq__process *w)
{
    struct asq__list *node = asq__list_pop(&w->resuming);
    return node ? ASQ__CONTAINER(node, struct asq__calls, resuming)->actor : NULL;
}

static struct asq__actor *first_of(const struct asq__list *list)
{
    return asq__list_empty(list) ? NULL : ASQ__CONTAINER(list->next, struct asq__actor, where);
}

void asq__actor_rest(struct asq__actor *a)
{
    struct asq__process *w = a->part->w;
    if (a->left)
        asq__backlog_actor_rests(a);
    if (!a->calls || !is_idle(a) || a->orphan)
        return;
    int64_t now = asq__now_ms_coarse();
    bool again = now - a->idle_since_ms < MOMENT_MS;
    a->idle_since_ms = now;
    forget_probing(a);
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

/* Drops the decoded state of an agent that was created and has no calls yet. */
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
    forget_probing(a);
    if (!a->orphan)
        asq__table_del(&a->part->actors, &a->node);
    atomic_fetch_sub(&a->part->w->actors_in_memory, 1);
    atomic_fetch_sub(&a->part->w->actor_bytes, a->bytes);
    asq__object_release(&a->object);
    free_calls(a);
    free(a);
}

void asq__actor_orphan(struct asq__actor *a)
{
    leave_list(a);
    forget_probing(a);
    asq__table_del(&a->part->actors, &a->node);
    a->orphan = true;
    a->loading = false;
    if (!a->calls || !a->calls->mailbox.n_active)
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
            break; /* not committed yet; agents behind it probably are not either */
        asq__actor_free(a);
    }
}

void asq__actors_evict(struct asq__process *w)
{
    int64_t idle_ms = w->config.agent_idle_time_ms;
    evict_from(w, &w->gone, idle_ms < GONE_MS ? idle_ms : GONE_MS);
    evict_from(w, &w->asleep, idle_ms);
    evict_from(w, &w->awake, idle_ms); /* comes last: these agents were called most recently */
}

void asq__actors_upkeep(struct asq__process *w)
{
    struct asq__actor *a;
    int64_t now = asq__now_ms_coarse();
    while ((a = first_of(&w->awake)) && now - a->idle_since_ms >= AWAKE_MS)
        let_sleep(a);
    asq__actors_evict(w);
}
