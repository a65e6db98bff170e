/*
 * check_fork.c: a method forks, and the copy stays. It has none of the worker's connections, so it
 * neither keeps them open nor writes to them, and the worker goes on.
 */
#include "load.h"
#include "support/suite.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"

static asq *h;
static sup_redis *redis;

static bool is_socket(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* Counts the sockets among the copy's descriptors. Then stays until it is killed. */
static void copy(int answer)
{
    int64_t sockets = 0;

    prctl(PR_SET_PDEATHSIG, 0);
    for (int fd = 3; fd < 1024; fd++)
        sockets += is_socket(fd);
    if (write(answer, &sockets, sizeof sockets) != sizeof sockets)
        _exit(1);
    for (;;)
        pause();
}

/* Returns {pid of the copy, its sockets}. */
static int method_fork(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int answer[2];
    int64_t sockets = -1;
    pid_t pid;

    (void) self, (void) args;
    if (pipe(answer) < 0 || (pid = fork()) < 0)
        return asq_fail(ctx, ASQ_ESYS, "pipe or fork");
    if (pid == 0)
        copy(answer[1]);
    close(answer[1]);
    if (read(answer[0], &sockets, sizeof sockets) != sizeof sockets)
        return asq_fail(ctx, ASQ_ESYS, "the copy does not answer");
    close(answer[0]);
    *ret = asq_pack("[i, I]", (int) pid, sockets);
    return 0;
}

/* Forks a careless copy, which runs the handlers of the program's end. */
static int method_exit(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    pid_t pid = fork();

    (void) self, (void) args, (void) ret;
    if (pid == 0)
        exit(0);
    return pid < 0 || waitpid(pid, NULL, 0) < 0 ? asq_fail(ctx, ASQ_ESYS, "fork or waitpid") : 0;
}

static const asq_method methods[] = { { "fork", method_fork, NULL, 0, NULL },
                                      { "exit", method_exit, NULL, 0, NULL },
                                      { NULL, NULL, NULL, 0, NULL } };
static const asq_class forker = { ASQ_CLASS_INIT, .name = "Forker", .methods = methods };

static pid_t start_worker(void)
{
    pid_t pid = fork();
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_worker *w;
    char err[500];

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int fd = 3; fd < 1024; fd++)
        if (is_socket(fd))
            close(fd); /* the test's own */
    options.url = sup_url_as(sup_redis_url(redis), "worker");
    options.id = "w";
    options.partitions = 8;
    options.lease_time_ms = 1000;
    if (asq_worker_new(&options, &w, err, sizeof err) < 0 || asq_worker_register(w, &forker) < 0)
        _exit(3);
    int rc = asq_worker_run(w);
    asq_worker_free(w);
    _exit(rc < 0);
}

static asq_agent *open_forker(void)
{
    asq_agent *a;
    char err[500];

    if (load_asq_open(sup_redis_url(redis), NULL, &h, err, sizeof err) < 0)
        sup_fail("%s", err);
    asq_set_timeout(h, sup_limit_ms());
    ck_assert_int_eq(asq_create(h, "Forker", NULL, &a, NULL), 0);
    return a;
}

/* Returns how many connections worker process `pid` has named. */
static int connections(pid_t pid)
{
    char *list = sup_redis_str(redis, "CLIENT LIST"),
         *name = sup_format("asqueue-worker-%d ", (int) pid);
    int n = 0;

    for (char *at = list; (at = strstr(at, name)); at++)
        n++;
    free(list);
    free(name);
    return n;
}

START_TEST(a_copy_of_a_worker_process_has_none_of_its_connections)
{
    redis = sup_redis_start(NULL);
    pid_t worker = start_worker();
    asq_agent *a = open_forker();
    asq_value *v;
    int64_t copy_pid, sockets;

    ck_assert_int_eq(asq_call_wait(a, "fork", &v, NULL), 0);
    ck_assert_int_eq(asq_unpack(v, "[I, I]", &copy_pid, &sockets), 0);
    ck_assert_int_eq(sockets, 0);
    ck_assert_int_eq(asq_call_wait(a, "exit", NULL, NULL), 0);

    pid_t process = sup_redis_worker_pid(redis, "w.0");
    ck_assert_int_gt(connections(process), 0);
    kill(process, SIGKILL);
    sup_wait_until(connections(process) == 0); /* while the copy is there */
    ck_assert(sup_pid_running((pid_t) copy_pid));
    kill((pid_t) copy_pid, SIGKILL);

    ck_assert_int_eq(asq_call_wait(a, "exit", NULL, NULL), 0);
    asq_value_free(v);
    asq_agent_free(a);
    asq_close(h);
    kill(worker, SIGTERM);
    int status;
    waitpid(worker, &status, 0);
    ck_assert_int_eq(status, 0);
    sup_redis_free(redis);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fork");
    TCase *t = tcase_create("fork");

    if (!sup_redis_available())
        return sup_skip("no redis-server or valkey-server");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_copy_of_a_worker_process_has_none_of_its_connections);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
