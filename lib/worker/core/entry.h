/*
 * entry.h: a stream entry in memory, and the calls in it.
 */
#ifndef ASQ_WORKER_CORE_ENTRY_H
#define ASQ_WORKER_CORE_ENTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/arena.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/table.h"
#include "value/value.h"
#include "worker/core/stream_id.h"

struct asq__active;
struct asq__actor;
struct asq__delay;
struct asq__inputs;
struct asq__partition;
struct asq__unload_wait;

/* State of a call.
 *
 *              ┌───────── due ─────────┐
 *              ▼                       │
 *     ──▶ WAITING ──not due yet──▶ DELAYED ◀────── runs again ─────┐
 *            │ ▲                                                   │
 *            ▼ │ gives its inputs back                             │
 *          INPUTS ──its turn──▶ RUNNING ──waits──▶ PARKED          │
 *                                │ │ ▲               │ wait over   │
 *                                │ │ └─its turn── RESUMABLE        │
 *                                │ └───────────────────────────────┘
 *                                ▼
 *                            FINISHED   (from each state above that has not begun, too)
 *
 * A call without inputs starts from WAITING. */
enum asq__wcall_state {
    ASQ__CALL_WAITING,   /* new, or in the agent's mailbox */
    ASQ__CALL_INPUTS,    /* in the mailbox, and awaits its futures or has them */
    ASQ__CALL_DELAYED,   /* not due yet: in no list, or queued to keep its place */
    ASQ__CALL_RUNNING,   /* on a fiber, or about to be */
    ASQ__CALL_PARKED,    /* on a fiber that waits */
    ASQ__CALL_RESUMABLE, /* on a fiber whose wait is over; waits for its turn */
    ASQ__CALL_FINISHED   /* outcome is in a commit */
};

/* A call as the worker sees it: job number `index` of an entry. */
struct asq__wcall {
    struct asq__list node; /* in a list of the agent's mailbox; or in none */
    struct asq__entry *entry;
    struct asq__actor *actor;
    struct asq__active *active; /* from its start to its end; part of a run */
    struct asq__inputs *inputs; /* awaited futures, or their values; or NULL */
    uint32_t index;
    uint32_t attempts;     /* processes that died while running it */
    int64_t not_before_ms; /* after a death: earliest start; monotonic; 0: no wait */
    /* How the last of these processes died; borrowed from part->attempts; or NULL. */
    const char *died_how;
    uint32_t retries; /* failed runs, each to be followed by another */
    /* Number of its last run that has emitted, under this epoch; of emits.c. 0: none has. */
    uint64_t emit_run;
    /* Earliest start of the next run, by the partition's clock; 0: the first, or after a death. */
    uint64_t due_ms;
    struct asq__delay *delay; /* DELAYED: its timer; or NULL */
    int64_t wake_ms;          /* DELAYED: due time; monotonic */
    /* DELAYED, of an unloaded run: its batches of nested calls, for the next run; or NULL. */
    struct asq__inner *inner;
    size_t ninner;
    /* Of a run that was unloaded in a wait: what it waits for, until the next run; or NULL. */
    struct asq__unload_wait *unload_wait;
    /* Place of that wait: 1 + number of the last step or statement before it; 0: in none. */
    uint64_t waits_at;
    uint64_t recorded_seq; /* of the commit with the last record of its steps */
    enum asq__wcall_state state;
    bool canceled;
    bool keeps_place; /* DELAYED: later calls to the agent wait behind it */
    bool apart;       /* DELAYED: in no queue; counted in entry->apart */
    bool rests;       /* DELAYED: sleeps in its place, without a run; counted in entry->resting */
    bool marked;      /* Redis has a mark that its agent's first place is kept for it */
    bool shared;      /* runs beside other ASQ_CONCURRENT calls */
    bool reentrant;   /* in the mailbox's list `reentrant` */
    bool reentered;   /* a re-entrant call took effect inside it: must not be restarted */
    bool recorded;    /* records of its steps are in Redis, or in a commit */
    bool left;        /* in no queue: earlier calls to its agent are left in the stream */
    bool released;    /* was `left`, and is dispatched when its entry's turn in the intake comes */
};

/* State of an entry.
 *
 *             ┌── LOOKUP ──record read──┐
 *             │      │                  ▼                       its calls wait
 *     NEW ────┴──────┼───────────────▶ QUEUED ──its turn──▶ DISPATCHED ──▶ LEAVING
 *                    │                  │                       │             │
 *                    ▼                  ▼                       ▼             ▼
 *                  DETACHED: done, its partition lost, or replaced by its copy
 *
 * From LOOKUP to LEAVING it is in part->entries. DISPATCHED entries are in the intake again when
 * calls of them that were left are released. */
enum asq__entry_state {
    ASQ__ENTRY_NEW,        /* decoded; not in the partition's table */
    ASQ__ENTRY_LOOKUP,     /* in the intake; its result record must be read before its turn */
    ASQ__ENTRY_QUEUED,     /* in the intake, for its turn */
    ASQ__ENTRY_DISPATCHED, /* calls were dispatched, except left ones */
    ASQ__ENTRY_LEAVING,    /* a commit moves it out of the stream, because all its calls wait */
    ASQ__ENTRY_DETACHED    /* out of the table; freed when nothing refers to it */
};

