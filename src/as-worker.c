/*
 * as-worker.c: runs agents whose classes come from plugins (start), and controls running workers
 * (status, stop). asq_worker_run does the work; this file handles the command line, the log and
 * messages about failures. The exit status is part of the contract: 0 after an orderly stop, 1 if
 * the worker could not start or had to give up, 2 for a wrong command line, which a restart does
 * not mend.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "asqueue.h"
#include "complete.h"
#include "connect.h"
#include "log.h"
#include "metrics_http.h"
#include "options.h"
#include "output.h"
#include "program.h"
#include "secret.h"
#include "title.h"
#include "worker_stop.h"
#include "workers.h"

struct settings {
    const char *url, *host, *password_file;
    uint32_t port;
    asq_worker_options worker; /* ns and id apply to all commands */
    int log_level, log_format; /* indices of the values below */
    const char *log_file, *metrics;
    bool json, all, wait, core_dumps;
    uint32_t keep_failures;
    int keep_arguments; /* index of the values below */
    int no_class;       /* likewise */
    int64_t timeout_ms;
};

static int start(void *program, int argc, char **argv);
static int status(void *program, int argc, char **argv);
static int stop(void *program, int argc, char **argv);

#define LOG_LEVELS  "error|warning|info|debug" /* as asq_log_level */
#define LOG_FORMATS "text|json"
#define YES_OR_NO   "yes|no"
enum { FORMAT_TEXT, FORMAT_JSON };
#define NO_CLASS "wait|fail"
enum { ARGUMENTS_YES, ARGUMENTS_NO };
enum { NO_CLASS_WAIT, NO_CLASS_FAIL };

#define MAX_MS    (INT64_C(365) * 86400000)
#define AT(field) offsetof(struct settings, field)
#define GIB       ((int64_t) 1 << 30)

