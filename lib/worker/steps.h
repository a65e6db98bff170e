/*
 * steps.h: the records of methods' steps, in a worker.
 */
#ifndef ASQ_WORKER_STEPS_H
#define ASQ_WORKER_STEPS_H

#include <stdbool.h>
#include <stddef.h>

#include "asqueue.h"

struct asq__buf;
struct asq__nested;
struct asq__partition;

/* On the method's thread; see asq__mode. */
int asq__nested_load_steps(asq *h, struct asq__buf *ret);
int asq__nested_record_steps(asq *h, const void *records, size_t n, bool binds, bool wait);
/* After the method has returned; on the loop. */
void asq__steps_end(struct asq__nested *n);
/* On the loop: wakes runs whose records are acknowledged. */
void asq__steps_resume(struct asq__partition *p);
/* Wakes them all: the partition is lost. */
void asq__steps_drop(struct asq__partition *p);

#endif
