/*
 * waits.h: which calls wait for which, as far as known: the data that a probe carries from worker
 * to worker (deadlock.c), and whether it has a cycle. No sockets, no clock.
 *
 * A call waits for all of some calls (stuck when one of them is), or for any of them (stuck when
 * all of them are). A cycle is a set of calls that are stuck because of each other alone. Each call
 * that waits for all has one target in the set, each that waits for any has all its targets there,
 * and a path leads from each call to each. A call that is unknown, or known to proceed, is in no
 * cycle.
 */
#ifndef ASQ_WORKER_CORE_WAITS_H
#define ASQ_WORKER_CORE_WAITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/arena.h"
#include "value/table.h"

enum { ASQ__WAITS_CALLS = 8192, ASQ__WAITS_EDGES = 65536 }; /* limits of one probe */

struct asq__waiter {
    struct asq__node node; /* by call */
    uint32_t place;
    const char *call, *agent;
    uint64_t wait; /* number of its wait; each wait has another */
    bool known;    /* targets are known; none: waits for nothing */
    bool queued;   /* has not begun */
    bool any;
    bool checked; /* still in the same wait after all calls of the cycle were seen */
    size_t n;
    uint32_t *targets; /* places of its targets */
};

struct asq__waits {
    struct asq__table table;
    struct asq__arena arena;
    struct asq__waiter **calls;
    size_t n, cap, edges;
    bool full; /* some data found no room, so all of it is useless */
};

int asq__waits_init(struct asq__waits *w);
void asq__waits_release(struct asq__waits *w);
/* Returns the place of a call, which is added if it is new; UINT32_MAX: no room. */
uint32_t asq__waits_place(struct asq__waits *w, const char *call);
/* Sets what a call waits for. */
void asq__waits_know(struct asq__waits *w, uint32_t at, const char *agent, const uint32_t *targets,
                     size_t n, bool any);
/* Looks for a cycle with a queued call of `agent`, and keeps nothing else. That call comes first,
 * then those on a path round the cycle, each waiting for the next and the last of them for the
 * first, then the others. Returns the length of that path; 0: there is no cycle, and nothing has
 * changed. */
size_t asq__waits_cycle(struct asq__waits *w, const char *agent);

#endif
