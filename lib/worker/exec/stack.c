/*
 * stack.c: stacks for fibers. Each has a guard at its low end, so that an overflow is a fault at a
 * known address instead of damage to another fiber's memory. Adjacent mappings of the same kind are
 * one to the kernel, so their number does not matter, except for guards by mprotect: each takes two
 * of the 65,530 mappings of a process. Half of these are left to other code; further stacks have no
 * guard.
 *
 * stack_reserve.c makes new ones ahead; fiber.c keeps unused ones.
 */
#include "worker/exec/stack.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "asqueue.h"
#include "worker/exec/sanitizer.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef MAP_STACK
#define MAP_STACK 0
#endif

/* Size of a guard: a frame of ordinary size cannot step over it, even in code that was compiled
 * without -fstack-clash-protection. */
enum { GUARD_SIZE = 64 << 10, MEASURE_PAGES = 256, MAX_MAP_COUNT = 65530 };

static size_t page_size(void)
{
    return (size_t) sysconf(_SC_PAGESIZE);
}

static size_t guard_size(size_t stack_size)
{
    size_t page = page_size(), guard = stack_size / 4 < GUARD_SIZE ? stack_size / 4 : GUARD_SIZE;
    return guard < page ? page : guard / page * page;
}

static char *map(size_t size)
{
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    return mem == MAP_FAILED ? NULL : mem;
}

static long max_map_count(void)
{
    long n = MAX_MAP_COUNT;
    FILE *f = fopen("/proc/sys/vm/max_map_count", "re");
    if (f) {
        if (fscanf(f, "%ld", &n) != 1)
            n = MAX_MAP_COUNT;
        fclose(f);
    }
    return n;
}

static bool shadow_stack(void)
{
#if defined(__x86_64__) && defined(SYS_arch_prctl)
    enum { ARCH_SHSTK_STATUS = 0x5005, ARCH_SHSTK_SHSTK = 1 };
    unsigned long features = 0;
    return syscall(SYS_arch_prctl, ARCH_SHSTK_STATUS, &features) == 0 &&
           (features & ARCH_SHSTK_SHSTK);
#else
    return false;
#endif
}

void asq__stacks_init(struct asq__stacks *s)
{
    size_t page = page_size();
    char *probe = map(page);
    s->guard = ASQ__GUARD_PROTECT;
    if (probe) {
        if (madvise(probe, page, MADV_GUARD_INSTALL) == 0)
            s->guard = ASQ__GUARD_INSTALL;
        munmap(probe, page);
    }
    s->shadow_stack = shadow_stack();
    atomic_init(&s->protect_left, max_map_count() / 4);
    atomic_init(&s->mapped, 0);
    atomic_init(&s->unguarded, 0);
    atomic_init(&s->high_water, 0);
    asq__stack_maker_init(&s->maker);
}

void asq__stacks_release(struct asq__stacks *s)
{
    asq__stack_maker_release(&s->maker);
}

unsigned asq__stack_shift(size_t size)
{
    unsigned shift = ASQ__STACK_MIN_SHIFT;
    if (size == 0)
        size = ASQ__STACK_DEFAULT;
    while (shift < ASQ__STACK_MAX_SHIFT && (size_t) 1 << shift < size)
        shift++;
    return shift;
}

static void add_guard(struct asq__stacks *s, struct asq__stack *stack)
{
    size_t size = guard_size(stack->size);
    if (s->guard == ASQ__GUARD_INSTALL && madvise(stack->low, size, MADV_GUARD_INSTALL) == 0) {
        stack->guard_size = size;
        return;
    }
    /* Also when the above is refused, as it is for locked memory. */
    if (s->guard != ASQ__GUARD_NONE) {
        if (atomic_fetch_sub(&s->protect_left, 1) > 0 &&
            mprotect(stack->low, size, PROT_NONE) == 0) {
            stack->guard_size = size;
            stack->by_mprotect = true;
            return;
        }
        atomic_fetch_add(&s->protect_left, 1);
    }
    atomic_fetch_add(&s->unguarded, 1);
}

char *asq__stack_space(size_t size)
{
    char *low = map(size);
#ifdef MADV_NOHUGEPAGE
    /* One huge page for the first byte of a stack would be 500 times what is wanted. Newer kernels
     * take MAP_STACK for that; an error means that there are no huge pages. */
    if (low)
        madvise(low, size, MADV_NOHUGEPAGE);
#endif
    return low;
}

void asq__stack_space_release(char *low, size_t size)
{
    if (size)
        munmap(low, size);
}

struct asq__stack asq__stack_make(struct asq__stacks *s, char *low, size_t size)
{
    struct asq__stack stack = { .low = low, .size = size };
    add_guard(s, &stack);
    stack.valgrind_id = ASQ__VALGRIND_STACK(stack.low + stack.guard_size, stack.low + stack.size);
    return stack;
}

bool asq__stack_unmap(struct asq__stacks *s, struct asq__stack *stack)
{
    struct asq__stack gone = *stack; /* a copy, because it may lie on the stack itself */
    size_t guarded = gone.by_mprotect ? gone.guard_size : 0;
    asq__asan_forget(gone.low + guarded, gone.size - guarded);
    if (munmap(gone.low, gone.size) < 0) {
        /* A hole in the middle of a mapping makes two of it, which may be one too many. */
        asq__stack_empty(s, &gone, 0);
        *stack = gone;
        return false;
    }
    ASQ__VALGRIND_NO_STACK(gone.valgrind_id);
    if (gone.by_mprotect)
        atomic_fetch_add(&s->protect_left, 1);
    atomic_fetch_sub(&s->mapped, 1);
    return true;
}

size_t asq__stack_measure(struct asq__stacks *s, const struct asq__stack *stack)
{
    size_t page = page_size(), used = 0;
    char *top = stack->low + stack->size;
    unsigned char resident[MEASURE_PAGES];
    for (char *at = stack->low + stack->guard_size; used == 0 && at < top;) {
        size_t pages = (size_t) (top - at) / page;
        if (pages > MEASURE_PAGES)
            pages = MEASURE_PAGES;
        if (mincore(at, pages * page, resident) < 0)
            return 0;
        for (size_t i = 0; i < pages && used == 0; i++)
            if (resident[i] & 1)
                used = (size_t) (top - (at + i * page));
        at += pages * page;
    }
    size_t seen = atomic_load_explicit(&s->high_water, memory_order_relaxed);
    while (used > seen && !atomic_compare_exchange_weak(&s->high_water, &seen, used))
        ;
    return used;
}

void asq__stack_empty(struct asq__stacks *s, const struct asq__stack *stack, size_t keep)
{
    size_t page = page_size(), usable = stack->size - stack->guard_size;
    keep = (keep + page - 1) / page * page;
    if (keep < usable && asq__stack_measure(s, stack) > keep)
        madvise(stack->low + stack->guard_size, usable - keep, MADV_DONTNEED);
}

bool asq__stack_in_guard(const struct asq__stack *stack, const void *address)
{
    uintptr_t at = (uintptr_t) address, low = (uintptr_t) stack->low;
    return at >= low && at < low + stack->guard_size;
}
