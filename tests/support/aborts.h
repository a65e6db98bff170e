/*
 * aborts.h: expects that an assertion of the library ends the process.
 */
#ifndef ASQ_TESTS_ABORTS_H
#define ASQ_TESTS_ABORTS_H

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Whether the library was built with assertions; see lib/value/assert.h. */
#ifdef NDEBUG
enum { SUP_ASSERTS = 0 };
#else
enum { SUP_ASSERTS = 1 };
#endif

/* Runs `does` in a child process, with `fd` as stderr. Returns whether SIGABRT has ended the child,
 * which must otherwise exit with 0. */
static inline bool sup_aborts_on(void (*does)(void *arg), void *arg, int fd)
{
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        signal(SIGABRT, SIG_DFL); /* Check has a handler of its own */
        if (dup2(fd, STDERR_FILENO) < 0)
            _exit(2);
        does(arg);
        _exit(0);
    }
    ck_assert_int_gt(pid, 0);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status)) {
        ck_assert_int_eq(WEXITSTATUS(status), 0);
        return false;
    }
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    return true;
}

/* Does the same, and drops the output of the child. */
static inline bool sup_aborts(void (*does)(void *arg), void *arg)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(nowhere, 0);
    bool aborted = sup_aborts_on(does, arg, nowhere);
    close(nowhere);
    return aborted;
}

#endif
