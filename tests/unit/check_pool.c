/*
 * check_pool.c: the pool's threads and the loop's thread: which thread runs a task, reports, the
 * end of the pool, and a lack of memory or threads. check_park.c tests parking.
 */
#include "pool_job.h"
#include "support/suite.h"

#include <sys/mman.h>

/* ---- threads ---- */

START_TEST(tasks_run_on_the_pools_threads)
{
    struct job job;
    begin(2);
    submit(&job, nothing);
    wait_ended(&job);
    ck_assert(!pthread_equal(job.thread, pthread_self()));
    end();
}
END_TEST

START_TEST(threads_are_started_when_all_are_busy_up_to_the_capacity)
{
    struct job jobs[12];
    begin(3);
    ck_assert_uint_eq(asq__pool_stats(pool).threads, 1);
    for (int i = 0; i < 100; i++) { /* an idle thread is always taken first */
        submit(&jobs[0], nothing);
        wait_ended(&jobs[0]);
        sup_wait_until(asq__pool_stats(pool).busy == 0);
    }
    ck_assert_uint_eq(asq__pool_stats(pool).threads, 1);
    for (int i = 0; i < 12; i++) {
        submit(&jobs[i], block);
        sup_wait_until(asq__pool_stats(pool).busy == (i < 3 ? (uint32_t) i + 1 : 3));
        ck_assert_uint_eq(asq__pool_stats(pool).threads, i < 3 ? (uint32_t) i + 1 : 3);
    }
    for (int i = 0; i < 3; i++)
        sup_wait_until(atomic_load(&jobs[i].begun));
    for (int i = 3; i < 12; i++)
        ck_assert(!atomic_load(&jobs[i].begun));
    for (int i = 0; i < 12; i++)
        sem_post(&jobs[i].gate);
    for (int i = 0; i < 12; i++)
        wait_ended(&jobs[i]);
    ck_assert_uint_eq(asq__pool_stats(pool).threads, 3);
    end();
}
END_TEST

/* Checks that all tasks run although none ends before all have begun. Returns the pool's count of
 * threads. */
static uint32_t burst(struct job *jobs, int n)
{
    for (int i = 0; i < n; i++)
        submit(&jobs[i], block);
    for (int i = 0; i < n; i++)
        sup_wait_until(atomic_load(&jobs[i].begun));
    uint32_t threads = asq__pool_stats(pool).threads;
    for (int i = 0; i < n; i++)
        sem_post(&jobs[i].gate);
    for (int i = 0; i < n; i++)
        wait_ended(&jobs[i]);
    return threads;
}

START_TEST(a_burst_uses_all_threads)
{
    struct job jobs[8];
    begin(8);
    for (int round = 0; round < 20; round++) {
        ck_assert_uint_eq(burst(jobs, 8), 8);
        sup_wait_until(asq__pool_stats(pool).busy == 0);
    }
    end();
}
END_TEST

/* Idle threads end, except the first; others start when they are needed. */
START_TEST(threads_that_are_idle_for_long_end)
{
    enum { N = 8 };
    struct job jobs[N], parked;
    begin_with((struct asq__pool_config){ .capacity = N, .idle_ms = 5 });
    for (int round = 0; round < 5; round++) {
        ck_assert_uint_eq(burst(jobs, N), N);
        sup_wait_until(asq__pool_stats(pool).threads == 1);
    }
    /* A thread on which a fiber is parked stays, because the fiber is resumed there. */
    submit(&jobs[0], block);
    sup_wait_until(atomic_load(&jobs[0].begun));
    submit(&parked, park);
    sup_wait_until(asq__pool_stats(pool).parked == 1);
    sem_post(&jobs[0].gate);
    wait_ended(&jobs[0]);
    for (int round = 0; round < 3; round++) {
        burst(&jobs[1], N - 1);
        sup_wait_until(asq__pool_stats(pool).threads <= 2);
        ck_assert_uint_eq(asq__pool_stats(pool).parked, 1);
    }
    asq__pool_wake(pool, atomic_load(&parked.fiber));
    wait_ended(&parked);
    sup_wait_until(asq__pool_stats(pool).threads == 1);
    end();
}
END_TEST

