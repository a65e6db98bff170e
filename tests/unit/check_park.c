/*
 * check_park.c: parking and unparking from everywhere; waiting costs only memory. The printed
 * figures are not judged, except the memory of a parked call.
 */
#include "pool_job.h"
#include "support/suite.h"

/* ---- parking ---- */

START_TEST(who_parks_frees_its_thread)
{
    struct job a, b;
    begin(1);
    submit(&a, park);
    wait_parked(1);
    job_init(&b, wake_other);
    b.other = &a;
    asq__pool_submit(pool, &b.task);
    wait_ended(&b);
    wait_ended(&a);
    ck_assert_uint_eq(asq__pool_stats(pool).parked, 0);
    end();
}
END_TEST

START_TEST(a_wake_before_the_park_is_not_lost)
{
    struct job job;
    begin(1);
    job_init(&job, wake_self_and_park);
    job.arg = 1;
    asq__pool_submit(pool, &job.task);
    wait_ended(&job);
    end();
}
END_TEST

static void wake_self_and_park_twice(struct job *job)
{
    wake_self_and_park(job);
    asq__pool_park();
}

START_TEST(wakes_do_not_add_up)
{
    struct job job;
    begin(1);
    job_init(&job, wake_self_and_park_twice);
    job.arg = 3;
    asq__pool_submit(pool, &job.task);
    wait_parked(1);
    ck_assert(!atomic_load(&job.ended));
    asq__pool_wake(pool, atomic_load(&job.fiber));
    wait_ended(&job);
    end();
}
END_TEST

static void note_threads(struct job *job)
{
    for (int i = 0; i < job->arg; i++) {
        asq__pool_park();
        ck_assert(pthread_equal(pthread_self(), job->thread));
        ck_assert_ptr_eq(asq__fiber_current(), atomic_load(&job->fiber));
    }
}

START_TEST(a_fiber_stays_on_its_thread)
{
    struct job jobs[8], blocker;
    begin(4);
    for (int i = 0; i < 8; i++) {
        job_init(&jobs[i], note_threads);
        jobs[i].arg = 100;
        asq__pool_submit(pool, &jobs[i].task);
    }
    submit(&blocker, block);
    for (int round = 0; round < 100; round++)
        for (int i = 0; i < 8; i++) {
            sup_wait_until(atomic_load(&jobs[i].begun) || i == 7);
            if (atomic_load(&jobs[i].begun) && !atomic_load(&jobs[i].ended))
                asq__pool_wake(pool, atomic_load(&jobs[i].fiber));
        }
    sem_post(&blocker.gate);
    /* Several wakes may have counted as one, so makes the missing ones. */
    for (int i = 0; i < 8; i++)
        while (!atomic_load(&jobs[i].ended)) {
            if (atomic_load(&jobs[i].begun) && asq__pool_stats(pool).busy == 0)
                asq__pool_wake(pool, atomic_load(&jobs[i].fiber));
            sched_yield();
        }
    end();
}
END_TEST

static atomic_int order;

static void note_order(struct job *job)
{
    job->arg = atomic_fetch_add(&order, 1);
}

static void park_and_note_order(struct job *job)
{
    asq__pool_park();
    note_order(job);
}

