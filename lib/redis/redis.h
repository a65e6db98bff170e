/*
 * redis.h: a deployment's Redis as the layers above see it: key names, a connection for commands,
 * one for pushes, the namespace's fixed facts (format, partitions). Only this module knows the
 * number of servers; callers ask for the connection of partition p. It reconnects by itself, and
 * is "up" when commands can be sent and pushes will be seen.
 *
 * In a Cluster it stays up when a node is lost, or gives slots to another one: the partitions of
 * these, or the keys of the namespace, have no server until a node serves them again, and others
 * are not concerned.
 */
#ifndef ASQ_REDIS_REDIS_H
#define ASQ_REDIS_REDIS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "redis/conn.h"
#include "redis/script.h"

#define ASQ__FORMAT_VERSION      1
#define ASQ__FORMAT_VERSION_TEXT "1"
/* Format of a namespace that moves, or has moved, to another Redis: no version opens it. */
#define ASQ__FORMAT_MOVED       "4294967295"
#define ASQ__DEFAULT_PARTITIONS 128u

struct asq__host;
struct asq__pools;
struct asq__redis;

/* Changes of the namespace since it was first seen. */
enum asq__namespace_event {
    ASQ__NAMESPACE_RECREATED, /* the meta hash was gone, and was recreated with the same facts */
    ASQ__NAMESPACE_REPAIRED,  /* the meta hash was invalid, and was restored */
    ASQ__NAMESPACE_DOTTED,    /* the name has dots, which new ones may not have */
    ASQ__NAMESPACE_GROWN,     /* there are more pools, with partitions behind those before */
    ASQ__NAMESPACE_CHANGED,   /* the partitions are others */
    ASQ__NAMESPACE_MOVED      /* the server has become a node of a Cluster, or is none any more */
};

enum { ASQ__REDIS_SERVERS = 1024 }; /* numbers of servers are below */

struct asq__redis_config {
    struct ev_loop *loop;
    const struct asq__url *url; /* outlives it */
    const char *ns;
    const char *name;        /* for CLIENT SETNAME */
    uint32_t partitions;     /* if the namespace is created now; 0: the default */
    const char *channels[2]; /* clients whose pushes are wanted (asq:{N}:c:…); NULL: none */
    int64_t connect_timeout_ms;
    unsigned wait_replicas; /* N replicas must have what is told; 0: none */
    int64_t wait_timeout_ms;
    bool serves; /* a worker: up only if no command that it needs is refused */
    bool once;   /* no retry before it was up once, unless the cause passes (ASQ_EBUSY) */
    void (*up)(struct asq__redis *r, void *user);
    /* Called while up, when partitions have lost their server, and when they have one again, for
     * the partitions p with parts[p]. All commands to the former server are answered by then. No
     * partition may be concerned by a loss: a node that is lost already is lost for another cause.
     * NULL: all partitions are on one server. */
    void (*parts_up)(struct asq__redis *r, const bool *parts, void *user);
    void (*parts_down)(struct asq__redis *r, const bool *parts, int code, const char *why,
                       void *user);
    /* Called while up, when the keys of the namespace have a server again. May be NULL. */
    void (*home_up)(struct asq__redis *r, void *user);
    /* As a connection's `down`; also ASQ_EVERSION, ASQ_EPROTO: the namespace is not understood.
     * Retried whatever the code. */
    void (*down)(struct asq__redis *r, int code, const char *why, void *user);
    /* channel: the index in `channels`. */
    void (*push)(struct asq__redis *r, int channel, const void *payload, size_t n, void *user);
    /* Called when pushes of a partition are heard from now on, and when they are not any more; see
     * asq__redis_hear. May be NULL. */
    void (*heard)(struct asq__redis *r, uint32_t partition, bool now, void *user);
    /* before: the previous number of partitions of all pools. CHANGED, MOVED and GROWN come before
     * `up`; GROWN later, too. */
    void (*namespace_event)(struct asq__redis *r, enum asq__namespace_event what, uint32_t before,
                            void *user);
    /* Called for each reply to TIME; set_ms: the step of Redis' clock since the last one. May be
     * NULL. */
    void (*time)(struct asq__redis *r, int64_t set_ms, void *user);
    /* Called after each WAIT for replicas: `have` of them have everything. May be NULL. */
    void (*waited)(struct asq__redis *r, unsigned have, void *user);
    /* Logs what Sentinels have to do with. May be NULL. */
    void (*log)(struct asq__redis *r, asq_log_level level, const char *text, void *user);
    void *user;
};

