/*
 * actor.h: an agent in memory.
 */
#ifndef ASQ_WORKER_ACTOR_H
#define ASQ_WORKER_ACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/object.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "worker/core/mailbox.h"

struct asq__partition;
struct asq__process;

/* Search for a deadlock that an agent may be part of; of deadlock.c. */
struct asq__probing {
    struct asq__list node;       /* in process->stuck_actors; in no list: it is not searched for */
    unsigned probes;             /* sent since then */
    int64_t probed_ms, probe_ms; /* times of the last probe and the next */
    bool changed;                /* waits have changed since the last probe */
};

/* The parts of an agent that exist only while calls concern it. */
struct asq__calls {
    struct asq__mailbox mailbox;
    struct asq__probing probing;
    struct asq__actor *actor;
    struct asq__list resuming; /* in process->resuming until the end of the iteration */
    struct asq__list fetching; /* in part->to_fetch until its snapshot is requested */
    size_t record_bytes;       /* size of its snapshot, once Redis has reported it; 0: unknown */
};

/* An agent in memory. Small, because there are many; the fields read first stand first. */
struct asq__actor {
    struct asq__node node;    /* in part->actors, by id */
    struct asq__calls *calls; /* NULL: asleep */
    struct asq__partition *part;
    /* In part->busy, or process->awake, asleep or gone; an orphan: in no list. */
    struct asq__list where;
    struct asq__object object;
    uint64_t saved_seq; /* seq of the commit with its last effect */
    int64_t idle_since_ms;
    size_t bytes; /* bytes counted for it in process->actor_bytes */
    uint32_t id_n;
    bool busy;  /* in part->busy: calls concern it */
    bool awake; /* in process->awake */
    bool loading, loaded;
    bool orphan; /* partition was lost; freed when its last run ends */
    bool left;   /* entries with calls to it are noted in part->backlog */
    char id[];
};

/* Returns whether a run of it runs, or is about to. */
static inline bool asq__actor_is_moving(const struct asq__actor *a)
{
    return a->calls && asq__mailbox_is_moving(&a->calls->mailbox, a->orphan);
}
static inline bool asq__actor_has_queued(const struct asq__actor *a)
{
    return a->calls && asq__mailbox_has_queued(&a->calls->mailbox);
}

#endif