/* Fate of an entry's calls when its turn comes. Decided when it is taken in; from RUN to
 * STALE or NEVER_ACCEPTED when its result record has been looked for and is missing. */
enum asq__entry_fate {
    ASQ__FATE_RUN,
    ASQ__FATE_CONTROL,       /* await, cancel, probe: handled at once */
    ASQ__FATE_MISPLACED,     /* fails: contains a call to an agent of another partition */
    ASQ__FATE_REFUSED,       /* fails: too many calls wait already */
    ASQ__FATE_STALE,         /* fails: a copy; the record of the first may have expired */
    ASQ__FATE_NEVER_ACCEPTED /* fails: later calls were; running it now would break the order */
};

/* Place of a batch that has left the stream once, as later.lua reports it. */
enum asq__later_place {
    ASQ__LATER_NONE,      /* it has not left the stream, or is done */
    ASQ__LATER_WAITS,     /* it waits outside of the stream */
    ASQ__LATER_IN_STREAM, /* it is in the stream again */
    ASQ__LATER_UNKNOWN    /* there is no answer yet, or it was lost */
};

/* A batch from a stream. Freed when every call is finished and acknowledged, and nothing refers to
 * it. */
struct asq__entry {
    struct asq__node node;  /* in part->entries, by batch id */
    struct asq__list order; /* in part->intake */
    struct asq__list moved; /* in process->moved once the commit that moves it is decided */
    struct asq__partition *part;
    uint32_t partition; /* number of the partition */
    struct asq__stream_id id;
    struct asq__arena arena;
    Asqueue__Batch *batch;
    size_t bytes;    /* approximate memory held */
    int64_t read_ms; /* time of reading; monotonic, coarse */
    int64_t made_ms; /* time when its calls were made, by the same clock */
    char **channels; /* client ids besides batch->reply that get the results */
    size_t nchannels;
    struct asq__table *by_client;  /* index of channels, when there are more than a few; or NULL */
    struct asq__stream_id *copies; /* duplicates in the stream, removed together with it */
    size_t ncopies;
    size_t result_bytes; /* size of its result record, including results in commits */
    /* Leading channels and copies that its commit out of the stream contains. */
    size_t left_channels, left_copies;
    size_t unfinished;  /* calls */
    size_t apart;       /* calls that wait for their time, in no queue */
    size_t resting;     /* calls that sleep in their place, without a run */
    size_t left;        /* calls that are left for now, see backlog.c */
    size_t uncommitted; /* unacknowledged commits with a piece of it */
    bool admitted;      /* beyond --max-backlog-size, for agents that were idle */
    bool partial;       /* some of its results are in its record already */
    bool kept;          /* later:jobs has a field for it until it is done */
    bool returned;      /* moved out of the stream before, and back */
    enum asq__entry_state state;
    enum asq__entry_fate fate;
    unsigned n_lookups; /* pending replies about its record and its copy outside the stream */
    enum asq__later_place first_copy; /* of the batch; while LOOKUP */
    bool may_have_begun;              /* its nested calls may exist already */
    bool out_of_order;                /* seen before: this batch or a later one of its sender */
    bool limited;                     /* some of its calls have a deadline */
    bool time_doubted;                /* made_ms may be wrong: ask Redis for its clock first */
    struct asq__wcall calls[];
};

/* Returns the job of a call. It lives as long as the call's entry. */
static inline const Asqueue__Job *asq__wcall_job(const struct asq__wcall *c)
{
    return c->entry->batch->jobs[c->index];
}
/* Returns whether the entry is in its partition's table. */
static inline bool asq__entry_is_known(const struct asq__entry *e)
{
    return e->state > ASQ__ENTRY_NEW && e->state < ASQ__ENTRY_DETACHED;
}
/* Returns whether its turn, or the turn of released calls of it, is still to come. */
static inline bool asq__entry_is_in_intake(const struct asq__entry *e)
{
    return !asq__list_empty(&e->order);
}
/* Changes the state of an entry; asserts that the step is in the picture. */
void asq__entry_enter(struct asq__entry *e, enum asq__entry_state state);
/* Returns whether the call waits without a run, after it was unloaded in a wait. */
static inline bool asq__wcall_waits_unloaded(const struct asq__wcall *c)
{
    return c->state == ASQ__CALL_DELAYED && c->unload_wait;
}
/* Returns whether the call sleeps or waits without a run: it was unloaded. A call that has failed
 * and waits for another run has no records. */
static inline bool asq__wcall_is_unloaded(const struct asq__wcall *c)
{
    return c->state == ASQ__CALL_DELAYED && (c->recorded || c->unload_wait);
}
/* Returns whether a method made the batch: all its calls then have the same outer calls. */
static inline bool asq__batch_is_nested(const Asqueue__Batch *batch)
{
    return batch->jobs[0]->chain && batch->jobs[0]->chain->n_links;
}
void asq__wcall_id(const struct asq__wcall *c, char out[ASQ__CALL_ID_TEXT]);
struct asq__call_id asq__wcall_call_id(const struct asq__wcall *c);
/* Returns the end of a call's delay, by the monotonic clock; 0: it has none. */
int64_t asq__wcall_due_ms(const struct asq__wcall *c);
/* Changes the state of a call; asserts that the step is in the picture. */
void asq__wcall_enter(struct asq__wcall *c, enum asq__wcall_state state);

#endif
