/*
 * stack.h: stacks for fibers: mapping, guards against overflow, measured depth of use, and the
 * reserve that new ones are taken from.
 */
#ifndef ASQ_WORKER_EXEC_STACK_H
#define ASQ_WORKER_EXEC_STACK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "value/list.h"

#define ASQ__STACK_DEFAULT   ((size_t) 256 << 10)
#define ASQ__STACK_MIN_SHIFT 14 /* 16 KiB */
#define ASQ__STACK_MAX_SHIFT 30 /* 1 GiB */
#define ASQ__STACK_SIZES     (ASQ__STACK_MAX_SHIFT - ASQ__STACK_MIN_SHIFT + 1)

enum asq__guard {
    ASQ__GUARD_NONE,
    ASQ__GUARD_PROTECT, /* mprotect: two mappings for each stack; a process may have 65,530 */
    ASQ__GUARD_INSTALL, /* MADV_GUARD_INSTALL (Linux 6.13): costs no mapping */
};

/* Thread that makes stacks ahead; stack_reserve.c. */
struct asq__stack_maker {
    pthread_mutex_t lock;
    pthread_cond_t bell, made;
    struct asq__list orders;
    pthread_t thread;
    bool started, stopping;
};

/* State shared by all stacks of a process. Any thread. */
struct asq__stacks {
    enum asq__guard guard;
    bool shadow_stack;        /* processor checks return addresses: see fiber.c */
    atomic_long protect_left; /* number of stacks that mprotect may still guard */
    atomic_size_t mapped;     /* existing stacks */
    atomic_size_t unguarded;  /* stacks made without a guard, ever */
    atomic_size_t high_water; /* bytes of the deepest use seen */
    struct asq__stack_maker maker;
};

/* A stack. low is the lowest address, of the guard. All of size is mapped, the guard included. */
struct asq__stack {
    char *low;
    size_t size;
    size_t guard_size; /* 0: no guard */
    bool by_mprotect;
    unsigned valgrind_id;
};

/* Finds out which kind of guard the kernel offers. */
void asq__stacks_init(struct asq__stacks *s);
/* Called when no reserve is left. */
void asq__stacks_release(struct asq__stacks *s);

/* Returns the power of two that is mapped for a stack of `size` bytes (0: the default), as its
 * shift. */
unsigned asq__stack_shift(size_t size);

/* Reserves address space for stacks; NULL: there is none. */
char *asq__stack_space(size_t size);
void asq__stack_space_release(char *low, size_t size);
/* Makes a stack on all of it. Without a guard when there can be none: counted in s->unguarded. */
struct asq__stack asq__stack_make(struct asq__stacks *s, char *low, size_t size);
/* False when the kernel refuses because of too many mappings: the stack still exists then,
 * emptied. */
bool asq__stack_unmap(struct asq__stacks *s, struct asq__stack *stack);

/* Returns the bytes from the top down to the lowest page touched since the stack was last emptied.
 * Updates s->high_water. One system call for each MiB: to be sampled, not made for each call. */
size_t asq__stack_measure(struct asq__stacks *s, const struct asq__stack *stack);

/* Measures, and gives the memory below the topmost `keep` bytes back to the kernel. */
void asq__stack_empty(struct asq__stacks *s, const struct asq__stack *stack, size_t keep);

bool asq__stack_in_guard(const struct asq__stack *stack, const void *address);

/* stack_reserve.c: source of one thread's next stacks of one size; zeroed at first. */
struct asq__stack_reserve {
    struct asq__stack_batch *batch; /* made ahead; or NULL */
    struct asq__stack_batch *next;  /* on order; or NULL */
    char *low;                      /* address space for further stacks */
    size_t left;                    /* number of stacks that fit there */
    size_t taken;                   /* number of stacks that this space had at first */
};

/* Returns 0 or ASQ_ENOMEM. */
int asq__stack_new(struct asq__stacks *s, struct asq__stack_reserve *reserve, unsigned shift,
                   struct asq__stack *ret);
void asq__stack_reserve_release(struct asq__stacks *s, struct asq__stack_reserve *reserve,
                                unsigned shift);
void asq__stack_maker_init(struct asq__stack_maker *m);
void asq__stack_maker_release(struct asq__stack_maker *m);

#endif
