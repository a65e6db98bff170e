/*
 * sender.h: tells whether an entry comes in the order in which its sender sent.
 */
#ifndef ASQ_WORKER_CORE_SENDER_H
#define ASQ_WORKER_CORE_SENDER_H

#include <stdbool.h>

#include "value/msg.h"

struct asq__senders;

enum asq__sender_order {
    ASQ__SENDER_IN_ORDER,
    ASQ__SENDER_OUT_OF_ORDER, /* seen before, or a later one was: a copy, or refused by Redis */
    ASQ__SENDER_UNKNOWN
};

/* Returns how a batch stands to what came from its sender before. all: NULL when none has come. */
enum asq__sender_order asq__sender_order(const struct asq__senders *all,
                                         const Asqueue__Batch *batch);
/* Notes a batch that was in the stream, whatever its fate. Makes *all when it is NULL; without
 * memory nothing is noted. in_order: the batch came in order, or came in this ownership and was not
 * taken before. */
void asq__sender_note(struct asq__senders **all, const Asqueue__Batch *batch, bool in_order);
void asq__senders_forget(struct asq__senders **all); /* sets it to NULL */

#endif
