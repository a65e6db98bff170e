/*
 * sanitizer.h: tells AddressSanitizer, ThreadSanitizer and valgrind about stacks and switches
 * between them. Empty in an ordinary build, except the few instructions that valgrind recognises,
 * if its header is installed.
 */
#ifndef ASQ_WORKER_EXEC_SANITIZER_H
#define ASQ_WORKER_EXEC_SANITIZER_H

#include <stddef.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ASQ__ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define ASQ__TSAN 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define ASQ__ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define ASQ__TSAN 1
#endif

#ifdef ASQ__ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef ASQ__TSAN
#include <sanitizer/tsan_interface.h>
#endif

#ifdef HAVE_VALGRIND_VALGRIND_H
#include <valgrind/valgrind.h>
#define ASQ__VALGRIND_STACK(low, high) VALGRIND_STACK_REGISTER(low, (high) -1)
#define ASQ__VALGRIND_NO_STACK(id)     VALGRIND_STACK_DEREGISTER(id)
#endif
#ifndef ASQ__VALGRIND_STACK
#define ASQ__VALGRIND_STACK(low, high) 0
#define ASQ__VALGRIND_NO_STACK(id)     ((void) (id))
#endif

/* Clears the red zones of frames that were left for good. */
static inline void asq__asan_forget(const void *low, size_t size)
{
#ifdef ASQ__ASAN
    __asan_unpoison_memory_region(low, size);
#else
    (void) low, (void) size;
#endif
}

/* Called right before a switch. *fake_stack is kept for the switch back; NULL gives it up. */
static inline void asq__asan_leave(void **fake_stack, const void *low, size_t size)
{
#ifdef ASQ__ASAN
    __sanitizer_start_switch_fiber(fake_stack, low, size);
#else
    (void) fake_stack, (void) low, (void) size;
#endif
}

/* Called right after a switch, on the new stack. ret_low and ret_size get the bounds of the old
 * one. */
static inline void asq__asan_arrive(void *fake_stack, const void **ret_low, size_t *ret_size)
{
#ifdef ASQ__ASAN
    __sanitizer_finish_switch_fiber(fake_stack, ret_low, ret_size);
#else
    (void) fake_stack, (void) ret_low, (void) ret_size;
#endif
}

static inline void *asq__tsan_fiber_new(void)
{
#ifdef ASQ__TSAN
    return __tsan_create_fiber(0);
#else
    return NULL;
#endif
}

static inline void asq__tsan_fiber_free(void *fiber)
{
#ifdef ASQ__TSAN
    __tsan_destroy_fiber(fiber);
#else
    (void) fiber;
#endif
}

static inline void *asq__tsan_fiber_current(void)
{
#ifdef ASQ__TSAN
    return __tsan_get_current_fiber();
#else
    return NULL;
#endif
}

/* The very last step before a switch. */
#ifdef ASQ__TSAN
#define ASQ__TSAN_SWITCH(fiber) __tsan_switch_to_fiber(fiber, 0)
#else
#define ASQ__TSAN_SWITCH(fiber) ((void) 0)
#endif

#endif
