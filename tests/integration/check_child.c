/*
 * check_child.c: child mode as programs see it: what remains after any kind of end, what handles
 * share, and the error when child mode cannot start.
 */
#include "classes.h"
#include "modes.h"
#include "support/remains.h"
#include "support/suite.h"

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROCESSES = 2, ALL = 1 + 1 + 1 + PROCESSES }; /* keeper, server; supervisor, workers */

static char err[1024];

static asq *open_child(void)
{
    mode = MODE_CHILD;
    return modes_open_url("child:");
}

static asq_agent *counter_on(asq *h, const char *id, int value)
{
    asq_agent *a = NULL;
    asq_value *args = asq_pack("{s:i}", "value", value);
    int rc = asq_createv(h, "Counter", id, args, &a);

    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    return a;
}

static int64_t add(asq *h, asq_agent *a, int n)
{
    asq_value *ret = NULL;
    int64_t value = -1;
    int rc = asq_call_wait(a, "add", &ret, "[i]", n);

    ck_assert_msg(rc == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_value_get_int(ret, &value), 0);
    asq_value_free(ret);
    return value;
}

static size_t n_descendants(pid_t pid)
{
    pid_t pids[64];

    return remains_descendants(pid, pids, 64);
}

/* ---- the end of a program ---- */

static asq *h;       /* Handle of a program, reachable until its end like a user's handle. */
static asq_agent *a; /* agent on that handle */
static void (*on_sigint)(int) = SIG_DFL;

/* Starts a program in a process group of its own. The program uses an agent, reports, and ends
 * by `end`. */
static pid_t start_program(void (*end)(void))
{
    int fds[2], status;
    char byte;
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    fflush(NULL);
    if ((pid = fork()) == 0) {
        struct rlimit no_core = { 0, 0 };
        setrlimit(RLIMIT_CORE, &no_core);
        setpgid(0, 0);
        signal(SIGINT, on_sigint); /* not Check's own handlers */
        signal(SIGTERM, SIG_DFL);
        close(fds[0]);
        h = open_child();
        a = counter_on(h, "tally", 40);
        if (add(h, a, 2) != 42 || write(fds[1], "x", 1) != 1)
            _exit(1);
        close(fds[1]);
        end();
        for (;;)
            pause();
    }
    close(fds[1]);
    if (read(fds[0], &byte, 1) != 1) {
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_abort_msg("the program has ended with status 0x%x", (unsigned) status);
    }
    close(fds[0]);
    return pid;
}

static void stay(void) {}

static void close_and_exit(void)
{
    asq_agent_free(a);
    asq_close(h);
    exit(0);
}

static void exit_without_close(void)
{
    exit(0);
}

static void exit_at_once(void)
{
    _exit(0);
}

static char *begun; /* file by which a call shows that it runs */

static void start_long_call(void)
{
    asq_agent *echo = NULL;
    asq_result *r = NULL;

    if (asq_createv(h, "Echo", NULL, NULL, &echo) < 0 ||
        asq_callv(echo, "hold", NULL, asq_pack("[s, s]", begun, "/no/such/file"), &r) < 0)
        _exit(1);
    asq_result_free(r);
    asq_agent_free(echo);
    while (!exists(begun))
        asq_flush(h, 5);
}

static void exit_with_calls_under_way(void)
{
    start_long_call();
    exit(0);
}

static void close_with_calls_under_way(void)
{
    start_long_call();
    close_and_exit();
}

static void abort_it(void)
{
    signal(SIGABRT, SIG_DFL);
    abort();
}

