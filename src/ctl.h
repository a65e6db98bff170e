/*
 * ctl.h: what as-ctl's commands share: the deployment they work on, their arguments as values,
 * and waiting for what takes time. A command is one function and one entry in as-ctl.c's table;
 * functions of one subject stand in one file, ctl_SUBJECT.c.
 */
#ifndef ASQ_SRC_CTL_H
#define ASQ_SRC_CTL_H

#include "program.h"

struct as_ctl {
    struct as_program base; /* comes first; commands get a pointer to it as `program` */
    struct {
        const char *url, *password_file, *ns, *id, *class_name;
        int64_t timeout_ms; /* ASQ_FOREVER: none was given */
        bool json, async, wait, all;
        uint32_t limit; /* 0: not given */
    } settings;
    asq *h; /* once opened; closed by main */
    int64_t opened_ms;
    bool told_no_worker;
};

/* Opens the deployment as the options say. All helpers give an exit status, having reported what
 * was wrong, unless they say otherwise: `if ((status = …) != AS_EXIT_OK) return status;` */
int as_ctl_open(struct as_ctl *ctl);
/* Reports the handle's last failure. */
int as_ctl_failed(struct as_ctl *ctl);
/* What a function of the library came to: 0, or its failure is reported. ASQ_EINVAL (an id or a
 * name that cannot be one) is the command line's fault. */
int as_ctl_outcome(struct as_ctl *ctl, int rc);
/* Opens, and makes a proxy for the agent. */
int as_ctl_attach(struct as_ctl *ctl, const char *id, asq_agent **ret);

/* Arguments as values: a list or a map (NULL text: *ret is NULL, none); or any value, which the
 * command's usage calls `name`. "-" reads standard input. */
int as_ctl_args(struct as_ctl *ctl, const char *text, asq_value **ret);
int as_ctl_value(struct as_ctl *ctl, const char *name, const char *text, asq_value **ret);

/* Waits, for --timeout from the opening on: for a call's result, or for an agent to exist. Says
 * so when it waits and no worker is alive, and how to get the result when the time is up. */
int as_ctl_wait(struct as_ctl *ctl, asq_result *r);
int as_ctl_ready(struct as_ctl *ctl, asq_agent *agent);
/* What is left of --timeout: ASQ_FOREVER, or 0 and more. */
int64_t as_ctl_remaining_ms(const struct as_ctl *ctl);
/* Gives the handle's next function no more than that: called before each but the first of a command. */
void as_ctl_bound(struct as_ctl *ctl);

/* Prints a line of text, or with --json {key: text}. */
int as_ctl_print_id(struct as_ctl *ctl, const char *key, const char *text);
/* Prints a value: JSON in either case, indented for people. */
int as_ctl_print(struct as_ctl *ctl, const asq_value *v);

/* ctl_acl.c */
int as_ctl_acl(void *program, int argc, char **argv);
/* ctl_agent.c */
int as_ctl_create(void *program, int argc, char **argv);
int as_ctl_agents(void *program, int argc, char **argv);
int as_ctl_show(void *program, int argc, char **argv);
int as_ctl_delete(void *program, int argc, char **argv);
int as_ctl_clone(void *program, int argc, char **argv);
/* ctl_call.c */
int as_ctl_call(void *program, int argc, char **argv);
int as_ctl_result(void *program, int argc, char **argv);
int as_ctl_get(void *program, int argc, char **argv);
int as_ctl_set(void *program, int argc, char **argv);
/* ctl_dead.c */
int as_ctl_dead(void *program, int argc, char **argv);
/* ctl_deployment.c */
int as_ctl_ping(void *program, int argc, char **argv);
int as_ctl_classes(void *program, int argc, char **argv);
int as_ctl_workers(void *program, int argc, char **argv);
int as_ctl_stop(void *program, int argc, char **argv);
/* ctl_complete.c: what an argument can be, as the deployment has it, one a line. */
void as_ctl_complete(struct as_program *program, const struct as_cli_args *args);

#endif
