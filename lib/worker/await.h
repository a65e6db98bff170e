/*
 * await.h: results that a client awaits though it did not make the call.
 */
#ifndef ASQ_WORKER_AWAIT_H
#define ASQ_WORKER_AWAIT_H

#include <stddef.h>

struct asq__call_id;
struct asq__node;
struct asq__partition;

void asq__await(struct asq__partition *p, const struct asq__call_id *target, const char *client);
const void *asq__await_key(const struct asq__node *node, size_t *n); /* for part->awaits */

#endif
