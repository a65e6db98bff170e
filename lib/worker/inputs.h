/*
 * inputs.h: futures that were given as arguments.
 */
#ifndef ASQ_WORKER_INPUTS_H
#define ASQ_WORKER_INPUTS_H

#include <stdbool.h>
#include <stddef.h>

struct asq__call_id;
struct asq__inputs;
struct asq__process;
struct asq__wcall;

int asq__inputs_begin(struct asq__wcall *c); /* 0: awaited or there; else an error */
bool asq__inputs_ready(const struct asq__wcall *c);
/* Gets an awaited future, after the first `skip` of them. False: there is none. */
bool asq__inputs_pending(const struct asq__wcall *c, size_t skip, struct asq__call_id *ret);
/* Gets up to `room` awaited futures; returns how many there are. */
size_t asq__inputs_awaited(const struct asq__wcall *c, struct asq__call_id *ids, size_t room);
const char *asq__inputs_failure(const struct asq__wcall *c); /* NULL: none has failed */
void asq__inputs_free(struct asq__inputs *in);
/* Asks for room for results that were dropped; it is the call's turn at its agent. Resumes the
 * agent when they are there. */
void asq__inputs_want_room(struct asq__wcall *c);
bool asq__inputs_wait_for_room(const struct asq__wcall *c);
void asq__inputs_run_due(struct asq__process *w); /* at the end of the iteration: gives room */
/* Drops what was admitted beyond the bound before the call waits for its next run. */
void asq__inputs_retry(struct asq__wcall *c);
const void *asq__inputs_args(const struct asq__inputs *in, size_t *n);

#endif
