/*
 * delay.h: timers of calls that are not due yet.
 */
#ifndef ASQ_WORKER_DELAY_H
#define ASQ_WORKER_DELAY_H

#include <stdbool.h>
#include <stdint.h>

struct asq__process;
struct asq__wcall;

/* Makes a call DELAYED until delay_ms from now. Unless it keeps its place, it is in no queue: then
 * it counts as waiting for its time, not as waiting to run. When it is due it is put on
 * process->due. False: no memory, and nothing has changed. */
bool asq__delay_begin(struct asq__wcall *c, int64_t delay_ms);
/* Counts a call that keeps its place as sleeping there without a run, until its delay ends. */
void asq__delay_rest(struct asq__wcall *c);
void asq__delay_stop(struct asq__wcall *c); /* stops its timer; its time is kept elsewhere */
void asq__delay_end(struct asq__wcall *c);  /* stops its timer, and counts it as waiting to run */
/* Takes the next call that is due, and ends its delay; NULL: none is. */
struct asq__wcall *asq__delay_next_due(struct asq__process *w);

#endif
