/*
 * actors.h: agents in memory: found, awake, asleep, evicted.
 */
#ifndef ASQ_WORKER_ACTORS_H
#define ASQ_WORKER_ACTORS_H

#include <stdbool.h>

#include "value/msg.h"

struct asq__actor;
struct asq__partition;
struct asq__process;

struct asq__actor *asq__actor_of(struct asq__partition *p, const char *id); /* NULL: no memory */
/* Activates it for a call; false: no memory. */
bool asq__actor_wake(struct asq__actor *a);
/* Passivates it if no call concerns it. */
void asq__actor_rest(struct asq__actor *a);
/* Has the end of the iteration resume or start what it can. Calls concern it. */
void asq__actor_resume_later(struct asq__actor *a);
/* Takes the next agent that was left for the end of the iteration; NULL: there is none. */
struct asq__actor *asq__actor_next_to_resume(struct asq__process *w);
void asq__actor_note_size(struct asq__actor *a);
void asq__actor_unload_created(struct asq__actor *a, Asqueue__JobKind kind);
/* Detaches an agent of a lost partition; freed when its last run ends. */
void asq__actor_orphan(struct asq__actor *a);
void asq__actor_free(struct asq__actor *a);
bool asq__is_crowded(const struct asq__process *w);
/* Evicts idle agents; over the memory limit, evicts more, longest idle first. */
void asq__actors_evict(struct asq__process *w);
void asq__actors_upkeep(struct asq__process *w); /* once a second; also evicts */

#endif
