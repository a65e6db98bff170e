/*
 * promises.h: promises that calls of a partition have made, for the clients that await them.
 */
#ifndef ASQ_WORKER_PROMISES_H
#define ASQ_WORKER_PROMISES_H

#include <stddef.h>

struct asq__call_id;
struct asq__node;
struct asq__partition;

/* Has a client told what the promise is settled to, now or later; or that there is none. */
void asq__promise_await(struct asq__partition *p, const struct asq__call_id *id,
                        const char *client);
/* Looks at a promise that may be settled now. id: as text; anybody may have written it. */
void asq__promise_look(struct asq__partition *p, const char *id);
/* Forgets those that nobody asks for any more; each second. */
void asq__promises_upkeep(struct asq__partition *p);
void asq__promises_drop(struct asq__partition *p);
const void *asq__promise_key(const struct asq__node *node, size_t *n); /* for part->promises */

#endif
