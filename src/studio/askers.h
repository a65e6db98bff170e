/*
 * askers.h: readings and writes that requests ask for, and the threads that make them. Requests
 * with the same address share one reading: those that come while it is made, or within a second.
 */
#ifndef ASQ_SRC_STUDIO_ASKERS_H
#define ASQ_SRC_STUDIO_ASKERS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "studio/answer.h"
#include "studio/api.h"
#include "studio/target.h"

struct as_studio;

enum { AS_ASKERS_THREADS = 6, AS_ASKERS_WRITES = 3, AS_ASKERS_LARGE = 2, AS_ASKERS_QUEUE = 64 };

/* A request that waits. */
struct as_waiter {
    struct as_waiter *next;
    void *connection; /* for suspend and resume */
    bool waits;       /* the connection is suspended, or will go on */
};

struct as_reading {
    struct as_reading *next;
    char *key; /* address of a GET; NULL: a write, which is not shared */
    const struct as_route *route;
    struct as_target target;
    asq_value *body;
    const char *id;
    enum { AS_READING_QUEUED, AS_READING_RUNNING, AS_READING_DONE } state;
    unsigned refs;       /* of requests */
    uint64_t generation; /* writes that had ended when it began */
    int64_t done_ms;
    struct as_answer answer; /* once it is done */
    struct as_waiter *waiters;
};

struct as_askers {
    struct as_studio *studio;
    /* Called under the lock: let a connection rest, and go on. */
    void (*suspend)(void *connection);
    void (*resume)(void *connection);
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct as_reading *readings; /* oldest first */
    size_t n_queued, n_writing, n_large;
    uint64_t generation;
    bool stopping;
    pthread_t threads[AS_ASKERS_THREADS];
    size_t n_threads;
};

/* Starts the threads. 0, or an errno. */
int as_askers_start(struct as_askers *askers, struct as_studio *studio);
/* Waits until the threads have ended what they do, and resumes all who wait, with an answer. */
void as_askers_stop(struct as_askers *askers);
void as_askers_release(struct as_askers *askers);

/* Returns a reading that is done, or will be; in that case the waiter waits, and its connection is
 * suspended until then. Takes target and body. key NULL: a write. The caller leaves it in the end.
 * NULL: too many wait, or no memory. */
struct as_reading *as_askers_ask(struct as_askers *askers, const struct as_route *route,
                                 const char *key, const char *id, struct as_target *target,
                                 asq_value *body, struct as_waiter *waiter);
/* Returns whether the reading has its answer, which stays until it is left. */
bool as_askers_is_done(struct as_askers *askers, const struct as_reading *r);
void as_askers_leave(struct as_askers *askers, struct as_reading *r, struct as_waiter *waiter);

#endif
