/*
 * check_signals.c: as-worker's signals and its log: the log line of each signal, a log without a
 * reader, a log that is moved away. Also orphans that a worker adopts, like process 1 of a
 * container.
 */
#include "asqueue.h"
#include "classes.h"
#include "load.h"
#include "support/suite.h"
#include "support/support.h"
#include "value/unconst.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static sup_redis *redis;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
}

static void tear_down(void)
{
    sup_redis_free(redis);
}

static bool says(const char *path, const char *text)
{
    char *log = sup_read_file(path);
    bool found = strstr(log, text);

    free(log);
    return found;
}

/* Starts as-worker itself, without a shell; its stderr is fd, or a file. */
static pid_t start(int fd, const char *log_file)
{
    char *program = strdup(sup_program("as-worker")), *dir = strdup(sup_agent_dir());
    const char *argv[] = { program,
                           "-u",
                           sup_url_as(sup_redis_url(redis), "worker"),
                           "--agent-dir",
                           dir,
                           "--id",
                           "w",
                           "--lease-time",
                           "1s",
                           "--log-file",
                           log_file,
                           NULL };
    pid_t pid;

    if (!log_file)
        argv[9] = NULL;
    fflush(NULL);
    if ((pid = fork()) == 0) {
        for (int sig = 1; sig < 32; sig++)
            signal(sig, SIG_DFL);
        if (fd >= 0)
            dup2(fd, 2);
        execv(program, asq__unconst(argv));
        _exit(127);
    }
    free(program);
    free(dir);
    sup_wait_until(sup_redis_workers(redis, "default") == 1);
    return pid;
}

static void stop(pid_t pid, int sig)
{
    int status;

    kill(pid, sig);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

START_TEST(hangup_opens_the_log_again_in_every_process)
{
    char *log = sup_path("w.log"), *old = sup_path("w.log.1");
    pid_t pid = start(-1, log);

    ck_assert_int_eq(rename(log, old), 0);
    kill(pid, SIGHUP);
    sup_wait_until(says(log, "SIGHUP: the log is opened again"));
    kill(pid, SIGUSR1);
    sup_wait_until(says(log, "state: w,") && says(log, "state: w.0: "));
    ck_assert(!says(old, "state: "));
    stop(pid, SIGTERM);
    ck_assert(says(log, "stopping"));
    ck_assert(says(log, "] w has stopped\n"));
    free(log);
    free(old);
}
END_TEST

START_TEST(every_signal_has_a_line)
{
    static const struct {
        int sig;
        const char *text;
        bool ends;
    } all[] = { { SIGHUP, "SIGHUP: there is no log to open again", false },
                { SIGUSR2, "] SIGUSR2 has no meaning for a worker, and is ignored", false },
                { SIGALRM, "] SIGALRM has no meaning", false },
                { SIGVTALRM, "] SIGVTALRM has no meaning", false },
                { SIGPROF, "] SIGPROF has no meaning", false },
                { SIGIO, "] SIGIO has no meaning", false },
                { SIGPWR, "] SIGPWR has no meaning", false },
                { 0, "] SIGRTMIN+0 has no meaning", false },
                { SIGXCPU, "] SIGXCPU: the CPU time that it may use is spent", true },
                { SIGUSR1, "partitions", false },
                { SIGQUIT, "SIGQUIT", true },
                { SIGTERM, "SIGTERM", true },
                { SIGINT, "SIGINT", true } };
    char *log = sup_path("signals.log");
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    pid_t pid = start(fd, NULL);
    int sig = all[_i].sig ? all[_i].sig : SIGRTMIN; /* a variable */

    if (all[_i].ends) {
        stop(pid, sig);
        ck_assert(says(log, all[_i].text));
    } else {
        kill(pid, sig);
        sup_wait_until(says(log, all[_i].text));
        stop(pid, SIGTERM);
    }
    close(fd);
    free(log);
}
END_TEST

/* The process goes on, and the supervisor logs a line. */
START_TEST(a_signal_that_means_nothing_to_a_process_has_a_line)
{
    const int all[] = { SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGRTMIN };
    char *log = sup_path("signals.log");
    pid_t pid = start(-1, log), process = sup_redis_worker_pid(redis, "w.0");

    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        kill(process, all[i]);
    sup_wait_until(says(log, "] w.0 has got SIGUSR2, which has no meaning for a worker process"));
    sup_wait_until(says(log, "has got SIGALRM,") && says(log, "has got SIGVTALRM,") &&
                   says(log, "has got SIGPROF,") && says(log, "has got SIGIO,") &&
                   says(log, "has got SIGRTMIN+0,"));
    ck_assert_int_eq(sup_redis_worker_pid(redis, "w.0"), process);
    kill(process, SIGXCPU);
    sup_wait_until(says(log, "w.0 was ended by signal 24"));
    stop(pid, SIGTERM);
    free(log);
}
END_TEST

/* A log that reaches the size limit of files ends no process. */
START_TEST(a_log_file_beyond_its_limit_stops_nothing)
{
    char *log = sup_path("small.log");
    struct rlimit old, small;

    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){ 300, old.rlim_max };
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    pid_t pid = start(-1, log);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    pid_t process = sup_redis_worker_pid(redis, "w.0");
    for (int i = 0; i < 20; i++) {
        kill(pid, SIGHUP);
        kill(pid, SIGUSR1);
        sup_sleep_ms(1);
    }
    sup_wait_until(sup_redis_workers(redis, "default") == 1);
    ck_assert_int_eq(sup_redis_worker_pid(redis, "w.0"), process);
    stop(pid, SIGTERM);
    free(log);
}
END_TEST

