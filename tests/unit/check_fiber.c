/*
 * check_fiber.c: fibers, their stacks, and overflows of stacks. Both ways of switching are tested,
 * whichever one this machine would use.
 */
#include "asqueue.h"
#include "support/suite.h"
#include "support/support.h"
#include "worker/exec/fiber.h"
#include "worker/exec/sanitizer.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(ASQ__ASAN) || defined(ASQ__TSAN)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct asq__stacks stacks;
static struct asq__stack_pool pool;

static void begin(int swaps)
{
    asq__stacks_init(&stacks);
    stacks.shadow_stack = swaps;
    asq__stack_pool_init(&pool, &stacks);
}

/* Checks that nothing is left. */
static void end(void)
{
    asq__stack_pool_release(&pool);
    ck_assert_uint_eq(atomic_load(&stacks.mapped), 0);
    asq__stacks_release(&stacks);
}

static struct asq__fiber *fiber(void (*fn)(void *arg), void *arg)
{
    struct asq__fiber *f = NULL;
    ck_assert_int_eq(asq__fiber_new(&pool, 0, fn, arg, &f), 0);
    return f;
}

/* ---- switching ---- */

static void count_to_three(void *arg)
{
    int *n = arg;
    for (int i = 1; i <= 3; i++) {
        *n = i;
        if (i < 3)
            asq__fiber_park();
    }
}

START_TEST(a_fiber_goes_on_where_it_parked)
{
    int n = 0;
    begin(_i);
    struct asq__fiber *f = fiber(count_to_three, &n);
    ck_assert_int_eq(n, 0);
    ck_assert(!asq__fiber_resume(f));
    ck_assert_int_eq(n, 1);
    ck_assert(!asq__fiber_resume(f));
    ck_assert_int_eq(n, 2);
    ck_assert(asq__fiber_resume(f));
    ck_assert_int_eq(n, 3);
    asq__fiber_free(&pool, f);
    end();
}
END_TEST

static struct asq__fiber *seen;

static void look(void *arg)
{
    (void) arg;
    seen = asq__fiber_current();
    asq__fiber_park();
    seen = asq__fiber_current();
}

START_TEST(the_running_fiber_is_known_inside_and_there_is_none_outside)
{
    begin(_i);
    struct asq__fiber *f = fiber(look, NULL);
    ck_assert_ptr_null(asq__fiber_current());
    for (int i = 0; i < 2; i++) {
        seen = NULL;
        asq__fiber_resume(f);
        ck_assert_ptr_eq(seen, f);
        ck_assert_ptr_null(asq__fiber_current());
    }
    asq__fiber_free(&pool, f);
    end();
}
END_TEST

struct nest {
    int depth;
    int ended;
};

/* Resumes another fiber, which does the same, and parks in between. */
static void nest(void *arg)
{
    struct nest *n = arg;
    struct asq__fiber *self = asq__fiber_current();
    if (n->depth-- > 0) {
        struct asq__fiber *inner = fiber(nest, n);
        while (!asq__fiber_resume(inner)) {
            ck_assert_ptr_eq(asq__fiber_current(), self);
            asq__fiber_park();
            ck_assert_ptr_eq(asq__fiber_current(), self);
        }
        asq__fiber_free(&pool, inner);
    }
    asq__fiber_park();
    n->ended++;
}

START_TEST(fibers_resume_fibers)
{
    struct nest n = { .depth = 20 };
    int resumes = 1;
    begin(_i);
    struct asq__fiber *f = fiber(nest, &n);
    while (!asq__fiber_resume(f))
        resumes++;
    ck_assert_int_eq(n.ended, 21);
    ck_assert_int_eq(resumes, 22); /* each fiber parks once, and so do all fibers around it */
    asq__fiber_free(&pool, f);
    end();
}
END_TEST

/* Keeps values that compilers hold in registers. All must be there after other fibers have run. */
static void compute(void *arg)
{
    uint64_t *sum = arg, a = *sum, b = a * 3, c = a ^ 0x5555, d = ~a, e = a << 7, f = a + 11;
    double x = (double) a, y = x / 3, z = 1;
    for (int i = 0; i < 50; i++) {
        errno = (int) a;
        asq__fiber_park();
        ck_assert_int_eq(errno, (int) a);
        a += b ^ c, b = b * 5 + d, c += e, d ^= f, e = (e << 1) | (e >> 63), f += a;
        x += y, y = y * 1.25 + z, z += 0.5;
    }
    *sum = a ^ b ^ c ^ d ^ e ^ f ^ (uint64_t) (int64_t) x ^ (uint64_t) (int64_t) (z * 2);
}

