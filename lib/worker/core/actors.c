/*
 * actors.c: see actors.h.
 *
 * A million agents may be in memory, called in no order, so each cache line that a call touches is
 * cold. So the parts that only calls need (struct asq__calls) exist only while the agent is awake.
 * Once as many agents are awake as the limit says, a further one stays awake only if it was called
 * twice within a moment. Otherwise it goes to sleep at once, while its memory is in the cache, and
 * no other agent has to sleep for it.
 */
#include "worker/core/actors.h"

#include <stdlib.h>

#include "value/assert.h"
#include "worker/core/actor.h"

/* ---- states ---- */

#define TO(state) (1u << ASQ__ACTOR_##state)
static const unsigned steps[] = {
    [ASQ__ACTOR_ASLEEP] = TO(BUSY) | TO(ORPHAN) | TO(REMOVED),
    [ASQ__ACTOR_BUSY] = TO(AWAKE) | TO(ASLEEP) | TO(GONE) | TO(ORPHAN),
    [ASQ__ACTOR_AWAKE] = TO(BUSY) | TO(AWAKE) | TO(ASLEEP) | TO(GONE) | TO(ORPHAN) | TO(REMOVED),
    [ASQ__ACTOR_GONE] = TO(BUSY) | TO(ORPHAN) | TO(REMOVED),
    [ASQ__ACTOR_ORPHAN] = TO(REMOVED),
    [ASQ__ACTOR_REMOVED] = 0,
};
#undef TO

/* Makes a step of its state, and puts it at the end of the list of the new one; NULL: of none. */
static void enter(struct asq__actors *all, struct asq__actor *a, enum asq__actor_state state,
                  struct asq__list *list)
{
    asq__assert(steps[a->state] & 1u << state);
    asq__list_del(&a->where);
    all->n_awake -= a->state == ASQ__ACTOR_AWAKE;
    a->state = (uint8_t) state;
    all->n_awake += state == ASQ__ACTOR_AWAKE;
    if (list)
        asq__list_add(list, &a->where);
}

#define TO(snapshot) (1u << ASQ__SNAPSHOT_##snapshot)
static const unsigned snapshot_steps[] = {
    [ASQ__SNAPSHOT_UNKNOWN] = TO(LOADING),
    [ASQ__SNAPSHOT_LOADING] = TO(UNKNOWN) | TO(LOADED),
    [ASQ__SNAPSHOT_LOADED] = 0,
};
#undef TO

void asq__actor_enter_snapshot(struct asq__actor *a, enum asq__actor_snapshot snapshot)
{
    asq__assert(snapshot_steps[a->snapshot] & 1u << snapshot);
    asq__assert(snapshot != ASQ__SNAPSHOT_LOADING || a->state == ASQ__ACTOR_BUSY);
    a->snapshot = (uint8_t) snapshot;
}

/* ---- life ---- */

void asq__actors_init(struct asq__actors *all, const struct asq__actors_limits *limits,
                      const struct asq__actors_hooks *hooks)
{
    *all = (struct asq__actors){ .limits = *limits, .hooks = hooks };
    asq__list_init(&all->awake);
    asq__list_init(&all->asleep);
    asq__list_init(&all->gone);
    asq__list_init(&all->resuming);
}

static const void *key(const struct asq__node *node, size_t *n)
{
    const struct asq__actor *a = ASQ__CONTAINER(node, struct asq__actor, node);
    *n = a->id_n;
    return a->id;
}

int asq__actor_set_init(struct asq__actor_set *set)
{
    asq__list_init(&set->busy);
    return asq__table_init(&set->by_id, key);
}

void asq__actor_set_release(struct asq__actor_set *set)
{
    asq__table_release(&set->by_id);
}

struct asq__actor *asq__actors_find(const struct asq__actor_set *set, const char *id, size_t n)
{
    struct asq__node *node = asq__table_find(&set->by_id, id, n);
    return node ? ASQ__CONTAINER(node, struct asq__actor, node) : NULL;
}

void asq__actors_add(struct asq__actors *all, struct asq__actor_set *set, struct asq__actor *a)
{
    asq__assert(a->state == ASQ__ACTOR_ASLEEP && !a->calls && !a->bytes);
    asq__list_add(&all->asleep, &a->where);
    asq__table_add(&set->by_id, &a->node);
    atomic_fetch_add(&all->n, 1);
}

void asq__actors_count(struct asq__actors *all, struct asq__actor *a, size_t bytes)
{
    if (bytes != a->bytes)
        atomic_fetch_add(&all->bytes, bytes - a->bytes);
    a->bytes = bytes;
}

/* No call waits for it any more, or it leaves. */
static void forget_probing(struct asq__actor *a)
{
    if (a->calls)
        asq__list_del(&a->calls->probing.node);
}

