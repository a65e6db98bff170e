/*
 * fiber.c: fibers on ucontext. makecontext begins a fiber, but swapcontext asks the kernel for the
 * signal mask each time, which costs several times everything else. So _setjmp and _longjmp switch,
 * which leave the mask alone. A stack whose fiber has ended is not begun again: its first frame
 * stays and takes the next function. Both ends of every jump are alive, as longjmp requires.
 *
 * With a shadow stack that the processor checks (CET), only swapcontext can change it, and is used.
 *
 * stack.c maps and guards stacks; pool.c decides which fiber runs when.
 */
#undef _FORTIFY_SOURCE /* the fortified longjmp aborts on a change of stacks */

#include "worker/exec/fiber.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include "worker/exec/sanitizer.h"

enum {
    KEEP_HOT = 32,   /* unused stacks of each size that keep their touched memory */
    KEEP_COLD = 256, /* unused stacks of each size that keep one page */
    MEASURE_EVERY = 64,
    FIRST_FRAME = 2048, /* upper bound on bytes below the fiber that its first frame takes */
};

/* The side that resumed a fiber; lives in its asq__fiber_resume. */
struct asq__fiber_resumer {
    struct asq__fiber *outer; /* fiber that resumed this one; or NULL */
    union {
        jmp_buf env;
        ucontext_t context;
    } at;
    const void *asan_low;
    size_t asan_size;
    void *tsan;
};

/* Fiber that runs on the thread. The handler of a fault reads it too, so it must not be allocated
 * at its first use. */
static _Thread_local struct asq__fiber *current __attribute__((tls_model("initial-exec")));

struct asq__fiber *asq__fiber_current(void)
{
    return current;
}

/* ---- switching ---- */

static inline void arrive(struct asq__fiber *f)
{
    asq__asan_arrive(f->asan, &f->by->asan_low, &f->by->asan_size);
}

/* Keeps the variables of a function on the stack. AddressSanitizer's fake stack is gone when a
 * fiber has ended. */
#define NO_FAKE_STACK __attribute__((no_sanitize_address))

/* Functions that call setjmp are not inlined, so that a jump takes no registers of their callers.
 * */
static NO_FAKE_STACK __attribute__((noinline)) void leave_by_swap(struct asq__fiber *f)
{
    ucontext_t here;    /* a kilobyte, so not in leave() */
    f->context = &here; /* cppcheck-suppress autoVariables */
    ASQ__TSAN_SWITCH(f->by->tsan);
    swapcontext(&here, &f->by->at.context);
}

static NO_FAKE_STACK __attribute__((noinline)) void leave(struct asq__fiber *f)
{
    /* The fake stack of an ended fiber is not kept. */
    asq__asan_leave(f->state == ASQ__FIBER_ENDED ? NULL : &f->asan, f->by->asan_low,
                    f->by->asan_size);
    if (f->swaps) {
        leave_by_swap(f);
    } else if (_setjmp(f->env) == 0) {
        ASQ__TSAN_SWITCH(f->by->tsan);
        _longjmp(f->by->at.env, 1);
    }
}

/* First frame of every stack. */
static void first_frame(void)
{
    struct asq__fiber *f = current;
    for (;;) {
        f->asan = NULL;
        arrive(f);
        f->fn(f->arg);
        f->state = ASQ__FIBER_ENDED;
        leave(f);
    }
}

static void make_first(struct asq__fiber *f, ucontext_t *context)
{
    getcontext(context);
    context->uc_stack.ss_sp = f->stack.low + f->stack.guard_size;
    context->uc_stack.ss_size = (size_t) ((char *) f - f->stack.low) - f->stack.guard_size;
    context->uc_link = NULL;
    makecontext(context, first_frame, 0);
}

