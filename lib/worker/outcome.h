/*
 * outcome.h: calls that end without a run.
 */
#ifndef ASQ_WORKER_OUTCOME_H
#define ASQ_WORKER_OUTCOME_H

#include <stddef.h>

struct asq__wcall;

/* Ends a call with an error. It is in no list afterwards; its entry stays until the commit with the
 * error is acknowledged. */
void asq__wcall_fail(struct asq__wcall *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Ends it with an encoded value in the same way; n 0: null. */
void asq__wcall_answer(struct asq__wcall *c, const void *value, size_t n);

#endif
