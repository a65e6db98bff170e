/*
 * channels.h: clients besides its sender that get a batch's results. ASQ_ENOMEM; ASQ_ELIMIT: too
 * many, and the client finds the record by itself.
 */
#ifndef ASQ_WORKER_CHANNELS_H
#define ASQ_WORKER_CHANNELS_H

#include <stdbool.h>

#include "redis/reply.h"

struct asq__entry;
struct asq__note;
struct asq__partition;
struct asq__stream_id;
struct asq__wcall;

int asq__entry_add_channel(struct asq__entry *e, const char *client);
void asq__entry_free_channels(struct asq__entry *e);
/* Takes in an entry that was left in the stream. False: the entry stays there for now. *ret_id gets
 * its id, if it is an entry. */
bool asq__intake_again(struct asq__partition *p, const redisReply *entry,
                       struct asq__stream_id *ret_id);
/* Takes in an entry that was noted for the agent. False: it is in memory, and about to be
 * dispatched for another agent; it is to be read again afterwards. */
struct asq__note;
bool asq__intake_noted(struct asq__partition *p, const redisReply *entry,
                       const struct asq__note *note, const char *agent, bool admitted);

#endif
