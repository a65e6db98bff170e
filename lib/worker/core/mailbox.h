/*
 * mailbox.h: the calls that concern one agent, and the rule that decides which of them runs next.
 *
 *     enqueue ──▶ queue ────────┐                       ┌──park──▶ parked ──unpark──▶ resumable
 *        │          ▲           ├──next, start──▶ running ◀──────────resume──────────────┘
 *        └──▶ reentrant ────────┘                       └──end
 *               (promote, demote)
 *
 * - One call of an agent runs at a time, except that calls which share run beside each other.
 * - A call that waits parks and gives up the turn. While it is parked, only calls on which it
 *   depends, directly or not, may start: the re-entrant ones. Ordinary calls wait until no call is
 *   active.
 * - A call whose wait is over takes the turn again when the turn is free and no call that began
 *   after it is active. So each run sees and saves its own changes, and a chain of calls that comes
 *   back to an agent never waits for itself.
 * - Calls of one caller run in the order in which it made them. A call that waits for its inputs
 *   lets calls of other callers skip it, up to a bound.
 * - A pause holds the ordinary calls that no method has made. Calls made inside of methods skip
 *   them, because a call that runs may wait for these, unless one of those that are held is their
 *   caller, or keeps its place. A creation for which such a call waits is not held.
 *
 * No I/O and no clock: the time is an argument, and what depends on more than the mailbox is asked
 * of a table of hooks. Not thread-safe; all of it belongs to the event loop.
 */
#ifndef ASQ_WORKER_CORE_MAILBOX_H
#define ASQ_WORKER_CORE_MAILBOX_H

#include <stdbool.h>
#include <stdint.h>

#include "value/list.h"
#include "value/msg.h"
#include "value/value.h"

struct asq__wcall;

/* A call that has begun and not ended: the mailbox's part of a run. */
struct asq__active {
    struct asq__list node; /* in mailbox->active */
    struct asq__wcall *call;
    char id[ASQ__CALL_ID_TEXT]; /* of the call */
};

struct asq__mailbox {
    const char *agent;          /* id of the agent; borrowed */
    struct asq__list queue;     /* ordinary calls that wait, first in, first out */
    struct asq__list reentrant; /* calls that wait and on which a parked one depends */
    struct asq__list active;    /* calls that have begun and not ended, in order of start */
    struct asq__list resumable; /* calls whose wait is over, in the order in which it ended */
    struct asq__wcall *turn;    /* the call that runs alone; or NULL */
    unsigned n_sharing;         /* calls that run beside each other now; `turn` is NULL then */
    unsigned n_active;          /* length of `active` */
    unsigned n_active_shared;   /* of these, calls that share */
};

/* Answer of a hook about a call whose turn has come. */
enum asq__verdict {
    ASQ__VERDICT_RUN,   /* the call may run */
    ASQ__VERDICT_ENDED, /* the call has left the mailbox; calls behind it are tried */
    ASQ__VERDICT_SKIP,  /* the call waits for inputs; calls of other callers may skip it */
    ASQ__VERDICT_STOP   /* no call of the queue may start now */
};

/* Hooks by which a search asks the owner of the mailbox. */
struct asq__mailbox_hooks {
    /* Ends a call that must not run at all: RUN (it may), ENDED, STOP. */
    enum asq__verdict (*end_unfit)(struct asq__mailbox *m, struct asq__wcall *c);
    /* Returns whether the agent is in memory and the call's method may share it. */
    bool (*may_share_now)(struct asq__mailbox *m, struct asq__wcall *c);
    /* Prepares the call, whose turn it is. Any verdict. */
    enum asq__verdict (*prepare)(struct asq__mailbox *m, struct asq__wcall *c);
    /* Returns whether the call's method is one that shares. */
    bool (*is_concurrent)(const struct asq__mailbox *m, const struct asq__wcall *c);
    /* Returns whether the agent exists. */
    bool (*exists)(const struct asq__mailbox *m);
    /* Returns whether ordinary calls may start; asked when no other rule forbids it. */
    bool (*admits)(struct asq__mailbox *m);
    /* Returns whether the class of the call is paused. */
    bool (*is_paused)(const struct asq__mailbox *m, const struct asq__wcall *c);
};

void asq__mailbox_init(struct asq__mailbox *m, const char *agent);
/* Returns whether a call waits that has not begun. */
static inline bool asq__mailbox_has_queued(const struct asq__mailbox *m)
{
    return !asq__list_empty(&m->queue) || !asq__list_empty(&m->reentrant);
}
/* Returns the first call that may resume when the turn is free; NULL: none. abandoned: the agent's
 * partition is lost, so its calls only have to end, in any order. */
