/*
 * stack_reserve.c: makes a thread's next stacks. A mapping costs as much as the rest of a stack, so
 * address space is taken for several stacks at once. The first touch of a stack, for which the
 * kernel clears a page, costs more than a whole short call. So when a thread goes on needing new
 * stacks, another thread makes them, a batch ahead.
 *
 * A batch belongs to the thread that ordered it, but to the maker while it is MAKING. A batch
 * changes state under the maker's lock only.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "asqueue.h"
#include "worker/exec/sanitizer.h"
#include "worker/exec/stack.h"

enum {
    SPACE_STACKS = 64,      /* stacks for which address space is taken at once, at most */
    SPACE_BYTES = 16 << 20, /* bytes of address space taken at once, at most */
    AHEAD_STACKS = 128,     /* stacks of a batch */
    MAKER_STACK = 64 << 10
};

enum state { ORDERED, MAKING, MADE };

struct asq__stack_batch {
    struct asq__list node; /* in maker->orders while ORDERED */
    enum state state;
    unsigned shift;
    size_t n, used; /* stacks: made, and handed out */
    struct asq__stack stacks[AHEAD_STACKS];
};

/* ---- the maker ---- */

static void make(struct asq__stacks *s, struct asq__stack_batch *b)
{
    size_t size = (size_t) 1 << b->shift;
    char *low = asq__stack_space(AHEAD_STACKS * size);
    for (b->n = 0; low && b->n < AHEAD_STACKS; b->n++, low += size) {
        b->stacks[b->n] = asq__stack_make(s, low, size);
        *(volatile char *) (low + size - 1) = 0;
    }
}

static void *maker_main(void *arg)
{
    struct asq__stacks *s = arg;
    struct asq__stack_maker *m = &s->maker;
    struct asq__list *node;
    pthread_setname_np(pthread_self(), "asq-stacks");
    pthread_mutex_lock(&m->lock);
    while (!m->stopping) {
        if (!(node = asq__list_pop(&m->orders))) {
            pthread_cond_wait(&m->bell, &m->lock);
            continue;
        }
        struct asq__stack_batch *b = ASQ__CONTAINER(node, struct asq__stack_batch, node);
        b->state = MAKING;
        pthread_mutex_unlock(&m->lock);
        make(s, b);
        pthread_mutex_lock(&m->lock);
        b->state = MADE;
        pthread_cond_broadcast(&m->made);
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* With the lock. */
static bool is_started(struct asq__stacks *s)
{
    struct asq__stack_maker *m = &s->maker;
    sigset_t all, old;
    pthread_attr_t attr;
    if (m->started || pthread_attr_init(&attr) != 0)
        return m->started;
#if !defined(ASQ__ASAN) && !defined(ASQ__TSAN)
    pthread_attr_setstacksize(&attr, MAKER_STACK);
#endif
    sigfillset(&all); /* signals are for the loop's thread */
    pthread_sigmask(SIG_SETMASK, &all, &old);
    m->started = pthread_create(&m->thread, &attr, maker_main, s) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return m->started;
}

void asq__stack_maker_init(struct asq__stack_maker *m)
{
    memset(m, 0, sizeof *m);
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->bell, NULL);
    pthread_cond_init(&m->made, NULL);
    asq__list_init(&m->orders);
}

void asq__stack_maker_release(struct asq__stack_maker *m)
{
    pthread_mutex_lock(&m->lock);
    m->stopping = true;
    pthread_cond_signal(&m->bell);
    pthread_mutex_unlock(&m->lock);
    if (m->started)
        pthread_join(m->thread, NULL);
    pthread_cond_destroy(&m->made);
    pthread_cond_destroy(&m->bell);
    pthread_mutex_destroy(&m->lock);
}

/* ---- a thread's reserve ---- */

static void order(struct asq__stacks *s, struct asq__stack_reserve *r, unsigned shift)
{
    struct asq__stack_maker *m = &s->maker;
    struct asq__stack_batch *b = malloc(sizeof *b);
    if (!b)
        return;
    b->state = ORDERED;
    b->shift = shift;
    b->n = b->used = 0;
    pthread_mutex_lock(&m->lock);
    bool ok = is_started(s) && !m->stopping;
    if (ok) {
        asq__list_add(&m->orders, &b->node);
        r->next = b;
        pthread_cond_signal(&m->bell);
    }
    pthread_mutex_unlock(&m->lock);
    if (!ok)
        free(b);
}

/* The batch that was ordered takes the place of the one that is used up, if it is there. */
static void turn_over(struct asq__stacks *s, struct asq__stack_reserve *r, unsigned shift)
{
    pthread_mutex_lock(&s->maker.lock);
    bool made = r->next && r->next->state == MADE;
    pthread_mutex_unlock(&s->maker.lock);
    if (made) {
        free(r->batch);
        r->batch = r->next;
        r->next = NULL;
    }
    if (!r->next)
        order(s, r, shift);
}

/* Takes more each time, as long as there are more: a few stacks are all that most threads ever
 * need. */
static bool take_space(struct asq__stack_reserve *r, size_t size)
{
    size_t n = r->taken ? 2 * r->taken : 1;
    if (n > SPACE_STACKS)
        n = SPACE_STACKS;
    if (n > SPACE_BYTES / size)
        n = size < SPACE_BYTES ? SPACE_BYTES / size : 1;
    if (!(r->low = asq__stack_space(n * size)) && n > 1)
        r->low = asq__stack_space((n = 1) * size);
    r->left = r->low ? n : 0;
    r->taken = n;
    return r->low;
}

static bool has_made(const struct asq__stack_reserve *r)
{
    return r->batch && r->batch->used < r->batch->n;
}

int asq__stack_new(struct asq__stacks *s, struct asq__stack_reserve *r, unsigned shift,
                   struct asq__stack *ret)
{
    size_t size = (size_t) 1 << shift;
    if (!has_made(r) && r->left == 0 && r->taken == SPACE_STACKS) /* never with large ones */
        turn_over(s, r, shift);
    if (has_made(r)) {
        *ret = r->batch->stacks[r->batch->used++];
    } else {
        if (r->left == 0 && !take_space(r, size))
            return ASQ_ENOMEM;
        *ret = asq__stack_make(s, r->low, size);
        r->low += size;
        r->left--;
    }
    atomic_fetch_add(&s->mapped, 1);
    return 0;
}

static void drop(struct asq__stacks *s, struct asq__stack_batch *b)
{
    while (b && b->used < b->n) {
        atomic_fetch_add(&s->mapped, 1);
        asq__stack_unmap(s, &b->stacks[b->used++]);
    }
    free(b);
}

void asq__stack_reserve_release(struct asq__stacks *s, struct asq__stack_reserve *r, unsigned shift)
{
    struct asq__stack_maker *m = &s->maker;
    if (r->next) {
        pthread_mutex_lock(&m->lock);
        while (r->next->state == MAKING)
            pthread_cond_wait(&m->made, &m->lock);
        if (r->next->state == ORDERED)
            asq__list_del(&r->next->node);
        pthread_mutex_unlock(&m->lock);
    }
    drop(s, r->next);
    drop(s, r->batch);
    asq__stack_space_release(r->low, r->left << shift);
    *r = (struct asq__stack_reserve){ 0 };
}
