/*
 * result_read.h: result records of entries that may have been done before, read with a bound in bytes.
 */
#ifndef ASQ_WORKER_RESULT_READ_H
#define ASQ_WORKER_RESULT_READ_H

struct asq__entry;
struct asq__process;

/* Queues a read, which ends with asq__intake_record; e->looking counts it until then. ASQ_ENOMEM. */
int asq__result_read(struct asq__entry *e);
void asq__result_reads_send(struct asq__process *w);      /* at the end of the iteration */
void asq__result_reads_drop(struct asq__process *w); /* after asq__partitions_drop */

#endif