struct asq__wcall *asq__mailbox_find_resumable(const struct asq__mailbox *m, bool abandoned);
static inline struct asq__wcall *asq__mailbox_resumable(const struct asq__mailbox *m,
                                                        bool abandoned)
{
    return asq__list_empty(&m->resumable) ? NULL : asq__mailbox_find_resumable(m, abandoned);
}
/* Returns whether a call has the turn, or is the next to get it. */
static inline bool asq__mailbox_turn_is_taken(const struct asq__mailbox *m, bool abandoned)
{
    return m->turn || asq__mailbox_resumable(m, abandoned);
}
/* Returns whether a call runs, or will run without anything else happening. */
bool asq__mailbox_is_moving(const struct asq__mailbox *m, bool abandoned);
/* Returns whether the chain of callers of a job contains an active call of this agent. */
bool asq__mailbox_calls(const struct asq__mailbox *m, const Asqueue__Job *job);

/* Queues a call, as re-entrant if an active call depends on it. A call that is queued already keeps
 * its place. */
void asq__mailbox_enqueue(struct asq__mailbox *m, struct asq__wcall *c);
/* Queues a call before all others, because it runs again and keeps its place. */
void asq__mailbox_enqueue_first(struct asq__mailbox *m, struct asq__wcall *c);
/* Makes a queued call re-entrant if an active call depends on it by now. False: nothing has
 * changed. */
bool asq__mailbox_promote(struct asq__mailbox *m, struct asq__wcall *c);
/* Takes a call that has not begun out of the mailbox. */
void asq__mailbox_remove(struct asq__wcall *c);

struct asq__search {
    const struct asq__mailbox_hooks *hooks;
    int64_t now_ms;       /* monotonic */
    unsigned max_sharing; /* calls that may run beside each other; parked ones do not count */
};
/* Returns the call that may start now; NULL: none may. */
struct asq__wcall *asq__mailbox_next(struct asq__mailbox *m, const struct asq__search *s);
/* Starts the call that asq__mailbox_next has returned. again: it may have begun before, so calls
 * that its earlier run made may be queued here, and become re-entrant. */
void asq__mailbox_start(struct asq__mailbox *m, struct asq__wcall *c, struct asq__active *active,
                        bool again);
void asq__mailbox_park(struct asq__mailbox *m, struct asq__wcall *c);   /* running -> parked */
void asq__mailbox_unpark(struct asq__mailbox *m, struct asq__wcall *c); /* parked -> resumable */
/* Gives the turn to the first call that may resume, and returns it; NULL: none may. */
struct asq__wcall *asq__mailbox_resume(struct asq__mailbox *m, bool abandoned);
/* Takes the turn away from a running call that ends, and the call out of the active ones. */
void asq__mailbox_end(struct asq__mailbox *m, struct asq__wcall *c);

/* Returns the active call that has no other one inside it; shared calls do not count. NULL: none.
 * */
const struct asq__active *asq__mailbox_innermost(const struct asq__mailbox *m);
/* Returns the active call that blocks re-entrant call `c`; NULL if it is unblocked or not
 * re-entrant. */
const struct asq__active *asq__mailbox_blocker(const struct asq__mailbox *m,
                                               const struct asq__wcall *c);

/* Bounds on skipping calls that wait for inputs: calls skipped, and calls looked at behind the
 * first. Each new call causes such a search. */
enum { ASQ__SKIPPED_MAX = 8, ASQ__SKIPPED_SEEN = 256 };

struct asq__skipped {
    const struct asq__wcall *calls[ASQ__SKIPPED_MAX]; /* of different callers */
    unsigned n;
};

/* Returns whether an earlier run of `by`, or a call inside it, made `c`. The worker of that run has
 * died, or the run failed. The next run finds `c` again, and must be active by then. */
bool asq__wcall_is_called_by(const struct asq__wcall *c, const struct asq__wcall *by);
/* Returns whether a skipped call blocks `c`, because both have one caller or it is c's caller. */
bool asq__skipped_blocks(const struct asq__skipped *skipped, const struct asq__wcall *c);
/* Returns whether a pause holds `c`, which is queued as an ordinary call. */
bool asq__mailbox_holds(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                        const struct asq__wcall *c);
/* Returns whether an ordinary call waits that a method has made. */
bool asq__mailbox_has_nested(const struct asq__mailbox *m);
/* Returns the caller of `c` if it is queued before `c`, and is the first of them; or NULL. *steps
 * counts the calls looked at, and is not to exceed `most`. */
const struct asq__wcall *asq__mailbox_queued_caller(const struct asq__mailbox *m,
                                                    const struct asq__wcall *c, size_t *steps,
                                                    size_t most);
/* Returns whether all calls behind `c` wait for it: `c` creates an agent that does not exist yet.
 * */
bool asq__mailbox_blocks_all(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                             const struct asq__wcall *c);

#endif
