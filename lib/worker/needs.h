/*
 * needs.h: the classes that a partition needs, which are those of its agents. A partition is placed
 * where they are known (candidates.h). Its owner keeps them in the lease, in the step of the commit
 * that saves the first agent of a class, or one of a newer version.
 */
#ifndef ASQ_WORKER_NEEDS_H
#define ASQ_WORKER_NEEDS_H

#include <hiredis/hiredis.h>

struct asq__class;
struct asq__partition;
struct asq__process;

/* Sets what this process knows, from its registry. ASQ_ENOMEM. */
int asq__needs_init(struct asq__process *w);
/* Takes the needs from the lease of a partition. */
void asq__needs_take(struct asq__partition *p, const redisReply *text);
/* Notes that an owned partition has, or gets, an agent of the class. NULL: does nothing. */
void asq__needs_note(struct asq__partition *p, const struct asq__class *cls);

/* Forgets what was awaited and counted in a partition that is dropped. */
void asq__needs_drop(struct asq__partition *p);
void asq__needs_release(struct asq__process *w);

#endif
