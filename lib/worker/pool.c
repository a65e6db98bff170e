/*
 * pool.c: see pool.h. One lock guards the queue of tasks, the lists of woken fibers and the list of idle
 * threads; nobody holds it while a task runs.
 *
 * A fiber is RUNNING, PARKED or READY. It parks by switching to its thread's scheduler, which then, under
 * the lock, makes it PARKED, unless it was woken meanwhile: then it is resumed at once.
 */
#include "worker/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "asqueue.h"
#include "value/clock.h"

enum { NAME_MAX_SHOWN = 64 };

enum strand_state { RUNNING, PARKED, READY };

/* What the pool knows of a fiber; lives on the fiber's own stack while the task runs. */
struct strand {
    struct asq__list node; /* in place->ready */
    struct asq__fiber *fiber;
    struct place *place;
    struct asq__task *task;
    enum strand_state state; /* under the lock */
    bool woken;              /* while RUNNING; under the lock */
};

/* A thread that runs fibers. */
struct place {
    struct asq__pool *pool;
    unsigned index;
    pthread_t thread;
    pthread_cond_t bell;
    struct asq__list idle;  /* in pool->idle while it waits for work */
    struct asq__list ready; /* woken fibers, under the lock */
    struct asq__stacks stacks;
    size_t parked;
    /* For asq__pool_scan, under the lock. */
    int64_t since_ms; /* 0: nothing runs */
    bool reported;
    char class_name[NAME_MAX_SHOWN], method[NAME_MAX_SHOWN];
};

struct asq__pool {
    struct asq__pool_config config;
    pthread_mutex_t lock;
    struct asq__list tasks, idle;
    struct place *places; /* [0] is the loop's */
    uint32_t threads;
    bool stopping;
};

/* ---- running ---- */

static void strand_main(void *arg) {
    struct strand *s = arg;
    s->task->run(s->task);
}

static void note(struct place *p, const struct asq__task *task) {
    p->since_ms = task ? asq__now_ms_coarse() : 0;
    p->reported = false;
    if (!task)
        return;
    const char *names[] = { task->name_class, task->name_method };
    char *shown[] = { p->class_name, p->method };
    for (int i = 0; i < 2; i++) {
        size_t n = names[i] ? strlen(names[i]) : 0;
        if (n >= NAME_MAX_SHOWN)
            n = NAME_MAX_SHOWN - 1;
        if (n)
            memcpy(shown[i], names[i], n);
        shown[i][n] = '\0';
    }
}

/* Resumes the strand until it parks for good or ends. Called with the lock, returns with it. */
static void resume(struct place *p, struct strand *s) {
    struct asq__pool *pool = p->pool;
    struct asq__fiber *fiber = s->fiber;
    bool ended;
    for (;;) {
        s->state = RUNNING;
        note(p, s->task);
        pthread_mutex_unlock(&pool->lock);
        if (pool->config.on_switch)
            pool->config.on_switch(pool->config.user, p->index, s->task);
        ended = asq__fiber_resume(fiber);
        if (pool->config.on_switch)
            pool->config.on_switch(pool->config.user, p->index, NULL);
        pthread_mutex_lock(&pool->lock);
        note(p, NULL);
        if (ended || !s->woken)
            break;
        s->woken = false;
    }
    if (!ended) {
        s->state = PARKED;
        p->parked++;
        return;
    }
    free(s);
    pthread_mutex_unlock(&pool->lock);
    asq__fiber_free(&p->stacks, fiber);
    pthread_mutex_lock(&pool->lock);
}

/* Gives the task a fiber and runs it. With the lock. */
static void begin(struct place *p, struct asq__task *task) {
    struct asq__pool *pool = p->pool;
    struct strand *s = NULL;
    struct asq__fiber *f = NULL;
    pthread_mutex_unlock(&pool->lock);
    for (;;) { /* a call that was taken up cannot be refused: wait for memory */
        if (!s)
            s = calloc(1, sizeof *s);
        if (s && (f = asq__fiber_new(&p->stacks, task->stack_size, strand_main, s)))
            break;
        struct timespec pause = { 0, 10000000 };
        nanosleep(&pause, NULL);
    }
    s->fiber = f;
    s->place = p;
    s->task = task;
    asq__list_init(&s->node);
    *asq__fiber_user(f) = s;
    asq__fiber_set_name(f, task->name_class, task->name_method);
    pthread_mutex_lock(&pool->lock);
    resume(p, s);
}

static struct strand *next_ready(struct place *p) {
    struct asq__list *node = asq__list_pop(&p->ready);
    if (!node)
        return NULL;
    p->parked--;
    return ASQ__CONTAINER(node, struct strand, node);
}

