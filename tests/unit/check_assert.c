/*
 * check_assert.c: a broken invariant ends the process and says where it was broken.
 */
#include "support/suite.h"
#include "value/assert.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs an assertion in a child, and returns its wait status. `said` gets what it has printed. */
static int status_of(bool holds, char said[1000])
{
    int fds[2];
    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        signal(SIGABRT, SIG_DFL); /* Check has a handler of its own */
        dup2(fds[1], STDERR_FILENO);
        asq__assert(holds);
        _exit(0);
    }
    ck_assert_int_gt(pid, 0);
    close(fds[1]);
    size_t n = 0;
    for (ssize_t got; n < 999 && (got = read(fds[0], said + n, 999 - n)) > 0; n += (size_t) got)
        ;
    said[n] = '\0';
    close(fds[0]);
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

START_TEST(an_invariant_that_holds_says_nothing)
{
    char said[1000];
    ck_assert_int_eq(status_of(true, said), 0);
    ck_assert_str_eq(said, "");
}
END_TEST

START_TEST(a_broken_invariant_aborts_with_file_line_and_condition)
{
    char said[1000];
    int status = status_of(false, said);
#ifdef NDEBUG
    ck_assert_int_eq(status, 0);
    ck_assert_str_eq(said, "");
#else
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    const char *at = strstr(said, "check_assert.c:");
    ck_assert_msg(at != NULL, "%s", said);
    ck_assert_int_gt(atoi(at + strlen("check_assert.c:")), 0);
    ck_assert_msg(strstr(at, "assertion failed: holds\n") != NULL, "%s", said);
#endif
}
END_TEST

START_TEST(a_condition_is_evaluated_once)
{
    int times = 0;
    (void) times;
    asq__assert(times++ == 0);
#ifdef NDEBUG
    ck_assert_int_eq(times, 0);
#else
    ck_assert_int_eq(times, 1);
#endif
}
END_TEST

int main(void)
{
    Suite *s = suite_create("assert");
    TCase *t = tcase_create("assert");
    suite_add_tcase(s, t);
    tcase_add_test(t, an_invariant_that_holds_says_nothing);
    tcase_add_test(t, a_broken_invariant_aborts_with_file_line_and_condition);
    tcase_add_test(t, a_condition_is_evaluated_once);
    return sup_suite_run(s);
}
