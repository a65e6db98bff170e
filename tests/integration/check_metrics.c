/*
 * check_metrics.c: as-worker --metrics: what a collector reads while calls are made, fail,
 * processes die and Redis is away; addresses that cannot be served; descriptors of worker
 * processes.
 */
#include "support/collector.h"
#include "support/suite.h"
#include "support/support.h"

#include "asqueue.h"

#include <dirent.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static sup_redis *redis;
static sup_proc *worker;
static int port;
static asq *h;
static char *body; /* of the last answer, with its head */

/* Sends a request. Returns the status, 0 if nobody answers; the answer is in `body`. */
static int request(const char *method, const char *path, const char *head)
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t) port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), status = 0;
    size_t n = 0, cap = 1 << 22;
    ssize_t got = 0;
    free(body);
    body = calloc(1, cap);
    if (connect(fd, (struct sockaddr *) &at, sizeof at) == 0) {
        dprintf(fd, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s\r\n", method, path, head);
        while ((got = read(fd, body + n, cap - 1 - n)) > 0)
            n += (size_t) got;
        sscanf(body, "HTTP/1.1 %d", &status);
    }
    close(fd);
    return status;
}

/* Returns the value of a sample; -1: there is none. */
static double sample(const char *name)
{
    char *line = sup_format("\n%s ", name);
    ck_assert_int_eq(request("GET", "/metrics", ""), 200);
    const char *at = strstr(body, line);
    double value = at ? strtod(at + strlen(line), NULL) : -1;
    free(line);
    return value;
}

static void start_worker(void)
{
    char *address = sup_format("127.0.0.1:%d", port);
    worker = sup_worker_start(sup_redis_url(redis), "--id", "w", "--agent-dir", sup_agent_dir(),
                              "--metrics", address, "--processes", "2", "--lease-time", "2s", NULL);
    free(address);
    sup_wait_until(request("GET", "/readyz", "") == 200);
}

static void set_up(void)
{
    char err[500] = "";
    redis = sup_redis_start(NULL);
    port = sup_free_port();
    start_worker();
    ck_assert_msg(asq_open(sup_redis_url(redis), NULL, &h, err, sizeof err) == 0, "%s", err);
}

static void tear_down(void)
{
    asq_close(h);
    sup_proc_stop(worker);
    sup_proc_free(worker);
    sup_redis_free(redis);
    free(body);
    body = NULL;
}

static asq_agent *counter(void)
{
    asq_agent *a;
    ck_assert_int_eq(asq_create(h, "Counter", NULL, &a, NULL), 0);
    return a;
}

static int add(asq_agent *a, int n)
{
    asq_result *r;
    int64_t sum;
    ck_assert_int_eq(asq_call(a, "add", &r, "[i]", n), 0);
    int rc = asq_result_int(r, &sum);
    asq_result_free(r);
    return rc;
}

#define ADD(name) name "{class=\"Counter\",method=\"add\"}"

START_TEST(counters_and_times_move_with_calls)
{
    asq_agent *a = counter();
    for (int i = 0; i < 20; i++)
        ck_assert_int_eq(add(a, 1), 0);
    ck_assert_double_eq(sample(ADD("asqueue_calls_total")), 20);
    ck_assert_double_eq(sample("asqueue_calls_total{class=\"Counter\",method=\"(create)\"}"), 1);
    ck_assert_double_eq(sample(ADD("asqueue_call_queue_seconds_count")), 20);
    ck_assert_double_eq(sample(ADD("asqueue_call_run_seconds_count")), 20);
    ck_assert_double_gt(sample(ADD("asqueue_call_run_seconds_sum")), 0);
    sup_wait_until(sample(ADD("asqueue_call_commit_seconds_count")) == 20);
    sup_wait_until(sample("asqueue_partitions{process=\"0\"}") +
                       sample("asqueue_partitions{process=\"1\"}") ==
                   128);
    sup_wait_until(
        sample("asqueue_agents{process=\"0\"}") + sample("asqueue_agents{process=\"1\"}") == 1);
    sup_wait_until(sample("asqueue_redis_round_trip_seconds{process=\"0\"}") > 0);
    asq_agent_free(a);
}
END_TEST

