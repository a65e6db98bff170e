/*
 * peers.h: members of the set of workers as this process has seen them: the hash of each, and since
 * when its heartbeat has not moved. Any client may have written these hashes, so a member counts as
 * a worker only once its hash had all that a worker writes.
 */
#ifndef ASQ_WORKER_PEERS_H
#define ASQ_WORKER_PEERS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "value/table.h"

struct asq__peer {
    struct asq__node node;
    void *owner; /* as given to asq__peers_list */
    char *id;
    long long heartbeat, before; /* last heartbeat, and the one before */
    /* Capacity, and a deviating value in its hash, first seen beside other_heartbeat. */
    uint32_t capacity, other_capacity;
    long long other_heartbeat;
    struct asq__peer_text {
        char *text;  /* NULL: none was ever there, or none of its own */
        char *other; /* a deviating one in its hash, first seen beside */
        long long other_heartbeat;
    } knows,               /* classes, as classes.h has them; NULL: it may have every class */
        pools;             /* as value/pools.h has lists */
    int64_t lease_time_ms; /* lease time in its hash */
    int64_t moved_ms;      /* time when the heartbeat was last seen to move */
    bool seen, listed, present, stopping;
    bool left;                      /* it is not listed since a change, rather than a loss */
    bool indexed;                   /* the index of heartbeats has it, with */
    int64_t indexed_ms;             /* the time of its last heartbeat, by Redis */
    bool index_stands;              /* which was the same at the last look */
    uint32_t read_round, due_round; /* looks that have read its hash, and that read it; 0: none */
    bool whole;       /* hash once had all that a worker writes; counts for nothing before */
    bool proven;      /* heartbeat has moved since: partitions are handed over to it */
    bool missed;      /* was found dead, with `missed_heartbeat`, and has sent none since */
    bool logged_dead; /* death was logged, its return not yet */
    bool noted;       /* Redis has its death, and not its return yet; of deaths.c */
    bool noting;      /* a script about that is under way */
    long long missed_heartbeat;
    /* Process of the worker, as its hash says; or "". */
    char client[17], host[65], pid[21];
};

/* Fields of a hash, in the order that asq__peer_see takes. */
enum {
    ASQ__PEER_HEARTBEAT,
    ASQ__PEER_CAPACITY,
    ASQ__PEER_STOPPING,
    ASQ__PEER_LEASE_TIME,
    ASQ__PEER_ID,
    ASQ__PEER_CLIENT,
    ASQ__PEER_HOST,
    ASQ__PEER_PID,
    ASQ__PEER_KNOWS,
    ASQ__PEER_POOLS,
    ASQ__PEER_FIELDS
};

enum { ASQ__PEER_PLACE = 120 };
/* Writes " (host H, process P)"; "" if the hash of the peer has not told. NULL: no peer. */
const char *asq__peer_place(const struct asq__peer *p, char text[ASQ__PEER_PLACE]);

int asq__peers_init(struct asq__table *peers);
struct asq__peer *asq__peers_find(const struct asq__table *peers, const char *id);
/* Finds or makes a peer, and marks it as listed. NULL: out of memory. */
struct asq__peer *asq__peers_list(struct asq__table *peers, const char *id, void *owner);
/* Clears all marks; the second forgets all peers without one. */
void asq__peers_unlist(struct asq__table *peers);
void asq__peers_forget_unlisted(struct asq__table *peers);
void asq__peers_release(struct asq__table *peers);

/* Returns whether the reply can be the CLIENT that a process writes. */
bool asq__peer_is_client(const redisReply *r);
/* Returns whether a worker can have this id. */
bool asq__peer_may_be_called(const redisReply *id);
/* Both: true when the heartbeat has moved for the first time since the peer counts as a worker,
 * which proves that the peer lives. */
bool asq__peer_see_heartbeat(struct asq__peer *p, long long number);
bool asq__peer_see(struct asq__peer *p, redisReply *const *field);
/* Takes whether the peer counts as alive now. A dead one does for a while when this process was
 * away itself, so one that was missed is so until its heartbeat has moved. */
void asq__peer_see_alive(struct asq__peer *p, bool alive);

#endif
