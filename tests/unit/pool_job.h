/*
 * pool_job.h: a pool and tasks for it, for the tests of the pool. Each program includes it once.
 */
#ifndef ASQ_TESTS_POOL_JOB_H
#define ASQ_TESTS_POOL_JOB_H

#include "asqueue.h"
#include "support/support.h"
#include "value/clock.h"
#include "worker/exec/pool.h"
#include "worker/exec/sanitizer.h"

#include <check.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(ASQ__ASAN) || defined(ASQ__TSAN)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static struct asq__pool *pool;
static atomic_int notified;

static void on_ready(void *user)
{
    (void) user;
    atomic_fetch_add(&notified, 1);
}

static void begin_with(struct asq__pool_config config)
{
    config.inline_ready = on_ready;
    atomic_store(&notified, 0);
    ck_assert_int_eq(asq__pool_new(&config, &pool), 0);
}

static void begin(uint32_t capacity)
{
    begin_with((struct asq__pool_config){ .capacity = capacity });
}

static void end(void)
{
    ck_assert(asq__pool_stop(pool, sup_limit_ms()));
    asq__pool_free(pool);
    pool = NULL;
}

/* A task that acts like a call in some ways. */
struct job {
    struct asq__task task;
    void (*fn)(struct job *job);
    int arg;
    struct job *other;
    sem_t gate;
    _Atomic(struct asq__fiber *) fiber;
    pthread_t thread;
    atomic_bool begun, ended;
};

static void run(struct asq__task *task)
{
    struct job *job = ASQ__CONTAINER(task, struct job, task);
    job->thread = pthread_self();
    atomic_store(&job->fiber, asq__fiber_current());
    atomic_store(&job->begun, true);
    job->fn(job);
    atomic_store(&job->ended, true); /* from here on the job may be gone */
}

static void job_init(struct job *job, void (*fn)(struct job *job))
{
    memset(job, 0, sizeof *job);
    job->task.run = run;
    job->task.name_class = "Class";
    job->task.name_method = "method";
    job->fn = fn;
    sem_init(&job->gate, 0, 0);
}

static void submit(struct job *job, void (*fn)(struct job *job))
{
    job_init(job, fn);
    asq__pool_submit(pool, &job->task);
}

static void nothing(struct job *job)
{
    (void) job;
}

static void wait_gate(struct job *job)
{
    while (sem_wait(&job->gate) != 0)
        ;
}

static void block(struct job *job)
{
    wait_gate(job);
}

static void park(struct job *job)
{
    (void) job;
    asq__pool_park();
}

static void wait_ended(struct job *job)
{
    sup_wait_until(atomic_load(&job->ended));
}

static void wait_parked(size_t n)
{
    sup_wait_until(asq__pool_stats(pool).parked == n && asq__pool_stats(pool).busy == 0);
}

static void wake_other(struct job *job)
{
    asq__pool_wake(pool, atomic_load(&job->other->fiber));
}

static void wake_self_and_park(struct job *job)
{
    for (int i = 0; i < job->arg; i++)
        asq__pool_wake(pool, atomic_load(&job->fiber));
    asq__pool_park();
}

#endif
