/*
 * fiber.h: calls run on fibers: a stack of their own, switched to and from without the kernel. A fiber
 * stays on the thread that made it, and its stack is used again as soon as it ends.
 *
 * A fiber lives from asq__fiber_new to asq__fiber_free:
 *
 *     new ──▶ FRESH ──resume──▶ RUNNING ──fn returns──▶ ENDED ──free──▶ (kept for the next new)
 *                                │   ▲
 *                              park resume
 *                                ▼   │
 *                                PARKED ──free──▶ (given up with its stack)
 */
#ifndef ASQ_WORKER_FIBER_H
#define ASQ_WORKER_FIBER_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>

#include "value/list.h"
#include "worker/stack.h"

enum asq__fiber_state {
    ASQ__FIBER_FRESH,
    ASQ__FIBER_RUNNING, /* or has resumed another, which runs */
    ASQ__FIBER_PARKED,
    ASQ__FIBER_ENDED,
};

enum asq__turn { ASQ__TURN_RUNNING, ASQ__TURN_PARKED, ASQ__TURN_READY };

/* Stands at the top of its own stack, so that a parked one takes a page or two and nothing else. */
struct asq__fiber {
    /* Of pool.c: */
    struct asq__list node; /* in place->parked or place->ready */
    struct asq__place *place;
    struct asq__task *task;
    enum asq__turn turn;
    bool woken;                      /* while it ran */
    const char *class_name, *method; /* what runs, for the message of an overflow; or NULL */
    /* Of fiber.c, which also has its node while it is kept: */
    enum asq__fiber_state state;
    bool begun; /* its stack has frames to go back to */
    bool swaps; /* by swapcontext */
    unsigned char shift;
    void (*fn)(void *arg);
    void *arg;
    struct asq__fiber_resumer *by;
    void *context; /* where a parked one stands, when it was left by swapcontext */
    jmp_buf env;   /* … or by _setjmp */
    struct asq__stack stack;
    void *asan, *tsan; /* the sanitizers' */
};

/* The stacks that one thread keeps for its next fibers, the one that was used last first. Making a stack
 * costs ten times what using one again does: so all are kept as they are (hot) until asq__stack_pool_trim
 * finds more than a few unused for a while; of those the memory is given back (cold), and beyond some
 * number the stack as well. Not for several threads at once. */
struct asq__stack_pool {
    struct asq__stacks *stacks;
    struct {
        struct asq__list hot, cold; /* of fibers */
        struct asq__stack_reserve reserve;
        unsigned nhot, ncold;
        unsigned unused; /* hot ones that were not needed since the last trim */
    } kept[ASQ__STACK_SIZES];
    size_t surplus; /* hot ones beyond the few */
    unsigned freed;
};

void asq__stack_pool_init(struct asq__stack_pool *pool, struct asq__stacks *stacks);
void asq__stack_pool_release(struct asq__stack_pool *pool);
/* To be called once in a while when there is a surplus: gives up at most `limit` of the stacks that were
 * not needed since the last time. True: there are more of them. */
bool asq__stack_pool_trim(struct asq__stack_pool *pool, size_t limit);

/* A fiber that will run fn(arg). stack_size in bytes, 0: the default. 0 or ASQ_ENOMEM. */
int asq__fiber_new(struct asq__stack_pool *pool, size_t stack_size, void (*fn)(void *arg),
                   void *arg, struct asq__fiber **ret);
/* Runs it until it parks or ends. True: it has ended. May be called inside another fiber. */
bool asq__fiber_resume(struct asq__fiber *f);
/* Inside a fiber: back to who resumed it, until it is resumed again. errno stays. */
void asq__fiber_park(void);
/* The running fiber; NULL outside. */
struct asq__fiber *asq__fiber_current(void);
/* On its thread, to the pool that it is from; not one that runs. What a parked one had on its stack is
 * given up as it is. */
void asq__fiber_free(struct asq__stack_pool *pool, struct asq__fiber *f);

/* overflow.c: makes this process name an overflow before it dies of it, on stderr:
 * "asqueue: stack overflow in CLASS.METHOD (stack N bytes; …)". Each thread that runs fibers also needs
 * asq__fiber_thread_init. */
void asq__fiber_install_overflow_handler(void);
void asq__fiber_thread_init(void);
void asq__fiber_thread_release(void);

#endif
