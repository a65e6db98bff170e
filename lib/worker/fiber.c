/*
 * fiber.c: see fiber.h.
 *
 * swapcontext asks the kernel for the signal mask each time, which costs more than all the rest. So it
 * is used to enter a fiber for the first time; after that _setjmp and _longjmp switch. Sanitizers want
 * to follow each switch and do not understand jumps across stacks: with them it is swapcontext always,
 * announced.
 */
#undef _FORTIFY_SOURCE /* its longjmp refuses to go to another stack */

#include "worker/fiber.h"

#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define WITH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WITH_TSAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef WITH_TSAN
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(WITH_ASAN) && !defined(WITH_TSAN)
#define WITH_JUMPS 1
#endif

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

enum { KEEP_STACKS = 256, SAMPLE_EVERY = 64, GUARD = 4096, ALT_STACK = 64 * 1024 };

/* Lives at the top of its own stack: what is switched to is warm then. */
struct asq__fiber {
    struct asq__fiber *next; /* in stacks->idle */
    char *base;              /* of the mapping; the guard is its first page */
    size_t size;             /* of the mapping */
    void (*fn)(void *arg);
    void *arg;
    void *user;
    bool started, ended, guarded;
    const char *class_name, *method;
    ucontext_t own, resumer;
#ifdef WITH_JUMPS
    jmp_buf own_jump, resumer_jump;
#endif
#ifdef WITH_ASAN
    void *fake_stack, *resumer_fake_stack;
    const void *resumer_bottom;
    size_t resumer_size;
#endif
#ifdef WITH_TSAN
    void *tsan, *resumer_tsan;
#endif
};

static _Thread_local struct asq__fiber *current;

/* Fibers stay on their thread, but the compiler must not keep the address of a thread's variable across a
 * switch all the same. */
__attribute__((noinline)) struct asq__fiber *asq__fiber_current(void) {
    return current;
}

__attribute__((noinline)) static void set_current(struct asq__fiber *f) {
    current = f;
}

/* ---- stacks ---- */

void asq__stacks_init(struct asq__stacks *s, size_t default_size) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    memset(s, 0, sizeof *s);
    s->size = default_size ? default_size : ASQ__STACK_DEFAULT;
    s->size = (s->size + GUARD + page - 1) / page * page;
}

static void unmap(struct asq__fiber *f) {
#ifdef WITH_TSAN
    __tsan_destroy_fiber(f->tsan);
#endif
#ifdef WITH_ASAN
    __asan_unpoison_memory_region(f->base + GUARD, f->size - GUARD);
#endif
    munmap(f->base, f->size);
}

void asq__stacks_release(struct asq__stacks *s) {
    while (s->idle) {
        struct asq__fiber *f = s->idle;
        s->idle = f->next;
        unmap(f);
    }
    s->n = 0;
}

static struct asq__fiber *map(struct asq__stacks *s, size_t size) {
    char *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (base == MAP_FAILED)
        return NULL;
    bool guarded = madvise(base, GUARD, MADV_GUARD_INSTALL) == 0 || mprotect(base, GUARD, PROT_NONE) == 0;
    if (!guarded)
        s->unguarded++; /* the limit of mappings is reached; see vm.max_map_count */
    uintptr_t top = ((uintptr_t) base + size - sizeof(struct asq__fiber)) & ~(uintptr_t) 63;
    struct asq__fiber *f = (struct asq__fiber *) top;
    memset(f, 0, sizeof *f);
    f->base = base;
    f->size = size;
    f->guarded = guarded;
#ifdef WITH_TSAN
    f->tsan = __tsan_create_fiber(0);
#endif
    return f;
}

/* How deep this stack has ever been used, by the pages that are there. */
static void sample(struct asq__stacks *s, const struct asq__fiber *f) {
    unsigned char pages[1024];
    size_t page = (size_t) sysconf(_SC_PAGESIZE), n = f->size / page;
    if (n > sizeof pages || mincore(f->base, f->size, pages) < 0)
        return;
    size_t i = GUARD / page;
    while (i < n && !(pages[i] & 1))
        i++;
    if ((n - i) * page > s->high_water)
        s->high_water = (n - i) * page;
}

/* ---- switching ---- */

__attribute__((noinline)) static void leave(struct asq__fiber *f, bool for_good) {
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(for_good ? NULL : &f->fake_stack, f->resumer_bottom, f->resumer_size);
#endif
    (void) for_good;
#ifdef WITH_TSAN
    __tsan_switch_to_fiber(f->resumer_tsan, 0);
#endif
#ifdef WITH_JUMPS
    if (_setjmp(f->own_jump) == 0)
        _longjmp(f->resumer_jump, 1);
#else
    swapcontext(&f->own, &f->resumer);
#endif
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(f->fake_stack, &f->resumer_bottom, &f->resumer_size);
#endif
}

static void entry(unsigned high, unsigned low) {
    struct asq__fiber *f = (struct asq__fiber *) ((uintptr_t) high << 32 | low);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(NULL, &f->resumer_bottom, &f->resumer_size);
#endif
    f->fn(f->arg);
    f->ended = true;
    leave(f, true);
    abort(); /* an ended fiber was resumed */
}

