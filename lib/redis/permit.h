/*
 * permit.h: asks whether the user may run every command that a worker needs, whenever a worker's
 * connection comes up, because a commit that Redis refuses half-way cannot be undone. Refused
 * commands are named, so that an operator can add them to the user's rules (as-ctl acl prints them
 * all).
 */
#ifndef ASQ_REDIS_PERMIT_H
#define ASQ_REDIS_PERMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "redis/conn.h"

struct asq__conn;
struct asq__keys;

/* Asks on `c`, which leads to the server of a partition, with keys of it; in a Cluster also for
 * what only a Cluster needs. fn's reply is for asq__permit_refusal and asq__permit_lack. Errors as
 * asq__conn_send. */
int asq__permit_ask(struct asq__conn *c, const struct asq__keys *keys, uint32_t partition,
                    bool cluster, asq__reply_fn fn, void *user);

/* Writes the names of refused commands that a worker needs, or the pattern of the keys of namespace
 * `ns` if some are refused; "": none. */
void asq__permit_refusal(const redisReply *reply, const char *ns, char *out, size_t size);

/* Optional commands of a worker that Redis refuses. */
enum asq__lack {
    ASQ__LACKS_SORTED_SETS = 1, /* delayed calls stay in the stream, and block calls behind them */
    ASQ__LACKS_RANGES = 2,      /* GETRANGE: a record's length is asked for before it is read */
    ASQ__LACKS_BOUNDS = 4, /* HSTRLEN, XTRIM: reads and kept dead letters have no bound in bytes */
    ASQ__LACKS_SEARCH = 8, /* HSCAN: later.lua does not find batches that a deleted `later` had */
    ASQ__LACKS_TIME = 16   /* TIME: the time that calls have waited in their streams is unknown */
};
/* Returns the flags of refused optional commands, and writes their names, or "". */
unsigned asq__permit_lack(const redisReply *reply, char *out, size_t size);

#endif