static void free_calls(struct asq__actor *a)
{
    if (a->calls) {
        asq__assert(asq__list_empty(&a->calls->fetching) && !a->calls->mailbox.n_active);
        asq__list_del(&a->calls->resuming);
    }
    free(a->calls);
    a->calls = NULL;
}

bool asq__actors_orphan(struct asq__actors *all, struct asq__actor_set *set, struct asq__actor *a)
{
    enter(all, a, ASQ__ACTOR_ORPHAN, NULL);
    forget_probing(a);
    asq__table_del(&set->by_id, &a->node);
    if (a->snapshot == ASQ__SNAPSHOT_LOADING)
        asq__actor_enter_snapshot(a, ASQ__SNAPSHOT_UNKNOWN);
    return !a->calls || !a->calls->mailbox.n_active;
}

void asq__actors_remove(struct asq__actors *all, struct asq__actor_set *set, struct asq__actor *a)
{
    if (!asq__actor_is_orphan(a))
        asq__table_del(&set->by_id, &a->node);
    enter(all, a, ASQ__ACTOR_REMOVED, NULL);
    forget_probing(a);
    free_calls(a);
    atomic_fetch_sub(&all->n, 1);
    asq__actors_count(all, a, 0);
}

/* ---- awake and asleep ---- */

static struct asq__calls *new_calls(struct asq__actor *a)
{
    struct asq__calls *calls = calloc(1, sizeof *calls);
    if (!calls)
        return NULL;
    calls->actor = a;
    asq__mailbox_init(&calls->mailbox, a->id);
    asq__list_init(&calls->probing.node);
    asq__list_init(&calls->fetching);
    asq__list_init(&calls->resuming);
    return calls;
}

bool asq__actors_activate(struct asq__actors *all, struct asq__actor_set *set, struct asq__actor *a)
{
    if (a->state == ASQ__ACTOR_BUSY)
        return true;
    if (!a->calls && !(a->calls = new_calls(a)))
        return false;
    enter(all, a, ASQ__ACTOR_BUSY, &set->busy);
    return true;
}

static void fall_asleep(struct asq__actors *all, struct asq__actor *a)
{
    free_calls(a);
    if (all->hooks->fall_asleep(a))
        enter(all, a, ASQ__ACTOR_ASLEEP, &all->asleep);
    else
        enter(all, a, ASQ__ACTOR_GONE, &all->gone);
}

static struct asq__actor *first_of(const struct asq__list *list)
{
    return asq__list_empty(list) ? NULL : ASQ__CONTAINER(list->next, struct asq__actor, where);
}

void asq__actors_passivate(struct asq__actors *all, struct asq__actor *a, bool live, int64_t now_ms)
{
    asq__assert(asq__actor_is_idle(a));
    bool again = now_ms - a->idle_since_ms < all->limits.moment_ms;
    a->idle_since_ms = now_ms;
    forget_probing(a);
    if (!live || (all->n_awake >= all->limits.awake && !again)) {
        fall_asleep(all, a);
        return;
    }
    enter(all, a, ASQ__ACTOR_AWAKE, &all->awake);
    if (all->n_awake > all->limits.awake)
        fall_asleep(all, first_of(&all->awake));
}

void asq__actors_put_to_sleep(struct asq__actors *all, int64_t now_ms)
{
    struct asq__actor *a;
    while ((a = first_of(&all->awake)) && now_ms - a->idle_since_ms >= all->limits.awake_ms)
        fall_asleep(all, a);
}

void asq__actors_resume_later(struct asq__actors *all, struct asq__actor *a)
{
    if (asq__list_empty(&a->calls->resuming))
        asq__list_add(&all->resuming, &a->calls->resuming);
}

struct asq__actor *asq__actors_next_to_resume(struct asq__actors *all)
{
    struct asq__list *node = asq__list_pop(&all->resuming);
    return node ? ASQ__CONTAINER(node, struct asq__calls, resuming)->actor : NULL;
}

/* ---- out of memory ---- */

bool asq__actors_are_crowded(const struct asq__actors *all)
{
    return atomic_load(&all->bytes) > all->limits.bytes;
}

static void evict_from(struct asq__actors *all, const struct asq__list *idle, int64_t idle_ms,
                       int64_t now_ms)
{
    struct asq__actor *a;
    while ((a = first_of(idle))) {
        if (!asq__actors_are_crowded(all) && now_ms - a->idle_since_ms < idle_ms)
            break;
        if (!all->hooks->is_saved(a))
            break; /* agents behind it probably are not either */
        all->hooks->evict(a);
    }
}

void asq__actors_evict(struct asq__actors *all, int64_t now_ms)
{
    const struct asq__actors_limits *l = &all->limits;
    evict_from(all, &all->gone, l->idle_ms < l->gone_ms ? l->idle_ms : l->gone_ms, now_ms);
    evict_from(all, &all->asleep, l->idle_ms, now_ms);
    /* Comes last: these agents were called most recently. */
    evict_from(all, &all->awake, l->idle_ms, now_ms);
}
