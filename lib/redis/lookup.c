/*
 * lookup.c: see lookup.h.
 *
 * A resolver may take minutes, and a thread in getaddrinfo cannot be cancelled. So lookups under
 * way are counted, and limited: a program that opens many handles while its resolver is dead gets
 * errors and not ever more threads. The count is the only global state here.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "asqueue.h"
#include "redis/lookup.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/fd.h"

enum { MAX_RUNNING = 64 };

struct asq__lookup {
    atomic_int refs; /* the caller's, and the thread's */
    atomic_bool done;
    pid_t owner; /* a process forked from it does not have the thread */
    int fd;      /* eventfd */
    /* Written by the thread before `done`. */
    int failure, error; /* of getaddrinfo; errno with EAI_SYSTEM */
    size_t n;
    struct asq__address addresses[ASQ__ADDRESSES_MAX];
    char port[8];
    char host[];
};

/* Process id and count, in one word: the count of a forked process begins at 0. */
static _Atomic uint64_t running;

static bool count_up(void)
{
    uint64_t self = (uint64_t) (uint32_t) getpid() << 32, old = atomic_load(&running), next;
    do {
        uint64_t n = (old & ~UINT64_C(0xffffffff)) == self ? old & 0xffffffff : 0;
        if (n >= MAX_RUNNING)
            return false;
        next = self | (n + 1);
    } while (!atomic_compare_exchange_weak(&running, &old, next));
    return true;
}

static void count_down(void)
{
    uint64_t old = atomic_load(&running);
    do {
        if ((old & 0xffffffff) == 0 || old >> 32 != (uint32_t) getpid())
            return;
    } while (!atomic_compare_exchange_weak(&running, &old, old - 1));
}

static void destroy(struct asq__lookup *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

static void unref(struct asq__lookup *l)
{
    if (atomic_fetch_sub(&l->refs, 1) == 1)
        destroy(l);
}

static void *run(void *arg)
{
    struct asq__lookup *l = arg;
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    l->failure = getaddrinfo(l->host, l->port, &hints, &found);
    l->error = errno;
    if (l->failure == 0) {
        for (const struct addrinfo *a = found; a && l->n < ASQ__ADDRESSES_MAX; a = a->ai_next) {
            struct asq__address *to = &l->addresses[l->n];
            if (a->ai_addrlen > sizeof to->sockaddr)
                continue;
            memcpy(&to->sockaddr, a->ai_addr, a->ai_addrlen);
            to->len = a->ai_addrlen;
            l->n++;
        }
        freeaddrinfo(found);
    }
    atomic_store(&l->done, true);
    const uint64_t one = 1;
    ssize_t written = write(l->fd, &one, sizeof one);
    (void) written; /* cannot fail: the eventfd counts from 0 to 1 */
    count_down();
    unref(l);
    return NULL;
}

static int start_thread(struct asq__lookup *l)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, old;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all); /* leaves the program's signals to its own threads */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failure = pthread_create(&thread, &attr, run, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return failure;
}

bool asq__address_parse(const char *host, int port, struct asq__address *ret)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
                                    .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *found = NULL;
    char text[8];
    snprintf(text, sizeof text, "%d", port);
    if (getaddrinfo(host, text, &hints, &found) != 0)
        return false;
    bool fits = found->ai_addrlen <= sizeof ret->sockaddr;
    if (fits) {
        memcpy(&ret->sockaddr, found->ai_addr, found->ai_addrlen);
        ret->len = found->ai_addrlen;
    }
    freeaddrinfo(found);
    return fits;
}

int asq__lookup_start(const char *host, int port, struct asq__lookup **ret, char *err,
                      size_t errlen)
{
    size_t n = strlen(host) + 1;
    struct asq__lookup *l = calloc(1, sizeof *l + n);
    if (!l)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    memcpy(l->host, host, n);
    snprintf(l->port, sizeof l->port, "%d", port);
    l->owner = getpid();
    atomic_init(&l->refs, 2);
    l->fd = asq__fd_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (l->fd < 0) {
        int rc =
            asq__err(err, errlen, ASQ_ESYS, "looking up '%s': eventfd: %s", host, strerror(errno));
        destroy(l);
        return rc;
    }
    if (!count_up()) {
        destroy(l);
        return asq__err(err, errlen, ASQ_ESYS,
                        "looking up '%s': the resolver has %d unanswered lookups of this process",
                        host, MAX_RUNNING);
    }
    int failure = start_thread(l);
    if (failure) {
        count_down();
        destroy(l);
        return asq__err(err, errlen, ASQ_ESYS, "looking up '%s': no thread: %s", host,
                        strerror(failure));
    }
    *ret = l;
    return 0;
}

int asq__lookup_fd(const struct asq__lookup *l)
{
    return l->fd;
}

bool asq__lookup_is_done(const struct asq__lookup *l)
{
    return atomic_load(&l->done);
}

bool asq__lookup_wait(const struct asq__lookup *l, int64_t timeout_ms)
{
    int64_t deadline = asq__deadline_ms(timeout_ms), left = timeout_ms;
    while (!asq__lookup_is_done(l) && left > 0) {
        struct pollfd fd = { l->fd, POLLIN, 0 };
        poll(&fd, 1, left > 1000 ? 1000 : (int) left);
        left = deadline - asq__now_ms();
    }
    return asq__lookup_is_done(l);
}

int asq__lookup_addresses(const struct asq__lookup *l, const struct asq__address **ret, char *err,
                          size_t errlen)
{
    if (l->failure)
        return asq__err(err, errlen, ASQ_ECONN, "the name '%s' cannot be resolved: %s", l->host,
                        l->failure == EAI_SYSTEM ? strerror(l->error) : gai_strerror(l->failure));
    if (l->n == 0)
        return asq__err(err, errlen, ASQ_ECONN, "the name '%s' has no address", l->host);
    *ret = l->addresses;
    return (int) l->n;
}

void asq__lookup_free(struct asq__lookup *l)
{
    if (!l)
        return;
    if (l->owner != getpid())
        destroy(l); /* the thread does not exist here */
    else
        unref(l);
}
