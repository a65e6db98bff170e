/*
 * control.h: control jobs: await, cancel, probe.
 */
#ifndef ASQ_WORKER_CONTROL_H
#define ASQ_WORKER_CONTROL_H

#include <stdbool.h>

struct asq__entry;
struct asq__partition;
struct asq__wcall;

#define ASQ__CANCELED_BEFORE "the call was cancelled before it began"

/* Executes the jobs of an entry. True: a part of it is still under way, and the entry leaves the
 * stream when that is done. */
bool asq__control(struct asq__partition *p, const struct asq__entry *e);
void asq__wcall_cancel(struct asq__wcall *c);

#endif