START_TEST(woken_fibers_come_before_new_tasks)
{
    struct job parked[3], blocker, task;
    begin(1);
    atomic_store(&order, 0);
    for (int i = 0; i < 3; i++)
        submit(&parked[i], park_and_note_order);
    wait_parked(3);
    submit(&blocker, block);
    sup_wait_until(atomic_load(&blocker.begun));
    submit(&task, note_order);
    for (int i = 0; i < 3; i++)
        asq__pool_wake(pool, atomic_load(&parked[i].fiber));
    sem_post(&blocker.gate);
    wait_ended(&task);
    ck_assert_int_eq(task.arg, 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(parked[i].arg, i);
    end();
}
END_TEST

static void park_and_block(struct job *job)
{
    asq__pool_park();
    wait_gate(job);
}

/* The thread that is woken for a fiber must not be the thread for which a task waits. */
START_TEST(a_task_does_not_wait_behind_a_woken_fiber_that_blocks)
{
    struct job fiber, task;
    begin(2);
    for (int i = 0; i < 60; i++) {
        submit(&fiber, park_and_block);
        wait_parked(1);
        job_init(&task, nothing);
        if (i % 2) {
            asq__pool_wake(pool, atomic_load(&fiber.fiber));
            asq__pool_submit(pool, &task.task);
        } else {
            asq__pool_submit(pool, &task.task);
            asq__pool_wake(pool, atomic_load(&fiber.fiber));
        }
        wait_ended(&task);
        ck_assert(!atomic_load(&fiber.ended));
        sem_post(&fiber.gate);
        wait_ended(&fiber);
        sup_wait_until(asq__pool_stats(pool).busy == 0);
    }
    end();
}
END_TEST

/* Fibers ask to be woken, and check that each park ends with exactly one of their wakes. */
enum { ASKERS = 60, WAKERS = 3 };

struct asker {
    struct asq__task task;
    struct asq__fiber *fiber;
    atomic_int asked; /* 1: asks to be woken */
    atomic_int answered;
};

static struct asker askers[ASKERS];
static int ask_rounds;
static atomic_int asking;

static void ask(struct asq__task *task)
{
    struct asker *a = ASQ__CONTAINER(task, struct asker, task);
    a->fiber = asq__fiber_current();
    for (int i = 0; i < ask_rounds; i++) {
        ck_assert_int_eq(atomic_load(&a->answered), i);
        atomic_store(&a->asked, 1);
        if (i % 7 == 0)
            sched_yield(); /* lets the wake come first now and then */
        asq__pool_park();
        ck_assert_int_eq(atomic_load(&a->answered), i + 1);
    }
    atomic_fetch_sub(&asking, 1);
}

static void *answer(void *arg)
{
    unsigned i = *(unsigned *) arg;
    while (atomic_load(&asking) > 0) {
        struct asker *a = &askers[i++ % ASKERS];
        int one = 1;
        if (atomic_compare_exchange_strong(&a->asked, &one, 0)) {
            atomic_fetch_add(&a->answered, 1);
            asq__pool_wake(pool, a->fiber);
        } else if (i % ASKERS == 0) {
            sched_yield();
        }
    }
    return NULL;
}

START_TEST(each_park_ends_with_the_wake_meant_for_it)
{
    pthread_t t[WAKERS];
    unsigned from[WAKERS];
    ask_rounds = getenv("ASQ_TEST_SLOW") ? 50 : SANITIZED ? 300 : 3000;
    begin(3);
    atomic_store(&asking, ASKERS);
    for (int i = 0; i < ASKERS; i++) {
        askers[i].task = (struct asq__task){ .run = ask };
        atomic_store(&askers[i].answered, 0);
        if (i % 10 == 0)
            asq__pool_run_inline(pool, &askers[i].task);
        else
            asq__pool_submit(pool, &askers[i].task);
    }
    for (unsigned i = 0; i < WAKERS; i++) {
        from[i] = i * ASKERS / WAKERS;
        ck_assert_int_eq(pthread_create(&t[i], NULL, answer, &from[i]), 0);
    }
    while (atomic_load(&asking) > 0)
        if (!asq__pool_inline_ready(pool))
            sched_yield();
    for (int i = 0; i < WAKERS; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_gt(atomic_load(&notified), 0);
    end();
}
END_TEST

/* ---- many ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* Returns the KiB that the process has resident, its page tables included. */
static long memory_kib(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[200];
    long sum = 0, n;
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &n) == 1 || sscanf(line, "VmPTE: %ld", &n) == 1)
            sum += n;
    fclose(f);
    return sum;
}

struct light {
    struct asq__task task;
    struct asq__fiber *fiber;
};

static atomic_int light_done;

static void run_light(struct asq__task *task)
{
    (void) task;
    atomic_fetch_add(&light_done, 1);
}

static void run_light_parking(struct asq__task *task)
{
    ASQ__CONTAINER(task, struct light, task)->fiber = asq__fiber_current();
    asq__pool_park();
    atomic_fetch_add(&light_done, 1);
}

static int how_many(void)
{
    if (getenv("ASQ_TEST_SLOW"))
        return 2000;
#if defined(ASQ__TSAN)
    return 2000; /* the sanitizer is limited to 8,000 threads, and takes fibers for threads */
#elif defined(ASQ__ASAN)
    return 20000;
#else
    return 100000;
#endif
}

