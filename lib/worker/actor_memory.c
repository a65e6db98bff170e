/*
 * actor_memory.c: makes and frees agents in memory. core/actors.c decides which agents stay awake,
 * sleep and leave; this file answers its questions about an agent's object and partition.
 * actor_fetch.c reads snapshots.
 */
#include "worker/actor_memory.h"

#include <stdlib.h>
#include <string.h>

#include "client/object.h"
#include "value/clock.h"
#include "value/msg.h"
#include "worker/actor_object.h"
#include "worker/backlog.h"
#include "worker/core/actors.h"
#include "worker/partition.h"
#include "worker/process.h"

enum {
    AWAKE = 16384,        /* idle agents kept awake: the ones called last */
    AWAKE_MS = 10 * 1000, /* time that an idle agent is kept awake at most */
    MOMENT_MS = 1000,
    GONE_MS = 10 * 1000 /* time that a missing agent is remembered at most */
};

/* ---- questions of core ---- */

/* Drops the decoded state; keeps the snapshot, and the class's own struct, which is costly to
 * rebuild. */
static bool fall_asleep(struct asq__actor *a)
{
    struct asq__object *object = asq__actor_object(a);
    bool gone = asq__actor_is_loaded(a) && !object->snapshot && !object->failure;
    if (object->state)
        asq__object_unload(object);
    asq__actor_note_size(a);
    return !gone;
}

static bool is_saved(const struct asq__actor *a)
{
    return a->saved_seq <= a->part->acked;
}

static const struct asq__actors_hooks hooks = { .fall_asleep = fall_asleep,
                                                .is_saved = is_saved,
                                                .evict = asq__actor_free };

void asq__actor_memory_init(struct asq__process *w)
{
    const struct asq__actors_limits limits = { .bytes = w->config.max_agent_memory,
                                               .idle_ms = w->config.agent_idle_time_ms,
                                               .gone_ms = GONE_MS,
                                               .awake = AWAKE,
                                               .awake_ms = AWAKE_MS,
                                               .moment_ms = MOMENT_MS };
    asq__actors_init(&w->actors, &limits, &hooks);
}

/* ---- made and freed ---- */

/* Notes the approximate memory of an agent: its state counts by its encoded size. */
void asq__actor_note_size(struct asq__actor *a)
{
    const struct asq__snapshot *snapshot = asq__actor_object(a)->snapshot;
    size_t bytes = sizeof(struct asq__actor_memory) + a->id_n + (snapshot ? snapshot->n : 0);
    asq__actors_count(&a->part->w->actors, a, bytes);
}

struct asq__actor *asq__actor_of(struct asq__partition *p, const char *id)
{
    size_t n = strlen(id);
    struct asq__actor *a = asq__actors_find(&p->actors, id, n);
    struct asq__actor_memory *made;
    if (a)
        return a;
    if (!(made = calloc(1, sizeof *made + n + 1)))
        return NULL;
    memcpy(made->id, id, n);
    asq__object_init(&made->object, made->id);
    a = &made->actor;
    a->id = made->id;
    a->id_n = (uint32_t) n;
    a->part = p;
    a->left = p->backlog && asq__backlog_has(p, id);
    asq__actors_add(&p->w->actors, &p->actors, a);
    asq__actor_note_size(a);
    return a;
}

void asq__actor_free(struct asq__actor *a)
{
    asq__actors_remove(&a->part->w->actors, &a->part->actors, a);
    asq__object_release(asq__actor_object(a));
    free(ASQ__CONTAINER(a, struct asq__actor_memory, actor));
}

void asq__actor_orphan(struct asq__actor *a)
{
    if (asq__actors_orphan(&a->part->w->actors, &a->part->actors, a))
        asq__actor_free(a);
}

/* ---- awake and asleep ---- */

bool asq__actor_activate(struct asq__actor *a)
{
    return asq__actors_activate(&a->part->w->actors, &a->part->actors, a);
}

void asq__actor_passivate(struct asq__actor *a)
{
    if (a->left)
        asq__backlog_actor_passive(a);
    if (a->calls && asq__actor_is_idle(a) && !asq__actor_is_orphan(a))
        asq__actors_passivate(&a->part->w->actors, a, asq__actor_object(a)->live,
                              asq__now_ms_coarse());
}

void asq__actor_resume_later(struct asq__actor *a)
{
    asq__actors_resume_later(&a->part->w->actors, a);
}

/* Drops the decoded state of an agent that was created and has no calls yet. */
void asq__actor_unload_created(struct asq__actor *a, Asqueue__JobKind kind)
{
    struct asq__object *object = asq__actor_object(a);
    if ((kind == ASQUEUE__JOB_KIND__CREATE || kind == ASQUEUE__JOB_KIND__GET_OR_CREATE) &&
        asq__actor_is_idle(a) && object->state)
        asq__object_unload(object);
}

void asq__actor_memory_evict(struct asq__process *w)
{
    asq__actors_evict(&w->actors, asq__now_ms_coarse());
}

void asq__actor_memory_upkeep(struct asq__process *w)
{
    int64_t now = asq__now_ms_coarse();
    asq__actors_put_to_sleep(&w->actors, now);
    asq__actors_evict(&w->actors, now);
}
