/*
 * step.h: what a method does durably, for the files that have further kinds of it.
 */
#ifndef ASQ_CLIENT_STEP_H
#define ASQ_CLIENT_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/step_log.h"

/* Begins a step, as asq__step_next, with room for a value of value_n bytes. */
int asq__step_begin(asq_ctx *ctx, Asqueue__StepKind kind, const char *name, size_t value_n,
                    struct asq__step_log **ret_log, struct asq__step *known);
/* Gives a failure of the call to those who look at the handle, too. Returns rc. */
int asq__step_told(asq_ctx *ctx, int rc);
/* Gives a step's failure to the caller of the step: the call does not fail, unless the method
 * returns the code. */
int asq__step_give_failure(asq_ctx *ctx, int code, const char *message, size_t n);
/* Gives the value that an earlier run has recorded. */
int asq__step_give_value(asq_ctx *ctx, const struct asq__step *known, asq_value **ret);
/* Records when a wait of *ms ends, by the clock of the agent's partition, and cuts it down to what
 * an earlier run has left of it. *ret_until_ms: the recorded end; 0: there is no room for a record.
 * Waits for which is_recorded is false are not recorded. */
int asq__step_record_wait(asq_ctx *ctx, Asqueue__StepKind kind, int64_t *ms, int64_t *ret_until_ms);
bool asq__step_wait_is_recorded(const asq_ctx *ctx, const asq *h, int64_t ms);
/* Records a value that the library makes, or gives the recorded one; it has value_n bytes. */
int asq__step_fact(asq_ctx *ctx, Asqueue__StepKind kind, void *value, size_t value_n);
/* Does the same for a time. */
int asq__step_time(asq_ctx *ctx, Asqueue__StepKind kind, int64_t *ms);

#endif