static uint64_t computed_alone(uint64_t seed)
{
    struct asq__fiber *f = fiber(compute, &seed);
    while (!asq__fiber_resume(f))
        ;
    asq__fiber_free(&pool, f);
    return seed;
}

START_TEST(registers_and_errno_of_interleaved_fibers_do_not_mix)
{
    enum { N = 40 };
    uint64_t sums[N], alone[N];
    struct asq__fiber *f[N];
    begin(_i);
    for (int i = 0; i < N; i++) {
        alone[i] = computed_alone((uint64_t) i + 1);
        sums[i] = (uint64_t) i + 1;
        f[i] = NULL;
    }
    for (int i = 0; i < N; i++)
        f[i] = fiber(compute, &sums[i]);
    for (int left = N; left > 0;)
        for (int i = 0; i < N; i++)
            if (f[i] && asq__fiber_resume(f[i])) {
                asq__fiber_free(&pool, f[i]);
                f[i] = NULL;
                left--;
            }
    for (int i = 0; i < N; i++)
        ck_assert_uint_eq(sums[i], alone[i]);
    end();
}
END_TEST

/* A program's own setjmp inside a method does not affect fibers. */
static void jump_inside(void *arg)
{
    jmp_buf env;
    volatile int *n = arg;
    if (setjmp(env) == 0) {
        asq__fiber_park();
        longjmp(env, 1);
    }
    *n = 1;
}

START_TEST(a_method_may_jump_within_its_own_stack)
{
    volatile int n = 0;
    begin(_i);
    struct asq__fiber *f = fiber(jump_inside, (void *) (uintptr_t) &n);
    ck_assert(!asq__fiber_resume(f));
    ck_assert(asq__fiber_resume(f));
    ck_assert_int_eq(n, 1);
    asq__fiber_free(&pool, f);
    end();
}
END_TEST

static void mask_one(void *arg)
{
    sigset_t set;
    (void) arg;
    asq__fiber_park();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
}

START_TEST(the_signal_mask_is_the_threads)
{
    sigset_t set;
    begin(0);
    struct asq__fiber *f = fiber(mask_one, NULL);
    asq__fiber_resume(f);
    ck_assert(asq__fiber_resume(f));
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    ck_assert_int_eq(sigismember(&set, SIGUSR1), 1);
    asq__fiber_free(&pool, f);
    end();
}
END_TEST

static void *on_a_thread(void *arg)
{
    struct asq__stack_pool own;
    int n[30];
    struct asq__fiber *f[30];
    asq__stack_pool_init(&own, &stacks);
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 30; i++)
            ck_assert_int_eq(asq__fiber_new(&own, 0, count_to_three, &n[i], &f[i]), 0);
        for (int k = 0; k < 3; k++)
            for (int i = 0; i < 30; i++)
                asq__fiber_resume(f[i]);
        for (int i = 0; i < 30; i++) {
            ck_assert_int_eq(n[i], 3);
            asq__fiber_free(&own, f[i]);
        }
    }
    asq__stack_pool_release(&own);
    return arg;
}

