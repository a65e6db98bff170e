/*
 * permit.c: see permit.h. permit.lua has the list of commands.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "redis/cmd.h"
#include "redis/keys.h"
#include "redis/permit.h"
#include "redis/refusal.h"
#include "redis/script.h"

/* Ids that no client and no batch has. */
static const char no_client[] = "0000000000000000";
static const uint8_t no_batch[16];

int asq__permit_ask(struct asq__conn *c, const struct asq__keys *keys, uint32_t partition,
                    bool cluster, asq__reply_fn fn, void *user)
{
    enum { NKEYS = 6 };
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;

    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_permit, NKEYS);
    asq__keys_result(keys, partition, no_batch, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_lease(keys, partition, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_jobs(keys, partition, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_agents(keys, partition, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_attempts(keys, partition, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_dead(keys, partition, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_channel(keys, no_client, key);
    asq__cmd_puts(&cmd, key);
    if (cluster) {
        asq__keys_shard_channel(keys, partition, no_client, key);
        asq__cmd_puts(&cmd, key);
    }
    int rc = asq__conn_send(c, fn, user, &cmd);
    asq__cmd_release(&cmd);
    return rc;
}

/* Writes the names in one of the reply's two lists, separated by commas. */
static void put_names(const redisReply *reply, size_t which, const char *before, char *out,
                      size_t size)
{
    const redisReply *list =
        reply->type == REDIS_REPLY_ARRAY && which < reply->elements ? reply->element[which] : NULL;
    size_t n = 0;

    *out = '\0';
    for (size_t i = 0; list && list->type == REDIS_REPLY_ARRAY && i < list->elements && n < size;
         i++)
        if (list->element[i]->type == REDIS_REPLY_STRING)
            n += (size_t) snprintf(out + n, size - n, "%s%s", n ? ", " : before,
                                   list->element[i]->str);
}

void asq__permit_refusal(const redisReply *reply, const char *ns, char *out, size_t size)
{
    /* Redis checks the keys before it runs the script. */
    if (asq__reply_refusal(reply) == ASQ__REFUSED_KEY)
        snprintf(out, size,
                 "a worker needs the keys asq:{%s.*}:*, some of which this Redis refuses: %s", ns,
                 reply->str);
    else if (reply->type == REDIS_REPLY_ERROR)
        snprintf(out, size, "a worker needs EVAL, which this Redis refuses: %s", reply->str);
    else
        put_names(reply, 0, "a worker needs commands that this Redis refuses: ", out, size);
}

unsigned asq__permit_lack(const redisReply *reply, char *out, size_t size)
{
    static const struct {
        const char *command;
        unsigned flag;
    } lacks[] = { { "ZADD ", ASQ__LACKS_SORTED_SETS },
                  { "ZREM ", ASQ__LACKS_SORTED_SETS },
                  { "ZCARD ", ASQ__LACKS_SORTED_SETS },
                  { "ZRANGE ", ASQ__LACKS_SORTED_SETS },
                  { "ZRANGEBYSCORE ", ASQ__LACKS_SORTED_SETS },
                  { "TIME ", ASQ__LACKS_TIME },
                  { "HSCAN ", ASQ__LACKS_SEARCH },
                  { "GETRANGE ", ASQ__LACKS_RANGES },
                  { "HSTRLEN ", ASQ__LACKS_BOUNDS },
                  { "XTRIM ", ASQ__LACKS_BOUNDS } };
    unsigned flags = 0;

    put_names(reply, 1, "", out, size);
    for (size_t i = 0; i < sizeof lacks / sizeof *lacks; i++)
        if (strstr(out, lacks[i].command))
            flags |= lacks[i].flag;
    return flags;
}
