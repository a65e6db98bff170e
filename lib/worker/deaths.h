/*
 * deaths.h: notes in Redis which worker processes have died, and who has taken over what they had,
 * for people who look later (the hash worker-deaths, PROTOCOL.md). Nothing else depends on it:
 * where Redis refuses it, workers go on as before.
 *
 * Each survivor notes each death, because none knows of the others; the script takes the first. The
 * supervisor of a process, if it lives, notes how the process ended (supervisor_deaths.c).
 */
#ifndef ASQ_WORKER_DEATHS_H
#define ASQ_WORKER_DEATHS_H

#include <stdbool.h>
#include <stdint.h>

struct asq__peer;
struct asq__process;
struct asq__table;

/* Notes that a peer of the table is missed, or is not after all. Called with each look at them,
 * because what Redis has not answered is sent again. */
void asq__death_note(struct asq__process *w, struct asq__table *peers, struct asq__peer *p);
/* Notes that this process has taken over n partitions of a worker. `client`: the CLIENT of its last
 * process that is known here, or ""; `epoch`: the highest of their leases. Not sent again:
 * partitions are missing rather than counted twice. */
void asq__heir_note(struct asq__process *w, const char *owner, const char *client, unsigned n,
                    uint64_t epoch);

#endif