START_TEST(threads_have_fibers_of_their_own)
{
    pthread_t t[4];
    begin(_i);
    for (int i = 0; i < 4; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, on_a_thread, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    end();
}
END_TEST

/* ---- stacks ---- */

START_TEST(a_stack_is_used_again_at_once)
{
    int n;
    begin(_i);
    struct asq__fiber *first = fiber(count_to_three, &n);
    while (!asq__fiber_resume(first))
        ;
    asq__fiber_free(&pool, first);
    for (int i = 0; i < 100; i++) { /* for another function too */
        struct asq__fiber *f = fiber(i % 2 ? look : count_to_three, &n);
        ck_assert_ptr_eq(f, first);
        while (!asq__fiber_resume(f))
            ;
        asq__fiber_free(&pool, f);
    }
    ck_assert_uint_eq(atomic_load(&stacks.mapped), 1);
    end();
}
END_TEST

START_TEST(the_stack_used_last_is_used_next)
{
    int n[2];
    begin(_i);
    struct asq__fiber *a = fiber(count_to_three, &n[0]), *b = fiber(count_to_three, &n[1]);
    ck_assert_ptr_ne(a, b);
    for (int i = 0; i < 3; i++) {
        asq__fiber_resume(a);
        asq__fiber_resume(b);
    }
    asq__fiber_free(&pool, b);
    asq__fiber_free(&pool, a);
    struct asq__fiber *f = fiber(look, NULL);
    ck_assert_ptr_eq(f, a);
    asq__fiber_free(&pool, f); /* has never run */
    ck_assert_ptr_eq(f = fiber(look, NULL), a);
    asq__fiber_free(&pool, f);
    end();
}
END_TEST

START_TEST(a_parked_fiber_that_is_freed_takes_its_stack_along)
{
    int n;
    begin(_i);
    struct asq__fiber *f = fiber(count_to_three, &n);
    asq__fiber_resume(f);
    ck_assert_uint_eq(atomic_load(&stacks.mapped), 1);
    asq__fiber_free(&pool, f);
    ck_assert_uint_eq(atomic_load(&stacks.mapped), 0);
    f = fiber(count_to_three, &n); /* likely at the same address */
    ck_assert(!asq__fiber_resume(f));
    ck_assert_int_eq(n, 1);
    asq__fiber_free(&pool, f);
    asq__fiber_free(&pool, NULL);
    end();
}
END_TEST

/* Touches about n bytes of stack. The asm prevents the compiler from removing the frame; memory of
 * alloca is never on AddressSanitizer's fake stacks. */
static int dig(size_t n)
{
    const size_t size = 1000;
    char *frame = __builtin_alloca(size);
    int sum = 0;
    __asm__ volatile("" : : "r"(frame), "r"(&n) : "memory");
    frame[0] = frame[size - 1] = 1;
    if (n > size)
        sum = dig(n - size);
    __asm__ volatile("" : : "r"(frame), "r"(&n) : "memory");
    return sum + frame[0];
}

static void dig_fiber(void *arg)
{
    ck_assert_int_gt(dig(*(size_t *) arg), 0);
}

static void run_digging(size_t stack_size, size_t n)
{
    struct asq__fiber *f;
    ck_assert_int_eq(asq__fiber_new(&pool, stack_size, dig_fiber, &n, &f), 0);
    ck_assert(asq__fiber_resume(f));
    asq__fiber_free(&pool, f);
}

START_TEST(each_size_has_stacks_of_its_own)
{
    begin(0);
    run_digging(0, 1000);
    run_digging(4 << 20, SANITIZED ? 1 << 20 : 3 << 20); /* would overflow the stack before */
    run_digging(0, 1000);
    run_digging(3 << 20, 1000); /* rounded up: the second stack again */
    run_digging(1, 100);        /* as small as stacks are */
    ck_assert_uint_eq(atomic_load(&stacks.mapped), 3);
    ck_assert_uint_eq(asq__stack_shift(0), 18);
    ck_assert_uint_eq(asq__stack_shift(1), ASQ__STACK_MIN_SHIFT);
    ck_assert_uint_eq(asq__stack_shift((256 << 10) + 1), 19);
    ck_assert_uint_eq(asq__stack_shift(SIZE_MAX), ASQ__STACK_MAX_SHIFT);
    end();
}
END_TEST

START_TEST(the_deepest_use_is_measured)
{
    begin(0);
    run_digging(0, 1000);
    for (int i = 0; i < 64; i++) /* one of these is measured */
        run_digging(0, 100 << 10);
    size_t high = atomic_load(&stacks.high_water);
    ck_assert_uint_ge(high, 100 << 10);
    ck_assert_uint_lt(high, ASQ__STACK_DEFAULT);
    end();
    ck_assert_uint_ge(atomic_load(&stacks.high_water), high);
}
END_TEST

START_TEST(the_deepest_use_is_measured_before_a_stack_goes)
{
    begin(0);
    run_digging(0, 1000); /* the first is measured, then only some are */
    size_t first = atomic_load(&stacks.high_water);
    ck_assert_uint_ge(first, 1000);
    run_digging(0, 50 << 10);
    ck_assert_uint_eq(atomic_load(&stacks.high_water), first);
    end();
    ck_assert_uint_ge(atomic_load(&stacks.high_water), 50 << 10);
}
END_TEST

/* Runs n fibers at once, all of which then end. */
static void many_at_once(int n)
{
    struct asq__fiber **f = calloc((size_t) n, sizeof *f);
    int *count = calloc((size_t) n, sizeof *count);
    for (int i = 0; i < n; i++) {
        f[i] = fiber(count_to_three, &count[i]);
        asq__fiber_resume(f[i]);
    }
    for (int i = 0; i < n; i++) {
        asq__fiber_resume(f[i]);
        asq__fiber_resume(f[i]);
        ck_assert_int_eq(count[i], 3);
        asq__fiber_free(&pool, f[i]);
    }
    free(count);
    free(f);
}

static void trim_all(void)
{
    while (asq__stack_pool_trim(&pool, 10))
        ;
}

START_TEST(stacks_that_were_not_needed_for_a_while_go)
{
    begin(_i);
    many_at_once(1000);
    ck_assert_uint_eq(atomic_load(&stacks.mapped), 1000);
    trim_all(); /* all of them were needed before this trim */
    ck_assert_uint_eq(atomic_load(&stacks.mapped), 1000);
    many_at_once(600);
    trim_all(); /* 600 of them were needed since */
    size_t left = atomic_load(&stacks.mapped);
    ck_assert_uint_lt(left, 1000);
    ck_assert_uint_ge(left, 600);
    trim_all();
    left = atomic_load(&stacks.mapped);
    ck_assert_uint_gt(left, 0);
    ck_assert_uint_le(left, 300);
    ck_assert_uint_eq(pool.surplus, 0);
    many_at_once((int) left + 50); /* hot, cold and new stacks are equally good */
    end();
}
END_TEST

static void count_twice(void *arg)
{
    ++*(int *) arg;
    asq__fiber_park();
    ++*(int *) arg;
}

/* One thread needs stacks all the time, another one makes them ahead of it. The end comes while the
 * second one makes some. */
START_TEST(stacks_that_were_made_ahead_are_as_good)
{
    enum { ROUNDS = 10, AFTER = 10 };
    const unsigned i = asq__stack_shift(0) - ASQ__STACK_MIN_SHIFT;
    for (int round = 0; round < ROUNDS; round++) {
        struct asq__list fibers, *node;
        int after = 0, count = 0, n = 0;
        begin(_i);
        asq__list_init(&fibers);
        for (; after < AFTER; n++) {
            struct asq__fiber *f = fiber(count_twice, &count);
            ck_assert_uint_gt(f->stack.guard_size, 0);
            ck_assert(!asq__fiber_resume(f));
            asq__list_add(&fibers, &f->node);
            after += pool.kept[i].reserve.batch != NULL;
        }
        ck_assert_int_eq(count, n);
        while ((node = asq__list_pop(&fibers))) {
            struct asq__fiber *f = ASQ__CONTAINER(node, struct asq__fiber, node);
            ck_assert(asq__fiber_resume(f));
            asq__fiber_free(&pool, f);
        }
        ck_assert_int_eq(count, 2 * n);
        ck_assert_uint_eq(atomic_load(&stacks.mapped), (size_t) n);
        end();
    }
}
END_TEST

static size_t resident(const struct asq__stack *s)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE), n = 0, pages = (s->size - s->guard_size) / page;
    unsigned char *there = malloc(pages);
    ck_assert_int_eq(mincore(s->low + s->guard_size, pages * page, there), 0);
    for (size_t i = 0; i < pages; i++)
        n += there[i] & 1;
    free(there);
    return n * page;
}