/* Threads end and start while tasks come: no task is left waiting. */
START_TEST(tasks_that_come_while_threads_end_are_run)
{
    enum { N = 4, ROUNDS = 400 };
    struct job jobs[N];
    begin_with((struct asq__pool_config){ .capacity = N, .idle_ms = 1 });
    for (int round = 0; round < ROUNDS; round++) {
        struct timespec pause = { .tv_nsec = round % 20 * 100000L };
        for (int i = 0; i < N; i++)
            submit(&jobs[i], nothing);
        for (int i = 0; i < N; i++)
            wait_ended(&jobs[i]);
        nanosleep(&pause, NULL);
    }
    end();
}
END_TEST

static void submit_more(struct job *job)
{
    if (job->other)
        asq__pool_submit(pool, &job->other->task);
}

START_TEST(tasks_submit_tasks)
{
    enum { N = 1000 };
    struct job *jobs = calloc(N, sizeof *jobs);
    begin(2);
    for (int i = 0; i < N; i++) {
        job_init(&jobs[i], submit_more);
        jobs[i].other = i + 1 < N ? &jobs[i + 1] : NULL;
    }
    asq__pool_submit(pool, &jobs[0].task);
    wait_ended(&jobs[N - 1]);
    end();
    free(jobs);
}
END_TEST

START_TEST(a_capacity_of_zero_is_one)
{
    struct job job;
    begin(0);
    submit(&job, nothing);
    wait_ended(&job);
    ck_assert_uint_eq(asq__pool_stats(pool).threads, 1);
    end();
}
END_TEST

/* ---- the loop's thread ---- */

START_TEST(an_inline_task_runs_at_once_on_the_callers_thread)
{
    struct job job;
    begin(1);
    job_init(&job, nothing);
    asq__pool_run_inline(pool, &job.task);
    ck_assert(atomic_load(&job.ended));
    ck_assert(pthread_equal(job.thread, pthread_self()));
    ck_assert(!asq__pool_inline_ready(pool));
    end();
}
END_TEST

START_TEST(a_wake_from_another_thread_is_announced_to_the_loop)
{
    struct job parked, waker;
    begin(1);
    job_init(&parked, park);
    asq__pool_run_inline(pool, &parked.task);
    ck_assert(!atomic_load(&parked.ended));
    ck_assert_uint_eq(asq__pool_stats(pool).parked, 1);
    ck_assert(!asq__pool_inline_ready(pool));
    job_init(&waker, wake_other);
    waker.other = &parked;
    asq__pool_submit(pool, &waker.task);
    sup_wait_until(atomic_load(&notified) == 1);
    ck_assert(!atomic_load(&parked.ended));
    ck_assert(asq__pool_inline_ready(pool));
    ck_assert(atomic_load(&parked.ended));
    ck_assert(pthread_equal(parked.thread, pthread_self()));
    /* No notification for the pool's own thread, where the loop already knows. */
    job_init(&parked, park);
    asq__pool_run_inline(pool, &parked.task);
    asq__pool_wake(pool, atomic_load(&parked.fiber));
    ck_assert(!atomic_load(&parked.ended));
    ck_assert(asq__pool_inline_ready(pool));
    ck_assert(atomic_load(&parked.ended));
    ck_assert_int_eq(atomic_load(&notified), 1);
    wait_ended(&waker);
    end();
}
END_TEST

START_TEST(an_inline_task_woken_before_it_parks_goes_on_in_the_next_turn)
{
    struct job job;
    begin(1);
    job_init(&job, wake_self_and_park);
    job.arg = 1;
    asq__pool_run_inline(pool, &job.task);
    ck_assert(!atomic_load(&job.ended));
    ck_assert(asq__pool_inline_ready(pool));
    ck_assert(atomic_load(&job.ended));
    end();
}
END_TEST

static void wake_self_for_ever(struct job *job)
{
    while (!atomic_load(&job->other->ended))
        wake_self_and_park(job);
}

