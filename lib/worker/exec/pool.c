/*
 * pool.c: decides which fiber runs where and when. One lock guards the queue of tasks, the lists of
 * woken fibers and the list of idle threads; it is not held while a task runs.
 *
 * A fiber is RUNNING, PARKED or READY. It parks by switching to its thread's scheduler. Only the
 * scheduler makes it PARKED, under the lock, so that no thread resumes it on a stack that is still
 * in use. An earlier wake is noted in `woken`, and makes it READY right then:
 *
 *     RUNNING ──parks──▶ PARKED ──wake──▶ READY ──its thread──▶ RUNNING
 *        └───parks, having been woken───────▲
 *
 * Waking a thread costs more than a short task. So at most one thread at a time is on its way to
 * look for a task (pool->searcher). When it takes one and sees more, it sends the next thread
 * before it runs its own: a task that blocks delays no other one, and a few threads do a burst of
 * short ones.
 */
#include "worker/exec/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "value/clock.h"
#include "worker/exec/sanitizer.h"

enum {
    THREAD_STACK = 256 << 10,
    STARVED_MS = 10,   /* pause between two tries to get memory */
    TRIM_MS = 1000,    /* time after which unused stacks are trimmed */
    TRIM_AT_ONCE = 64, /* stacks trimmed at once, because each takes 10 µs */
    TRIM_PAUSE_MS = 20 /* pause between, for tasks */
};

/* Work of a thread, for asq__pool_scan. The names are copies, because those of a task end with
 * it. */
struct note {
    struct asq__task
        *task; /* NULL: none. Never dereferenced: it may be freed before it is cleared */
    int64_t since_ms;
    bool reported;
    char class_name[ASQ__POOL_NAME], method[ASQ__POOL_NAME];
};

/* Slot for a thread that runs fibers; [0] is the loop's. */
struct asq__slot {
    struct asq__pool *pool;
    unsigned index;
    pthread_t thread;
    /* Of the thread alone: */
    struct asq__stack_pool stacks;
    int64_t trim_ms; /* time of the next trim */
    /* `thread` must be joined, by the start of the next one or by asq__pool_stop */
    bool joinable;
    /* Under the lock: */
    bool living; /* there is a thread */
    pthread_cond_t bell;
    bool called;                    /* the bell was rung, and the thread has not seen it yet */
    struct asq__list idle;          /* in pool->idle while it waits for work */
    struct asq__list ready, parked; /* fibers */
    size_t nparked;                 /* fibers in both lists */
    struct note now;
};

struct asq__pool {
    struct asq__pool_config config;
    struct asq__stacks stacks;
    pthread_mutex_t lock;
    struct asq__list tasks, idle;
    struct asq__slot *searcher; /* thread on its way to look for a task */
    uint32_t used;              /* slots 1 … used have, or had, a thread */
    uint32_t living;            /* threads */
    uint32_t refused;
    bool stopping;
    pthread_key_t lost; /* value on each thread that runs tasks: its slot */
    pthread_cond_t ended;
    struct asq__slot slots[];
};

static void *thread_main(void *arg);

/* ---- threads ---- */

/* Returns a slot without a thread; there is one. Called with the lock. */
static struct asq__slot *free_slot(struct asq__pool *pool)
{
    for (uint32_t i = 1; i <= pool->used; i++)
        if (!pool->slots[i].living)
            return &pool->slots[i];
    return &pool->slots[++pool->used];
}

/* Returns the thread to send for a task, or NULL if none is needed; for send(). Called with the
 * lock. */
static struct asq__slot *next_searcher(struct asq__pool *pool, bool *ret_new)
{
    struct asq__list *node;
    struct asq__slot *p;
    if (pool->searcher || pool->stopping || asq__list_empty(&pool->tasks))
        return NULL;
    if ((node = asq__list_pop(&pool->idle))) {
        p = ASQ__CONTAINER(node, struct asq__slot, idle);
        p->called = true;
        *ret_new = false;
    } else if (pool->living < pool->config.capacity) {
        p = free_slot(pool);
        p->living = true;
        pool->living++;
        *ret_new = true;
    } else {
        return NULL;
    }
    pool->searcher = p;
    return p;
}

