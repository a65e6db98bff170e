/*
 * check_stdio.c: descriptors of programs, workers and their children: closed standard streams are
 * never taken for connections, exec inherits none, and a private server starts wherever TMPDIR is.
 */
#include "asqueue.h"
#include "support/suite.h"
#include "support/support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- a class that looks at its process's descriptors ---- */

/* Counts the descriptors above 2 that a started program would get. */
static int inheritable(char *text, size_t size)
{
    DIR *dir = opendir("/proc/self/fd");
    struct dirent *e;
    int n = 0;

    text[0] = '\0';
    while (dir && (e = readdir(dir))) {
        int fd = atoi(e->d_name), flags = fcntl(fd, F_GETFD);
        char path[300], to[200];
        ssize_t len;
        if (e->d_name[0] == '.' || fd <= 2 || fd == dirfd(dir) || flags < 0 || (flags & FD_CLOEXEC))
            continue;
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        len = readlink(path, to, sizeof to - 1);
        to[len < 0 ? 0 : len] = '\0';
        if (strncmp(to, "socket:", 7) != 0 && strncmp(to, "anon_inode:", 11) != 0 &&
            strncmp(to, "pipe:", 5) != 0)
            continue; /* the test's own */
        n++;
        snprintf(text + strlen(text), size - strlen(text), "%d %s;", fd, to);
    }
    if (dir)
        closedir(dir);
    return n;
}

static int fds(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    char text[2000];

    (void) self, (void) args;
    inheritable(text, sizeof text);
    for (int fd = 0; fd <= 2; fd++) {
        struct stat st;
        if (fstat(fd, &st) < 0 || S_ISSOCK(st.st_mode))
            snprintf(text + strlen(text), sizeof text - strlen(text), "%d is closed or a socket;",
                     fd);
    }
    asq_ctx_log(ctx, ASQ_LOG_INFO, "looked");
    return (*ret = asq_value_string(text)) ? 0 : ASQ_ENOMEM;
}

/* Forks a process that stays for a while, or returns from the method; returns its id. */
static int fork_one(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    bool comes_back = false;
    int rc = asq_args(ctx, args, "[b]", &comes_back);
    pid_t pid;

    (void) self;
    if (rc < 0)
        return rc;
    if ((pid = fork()) == 0) {
        if (comes_back)
            return 0;
        sleep(1000);
        _exit(0);
    }
    return (*ret = asq_value_int(pid)) ? 0 : ASQ_ENOMEM;
}

static const asq_method methods[] = { { "fork_one", fork_one, "stays", 0, "" },
                                      { "fds", fds, "", 0, "" },
                                      { NULL, NULL, NULL, 0, NULL } };
static const asq_class looker = { ASQ_CLASS_INIT, .name = "Looker", .methods = methods };

/* ---- programs in child mode ---- */

/* Report in shared memory, because the program has no streams. */
struct report {
    char why[3000];
    atomic_int infos;
};
static struct report *report;

static void note(void *user, asq_log_level level, const char *message)
{
    (void) user;
    if (level == ASQ_LOG_INFO && strstr(message, "looked"))
        atomic_fetch_add(&report->infos, 1);
}

/* Uses child mode; an empty report->why means success. */
static void use_child_mode(void)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char *why = report->why, text[2000];
    size_t n = sizeof report->why;
    const char *found = "";
    asq *h;
    asq_agent *a = NULL;
    asq_value *v = NULL;

    snprintf(why, n, "it has died");
    options.child_processes = 1;
    options.log = note;
    if (asq_open("child:", &options, &h, why, n) < 0)
        return;
    if (asq_register(h, &looker) < 0 || asq_create(h, "Looker", NULL, &a, NULL) < 0 ||
        asq_call_wait(a, "fds", &v, NULL) < 0) {
        snprintf(why, n, "%s", asq_errmsg(h));
        return;
    }
    asq_value_get_string(v, &found, NULL);
    if (*found)
        snprintf(why, n, "the worker has %s", found);
    else if (inheritable(text, sizeof text))
        snprintf(why, n, "the program has %s", text);
    else
        why[0] = '\0';
    for (int fd = 0; fd <= 2; fd++) { /* writes as a printf of the program would */
        struct stat st;
        if (fstat(fd, &st) == 0 && (S_ISSOCK(st.st_mode) || write(fd, "FLUSHALL\r\n", 10) == 10) &&
            S_ISSOCK(st.st_mode))
            snprintf(why, n, "a socket has number %d", fd);
    }
    asq_value_free(v);
    asq_agent_free(a);
    asq_close(h);
}

