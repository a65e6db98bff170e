/*
 * fields.h: reads short fields of hashes that any client may have written. A value that is longer
 * than any worker writes counts as missing, so a forged value does not reach the memory of a
 * worker.
 */
#ifndef ASQ_REDIS_FIELDS_H
#define ASQ_REDIS_FIELDS_H

#include <hiredis/hiredis.h>
#include <stddef.h>

#include "redis/cmd.h"
#include "redis/script.h"

/* Bytes of a value at most. An owner, the longest, is a worker's id with the process' number;
 * claim.lua has the same bound. */
enum { ASQ__FIELD_MAX = 512 };

/* Begins the command. The caller appends the keys of nkeys hashes, and ends it by the fields. */
void asq__fields_begin(struct asq__cmd *cmd, const struct asq__script_cache *cache, size_t nkeys);
void asq__fields_end(struct asq__cmd *cmd, size_t nfields, const char *const *fields);
/* Asks for fields of one hash. Errors as asq__conn_send. */
int asq__fields_ask(struct asq__conn *c, const struct asq__script_cache *cache, asq__reply_fn fn,
                    void *user, const char *key, size_t nfields, const char *const *fields);

/* Returns whether the reply answers for `nkeys` hashes: nothing has failed. */
bool asq__fields_arrived(const redisReply *reply, size_t nkeys);
/* Returns the values of the hash with this index, `nfields` of them. NULL: the key is no hash, or
 * the reply does not answer. */
const redisReply *asq__fields_of(const redisReply *reply, size_t index, size_t nfields);

#endif
