/*
 * settle.h: promises that a method settles.
 */
#ifndef ASQ_WORKER_SETTLE_H
#define ASQ_WORKER_SETTLE_H

#include "asqueue.h"
#include "client/handle.h"

/* See asq__mode.settle; on the method's thread. */
int asq__nested_settle(asq *h, const struct asq__settlement *s, enum asq__settled *ret);

#endif
