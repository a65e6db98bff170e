/*
 * fiber.h: calls run on fibers: a stack of their own, switched to and from without the kernel. Built on
 * glibc's ucontext; a fiber stays on the thread that first ran it.
 *
 * A stack is a mapping with a guard at its low end, so that running over it is a fault and never
 * somebody else's memory: by MADV_GUARD_INSTALL where the kernel has it (Linux 6.13), which needs no
 * mapping of its own, else by mprotect, as far as the limit of mappings allows. A stack is used again at
 * once, the hottest first.
 */
#ifndef ASQ_WORKER_FIBER_H
#define ASQ_WORKER_FIBER_H

#include <stdbool.h>
#include <stddef.h>

#define ASQ__STACK_DEFAULT ((size_t) 256 * 1024)

struct asq__fiber;

/* The stacks that one thread keeps for its next fibers. Not for several threads at once. */
struct asq__stacks {
    struct asq__fiber *idle; /* of the default size */
    size_t n, size;
    size_t high_water;   /* bytes of the deepest use seen, sampled */
    size_t unguarded;    /* stacks that could not be given a guard */
    unsigned ended;
};

void asq__stacks_init(struct asq__stacks *s, size_t default_size);
void asq__stacks_release(struct asq__stacks *s);

/* A fiber that will run fn(arg). size 0: the default. NULL: no memory. */
struct asq__fiber *asq__fiber_new(struct asq__stacks *s, size_t size, void (*fn)(void *arg), void *arg);
/* Runs it until it parks or ends. True: it has ended, and is to be given back. */
bool asq__fiber_resume(struct asq__fiber *f);
/* Inside a fiber: back to who resumed it, until it is resumed again. */
void asq__fiber_park(void);
/* The running fiber; NULL outside. */
struct asq__fiber *asq__fiber_current(void);
/* Gives it back: one that has ended, or that was parked and never will go on. */
void asq__fiber_free(struct asq__stacks *s, struct asq__fiber *f);
/* What is running, for the message of an overflow. Borrowed. */
void asq__fiber_set_name(struct asq__fiber *f, const char *class_name, const char *method);
/* The user's own. */
void **asq__fiber_user(struct asq__fiber *f);

/* Makes this process name an overflow ("stack overflow in CLASS.METHOD") before it dies of it. Each thread
 * that runs fibers also needs asq__fiber_thread_init. */
void asq__fiber_install_overflow_handler(void);
void asq__fiber_thread_init(void);
void asq__fiber_thread_release(void);

#endif
