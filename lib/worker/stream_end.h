/*
 * stream_end.h: streams whose last id is the highest one there is; a claim makes them anew.
 */
#ifndef ASQ_WORKER_STREAM_END_H
#define ASQ_WORKER_STREAM_END_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

#include "worker/core/stream_id.h"

struct asq__partition;
struct asq__process;

/* Returns whether the id is so near to the highest one that Redis soon takes no more entries. */
bool asq__stream_id_is_last(struct asq__stream_id id);
/* Makes the stream usable again a moment later. Doing so at once would break the order: of the
 * calls that a client has sent in a row, the first would be refused and the next one taken. */
void asq__stream_give_up_soon(struct asq__partition *p);
void asq__streams_give_up(struct asq__process *w); /* when the moment is over */
/* Returns whether Redis is to be asked for the last id: reading does not tell. */
bool asq__stream_may_be_at_end(const struct asq__partition *p);
/* Takes what leases.lua says of it. */
void asq__stream_see_last_id(struct asq__partition *p, const redisReply *reply);

#endif
