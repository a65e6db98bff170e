/*
 * later_move.h: declarations shared by later_move.c and later_ask.c: the script for batches that
 * wait outside of the stream.
 */
#ifndef ASQ_WORKER_LATER_SCRIPT_H
#define ASQ_WORKER_LATER_SCRIPT_H

#include "redis/cmd.h"
#include "redis/reply.h"
#include "value/list.h"
#include "worker/partition.h"

/* Begins the command, up to the batches asked about. The script moves at most `batches` due
 * ones. */
void asq__later_script(struct asq__partition *p, struct asq__cmd *cmd, size_t batches);
/* Returns whether the reply answers a query about n batches. False: the fault was handled, which
 * may have cost the partition; ask again. */
bool asq__later_answered(struct asq__partition *p, const redisReply *reply, size_t n);
struct asq__list *asq__later_cancels(const struct asq__partition *p); /* cancels to repeat */
void asq__later_drop_cancels(struct asq__list *cancels);

#endif
