/*
 * agent_signals.h: signals to agents, in a worker: kept with the agent until a call that waits for
 * one hears it. (signals.h is about those of the system.)
 */
#ifndef ASQ_WORKER_AGENT_SIGNALS_H
#define ASQ_WORKER_AGENT_SIGNALS_H

#include <stdbool.h>

#include "asqueue.h"

struct asq__nested;
struct asq__partition;
struct asq__run;
struct asq__signal_wait;
struct asq__wcall;

/* Takes the call of a signal to an agent that exists, out of any queue; the call ends when the
 * agent's signals are known. */
void asq__agent_signals_take(struct asq__wcall *c);
/* Has the outcome of a call that deletes its agent, to be committed next, remove all signals. */
void asq__agent_signals_delete(struct asq__wcall *c);
/* On the method's thread; see asq__mode.next_signal. */
int asq__nested_next_signal(asq *h, struct asq__signal_wait *wait);
/* After the method has returned; on the loop. */
void asq__agent_signals_end(struct asq__nested *n);
/* Have a parked run stop waiting for a signal, because it is unloaded: whether it may, since none
 * is there for it; and that it does. What comes from then on, asq__unload_wait_signal is told. */
bool asq__agent_signals_may_leave(const struct asq__nested *n);
void asq__agent_signals_leave(struct asq__nested *n);
/* Returns the name of the signal for which a parked run waits; NULL: it waits for none. */
const char *asq__agent_signals_awaited(const struct asq__run *run);
/* A commit is acknowledged, or lost for good: forgets what is not needed any more. */
void asq__agent_signals_resume(struct asq__partition *p);
void asq__agent_signals_upkeep(struct asq__partition *p); /* once a second: repeats failed reads */
void asq__agent_signals_drop(struct asq__partition *p);   /* the partition is lost */
void asq__agent_signals_free(struct asq__partition *p);

#endif