START_TEST(who_is_always_ready_does_not_keep_others_away)
{
    struct job busy, other;
    begin(1);
    job_init(&busy, wake_self_for_ever);
    job_init(&other, park);
    busy.arg = 1;
    busy.other = &other;
    asq__pool_run_inline(pool, &busy.task);
    asq__pool_run_inline(pool, &other.task);
    for (int i = 0; i < 10; i++)
        ck_assert(asq__pool_inline_ready(pool)); /* ends each time */
    asq__pool_wake(pool, atomic_load(&other.fiber));
    while (asq__pool_inline_ready(pool))
        ;
    ck_assert(atomic_load(&busy.ended));
    /* Wakes from a thread. */
    submit(&other, park);
    wait_parked(1);
    job_init(&busy, wake_self_for_ever);
    busy.arg = 1;
    busy.other = &other;
    asq__pool_submit(pool, &busy.task);
    sup_wait_until(atomic_load(&busy.begun));
    asq__pool_wake(pool, atomic_load(&other.fiber));
    wait_ended(&busy);
    end();
}
END_TEST

/* ---- placement of tasks ---- */

enum { MAX_SWITCHES = 64 };

static struct {
    unsigned thread;
    struct asq__task *task;
} switches[MAX_SWITCHES];
static int nswitches;
static pthread_mutex_t switches_lock = PTHREAD_MUTEX_INITIALIZER;

static int count_switches(void)
{
    pthread_mutex_lock(&switches_lock);
    int n = nswitches;
    pthread_mutex_unlock(&switches_lock);
    return n;
}

static void on_switch(void *user, unsigned thread, struct asq__task *task, const char *class_name,
                      const char *method)
{
    (void) class_name;
    (void) method;
    ck_assert_ptr_eq(user, switches);
    pthread_mutex_lock(&switches_lock);
    ck_assert_int_lt(nswitches, MAX_SWITCHES);
    switches[nswitches].thread = thread;
    switches[nswitches++].task = task;
    pthread_mutex_unlock(&switches_lock);
}

static void begin_switches(void)
{
    nswitches = 0;
    begin_with(
        (struct asq__pool_config){ .capacity = 1, .on_switch = on_switch, .user = switches });
}

static void check_switch(int i, unsigned thread, const struct job *job)
{
    ck_assert_int_lt(i, count_switches());
    ck_assert_uint_eq(switches[i].thread, thread);
    ck_assert_ptr_eq(switches[i].task, job ? &job->task : NULL);
}

START_TEST(each_switch_says_what_its_thread_runs)
{
    struct job job, next;
    begin_switches();
    submit(&job, park);
    wait_parked(1);
    ck_assert_int_eq(count_switches(), 2);
    check_switch(0, 1, &job);
    check_switch(1, 1, NULL);
    submit(&next, nothing);
    sup_wait_until(count_switches() == 4);
    check_switch(2, 1, &next);
    check_switch(3, 1, NULL);
    asq__pool_wake(pool, atomic_load(&job.fiber));
    sup_wait_until(count_switches() == 6);
    check_switch(4, 1, &job);
    check_switch(5, 1, NULL);
    job_init(&next, nothing);
    asq__pool_run_inline(pool, &next.task);
    check_switch(6, 0, &next);
    check_switch(7, 0, NULL);
    end();
}
END_TEST

static atomic_int ended_after; /* switches */

static void note_switches(struct asq__task *task)
{
    (void) task;
    atomic_store(&ended_after, count_switches());
}

START_TEST(a_task_has_ended_once_its_thread_has_left_it)
{
    struct job job;
    begin_switches();
    atomic_store(&ended_after, 0);
    job_init(&job, nothing);
    job.task.ended = note_switches;
    asq__pool_submit(pool, &job.task);
    sup_wait_until(atomic_load(&ended_after) == 2);
    check_switch(1, 1, NULL);
    end();
}
END_TEST

static void run_other_inline(struct job *job)
{
    asq__pool_run_inline(pool, &job->other->task);
}

