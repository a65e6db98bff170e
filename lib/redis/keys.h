/*
 * keys.h: builds the name of every Redis key and channel; no other file does. PROTOCOL.md has the
 * table. All keys of a partition have one hash tag, {N.p}, so they share a slot of a Redis Cluster.
 */
#ifndef ASQ_REDIS_KEYS_H
#define ASQ_REDIS_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ASQ__KEY_MAX 352 /* room for any name and its NUL: a worker id is the longest part */
#define ASQ__NS_MAX  64

/* A lease's token: 32 hexadecimal digits and the NUL. */
#define ASQ__TOKEN_TEXT 33

struct asq__keys {
    char ns[ASQ__NS_MAX + 1];
    char prefix[ASQ__NS_MAX + 8]; /* "asq:{N" */
    size_t prefix_n;
};

/* Returns ASQ_EINVAL unless ns is 1 to 64 letters, digits, '_', '-' or '.'. */
int asq__keys_init(struct asq__keys *k, const char *ns, char *err, size_t errlen);

/* Write a name of at most ASQ__KEY_MAX bytes with its NUL, and return its length. */
size_t asq__keys_meta(const struct asq__keys *k, char *out);
size_t asq__keys_workers(const struct asq__keys *k, char *out);
size_t asq__keys_worker(const struct asq__keys *k, const char *id, char *out);
size_t asq__keys_worker_calls(const struct asq__keys *k, const char *id, char *out);
size_t asq__keys_worker_deaths(const struct asq__keys *k, char *out);
/* Index of heartbeats, see beats_index.lua. */
size_t asq__keys_beats(const struct asq__keys *k, char *out);
size_t asq__keys_beat_changes(const struct asq__keys *k, char *out);
size_t asq__keys_paused(const struct asq__keys *k, char *out);
size_t asq__keys_handle(const struct asq__keys *k, const char *client, char *out);
/* Lock of who moves the namespace elsewhere, see lib/client/move.c. */
size_t asq__keys_moving(const struct asq__keys *k, char *out);
/* Gauges of all processes; stats.lua derives the names of its other keys from this one. */
size_t asq__keys_stats(const struct asq__keys *k, char *out);
size_t asq__keys_channel(const struct asq__keys *k, const char *client, char *out);
/* Channel of a client for results of a partition, in the partition's slot of a Cluster. */
size_t asq__keys_shard_channel(const struct asq__keys *k, uint32_t partition, const char *client,
                               char *out);
size_t asq__keys_jobs(const struct asq__keys *k, uint32_t partition, char *out);
/* The stream under the name that it has once its partition is sealed, see move_seal.lua. */
size_t asq__keys_jobs_moved(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_lease(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_agents(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_attempts(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_epoch(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_fences(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_dead(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_failures(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_barrier(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_later(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_later_jobs(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_timers(const struct asq__keys *k, uint32_t partition, char *out);
size_t asq__keys_agent_timers(const struct asq__keys *k, uint32_t partition, const char *agent,
                              char *out);
/* Records of a call's steps. call: a call id, as text. */
size_t asq__keys_steps(const struct asq__keys *k, uint32_t partition, const char *call, char *out);
/* Signals to an agent that no call has heard. */
size_t asq__keys_signals(const struct asq__keys *k, uint32_t partition, const char *agent,
                         char *out);
/* Values that a call has emitted. */
size_t asq__keys_emitted(const struct asq__keys *k, uint32_t partition, const char *call,
                         char *out);
/* Facts of a promise; id: its id, as text. Under the id of a call: the ids of the promises
 * that it has made. */
size_t asq__keys_promise(const struct asq__keys *k, uint32_t partition, const char *id, char *out);
/* batch: 16 bytes. */
size_t asq__keys_result(const struct asq__keys *k, uint32_t partition, const uint8_t *batch,
                        char *out);

/* ---- any key, for who copies a namespace ---- */

/* Partition of a key of the namespace itself. */
#define ASQ__KEYS_OF_NAMESPACE UINT32_MAX

/* Writes a pattern that matches all keys of the namespace, and some of others. */
size_t asq__keys_pattern(const struct asq__keys *k, char *out);
/* Splits the name of a key into its partition and what follows "}:", which has the rest of the
 * bytes. False: the key is of another namespace. */
bool asq__keys_parse(const struct asq__keys *k, const char *name, size_t n, uint32_t *ret_partition,
                     const char **ret_rest);
/* Writes the name of a key of these parts; `rest` has at most ASQ__KEY_REST_MAX bytes. */
enum { ASQ__KEY_REST_MAX = ASQ__KEY_MAX - ASQ__NS_MAX - 24 };
size_t asq__keys_join(const struct asq__keys *k, uint32_t partition, const char *rest, size_t n,
                      char *out);

#endif
