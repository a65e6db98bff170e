/*
 * ctl.h: shared by as-ctl's commands: their deployment, arguments as values, and waiting. A command
 * is one function and one entry in as-ctl.c's table; functions of one subject are in one file,
 * ctl_SUBJECT.c.
 */
#ifndef ASQ_SRC_CTL_H
#define ASQ_SRC_CTL_H

#include <stdbool.h>
#include <stdint.h>

#include "asqueue.h"
#include "program.h"

struct as_ctl {
    struct as_program base; /* comes first; commands get a pointer to it as `program` */
    struct {
        const char *url, *password_file, *ns, *id, *class_name, *prefix;
        const char *agent, *method, *pool;
        int64_t timeout_ms;         /* ASQ_FOREVER: not given */
        int64_t since_ms;           /* Unix time; 0: not given */
        int64_t last_ms;            /* 0: not given */
        int code;                   /* of a failure; 0: not given */
        int64_t every_ms, at_ms;    /* of a timer; 0: not given */
        int64_t ttl_ms, expires_ms; /* of a new agent; 0: not given */
        const char *cron, *zone;    /* NULL: not given */
        int overlap, missed;
        bool json, async, wait, no_wait, all, count, yes, dead, progress;
        bool running, parked, waiting, delayed, retrying;
        const char *to, *to_password_file; /* of migrate */
        bool dry_run, resume, abort, delete_source;
        uint32_t limit;      /* 0: not given */
        uint32_t batch;      /* frames of top as text; 0: not given */
        int64_t interval_ms; /* of top; 0: not given */
    } settings;
    asq *h; /* once opened; closed by main */
    int64_t opened_ms;
    bool warned_no_worker;
    struct {      /* of ctl_progress.c */
        bool bar; /* one is shown */
        double share;
        int status; /* of what was printed so far */
    } progress;
};

/* Opens the deployment given by the options. All helpers return an exit status and report failures,
 * unless noted otherwise: `if ((status = …) != AS_EXIT_OK) return status;` */
int as_ctl_open(struct as_ctl *ctl);
/* Reports the handle's last failure. */
int as_ctl_failed(struct as_ctl *ctl);
/* Turns a library function's return code into an exit status; reports a failure. ASQ_EINVAL (an
 * invalid id or name) counts as wrong usage. */
int as_ctl_outcome(struct as_ctl *ctl, int rc);
/* Opens the deployment, and has `use` called with a proxy for the agent, which is freed then. `use`
 * returns an exit status. The handle waits for the rest of --timeout; without one, for ever. */
int as_ctl_with_agent(struct as_ctl *ctl, const char *id,
                      int (*use)(struct as_ctl *ctl, asq_agent *agent, void *user), void *user);

/* Parse arguments: a list or a map (NULL text: *ret is NULL); or any value, called `name` in the
 * command's usage. "-" reads standard input. */
int as_ctl_args(struct as_ctl *ctl, const char *text, asq_value **ret);
int as_ctl_value(struct as_ctl *ctl, const char *name, const char *text, asq_value **ret);

/* Wait, for at most --timeout after the opening, for a call's result, or for an agent to exist.
 * Note that no worker is alive; on timeout, say how to get the result. */
int as_ctl_wait(struct as_ctl *ctl, asq_result *r);
/* Waits as as_ctl_wait does, but leaves the outcome to the caller: AS_EXIT_OK for a failure,
 * too. */
int as_ctl_await(struct as_ctl *ctl, asq_result *r);
int as_ctl_ready(struct as_ctl *ctl, asq_agent *agent);
/* Returns the rest of --timeout: ASQ_FOREVER, or 0 and more. */
int64_t as_ctl_remaining_ms(const struct as_ctl *ctl);
/* Limits the handle's next function to that rest. Called before each function of a command but the
 * first. */
void as_ctl_limit_timeout(struct as_ctl *ctl);

/* Prints a line of text, or with --json {key: text}. */
int as_ctl_print_id(struct as_ctl *ctl, const char *key, const char *text);
/* Prints a number, or with --json {"count": n}. */
int as_ctl_print_count(struct as_ctl *ctl, int64_t n);
/* Prints a value: JSON in either case, indented for people. */
int as_ctl_print(struct as_ctl *ctl, const asq_value *v);

/* Formats a time in ms as "2026-11-23T16:24:16+0000", to be freed; NULL: no memory. */
char *as_ctl_time_text(int64_t ms);

