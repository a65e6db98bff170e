/*
 * leave.h: takes a process that ends, or has ended, out of the list of workers. An orderly end does
 * so in the process itself, any other end in its supervisor. The other workers find a process dead
 * if neither could reach Redis (bury.lua).
 */
#ifndef ASQ_WORKER_LEAVE_H
#define ASQ_WORKER_LEAVE_H

#include <stdbool.h>
#include <stddef.h>

#include "redis/keys.h"
#include "redis/sync.h"

/* Also makes the other workers refresh. client: of the process, as in its hash; an entry that
 * another process has written under this id stays. False: Redis does not take it now, and `err` has
 * why. */
bool asq__leave(struct asq__sync *ctx, const struct asq__keys *keys, const char *id,
                const char *client, char *err, size_t errlen);

#endif
