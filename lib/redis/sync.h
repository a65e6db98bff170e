/*
 * sync.h: a connection for threads and processes that wait for each answer (the beat, the supervisor). Every
 * wait ends: within the timeout given at the start, name lookup and TLS handshake included, or when somebody
 * wants it to.
 */
#ifndef ASQ_REDIS_SYNC_H
#define ASQ_REDIS_SYNC_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/refusal.h"
#include "redis/url.h"

struct asq__sync;

/* Connected, authenticated, database selected. cancel_fd: once it is readable, what waits gives up; -1:
 * none. The URL outlives it. ASQ_ECONN, ASQ_EBUSY, ASQ_EAUTH, ASQ_EREDIS, ASQ_ENOMEM, as conn.h has them. */
int asq__sync_open(const struct asq__url *url, const char *name, int64_t timeout_ms, int cancel_fd,
                   struct asq__sync **ret, char *err, size_t errlen);
/* Has a wait of it ended because cancel_fd is readable? Then its replies are out of step, and it is to be kept or
 * freed. */
bool asq__sync_is_cancelled(const struct asq__sync *s);
/* From now on nothing cancels it, and each wait has a timeout of its own. Awaits what was sent before, so that what
 * follows takes effect later than that. ASQ_ECONN: the connection is lost, and it is to be freed. */
int asq__sync_keep(struct asq__sync *s, int64_t timeout_ms);
void asq__sync_free(struct asq__sync *s);

/* A command, formatted as redisCommand does it. The reply is to be freed (freeReplyObject); NULL: the
 * connection is lost, or memory is short, and it is to be freed. */
redisReply *asq__sync_cmd(struct asq__sync *s, const char *fmt, ...);
/* Several at once: appended, then answered one by one. */
int asq__sync_append(struct asq__sync *s, const char *fmt, ...);
redisReply *asq__sync_reply(struct asq__sync *s);
/* Why there was no reply. */
const char *asq__sync_why(const struct asq__sync *s);

#endif