static const struct as_option options[] = {
    { "agent-dir", 'd', "DIR", "DIR", as_option_string, AT(worker.agent_dir), 0, 0, false,
      "folder of plugins (*.so); no other user may write to it\n(" AS_AGENT_DIR ")" },
    { "agent-idle-time", 0, "MS", NULL, as_option_ms, AT(worker.agent_idle_time_ms), 1, MAX_MS,
      false, "idle time after which an agent leaves memory (10m)" },
    { "all", 0, NULL, NULL, as_option_true, AT(all), 0, 0, false,
      "every worker of the namespace that is alive" },
    { "capacity", 'c', "N", NULL, as_option_u32, AT(worker.capacity), 1, 4096, false,
      "threads of each process (32)" },
    { "core-dumps", 0, NULL, NULL, as_option_true, AT(core_dumps), 0, 0, false,
      "allow core dumps, and other processes to read its\nmemory" },
    { "drain-timeout", 0, "MS", NULL, as_option_ms, AT(worker.drain_timeout_ms), 0, 86400000, false,
      "how long calls may go on when it stops (30s)" },
    { "help", 'h', NULL, NULL, NULL, 0, 0, 0, true, "this text, or that of a command" },
    { "host", 0, "HOST", NULL, as_option_string, AT(host), 0, 0, true,
      "Redis, without a URL (127.0.0.1)" },
    { "id", 0, "ID", NULL, as_option_string, AT(worker.id), 0, 0, false,
      "the worker's id; of a new one a host name and a random\npart unless it is given" },
    { "json", 0, NULL, NULL, as_option_true, AT(json), 0, 0, false, "JSON instead of text" },
    { "keep-arguments", 0, YES_OR_NO, YES_OR_NO, as_option_choice, AT(keep_arguments), 0, 0, false,
      "whether failures that are kept, and calls that are\nlisted, show arguments, which can be secret (yes)" },
    { "keep-failures", 0, "N", NULL, as_option_u32, AT(keep_failures), 0, 10000, false,
      "last failures of a partition that stay in Redis, for\nas-ctl failures; 0: none (100)" },
    { "lease-time", 0, "MS", NULL, as_option_ms, AT(worker.lease_time_ms), 100, 3600000, false,
      "time without a heartbeat after which a worker is taken\nfor dead (10s)" },
    { "log-file", 0, "FILE", "FILE", as_option_string, AT(log_file), 0, 0, false,
      "where the log goes; SIGHUP opens it again (stderr)" },
    { "log-format", 0, "FORMAT", LOG_FORMATS, as_option_choice, AT(log_format), 0, 0, false,
      LOG_FORMATS " (text)" },
    { "log-level", 0, "LEVEL", LOG_LEVELS, as_option_choice, AT(log_level), 0, 0, false,
      LOG_LEVELS " (info)" },
    { "max-agent-memory", 0, "BYTES", NULL, as_option_size, AT(worker.max_agent_memory),
      1024 * 1024, 1024 * GIB, false,
      "of agents in the memory of a process, as encoded;\nbeyond, idle ones leave it (1G)" },
    { "max-attempts", 0, "N", NULL, as_option_u32, AT(worker.max_attempts), 1, 1000, false,
      "a call whose process died this many times becomes a\ndead letter (3)" },
    { "max-backlog-size", 0, "BYTES", NULL, as_option_size, AT(worker.max_backlog_size),
      1024 * 1024, 64 * GIB, false,
      "of waiting calls in the memory of a process; the rest\nwaits in Redis (256M)" },
    { "max-dead-letters", 0, "N", NULL, as_option_u32, AT(worker.max_dead_letters), 1, UINT32_MAX,
      false, "dead letters that a partition keeps; beyond, the\noldest are dropped (10000)" },
    { "max-dead-letters-size", 0, "BYTES", NULL, as_option_size, AT(worker.max_dead_letters_size),
      64 * 1024, 1024 * GIB, false,
      "… and the bytes that they take there; the newest stays\nin any case (32M)" },
    { "max-expire-time", 0, "S", NULL, as_option_seconds, AT(worker.max_expire_time_s), 1, 31536000,
      false, "how long results are kept for callers that do not\nfetch them (7200)" },
    { "max-message-size", 0, "BYTES", NULL, as_option_size, AT(worker.max_message_size), 1024,
      GIB / 2, false, "of one call or result, encoded (32M)" },
    { "max-waiting", 0, "N", NULL, as_option_u32, AT(worker.max_waiting), 1, UINT32_MAX, false,
      "calls that may wait in one partition; those beyond\nend in ASQ_EBUSY (1000000)" },
    { "metrics", 0, "ADDRESS", NULL, as_option_string, AT(metrics), 0, 0, false,
      "HOST:PORT where /metrics, /healthz and /readyz are\nserved over HTTP" },
    { "model-config-path", 0, "FILE", "FILE", as_option_string, AT(worker.model_config_path), 0, 0,
      false, "model configurations (JSON), which methods can read" },
    { "namespace", 'n', "NAME", NULL, as_option_string, AT(worker.ns), 0, 0, true,
      "namespace (the URL's ?ns=, else default)" },
    { "no-class", 0, NO_CLASS, NO_CLASS, as_option_choice, AT(no_class), 0, 0, false,
      "what becomes of a call whose class no live worker has:\nit waits for one up to its deadline, or fails (wait)" },
    { "no-local-mode", 0, NULL, NULL, as_option_true, AT(worker.no_local_mode), 0, 0, false,
      "allow a Redis on another host without password and\nTLS" },
    { "no-stats", 0, NULL, NULL, as_option_true, AT(worker.no_stats), 0, 0, false,
      "measure nothing for as-ctl stats" },
    { "no-wait", 0, NULL, NULL, as_option_false, AT(wait), 0, 0, false, "only ask" },
    { "partitions", 0, "N", NULL, as_option_u32, AT(worker.partitions), 1, 16384, false,
      "of the namespace, if this worker makes it (128)" },
    { "password-file", 0, "FILE", "FILE", as_option_string, AT(password_file), 0, 0, true,
      "file whose first line is the password of Redis;\nother users must not be able to read it" },
    { "pool", 0, "POOL[,POOL]", NULL, as_option_string, AT(worker.pools), 0, 0, false,
      "pools whose agents it runs; gpu:64 makes gpu with 64\npartitions; *: all (default)" },
    { "port", 0, "PORT", NULL, as_option_u32, AT(port), 1, 65535, true,
      "Redis, without a URL (6379)" },
    { "processes", 'p', "N", NULL, as_option_u32, AT(worker.processes), 1, 1024, false,
      "worker processes (1)" },
    { "redis-url", 'u', "URL", NULL, as_option_string, AT(url), 0, 0, true,
      "Redis (ASQUEUE_URL, else " AS_DEFAULT_URL ")" },
    { "stack-size", 0, "BYTES", NULL, as_option_size, AT(worker.stack_size), 16384, GIB, false,
      "of the stack that a method runs on (256K)" },
    { "timeout", 't', "MS", NULL, as_option_ms, AT(timeout_ms), 1, MAX_MS, false,
      "longest time to wait for them" },
    { "trace-rate", 0, "SHARE", NULL, as_option_share, AT(worker.trace_rate), 0, 1, false,
      "of the calls that belong to no trace, which to trace;\n0 to 1 (0)" },
    { "trace-service", 0, "NAME", NULL, as_option_string, AT(worker.trace_service), 0, 0, false,
      "service.name in traces (OTEL_SERVICE_NAME, else\nas-worker)" },
    { "traces", 0, "URL", NULL, as_option_string, AT(worker.traces), 0, 0, false,
      "collector of OpenTelemetry that gets the traces, as\nhttp://127.0.0.1:4318/v1/traces" },
    { "unload-after", 0, "MS", NULL, as_option_ms, AT(worker.unload_after_ms), 0, MAX_MS, false,
      "a call that sleeps for longer gives back its memory\nmeanwhile; 0: none does (1m)" },
    { "version", 'V', NULL, NULL, NULL, 0, 0, 0, true, "the version" },
    { "wait", 'w', NULL, NULL, as_option_true, AT(wait), 0, 0, false,
      "wait until they are gone (the default)" },
    { "wait-replicas", 0, "N", NULL, as_option_u32, AT(worker.wait_replicas), 0, 100, false,
      "replicas of Redis that must have a result before\nanyone is told of it (0)" },
    { "wait-timeout", 0, "MS", NULL, as_option_ms, AT(worker.wait_timeout_ms), 10, 10000, false,
      "of one WAIT for them, which is repeated (250)" },
};

