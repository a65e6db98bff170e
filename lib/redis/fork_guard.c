/*
 * fork_guard.c: see fork_guard.h. The table is global, as descriptors and fork handlers are, and
 * atomic, so that the child of a fork may read it whatever other threads were doing.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "redis/fork_guard.h"

enum { WORDS = 1024, BITS = 64 };

static _Atomic uint64_t guarded[WORDS];
static int nothing = -1; /* open as /dev/null */

void asq__fork_guard_add(int fd)
{
    if (fd >= 0 && fd < WORDS * BITS)
        atomic_fetch_or(&guarded[fd / BITS], UINT64_C(1) << fd % BITS);
}

void asq__fork_guard_remove(int fd)
{
    if (fd >= 0 && fd < WORDS * BITS)
        atomic_fetch_and(&guarded[fd / BITS], ~(UINT64_C(1) << fd % BITS));
}

/* Replaces all guarded descriptors in the child of a fork. Calls only async-signal-safe
 * functions. */
static void replace_all(void)
{
    for (int w = 0; w < WORDS; w++) {
        uint64_t bits = atomic_exchange(&guarded[w], 0);
        for (; bits; bits &= bits - 1)
            dup3(nothing, w * BITS + __builtin_ctzll(bits), O_CLOEXEC);
    }
}

static void begin(void)
{
    nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0) /* a chroot without /dev/null: reads and writes of "/" just fail */
        nothing = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (nothing >= 0)
        pthread_atfork(NULL, NULL, replace_all);
}

void asq__fork_guard_begin(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, begin);
}
