/*
 * result_read.h: result records of entries that may have been done before, read with a bound in
 * bytes.
 */
#ifndef ASQ_WORKER_RESULT_READ_H
#define ASQ_WORKER_RESULT_READ_H

#include <stddef.h>

#include "redis/reply.h"

struct asq__entry;
struct asq__partition;
struct asq__process;

/* Takes the record of an entry: the first n bytes of reply->str. n 0: an error, or there is none.
 * reply NULL: not known. */
typedef void asq__result_read_fn(struct asq__entry *e, const redisReply *reply, size_t n);
/* Queues a read, which ends with a call of `done`; until then e->n_lookups counts it.
 * ASQ_ENOMEM. */
int asq__result_read(struct asq__entry *e, asq__result_read_fn *done);
/* Queues a read of the records of a call's steps, in the same way. */
typedef void asq__steps_read_fn(void *user, const redisReply *reply, size_t n);
int asq__steps_read(struct asq__partition *p, const char *call, asq__steps_read_fn *done,
                    void *user);
/* Queues a read of the signals to an agent, in the same way. */
int asq__signals_read(struct asq__partition *p, const char *agent, asq__steps_read_fn *done,
                      void *user);
void asq__result_reads_send(struct asq__process *w); /* at the end of the iteration */
void asq__result_reads_drop(struct asq__process *w); /* after asq__partitions_drop */

#endif
