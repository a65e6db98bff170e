/*
 * ctl_promise.c: as-ctl's commands promise resolve, promise reject, promise show.
 */
#include "asqueue.h"
#include "ctl.h"
#include "output.h"
#include "program.h"

int as_ctl_promise_resolve(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *v;
    (void) argc;
    int status = as_ctl_value(ctl, "VALUE", argv[1], &v);
    if (status != AS_EXIT_OK)
        return status;
    if ((status = as_ctl_open(ctl)) != AS_EXIT_OK) {
        asq_value_free(v);
        return status;
    }
    as_ctl_limit_timeout(ctl);
    return as_ctl_outcome(ctl, asq_promise_resolve(ctl->h, argv[0], v));
}

int as_ctl_promise_reject(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    int status = as_ctl_open(ctl);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    as_ctl_limit_timeout(ctl);
    return as_ctl_outcome(ctl, asq_promise_reject(ctl->h, argv[0], ctl->settings.code, argv[1]));
}

int as_ctl_promise_show(void *program, int argc, char **argv)
{
    struct as_ctl *ctl = program;
    asq_value *v;
    int status = as_ctl_open(ctl);
    (void) argc;
    if (status != AS_EXIT_OK)
        return status;
    as_ctl_limit_timeout(ctl);
    status = as_ctl_outcome(ctl, asq_promise_show(ctl->h, argv[0], &v));
    if (status == AS_EXIT_OK) {
        status = as_ctl_print(ctl, v);
        asq_value_free(v);
    }
    return status;
}