static __attribute__((noinline)) void switch_to(struct asq__fiber *f)
{
    struct asq__fiber_resumer *by = f->by;
    char *low = f->stack.low + f->stack.guard_size;
    void *fake = NULL;
    ucontext_t first;
    if (!f->begun) {
        make_first(f, &first);
        f->context = &first; /* cppcheck-suppress autoVariables */
    }
    by->tsan = asq__tsan_fiber_current();
    asq__asan_leave(&fake, low, (size_t) ((char *) f - low));
    if (f->swaps) {
        f->begun = true;
        ASQ__TSAN_SWITCH(f->tsan);
        swapcontext(&by->at.context, f->context);
    } else if (_setjmp(by->at.env) == 0) {
        ASQ__TSAN_SWITCH(f->tsan);
        if (f->begun)
            _longjmp(f->env, 1);
        f->begun = true;
        setcontext(f->context);
    }
    asq__asan_arrive(fake, NULL, NULL);
}

bool asq__fiber_resume(struct asq__fiber *f)
{
    struct asq__fiber_resumer by;
    by.outer = current;
    f->by = &by; /* cppcheck-suppress autoVariables */
    f->state = ASQ__FIBER_RUNNING;
    current = f;
    switch_to(f);
    current = by.outer;
    return f->state == ASQ__FIBER_ENDED;
}

void asq__fiber_park(void)
{
    struct asq__fiber *f = current;
    int saved_errno = errno;
    f->state = ASQ__FIBER_PARKED;
    leave(f);
    arrive(f);
    errno = saved_errno;
}

/* ---- fibers and their stacks ---- */

void asq__stack_pool_init(struct asq__stack_pool *pool, struct asq__stacks *stacks)
{
    memset(pool, 0, sizeof *pool);
    pool->stacks = stacks;
    for (unsigned i = 0; i < ASQ__STACK_SIZES; i++) {
        asq__list_init(&pool->kept[i].hot);
        asq__list_init(&pool->kept[i].cold);
    }
}

/* Returns the place of the fiber's struct on its stack. */
static struct asq__fiber *place(const struct asq__stack *stack)
{
    uintptr_t top = (uintptr_t) stack->low + stack->size - sizeof(struct asq__fiber);
    return (struct asq__fiber *) (top & ~(uintptr_t) 63);
}

static struct asq__fiber *fiber_on(struct asq__stacks *stacks, const struct asq__stack *stack,
                                   unsigned shift)
{
    struct asq__fiber *f = place(stack);
    *f = (struct asq__fiber){ .shift = (unsigned char) shift,
                              .swaps = stacks->shadow_stack,
                              .stack = *stack,
                              .tsan = asq__tsan_fiber_new() };
    asq__list_init(&f->node);
    return f;
}

/* Unmaps the stack of a fiber. Returns NULL, or the fiber if that failed: its stack can be used
 * again. */
static struct asq__fiber *fiber_unmap(struct asq__stacks *stacks, struct asq__fiber *f)
{
    struct asq__stack stack = f->stack;
    unsigned shift = f->shift;
    asq__tsan_fiber_free(f->tsan);
    if (asq__stack_unmap(stacks, &stack))
        return NULL;
    return fiber_on(stacks, &stack, shift);
}

int asq__fiber_new(struct asq__stack_pool *pool, size_t stack_size, void (*fn)(void *arg),
                   void *arg, struct asq__fiber **ret)
{
    unsigned shift = asq__stack_shift(stack_size), i = shift - ASQ__STACK_MIN_SHIFT;
    struct asq__fiber *f;
    struct asq__list *node;
    if ((node = asq__list_pop(&pool->kept[i].hot))) {
        if (pool->kept[i].nhot-- > KEEP_HOT)
            pool->surplus--;
        if (pool->kept[i].nhot < pool->kept[i].unused)
            pool->kept[i].unused = pool->kept[i].nhot;
        f = ASQ__CONTAINER(node, struct asq__fiber, node);
    } else if ((node = asq__list_pop(&pool->kept[i].cold))) {
        pool->kept[i].ncold--;
        f = ASQ__CONTAINER(node, struct asq__fiber, node);
    } else {
        struct asq__stack stack;
        int rc = asq__stack_new(pool->stacks, &pool->kept[i].reserve, shift, &stack);
        if (rc < 0)
            return rc;
        f = fiber_on(pool->stacks, &stack, shift);
    }
    f->slot = NULL;
    f->task = NULL;
    f->turn = ASQ__TURN_RUNNING;
    f->woken = false;
    f->class_name = f->method = NULL;
    f->state = ASQ__FIBER_FRESH;
    f->fn = fn;
    f->arg = arg;
    *ret = f;
    return 0;
}