static void flood(pid_t pid)
{
    for (int i = 0; i < 3000; i++) { /* some lines each, when the signals are not merged */
        kill(pid, SIGHUP);
        kill(pid, SIGUSR1);
        sup_sleep_ms(1);
    }
}

START_TEST(a_log_that_nobody_reads_stops_nothing)
{
    asq_value *v = NULL;
    asq_agent *a = NULL;
    char err[500], *rest;
    int fds[2], to;
    asq *h;
    pid_t pid;

    ck_assert_int_eq(pipe2(fds, O_CLOEXEC), 0);
    ck_assert_int_gt(fcntl(fds[1], F_SETPIPE_SZ, 4096), 0);
    pid = start(fds[1], NULL);
    close(fds[1]);
    flood(pid);
    ck_assert_int_eq(load_asq_open(sup_redis_url(redis), NULL, &h, err, sizeof err), 0);
    asq_set_timeout(h, sup_limit_ms());
    ck_assert_int_eq(asq_create(h, "Echo", NULL, &a, NULL), 0);
    ck_assert_int_eq(asq_call_wait(a, "echo", &v, "[i]", 1), 0);
    asq_value_free(v);
    asq_agent_free(a);
    asq_close(h);
    /* From here on the log has a reader again. */
    rest = sup_path("rest");
    to = open(rest, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ck_assert_int_eq(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    for (int64_t end = sup_now_ms() + sup_limit_ms(); !says(rest, "lines of the log were lost");) {
        char data[4096];
        ssize_t n = read(fds[0], data, sizeof data);
        if (n > 0)
            ck_assert_int_eq(write(to, data, (size_t) n), n);
        else
            kill(pid, SIGHUP), sup_sleep_ms(5);
        ck_assert_int_lt(sup_now_ms(), end);
    }
    close(fds[0]); /* the reader ends, but no process dies of that */
    kill(pid, SIGUSR1);
    stop(pid, SIGTERM);
    close(to);
    free(rest);
}
END_TEST

/* Runs workers as as-worker does, with an orphan that ends at once or when `until` has no writer
 * any more: a subreaper has earlier children of its own. (libtool's as-worker is a shell script,
 * and would wait for them.) */
static void work_with_orphan(bool at_once, const int until[2], pid_t *ret_orphan)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    siginfo_t info;
    pid_t middle, orphan;
    asq_worker *w;
    char c, err[500];

    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    if ((middle = fork()) == 0) {
        if ((orphan = fork()) == 0) {
            close(until[1]);
            _exit(at_once ? 0 : read(until[0], &c, 1) != 0);
        }
        *ret_orphan = orphan;
        _exit(0);
    }
    waitpid(middle, NULL, 0);
    if (at_once)
        waitid(P_PID, (id_t) *ret_orphan, &info, WEXITED | WNOWAIT);
    options.url = sup_url_as(sup_redis_url(redis), "worker");
    options.id = "w";
    options.reap_orphans = true;
    if (asq_worker_new(&options, &w, err, sizeof err) < 0 || asq_worker_register(w, classes[0]) < 0)
        _exit(1);
    close(until[0]);
    close(until[1]);
    _exit(asq_worker_run(w) < 0);
}

/* Orphans that have ended before the worker begins, and that end later. */
START_TEST(orphans_that_come_to_a_worker_are_waited_for)
{
    pid_t pid, *orphan = mmap(NULL, sizeof *orphan, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status, until[2];

    ck_assert_ptr_ne(orphan, MAP_FAILED);
    ck_assert_int_eq(pipe2(until, O_CLOEXEC), 0);
    fflush(NULL);
    if ((pid = fork()) == 0)
        work_with_orphan(_i == 0, until, orphan);
    close(until[0]);
    sup_wait_until(sup_redis_workers(redis, "default") == 1);
    ck_assert_int_gt(*orphan, 0);
    if (_i == 1)
        ck_assert_int_eq(kill(*orphan, 0), 0);
    close(until[1]);
    sup_wait_until(kill(*orphan, 0) < 0); /* a zombie would still be there */
    kill(pid, SIGTERM);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    munmap(orphan, sizeof *orphan);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("signals");
    TCase *c = tcase_create("signals");

    if (!sup_redis_available())
        return sup_skip("there is no redis-server");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, hangup_opens_the_log_again_in_every_process);
    tcase_add_loop_test(c, every_signal_has_a_line, 0, 13);
    tcase_add_test(c, a_signal_that_means_nothing_to_a_process_has_a_line);
    tcase_add_test(c, a_log_file_beyond_its_limit_stops_nothing);
    tcase_add_test(c, a_log_that_nobody_reads_stops_nothing);
    tcase_add_loop_test(c, orphans_that_come_to_a_worker_are_waited_for, 0, 2);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
