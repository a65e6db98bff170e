/*
 * open.c: asq_open: chooses the mode by the URL. The only file above client/ and worker/, because
 * child mode needs both: a private server, and worker processes forked from the program, which so
 * know its registered classes.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/call_span.h"
#include "client/class.h"
#include "client/handle.h"
#include "client/model.h"
#include "client/own_stats.h"
#include "client/plugin.h"
#include "client/server.h"
#include "redis/redis.h"
#include "redis/url.h"
#include "value/clock.h"
#include "value/error.h"
#include "value/fd.h"
#include "value/pools.h"
#include "value/sized_options.h"
#include "worker/metrics.h"
#include "worker/process.h"
#include "worker/supervisor.h"
#include "worker/supervisor_config.h"

enum {
    CHILD_PARTITIONS = 32,
    CHILD_PROCESSES = 4,
    CHILD_CAPACITY = 32,
    CHILD_DRAIN_MS = 1000,
    CHILD_STOP_MS = 5000,
    CHILD_KILL_MS = 1000
};

/* ---- child mode ---- */

struct child {
    struct asq__server *server;
    struct asq__registry registry;
    asq_value *models;
    struct asq__url url;
    char *ns, *traces, *trace_service;
    asq_options options;
    uint32_t processes, capacity;
    pid_t owner; /* the program; a process forked from it must not end the workers */
    /* The program's end, the supervisor's. Shutting down means "end" from the program, and "all are
     * gone" from the supervisor. */
    int channel[2];
    pid_t supervisor;
    int supervisor_pidfd;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void child_free(struct child *c)
{
    if (!c)
        return;
    close_fd(&c->channel[0]);
    close_fd(&c->channel[1]);
    close_fd(&c->supervisor_pidfd);
    asq__server_stop(c->server);
    asq__registry_release(&c->registry);
    asq_value_free(c->models);
    asq__url_release(&c->url);
    free(c->ns);
    free(c->traces);
    free(c->trace_service);
    free(c);
}

/* Runs the workers' supervisor in a process of its own, forked from the program. */
static void run_workers(struct child *c, asq *h, int pidfd) __attribute__((noreturn));
static void run_workers(struct child *c, asq *h, int pidfd)
{
    char id[64], err[400];
    setsid(); /* the terminal's signals go only to the program, whose end ends this process */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    close_fd(&c->channel[0]);
    asq__server_child_forget(c->server);
    asq__fd_fill_standard();
    snprintf(id, sizeof id, "child-%ld", (long) getpid());
    struct asq__supervisor_config config = {
        .process = { .url = &c->url,
                     .ns = c->ns,
                     .id = id,
                     .pools = ASQ__POOLS_ALL,
                     .registry = &c->registry,
                     .models = c->models,
                     .partitions = c->options.partitions ? c->options.partitions : CHILD_PARTITIONS,
                     .capacity = c->capacity,
                     .max_expire_time_s = 7200,
                     .max_attempts = 3,
                     .max_waiting = ASQ__MAX_WAITING,
                     .max_dead_letters = ASQ__MAX_DEAD_LETTERS,
                     .max_dead_letters_size = ASQ__MAX_DEAD_LETTERS_SIZE,
                     .keep_failures = ASQ__KEEP_FAILURES,
                     .fail_no_class = true, /* no other worker can come */
                     .max_backlog_size = ASQ__MAX_BACKLOG_SIZE,
                     .max_agent_memory = ASQ__MAX_AGENT_MEMORY,
                     .agent_idle_time_ms = ASQ__AGENT_IDLE_TIME_MS,
                     .max_message_size = h->max_message_size,
                     .lease_time_ms = 10000,
                     .drain_timeout_ms = CHILD_DRAIN_MS,
                     .unload_after_ms = ASQ__UNLOAD_AFTER_MS,
                     .stats = true,
                     .traces = c->traces, /* the program chooses what is traced */
                     .trace_service = c->trace_service,
                     .log_level = ASQ_LOG_WARNING,
                     .method_log_level = ASQ_LOG_DEBUG,
                     .log = h->log,
                     .log_user = h->log_user },
        .processes = c->processes,
        .parent_fds = { pidfd, c->channel[1] },
        .wake_fd = -1,
    };
    /* Without memory for it nothing is measured. */
    asq__metrics_new(&c->registry, id, c->ns, c->processes, config.process.lease_time_ms,
                     &config.metrics);
    int rc = asq__supervise(&config, err, sizeof err);
    if (rc < 0 && h->log)
        h->log(h->log_user, ASQ_LOG_ERROR, err);
    shutdown(c->channel[1], SHUT_RDWR);
    _exit(rc < 0);
}

/* Starts the workers' supervisor. Forks twice, so that it is not the program's child and does not
 * disturb the program's own waiting for children. */
static int start_workers(asq *h, void *user)
{
    struct child *c = user;
    if (c->owner != getpid())
        return asq__fail(h, ASQ_ESTATE,
                         "the handle belongs to the process that opened it; a forked "
                         "one opens its own");
    int rc = asq__handle_need_class(h, &c->registry);
    if (rc < 0)
        return rc;
    h->sealed = true;
    int pidfd = asq__fd_keep((int) syscall(SYS_pidfd_open, getpid(), 0));
    fflush(NULL); /* buffered output would be written twice */
    pid_t middle = fork();
    if (middle == 0) {
        pid_t supervisor = fork();
        if (supervisor == 0)
            run_workers(c, h, pidfd);
        if (supervisor < 0)
            _exit(errno);
        _exit(send(c->channel[1], &supervisor, sizeof supervisor, MSG_NOSIGNAL) < 0 ? errno : 0);
    }
    int status = 0, failure = middle < 0 ? errno : 0;
    if (pidfd >= 0)
        close(pidfd);
    if (middle > 0) {
        pid_t got;
        while ((got = waitpid(middle, &status, 0)) < 0 && errno == EINTR)
            ;
        if (got == middle && status != 0) /* the program's own handler may have reaped it */
            failure = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    }
    if (failure)
        return asq__fail(h, ASQ_ESYS, "the worker processes cannot be forked: %s",
                         strerror(failure));
    close_fd(&c->channel[1]);
    if (recv(c->channel[0], &c->supervisor, sizeof c->supervisor, MSG_DONTWAIT) ==
        (ssize_t) sizeof c->supervisor)
        c->supervisor_pidfd = asq__fd_keep((int) syscall(SYS_pidfd_open, c->supervisor, 0));
    return 0;
}

/* Waits for the end of the workers and their supervisor. True: they are gone. */
static bool workers_end(const struct child *c, int64_t limit_ms)
{
    int64_t deadline = asq__deadline_ms(limit_ms), left = limit_ms;
    char byte[sizeof(pid_t)];
    do {
        struct pollfd fds[] = { { c->channel[0], POLLIN, 0 }, { c->supervisor_pidfd, POLLIN, 0 } };
        if (poll(fds, 2, (int) left) > 0) {
            if (fds[1].revents)
                return true;
            if (recv(c->channel[0], byte, sizeof byte, MSG_DONTWAIT) == 0)
                return c->supervisor_pidfd < 0 || poll(&fds[1], 1, CHILD_KILL_MS) > 0;
        }
        left = deadline - asq__now_ms();
    } while (left > 0);
    return false;
}

static void stop_workers(asq *h, void *user)
{
    struct child *c = user;
    h->registry = NULL;
    if (c->channel[1] < 0 && c->owner == getpid()) { /* the workers were started here */
        shutdown(c->channel[0], SHUT_WR);
        if (!workers_end(c, CHILD_STOP_MS) && c->supervisor > 0) {
            kill(c->supervisor, SIGKILL); /* the workers die with it (PR_SET_PDEATHSIG) */
            workers_end(c, CHILD_KILL_MS);
        }
    }
    child_free(c);
}

static int child_open(asq *h, const struct asq__url *url, const char *ns,
                      const asq_options *options, char *err, size_t errlen)
{
    struct child *c = calloc(1, sizeof *c);
    if (!c)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    c->channel[0] = c->channel[1] = c->supervisor_pidfd = -1;
    c->owner = getpid();
    c->options = *options;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    c->processes = url->processes ? url->processes : options->child_processes;
    if (!c->processes)
        c->processes = cpus < 1 ? 1 : cpus > CHILD_PROCESSES ? CHILD_PROCESSES : (uint32_t) cpus;
    c->capacity = url->capacity ? url->capacity : options->child_capacity;
    if (!c->capacity)
        c->capacity = CHILD_CAPACITY;
    int rc = asq__registry_init(&c->registry);
    if (rc < 0 || !(c->ns = strdup(ns)) ||
        (options->traces && !(c->traces = strdup(options->traces))) ||
        (options->trace_service && !(c->trace_service = strdup(options->trace_service))))
        rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (rc == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, c->channel) < 0)
        rc = asq__err(err, errlen, ASQ_ESYS, "socketpair: %s", strerror(errno));
    for (int i = 0; rc == 0 && i < 2; i++)
        if ((c->channel[i] = asq__fd_keep(c->channel[i])) < 0)
            rc = asq__err(err, errlen, ASQ_ESYS, "socketpair: %s", strerror(errno));
    if (rc == 0)
        rc = asq__server_start(&c->server, err, errlen);
    if (rc == 0 && options->agent_dir)
        rc = asq__plugins_load(&c->registry, options->agent_dir, NULL, err, errlen);
    if (rc == 0 && options->model_config_path)
        rc = asq__model_load(options->model_config_path, &c->models, err, errlen);
    if (rc == 0) {
        c->url.scheme = ASQ__URL_UNIX;
        c->url.path = strdup(asq__server_path(c->server));
        if (!c->url.path)
            rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    }
    if (rc == 0)
        rc = asq__server_wait_ready(
            c->server, options->connect_timeout_ms > 0 ? options->connect_timeout_ms : 5000, err,
            errlen);
    if (rc == 0) {
        asq_options remote = *options;
        if (!remote.partitions)
            remote.partitions = CHILD_PARTITIONS;
        rc = asq__remote_open(h, &c->url, ns, &remote, start_workers, stop_workers, c, err, errlen);
    }
    if (rc < 0) {
        child_free(c);
        return rc;
    }
    h->registry = &c->registry;
    h->url = asq__url_format(&c->url, false);
    return 0;
}

