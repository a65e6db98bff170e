/*
 * channels.h: clients besides its sender that get a batch's results. Pure.
 */
#ifndef ASQ_WORKER_CORE_CHANNELS_H
#define ASQ_WORKER_CORE_CHANNELS_H

#include <stddef.h>

struct asq__entry;

/* Adds a client, unless it gets the results already. *ret_bytes gets the memory that this takes.
 * ASQ_ENOMEM; ASQ_ELIMIT: there are too many, and the client finds the record by itself. */
int asq__channels_add(struct asq__entry *e, const char *client, size_t *ret_bytes);
void asq__channels_free(struct asq__entry *e);

#endif