START_TEST(an_inline_task_may_run_another_inside)
{
    struct job outer, inner;
    begin_switches();
    job_init(&outer, run_other_inline);
    job_init(&inner, park);
    outer.other = &inner;
    asq__pool_run_inline(pool, &outer.task);
    ck_assert(atomic_load(&outer.ended));
    ck_assert(!atomic_load(&inner.ended));
    check_switch(0, 0, &outer);
    check_switch(1, 0, &inner);
    check_switch(2, 0, &outer);
    check_switch(3, 0, NULL);
    asq__pool_wake(pool, atomic_load(&inner.fiber));
    ck_assert(asq__pool_inline_ready(pool));
    ck_assert(atomic_load(&inner.ended));
    end();
}
END_TEST

static int found;
static char found_names[200];
static int64_t found_ms;

static void on_found(void *user, const char *class_name, const char *method, int64_t ms)
{
    ck_assert_ptr_eq(user, &found);
    found++;
    snprintf(found_names, sizeof found_names, "%s.%s", class_name, method);
    found_ms = ms;
}

static int scan(int64_t in_ms)
{
    found = 0;
    asq__pool_scan(pool, asq__now_ms() + in_ms, 1000000, on_found, &found);
    return found;
}

static void block_twice(struct job *job)
{
    wait_gate(job);
    asq__pool_park();
    wait_gate(job);
}

START_TEST(a_thread_that_is_blocked_is_reported_once)
{
    struct job job;
    char name[] = "Sleeper";
    begin(2);
    ck_assert_int_eq(scan(9000000), 0);
    job_init(&job, block_twice);
    job.task.name_class = name;
    job.task.name_method = "sleep";
    asq__pool_submit(pool, &job.task);
    sup_wait_until(atomic_load(&job.begun));
    ck_assert_int_eq(scan(0), 0);
    ck_assert_int_eq(scan(2000000), 1);
    ck_assert_str_eq(found_names, "Sleeper.sleep");
    ck_assert_int_ge(found_ms, 2000000);
    ck_assert_int_eq(scan(3000000), 0);
    sem_post(&job.gate);
    wait_parked(1);
    ck_assert_int_eq(scan(9000000), 0); /* waiting is not blocking */
    asq__pool_wake(pool, atomic_load(&job.fiber));
    sup_wait_until(asq__pool_stats(pool).busy == 1);
    ck_assert_int_eq(scan(2000000), 1); /* another time */
    sem_post(&job.gate);
    wait_ended(&job);
    sup_wait_until(asq__pool_stats(pool).busy == 0);
    ck_assert_int_eq(scan(9000000), 0);
    end();
}
END_TEST

static void scan_inside(struct job *job)
{
    job->arg = scan(2000000);
}

static void scan_after_other_inline(struct job *job)
{
    asq__pool_run_inline(pool, &job->other->task);
    job->arg = scan(2000000);
}

START_TEST(what_ran_another_inline_is_reported_as_itself)
{
    struct job outer, inner;
    begin(1);
    job_init(&outer, scan_after_other_inline);
    job_init(&inner, nothing);
    outer.other = &inner;
    inner.task.name_method = "inner";
    asq__pool_run_inline(pool, &outer.task);
    ck_assert_int_eq(outer.arg, 1);
    ck_assert_str_eq(found_names, "Class.method");
    end();
}
END_TEST

START_TEST(the_loops_thread_is_reported_too)
{
    struct job job;
    char long_name[300];
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = '\0';
    begin(1);
    job_init(&job, scan_inside);
    asq__pool_run_inline(pool, &job.task);
    ck_assert_int_eq(job.arg, 1);
    ck_assert_str_eq(found_names, "Class.method");
    ck_assert_int_eq(scan(2000000), 0);
    job_init(&job, scan_inside);
    job.task.name_class = NULL;
    job.task.name_method = long_name; /* shortened */
    asq__pool_run_inline(pool, &job.task);
    ck_assert_int_eq(job.arg, 1);
    ck_assert_ptr_nonnull(strstr(found_names, ".xxxxxxxxxxxxxxxxxxxx"));
    end();
}
END_TEST

/* ---- the end ---- */

