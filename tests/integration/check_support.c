/*
 * check_support.c: the support code of the tests: a server that is killed comes back with its data,
 * and a test that dies leaves no process and no file.
 */
#include "support/suite.h"
#include "support/support.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

START_TEST(a_killed_server_comes_back_with_its_append_only_file)
{
    static const char *const config[] = { "appendonly yes", "appendfsync always", NULL };
    sup_redis *r = sup_redis_start(config);
    char *s;

    sup_redis_do(r, "SET k %s", "v");
    sup_redis_kill(r);
    ck_assert(!sup_proc_alive(sup_redis_proc(r)));
    sup_redis_restart(r);
    s = sup_redis_str(r, "GET k");
    ck_assert_str_eq(s, "v");
    free(s);
    sup_redis_free(r);
}
END_TEST

START_TEST(configuration_lines_override_the_defaults)
{
    char *port = sup_format("port %d", sup_free_port()), *s;
    const char *const config[] = { port, "maxmemory 5mb", "requirepass secret", NULL };
    sup_redis *r = sup_redis_start(config);
    redisReply *reply = sup_redis_reply(r, "CONFIG GET maxmemory");

    ck_assert_str_eq(reply->element[1]->str, "5242880");
    freeReplyObject(reply);
    reply = sup_redis_reply(r, "CONFIG GET port");
    ck_assert_str_eq(reply->element[1]->str, port + 5);
    freeReplyObject(reply);
    s = sup_redis_str(r, "GET nothing");
    ck_assert_ptr_null(s);
    sup_redis_free(r);
    free(port);
}
END_TEST

START_TEST(a_port_is_not_given_to_two_processes)
{
    int first = sup_free_port(), of_child = 0, ends[2], status;
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        of_child = sup_free_port();
        bool told = write(ends[1], &of_child, sizeof of_child) == sizeof of_child;
        pause(); /* keeps its port */
        _exit(!told);
    }
    ck_assert_int_eq(read(ends[0], &of_child, sizeof of_child), sizeof of_child);
    int second = sup_free_port();
    ck_assert_int_ne(of_child, first);
    ck_assert_int_ne(of_child, second);
    ck_assert_int_ne(first, second);
    kill(child, SIGKILL);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
}
END_TEST

START_TEST(output_and_status_of_a_program_are_seen)
{
    static const char *const argv[] = { "sh", "-c", "echo out; echo err >&2; exit 3", NULL };
    static const char *const killed[] = { "sh", "-c", "kill -9 $$", NULL };
    char *out, *err;

    ck_assert_int_eq(sup_run(argv, &out, &err), 3);
    ck_assert_str_eq(out, "out\n");
    ck_assert_str_eq(err, "err\n");
    ck_assert_int_eq(sup_run(killed, NULL, NULL), 128 + SIGKILL);
    free(out);
    free(err);
}
END_TEST

/* Ends the process in the i-th way. */
static void end_badly(int i)
{
    if (i == 0)
        _exit(1);
    else if (i == 1)
        raise(SIGKILL);
    else
        exit(0);
}

START_TEST(a_process_leaves_nothing_behind_however_it_ends)
{
    int fds[2], status;
    struct {
        char dir[256];
        pid_t redis;
    } told;
    struct stat st;
    pid_t pid;

    ck_assert_int_eq(pipe(fds), 0);
    if ((pid = fork()) == 0) {
        sup_redis *r = sup_redis_start(NULL);
        memset(&told, 0, sizeof told);
        snprintf(told.dir, sizeof told.dir, "%s", sup_dir());
        told.redis = sup_proc_pid(sup_redis_proc(r));
        if (write(fds[1], &told, sizeof told) == (ssize_t) sizeof told)
            end_badly(_i);
        abort();
    }
    ck_assert_int_eq(read(fds[0], &told, sizeof told), sizeof told);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    sup_wait_until(!sup_pid_running(told.redis));
    sup_wait_until(stat(told.dir, &st) < 0);
    close(fds[0]);
    close(fds[1]);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("support");
    TCase *t = tcase_create("support");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    suite_add_tcase(s, t);
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_killed_server_comes_back_with_its_append_only_file);
    tcase_add_test(t, configuration_lines_override_the_defaults);
    tcase_add_test(t, a_port_is_not_given_to_two_processes);
    tcase_add_test(t, output_and_status_of_a_program_are_seen);
    if (!sup_is_wrapped())
        tcase_add_loop_test(t, a_process_leaves_nothing_behind_however_it_ends, 0, 3);
    return sup_suite_run(s);
}
