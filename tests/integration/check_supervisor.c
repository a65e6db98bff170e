/*
 * check_supervisor.c: a supervisor reacts to the ends of its processes, and ends itself; ways to
 * ask it to stop; notifications to systemd.
 */
#include "load.h"
#include "support/suite.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LONG_MS = 3600000, LEASE_MS = 1000 };

static const char all_epochs[] =
    "local n = 0 for p = 0, 127 do "
    "n = n + (redis.call('HGET', 'asq:{default.' .. p .. '}:lease', 'epoch') or 0) end return n";

static const char all_owned[] =
    "for p = 0, 127 do if not redis.call('HGET', 'asq:{default.' .. p .. '}:lease', 'owner') then "
    "return 0 end end return 1";

static sup_redis *redis;
static asq *h;

static void set_up(void)
{
    redis = sup_redis_start(NULL);
    h = load_open(sup_redis_url(redis));
}

static void tear_down(void)
{
    asq_close(h);
    sup_redis_free(redis);
}

static pid_t worker(const char *id, int64_t lease_ms, int64_t drain_ms)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.id = id;
    options.lease_time_ms = lease_ms;
    options.drain_timeout_ms = drain_ms;
    return load_worker(sup_redis_url(redis), &options);
}

/* Returns the pid of the worker's first process. */
static pid_t process_of(const char *id)
{
    pid_t pid = 0;

    sup_wait_until((pid = (pid_t) sup_redis_int(redis, "HGET asq:{default}:worker:%s.0 pid", id)) >
                   0);
    return pid;
}

static asq_agent *poison(void)
{
    asq_agent *a;

    ck_assert_int_eq(asq_create(h, "Poison", NULL, &a, NULL), 0);
    ck_assert_int_eq(asq_ready(a, sup_limit_ms()), 0);
    return a;
}

/* Makes a call that waits, and notes each of its runs in the file. */
static asq_result *begin(asq_agent *a, int64_t ms, const char *noted)
{
    asq_result *r;

    ck_assert_int_eq(asq_call(a, "wait", &r, "[I, s]", ms, noted), 0);
    ck_assert_int_eq(asq_flush(h, sup_limit_ms()), 0);
    sup_wait_until(access(noted, F_OK) == 0);
    return r;
}

static size_t runs(const char *noted)
{
    char *text = sup_read_file(noted);
    size_t n = strlen(text);

    free(text);
    return n;
}

/* ---- asked to stop ---- */

/* Signals the whole group, as a terminal, a container or systemd does. The supervisor passes on a
 * signal that its processes have already got. */
START_TEST(a_signal_to_all_its_processes_is_one_request)
{
    char *noted = sup_path("noted");
    pid_t w = worker("w", LEASE_MS, LONG_MS);
    asq_agent *a = poison();
    asq_result *r = begin(a, 8 * LEASE_MS, noted);

    ck_assert_int_eq(kill(process_of("w"), SIGTERM), 0);
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:w.0 stopping") == 1);
    ck_assert_int_eq(kill(w, SIGTERM), 0);
    ck_assert_int_eq(asq_result_wait(r, sup_limit_ms()), 0);
    ck_assert_int_eq(load_worker_status(w), 0);
    ck_assert_uint_eq(runs(noted), 1);
    asq_result_free(r);
    asq_agent_free(a);
    free(noted);
}
END_TEST

/* A call that outlasts the drain runs again elsewhere, without effects of the first run. */
START_TEST(a_drain_ends_with_its_timeout_and_loses_nothing)
{
    char *noted = sup_path("noted");
    pid_t first = worker("first", LONG_MS, 200), second;
    asq_agent *a = poison();
    asq_result *r = begin(a, 8 * LEASE_MS, noted);
    int64_t value;

    kill(first, SIGTERM);
    ck_assert_int_eq(load_worker_status(first), 0);
    ck_assert_int_eq(asq_result_done(r), false);
    second = worker("second", LONG_MS, 0);
    ck_assert_int_eq(asq_result_int(r, &value), 0);
    ck_assert_int_eq(value, 1);
    ck_assert_uint_eq(runs(noted), 2);
    asq_result_free(r);
    asq_agent_free(a);
    free(noted);
    load_worker_stop(second);
}
END_TEST