static void segfault(void)
{
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

static void kill_itself(void)
{
    raise(SIGKILL);
}

static const struct end {
    const char *name;
    void (*run)(void);
    int status; /* exit status, or 128 + signal */
} ends[] = {
    { "asq_close, exit", close_and_exit, 0 },
    { "exit without asq_close", exit_without_close, 0 },
    { "_exit", exit_at_once, 0 },
    { "exit with calls under way", exit_with_calls_under_way, 0 },
    { "asq_close with calls under way", close_with_calls_under_way, 0 },
    { "abort", abort_it, 128 + SIGABRT },
    { "SIGSEGV", segfault, 128 + SIGSEGV },
    { "SIGKILL", kill_itself, 128 + SIGKILL },
};

static void check_status(const char *name, pid_t pid, int expected)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    ck_assert_msg(status == expected, "%s: status %d, not %d", name, status, expected);
}

START_TEST(a_program_leaves_nothing_however_it_ends)
{
    remains_watch("t");
    begun = sup_path("begun");
    check_status(ends[_i].name, start_program(ends[_i].run), ends[_i].status);
    remains_nothing();
    free(begun);
}
END_TEST

static const int group_signals[] = { SIGKILL, SIGINT, SIGTERM, SIGHUP, SIGQUIT };

START_TEST(a_signal_to_its_process_group_leaves_nothing)
{
    int signal = group_signals[_i];
    remains_watch("t");
    pid_t pid = start_program(stay);
    ck_assert_int_eq(kill(-pid, signal), 0);
    check_status("a signal to the group", pid, 128 + signal);
    remains_nothing();
}
END_TEST

