/*
 * check_server.c: the private Redis of child mode and its keeper: signals that end them, what
 * remains, and the error when the server does not start.
 */
#include "client/server.h"

#include "asqueue.h"
#include "support/remains.h"
#include "support/suite.h"
#include "support/support.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { READY_MS = 30000 };

static char err[1024];

static struct asq__server *start(void)
{
    struct asq__server *s = NULL;
    int rc = asq__server_start(&s, err, sizeof err);

    ck_assert_msg(rc == 0, "%s", err);
    rc = asq__server_wait_ready(s, READY_MS, err, sizeof err);
    ck_assert_msg(rc == 0, "%s", err);
    return s;
}

/* Starts a server that does not come up, by the program in ASQUEUE_REDIS_SERVER. Returns the code,
 * with a text in err. */
static int start_code(int64_t timeout_ms)
{
    struct asq__server *s = NULL;
    int rc;

    err[0] = '\0';
    rc = asq__server_start(&s, err, sizeof err);
    if (rc == 0) {
        rc = asq__server_wait_ready(s, timeout_ms, err, sizeof err);
        asq__server_stop(s);
    }
    return rc;
}

static bool answers(const struct asq__server *s)
{
    redisContext *c = redisConnectUnix(asq__server_path(s));
    redisReply *r = c && !c->err ? redisCommand(c, "PING") : NULL;
    bool ok = r && r->type == REDIS_REPLY_STATUS && strcmp(r->str, "PONG") == 0;

    freeReplyObject(r);
    if (c)
        redisFree(c);
    return ok;
}

static pid_t server_pid(const struct asq__server *s)
{
    redisContext *c = redisConnectUnix(asq__server_path(s));
    redisReply *r = c && !c->err ? redisCommand(c, "INFO server") : NULL;
    const char *at = r && r->str ? strstr(r->str, "process_id:") : NULL;
    pid_t pid;

    ck_assert_msg(at != NULL, "no process_id");
    pid = (pid_t) atol(at + strlen("process_id:"));
    freeReplyObject(r);
    redisFree(c);
    return pid;
}

static void program_is(const char *script)
{
    char *path = sup_write_file("server.sh", script);

    ck_assert_int_eq(chmod(path, 0700), 0);
    setenv("ASQUEUE_REDIS_SERVER", path, 1);
    free(path);
}

#define ck_assert_said(part) ck_assert_msg(strstr(err, part) != NULL, "no \"%s\" in: %s", part, err)

/* ---- in order ---- */

START_TEST(it_answers_and_is_gone_when_stop_returns)
{
    remains_watch("t");
    struct asq__server *s = start();
    pid_t server = server_pid(s), keeper = remains_parent(server);
    ck_assert(answers(s));
    ck_assert(!remains_no_file());
    asq__server_stop(s);
    ck_assert(remains_no_file());
    ck_assert(!sup_pid_running(server));
    ck_assert(!sup_pid_running(keeper));
    remains_nothing();
}
END_TEST

static atomic_int n_sigchld;

static void on_sigchld(int signal)
{
    (void) signal;
    atomic_fetch_add(&n_sigchld, 1);
}

START_TEST(it_is_no_child_of_the_program_and_sends_it_no_signal)
{
    (void) sup_dir();
    signal(SIGCHLD, on_sigchld);
    struct asq__server *s = start();
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG | __WALL), -1);
    ck_assert_int_eq(errno, ECHILD);
    asq__server_stop(s);
    ck_assert_int_eq(atomic_load(&n_sigchld), 0);
}
END_TEST

START_TEST(a_program_that_ignores_sigchld_can_have_it_too)
{
    remains_watch("t");
    signal(SIGCHLD, SIG_IGN);
    struct asq__server *s = start();
    ck_assert(answers(s));
    asq__server_stop(s);
    remains_nothing();
}
END_TEST

