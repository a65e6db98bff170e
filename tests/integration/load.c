/*
 * load.c: see load.h.
 */
#include "load.h"
#include "classes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

pid_t load_worker(const char *url, const asq_worker_options *given)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char err[512] = "";
    pid_t parent = getpid(), pid;
    sigset_t term, old;
    asq_worker *w;
    int rc;

    fflush(NULL);
    /* Blocks the signals, so that a request to stop stays pending until the worker handles it.
     * Check's handler would end the test. */
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &old);
    pid = fork();
    if (pid)
        sigprocmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        ck_abort_msg("fork");
    if (pid > 0) {
        setpgid(pid, pid);
        return pid;
    }
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    if (getppid() != parent)
        _exit(1);
    if (given)
        options = *given;
    options.url = sup_url_as(url, "worker");
    if (!options.log)
        options.log_level = ASQ_LOG_ERROR;
    if (!options.capacity)
        options.capacity = 4;
    rc = asq_worker_new(&options, &w, err, sizeof err);
    for (const asq_class *const *c = classes; rc == 0 && *c; c++)
        rc = asq_worker_register(w, *c);
    if (rc == 0)
        rc = asq_worker_run(w);
    if (rc < 0)
        fprintf(stderr, "# worker: %s: %s\n", asq_error_name(rc), err);
    _exit(rc < 0);
}

void load_signal(pid_t worker, int sig)
{
    kill(-worker, sig);
}

int load_worker_status(pid_t worker)
{
    int64_t end = sup_now_ms() + sup_limit_ms();
    int status;
    pid_t got;

    while ((got = waitpid(worker, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (sup_now_ms() > end) {
            kill(-worker, SIGKILL);
            sup_fail("worker %d does not end", (int) worker);
        }
        sup_sleep_ms(5);
    }
    ck_assert_int_eq(got, worker);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void load_worker_stop(pid_t worker)
{
    kill(worker, SIGTERM);
    ck_assert_int_eq(load_worker_status(worker), 0);
}

void load_worker_kill(pid_t worker)
{
    load_signal(worker, SIGKILL);
    load_worker_status(worker);
}

void load_make_namespace(const char *url, uint32_t partitions)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512] = "";
    asq *h;

    if (!strstr(url, "user=asq-default-")) /* one of the users of the rules */
        return;
    options.partitions = partitions;
    ck_assert_msg(asq_open(sup_url_as(url, "worker"), &options, &h, err, sizeof err) == 0,
                  "asq_open: %s", err);
    asq_close(h);
}

int load_asq_open(const char *url, const asq_options *options, asq **ret, char *err, size_t errlen)
{
    load_make_namespace(url, options ? options->partitions : 0);
    return asq_open(url, options, ret, err, errlen);
}

asq *load_open(const char *url)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512] = "";
    asq *h;

    options.timeout_ms = 2 * sup_limit_ms();
    ck_assert_msg(load_asq_open(url, &options, &h, err, sizeof err) == 0, "asq_open: %s", err);
    return h;
}

/* ---- the load ---- */

struct load {
    asq *h;
    size_t agents, calls, cap;
    asq_agent **agent;
    asq_result **results; /* [call * agents + agent] */
};

struct load *load_new(asq *h, size_t agents)
{
    /* Static, so that a leak checker finds no leak in a worker that is forked later. */
    static struct load *volatile newest;
    struct load *l = newest = calloc(1, sizeof *l);

    l->h = h;
    l->agents = agents;
    l->agent = calloc(agents, sizeof(asq_agent *));
    for (size_t i = 0; i < agents; i++)
        ck_assert_int_eq(asq_create(h, "Counter", NULL, &l->agent[i], "{s:i}", "value", 0), 0);
    for (size_t i = 0; i < agents; i++)
        ck_assert_int_eq(asq_ready(l->agent[i], sup_limit_ms()), 0);
    return l;
}

void load_calls(struct load *l, size_t calls)
{
    size_t n = (l->calls + calls) * l->agents;

    l->results = realloc(l->results, n * sizeof(asq_result *));
    for (size_t i = l->calls * l->agents; i < n; i++) {
        /* Alternates between methods on threads and methods on the loop's thread. */
        const char *method = i / l->agents % 2 ? "add" : "add_blocking";
        ck_assert_msg(asq_call(l->agent[i % l->agents], method, &l->results[i], "[i]", 1) == 0,
                      "%s", asq_errmsg(l->h));
    }
    l->calls += calls;
}

bool load_is_done(struct load *l)
{
    asq_poll(l->h, 20);
    for (size_t i = 0; i < l->calls * l->agents; i++)
        if (!asq_result_done(l->results[i]))
            return false;
    return true;
}

void load_check_but(struct load *l, int code)
{
    int64_t *done = calloc(l->agents, sizeof *done);

    for (size_t i = 0; i < l->calls * l->agents; i++) {
        int64_t value = 0;
        int rc = asq_result_int(l->results[i], &value);
        if (rc == 0)
            ck_assert_int_eq(value, ++done[i % l->agents]);
        else
            ck_assert_msg(rc == code, "call %zu: %s: %s", i, asq_error_name(rc), asq_errmsg(l->h));
        asq_result_free(l->results[i]);
    }
    free(done);
    for (size_t i = 0; i < l->agents; i++)
        asq_agent_free(l->agent[i]);
    free(l->agent);
    free(l->results);
    free(l);
}

void load_check(struct load *l)
{
    load_check_but(l, 0);
}

bool load_streams_are_usable(sup_redis *redis, int partitions)
{
    static const char script[] =
        "local info = redis.pcall('XINFO', 'STREAM', KEYS[1]) "
        "for i = 1, #info, 2 do if info[i] == 'last-generated-id' then return info[i + 1] ~= ARGV[1] and 1 or 0 end end "
        "return 1";

    for (int p = 0; p < partitions; p++)
        if (sup_redis_int(redis, "EVAL %s 1 asq:{default.%d}:jobs " LOAD_HIGHEST, script, p) == 0)
            return false;
    return true;
}