static double pool_sample(const char *what, const char *pool)
{
    double sum = 0;
    for (int i = 0; i < 2; i++) {
        char *name = sup_format("asqueue_pool_%s{process=\"%d\",pool=\"%s\"}", what, i, pool);
        double value = sample(name);
        free(name);
        if (value < 0)
            return value;
        sum += value;
    }
    return sum;
}

START_TEST(pools_have_gauges_of_their_own)
{
    char *address = sup_format("127.0.0.1:%d", port);
    sup_wait_until(pool_sample("partitions", "default") == 128);
    ck_assert_double_eq(pool_sample("partitions", "gpu"), -1); /* it is not served */
    sup_proc_stop(worker);
    sup_proc_free(worker);
    worker = sup_worker_start(sup_redis_url(redis), "--id", "w", "--agent-dir", sup_agent_dir(),
                              "--metrics", address, "--processes", "2", "--lease-time", "2s",
                              "--pool", "default,gpu:6", "--unload-after", "0", NULL);
    free(address);
    sup_wait_until(request("GET", "/readyz", "") == 200);
    sup_wait_until(pool_sample("partitions", "gpu") == 6 &&
                   pool_sample("partitions", "default") == 128);
    asq_agent *a;
    asq_result *r[2];
    ck_assert_int_eq(asq_create(h, "Echo", "gpu/a", &a, NULL), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(asq_call(a, "sleep", &r[i], "[i]", 600000), 0);
    sup_wait_until(asq_poll(h, 0) >= 0 && pool_sample("calls_active", "gpu") == 1 &&
                   pool_sample("calls_waiting", "gpu") == 1);
    ck_assert_double_eq(pool_sample("calls_active", "default"), 0);
    ck_assert_double_eq(pool_sample("calls_waiting", "default"), 0);
    ck_assert_double_eq(pool_sample("backlog_calls", "gpu"), 0);
    sup_wait_until(pool_sample("oldest_waiting_seconds", "gpu") > 0);
    ck_assert_double_eq(pool_sample("oldest_waiting_seconds", "default"), 0);
    for (int i = 1; i >= 0; i--) {
        ck_assert_int_eq(asq_result_cancel(r[i]), 0);
        asq_result_wait(r[i], sup_limit_ms());
        asq_result_free(r[i]);
    }
    asq_agent_free(a);
}
END_TEST

#ifdef HAVE_LIBCURL
START_TEST(traced_runs_are_counted)
{
    sup_collector *c = sup_collector_start();
    char *address = sup_format("127.0.0.1:%d", port);
    sup_proc_stop(worker);
    sup_proc_free(worker);
    worker = sup_worker_start(sup_redis_url(redis), "--id", "w", "--agent-dir", sup_agent_dir(),
                              "--metrics", address, "--traces", sup_collector_url(c),
                              "--trace-rate", "1", NULL);
    asq_agent *a = counter();
    ck_assert_int_eq(add(a, 1), 0);
    sup_wait_until(sample("asqueue_traces_exported_total{process=\"0\"}") == 2);
    ck_assert_double_eq(sample("asqueue_traces_dropped_total{process=\"0\"}"), 0);
    sup_collector_answer(c, 400);
    ck_assert_int_eq(add(a, 1), 0);
    sup_wait_until(sample("asqueue_traces_dropped_total{process=\"0\"}") == 1);
    ck_assert_double_eq(sample("asqueue_traces_exported_total{process=\"0\"}"), 2);
    free(address);
    asq_agent_free(a);
    sup_collector_free(c);
}
END_TEST
#endif

START_TEST(failures_are_counted_by_code)
{
    asq_agent *a = counter();
    asq_result *r;
    int64_t sum;
    ck_assert_int_eq(asq_call(a, "add", &r, "[s]", "x"), 0);
    ck_assert_int_eq(asq_result_int(r, &sum), ASQ_EARGS);
    asq_result_free(r);
    ck_assert_int_eq(asq_call(a, "no_such", &r, "[]"), 0);
    ck_assert_int_eq(asq_result_int(r, &sum), ASQ_ENOMETHOD);
    asq_result_free(r);
    ck_assert_double_eq(sample("asqueue_call_failures_total{class=\"Counter\",method=\"add\","
                               "code=\"ASQ_EARGS\"}"),
                        1);
    ck_assert_double_eq(sample("asqueue_call_failures_total{class=\"Counter\",method=\"(other)\","
                               "code=\"ASQ_ENOMETHOD\"}"),
                        1);
    asq_agent_free(a);
}
END_TEST

START_TEST(counters_do_not_go_back_when_a_process_is_killed)
{
    asq_agent *a = counter();
    for (int i = 0; i < 10; i++)
        ck_assert_int_eq(add(a, 1), 0);
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
    kill(sup_redis_worker_pid(redis, "w.1"), SIGKILL);
    sup_wait_until(sample("asqueue_process_deaths_total{process=\"0\"}") == 1 &&
                   sample("asqueue_process_deaths_total{process=\"1\"}") == 1);
    ck_assert_double_ge(sample(ADD("asqueue_calls_total")), 10);
    sup_wait_until(request("GET", "/readyz", "") == 200);
    ck_assert_int_eq(add(a, 1), 0);
    ck_assert_double_ge(sample(ADD("asqueue_calls_total")), 11);
    ck_assert_double_eq(sample("asqueue_process_starts_total{process=\"0\"}"), 2);
    asq_agent_free(a);
}
END_TEST

START_TEST(a_worker_is_not_ready_while_redis_is_away)
{
    ck_assert_int_eq(request("GET", "/healthz", ""), 200);
    sup_redis_kill(redis);
    sup_wait_until(request("GET", "/readyz", "") == 503 && strstr(body, "Redis"));
    ck_assert_int_eq(request("GET", "/healthz", ""), 200);
    sup_wait_until(sample("asqueue_redis_up{process=\"0\"}") == 0);
    sup_redis_restart(redis);
    sup_wait_until(request("GET", "/readyz", "") == 200);
}
END_TEST

START_TEST(the_format_is_the_one_that_the_client_takes)
{
    static const char open[] = "Content-Type: application/openmetrics-text; version=1.0.0",
                      plain[] = "Content-Type: text/plain; version=0.0.4";
    request("GET", "/metrics",
            "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\n");
    ck_assert_ptr_nonnull(strstr(body, open));
    ck_assert_str_eq(body + strlen(body) - 6, "# EOF\n");
    request("GET", "/metrics", "");
    ck_assert_ptr_nonnull(strstr(body, plain));
    request("GET", "/metrics", "Accept: application/openmetrics-text;q=0,text/plain\r\n");
    ck_assert_ptr_nonnull(strstr(body, plain));
    request("GET", "/metrics", "Accept: application/openmetrics-text;q=0.3,text/plain;q=0.8\r\n");
    ck_assert_ptr_nonnull(strstr(body, plain));
}
END_TEST

START_TEST(other_paths_and_methods_are_refused)
{
    ck_assert_int_eq(request("GET", "/", ""), 404);
    ck_assert_int_eq(request("GET", "/metrics/../../etc/passwd", ""), 404);
    ck_assert_int_eq(request("POST", "/metrics", "Content-Length: 0\r\n"), 405);
    ck_assert_ptr_nonnull(strstr(body, "Allow: GET, HEAD"));
    ck_assert_int_eq(request("HEAD", "/metrics", ""), 200);
    ck_assert_ptr_null(strstr(body, "asqueue_"));
}
END_TEST

/* Counts the descriptors of a process that are TCP sockets of our port. */
static int sockets_of(pid_t pid)
{
    char *inodes[64];
    size_t n = 0;
    int found = 0;
    char line[512], *path = sup_format("/proc/%ld/net/tcp", (long) pid);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fgets(line, sizeof line, f)) {
        unsigned local;
        unsigned long inode;
        if (sscanf(line, " %*d: %*8x:%4x %*8x:%*4x %*x %*x:%*x %*x:%*x %*x %*d %*d %lu", &local,
                   &inode) == 2 &&
            (int) local == port && n < 64)
            inodes[n++] = sup_format("socket:[%lu]", inode);
    }
    fclose(f);
    free(path);
    ck_assert_uint_gt(n, 0);
    path = sup_format("/proc/%ld/fd", (long) pid);
    DIR *dir = opendir(path);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char *link = sup_format("%s/%s", path, e->d_name), to[256] = "";
        if (readlink(link, to, sizeof to - 1) > 0)
            for (size_t i = 0; i < n; i++)
                found += strcmp(to, inodes[i]) == 0;
        free(link);
    }
    closedir(dir);
    free(path);
    while (n > 0)
        free(inodes[--n]);
    return found;
}

