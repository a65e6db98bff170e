/*
 * batch_state.h: the steps of a batch from state to state, and what follows from a state: the
 * engine's counts, and how far the batch has come. The picture stands in batch.h. Lists are left to
 * the callers, because a batch that is sent again keeps its place among the others.
 *
 * Inline, because each call's batch takes five steps: with a constant state, little is left of
 * them.
 */
#ifndef ASQ_CLIENT_BATCH_STATE_H
#define ASQ_CLIENT_BATCH_STATE_H

#include <stddef.h>

#include "client/batch.h"
#include "value/assert.h"

#define ASQ__BATCH_BIT(state) (1u << ASQ__BATCH_##state)

/* Sets of states that the engine counts batches of. */
enum {
    ASQ__BATCH_UNACCEPTED = ASQ__BATCH_BIT(READY) | ASQ__BATCH_BIT(SENT) | ASQ__BATCH_BIT(REFUSED),
    ASQ__BATCH_UNFINISHED = ASQ__BATCH_UNACCEPTED | ASQ__BATCH_BIT(OPEN) |
                            ASQ__BATCH_BIT(ACCEPTED) | ASQ__BATCH_BIT(FOREIGN)
};

/* Returns the set of states from which there is a step to `state`. */
static inline unsigned asq__batch_before(enum asq__batch_state state)
{
    switch (state) {
    case ASQ__BATCH_NEW: return 0;
    case ASQ__BATCH_OPEN: return ASQ__BATCH_BIT(NEW) | ASQ__BATCH_BIT(FOREIGN);
    case ASQ__BATCH_FOREIGN: return ASQ__BATCH_BIT(NEW) | ASQ__BATCH_BIT(OPEN);
    case ASQ__BATCH_READY:
        return ASQ__BATCH_BIT(OPEN) | ASQ__BATCH_BIT(SENT) | ASQ__BATCH_BIT(REFUSED) |
               ASQ__BATCH_BIT(ACCEPTED);
    case ASQ__BATCH_SENT: return ASQ__BATCH_BIT(READY);
    case ASQ__BATCH_REFUSED: return ASQ__BATCH_BIT(SENT);
    case ASQ__BATCH_ACCEPTED: return ASQ__BATCH_BIT(SENT) | ASQ__BATCH_BIT(READY);
    case ASQ__BATCH_PINNED: return ASQ__BATCH_UNACCEPTED | ASQ__BATCH_BIT(ACCEPTED);
    case ASQ__BATCH_ENDED: return ASQ__BATCH_UNFINISHED | ASQ__BATCH_BIT(PINNED);
    }
    return 0;
}

/* Returns by how much the step changes the number of batches in a set of states. */
static inline size_t asq__batch_change(unsigned set, enum asq__batch_state from,
                                       enum asq__batch_state to)
{
    unsigned before = asq__batch_before(to);
    size_t was = !(before & ~set) ? 1 : !(before & set) ? 0 : set >> from & 1;
    return (set >> to & 1) - was;
}

/* Takes the batch to a state, and keeps e->unaccepted, e->unfinished and `history`. Aborts if the
 * step is not in the picture. */
static inline void asq__batch_enter(struct asq__batch *b, enum asq__batch_state state)
{
    struct asq__engine *e = b->engine;
    asq__assert(asq__batch_before(state) >> b->state & 1);
    e->unaccepted += asq__batch_change(ASQ__BATCH_UNACCEPTED, b->state, state);
    e->unfinished += asq__batch_change(ASQ__BATCH_UNFINISHED, b->state, state);
    if (state == ASQ__BATCH_ACCEPTED)
        b->history = ASQ__WAS_ACCEPTED;
    else if (state == ASQ__BATCH_SENT && b->history == ASQ__NEVER_SENT)
        b->history = ASQ__WAS_SENT;
    b->state = state;
}

/* Aborts if the engine's lists, counts and the states of batches contradict each other. Visits all
 * batches: for rare events. */
void asq__engine_check(const struct asq__engine *e);

#endif
