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
void asq__entry_free(struct asq__entry *e);
void asq__entry_note_bytes(struct asq__entry *e, size_t bytes); /* adds to its memory */
/* Frees it when nothing needs it any more. */
void asq__entry_settle(struct asq__entry *e);
struct asq__entry *asq__entry_find(const struct asq__partition *p, const uint8_t id[ASQ__BATCH_ID]);
/* Pushes committed results to a client. */
void asq__push(struct asq__partition *p, const char *client, const void *data, size_t n);
/* Announces a record of n bytes: the client reads from its key what it lacks. */
void asq__push_announcement(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                            const char *client, size_t n);
/* Pushes a whole record; a large one is only announced. */
void asq__push_record(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                      const char *client, const void *data, size_t n);
void asq__wcall_cancel(struct asq__wcall *c);
/* Takes the result record that asq__result_read has asked for: the first n bytes of reply->str. n 0: an error, or there
 * is none. reply NULL: not known. Ends e->looking of that read; may free `e`. */
void asq__intake_record(struct asq__entry *e, const redisReply *reply, size_t n);
/* Returns the call while it waits or runs here; else NULL. */
struct asq__wcall *asq__wcall_find(struct asq__partition *p, const struct asq__call_id *id);

#endif
