/*
 * modes.c: see modes.h.
 */
#include "modes.h"
#include "classes.h"
#include "load.h"
#include "support/cluster.h"
#include "support/sentinel.h"
#include "support/suite.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum mode mode;
asq *H;

/* Of the independent deployment: one server, one under Sentinels, or a Cluster. */
static sup_redis *redis;
static sup_sentinels *sentinels;
static sup_cluster *cluster;
static char *cluster_url;
static pid_t worker;    /* the supervisor */
static char *names[64]; /* handed out by own() */
static size_t n_names;

static void log_problem(void *user, asq_log_level level, const char *message)
{
    (void) user;
    fprintf(stderr, "# %s: %s\n", level == ASQ_LOG_ERROR ? "error" : "warning", message);
}

pid_t modes_fork_worker(const char *url, const char *ns, const asq_class *const *list)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;

    options.ns = ns;
    options.processes = 2;
    options.capacity = 4;
    options.log = log_problem;
    options.log_level = ASQ_LOG_ERROR;
    options.fail_no_class = true; /* as in child mode, where no other worker can come */
    return modes_fork_worker_with(url, &options, list);
}

pid_t modes_fork_worker_with(const char *url, const asq_worker_options *own,
                             const asq_class *const *list)
{
    asq_worker_options options = *own;
    pid_t parent = getpid(), pid;
    sigset_t stops, old;
    char err[512];
    asq_worker *w;
    int rc;

    fflush(stdout);
    fflush(stderr);
    /* A request to stop waits until the worker handles it, which else would end by it. */
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigprocmask(SIG_BLOCK, &stops, &old);
    pid = fork();
    if (pid)
        sigprocmask(SIG_SETMASK, &old, NULL);
    if (pid < 0)
        ck_abort_msg("fork");
    if (pid > 0) {
        setpgid(pid, pid); /* as the child does, whoever comes first */
        return pid;
    }
    /* The workers have a group of their own, because Check kills the group of a test that times
     * out. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    options.url = sup_url_as(url, "worker");
    if ((rc = asq_worker_new(&options, &w, err, sizeof err)) < 0)
        goto failed;
    for (; *list; list++)
        if ((rc = asq_worker_register(w, *list)) < 0) {
            snprintf(err, sizeof err, "%s", asq_worker_errmsg(w));
            goto failed;
        }
    if ((rc = asq_worker_run(w)) < 0) {
        snprintf(err, sizeof err, "%s", asq_worker_errmsg(w));
        goto failed;
    }
    asq_worker_free(w);
    _exit(0);
failed:
    fprintf(stderr, "# worker: %s: %s\n", asq_error_name(rc), err);
    _exit(1);
}

void modes_stop_worker(pid_t pid)
{
    int64_t end = sup_now_ms() + sup_limit_ms();
    int status;
    pid_t got;

    kill(pid, SIGTERM);
    while ((got = waitpid(pid, &status, WNOHANG)) == 0 || (got < 0 && errno == EINTR)) {
        if (sup_now_ms() > end) {
            kill(pid, SIGKILL);
            sup_fail("worker %d does not end on SIGTERM", (int) pid);
        }
        sup_sleep_ms(5);
    }
    if (got != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        sup_fail("worker %d did not end in order: status 0x%x", (int) pid, (unsigned) status);
}

asq *modes_open_url(const char *url)
{
    asq_options options = ASQ_OPTIONS_INIT;
    char err[512] = "";
    asq *h = NULL;
    int rc;

    options.child_processes = 2;
    options.child_capacity = 4;
    /* Longer than any call here takes, so that a call that hangs fails its test. */
    options.timeout_ms = 2 * sup_limit_ms();
    if (strncmp(url, "unix:", 5) == 0)
        load_make_namespace(url, 0);
    rc = asq_open(url, &options, &h, err, sizeof err);
    ck_assert_msg(rc == 0, "asq_open: %s: %s", asq_error_name(rc), err);
    for (const asq_class *const *c = classes; *c; c++) {
        rc = asq_register(h, *c);
        ck_assert_msg(rc == 0, "asq_register %s: %s", (*c)->name, asq_errmsg(h));
    }
    return h;
}

asq *modes_open(void)
{
    return modes_open_url(mode == MODE_LOCAL              ? "local:"
                          : mode == MODE_INDEPENDENT || H ? asq_url(H)
                                                          : "child:");
}

/* ---- fixtures -------------------------------------------------------------------------------- */

static const char *deployment_url(void)
{
    return cluster ? cluster_url : sentinels ? sup_sentinels_url(sentinels) : sup_redis_url(redis);
}

/* The client of ASQ_TEST_ACL may not make the namespace, and may be the first. */
static void make_namespace(sup_redis *r)
{
    sup_redis_do(r, "HSET asq:{default}:meta format 1 partitions 128");
}

