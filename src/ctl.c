/*
 * ctl.c: functions shared by as-ctl's commands (ctl.h).
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "connect.h"
#include "ctl.h"
#include "output.h"
#include "workers.h"

#define SLICE_MS     250 /* maximum delay until a signal is noticed */
#define LAST_READ_MS 250
#define PATIENCE_MS  3000 /* wait before checking that a worker is alive */

/* ---- Opening -------------------------------------------------------------------------------- */

int as_ctl_open(struct as_ctl *ctl)
{
    ctl->opened_ms = as_program_now_ms();
    int status = as_connect(&ctl->base.who, ctl->settings.url, ctl->settings.password_file, "-u",
                            ctl->settings.ns, ctl->settings.timeout_ms, &ctl->h);
    if (status == AS_EXIT_OK)
        as_ctl_limit_timeout(ctl);
    return status;
}

int as_ctl_failed(struct as_ctl *ctl)
{
    return as_report(&ctl->base.who, asq_last_error(ctl->h));
}

int as_ctl_outcome(struct as_ctl *ctl, int rc)
{
    if (rc == ASQ_EINVAL)
        return as_program_usage(&ctl->base, "%s", asq_errmsg(ctl->h));
    return rc < 0 ? as_ctl_failed(ctl) : AS_EXIT_OK;
}

int as_ctl_with_agent(struct as_ctl *ctl, const char *id,
                      int (*use)(struct as_ctl *ctl, asq_agent *agent, void *user), void *user)
{
    asq_agent *agent;
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK ||
        (status = as_ctl_outcome(ctl, asq_attach(ctl->h, id, &agent))) != AS_EXIT_OK)
        return status;
    asq_set_timeout(ctl->h, as_ctl_remaining_ms(ctl));
    status = use(ctl, agent, user);
    asq_agent_free(agent);
    return status;
}

/* ---- Arguments ------------------------------------------------------------------------------ */

/* Reads all of standard input; NULL with *ret_code: unreadable, or larger than any message may
 * be. */
static char *read_input(size_t *ret_n, int *ret_code)
{
    size_t n = 0, room = 0;
    ssize_t got = 1;
    char *text = NULL;
    while (got != 0) {
        if (n == room) {
            room = room ? 2 * room : 65536;
            char *more = n > ASQ_MAX_MESSAGE_SIZE ? NULL : realloc(text, room);
            if (!more) {
                free(text);
                *ret_code = n > ASQ_MAX_MESSAGE_SIZE ? ASQ_ELIMIT : ASQ_ENOMEM;
                return NULL;
            }
            text = more;
        }
        got = read(STDIN_FILENO, text + n, room - n);
        if (got < 0 && errno != EINTR) {
            int saved = errno;
            free(text);
            errno = saved;
            *ret_code = ASQ_ESYS;
            return NULL;
        }
        n += got > 0 ? (size_t) got : 0;
    }
    *ret_n = n;
    return text;
}

/* Reads JSON. AS_EXIT_USAGE: the JSON is wrong; `why` says how, and is not reported yet. */
static int read_json(struct as_ctl *ctl, const char *name, const char *text, asq_value **ret,
                     char *why, size_t whylen)
{
    char *input = NULL;
    size_t n = strlen(text);
    int rc = 0;
    *why = '\0';
    if (strcmp(text, "-") == 0) {
        if (!(input = read_input(&n, &rc)))
            return as_report_code(&ctl->base.who, rc, NULL, "reading %s from standard input: %s",
                                  name, rc == ASQ_ESYS ? strerror(errno) : asq_strerror(rc));
        text = input;
    }
    rc = asq_from_json(text, n, ret, why, whylen);
    free(input);
    if (rc == ASQ_ENOMEM)
        return as_report_code(&ctl->base.who, rc, NULL, "reading %s: out of memory", name);
    return rc < 0 ? AS_EXIT_USAGE : AS_EXIT_OK;
}

