/*
 * step_log.h: the steps and statements of a method's run, numbered in one sequence, and compared
 * with the records of an earlier run of the call.
 *
 *     run 1    1 call    2 step "pay"    3 call    4 step "mail"  ─ its worker dies
 *     records  1 CALLED  2 STEP          3 CALLED
 *     run 2    1 call    2 its value     3 call    4 step "mail" runs
 *              (calls are found by their derived ids, their results in records of their own)
 *
 * A run that does something else at a recorded place fails with ASQ_EDIVERGED. Calls are recorded
 * from a run's first step on, those before it together with it, so runs without a step have no
 * records. The mode of the handle loads and keeps them (asq__mode); in local mode there are none.
 *
 * All of it belongs to the method's thread.
 */
#ifndef ASQ_CLIENT_STEP_LOG_H
#define ASQ_CLIENT_STEP_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "value/buf.h"
#include "value/step_msg.h"

#define ASQ__UNLOADED                                                                              \
    "the call was unloaded in its sleep or wait, and runs again when its time has come; the "      \
    "method must return"

struct asq__step_log {
    uint64_t number;         /* of the last step or statement of this run */
    struct asq__buf earlier; /* records of the earlier run */
    size_t at;               /* in `earlier`: the next one */
    struct asq__buf calls;   /* records of calls before the run's first step */
    size_t bytes;            /* of all records of the call */
    size_t promises;         /* made in this run */
    size_t unwritten;        /* of those that may not be in Redis yet */
    bool recording;          /* has a step: its calls are recorded, too */
    bool loaded;             /* `earlier` is known */
    bool in_step;            /* inside of a step's function */
};

/* Returns the log of a method's handle, with what an earlier run has recorded. A failure is the
 * call's, too. May park the call. */
int asq__step_log(asq_ctx *ctx, struct asq__step_log **ret);
void asq__step_log_free(struct asq__step_log *log);
/* Takes the next number for a step or statement. 1: the earlier run has recorded it, in *ret; 0: it
 * is new; ASQ_EDIVERGED: the earlier run did something else there. A failure is the call's, too. */
int asq__step_next(asq_ctx *ctx, struct asq__step_log *log, Asqueue__StepKind kind,
                   const char *name, struct asq__step *ret);
/* Returns whether the earlier run has recorded nothing behind the last number taken. */
bool asq__step_is_last(const struct asq__step_log *log);
/* Counts a statement that makes calls, the first of which is `label`; "": none in this run, because
 * an earlier input of asq_call_each has failed by now, and any in the earlier run. */
int asq__step_called(asq_ctx *ctx, const char *label);
/* Records the calls made before the first step, whose record the mode makes itself. */
int asq__step_record_calls(asq_ctx *ctx, struct asq__step_log *log);
/* Checks, when the method has returned successfully, that it has come as far as the earlier run. */
int asq__step_check_end(asq_ctx *ctx);
/* Returns how many bytes the records of one call may have. */
size_t asq__step_limit(const asq_ctx *ctx);
/* Records what this run has done. wait: until Redis has it. */
int asq__step_record(asq_ctx *ctx, struct asq__step_log *log, const struct asq__step *step,
                     bool wait);

#endif