START_TEST(worker_processes_do_not_have_the_port)
{
    /* A connection stays open while a process is started again. */
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t) port),
                              .sin_addr = { htonl(INADDR_LOOPBACK) } };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char got[16];
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &at, sizeof at), 0);
    dprintf(fd, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    ck_assert_int_gt(read(fd, got, sizeof got), 0);
    ck_assert_int_ge(sockets_of(sup_proc_pid(worker)), 1);
    ck_assert_int_eq(sockets_of(sup_redis_worker_pid(redis, "w.1")), 0);
    kill(sup_redis_worker_pid(redis, "w.0"), SIGKILL);
    sup_wait_until(sample("asqueue_process_starts_total{process=\"0\"}") == 2 &&
                   sample("asqueue_process_serves{process=\"0\"}") == 1);
    ck_assert_int_eq(sockets_of(sup_redis_worker_pid(redis, "w.0")), 0);
    close(fd);
}
END_TEST

/* Runs as-worker with an address that cannot be served. Returns its exit status. */
static int refused(const char *address, char **ret_err)
{
    char *dir = sup_format("%s", sup_agent_dir());
    const char *const argv[] = { sup_program("as-worker"),
                                 "--redis-url",
                                 sup_redis_url(redis),
                                 "--agent-dir",
                                 dir,
                                 "--metrics",
                                 address,
                                 NULL };
    int status = sup_run(argv, NULL, ret_err);
    free(dir);
    return status;
}

