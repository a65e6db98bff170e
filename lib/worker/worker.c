/*
 * worker.c: the worker as a library call (asq_worker_…): options are checked and completed, plugins
 * and models loaded, then the supervisor runs.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "asqueue.h"
#include "client/class.h"
#include "client/model.h"
#include "client/plugin.h"
#include "client/tracer.h"
#include "redis/barrier.h"
#include "redis/password.h"
#include "redis/redis.h"
#include "redis/sentinels.h"
#include "redis/url.h"
#include "value/buf.h"
#include "value/error.h"
#include "value/fd.h"
#include "value/pools.h"
#include "value/random.h"
#include "value/sized_options.h"
#include "value/value.h"
#include "worker/metrics.h"
#include "worker/process.h"
#include "worker/supervisor.h"
#include "worker/supervisor_config.h"

/* Bounds the text of metrics; all series together give less. */
#define METRICS_BYTES ((size_t) 256 * 1024 * 1024)

struct asq_worker {
    struct asq__url url;
    struct asq__password *password; /* NULL: the URL's stays */
    struct asq__registry registry;
    asq_value *models;
    char *ns, *id, *pools, *traces, *trace_service;
    asq_worker_options options;
    struct asq__error error;
    _Atomic(struct asq__metrics *) metrics; /* once it runs, unless it measures nothing */
    atomic_int stop;
    int wake_fd;
};

static int default_id(char **ret)
{
    char host[128] = "worker";
    uint32_t random;
    gethostname(host, sizeof host - 1);
    if (asq__random(&random, sizeof random) < 0)
        return ASQ_ESYS;
    size_t n = strlen(host) + 16;
    char *id = malloc(n);
    if (!id)
        return ASQ_ENOMEM;
    snprintf(id, n, "%s-%08x", host, random);
    *ret = id;
    return 0;
}

static int check(asq_worker *w, char *err, size_t errlen)
{
    const asq_worker_options *o = &w->options;
    char why[300];
    if (w->url.scheme == ASQ__URL_LOCAL || w->url.scheme == ASQ__URL_CHILD)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "a worker needs the URL of a Redis (redis://, rediss://, unix:)");
    int rc = asq__check_id(w->id, why, sizeof why);
    if (rc < 0)
        return asq__err(err, errlen, rc, "the worker's id: %s", why);
    if (o->traces &&
        (rc = asq__tracer_check(o->traces, o->trace_rate, o->trace_service, err, errlen)) < 0)
        return rc;
    if (strlen(w->id) > ASQ_MAX_ID - 8)
        return asq__err(err, errlen, ASQ_EINVAL, "the worker's id has more than %d bytes",
                        ASQ_MAX_ID - 8);
    if (o->lease_time_ms < 100)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "a lease time of %lld ms is too short; 100 is the least",
                        (long long) o->lease_time_ms);
    if (o->agent_idle_time_ms < 0 || o->drain_timeout_ms < 0)
        return asq__err(err, errlen, ASQ_EINVAL, "a time must not be below 0 ms");
    if (asq__wait_check(o->wait_replicas, o->wait_timeout_ms, why, sizeof why) < 0)
        return asq__err(err, errlen, ASQ_EINVAL, "%s", why);
    if (o->capacity > 4096 || o->processes > 1024)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "at most 4096 threads and 1024 processes are possible");
    if (o->partitions > ASQ__MAX_PARTITIONS)
        return asq__err(err, errlen, ASQ_EINVAL, "%u partitions; 1 to %u are allowed",
                        o->partitions, ASQ__MAX_PARTITIONS);
    if (o->max_message_size > (size_t) 512 * 1024 * 1024)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "a message of more than 512 MiB does not fit into Redis");
    if (o->keep_failures > 10000)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "%d failures of a partition are too many to keep; 10000 are the most",
                        o->keep_failures);
    if (o->stack_size && o->stack_size < 16384)
        return asq__err(err, errlen, ASQ_EINVAL,
                        "a stack of %zu bytes is too small; 16384 is the least", o->stack_size);
    bool open = !o->no_local_mode && !w->url.tls && !(w->url.password && *w->url.password);
    rc = open ? asq__url_is_local(&w->url, why, sizeof why) : 1;
    if (open && w->url.sentinels) /* the master has to be, too */
        asq__sentinels_keep_local(w->url.sentinels);
    if (rc < 0)
        return asq__err(
            err, errlen, rc,
            "%s; without password and TLS it must be on this machine: protect it, or give "
            "--no-local-mode if a Redis on another host is meant",
            why);
    if (rc == 0) {
        char *where = asq__url_format(&w->url, true);
        rc = asq__err(
            err, errlen, ASQ_EAUTH,
            "%s is not on this machine and has neither password nor TLS: any host that reaches it "
            "can run calls here; protect it, or give --no-local-mode if that is intended",
            where ? where : "this Redis");
        free(where);
        return rc;
    }
    if (asq__url_has_plain_password(&w->url) && o->log && o->log_level >= ASQ_LOG_WARNING &&
        asq__url_is_local(&w->url, why, sizeof why) == 0)
        o->log(o->log_user, ASQ_LOG_WARNING, asq__url_plain_text);
    return 0;
}