START_TEST(a_hundred_thousand_fibers_wait_on_two_threads)
{
    int n = how_many();
    struct light *tasks = calloc((size_t) n, sizeof *tasks);
    double park_s[2], end_s[2], t;
    long bytes = 0;
    begin(2);
    for (int round = 0; round < 2; round++) {
        atomic_store(&light_done, 0);
        long before = memory_kib();
        t = seconds();
        for (int i = 0; i < n; i++) {
            tasks[i].task = (struct asq__task){ .run = run_light_parking };
            asq__pool_submit(pool, &tasks[i].task);
        }
        wait_parked((size_t) n);
        park_s[round] = seconds() - t;
        if (round == 0)
            bytes = (memory_kib() - before) * 1024 / n;
        ck_assert_int_eq(atomic_load(&light_done), 0);
        ck_assert_uint_le(asq__pool_stats(pool).threads, 2);
        t = seconds();
        for (int i = 0; i < n; i++)
            asq__pool_wake(pool, tasks[i].fiber);
        sup_wait_until(atomic_load(&light_done) == n);
        end_s[round] = seconds() - t;
    }
    if (!SANITIZED && !getenv("ASQ_TEST_SLOW"))
        ck_assert_int_lt(bytes, 8192);
    printf("# %d parked fibers: %ld bytes each; new stack and park %.2f µs, used stack and park "
           "%.2f µs, wake and end %.2f µs\n",
           n, bytes, park_s[0] * 1e6 / n, park_s[1] * 1e6 / n, end_s[1] * 1e6 / n);
    /* Stacks that are needed no longer are given back. */
    sup_wait_until(asq__pool_stats(pool).stacks <= (size_t) 2 * (32 + 256));
    struct asq__pool_stats stats = asq__pool_stats(pool);
    printf("# stacks kept %zu, deepest use %zu bytes, without a guard %zu\n", stats.stacks,
           stats.high_water, stats.unguarded);
    ck_assert_uint_gt(stats.high_water, 0);
    ck_assert_uint_le(stats.high_water, ASQ__STACK_DEFAULT);
    end();
    free(tasks);
}
END_TEST

START_TEST(all_tasks_of_many_threads_are_run_once)
{
    int n = how_many();
    struct light *tasks = calloc((size_t) n, sizeof *tasks);
    double t, pool_s, inline_s;
    begin(4);
    atomic_store(&light_done, 0);
    t = seconds();
    for (int i = 0; i < n; i++) {
        tasks[i].task = (struct asq__task){ .run = run_light };
        asq__pool_submit(pool, &tasks[i].task);
    }
    sup_wait_until(atomic_load(&light_done) == n);
    pool_s = seconds() - t;
    t = seconds();
    for (int i = 0; i < n; i++) {
        tasks[i].task = (struct asq__task){ .run = run_light };
        asq__pool_run_inline(pool, &tasks[i].task);
    }
    inline_s = seconds() - t;
    ck_assert_int_eq(atomic_load(&light_done), 2 * n);
    printf("# task submitted and done %.2f µs, inline %.2f µs\n", pool_s * 1e6 / n,
           inline_s * 1e6 / n);
    end();
    free(tasks);
}
END_TEST

static void park_for_ever(void *arg)
{
    (void) arg;
    for (;;)
        asq__fiber_park();
}

START_TEST(what_a_switch_costs)
{
    int n = 20 * how_many() / (SANITIZED ? 10 : 1);
    double ns[2];
    for (int swaps = 0; swaps < 2; swaps++) {
        struct asq__stacks stacks;
        struct asq__stack_pool stack_pool;
        struct asq__fiber *f;
        asq__stacks_init(&stacks);
        stacks.shadow_stack = swaps;
        asq__stack_pool_init(&stack_pool, &stacks);
        ck_assert_int_eq(asq__fiber_new(&stack_pool, 0, park_for_ever, NULL, &f), 0);
        double t = seconds();
        for (int i = 0; i < n; i++)
            asq__fiber_resume(f);
        ns[swaps] = (seconds() - t) * 1e9 / n;
        asq__fiber_free(&stack_pool, f);
        asq__stack_pool_release(&stack_pool);
        asq__stacks_release(&stacks);
    }
    printf("# resume and park: %.0f ns by _longjmp, %.0f ns by swapcontext\n", ns[0], ns[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("park");
    TCase *c = tcase_create("parking");
    tcase_add_test(c, who_parks_frees_its_thread);
    tcase_add_test(c, a_wake_before_the_park_is_not_lost);
    tcase_add_test(c, wakes_do_not_add_up);
    tcase_add_test(c, a_fiber_stays_on_its_thread);
    tcase_add_test(c, woken_fibers_come_before_new_tasks);
    tcase_add_test(c, a_task_does_not_wait_behind_a_woken_fiber_that_blocks);
    tcase_add_test(c, each_park_ends_with_the_wake_meant_for_it);
    suite_add_tcase(s, c);
    c = tcase_create("many");
    tcase_add_test(c, a_hundred_thousand_fibers_wait_on_two_threads);
    tcase_add_test(c, all_tasks_of_many_threads_are_run_once);
    tcase_add_test(c, what_a_switch_costs);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
