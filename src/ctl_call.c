/*
 * ctl_call.c: as-ctl's commands call, result, get, set.
 */
#include <stddef.h>

#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

/* Waits for the result and prints it. Frees it. */
static int print_result(struct as_ctl *ctl, asq_result *r)
{
    int status = as_ctl_wait(ctl, r);
    const asq_value *v;
    if (status == AS_EXIT_OK)
        status = asq_result_value(r, &v) < 0 ? as_ctl_failed(ctl) : as_ctl_print(ctl, v);
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

int as_ctl_call(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *args;
    int status = as_ctl_args(ctl, argc > 2 ? argv[2] : NULL, &args);
    if (status != AS_EXIT_OK)
        return status;
    asq_agent *agent;
    if ((status = as_ctl_attach(ctl, argv[0], &agent)) != AS_EXIT_OK) {
        asq_value_free(args);
        return status;
    }
    asq_result *r;
    int rc = asq_callv(agent, argv[1], NULL, args, &r);
    if (rc < 0) {
        status = as_ctl_outcome(ctl, rc);
    } else if (ctl->settings.async) {
        status = print_call_id(ctl, r);
    } else {
        status = print_result(ctl, r);
    }
    asq_agent_free(agent);
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

int as_ctl_get(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_agent *agent;
    int status = as_ctl_attach(ctl, argv[0], &agent);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    asq_result *r;
    int rc = asq_get_async(agent, argv[1], &r);
    status = rc < 0 ? as_ctl_outcome(ctl, rc) : print_result(ctl, r);
    asq_agent_free(agent);
    return status;
}

int as_ctl_set(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *value;
    int status = as_ctl_value(ctl, "VALUE", argv[2], &value);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    asq_agent *agent;
    if ((status = as_ctl_attach(ctl, argv[0], &agent)) != AS_EXIT_OK) {
        asq_value_free(value);
        return status;
    }
    asq_result *r;
    int rc = asq_set_async(agent, argv[1], value, &r);
    if (rc < 0) {
        status = as_ctl_outcome(ctl, rc);
    } else {
        status = as_ctl_wait(ctl, r);
        asq_result_free(r);
    }
    asq_agent_free(agent);
    if (status == AS_EXIT_OK && ctl->base.who.json)
        status = as_ctl_print_id(ctl, "set", argv[1]);
    return status;
}