START_TEST(stop_waits_for_what_runs_and_says_when_it_does_not_end)
{
    struct job job;
    begin(2);
    submit(&job, block);
    sup_wait_until(atomic_load(&job.begun));
    ck_assert(!asq__pool_stop(pool, 1));
    ck_assert(!asq__pool_stop(pool, 0));
    sem_post(&job.gate);
    ck_assert(asq__pool_stop(pool, sup_limit_ms()));
    ck_assert(asq__pool_stop(pool, 0)); /* a second call does no harm */
    ck_assert(atomic_load(&job.ended));
    asq__pool_free(pool);
    asq__pool_free(NULL);
}
END_TEST

static bool is_mapped(const void *address)
{
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);
    unsigned char there;
    return mincore((void *) ((uintptr_t) address / page * page), 1, &there) == 0;
}

START_TEST(what_is_parked_at_the_end_goes_with_its_stack)
{
    struct job jobs[50], late;
    begin(2);
    for (int i = 0; i < 50; i++) {
        job_init(&jobs[i], park);
        if (i % 5 == 0)
            asq__pool_run_inline(pool, &jobs[i].task);
        else
            asq__pool_submit(pool, &jobs[i].task);
    }
    wait_parked(50);
    for (int i = 0; i < 50; i++)
        ck_assert(is_mapped(atomic_load(&jobs[i].fiber)));
    asq__pool_wake(pool, atomic_load(&jobs[0].fiber)); /* resumable */
    ck_assert(asq__pool_stop(pool, sup_limit_ms()));
    /* never resumed, because the pool has stopped */
    asq__pool_wake(pool, atomic_load(&jobs[1].fiber));
    submit(&late, nothing); /* never run either */
    asq__pool_free(pool);
    for (int i = 0; i < 50; i++) {
        ck_assert(!atomic_load(&jobs[i].ended));
        ck_assert(!is_mapped(atomic_load(&jobs[i].fiber)));
    }
    ck_assert(!atomic_load(&late.begun));
}
END_TEST

/* ---- when something lacks ---- */

static void limit_address_space(long more_kib)
{
    struct rlimit limit;
    FILE *f = fopen("/proc/self/statm", "re");
    long pages;
    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld", &pages), 1);
    fclose(f);
    getrlimit(RLIMIT_AS, &limit);
    limit.rlim_cur =
        more_kib < 0 ? limit.rlim_max
                     : (rlim_t) pages * (rlim_t) sysconf(_SC_PAGESIZE) + (rlim_t) more_kib * 1024;
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
}

START_TEST(a_task_waits_for_the_memory_of_its_stack)
{
    struct job job, parked, inline_job;
    if (SANITIZED)
        return;
    begin(1);
    submit(&parked, park);
    wait_parked(1);
    limit_address_space(512);
    job_init(&job, nothing);
    job.task.stack_size = 64 << 20;
    asq__pool_submit(pool, &job.task);
    job_init(&inline_job, nothing);
    inline_job.task.stack_size = 64 << 20;
    asq__pool_run_inline(pool, &inline_job.task);
    asq__pool_wake(pool, atomic_load(&parked.fiber)); /* other calls go on meanwhile */
    wait_ended(&parked);
    ck_assert(!atomic_load(&job.begun));
    ck_assert(!atomic_load(&inline_job.begun));
    limit_address_space(-1);
    wait_ended(&job);
    wait_ended(&inline_job);
    ck_assert(!pthread_equal(inline_job.thread, pthread_self()));
    end();
}
END_TEST

START_TEST(tasks_are_run_when_no_more_threads_can_be_started)
{
    struct job jobs[4];
    if (SANITIZED)
        return;
    begin(2);
    for (size_t i = 0; i < 4; i++) { /* stacks for later, all on one thread */
        submit(&jobs[i], park);
        wait_parked(i + 1);
    }
    for (int i = 0; i < 4; i++)
        asq__pool_wake(pool, atomic_load(&jobs[i].fiber));
    wait_parked(0);
    ck_assert_uint_eq(asq__pool_stats(pool).threads, 1);
    limit_address_space(64);
    for (int i = 0; i < 4; i++)
        submit(&jobs[i], block);
    sup_wait_until(asq__pool_stats(pool).refused > 0);
    for (int i = 0; i < 4; i++) {
        sem_post(&jobs[i].gate);
        wait_ended(&jobs[i]);
    }
    ck_assert_uint_eq(asq__pool_stats(pool).threads, 1);
    limit_address_space(-1);
    for (int i = 0; i < 2; i++)
        submit(&jobs[i], block);
    sup_wait_until(asq__pool_stats(pool).busy == 2);
    for (int i = 0; i < 2; i++) {
        sem_post(&jobs[i].gate);
        wait_ended(&jobs[i]);
    }
    end();
}
END_TEST