static void in_a_program(const int *closed, const char *tmpdir)
{
    pid_t pid;
    int status;

    report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(report, MAP_FAILED);
    fflush(NULL);
    if ((pid = fork()) == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        for (int fd = 3; fd < 1024; fd++) /* inherited descriptors */
            close(fd);
        for (int i = 0; closed && closed[i] >= 0; i++)
            close(closed[i]);
        if (tmpdir) {
            setenv("TMPDIR", tmpdir, 1);
            unsetenv("XDG_RUNTIME_DIR");
        }
        use_child_mode();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(status == 0 && !*report->why, "status %d: %s", status, report->why);
    ck_assert_int_eq(atomic_load(&report->infos), 1);
    munmap(report, sizeof *report);
}

START_TEST(child_mode_works_whatever_streams_are_closed)
{
    static const int sets[][4] = { { 0, -1 }, { 1, -1 }, { 2, -1 }, { 0, 2, -1 }, { 0, 1, 2, -1 } };

    in_a_program(sets[_i], NULL);
}
END_TEST

START_TEST(child_mode_starts_in_a_directory_of_any_name)
{
    static const char *const names[] = { "a b", "it's", "say \"x\"", "back\\slash", "\\x41 #%s" };
    char *dir = sup_path(names[_i]);

    ck_assert_int_eq(mkdir(dir, 0700), 0);
    in_a_program(NULL, dir);
    free(dir);
}
END_TEST

/* ---- forked by a method ---- */

static int sockets_of(pid_t pid)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++) {
        char path[64], to[64];
        ssize_t len;
        snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long) pid, fd);
        len = readlink(path, to, sizeof to - 1);
        to[len < 0 ? 0 : len] = '\0';
        n += strncmp(to, "socket:", 7) == 0;
    }
    return n;
}

START_TEST(a_process_that_a_method_forks_has_no_connections)
{
    asq_options options = ASQ_OPTIONS_INIT;
    asq *h;
    asq_agent *a = NULL;
    asq_value *v = NULL;
    char err[500];
    int64_t pid = 0;

    options.child_processes = 1;
    ck_assert_int_eq(asq_open("child:", &options, &h, err, sizeof err), 0);
    asq_set_timeout(h, sup_limit_ms());
    ck_assert_int_eq(asq_register(h, &looker), 0);
    ck_assert_int_eq(asq_create(h, "Looker", NULL, &a, NULL), 0);
    ck_assert_msg(asq_call_wait(a, "fork_one", &v, "[b]", _i) == 0, "%s", asq_errmsg(h));
    ck_assert_int_eq(asq_value_get_int(v, &pid), 0);
    asq_value_free(v);
    if (_i) {
        sup_wait_until(!sup_pid_running((pid_t) pid));
    } else {
        /* What is left are the channel and the connections of the program from which the worker was
         * forked. fork() may return in the method before the new process has run. */
        sup_wait_until(sockets_of((pid_t) pid) <= 3);
        kill((pid_t) pid, SIGKILL);
    }
    v = NULL;
    ck_assert_int_eq(asq_call_wait(a, "fds", &v, NULL), 0); /* the worker goes on */
    asq_value_free(v);
    asq_agent_free(a);
    asq_close(h);
}
END_TEST

/* ---- the two programs ---- */

static void check_streams(pid_t pid)
{
    for (int fd = 0; fd <= 2; fd++) {
        char path[64], to[200];
        ssize_t n;
        snprintf(path, sizeof path, "/proc/%ld/fd/%d", (long) pid, fd);
        n = readlink(path, to, sizeof to - 1);
        to[n < 0 ? 0 : n] = '\0';
        ck_assert_msg(strcmp(to, "/dev/null") == 0, "process %ld: %d is '%s'", (long) pid, fd, to);
    }
}

START_TEST(programs_without_streams_print_into_no_connection)
{
    sup_redis *redis = sup_redis_start(NULL);
    char *start, *call;
    sup_proc *worker;
    pid_t pid;

    start = sup_format("exec %s -u '%s' --id w --agent-dir '%s' 0<&- 1>&- 2>&-",
                       sup_program("as-worker"), sup_url_as(sup_redis_url(redis), "worker"),
                       sup_agent_dir());
    worker = sup_spawn((const char *[]){ "sh", "-c", start, NULL });
    sup_wait_until((pid = (pid_t) sup_redis_int(redis, "HGET asq:{default}:worker:w.0 pid")) > 0);
    check_streams(pid);
    sup_redis_do(redis, "SET witness here");
    call = sup_format("exec 0<&- 1>&- 2>&-; A='%s'; B=\"-u %s -t 20s\"; $A $B create Echo --id e; "
                      "$A $B call e echo '[\"FLUSHALL\"]'; test $? = 1",
                      sup_program("as-ctl"), sup_url_as(sup_redis_url(redis), "operator"));
    ck_assert_int_eq(sup_run((const char *[]){ "sh", "-c", call, NULL }, NULL, NULL), 0);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS witness"), 1);
    ck_assert_int_eq(sup_redis_int(redis, "EXISTS asq:{default}:worker:w.0"), 1);
    free(start);
    free(call);
    ck_assert_int_eq(sup_proc_stop(worker), 0);
    sup_proc_free(worker);
    sup_redis_free(redis);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("stdio");
    TCase *c = tcase_create("stdio");

    if (!sup_redis_available())
        return sup_skip("there is no redis-server");
    tcase_set_timeout(c, 120);
    tcase_add_loop_test(c, child_mode_works_whatever_streams_are_closed, 0, 5);
    tcase_add_loop_test(c, child_mode_starts_in_a_directory_of_any_name, 0, 5);
    tcase_add_loop_test(c, a_process_that_a_method_forks_has_no_connections, 0, 2);
    tcase_add_test(c, programs_without_streams_print_into_no_connection);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
