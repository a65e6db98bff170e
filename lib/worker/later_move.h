/*
 * later_move.h: what later_move.c and later_ask.c share: the script that sees to what waits outside of the stream.
 */
#ifndef ASQ_WORKER_LATER_MOVE_H
#define ASQ_WORKER_LATER_MOVE_H

#include "worker/process.h"

/* Begins the command, up to the batches that are asked about: at most so many that are due are moved. */
void asq__later_script(struct asq__partition *p, struct asq__cmd *cmd, size_t batches);
/* Is it an answer about n batches that were asked about? Else what is wrong has been seen to, which may have
 * cost the partition, and it is to be asked again. */
bool asq__later_answered(struct asq__partition *p, const redisReply *reply, size_t n);
struct asq__list *asq__later_cancels(const struct asq__partition *p); /* to be asked for again */
void asq__later_drop_cancels(struct asq__list *cancels);

#endif
