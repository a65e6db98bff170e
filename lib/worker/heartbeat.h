/*
 * heartbeat.h: this process's own heartbeat, raised every third of the lease time from a thread that user code cannot
 * block, on a connection of its own. Each beat is also told on the channel of workers, so that the time when it moved
 * is not that of the look that found it. When it ends in order it takes the process out of the list of workers.
 */
#ifndef ASQ_WORKER_HEARTBEAT_H
#define ASQ_WORKER_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

struct asq__heartbeat;
struct asq__process;

/* ASQ_ENOMEM, ASQ_ESYS: no descriptor is left. */
int asq__heartbeat_new(struct asq__process *w, struct asq__heartbeat **ret);
/* False: its thread cannot be started. */
bool asq__heartbeat_start(struct asq__heartbeat *hb);
/* One beat at once. */
void asq__heartbeat_now(struct asq__heartbeat *hb);
/* Ends the thread and says good-bye. Harmless when it does not run. */
void asq__heartbeat_end(struct asq__heartbeat *hb);
void asq__heartbeat_free(struct asq__heartbeat *hb);

/* False: it was not acknowledged for so long that the others may take over; true before the first one. */
bool asq__heartbeat_is_taken(const struct asq__heartbeat *hb);
/* Has Redis acknowledged one? */
bool asq__heartbeat_has_begun(const struct asq__heartbeat *hb);
/* When the first one was acknowledged after a time without any; monotonic, 0: there was no such time. */
int64_t asq__heartbeat_resumed_ms(const struct asq__heartbeat *hb);
/* Another process that goes by the same id, and is alive: where it runs. NULL: there is none. */
const char *asq__heartbeat_other(const struct asq__heartbeat *hb);
/* What the hash says from the next beat on. */
void asq__heartbeat_set_partitions(struct asq__heartbeat *hb, unsigned owned);

#endif
