/*
 * ctl_call.c: as-ctl's commands call, result, cancel, get, set.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

/* Waits for the result and prints it. Frees it. */
static int print_result(struct as_ctl *ctl, asq_result *r)
{
    int status = ctl->settings.progress ? as_ctl_watch(ctl, r) : AS_EXIT_OK;
    const asq_value *v;
    if (status == AS_EXIT_OK)
        status = as_ctl_wait(ctl, r);
    if (status == AS_EXIT_OK)
        status = asq_result_value(r, &v) < 0 ? as_ctl_failed(ctl) : as_ctl_print_result(ctl, v);
    asq_result_free(r);
    return status;
}

/* Prints the id under which the call's result is kept, once Redis has accepted the call. */
static int print_call_id(struct as_ctl *ctl, asq_result *r)
{
    const char *id = asq_result_id(r);
    int status;
    if (asq_result_keep(r) < 0 || asq_flush(ctl->h, as_ctl_remaining_ms(ctl)) < 0)
        status = as_ctl_failed(ctl);
    else
        status = as_ctl_print_id(ctl, "call_id", id);
    asq_result_free(r);
    return status;
}

/* A method, or a field, and what it is given. */
struct request {
    const char *name;
    asq_value *value; /* until it is given away; or NULL */
};

static asq_value *take_value(struct request *q)
{
    asq_value *value = q->value;
    q->value = NULL;
    return value;
}

static int call(struct as_ctl *ctl, asq_agent *agent, void *user)
{
    struct request *q = user;
    asq_result *r;
    int rc = asq_callv(agent, q->name, NULL, take_value(q), &r);
    if (rc < 0)
        return as_ctl_outcome(ctl, rc);
    return ctl->settings.async ? print_call_id(ctl, r) : print_result(ctl, r);
}

int as_ctl_call(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct request q = { .name = argv[1] };
    if (ctl->settings.async && ctl->settings.progress)
        return as_program_usage(&ctl->base, "--progress waits for the call, and --async does not");
    int status = as_ctl_args(ctl, argc > 2 ? argv[2] : NULL, &q.value);
    if (status == AS_EXIT_OK)
        status = as_ctl_with_agent(ctl, argv[0], call, &q);
    asq_value_free(q.value);
    return status;
}

int as_ctl_result(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    asq_result *r;
    int rc = asq_result_attach(ctl->h, argv[0], &r);
    if (rc < 0)
        return as_ctl_outcome(ctl, rc);
    return print_result(ctl, r);
}

/* ---- cancel --------------------------------------------------------------------------------- */

struct cancelling {
    struct as_ctl *ctl;
    asq_value *list; /* outcomes, for JSON; NULL: text */
    int status;      /* of the first failure */
    bool unfinished; /* timeout or signal */
};

static void note_status(struct cancelling *c, int status)
{
    if (c->status == AS_EXIT_OK)
        c->status = status;
}

static void send_cancel(struct cancelling *c, const char *id, asq_result **ret)
{
    struct as_ctl *ctl = c->ctl;
    *ret = NULL;
    as_ctl_limit_timeout(ctl);
    int rc = asq_result_attach(ctl->h, id, ret);
    if (rc == 0)
        rc = asq_result_cancel(*ret);
    if (rc < 0)
        note_status(c, as_ctl_outcome(ctl, rc));
}

/* Waits for the call's end, and tells which it was. A call that nobody knows is a failure. */
static void print_end(struct cancelling *c, const char *id, asq_result *r)
{
    const struct as_reporter *who = &c->ctl->base.who;
    int status = as_ctl_await(c->ctl, r);
    if (status != AS_EXIT_OK) {
        c->unfinished = true;
        note_status(c, status);
        return;
    }
    const asq_error *error = asq_result_error(r);
    const char *end = error->code == 0               ? "succeeded"
                      : error->code == ASQ_ECANCELED ? "canceled"
                                                     : "failed";
    if (error->code == ASQ_EEXPIRED) {
        note_status(c, as_report(who, error));
    } else if (!c->list) {
        as_print_text(stdout, id, false);
        printf(" %s\n", end);
    } else if (asq_list_append(c->list, asq_pack("{s:s, s:s}", "call_id", id, "end", end)) < 0) {
        note_status(c, as_report_code(who, ASQ_ENOMEM, NULL, "out of memory"));
    }
}

int as_ctl_cancel(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct cancelling c = { .ctl = ctl };
    int status = as_ctl_open(ctl);
    if (status != AS_EXIT_OK)
        return status;
    asq_result **results = calloc((size_t) argc, sizeof(asq_result *));
    bool json = ctl->base.who.json && !ctl->settings.async;
    if (!results || (json && !(c.list = asq_value_list()))) {
        free(results);
        return as_report_code(&ctl->base.who, ASQ_ENOMEM, NULL, "out of memory");
    }
    asq_cork(ctl->h);
    for (int i = 0; i < argc; i++)
        send_cancel(&c, argv[i], &results[i]);
    if (asq_uncork(ctl->h) < 0)
        note_status(&c, as_ctl_failed(ctl));
    /* Else the program may end before Redis has the request. */
    if (ctl->settings.async && asq_flush(ctl->h, as_ctl_remaining_ms(ctl)) < 0)
        note_status(&c, as_ctl_failed(ctl));
    for (int i = 0; i < argc; i++) {
        if (results[i] && !ctl->settings.async && !c.unfinished)
            print_end(&c, argv[i], results[i]);
        asq_result_free(results[i]);
    }
    free(results);
    if (json)
        note_status(&c, as_print_json_own(&ctl->base.who, c.list));
    return c.status;
}

static int get(struct as_ctl *ctl, asq_agent *agent, void *user)
{
    asq_result *r;
    int rc = asq_get_async(agent, user, &r);
    return rc < 0 ? as_ctl_outcome(ctl, rc) : print_result(ctl, r);
}

int as_ctl_get(void *program, int argc, char **argv)
{
    (void) argc;
    return as_ctl_with_agent(program, argv[0], get, argv[1]);
}

static int set(struct as_ctl *ctl, asq_agent *agent, void *user)
{
    struct request *q = user;
    asq_result *r;
    int rc = asq_set_async(agent, q->name, take_value(q), &r);
    if (rc < 0)
        return as_ctl_outcome(ctl, rc);
    int status = as_ctl_wait(ctl, r);
    asq_result_free(r);
    if (status == AS_EXIT_OK && ctl->base.who.json)
        status = as_ctl_print_id(ctl, "set", q->name);
    return status;
}

int as_ctl_set(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    struct request q = { .name = argv[1] };
    int status = as_ctl_value(ctl, "VALUE", argv[2], &q.value);
    (void) argc;
    if (status == AS_EXIT_OK)
        status = as_ctl_with_agent(ctl, argv[0], set, &q);
    asq_value_free(q.value);
    return status;
}