int as_ctl_args(struct as_ctl *ctl, const char *text, asq_value **ret)
{
    static const char how[] =
        "a list in JSON for positional arguments, '[2, \"two\"]', or an object for named "
        "ones, '{\"n\": 2}'";
    *ret = NULL;
    if (!text)
        return AS_EXIT_OK;
    char why[256];
    asq_value *v;
    int status = read_json(ctl, "ARGS", text, &v, why, sizeof why);
    if (status == AS_EXIT_USAGE)
        return as_program_usage(&ctl->base, "ARGS is not JSON: %s. It is %s", why, how);
    if (status != AS_EXIT_OK)
        return status;
    asq_type type = asq_value_type(v);
    if (type == ASQ_LIST || type == ASQ_MAP) {
        *ret = v;
        return AS_EXIT_OK;
    }
    asq_value_free(v);
    if (strlen(text) < 64 && strcmp(text, "-") != 0)
        return as_program_usage(&ctl->base,
                                "ARGS is of type %s: for one argument write '[%s]'. It is %s",
                                asq_type_name(type), text, how);
    return as_program_usage(&ctl->base, "ARGS is of type %s. It is %s", asq_type_name(type), how);
}

int as_ctl_value(struct as_ctl *ctl, const char *name, const char *text, asq_value **ret)
{
    char why[256];
    int status = read_json(ctl, name, text, ret, why, sizeof why);
    if (status == AS_EXIT_USAGE)
        return as_program_usage(
            &ctl->base, "%s is not JSON: %s. A string needs its quotes: '\"text\"'", name, why);
    return status;
}

/* ---- Waiting -------------------------------------------------------------------------------- */

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    interrupted = number;
}

int64_t as_ctl_remaining_ms(const struct as_ctl *ctl)
{
    return as_program_left_ms(ctl->opened_ms, ctl->settings.timeout_ms);
}

void as_ctl_limit_timeout(struct as_ctl *ctl)
{
    if (ctl->settings.timeout_ms != ASQ_FOREVER)
        asq_set_timeout(ctl->h, as_ctl_remaining_ms(ctl));
}

/* Notes once, after a while without a result, that no worker is alive. */
static void warn_without_workers(struct as_ctl *ctl)
{
    if (ctl->warned_no_worker || as_program_now_ms() - ctl->opened_ms < PATIENCE_MS)
        return;
    ctl->warned_no_worker = true;
    as_ctl_limit_timeout(ctl);
    if (as_workers_alive(ctl->h) == 0)
        as_note(&ctl->base.who, "still waiting: no worker is alive in namespace '%s'",
                asq_namespace(ctl->h));
}

enum progress { UNFINISHED, FINISHED };

/* Calls `step` to wait in slices until it has finished. False: timeout or signal. */
static bool wait_in_slices(struct as_ctl *ctl, enum progress (*step)(void *arg, int64_t ms),
                           void *arg)
{
    struct sigaction catch = { .sa_handler = on_interrupt }, old_int, old_term;
    sigaction(SIGINT, &catch, &old_int);
    sigaction(SIGTERM, &catch, &old_term);
    enum progress progress;
    for (;;) {
        int64_t left = as_ctl_remaining_ms(ctl);
        int64_t slice = left == ASQ_FOREVER || left > SLICE_MS ? SLICE_MS : left;
        progress = step(arg, slice);
        if (progress == FINISHED || interrupted || slice == left)
            break;
        warn_without_workers(ctl);
    }
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGTERM, &old_term, NULL);
    return progress == FINISHED;
}

/* Ends the program by the signal that interrupted it, after all reports. */
static void end_by_signal(struct as_ctl *ctl)
{
    if (!interrupted)
        return;
    asq_close(ctl->h);
    fflush(stdout);
    signal(interrupted, SIG_DFL);
    raise(interrupted);
}