static int start(struct asq__slot *p)
{
    sigset_t block, old;
    pthread_attr_t attr;
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT, SIGPROF };
    sigfillset(&block); /* the loop's thread takes signals from outside */
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&block, own[i]);
    if (p->joinable)
        pthread_join(p->thread, NULL); /* the thread has ended, or is about to */
    p->joinable = false;
    int rc = pthread_attr_init(&attr);
    if (rc != 0)
        return rc;
#if !defined(ASQ__ASAN) && !defined(ASQ__TSAN)
    pthread_attr_setstacksize(&attr, THREAD_STACK); /* only the scheduler uses it */
#endif
    pthread_sigmask(SIG_SETMASK, &block, &old);
    rc = pthread_create(&p->thread, &attr, thread_main, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    p->joinable = rc == 0;
    return rc;
}

/* Wakes or starts a thread. Called without the lock, because it takes a while. */
static void send(struct asq__slot *p, bool is_new)
{
    struct asq__pool *pool = p->pool;
    if (!is_new) {
        pthread_cond_signal(&p->bell);
    } else if (start(p) != 0) {
        /* While it is the searcher, no other thread is started, so it is still the last slot. The
         * existing threads take the task in time. */
        pthread_mutex_lock(&pool->lock);
        p->living = false;
        pool->living--;
        pool->refused++;
        pool->searcher = NULL;
        pthread_cond_broadcast(&pool->ended);
        pthread_mutex_unlock(&pool->lock);
    }
}

/* ---- running ---- */

static void first_function(void *arg)
{
    struct asq__task *task = arg;
    task->run(task);
}

static void copy_name(char to[ASQ__POOL_NAME], const char *name)
{
    size_t n = name ? strnlen(name, ASQ__POOL_NAME - 1) : 0;
    if (n)
        memcpy(to, name, n);
    to[n] = '\0';
}

static struct asq__fiber *new_fiber(struct asq__slot *p, struct asq__task *task)
{
    size_t size = task->stack_size ? task->stack_size : p->pool->config.stack_size;
    struct asq__fiber *f;
    if (asq__fiber_new(&p->stacks, size, first_function, task, &f) < 0)
        return NULL;
    f->slot = p;
    f->task = task;
    return f;
}

/* Frees stacks that were not needed for a while, on a thread that always has work. */
static void trim(struct asq__slot *p)
{
    int64_t now_ms = asq__now_ms_coarse();
    if (now_ms >= p->trim_ms)
        p->trim_ms =
            now_ms + (asq__stack_pool_trim(&p->stacks, TRIM_AT_ONCE) ? TRIM_PAUSE_MS : TRIM_MS);
}

/* Resumes a fiber until it parks or ends. Called with the lock, returns with it. */
static void run(struct asq__slot *p, struct asq__fiber *f)
{
    struct asq__pool *pool = p->pool;
    struct asq__task *task = f->task;
    struct asq__task *outer = p->now.task; /* on the loop's thread a task may run another inline */
    void (*when_ended)(struct asq__task *) = task->ended;
    struct note outer_note;
    bool is_new = false;
    if (outer)
        outer_note = p->now;
    f->turn = ASQ__TURN_RUNNING;
    p->now.task = task;
    p->now.since_ms = asq__now_ms_coarse();
    p->now.reported = false;
    copy_name(p->now.class_name, task->name_class);
    copy_name(p->now.method, task->name_method);
    f->class_name = p->now.class_name;
    f->method = p->now.method;
    struct asq__slot *searcher = next_searcher(pool, &is_new);
    pthread_mutex_unlock(&pool->lock);

    if (searcher)
        send(searcher, is_new);
    if (pool->config.on_switch)
        pool->config.on_switch(pool->config.user, p->index, task, p->now.class_name, p->now.method);
    bool ended = asq__fiber_resume(f);
    if (pool->config.on_switch)
        pool->config.on_switch(pool->config.user, p->index, outer,
                               outer ? outer_note.class_name : "", outer ? outer_note.method : "");
    if (ended) {
        if (when_ended)
            when_ended(task);
        asq__fiber_free(&p->stacks, f);
        if (p->stacks.surplus)
            trim(p);
    }

    pthread_mutex_lock(&pool->lock);
    if (outer)
        p->now = outer_note;
    else
        p->now.task = NULL;
    if (ended)
        return;
    p->nparked++;
    f->turn = f->woken ? ASQ__TURN_READY : ASQ__TURN_PARKED;
    asq__list_add(f->woken ? &p->ready : &p->parked, &f->node);
    f->woken = false;
}

