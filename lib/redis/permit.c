/*
 * permit.c: see permit.h. permit.lua has the list of commands.
 */
#include "redis/permit.h"

#include <stdio.h>
#include <string.h>

#include "redis/script.h"

/* No client has this id, and no batch. */
static const char nobody[] = "0000000000000000";
static const uint8_t no_batch[16];

int asq__permit_ask(struct asq__conn *c, const struct asq__keys *keys, asq__reply_fn fn, void *user)
{
    enum { NKEYS = 6 };
    char key[ASQ__KEY_MAX];
    struct asq__cmd cmd;

    asq__cmd_init(&cmd);
    asq__script_eval(&cmd, asq__script_permit, NKEYS);
    asq__keys_result(keys, 0, no_batch, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_lease(keys, 0, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_jobs(keys, 0, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_agents(keys, 0, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_attempts(keys, 0, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_dead(keys, 0, key);
    asq__cmd_puts(&cmd, key);
    asq__keys_channel(keys, nobody, key);
    asq__cmd_puts(&cmd, key);
    int rc = asq__conn_send(c, fn, user, &cmd);
    asq__cmd_release(&cmd);
    return rc;
}

void asq__permit_refusal(const redisReply *reply, char *out, size_t size)
{
    const char *between = "a worker needs commands that this Redis refuses: ";
    size_t n = 0;

    *out = '\0';
    if (reply->type == REDIS_REPLY_ERROR) {
        snprintf(out, size, "a worker needs EVAL, which this Redis refuses: %s", reply->str);
        return;
    }
    for (size_t i = 0; reply->type == REDIS_REPLY_ARRAY && i < reply->elements && n < size; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            continue;
        n += (size_t) snprintf(out + n, size - n, "%s%s", between, reply->element[i]->str);
        between = ", ";
    }
}
