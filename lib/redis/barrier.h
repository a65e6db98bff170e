/*
 * barrier.h: waits until N replicas have what Redis has taken, by WAIT on the connection that wrote
 * it. Waiters that come while a WAIT is under way share the next one.
 *
 * WAIT answers for the writes of its own connection alone. So a waiter says whether what it waits
 * for was written there, or has only been read: the barrier then writes a key of its own first,
 * because replicas that have a later write have the earlier ones. While Redis waits for its
 * replicas, it answers no later command of the connection.
 */
#ifndef ASQ_REDIS_BARRIER_H
#define ASQ_REDIS_BARRIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds and default of the time of one WAIT, in ms. */
enum { ASQ__WAIT_TIMEOUT_LEAST = 10, ASQ__WAIT_TIMEOUT_MOST = 10000, ASQ__WAIT_TIMEOUT_MS = 250 };
enum { ASQ__WAIT_REPLICAS_MOST = 100 };

struct asq__barrier;
struct asq__conn;
struct asq__keys;

struct asq__barrier_config {
    struct asq__conn *conn;       /* outlives it */
    const struct asq__keys *keys; /* outlives it */
    unsigned replicas;            /* N */
    int64_t timeout_ms;           /* of one WAIT; it is repeated until N replicas have answered */
    /* Called after each WAIT: `have` replicas have everything. May be NULL. */
    void (*waited)(unsigned have, void *user);
    void *user;
};

/* Called once for each waiter. False: the connection was lost; which writes the next server has is
 * unknown. */
typedef void (*asq__barrier_fn)(bool on_replicas, void *user);

/* Returns ASQ_EINVAL, with a text, if a number of replicas or a time is out of bounds. */
int asq__wait_check(uint32_t replicas, int64_t timeout_ms, char *err, size_t errlen);
struct asq__barrier *asq__barrier_new(const struct asq__barrier_config *config);
/* Called behind asq__conn_free, which tells those who wait. */
void asq__barrier_free(struct asq__barrier *b);
/* Waits for everything that the connection has sent so far. wrote: that is a write, else only a
 * read of keys of `partition`. Errors: ASQ_ECONN, ASQ_ENOMEM; fn is not called then. */
int asq__barrier_wait(struct asq__barrier *b, uint32_t partition, bool wrote, asq__barrier_fn fn,
                      void *user);

#endif