static void dig_and_park(void *arg)
{
    dig_fiber(arg);
    asq__fiber_park();
}

START_TEST(an_unused_stack_keeps_no_more_than_its_fiber_needs)
{
    enum { N = 100, HOT = 32 };
    struct asq__fiber *f[N];
    struct asq__stack stack[N];
    size_t n = 100 << 10;
    int deep = 0;
    begin(_i);
    for (int i = 0; i < N; i++) {
        f[i] = fiber(dig_and_park, &n);
        stack[i] = f[i]->stack;
        ck_assert(!asq__fiber_resume(f[i]));
        ck_assert_uint_ge(resident(&stack[i]), n);
    }
    for (int i = 0; i < N; i++) {
        ck_assert(asq__fiber_resume(f[i]));
        asq__fiber_free(&pool, f[i]);
    }
    trim_all();
    trim_all();
    ck_assert_uint_eq(atomic_load(&stacks.mapped), N);
    for (int i = 0; i < N; i++)
        if (resident(&stack[i]) >= n)
            deep++;
        else
            ck_assert_uint_le(resident(&stack[i]), 8192);
    ck_assert_int_eq(deep, HOT);
    for (int i = 0; i < N; i++) { /* all of them are as good as new */
        f[i] = fiber(dig_and_park, &n);
        ck_assert(!asq__fiber_resume(f[i]));
    }
    ck_assert_uint_eq(atomic_load(&stacks.mapped), N);
    for (int i = 0; i < N; i++) {
        ck_assert(asq__fiber_resume(f[i]));
        asq__fiber_free(&pool, f[i]);
    }
    end();
}
END_TEST

