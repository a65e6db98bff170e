/*
 * shard_channels.h: the sharded channels on which a client gets the results of partitions in a
 * Redis Cluster, one for each partition that it has calls in. The caller chooses the connection,
 * which leads to the node that has the partition's slot.
 */
#ifndef ASQ_REDIS_SHARD_CHANNELS_H
#define ASQ_REDIS_SHARD_CHANNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct asq__conn;
struct asq__keys;

struct asq__shard_channels {
    const struct asq__keys *keys; /* borrowed, as `client` */
    const char *client;
    uint32_t partitions;
    bool *wanted; /* [partition]; NULL: none yet */
};

void asq__shard_channels_release(struct asq__shard_channels *s);
/* Subscribes now if there is a connection that is up, else when asq__shard_channels_subscribe is
 * called for it. `partitions`: the number in all. Drops the connection if memory is short. */
void asq__shard_channels_want(struct asq__shard_channels *s, struct asq__conn *c,
                              uint32_t partitions, uint32_t partition);
void asq__shard_channels_leave(struct asq__shard_channels *s, struct asq__conn *c,
                               uint32_t partition);
bool asq__shard_channels_wants(const struct asq__shard_channels *s, uint32_t partition);
/* Subscribes to the channel of a partition that is wanted: on a new connection, and when its node
 * has ended the subscription because the slot has moved. */
void asq__shard_channels_subscribe(struct asq__shard_channels *s, struct asq__conn *c,
                                   uint32_t partition);
/* Returns whether this is such a channel of the client, and its partition. */
bool asq__shard_channels_find(const struct asq__shard_channels *s, const char *channel,
                              uint32_t *ret_partition);

#endif