START_TEST(a_worker_ends_while_redis_is_away)
{
    pid_t w = worker("w", LEASE_MS, LONG_MS);

    asq_agent_free(poison());
    /* Lets the worker get all answers, because it would wait for them. */
    sup_redis_do(redis, "PING");
    sup_redis_kill(redis);
    load_worker_stop(w);
    sup_redis_restart(redis);
}
END_TEST

/* ---- two of one id ---- */

static int ended_process(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
    return pid;
}

START_TEST(a_second_worker_of_the_same_id_does_not_start)
{
    enum { PATIENT_MS = 15 * LEASE_MS }; /* the first is never so late that it counts as dead */
    pid_t first = worker("w", PATIENT_MS, 0), second;
    asq_agent *a = poison();
    int64_t epochs;

    sup_wait_until(sup_redis_int(redis, "EVAL %s 0", all_owned) == 1);
    epochs = sup_redis_int(redis, "EVAL %s 0", all_epochs);
    second = worker("w", PATIENT_MS, 0);
    ck_assert_int_eq(load_worker_status(second), 1);
    ck_assert_int_eq(asq_call_wait(a, "wait", NULL, "[i]", 0), 0);
    ck_assert_int_eq(sup_redis_int(redis, "EVAL %s 0", all_epochs), epochs);
    load_worker_stop(first);
    asq_agent_free(a);
}
END_TEST

/* The worker starts again after its own end (0), or after the end of its machine, when only the
 * missing heartbeats show its death (1). */
START_TEST(a_worker_that_comes_again_by_its_id_is_taken_for_the_same)
{
    pid_t w = worker("w", LEASE_MS, 0);
    asq_agent *a = poison();

    load_worker_kill(w);
    if (_i)
        sup_redis_do(redis, "HSET asq:{default}:worker:w.0 host elsewhere pid 1");
    w = worker("w", LEASE_MS, 0);
    ck_assert_int_eq(asq_call_wait(a, "wait", NULL, "[i]", 0), 0);
    load_worker_stop(w);
    asq_agent_free(a);
}
END_TEST

/* Redis has lost its last second, and with it the start of this process after another one, which
 * has ended (0) or was elsewhere (1). */
START_TEST(a_worker_whose_coming_redis_has_lost_stays)
{
    pid_t w = worker("w", LEASE_MS, 0), process = process_of("w");
    asq_agent *a = poison();

    sup_redis_do(redis, "HSET asq:{default}:worker:w.0 client 0123456789abcdef beat 1");
    if (_i)
        sup_redis_do(redis, "HSET asq:{default}:worker:w.0 host elsewhere pid 1");
    else
        sup_redis_do(redis, "HSET asq:{default}:worker:w.0 pid %d", ended_process());
    sup_wait_until(sup_redis_int(redis, "HGET asq:{default}:worker:w.0 pid") == process);
    ck_assert_int_eq(asq_call_wait(a, "wait", NULL, "[i]", 0), 0);
    ck_assert_int_eq(process_of("w"), process);
    load_worker_stop(w);
    asq_agent_free(a);
}
END_TEST

/* ---- ends of processes ---- */

/* exit(0) in a method is no orderly end. */
START_TEST(a_method_that_exits_is_given_up_and_its_process_started_again)
{
    pid_t w = worker("w", LONG_MS, 0);
    asq_agent *a = poison();
    asq_result *r;

    ck_assert_int_eq(asq_call(a, "exit", &r, NULL), 0);
    ck_assert_int_eq(asq_result_wait(r, 2 * sup_limit_ms()), ASQ_EDEADLETTER);
    ck_assert_int_eq(asq_call_wait(a, "wait", NULL, "[i]", 0), 0);
    asq_result_free(r);
    asq_agent_free(a);
    load_worker_stop(w);
}
END_TEST

/* There are 100, 200, 400 … ms between restarts. Without a backoff, a supervisor checks at least
 * once a second. */
