/*
 * workers.c: see workers.h.
 */
#include "graphs/workers.h"
#include "graphs/node.h"
#include "support/support.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UNLOAD_MS = 20 };

struct workers {
    const char *url;
    size_t n;
    bool killed;
    uint32_t capacity[MAX_WORKERS];
    int64_t unload_after_ms[MAX_WORKERS];
    pid_t pid[MAX_WORKERS]; /* pids of the supervisors, each the leader of a group */
};

static void print(void *user, asq_log_level level, const char *message)
{
    (void) user, (void) level;
    fprintf(stderr, "# worker: %s\n", message);
}

static void run(const struct workers *w, size_t i)
{
    asq_worker_options options = ASQ_WORKER_OPTIONS_INIT;
    char err[512] = "";
    asq_worker *worker;
    int rc;

    options.url = sup_url_as(w->url, "worker");
    options.capacity = w->capacity[i];
    options.unload_after_ms = w->unload_after_ms[i];
    options.log = print;
    options.log_level = ASQ_LOG_ERROR;
    if (w->killed) {
        options.lease_time_ms = 1000;
        /* calls must not be given up because of kills */
        options.max_attempts = 1000;
    }
    rc = asq_worker_new(&options, &worker, err, sizeof err);
    if (rc == 0)
        rc = asq_worker_register(worker, &node_class);
    if (rc == 0)
        rc = asq_worker_run(worker);
    if (rc < 0)
        fprintf(stderr, "# worker: %s: %s\n", asq_error_name(rc), err);
    asq_worker_free(worker);
    _exit(rc < 0);
}

static void start(struct workers *w, size_t i)
{
    pid_t parent = getpid(), pid;

    fflush(NULL);
    if ((pid = fork()) < 0)
        sup_fail("fork failed");
    if (pid > 0) {
        setpgid(pid, pid);
        w->pid[i] = pid;
        return;
    }
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    run(w, i);
}

struct workers *workers_start(const char *url, size_t n, bool killed, uint64_t dice)
{
    struct workers *w = calloc(1, sizeof *w);

    if (!w)
        sup_fail("out of memory");
    w->url = url;
    w->n = n;
    w->killed = killed;
    for (size_t i = 0; i < n; i++) {
        w->capacity[i] = 1 + (uint32_t) (dice % 4);
        w->unload_after_ms[i] = i % 2 ? 0 : UNLOAD_MS;
        dice /= 4;
        start(w, i);
    }
    return w;
}

/* Returns a child of a supervisor; 0: none now. */
static pid_t child_of(pid_t supervisor)
{
    char *path = sup_format("/proc/%d/task/%d/children", (int) supervisor, (int) supervisor);
    char *text = sup_read_file(path);
    pid_t pid = (pid_t) atoi(text);

    free(path);
    free(text);
    return pid;
}

void workers_kill(struct workers *w, uint64_t dice, bool verbose)
{
    size_t i = dice % w->n;
    bool whole = dice / w->n % 2;
    pid_t pid = whole ? -w->pid[i] : child_of(w->pid[i]);

    if (!pid || kill(pid, SIGKILL) < 0)
        return;
    if (verbose)
        fprintf(stderr, "# killed %s worker %zu\n", whole ? "" : "the process of", i);
    if (!whole)
        return;
    while (waitpid(w->pid[i], NULL, 0) < 0 && errno == EINTR)
        ;
    start(w, i);
}

bool workers_stop(struct workers *w)
{
    int64_t end = sup_now_ms() + 2 * sup_limit_ms();
    bool in_order = true;

    for (size_t i = 0; i < w->n; i++)
        kill(w->pid[i], SIGTERM);
    for (size_t i = 0; i < w->n; i++) {
        int status;
        while (waitpid(w->pid[i], &status, WNOHANG) == 0) {
            if (sup_now_ms() > end)
                kill(-w->pid[i], SIGKILL);
            sup_sleep_ms(5);
        }
        in_order &= WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    free(w);
    return in_order;
}
