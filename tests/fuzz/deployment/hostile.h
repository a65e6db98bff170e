/*
 * hostile.h: the commands of an attacker who may write to the Redis of a deployment: random, cut
 * and nearly right bytes, a few hundred in one pipeline.
 */
#ifndef ASQ_FUZZ_HOSTILE_H
#define ASQ_FUZZ_HOSTILE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The target of each kind of attack. */
#define HOSTILE_KINDS(X)                                                                           \
    X(ENTRIES, "entries")       /* jobs of every kind and form in the streams */                   \
    X(STREAM_IDS, "ids")        /* entries with ids far ahead */                                   \
    X(STATES, "states")         /* snapshots of agents that no caller uses */                      \
    X(RESULTS, "results")       /* result keys */                                                  \
    X(LEASES, "leases")         /* fields of leases, and leases that are gone */                   \
    X(ATTEMPTS, "attempts")     /* attempts, delays, dead letters */                               \
    X(HEARTBEATS, "heartbeats") /* hashes of workers, their set */                                 \
    X(PUSHES, "pushes")         /* channels of clients and workers */                              \
    X(TYPES, "types")           /* keys of another type */                                         \
    X(DELAYS, "delays")         /* delayed calls */                                                \
    X(META, "meta") /* the hash of the namespace, or a key of another type; no other numbers */    \
    X(ANNOUNCED, "announced") /* announcements of results of running batches */                    \
    X(GHOSTS, "ghosts")   /* workers with a complete hash and a heartbeat that does not move */    \
    X(SCRATCH, "scratch") /* keys that scripts create for a moment, or set aside */

#define HOSTILE_ENUM(name, text) HOSTILE_##name,
enum hostile_kind { HOSTILE_KINDS(HOSTILE_ENUM) HOSTILE_KINDS_N };
#undef HOSTILE_ENUM
extern const char *const hostile_names[HOSTILE_KINDS_N];

struct hostile {
    redisContext *redis;
    uint64_t rng;
    unsigned kinds; /* bit i: kind i is drawn */
    int partitions;
    uint32_t honest; /* bit p: honest agents live in partition p */
    /* factor by which rare attacks are drawn more often than usual */
    uint32_t often;
    size_t pending; /* commands without a reply */
    uint64_t sent;  /* commands, ever */
    unsigned steps;
    uint64_t of_kind[HOSTILE_KINDS_N];
    char clients[16][17]; /* ids of present clients, read from their channels */
    int nclients;
    char workers[8][64]; /* ids of worker processes */
    int nworkers;
    struct {
        uint8_t id[16]; /* id of a batch of one of these clients, read from a stream */
        char client[17];
    } batches[32];
    int nbatches;
};

/* Connects; false: the connection failed, and the error was printed. */
bool hostile_open(struct hostile *h, const char *socket, uint64_t seed, unsigned kinds,
                  int partitions, uint32_t honest, uint32_t often);
/* Sends some commands, and reads their replies. False: the connection is lost. */
bool hostile_step(struct hostile *h);
void hostile_close(struct hostile *h);

#endif
