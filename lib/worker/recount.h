/*
 * recount.h: what a partition needs shrinks again. While live workers lack some of its needed
 * classes, so that it cannot be placed freely, its owner reads now and then which classes its
 * agents have, a page at a time, and forgets those of which there are none.
 */
#ifndef ASQ_WORKER_RECOUNT_H
#define ASQ_WORKER_RECOUNT_H

struct asq__partition;
struct asq__process;

/* Has an owned partition counted in a lease time at the soonest: calls for which a class is needed
 * may not have made their agents yet. */
void asq__recount_postpone(struct asq__partition *p);
/* Begins to count the classes of an owned partition, if that is due. */
void asq__recount_begin(struct asq__partition *p);
/* Reads the next page, if a count is under way. */
void asq__recount_upkeep(struct asq__partition *p);
/* Has all partitions counted soon, because the live workers have other classes now. */
void asq__recount_soon(struct asq__process *w);

#endif
