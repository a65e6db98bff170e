/*
 * failures.h: the last failures of a partition's calls, which are kept in Redis for operators. They
 * are part of the commit of the failed run, so they are as true as its result is. On the loop.
 */
#ifndef ASQ_WORKER_FAILURES_H
#define ASQ_WORKER_FAILURES_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"

struct asq__cmd;
struct asq__commit;
struct asq__wcall;

/* Bytes in Redis of the failures of one partition, and the time for which they stay after the last
 * one. */
#define ASQ__FAILURES_BYTES  ((uint64_t) 1024 * 1024)
#define ASQ__FAILURES_TTL_MS ((uint64_t) 7 * 24 * 3600 * 1000)

/* Adds a failed run, or the failure of a call that has not run, to its commit, if the process keeps
 * failures. attempt: how often the call has run; again: another run follows. */
void asq__failure_keep(struct asq__commit *c, const struct asq__wcall *call, const asq_error *error,
                       unsigned attempt, bool again);
/* Appends the failures of a commit to its section; see commit.lua. */
void asq__failures_put(struct asq__cmd *cmd, const struct asq__commit *c);

#endif
