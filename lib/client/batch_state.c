/*
 * batch_state.c: compares an engine's lists and counts with the states of its batches. See
 * batch_state.h.
 */
#include "client/batch_state.h"
#include "value/list.h"
#include "value/table.h"

/* Counts the batches of a list, whose states must be among `set`. */
static size_t count_list(const struct asq__engine *e, const struct asq__list *list, unsigned set,
                         size_t *unaccepted)
{
    size_t n = 0;
    ASQ__LIST_EACH (it, list) {
        const struct asq__batch *b = ASQ__CONTAINER(it, struct asq__batch, order);
        asq__assert(b->engine == e);
        asq__assert(set & 1u << b->state);
        asq__assert(b->unfinished <= b->n);
        asq__assert(b->number <= e->counter);
        *unaccepted += (ASQ__BATCH_UNACCEPTED & 1u << b->state) != 0;
        n++;
    }
    return n;
}

void asq__engine_check(const struct asq__engine *e)
{
    size_t unaccepted = 0, n = e->opened;
    n += count_list(e, &e->ready, ASQ__BATCH_BIT(READY), &unaccepted);
    n += count_list(e, &e->blocked, ASQ__BATCH_BIT(READY), &unaccepted);
    n += count_list(e, &e->sent,
                    ASQ__BATCH_BIT(SENT) | ASQ__BATCH_BIT(REFUSED) | ASQ__BATCH_BIT(ACCEPTED),
                    &unaccepted);
    n += count_list(e, &e->foreign, ASQ__BATCH_BIT(FOREIGN), &unaccepted);
    asq__assert(n == e->unfinished);
    asq__assert(unaccepted == e->unaccepted);
    asq__assert(n <= e->batches.count); /* the pinned ones are in no list */
}
