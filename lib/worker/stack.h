/*
 * stack.h: stacks for fibers: mapping, guards against overflow, measuring how deep they were used.
 */
#ifndef ASQ_WORKER_STACK_H
#define ASQ_WORKER_STACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#define ASQ__STACK_DEFAULT   ((size_t) 256 << 10)
#define ASQ__STACK_MIN_SHIFT 14 /* 16 KiB */
#define ASQ__STACK_MAX_SHIFT 30 /* 1 GiB */
#define ASQ__STACK_SIZES     (ASQ__STACK_MAX_SHIFT - ASQ__STACK_MIN_SHIFT + 1)

enum asq__guard {
    ASQ__GUARD_NONE,
    ASQ__GUARD_PROTECT, /* mprotect: two mappings for each stack, of which a process may have 65,530 */
    ASQ__GUARD_INSTALL, /* MADV_GUARD_INSTALL (Linux 6.13): costs no mapping */
};

/* What the stacks of a process have in common. Any thread. */
struct asq__stacks {
    enum asq__guard guard;
    bool shadow_stack;        /* the processor checks return addresses: see fiber.c */
    atomic_long protect_left; /* how many more may be guarded by mprotect */
    atomic_size_t mapped;     /* stacks there are */
    atomic_size_t unguarded;  /* stacks made without a guard, ever */
    atomic_size_t high_water; /* bytes of the deepest use seen */
};

/* low is the lowest address, of the guard. All of size is mapped, the guard included. */
struct asq__stack {
    char *low;
    size_t size;
    size_t guard_size; /* 0: it has none */
    bool by_mprotect;
    unsigned valgrind_id;
};

/* Address space for the next stacks of one size: taken for several at once, as a mapping costs as much as all
 * the rest of making a stack. One thread's; zeroed at first. */
struct asq__stack_reserve {
    char *next;
    size_t left;  /* stacks */
    size_t taken; /* … last time */
};

/* Finds out what kind of guard the kernel offers. */
void asq__stacks_init(struct asq__stacks *s);

/* The power of two that is mapped for a stack of `size` bytes (0: the default), as its shift. */
unsigned asq__stack_shift(size_t size);

/* 0 or ASQ_ENOMEM. Without a guard when there can be none: counted in s->unguarded. */
int asq__stack_map(struct asq__stacks *s, unsigned shift, struct asq__stack_reserve *reserve,
                   struct asq__stack *ret);
void asq__stack_reserve_release(struct asq__stack_reserve *reserve, unsigned shift);
/* False when the kernel refuses, for too many mappings: then the stack is still there, emptied. */
bool asq__stack_unmap(struct asq__stacks *s, struct asq__stack *stack);

/* Bytes from the top down to the lowest page that was touched since it was last emptied. Counts for
 * s->high_water. A system call for each MiB: to be sampled, not for each call. */
size_t asq__stack_measure(struct asq__stacks *s, const struct asq__stack *stack);

/* Measures, and gives the memory below the topmost `keep` bytes back to the kernel. */
void asq__stack_empty(struct asq__stacks *s, const struct asq__stack *stack, size_t keep);

bool asq__stack_in_guard(const struct asq__stack *stack, const void *address);

#endif
