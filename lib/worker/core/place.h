/*
 * place.h: which worker should own which partition, computed from the list of live workers alone,
 * so that all workers agree without asking each other. Weighted rendezvous hashing with bounded
 * load: a change of membership moves only what it must, and no worker gets more than 1.25 × its
 * share. Pure.
 */
#ifndef ASQ_WORKER_CORE_PLACE_H
#define ASQ_WORKER_CORE_PLACE_H

#include <stddef.h>
#include <stdint.h>

struct asq__place_worker {
    const char *id;
    uint32_t weight; /* above 0 */
};

/* Sets owners[p] to an index into workers. The order of workers does not change the outcome. n
 * above 0. Returns 0 or ASQ_ENOMEM. */
int asq__place(const struct asq__place_worker *workers, size_t n, uint32_t partitions,
               uint32_t *owners);

#endif
