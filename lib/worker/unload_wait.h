/*
 * unload_wait.h: what a call that was unloaded in a wait waits for, without a run.
 */
#ifndef ASQ_WORKER_UNLOAD_WAIT_H
#define ASQ_WORKER_UNLOAD_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "client/handle.h"

struct asq__call_id;
struct asq__partition;
struct asq__run;
struct asq__unload_wait;
struct asq__wcall;

/* Returns whether the results that a parked run waits for can be awaited without it: Redis has all
 * of their calls, and nobody reads what these emit. */
bool asq__unload_wait_may_begin(const struct asq__run *run);
/* Begins to await what a parked run waits for, in its stead: results, or a signal (its name; else
 * NULL). NULL: no memory, and nothing has changed. */
struct asq__unload_wait *asq__unload_wait_begin(struct asq__run *run, const char *signal);
/* Gives it to the call, whose run has ended. Returns whether the wait is over already. */
bool asq__unload_wait_hand_over(struct asq__unload_wait *wait, struct asq__wcall *c);
void asq__unload_wait_free(struct asq__unload_wait *wait);
/* Ends the wait of the agent's call for a signal that has come. */
void asq__unload_wait_signal(const struct asq__partition *p, const char *agent, const char *name);
/* Makes an unloaded call ready to start now; the caller resumes its agent. */
void asq__unload_wake(struct asq__wcall *c);

/* Forgets what an unloaded call waits for, and leaves its batches to their time to live: it is not
 * here any more. */
void asq__unload_forget(struct asq__wcall *c);

/* Returns the number of the wait, which was that of the run's. */
uint64_t asq__unload_wait_number(const struct asq__unload_wait *wait);
/* Returns the name of the signal that is waited for; NULL: results are. */
const char *asq__unload_wait_signal_name(const struct asq__unload_wait *wait);
/* Visits the ids that are still waited for, until `visit` returns false; see asq__wait_results. */
enum asq__wait asq__unload_wait_visit(const struct asq__unload_wait *wait,
                                      bool (*visit)(void *user, const struct asq__call_id *id),
                                      void *user);

#endif
