/*
 * fields.c: see fields.h and fields.lua.
 */
#include "redis/fields.h"

void asq__fields_begin(struct asq__cmd *cmd, const struct asq__script_cache *cache, size_t nkeys)
{
    asq__script_begin(cmd, cache, ASQ__SCRIPT_FIELDS, nkeys);
}

void asq__fields_end(struct asq__cmd *cmd, size_t nfields, const char *const *fields)
{
    asq__cmd_number(cmd, ASQ__FIELD_MAX);
    for (size_t i = 0; i < nfields; i++)
        asq__cmd_puts(cmd, fields[i]);
}

int asq__fields_ask(struct asq__conn *c, const struct asq__script_cache *cache, asq__reply_fn fn,
                    void *user, const char *key, size_t nfields, const char *const *fields)
{
    struct asq__cmd cmd;
    asq__cmd_init(&cmd);
    asq__fields_begin(&cmd, cache, 1);
    asq__cmd_puts(&cmd, key);
    asq__fields_end(&cmd, nfields, fields);
    int rc = asq__conn_send(c, fn, user, &cmd);
    asq__cmd_release(&cmd);
    return rc;
}

bool asq__fields_arrived(const redisReply *reply, size_t nkeys)
{
    return reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == nkeys;
}

const redisReply *asq__fields_of(const redisReply *reply, size_t index, size_t nfields)
{
    const redisReply *values = reply && reply->type == REDIS_REPLY_ARRAY && index < reply->elements
                                   ? reply->element[index]
                                   : NULL;
    return values && values->type == REDIS_REPLY_ARRAY && values->elements == nfields ? values
                                                                                      : NULL;
}
