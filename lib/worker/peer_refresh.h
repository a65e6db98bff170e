/*
 * peer_refresh.h: reads the hashes of the workers that this process has to look at: those that have
 * come or changed since the last look, and those that are silent for long. The index of heartbeats
 * (beats_index.lua) tells which these are, so that idle workers ask little of Redis however many
 * they are. Where the index cannot be relied on, all hashes are read.
 */
#ifndef ASQ_WORKER_PEER_REFRESH_H
#define ASQ_WORKER_PEER_REFRESH_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

struct asq__heartbeat;
struct asq__process;
struct asq__table;

struct asq__peer_refresh {
    struct asq__process *w;
    struct asq__table *peers;
    const struct asq__heartbeat *heartbeat;
    /* Called with each answer, after it was taken over if it has arrived. */
    void (*answered)(void *user, const redisReply *reply, bool arrived);
    void *user;
    unsigned *answers; /* answers that will come; raised before the one that leads to them */
    int64_t since_ms, next_since_ms; /* time of the last look, by Redis; 0: the next reads all */
    int64_t asked_ms;                /* when the last look was sent; monotonic */
    int64_t lost_ms;                 /* when Redis had lost heartbeats, 0: never; monotonic */
    int64_t last_logged_ms;
    unsigned long long acked; /* last own heartbeat acknowledged before the look */
    uint32_t round;
    bool proved; /* a worker has proved itself alive since this was cleared */
};

/* Begins a look. False: it cannot be sent. */
bool asq__peer_refresh(struct asq__peer_refresh *l);
/* Ends a look of which all has arrived: the next one goes on from it. */
void asq__peer_refresh_done(struct asq__peer_refresh *l);
/* Has the next look read all hashes. */
void asq__peer_refresh_all(struct asq__peer_refresh *l);

#endif