static const struct as_command commands[] = {
    { "start", "",
      "runs agents until it is stopped (SIGTERM, SIGINT); the\ncommand if none is named", 0, 0,
      "agent-dir agent-idle-time capacity core-dumps drain-timeout id keep-arguments keep-failures lease-time log-file "
      "log-format log-level max-agent-memory max-attempts "
      "max-backlog-size max-dead-letters max-dead-letters-size max-expire-time "
      "max-message-size max-waiting metrics model-config-path no-class no-local-mode no-stats partitions pool processes "
      "stack-size trace-rate trace-service traces unload-after wait-replicas wait-timeout",
      start },
    { "status", "", "shows the workers of the namespace", 0, 0, "json", status },
    { "stop", "", "stops workers: --id ID, or --all", 0, 0, "all id json no-wait timeout wait",
      stop },
};

static const struct as_cli cli = {
    .program = "as-worker",
    .summary = "Runs the agents of an asqueue deployment: reads their calls from Redis, and\n"
               "commits state and results there.",
    .notes = "Times are milliseconds (--max-expire-time: seconds), or have a suffix: 500ms, 30s.\n"
             "Sizes are bytes, or have a suffix: 256K, 32M, 1G.\n"
             "Environment: ASQUEUE_URL. The place for a password, which a command line shows to\n"
             "everybody.\n"
             "Exit status: 0 stopped in order, 1 could not start or gave up, 2 wrong usage.\n"
             "See also: as-worker(1), as-ctl(1)",
    .options = options,
    .noptions = sizeof options / sizeof options[0],
    .commands = commands,
    .ncommands = sizeof commands / sizeof commands[0],
    .fallback = &commands[0],
};

struct program {
    struct as_program base; /* comes first */
    struct settings settings;
    char url[320]; /* made from --host and --port */
};