/* ctl_acl.c */
int as_ctl_acl(void *program, int argc, char **argv);
/* ctl_agent.c */
int as_ctl_create(void *program, int argc, char **argv);
int as_ctl_agents(void *program, int argc, char **argv);
int as_ctl_show(void *program, int argc, char **argv);
int as_ctl_clone(void *program, int argc, char **argv);
/* ctl_call.c */
int as_ctl_call(void *program, int argc, char **argv);
int as_ctl_result(void *program, int argc, char **argv);
int as_ctl_cancel(void *program, int argc, char **argv);
int as_ctl_get(void *program, int argc, char **argv);
int as_ctl_set(void *program, int argc, char **argv);
/* ctl_calls.c */
int as_ctl_calls(void *program, int argc, char **argv);
/* ctl_dead.c */
int as_ctl_dead_list(void *program, int argc, char **argv);
int as_ctl_dead_show(void *program, int argc, char **argv);
int as_ctl_dead_retry(void *program, int argc, char **argv);
int as_ctl_dead_drop(void *program, int argc, char **argv);
/* ctl_delete.c */
int as_ctl_delete(void *program, int argc, char **argv);
/* ctl_deployment.c */
int as_ctl_ping(void *program, int argc, char **argv);
int as_ctl_classes(void *program, int argc, char **argv);
int as_ctl_workers(void *program, int argc, char **argv);
int as_ctl_pools(void *program, int argc, char **argv);
int as_ctl_stop(void *program, int argc, char **argv);
int as_ctl_drain(void *program, int argc, char **argv);
/* ctl_pause.c */
int as_ctl_migrate(void *program, int argc, char **argv);
int as_ctl_pause(void *program, int argc, char **argv);
int as_ctl_resume(void *program, int argc, char **argv);
/* Notes what is paused, if anything is; a failure to read it is no failure. */
void as_ctl_note_paused(struct as_ctl *ctl);
/* Notes if no worker has the class, whose name may be mistyped. NULL: does nothing. */
void as_ctl_note_unknown(struct as_ctl *ctl, const char *name);
/* Does as it does, and returns the pool of the class as its workers tell it, to be freed; NULL:
 * none. */
char *as_ctl_pool_of(struct as_ctl *ctl, const char *name);
/* ctl_failures.c; with functions for `set` of as_option: read a code, and a time as Unix ms. */
int as_ctl_failures(void *program, int argc, char **argv);
int as_ctl_option_code(const struct as_option *o, void *settings, const char *text, char *err,
                       size_t errlen);
int as_ctl_option_since(const struct as_option *o, void *settings, const char *text, char *err,
                        size_t errlen);
/* Reads a time as 2026-11-23T16:24, of the local zone unless it names another. */
bool as_ctl_read_time(const char *text, int64_t *ret_ms);
/* ctl_progress.c: have what a call emits printed while its result is waited for; end the line of a
 * bar; print the result behind all that, and return the status of all. */
int as_ctl_watch(struct as_ctl *ctl, asq_result *r);
void as_ctl_end_progress(struct as_ctl *ctl);
int as_ctl_print_result(struct as_ctl *ctl, const asq_value *v);
/* ctl_schedule.c; with a function for `set` of as_option: read a time to come as Unix ms. */
int as_ctl_schedule(void *program, int argc, char **argv);
int as_ctl_schedules(void *program, int argc, char **argv);
int as_ctl_unschedule(void *program, int argc, char **argv);
int as_ctl_option_at(const struct as_option *o, void *settings, const char *text, char *err,
                     size_t errlen);
/* ctl_promise.c */
int as_ctl_promise_resolve(void *program, int argc, char **argv);
int as_ctl_promise_reject(void *program, int argc, char **argv);
int as_ctl_promise_show(void *program, int argc, char **argv);
/* ctl_signal.c */
int as_ctl_signal(void *program, int argc, char **argv);
int as_ctl_signals(void *program, int argc, char **argv);
/* ctl_stats.c */
int as_ctl_stats(void *program, int argc, char **argv);
/* ctl_top.c */
int as_ctl_top(void *program, int argc, char **argv);
/* ctl_complete.c: prints possible arguments from the deployment, one a line. */
void as_ctl_complete(struct as_program *program, const struct as_cli_args *args);

#endif