/* Moves an unused stack to the cold ones, or unmaps it. */
static void cool(struct asq__stack_pool *pool, struct asq__fiber *f)
{
    unsigned i = f->shift - ASQ__STACK_MIN_SHIFT;
    char *top = f->stack.low + f->stack.size;
    if (pool->kept[i].ncold < KEEP_COLD) {
        /* The memory of its first frame stays. */
        asq__stack_empty(pool->stacks, &f->stack, (size_t) (top - (char *) f) + FIRST_FRAME);
    } else {
        asq__stack_measure(pool->stacks, &f->stack);
        f = fiber_unmap(pool->stacks, f);
    }
    if (f) {
        asq__list_add_first(&pool->kept[i].cold, &f->node);
        pool->kept[i].ncold++;
    }
}

void asq__fiber_free(struct asq__stack_pool *pool, struct asq__fiber *f)
{
    if (!f)
        return;
    if (f->state == ASQ__FIBER_PARKED) {
        /* The frames on the stack are dropped, so the stack cannot be used again. */
        asq__stack_measure(pool->stacks, &f->stack);
        f = fiber_unmap(pool->stacks, f);
        if (!f)
            return;
    }
    unsigned i = f->shift - ASQ__STACK_MIN_SHIFT;
    if (pool->freed++ % MEASURE_EVERY == 0)
        asq__stack_measure(pool->stacks, &f->stack);
    asq__list_add_first(&pool->kept[i].hot, &f->node);
    if (++pool->kept[i].nhot > KEEP_HOT)
        pool->surplus++;
}

bool asq__stack_pool_trim(struct asq__stack_pool *pool, size_t limit)
{
    for (unsigned i = 0; i < ASQ__STACK_SIZES; i++) {
        while (limit && pool->kept[i].unused > KEEP_HOT) {
            struct asq__list *last = pool->kept[i].hot.prev; /* least recently used */
            asq__list_del(last);
            pool->kept[i].nhot--;
            pool->kept[i].unused--;
            pool->surplus--;
            limit--;
            cool(pool, ASQ__CONTAINER(last, struct asq__fiber, node));
        }
        if (limit == 0)
            return true;
        pool->kept[i].unused = pool->kept[i].nhot;
    }
    return false;
}

static void drop_all(struct asq__stack_pool *pool, struct asq__list *fibers)
{
    struct asq__list *node;
    while ((node = asq__list_pop(fibers))) {
        struct asq__fiber *f = ASQ__CONTAINER(node, struct asq__fiber, node);
        asq__stack_measure(pool->stacks, &f->stack);
        f = fiber_unmap(pool->stacks, f);
        if (f)
            asq__tsan_fiber_free(f->tsan); /* an empty mapping stays */
    }
}

void asq__stack_pool_release(struct asq__stack_pool *pool)
{
    for (unsigned i = 0; i < ASQ__STACK_SIZES; i++) {
        drop_all(pool, &pool->kept[i].hot);
        drop_all(pool, &pool->kept[i].cold);
        pool->kept[i].nhot = pool->kept[i].ncold = pool->kept[i].unused = 0;
        asq__stack_reserve_release(pool->stacks, &pool->kept[i].reserve, i + ASQ__STACK_MIN_SHIFT);
    }
    pool->surplus = 0;
}