/* Makes a URL of --host and --port. Returns an exit status. */
static int make_url(struct program *p)
{
    struct settings *s = &p->settings;
    const char *host = s->host ? s->host : "127.0.0.1";
    if (!s->host && !s->port)
        return AS_EXIT_OK;
    if (s->url)
        return as_program_usage(&p->base, "--redis-url has host and port already: "
                                          "leave out --host and --port");
    if (strpbrk(host, "/@?#[]") || strlen(host) > 255)
        return as_program_usage(&p->base, "--host takes a name or an address; for a Unix socket "
                                          "or a password give --redis-url");
    snprintf(p->url, sizeof p->url, strchr(host, ':') ? "redis://[%s]:%u" : "redis://%s:%u", host,
             s->port ? s->port : 6379);
    s->url = p->url;
    return AS_EXIT_OK;
}

static int open_deployment(struct program *p, asq **ret)
{
    int exit_status = make_url(p);
    if (exit_status != AS_EXIT_OK)
        return exit_status;
    return as_connect(&p->base.who, p->settings.url, p->settings.password_file, "--redis-url",
                      p->settings.worker.ns, p->settings.timeout_ms, ret);
}

/* ---- Commands ------------------------------------------------------------------------------- */

/* Reports a failure of start to the log, in its format. */
static int start_failed(const struct program *p, struct as_log *log, int code, const char *why)
{
    if (log->json || log->path)
        as_log_write(log, ASQ_LOG_ERROR, why);
    else
        as_note(&p->base.who, "%s", why);
    return code == ASQ_EINVAL ? AS_EXIT_USAGE : AS_EXIT_FAILED;
}

/* Prevents core dumps and debuggers of the same user, because memory has the password and the
 * agents' states. */
static void close_to_others(const struct settings *s, struct as_log *log)
{
#if !defined(__SANITIZE_ADDRESS__) /* AddressSanitizer's leak check attaches like a debugger */
    if (!s->core_dumps)
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    if (geteuid() == 0 && s->worker.log_level >= ASQ_LOG_WARNING)
        as_log_write(
            log, ASQ_LOG_WARNING,
            "running as root, and so does the code of all agents: run as-worker as a user of its "
            "own");
}

/* Ends the program once plugins are loaded, without their destructors and exit handlers: no code of
 * an agent may keep the supervisor. */
static void exit_at_once(int exit_status) __attribute__((noreturn));
static void exit_at_once(int exit_status)
{
    as_log_flush();
    _exit(exit_status);
}

