/*
 * misplaced.h: agents that are created outside of the pool of their class, by a caller who does not
 * know that the class has one.
 */
#ifndef ASQ_WORKER_MISPLACED_H
#define ASQ_WORKER_MISPLACED_H

struct asq__wcall;

/* Warns, if the call is such a creation. */
void asq__misplaced_note(const struct asq__wcall *c);

#endif
