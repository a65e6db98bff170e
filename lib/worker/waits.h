/*
 * waits.h: which calls wait for which, as far as it is known: what a probe carries from worker to worker
 * (deadlock.c), and whether it holds a circle. No sockets, no clock.
 *
 * A call waits for all of some calls (it is stuck when one of them is), or for any of them (it is stuck
 * when all of them are). A circle is a set of calls that are stuck because of each other alone: each that
 * waits for all has one of them in the set, each that waits for any has all of them there, and from each a
 * way leads to each. What is not known, or known to go on, is in no circle.
 */
#ifndef ASQ_WORKER_WAITS_H
#define ASQ_WORKER_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/arena.h"
#include "value/table.h"

enum { ASQ__WAITS_CALLS = 8192, ASQ__WAITS_EDGES = 65536 }; /* of one probe, at most */

struct asq__waiter {
    struct asq__node node; /* by call */
    uint32_t place;
    const char *call, *agent;
    uint64_t wait; /* the number of its wait: another one has another */
    bool known;    /* … what it waits for: nothing, if it has no targets */
    bool queued;   /* it has not begun */
    bool any;
    bool checked; /* is still in the same wait, after all of the circle were seen */
    size_t n;
    uint32_t *targets; /* by their places */
};

struct asq__waits {
    struct asq__table table;
    struct asq__arena arena;
    struct asq__waiter **calls;
    size_t n, cap, edges;
    bool full; /* something has not found room: it is worth nothing */
};

int asq__waits_init(struct asq__waits *w);
void asq__waits_release(struct asq__waits *w);
/* The place of a call, which is added if it is new; UINT32_MAX: no room. */
uint32_t asq__waits_place(struct asq__waits *w, const char *call);
/* What a call waits for is known now. */
void asq__waits_know(struct asq__waits *w, uint32_t at, const char *agent, const uint32_t *targets,
                     size_t n, bool any);
/* Looks for a circle that a queued call of `agent` is part of, and keeps nothing else: that call comes
 * first, then those on a way round, each waiting for the next and the last of them for the first, then the
 * others. Returns the length of that way; 0: there is no circle, and all is as it was. */
size_t asq__waits_circle(struct asq__waits *w, const char *agent);

#endif