START_TEST(other_files_in_its_directory_go_with_it)
{
    remains_watch("t");
    struct asq__server *s = start();
    redisContext *c = redisConnectUnix(asq__server_path(s));
    redisReply *r = redisCommand(c, "SET k v");
    freeReplyObject(r);
    r = redisCommand(c, "SAVE");
    ck_assert_msg(r && r->type == REDIS_REPLY_STATUS, "SAVE: %s", r ? r->str : c->errstr);
    freeReplyObject(r);
    redisFree(c);
    char *at = sup_format("%s", asq__server_path(s));
    *strrchr(at, '/') = '\0';
    char *dump = sup_format("%s/dump.rdb", at), *sub = sup_format("%s/sub", at),
         *below = sup_format("%s/sub/file", at);
    ck_assert_int_eq(access(dump, F_OK), 0);
    ck_assert_int_eq(mkdir(sub, 0700), 0);
    close(open(below, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    ck_assert_int_eq(access(below, F_OK), 0);
    for (int i = 0; i < 300; i++) { /* more lines than are read at a time */
        char *many = sup_format("%s/a-rather-long-name-of-a-file-%d", at, i);
        close(open(many, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
        free(many);
    }
    asq__server_stop(s);
    remains_nothing();
    free(at), free(dump), free(sub), free(below);
}
END_TEST

START_TEST(its_directory_is_for_its_user_alone)
{
    struct stat st;
    remains_watch("t");
    umask(0);
    struct asq__server *s = start();
    char *at = sup_format("%s", asq__server_path(s));
    ck_assert_int_eq(stat(at, &st), 0);
    ck_assert_uint_eq(st.st_mode & 077, 0);
    *strrchr(at, '/') = '\0';
    ck_assert_int_eq(stat(at, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0700);
    asq__server_stop(s);
    free(at);
}
END_TEST

START_TEST(a_runtime_directory_is_used_if_it_is_private)
{
    const char *tmp = remains_watch("t");
    char *runtime = sup_path("run");
    ck_assert_int_eq(mkdir(runtime, 0700), 0);
    setenv("XDG_RUNTIME_DIR", runtime, 1);
    struct asq__server *s = start();
    ck_assert_int_eq(strncmp(asq__server_path(s), runtime, strlen(runtime)), 0);
    asq__server_stop(s);
    ck_assert_int_eq(chmod(runtime, 0755), 0);
    s = start();
    ck_assert_int_eq(strncmp(asq__server_path(s), tmp, strlen(tmp)), 0);
    asq__server_stop(s);
    free(runtime);
}
END_TEST

START_TEST(its_keeper_sleeps)
{
    remains_watch("t");
    int fd = (int) syscall(SYS_pidfd_open, getpid(), 0);
    if (fd < 0)
        return; /* the kernel offers no way to */
    close(fd);
    struct asq__server *s = start();
    char *path = sup_format("/proc/%d/status", (int) remains_parent(server_pid(s)));
    long n[2];
    for (int i = 0; i < 2; i++) {
        if (i == 1)
            sup_sleep_ms(1500);
        char *status = sup_read_file(path), *at = strstr(status, "\nvoluntary_ctxt_switches:");
        ck_assert_ptr_nonnull(at);
        n[i] = atol(at + strlen("\nvoluntary_ctxt_switches:"));
        free(status);
    }
    ck_assert_int_le(n[1] - n[0], 1);
    asq__server_stop(s);
    free(path);
}
END_TEST

/* ---- kills ---- */

START_TEST(signals_end_neither_server_nor_keeper)
{
    static const int signals[] = { SIGTERM, SIGINT, SIGHUP };
    remains_watch("t");
    struct asq__server *s = start();
    pid_t server = server_pid(s), keeper = remains_parent(server);
    char name[64];
    remains_name(keeper, name, sizeof name);
    ck_assert_str_eq(name, "asq-keeper");
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(kill(server, signals[i]), 0);
        ck_assert_int_eq(kill(keeper, signals[i]), 0);
    }
    ck_assert_int_eq(kill(keeper, SIGUSR1), 0);
    ck_assert_int_eq(kill(keeper, SIGSEGV), 0);
    for (int i = 0; i < 20; i++) { /* the server checks for signals ten times a second */
        ck_assert(answers(s));
        sup_sleep_ms(20);
    }
    ck_assert_int_eq(server_pid(s), server);
    ck_assert(sup_pid_running(keeper));
    asq__server_stop(s);
    remains_nothing();
}
END_TEST

START_TEST(all_is_gone_when_the_program_is_killed)
{
    int fds[2];
    pid_t pids[2], program;
    remains_watch("t");
    ck_assert_int_eq(pipe(fds), 0);
    if ((program = fork()) == 0) {
        setpgid(0, 0);
        struct asq__server *s = start();
        pids[0] = server_pid(s);
        pids[1] = remains_parent(pids[0]);
        if (write(fds[1], pids, sizeof pids) == (ssize_t) sizeof pids)
            for (;;)
                pause();
        _exit(1);
    }
    ck_assert_int_eq(read(fds[0], pids, sizeof pids), sizeof pids);
    ck_assert(sup_pid_running(pids[0]) && sup_pid_running(pids[1]));
    ck_assert_int_eq(kill(_i ? -program : program, SIGKILL), 0);
    remains_nothing();
    ck_assert(!sup_pid_running(pids[0]) && !sup_pid_running(pids[1]));
}
END_TEST

START_TEST(all_is_gone_after_stop_when_the_keeper_was_killed)
{
    remains_watch("t");
    struct asq__server *s = start();
    pid_t server = server_pid(s);
    ck_assert_int_eq(kill(remains_parent(server), SIGKILL), 0);
    sup_wait_until(!sup_pid_running(server));
    asq__server_stop(s);
    remains_nothing();
}
END_TEST

START_TEST(a_keeper_that_hangs_is_killed)
{
    remains_watch("t");
    struct asq__server *s = start();
    ck_assert_int_eq(kill(remains_parent(server_pid(s)), SIGSTOP), 0);
    asq__server_stop(s);
    remains_nothing();
}
END_TEST

START_TEST(all_is_gone_after_stop_when_the_server_was_killed)
{
    remains_watch("t");
    struct asq__server *s = start();
    pid_t server = server_pid(s);
    ck_assert_int_eq(kill(server, SIGKILL), 0);
    sup_wait_until(!sup_pid_running(server));
    asq__server_stop(s);
    remains_nothing();
}
END_TEST

/* ---- forked processes ---- */

START_TEST(a_forked_process_cannot_stop_it)
{
    int status;
    pid_t child;
    remains_watch("t");
    struct asq__server *s = start();
    pid_t server = server_pid(s);
    if ((child = fork()) == 0) {
        asq__server_stop(s);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert(answers(s));
    ck_assert_int_eq(server_pid(s), server);
    asq__server_stop(s);
    remains_nothing();
}
END_TEST

static atomic_bool enough;
static pid_t forked[64];
static size_t n_forked;

static void *fork_many(void *arg)
{
    (void) arg;
    while (!atomic_load(&enough) && n_forked < sizeof forked / sizeof *forked) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        forked[n_forked++] = pid;
    }
    return NULL;
}

/* Processes inherit all descriptors that are open at that instant, also the keeper's. */
START_TEST(processes_forked_while_it_starts_do_not_hold_it)
{
    pthread_t thread;
    remains_watch("t");
    ck_assert_int_eq(pthread_create(&thread, NULL, fork_many, NULL), 0);
    struct asq__server *s = start();
    atomic_store(&enough, true);
    pthread_join(thread, NULL);
    ck_assert_uint_gt(n_forked, 0);
    pid_t server = server_pid(s), keeper = remains_parent(server);
    int64_t before_ms = sup_now_ms();
    asq__server_stop(s);
    ck_assert(!sup_pid_running(server) && !sup_pid_running(keeper));
    ck_assert(remains_no_file());
    ck_assert_int_lt(sup_now_ms() - before_ms, sup_limit_ms());
    for (size_t i = 0; i < n_forked; i++)
        kill(forked[i], SIGKILL);
    remains_nothing();
}
END_TEST

START_TEST(a_forked_process_that_stays_does_not_keep_it_alive)
{
    int fds[2];
    pid_t pids[2], program; /* pids: the server, and the process that stays */
    remains_watch("t");
    ck_assert_int_eq(pipe(fds), 0);
    if ((program = fork()) == 0) {
        struct asq__server *s = start();
        pids[0] = server_pid(s);
        if ((pids[1] = fork()) == 0)
            for (;;)
                pause();
        if (write(fds[1], pids, sizeof pids) == (ssize_t) sizeof pids)
            raise(SIGKILL);
        _exit(1);
    }
    ck_assert_int_eq(read(fds[0], pids, sizeof pids), sizeof pids);
    sup_wait_until(!sup_pid_running(pids[0]));
    sup_wait_until(remains_no_file());
    ck_assert(sup_pid_running(pids[1]));
    ck_assert_int_eq(kill(pids[1], SIGKILL), 0);
    remains_nothing();
}
END_TEST

/* ---- failures to start ---- */

START_TEST(what_a_server_says_before_it_ends_is_told)
{
    remains_watch("t");
    program_is("#!/bin/sh\necho first; echo 'no luck with this option' >&2; exit 3\n");
    ck_assert_int_eq(start_code(READY_MS), ASQ_ESYS);
    ck_assert_said("server.sh");
    ck_assert_said("status 3");
    ck_assert_said("no luck with this option");
    program_is("#!/bin/sh\nkill -9 $$\n");
    ck_assert_int_eq(start_code(READY_MS), ASQ_ESYS);
    ck_assert_said("signal 9");
    remains_nothing();
}
END_TEST

START_TEST(of_a_long_log_the_last_lines_are_told)
{
    remains_watch("t");
    program_is("#!/bin/sh\nfor i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n"
               "echo \"line $i of a log that is too long for an error\"; done\nexit 1\n");
    ck_assert_int_eq(start_code(READY_MS), ASQ_ESYS);
    ck_assert_said("line 20 of a log");
    ck_assert_said("its log: line 1"); /* begins with a whole line: one of 11 to 19 */
    ck_assert_ptr_null(strstr(err, "line 1 of"));
    ck_assert_ptr_null(strchr(err, '\n'));
    remains_nothing();
}
END_TEST

START_TEST(a_server_that_cannot_be_executed_is_told_with_the_reason)
{
    remains_watch("t");
    program_is("#!/no/such/shell\n");
    ck_assert_int_eq(start_code(READY_MS), ASQ_ENOSERVER);
    ck_assert_said("server.sh");
    ck_assert_said(strerror(ENOENT));
    remains_nothing();
}
END_TEST

START_TEST(a_server_that_does_not_answer_is_ended)
{
    remains_watch("t");
    program_is("#!/bin/sh\nsleep 1000 & wait\n");
    ck_assert_int_eq(start_code(100), ASQ_ETIMEOUT);
    ck_assert_said("server.sh");
    ck_assert_said("without any output");
    program_is("#!/bin/sh\necho still loading\nsleep 1000 & wait\n");
    for (int ms = 100; start_code(ms) == ASQ_ETIMEOUT && !strstr(err, "still loading"); ms *= 2)
        ck_assert_int_lt(ms, READY_MS);
    ck_assert_said("does not answer after");
    remains_nothing();
}
END_TEST

START_TEST(a_variable_that_names_no_program_is_named)
{
    remains_watch("t");
    setenv("ASQUEUE_REDIS_SERVER", "/no/such/server", 1);
    ck_assert_int_eq(start_code(READY_MS), ASQ_ENOSERVER);
    ck_assert_said("ASQUEUE_REDIS_SERVER");
    ck_assert_said("/no/such/server");
    setenv("ASQUEUE_REDIS_SERVER", "no-such-server", 1);
    ck_assert_int_eq(start_code(READY_MS), ASQ_ENOSERVER);
    ck_assert_said("no-such-server");
    remains_nothing();
}
END_TEST

/* ---- search for the program ---- */

/* Makes DIR/bin/NAME, which runs the real program. */
static char *make_wrapper(const char *name)
{
    static const char *const argv[] = { "sh", "-c",
                                        "command -v redis-server || command -v valkey-server",
                                        NULL };
    char *real = NULL, *bin = sup_path("bin"), *file = sup_format("bin/%s", name);
    ck_assert_int_eq(sup_run(argv, &real, NULL), 0);
    real[strcspn(real, "\n")] = '\0';
    mkdir(bin, 0700);
    char *text = sup_format("#!/bin/sh\nexec %s \"$@\"\n", real);
    char *path = sup_write_file(file, text);
    ck_assert_int_eq(chmod(path, 0700), 0);
    ck_assert_int_eq(chdir(sup_dir()), 0);
    free(real), free(bin), free(file), free(text);
    return path;
}

START_TEST(relative_paths_are_of_the_programs_directory)
{
    char *path = make_wrapper("my-redis");
    remains_watch("t");
    setenv("ASQUEUE_REDIS_SERVER", "bin/my-redis", 1);
    asq__server_stop(start());
    setenv("PATH", "/no/such/folder:bin", 1);
    setenv("ASQUEUE_REDIS_SERVER", "my-redis", 1);
    asq__server_stop(start());
    remains_nothing();
    free(path);
}
END_TEST

START_TEST(either_of_the_two_programs_will_do)
{
    char *path = make_wrapper(_i ? "valkey-server" : "redis-server");
    remains_watch("t");
    setenv("PATH", "bin", 1);
    unsetenv("ASQUEUE_REDIS_SERVER");
    asq__server_stop(start());
    remains_nothing();
    free(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("server");
    TCase *t = tcase_create("in order");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    if (!sup_is_wrapped()) /* valgrind knows no pidfd_open */
        tcase_add_test(t, it_answers_and_is_gone_when_stop_returns);
    tcase_add_test(t, it_is_no_child_of_the_program_and_sends_it_no_signal);
    tcase_add_test(t, a_program_that_ignores_sigchld_can_have_it_too);
    tcase_add_test(t, other_files_in_its_directory_go_with_it);
    tcase_add_test(t, its_directory_is_for_its_user_alone);
    tcase_add_test(t, a_runtime_directory_is_used_if_it_is_private);
    tcase_add_test(t, its_keeper_sleeps);
    suite_add_tcase(s, t);

    t = tcase_create("killed");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, signals_end_neither_server_nor_keeper);
    tcase_add_loop_test(t, all_is_gone_when_the_program_is_killed, 0, 2);
    tcase_add_test(t, all_is_gone_after_stop_when_the_keeper_was_killed);
    tcase_add_test(t, a_keeper_that_hangs_is_killed);
    tcase_add_test(t, all_is_gone_after_stop_when_the_server_was_killed);
    tcase_add_test(t, a_forked_process_cannot_stop_it);
    if (!sup_is_wrapped()) /* valgrind knows no pidfd_open */
        tcase_add_test(t, processes_forked_while_it_starts_do_not_hold_it);
    if (!sup_is_wrapped()) /* valgrind knows no pidfd_open */
        tcase_add_test(t, a_forked_process_that_stays_does_not_keep_it_alive);
    suite_add_tcase(s, t);

    t = tcase_create("start");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, what_a_server_says_before_it_ends_is_told);
    tcase_add_test(t, of_a_long_log_the_last_lines_are_told);
    if (!sup_is_wrapped()) /* valgrind knows no pidfd_open */
        tcase_add_test(t, a_server_that_cannot_be_executed_is_told_with_the_reason);
    tcase_add_test(t, a_server_that_does_not_answer_is_ended);
    tcase_add_test(t, a_variable_that_names_no_program_is_named);
    tcase_add_test(t, relative_paths_are_of_the_programs_directory);
    tcase_add_loop_test(t, either_of_the_two_programs_will_do, 0, 2);
    suite_add_tcase(s, t);

    return sup_suite_run(s);
}