/* A frame of ordinary size does not step over the guard, and the stack begins right above the
 * guard. */
START_TEST(a_guard_has_64_kib)
{
    enum { GUARD = 64 << 10, SIZE = 256 << 10, STEP = 4096 };
    int fds[2];
    asq__stacks_init(&stacks);
    char *low = asq__stack_space(SIZE);
    ck_assert_ptr_nonnull(low);
    struct asq__stack stack = asq__stack_make(&stacks, low, SIZE);
    ck_assert_uint_eq(atomic_load(&stacks.unguarded), 0);
    ck_assert_uint_eq(stack.guard_size, GUARD);
    ck_assert(asq__stack_in_guard(&stack, low) && asq__stack_in_guard(&stack, low + GUARD - 1));
    ck_assert(!asq__stack_in_guard(&stack, low + GUARD));
    ck_assert_int_eq(pipe(fds), 0);
    /* the kernel reads each page */
    for (size_t at = 0; at < SIZE && !sup_is_wrapped(); at += STEP) {
        ssize_t n = write(fds[1], low + at, 1);
        ck_assert_msg(at < GUARD ? n < 0 && errno == EFAULT : n == 1, "at %zu: %zd", at, n);
    }
    close(fds[0]);
    close(fds[1]);
    ck_assert(asq__stack_unmap(&stacks, &stack));
    asq__stacks_release(&stacks);
}
END_TEST

START_TEST(guards_by_mprotect_leave_mappings_for_others)
{
    struct asq__fiber *f[5];
    int n[5];
    begin(0);
    stacks.guard = ASQ__GUARD_PROTECT;
    ck_assert_int_gt(atomic_load(&stacks.protect_left), 1000);
    atomic_store(&stacks.protect_left, 3);
    for (int i = 0; i < 5; i++) {
        f[i] = fiber(count_to_three, &n[i]);
        ck_assert_int_eq(f[i]->stack.guard_size > 0, i < 3);
        ck_assert(!asq__fiber_resume(f[i])); /* fibers without guards work as well */
    }
    ck_assert_uint_eq(atomic_load(&stacks.unguarded), 2);
    asq__fiber_free(&pool,
                    f[0]); /* was parked: its stack goes, and the next one may have a guard */
    ck_assert_int_eq(atomic_load(&stacks.protect_left), 1);
    f[0] = fiber(count_to_three, &n[0]);
    ck_assert_uint_gt(f[0]->stack.guard_size, 0);
    for (int i = 0; i < 5; i++)
        asq__fiber_free(&pool, f[i]);
    end();
    ck_assert_int_eq(atomic_load(&stacks.protect_left), 3);
}
END_TEST

START_TEST(without_memory_there_is_no_fiber)
{
    struct rlimit limit = { 0, 0 };
    struct asq__fiber *f;
    int n;
    if (SANITIZED)
        return; /* sanitizers need more address space than the limit themselves */
    begin(0);
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur = 1 << 20;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
    int rc = asq__fiber_new(&pool, 64 << 20, count_to_three, &n, &f);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_AS, &limit);
    ck_assert_int_eq(rc, ASQ_ENOMEM);
    end();
}
END_TEST

/* ---- overflow ---- */

static char output[1000];

/* Runs fn in a separate process. Returns its status, and puts its stderr into output. */
static int in_a_child(void (*fn)(int arg), int arg)
{
    int fds[2], status;
    size_t n = 0;
    ssize_t got;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid < 0)
        ck_abort_msg("fork");
    if (pid == 0) {
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        dup2(fds[1], STDERR_FILENO);
        fn(arg);
        _exit(0);
    }
    close(fds[1]);
    while (n < sizeof output - 1 && (got = read(fds[0], output + n, sizeof output - 1 - n)) > 0)
        n += (size_t) got;
    output[n] = '\0';
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static void dig_for_ever(void *arg)
{
    (void) arg;
    (void) dig(SIZE_MAX);
}

static void overflow(int guard)
{
    begin(0);
    stacks.guard = (enum asq__guard) guard;
    asq__fiber_thread_init();
    asq__fiber_install_fault_handler(NULL);
    asq__fiber_install_fault_handler(NULL); /* a second call does no harm */
    struct asq__fiber *f = fiber(dig_for_ever, NULL);
    f->class_name = "Walker";
    f->method = "descend";
    asq__fiber_resume(f);
}