static void complete(asq_worker_options *o)
{
    if (!o->capacity)
        o->capacity = 32;
    if (!o->processes)
        o->processes = 1;
    if (!o->max_expire_time_s)
        o->max_expire_time_s = 7200;
    if (!o->max_message_size)
        o->max_message_size = ASQ_MAX_MESSAGE_SIZE;
    if (!o->lease_time_ms)
        o->lease_time_ms = 10000;
    if (!o->drain_timeout_ms)
        o->drain_timeout_ms = 30000;
    if (!o->unload_after_ms)
        o->unload_after_ms = ASQ__UNLOAD_AFTER_MS;
    if (!o->wait_timeout_ms)
        o->wait_timeout_ms = ASQ__WAIT_TIMEOUT_MS;
    if (!o->max_attempts)
        o->max_attempts = 3;
    if (!o->max_backlog_size)
        o->max_backlog_size = ASQ__MAX_BACKLOG_SIZE;
    if (!o->max_waiting)
        o->max_waiting = ASQ__MAX_WAITING;
    if (!o->max_agent_memory)
        o->max_agent_memory = ASQ__MAX_AGENT_MEMORY;
    if (!o->max_dead_letters)
        o->max_dead_letters = ASQ__MAX_DEAD_LETTERS;
    if (!o->max_dead_letters_size)
        o->max_dead_letters_size = ASQ__MAX_DEAD_LETTERS_SIZE;
    if (!o->keep_failures)
        o->keep_failures = ASQ__KEEP_FAILURES;
    if (!o->agent_idle_time_ms)
        o->agent_idle_time_ms = ASQ__AGENT_IDLE_TIME_MS;
}

/* Reads the password of a URL without one, and has it read again when Redis refuses it. */
static int take_password(asq_worker *w, char *err, size_t errlen)
{
    const asq_worker_options *o = &w->options;
    struct asq__password_config config = { o->read_password, o->log, o->log_level, o->log_user };
    char text[ASQ__PASSWORD_MAX] = "";
    int rc = 0;
    if (!w->url.password &&
        (rc = o->read_password(o->log_user, text, sizeof text, err, errlen)) < 0)
        return rc;
    w->password = asq__password_new(&config);
    if (!w->password || (!w->url.password && !(w->url.password = strdup(text))))
        rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    w->url.renewed = w->password;
    explicit_bzero(text, sizeof text);
    return rc;
}

static int take_pools(asq_worker *w, const char *pools, char *err, size_t errlen)
{
    char why[300];
    int rc = asq__pool_list_check(pools, why, sizeof why);
    if (rc < 0)
        return asq__err(err, errlen, ASQ_EINVAL, "the worker's pools: %s", why);
    if (pools && *pools && !(w->pools = strdup(pools)))
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    return 0;
}