/* Reports that the wait for `what` was given up. call_id NULL: no result can be fetched later. */
static int report_unfinished(struct as_ctl *ctl, const char *what, const char *call_id)
{
    char when[64] = "before the interruption", no_worker[ASQ_MAX_ID + 64] = "";
    /* The command's time is up, but a short check for live workers improves the message. */
    asq_set_timeout(ctl->h, LAST_READ_MS);
    if (!interrupted && as_workers_alive(ctl->h) == 0)
        snprintf(no_worker, sizeof no_worker, ": no worker is alive in namespace '%s'",
                 asq_namespace(ctl->h));

    if (!interrupted)
        snprintf(when, sizeof when, "within %lld ms", (long long) ctl->settings.timeout_ms);
    int status;
    if (call_id)
        /* The message omits the URL itself, because it may have a password. */
        status = as_report_code(
            &ctl->base.who, ASQ_ETIMEOUT, call_id,
            "%s %s%s. The call goes on; fetch its result with: as-ctl%s%s%s result %s", what, when,
            no_worker, ctl->settings.url ? " -u URL" : "", ctl->settings.ns ? " -n " : "",
            ctl->settings.ns ? ctl->settings.ns : "", call_id);
    else
        status =
            as_report_code(&ctl->base.who, ASQ_ETIMEOUT, NULL,
                           "%s %s%s. The command may still take effect", what, when, no_worker);
    end_by_signal(ctl);
    return status;
}

static enum progress result_step(void *arg, int64_t ms)
{
    asq_result_wait(arg, ms);
    return asq_result_done(arg) ? FINISHED : UNFINISHED;
}

int as_ctl_await(struct as_ctl *ctl, asq_result *r)
{
    bool finished = wait_in_slices(ctl, result_step, r);
    as_ctl_end_progress(ctl);
    return finished ? AS_EXIT_OK : report_unfinished(ctl, "no result", asq_result_id(r));
}

int as_ctl_wait(struct as_ctl *ctl, asq_result *r)
{
    int status = as_ctl_await(ctl, r);
    if (status != AS_EXIT_OK)
        return status;
    const asq_error *e = asq_result_error(r);
    return e->code ? as_report(&ctl->base.who, e) : AS_EXIT_OK;
}

struct ready {
    asq_agent *agent;
    int rc;
};

static enum progress ready_step(void *arg, int64_t ms)
{
    struct ready *ready = arg;
    ready->rc = asq_ready(ready->agent, ms);
    /* The creation itself may have failed with ASQ_ETIMEOUT; its error then names a worker. */
    if (ready->rc == ASQ_ETIMEOUT && !*asq_last_error(asq_agent_handle(ready->agent))->worker)
        return UNFINISHED;
    return FINISHED;
}

int as_ctl_ready(struct as_ctl *ctl, asq_agent *agent)
{
    struct ready ready = { agent, 0 };
    if (!wait_in_slices(ctl, ready_step, &ready)) {
        char what[ASQ_MAX_ID + 32];
        snprintf(what, sizeof what, "no answer from agent '%s'", asq_agent_id(agent));
        return report_unfinished(ctl, what, NULL);
    }
    return ready.rc < 0 ? as_ctl_failed(ctl) : AS_EXIT_OK;
}

/* ---- Printing ------------------------------------------------------------------------------- */

int as_ctl_print_id(struct as_ctl *ctl, const char *key, const char *text)
{
    if (ctl->base.who.json)
        return as_print_json_own(&ctl->base.who, asq_pack("{s:s}", key, text));
    as_print_text(stdout, text, false);
    putchar('\n');
    return AS_EXIT_OK;
}

int as_ctl_print_count(struct as_ctl *ctl, int64_t n)
{
    if (ctl->base.who.json)
        return as_print_json_own(&ctl->base.who, asq_pack("{s:I}", "count", n));
    printf("%lld\n", (long long) n);
    return AS_EXIT_OK;
}

int as_ctl_print(struct as_ctl *ctl, const asq_value *v)
{
    return as_print_json(&ctl->base.who, v, !ctl->base.who.json);
}

char *as_ctl_time_text(int64_t ms)
{
    time_t seconds = (time_t) (ms / 1000);
    char text[48];
    struct tm tm;
    if (!localtime_r(&seconds, &tm) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S%z", &tm))
        return strdup("-");
    return strdup(text);
}
