/*
 * pool.h: the places where calls run: `capacity` threads, and the thread of the event loop itself, for
 * calls that never block. A task runs on a fiber; a fiber that parks frees its thread for others and is
 * resumed on the same one.
 */
#ifndef ASQ_WORKER_POOL_H
#define ASQ_WORKER_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/list.h"
#include "worker/fiber.h"

struct asq__pool;

enum { ASQ__POOL_NAME = 96 }; /* bytes of a class's or method's name that are kept */

struct asq__task {
    struct asq__list node;
    void (*run)(struct asq__task *task); /* on a fiber */
    /* When run has returned, and on_switch was told: on its thread, off the fiber. Here, or in run if
     * this is NULL, the task may be freed, or be handed to who frees it. */
    void (*ended)(struct asq__task *task);
    size_t stack_size;                    /* 0: the pool's */
    const char *name_class, *name_method; /* borrowed while it runs; or NULL */
};

struct asq__pool_config {
    uint32_t capacity; /* 0: 1 */
    size_t stack_size; /* 0: ASQ__STACK_DEFAULT */
    int64_t idle_ms; /* threads that had nothing to do for so long end, all but one; 0: none does */
    /* Another thread has made a fiber of the loop's ready: call asq__pool_inline_ready soon. May come
     * on any thread, and again before that was done. NULL: no task of the loop's ever parks. */
    void (*inline_ready)(void *user);
    /* Thread 0 is the loop's, 1 … capacity the pool's: it runs this task from now on, or none. Called on
     * that thread, with copies of the task's names. May be NULL. */
    void (*on_switch)(void *user, unsigned thread, struct asq__task *task,
                      const char class_name[ASQ__POOL_NAME], const char method[ASQ__POOL_NAME]);
    /* A task has ended its thread (pthread_exit), and nothing can bring either back. Called on that thread as
     * it ends; must not return. NULL: abort. */
    void (*thread_lost)(void *user, unsigned thread, const char *class_name, const char *method);
    void *user;
};

struct asq__pool_stats {
    uint32_t threads, busy; /* of the pool; the loop's does not count */
    uint32_t refused;       /* threads that the system would not start */
    size_t parked;          /* fibers that wait, or are to be resumed */
    size_t stacks;          /* that there are, in use or kept */
    size_t high_water;      /* bytes of stack in the deepest use seen */
    size_t unguarded;       /* stacks made without a guard, ever */
};

/* The calling thread becomes the loop's. One thread of the pool is started at once, so that no task is
 * ever left without. ASQ_ENOMEM, ASQ_ESYS. */
int asq__pool_new(const struct asq__pool_config *config, struct asq__pool **ret);

/* Some thread runs it. Threads are started when all there are are busy. From any thread. Without memory
 * for a stack the task waits for it. */
void asq__pool_submit(struct asq__pool *p, struct asq__task *task);
/* Runs it now, on the calling thread, which is the loop's, until it parks or ends. False: there was no
 * memory for a stack, and it was submitted. */
bool asq__pool_run_inline(struct asq__pool *p, struct asq__task *task);
/* Resumes the loop's own fibers that were woken so far. True when there were some. To be called before
 * the loop waits: a wake on its own thread is not announced. */
bool asq__pool_inline_ready(struct asq__pool *p);

/* Inside a task: parks until it is woken. A wake that came before, since the last return, is not lost. */
void asq__pool_park(void);
/* From any thread, before the fiber's task has returned. Wakes of one fiber do not add up. */
void asq__pool_wake(struct asq__pool *p, struct asq__fiber *f);

/* Names what has kept its thread busy for threshold_ms without parking, once each time. From any thread;
 * found is called on it. now_ms as asq__now_ms. */
void asq__pool_scan(struct asq__pool *p, int64_t now_ms, int64_t threshold_ms,
                    void (*found)(void *user, const char *class_name, const char *method,
                                  int64_t ms),
                    void *user);
/* What the loop's thread runs: true, and both get the names. From any thread. */
bool asq__pool_on_loop(struct asq__pool *p, char class_name[ASQ__POOL_NAME],
                       char method[ASQ__POOL_NAME]);
struct asq__pool_stats asq__pool_stats(struct asq__pool *p);

/* Ends the threads, waiting up to timeout_ms for what runs on them; nothing is started or resumed any
 * more. False: some still run, and the pool must not be freed. */
bool asq__pool_stop(struct asq__pool *p, int64_t timeout_ms);
/* After asq__pool_stop, on the loop's thread. Fibers that are still parked go with their stacks; tasks
 * are not touched. */
void asq__pool_free(struct asq__pool *p);

#endif
