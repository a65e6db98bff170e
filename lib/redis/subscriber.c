/*
 * subscriber.c: what is pushed: plain channels, which the home server's second connection
 * subscribes to, and the sharded channels of a Cluster, each at the node of its partition. See
 * redis_state.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/keys.h"
#include "redis/redis_state.h"
#include "redis/refusal.h"
#include "redis/shard_channels.h"

int asq__subscriber_init(struct asq__redis *r)
{
    struct asq__subscriber *s = &r->pushes;
    s->shards.keys = &r->keys;
    s->shards.client = r->config.channels[0];
    for (int i = 0; i < 2; i++) {
        char name[ASQ__KEY_MAX];
        if (!r->config.channels[i])
            continue;
        asq__keys_channel(&r->keys, r->config.channels[i], name);
        s->channels[i] = strdup(name);
        if (!s->channels[i])
            return ASQ_ENOMEM;
        s->wanted++;
    }
    return 0;
}

void asq__subscriber_release(struct asq__subscriber *s)
{
    free(s->channels[0]);
    free(s->channels[1]);
    asq__shard_channels_release(&s->shards);
}

bool asq__subscriber_is_up(const struct asq__redis *r)
{
    return r->pushes.subscribed >= r->pushes.wanted;
}

void asq__subscriber_up(struct asq__redis *r, const struct asq__cluster_node *node)
{
    struct asq__subscriber *s = &r->pushes;
    if (node == r->home)
        s->subscribed = 0;
    for (int i = 0; i < 2 && node == r->home; i++)
        if (s->channels[i] &&
            asq__conn_cmd(node->sub, NULL, NULL, "SUBSCRIBE", s->channels[i], NULL) < 0) {
            asq__conn_drop(node->sub, "out of memory");
            return;
        }
    for (uint32_t p = 0; p < s->shards.partitions; p++)
        if (asq__redis_node(r, p) == node)
            asq__shard_channels_subscribe(&s->shards, node->sub, p);
}

void asq__subscriber_part_up(struct asq__redis *r, uint32_t partition)
{
    asq__shard_channels_subscribe(&r->pushes.shards, asq__redis_node(r, partition)->sub, partition);
}

void asq__subscriber_down(struct asq__redis *r, const struct asq__cluster_node *node)
{
    if (node == r->home)
        r->pushes.subscribed = 0;
}

void asq__redis_hear(struct asq__redis *r, uint32_t partition)
{
    const struct asq__cluster_node *node = asq__redis_node(r, partition);
    if (r->pushes.wanted && r->pushes.shards.client)
        asq__shard_channels_want(&r->pushes.shards, node->sub, r->meta.partitions, partition);
}

void asq__redis_unhear(struct asq__redis *r, uint32_t partition)
{
    asq__shard_channels_leave(&r->pushes.shards, asq__redis_node(r, partition)->sub, partition);
}

void asq__redis_unhear_all(struct asq__redis *r)
{
    for (uint32_t p = 0; p < r->pushes.shards.partitions; p++)
        asq__redis_unhear(r, p);
    asq__shard_channels_release(&r->pushes.shards);
}

size_t asq__redis_push_channel(const struct asq__redis *r, uint32_t partition, const char *client,
                               char *out)
{
    return asq__redis_is_cluster(r) ? asq__keys_shard_channel(&r->keys, partition, client, out)
                                    : asq__keys_channel(&r->keys, client, out);
}

const char *asq__redis_push_command(const struct asq__redis *r)
{
    return asq__redis_is_cluster(r) ? "SPUBLISH" : "PUBLISH";
}

/* ---- what comes ---- */

/* Takes what comes of a sharded channel. A node that gives a slot away ends the subscriptions. They
 * are made again at the node to which the slot has moved, or here, where no other one is known. */
static void take_shard(struct asq__redis *r, const struct asq__cluster_node *node, const char *kind,
                       const char *channel, const redisReply *payload)
{
    uint32_t partition;
    struct asq__shard_channels *shards = &r->pushes.shards;
    if (!asq__shard_channels_find(shards, channel, &partition) ||
        !asq__shard_channels_wants(shards, partition))
        return;
    if (strcmp(kind, "smessage") == 0 && payload->type == REDIS_REPLY_STRING) {
        r->config.push(r, 0, payload->str, (size_t) payload->len, r->config.user);
        return;
    }
    bool now = strcmp(kind, "ssubscribe") == 0;
    if (asq__redis_node(r, partition) != node)
        return;
    if (r->config.heard && (now || strcmp(kind, "sunsubscribe") == 0))
        r->config.heard(r, partition, now, r->config.user);
    if (!now && r->cluster)
        asq__cluster_refresh(r->cluster);
    else if (!now)
        asq__shard_channels_subscribe(shards, node->sub, partition);
}

static void take_message(struct asq__redis *r, const char *channel, const redisReply *payload)
{
    for (int i = 0; i < 2; i++)
        if (r->pushes.channels[i] && strcmp(channel, r->pushes.channels[i]) == 0) {
            r->config.push(r, i, payload->str, (size_t) payload->len, r->config.user);
            break;
        }
}

static void take_refusal(struct asq__redis *r, const struct asq__cluster_node *node,
                         const redisReply *reply)
{
    const char *channel = r->pushes.channels[0];
    char why[400];
    if (!r->cluster && asq__reply_is_error(reply, "MOVED") && asq__redis_join(r))
        return;
    snprintf(why, sizeof why, "subscribing to %s: %s%s", channel ? channel : "", reply->str,
             asq__reply_is_denial(reply) ? ASQ__DENIAL_HINT : "");
    asq__conn_fail(node->sub, asq__reply_is_transient(reply) ? ASQ_EBUSY : ASQ_EREDIS, why);
}

void asq__subscriber_push(struct asq__redis *r, const struct asq__cluster_node *node,
                          const redisReply *reply)
{
    if (reply->type == REDIS_REPLY_ERROR) {
        take_refusal(r, node, reply);
        return;
    }
    if ((reply->type != REDIS_REPLY_ARRAY
#ifdef REDIS_REPLY_PUSH
         && reply->type != REDIS_REPLY_PUSH
#endif
         ) ||
        reply->elements != 3 || reply->element[0]->type != REDIS_REPLY_STRING)
        return;
    const char *kind = reply->element[0]->str;
    const redisReply *channel = reply->element[1], *payload = reply->element[2];
    if (strcmp(kind, "subscribe") == 0) {
        r->pushes.subscribed += node == r->home;
        asq__redis_check_up(r);
    } else if (strcmp(kind, "message") == 0 && channel->type == REDIS_REPLY_STRING &&
               payload->type == REDIS_REPLY_STRING) {
        if (node == r->home)
            take_message(r, channel->str, payload);
    } else if (channel->type == REDIS_REPLY_STRING) {
        take_shard(r, node, kind, channel->str, payload);
    }
}
