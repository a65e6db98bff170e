/*
 * deadlock.h: finds cycles of calls that wait for each other.
 */
#ifndef ASQ_WORKER_DEADLOCK_H
#define ASQ_WORKER_DEADLOCK_H

#include "value/msg.h"

struct asq__actor;
struct asq__process;

void asq__deadlock_init(struct asq__process *w);
/* Notes that calls of the agent wait while no run of it moves, or that one more waits. */
void asq__deadlock_note(struct asq__actor *a);
void asq__deadlock_probe(struct asq__process *w, const Asqueue__Probe *probe);

#endif
