/*
 * nested_pools.h: pools, as a method's handle knows them.
 */
#ifndef ASQ_WORKER_NESTED_POOLS_H
#define ASQ_WORKER_NESTED_POOLS_H

#include <stdbool.h>

#include "asqueue.h"

/* Gives the pools that are known to a method's handle. */
void asq__nested_know_pools(asq *h);
/* The mode's ask_pools of a method's handle: parks the call. */
int asq__nested_ask_pools(asq *h, const char *name, bool make);

#endif