/* ---- all modes ---- */

int asq_open(const char *text, const asq_options *given, asq **ret, char *err, size_t errlen)
{
    if (!ret)
        return asq__err(err, errlen, ASQ_EINVAL, "asq_open: ret_h is NULL");
    asq_options options = ASQ_OPTIONS_INIT;
    struct asq__url url;
    char why[300];
    int rc = asq__sized_options_take(&options, sizeof options, given, "ASQ_OPTIONS_INIT", why,
                                     sizeof why);
    if (rc < 0)
        return asq__err(err, errlen, rc, "asq_open: %s", why);
    if (!text)
        text = secure_getenv("ASQUEUE_URL");
    if (!text || !*text)
        text = "child:";
    rc = asq__url_parse(text, &url, err, errlen);
    if (rc < 0)
        return rc;
    const char *ns = options.ns ? options.ns : url.ns && *url.ns ? url.ns : "default";
    bool local = url.scheme == ASQ__URL_LOCAL;
    if (local || url.scheme == ASQ__URL_CHILD)
        options.wait_replicas = 0; /* a private Redis has none */
    asq *h = asq__handle_new(local ? &asq__local_mode : &asq__remote_mode);
    if (!h) {
        asq__url_release(&url);
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    }
    if (options.timeout_ms)
        h->timeout_ms = options.timeout_ms;
    h->close_timeout_ms = options.close_timeout_ms ? options.close_timeout_ms : 5000;
    if (options.max_message_size)
        h->max_message_size = options.max_message_size;
    h->log = options.log;
    h->log_user = options.log_user;
    h->ns = strdup(ns);
    h->own_stats = asq__own_stats_new();
    rc = asq__handle_trace(h, &options, err, errlen);
    if (rc < 0)
        ; /* the text is there */
    else if (!h->ns || !h->own_stats)
        rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    else if (options.partitions > ASQ__MAX_PARTITIONS)
        rc = asq__err(err, errlen, ASQ_EINVAL, "%u partitions; 1 to %u are allowed",
                      options.partitions, ASQ__MAX_PARTITIONS);
    else if (local)
        rc = asq__local_open(h, &options, err, errlen);
    else if (url.scheme == ASQ__URL_CHILD)
        rc = child_open(h, &url, ns, &options, err, errlen);
    else
        rc = asq__remote_open(h, &url, ns, &options, NULL, NULL, NULL, err, errlen);
    if (rc == 0 && !h->url)
        h->url = asq__url_format(&url, false);
    asq__url_release(&url);
    if (rc < 0) {
        h->closed = true;
        asq__handle_unref(h);
        return rc;
    }
    *ret = h;
    return 0;
}