static void start_deployment(void)
{
    const char *kind = getenv("ASQ_TEST_REDIS");
    if (kind && strcmp(kind, "cluster") == 0) {
        cluster = sup_cluster_start(3, 3);
        cluster_url = sup_cluster_url(cluster, 0);
        make_namespace(sup_cluster_node_of(cluster, "asq:{default}:meta"));
    } else if (kind && strcmp(kind, "sentinel") == 0) {
        sentinels = sup_sentinels_start(NULL);
        make_namespace(sup_sentinels_server(sentinels, sup_sentinels_master(sentinels)));
    } else {
        redis = sup_redis_start(NULL);
    }
    worker = modes_fork_worker(deployment_url(), NULL, classes);
}

static void stop_deployment(void)
{
    modes_stop_worker(worker);
    sup_redis_free(redis);
    sup_cluster_free(cluster);
    sup_sentinels_free(sentinels);
    free(cluster_url);
}

static void open_local(void)
{
    mode = MODE_LOCAL;
    H = modes_open_url("local:");
}

static void open_child(void)
{
    mode = MODE_CHILD;
    H = modes_open_url("child:");
}

static void open_independent(void)
{
    mode = MODE_INDEPENDENT;
    H = modes_open_url(deployment_url());
}

static void close_handle(void)
{
    asq_close(H);
    H = NULL;
    while (n_names)
        free(names[--n_names]);
}

int modes_main(const char *name, void (*add_all)(TCase *t), void (*add_distributed)(TCase *t))
{
    static const struct {
        const char *name;
        void (*open)(void);
    } modes[] = { { "local", open_local },
                  { "child", open_child },
                  { "independent", open_independent } };
    Suite *s = suite_create(name);

    if (!sup_redis_available())
        return sup_skip("no redis-server");
    for (int m = MODE_LOCAL; m <= MODE_INDEPENDENT; m++) {
        TCase *t = tcase_create(modes[m].name);

        tcase_set_timeout(t, 120);
        if (m == MODE_INDEPENDENT)
            tcase_add_unchecked_fixture(t, start_deployment, stop_deployment);
        tcase_add_checked_fixture(t, modes[m].open, close_handle);
        if (add_all)
            add_all(t);
        if (m != MODE_LOCAL && add_distributed)
            add_distributed(t);
        suite_add_tcase(s, t);
    }
    return sup_suite_run(s);
}

/* ---- helpers --------------------------------------------------------------------------------- */

const char *own(const char *name)
{
    ck_assert_uint_lt(n_names, sizeof names / sizeof *names);
    names[n_names] = sup_format("%s-%d-%zu", name, (int) getpid(), n_names);
    return names[n_names++];
}

void touch(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    close(fd);
}

bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Makes v from fmt and its arguments; NULL without arguments. */
#define PACK(v, fmt)                                                                               \
    do {                                                                                           \
        va_list ap_;                                                                               \
        char err_[256] = "";                                                                       \
        v = NULL;                                                                                  \
        va_start(ap_, fmt);                                                                        \
        if (fmt)                                                                                   \
            ck_assert_msg(asq_vpack(&v, err_, sizeof err_, fmt, ap_) == 0, "%s: %s", fmt, err_);   \
        va_end(ap_);                                                                               \
    } while (0)

asq_agent *agent_new(const char *cls, const char *fmt, ...)
{
    asq_agent *a = NULL;
    asq_value *args;

    PACK(args, fmt);
    ok(asq_createv(H, cls, NULL, args, &a));
    return a;
}

asq_agent *counter(int value)
{
    return agent_new("Counter", "{s:i}", "value", value);
}

int64_t call_int(asq_agent *a, const char *method, const char *fmt, ...)
{
    asq_result *r = NULL;
    asq_value *args;

    PACK(args, fmt);
    ok(asq_callv(a, method, NULL, args, &r));
    return result_int(r);
}

int call_code(asq_agent *a, const char *method, const char *fmt, ...)
{
    asq_result *r = NULL;
    asq_value *args;
    int rc;

    PACK(args, fmt);
    rc = asq_callv(a, method, NULL, args, &r);
    return rc < 0 ? rc : result_code(r);
}

int64_t result_int(asq_result *r)
{
    int64_t n = 0;
    int rc = asq_result_int(r, &n);

    ck_assert_msg(rc == 0, "%s: %s", asq_error_name(rc),
                  *asq_result_error(r)->message ? asq_result_error(r)->message : asq_errmsg(H));
    asq_result_free(r);
    return n;
}

int result_code(asq_result *r)
{
    int rc = asq_result_wait(r, sup_limit_ms());

    asq_result_free(r);
    return rc;
}

int create_code(const char *cls, const char *id, asq_value *args)
{
    asq_agent *a;
    int rc = asq_createv(H, cls, id, args, &a);

    if (rc == 0) {
        rc = asq_ready(a, sup_limit_ms());
        asq_agent_free(a);
    }
    return rc;
}
