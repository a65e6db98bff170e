/*
 * actor_memory.h: makes, activates, passivates, evicts and frees agents in memory.
 */
#ifndef ASQ_WORKER_ACTOR_MEMORY_H
#define ASQ_WORKER_ACTOR_MEMORY_H

#include <stdbool.h>

#include "value/msg.h"

struct asq__actor;
struct asq__partition;
struct asq__process;

void asq__actor_memory_init(struct asq__process *w);
/* Finds or makes it; NULL: no memory. */
struct asq__actor *asq__actor_of(struct asq__partition *p, const char *id);
/* Activates it for a call; false: no memory. */
bool asq__actor_activate(struct asq__actor *a);
/* Passivates it if no call concerns it. */
void asq__actor_passivate(struct asq__actor *a);
/* Has the end of the iteration resume or start what it can. Calls concern it. */
void asq__actor_resume_later(struct asq__actor *a);
void asq__actor_note_size(struct asq__actor *a);
void asq__actor_unload_created(struct asq__actor *a, Asqueue__JobKind kind);
/* Detaches an agent of a lost partition; freed when its last run ends. */
void asq__actor_orphan(struct asq__actor *a);
void asq__actor_free(struct asq__actor *a);
/* Evicts idle agents; over the memory limit, evicts more, longest idle first. */
void asq__actor_memory_evict(struct asq__process *w);
void asq__actor_memory_upkeep(struct asq__process *w); /* once a second; also evicts */

#endif