START_TEST(an_address_that_cannot_be_served_is_named)
{
    static const char *const wrong[] = {
        "9464",     ":9464",           "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536",
        "::1:9464", "127.0.0.1:9464/", "[]:9464"
    };
    char *err, *address = sup_format("127.0.0.1:%d", port);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = refused(wrong[i], &err);
        ck_assert_msg(status == 2, "%s: %d, %s", wrong[i], status, err);
        ck_assert_msg(strstr(err, "--metrics") && strstr(err, "HOST:PORT"), "%s: %s", wrong[i],
                      err);
        free(err);
    }
    ck_assert_int_eq(refused(address, &err), 1);
    ck_assert_msg(strstr(err, address) && strstr(err, "another program uses the port"), "%s", err);
    free(err);
    free(address);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("metrics");
    TCase *t = tcase_create("metrics");

#ifndef HAVE_LIBMICROHTTPD
    return sup_skip("as-worker was built without libmicrohttpd");
#endif
    if (!sup_redis_available())
        return sup_skip("there is no redis-server");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, counters_and_times_move_with_calls);
    tcase_add_test(t, pools_have_gauges_of_their_own);
#ifdef HAVE_LIBCURL
    tcase_add_test(t, traced_runs_are_counted);
#endif
    tcase_add_test(t, failures_are_counted_by_code);
    tcase_add_test(t, counters_do_not_go_back_when_a_process_is_killed);
    tcase_add_test(t, a_worker_is_not_ready_while_redis_is_away);
    tcase_add_test(t, the_format_is_the_one_that_the_client_takes);
    tcase_add_test(t, other_paths_and_methods_are_refused);
    tcase_add_test(t, worker_processes_do_not_have_the_port);
    tcase_add_test(t, an_address_that_cannot_be_served_is_named);
    suite_add_tcase(s, t);
    return sup_suite_run(s);
}
