/*
 * run.h: a call that has begun, on its fiber.
 */
#ifndef ASQ_WORKER_EXEC_RUN_H
#define ASQ_WORKER_EXEC_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/object.h"
#include "value/list.h"
#include "value/msg.h"
#include "value/value.h"
#include "worker/core/commit_set.h"
#include "worker/core/entry.h"
#include "worker/core/mailbox.h"
#include "worker/exec/pool.h"
#include "worker/handover.h"
#include "worker/process.h"

struct asq__actor;
struct asq__emits;
struct asq__fiber;
struct asq__live;
struct asq__nested;
struct asq__series;
struct asq__slot;
struct asq__span;
struct asq__unload_wait;

/* Stages of a run, by which its end is handled. Whether it runs, is parked or may resume is the
 * state of its call (entry.h).
 *
 *             ┌──▶ INLINE ──completed without parking──▶ THROUGH ──────┐
 *     NEW ────┤      │ parks, or others wait for the loop             │
 *             │      ▼                                                ▼
 *             └──▶ STARTED ─────────────returns──────────────▶ ended, or RETURNED, then ended */
enum asq__run_stage {
    ASQ__RUN_NEW,
    ASQ__RUN_INLINE,  /* runs inside of asq__run_start, whose caller may end it */
    ASQ__RUN_THROUGH, /* completed there; the caller must end it */
    ASQ__RUN_STARTED, /* its end is handed over to the loop */
    ASQ__RUN_RETURNED /* its method has returned; ends when `undecided` is 0 */
};

/* Times of a run, by the monotonic clock; with figures all of them, else the first one alone. */
struct asq__run_times {
    atomic_llong began_ns; /* of its thread, and of the loop; any thread reads it */
    int64_t ended_ns;
    int64_t parked_at_ns;       /* of its last wait */
    int64_t parked_ns;          /* of all its waits */
    struct asq__series *series; /* of its method; NULL: nothing is measured */
    bool counted;               /* else its commit does it */
};

struct asq__run {
    struct asq__task task;
    struct asq__handover finished;
    struct asq__process *w;
    struct asq__active active; /* the run's call and place in the agent's mailbox */
    struct asq__actor *actor;
    asq_ctx ctx;
    struct asq__nested *nested; /* memory for ctx.h; NULL once it is used */
    /* Slot of its thread, which has `ticket` if the run is its last; or NULL. */
    struct asq__slot *slot;
    uint64_t ticket;
    struct asq__effect effect;
    struct asq__inner *inner; /* batches to forget after its own commit */
    size_t ninner, inner_cap;
    size_t inner_known;                   /* the first ones, which an unloaded run has made, */
    size_t inner_at;                      /* and how many of them this one has come to again */
    bool keep_inner;                      /* leaves them to their TTL: their ids were given away */
    bool unloads;                         /* has no effect, and its call runs again; see unload.h */
    int64_t again_ms;                     /* with unloads: when; monotonic */
    struct asq__unload_wait *unload_wait; /* with unloads: what it waits for; NULL: it sleeps */
    uint64_t waits_at;                    /* place of that wait; see asq__wcall */
    size_t undecided;                     /* batches neither accepted nor refused by Redis yet */
    enum asq__run_stage stage;
    int wait_rc;           /* outcome of its wait */
    uint64_t recorded_seq; /* of the commit with its last step; 0: none */
    /* Emitted values: the number of the run in its stream, and how many there are. */
    uint64_t emit_run, emitted;
    struct asq__emits *emits; /* those that have not left yet, and more; of emits.c; or NULL */
    /* Values of live attributes that it has published; of live.c. */
    struct asq__live *_Atomic live; /* not taken by the loop yet; or NULL */
    struct asq__handover published; /* of these */
    struct asq__live *live_before;  /* readers had before it, as a call inside of another one */
    bool has_published;
    uint64_t wait; /* number of its wait, unique in this process */
    struct asq__run_times times;
    struct asq__span *span;   /* what is recorded of it; NULL: nothing */
    struct asq__fiber *fiber; /* while parked */
};

/* Changes the stage of a run; asserts that the step is in the picture. */
void asq__run_enter(struct asq__run *run, enum asq__run_stage stage);
/* Returns the run of an active call; NULL if it is not active. */
static inline struct asq__run *asq__run_of(const struct asq__wcall *c)
{
    return c->active ? ASQ__CONTAINER(c->active, struct asq__run, active) : NULL;
}
static inline void asq__run_set_began(struct asq__run *run, int64_t now_ns)
{
    atomic_store_explicit(&run->times.began_ns, now_ns, memory_order_relaxed);
}
/* Returns when its method began, or when it was given to a thread to begin. */
static inline int64_t asq__run_began_ns(const struct asq__run *run)
{
    return atomic_load_explicit(&run->times.began_ns, memory_order_relaxed);
}
/* Returns whether its wait is not over yet. */
static inline bool asq__run_is_parked(const struct asq__run *run)
{
    return run->active.call->state == ASQ__CALL_PARKED;
}

/* Hooks by which a run tells the owner of its agent that it has ended, waits, or may go on; of
 * dispatch.c. Called on the loop. */
struct asq__run_hooks {
    void (*finished)(struct asq__handover *h);  /* of run->finished */
    void (*parks)(struct asq__run *run);        /* run begins to wait: gives up its turn */
    void (*unpark)(struct asq__run *run);       /* run may resume: its wait is over */
    void (*published)(struct asq__handover *h); /* of run->published: see live.h */
};

#endif