static struct asq__fiber *take_ready(struct asq__slot *p, struct asq__list *ready)
{
    struct asq__list *node = asq__list_pop(ready);
    if (!node)
        return NULL;
    p->nparked--;
    return ASQ__CONTAINER(node, struct asq__fiber, node);
}

/* Waits until the slot is called. False: that did not happen in time. Called with the lock. */
static bool wait_ms(struct asq__slot *p, int64_t ms)
{
    int64_t until_ms = asq__now_ms() + ms;
    struct timespec until = { .tv_sec = (time_t) (until_ms / 1000),
                              .tv_nsec = (long) (until_ms % 1000) * 1000000 };
    while (!p->called && !p->pool->stopping)
        if (pthread_cond_timedwait(&p->bell, &p->pool->lock, &until) == ETIMEDOUT)
            return p->called;
    return true;
}

/* Returns whether the thread may end. The first one stays, because starting one may fail when it is
 * needed. Called with the lock. */
static bool may_leave(const struct asq__slot *p)
{
    return p->pool->config.idle_ms && p->index > 1 && p->nparked == 0;
}

/* Waits until the slot is called. Trims unused stacks after a while without work, and after a
 * longer while ends the thread. False: the thread must end. Called with the lock. */
static bool idle(struct asq__slot *p)
{
    struct asq__pool *pool = p->pool;
    bool quiet = false, stays = true;
    asq__list_add_first(&pool->idle, &p->idle); /* the last thread that ran has the warmest cache */
    while (stays && !p->called && !pool->stopping) {
        if (p->stacks.surplus == 0 && may_leave(p)) {
            stays = wait_ms(p, pool->config.idle_ms);
        } else if (p->stacks.surplus == 0) {
            pthread_cond_wait(&p->bell, &pool->lock);
        } else if (quiet || !wait_ms(p, TRIM_MS)) {
            quiet = true;
            pthread_mutex_unlock(&pool->lock);
            asq__stack_pool_trim(&p->stacks, TRIM_AT_ONCE);
            pthread_mutex_lock(&pool->lock);
        }
    }
    asq__list_del(&p->idle);
    return stays;
}

/* Runs the task on a fiber. Called with the lock. */
static void run_task(struct asq__slot *p, struct asq__list *node)
{
    struct asq__pool *pool = p->pool;
    pthread_mutex_unlock(&pool->lock);
    struct asq__fiber *f = new_fiber(p, ASQ__CONTAINER(node, struct asq__task, node));
    pthread_mutex_lock(&pool->lock);
    if (f) {
        run(p, f);
    } else {
        asq__list_add_first(&pool->tasks, node); /* an accepted task keeps its place */
        if (asq__list_empty(&p->ready))
            wait_ms(p, STARVED_MS);
    }
}

/* Ends the process when a task has ended its thread, which none may do. */
static void on_lost(void *arg)
{
    struct asq__slot *p = arg;
    const struct asq__pool_config *config = &p->pool->config;
    if (config->thread_lost)
        config->thread_lost(config->user, p->index, p->now.class_name, p->now.method);
    abort();
}

static void *thread_main(void *arg)
{
    struct asq__slot *p = arg;
    struct asq__pool *pool = p->pool;
    char name[16] = "asq-pool-";
    name[9] = (char) ('0' + p->index / 100 % 10);
    name[10] = (char) ('0' + p->index / 10 % 10);
    name[11] = (char) ('0' + p->index % 10);
    pthread_setname_np(pthread_self(), name);
    asq__fiber_thread_init();
    pthread_setspecific(pool->lost, p);
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        struct asq__fiber *f;
        struct asq__list *task;
        p->called = false;
        if (pool->searcher == p)
            pool->searcher = NULL;
        if ((f = take_ready(p, &p->ready))) {
            run(p, f);
        } else if ((task = asq__list_pop(&pool->tasks))) {
            run_task(p, task);
        } else if (!idle(p)) {
            break;
        }
    }
    p->living = false;
    pool->living--;
    pthread_cond_broadcast(&pool->ended);
    pthread_mutex_unlock(&pool->lock);
    pthread_setspecific(pool->lost, NULL);
    asq__fiber_thread_release();
    return NULL;
}

