/*
 * pools.h: which partition an agent belongs to, as a handle knows it. An id may name a pool that
 * the handle has not heard of yet; then Redis is asked, and who is about to send a call makes the
 * pool.
 */
#ifndef ASQ_CLIENT_POOLS_H
#define ASQ_CLIENT_POOLS_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"

/* Finds the partition of an agent for a call; makes its pool. May wait for Redis, so that callbacks
 * run, which may close the handle: ASQ_ECLOSED. Other failures: ASQ_ELIMIT, ASQ_EREDIS,
 * ASQ_ETIMEOUT, and what a wait of the mode gives. */
int asq__agent_partition(asq *h, const char *id, uint32_t *ret);
/* The same for a function that only looks. ASQ_ENOENT: the id names a pool that is not there. */
int asq__agent_partition_there(asq *h, const char *id, uint32_t *ret);
/* Returns whether the namespace has a partition of which an id tells. May wait likewise. */
bool asq__partition_is_there(asq *h, uint32_t partition);
/* The mode's ask_pools of a remote handle. */
int asq__remote_ask_pools(asq *h, const char *name, bool make);

#endif