static void *thread_main(void *arg) {
    struct place *p = arg;
    struct asq__pool *pool = p->pool;
    asq__fiber_thread_init();
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct strand *s = next_ready(p);
        struct asq__list *task;
        if (s) {
            resume(p, s);
        } else if (pool->stopping) {
            break;
        } else if ((task = asq__list_pop(&pool->tasks))) {
            begin(p, ASQ__CONTAINER(task, struct asq__task, node));
        } else {
            asq__list_add_first(&pool->idle, &p->idle); /* the one that ran last is the warmest */
            pthread_cond_wait(&p->bell, &pool->lock);
            asq__list_del(&p->idle);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    asq__fiber_thread_release();
    return NULL;
}

/* With the lock. */
static void start_thread(struct asq__pool *pool) {
    struct place *p = &pool->places[pool->threads + 1];
    sigset_t all, old;
    pthread_attr_t attr;
    sigfillset(&all); /* signals are for the loop's thread */
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 256 * 1024);
    if (pthread_create(&p->thread, &attr, thread_main, p) == 0)
        pool->threads++;
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void asq__pool_submit(struct asq__pool *pool, struct asq__task *task) {
    pthread_mutex_lock(&pool->lock);
    asq__list_add(&pool->tasks, &task->node);
    struct asq__list *idle = asq__list_pop(&pool->idle);
    if (idle)
        pthread_cond_signal(&ASQ__CONTAINER(idle, struct place, idle)->bell);
    else if (pool->threads < pool->config.capacity)
        start_thread(pool); /* when it cannot be started, one of those there takes the task in time */
    pthread_mutex_unlock(&pool->lock);
}

void asq__pool_run_inline(struct asq__pool *pool, struct asq__task *task) {
    pthread_mutex_lock(&pool->lock);
    begin(&pool->places[0], task);
    pthread_mutex_unlock(&pool->lock);
}

bool asq__pool_inline_ready(struct asq__pool *pool) {
    bool any = false;
    struct strand *s;
    pthread_mutex_lock(&pool->lock);
    while ((s = next_ready(&pool->places[0]))) {
        resume(&pool->places[0], s);
        any = true;
    }
    pthread_mutex_unlock(&pool->lock);
    return any;
}

/* ---- parking ---- */

void asq__pool_park(void) {
    asq__fiber_park();
}

void asq__pool_wake(struct asq__pool *pool, struct asq__fiber *f) {
    struct strand *s = *asq__fiber_user(f);
    bool tell_loop = false;
    pthread_mutex_lock(&pool->lock);
    if (s->state == RUNNING) {
        s->woken = true;
    } else if (s->state == PARKED) {
        struct place *p = s->place;
        s->state = READY;
        asq__list_add(&p->ready, &s->node);
        if (p->index == 0)
            tell_loop = !pthread_equal(pthread_self(), p->thread);
        else
            pthread_cond_signal(&p->bell);
    }
    pthread_mutex_unlock(&pool->lock);
    if (tell_loop && pool->config.inline_ready)
        pool->config.inline_ready(pool->config.user);
}

/* ---- looking ---- */

void asq__pool_scan(struct asq__pool *pool, int64_t now_ms, int64_t threshold_ms,
                    void (*found)(void *user, const char *class_name, const char *method, int64_t ms),
                    void *user) {
    for (uint32_t i = 0; i <= pool->config.capacity; i++) {
        struct place *p = &pool->places[i];
        char class_name[NAME_MAX_SHOWN], method[NAME_MAX_SHOWN];
        int64_t ms = 0;
        pthread_mutex_lock(&pool->lock);
        bool report = i <= pool->threads && p->since_ms && !p->reported &&
                      (ms = now_ms - p->since_ms) >= threshold_ms;
        if (report) {
            p->reported = true;
            memcpy(class_name, p->class_name, sizeof class_name);
            memcpy(method, p->method, sizeof method);
        }
        pthread_mutex_unlock(&pool->lock);
        if (report)
            found(user, class_name, method, ms);
    }
}

struct asq__pool_stats asq__pool_stats(struct asq__pool *pool) {
    struct asq__pool_stats stats = { 0 };
    pthread_mutex_lock(&pool->lock);
    stats.threads = pool->threads;
    for (uint32_t i = 0; i <= pool->threads; i++) {
        const struct place *p = &pool->places[i];
        stats.busy += i > 0 && p->since_ms != 0;
        stats.parked += p->parked;
        stats.unguarded += p->stacks.unguarded;
        if (p->stacks.high_water > stats.high_water)
            stats.high_water = p->stacks.high_water;
    }
    pthread_mutex_unlock(&pool->lock);
    return stats;
}

/* ---- life ---- */

int asq__pool_new(const struct asq__pool_config *config, struct asq__pool **ret) {
    struct asq__pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return ASQ_ENOMEM;
    pool->config = *config;
    pool->places = calloc((size_t) config->capacity + 1, sizeof *pool->places);
    if (!pool->places) {
        free(pool);
        return ASQ_ENOMEM;
    }
    pthread_mutex_init(&pool->lock, NULL);
    asq__list_init(&pool->tasks);
    asq__list_init(&pool->idle);
    for (uint32_t i = 0; i <= config->capacity; i++) {
        struct place *p = &pool->places[i];
        p->pool = pool;
        p->index = i;
        pthread_cond_init(&p->bell, NULL);
        asq__list_init(&p->idle);
        asq__list_init(&p->ready);
        asq__stacks_init(&p->stacks, config->stack_size);
    }
    pool->places[0].thread = pthread_self();
    asq__fiber_thread_init();
    *ret = pool;
    return 0;
}

bool asq__pool_stop(struct asq__pool *pool, int64_t timeout_ms) {
    struct timespec until;
    bool all = true;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    for (uint32_t i = 1; i <= pool->threads; i++)
        pthread_cond_signal(&pool->places[i].bell);
    uint32_t threads = pool->threads;
    pthread_mutex_unlock(&pool->lock);
    clock_gettime(CLOCK_REALTIME, &until); /* pthread_timedjoin_np knows no other clock */
    until.tv_sec += timeout_ms / 1000 + 1;
    for (uint32_t i = 1; i <= threads; i++)
        all &= pthread_timedjoin_np(pool->places[i].thread, NULL, &until) == 0;
    return all;
}

void asq__pool_free(struct asq__pool *pool) {
    if (!pool)
        return;
    for (uint32_t i = 0; i <= pool->config.capacity; i++) {
        pthread_cond_destroy(&pool->places[i].bell);
        asq__stacks_release(&pool->places[i].stacks);
    }
    asq__fiber_thread_release();
    pthread_mutex_destroy(&pool->lock);
    free(pool->places);
    free(pool);
}