void asq__pool_submit(struct asq__pool *pool, struct asq__task *task)
{
    bool is_new = false;
    pthread_mutex_lock(&pool->lock);
    asq__list_add(&pool->tasks, &task->node);
    struct asq__slot *searcher = next_searcher(pool, &is_new);
    pthread_mutex_unlock(&pool->lock);
    if (searcher)
        send(searcher, is_new);
}

bool asq__pool_run_inline(struct asq__pool *pool, struct asq__task *task)
{
    struct asq__fiber *f = new_fiber(&pool->slots[0], task);
    if (!f) {
        asq__pool_submit(pool, task);
        return false;
    }
    pthread_mutex_lock(&pool->lock);
    run(&pool->slots[0], f);
    pthread_mutex_unlock(&pool->lock);
    return true;
}

bool asq__pool_inline_ready(struct asq__pool *pool)
{
    struct asq__slot *p = &pool->slots[0];
    struct asq__fiber *f;
    size_t left = 0;
    bool any = false;
    pthread_mutex_lock(&pool->lock);
    ASQ__LIST_EACH (node, &p->ready)
        left++;
    while (left-- && (f = take_ready(p, &p->ready))) {
        run(p, f);
        any = true;
    }
    pthread_mutex_unlock(&pool->lock);
    if (p->stacks.surplus)
        trim(p); /* no other thread would when all have ended */
    return any;
}

/* ---- parking ---- */

void asq__pool_park(void)
{
    asq__fiber_park();
}

