/*
 * emits.h: values that methods emit, on their way from the method to their streams in Redis.
 */
#ifndef ASQ_WORKER_EMITS_H
#define ASQ_WORKER_EMITS_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"

struct asq__partition;
struct asq__process;
struct asq__run;

void asq__emits_init(struct asq__process *w);
/* Emits a value, on the method's thread; see asq__mode.emit. */
int asq__nested_emit(asq *h, const void *value, size_t n);
/* Has the rest of a run leave before its outcome is committed. */
void asq__emits_end(struct asq__run *run);
/* Sends what is due, at the end of the iteration and before commits. */
void asq__emits_send(struct asq__process *w);
/* Returns the last flush up to number `upto` that Redis has not acknowledged, for commit.lua to
 * look for; 0: none. A flush that was given up is none, so no commit waits for it. */
uint64_t asq__emits_missing(const struct asq__partition *p, uint64_t upto);
/* Drops what a lost partition has not sent. */
void asq__emits_drop(struct asq__partition *p);

#endif
