/*
 * hostile.h: what an attacker who may write to the Redis of a deployment sends: commands with random,
 * torn and nearly right bytes, a few hundred in one pipeline.
 */
#ifndef ASQ_FUZZ_HOSTILE_H
#define ASQ_FUZZ_HOSTILE_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each names what is attacked. */
#define HOSTILE_KINDS(X)                                                                           \
    X(ENTRIES, "entries")       /* jobs of every kind and form in the streams */                   \
    X(STREAM_IDS, "ids")        /* entries with ids far ahead */                                   \
    X(STATES, "states")         /* saved states of agents that are nobody's */                     \
    X(RESULTS, "results")       /* result keys */                                                  \
    X(LEASES, "leases")         /* fields of leases, and leases that are gone */                   \
    X(ATTEMPTS, "attempts")     /* attempts, delays, dead letters */                               \
    X(HEARTBEATS, "heartbeats") /* hashes of workers, their set */                                 \
    X(PUSHES, "pushes")         /* channels of clients and workers */                              \
    X(TYPES, "types")           /* keys of another type */                                         \
    X(DELAYS, "delays")         /* what is due later */                                            \
    X(META, "meta")             /* the hash of the namespace, or what is none; no other numbers */ \
    X(ANNOUNCED, "announced")   /* pushes of results that are to be read, of batches under way */  \
    X(GHOSTS, "ghosts")         /* workers whose hash is whole, and whose beat does not move */    \
    X(SCRATCH, "scratch")       /* keys that scripts use in passing, or set aside */

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
    uint32_t often;  /* how many times as often as usual what is rare comes */
    size_t pending;  /* commands without a reply */
    uint64_t sent;   /* commands, ever */
    unsigned steps;
    uint64_t of_kind[HOSTILE_KINDS_N];
    char clients[16][17]; /* ids of clients that are there, as channels tell */
    int nclients;
    char workers[8][64]; /* ids of worker processes */
    int nworkers;
    struct {
        uint8_t id[16]; /* of a batch of one of these clients that was in a stream */
        char client[17];
    } batches[32];
    int nbatches;
};

/* Connects; false: it cannot, and said so. */
bool hostile_open(struct hostile *h, const char *socket, uint64_t seed, unsigned kinds,
                  int partitions, uint32_t honest, uint32_t often);
/* Sends some commands, and reads their replies. False: the connection is lost. */
bool hostile_step(struct hostile *h);
void hostile_close(struct hostile *h);

#endif