void asq__pool_wake(struct asq__pool *pool, struct asq__fiber *f)
{
    struct asq__slot *p = f->slot;
    bool ring = false, wake_loop = false;
    pthread_mutex_lock(&pool->lock);
    if (f->turn == ASQ__TURN_RUNNING) {
        f->woken = true;
    } else if (f->turn == ASQ__TURN_PARKED) {
        f->turn = ASQ__TURN_READY;
        asq__list_del(&f->node);
        asq__list_add(&p->ready, &f->node);
        if (p->index == 0) {
            wake_loop = !pthread_equal(pthread_self(), p->thread);
        } else if (!p->called) {
            p->called = ring = true;
            /* or a task would be sent to a thread whose fibers come first */
            asq__list_del(&p->idle);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    if (ring)
        pthread_cond_signal(&p->bell);
    if (wake_loop && pool->config.inline_ready)
        pool->config.inline_ready(pool->config.user);
}

/* ---- searching ---- */

void asq__pool_scan(struct asq__pool *pool, int64_t now_ms, int64_t threshold_ms,
                    void (*found)(void *user, const char *class_name, const char *method,
                                  int64_t ms),
                    void *user)
{
    for (uint32_t i = 0; i <= pool->config.capacity; i++) {
        struct note *now = &pool->slots[i].now;
        char class_name[ASQ__POOL_NAME], method[ASQ__POOL_NAME];
        pthread_mutex_lock(&pool->lock);
        int64_t ms = now->task ? now_ms - now->since_ms : 0;
        bool report = now->task && !now->reported && ms >= threshold_ms;
        if (report) {
            now->reported = true;
            memcpy(class_name, now->class_name, sizeof class_name);
            memcpy(method, now->method, sizeof method);
        }
        pthread_mutex_unlock(&pool->lock);
        if (report)
            found(user, class_name, method, ms);
    }
}

bool asq__pool_on_loop(struct asq__pool *pool, char class_name[ASQ__POOL_NAME],
                       char method[ASQ__POOL_NAME])
{
    const struct note *now = &pool->slots[0].now;
    pthread_mutex_lock(&pool->lock);
    bool any = now->task;
    memcpy(class_name, now->class_name, ASQ__POOL_NAME);
    memcpy(method, now->method, ASQ__POOL_NAME);
    pthread_mutex_unlock(&pool->lock);
    return any;
}

struct asq__pool_stats asq__pool_stats(struct asq__pool *pool)
{
    struct asq__pool_stats stats = { .stacks = atomic_load(&pool->stacks.mapped),
                                     .high_water = atomic_load(&pool->stacks.high_water),
                                     .unguarded = atomic_load(&pool->stacks.unguarded) };
    pthread_mutex_lock(&pool->lock);
    stats.threads = pool->living;
    stats.refused = pool->refused;
    for (uint32_t i = 0; i <= pool->used; i++) {
        stats.busy += i > 0 && pool->slots[i].now.task;
        stats.parked += pool->slots[i].nparked;
    }
    pthread_mutex_unlock(&pool->lock);
    return stats;
}

/* ---- life ---- */

static void init_condition(pthread_cond_t *c)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

int asq__pool_new(const struct asq__pool_config *config, struct asq__pool **ret)
{
    uint32_t capacity = config->capacity ? config->capacity : 1;
    struct asq__pool *pool =
        calloc(1, sizeof *pool + ((size_t) capacity + 1) * sizeof pool->slots[0]);
    if (!pool)
        return ASQ_ENOMEM;
    if (pthread_key_create(&pool->lost, on_lost) != 0) {
        free(pool);
        return ASQ_ESYS;
    }
    pool->config = *config;
    pool->config.capacity = capacity;
    asq__stacks_init(&pool->stacks);
    pthread_mutex_init(&pool->lock, NULL);
    init_condition(&pool->ended);
    asq__list_init(&pool->tasks);
    asq__list_init(&pool->idle);
    for (uint32_t i = 0; i <= capacity; i++) {
        struct asq__slot *p = &pool->slots[i];
        p->pool = pool;
        p->index = i;
        init_condition(&p->bell);
        asq__list_init(&p->idle);
        asq__list_init(&p->ready);
        asq__list_init(&p->parked);
        asq__stack_pool_init(&p->stacks, &pool->stacks);
    }
    pool->slots[0].thread = pthread_self();
    pool->used = pool->living = 1;
    pool->slots[1].living = true;
    pool->searcher = &pool->slots[1];
    if (start(&pool->slots[1]) != 0) {
        pool->used = pool->living = 0;
        asq__pool_free(pool);
        return ASQ_ESYS;
    }
    asq__fiber_thread_init();
    pthread_setspecific(pool->lost, &pool->slots[0]);
    *ret = pool;
    return 0;
}

bool asq__pool_stop(struct asq__pool *pool, int64_t timeout_ms)
{
    int64_t until_ms = asq__deadline_ms(timeout_ms);
    struct timespec until = { .tv_sec = (time_t) (until_ms / 1000),
                              .tv_nsec = (long) (until_ms % 1000) * 1000000 };
    int rc = 0;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    for (uint32_t i = 1; i <= pool->used; i++)
        pthread_cond_signal(&pool->slots[i].bell);
    while (pool->living && rc == 0)
        rc = until_ms == INT64_MAX ? pthread_cond_wait(&pool->ended, &pool->lock)
                                   : pthread_cond_timedwait(&pool->ended, &pool->lock, &until);
    bool all = pool->living == 0;
    uint32_t used = all ? pool->used : 0;
    pthread_mutex_unlock(&pool->lock);
    for (uint32_t i = 1; i <= used; i++) {
        if (pool->slots[i].joinable)
            pthread_join(pool->slots[i].thread, NULL);
        pool->slots[i].joinable = false;
    }
    return all;
}

void asq__pool_free(struct asq__pool *pool)
{
    if (!pool)
        return;
    for (uint32_t i = 0; i <= pool->config.capacity; i++) {
        struct asq__slot *p = &pool->slots[i];
        struct asq__fiber *f;
        asq__list_splice(&p->ready, &p->parked);
        while ((f = take_ready(p, &p->ready)))
            asq__fiber_free(&p->stacks, f);
        asq__stack_pool_release(&p->stacks);
        pthread_cond_destroy(&p->bell);
    }
    asq__stacks_release(&pool->stacks);
    asq__fiber_thread_release();
    pthread_setspecific(pool->lost, NULL);
    pthread_key_delete(pool->lost);
    pthread_cond_destroy(&pool->ended);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}