__attribute__((noinline)) static void enter(struct asq__fiber *f) {
#ifdef WITH_JUMPS
    if (_setjmp(f->resumer_jump) != 0)
        return;
    if (f->started)
        _longjmp(f->own_jump, 1);
    f->started = true;
    setcontext(&f->own);
#else
    f->started = true;
    swapcontext(&f->resumer, &f->own);
#endif
}

bool asq__fiber_resume(struct asq__fiber *f) {
    struct asq__fiber *outer = asq__fiber_current();
    set_current(f);
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(&f->resumer_fake_stack, f->base + GUARD,
                                   (size_t) ((char *) f - f->base) - GUARD);
#endif
#ifdef WITH_TSAN
    f->resumer_tsan = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->tsan, 0);
#endif
    enter(f);
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(f->resumer_fake_stack, NULL, NULL);
#endif
    set_current(outer);
    return f->ended;
}

void asq__fiber_park(void) {
    leave(asq__fiber_current(), false);
}

/* ---- fibers ---- */

struct asq__fiber *asq__fiber_new(struct asq__stacks *s, size_t size, void (*fn)(void *arg), void *arg) {
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    struct asq__fiber *f;
    size = size ? (size + GUARD + page - 1) / page * page : s->size;
    if (size == s->size && s->idle) {
        f = s->idle;
        s->idle = f->next;
        s->n--;
    } else if (!(f = map(s, size))) {
        return NULL;
    }
    f->fn = fn;
    f->arg = arg;
    f->user = NULL;
    f->started = f->ended = false;
    f->class_name = f->method = NULL;
    if (getcontext(&f->own) < 0) {
        unmap(f);
        return NULL;
    }
    f->own.uc_stack.ss_sp = f->base + GUARD;
    f->own.uc_stack.ss_size = (size_t) ((char *) f - f->base) - GUARD;
    f->own.uc_link = NULL;
    makecontext(&f->own, (void (*)(void)) entry, 2, (unsigned) ((uintptr_t) f >> 32),
                (unsigned) (uintptr_t) f);
    return f;
}

void asq__fiber_free(struct asq__stacks *s, struct asq__fiber *f) {
    if (!f)
        return;
    if (++s->ended % SAMPLE_EVERY == 0)
        sample(s, f);
    if (f->size != s->size || s->n >= KEEP_STACKS) {
        unmap(f);
        return;
    }
#ifdef WITH_ASAN
    __asan_unpoison_memory_region(f->base + GUARD, (size_t) ((char *) f - f->base) - GUARD);
#endif
#ifdef WITH_TSAN
    __tsan_destroy_fiber(f->tsan);
    f->tsan = __tsan_create_fiber(0);
#endif
    f->next = s->idle;
    s->idle = f;
    s->n++;
}

void asq__fiber_set_name(struct asq__fiber *f, const char *class_name, const char *method) {
    f->class_name = class_name;
    f->method = method;
}

void **asq__fiber_user(struct asq__fiber *f) {
    return &f->user;
}

/* ---- overflow ---- */

static _Thread_local void *alt_stack;

/* Async-signal-safe. */
static void tell(const char *text) {
    size_t n = 0;
    while (text && text[n])
        n++;
    ssize_t written = write(STDERR_FILENO, text, n);
    (void) written;
}

static void tell_number(size_t number) {
    char digits[24];
    size_t i = sizeof digits - 1;
    digits[i] = '\0';
    do
        digits[--i] = (char) ('0' + number % 10);
    while (number /= 10);
    tell(digits + i);
}

static void on_fault(int signal_number, siginfo_t *info, void *context) {
    struct asq__fiber *f = current;
    const char *at = info->si_addr;
    (void) context;
    if (f && f->guarded && at >= f->base && at < f->base + GUARD) {
        tell("asqueue: stack overflow in ");
        tell(f->class_name ? f->class_name : "?");
        tell(".");
        tell(f->method ? f->method : "?");
        tell(": its stack has ");
        tell_number(f->size - GUARD);
        tell(" bytes; raise the class's stack_size or the worker's --stack-size\n");
    }
    signal(signal_number, SIG_DFL); /* the fault happens again, and ends the process as it should */
}

void asq__fiber_thread_init(void) {
    if (alt_stack)
        return;
    alt_stack = malloc(ALT_STACK);
    stack_t stack = { .ss_sp = alt_stack, .ss_size = ALT_STACK };
    if (!alt_stack || sigaltstack(&stack, NULL) < 0) {
        free(alt_stack); /* an overflow then ends the process without its name */
        alt_stack = NULL;
    }
}

void asq__fiber_thread_release(void) {
    stack_t none = { .ss_flags = SS_DISABLE };
    if (!alt_stack)
        return;
    sigaltstack(&none, NULL);
    free(alt_stack);
    alt_stack = NULL;
}

void asq__fiber_install_overflow_handler(void) {
    struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
    action.sa_sigaction = on_fault;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}
