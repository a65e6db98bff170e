/*
 * heartbeat.h: this process's own heartbeat, raised every third of the lease time by a thread that
 * user code cannot block, on a connection of its own. The first heartbeats, and those that tell of
 * a change, are also announced on the channel of workers, so that others look at once. An orderly
 * end takes the process out of the list of workers.
 */
#ifndef ASQ_WORKER_HEARTBEAT_H
#define ASQ_WORKER_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

struct asq__heartbeat;
struct asq__process;

/* Returns 0, ASQ_ENOMEM, or ASQ_ESYS: no file descriptor is left. */
int asq__heartbeat_new(struct asq__process *w, struct asq__heartbeat **ret);
/* Starts the thread. False: the thread cannot be started. */
bool asq__heartbeat_start(struct asq__heartbeat *hb);
/* First byte of an announced heartbeat, which goes on with its number, a blank and the id. */
#define ASQ__BEAT           '+'
#define ASQ__BEAT_OF_CHANGE '~' /* others are to read the hash */

/* Sends one heartbeat at once. */
void asq__heartbeat_now(struct asq__heartbeat *hb);
/* The same after a change of what others decide by, with more of them soon, so that others believe
 * it. */
void asq__heartbeat_of_change(struct asq__heartbeat *hb);
/* Ends the thread and leaves the list of workers. Harmless when the thread does not run. */
void asq__heartbeat_end(struct asq__heartbeat *hb);
void asq__heartbeat_free(struct asq__heartbeat *hb);

/* Returns whether Redis has acknowledged a heartbeat. */
bool asq__heartbeat_has_begun(const struct asq__heartbeat *hb);
/* Number of the last heartbeat that Redis has acknowledged; 0: none. */
unsigned long long asq__heartbeat_acked(const struct asq__heartbeat *hb);
/* Time when the first heartbeat was acknowledged after a gap, or after Redis had lost some;
 * monotonic, 0: never. */
int64_t asq__heartbeat_resumed_ms(const struct asq__heartbeat *hb);
/* Place of another live process with the same id. NULL: there is none. */
const char *asq__heartbeat_other(const struct asq__heartbeat *hb);
/* Sets the number of partitions that the hash has from the next heartbeat on. */
void asq__heartbeat_set_partitions(struct asq__heartbeat *hb, unsigned owned);

#endif