int asq__redis_new(const struct asq__redis_config *config, struct asq__redis **ret, char *err,
                   size_t errlen);
void asq__redis_free(struct asq__redis *r);
bool asq__redis_is_up(const struct asq__redis *r);
/* Returns whether it is up, and partition p has a server. */
bool asq__redis_serves(const struct asq__redis *r, uint32_t partition);
/* Returns whether it is up, and all partitions and the keys of the namespace have servers. */
bool asq__redis_serves_all(const struct asq__redis *r);
void asq__redis_set_loop(struct asq__redis *r, struct ev_loop *loop);
/* Loses connections that are not up yet: `down` is told what they have waited for. */
void asq__redis_give_up(struct asq__redis *r);
/* Reconnects, because the server cannot serve writes (READONLY, …). */
void asq__redis_drop(struct asq__redis *r, const char *why);
/* Does the same with the server of a partition alone, soon if it is one of several nodes. */
void asq__redis_drop_server(struct asq__redis *r, uint32_t partition, const char *why);

/* Returns whether the keys of the namespace have a server, and it has answered within the last
 * second what it was asked. Always true if partitions have no other server. */
bool asq__redis_home_answers(const struct asq__redis *r);
/* Returns whether it does not, and most nodes of the Cluster say that it fails, so that it answers
 * nobody. */
bool asq__redis_home_fails(const struct asq__redis *r);
/* Returns whether the server is a node of a Redis Cluster, whose commands and scripts have keys of
 * one slot. Valid while up. */
bool asq__redis_is_cluster(const struct asq__redis *r);
/* Returns whether partitions may be on several servers. */
bool asq__redis_is_spread(const struct asq__redis *r);
/* Return the connection for commands about keys of the namespace (asq:{N}:…) or of none, and its
 * scripts. Never NULL; may be down. */
struct asq__conn *asq__redis_home(struct asq__redis *r);
struct asq__script_cache *asq__redis_home_scripts(struct asq__redis *r);
/* Return the connection for commands about partition p, and its scripts. Never NULL; may be
 * down. */
struct asq__conn *asq__redis_conn(struct asq__redis *r, uint32_t partition);
struct asq__script_cache *asq__redis_scripts(struct asq__redis *r, uint32_t partition);
/* Returns the number of that server, which no other has as long as anything is under way there. */
uint32_t asq__redis_server(const struct asq__redis *r, uint32_t partition);
/* Returns the host of that server in a Cluster of several nodes; NULL: the URL's. Borrowed, for
 * now only. */
const struct asq__host *asq__redis_host(const struct asq__redis *r, uint32_t partition);
/* Takes the reply by which that server has refused a command on a connection of the caller's own:
 * the partition may be elsewhere. */
void asq__redis_refused_on(struct asq__redis *r, uint32_t partition, const redisReply *reply);
/* Returns what waits for replicas on that connection; NULL: nothing has to. */
struct asq__barrier *asq__redis_barrier(struct asq__redis *r, uint32_t partition);
/* Writes the name of the channel on which results of a partition are pushed to a client, and
 * returns its length. In a Cluster it is a sharded one in the partition's slot. */
size_t asq__redis_push_channel(const struct asq__redis *r, uint32_t partition, const char *client,
                               char *out);
/* Returns the command that pushes to such a channel. */
const char *asq__redis_push_command(const struct asq__redis *r);
const struct asq__keys *asq__redis_keys(const struct asq__redis *r);
const struct asq__url *asq__redis_url(const struct asq__redis *r);
struct ev_loop *asq__redis_loop(const struct asq__redis *r);
/* In a Cluster: has the results of a partition pushed to the first of `channels`, on each new
 * connection again, until asq__redis_unhear. Pushes before `heard` are missed. */
