/*
 * shard_channels.c: see shard_channels.h.
 */
#include <stdlib.h>
#include <string.h>

#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/shard_channels.h"
#include "value/decimal.h"

void asq__shard_channels_release(struct asq__shard_channels *s)
{
    free(s->wanted);
    s->wanted = NULL;
    s->partitions = 0;
}

bool asq__shard_channels_wants(const struct asq__shard_channels *s, uint32_t partition)
{
    return partition < s->partitions && s->wanted[partition];
}

static void send(struct asq__shard_channels *s, struct asq__conn *c, const char *command,
                 uint32_t partition)
{
    char channel[ASQ__KEY_MAX];
    asq__keys_shard_channel(s->keys, partition, s->client, channel);
    if (c && asq__conn_is_up(c) && asq__conn_cmd(c, NULL, NULL, command, channel, NULL) < 0)
        asq__conn_drop(c, "out of memory");
}

void asq__shard_channels_subscribe(struct asq__shard_channels *s, struct asq__conn *c,
                                   uint32_t partition)
{
    if (asq__shard_channels_wants(s, partition))
        send(s, c, "SSUBSCRIBE", partition);
}

void asq__shard_channels_want(struct asq__shard_channels *s, struct asq__conn *c,
                              uint32_t partitions, uint32_t partition)
{
    bool *wanted = NULL;
    if (partitions > s->partitions &&
        (wanted = realloc(s->wanted, partitions * sizeof *s->wanted))) {
        memset(wanted + s->partitions, 0, (partitions - s->partitions) * sizeof *wanted);
        s->wanted = wanted;
        s->partitions = partitions;
    }
    if (partition >= s->partitions || s->wanted[partition])
        return; /* without memory, results are looked for in their keys */
    s->wanted[partition] = true;
    asq__shard_channels_subscribe(s, c, partition);
}

void asq__shard_channels_leave(struct asq__shard_channels *s, struct asq__conn *c,
                               uint32_t partition)
{
    if (!asq__shard_channels_wants(s, partition))
        return;
    s->wanted[partition] = false;
    send(s, c, "SUNSUBSCRIBE", partition);
}

bool asq__shard_channels_find(const struct asq__shard_channels *s, const char *channel,
                              uint32_t *ret_partition)
{
    const struct asq__keys *k = s->keys;
    uint64_t partition;
    if (strncmp(channel, k->prefix, k->prefix_n) != 0 || channel[k->prefix_n] != '.')
        return false;
    const char *at = channel + k->prefix_n + 1;
    if (!asq__decimal_read(&at, &partition) || partition >= s->partitions ||
        strncmp(at, "}:c:", 4) != 0 || strcmp(at + 4, s->client) != 0)
        return false;
    *ret_partition = (uint32_t) partition;
    return true;
}