static int start(void *program, int argc, char **argv)
{
    struct program *p = program;
    struct settings *s = &p->settings;
    struct as_log log = { s->log_format == FORMAT_JSON, s->log_file };
    (void) argc, (void) argv;
    int exit_status = make_url(p);
    if (exit_status != AS_EXIT_OK)
        return exit_status;
    s->worker.log_level = (asq_log_level) s->log_level;
    signal(SIGPIPE, SIG_IGN); /* the log's reader may vanish */
    if (!as_log_open(&log))
        return as_report_code(&p->base.who, ASQ_ESYS, NULL, "the log %s cannot be opened: %s",
                              log.path ? log.path : "on stderr", strerror(errno));
    if (log.path)
        s->worker.log_reopen = as_log_reopen;
    s->worker.reap_orphans = true;
    const char *url = s->url ? s->url : as_secret_url() ? as_secret_url() : AS_DEFAULT_URL;
    char why[2048];
    int rc = as_secret_add(url, s->password_file, &s->worker.url, why, sizeof why);
    if (rc < 0) {
        exit_status = start_failed(p, &log, rc, why);
        as_log_flush();
        return exit_status;
    }
    if (as_secret_has_file())
        s->worker.read_password = as_secret_read;
    close_to_others(s, &log);
    s->worker.set_title = as_title_set;
    s->worker.log = as_log_write;
    s->worker.log_fields = as_log_write_fields;
    s->worker.log_user = &log;
    if (!s->worker.agent_dir && access(AS_AGENT_DIR, F_OK) < 0) {
        snprintf(why, sizeof why, "no plugins are found in %s, the default of --agent-dir: %s",
                 AS_AGENT_DIR, strerror(errno));
        exit_status = start_failed(p, &log, ASQ_ENOENT, why);
        as_log_flush();
        return exit_status;
    }
    if (!s->worker.agent_dir)
        s->worker.agent_dir = AS_AGENT_DIR;
    if (as_cli_given(&cli, &p->base.args, "drain-timeout") && s->worker.drain_timeout_ms == 0)
        s->worker.drain_timeout_ms = 1; /* 0 would mean the default */
    if (as_cli_given(&cli, &p->base.args, "unload-after") && s->worker.unload_after_ms == 0)
        s->worker.unload_after_ms = -1;
    if (as_cli_given(&cli, &p->base.args, "keep-failures"))
        s->worker.keep_failures = s->keep_failures ? (int32_t) s->keep_failures : -1;
    s->worker.omit_arguments = s->keep_arguments == ARGUMENTS_NO;
    s->worker.fail_no_class = s->no_class == NO_CLASS_FAIL;
    s->worker.metrics = s->metrics != NULL;
    if (s->metrics && (rc = as_metrics_listen(s->metrics, why, sizeof why)) < 0) {
        exit_status = start_failed(p, &log, rc, why);
        as_log_flush();
        return exit_status;
    }
    asq_worker *w;
    if ((rc = asq_worker_new(&s->worker, &w, why, sizeof why)) < 0)
        exit_at_once(start_failed(p, &log, rc, why));
    if (s->metrics && (rc = as_metrics_serve(w, why, sizeof why)) < 0)
        exit_at_once(start_failed(p, &log, rc, why));
    if (s->metrics && s->worker.log_level >= ASQ_LOG_INFO)
        as_log_write(&log, ASQ_LOG_INFO, why);
    if ((rc = asq_worker_run(w)) < 0)
        exit_at_once(start_failed(p, &log, rc, asq_worker_errmsg(w)));
    exit_at_once(AS_EXIT_OK);
}

static int status(void *program, int argc, char **argv)
{
    struct program *p = program;
    (void) argc, (void) argv;
    asq *h;
    int exit_status = open_deployment(p, &h);
    if (exit_status != AS_EXIT_OK)
        return exit_status;
    exit_status = as_workers_show(&p->base.who, h);
    asq_close(h);
    return exit_status;
}

static int stop(void *program, int argc, char **argv)
{
    struct program *p = program;
    struct settings *s = &p->settings;
    struct as_stop_options o = { s->worker.id, s->wait, as_program_now_ms(), s->timeout_ms };
    (void) argc, (void) argv;
    if (s->all && s->worker.id)
        return as_program_usage(&p->base, "--all and --id ID exclude each other");
    if (!s->all && !s->worker.id)
        return as_program_usage(&p->base, "no worker is named: give --id ID, or --all");
    asq *h;
    int exit_status = open_deployment(p, &h);
    if (exit_status != AS_EXIT_OK)
        return exit_status;
    exit_status = as_workers_stop(&p->base.who, h, &o);
    asq_close(h);
    return exit_status;
}

/* Completes the id of the worker to stop. */
static void complete(struct as_program *program, const struct as_cli_args *args)
{
    (void) program;
    asq *h;
    if (args->command && args->command->run == stop && args->open &&
        strcmp(args->open->name, "id") == 0 && (h = as_complete_open()) != NULL) {
        as_complete_workers(h);
        asq_close(h);
    }
}

int main(int argc, char **argv)
{
    argv = as_title_init(argc, argv);
    struct program p = {
        .base = { .cli = &cli,
                  .who = { .program = "as-worker" },
                  .settings = &p.settings,
                  .json = &p.settings.json,
                  .complete = complete },
        .settings = { .worker = ASQ_WORKER_OPTIONS_INIT,
                      .log_level = ASQ_LOG_INFO,
                      .wait = true,
                      .timeout_ms = ASQ_FOREVER },
    };
    return as_program_main(&p.base, argc, argv);
}
