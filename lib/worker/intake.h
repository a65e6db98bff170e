/*
 * intake.h: takes in entries that a reader brings.
 */
#ifndef ASQ_WORKER_INTAKE_H
#define ASQ_WORKER_INTAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/reply.h"
#include "value/msg.h"
#include "value/value.h"

struct asq__entry;
struct asq__note;
struct asq__partition;
struct asq__stream_id;
struct asq__wcall;

/* Takes in an entry of the stream: [id, [field, value, …]]. Returns its weight in reads: its bytes,
 * or its memory if that is more. */
size_t asq__intake_reply(struct asq__partition *p, const redisReply *entry);
/* Takes in an entry that was left in the stream. False: the entry stays there for now. *ret_id gets
 * its id, if it is an entry. */
bool asq__intake_reread(struct asq__partition *p, const redisReply *entry,
                        struct asq__stream_id *ret_id);
/* Takes in an entry that was noted for the agent. False: it is in memory, and about to be
 * dispatched for another agent; it is to be read again afterwards. */
bool asq__intake_noted(struct asq__partition *p, const redisReply *entry,
                       const struct asq__note *note, const char *agent, bool admitted);
/* Takes in and dispatches an entry that has waited outside of the stream, and has a call with its
 * agent's first place: whatever is held. */
void asq__intake_returned(struct asq__partition *p, const redisReply *entry);
/* Dispatches the ready entries at the head of the intake. */
void asq__intake_resume(struct asq__partition *p);

#endif
