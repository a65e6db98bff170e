/*
 * steps.h: the records of methods' steps, in a worker.
 */
#ifndef ASQ_WORKER_STEPS_H
#define ASQ_WORKER_STEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

struct asq__buf;
struct asq__nested;
struct asq__partition;
struct asq__run;

/* On the method's thread; see asq__mode. */
int asq__nested_load_steps(asq *h, struct asq__buf *ret);
int asq__nested_record_steps(asq *h, const void *records, size_t n, const uint8_t *promise,
                             bool binds, bool wait);
/* Waits until Redis has what the agent and the run have done before. */
int asq__nested_wait_recorded(asq *h);
/* After the method has returned; on the loop. */
void asq__steps_end(struct asq__nested *n);
/* Let a method of another file wait for records, on the loop, and for the end of that wait, on its
 * own thread: begin before it is handed over; until the commit of this seq is acknowledged, or end
 * it now with a code; 0, ASQ_ECANCELED and others of asq__mode.wait, or the code. */
void asq__steps_begin_wait(struct asq__nested *n);
void asq__steps_wait_until(struct asq__nested *n, uint64_t seq);
void asq__steps_end_wait(struct asq__nested *n, int rc);
int asq__nested_wait_steps(struct asq__nested *n);
/* Returns whether the run's agent is not an orphan, and its partition is owned. */
bool asq__steps_are_current(const struct asq__run *run);
/* On the loop: wakes runs whose records are acknowledged. */
void asq__steps_resume(struct asq__partition *p);
/* Wakes them all: the partition is lost. */
void asq__steps_drop(struct asq__partition *p);

#endif
