/*
 * allowed.h: what Redis allows a worker process now: whether calls may start, and how long a string
 * may be.
 */
#ifndef ASQ_WORKER_ALLOWED_H
#define ASQ_WORKER_ALLOWED_H

#include <stdbool.h>

struct asq__process;

/* Returns whether the last acknowledged heartbeat is recent enough that no other worker may take
 * over. True before the first one. */
bool asq__process_is_alive(const struct asq__process *w);
/* Returns whether calls may start: this worker is alive, knows what is paused, and Redis takes
 * commits. */
bool asq__process_may_start(const struct asq__process *w);
/* Notes the largest string that Redis takes, so that a larger one fails in the call that makes
 * it. */
void asq__process_learn_limit(struct asq__process *w);

#endif
