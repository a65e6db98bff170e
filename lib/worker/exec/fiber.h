/*
 * fiber.h: fibers, which calls run on: stacks of their own, switched without the kernel. A fiber
 * stays on the thread that made it, and its stack is reused as soon as it ends.
 *
 * A fiber lives from asq__fiber_new to asq__fiber_free:
 *
 *     new ──▶ FRESH ──resume──▶ RUNNING ──fn returns──▶ ENDED ──free──▶ (kept for the next new)
 *                                │   ▲
 *                              park resume
 *                                ▼   │
 *                                PARKED ──free──▶ (given up with its stack)
 */
#ifndef ASQ_WORKER_EXEC_FIBER_H
#define ASQ_WORKER_EXEC_FIBER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include "value/list.h"
#include "worker/exec/stack.h"

enum asq__fiber_state {
    ASQ__FIBER_FRESH,
    ASQ__FIBER_RUNNING, /* or has resumed another fiber, which runs */
    ASQ__FIBER_PARKED,
    ASQ__FIBER_ENDED,
};

enum asq__turn { ASQ__TURN_RUNNING, ASQ__TURN_PARKED, ASQ__TURN_READY };

/* A fiber. Stands at the top of its own stack, so that a parked one takes only a page or two. */
struct asq__fiber {
    /* Fields of pool.c: */
    struct asq__list node; /* in slot->parked or slot->ready */
    struct asq__slot *slot;
    struct asq__task *task;
    enum asq__turn turn;
    bool woken;                      /* woken while it ran */
    const char *class_name, *method; /* names for the message of an overflow; or NULL */
    /* Fields of fiber.c, which also uses `node` while the fiber is kept: */
    enum asq__fiber_state state;
    bool begun; /* stack has frames to go back to */
    bool swaps; /* switches by swapcontext */
    unsigned char shift;
    void (*fn)(void *arg);
    void *arg;
    struct asq__fiber_resumer *by;
    void *context; /* saved context of a parked fiber that swaps */
    jmp_buf env;   /* saved context of one that uses _setjmp */
    struct asq__stack stack;
    void *asan, *tsan; /* for the sanitizers */
};

/* Stacks that one thread keeps for its next fibers, last used first. Making a stack costs ten times
 * as much as reusing one. So all are kept as they are (hot) until asq__stack_pool_trim finds more
 * than a few unused for a while. Their memory is given back then (cold), and beyond some number the
 * stack as well. Not for several threads at once. */
struct asq__stack_pool {
    struct asq__stacks *stacks;
    struct {
        struct asq__list hot, cold; /* of fibers */
        struct asq__stack_reserve reserve;
        unsigned nhot, ncold;
        unsigned unused; /* hot stacks not needed since the last trim */
    } kept[ASQ__STACK_SIZES];
    size_t surplus; /* hot stacks beyond the few */
    unsigned freed;
};

void asq__stack_pool_init(struct asq__stack_pool *pool, struct asq__stacks *stacks);
void asq__stack_pool_release(struct asq__stack_pool *pool);
/* Gives up at most `limit` of the stacks that were not needed since the last call; to be called
 * once in a while when there is a surplus. True: more are left. */
bool asq__stack_pool_trim(struct asq__stack_pool *pool, size_t limit);

/* Makes a fiber that will run fn(arg). stack_size in bytes, 0: the default. Returns 0 or
 * ASQ_ENOMEM. */
int asq__fiber_new(struct asq__stack_pool *pool, size_t stack_size, void (*fn)(void *arg),
                   void *arg, struct asq__fiber **ret);
/* Runs the fiber until it parks or ends. True: the fiber has ended. May be called inside another
 * fiber. */
bool asq__fiber_resume(struct asq__fiber *f);
/* Switches back to the resumer of the running fiber, until the fiber is resumed again. errno
 * stays. */
void asq__fiber_park(void);
/* Returns the running fiber; NULL outside. */
struct asq__fiber *asq__fiber_current(void);
/* Frees a fiber that does not run, on its thread, into its own pool. The stack contents of a parked
 * one are given up as they are. */
void asq__fiber_free(struct asq__stack_pool *pool, struct asq__fiber *f);

/* Is told of a crash by code that runs on a fiber, before the process dies of it, with the fiber's
 * task. overflowed: size of the stack, if that has overflowed, else 0. Must be async-signal-safe.
 * Returns whether somebody else will tell of the crash. */
typedef bool (*asq__crash_fn)(struct asq__task *task, int signal_number, size_t overflowed);

/* overflow.c: makes this process name a stack overflow on stderr before it dies of it, unless
 * on_crash (or NULL) returns true: "asqueue: stack overflow in CLASS.METHOD (stack N bytes; …)".
 * Each thread that runs fibers also needs asq__fiber_thread_init. */
void asq__fiber_install_fault_handler(asq__crash_fn on_crash);
void asq__fiber_thread_init(void);
void asq__fiber_thread_release(void);

#endif