START_TEST(a_crash_loop_backs_off)
{
    enum { DEATHS = 8, LEAST_MS = 100 + 200 + 400 + 800 + 1600 + 3200 + 6400 };
    pid_t w = worker("w", LONG_MS, 0), last = 0;
    int64_t begun_ms = sup_now_ms();

    for (int i = 0; i < DEATHS; i++) {
        pid_t pid;
        sup_wait_until((pid = process_of("w")) != last);
        ck_assert_int_eq(kill(pid, SIGKILL), 0);
        last = pid;
        sup_wait_until(sup_redis_int(redis, "EXISTS asq:{default}:worker:w.0") == 0);
    }
    ck_assert_int_ge(sup_now_ms() - begun_ms, LEAST_MS);
    sup_wait_until(process_of("w") != last);
    load_worker_stop(w);
}
END_TEST

START_TEST(processes_end_with_their_supervisor)
{
    pid_t w = worker("w", LEASE_MS, 0), pid = process_of("w"), second;
    asq_agent *a = poison();

    ck_assert_int_eq(kill(w, SIGKILL), 0);
    ck_assert_int_eq(load_worker_status(w), 128 + SIGKILL);
    sup_wait_until(!sup_pid_running(pid));
    second = worker("second", LEASE_MS, 0);
    ck_assert_int_eq(asq_call_wait(a, "wait", NULL, "[i]", 0), 0);
    asq_agent_free(a);
    load_worker_stop(second);
}
END_TEST

/* ---- systemd ---- */

#ifdef HAVE_LIBSYSTEMD
static int notify_socket(const char *path)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    struct timeval limit = { sup_limit_ms() / 1000, 0 };
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    strncpy(a.sun_path, path, sizeof a.sun_path - 1);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &a, sizeof a), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* Reads notifications until `text` comes. False: `before` came first. */
static bool is_told(int fd, const char *text, const char *before)
{
    char buf[512];

    for (;;) {
        ssize_t n = recv(fd, buf, sizeof buf - 1, 0);
        ck_assert_msg(n > 0, "%s is not told: %s", text, strerror(errno));
        buf[n] = '\0';
        if (before && strstr(buf, before))
            return false;
        if (strstr(buf, text))
            return true;
    }
}

START_TEST(systemd_is_told_of_readiness_life_and_stop)
{
    char *path = sup_path("notify");
    int fd = notify_socket(path);
    asq_agent *a;
    pid_t w;

    setenv("NOTIFY_SOCKET", path, 1);
    sup_redis_kill(redis);
    w = worker("w", LEASE_MS, 0);
    ck_assert(is_told(fd, "WATCHDOG=1", "READY=1")); /* lives, and is not ready without its Redis */
    sup_redis_restart(redis);
    is_told(fd, "READY=1", NULL);
    a = poison();
    is_told(fd, "WATCHDOG=1", NULL);
    kill(w, SIGTERM);
    is_told(fd, "STOPPING=1", NULL);
    ck_assert_int_eq(load_worker_status(w), 0);
    asq_agent_free(a);
    close(fd);
    free(path);
}
END_TEST
#endif

int main(void)
{
    Suite *s = suite_create("supervisor");
    TCase *t = tcase_create("supervisor");

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    tcase_set_timeout(t, 120);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_signal_to_all_its_processes_is_one_request);
    tcase_add_test(t, a_worker_ends_while_redis_is_away);
    tcase_add_test(t, a_second_worker_of_the_same_id_does_not_start);
    tcase_add_loop_test(t, a_worker_whose_coming_redis_has_lost_stays, 0, 2);
    tcase_add_loop_test(t, a_worker_that_comes_again_by_its_id_is_taken_for_the_same, 0, 2);
    if (!sup_is_wrapped()) { /* cuts off calls, or processes */
        tcase_add_test(t, a_drain_ends_with_its_timeout_and_loses_nothing);
        tcase_add_test(t, a_method_that_exits_is_given_up_and_its_process_started_again);
        tcase_add_test(t, a_crash_loop_backs_off);
        tcase_add_test(t, processes_end_with_their_supervisor);
    }
#ifdef HAVE_LIBSYSTEMD
    tcase_add_test(t, systemd_is_told_of_readiness_life_and_stop);
#endif
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
