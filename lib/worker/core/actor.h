/*
 * actor.h: an agent in memory, as the rules of memory and of its calls see it. Its object stands
 * beside it, see actor_object.h.
 */
#ifndef ASQ_WORKER_CORE_ACTOR_H
#define ASQ_WORKER_CORE_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/list.h"
#include "value/table.h"
#include "worker/core/mailbox.h"

struct asq__partition;

/* Search for a deadlock that an agent may be part of; of deadlock.c. */
struct asq__probing {
    struct asq__list node;       /* in process->stuck_actors; in no list: it is not searched for */
    unsigned probes;             /* sent since then */
    int64_t probed_ms, probe_ms; /* times of the last probe and the next */
    bool changed;                /* waits have changed since the last probe */
};

/* The parts of an agent that exist only while calls concern it, and for a while after. */
struct asq__calls {
    struct asq__mailbox mailbox;
    struct asq__probing probing;
    struct asq__actor *actor;
    struct asq__list resuming; /* in actors->resuming until the end of the iteration */
    struct asq__list fetching; /* in part->to_fetch until its snapshot is requested */
    bool has_signals;          /* calls of signals may be queued, for want of the agent */
    bool has_reads;            /* reads of attributes may be queued that need not wait */
    bool lacks_class;          /* this process cannot load it: its calls wait for another owner */
    bool asks_sleeper;         /* Redis is asked whether a call of it sleeps; of sleeper.c */
    uint8_t sleeper_missed;    /* times that the entry of that call was not found */
    size_t record_bytes;       /* size of its snapshot, once Redis has reported it; 0: unknown */
};

/* Each state but the last two has a list. actors.c makes the steps, and has their picture. */
enum asq__actor_state {
    ASQ__ACTOR_ASLEEP, /* no call concerns it; its snapshot alone is in memory, or its struct */
    ASQ__ACTOR_BUSY,   /* calls concern it */
    ASQ__ACTOR_AWAKE,  /* no call concerns it; everything that a call needs is in memory */
    ASQ__ACTOR_GONE,   /* no call concerns it; there is no such agent */
    ASQ__ACTOR_ORPHAN, /* partition was lost; freed when its last run ends */
    ASQ__ACTOR_REMOVED /* about to be freed */
};

enum asq__actor_snapshot {
    ASQ__SNAPSHOT_UNKNOWN,
    ASQ__SNAPSHOT_LOADING, /* asked for; only while the agent is BUSY */
    ASQ__SNAPSHOT_LOADED   /* in memory; or Redis had none when it was asked */
};

/* Whether a call that is not in memory has the agent's first place; of sleeper.c. */
enum asq__actor_sleeper {
    ASQ__SLEEPER_UNKNOWN,
    ASQ__SLEEPER_NONE, /* none has, or the call is in the mailbox */
    ASQ__SLEEPER_AWAY  /* no other call of it may start */
};

/* An agent in memory. Small, because there are many; the fields read first stand first. */
struct asq__actor {
    struct asq__node node;       /* in part->actors, by id */
    struct asq__calls *calls;    /* NULL: it sleeps */
    struct asq__partition *part; /* its owner's; core does not look into it */
    struct asq__list where;      /* in the list of its state */
    const char *id;              /* its owner's */
    uint64_t saved_seq;          /* seq of the commit with its last effect */
    int64_t idle_since_ms;
    size_t bytes; /* bytes counted for it in actors->bytes */
    uint32_t id_n;
    uint8_t state;    /* enum asq__actor_state */
    uint8_t snapshot; /* enum asq__actor_snapshot */
    uint8_t sleeper;  /* enum asq__actor_sleeper */
    bool left;        /* entries with calls to it are noted in part->backlog */
};

static inline bool asq__actor_is_orphan(const struct asq__actor *a)
{
    return a->state == ASQ__ACTOR_ORPHAN;
}
static inline bool asq__actor_is_loaded(const struct asq__actor *a)
{
    return a->snapshot == ASQ__SNAPSHOT_LOADED;
}
/* Returns whether a run of it runs, or is about to. */
static inline bool asq__actor_is_moving(const struct asq__actor *a)
{
    return a->calls && asq__mailbox_is_moving(&a->calls->mailbox, asq__actor_is_orphan(a));
}
static inline bool asq__actor_has_queued(const struct asq__actor *a)
{
    return a->calls && asq__mailbox_has_queued(&a->calls->mailbox);
}
/* Returns whether no call concerns it; `calls` exists. */
static inline bool asq__actor_is_idle(const struct asq__actor *a)
{
    return !a->calls->mailbox.n_active && a->snapshot != ASQ__SNAPSHOT_LOADING &&
           !asq__actor_has_queued(a);
}
/* Changes what is known of its snapshot; asserts that the step is in the picture. */
void asq__actor_enter_snapshot(struct asq__actor *a, enum asq__actor_snapshot snapshot);

#endif