static void dig_for_ever(struct job *job)
{
    struct job here; /* large enough */
    job_init(&here, dig_for_ever);
    here.arg = job->arg + 1;
    if (here.arg > 0)
        here.fn(&here);
    ck_assert_int_eq(here.arg, job->arg + 1);
}

START_TEST(an_overflow_on_a_pools_thread_names_the_method)
{
    int fds[2], status;
    char text[1000];
    size_t n = 0;
    ssize_t got;
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid < 0)
        ck_abort_msg("fork");
    if (pid == 0) {
        struct job job;
        struct rlimit none = { 0, 0 };
        setrlimit(RLIMIT_CORE, &none);
        dup2(fds[1], STDERR_FILENO);
        begin(1);
        asq__fiber_install_fault_handler(NULL);
        job_init(&job, dig_for_ever);
        job.task.name_class = "Walker";
        job.task.name_method = "descend";
        job.task.stack_size = _i ? 64 << 10 : 0;
        asq__pool_submit(pool, &job.task);
        for (;;)
            pause();
    }
    close(fds[1]);
    while (n < sizeof text - 1 && (got = read(fds[0], text + n, sizeof text - 1 - n)) > 0)
        n += (size_t) got;
    text[n] = '\0';
    close(fds[0]);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    ck_assert_ptr_nonnull(
        strstr(text, _i ? "stack overflow in Walker.descend (stack 65536 bytes; "
                        : "stack overflow in Walker.descend (stack 262144 bytes; "));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pool");
    TCase *c = tcase_create("threads");
    tcase_add_test(c, tasks_run_on_the_pools_threads);
    tcase_add_test(c, threads_are_started_when_all_are_busy_up_to_the_capacity);
    tcase_add_test(c, a_burst_uses_all_threads);
    tcase_add_test(c, threads_that_are_idle_for_long_end);
    tcase_add_test(c, tasks_that_come_while_threads_end_are_run);
    tcase_add_test(c, tasks_submit_tasks);
    tcase_add_test(c, a_capacity_of_zero_is_one);
    suite_add_tcase(s, c);
    c = tcase_create("the loop's thread");
    tcase_add_test(c, an_inline_task_runs_at_once_on_the_callers_thread);
    tcase_add_test(c, a_wake_from_another_thread_is_announced_to_the_loop);
    tcase_add_test(c, an_inline_task_woken_before_it_parks_goes_on_in_the_next_turn);
    tcase_add_test(c, who_is_always_ready_does_not_keep_others_away);
    suite_add_tcase(s, c);
    c = tcase_create("what runs where");
    tcase_add_test(c, each_switch_says_what_its_thread_runs);
    tcase_add_test(c, a_task_has_ended_once_its_thread_has_left_it);
    tcase_add_test(c, an_inline_task_may_run_another_inside);
    tcase_add_test(c, a_thread_that_is_blocked_is_reported_once);
    tcase_add_test(c, the_loops_thread_is_reported_too);
    tcase_add_test(c, what_ran_another_inline_is_reported_as_itself);
    suite_add_tcase(s, c);
    c = tcase_create("the end");
    tcase_add_test(c, stop_waits_for_what_runs_and_says_when_it_does_not_end);
    tcase_add_test(c, what_is_parked_at_the_end_goes_with_its_stack);
    suite_add_tcase(s, c);
    c = tcase_create("when something lacks");
    tcase_add_test(c, a_task_waits_for_the_memory_of_its_stack);
    tcase_add_test(c, tasks_are_run_when_no_more_threads_can_be_started);
    if (!sup_is_wrapped())
        tcase_add_loop_test(c, an_overflow_on_a_pools_thread_names_the_method, 0, 2);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
