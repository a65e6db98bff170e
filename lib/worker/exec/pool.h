/*
 * pool.h: places where calls run: `capacity` threads, and the thread of the event loop itself for
 * calls that never block. A task runs on a fiber. A fiber that parks frees its thread for others,
 * and is resumed on the same thread.
 */
#ifndef ASQ_WORKER_EXEC_POOL_H
#define ASQ_WORKER_EXEC_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "value/list.h"
#include "worker/exec/fiber.h"

struct asq__pool;

enum { ASQ__POOL_NAME = 96 }; /* kept bytes of a class's or method's name */

struct asq__task {
    struct asq__list node;
    void (*run)(struct asq__task *task); /* on a fiber */
    /* Called on the task's thread, off the fiber, when run has returned and on_switch was
     * called. The task may be freed here (in run, if this is NULL), or be handed to the code
     * that frees it. */
    void (*ended)(struct asq__task *task);
    size_t stack_size;                    /* 0: the pool's default */
    const char *name_class, *name_method; /* borrowed while it runs; or NULL */
};

struct asq__pool_config {
    uint32_t capacity; /* 0: 1 */
    size_t stack_size; /* 0: ASQ__STACK_DEFAULT */
    /* Idle time after which a thread ends, except the last one; 0: threads stay. */
    int64_t idle_ms;
    /* Called when another thread has made a fiber of the loop's ready: call asq__pool_inline_ready
     * soon. May come on any thread, and again before that was done. NULL: no task of the loop's
     * ever parks. */
    void (*inline_ready)(void *user);
    /* Called when a thread begins to run this task, or none. Thread 0 is the loop's, 1 … capacity
     * are the pool's. Called on that thread, with copies of the task's names. May be NULL. */
    void (*on_switch)(void *user, unsigned thread, struct asq__task *task,
                      const char class_name[ASQ__POOL_NAME], const char method[ASQ__POOL_NAME]);
    /* Called when a task has ended its thread by pthread_exit, which loses both for good. Called on
     * that thread as it ends; must not return. NULL: abort. */
    void (*thread_lost)(void *user, unsigned thread, const char *class_name, const char *method);
    void *user;
};

struct asq__pool_stats {
    uint32_t threads, busy; /* threads of the pool; the loop's does not count */
    uint32_t refused;       /* threads that the system refused to start */
    size_t parked;          /* fibers that wait or are to be resumed */
    size_t stacks;          /* stacks in use or kept */
    size_t high_water;      /* bytes of stack in the deepest use seen */
    size_t unguarded;       /* stacks made without a guard, ever */
};

/* Makes a pool; the calling thread becomes the loop's. One thread of the pool starts at once, so
 * that tasks always have one. Returns 0, ASQ_ENOMEM or ASQ_ESYS. */
int asq__pool_new(const struct asq__pool_config *config, struct asq__pool **ret);

/* Runs the task on some thread, starting one when all are busy. Callable from any thread. The task
 * waits while there is no memory for a stack. */
void asq__pool_submit(struct asq__pool *p, struct asq__task *task);
/* Runs the task now, on the calling thread, which is the loop's, until it parks or ends. False:
 * there was no memory for a stack, and the task was submitted. */
bool asq__pool_run_inline(struct asq__pool *p, struct asq__task *task);
/* Resumes the loop's own fibers that were woken so far. True: there were some. To be called before
 * the loop waits, because a wake on its own thread is not announced. */
bool asq__pool_inline_ready(struct asq__pool *p);

/* Parks the running task until it is woken. A wake since the last return is not lost. */
void asq__pool_park(void);
/* Wakes a fiber, from any thread, before its task has returned. Wakes of one fiber do not add
 * up. */
void asq__pool_wake(struct asq__pool *p, struct asq__fiber *f);

/* Calls `found` for each task that has kept its thread busy for threshold_ms without parking, once
 * each time. Calls come on the calling thread, which may be any. now_ms as asq__now_ms. */
void asq__pool_scan(struct asq__pool *p, int64_t now_ms, int64_t threshold_ms,
                    void (*found)(void *user, const char *class_name, const char *method,
                                  int64_t ms),
                    void *user);
/* Returns whether a task runs on the loop's thread, with its names. Callable from any thread. */
bool asq__pool_on_loop(struct asq__pool *p, char class_name[ASQ__POOL_NAME],
                       char method[ASQ__POOL_NAME]);
struct asq__pool_stats asq__pool_stats(struct asq__pool *p);

/* Ends the threads, waiting up to timeout_ms for their tasks; no task is started or resumed any
 * more. False: some still run, and the pool must not be freed. */
bool asq__pool_stop(struct asq__pool *p, int64_t timeout_ms);
/* Frees the pool after asq__pool_stop, on the loop's thread. Parked fibers are freed with their
 * stacks; tasks are not touched. */
void asq__pool_free(struct asq__pool *p);

#endif
