/*
 * later_ask.h: queries about single batches that wait outside of the stream.
 */
#ifndef ASQ_WORKER_LATER_ASK_H
#define ASQ_WORKER_LATER_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/msg.h"
#include "worker/core/entry.h"
#include "worker/core/stream_id.h"

struct asq__call_id;
struct asq__partition;

/* Asks whether the first copy of `e` is there, and if so adds e's channels to it. The answer goes
 * to e->first_copy; e->n_lookups counts it until then. */
void asq__later_ask_copy(struct asq__entry *e);
/* Takes the place of the batch that was asked about. */
typedef void asq__later_place_fn(void *user, enum asq__later_place place);
/* Asks for a client that awaits a call of the batch. False: not asked. */
bool asq__later_ask_await(struct asq__partition *p, const uint8_t batch[ASQ__BATCH_ID],
                          const char *client, asq__later_place_fn *answer, void *user);
/* Cancels calls that wait there. control: the requesting entry, removed afterwards; 0-0: none.
 * False: no memory. */
bool asq__later_cancel(struct asq__partition *p, const struct asq__call_id *ids, size_t n,
                       struct asq__stream_id control);
void asq__later_add_channels(struct asq__entry *e, size_t from); /* to what is kept of it */
/* Once a second: repeats unanswered cancels. */
void asq__later_resend_cancels(struct asq__partition *p);
void asq__later_drop_cancels(struct asq__partition *p);

#endif
