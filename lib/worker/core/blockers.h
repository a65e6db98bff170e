/*
 * blockers.h: which calls of an agent a waiting call waits for, by the rules of mailbox.h. Where
 * those rules change, these change with them. Pure.
 */
#ifndef ASQ_WORKER_CORE_BLOCKERS_H
#define ASQ_WORKER_CORE_BLOCKERS_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/core/mailbox.h"

/* Bounds of one search: calls that are named, and calls of queues that are visited. More names of a
 * call that waits for all would not help to find a cycle. */
enum { ASQ__BLOCKERS_MAX = 256, ASQ__BLOCKERS_STEPS = 200000 };

struct asq__blockers {
    void (*add)(void *user, const struct asq__wcall *blocker);
    void *user;
    size_t n;     /* calls added */
    size_t steps; /* calls visited; of several searches together if it is not reset */
    bool any;     /* one of the calls has to end, not all of them */
};

/* Looks at a call that is queued: WAITING or INPUTS. With b->n above 0, that many calls (its
 * inputs) block it already, and its place in the queue does not matter. */
void asq__blockers_of_queued(const struct asq__mailbox *m, const struct asq__mailbox_hooks *hooks,
                             const struct asq__wcall *c, struct asq__blockers *b);
/* Looks at a call whose wait is over and that waits for its turn. */
void asq__blockers_of_resumable(const struct asq__mailbox *m, const struct asq__wcall *c,
                                struct asq__blockers *b);

#endif
