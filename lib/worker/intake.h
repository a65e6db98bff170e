/*
 * intake.h: takes in entries that a reader brings.
 */
#ifndef ASQ_WORKER_INTAKE_H
#define ASQ_WORKER_INTAKE_H

#include <stddef.h>
#include <stdint.h>

#include "redis/reply.h"
#include "value/msg.h"
#include "value/value.h"

struct asq__entry;
struct asq__partition;
struct asq__wcall;

/* Takes in an entry of the stream: [id, [field, value, …]]. Returns its weight in reads: its bytes,
 * or its memory if that is more. */
size_t asq__intake_reply(struct asq__partition *p, const redisReply *entry);
/* Dispatches the ready entries at the head of the intake. */
void asq__intake_go_on(struct asq__partition *p);
/* Takes the result record that asq__result_read has asked for: the first n bytes of reply->str. n 0: an error, or there
 * is none. reply NULL: not known. Ends e->looking of that read; may free `e`. */
void asq__intake_record(struct asq__entry *e, const redisReply *reply, size_t n);

#endif