static void check_overflow(int status)
{
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGSEGV);
    ck_assert_ptr_nonnull(
        strstr(output, "asqueue: stack overflow in Walker.descend (stack 262144 bytes; "));
    ck_assert_ptr_nonnull(strstr(output, "stack_size"));
}

START_TEST(an_overflow_names_the_method)
{
    asq__stacks_init(&stacks);
    check_overflow(in_a_child(overflow, stacks.guard)); /* the best guard of this kernel */
    check_overflow(in_a_child(overflow, ASQ__GUARD_PROTECT));
}
END_TEST

static void write_to_nowhere(void *arg)
{
    volatile char *nowhere = arg;
    *nowhere = 1;
}

static void on_fault(int signal_number)
{
    static const char text[] = "the former handler\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof text - 1);
    (void) n;
    (void) signal_number;
    raise(SIGKILL); /* valgrind might return an exit status of its own */
}

static void other_fault(int with_handler)
{
    struct sigaction action = { .sa_handler = with_handler ? on_fault : SIG_DFL };
    begin(0);
    sigaction(SIGSEGV, &action, NULL);
    asq__fiber_thread_init();
    asq__fiber_install_fault_handler(NULL);
    struct asq__fiber *f = fiber(write_to_nowhere, (void *) 16);
    f->class_name = "Walker";
    f->method = "descend";
    asq__fiber_resume(f);
}

static void sent_fault(int with_handler)
{
    struct sigaction action = { .sa_handler = with_handler ? on_fault : SIG_DFL };
    begin(0);
    sigaction(SIGSEGV, &action, NULL);
    asq__fiber_install_fault_handler(NULL);
    kill(getpid(), SIGSEGV);
    for (;;)
        pause();
}

START_TEST(other_faults_go_where_they_went_before)
{
    int status = in_a_child(other_fault, 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_ptr_null(strstr(output, "overflow in"));
    status = in_a_child(other_fault, 1);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_ptr_null(strstr(output, "overflow in"));
    ck_assert_ptr_nonnull(strstr(output, "the former handler"));
    status = in_a_child(sent_fault, 0);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    status = in_a_child(sent_fault, 1);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fiber");
    TCase *c = tcase_create("switching");
    tcase_add_loop_test(c, a_fiber_goes_on_where_it_parked, 0, 2);
    tcase_add_loop_test(c, the_running_fiber_is_known_inside_and_there_is_none_outside, 0, 2);
    tcase_add_loop_test(c, fibers_resume_fibers, 0, 2);
    tcase_add_loop_test(c, registers_and_errno_of_interleaved_fibers_do_not_mix, 0, 2);
    tcase_add_loop_test(c, a_method_may_jump_within_its_own_stack, 0, 2);
    tcase_add_test(c, the_signal_mask_is_the_threads);
    tcase_add_loop_test(c, threads_have_fibers_of_their_own, 0, 2);
    suite_add_tcase(s, c);
    c = tcase_create("stacks");
    tcase_add_loop_test(c, a_stack_is_used_again_at_once, 0, 2);
    tcase_add_loop_test(c, the_stack_used_last_is_used_next, 0, 2);
    tcase_add_loop_test(c, a_parked_fiber_that_is_freed_takes_its_stack_along, 0, 2);
    tcase_add_test(c, each_size_has_stacks_of_its_own);
    tcase_add_test(c, the_deepest_use_is_measured);
    tcase_add_test(c, the_deepest_use_is_measured_before_a_stack_goes);
    tcase_add_loop_test(c, stacks_that_were_not_needed_for_a_while_go, 0, 2);
    tcase_add_loop_test(c, stacks_that_were_made_ahead_are_as_good, 0, 2);
    tcase_add_loop_test(c, an_unused_stack_keeps_no_more_than_its_fiber_needs, 0, 2);
    tcase_add_test(c, a_guard_has_64_kib);
    tcase_add_test(c, guards_by_mprotect_leave_mappings_for_others);
    tcase_add_test(c, without_memory_there_is_no_fiber);
    suite_add_tcase(s, c);
    c = tcase_create("overflow");
    if (!sup_is_wrapped()) {
        tcase_add_test(c, an_overflow_names_the_method);
        tcase_add_test(c, other_faults_go_where_they_went_before);
    }
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
