/*
 * check_deadline.c: the code of agents does what it must not: it occupies the loop, ends its
 * thread, takes the signals, or continues when the worker stops. The worker still ends in time, and
 * its agents go on elsewhere.
 */
#include "asqueue.h"
#include "load.h"
#include "support/suite.h"
#include "support/support.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEASE_MS = 300, DRAIN_MS = 1000, LONG_MS = 3600000, PARTITIONS = 4 };

static sup_redis *redis;
static asq *h;
static asq_agent *agent, *other;
static char *log_path;
static pid_t worker_pid;

/* ---- the class ---- */

static int add(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    int64_t n = asq_map_int(asq_ctx_state(ctx), "n") + 1;

    (void) self, (void) args;
    *ret = asq_value_int(n);
    return asq_map_set_int(asq_ctx_state(ctx), "n", n);
}

static void stay(void)
{
    for (;;)
        sleep(1);
}

static int occupy(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    stay();
    return 0;
}

static int occupy_deaf(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    return occupy(ctx, self, args, ret);
}

static int be_deaf(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    signal(SIGTERM, SIG_IGN);
    return 0;
}

static int end_thread(asq_ctx *ctx, void *self, const asq_value *args, asq_value **ret)
{
    (void) ctx, (void) self, (void) args, (void) ret;
    pthread_exit(NULL);
}

static const asq_method methods[] = {
    { "add", add, "", 0, "" },
    { "occupy", occupy, "", 0, "" },
    { "occupy_loop", occupy, "", ASQ_NONBLOCKING, "" },
    { "occupy_deaf", occupy_deaf, "", ASQ_NONBLOCKING, "" },
    { "be_deaf", be_deaf, "", 0, "" },
    { "end_thread", end_thread, "", 0, "" },
    { "end_loop", end_thread, "", ASQ_NONBLOCKING, "" },
    { NULL, NULL, NULL, 0, NULL },
};
static const asq_class cls = { ASQ_CLASS_INIT, .name = "Evil", .methods = methods };

/* ---- the worker ---- */

static void log_line(void *user, asq_log_level level, const char *message)
{
    char line[1400];
    int fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    size_t n = (size_t) snprintf(line, sizeof line, "%d %s\n", (int) level, message);

    (void) user;
    if (write(fd, line, n) < 0)
        return; /* The process is being ended; anything missing fails the test. */
    close(fd);
}

static bool logged(const char *text)
{
    char *log = sup_read_file(log_path);
    bool found = strstr(log, text);

    free(log);
    return found;
}

static int64_t drain_ms = DRAIN_MS;

static void start_worker(uint32_t max_attempts)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    asq_worker *w;
    char err[500];

    options.url = sup_url_as(sup_redis_url(redis), "worker");
    options.id = "w";
    options.lease_time_ms = LEASE_MS;
    options.drain_timeout_ms = drain_ms;
    options.max_attempts = max_attempts;
    options.log = log_line;
    fflush(NULL);
    if ((worker_pid = fork()) == 0) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        if (asq_worker_new(&options, &w, err, sizeof err) < 0 || asq_worker_register(w, &cls) < 0)
            _exit(1);
        _exit(asq_worker_run(w) < 0);
    }
}

static pid_t process(void)
{
    pid_t pid;

    sup_wait_until((pid = (pid_t) sup_redis_int(redis, "HGET asq:{default}:worker:w.0 pid")) > 0);
    return pid;
}

static void set_up(void)
{
    char err[500];

    redis = sup_redis_start(NULL);
    /* The worker starts before the program, which would make the usual number of partitions if it
     * were first. */
    sup_redis_do(redis, "HSET asq:{default}:meta format 1 partitions %d", PARTITIONS);
    log_path = sup_path("log");
    remove(log_path);
    start_worker(1);
    ck_assert_int_eq(
        load_asq_open(sup_url_as(sup_redis_url(redis), "operator"), NULL, &h, err, sizeof err), 0);
    asq_set_timeout(h, sup_limit_ms());
    ck_assert_int_eq(asq_create(h, "Evil", NULL, &agent, NULL), 0);
    ck_assert_int_eq(asq_create(h, "Evil", NULL, &other, NULL), 0);
    process(); /* runs, and can be told to stop */
}

static void tear_down(void)
{
    asq_agent_free(agent);
    asq_agent_free(other);
    asq_close(h);
    if (worker_pid > 0) {
        kill(worker_pid, SIGQUIT);
        waitpid(worker_pid, NULL, 0);
    }
    sup_redis_free(redis);
    free(log_path);
}

