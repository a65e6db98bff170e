/*
 * nested_state.h: the handle inside a method, as nested.c and nested_submit.c share it.
 *
 * Threads: submit and wait run on the method's thread; functions named on_loop run on the loop. The
 * two meet in requests that are handed over in order, in `completed` under its lock, and in the
 * wait, which belongs to the loop from the moment its request is handed over until the fiber is
 * woken.
 */
#ifndef ASQ_WORKER_NESTED_STATE_H
#define ASQ_WORKER_NESTED_STATE_H

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "asqueue.h"
#include "client/handle.h"
#include "value/list.h"
#include "value/msg.h"
#include "worker/handover.h"

struct asq__call;
struct asq__hearing;
struct asq__process;
struct asq__run;
struct asq__steps_load;

struct asq__nested {
    asq handle; /* first, so that freeing the handle frees all of it */
    struct asq__process *w;
    struct asq__run *run; /* NULL once the method has ended; of the loop */
    bool may_have_begun;  /* the call may have been begun before */
    bool unloaded;        /* the run has no effect, and another one is given its results */
    Asqueue__Chain chain;
    Asqueue__Link own;
    char own_id[ASQ__CALL_ID_TEXT];
    pthread_mutex_t lock;
    struct asq__list completed; /* results for the method to take; under lock */
    struct asq__list arrived;   /* what calls emit, for the method's callbacks; under lock */
    struct asq__list reads;     /* of what calls emit; of the loop */
    uint32_t *made_in; /* partitions of the agents that the method has made; of its thread */
    size_t n_made_in, made_in_room;
    /* Of the loop: batches with creations that Redis has not accepted yet; requests that wait. */
    unsigned creating, deferred;
    bool passed_over; /* in asq__nested_resume: a request stays, and so do those behind it */
    struct asq__handover created;
    bool created_given; /* is handed over */
    /* A wait for records of steps; of steps.c, and of the loop but for rc. */
    struct asq__steps_wait {
        struct asq__list node; /* in part->recording */
        atomic_int rc;         /* 1: not over; 0; or a code */
        uint64_t seq;          /* of the commit that is waited for */
    } steps;
    struct asq__steps_load *loading; /* of an earlier run's records; or NULL */
    struct asq__hearing *hearing;    /* the last wait for a signal; of the loop; or NULL */
    atomic_size_t emit_bytes;        /* of emitted values that Redis has not acknowledged */
    /* The wait; see above. */
    struct asq__handover wait;
    bool (*ready)(void *arg);
    void *arg;
    int64_t since_ms, until_ms;
    bool deadline_first; /* the call's deadline comes before the wait's timeout */
    bool tells_cancel;   /* a cancel that has come without a run is told here */
    ev_timer timer;
    Asqueue__Link *links[]; /* of chain */
};

/* Sends the calls of a statement, on the method's thread; see asq__mode.submit. */
int asq__nested_submit(asq *h, asq_result **results, size_t n);
/* Notes whether a call has got an agent that the method may have made; see
 * asq__mode.await_agents. */
int asq__nested_await_agents(asq *h, const asq_value *args, asq_result *r);
/* Takes a call's result from the engine, on the loop; see asq__call.done. */
void asq__nested_call_done(struct asq__call *call, const Asqueue__Result *result,
                           const asq_error *error);
/* Counts a failure that the method did not look at; see asq__mode.unseen. */
void asq__nested_unseen(asq *h, const asq_result *r, const asq_error *error);

/* Ends a wait for what a request of the method brings: sets *over, and wakes the method if it waits
 * with ready(arg). On the loop. */
void asq__nested_end_wait(struct asq__nested *n, atomic_bool *over, bool (*ready)(void *arg),
                          void *arg);

#endif
