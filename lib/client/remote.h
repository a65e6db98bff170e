/*
 * remote.h: access to a remote handle, beyond its mode.
 */
#ifndef ASQ_CLIENT_REMOTE_H
#define ASQ_CLIENT_REMOTE_H

#include <stdint.h>

#include "asqueue.h"

/* Returns whether the handle starts workers, as in child mode. */
bool asq__remote_starts_workers(asq *h);
struct asq__redis *asq__remote_redis(asq *h);
struct asq__engine *asq__remote_engine(asq *h);
/* Returns whether the URL names a user, other than the one that all connections begin as. */
bool asq__remote_has_named_user(asq *h);
/* Runs the loop once, waiting at most wait_ms. */
void asq__remote_pump(asq *h, int64_t wait_ms);
/* Child mode: starts the workers unless they were started before. */
int asq__remote_ready(asq *h);

#endif