/* Calls the method; waits until it runs. */
static void begin(const char *method)
{
    ck_assert_int_eq(asq_send(agent, method, NULL), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_sleep_ms(200); /* no process can see whether the loop is occupied by now */
}

static void stop(int sig)
{
    int status;

    kill(worker_pid, sig);
    sup_wait_until(waitpid(worker_pid, &status, WNOHANG) == worker_pid);
    worker_pid = 0;
    ck_assert_int_eq(status, 0);
}

/* ---- */

static const char *const keeping[] = { "occupy", "occupy_loop", "occupy_deaf" };

START_TEST(a_worker_ends_after_its_drain_timeout_wherever_code_hangs)
{
    pid_t pid = process();

    begin(keeping[_i]);
    stop(SIGTERM);
    ck_assert(!sup_pid_running(pid));
}
END_TEST

START_TEST(a_worker_whose_process_ignores_signals_drains_in_order)
{
    asq_value *v = NULL;

    stop(SIGTERM);
    drain_ms = LONG_MS; /* is enough on any machine */
    start_worker(1);
    process();
    ck_assert_int_eq(asq_call_wait(agent, "be_deaf", NULL, NULL), 0);
    ck_assert_int_eq(asq_call_wait(agent, "add", &v, NULL), 0);
    asq_value_free(v);
    stop(SIGTERM);
    ck_assert(!logged("SIGKILL"));
}
END_TEST

static const char *const losing[] = { "occupy_loop", "occupy_deaf", "end_thread", "end_loop" };

START_TEST(other_agents_go_on_when_a_call_keeps_the_loop_or_ends_its_thread)
{
    static const char *const told[] = { "Evil.occupy_loop has blocked the event loop of w.0",
                                        "Evil.occupy_deaf has blocked the event loop of w.0",
                                        "Evil.end_thread has ended its thread",
                                        "Evil.end_loop has ended its thread" };
    asq_value *v = NULL;
    pid_t pid = process();

    begin(losing[_i]);
    ck_assert_msg(asq_call_wait(other, "add", &v, NULL) == 0, "%s", asq_errmsg(h));
    asq_value_free(v);
    sup_wait_until(logged(told[_i]));
    sup_wait_until(process() != pid);
    ck_assert(!sup_pid_running(pid));
    stop(SIGTERM);
}
END_TEST

START_TEST(a_call_that_only_keeps_its_thread_may)
{
    asq_value *v = NULL;
    pid_t pid = process();

    begin("occupy");
    sup_sleep_ms(4000); /* more than a loop may stand still */
    ck_assert_int_eq(asq_call_wait(other, "add", &v, NULL), 0);
    asq_value_free(v);
    ck_assert_int_eq(process(), pid);
}
END_TEST

START_TEST(quit_ends_all_at_once)
{
    pid_t pid = process();

    begin("occupy");
    stop(SIGQUIT);
    ck_assert(!sup_pid_running(pid));
    ck_assert(logged("SIGQUIT"));
    ck_assert_int_eq(sup_redis_workers(redis, "default"), 0);
    /* A call whose process was ended by the worker is not blamed. */
    ck_assert_int_eq(sup_redis_int(redis, "EVAL %s 0",
                                   "local n = 0 for p = 0, 3 do n = n + redis.call('HLEN', "
                                   "'asq:{default.' .. p .. '}:attempts') end return n"),
                     0);
}
END_TEST

START_TEST(a_stop_by_redis_has_a_deadline_too)
{
    int status;

    begin("occupy_loop");
    ck_assert_int_eq(asq_stop_worker(h, "w"), 0);
    sup_wait_until(waitpid(worker_pid, &status, WNOHANG) == worker_pid);
    worker_pid = 0;
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("deadline");
    TCase *c = tcase_create("deadline");

    if (!sup_redis_available())
        return sup_skip("there is no redis-server");
    if (sup_is_wrapped())
        return sup_skip("processes are cut off");
    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_loop_test(c, a_worker_ends_after_its_drain_timeout_wherever_code_hangs, 0, 3);
    tcase_add_test(c, a_worker_whose_process_ignores_signals_drains_in_order);
    /* Sanitizers do not support a thread that ends on a fiber's stack. */
    tcase_add_loop_test(c, other_agents_go_on_when_a_call_keeps_the_loop_or_ends_its_thread, 0,
                        SUP_SANITIZED ? 2 : 4);
    tcase_add_test(c, a_call_that_only_keeps_its_thread_may);
    tcase_add_test(c, quit_ends_all_at_once);
    tcase_add_test(c, a_stop_by_redis_has_a_deadline_too);
    suite_add_tcase(s, c);
    return sup_suite_run(s);
}
