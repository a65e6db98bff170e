/*
 * entries.h: stream entries in memory: found, counted, released.
 */
#ifndef ASQ_WORKER_ENTRIES_H
#define ASQ_WORKER_ENTRIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/msg.h"
#include "value/value.h"

struct asq__entry;
struct asq__partition;
struct asq__wcall;

struct asq__entry *asq__entry_find(const struct asq__partition *p, const uint8_t id[ASQ__BATCH_ID]);
/* Returns the call while it waits or runs here; else NULL. */
struct asq__wcall *asq__wcall_find(struct asq__partition *p, const struct asq__call_id *id);
/* Adds a client that gets its results too; see asq__channels_add. */
int asq__entry_add_channel(struct asq__entry *e, const char *client);
void asq__entry_note_bytes(struct asq__entry *e, size_t bytes); /* adds to its memory */
/* Counts a call that was left in the stream as one that is here. */
void asq__wcall_unleave(struct asq__wcall *c);
/* Takes the entry out of its partition's table. */
void asq__entry_detach(struct asq__entry *e);
/* Releases the entry if nothing needs it any more. */
void asq__entry_release_if_done(struct asq__entry *e);
/* Counts the answer to one of its lookups. False: its partition was lost, and `e` may be freed. */
bool asq__entry_end_lookup(struct asq__entry *e);
void asq__entry_free(struct asq__entry *e); /* NEW or DETACHED; NULL: nothing */

#endif