/* Kills as `pkill -9 NAME` does: the workers and their supervisor have the program's name. */
START_TEST(killing_all_of_its_name_leaves_nothing)
{
    pid_t pids[64];
    char mine[64], name[64];
    int status;
    remains_watch("t");
    pid_t pid = start_program(stay);
    remains_name(pid, mine, sizeof mine);
    size_t n = remains_descendants(getpid(), pids, 64);
    ck_assert_uint_eq(n, 1 + ALL);
    for (size_t i = 0; i < n; i++) {
        remains_name(pids[i], name, sizeof name);
        if (strcmp(name, mine) == 0)
            kill(pids[i], SIGKILL);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    remains_nothing();
}
END_TEST

static volatile sig_atomic_t interrupted;

static void on_interrupt(int signal)
{
    (void) signal;
    interrupted = 1;
}

static void end_in_order_when_interrupted(void)
{
    while (!interrupted)
        sup_sleep_ms(5);
    for (int i = 0; i < 50;
         i++) { /* gives the other processes, which have got the signal, time to end */
        if (add(h, a, 1) != 43 + i)
            _exit(1);
        sup_sleep_ms(10);
    }
    close_and_exit();
}

START_TEST(a_program_that_handles_ctrl_c_can_finish_its_calls)
{
    remains_watch("t");
    on_sigint = on_interrupt;
    pid_t pid = start_program(end_in_order_when_interrupted);
    ck_assert_int_eq(kill(-pid, SIGINT), 0);
    check_status("Ctrl-C", pid, 0);
    remains_nothing();
}
END_TEST

/* Sends SIGTERM to all processes, as a service manager does. */
START_TEST(a_program_can_finish_its_calls_when_all_its_processes_get_sigterm)
{
    pid_t pids[64];
    remains_watch("t");
    H = open_child();
    asq_agent *c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    size_t n = remains_descendants(getpid(), pids, 64);
    ck_assert_uint_eq(n, ALL);
    for (size_t i = 0; i < n; i++)
        ck_assert_int_eq(kill(pids[i], SIGTERM), 0);
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(call_int(c, "add", "[i]", 1), 3 + i);
        sup_sleep_ms(10);
    }
    for (size_t i = 0; i < n; i++)
        ck_assert(sup_pid_running(pids[i]));
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

START_TEST(nothing_is_left_when_asq_close_returns)
{
    remains_watch("t");
    H = open_child();
    asq_agent *c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    ck_assert_uint_eq(n_descendants(getpid()), ALL);
    asq_agent_free(c);
    asq_close(H);
    ck_assert_uint_eq(n_descendants(getpid()), 0);
    ck_assert(remains_no_file());
    remains_nothing();
}
END_TEST

START_TEST(asq_close_without_a_call_leaves_nothing)
{
    remains_watch("t");
    H = open_child();
    ck_assert_uint_eq(n_descendants(getpid()), 2); /* the workers are forked at the first use */
    asq_close(H);
    remains_nothing();
}
END_TEST

START_TEST(asq_close_ends_when_somebody_was_killed)
{
    pid_t pids[64];
    char name[64], mine[64];
    remains_watch("t");
    H = open_child();
    asq_agent *c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    remains_name(getpid(), mine, sizeof mine);
    pid_t keeper = remains_named(getpid(), "asq-keeper"), victim = keeper;
    if (_i == 1) { /* the supervisor: the other child of this subreaper */
        size_t n = remains_descendants(getpid(), pids, 64);
        for (size_t i = 0; i < n; i++) {
            remains_name(pids[i], name, sizeof name);
            if (remains_parent(pids[i]) == getpid() && strcmp(name, mine) == 0)
                victim = pids[i];
        }
        ck_assert_int_ne(victim, keeper);
    }
    ck_assert_int_gt(victim, 0);
    ck_assert_int_eq(kill(victim, SIGKILL), 0);
    sup_wait_until(!sup_pid_running(victim));
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

/* ---- forked processes ---- */

static void end_of_fork(int i)
{
    if (i == 1)
        asq_close(H);
    if (i == 2)
        raise(SIGKILL);
    if (i == 3)
        exit(0);
    _exit(0);
}

START_TEST(a_forked_process_that_ends_takes_nothing_with_it)
{
    int status;
    pid_t child;
    remains_watch("t");
    H = open_child();
    asq_agent *c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    fflush(NULL);
    if ((child = fork()) == 0)
        end_of_fork(_i);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, _i == 2 ? SIGKILL : 0);
    ck_assert_uint_eq(n_descendants(getpid()), ALL);
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(call_int(c, "add", "[i]", 1), 3 + i);
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

START_TEST(a_forked_process_cannot_start_the_workers)
{
    int status;
    pid_t child;
    remains_watch("t");
    H = open_child();
    fflush(NULL);
    if ((child = fork()) == 0) {
        asq_agent *c = NULL;
        int rc = asq_createv(H, "Counter", NULL, asq_pack("{s:i}", "value", 1), &c);
        if (rc == 0)
            rc = asq_ready(c, sup_limit_ms());
        _exit(rc == ASQ_ESTATE ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    asq_agent *c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

/* ---- sharing of deployments ---- */

START_TEST(all_agents_of_a_program_share_one_redis_and_its_workers)
{
    enum { AGENTS = 40 };
    asq_agent *agents[AGENTS];
    remains_watch("t");
    H = open_child();
    char *url = sup_format("%s", asq_url(H));
    for (int i = 0; i < AGENTS; i++)
        agents[i] = i % 2 ? counter(i) : agent_new("Echo", NULL);
    for (int i = 1; i < AGENTS; i += 2)
        ck_assert_int_eq(call_int(agents[i], "add", "[i]", 1), i + 1);
    ck_assert_uint_eq(n_descendants(getpid()), ALL);
    ck_assert_str_eq(asq_url(H), url);
    for (int i = 0; i < AGENTS; i++)
        asq_agent_free(agents[i]);
    asq_close(H);
    remains_nothing();
    free(url);
}
END_TEST

START_TEST(two_handles_are_independent)
{
    remains_watch("t");
    asq *one = open_child(), *two = open_child();
    ck_assert_str_ne(asq_url(one), asq_url(two));
    asq_agent *x = counter_on(one, "same", 10), *y = counter_on(two, "same", 20);
    ck_assert_int_eq(add(one, x, 1), 11);
    ck_assert_int_eq(add(two, y, 1), 21);
    ck_assert_uint_eq(n_descendants(getpid()), 2 * ALL);
    /* Processes of the second handle were forked later, and have inherited the first's
     * descriptors. */
    asq_agent_free(x);
    asq_close(one);
    ck_assert_uint_eq(n_descendants(getpid()), ALL);
    ck_assert_int_eq(add(two, y, 1), 22);
    asq_agent_free(y);
    asq_close(two);
    remains_nothing();
}
END_TEST

START_TEST(two_programs_are_independent)
{
    int status;
    remains_watch("t");
    pid_t other = start_program(stay);
    H = open_child();
    asq_agent *c = counter_on(H, "tally", 1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    ck_assert_int_eq(kill(other, SIGKILL), 0);
    ck_assert_int_eq(waitpid(other, &status, 0), other);
    sup_wait_until(n_descendants(getpid()) == ALL);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 3);
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

START_TEST(others_reach_it_by_its_url)
{
    static const char *const odd[] = { "a b?c%41&d=#e", "it's \"so\" \\n {1} *", "\xc3\xbc\t\x01" };
    remains_watch(odd[_i]);
    H = open_child();
    asq_agent *c = counter_on(H, "tally", 1), *same = NULL;
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    asq *other = modes_open_url(asq_url(H));
    ck_assert_int_eq(asq_attach(other, "tally", &same), 0);
    ck_assert_int_eq(add(other, same, 5), 7);
    asq_agent_free(same);
    asq_close(other);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 8);
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

START_TEST(a_temporary_directory_that_cannot_be_used_is_replaced)
{
    char path[200];
    remains_watch("t");
    memset(path, 'x', sizeof path - 1);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    setenv("TMPDIR", _i ? path : "/no/such/folder", 1);
    H = open_child();
    ck_assert_contains(asq_url(H), "unix:/tmp/asqueue-");
    char *socket = sup_format("%s", asq_url(H) + strlen("unix:"));
    ck_assert(exists(socket));
    asq_close(H);
    *strrchr(socket, '/') = '\0';
    ck_assert(!exists(socket));
    free(socket);
    remains_nothing();
}
END_TEST

START_TEST(a_directory_in_which_others_can_rename_is_not_used)
{
    char *open_to_others = sup_path("open");
    remains_watch("t");
    mkdir(open_to_others, 0700);
    ck_assert_int_eq(chmod(open_to_others, _i ? 01777 : 0777), 0);
    setenv("TMPDIR", open_to_others, 1);
    H = open_child();
    ck_assert_int_eq(strstr(asq_url(H), open_to_others) != NULL, _i); /* 1: the sticky bit */
    asq_close(H);
    remains_nothing();
    free(open_to_others);
}
END_TEST

/* Connects as another user of the host, "nobody"; returns errno, or 0. */
static int connect_as_nobody(const char *path)
{
    enum { NOBODY = 65534 };
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int status;
    pid_t pid = fork();

    if (pid < 0)
        ck_abort_msg("fork");
    if (pid == 0) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        strncpy(address.sun_path, path, sizeof address.sun_path - 1);
        if (fd < 0 || setgroups(0, NULL) < 0 || setgid(NOBODY) < 0 || setuid(NOBODY) < 0)
            _exit(255);
        _exit(connect(fd, (struct sockaddr *) &address, sizeof address) < 0 ? errno : 0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

START_TEST(another_user_reaches_neither_its_redis_nor_its_directory)
{
    struct stat st;
    remains_watch("t");
    H = open_child();
    const char *url = asq_url(H) + strlen("unix:");
    char *path = sup_format("%.*s", (int) strcspn(url, "?"), url);
    if (geteuid() == 0)
        ck_assert_int_eq(connect_as_nobody(path), EACCES);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 077, 0);
    *strrchr(path, '/') = '\0';
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 077, 0);
    ck_assert_int_eq(st.st_uid, geteuid());
    asq_close(H);
    free(path);
    remains_nothing();
}
END_TEST

/* ---- errors ---- */

START_TEST(without_a_redis_server_the_error_says_what_to_do)
{
    asq *none = NULL;
    remains_watch("t");
    setenv("PATH", "/no/such/folder", 1);
    unsetenv("ASQUEUE_REDIS_SERVER");
    ck_assert_int_eq(asq_open("child:", NULL, &none, err, sizeof err), ASQ_ENOSERVER);
    ck_assert_ptr_null(none);
    ck_assert_contains(err, "redis-server");
    ck_assert_contains(err, "valkey-server");
    ck_assert_contains(err, "install");
    ck_assert_contains(err, "ASQUEUE_REDIS_SERVER");
    ck_assert_int_eq(asq_open("child:", NULL, &none, NULL, 0), ASQ_ENOSERVER);
    remains_nothing();
}
END_TEST

START_TEST(a_class_that_comes_after_the_first_agent_is_refused)
{
    static const asq_class late = { ASQ_CLASS_INIT, .name = "Late" };
    remains_watch("t");
    H = open_child();
    asq_agent *c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    ck_assert_int_eq(asq_register(H, &late), ASQ_ESTATE);
    ck_assert_contains(asq_errmsg(H), "Late");
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 3);
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

START_TEST(an_agent_before_any_class_is_refused_and_does_no_harm)
{
    asq_agent *c = NULL;
    int rc;
    remains_watch("t");
    mode = MODE_CHILD;
    ck_assert_msg(asq_open("child:", NULL, &H, err, sizeof err) == 0, "%s", err);
    rc = asq_createv(H, "Counter", "early", asq_pack("{s:i}", "value", 1), &c);
    if (rc == 0)
        rc = asq_ready(c, sup_limit_ms());
    ck_assert_code(rc, ASQ_ENOCLASS);
    asq_agent_free(c);
    ok(asq_register(H, &counter_class));
    c = counter(1);
    ck_assert_int_eq(call_int(c, "add", "[i]", 1), 2);
    asq_agent_free(c);
    asq_close(H);
    remains_nothing();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("child");
    TCase *t = tcase_create("end");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_program_leaves_nothing_however_it_ends, 0,
                        (int) (sizeof ends / sizeof *ends));
    tcase_add_loop_test(t, a_signal_to_its_process_group_leaves_nothing, 0,
                        (int) (sizeof group_signals / sizeof *group_signals));
    tcase_add_test(t, killing_all_of_its_name_leaves_nothing);
    tcase_add_test(t, a_program_that_handles_ctrl_c_can_finish_its_calls);
    tcase_add_test(t, a_program_can_finish_its_calls_when_all_its_processes_get_sigterm);
    tcase_add_test(t, nothing_is_left_when_asq_close_returns);
    tcase_add_test(t, asq_close_without_a_call_leaves_nothing);
    tcase_add_loop_test(t, asq_close_ends_when_somebody_was_killed, 0, 2);
    suite_add_tcase(s, t);

    t = tcase_create("fork");
    tcase_set_timeout(t, 120);
    tcase_add_loop_test(t, a_forked_process_that_ends_takes_nothing_with_it, 0, 4);
    tcase_add_test(t, a_forked_process_cannot_start_the_workers);
    suite_add_tcase(s, t);

    t = tcase_create("share");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, all_agents_of_a_program_share_one_redis_and_its_workers);
    tcase_add_test(t, two_handles_are_independent);
    tcase_add_test(t, two_programs_are_independent);
    tcase_add_loop_test(t, others_reach_it_by_its_url, 0, 3);
    tcase_add_loop_test(t, a_temporary_directory_that_cannot_be_used_is_replaced, 0, 2);
    tcase_add_loop_test(t, a_directory_in_which_others_can_rename_is_not_used, 0, 2);
    tcase_add_test(t, another_user_reaches_neither_its_redis_nor_its_directory);
    suite_add_tcase(s, t);

    t = tcase_create("refused");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, without_a_redis_server_the_error_says_what_to_do);
    tcase_add_test(t, a_class_that_comes_after_the_first_agent_is_refused);
    tcase_add_test(t, an_agent_before_any_class_is_refused_and_does_no_harm);
    suite_add_tcase(s, t);

    return sup_suite_run(s);
}