void asq__redis_hear(struct asq__redis *r, uint32_t partition);
void asq__redis_unhear(struct asq__redis *r, uint32_t partition);
void asq__redis_unhear_all(struct asq__redis *r); /* before the number of partitions changes */
/* Returns the pools, and the number of the partitions of all of them, valid from the first `up` on.
 * Read whenever a connection comes up, and by asq__redis_refresh_meta. Any thread may ask; a table
 * stays until asq__redis_free. */
const struct asq__pools *asq__redis_pools(const struct asq__redis *r);
uint32_t asq__redis_partitions(const struct asq__redis *r);
/* Runs pool.lua, on the connection for keys of the namespace; its reply is for
 * asq__redis_take_pool. partitions: as the script takes it. fn may be NULL. Failures as of
 * asq__conn_argv. */
int asq__redis_ask_pool(struct asq__redis *r, const char *name, const char *partitions,
                        asq__reply_fn fn, void *user);
/* Takes the field `pools` of meta, as a caller has read it. Returns 0 or a code, with a text in
 * err. */
int asq__redis_take_pools(struct asq__redis *r, const char *text, char *err, size_t errlen);
#define ASQ__NO_POOL "there is no pool '%s' (as-ctl pools)"
/* Takes the answer of pool.lua about a pool, after which asq__redis_pools has it. Returns 0 or a
 * code, with a text in err. The script's arguments are ASQ__POOL_ARGS. */
int asq__redis_take_pool(struct asq__redis *r, const char *name, const redisReply *reply, char *err,
                         size_t errlen);
#define ASQ__POOL_ARGS(meta_key, name, partitions, channel)                                        \
    "EVAL", asq__script_pool, "1", meta_key, name, partitions, ASQ__MAX_PARTITIONS_TEXT, channel,  \
        ASQ__FORMAT_VERSION_TEXT
/* Makes room for work on a partition which another process has told of, and whose pool may not be
 * known yet. False: there can be no such partition, or there is no memory. */
bool asq__redis_reach(struct asq__redis *r, uint32_t partition);
/* Reads the namespace's facts again, after keys have vanished or while no worker answers: Redis
 * may have been flushed and the namespace recreated. */
void asq__redis_refresh_meta(struct asq__redis *r);
/* Does so unless they were read within this time. */
void asq__redis_refresh_meta_after(struct asq__redis *r, int64_t ms);
/* Writes what the connections for commands have not written yet, as much as the sockets accept. */
void asq__redis_flush(struct asq__redis *r);
/* Load all scripts again, because the partition's server, or that of the namespace's keys, has
 * forgotten one. */
void asq__redis_reload_scripts(struct asq__redis *r, uint32_t partition);
void asq__redis_reload_home_scripts(struct asq__redis *r);
/* Returns the last known maxmemory-policy; "" if Redis does not tell it. */
const char *asq__redis_eviction_policy(const struct asq__redis *r);
void asq__redis_ask_policy(struct asq__redis *r); /* refreshes it; asynchronous */
/* Longest string accepted as an argument, see limit.h. asq__redis_expire_limit is called every
 * second or so. */
size_t asq__redis_max_string(const struct asq__redis *r);
void asq__redis_refused_string(struct asq__redis *r, size_t n);
void asq__redis_expire_limit(struct asq__redis *r);

/* Returns the optional commands that were refused to this worker at the last `up`: flags of
 * asq__lack, and names for messages ("": none). */
unsigned asq__redis_lack(const struct asq__redis *r, const char **ret_names);

/* Returns the clock of Redis. The clock is known when the connection is up, unless an ACL forbids
 * TIME, and is sampled again on each new connection. */
const struct asq__redis_clock *asq__redis_clock(const struct asq__redis *r);
void asq__redis_ask_time(struct asq__redis *r); /* samples it; asynchronous */
/* Takes the reply to a caller's own TIME as a sample. */
void asq__redis_take_time(struct asq__redis *r, const redisReply *reply, int64_t asked_ms);

#endif