int asq_worker_new(const asq_worker_options *options, asq_worker **ret, char *err, size_t errlen)
{
    if (!ret)
        return asq__err(err, errlen, ASQ_EINVAL, "asq_worker_new: ret_worker is NULL");
    asq_worker_options given = ASQ_WORKER_OPTIONS_INIT;
    char why[300];
    int rc = asq__sized_options_take(&given, sizeof given, options, "ASQ_WORKER_OPTIONS_INIT", why,
                                     sizeof why);
    if (rc < 0)
        return asq__err(err, errlen, rc, "asq_worker_new: %s", why);
    asq_worker *w = calloc(1, sizeof *w);
    if (!w)
        return asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    asq__error_init(&w->error);
    atomic_init(&w->stop, 0);
    w->wake_fd = -1;
    w->options = given;
    complete(&w->options);
    const char *url = given.url ? given.url : secure_getenv("ASQUEUE_URL");
    rc = asq__registry_init(&w->registry);
    if (rc < 0)
        asq__err(err, errlen, rc, "out of memory");
    if (rc == 0)
        rc = asq__url_parse(url && *url ? url : "redis://127.0.0.1:6379", &w->url, err, errlen);
    if (rc == 0 && given.read_password)
        rc = take_password(w, err, errlen);
    if (rc == 0) {
        const char *ns = given.ns ? given.ns : w->url.ns && *w->url.ns ? w->url.ns : "default";
        w->ns = strdup(ns);
        rc = w->ns ? 0 : ASQ_ENOMEM;
        if (rc == 0)
            rc = given.id ? ((w->id = strdup(given.id)) ? 0 : ASQ_ENOMEM) : default_id(&w->id);
        if (rc < 0)
            asq__err(err, errlen, rc, "%s", asq_strerror(rc));
    }
    if (rc == 0)
        rc = take_pools(w, given.pools, err, errlen);
    if (rc == 0)
        rc = check(w, err, errlen);
    if (rc == 0 && ((given.traces && !(w->traces = strdup(given.traces))) ||
                    (given.trace_service && !(w->trace_service = strdup(given.trace_service)))))
        rc = asq__err(err, errlen, ASQ_ENOMEM, "out of memory");
    if (rc == 0 && given.agent_dir)
        rc = asq__plugins_load(&w->registry, given.agent_dir, NULL, err, errlen);
    if (rc == 0 && given.model_config_path)
        rc = asq__model_load(given.model_config_path, &w->models, err, errlen);
    if (rc == 0 && (w->wake_fd = asq__fd_keep(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC))) < 0)
        rc = asq__err(err, errlen, ASQ_ESYS, "eventfd: %s", strerror(errno));
    if (rc < 0) {
        asq_worker_free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

int asq_worker_register(asq_worker *w, const asq_class *cls)
{
    if (!w || !cls)
        return w ? asq__error_set(&w->error, ASQ_EINVAL, "asq_worker_register: the class is NULL")
                 : ASQ_EINVAL;
    char why[500];
    int rc = asq__registry_add(&w->registry, cls, why, sizeof why);
    return rc < 0 ? asq__error_set(&w->error, rc, "%s", why) : 0;
}

int asq_worker_run(asq_worker *w)
{
    if (!w)
        return ASQ_EINVAL;
    const asq_worker_options *o = &w->options;
    char why[500];
    struct asq__supervisor_config config = {
        .process = { .url = &w->url,
                     .ns = w->ns,
                     .id = w->id,
                     .registry = &w->registry,
                     .models = w->models,
                     .pools = w->pools,
                     .partitions = o->partitions,
                     .capacity = o->capacity,
                     .max_expire_time_s = o->max_expire_time_s,
                     .max_attempts = o->max_attempts,
                     .max_message_size = o->max_message_size,
                     .max_backlog_size = o->max_backlog_size,
                     .max_waiting = o->max_waiting,
                     .max_dead_letters = o->max_dead_letters,
                     .max_dead_letters_size = o->max_dead_letters_size,
                     .keep_failures = o->keep_failures < 0 ? 0 : (uint32_t) o->keep_failures,
                     .omit_arguments = o->omit_arguments,
                     .fail_no_class = o->fail_no_class,
                     .max_agent_memory = o->max_agent_memory,
                     .agent_idle_time_ms = o->agent_idle_time_ms,
                     .stack_size = o->stack_size,
                     .lease_time_ms = o->lease_time_ms,
                     .drain_timeout_ms = o->drain_timeout_ms,
                     .unload_after_ms = o->unload_after_ms,
                     .wait_replicas = o->wait_replicas,
                     .wait_timeout_ms = o->wait_timeout_ms,
                     .stats = !o->no_stats,
                     .traces = w->traces,
                     .trace_service = w->trace_service,
                     .trace_rate = o->trace_rate,
                     .log_level = o->log_level,
                     .method_log_level = o->log_level,
                     .log = o->log,
                     .log_fields = o->log_fields,
                     .set_title = o->set_title,
                     .log_user = o->log_user },
        .processes = o->processes,
        .parent_fds = { -1, -1 },
        .notify = true,
        .reap_orphans = o->reap_orphans,
        .log_reopen = o->log_reopen,
        .stop = &w->stop,
        .wake_fd = w->wake_fd,
    };
    if (asq__registry_count(&w->registry) == 0)
        return asq__error_set(&w->error, ASQ_ENOCLASS,
                              "there is no agent class to serve; give --agent-dir with "
                              "plugins in it, or register classes");
    if ((o->metrics || !o->no_stats) && !atomic_load(&w->metrics)) {
        struct asq__metrics *metrics;
        int failed =
            asq__metrics_new(&w->registry, w->id, w->ns, o->processes, o->lease_time_ms, &metrics);
        if (failed < 0)
            return asq__error_set(&w->error, failed, "no memory for metrics: %s",
                                  asq_strerror(failed));
        atomic_store(&w->metrics, metrics);
    }
    config.metrics = atomic_load(&w->metrics);
    int rc = asq__supervise(&config, why, sizeof why);
    return rc < 0 ? asq__error_set(&w->error, rc, "%s", why) : 0;
}

void asq_worker_stop(asq_worker *w)
{
    if (!w)
        return;
    uint64_t one = 1;
    int saved = errno;
    atomic_fetch_add(&w->stop, 1);
    ssize_t n = write(w->wake_fd, &one, sizeof one);
    (void) n; /* full only when it is readable already */
    errno = saved;
}

/* Returns the metrics; NULL, with a code and a text: there are none. */
static const struct asq__metrics *metrics_of(const asq_worker *w, int *code, const char **why)
{
    const struct asq__metrics *m = w && w->options.metrics ? atomic_load(&w->metrics) : NULL;
    *code = !w ? ASQ_EINVAL : w->options.metrics ? ASQ_ESTATE : ASQ_ENOTSUP;
    *why = !w                   ? "the worker is NULL"
           : w->options.metrics ? "the worker does not run yet"
                                : "the worker measures nothing (asq_worker_options.metrics)";
    return m;
}

int asq_worker_metrics(const asq_worker *w, bool openmetrics, char **ret)
{
    int code;
    const char *why;
    struct asq__buf out;
    const struct asq__metrics *m = metrics_of(w, &code, &why);
    if (!m || !ret)
        return m ? ASQ_EINVAL : code;
    asq__buf_init(&out, METRICS_BYTES);
    asq__metrics_text(m, openmetrics, &out);
    code = out.error;
    char *text = (char *) asq__buf_detach(&out, NULL);
    if (!text)
        return code ? code : ASQ_ENOMEM;
    *ret = text;
    return 0;
}

int asq_worker_ready(const asq_worker *w, char *err, size_t errlen)
{
    int code;
    const char *why;
    const struct asq__metrics *m = metrics_of(w, &code, &why);
    return m ? asq__metrics_ready(m, err, errlen) : asq__err(err, errlen, code, "%s", why);
}

const char *asq_worker_errmsg(const asq_worker *w)
{
    if (!w)
        return "the worker is NULL";
    return w->error.pub.message;
}

void asq_worker_free(asq_worker *w)
{
    if (!w)
        return;
    asq__registry_release(&w->registry);
    asq__url_release(&w->url);
    asq__password_free(w->password);
    asq_value_free(w->models);
    asq__metrics_free(atomic_load(&w->metrics));
    asq__error_clear(&w->error);
    if (w->wake_fd >= 0)
        close(w->wake_fd);
    free(w->ns);
    free(w->id);
    free(w->pools);
    free(w->traces);
    free(w->trace_service);
    free(w);
}
