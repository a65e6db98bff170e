/*
 * lease_refresh.h: reads the leases that a decision about partitions needs: of those that this
 * process should own and does not, of those that were free when last seen, and some of its own and
 * of all others in turn. So the commands of all processes together grow with the number of
 * partitions, not with that times the number of processes.
 */
#ifndef ASQ_WORKER_LEASE_REFRESH_H
#define ASQ_WORKER_LEASE_REFRESH_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

struct asq__process;

struct asq__lease_refresh {
    struct asq__process *w;
    /* Called with each answer, after it was taken over if it has arrived. */
    void (*answered)(void *user, const redisReply *reply, bool arrived);
    void *user;
    uint32_t round;                /* of the last look, or the one under way */
    uint32_t own_next, other_next; /* partitions whose turn it is */
};

void asq__lease_refresh_init(struct asq__lease_refresh *l, struct asq__process *w);
/* Reads the leases that are due, or all. n_workers: live ones, which share the others' leases. Adds
 * to *asked the number of answers that will come. False: some could not be asked for. */
bool asq__lease_refresh(struct asq__lease_refresh *l, bool all, uint32_t n_workers,
                        unsigned *asked);

#endif
