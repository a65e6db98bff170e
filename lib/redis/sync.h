/*
 * sync.h: a connection for threads and processes that wait for each reply (the heartbeat, the
 * supervisor). Every wait ends: within the timeout given at the start, name lookup and TLS
 * handshake included, or when it is cancelled.
 */
#ifndef ASQ_REDIS_SYNC_H
#define ASQ_REDIS_SYNC_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__cmd;
struct asq__host;
struct asq__sync;
struct asq__url;

/* Connects, authenticates and selects the database. cancel_fd: waits give up once it is readable;
 * -1: none. The URL must outlive the connection. ASQ_ECONN, ASQ_EBUSY, ASQ_EAUTH, ASQ_EINVAL,
 * ASQ_EREDIS, ASQ_ENOMEM, as in conn.h. */
int asq__sync_open(const struct asq__url *url, const char *name, int64_t timeout_ms, int cancel_fd,
                   struct asq__sync **ret, char *err, size_t errlen);
/* Does the same with another host than the URL's. */
int asq__sync_open_host(const struct asq__url *url, const struct asq__host *host, const char *name,
                        int64_t timeout_ms, int cancel_fd, struct asq__sync **ret, char *err,
                        size_t errlen);
/* Returns whether it leads to a server that is no longer the master, by what the URL's Sentinels
 * have told. */
bool asq__sync_is_outdated(const struct asq__sync *s);
/* Returns whether cancel_fd has ended a wait. Replies are then out of step: call asq__sync_keep or
 * asq__sync_free. */
bool asq__sync_is_cancelled(const struct asq__sync *s);
/* Ends cancelling, and gives each wait a timeout of its own. Waits for pending replies, so that
 * later commands take effect after earlier ones. ASQ_ECONN: the connection is lost; free it. */
int asq__sync_keep(struct asq__sync *s, int64_t timeout_ms);
void asq__sync_free(struct asq__sync *s);
/* Gives each later wait another timeout than the one of opening. */
void asq__sync_set_timeout(struct asq__sync *s, int64_t timeout_ms);

/* Runs a command, formatted as by redisCommand. The caller frees the reply (freeReplyObject). NULL:
 * the connection is lost, or memory is short; free the connection. */
redisReply *asq__sync_cmd(struct asq__sync *s, const char *fmt, ...);
/* Appends a command without sending it; asq__sync_reply sends it with all others and waits for the
 * replies, which come in the order of the commands. ASQ_ENOMEM, ASQ_ELIMIT: nothing is appended. */
int asq__sync_append(struct asq__sync *s, const struct asq__cmd *cmd);
redisReply *asq__sync_reply(struct asq__sync *s);
/* Sets how many bytes of commands that are not sent, and of replies that are not read, there may
 * be; 64 MiB unless this is called. */
void asq__sync_set_limit(struct asq__sync *s, size_t bytes);
/* Returns why there was no reply. */
const char *asq__sync_why(const struct asq__sync *s);

#endif
