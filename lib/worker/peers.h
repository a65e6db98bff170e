/*
 * peers.h: the members of the set of workers as this process has seen them: what each says in its hash, and since when
 * its heartbeat has not moved. Anybody may have written these hashes, so a member counts as a worker only once its
 * hash had all that a worker writes.
 */
#ifndef ASQ_WORKER_PEERS_H
#define ASQ_WORKER_PEERS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

#include "value/table.h"

struct asq__peer {
    struct asq__node node;
    void *owner; /* who has listed it */
    char *id;
    long long beat, before;            /* … the one before that one */
    uint32_t capacity, other_capacity; /* … that its hash has had since other_beat */
    long long other_beat;
    int64_t lease_time_ms; /* its own */
    int64_t moved_ms;      /* when the beat was last seen to have moved */
    bool seen, listed, present, stopping;
    bool whole;  /* its hash once had all that a worker writes: before that it counts for nothing */
    bool proven; /* its beat has moved since: partitions are handed over to it */
    bool told_dead; /* the log has it, and not yet that it is back */
};

/* The fields of a hash that asq__peer_see takes. */
enum {
    ASQ__PEER_BEAT,
    ASQ__PEER_CAPACITY,
    ASQ__PEER_STOPPING,
    ASQ__PEER_LEASE_TIME,
    ASQ__PEER_ID,
    ASQ__PEER_CLIENT,
    ASQ__PEER_FIELDS
};

int asq__peers_init(struct asq__table *peers);
struct asq__peer *asq__peers_find(const struct asq__table *peers, const char *id);
/* Finds or makes it, and marks it as listed. NULL: memory is short. */
struct asq__peer *asq__peers_list(struct asq__table *peers, const char *id, void *owner);
/* Takes the marks away; and forgets all without one. */
void asq__peers_unlist(struct asq__table *peers);
void asq__peers_forget_unlisted(struct asq__table *peers);
void asq__peers_release(struct asq__table *peers);

/* Is it what a process writes as its CLIENT? */
bool asq__peer_is_client(const redisReply *r);
/* Can a worker be called that? */
bool asq__peer_may_be_called(const redisReply *id);
/* Both: true when its beat has moved for the first time since it counts as a worker, which proves that it lives. */
bool asq__peer_see_beat(struct asq__peer *p, long long number);
bool asq__peer_see(struct asq__peer *p, redisReply *const *field);

#endif
