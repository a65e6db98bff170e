/*
 * leave.h: takes a process that ends, or has ended, out of the list of workers. By the process itself when it ends in
 * order, else by its supervisor; what neither of them could tell Redis is left to the other workers, which find the
 * process dead (bury.lua).
 */
#ifndef ASQ_WORKER_LEAVE_H
#define ASQ_WORKER_LEAVE_H

#include <stdbool.h>
#include <stddef.h>

#include "redis/keys.h"
#include "redis/sync.h"

/* Also tells the others to look. client: of the process, as its hash has it; what another process has written under
 * this id stays. False: Redis does not take it now, and `err` has why. */
bool asq__leave(struct asq__sync *ctx, const struct asq__keys *keys, const char *id,
                const char *client, char *err, size_t errlen);

#endif
